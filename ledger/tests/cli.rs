//! What the command line promises.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use common::debits::{byo, estimated, exchange, reported, version_in_force};
use common::{Folder, Service, bytes, program, record, run, stderr, stdout};
use pax_gateway::account::Tier;
use serde_json::Value;

/// Runs, and gives exit code, standard output and standard error.
fn said(database: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(database, arguments);
    (output.status.code(), stdout(&output), stderr(&output))
}

fn fill(folder: &Folder, debits: &[pax_gateway::debit::Debit]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = folder.store_with_accounts().await;
        record(&store, &debits.iter().map(bytes).collect::<Vec<_>>()).await;
        store.close().await;
    });
}

#[test]
fn accounts_are_created_once_listed_and_switched() {
    let folder = Folder::new();
    let db = folder.0.join("new").join("ledger.db");
    let create = ["account", "create", "demo-free", "--tier", "free"];
    assert_eq!(
        said(&db, &create),
        (Some(0), "created account demo-free (tier free)\n".to_owned(), String::new())
    );
    let (code, _, error) = said(&db, &create);
    assert_eq!(code, Some(1));
    assert!(error.contains("exists already") && error.contains("--if-missing"), "{error}");
    assert_eq!(said(&db, &[&create[..], &["--if-missing"]].concat()).0, Some(0));
    let other_tier = ["account", "create", "demo-free", "--tier", "credit", "--if-missing"];
    assert_eq!(said(&db, &other_tier).0, Some(1));
    assert_eq!(said(&db, &["account", "disable", "demo-free"]).0, Some(0));
    let list = "name       tier  status    entries  balance_pax     daily_cap_pax\n\
                demo-free  free  disabled  0        0.000000000000  default\n";
    assert_eq!(said(&db, &["account", "list"]).1, list);
    assert_eq!(said(&db, &["account", "enable", "demo-free"]).0, Some(0));
    assert!(said(&db, &["account", "list"]).1.contains("active"));
    let (code, _, error) = said(&db, &["account", "disable", "nobody"]);
    assert!(code == Some(1) && error.contains("no account \"nobody\""), "{error}");
    for name in ["", "a b", "a/b", "é", &"x".repeat(129)] {
        assert_eq!(said(&db, &["account", "create", name, "--tier", "free"]).0, Some(1), "{name:?}");
    }
}

#[test]
fn a_daily_cap_is_set_exactly_and_taken_back_and_only_tier_free_has_one() {
    let folder = Folder::new();
    let db = folder.database();
    let cap_of = |name: &str| {
        let list = said(&db, &["account", "list"]).1;
        let line = list.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_whitespace().last().unwrap_or_default().to_owned()
    };
    let create = ["account", "create", "capped", "--tier", "free", "--daily-cap", "0.000000000001"];
    let (code, out, _) = said(&db, &create);
    assert_eq!(code, Some(0));
    assert_eq!(out, "created account capped (tier free, daily cap 0.000000000001 PAX)\n");
    assert_eq!(cap_of("capped"), "0.000000000001");
    for (cap, shown) in [
        ("2.5", "2.500000000000"),
        ("0", "0.000000000000"),
        ("default", "default"),
        ("9223372.036854775807", "9223372.036854775807"),
    ] {
        let (code, out, error) = said(&db, &["account", "cap", "capped", cap]);
        assert!(code == Some(0) && out.contains("until their caches expire"), "{cap}: {out}{error}");
        assert_eq!(cap_of("capped"), shown, "{cap}");
    }
    // What cannot be: each says why, and changes nothing.
    for (cap, why) in [
        ("-1", "must not be negative; 0 blocks"),
        ("-0.000000000001", "must not be negative"),
        ("0.0000000000001", "at most 12 decimals"),
        ("1e3", "plain decimal"),
        ("1,5", "plain decimal"),
        ("", "plain decimal"),
        ("none", "`default`"),
        ("9223372.036854775808", "out of range"),
    ] {
        let (code, _, error) = said(&db, &["account", "cap", "capped", cap]);
        assert!(code == Some(2) && error.contains(why), "{cap}: {error}");
        assert_eq!(cap_of("capped"), "9223372.036854775807", "{cap}");
    }
    let negative = ["account", "create", "x", "--tier", "free", "--daily-cap", "-1"];
    let (code, _, error) = said(&db, &negative);
    assert!(code == Some(2) && error.contains("must not be negative"), "{error}");
    let (code, _, error) = said(&db, &["account", "cap", "nobody", "1"]);
    assert!(code == Some(1) && error.contains("no account \"nobody\""), "{error}");

    // Again, where it exists: with the same cap or with none, but not with another one.
    said(&db, &["account", "cap", "capped", "3"]);
    for (given, expected) in
        [(&["--daily-cap", "3.0"][..], Some(0)), (&[], Some(0)), (&["--daily-cap", "4"], Some(1))]
    {
        let create = ["account", "create", "capped", "--tier", "free", "--if-missing"];
        let (code, _, error) = said(&db, &[&create[..], given].concat());
        assert_eq!(code, expected, "{error}");
        assert_eq!(error.contains("`pax-ledger account cap capped`"), expected == Some(1), "{error}");
    }
    assert_eq!(cap_of("capped"), "3.000000000000");

    assert_eq!(said(&db, &["account", "create", "paying", "--tier", "credit"]).0, Some(0));
    assert_eq!(cap_of("paying"), "-");
    for arguments in [
        &["account", "cap", "paying", "1"][..],
        &["account", "create", "paying2", "--tier", "credit", "--daily-cap", "1"],
    ] {
        let (code, _, error) = said(&db, arguments);
        assert!(code == Some(1) && error.contains("tier credit has no daily cap"), "{error}");
    }
    assert_eq!(said(&db, &["account", "cap", "paying", "default"]).0, Some(0));
}

