//! Cards with mistakes, and every word that an operator reads about them.

use super::{CARD, mistakes};
use crate::price::card::RateCard;

/// The text left of `→` is replaced by the text right of it; the mistakes of that card follow.
const TABLE: &str = include_str!("../../../tests/golden/card_mistakes.txt");

#[test]
fn each_mistake_is_named_with_its_path_and_what_to_do() {
    let (mut cards, mut wrong) = (0, String::new());
    for block in TABLE.trim_matches('\n').split("\n\n") {
        let (change, expected) = block.split_once('\n').unwrap();
        let (from, to) = change.split_once(" →").unwrap();
        let said = mistakes(&[(from, to.trim_start())]);
        if said != expected {
            wrong.push_str(&format!("{change}\n{said}\n\n"));
        }
        cards += 1;
    }
    assert!(wrong.is_empty(), "said otherwise:\n{wrong}");
    assert!(cards > 105);
}

#[test]
fn all_mistakes_are_named_at_once() {
    let many = mistakes(&[
        ("_v\": 2", "_v\": 0"),
        ("00:00:00Z", "00:00:00+01:00"),
        ("\"11.43\"", "11.43"),
        ("\"10\"", "\"ten\""),
        ("\"embed\"]", "\"gtp\"]"),
        ("\"chat\"", "\"audio\""),
        ("131072", "0"),
        ("\"0.15\"", "0.15"),
        ("\"0.015\"", "\"-1\""),
        ("\"0.60\"", "\"0,60\""),
        ("\"0.008\"", "\"0\", \"per_request\": \"1\""),
    ]);
    let expected = r#"rate_table_v: must be from 1 to 4294967295, is 0
effective_from: must be a UTC time such as "2026-11-23T00:00:00Z"
pax_usd: must be a string, is a number: write it in double quotes
free_tier.daily_cap_pax: must be a plain decimal such as "0.15", without an exponent
models.gpt.mode: must be "chat" or "embeddings", is "audio"
models.gpt.context_window: must be from 1 to 1000000000, is 0
models.gpt.usd_per_mtok.input: must be a string, is a number: write it in double quotes
models.gpt.usd_per_mtok.cached_input: must be above 0 and at most 1000000000 US dollars
models.gpt.usd_per_mtok.output: must be a plain decimal such as "0.15", without an exponent
models.embed.usd_per_mtok.input: must be above 0 and at most 1000000000 US dollars
models.embed.usd_per_mtok.per_request: is unknown here; known are: input, cached_input
free_tier.slots.default: "gtp" has no price in this card: add it to models, or take it out here"#;
    assert_eq!(many, expected);
}

#[test]
fn a_text_that_is_no_card_is_said_to_be_that_and_no_more() {
    let card = CARD.trim_end();
    for (text, what) in [
        ("[]", "must be an object, is a list"),
        ("\"v1.json\"", "must be an object, is a string"),
        ("", "is not JSON: EOF while parsing a value at line 1 column 0"),
        ("\u{feff}{}", "is not JSON: expected value at line 1 column 1"),
        (card.strip_suffix("}").unwrap(), "is not JSON: EOF while parsing an object at line 11 column 0"),
        (&format!("{card}\n{card}"), "is not JSON: trailing characters at line 12 column 1"),
        (&card.replacen('2', "02", 1), "is not JSON: invalid number at line 2 column 20"),
        (&card.replacen("11", "\\u11", 1), "is not JSON: invalid escape at line 2 column 51"),
    ] {
        assert_eq!(RateCard::parse(text).unwrap_err().to_string(), what);
    }
}

#[test]
fn a_member_under_another_name_is_unknown_and_missed() {
    for key in [
        "rate_table_v",
        "effective_from",
        "reason",
        "pax_usd",
        "free_tier",
        "models",
        "daily_cap_pax",
        "slots",
    ] {
        let said = mistakes(&[(&format!("\"{key}\":"), "\"renamed\":")]);
        assert!(
            said.contains("renamed: is unknown here") && said.contains(&format!("{key}: is missing")),
            "{said}"
        );
    }
}

#[test]
fn an_id_may_have_256_bytes() {
    for (len, expected) in
        [(256, "none"), (257, "is no model id: use 1 to 256 bytes of printable characters")]
    {
        let id = "m".repeat(len);
        let model =
            r#"{"provider": "x", "mode": "embeddings", "context_window": 1, "usd_per_mtok": {"input": "1"}}"#;
        let said = mistakes(&[("\"models\": {", &format!("\"models\": {{\"{id}\": {model}, "))]);
        assert_eq!(said.trim_start_matches(&format!("models.{id}: ")), expected);
    }
}
