//! A key is used once, for ever.

use std::process::{Child, Stdio};

use super::{blocking, done, log, said, with_bob};
use crate::common::{program, record, stderr};

#[test]
fn a_key_is_used_once_and_the_same_request_gets_the_first_ones_answer() {
    let folder = with_bob();
    let db = folder.database();
    for (key, again, between) in [
        ("create", &["account", "create", "bob", "--tier", "free"][..], &["account", "disable", "bob"][..]),
        ("cap", &["account", "cap", "bob", "5"], &["account", "cap", "bob", "3"]),
        ("on", &["account", "enable", "bob"], &["account", "disable", "bob"]),
    ] {
        let first = if key == "create" { String::new() } else { done(&db, key, again) };
        assert_eq!(said(&db, between).0, Some(0));
        let before = log(&db, &[]);
        let accounts = said(&db, &["account", "list"]).1;
        // Another operator may send it.
        let (code, out, error) = said(&db, &[again, &["--key", key, "--by", "alex"]].concat());
        assert_eq!(code, Some(0), "{error}");
        assert!(out == first || key == "create" && out.starts_with("created account bob"), "{out}");
        assert!(
            error.starts_with("done before, at 20") && error.contains(" by kim: nothing is done again"),
            "{error}"
        );
        assert_eq!(log(&db, &[]), before);
        assert_eq!(said(&db, &["account", "list"]).1, accounts, "{key}");
    }
    // A mark of all lines is of those that were there the first time.
    blocking(async { record(&folder.store().await, &[b"one".to_vec()]).await });
    let mark = ["quarantine", "seen", "--all", "--reason", "a test"];
    assert_eq!(done(&db, "seen", &mark), "marked 1 as seen\n");
    blocking(async { record(&folder.store().await, &[b"two".to_vec()]).await });
    assert_eq!(done(&db, "seen", &mark), "marked 1 as seen\n");
    assert_eq!(said(&db, &["quarantine", "list", "--unseen", "--json"]).1.lines().count(), 1);
}

#[test]
fn a_token_is_not_shown_again_unless_the_operator_has_chosen_it() {
    let folder = with_bob();
    let db = folder.database();
    let add = ["token", "add", "bob", "--name", "laptop"];
    let shown = done(&db, "laptop", &add);
    let id = log(&db, &[])[0]["reply"].as_str().unwrap().to_owned();
    let (code, out, error) = said(&db, &[&add[..], &["--key", "laptop"]].concat());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    for part in
        ["done before, at 20", " by kim", &id, "cannot be shown again", &format!("token revoke {id}`")]
    {
        assert!(error.contains(part) && !error.contains(shown.trim()), "{part}: {error}");
    }
    let given = ["token", "add", "bob", "--name", "demo", "--token", "mtx-of-the-demo"];
    assert_eq!(done(&db, "given", &given), "mtx-of-the-demo\n");
    assert_eq!(done(&db, "given", &given), "mtx-of-the-demo\n");
    assert_eq!(said(&db, &["token", "list", "--json"]).1.lines().count(), 2);
    let other = ["token", "add", "bob", "--name", "demo", "--token", "mtx-of-another", "--key", "given"];
    let (code, _, error) = said(&db, &other);
    assert!(code == Some(1) && error.contains("for another request"), "{error}");
}

#[test]
fn the_same_key_with_another_request_is_refused_and_nothing_is_done() {
    let folder = with_bob();
    let db = folder.database();
    done(&db, "k", &["account", "cap", "bob", "5", "--reason", "why"]);
    let (before, accounts) = (log(&db, &[]), said(&db, &["account", "list"]));
    for other in [
        &["account", "cap", "bob", "6", "--reason", "why"][..],
        &["account", "cap", "bob", "5", "--reason", "why not"],
        &["account", "cap", "bob", "5"],
        &["account", "disable", "bob", "--reason", "why"],
        &["account", "create", "eve", "--tier", "free"],
        &["token", "add", "bob", "--name", "x"],
        &["quarantine", "seen", "--all", "--reason", "why"],
    ] {
        let (code, out, error) = said(&db, &[other, &["--key", "k"]].concat());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{other:?}");
        for part in [
            "nothing is done: the key \"k\" was used at 20",
            " by kim for another request (account_cap of account:bob)",
        ] {
            assert!(error.contains(part), "{other:?}: {error}");
        }
    }
    assert_eq!((log(&db, &[]), said(&db, &["account", "list"])), (before, accounts));
    assert_eq!(said(&db, &["token", "list", "--json"]).1, "");
}

#[test]
fn of_processes_that_send_one_key_at_once_one_acts() {
    let folder = with_bob();
    let db = folder.database();
    let start = || {
        let mut add = program(&db);
        add.args(["token", "add", "bob", "--name", "laptop", "--key", "at-once"]);
        add.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<Child> = (0..6).map(|_| start()).collect();
    let all: Vec<_> = all.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let (acted, not): (Vec<_>, Vec<_>) = all.iter().partition(|output| output.status.success());
    assert_eq!(acted.len(), 1, "{all:?}");
    assert!(not.iter().all(|output| stderr(output).contains("done before")), "{all:?}");
    assert_eq!(said(&db, &["token", "list", "--json"]).1.lines().count(), 1);
    assert_eq!(log(&db, &[]).len(), 2);
}

#[test]
fn a_command_without_a_key_prints_the_one_that_it_makes() {
    let folder = with_bob();
    let db = folder.database();
    let cap = ["account", "cap", "bob", "5"];
    let (_, _, error) = said(&db, &cap);
    let key = error.strip_prefix("key ").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(error, format!("key {key}; sent again with --key {key}, this is not done twice\n"));
    assert!(key.parse::<pax_gateway::base::exchange_id::ExchangeId>().is_ok(), "{key}");
    assert_eq!(log(&db, &[])[0]["key"], *key);
    let (_, _, error) = said(&db, &[&cap[..], &["--key", &key]].concat());
    assert!(error.starts_with("done before"), "{error}");
}

#[test]
fn an_action_and_its_row_are_written_together_or_not_at_all() {
    if crate::common::on_postgres() {
        return;
    }
    for table in ["accounts", "operator_log", "operator_log_head"] {
        let folder = with_bob();
        let db = folder.database();
        let state = || (log(&db, &[]), said(&db, &["account", "list"]));
        let before = state();
        let event = if table == "operator_log" { "INSERT" } else { "UPDATE" };
        let refuse = format!(
            "CREATE TRIGGER refuse BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, 'refused'); END"
        );
        blocking(async { sqlx::query(&refuse).execute(&mut folder.shell().await).await.unwrap() });
        let (code, _, error) = said(&db, &["account", "cap", "bob", "6"]);
        // The key is printed before anything is done, so that it is known even if that fails.
        assert!(
            code == Some(1) && error.starts_with("key ") && error.contains("refused"),
            "{table}: {error}"
        );
        assert_eq!(state(), before, "{table}");
    }
}
