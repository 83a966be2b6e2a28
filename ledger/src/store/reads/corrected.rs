//! Looks for what corrections correct, and for what ties them to the operator log.

use crate::book::made::better_key;
use crate::error::Error;
use crate::store::sql::Ask;
use crate::store::{Corrects, Snapshot, failed};

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
        // The pluses and the empty texts keep SQLite from walking along the account's chain.
        let original = format!(
            "SELECT canonical FROM credit_ledger WHERE {which} AND account || '' = ?1 AND +account_seq < ?3"
        );
        let last = format!(
            "SELECT canonical FROM credit_ledger WHERE corrects = ?2 AND {tier} AND account = ?1 AND +account_seq < ?3 \
             ORDER BY +account_seq DESC LIMIT 1"
        );
        let mut found = [None, None];
        for (sql, found) in [original, last].iter().zip(&mut found) {
            let one = Ask::new(sql).bind(account).bind(what.name()).bind(before);
            *found =
                one.scalar_optional(&mut self.tx).await.map_err(failed("looked for what is corrected"))?;
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
        let found = Ask::new(sql).bind(key).scalar(&mut self.tx).await;
        found.map_err(failed("looked into the operator log"))
    }

    /// Whether the operator log has the row of a batch of corrections.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_batch_row(&mut self, key: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM operator_log WHERE key = ?1 AND action = 'reprice')";
        let found = Ask::new(sql).bind(key).scalar(&mut self.tx).await;
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
        let found = Ask::new(sql).bind(key).bind(most).scalars(&mut self.tx).await;
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
        let sql = "SELECT canonical FROM credit_ledger WHERE entry_key = ?1 AND account || '' = ?2 AND +account_seq < ?3";
        let found = Ask::new(sql).bind(better_key(exchange)).bind(account).bind(before);
        found.scalar_optional(&mut self.tx).await.map_err(failed("looked for a better report"))
    }

    /// Whether an exchange has an entry.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_entry_of_exchange(&mut self, exchange: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM credit_ledger WHERE exchange_id = ?1)";
        let found = Ask::new(sql).bind(exchange).scalar(&mut self.tx).await;
        found.map_err(failed("looked for an entry"))
    }

    /// Whether there is an entry with this key.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_entry_of_key(&mut self, key: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM credit_ledger WHERE entry_key = ?1)";
        Ask::new(sql).bind(key).scalar(&mut self.tx).await.map_err(failed("looked for an entry"))
    }
}
