//! The schema of a database: brought up to date, or compared with this program's.

use std::sync::LazyLock;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlitePool};
use tokio::sync::Mutex;

use super::Open;

/// A migration: its number, what it is about, and its SQL.
type Written = (i64, &'static str, &'static str);

// sqlx has a macro for this, whose crate compiles both databases' clients once more, for the compiler itself: more than a
// minute of each clean build.
const OF_SQLITE: [Written; 9] = [
    (1, "ledger", include_str!("../../migrations/sqlite/0001_ledger.sql")),
    (2, "daily cap", include_str!("../../migrations/sqlite/0002_daily_cap.sql")),
    (3, "rate cards", include_str!("../../migrations/sqlite/0003_rate_cards.sql")),
    (4, "seen epochs carry", include_str!("../../migrations/sqlite/0004_seen_epochs_carry.sql")),
    (5, "debit 2", include_str!("../../migrations/sqlite/0005_debit_2.sql")),
    (6, "operator log", include_str!("../../migrations/sqlite/0006_operator_log.sql")),
    (7, "credit", include_str!("../../migrations/sqlite/0007_credit.sql")),
    (8, "holds", include_str!("../../migrations/sqlite/0008_holds.sql")),
    (9, "closed", include_str!("../../migrations/sqlite/0009_closed.sql")),
];
const OF_POSTGRES: [Written; 1] = [(1, "ledger", include_str!("../../migrations/postgres/0001_ledger.sql"))];

/// The migrations of each engine.
pub(super) static SQLITE: LazyLock<Migrator> = LazyLock::new(|| migrator(&OF_SQLITE));
pub(super) static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| migrator(&OF_POSTGRES));

fn migrator(written: &[Written]) -> Migrator {
    let migration = |(version, about, sql): &Written| {
        Migration::new(*version, (*about).into(), MigrationType::Simple, (*sql).into(), false)
    };
    Migrator { migrations: written.iter().map(migration).collect(), ..Migrator::DEFAULT }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_migration_is_built_in_under_its_number() {
        for (engine, written) in [("sqlite", OF_SQLITE.as_slice()), ("postgres", OF_POSTGRES.as_slice())] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
            let named = |(number, about, sql): &Written| {
                let name = format!("{number:04}_{}.sql", about.replace(' ', "_"));
                assert_eq!(std::fs::read_to_string(folder.join(&name)).unwrap(), *sql, "{name}");
            };
            written.iter().for_each(named);
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), written.len(), "{engine}");
        }
    }
}
