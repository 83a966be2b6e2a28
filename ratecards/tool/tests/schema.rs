//! The JSON Schema and the gateway's reader agree: both take the same cards, and refuse the same mistakes as
//! far as a schema can express them.

use std::fs;
use std::path::PathBuf;

use jsonschema::Validator;
use pax_gateway::price::card::RateCard;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn schema() -> Validator {
    let text = fs::read_to_string(folder().join("schema.json")).unwrap();
    jsonschema::draft202012::new(&serde_json::from_str(&text).unwrap()).unwrap()
}

const CARD: &str = r#"{
  "rate_table_v": 3, "effective_from": "2026-11-23T00:00:00Z", "reason": "why", "pax_usd": "11.43",
  "free_tier": {"daily_cap_pax": "10", "slots": {"default": ["gpt"]}},
  "models": {
    "gpt": {
      "provider": "x", "mode": "chat", "context_window": 1000000, "max_output_tokens": 32768,
      "usd_per_mtok": {"input": "0.15", "cached_input": "0.015", "output": "0.60"},
      "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "1.2"}}],
      "usd_per_request_minimum": "0.001",
      "service_tiers": {"flex": {"usd_per_mtok": {"input": "0.1", "cached_input": "0.01", "output": "0.3"}, "bands": []}}
    },
    "embed": {"provider": "y", "mode": "embeddings", "context_window": 8192, "usd_per_mtok": {"input": "0.008"}}
  }
}"#;

/// Changes to the card: the text left of `→` is replaced by the text right of it.
const WRONG: &str = r#"
"rate_table_v": 3 → "rate_table_v": 0
"rate_table_v": 3 → "rate_table_v": "3"
"rate_table_v": 3, →
"reason": "why" → "reason": ""
"reason": "why" → "note": "why"
"2026-11-23T00:00:00Z" → "2026-11-23"
"2026-11-23T00:00:00Z" → "2026-11-23T00:00:00+01:00"
"11.43" → 11.43
"11.43" → "0.00"
"11.43" → "-1"
"10" → "-1"
"10" → "1e1"
"default" → "Default"
["gpt"] → "gpt"
["gpt"] → ["gpt", "gpt"]
["gpt"] → [""]
"provider": "x", →
"chat" → "audio"
"mode": "chat", → "mode": "embeddings",
1000000 → 0
1000000 → 1000000001
1000000 → "1000000"
"max_output_tokens": 32768, →
32768, → 32768, "bytes_per_token": 65,
32768, → 32768, "bytes_per_token_other": 0,
32768, → 32768, "hidden_reasoning": "yes",
32768, → 32768, "unseen_after_s": -1,
32768, → 32768, "unseen_after_s": 86401,
32768, → 32768, "unseen_tokens_per_s": 100001,
8192, → 8192, "hidden_reasoning": true,
8192, → 8192, "unseen_after_s": 5,
8192, → 8192, "unseen_tokens_per_s": 40,
32768, → 32768, "upstream_model": "",
32768, → 32768, "upstream_model": "a\nb",
32768, → 32768, "max_tokens": 1,
"0.15" → 0.15
"0.15" → "0"
"0.15" → "1.5e-1"
"0.15" → ".15"
"0.15" → "0.1500000000000"
"input": "0.15", →
, "output": "0.60" →
"0.60"} → "0.60", "audio": "1"}
"above_input_tokens": 7, →
"above_input_tokens": 7 → "above_input_tokens": 0
"above_input_tokens": 7 → "above_input_tokens": 7, "up_to": 9
, "output": "1.2" →
"0.001" → 0.001
"0.001" → "0"
"flex" → "Flex"
"flex" → "default"
"flex" → "auto"
{"usd_per_mtok": {"input": "0.1", "cached_input": "0.01", "output": "0.3"}, "bands": []} → {"bands": []}
8192, → 8192, "max_output_tokens": 1,
"0.008" → "0.008", "output": "1"
"0.008" → "0.008", "audio_input": "1"
"0.008" → "0.008", "image_input": "1"
"embed" → ""
"#;

#[test]
fn every_card_of_the_bundle_is_valid() {
    let schema = schema();
    let mut cards = vec![("the card of this test".to_owned(), CARD.to_owned())];
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('v') && name.ends_with(".json") {
            cards.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    assert!(cards.len() >= 3);
    for (name, text) in cards {
        let errors: Vec<String> = schema
            .iter_errors(&serde_json::from_str(&text).unwrap())
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        assert!(RateCard::parse(&text).is_ok(), "{name}");
    }
}

#[test]
fn what_a_schema_can_say_is_refused_by_both() {
    let schema = schema();
    let mut wrong = 0;
    for change in WRONG.trim().lines() {
        let (from, to) = change.split_once(" →").unwrap();
        assert!(CARD.contains(from), "{from}");
        let card = CARD.replacen(from, to.trim_start(), 1);
        let value = serde_json::from_str(&card).unwrap_or_else(|error| panic!("{change}: {error}"));
        assert!(!schema.is_valid(&value), "the schema takes {change}");
        assert!(RateCard::parse(&card).is_err(), "the reader takes {change}");
        wrong += 1;
    }
    assert!(wrong >= 45);
}
