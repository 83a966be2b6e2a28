//! What replay promises: no column of any entry, no head and no sum can be changed unseen.

use crate::common;

use common::debits::{byo, estimated, exchange, on_day, reported};
use common::tampering::{after, changes, fold, tampered, triggers};
use common::{Folder, bytes, record, replayed};
use pax_gateway::base::account::Tier;
use pax_ledger::replay::{Difference, Subject};

/// A ledger of six entries of two accounts over two days, closed.
async fn ledger() -> Folder {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let debits = [
        reported(1, "free", Tier::Free),
        estimated(2, "free", Tier::Free),
        on_day(reported(3, "free", Tier::Free), 1),
        reported(4, "credit", Tier::Credit),
        byo(5, "credit", Tier::Credit),
        estimated(6, "credit", Tier::Credit),
    ];
    record(&store, &debits.map(|debit| bytes(&debit))).await;
    assert_eq!(replayed(&store).await.1, []);
    store.close().await;
    fold(&folder).await;
    folder
}

fn names_entry(difference: &Difference, id: &str) -> bool {
    matches!(difference.subject, Subject::Entry { .. }) && difference.to_string().contains(id)
}

#[tokio::test]
async fn one_digit_of_any_column_of_any_entry_is_found_and_named() {
    let ledger = ledger().await;
    let columns = changes(&ledger, "credit_ledger").await;
    assert_eq!(columns.len(), 60);
    // The first entry, an estimated one, and the last of an account.
    for n in [1, 2, 6] {
        let id = exchange(n).to_string();
        for (column, change) in &columns {
            let sql = format!("UPDATE credit_ledger SET {column} = {change} WHERE exchange_id = '{id}'");
            let (_, found) = tampered(&ledger, &sql).await;
            assert!(
                found.iter().any(|difference| names_entry(difference, &id)),
                "{column} of {n}: {found:?}"
            );
            if !["account", "account_seq", "canonical"].contains(&column.as_str()) {
                let others = found.iter().filter(|difference| !names_entry(difference, &id)).count();
                assert_eq!(others, 0, "{column} of {n} is blamed on others: {found:?}");
            }
        }
    }
}

#[tokio::test]
async fn one_byte_anywhere_in_the_canonical_bytes_is_found_and_named() {
    let ledger = ledger().await;
    let id = exchange(2).to_string();
    let length = bytes(&estimated(2, "free", Tier::Free)).len();
    for at in (1..=length).step_by(37) {
        let sql = format!(
            "UPDATE credit_ledger SET canonical = CAST(substr(canonical, 1, {at} - 1) AS BLOB) || \
             CASE substr(canonical, {at}, 1) WHEN x'31' THEN x'32' ELSE x'31' END || substr(canonical, {at} + 1) \
             WHERE exchange_id = '{id}'"
        );
        // `||` makes a text; a STRICT table wants its blob back.
        let sql = sql.replacen("canonical = CAST", "canonical = CAST(CAST", 1).replacen(
            " WHERE exch",
            " AS BLOB) WHERE exch",
            1,
        );
        let sql = match common::on_postgres() {
            true => format!(
                "UPDATE credit_ledger SET canonical = set_byte(canonical, {at} - 1, \
                 CASE get_byte(canonical, {at} - 1) WHEN 49 THEN 50 ELSE 49 END) WHERE exchange_id = '{id}'"
            ),
            false => sql,
        };
        let (_, found) = tampered(&ledger, &sql).await;
        assert!(found.iter().any(|difference| names_entry(difference, &id)), "byte {at}: {found:?}");
    }
}

#[tokio::test]
async fn a_deleted_entry_is_missed_wherever_it_stood() {
    let ledger = ledger().await;
    for (n, named) in [(1, "account free"), (2, "account free"), (3, "account free"), (6, "account credit")] {
        let id = exchange(n);
        let (_, found) =
            tampered(&ledger, &format!("DELETE FROM credit_ledger WHERE exchange_id = '{id}'")).await;
        assert!(found.iter().any(|difference| difference.to_string().contains(named)), "{n}: {found:?}");
    }
}

#[tokio::test]
async fn one_digit_of_a_head_a_balance_or_a_day_total_is_found_and_named() {
    let ledger = ledger().await;
    for (account, column) in ["free", "credit"].into_iter().flat_map(|account| {
        ["account_seq", "head_hash", "balance_picopax", "balance_carry"].map(|column| (account, column))
    }) {
        let columns = changes(&ledger, "accounts").await;
        let change = &columns.iter().find(|(name, _)| name == column).unwrap().1;
        let (_, found) =
            tampered(&ledger, &format!("UPDATE accounts SET {column} = {change} WHERE name = '{account}'"))
                .await;
        let [difference] = found.as_slice() else { panic!("{column}: {found:?}") };
        assert_eq!(difference.subject, Subject::Account(account.to_owned()), "{column}");
    }
    for (column, change) in changes(&ledger, "day_totals").await {
        let place = "account = 'free' AND utc_day = '2026-11-24'";
        let (_, found) =
            tampered(&ledger, &format!("UPDATE day_totals SET {column} = {change} WHERE {place}")).await;
        let free = Subject::Account("free".to_owned());
        assert!(found.iter().any(|difference| difference.subject == free), "{column}: {found:?}");
    }
}

