//! A ledger's database, opened.

use super::location::{Location, Open};
use super::sql::Pool;
use super::{Writer, postgres, sqlite};
use crate::error::Error;

/// An open database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) pool: Pool,
}

impl Store {
    /// Opens a database.
    ///
    /// # Errors
    /// If it is missing (except a file with [`Open::Create`]), is no ledger, or has another version's schema (except
    /// an older one with [`Open::Create`] and [`Open::Upgrade`]). Each error tells what to do.
    pub async fn open(location: &Location, open: Open) -> Result<Self, Error> {
        let pool = match location {
            Location::Sqlite(path) => Pool::Sqlite(sqlite::open(path, open).await?),
            Location::Postgres(url) => Pool::Postgres(postgres::open(url, open).await?),
        };
        Ok(Self { pool })
    }

    /// Gives a role of PostgreSQL the rights of the service, and no others.
    ///
    /// # Errors
    /// If it is no PostgreSQL, or the database refuses.
    pub async fn grant_rights_to(&self, role: &str) -> Result<(), Error> {
        match &self.pool {
            Pool::Postgres(hosts) => {
                postgres::grant(hosts, role).await.map_err(failed("gave a role its rights"))
            }
            Pool::Sqlite(_) => Err(Error::Operator(
                "only a database of PostgreSQL has roles; leave out --grant-to".to_owned(),
            )),
        }
    }

    /// For tests: the time is what callers say, though the database has a clock of its own.
    #[must_use]
    pub fn with_given_time(mut self) -> Self {
        if let Pool::Postgres(hosts) = &mut self.pool {
            hosts.is_time_given = true;
        }
        self
    }

    /// A writer with a connection of its own. Use only one at a time on a file, since writers wait for each other.
    #[must_use]
    pub fn writer(&self) -> Writer {
        match &self.pool {
            Pool::Sqlite(pool) => Writer::sqlite(sqlite::apart(pool), sqlite::connected(pool)),
            Pool::Postgres(hosts) => Writer::postgres(hosts.apart(), postgres::Session::new(hosts)),
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => sqlite::close(pool).await,
            Pool::Postgres(hosts) => hosts.close().await,
        }
    }
}

/// Turns a database's error into ours.
pub(super) fn failed<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> Error {
    move |error| Error::Store { doing, why: error.to_string() }
}
