//! What the quarantine promises to operators: nothing in it is overlooked, and nothing of it ever changes.

use crate::common;

use std::path::Path;

use common::debits::{exchange, reported};
use common::{Folder, bytes, record, run, stderr, stdout};
use pax_gateway::base::account::Tier;
use pax_gateway::base::digest::Digest;
use serde_json::{Value, json};

/// Runs, and gives exit code, standard output and standard error.
fn said(database: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(database, arguments);
    (output.status.code(), stdout(&output), stderr(&output))
}

const SEEN: [&str; 6] = ["quarantine", "seen", "--by", "ops", "--reason", "was charged by hand"];

fn seen(database: &Path, which: &[&str]) -> (Option<i32>, String, String) {
    said(database, &[&SEEN, which].concat())
}

/// A ledger with an entry, a conflict with it, and a line that is no text: the lines in quarantine.
fn ledger() -> (Folder, [Vec<u8>; 2]) {
    let folder = Folder::new();
    let debit = reported(1, "free", Tier::Free);
    let mut other = debit.clone();
    other.slot = "planner".to_owned();
    let lines = [bytes(&other), vec![0xff, 0x00, b'x']];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = folder.store_with_accounts().await;
        record(&store, &[bytes(&debit), lines[0].clone(), lines[1].clone()]).await;
        store.close().await;
    });
    (folder, lines)
}

fn listed(database: &Path, arguments: &[&str]) -> Vec<Value> {
    let (code, out, error) = said(database, &[&["quarantine", "list", "--json"], arguments].concat());
    assert_eq!((code, error.as_str()), (Some(0), ""));
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn replay_fails_until_somebody_has_seen_each_line() {
    let (folder, _) = ledger();
    let db = folder.database();
    let replay = || said(&db, &["replay"]);
    let (code, out, error) = replay();
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("everything holds; 2 LINES IN QUARANTINE NOT SEEN\n"), "{out}");
    for told in [
        "1 conflicts and 1 rejected",
        "`pax-ledger quarantine list --unseen`",
        "`pax-ledger quarantine seen NUMBER",
    ] {
        assert!(error.contains(told), "{error}");
    }
    let (code, out, _) = seen(&db, &["2"]);
    assert_eq!((code, out.as_str()), (Some(0), "marked 1 as seen\n"));
    let (code, out, _) = replay();
    assert!(code == Some(1) && out.contains("; 1 LINE IN QUARANTINE NOT SEEN\n"), "{out}");
    assert_eq!(seen(&db, &["--all"]).1, "marked 1 as seen; 1 of these were already\n");
    let (code, out, error) = replay();
    assert!(code == Some(0) && out.contains("everything holds\n"), "{out}");
    assert_eq!(error, "note: in quarantine are 1 conflicts and 1 rejected lines\n");
}

#[test]
fn lines_are_listed_with_who_has_seen_them_and_their_bytes_if_asked() {
    let (folder, lines) = ledger();
    let db = folder.database();
    seen(&db, &["1"]);
    let rows = listed(&db, &[]);
    let [conflict, rejected] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((&conflict["number"], &conflict["reason"]), (&json!(1), &json!("conflict")));
    assert_eq!(conflict["exchange_id"], exchange(1).to_string());
    assert_eq!(conflict["message"], "entry 1 of the account has other bytes for this exchange");
    assert_eq!(conflict["sha256"], Digest::of(&[&lines[0]]).to_string());
    assert_eq!(
        (&conflict["seen"]["by"], &conflict["seen"]["reason"]),
        (&json!("ops"), &json!("was charged by hand"))
    );
    assert!(
        conflict["received_at"].as_str().unwrap().ends_with('Z')
            && conflict["seen"]["at"].as_str().unwrap().ends_with('Z')
    );
    assert_eq!(
        (&rejected["number"], &rejected["exchange_id"], &rejected["seen"]),
        (&json!(2), &Value::Null, &Value::Null)
    );
    assert!(rejected.get("bytes").is_none());

    let rows = listed(&db, &["--bytes"]);
    assert_eq!(rows[0]["bytes"].as_str().unwrap().as_bytes(), lines[0]);
    assert_eq!(rows[1]["bytes_hex"], "ff0078");
    assert_eq!(listed(&db, &["--unseen"]).len(), 1);

    let (_, table, _) = said(&db, &["quarantine", "list"]);
    let mut rows = table.lines();
    let head: Vec<&str> = rows.next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["number", "received_at", "reason", "exchange", "message", "sha256", "seen"]);
    assert!(rows.next().unwrap().ends_with("Z by ops"), "{table}");
    assert!(rows.next().unwrap().ends_with("-") && rows.next().is_none(), "{table}");
    let (code, _, error) = said(&db, &["quarantine", "list", "--bytes"]);
    assert!(code == Some(2) && error.contains("--json"), "{error}");
}

#[test]
fn marking_twice_changes_nothing_and_what_is_wrong_is_said_and_marks_nothing() {
    let (folder, _) = ledger();
    let db = folder.database();
    seen(&db, &["1"]);
    let before = listed(&db, &[]);
    let again = ["quarantine", "seen", "1", "--by", "another", "--reason", "another"];
    assert_eq!(said(&db, &again).1, "marked 0 as seen; 1 of these were already\n");
    let (code, _, error) = seen(&db, &["2", "7"]);
    assert!(code == Some(1) && error.contains("nothing is marked: there is no number 7"), "{error}");
    assert!(error.contains("`pax-ledger quarantine list`"), "{error}");
    for (arguments, code, why) in [
        (&["quarantine", "seen", "2", "--by", " ", "--reason", "x"][..], 1, "--by must have"),
        (&["quarantine", "seen", "2", "--by", "ops", "--reason", "a\nb"], 1, "--reason must have"),
        (&["quarantine", "seen", "2", "--by", "ops"], 2, "--reason"),
        (&["quarantine", "seen", "--by", "ops", "--reason", "x"], 2, "NUMBER"),
        (&["quarantine", "seen", "2", "--all", "--by", "ops", "--reason", "x"], 2, "--all"),
    ] {
        let (found, _, error) = said(&db, arguments);
        assert!(found == Some(code) && error.contains(why), "{arguments:?}: {error}");
    }
    assert_eq!(listed(&db, &[]), before);
}

#[test]
fn a_line_that_was_seen_and_is_gone_is_missed() {
    if common::on_postgres() {
        return;
    }
    let (folder, _) = ledger();
    let db = folder.database();
    seen(&db, &["--all"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut shell = folder.shell().await;
        let made: String =
            sqlx::query_scalar("SELECT sql FROM sqlite_master WHERE name = 'quarantine_no_delete'")
                .fetch_one(&mut shell)
                .await
                .unwrap();
        for sql in ["DROP TRIGGER quarantine_no_delete", "DELETE FROM quarantine WHERE rowid = 1", &made] {
            sqlx::query(sql).execute(&mut shell).await.unwrap();
        }
    });
    let (code, _, error) = said(&db, &["replay"]);
    assert!(code == Some(1) && error.contains("which was marked as seen, is gone"), "{error}");
}
