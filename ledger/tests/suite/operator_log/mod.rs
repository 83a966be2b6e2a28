//! What the operator log promises: each action has one row, a key is used once, and no row can be changed unseen.

use crate::common;
mod keys;
mod proof;

use std::path::Path;

use common::{Folder, act_at, program, record, replayed, run, stderr, stdout};
use pax_gateway::base::account::Status;
use pax_gateway::base::digest::Digest;
use serde_json::{Value, json};

/// Runs, and gives exit code, standard output and standard error.
fn said(database: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(database, arguments);
    (output.status.code(), stdout(&output), stderr(&output))
}

/// Runs with the key, as `kim`, and gives standard output.
#[track_caller]
fn done(database: &Path, key: &str, arguments: &[&str]) -> String {
    let (code, out, error) = said(database, &[arguments, &["--key", key, "--by", "kim"]].concat());
    assert_eq!(code, Some(0), "{arguments:?}: {error}");
    out
}

#[track_caller]
fn log(database: &Path, arguments: &[&str]) -> Vec<Value> {
    let (code, out, error) = said(database, &[&["operator-log", "--json"], arguments].concat());
    assert_eq!((code, error.as_str()), (Some(0), ""));
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A ledger with one account, `bob`, which was created under the key `create`.
fn with_bob() -> Folder {
    let folder = Folder::new();
    done(&folder.database(), "create", &["account", "create", "bob", "--tier", "free"]);
    folder
}

fn blocking<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

#[test]
fn each_action_has_a_row_that_says_who_did_what_and_why_and_no_row_has_a_secret() {
    if common::on_postgres() {
        return;
    }
    let folder = with_bob();
    let db = folder.database();
    blocking(async { record(&folder.store().await, &[b"no debit".to_vec()]).await });
    let card = folder.0.join("card.json");
    std::fs::copy("../ratecards/v1.json", &card).unwrap();
    done(&db, "cap", &["account", "cap", "bob", "2.5", "--reason", "asked for it"]);
    done(&db, "off", &["account", "disable", "bob"]);
    done(&db, "on", &["account", "enable", "bob"]);
    let random = done(&db, "random", &["token", "add", "bob", "--name", "laptop"]);
    done(&db, "given", &["token", "add", "bob", "--name", "demo", "--token", "mtx-of-the-demo"]);
    done(&db, "revoke", &["token", "revoke", "--token", "mtx-of-the-demo"]);
    done(&db, "seen", &["quarantine", "seen", "--all", "--reason", "a test"]);
    done(&db, "cards", &["cards", "add", card.to_str().unwrap()]);

    let rows = log(&db, &[]);
    let column = |name: &str| rows.iter().rev().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("seq"), (1..=9).map(Value::from).collect::<Vec<_>>());
    let keys = ["create", "cap", "off", "on", "random", "given", "revoke", "seen", "cards"];
    assert_eq!(column("key"), keys);
    let actions = [
        "account_create",
        "account_cap",
        "account_disable",
        "account_enable",
        "token_add",
        "token_add",
        "token_revoke",
        "quarantine_seen",
        "cards_add",
    ];
    assert_eq!(column("action"), actions);
    assert!(column("by").iter().all(|by| by == "kim"));
    let state =
        |status: &str, cap: Option<&str>| json!({"tier": "free", "status": status, "daily_cap_pax": cap});
    let capped = Some("2.500000000000");
    let of = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap();
    for (key, before, after) in [
        ("create", Value::Null, state("active", None)),
        ("cap", state("active", None), state("active", capped)),
        ("off", state("active", capped), state("disabled", capped)),
        ("on", state("disabled", capped), state("active", capped)),
    ] {
        let row = of(key);
        assert_eq!(
            (&row["before"], &row["after"], &row["subject"]),
            (&before, &after, &json!("account:bob"))
        );
    }
    assert_eq!((&of("cap")["reason"], &of("off")["reason"]), (&json!("asked for it"), &Value::Null));
    let (given, revoked) = (of("given"), of("revoke"));
    assert_eq!(
        given["after"],
        json!({"account": "bob", "label": "demo", "expires_at": null, "revoked_at": null})
    );
    assert_eq!((&given["subject"], &given["after"]), (&revoked["subject"], &revoked["before"]));
    assert_eq!(given["subject"], format!("token:{}", given["reply"].as_str().unwrap()));
    assert_eq!(revoked["after"]["revoked_at"], revoked["at"]);
    let line = json!({"reason": "rejected", "sha256": Digest::of(&[b"no debit"])});
    assert_eq!(of("seen")["after"], json!({"seen": [line]}));
    assert_eq!(of("cards")["after"]["cards"][0]["version"], 1);

    assert_eq!(log(&db, &["--account", "bob"]).len(), 7);
    assert_eq!(log(&db, &["--limit", "2"]), rows[..2]);
    assert_eq!(log(&db, &["--since", "2999-01-01"]), Vec::<Value>::new());
    let (_, table, _) = said(&db, &["operator-log"]);
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["seq", "at", "by", "action", "subject", "key", "reason", "change"]);
    let line = table.lines().find(|line| line.contains("account_cap")).unwrap();
    let words: Vec<&str> = line.split_whitespace().skip(2).collect();
    assert_eq!(
        words.join(" "),
        "kim account_cap account:bob cap asked for it daily_cap_pax null -> \"2.500000000000\""
    );
    assert_eq!(said(&db, &["operator-log", "--account", "nobody"]).0, Some(1));

    // Every byte of every row, and neither a token nor its hash in them.
    let all: Vec<Vec<u8>> = blocking(async {
        let sql = "SELECT CAST(concat_ws('|', at, by, key, action, subject, account, before, after, reason, \
                   request_sha256, reply) || canonical || prev_hash || row_hash AS BLOB) FROM operator_log";
        sqlx::query_scalar(sql).fetch_all(&mut folder.shell().await).await.unwrap()
    });
    let all = String::from_utf8(all.concat()).unwrap();
    assert!(all.contains("laptop"));
    for secret in [random.trim(), "mtx-of-the-demo"] {
        assert!(!all.contains(secret) && !all.contains(&Digest::of(&[secret.as_bytes()]).to_string()));
    }
    let (code, out, error) = said(&db, &["replay"]);
    assert_eq!(code, Some(0), "{out}{error}");
}

