//! Looks for what corrections correct, and for what ties them to the operator log.

use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;
use rusqlite::OptionalExtension;

use super::statements::Statements;
use super::{Snapshot, failed};
use crate::book::made::{Made, better_key};
use crate::error::Error;
use crate::store::Corrects;

/// The canonical bytes of a call or a grant, those of its last correction, and of a call those of the correction that
/// embeds the better report.
pub(super) struct ToBeCorrected {
    pub(super) original: Vec<u8>,
    pub(super) last: Option<Vec<u8>>,
    pub(super) better: Option<Vec<u8>>,
}

impl ToBeCorrected {
    /// The amount after the last correction; none if there is none.
    pub(super) fn last_amount(&self) -> Result<Option<Pax>, String> {
        match self.last.as_deref().map(Made::read) {
            None => Ok(None),
            Some(Ok(Made::Correction(last))) => Ok(Some(last.now_pax)),
            Some(Ok(_)) => Err("it is no correction".to_owned()),
            Some(Err(why)) => Err(why),
        }
    }

    /// The better report; none if none came.
    pub(super) fn better_debit(&self) -> Result<Option<Debit>, String> {
        match self.better.as_deref().map(Made::read) {
            None => Ok(None),
            Some(Ok(Made::Correction(better))) => better.better_debit().transpose(),
            Some(Ok(_)) => Err("it is no correction".to_owned()),
            Some(Err(why)) => Err(why),
        }
    }
}

const OF_KEY: &str = "SELECT canonical FROM credit_ledger WHERE entry_key = ?1";

impl Statements<'_> {
    /// What is to be corrected. None if there is no such call or grant.
    pub(super) fn corrected(&self, what: &Corrects) -> Result<Option<ToBeCorrected>, rusqlite::Error> {
        // A correction of a call repeats the call's tier; one of a grant has none.
        let (name, which, tier) = match what {
            Corrects::Call(id) => (id, "exchange_id = ?1", "tier IS NOT NULL"),
            Corrects::Grant(key) => (key, "entry_key = ?1 AND kind = 'grant'", "tier IS NULL"),
        };
        let original = format!("SELECT canonical FROM credit_ledger WHERE {which}");
        // The plus keeps SQLite from walking along the account's chain.
        let last = format!(
            "SELECT canonical FROM credit_ledger WHERE corrects = ?1 AND {tier} ORDER BY +account_seq DESC LIMIT 1"
        );
        let one = |sql: &str, name: &str| {
            self.connection().prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()
        };
        let Some(original) = one(&original, name)? else { return Ok(None) };
        let better = match what {
            Corrects::Call(id) => one(OF_KEY, &better_key(id))?,
            Corrects::Grant(_) => None,
        };
        Ok(Some(ToBeCorrected { original, last: one(&last, name)?, better }))
    }

    /// The number, in its account, of the entry with a key.
    pub(super) fn number_of_key(&self, key: &str) -> Result<Option<i64>, rusqlite::Error> {
        let sql = "SELECT account_seq FROM credit_ledger WHERE entry_key = ?1";
        self.connection().prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()
    }
}

impl Snapshot {
    /// The canonical bytes of the entry that a correction names, and those of the last correction of it before the
    /// entry with a number.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn corrected(
        &mut self,
        account: &str,
        what: &Corrects,
        before: i64,
    ) -> Result<(Option<Vec<u8>>, Option<Vec<u8>>), Error> {
        let (which, tier) = match what {
            Corrects::Call(_) => ("exchange_id = ?2", "tier IS NOT NULL"),
            Corrects::Grant(_) => ("entry_key = ?2 AND kind = 'grant'", "tier IS NULL"),
        };
        // The pluses keep SQLite from walking along the account's chain.
        let original = format!(
            "SELECT canonical FROM credit_ledger WHERE {which} AND +account = ?1 AND +account_seq < ?3"
        );
        let last = format!(
            "SELECT canonical FROM credit_ledger WHERE corrects = ?2 AND {tier} AND account = ?1 AND +account_seq < ?3 \
             ORDER BY +account_seq DESC LIMIT 1"
        );
        let mut found = [None, None];
        for (sql, found) in [original, last].iter().zip(&mut found) {
            let one = sqlx::query_scalar(sql).bind(account).bind(what.name()).bind(before);
            *found =
                one.fetch_optional(&mut *self.tx).await.map_err(failed("looked for what is corrected"))?;
        }
        let [original, last] = found;
        Ok((original, last))
    }

    /// Whether the operator log has the row of a grant or a correction.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_operator_row(&mut self, key: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM operator_log WHERE key = ?1 AND action IN ('grant', 'correct', 'recover'))";
        let found = sqlx::query_scalar(sql).bind(key).fetch_one(&mut *self.tx).await;
        found.map_err(failed("looked into the operator log"))
    }

    /// Whether the operator log has the row of a batch of corrections.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_batch_row(&mut self, key: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM operator_log WHERE key = ?1 AND action = 'reprice')";
        let found = sqlx::query_scalar(sql).bind(key).fetch_one(&mut *self.tx).await;
        found.map_err(failed("looked into the operator log"))
    }

    /// The canonical bytes of the corrections that a batch made, in their order. Those that were recovered after a
    /// restore have rows of their own, and are not among them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn made_by_batch(&mut self, key: &str, most: u32) -> Result<Vec<Vec<u8>>, Error> {
        // The character after a slash is a zero.
        let sql = "SELECT canonical FROM credit_ledger WHERE entry_key > ?1 || '/' AND entry_key < ?1 || '0' \
            AND NOT EXISTS (SELECT 1 FROM operator_log WHERE key = entry_key) ORDER BY account, account_seq LIMIT ?2";
        let found = sqlx::query_scalar(sql).bind(key).bind(most).fetch_all(&mut *self.tx).await;
        found.map_err(failed("looked for the entries of a batch"))
    }

    /// The canonical bytes of the correction that embeds the better report on a call, if it is before the entry with a
    /// number.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn better(
        &mut self,
        account: &str,
        exchange: &str,
        before: i64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let sql = "SELECT canonical FROM credit_ledger WHERE entry_key = ?1 AND +account = ?2 AND +account_seq < ?3";
        let found = sqlx::query_scalar(sql).bind(better_key(exchange)).bind(account).bind(before);
        found.fetch_optional(&mut *self.tx).await.map_err(failed("looked for a better report"))
    }

    /// Whether an exchange has an entry.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_entry_of_exchange(&mut self, exchange: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM credit_ledger WHERE exchange_id = ?1)";
        let found = sqlx::query_scalar(sql).bind(exchange).fetch_one(&mut *self.tx).await;
        found.map_err(failed("looked for an entry"))
    }

    /// Whether there is an entry with this key.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_entry_of_key(&mut self, key: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM credit_ledger WHERE entry_key = ?1)";
        sqlx::query_scalar(sql)
            .bind(key)
            .fetch_one(&mut *self.tx)
            .await
            .map_err(failed("looked for an entry"))
    }
}
