//! A ledger changed by hand, past all its triggers, and what a replay says of it.

use pax_ledger::replay::{Difference, Report};
use sqlx::Row;

use super::{Folder, replayed};

/// The tables that triggers guard.
const GUARDED: [&str; 7] = [
    "credit_ledger",
    "quarantine",
    "quarantine_seen",
    "rate_cards",
    "epochs",
    "operator_log",
    "operator_log_head",
];

/// Folds the log into the file that the tests copy. Connections that close at the same moment may each leave
/// that to the other, so it is asked for until nothing is in the way.
pub async fn fold(ledger: &Folder) {
    if ledger.is_postgres() {
        return;
    }
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

/// A file's triggers: name and SQL.
pub async fn triggers(folder: &Folder) -> Vec<(String, String)> {
    let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name";
    sqlx::query_as(sql).fetch_all(&mut folder.shell().await).await.unwrap()
}

pub async fn run(folder: &Folder, sql: &str) {
    folder.sql(sql).await;
}

pub fn copy_of(ledger: &Folder) -> Folder {
    Folder::copy_of(ledger)
}

/// Runs a statement that changes one row, while the triggers are away.
pub async fn past_the_triggers(folder: &Folder, sql: &str) {
    let (away, back) = if folder.is_postgres() {
        let each = |what: &str| GUARDED.map(|table| format!("ALTER TABLE {table} {what}")).to_vec();
        let back = "DO $$ DECLARE t RECORD; BEGIN FOR t IN SELECT tgname, tgrelid::regclass AS relation FROM pg_trigger \
            WHERE NOT tgisinternal LOOP EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.relation, t.tgname); \
            END LOOP; END $$";
        (each("DISABLE TRIGGER USER"), vec![back.to_owned()])
    } else {
        let triggers = triggers(folder).await;
        let away = triggers.iter().map(|(name, _)| format!("DROP TRIGGER {name}")).collect();
        (away, triggers.into_iter().map(|(_, made)| made).collect())
    };
    if folder.is_postgres() {
        let away = away.join("; ");
        let changed = folder.sql(&format!("{away}; {sql} RETURNING 'changed'; {}", back.join("; "))).await;
        return assert_eq!(changed.len(), 1, "{sql}");
    }
    for statement in away {
        folder.sql(&statement).await;
    }
    let changed = folder.sql(&format!("{sql} RETURNING 'changed'")).await;
    assert_eq!(changed.len(), 1, "{sql}");
    for statement in back {
        folder.sql(&statement).await;
    }
}

/// Replays a copy of the ledger after the statement changed one row; the triggers were away meanwhile, and are back.
pub async fn tampered(ledger: &Folder, sql: &str) -> (Report, Vec<Difference>) {
    let copy = copy_of(ledger);
    past_the_triggers(&copy, sql).await;
    replayed(&copy.store().await).await
}

/// Each column of a table, with an SQL expression that changes one digit of it.
pub async fn changes(ledger: &Folder, table: &str) -> Vec<(String, String)> {
    let columns = if ledger.is_postgres() {
        let sql = format!(
            "SELECT column_name, CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'text' THEN 'TEXT' ELSE 'BLOB' END \
             FROM information_schema.columns WHERE table_name = '{table}' AND column_name <> 'rowid' \
             ORDER BY ordinal_position"
        );
        ledger.sql(&sql).await
    } else {
        ledger.sql(&format!("SELECT name, type FROM pragma_table_info('{table}')")).await
    };
    let change = |column: Vec<String>| {
        let name = column[0].clone();
        let (last, text, bytes) = if ledger.is_postgres() {
            (format!("right({name}, 1)"), format!("convert_from({name}, 'UTF8')"), "convert_to")
        } else {
            (format!("substr({name}, -1)"), format!("CAST({name} AS TEXT)"), "CAST")
        };
        let changed = match column[1].as_str() {
            // Only 1 and 2 can be in this column, and 1 only without a posting.
            "INTEGER" if name == "hash_v" => "3 - hash_v, posting = NULL".to_owned(),
            "INTEGER" => format!("coalesce({name}, 0) + 10"),
            "TEXT" => format!(
                "CASE WHEN {name} IS NULL THEN '7' WHEN {last} = '1' \
                 THEN substr({name}, 1, length({name}) - 1) || '2' \
                 ELSE substr({name}, 1, length({name}) - 1) || '1' END"
            ),
            "BLOB" => {
                let kind = if bytes == "CAST" { " AS BLOB" } else { ", 'UTF8'" };
                format!(
                    "{bytes}(replace(replace({text}, 'intent-1', 'intent-2'), '\"by\":\"ops\"', '\"by\":\"opt\"'){kind})"
                )
            }
            other => panic!("a column of type {other}"),
        };
        (name, changed)
    };
    columns.into_iter().map(change).collect()
}

/// What a replay says of a copy of the ledger after these statements.
pub async fn after(ledger: &Folder, statements: &[String]) -> Vec<String> {
    let copy = copy_of(ledger);
    for sql in statements {
        run(&copy, sql).await;
    }
    replayed(&copy.store().await).await.1.iter().map(ToString::to_string).collect()
}