#[test]
fn a_token_is_shown_once_and_stored_as_a_hash() {
    let folder = Folder::new();
    let db = folder.database();
    said(&db, &["account", "create", "a", "--tier", "free"]);
    said(&db, &["account", "create", "b", "--tier", "free"]);
    let (code, token, note) = said(&db, &["token", "add", "a", "--name", "laptop"]);
    assert!(code == Some(0) && token.starts_with("mtx-") && token.len() == 45, "{token}");
    assert!(note.contains("only this once") && !note.contains(token.trim()), "{note}");
    let everything = std::fs::read(&db).unwrap();
    assert!(
        !everything.windows(44).any(|window| window == token.trim().as_bytes()),
        "the token is in the file"
    );

    let fixed = ["token", "add", "a", "--name", "demo", "--token", "mtx-demo-free"];
    assert_eq!(said(&db, &fixed).1, "mtx-demo-free\n");
    assert_eq!(said(&db, &fixed).0, Some(1));
    let again = [&fixed[..], &["--if-missing"]].concat();
    assert_eq!(said(&db, &again).1, "mtx-demo-free\n");
    let other = ["token", "add", "b", "--name", "demo", "--token", "mtx-demo-free", "--if-missing"];
    assert_eq!(said(&db, &other).0, Some(1));

    let list = said(&db, &["token", "list", "a"]).1;
    let id = list.lines().find(|line| line.contains("demo")).and_then(|line| line.split(' ').next()).unwrap();
    assert!(list.contains("laptop") && !list.contains("mtx-"), "{list}");
    let public = ["token", "revoke", "--token", "mtx-demo-free"];
    assert_eq!(said(&db, &["token", "revoke", "--token", "mtx-nobody"]).0, Some(1));
    assert!(said(&db, &public).1.starts_with(&format!("revoked {id};")));
    assert!(said(&db, &public).1.starts_with(&format!("revoked already {id};")));
    assert_eq!(said(&db, &["token", "revoke", id]).0, Some(0));
    assert!(said(&db, &["token", "list"]).1.contains("revoked"));
    assert_eq!(said(&db, &again).0, Some(1), "a revoked token does not work, so it does not exist already");
    for wrong in [
        &["token", "revoke", "mtx-demo-free"][..],
        &["token", "add", "nobody", "--name", "x"],
        &["token", "add", "a", "--name", ""],
        &["token", "add", "a", "--name", "x", "--token", "short"],
        &["token", "add", "a", "--name", "x", "--expires", "2020-01-01T00:00:00Z"],
        &["token", "list", "nobody"],
    ] {
        let (code, _, error) = said(&db, wrong);
        assert!(code == Some(1) && error.starts_with("pax-ledger: "), "{wrong:?}: {error}");
    }
    let dated = ["token", "add", "a", "--name", "dated", "--expires", "2999-01-01T00:00:00Z"];
    assert_eq!(said(&db, &dated).0, Some(0));
    assert!(said(&db, &["token", "list"]).1.contains("active until 2999-01-01T00:00:00.000Z"));
}

