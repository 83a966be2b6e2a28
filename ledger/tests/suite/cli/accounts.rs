//! Accounts: created, switched, capped and shown.

use super::{fill, json_lines, said};
use crate::common::debits::{reported, version_in_force};
use crate::common::{Folder, Service, run, stdout};
use pax_gateway::base::account::Tier;
use serde_json::Value;

#[test]
fn accounts_are_created_once_listed_and_switched() {
    let folder = Folder::new();
    let db = folder.0.join("new").join("ledger.db");
    let create = ["account", "create", "demo-free", "--tier", "free"];
    let (code, out, error) = said(&db, &create);
    assert_eq!((code, out.as_str()), (Some(0), "created account demo-free (tier free)\n"));
    assert!(error.starts_with("key ") && error.lines().count() == 1, "{error}");
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
fn an_account_is_shown_with_its_day_its_chain_and_its_tokens() {
    let folder = Folder::new();
    let db = folder.database();
    let mut today = reported(2, "free", Tier::Free);
    let now = pax_ledger::now();
    (today.occurred_at, today.settled_at, today.utc_day) = (now, now, now.day());
    today.exchange_id = pax_gateway::base::exchange_id::ExchangeId::new(now, [7; 10]);
    fill(&folder, &[reported(1, "free", Tier::Free), today.clone()]);
    said(&db, &["token", "add", "free", "--name", "laptop"]);
    drop(Service::start(&db));
    let (code, text, error) = said(&db, &["account", "show", "free"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let cap: pax_gateway::base::pax::Pax = "10".parse().unwrap();
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
        "none: its balance is the limit",
        "entries           none",
        "none: `pax-ledger token add credit --name",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let (code, _, error) = said(&db, &["account", "show", "nobody"]);
    assert!(code == Some(1) && error.contains("no account \"nobody\""), "{error}");
}
