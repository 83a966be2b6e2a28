#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::price::card::RateCard;
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CARD: &str = include_str!("../../tests/golden/charges_card.json");
const CHARGES: &str = include_str!("../../tests/golden/charges.txt");

/// The count of a usage that a card knows under this name.
fn place<'a>(usage: &'a mut Usage, name: &str) -> &'a mut Tokens {
    match name {
        "input" => &mut usage.input,
        "cached_input" => &mut usage.cached_input,
        "cache_write" => &mut usage.cache_write_input,
        "cache_write_1h" => &mut usage.cache_write_1h_input,
        "audio_input" => &mut usage.audio_input,
        "image_input" => &mut usage.image_input,
        "output" => &mut usage.output,
        "audio_output" => &mut usage.audio_output,
        "image_output" => &mut usage.image_output,
        "reasoning_output" => &mut usage.reasoning_output,
        _ => panic!("{name}"),
    }
}

fn served(tier: Option<&str>) -> ServedTier<'_> {
    match tier {
        None => ServedTier::Standard,
        Some("?") => ServedTier::Unpriced,
        Some(name) => ServedTier::Tier(name),
    }
}

#[test]
fn every_charge_is_the_one_worked_by_hand_line_by_line() {
    let card = RateCard::parse(CARD).unwrap();
    let (mut charges, mut wrong) = (0, String::new());
    for block in CHARGES.split("\n\n").skip(1) {
        let bill = block.lines().last().unwrap();
        let (call, expected) = bill.split_once(" → ").unwrap();
        let (who, counts) = call.split_once(' ').unwrap();
        let (name, tier) = who.split_once('/').map_or((who, None), |(name, tier)| (name, Some(tier)));
        let writes_cost = counts.starts_with("writes_cost ");
        let mut usage = Usage::default();
        for (part, tokens) in counts.split(' ').filter_map(|count| count.split_once('=')) {
            *place(&mut usage, part) = Tokens(tokens.parse().unwrap());
        }
        let model = &card.models[name];
        let mut lines = Vec::new();
        let charged = model.charge(&usage, writes_cost, served(tier), &mut |line| {
            lines.push(format!("#     {} {} × {}", line.tokens, line.part.name(), line.rate));
        });
        let Charged { cost, part_unpriced } = charged.unwrap();
        let unpriced = if part_unpriced { " part_unpriced" } else { "" };
        let exceeds = if model.part_exceeds_whole(&usage, writes_cost) { " part_exceeds_whole" } else { "" };
        let said = format!("{cost}{unpriced}{exceeds}");
        let mut worked: Vec<&str> = block.lines().filter(|line| line.starts_with("#     ")).collect();
        lines.sort_unstable();
        worked.sort_unstable();
        if said != expected || lines != worked {
            wrong.push_str(&format!("{bill}, is {said} of\n{}\n", lines.join("\n")));
        }
        charges += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(charges > 25);
}

#[test]
fn a_tier_that_a_card_does_not_price_is_charged_only_if_it_is_said_to_be_unpriced() {
    for model in RateCard::parse(CARD).unwrap().models.values() {
        let charge = |served| model.charge(&Usage::default(), false, served, &mut |_| {});
        assert_eq!(charge(ServedTier::Tier("ultrafast")), None);
        assert_eq!(charge(ServedTier::Tier("default")), None, "the standard one has no name");
        assert!(charge(ServedTier::Unpriced).is_some());
    }
}

#[test]
fn a_charge_beyond_all_range_is_none_and_no_overflow() {
    let most = Tokens(u64::MAX);
    let usage =
        Usage { input: most, image_input: most, output: most, image_output: most, ..Usage::default() };
    for model in RateCard::parse(CARD).unwrap().models.values() {
        assert_eq!(model.charge(&usage, true, ServedTier::Unpriced, &mut |_| {}), None);
        assert_eq!(model.charge(&usage, true, ServedTier::Standard, &mut |_| {}), None);
    }
}

#[test]
fn a_call_that_may_have_unpriced_input_reserves_it_at_the_models_dearest_rate() {
    let card = RateCard::parse(CARD).unwrap();
    let tiered = &card.models["tiered"];
    let (input, output) = (Tokens(1_000_000), Tokens(100_000));
    let ceiling = |asked: &str| tiered.ceiling(Tokens(1_000), output, &ServiceTier::of(asked)).to_string();
    let unpriced =
        |asked: &str| tiered.unpriced_ceiling(Tokens(1_000), output, &ServiceTier::of(asked)).to_string();
    // 1 000 × 0.174978128 + 100 000 × 0.699912511; the input at 7 ÷ 11.43: 0.612423447.
    assert_eq!(ceiling("default"), "0.070166229228");
    assert_eq!(unpriced("default"), "0.070603674547");
    // Above the band and in any tier the input costs no more than that.
    let auto = ServiceTier::Auto;
    assert_eq!(tiered.unpriced_ceiling(input, output, &auto), tiered.ceiling(input, output, &auto));
    // 1 000 000 × 12 ÷ 11.43 for output is above 7 ÷ 11.43 for input.
    let plain = ServiceTier::Plain;
    assert_eq!(tiered.window_ceiling(&plain).to_string(), "1.049868766000");
    assert_eq!(tiered.unpriced_window_ceiling(&plain), tiered.window_ceiling(&plain));
    let spoken = &card.models["spoken"];
    assert_eq!(spoken.unpriced_window_ceiling(&plain), spoken.window_ceiling(&plain));
}

/// The prices of a card beside input and output.
const PRICES: [&str; 8] = [
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "image_input",
    "reasoning_output",
    "audio_output",
    "image_output",
];

type Thousandths = [u32; 10];

/// The prices that `mask` selects, from random thousandths of dollars.
fn prices(mask: u8, thousandths: &Thousandths) -> Value {
    let usd = |n: u32| format!("{}.{:03}", n / 1_000, n % 1_000);
    let [input, output, rest @ ..] = thousandths;
    let mut prices = json!({"input": usd(*input), "output": usd(*output)});
    for (bit, (key, price)) in PRICES.iter().zip(rest).enumerate() {
        if mask & (1 << bit) != 0 {
            // Cached input is never dearer than input.
            let price = if *key == "cached_input" { (*price).min(*input) } else { *price };
            prices[*key] = usd(price).into();
        }
    }
    prices
}

/// A model with up to two bands, up to two service tiers, and a minimum or none: as a card states it.
fn model() -> impl Strategy<Value = Value> {
    let thousandths = || prop::array::uniform10(1..200_000_u32);
    let bounds = (1..400_u64, 1..400_u64).prop_map(|(first, more)| [first, first + more]);
    let tier = (thousandths(), prop::collection::vec(thousandths(), 0..3), bounds);
    let tiers = prop::collection::vec(tier, 1..4);
    (any::<u8>(), tiers, prop::option::of(1..1_000_u32)).prop_map(|(mask, tiers, minimum)| {
        let tier = |(plain, bands, bounds): &(Thousandths, Vec<Thousandths>, [u64; 2])| {
            let band = |(above, band): (&u64, &Thousandths)| json!({"above_input_tokens": above, "usd_per_mtok": prices(mask, band)});
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

/// Counts within the limits, under their names. Parts may overlap, or be more than can be.
fn counts() -> impl Strategy<Value = BTreeMap<&'static str, u64>> {
    let parts = prop::array::uniform8(prop_oneof![Just(0_u64), 0..1_000_u64]);
    (0..900_u64, 0..900_u64, parts).prop_map(|(input, output, parts)| {
        let parts = PRICES.into_iter().zip(parts);
        parts.chain([("input", input), ("output", output)]).collect()
    })
}

fn usage_of(counts: &BTreeMap<&'static str, u64>) -> Usage {
    let mut usage = Usage::default();
    for (name, tokens) in counts {
        *place(&mut usage, name) = Tokens(*tokens);
    }
    usage
}

/// Every object of prices in the text of a model.
fn all_prices(model: &Value) -> Vec<&Value> {
    let tiers = model["service_tiers"].as_object().unwrap().values();
    let scopes = [model].into_iter().chain(tiers);
    scopes
        .flat_map(|scope| {
            let bands = scope["bands"].as_array().unwrap().iter().map(|band| &band["usd_per_mtok"]);
            [&scope["usd_per_mtok"]].into_iter().chain(bands).collect::<Vec<_>>()
        })
        .collect()
}

/// What a usage is charged, computed from the card's text with decimals: each token of a whole gets a name,
/// then its price. Also tells whether a token has no price.
fn decimal_charge(
    model: &Value,
    tier: Option<&str>,
    counts: &BTreeMap<&'static str, u64>,
    writes_cost: bool,
) -> (String, bool) {
    let round = |value: Decimal, dp| value.round_dp_with_strategy(dp, RoundingStrategy::MidpointAwayFromZero);
    let decimal = |value: &Value| -> Decimal { value.as_str().unwrap().parse().unwrap() };
    let pax_usd: Decimal = "11.43".parse().unwrap();
    let is_input = |name: &str| name.ends_with("input") || name.starts_with("cache_write");
    let scope = tier.filter(|tier| *tier != "?").map_or(model, |tier| &model["service_tiers"][tier]);
    let mut own = &scope["usd_per_mtok"];
    for band in scope["bands"].as_array().unwrap() {
        if counts["input"] > band["above_input_tokens"].as_u64().unwrap() {
            own = &band["usd_per_mtok"];
        }
    }
    let dearest = |of_input: bool| -> Decimal {
        let each = all_prices(model).into_iter().flat_map(|prices| prices.as_object().unwrap());
        each.filter(|(name, _)| is_input(name) == of_input).map(|(_, usd)| decimal(usd)).max().unwrap()
    };
    let (mut total, mut unpriced) = (Decimal::ZERO, false);
    for plain in ["input", "output"] {
        let of_input = plain == "input";
        let mut tokens = vec![plain; usize::try_from(counts[plain]).unwrap()];
        let mut next = tokens.iter_mut();
        for name in PRICES.into_iter().filter(|name| is_input(name) == of_input) {
            let apart = match name {
                _ if !own[name].is_null() => true,
                "cached_input" | "reasoning_output" => false,
                "cache_write" => writes_cost,
                _ => true,
            };
            if apart && counts[name] <= counts[plain] {
                next.by_ref().take(usize::try_from(counts[name]).unwrap()).for_each(|token| *token = name);
            }
        }
        for name in tokens {
            unpriced |= own[name].is_null();
            let is_dear = own[name].is_null() || tier == Some("?");
            let usd = if is_dear { dearest(of_input) } else { decimal(&own[name]) };
            total += round(usd / pax_usd, 9);
        }
    }
    let cost = round(total / Decimal::from(1_000_000), 12);
    let minimum = &model["usd_per_request_minimum"];
    let least = if minimum.is_null() { Decimal::ZERO } else { round(decimal(minimum) / pax_usd, 12) };
    (format!("{:.12}", cost.max(least)), unpriced)
}

/// The tiers of a model, the standard one, and one that it lacks.
fn tiers(model: &Model) -> Vec<Option<&str>> {
    model.service_tiers.keys().map(|name| Some(name.as_str())).chain([None, Some("?")]).collect()
}

proptest! {
    #[test]
    fn a_charge_is_the_one_that_decimals_make_of_the_cards_text(
        model in model(), counts in counts(), writes_cost: bool,
    ) {
        let (read, usage) = (read(&model), usage_of(&counts));
        for tier in tiers(&read) {
            let mut bill = Bill::default();
            let (mut input, mut output) = (0, 0);
            let charged = read.charge(&usage, writes_cost, served(tier), &mut |line| {
                assert!(line.tokens > Tokens::ZERO);
                bill.add(line.tokens, line.rate);
                let is_output = line.part.name().ends_with("output");
                *(if is_output { &mut output } else { &mut input }) += line.tokens.0;
            });
            let charged = charged.unwrap();
            let (cost, part_unpriced) = decimal_charge(&model, tier, &counts, writes_cost);
            prop_assert_eq!((charged.cost.to_string(), charged.part_unpriced), (cost, part_unpriced), "{:?}", tier);
            prop_assert_eq!(bill.total().unwrap().max(read.minimum.unwrap_or_default()), charged.cost);
            prop_assert_eq!((input, output), (usage.input.0, usage.output.0), "each token is charged once");
        }
    }

    #[test]
    fn where_a_card_prices_all_that_is_counted_both_versions_charge_the_same(
        model in model(), counts in counts(),
    ) {
        let (model, mut usage) = (read(&model), usage_of(&counts));
        let rates = model.prices.rates;
        (usage.cache_write_1h_input, usage.image_input, usage.image_output) = Default::default();
        for (rate, tokens) in [(rates.audio_input, &mut usage.audio_input), (rates.audio_output, &mut usage.audio_output)] {
            if rate.is_none() {
                *tokens = Tokens::ZERO;
            }
        }
        for tier in tiers(&model).into_iter().filter(|tier| *tier != Some("?")) {
            let charged = model.charge(&usage, false, served(tier), &mut |_| {}).unwrap();
            prop_assert_eq!(charged.cost, model.price(&usage, tier).unwrap());
            prop_assert!(!charged.part_unpriced);
        }
    }

    #[test]
    fn no_call_within_its_limits_is_charged_more_than_its_reservation(
        model in model(), counts in counts(), (input, output) in (0..100_u64, 0..100_u64), writes_cost: bool,
    ) {
        let (model, mut usage) = (read(&model), usage_of(&counts));
        let (input, output) = (Tokens(usage.input.0 + input), Tokens(usage.output.0 + output));
        let ceilings = |usage: &Usage, ceiling: &dyn Fn(&ServiceTier) -> Pax| {
            for tier in tiers(&model).into_iter().filter(|tier| *tier != Some("?")) {
                let charged = model.charge(usage, writes_cost, served(tier), &mut |_| {}).unwrap();
                let plain = model.charge(usage, writes_cost, ServedTier::Standard, &mut |_| {}).unwrap();
                let asked = tier.map_or(ServiceTier::Plain, ServiceTier::of);
                prop_assert!(charged.cost <= ceiling(&asked));
                prop_assert!(charged.cost <= ceiling(&ServiceTier::Auto), "the provider decides");
                prop_assert!(plain.cost <= ceiling(&asked), "it may be served as any other call");
            }
            Ok(())
        };
        // Audio and pictures that nobody asked for are not within the limits of a call.
        if model.prices.rates.audio_output.is_none() {
            usage.audio_output = Tokens::ZERO;
        }
        if model.prices.rates.image_output.is_none() {
            usage.image_output = Tokens::ZERO;
        }
        ceilings(&usage, &|asked| model.unpriced_ceiling(input, output, asked))?;
        // If all that is counted has a price, the plain ceiling covers it.
        if !model.charge(&usage, writes_cost, ServedTier::Standard, &mut |_| {}).unwrap().part_unpriced {
            ceilings(&usage, &|asked| model.ceiling(input, output, asked))?;
        }
    }
}
