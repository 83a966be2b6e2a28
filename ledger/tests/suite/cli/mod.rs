//! What the command line promises.

mod accounts;
use crate::common;
mod database;
mod entries;
mod tokens;

use std::path::Path;

use common::debits::reported;
use common::{Folder, Service, bytes, program, record, run, stderr, stdout};
use pax_gateway::base::account::Tier;
use serde_json::Value;

/// Runs, and gives exit code, standard output and standard error.
fn said(database: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(database, arguments);
    (output.status.code(), stdout(&output), stderr(&output))
}

fn fill(folder: &Folder, debits: &[pax_gateway::debit::frozen::Debit]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = folder.store_with_accounts().await;
        record(&store, &debits.iter().map(bytes).collect::<Vec<_>>()).await;
        store.close().await;
    });
}

/// A list's lines of JSON.
fn json_lines(database: &Path, arguments: &[&str]) -> Vec<Value> {
    let (code, out, error) = said(database, arguments);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{arguments:?}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_command_has_help() {
    for command in [
        &[][..],
        &["serve"],
        &["account"],
        &["account", "create"],
        &["account", "cap"],
        &["account", "list"],
        &["account", "show"],
        &["account", "disable"],
        &["account", "enable"],
        &["token"],
        &["token", "add"],
        &["token", "list"],
        &["token", "revoke"],
        &["entries"],
        &["report"],
        &["backup"],
        &["completions"],
        &["quarantine"],
        &["quarantine", "list"],
        &["quarantine", "seen"],
        &["operator-log"],
        &["replay"],
        &["restore"],
        &["recover"],
        &["explain"],
    ] {
        let output = program(Path::new("unused")).args(command).arg("--help").output().unwrap();
        assert!(output.status.success() && stdout(&output).contains("--db"), "{command:?}");
        assert!(!stdout(&output).contains(common::SECRET), "{command:?} shows the secret");
    }
}

#[test]
fn every_list_is_json_lines_too_of_one_shape() {
    let folder = Folder::new();
    let db = folder.database();
    fill(&folder, &[reported(1, "free", Tier::Free), reported(2, "credit", Tier::Credit)]);
    said(&db, &["account", "cap", "free", "2.5"]);
    said(&db, &["account", "disable", "credit"]);
    let accounts = json_lines(&db, &["account", "list", "--json"]);
    assert_eq!(accounts.len(), 2);
    let credit = &accounts[0];
    let shape = [
        "account",
        "balance_pax",
        "closed_at",
        "created_at",
        "daily_cap_pax",
        "entries",
        "head_hash",
        "held_pax",
        "status",
        "tier",
    ];
    assert_eq!(keys(credit), shape);
    assert_eq!((&credit["account"], &credit["status"]), (&"credit".into(), &"disabled".into()));
    assert_eq!(credit["balance_pax"], format!("-{}", reported(2, "credit", Tier::Credit).cost_pax));
    assert_eq!((&credit["daily_cap_pax"], &credit["entries"]), (&Value::Null, &1.into()));
    assert_eq!(accounts[1]["daily_cap_pax"], "2.500000000000");

    for (name, expires) in [("plain", None), ("dated", Some("2999-01-01T00:00:00Z")), ("gone", None)] {
        let add = ["token", "add", "free", "--name", name];
        let more: Vec<&str> = expires.iter().flat_map(|at| ["--expires", *at]).collect();
        assert_eq!(said(&db, &[&add[..], &more].concat()).0, Some(0));
    }
    let of = |tokens: &[Value], label: &str| tokens.iter().find(|it| it["label"] == label).unwrap().clone();
    let listed = json_lines(&db, &["token", "list", "--json"]);
    let id = of(&listed, "gone")["token_id"].as_str().unwrap().to_owned();
    said(&db, &["token", "revoke", &id]);
    let tokens = json_lines(&db, &["token", "list", "free", "--json"]);
    assert_eq!(tokens.len(), 3);
    let shape = ["account", "created_at", "expires_at", "label", "revoked_at", "state", "token_id"];
    assert_eq!(keys(&tokens[0]), shape);
    assert_eq!(of(&tokens, "plain")["state"], "active");
    assert_eq!(of(&tokens, "dated")["expires_at"], "2999-01-01T00:00:00.000Z");
    assert!(of(&tokens, "gone")["revoked_at"].is_string() && of(&tokens, "gone")["state"] == "revoked");

    drop(Service::start(&db));
    let cards = json_lines(&db, &["cards", "list", "--json"]);
    assert_eq!(keys(&cards[0]), ["effective_from", "learned_at", "rate_table_v", "reason", "sha256"]);
    assert_eq!((&cards[0]["rate_table_v"], &cards[1]["rate_table_v"]), (&1.into(), &2.into()));
    assert_eq!(json_lines(&db, &["entries", "--json"]), json_lines(&db, &["entries"]));
    assert_eq!(json_lines(&db, &["quarantine", "list", "--json"]), Vec::<Value>::new());
}

#[test]
fn shells_are_told_every_command_and_the_scripts_are_theirs() {
    let folder = Folder::new();
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef pax-ledger"), ("fish", "complete -c pax-ledger")]
    {
        let output = program(Path::new("unused")).args(["completions", shell]).output().unwrap();
        let script = stdout(&output);
        assert!(output.status.success() && script.contains(mark), "{shell}");
        for command in ["account", "report", "backup", "explain", "quarantine", "replay"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(!script.contains(common::SECRET));
        let file = folder.0.join(shell);
        std::fs::write(&file, script).unwrap();
        // Whichever shell is there must find nothing wrong with its script.
        if let Ok(read) = std::process::Command::new(shell).arg("-n").arg(&file).output() {
            assert!(read.status.success(), "{shell}: {}", stderr(&read));
        }
    }
    assert_eq!(run(&folder.database(), &["completions", "csh"]).status.code(), Some(2));
}
