#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::dialect::usage::Rules;
use crate::price::card::{Model, RateCard};
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

const CARD: &str = include_str!("../../tests/golden/bills_card.json");
const BILLS: &str = include_str!("../../tests/golden/bills.txt");

#[test]
fn every_bill_is_the_one_worked_by_hand() {
    let card = RateCard::parse(CARD).unwrap();
    let (mut bills, mut wrong) = (0, String::new());
    for line in BILLS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (bill, expected) = line.split_once(" → ").unwrap();
        let [who, rules, raw] = bill.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (model, tier) = who.split_once('/').map_or((who, None), |(model, tier)| (model, Some(tier)));
        let model = &card.models[model];
        let reading = Rules::named(rules).unwrap().read(raw.as_bytes(), model.mode).unwrap();
        let cost = model.price(&reading.usage, tier).unwrap().to_string();
        if cost != expected {
            wrong.push_str(&format!("{line}, is {cost}\n"));
        }
        let worked = format!("→ {cost}\n{line}");
        let exact = format!("= {}\n{line}", cost.trim_end_matches('0'));
        assert!(BILLS.contains(&worked) || BILLS.contains(&exact) || cost == "0.000000000000", "{line}");
        bills += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(bills > 30);
}

#[test]
fn a_tier_that_a_card_does_not_price_has_no_price() {
    for model in RateCard::parse(CARD).unwrap().models.values() {
        assert_eq!(model.price(&Usage::default(), Some("ultrafast")), None);
        assert_eq!(model.price(&Usage::default(), Some("default")), None, "the standard one has no name");
    }
}

#[test]
fn what_cannot_be_is_told_where_it_would_have_been_priced() {
    let card = RateCard::parse(CARD).unwrap();
    let odd = |model: &str, usage: Usage| card.models[model].prices.part_exceeds_whole(&usage);
    let more = Tokens(11);
    let usage = Usage { input: Tokens(10), output: Tokens(10), ..Usage::default() };
    for (part, priced_by) in [
        (Usage { cache_write_input: more, ..usage }, "written"),
        (Usage { audio_input: more, ..usage }, "spoken"),
        (Usage { audio_output: more, ..usage }, "spoken"),
        (Usage { reasoning_output: more, ..usage }, "thinks"),
    ] {
        assert!(odd(priced_by, part) && odd("all", part), "{part:?}");
        assert!(!odd("plain", part) && !odd("embed", part), "no price is changed by it: {part:?}");
    }
    let ten = Tokens(10);
    let all = Usage { cached_input: ten, cache_write_input: ten, audio_input: ten, ..usage };
    assert!(!odd("all", all), "parts may overlap");
}

#[test]
fn what_is_said_of_a_service_tier() {
    use ServiceTier::{Auto, Plain};
    for (name, tier) in [("auto", Auto), ("default", Plain), ("standard", Plain), ("on_demand", Plain)] {
        assert_eq!((ServiceTier::of(name), tier.name()), (tier.clone(), None), "{name}");
    }
    assert_eq!(ServiceTier::of("flex").name(), Some("flex"));
    assert_eq!(ServiceTier::of("Default").name(), Some("Default"), "no provider folds its own words");
}

#[test]
fn a_reservation_is_the_dearest_of_what_may_serve_the_call() {
    let card = RateCard::parse(CARD).unwrap();
    let ceiling = |model: &str, input, output, asked: &str| {
        card.models[model].ceiling(Tokens(input), Tokens(output), &ServiceTier::of(asked)).to_string()
    };
    // 1 000 000 × 0.174978128, flex 0.087489064, priority 0.306211724.
    assert_eq!(ceiling("tiered", 1_000_000, 0, "default"), "0.174978128000");
    assert_eq!(
        ceiling("tiered", 1_000_000, 0, "flex"),
        "0.174978128000",
        "it may be served as any other call"
    );
    assert_eq!(ceiling("tiered", 1_000_000, 0, "priority"), "0.306211724000");
    assert_eq!(ceiling("tiered", 1_000_000, 0, "auto"), "0.306211724000", "the provider decides");
    // A band counts from the first token above it: 200 000 × 0.109361330; 200 001 × 0.218722660.
    assert_eq!(ceiling("banded", 200_000, 0, "auto"), "0.021872266000");
    assert_eq!(ceiling("banded", 200_001, 0, "auto"), "0.043744750723");
    // Here the band is the cheaper one, and a call may stay below it: 2 000 000 × 0.000699913.
    assert_eq!(ceiling("embed", 2_000_000, 0, "auto"), "0.001399826000");
    // All input may be audio or written to a cache, all output reasoning: 10 × 3.499562555 + 10 ×
    // 6.999125109.
    assert_eq!(ceiling("all", 10, 10, "default"), "0.000874890639", "and at least the minimum");
    assert_eq!(ceiling("all", 1_000, 1_000, "default"), "0.010498687664");
    assert_eq!(ceiling("least", 0, 0, "auto"), "0.000043744532");
}

