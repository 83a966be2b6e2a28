//! The store in PostgreSQL: several ledgers may share one database.
//!
//! A transaction locks the accounts that it touches, in the order of their names, reads all that it needs of them in one
//! question ([`read`]), decides in memory ([`image`]), and writes what has changed in one statement ([`save`]). All that
//! belongs to an account is changed only under the lock of its row.

mod books;
mod columns;
mod guards;
mod hosts;
mod image;
mod read;
mod rights;
mod save;
mod session;
mod wanted;

use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::Mutex;

use super::Open;
use super::location::PostgresUrl;
use super::schema::{self, Schema};
use crate::error::Error;

pub(super) use guards::{broken_guards, damage};
pub(super) use hosts::{Hosts, SILENCE, within};
pub(super) use rights::grant;
pub(super) use session::{PATIENCE, Session, at_desk, is_for_another};
pub(super) use wanted::Wanted;

/// Opens a database.
///
/// # Errors
/// What is wrong with it, and what to do.
pub(super) async fn open(url: &PostgresUrl, open: Open) -> Result<Hosts, Error> {
    let unusable = |why: String| Error::Operator(format!("cannot use {url} as a ledger database: {why}"));
    let hosts = Hosts::new(url).map_err(&unusable)?;
    let mut connection = hosts.connect().await.map_err(|error| unusable(error.to_string()))?;
    prepare(&mut connection).await.map_err(&unusable)?;
    // Who may not change the schema leaves that to who may.
    let open = match rights::may_create(&mut connection).await {
        Ok(true) => open,
        Ok(false) if open == Open::Read => Open::Read,
        Ok(false) => Open::Existing,
        Err(error) => return Err(unusable(error.to_string())),
    };
    let schema = Schema::Postgres(Mutex::new(connection));
    schema::open(&schema, &schema::POSTGRES, open).await.map_err(&unusable)?;
    if let Schema::Postgres(connection) = schema {
        let _ = connection.into_inner().close().await;
    }
    Ok(hosts)
}

/// Checks what a ledger needs of a database, and lets this session wait for others that change the schema.
async fn prepare(connection: &mut PgConnection) -> Result<(), String> {
    let encoding: String = sqlx::query_scalar("SHOW server_encoding")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| error.to_string())?;
    if encoding != "UTF8" {
        return Err(format!(
            "its encoding is {encoding}; make it with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        ));
    }
    let patient =
        "SET lock_timeout = 0; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
    connection.execute(patient).await.map(|_| ()).map_err(|error| error.to_string())
}
