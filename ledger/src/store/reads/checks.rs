//! What keeps a ledger's rows as they were written, checked.

use crate::error::Error;
use crate::store::sql::Tx;
use crate::store::{Snapshot, postgres, sqlite};

impl Snapshot {
    /// What is wrong with the triggers (and, in PostgreSQL, the rights) that keep tables append-only, and what to do about
    /// it: those that are missing, those that differ from the migrations', and those that somebody added.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn broken_guards(&mut self) -> Result<Vec<String>, Error> {
        match &mut self.tx {
            Tx::Sqlite(tx) => sqlite::broken_guards(tx).await,
            Tx::Postgres(tx) => postgres::broken_guards(tx).await,
        }
    }

    /// What the database itself finds wrong with its file, its indices included.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn damage(&mut self) -> Result<Vec<String>, Error> {
        match &mut self.tx {
            Tx::Sqlite(tx) => sqlite::damage(tx).await,
            Tx::Postgres(tx) => postgres::damage(tx).await,
        }
    }
}
