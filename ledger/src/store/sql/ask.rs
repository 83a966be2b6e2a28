//! A question, and its answer.

use futures_util::TryStreamExt;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Postgres, Sqlite};

use super::pool::{Pool, Tx};
use super::row::{FromCell, Row};
use crate::error::Error;
use crate::store::postgres::{SILENCE, within};

/// A value that is bound.
#[derive(Clone, Debug)]
pub(in crate::store) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Arg {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Int(Some(i64::from(number)))
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        Self::Int(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<Option<&str>> for Arg {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl From<Option<Vec<u8>>> for Arg {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        Self::Bytes(bytes)
    }
}

/// Where a question is asked.
#[derive(Debug)]
pub(in crate::store) enum On<'c> {
    /// On any connection, in a transaction of its own.
    Pool(&'c Pool),
    /// In this transaction.
    Tx(&'c mut Tx),
}

impl<'c> From<&'c Pool> for On<'c> {
    fn from(pool: &'c Pool) -> Self {
        Self::Pool(pool)
    }
}

impl<'c> From<&'c mut Tx> for On<'c> {
    fn from(tx: &'c mut Tx) -> Self {
        Self::Tx(tx)
    }
}

/// A statement with the values bound to its places `?1`, `?2` and so on.
#[derive(Clone, Debug)]
pub(in crate::store) struct Ask {
    sql: String,
    args: Vec<Arg>,
}

impl Ask {
    pub(in crate::store) fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), args: Vec::new() }
    }

    /// Binds the next place.
    pub(in crate::store) fn bind(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds to the statement.
    pub(in crate::store) fn push(&mut self, sql: impl AsRef<str>) -> &mut Self {
        self.sql.push_str(sql.as_ref());
        self
    }

    /// Adds a place to the statement, with its value.
    pub(in crate::store) fn push_bind(&mut self, arg: impl Into<Arg>) -> &mut Self {
        self.args.push(arg.into());
        self.sql.push_str(&format!("?{}", self.args.len()));
        self
    }

    /// All rows.
    pub(in crate::store) async fn all<'c>(self, on: impl Into<On<'c>>) -> Result<Vec<Row>, sqlx::Error> {
        let mut names = None;
        match on.into() {
            On::Pool(Pool::Sqlite(pool)) => {
                let rows = self.to_sqlite().fetch_all(pool).await?;
                Ok(rows.iter().map(|row| Row::of_sqlite(row, &mut names)).collect())
            }
            On::Tx(Tx::Sqlite(tx)) => {
                let rows = self.to_sqlite().fetch_all(&mut **tx).await?;
                Ok(rows.iter().map(|row| Row::of_sqlite(row, &mut names)).collect())
            }
            On::Pool(Pool::Postgres(pool)) => {
                let sql = self.for_postgres();
                let mut connection = pool.connection().await?;
                let rows = within(SILENCE, self.to_postgres(&sql).fetch_all(&mut *connection)).await?;
                Ok(rows.iter().map(|row| Row::of_postgres(row, &mut names)).collect())
            }
            On::Tx(Tx::Postgres(tx)) => {
                let sql = self.for_postgres();
                let rows = self.to_postgres(&sql).fetch_all(&mut **tx).await?;
                Ok(rows.iter().map(|row| Row::of_postgres(row, &mut names)).collect())
            }
        }
    }

    /// The first row, if there is one.
    pub(in crate::store) async fn optional<'c>(
        self,
        on: impl Into<On<'c>>,
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.all(on).await?.into_iter().next())
    }

    /// The first row.
    pub(in crate::store) async fn one<'c>(self, on: impl Into<On<'c>>) -> Result<Row, sqlx::Error> {
        self.optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// The first value of the first row.
    pub(in crate::store) async fn scalar<'c, T: FromCell>(
        self,
        on: impl Into<On<'c>>,
    ) -> Result<T, sqlx::Error> {
        self.one(on).await?.try_get(0_usize)
    }

    /// The first value of the first row, if there is one.
    pub(in crate::store) async fn scalar_optional<'c, T: FromCell>(
        self,
        on: impl Into<On<'c>>,
    ) -> Result<Option<T>, sqlx::Error> {
        self.optional(on).await?.map(|row| row.try_get(0_usize)).transpose()
    }

    /// The first value of each row.
    pub(in crate::store) async fn scalars<'c, T: FromCell>(
        self,
        on: impl Into<On<'c>>,
    ) -> Result<Vec<T>, sqlx::Error> {
        self.all(on).await?.iter().map(|row| row.try_get(0_usize)).collect()
    }

    /// Runs the statement. Gives how many rows it has changed.
    pub(in crate::store) async fn run<'c>(self, on: impl Into<On<'c>>) -> Result<u64, sqlx::Error> {
        match on.into() {
            On::Pool(Pool::Sqlite(pool)) => Ok(self.to_sqlite().execute(pool).await?.rows_affected()),
            On::Tx(Tx::Sqlite(tx)) => Ok(self.to_sqlite().execute(&mut **tx).await?.rows_affected()),
            On::Pool(Pool::Postgres(pool)) => {
                let sql = self.for_postgres();
                let mut connection = pool.connection().await?;
                let ran = within(SILENCE, self.to_postgres(&sql).execute(&mut *connection)).await?;
                Ok(ran.rows_affected())
            }
            On::Tx(Tx::Postgres(tx)) => {
                let sql = self.for_postgres();
                Ok(self.to_postgres(&sql).execute(&mut **tx).await?.rows_affected())
            }
        }
    }

    /// Tells each row, one after another, without keeping any.
    pub(in crate::store) async fn each(
        self,
        tx: &mut Tx,
        failed: impl Fn(sqlx::Error) -> Error,
        mut tell: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut names = None;
        match tx {
            Tx::Sqlite(tx) => {
                let mut rows = self.to_sqlite().fetch(&mut **tx);
                while let Some(row) = rows.try_next().await.map_err(&failed)? {
                    tell(&Row::of_sqlite(&row, &mut names))?;
                }
            }
            Tx::Postgres(tx) => {
                let sql = self.for_postgres();
                let mut rows = self.to_postgres(&sql).fetch(&mut **tx);
                while let Some(row) = rows.try_next().await.map_err(&failed)? {
                    tell(&Row::of_postgres(&row, &mut names))?;
                }
            }
        }
        Ok(())
    }

    fn to_sqlite(&self) -> Query<'_, Sqlite, SqliteArguments<'_>> {
        self.args.iter().fold(sqlx::query(&self.sql), |query, arg| match arg {
            Arg::Int(number) => query.bind(number),
            Arg::Text(text) => query.bind(text.as_deref()),
            Arg::Bytes(bytes) => query.bind(bytes.as_deref()),
        })
    }

    /// PostgreSQL writes `$1` for the place `?1`. No statement has a question mark elsewhere.
    fn for_postgres(&self) -> String {
        self.sql.replace('?', "$")
    }

    fn to_postgres<'q>(&'q self, sql: &'q str) -> Query<'q, Postgres, PgArguments> {
        self.args.iter().fold(sqlx::query(sql), |query, arg| match arg {
            Arg::Int(number) => query.bind(number),
            Arg::Text(text) => query.bind(text.as_deref()),
            Arg::Bytes(bytes) => query.bind(bytes.as_deref()),
        })
    }
}
