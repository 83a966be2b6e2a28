//! A ledger changed by hand, past all its triggers, and what a replay says of it.

use pax_ledger::replay::{Difference, Report};
use sqlx::{Connection, Row};

use super::{Folder, replayed};

/// Folds the log into the file that the tests copy. Connections that close at the same moment may each leave
/// that to the other, so it is asked for until nothing is in the way.
pub async fn fold(ledger: &Folder) {
    for _ in 0..400 {
        let mut shell = ledger.shell().await;
        let folded = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut shell).await.unwrap();
        if folded.get::<i64, _>(0) == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the log of {} cannot be folded", ledger.database().display());
}

/// A database's triggers: name and SQL.
pub async fn triggers(folder: &Folder) -> Vec<(String, String)> {
    let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name";
    sqlx::query_as(sql).fetch_all(&mut folder.shell().await).await.unwrap()
}

pub async fn run(folder: &Folder, sql: &str) {
    let done = sqlx::query(sql).execute(&mut folder.shell().await).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub fn copy_of(ledger: &Folder) -> Folder {
    let copy = Folder::new();
    std::fs::copy(ledger.database(), copy.database()).unwrap();
    copy
}

/// Replays a copy of the ledger after the statement changed one row; the triggers were away meanwhile, and are back.
pub async fn tampered(ledger: &Folder, sql: &str) -> (Report, Vec<Difference>) {
    let copy = copy_of(ledger);
    let triggers = triggers(&copy).await;
    let mut shell = copy.shell().await;
    let mut tx = shell.begin().await.unwrap();
    for (name, _) in &triggers {
        sqlx::query(&format!("DROP TRIGGER {name}")).execute(&mut *tx).await.unwrap();
    }
    let done = sqlx::query(sql).execute(&mut *tx).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(done.rows_affected(), 1, "{sql}");
    for (_, made) in &triggers {
        sqlx::query(made).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    replayed(&copy.store().await).await
}

/// Each column of a table, with an SQL expression that changes one digit of it.
pub async fn changes(ledger: &Folder, table: &str) -> Vec<(String, String)> {
    let mut shell = ledger.shell().await;
    let columns = sqlx::query(&format!("PRAGMA table_info({table})")).fetch_all(&mut shell).await.unwrap();
    let change = |row: &sqlx::sqlite::SqliteRow| {
        let (name, kind): (String, String) = (row.get("name"), row.get("type"));
        let changed = match kind.as_str() {
            // Only 1 and 2 can be in this column, and 1 only without a posting.
            "INTEGER" if name == "hash_v" => "3 - hash_v, posting = NULL".to_owned(),
            "INTEGER" => format!("coalesce({name}, 0) + 10"),
            "TEXT" => format!(
                "CASE WHEN {name} IS NULL THEN '7' WHEN substr({name}, -1) = '1' \
                 THEN substr({name}, 1, length({name}) - 1) || '2' \
                 ELSE substr({name}, 1, length({name}) - 1) || '1' END"
            ),
            "BLOB" => format!(
                "CAST(replace(replace(CAST({name} AS TEXT), 'intent-1', 'intent-2'), '\"by\":\"ops\"', '\"by\":\"opt\"') \
                 AS BLOB)"
            ),
            other => panic!("a column of type {other}"),
        };
        (name, changed)
    };
    columns.iter().map(change).collect()
}

/// What a replay says of a copy of the ledger after these statements.
pub async fn after(ledger: &Folder, statements: &[String]) -> Vec<String> {
    let copy = copy_of(ledger);
    for sql in statements {
        run(&copy, sql).await;
    }
    replayed(&copy.store().await).await.1.iter().map(ToString::to_string).collect()
}
