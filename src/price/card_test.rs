#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]
#![allow(clippy::indexing_slicing, clippy::string_slice)]

use super::*;
use crate::base::pax::Rate;
use crate::price::rates::Rates;
use proptest::prelude::*;

/// The contract's example, with a model for embeddings beside it.
const CARD: &str = r#"{
  "rate_table_v": 2, "effective_from": "2026-11-23T00:00:00Z", "reason": "prices of November", "pax_usd": "11.43",
  "free_tier": {"daily_cap_pax": "10", "slots": {"default": ["gpt", "embed"]}},
  "models": {
    "gpt": {
      "provider": "fireworks", "mode": "chat", "context_window": 131072, "max_output_tokens": 32768,
      "usd_per_mtok": {"input": "0.15", "cached_input": "0.015", "output": "0.60"}
    },
    "embed": {"provider": "nomic", "mode": "embeddings", "context_window": 8192, "usd_per_mtok": {"input": "0.008"}}
  }
}
"#;

/// The mistakes of the card in which each `from` is replaced by its `to`, one a line.
fn mistakes(changes: &[(&str, &str)]) -> String {
    let mut text = CARD.to_owned();
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "{from} stands once");
        text = text.replace(from, to);
    }
    RateCard::parse(&text).map_or_else(|mistakes| mistakes.to_string(), |_| "none".to_owned())
}

/// A chat model at these prices.
fn chat(usd_per_mtok: &str) -> Model {
    let prices = r#"{"input": "0.15", "cached_input": "0.015", "output": "0.60"}"#;
    RateCard::parse(&CARD.replace(prices, usd_per_mtok)).unwrap().models.remove("gpt").unwrap()
}

fn price(model: &Model, input: u64, cached_input: u64, output: u64) -> String {
    let (input, cached_input, output) = (Tokens(input), Tokens(cached_input), Tokens(output));
    model.price(&Usage { input, cached_input, output, ..Usage::default() }, None).unwrap().to_string()
}

#[test]
fn the_card_of_the_contract_is_read_as_it_stands() {
    let card = RateCard::parse(
        r#"{
  "rate_table_v": 2, "effective_from": "2026-11-23T00:00:00Z", "reason": "provider prices of November 2026", "pax_usd": "11.43",
  "free_tier": {"daily_cap_pax": "10", "slots": {"default": ["accounts/fireworks/models/gpt-oss-120b"]}},
  "models": {
    "accounts/fireworks/models/gpt-oss-120b": {
      "provider": "fireworks", "mode": "chat", "context_window": 131072, "max_output_tokens": 32768,
      "usd_per_mtok": {"input": "0.15", "cached_input": "0.015", "output": "0.60"}
    }
  }
}"#,
    )
    .unwrap();
    assert_eq!(card.version, RateTableVersion(2));
    assert_eq!(card.effective_from.to_string(), "2026-11-23T00:00:00.000Z");
    assert_eq!(card.reason, "provider prices of November 2026");
    assert_eq!(card.pax_usd.to_string(), "11.430000000000");
    assert_eq!(card.free_tier.daily_cap.to_string(), "10.000000000000");
    let id = "accounts/fireworks/models/gpt-oss-120b";
    assert_eq!(card.free_tier.slots, BTreeMap::from([("default".to_owned(), vec![id.to_owned()])]));
    let [(name, model)] = card.models.iter().collect::<Vec<_>>()[..] else { panic!("one model") };
    assert_eq!((name.as_str(), model.provider.as_str(), model.mode), (id, "fireworks", Mode::Chat));
    assert_eq!((model.context_window, model.max_output), (Tokens(131_072), Tokens(32_768)));
    assert_eq!((&model.upstream_model, model.hidden_reasoning), (&None, false));
    assert_eq!(model.factors, Factors::default());
    assert_eq!(model.prices.rates.input.to_string(), "0.013123360");
    assert_eq!(model.prices.rates.cached_input.unwrap().to_string(), "0.001312336");
    assert_eq!(model.prices.rates.output.to_string(), "0.052493438");
}

#[test]
fn optional_fields_are_read() {
    let text = CARD.replace(
        r#""provider": "nomic""#,
        r#""provider": "nomic", "upstream_model": "n", "bytes_per_token": 3"#,
    );
    let card = RateCard::parse(&text).unwrap();
    let model = card.models.get("embed").unwrap();
    assert_eq!((model.upstream_model.as_deref(), model.factors.bytes_per_token), (Some("n"), 3));
    assert_eq!((bytes_per_token(Some(model)), bytes_per_token(None)), (3, 4));
}

