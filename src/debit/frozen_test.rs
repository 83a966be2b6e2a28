#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::price::bundle::Bundle;

/// A reported and an estimated debit, one a line: these bytes never change, because such rows exist.
const GOLDEN: &str = include_str!("../../tests/golden/debit_v1.json");

/// The same of version 2: a reported and an estimated one, and one of which a side is estimated.
const GOLDEN_2: &str = include_str!("../../tests/golden/debit_v2.json");

fn golden() -> (&'static str, &'static str) {
    GOLDEN.strip_suffix('\n').unwrap().split_once('\n').unwrap()
}

fn reading(line: &str) -> Result<Debit, BadDebit> {
    Debit::from_canonical(line.as_bytes())
}

/// Changes the text at its only occurrence.
fn changed(line: &str, from: &str, to: &str) -> String {
    assert_eq!(line.matches(from).count(), 1, "{from} in {line}");
    line.replacen(from, to, 1)
}

#[test]
fn canonical_bytes_are_those_of_the_golden_file() {
    let (reported, estimated) = golden();
    for (line, provenance) in [(reported, Provenance::Reported), (estimated, Provenance::Estimated)] {
        let debit = reading(line).unwrap();
        assert_eq!(debit.provenance, provenance);
        assert_eq!(String::from_utf8(debit.to_canonical()).unwrap(), line);
    }
}

#[test]
fn canonical_bytes_of_version_2_are_those_of_its_golden_file_and_prove_themselves() {
    let bundle = Bundle::embedded().unwrap();
    let lines: Vec<&str> = GOLDEN_2.lines().collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        let debit = reading(line).unwrap();
        assert_eq!(debit.canon_v, 2);
        assert_eq!(String::from_utf8(debit.to_canonical()).unwrap(), line);
        assert_eq!(debit.prove(&bundle), Ok(()), "{line}");
    }
}