#[test]
fn who_acts_is_said_or_set_or_the_unix_user() {
    let folder = with_bob();
    let db = folder.database();
    let by = |arguments: &[&str], operator: Option<&str>| {
        let mut command = program(&db);
        command.env_remove("PAX_OPERATOR").args(["account", "disable", "bob"]).args(arguments);
        if let Some(operator) = operator {
            command.env("PAX_OPERATOR", operator);
        }
        assert!(command.output().unwrap().status.success());
        log(&db, &[])[0]["by"].as_str().unwrap().to_owned()
    };
    assert_eq!(by(&["--by", "kim"], Some("alex")), "kim");
    assert_eq!(by(&[], Some("alex")), "alex");
    let user = std::process::Command::new("id").arg("-un").output().unwrap();
    assert_eq!(by(&[], None), stdout(&user).trim());
    for (arguments, why) in [
        (["--key", ""], "--key must have 1 to 128 printable ASCII"),
        (["--key", "a\nb"], "--key must"),
        (["--by", "\u{1b}[2J"], "--by must have 1 to 128 printable"),
        (["--reason", " "], "--reason must have 1 to 1024 printable"),
    ] {
        let (code, _, error) = said(&db, &[&["account", "disable", "bob"], &arguments[..]].concat());
        assert!(
            code == Some(1) && error.starts_with(&format!("pax-ledger: {why}")),
            "{arguments:?}: {error}"
        );
    }
}

#[test]
fn what_was_refused_or_was_so_already_makes_no_row() {
    let folder = with_bob();
    let db = folder.database();
    done(&db, "given", &["token", "add", "bob", "--name", "demo", "--token", "mtx-of-the-demo"]);
    done(&db, "gone", &["token", "revoke", "--token", "mtx-of-the-demo"]);
    done(&db, "other", &["token", "add", "bob", "--name", "demo", "--token", "mtx-of-another"]);
    let card = folder.0.join("card.json");
    std::fs::copy("../ratecards/v1.json", &card).unwrap();
    done(&db, "cards", &["cards", "add", card.to_str().unwrap()]);
    let before = log(&db, &[]);
    for (arguments, code) in [
        (&["account", "create", "bob", "--tier", "free"][..], 1),
        (&["account", "create", "bob", "--tier", "free", "--if-missing"], 0),
        (&["account", "cap", "nobody", "1"], 1),
        (&["account", "disable", "nobody"], 1),
        (&["token", "add", "bob", "--name", "demo", "--token", "mtx-of-the-demo"], 1),
        (&["token", "add", "bob", "--name", "demo", "--token", "mtx-of-another", "--if-missing"], 0),
        (&["token", "revoke", "--token", "mtx-of-the-demo"], 0),
        (&["token", "revoke", "tok_none"], 1),
        (&["quarantine", "seen", "7", "--reason", "a test"], 1),
        (&["cards", "add", card.to_str().unwrap()], 0),
    ] {
        assert_eq!(said(&db, arguments).0, Some(code), "{arguments:?}");
        assert_eq!(log(&db, &[]), before, "{arguments:?}");
    }
    // What finds nothing to do prints no key either: scripts do this at every start.
    let create = ["account", "create", "bob", "--tier", "free", "--if-missing"];
    assert_eq!(said(&db, &create).2, "");
}

#[tokio::test]
async fn time_never_falls_within_the_log() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let past = pax_ledger::now().ms() - 3_600_000;
    let early = act_at(pax_gateway::base::clock::Moment::from_ms(past));
    store.set_status(&early, "free", Status::Disabled).await.unwrap().unwrap();
    let rows = store.operator_rows(&Default::default(), i64::MAX, 10).await.unwrap();
    assert_eq!(rows[0].column("at"), rows[1].column("at"));
    assert_eq!(replayed(&store).await.1, []);
}