#[tokio::test]
async fn rows_that_belong_to_nobody_are_found_and_rows_that_are_gone_are_missed() {
    let ledger = ledger().await;
    for (sql, expected) in [
        ("DELETE FROM accounts WHERE name = 'free'", "account free: has 3 entries"),
        ("UPDATE accounts SET name = 'fred' WHERE name = 'free'", "account free: has 3 entries"),
        ("DELETE FROM day_totals WHERE account = 'credit'", "account credit: has no total of 2026-11-23"),
        ("INSERT INTO day_totals VALUES ('free', '2020-01-01', 1, 0, 0)", "account free: has a total"),
        ("INSERT INTO day_totals VALUES ('zoe', '2026-11-23', 5, 0, 0)", "account zoe: has"),
        ("INSERT INTO day_totals VALUES ('', '2026-11-23', 5, 0, 0)", "account : has"),
    ] {
        let (_, found) = tampered(&ledger, sql).await;
        assert!(
            found.iter().any(|difference| difference.to_string().starts_with(expected)),
            "{sql}: {found:?}"
        );
    }
}

#[tokio::test]
async fn each_trigger_that_is_missing_or_altered_is_named_with_the_statement_that_makes_it_again() {
    if common::on_postgres() {
        return;
    }
    let ledger = ledger().await;
    let triggers = triggers(&ledger).await;
    let tables = [
        "credit_ledger",
        "epochs",
        "operator_log",
        "operator_log_head",
        "quarantine",
        "quarantine_seen",
        "rate_cards",
    ];
    // Beside three for each, one that keeps programs from before migration 0007 from writing.
    assert_eq!(triggers.len(), 3 * tables.len() + 1, "{tables:?}: {triggers:?}");
    for (name, made) in &triggers {
        let table =
            tables.iter().filter(|table| name.starts_with(*table)).max_by_key(|name| name.len()).unwrap();
        let drop = format!("DROP TRIGGER {name}");
        let event = if name.ends_with("update") { "UPDATE" } else { "INSERT" };
        for (named, again) in [
            ("is missing", None),
            (
                "is altered (it says:",
                Some(format!("CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN SELECT 1; END")),
            ),
            ("is altered (it says:", Some(made.replace("BEGIN SELECT ", "BEGIN SELECT 1 WHERE 1 < 0 AND "))),
        ] {
            let statements: Vec<String> = [drop.clone()].into_iter().chain(again).collect();
            let found = after(&ledger, &statements).await;
            let [difference] = found.as_slice() else { panic!("{statements:?}: {found:?}") };
            let begin = format!("database: trigger {name}, which keeps table {table} append-only, {named}");
            assert!(difference.starts_with(&begin), "{difference}");
            // What it says to do is enough.
            let mended = difference.split_once("run this in `sqlite3` on the file: ").unwrap().1;
            let mut all = statements.clone();
            all.push(mended.to_owned());
            assert_eq!(after(&ledger, &all).await, Vec::<String>::new(), "{all:?}");
        }
    }
}

#[tokio::test]
async fn a_trigger_that_somebody_added_to_an_append_only_table_is_named() {
    if common::on_postgres() {
        return;
    }
    let ledger = ledger().await;
    let swallows = "CREATE TRIGGER hush BEFORE INSERT ON quarantine BEGIN SELECT RAISE(IGNORE); END";
    let found = after(&ledger, &[swallows.to_owned()]).await;
    let [difference] = found.as_slice() else { panic!("{found:?}") };
    assert!(difference.contains("trigger hush on table quarantine is none of the ledger's"), "{difference}");
    assert!(difference.ends_with("DROP TRIGGER hush;"), "{difference}");
    // Other tables are the operator's to watch.
    let watches = "CREATE TRIGGER watch AFTER UPDATE ON tokens BEGIN SELECT 1; END";
    assert_eq!(after(&ledger, &[watches.to_owned()]).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_page_full_of_entries_and_more_is_replayed() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let lines: Vec<_> = (0..1_101).map(|n| bytes(&reported(n, "free", Tier::Free))).collect();
    record(&store, &lines).await;
    let (report, found) = replayed(&store).await;
    assert_eq!((report.entries, found), (1_101, vec![]));
}