#[test]
fn what_estimates_are_made_by_is_read() {
    let fields = r#"32768, "hidden_reasoning": true, "unseen_after_s": 0, "unseen_tokens_per_s": 85,
        "bytes_per_token": 5, "bytes_per_token_other": 2,"#;
    let models = RateCard::parse(&CARD.replacen("32768,", fields, 1)).unwrap().models;
    assert!(models["gpt"].hidden_reasoning);
    let factors =
        Factors { bytes_per_token: 5, bytes_per_token_other: 2, unseen_after_s: 0, unseen_tokens_per_s: 85 };
    assert_eq!(models["gpt"].factors, factors);
    let embed = &models["embed"];
    assert_eq!(embed.factors, Factors { unseen_tokens_per_s: 0, ..Factors::default() }, "it writes nothing");
    assert!(!embed.hidden_reasoning);
}

#[test]
fn prices_of_pictures_and_of_long_cache_writes_are_read() {
    let rates = chat(
        r#"{"input": "1", "cache_write_1h": "2", "image_input": "3", "output": "4", "image_output": "5"}"#,
    )
    .prices
    .rates;
    let dollars = |usd: &str| Some(Rate::derive(usd.parse().unwrap(), "11.43".parse().unwrap()).unwrap());
    let read = [rates.cache_write_1h, rates.image_input, rates.image_output];
    assert_eq!(read, [dollars("2"), dollars("3"), dollars("5")]);
    assert_eq!((rates.cache_write, rates.audio_input), (None, None));
}

#[test]
fn a_model_of_an_older_card_has_its_plain_prices_and_no_others() {
    for card in crate::price::bundle::Bundle::embedded().unwrap().cards().iter().take(2) {
        for model in card.models.values() {
            let Rates { input, cached_input, output, .. } = model.prices.rates;
            assert_eq!(model.prices.rates, Rates { input, cached_input, output, ..Rates::default() });
            assert!(model.prices.bands.is_empty() && model.service_tiers.is_empty());
            assert_eq!(model.minimum, None);
        }
    }
}

