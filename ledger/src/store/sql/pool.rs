//! Connections and transactions of either database.

use pax_gateway::base::clock::Moment;
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::Ask;
use crate::store::from_ms;
use crate::store::postgres::Hosts;

/// Which database it is, where their SQL differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// The larger of two numbers.
    pub(in crate::store) const fn greatest(self) -> &'static str {
        match self {
            Self::Sqlite => "max",
            Self::Postgres => "greatest",
        }
    }

    /// Keeps SQLite from counting an index instead of the rows.
    pub(in crate::store) const fn not_indexed(self) -> &'static str {
        match self {
            Self::Sqlite => "NOT INDEXED",
            Self::Postgres => "",
        }
    }
}

/// A ledger's connections. Clones share them.
#[derive(Clone, Debug)]
pub(in crate::store) enum Pool {
    Sqlite(SqlitePool),
    Postgres(Hosts),
}

/// An open transaction. If it is dropped, nothing was done.
#[derive(Debug)]
pub(in crate::store) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, sqlx::Postgres>),
}

impl Pool {
    pub(in crate::store) const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Whether the time is what callers say: a file has no clock of its own, and tests give theirs.
    pub(in crate::store) const fn is_time_given(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(hosts) => hosts.is_time_given,
        }
    }

    /// Begins to read: everything is of one moment, whatever is written meanwhile.
    pub(in crate::store) async fn begin_to_read(&self) -> Result<Tx, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.begin().await.map(Tx::Sqlite),
            Self::Postgres(hosts) => hosts.begin_to_read().await.map(Tx::Postgres),
        }
    }

    /// Begins to write. In SQLite nobody else writes meanwhile; in PostgreSQL, rows have to be locked.
    pub(in crate::store) async fn begin_to_write(&self) -> Result<Tx, sqlx::Error> {
        match self {
            // Immediate, because a transaction that first reads and then writes could find its snapshot stale.
            Self::Sqlite(pool) => pool.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
            Self::Postgres(hosts) => hosts.begin().await.map(Tx::Postgres),
        }
    }

    /// The moment on the ledger's clock: a file's is this process's, and several processes share the clock of their
    /// database.
    pub(in crate::store) async fn clock(&self, now: Moment) -> Result<Moment, sqlx::Error> {
        match self {
            Self::Sqlite(_) => Ok(now),
            Self::Postgres(hosts) if hosts.is_time_given => Ok(now),
            Self::Postgres(_) => Ask::new(CLOCK).scalar(self).await.map(from_ms),
        }
    }
}

/// What only one transaction at a time does, though no row is there to be locked.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Turn {
    Epochs,
    Cards,
}

/// Where the ledger's advisory locks begin: others may use the same database. The bytes say "pax".
const PAX_LOCKS: i64 = 0x0070_6178_0000;

/// The database's clock, in milliseconds since 1970.
const CLOCK: &str = "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)";

impl Tx {
    pub(in crate::store) const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Waits until no other transaction is in this turn. In SQLite nobody else writes anyway.
    pub(in crate::store) async fn in_turn(&mut self, turn: Turn) -> Result<(), sqlx::Error> {
        if self.engine() == Engine::Postgres {
            let lock = Ask::new("SELECT pg_advisory_xact_lock(?1) IS NULL").bind(PAX_LOCKS + turn as i64);
            lock.scalar::<bool>(self).await?;
        }
        Ok(())
    }

    pub(in crate::store) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }
}
