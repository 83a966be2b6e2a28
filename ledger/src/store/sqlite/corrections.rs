//! The statements of corrections and of closing an account, on the writer's connection.

use pax_gateway::base::clock::Moment;
use rusqlite::{OptionalExtension, params};

use super::statements::Statements;
use crate::book::made::better_key;
use crate::store::desk::ToBeCorrected;
use crate::store::{Corrects, to_ms};

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
            self.connection.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()
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
        self.connection.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()
    }

    /// Notes that an account is closed.
    pub(super) fn close(&self, account: &str, key: &str, at: Moment) -> Result<(), rusqlite::Error> {
        let sql = "UPDATE accounts SET status = 'disabled', closed_at = ?3, close_key = ?2 WHERE name = ?1";
        self.connection.execute(sql, params![account, key, to_ms(at)]).map(|_| ())
    }
}
