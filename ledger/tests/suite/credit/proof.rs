//! That a replay names whatever is changed by hand in what grants, corrections and expiries have left.

use super::common::Folder;
use super::common::debits::{byo, exchange};
use super::common::tampering::{changes, fold, tampered};
use super::{accounts, at, correct, costing, grant, holds, record_at, rows};

/// A ledger with an entry of each kind, closed.
async fn one_of_each() -> Folder {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    grant(&store, "gift", "1", None, at(0)).await;
    grant(&store, "short", "1", Some(at(50)), at(1)).await;
    record_at(&store, &costing(1, "credit"), at(2)).await;
    record_at(&store, &costing(2, "credit"), at(60)).await;
    correct(&store, &exchange(1).to_string(), "0.5").await.unwrap();
    holds(&store).await;
    assert_eq!(rows(&store).await.len(), 6);
    store.close().await;
    fold(&folder).await;
    folder
}

#[tokio::test]
async fn one_digit_of_any_column_of_an_entry_that_the_ledger_made_is_found_and_named() {
    let ledger = one_of_each().await;
    for seq in [1, 4, 6] {
        for (column, change) in changes(&ledger, "credit_ledger").await {
            let change = if column == "canonical" {
                "CAST(replace(CAST(canonical AS TEXT), '0', '9') AS BLOB)".to_owned()
            } else {
                change
            };
            let sql = format!(
                "UPDATE credit_ledger SET {column} = {change} WHERE account = 'credit' AND account_seq = {seq}"
            );
            let (_, found) = tampered(&ledger, &sql).await;
            let named = format!("number {seq}");
            let is_named = found.iter().any(|difference| {
                let text = difference.to_string();
                text.contains(&named) || ["account", "account_seq"].contains(&column.as_str())
            });
            assert!(is_named && !found.is_empty(), "{column} of {seq}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_lot_a_token_s_sum_or_a_grant_that_is_changed_or_gone_is_named() {
    let ledger = one_of_each().await;
    for (column, change) in changes(&ledger, "lots").await {
        let change = if column == "rest_picopax" { "rest_picopax - 10".to_owned() } else { change };
        let sql = format!("UPDATE lots SET {column} = {change} WHERE entry_key = 'gift'");
        let (_, found) = tampered(&ledger, &sql).await;
        assert!(found.iter().any(|it| it.to_string().contains("lot of grant")), "{column}: {found:?}");
    }
    for (sql, expected) in [
        ("DELETE FROM lots WHERE entry_key = 'short'", "the lot of grant \"short\" is missing"),
        ("UPDATE token_days SET spent_picopax = spent_picopax + 1 WHERE account = 'credit'", "token tok_"),
        ("DELETE FROM token_days WHERE account = 'credit'", "has no sum on 2026-11-23"),
        ("INSERT INTO token_days VALUES ('free', 'tok', '2026-11-23', 0, 5, 0)", "but no entry of that day"),
        (
            "UPDATE accounts SET recorded_at = recorded_at + 1 WHERE name = 'credit'",
            "its head was recorded at",
        ),
        ("UPDATE accounts SET balance_picopax = balance_picopax + 1 WHERE name = 'credit'", "its balance is"),
        ("DELETE FROM credit_ledger WHERE entry_key = 'gift'", "number 1 should stand here"),
        ("DELETE FROM credit_ledger WHERE kind = 'expiry'", "number 4 should stand here"),
        ("DELETE FROM operator_log WHERE key = 'gift'", "the operator log has no row with its key \"gift\""),
        (
            "DELETE FROM credit_ledger WHERE entry_key = 'short'",
            "its entry, which has the key \"short\", is gone",
        ),
    ] {
        let (_, found) = tampered(&ledger, sql).await;
        assert!(found.iter().any(|it| it.to_string().contains(expected)), "{sql}: {found:?}");
    }
}

#[tokio::test]
async fn a_program_from_before_cannot_write_beneath_a_newer_one() {
    if crate::common::on_postgres() {
        return;
    }
    let folder = one_of_each().await;
    // As such a program writes: it knows no posting.
    let sql = "INSERT INTO credit_ledger (canon_v, kind, exchange_id, account, cost_picopax, occurred_at, utc_day, \
         canonical, account_seq, prev_hash, entry_hash, recorded_at) \
         VALUES (1, 'debit', 'x', 'free', 0, '', '', x'00', 1, '', '', 0)";
    let error = sqlx::query(sql).execute(&mut folder.shell().await).await.unwrap_err();
    let error = error.as_database_error().unwrap();
    // No broken constraint, for which it would put the debit into quarantine and acknowledge it.
    assert_eq!((error.code().as_deref(), error.message()), (Some("1"), "integer overflow"));
}

#[tokio::test]
async fn a_lot_that_has_just_ended_is_not_missed_because_of_a_call_that_draws_on_none() {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    grant(&store, "short", "1", Some(at(100)), at(0)).await;
    // With a key of one's own: the ledger posts the expiry within seconds, and a replay may come before that.
    record_at(&store, &byo(1, "credit", super::Tier::Credit), at(150)).await;
    holds(&store).await;
    let mut writer = store.writer();
    writer.expire(at(160)).await.unwrap();
    writer.close().await;
    assert_eq!(rows(&store).await, ["1 grant 1", "2 debit -0", "3 expiry -1"]);
    holds(&store).await;
}
