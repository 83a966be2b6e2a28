//! Computes what a call costs in two ways: by the core, and independently of it by decimals from the card's
//! text.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Tokens;
use pax_gateway::dialect::usage::Usage;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::rates::ServedTier;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// The moment it is.
pub fn now() -> Moment {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Moment::from_ms(ms.try_into().unwrap())
}

/// The cards that the first two prices were published with. Later ones change nothing here.
pub fn first_two_cards() -> Bundle {
    let (v1, v2) = (include_str!("../../ratecards/v1.json"), include_str!("../../ratecards/v2.json"));
    let lock: Vec<&str> = include_str!("../../ratecards/LOCK")
        .lines()
        .filter(|line| line.ends_with("  v1.json") || line.ends_with("  v2.json"))
        .collect();
    Bundle::load(&[("v1.json", v1), ("v2.json", v2)], &lock.join("\n")).unwrap()
}

/// An entry's cost, priced again by the core under the entry's own card.
pub fn reprice(entry: &Value) -> String {
    if entry["funding"] == "byo" {
        return "0.000000000000".to_owned();
    }
    let bundle = Bundle::embedded().unwrap();
    let sha256 = entry["card_sha256"].as_str().unwrap().parse().unwrap();
    let card = bundle.by_sha256(&sha256).expect("the entry's card is in the bundle");
    assert_eq!(entry["rate_table_v"], card.version.0);
    let tokens = |name: &str| Tokens(entry[name].as_u64().unwrap());
    let usage = Usage {
        input: tokens("tokens_input"),
        cached_input: tokens("tokens_cached_input"),
        cache_write_input: tokens("tokens_cache_write_input"),
        cache_write_1h_input: tokens("tokens_cache_write_1h_input"),
        audio_input: tokens("tokens_audio_input"),
        image_input: tokens("tokens_image_input"),
        output: tokens("tokens_output"),
        audio_output: tokens("tokens_audio_output"),
        image_output: tokens("tokens_image_output"),
        reasoning_output: tokens("tokens_reasoning_output"),
    };
    let flagged = |flag: &str| entry["flags"].as_array().unwrap().iter().any(|name| name == flag);
    let served = match entry["service_tier"].as_str() {
        None => ServedTier::Standard,
        Some(_) if flagged("service_tier_unpriced") => ServedTier::Unpriced,
        Some(name) => ServedTier::Tier(name),
    };
    let says = |name: &str| entry["usage"].get(name).is_some();
    let writes_cost = says("cache_creation") || says("cache_creation_input_tokens");
    let model = &card.models[entry["model"].as_str().unwrap()];
    model.charge(&usage, writes_cost, served, &mut |_| {}).unwrap().cost.to_string()
}

/// Token counts, as a bill needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub input: u64,
    pub cached: u64,
    pub output: u64,
}

/// The price of counts from the text of a card: USD ÷ `pax_usd` half up to 9 decimals, the sum ÷ 10⁶ half up
/// to 12.
pub fn price(card: &Value, model: &str, counts: Counts) -> String {
    let decimal = |value: &Value| -> Decimal { value.as_str().unwrap().parse().unwrap() };
    let round = |value: Decimal, decimals| {
        value.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero)
    };
    let usd = &card["models"][model]["usd_per_mtok"];
    let rate = |name: &str| round(decimal(&usd[name]) / decimal(&card["pax_usd"]), 9);
    let cached = if usd.get("cached_input").is_some() { counts.cached } else { 0 };
    let mut sum = Decimal::from(counts.input - cached) * rate("input");
    if cached > 0 {
        sum += Decimal::from(cached) * rate("cached_input");
    }
    if counts.output > 0 {
        sum += Decimal::from(counts.output) * rate("output");
    }
    format!("{:.12}", round(sum / Decimal::from(1_000_000), 12))
}

/// The text of a published card.
pub fn card_text(version: u32) -> Value {
    let file = format!("{}/ratecards/v{version}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}
