//! The writer's connection to SQLite, on which one transaction follows another.

use std::path::PathBuf;

use pax_gateway::base::clock::Moment;
use rusqlite::{Connection, TransactionBehavior};

use super::statements::{Statements, connect};
use crate::error::Error;
use crate::store::desk::{Answer, Desk, Fault};
use crate::store::failed;

/// A connection of the writer's own. Use only one at a time, since writers wait for each other.
#[derive(Debug)]
pub(in crate::store) struct Connected {
    path: PathBuf,
    connection: Option<Connection>,
}

impl Connected {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, connection: None }
    }

    /// Works at the desk, in one transaction. On return what was done is durable.
    pub(in crate::store) async fn work<T: Send + 'static>(
        &mut self,
        now: Moment,
        doing: &'static str,
        work: impl FnOnce(&mut Desk<'_>) -> Answer<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (path, connected) = (self.path.clone(), self.connection.take());
        // The disk is waited for, so another thread does it.
        let working = tokio::task::spawn_blocking(move || {
            let mut connection = match connected {
                Some(connection) => connection,
                None => connect(&path).map_err(failed("connected to write"))?,
            };
            let done = in_transaction(&mut connection, now, work).map_err(failed(doing))?;
            Ok::<_, Error>((connection, done))
        });
        let (connection, done) = working.await.map_err(failed(doing))??;
        // Only a connection whose transaction succeeded is used again.
        self.connection = Some(connection);
        Ok(done)
    }

    pub(in crate::store) async fn close(self) {
        let Some(connection) = self.connection else { return };
        // The last connection to close folds the log into the file, which can take a while.
        let closing = tokio::task::spawn_blocking(move || connection.close().map_err(|(_, error)| error));
        if let Ok(Err(error)) = closing.await {
            tracing::warn!(%error, "the writer's connection did not close well");
        }
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    now: Moment,
    work: impl FnOnce(&mut Desk<'_>) -> Answer<T>,
) -> Result<T, Fault> {
    // Immediate, because a transaction that first reads and then writes could find its snapshot stale.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = at_desk(&tx, now, work)?;
    tx.commit()?;
    Ok(done)
}

/// Works at a desk, in the transaction that is open.
pub(super) fn at_desk<T>(
    connection: &Connection,
    now: Moment,
    work: impl FnOnce(&mut Desk<'_>) -> Answer<T>,
) -> Result<T, Fault> {
    let mut statements = Statements::prepare(connection)?;
    let mut desk = Desk::new(&mut statements, now);
    let done = work(&mut desk)?;
    desk.save()?;
    Ok(done)
}
