//! The store in SQLite: one file, write-ahead log, durable on commit.

mod admin;
mod backup;
mod cards;
mod chain_page;
mod closing;
mod corrected;
mod credit;
mod desk;
mod epoch;
mod figures;
mod guards;
mod hold_acts;
mod hold_listing;
mod hold_rows;
mod holds;
mod later;
mod operator_log;
mod quarantine;
mod read;
mod report;
mod repricing;
mod restore;
mod standing;
mod statements;
mod write;

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Decode, Row, Sqlite, TypeInfo, ValueRef};

use super::{Location, Open};
use crate::book::Value;
use crate::error::Error;

pub use backup::{BackedUp, back_up};
pub use chain_page::{ChainEntry, ChainPage};
pub use operator_log::LoggedRow;
pub use read::Snapshot;
pub use restore::{Replaced, Restored, restore};
pub use write::Writer;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a writer waits for another process that writes.
const BUSY: Duration = Duration::from_secs(10);
/// Look-ups at the same time; each has a thread of its own.
const READERS: u32 = 4;

/// An open database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    options: SqliteConnectOptions,
    pool: SqlitePool,
}

impl Store {
    /// Opens a database.
    ///
    /// # Errors
    /// If it is missing (except with [`Open::Create`]), is no ledger, or has another version's schema (except
    /// an older one with [`Open::Create`] and [`Open::Upgrade`]). Each error tells what to do.
    pub async fn open(location: &Location, open: Open) -> Result<Self, Error> {
        let path = location.path();
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
        let store = Self { pool: pool.connect_lazy_with(options.clone()), options };
        let opened = match open {
            Open::Create => store.migrate().await,
            Open::Upgrade => store.upgrade().await,
            Open::Existing | Open::Read => store.check_schema().await,
        };
        opened.map_err(|why| Error::Operator(format!("cannot use {shown} as a ledger database: {why}")))?;
        Ok(store)
    }

    /// A writer with a connection of its own. Use only one at a time, since writers wait for each other.
    #[must_use]
    pub fn writer(&self) -> Writer {
        Writer::new(self.options.get_filename().to_owned())
    }

    /// Closes all connections and folds the write-ahead log into the file. SQLite folds it when the last
    /// connection closes, but two that close at the same moment each leave it to the other. So one more
    /// connection does it.
    pub async fn close(&self) {
        self.pool.close().await;
        let options = self.pool.connect_options();
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
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn migrate(&self) -> Result<(), String> {
        // Two processes may find the same empty file. The second one finds the first one's schema on its next
        // try.
        let mut tries = 5;
        loop {
            match MIGRATIONS.run(&self.pool).await {
                Ok(()) => return Ok(()),
                Err(MigrateError::VersionMissing(version)) => {
                    return Err(format!(
                        "its schema {version} is newer than this program; use a newer pax-ledger"
                    ));
                }
                Err(error) => {
                    tries -= 1;
                    if tries == 0 || matches!(error, MigrateError::VersionMismatch(_)) {
                        return Err(error.to_string());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Brings a schema up to date. Unlike [`Store::migrate`] it does not make a ledger out of another database.
    async fn upgrade(&self) -> Result<(), String> {
        self.found_schema().await?;
        self.migrate().await
    }

    async fn check_schema(&self) -> Result<(), String> {
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        match self.found_schema().await? {
            version if version == newest => Ok(()),
            version if version > newest => Err(format!(
                "its schema {version} is newer than this program's {newest}; use a newer pax-ledger"
            )),
            version => Err(format!(
                "its schema {version} is older than this program's {newest}; `pax-ledger serve` brings it up to date"
            )),
        }
    }

    /// The version of the database's schema.
    async fn found_schema(&self) -> Result<i64, String> {
        let found =
            sqlx::query_scalar::<_, Option<i64>>("SELECT max(version) FROM _sqlx_migrations WHERE success");
        found.fetch_one(&self.pool).await.map(|version| version.unwrap_or(0)).map_err(|error| {
            match error.as_database_error() {
                Some(error) if error.message().contains("no such table") => {
                    "it is a database, but not a ledger; check its path".to_owned()
                }
                Some(error) => error.message().to_owned(),
                None => error.to_string(),
            }
        })
    }
}

/// Turns a database's error into ours.
fn failed<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> Error {
    move |error| Error::Store { doing, why: error.to_string() }
}

/// Works on a connection of the pool through `rusqlite`, as the writer does on its own.
async fn with_rusqlite<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
) -> Result<T, Error> {
    let failing = failed("worked on entries");
    let mut locked = connection.lock_handle().await.map_err(failed("worked on entries"))?;
    // SAFETY: the handle is that of an open connection, which nobody else uses while it is locked, and the
    // borrowed `Connection` does not close it. Both crates link the same SQLite.
    let borrowed = unsafe { rusqlite::Connection::from_handle(locked.as_raw_handle().as_ptr()) };
    borrowed.and_then(|borrowed| work(&borrowed)).map_err(failing)
}

/// The value of a column, of whatever type.
fn value(row: &SqliteRow, index: usize) -> Value {
    let Ok(raw) = row.try_get_raw(index) else { return Value::Alien };
    if raw.is_null() {
        return Value::Null;
    }
    let kind = raw.type_info().name().to_owned();
    let value = match kind.as_str() {
        "INTEGER" => <i64 as Decode<Sqlite>>::decode(raw).map(Value::Int),
        "TEXT" => <String as Decode<Sqlite>>::decode(raw).map(Value::Text),
        _ => Ok(Value::Alien),
    };
    value.unwrap_or(Value::Alien)
}

/// A text that may have been changed by hand.
fn text(row: &SqliteRow, index: usize) -> String {
    match value(row, index) {
        Value::Text(text) => text,
        other => other.to_string(),
    }
}
