//! What keeps a ledger's rows as they were written, checked.

use pax_gateway::base::digest::Digest;

use crate::error::Error;
use crate::store::sql::{Ask, Row, Tx, text};
use crate::store::{Snapshot, failed, postgres, sqlite};

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

    /// A hash over the heads of all accounts' chains and of the operator log, and how many accounts there are. Two ledgers
    /// with the same one have the same entries.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn heads(&mut self) -> Result<(Digest, u64), Error> {
        let reading = failed("read the heads of chains");
        let (mut digest, mut accounts) = (Digest::of(&[b"pax-heads/1\n"]), 0_u64);
        let mut add = |name: &str, seq: i64, hash: &str| {
            let line = format!("{digest}\n{name}\n{seq}\n{hash}\n");
            digest = Digest::of(&[line.as_bytes()]);
        };
        let sql = "SELECT name, account_seq, head_hash FROM accounts ORDER BY name";
        let tell = |row: &Row| {
            let seq = row.try_get(1).map_err(&reading)?;
            add(&text(row, 0), seq, &text(row, 2));
            accounts += 1;
            Ok(())
        };
        Ask::new(sql).each(&mut self.tx, &reading, tell).await?;
        if let Some((seq, hash, _)) = self.operator_head().await? {
            add("", seq, &hash);
        }
        Ok((digest, accounts))
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
