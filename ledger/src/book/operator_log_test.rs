use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::UtcDay;
use serde_json::json;

use super::*;
use crate::book::AccountState;

const GOLDEN: &str = include_str!("../../tests/golden/operator_row_v1.json");

fn row() -> Row {
    let state = |cap: Option<&str>| {
        let daily_cap_pax = cap.map(|cap| cap.parse().unwrap());
        json!(AccountState { tier: Tier::Free, status: Status::Active, daily_cap_pax, closed_at: None })
    };
    Row {
        canon_v: OPERATOR_CANON_V,
        at: "2026-11-28".parse::<UtcDay>().unwrap().start().plus_ms(12 * 3_600_000),
        by: "Zo\u{eb}".to_owned(),
        key: "caps-2026-12".to_owned(),
        action: "account_cap".to_owned(),
        subject: "account:bob".to_owned(),
        account: Some("bob".to_owned()),
        before: state(None),
        after: state(Some("2.5")),
        reason: Some("asked for \"more\"".to_owned()),
        request_sha256: Digest::of(&[]),
        reply: Json::Null,
    }
}

#[test]
fn a_rows_canonical_bytes_never_change() {
    assert_eq!(String::from_utf8(row().to_canonical()).unwrap(), GOLDEN.trim_end());
    assert_eq!(Row::from_canonical(GOLDEN.trim_end().as_bytes()).unwrap(), row());
}

#[test]
fn other_bytes_are_no_row() {
    let golden = GOLDEN.trim_end();
    for (from, to, why) in [
        ("\"canon_v\":1", "\"canon_v\":2", "canon_v 2 is not read"),
        ("{\"canon_v\":1,", "{ \"canon_v\":1,", "canonical form"),
        (
            "{\"daily_cap_pax\":null,\"status\":\"active\"",
            "{\"status\":\"active\",\"daily_cap_pax\":null",
            "canonical form",
        ),
        ("\"reply\":null", "\"reply\":null,\"more\":1", "unknown field"),
        (",\"reply\":null", "", "missing field"),
    ] {
        let other = golden.replace(from, to);
        let found = Row::from_canonical(other.as_bytes()).unwrap_err();
        assert!(other != golden && found.contains(why), "{to}: {found}");
    }
}

#[test]
fn rows_are_chained_as_the_documentation_says() {
    // printf 'pax-operator-log/1\n' | sha256sum
    let genesis = "07b94a71d3c1742bd18df3337f7760efa5c67fa572f5c0d0da0b9d8151a9abfb";
    assert_eq!(operator_genesis().to_string(), genesis);
    assert!(include_str!("../../migrations/sqlite/0006_operator_log.sql").contains(genesis));
    // printf 'pax-operator/1\n%064d\n7\n{"a":1}' 0 | sha256sum
    let hash = row_hash(&"0".repeat(64), 7, b"{\"a\":1}");
    assert_eq!(hash.to_string(), "4d3107a2420afe39b5bbfecedbe38df1746bc4e58e9ecbedf125c2e1bc5137e8");
}

#[test]
fn a_row_that_is_earlier_than_the_one_before_is_named_and_the_rest_of_the_chain_is_not() {
    let mut walk = OperatorWalk::default();
    let mut found = Vec::new();
    let mut prev = operator_genesis().to_string();
    for (seq, later_ms) in [(1, 2), (2, 1), (3, 2)] {
        let mut row = row();
        row.at = row.at.plus_ms(later_ms);
        let (columns, canonical) = (row.columns().to_vec(), row.to_canonical());
        let hash = row_hash(&prev, seq, &canonical).to_string();
        let stored = StoredRow { seq, columns, canonical, prev_hash: prev, row_hash: hash.clone() };
        prev = hash;
        found.push(walk.step(&stored));
    }
    assert_eq!(found, [vec![], vec!["it is earlier than the row before".to_owned()], vec![]]);
}

#[test]
fn only_what_both_states_have_is_compared() {
    let (one, other) = (json!({"a": 1, "b": 2, "c": 3}), json!({"b": 2, "c": 4, "d": 5}));
    assert_eq!(differing(&one, &other), [("c", &json!(3), &json!(4))]);
    assert_eq!(differing(&one, &Json::Null), []);
}