/// The keys of prices, and whether each is for input.
const PARTS: [(&str, bool); 5] = [
    ("cached_input", true),
    ("cache_write", true),
    ("audio_input", true),
    ("reasoning_output", false),
    ("audio_output", false),
];

/// The prices that `mask` selects, from random thousandths of dollars.
fn prices(mask: u8, thousandths: &[u32; 7]) -> Value {
    let usd = |n: u32| format!("{}.{:03}", n / 1_000, n % 1_000);
    let [input, output, rest @ ..] = thousandths;
    let mut prices = json!({"input": usd(*input), "output": usd(*output)});
    for (bit, ((key, _), price)) in PARTS.iter().zip(rest).enumerate() {
        if mask & (1 << bit) != 0 {
            // Cached input is never dearer than input.
            let price = if *key == "cached_input" { (*price).min(*input) } else { *price };
            prices[*key] = usd(price).into();
        }
    }
    prices
}

fn thousandths() -> impl Strategy<Value = [u32; 7]> {
    prop::array::uniform7(1..200_000_u32)
}

/// A model with up to two bands, up to two service tiers, and a minimum or none: as a card states it.
fn model() -> impl Strategy<Value = Value> {
    let bounds = (1..400_u64, 1..400_u64).prop_map(|(first, more)| [first, first + more]);
    let tier = (thousandths(), prop::collection::vec(thousandths(), 0..3), bounds);
    let tiers = prop::collection::vec(tier, 1..4);
    (any::<u8>(), tiers, prop::option::of(1..1_000_u32)).prop_map(|(mask, tiers, minimum)| {
        let tier = |(plain, bands, bounds): &([u32; 7], Vec<[u32; 7]>, [u64; 2])| {
            let band = |(above, band): (&u64, &[u32; 7])| json!({"above_input_tokens": above, "usd_per_mtok": prices(mask, band)});
            let bands: Vec<Value> = bounds.iter().zip(bands).map(band).collect();
            json!({"usd_per_mtok": prices(mask, plain), "bands": bands})
        };
        let mut model = tier(&tiers[0]);
        for (key, value) in [("provider", json!("p")), ("mode", json!("chat")), ("context_window", json!(1_000_000)), ("max_output_tokens", json!(1_000_000))] {
            model[key] = value;
        }
        let names = ["flex", "priority"].iter().zip(&tiers[1..]);
        model["service_tiers"] = names.map(|(name, prices)| ((*name).to_owned(), tier(prices))).collect();
        if let Some(minimum) = minimum {
            model["usd_per_request_minimum"] = format!("0.{minimum:04}").into();
        }
        model
    })
}

fn read(model: &Value) -> Model {
    let card = json!({
        "rate_table_v": 1, "effective_from": "2026-01-01T00:00:00Z", "reason": "random", "pax_usd": "11.43",
        "free_tier": {"daily_cap_pax": "10", "slots": {}}, "models": {"m": model},
    });
    RateCard::parse(&card.to_string()).unwrap().models.remove("m").unwrap()
}

/// Counts within the limits. Parts may overlap, or be more than can be.
fn usage() -> impl Strategy<Value = Usage> {
    (0..900_u64, 0..900_u64, prop::array::uniform5(0..1_000_u64)).prop_map(|(input, output, parts)| {
        let [cached, written, heard, thought, spoken] = parts.map(Tokens);
        Usage {
            input: Tokens(input),
            cached_input: cached,
            cache_write_input: written,
            audio_input: heard,
            output: Tokens(output),
            audio_output: spoken,
            reasoning_output: thought,
            ..Usage::default()
        }
    })
}