#[test]
fn neither_version_is_read_with_the_fields_of_the_other() {
    let (first, _) = golden();
    let second = GOLDEN_2.lines().next().unwrap();
    assert!(reading(&changed(first, r#""canon_v":1"#, r#""canon_v":2"#)).is_err());
    assert!(reading(&changed(second, r#""canon_v":2"#, r#""canon_v":1"#)).is_err());
    assert!(reading(&changed(first, r#""mode":"chat","#, r#""mode":"chat","asked_model":null,"#)).is_err());
    assert!(reading(&changed(second, r#""asked_model":null,"#, "")).is_err());
}

#[test]
fn whatever_of_version_2_is_tampered_with_does_not_prove_itself() {
    let bundle = Bundle::embedded().unwrap();
    let lines: Vec<&str> = GOLDEN_2.lines().collect();
    let [reported, estimated, half] = lines[..] else { panic!("three lines") };
    for (line, from, to, says) in [
        (reported, r#""tokens_image_input":0"#, r#""tokens_image_input":1"#, "counted again"),
        (
            reported,
            r#""tokens_cache_write_1h_input":0"#,
            r#""tokens_cache_write_1h_input":1"#,
            "counted again",
        ),
        (reported, r#""usage_rules":"openai/2""#, r#""usage_rules":"openai/9""#, "provenance"),
        (estimated, r#""unseen_ms":7001"#, r#""unseen_ms":5000"#, "counted again"),
        (estimated, r#""input_other_bytes":31"#, r#""input_other_bytes":30000"#, "counted again"),
        (estimated, r#""bytes_per_token_other":3"#, r#""bytes_per_token_other":1"#, "counted again"),
        (estimated, r#""unseen_tokens_per_s":40"#, r#""unseen_tokens_per_s":0"#, "counted again"),
        (estimated, r#""output_limit":32768"#, r#""output_limit":300"#, "counted again"),
        (estimated, r#""input_limit":5376"#, r#""input_limit":null"#, "limits are missing"),
        (estimated, r#""estimator":"bytes/2""#, r#""estimator":"bytes/1""#, "provenance"),
        (half, r#""side":"output""#, r#""side":"both""#, "counted again"),
        (half, r#""usage_rules":"openai/2""#, r#""usage_rules":null"#, "cannot be read"),
        (half, r#""service_tier":"scale""#, r#""service_tier":null"#, "priced again"),
        (half, r#""flags":["service_tier_unpriced","#, r#""flags":["#, "does not price service tier"),
    ] {
        let tampered = reading(&changed(line, from, to)).unwrap_or_else(|bad| panic!("{to}: {bad}"));
        match tampered.prove(&bundle) {
            Err(BadDebit(why)) => assert!(why.contains(says), "{to}: {why}"),
            Ok(()) => panic!("{to} proves itself"),
        }
    }
}

#[test]
fn a_debit_holds_what_its_bytes_say() {
    let debit = reading(golden().0).unwrap();
    assert_eq!(debit.exchange_id.to_string(), "01a207c7-d7a1-7dc2-9a0e-5133f7086be4");
    assert_eq!((debit.tier, debit.funding, debit.mode), (Tier::Credit, Funding::Platform, Mode::Chat));
    assert_eq!(debit.intent_id.as_deref(), Some("intent \"7\" – ü"));
    assert_eq!(
        (debit.tokens_input, debit.tokens_cached_input, debit.tokens_output),
        (Tokens(1200), Tokens(1024), Tokens(345))
    );
    // 176 × 0.013123360 + 1024 × 0.001312336 + 345 × 0.052493438, per million, half up.
    assert_eq!(debit.cost_pax, "0.000021763780".parse().unwrap());
    assert!(debit.usage.unwrap().contains("\n \"prompt_tokens_details\": {\"cached_tokens\": 1024"));
    let estimated = reading(golden().1).unwrap();
    assert_eq!((estimated.ending, estimated.flags), (Ending::Cut, vec![Flag::UsageUnreadable]));
    assert_eq!(estimated.utc_day.to_string(), "2026-11-22");
}

#[test]
fn only_the_canonical_form_of_a_debit_is_read() {
    let (reported, estimated) = golden();
    for (name, line, from, to) in [
        (
            "fields in another order",
            reported,
            r#""canon_v":1,"kind":"debit""#,
            r#""kind":"debit","canon_v":1"#,
        ),
        ("a space", reported, r#""kind":"debit""#, r#""kind": "debit""#),
        ("a space before the end", reported, r#"23"}"#, r#"23" }"#),
        ("a line's end", reported, r#"23"}"#, "23\"}\n"),
        ("bytes after it", reported, r#"23"}"#, r#"23"}}"#),
        ("an unknown field", reported, r#""kind":"debit","#, r#""kind":"debit","colour":"red","#),
        ("a field twice", reported, r#""kind":"debit","#, r#""kind":"debit","kind":"debit","#),
        ("a missing field", reported, r#""provider":"fireworks","#, ""),
        ("a missing field that may be null", reported, r#""goal_id":null,"#, ""),
        ("an unknown field of the estimate", estimated, r#""input_bytes""#, r#""x":1,"input_bytes""#),
        (
            "the estimate's fields in another order",
            estimated,
            r#""input_bytes":4321,"output_bytes":999"#,
            r#""output_bytes":999,"input_bytes":4321"#,
        ),
        ("another version", reported, r#""canon_v":1"#, r#""canon_v":2"#),
        ("a version as text", reported, r#""canon_v":1"#, r#""canon_v":"1""#),
        ("another kind", reported, r#""kind":"debit""#, r#""kind":"grant""#),
        ("an amount as a number", reported, r#""cost_pax":"0.000021763780""#, r#""cost_pax":0.000021763780"#),
        ("an amount with fewer decimals", reported, r#""0.000021763780""#, r#""0.00002176378""#),
        ("a negative count", reported, r#""tokens_output":345"#, r#""tokens_output":-345"#),
        ("a fractional count", reported, r#""tokens_output":345"#, r#""tokens_output":345.0"#),
        ("a needless escape", reported, r#""slot":"planner""#, r#""slot":"pl\u0061nner""#),
        ("an escaped letter that needs none", reported, "– ü", r"– \u00fc"),
        ("a hash in capitals", reported, r#""card_sha256":"329c"#, r#""card_sha256":"329C"#),
        ("an id in capitals", reported, "01a207c7", "01A207C7"),
        (
            "a moment without milliseconds",
            estimated,
            r#""occurred_at":"2026-11-22T23:59:58.000Z""#,
            r#""occurred_at":"2026-11-22T23:59:58Z""#,
        ),
        ("a day that is none", reported, r#""utc_day":"2026-11-23""#, r#""utc_day":"2026-02-30""#),
        ("an unknown flag", estimated, "usage_unreadable", "usage_lost"),
    ] {
        let line = changed(line, from, to);
        assert!(reading(&line).is_err(), "{name}: {line}");
    }
    for line in ["", "{}", "[]", "null", "\u{feff}{}"] {
        assert!(reading(line).is_err(), "{line}");
    }
    assert!(Debit::from_canonical(b"\xff").is_err());
}

#[test]
fn a_version_that_is_not_known_is_named() {
    let line = changed(golden().0, r#""canon_v":1"#, r#""canon_v":3"#);
    assert_eq!(unknown_version(line.as_bytes()), Some(3));
    assert_eq!(reading(&line), Err(BadDebit("canon_v 3 is unknown; this program knows 1 and 2".to_owned())));
}

#[test]
fn a_debit_proves_itself_from_what_it_carries() {
    let bundle = Bundle::embedded().unwrap();
    let (reported, estimated) = golden();
    assert_eq!(reading(reported).unwrap().prove(&bundle), Ok(()));
    assert_eq!(reading(estimated).unwrap().prove(&bundle), Ok(()));
    let byo = changed(reported, r#""funding":"platform""#, r#""funding":"byo""#);
    let byo = changed(&byo, "0.000021763780", "0.000000000000");
    assert_eq!(reading(&byo).unwrap().prove(&bundle), Ok(()));
}

#[test]
fn whatever_is_tampered_with_does_not_prove_itself() {
    let bundle = Bundle::embedded().unwrap();
    let (reported, estimated) = golden();
    let v1 = r#""rate_table_v":1,"card_sha256":"6da7395465f2857ddfc99eb3bb860d43bd941ef24bc324008a2d6fd21150e3aa""#;
    let v2 = r#""rate_table_v":2,"card_sha256":"329c1ac11af8b12ce9935058fb6b07db4834cebb8793cce23aa9f82b7314fb72""#;
    for (line, from, to, says) in [
        (reported, "0.000021763780", "0.000021763781", "priced again"),
        (estimated, "0.000047270341", "0.000000000000", "priced again"),
        (reported, r#""funding":"platform""#, r#""funding":"byo""#, "priced again"),
        (reported, v2, v1, "priced again"),
        (reported, r#""tokens_input":1200"#, r#""tokens_input":1201"#, "counted again"),
        (reported, r#""tokens_cached_input":1024"#, r#""tokens_cached_input":1023"#, "counted again"),
        (reported, r#""tokens_cache_write_input":0"#, r#""tokens_cache_write_input":1"#, "counted again"),
        (reported, r#""tokens_audio_input":0"#, r#""tokens_audio_input":1"#, "counted again"),
        (reported, r#""tokens_output":345"#, r#""tokens_output":344"#, "counted again"),
        (reported, r#""tokens_audio_output":0"#, r#""tokens_audio_output":1"#, "counted again"),
        (reported, r#""tokens_reasoning_output":200"#, r#""tokens_reasoning_output":0"#, "counted again"),
        (reported, r#"\"completion_tokens\": 345"#, r#"\"completion_tokens\": 346"#, "counted again"),
        (reported, r#"\"cached_tokens\": 1024"#, r#"\"cached_tokens\": 1025"#, "counted again"),
        (reported, r#"\"prompt_tokens\": 1200"#, r#"\"prompt_tokens\": 1199"#, "counted again"),
        (reported, r#"{\"prompt_tokens\": 1200"#, r#"\"prompt_tokens\": 1200"#, "cannot be read"),
        (estimated, r#""input_bytes":4321"#, r#""input_bytes":4325"#, "counted again"),
        (estimated, r#""output_limit":240"#, r#""output_limit":239"#, "counted again"),
        (estimated, r#""tokens_input":1081"#, r#""tokens_input":1080"#, "counted again"),
        (reported, r#""provenance":"reported""#, r#""provenance":"estimated""#, "provenance"),
        (estimated, r#""provenance":"estimated""#, r#""provenance":"reported""#, "provenance"),
        (reported, r#""usage_rules":"openai/1""#, r#""usage_rules":"openai/9""#, "provenance"),
        (reported, r#""usage_rules":"openai/1""#, r#""usage_rules":"additional/1""#, "counted again"),
        (reported, r#""usage_rules":"openai/1""#, r#""usage_rules":null"#, "provenance"),
        (estimated, r#""estimator":"bytes/1""#, r#""estimator":"bytes/9""#, "provenance"),
        (reported, "gpt-oss-120b", "gpt-oss-121b", "does not price"),
        (reported, r#""provider":"fireworks""#, r#""provider":"groq""#, "does not price"),
        (reported, r#""mode":"chat""#, r#""mode":"embeddings""#, "does not price"),
        (reported, r#""rate_table_v":2"#, r#""rate_table_v":1"#, "rate_table_v"),
        (reported, r#""card_sha256":"329c"#, r#""card_sha256":"329d"#, "not in the bundle"),
        (reported, r#""utc_day":"2026-11-23""#, r#""utc_day":"2026-11-24""#, "utc_day"),
        (estimated, r#""occurred_at":"2026-11-22"#, r#""occurred_at":"2026-11-23"#, "utc_day"),
    ] {
        let tampered = reading(&changed(line, from, to)).unwrap_or_else(|bad| panic!("{to}: {bad}"));
        match tampered.prove(&bundle) {
            Err(BadDebit(why)) => assert!(why.contains(says), "{to}: {why}"),
            Ok(()) => panic!("{to} proves itself"),
        }
    }
}

#[test]
fn a_debit_from_before_its_card_does_not_prove_itself() {
    let (reported, _) = golden();
    let earlier = changed(reported, r#""occurred_at":"2026-11-23T09"#, r#""occurred_at":"2026-11-22T09"#);
    let earlier = changed(&earlier, r#""utc_day":"2026-11-23""#, r#""utc_day":"2026-11-22""#);
    let why = reading(&earlier).unwrap().prove(&Bundle::embedded().unwrap()).unwrap_err();
    assert!(why.to_string().contains("before its card was in force"), "{why}");
}

/// Both readers give the same debit, or the same mistake.
fn is_read_alike(line: &[u8]) {
    let shown = || String::from_utf8_lossy(line).into_owned();
    let (found, expected) = (Debit::from_canonical(line), Debit::read_in_any_order(line));
    assert_eq!(found, expected, "{}", shown());
}

#[test]
fn the_reader_of_canonical_bytes_reads_every_debit_of_the_golden_files() {
    for line in GOLDEN.lines().chain(GOLDEN_2.lines()) {
        let read = Debit::read_in_order(line.as_bytes());
        assert_eq!(read, serde_json::from_str(line).ok(), "{line}");
        assert!(read.is_some());
    }
    let mut debit = reading(golden().0).unwrap();
    debit.slot = "a \"quoted\" \\ and\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f} é 漢 🦀 text".to_owned();
    debit.model = "é".to_owned();
    debit.intent_id = Some(String::new());
    debit.flags = vec![Flag::UsageZero, Flag::PartUnpriced];
    assert_eq!(Debit::read_in_order(&debit.to_canonical()), Some(debit));
}

#[test]
fn the_reader_of_canonical_bytes_takes_each_field_by_its_name_and_in_its_place() {
    let (reported, estimated) = golden();
    for (name, line, from, to) in [
        ("another key", reported, r#""provider":"fireworks""#, r#""provides":"fireworks""#),
        ("a key that is longer", reported, r#""goal_id":null"#, r#""goal_ids":null"#),
        ("a key that is unknown", reported, r#""kind":"debit","#, r#""kind":"debit","colour":"red","#),
        (
            "two keys of one type in the wrong order",
            reported,
            r#""tokens_input":1200,"tokens_cached_input":1024"#,
            r#""tokens_cached_input":1024,"tokens_input":1200"#,
        ),
        ("a missing key", reported, r#""provider":"fireworks","#, ""),
        ("a missing key of a value that may be null", reported, r#""goal_id":null,"#, ""),
        ("the estimate's keys in the wrong order", estimated, r#""input_bytes""#, r#""output_bytes""#),
        ("another version's fields", reported, r#""canon_v":1"#, r#""canon_v":2"#),
        ("a version that is unknown", reported, r#""canon_v":1"#, r#""canon_v":3"#),
    ] {
        assert_eq!(Debit::read_in_order(changed(line, from, to).as_bytes()), None, "{name}");
    }
    // What follows the last field is left to the caller, which writes the debit again and compares the bytes.
    for after in ["", "}", "}}", "} ", "}\n", "},\"colour\":\"red\"}"] {
        let line = changed(reported, "23\"}", &format!("23\"{after}"));
        assert_eq!(Debit::read_in_order(line.as_bytes()), Debit::read_in_order(reported.as_bytes()));
        assert_eq!(reading(&line).is_ok(), after == "}", "{after:?}");
    }
}

#[test]
fn the_reader_of_canonical_bytes_accepts_nothing_that_is_not_canonical() {
    let lines = GOLDEN.lines().chain(GOLDEN_2.lines());
    for line in lines.map(str::as_bytes) {
        for place in 0..line.len() {
            let (before, after) = (&line[..place], &line[place + 1..]);
            is_read_alike(before);
            is_read_alike(&[before, after].concat());
            is_read_alike(&[before, b"0", &line[place..]].concat());
            for other in *b" \"\\,}0e\xff" {
                is_read_alike(&[before, &[other], after].concat());
            }
        }
    }
    let line = golden().0;
    for (from, to) in [
        (r#""canon_v":1"#, r#""canon_v":01"#),
        (r#""canon_v":1"#, r#""canon_v":4294967297"#),
        (r#""canon_v":1"#, r#""canon_v":18446744073709551617"#),
        (r#""kind":"debit""#, r#""kind":"deb\u0069t""#),
        (r#""kind":"debit""#, r#""kind":"grant""#),
        (r#""kind":"debit","#, ""),
        (r#""stream":"#, r#""stream":null,"stream":"#),
        (r#""flags":["#, r#""flags":["usage_zero","usage_zero""#),
    ] {
        is_read_alike(changed(line, from, to).as_bytes());
    }
}