#[test]
fn entries_are_json_lines_with_amounts_as_texts_and_the_usage_as_received() {
    let folder = Folder::new();
    let debits =
        [reported(1, "free", Tier::Free), estimated(2, "free", Tier::Free), byo(3, "credit", Tier::Credit)];
    fill(&folder, &debits);
    let listed = stdout(&run(&folder.database(), &["entries"]));
    let lines: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (line, debit) in lines.iter().zip(&debits) {
        let mut fields = line.as_object().unwrap().clone();
        for own in ["account_seq", "prev_hash", "entry_hash", "recorded_at"] {
            assert!(fields.remove(own).is_some(), "{own}");
        }
        // Everything but the usage is what the debit says.
        let mut expected: Value = serde_json::from_slice(&debit.to_canonical()).unwrap();
        expected["usage"] = fields["usage"].clone();
        assert_eq!(Value::Object(fields), expected);
    }
    assert_eq!(lines[1]["usage"], Value::Null);
    assert!(listed.contains(r#""usage":{"prompt_tokens":1001,"completion_tokens":21},"#), "{listed}");
    let cost = format!(r#""cost_pax":"{}""#, debits[0].cost_pax);
    assert!(listed.contains(&cost) && debits[0].cost_pax.to_string().len() == 14, "{listed}");
    let of = |arguments: &[&str]| stdout(&run(&folder.database(), arguments)).lines().count();
    assert_eq!(of(&["entries", "--account", "free"]), 2);
    assert_eq!(of(&["entries", "--exchange", &exchange(3).to_string()]), 1);
    assert_eq!(of(&["entries", "--since", "2026-11-24"]), 0);
    assert_eq!(of(&["entries", "--until", "2026-11-23"]), 3);
    assert_eq!(said(&folder.database(), &["entries", "--account", "nobody"]).0, Some(1));
    assert_eq!(said(&folder.database(), &["entries", "--exchange", "17"]).0, Some(2));
    assert_eq!(said(&folder.database(), &["entries", "--since", "yesterday"]).0, Some(2));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = Folder::new();
    let debits: Vec<_> = (0..900).map(|n| reported(n, "free", Tier::Free)).collect();
    fill(&folder, &debits);
    let mut child = program(&folder.database())
        .arg("entries")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut first).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert!(first.starts_with("{\"canon_v\":2,"), "{first}");
}

#[test]
fn replay_says_what_it_replayed_and_fails_where_anything_differs() {
    let folder = Folder::new();
    let debits = [reported(1, "free", Tier::Free), reported(2, "credit", Tier::Credit)];
    fill(&folder, &debits);
    let (code, out, error) = said(&folder.database(), &["replay"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let total = debits[0].cost_pax.checked_add(debits[1].cost_pax).unwrap();
    let card = format!("rate card 2 (sha256 {}): 2 entries, {total} PAX\n", debits[0].card_sha256);
    assert_eq!(
        out,
        format!("replayed 2 entries of 2 accounts: everything holds\ntotal cost {total} PAX\n{card}")
    );

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut shell = folder.shell().await;
        for sql in [
            "DROP TRIGGER credit_ledger_no_update",
            "UPDATE credit_ledger SET tokens_output = tokens_output + 1 WHERE account = 'free'",
        ] {
            sqlx::query(sql).execute(&mut shell).await.unwrap();
        }
    });
    let (code, out, error) = said(&folder.database(), &["replay"]);
    assert_eq!(code, Some(1));
    assert!(out.starts_with("replayed 2 entries of 2 accounts: 2 DIFFERENCES\n"), "{out}");
    assert!(error.contains(&format!("entry {} (account free, number 1)", exchange(1))), "{error}");
    assert!(error.contains("tokens_output is 22, but its canonical bytes say 21"), "{error}");
    assert!(error.contains("difference: database: trigger credit_ledger_no_update"), "{error}");
}

#[test]
fn reading_commands_work_while_the_service_runs() {
    let folder = Folder::new();
    fill(&folder, &[reported(1, "free", Tier::Free)]);
    let _service = Service::start(&folder.database());
    assert_eq!(stdout(&run(&folder.database(), &["entries"])).lines().count(), 1);
    assert_eq!(said(&folder.database(), &["replay"]).0, Some(0));
    assert_eq!(said(&folder.database(), &["account", "create", "more", "--tier", "free"]).0, Some(0));
}

#[test]
fn a_database_that_is_missing_or_none_of_ours_is_said_and_not_made() {
    let folder = Folder::new();
    let missing = folder.0.join("missing.db");
    for arguments in [
        &["entries"][..],
        &["replay"],
        &["account", "list"],
        &["account", "disable", "a"],
        &["token", "list"],
        &["token", "add", "a", "--name", "x"],
    ] {
        let (code, out, error) = said(&missing, arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(error.contains("missing.db") && error.contains("--db"), "{error}");
    }
    assert!(!missing.exists());
    let junk = folder.0.join("junk.db");
    std::fs::write(&junk, "this is no database at all, not even a little one").unwrap();
    let (code, _, error) = said(&junk, &["replay"]);
    assert!(code == Some(1) && error.contains("junk.db") && error.contains("not a database"), "{error}");
    let (code, _, error) = said(Path::new("postgres://somewhere/ledger"), &["replay"]);
    assert!(code == Some(1) && error.contains("SQLite only"), "{error}");
    let output = program(&missing).env_remove("PAX_LEDGER_DB").arg("replay").output().unwrap();
    assert!(stderr(&output).contains("PAX_LEDGER_DB"), "{}", stderr(&output));
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

/// A database as the first release left it, with an account.
async fn first_release(folder: &Folder) {
    use sqlx::migrate::Migrator;
    std::fs::File::create(folder.database()).unwrap();
    let mut shell = folder.shell().await;
    let all = sqlx::migrate!();
    let first = all.iter().filter(|migration| migration.version == 1).cloned().collect::<Vec<_>>();
    let first = Migrator { migrations: first.into(), ..Migrator::DEFAULT };
    first.run_direct(&mut shell).await.unwrap();
    let sql = "INSERT INTO accounts VALUES ('free', 'free', 'active', 0, 0, ?1, 0)";
    let genesis = pax_ledger::book::genesis("free").to_string();
    sqlx::query(sql).bind(genesis).execute(&mut shell).await.unwrap();
}

#[test]
fn a_database_of_the_first_release_is_brought_up_to_date_by_serve_and_refused_by_what_only_reads() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(first_release(&folder));
    let db = folder.database();
    for arguments in [&["replay"][..], &["account", "list"], &["account", "cap", "free", "1"]] {
        let (code, _, error) = said(&db, arguments);
        assert!(code == Some(1) && error.contains("its schema 1 is older"), "{error}");
        assert!(error.contains("`pax-ledger serve` brings it up to date"), "{error}");
    }
    drop(Service::start(&db));
    assert!(said(&db, &["account", "list"]).1.ends_with("free  active  0        0.000000000000  default\n"));
    assert_eq!(said(&db, &["account", "cap", "free", "1"]).0, Some(0));
    runtime.block_on(async {
        let store = folder.store().await;
        assert_eq!(record(&store, &[bytes(&reported(1, "free", Tier::Free))]).await[0].account_seq, Some(1));
    });
    assert_eq!(said(&db, &["replay"]).0, Some(0));
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
fn every_list_is_json_lines_too_of_one_shape() {
    let folder = Folder::new();
    let db = folder.database();
    fill(&folder, &[reported(1, "free", Tier::Free), reported(2, "credit", Tier::Credit)]);
    said(&db, &["account", "cap", "free", "2.5"]);
    said(&db, &["account", "disable", "credit"]);
    let accounts = json_lines(&db, &["account", "list", "--json"]);
    assert_eq!(accounts.len(), 2);
    let credit = &accounts[0];
    let shape =
        ["account", "balance_pax", "created_at", "daily_cap_pax", "entries", "head_hash", "status", "tier"];
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
fn an_account_is_shown_with_its_day_its_chain_and_its_tokens() {
    let folder = Folder::new();
    let db = folder.database();
    let mut today = reported(2, "free", Tier::Free);
    let now = pax_ledger::now();
    (today.occurred_at, today.settled_at, today.utc_day) = (now, now, now.day());
    today.exchange_id = pax_gateway::exchange_id::ExchangeId::new(now, [7; 10]);
    fill(&folder, &[reported(1, "free", Tier::Free), today.clone()]);
    said(&db, &["token", "add", "free", "--name", "laptop"]);
    drop(Service::start(&db));
    let (code, text, error) = said(&db, &["account", "show", "free"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let cap: pax_gateway::pax::Pax = "10".parse().unwrap();
    let left = cap.checked_sub(today.cost_pax).unwrap();
    for part in [
        "account free\n  tier              free\n  status            active\n".to_owned(),
        format!(
            "daily cap         {cap} PAX a UTC day, that of rate card {}",
            version_in_force(pax_ledger::now())
        ),
        format!("{} PAX on {}; {left} PAX are left until", today.cost_pax, now.day()),
        "balance           0.000000000000 PAX".to_owned(),
        "entries           2, the last one recorded at ".to_owned(),
        format!("(exchange {})", today.exchange_id),
        "chain's head      ".to_owned(),
        "  active  laptop".to_owned(),
    ] {
        assert!(text.contains(&part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("mtx-"), "{text}");
    let shown = json_lines(&db, &["account", "show", "free", "--json"]);
    let shown = &shown[0];
    assert_eq!(shown["spent_today_pax"], today.cost_pax.to_string());
    assert_eq!((&shown["cap_today_pax"], &shown["daily_cap_pax"]), (&cap.to_string().into(), &Value::Null));
    assert_eq!(shown["remaining_today_pax"], left.to_string());
    assert_eq!(shown["last_exchange_id"], today.exchange_id.to_string());
    assert_eq!(
        (&shown["entries"], &shown["rate_table_v"]),
        (&2.into(), &version_in_force(pax_ledger::now()).into())
    );
    assert_eq!(shown["tokens"][0]["label"], "laptop");
    let last = stdout(&run(&db, &["entries", "--account", "free"]));
    let last: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&shown["head_hash"], &shown["last_entry_recorded_at"]),
        (&last["entry_hash"], &last["recorded_at"])
    );

    let (_, text, _) = said(&db, &["account", "show", "credit"]);
    for part in [
        "none: tier credit has no limit yet",
        "entries           none",
        "none: `pax-ledger token add credit --name",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let (code, _, error) = said(&db, &["account", "show", "nobody"]);
    assert!(code == Some(1) && error.contains("no account \"nobody\""), "{error}");
}

#[test]
fn entries_are_csv_that_no_spreadsheet_takes_for_formulas_limited_and_in_either_order() {
    let folder = Folder::new();
    let db = folder.database();
    let mut debits: Vec<_> = (0..700).map(|n| reported(n, "free", Tier::Free)).collect();
    debits[3].slot = "=HYPERLINK(\"x\",1)".to_owned();
    debits[4].model = "a,b\n\"c\"".to_owned();
    fill(&folder, &debits);
    let csv = said(&db, &["entries", "--csv"]).1;
    let mut reader = csv::ReaderBuilder::new().from_reader(csv.as_bytes());
    let head: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(head, *pax_ledger::listing::OPERATOR_COLUMNS);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 700);
    let cell =
        |row: usize, name: &str| rows[row].get(head.iter().position(|it| it == name).unwrap()).unwrap();
    assert_eq!(cell(3, "slot"), "'=HYPERLINK(\"x\",1)");
    assert_eq!(cell(4, "model"), debits[4].model);
    assert_eq!((cell(699, "account"), cell(699, "account_seq")), ("free", "700"));
    assert_eq!(cell(699, "cost_pax"), debits[699].cost_pax.to_string());
    let json: Value = serde_json::from_str(said(&db, &["entries"]).1.lines().last().unwrap()).unwrap();
    assert_eq!(
        (cell(699, "entry_hash"), cell(699, "recorded_at")),
        (json["entry_hash"].as_str().unwrap(), json["recorded_at"].as_str().unwrap())
    );

    let exchanges = |more: &[&str]| -> Vec<String> {
        let out = said(&db, &[&["entries"], more].concat()).1;
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["exchange_id"].as_str().unwrap().to_owned()).collect()
    };
    let of = |range: std::ops::Range<u64>| range.map(|n| exchange(n).to_string()).collect::<Vec<_>>();
    assert_eq!(exchanges(&["--limit", "3"]), of(0..3));
    assert_eq!(exchanges(&["--limit", "501"]), of(0..501));
    assert_eq!(exchanges(&["--limit", "9000"]).len(), 700);
    let newest: Vec<String> = of(0..700).into_iter().rev().collect();
    assert_eq!(exchanges(&["--order", "desc"]), newest);
    assert_eq!(exchanges(&["--order", "desc", "--account", "free", "--limit", "600"]), newest[..600]);
    let span = ["--from", "2026-11-23T00:00:00.010Z", "--to", "2026-11-23T00:00:00.012Z"];
    assert_eq!(exchanges(&span), of(10..12));
    assert_eq!(said(&db, &["entries", "--limit", "0"]).0, Some(2));
    assert_eq!(said(&db, &["entries", "--csv", "--json"]).0, Some(2));
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