/// What a usage costs, computed from the card's text with decimals: token by token of each whole, in the
/// order of `PARTS`.
fn decimal_price(model: &Value, tier: Option<&str>, usage: &Usage) -> String {
    let round = |value: Decimal, dp| value.round_dp_with_strategy(dp, RoundingStrategy::MidpointAwayFromZero);
    let decimal = |value: &Value| -> Decimal { value.as_str().unwrap().parse().unwrap() };
    let pax_usd: Decimal = "11.43".parse().unwrap();
    let prices = tier.map_or(model, |tier| &model["service_tiers"][tier]);
    let mut rates = &prices["usd_per_mtok"];
    for band in prices["bands"].as_array().unwrap() {
        if usage.input.0 > band["above_input_tokens"].as_u64().unwrap() {
            rates = &band["usd_per_mtok"];
        }
    }
    let counts = [
        usage.cached_input,
        usage.cache_write_input,
        usage.audio_input,
        usage.reasoning_output,
        usage.audio_output,
    ];
    let mut total = Decimal::ZERO;
    for (plain, is_input, whole) in [("input", true, usage.input.0), ("output", false, usage.output.0)] {
        let mut taken = vec![plain; usize::try_from(whole).unwrap()];
        let mut next = 0;
        for ((key, of_input), count) in PARTS.iter().zip(counts) {
            if *of_input == is_input && count.0 <= whole && !rates[*key].is_null() {
                for _ in 0..count.0 {
                    if let Some(token) = taken.get_mut(next) {
                        *token = *key;
                        next += 1;
                    }
                }
            }
        }
        total += taken.iter().map(|key| round(decimal(&rates[*key]) / pax_usd, 9)).sum::<Decimal>();
    }
    let cost = round(total / Decimal::from(1_000_000), 12);
    let minimum = &model["usd_per_request_minimum"];
    let least = if minimum.is_null() { Decimal::ZERO } else { round(decimal(minimum) / pax_usd, 12) };
    format!("{:.12}", cost.max(least))
}

fn tiers(model: &Model) -> Vec<Option<&str>> {
    model.service_tiers.keys().map(|name| Some(name.as_str())).chain([None]).collect()
}

proptest! {
    #[test]
    fn a_price_is_the_one_that_decimals_make_of_the_cards_text(model in model(), usage in usage()) {
        let read = read(&model);
        for tier in tiers(&read) {
            let price = read.price(&usage, tier).unwrap().to_string();
            prop_assert_eq!(price, decimal_price(&model, tier, &usage), "{:?}", tier);
        }
    }

    #[test]
    fn no_call_within_its_limits_costs_more_than_its_reservation(
        model in model(), usage in usage(), (input, output) in (0..100_u64, 0..100_u64),
    ) {
        let model = read(&model);
        let (input, output) = (Tokens(usage.input.0 + input), Tokens(usage.output.0 + output));
        for served in tiers(&model) {
            let price = model.price(&usage, served).unwrap();
            let asked = served.map_or(ServiceTier::Plain, ServiceTier::of);
            prop_assert!(price <= model.ceiling(input, output, &asked));
            prop_assert!(price <= model.ceiling(input, output, &ServiceTier::Auto), "the provider decides");
            let plain = model.price(&usage, None).unwrap();
            prop_assert!(plain <= model.ceiling(input, output, &asked), "it may be served as any other call");
        }
    }

    #[test]
    fn no_token_is_charged_twice(usage in usage()) {
        // All rates are the same. Then a bill is all tokens at that rate, whatever they are.
        let one: Rate = "0.000001".parse().unwrap();
        let rate = Some(one);
        let flat = Rates {
            input: one, cached_input: rate, cache_write: rate, audio_input: rate,
            output: one, audio_output: rate, reasoning_output: rate,
            ..Rates::default()
        };
        let price = Prices { rates: flat, bands: Vec::new() }.price(&usage).unwrap();
        prop_assert_eq!(u64::try_from(price.picopax()).unwrap(), usage.input.0 + usage.output.0);
    }
}
