//! The schema of a database: brought up to date, or compared with this program's.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{PgConnection, SqlitePool};
use tokio::sync::Mutex;

use super::Open;

/// Where the schema is.
pub(super) enum Schema<'a> {
    Sqlite(&'a SqlitePool),
    Postgres(Mutex<PgConnection>),
}

/// Sees to it that a database has this program's schema.
///
/// # Errors
/// What is wrong with it, and what to do.
pub(super) fn open<'a>(
    schema: &'a Schema<'a>,
    migrations: &'a Migrator,
    open: Open,
) -> BoxFuture<'a, Result<(), String>> {
    async move {
        match open {
            Open::Create => migrate(schema, migrations).await,
            // Unlike the one before, it does not make a ledger out of another database.
            Open::Upgrade => {
                found(schema).await?;
                migrate(schema, migrations).await
            }
            Open::Existing | Open::Read => check(schema, migrations).await,
        }
    }
    .boxed()
}

async fn migrate(schema: &Schema<'_>, migrations: &Migrator) -> Result<(), String> {
    // Two processes may find the same empty file. The second one finds the first one's schema on its next
    // try.
    let mut tries = 5;
    loop {
        let ran = match schema {
            Schema::Sqlite(pool) => migrations.run(*pool).await,
            Schema::Postgres(connection) => {
                let mut connection = connection.lock().await;
                migrations.run_direct(&mut *connection).await
            }
        };
        match ran {
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

async fn check(schema: &Schema<'_>, migrations: &Migrator) -> Result<(), String> {
    let newest = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    match found(schema).await? {
        version if version == newest => Ok(()),
        version if version > newest => {
            Err(format!("its schema {version} is newer than this program's {newest}; use a newer pax-ledger"))
        }
        version => Err(format!(
            "its schema {version} is older than this program's {newest}; `pax-ledger serve` brings it up to date"
        )),
    }
}

/// The version of the database's schema.
pub(super) async fn found(schema: &Schema<'_>) -> Result<i64, String> {
    let sql = "SELECT max(version) FROM _sqlx_migrations WHERE success";
    let found = match schema {
        Schema::Sqlite(pool) => sqlx::query_scalar::<_, Option<i64>>(sql).fetch_one(*pool).await,
        Schema::Postgres(connection) => {
            sqlx::query_scalar::<_, Option<i64>>(sql).fetch_one(&mut *connection.lock().await).await
        }
    };
    let missing = |message: &str| message.contains("no such table") || message.contains("does not exist");
    found.map(|version| version.unwrap_or(0)).map_err(|error| match error.as_database_error() {
        Some(error) if missing(error.message()) => {
            "it is a database, but not a ledger; check its name".to_owned()
        }
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    })
}
