//! Checks that the triggers that keep tables append-only are those of the migrations, to the letter.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteExecutor};
use sqlx::{ConnectOptions, Connection};

use super::failed;
use crate::error::Error;
use crate::store::schema::SQLITE;

/// A trigger: its table, and the SQL text that SQLite keeps of it, on one line.
struct Trigger {
    name: String,
    tbl_name: String,
    sql: String,
}

/// What SQLite itself finds wrong with the file, its indices included.
pub(in crate::store) async fn damage(connection: &mut SqliteConnection) -> Result<Vec<String>, Error> {
    let found = sqlx::query_scalar("PRAGMA integrity_check(20)").fetch_all(connection).await;
    let mut found: Vec<String> = found.map_err(failed("checked the file"))?;
    found.retain(|line| line != "ok");
    Ok(found)
}

/// What is wrong with the triggers of the append-only tables, and what to do about it: those that are
/// missing, those whose text differs from the migrations', and those that somebody added.
pub(in crate::store) async fn broken_guards(connection: &mut SqliteConnection) -> Result<Vec<String>, Error> {
    let found = triggers(&mut *connection).await.map_err(failed("looked for triggers"))?;
    let made = migrated().await.map_err(failed("made its own triggers to compare"))?;
    let guarded: BTreeSet<&str> = made.values().map(|guard| guard.tbl_name.as_str()).collect();
    let mut broken = Vec::new();
    for Trigger { name, tbl_name, sql } in made.values() {
        let what = match found.get(name) {
            Some(same) if same.sql == *sql => continue,
            Some(other) => format!("is altered (it says: {})", other.sql),
            None => "is missing".to_owned(),
        };
        broken.push(format!(
                "trigger {name}, which keeps table {tbl_name} append-only, {what}: rows of {tbl_name} may have been \
                 changed or deleted since. Find out who did that, compare the table with a backup, then run \
                 this in `sqlite3` on the file: DROP TRIGGER IF EXISTS {name}; {};",
                sql
            ));
    }
    let added = found.values().filter(|trigger| !made.contains_key(&trigger.name));
    for Trigger { name, tbl_name, sql } in added.filter(|it| guarded.contains(it.tbl_name.as_str())) {
        broken.push(format!(
                "trigger {name} on table {tbl_name} is none of the ledger's (it says: {}): it can swallow or change \
                 what is recorded. Find out who made it, then run this in `sqlite3` on the file: DROP TRIGGER {name};",
                sql
            ));
    }
    Ok(broken)
}

/// The triggers as the migrations make them in an empty database, so that no second list of them has to be
/// kept.
async fn migrated() -> Result<BTreeMap<String, Trigger>, sqlx::Error> {
    let mut memory = SqliteConnectOptions::new().in_memory(true).connect().await?;
    SQLITE.run_direct(&mut memory).await?;
    let made = triggers(&mut memory).await;
    memory.close().await?;
    made
}

async fn triggers(from: impl SqliteExecutor<'_>) -> Result<BTreeMap<String, Trigger>, sqlx::Error> {
    let sql = "SELECT name, tbl_name, coalesce(sql, '') AS sql FROM sqlite_master WHERE type = 'trigger'";
    let triggers: Vec<(String, String, String)> = sqlx::query_as(sql).fetch_all(from).await?;
    let mut named = BTreeMap::new();
    for (name, tbl_name, sql) in triggers {
        let sql = one_line(&sql);
        named.insert(name.clone(), Trigger { name, tbl_name, sql });
    }
    Ok(named)
}

/// A statement on one line, as an operator can type it; so line ends and spaces make no difference. The
/// statements of the migrations have no comments in them.
fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}