#[test]
fn the_model_of_the_readme_states_every_field_there_is() {
    let readme = include_str!("../../ratecards/README.md");
    let (_, model) = readme.split_once("```json\n\"gpt-all\": ").unwrap();
    let (model, _) = model.split_once("```").unwrap();
    let text = CARD.replacen("\"models\": {", &format!("\"models\": {{\"all\": {model}, "), 1);
    let all = &RateCard::parse(&text).unwrap().models["all"];
    assert_eq!((all.prices.bands.len(), all.service_tiers.len(), all.minimum.is_some()), (1, 1, true));
    for change in [("32768,", r#"32768, "x": 1,"#), (r#""0.60""#, r#""0.60", "x": "1""#)] {
        let said = mistakes(&[change]);
        let (_, known) = said.split_once("known are: ").unwrap();
        for key in known.split(", ") {
            assert!(model.contains(&format!("\"{key}\":")), "{key}");
        }
    }
}

#[test]
fn a_model_may_state_no_bands_and_no_tiers_in_so_many_words() {
    let text = r#""0.60"}, "bands": [], "service_tiers": {}"#;
    assert_eq!(mistakes(&[(r#""0.60"}"#, text)]), "none");
    let text = r#""0.60"}, "bands": [], "service_tiers": {"flex": {"usd_per_mtok": {"input": "0.1", "cached_input": "0.01", "output": "0.3"}, "bands": []}}"#;
    assert_eq!(mistakes(&[(r#""0.60"}"#, text)]), "none");
}

#[test]
fn a_card_is_named_by_the_hash_of_its_bytes() {
    let sha256 = RateCard::parse(CARD).unwrap().sha256;
    assert_eq!(sha256, Digest::of(&[CARD.as_bytes()]));
    let with_space = RateCard::parse(&format!("{CARD} ")).unwrap();
    assert_ne!(with_space.sha256, sha256, "one space more is another card");
}

#[test]
fn known_answers_of_the_contract() {
    let gpt_oss_20b = chat(r#"{"input": "0.20", "output": "0.40"}"#);
    assert_eq!(price(&gpt_oss_20b, 1_000_000, 0, 1_000_000), "0.052493439000");
    let deepseek = chat(r#"{"input": "0.30", "output": "0.90"}"#);
    assert_eq!(price(&deepseek, 100, 0, 50), "0.000006561680");
    assert_eq!(price(&deepseek, 0, 0, 0), "0.000000000000");
}

#[test]
fn cached_input_is_priced_at_its_rate_and_then_not_as_input() {
    let cached = chat(r#"{"input": "0.15", "cached_input": "0.015", "output": "0.60"}"#);
    // The example of ratecards/README.md.
    assert_eq!(price(&cached, 1_200, 300, 350), "0.000030577428");
    assert_eq!(price(&cached, 1_000_000, 1_000_000, 0), "0.001312336000", "all of it cached");
    let plain = chat(r#"{"input": "0.15", "output": "0.60"}"#);
    assert_eq!(
        price(&plain, 1_200, 300, 350),
        price(&plain, 1_200, 0, 350),
        "no cached rate: as other input"
    );
}

#[test]
fn embeddings_are_priced_by_input_only() {
    let card = RateCard::parse(CARD).unwrap();
    let embed = card.models.get("embed").unwrap();
    assert_eq!(
        (embed.mode, embed.max_output, embed.prices.rates.output),
        (Mode::Embeddings, Tokens(0), Rate::default())
    );
    // 0.008 ÷ 11.43 = 0.000699913
    assert_eq!(price(embed, 1_000_000, 0, 0), "0.000699913000");
    assert_eq!(price(embed, 1_000_000, 0, 7), "0.000699913000");
}

#[test]
fn a_cost_beyond_all_range_is_none_and_no_overflow() {
    let model = chat(r#"{"input": "0.15", "cached_input": "0.015", "output": "0.60"}"#);
    let most = Tokens(u64::MAX);
    assert_eq!(
        model.price(&Usage { input: most, cached_input: most, output: most, ..Usage::default() }, None),
        None
    );
}

#[test]
fn what_a_card_may_be_at_its_edges() {
    for (from, to) in [
        ("\"10\"", "\"0\""),
        ("\"10\"", "\"9223372.036854775807\""),
        ("_v\": 2", "_v\": 4294967295"),
        ("\"0.015\"", "\"0.15\""),
        ("\"0.015\"", "\"0.150000000000\""),
        ("[\"gpt\", \"embed\"]", "[]"),
        ("{\"default\": [\"gpt\", \"embed\"]}", "{}"),
        ("00:00:00Z", "00:00:00.000Z"),
        ("131072", "1000000000"),
        (
            "\"models\": {",
            "\"models\": {\"gpt-4.1 é\": {\"provider\": \"x\", \"mode\": \"embeddings\", \"context_window\": 1, \"usd_per_mtok\": {\"input\": \"1\"}}, ",
        ),
    ] {
        assert_eq!(mistakes(&[(from, to)]), "none", "{from} -> {to}");
    }
}

/// What a value may be replaced by.
const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "7",
    "1e9",
    "\"\"",
    "\"0\"",
    "\"0.1\"",
    "\"-1\"",
    "\"x\"",
    "\"gpt\"",
    "[]",
    "{}",
    "[[{}]]",
    "\"embeddings\"",
    "\"1000000000\"",
    "\"0.000000000001\"",
    "",
    "\\",
];

/// The places of the strings and numbers in a text.
fn tokens(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(|c: char| c == '"' || c.is_ascii_digit()).map(|found| at + found)
    {
        let rest = &text[start + 1..];
        let len = match text.as_bytes()[start] {
            b'"' => rest.find('"').map_or(rest.len(), |end| end + 1),
            _ => rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
        };
        at = start + 1 + len;
        tokens.push(start..at);
    }
    tokens
}

proptest! {
    #[test]
    fn a_card_with_changed_values_is_read_or_its_mistakes_are_named(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(VALUES)), 1..4),
    ) {
        let mut text = CARD.to_owned();
        for (place, value) in changes {
            let token = place.get(&tokens(&text)).clone();
            text.replace_range(token, value);
        }
        match RateCard::parse(&text) {
            Ok(card) => for model in card.models.values() {
                prop_assert_ne!(model.prices.rates.input, Rate::default());
                prop_assert_eq!(model.prices.rates.output == Rate::default(), model.mode == Mode::Embeddings);
            },
            Err(mistakes) => prop_assert!(!mistakes.0.is_empty()),
        }
    }

    #[test]
    fn a_price_is_the_sum_of_its_parts_within_one_rounding(
        input in 0..10_000_000u64, cached in 0..10_000_000u64, output in 0..10_000_000u64,
    ) {
        let model = chat(r#"{"input": "0.15", "cached_input": "0.015", "output": "0.60"}"#);
        let cached = cached.min(input);
        let nano = u128::from(input - cached) * 13_123_360 + u128::from(cached) * 1_312_336 + u128::from(output) * 52_493_438;
        let picopax: Pax = price(&model, input, cached, output).parse().unwrap();
        prop_assert_eq!(u128::try_from(picopax.picopax()).unwrap(), (nano + 500) / 1_000);
    }
}

#[path = "card/mistakes_test.rs"]
mod mistakes_of_cards;

#[test]
fn the_most_that_a_call_can_cost_counts_each_token_at_its_dearest_rate() {
    let card = RateCard::parse(CARD).unwrap();
    for model in card.models.values() {
        let (input, output) = (Tokens(1_000), Tokens(if model.mode == Mode::Chat { 100 } else { 0 }));
        let ceiling = model.ceiling(input, output, &ServiceTier::Auto);
        for cached in [0, 1, 500, 1_000] {
            let usage = Usage { input, cached_input: Tokens(cached), output, ..Usage::default() };
            assert!(model.price(&usage, None).unwrap() <= ceiling);
        }
        assert_eq!(
            model.ceiling(Tokens(u64::MAX), output, &ServiceTier::Plain),
            Pax::MAX,
            "beyond every cap, not a panic"
        );
    }
}
