//! What a replay finds in the log, and what the database itself refuses.

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::digest::Digest;
use pax_ledger::replay::Subject;

use super::log;
use crate::common::debits::reported;
use crate::common::tampering::{changes, copy_of, fold, run, tampered};
use crate::common::{Folder, act, bytes, record, replayed};

/// A ledger whose log has six rows: two accounts made, `free` capped and disabled, a token made and revoked. Closed.
async fn ledger() -> Folder {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    record(&store, &[bytes(&reported(1, "free", Tier::Free))]).await;
    store.set_daily_cap(&act(), "free", Some("2.5".parse().unwrap())).await.unwrap().unwrap();
    store.set_status(&act(), "free", Status::Disabled).await.unwrap().unwrap();
    let token = pax_ledger::store::NewToken {
        token_id: "tok_1".to_owned(),
        account: "credit",
        label: "laptop",
        sha256: Digest::of(&[b"mtx-laptop"]),
        is_given: false,
        expires_at: None,
    };
    store.add_token(&act(), &token).await.unwrap().unwrap();
    store.revoke_token(&act(), "tok_1").await.unwrap().unwrap();
    assert_eq!(replayed(&store).await.1, []);
    store.close().await;
    fold(&folder).await;
    folder
}

#[tokio::test]
async fn one_digit_of_any_column_of_any_row_is_found_and_named() {
    let ledger = ledger().await;
    let columns = changes(&ledger, "operator_log").await;
    assert_eq!(columns.len(), 16);
    for row in [1, 3, 6] {
        for (column, change) in &columns {
            let sql = format!("UPDATE operator_log SET {column} = {change} WHERE seq = {row}");
            let (_, found) = tampered(&ledger, &sql).await;
            let row = if column == "seq" { row + 10 } else { row };
            let is_named = found.iter().any(
                |difference| matches!(difference.subject, Subject::OperatorRow { seq, .. } if seq == row),
            );
            assert!(is_named, "{column} of {row}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_row_that_is_gone_is_missed_wherever_it_was() {
    let ledger = ledger().await;
    for (row, named) in [
        (1, "operator log, row 2 (account_create): number 1 should be here"),
        (3, "operator log, row 4 (account_disable): number 3 should be here"),
        (6, "database: the head of the operator log is number 6, but the last row found is number 5"),
    ] {
        let (_, found) = tampered(&ledger, &format!("DELETE FROM operator_log WHERE seq = {row}")).await;
        assert!(found.iter().any(|difference| difference.to_string().starts_with(named)), "{row}: {found:?}");
    }
}

#[tokio::test]
async fn a_head_that_was_changed_is_named() {
    let ledger = ledger().await;
    for (sql, named) in [
        ("DELETE FROM operator_log_head", "database: the head of the operator log is gone"),
        ("UPDATE operator_log_head SET seq = 5", "database: the head of the operator log is number 5"),
        ("UPDATE operator_log_head SET row_hash = 'x'", "database: the hash of the operator log's head is x"),
    ] {
        let (_, found) = tampered(&ledger, sql).await;
        let [difference] = found.as_slice() else { panic!("{sql}: {found:?}") };
        assert!(difference.to_string().starts_with(named), "{difference}");
    }
}

#[tokio::test]
async fn without_its_head_the_log_takes_no_action() {
    if crate::common::on_postgres() {
        return;
    }
    let ledger = copy_of(&ledger().await);
    for sql in ["DROP TRIGGER operator_log_head_no_delete", "DELETE FROM operator_log_head"] {
        run(&ledger, sql).await;
    }
    let store = ledger.store().await;
    let error = store.set_status(&act(), "free", Status::Active).await.unwrap_err().to_string();
    assert!(error.contains("the head of the operator log is gone"), "{error}");
    assert_eq!(store.account("free").await.unwrap().unwrap().status, Status::Disabled);
}

#[tokio::test]
async fn an_account_or_a_token_that_was_changed_by_hand_is_named() {
    let ledger = ledger().await;
    for (sql, named) in [
        (
            "UPDATE accounts SET status = 'active' WHERE name = 'free'",
            "account free: its status is \"active\", but row 4 of the operator log left \"disabled\"",
        ),
        (
            "UPDATE accounts SET daily_cap_picopax = NULL WHERE name = 'free'",
            "account free: its daily_cap_pax is null, but row 4 of the operator log left \"2.500000000000\"",
        ),
        (
            "UPDATE accounts SET tier = 'free' WHERE name = 'credit'",
            "account credit: its tier is \"free\", but row 2 of the operator log left \"credit\"",
        ),
        (
            "DELETE FROM accounts WHERE name = 'credit'",
            "account credit: is not there, but the operator log's last row on it is number 2",
        ),
        (
            "UPDATE tokens SET revoked_at = NULL",
            "token tok_1: its revoked_at is null, but row 6 of the operator log left",
        ),
        ("UPDATE tokens SET account = 'free'", "token tok_1: its account is \"free\""),
        ("UPDATE tokens SET expires_at = 7", "token tok_1: its expires_at is "),
        ("DELETE FROM tokens", "token tok_1: is not there"),
    ] {
        let (_, found) = tampered(&ledger, sql).await;
        let [difference] = found.as_slice() else { panic!("{sql}: {found:?}") };
        assert!(difference.to_string().starts_with(named), "{difference}");
    }
}

#[tokio::test]
async fn a_change_by_hand_that_the_next_action_found_is_named_for_ever() {
    let ledger = ledger().await;
    ledger.sql("UPDATE accounts SET status = 'active' WHERE name = 'free'").await;
    let store = ledger.store().await;
    store.set_status(&act(), "free", Status::Disabled).await.unwrap().unwrap();
    let (_, found) = replayed(&store).await;
    let [difference] = found.as_slice() else { panic!("{found:?}") };
    let named = "operator log, row 7 (account_disable): its before has status \"active\", but row 4 left \"disabled\"";
    assert_eq!(difference.to_string(), named);
}

#[tokio::test]
async fn accounts_and_tokens_from_before_the_log_have_no_rows_and_that_is_no_difference() {
    let ledger = copy_of(&ledger().await);
    for sql in [
        "INSERT INTO accounts SELECT 'old', tier, status, created_at, 0, 'GENESIS', 0, NULL, 0, 0, 0, NULL, NULL FROM accounts WHERE name = 'credit'"
            .replace("GENESIS", &pax_ledger::book::genesis("old").to_string()),
        "INSERT INTO tokens VALUES ('tok_0', 'old', 'old', 'x', NULL, NULL, 0)".to_owned(),
    ] {
        run(&ledger, &sql).await;
    }
    let store = ledger.store().await;
    assert_eq!(replayed(&store).await.1, []);
    store.set_status(&act(), "old", Status::Disabled).await.unwrap().unwrap();
    store.revoke_token(&act(), "tok_0").await.unwrap().unwrap();
    assert_eq!(replayed(&store).await.1, []);
}

#[tokio::test]
async fn the_database_itself_keeps_the_log_append_only_and_its_head_moving_forward() {
    if crate::common::on_postgres() {
        return;
    }
    let ledger = ledger().await;
    let mut shell = ledger.shell().await;
    for sql in [
        "UPDATE operator_log SET by = 'eve'",
        "DELETE FROM operator_log",
        "INSERT OR REPLACE INTO operator_log SELECT * FROM operator_log WHERE seq = 1",
        "INSERT OR REPLACE INTO operator_log SELECT 99, canon_v, at, by, key, action, subject, account, before, after, \
         reason, request_sha256, reply, canonical, prev_hash, row_hash FROM operator_log WHERE seq = 1",
        "UPDATE operator_log_head SET seq = seq - 1",
        "UPDATE operator_log_head SET row_hash = 'x'",
        "DELETE FROM operator_log_head",
        "INSERT OR REPLACE INTO operator_log_head VALUES (1, 7, 'x', 0)",
    ] {
        let error = sqlx::query(sql).execute(&mut shell).await.unwrap_err().to_string();
        assert!(
            error.contains("append-only") || error.contains("from one row to the next"),
            "{sql}: {error}"
        );
    }
}

#[tokio::test]
async fn a_page_full_of_rows_and_more_is_replayed_and_listed() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    for n in 0..600 {
        let status = if n % 2 == 0 { Status::Disabled } else { Status::Active };
        store.set_status(&act(), "free", status).await.unwrap().unwrap();
    }
    assert_eq!(replayed(&store).await.1, []);
    store.close().await;
    assert_eq!(log(&folder.database(), &[]).len(), 602);
}
