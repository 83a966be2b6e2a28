//! The store in SQLite: one file, write-ahead log, durable on commit.

mod backup;
mod books;
mod connected;
mod corrections;
mod guards;
mod hold_rows;
mod restore;
mod statements;

use std::path::Path;
use std::time::Duration;

use pax_gateway::base::clock::Moment;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use super::desk::{Answer, Desk, Fault};
use super::schema::{self, Schema};
use super::{Open, failed};
use crate::error::Error;

pub use backup::{BackedUp, back_up};
pub use restore::{Replaced, Restored, restore};

pub(super) use connected::Connected;
pub(super) use guards::{broken_guards, damage};

/// How long a writer waits for another process that writes.
const BUSY: Duration = Duration::from_secs(10);
/// Look-ups at the same time; each has a thread of its own.
const READERS: u32 = 4;

/// Opens a file.
///
/// # Errors
/// What is wrong with it, and what to do.
pub(super) async fn open(path: &Path, open: Open) -> Result<SqlitePool, Error> {
    let shown = path.display();
    if open == Open::Create {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|why| Error::Io { doing: format!("making the folder of {shown}"), why })?;
        }
    } else if !path.exists() {
        return Err(Error::Operator(format!(
            "there is no ledger database at {shown}; check --db (or PAX_LEDGER_DB), or make one with \
             `pax-ledger account create` or `pax-ledger serve`"
        )));
    }
    let mut options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(open == Open::Create)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full);
    match open {
        Open::Create | Open::Upgrade => options = options.journal_mode(SqliteJournalMode::Wal),
        Open::Existing => {}
        Open::Read => options = options.pragma("query_only", "ON"),
    }
    // A connection stays open as long as the store is: this shows `restore` that the file is in use.
    let pool = SqlitePoolOptions::new().max_connections(READERS).idle_timeout(None).max_lifetime(None);
    let pool = pool.connect_lazy_with(options);
    let opened = schema::open(&Schema::Sqlite(&pool), &schema::SQLITE, open).await;
    opened.map_err(|why| Error::Operator(format!("cannot use {shown} as a ledger database: {why}")))?;
    Ok(pool)
}

/// Closes all connections and folds the write-ahead log into the file. SQLite folds it when the last
/// connection closes, but two that close at the same moment each leave it to the other. So one more
/// connection does it.
pub(super) async fn close(pool: &SqlitePool) {
    pool.close().await;
    let options = pool.connect_options();
    for _ in 0..20 {
        let Ok(mut connection) = options.as_ref().connect().await else { return };
        let checkpoint = sqlx::query_scalar::<_, i64>("PRAGMA wal_checkpoint(TRUNCATE)");
        let busy = checkpoint.fetch_one(&mut connection).await;
        // What cannot be folded now stays in the log, where it is just as durable. The next process that
        // opens the file folds it.
        let _ = connection.close().await;
        if !matches!(busy, Ok(1)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The sizes of the file and of the log beside it.
pub(super) fn sizes(pool: &SqlitePool) -> (u64, u64) {
    let options = pool.connect_options();
    let path = options.get_filename();
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    (size(path), size(&restore::beside(path, "-wal")))
}

/// A connection beside those of a pool, made when it is needed.
pub(super) fn apart(pool: &SqlitePool) -> SqlitePool {
    let options = pool.connect_options().as_ref().clone();
    SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options)
}

/// A writer's connection to the file of a pool.
pub(super) fn connected(pool: &SqlitePool) -> Connected {
    Connected::new(pool.connect_options().get_filename().to_owned())
}

/// Works on a connection of the pool through `rusqlite`, as the writer does on its own.
pub(super) async fn with_rusqlite<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&rusqlite::Connection) -> Result<T, Fault>,
) -> Result<T, Error> {
    let failing = failed("worked on entries");
    let mut locked = connection.lock_handle().await.map_err(failed("worked on entries"))?;
    // SAFETY: the handle is that of an open connection, which nobody else uses while it is locked, and the
    // borrowed `Connection` does not close it. Both crates link the same SQLite.
    let borrowed = unsafe { rusqlite::Connection::from_handle(locked.as_raw_handle().as_ptr()) };
    borrowed.map_err(Fault::from).and_then(|borrowed| work(&borrowed)).map_err(failing)
}

/// Works at a desk, on a connection of the pool, in the transaction that is open there.
pub(super) async fn at_desk<T>(
    connection: &mut SqliteConnection,
    now: Moment,
    work: impl FnOnce(&mut Desk<'_>) -> Answer<T>,
) -> Result<T, Error> {
    with_rusqlite(connection, |connection| connected::at_desk(connection, now, work)).await
}
