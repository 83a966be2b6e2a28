//! Explains what an entry's tokens cost: each line of the bill, the rates in dollars, and the one rounding.

use std::sync::Arc;

use pax_gateway::base::account::Funding;
use pax_gateway::base::pax::Tokens;
use pax_gateway::debit::frozen::Debit;
use pax_gateway::price::card::{Model, RateCard};
use pax_gateway::price::rates::{BillLine, INPUT_PARTS, OUTPUT_PARTS, Part, Prices, ServedTier};

use super::dollars::{Dollars, Price};
use super::row;

pub(super) fn lines(
    debit: &Debit,
    card: Option<(&Arc<RateCard>, &Arc<str>)>,
    model: Option<&Model>,
) -> Vec<String> {
    let (version, sha256) = (debit.rate_table_v, debit.card_sha256);
    let mut lines = vec![format!("cost, by rate card {version} (sha256 {sha256})")];
    let cost = debit.cost_pax;
    if debit.funding == Funding::Byo {
        lines.push(row("cost", format!("{cost} PAX: the caller's own key paid the provider")));
        return lines;
    }
    let (Some((_, text)), Some(model)) = (card, model) else {
        let unknown = match card {
            None => "this ledger does not know the card: `pax-ledger cards add FILE` makes it known",
            Some(_) => "the card does not price this model for this kind of call",
        };
        lines.push(row("cost", format!("{cost} PAX, but {unknown}")));
        return lines;
    };
    let served = match debit.served(model) {
        Ok(served) => served,
        Err(bad) => {
            lines.push(row("cost", format!("{cost} PAX, but {bad}")));
            return lines;
        }
    };
    let (prices, place) = match served {
        ServedTier::Standard | ServedTier::Unpriced => (&model.prices, String::new()),
        ServedTier::Tier(name) => {
            (model.service_tiers.get(name).unwrap_or(&model.prices), format!("service_tiers.{name}."))
        }
    };
    lines.push(row("prices", tier_and_band(debit, served, prices)));
    let items = debit.lines(model).unwrap_or_default();
    lines.extend(bill(&items));
    lines.extend(notes(debit, &items, prices, served));
    if let Some(dollars) = Dollars::of(text, &debit.model) {
        lines.extend(rates(&items, &dollars, &[&place[..], &band_place(debit, prices)].concat()));
        if let Some(minimum) = model.minimum {
            let made = dollars.minimum(minimum).map_or_else(String::new, |usd| {
                format!(": {usd} US dollars ÷ {}, rounded half up to 12 decimals", dollars.pax_usd)
            });
            lines.push(row("minimum", format!("{minimum} PAX a call{made}")));
        }
    }
    let larger = if model.minimum.is_some() { ", or the minimum if that is more" } else { "" };
    lines.push(row("cost", format!("{cost} PAX: the sum, rounded once, half up, to 12 decimals{larger}")));
    lines
}

/// Which of the model's prices hold for the call, and why.
fn tier_and_band(debit: &Debit, served: ServedTier<'_>, prices: &Prices) -> String {
    let tier = match served {
        ServedTier::Standard => "standard".to_owned(),
        ServedTier::Tier(name) => format!("service tier {name}"),
        ServedTier::Unpriced => {
            return format!(
                "the model's dearest of each side, since the card has none for the service tier {}",
                super::on_one_line(debit.service_tier.as_deref().unwrap_or_default())
            );
        }
    };
    let input = debit.tokens_input;
    let above = prices.bands.iter().rev().find(|band| band.above_input < input);
    let next = prices.bands.iter().find(|band| band.above_input >= input);
    match (above, next) {
        (None, None) => tier,
        (Some(band), _) => {
            format!("{tier}, those above {} input tokens, since the call has {input}", band.above_input)
        }
        (None, Some(band)) => {
            format!("{tier}, those up to {} input tokens, since the call has {input}", band.above_input)
        }
    }
}

/// The path of the prices of the call's band, within those of its service tier.
fn band_place(debit: &Debit, prices: &Prices) -> String {
    let band = prices.bands.iter().rposition(|band| band.above_input < debit.tokens_input);
    band.map_or_else(String::new, |index| format!("bands[{index}]."))
}

/// The lines, and their sum.
fn bill(items: &[BillLine]) -> Vec<String> {
    let widest = |text: fn(&BillLine) -> String| items.iter().map(|line| text(line).len()).max().unwrap_or(0);
    let (of_tokens, of_rates) =
        (widest(|line| line.tokens.to_string()), widest(|line| line.rate.to_string()));
    let sum = fifteen_decimals(items.iter().map(femtopax).fold(0, u128::saturating_add));
    let of_amounts = sum.len();
    let lines = items.iter().map(|line| {
        let (tokens, rate, amount) =
            (line.tokens.to_string(), line.rate.to_string(), fifteen_decimals(femtopax(line)));
        let product = format!("{tokens:>of_tokens$} × {rate:>of_rates$} ÷ 1000000");
        row(line.part.name(), format!("{product} = {amount:>of_amounts$}"))
    });
    // This lines the sum up below the amounts.
    let before = if items.is_empty() { 0 } else { of_tokens.saturating_add(of_rates).saturating_add(16) };
    lines.chain([row("sum", format!("{:before$}{sum}", ""))]).collect()
}

/// The parts that are not charged in full at a price of their own, and why.
fn notes(debit: &Debit, items: &[BillLine], prices: &Prices, served: ServedTier<'_>) -> Vec<String> {
    let usage = debit.usage();
    let rates = prices.rates_of(usage.input);
    let mut lines = Vec::new();
    for (whole, parts) in [(Part::Input, &INPUT_PARTS[..]), (Part::Output, &OUTPUT_PARTS[..])] {
        let all = whole.counted(&usage);
        let (mut left, side) = (all, whole.name());
        let counted = |part: &&Part| part.counted(&usage) > Tokens::ZERO && part.counted(&usage) <= all;
        for part in parts.iter().filter(counted) {
            let (counted, name) = (part.counted(&usage), part.name());
            let charged =
                items.iter().find(|line| line.part == *part).map_or(Tokens::ZERO, |line| line.tokens);
            if charged == Tokens::ZERO && left > Tokens::ZERO {
                lines.push(row("note", format!("the card has no price for {name}: it is charged as {side}")));
            } else if charged < counted {
                let what = format!(
                    "of {counted} {name} the parts above it left {charged}: no token is charged twice"
                );
                lines.push(row("note", what));
            }
            if charged > Tokens::ZERO && rates.of(*part).is_none() && served != ServedTier::Unpriced {
                let what =
                    format!("the card has no price for {name}: the model's dearest {side} price counts");
                lines.push(row("note", what));
            }
            left = left.saturating_sub(charged);
        }
    }
    lines
}

/// What each rate was made from.
fn rates(items: &[BillLine], dollars: &Dollars, place: &str) -> Vec<String> {
    let made: Vec<_> =
        items.iter().filter_map(|line| Some((line, dollars.price(place, line.part, line.rate)?))).collect();
    if made.is_empty() {
        return Vec::new();
    }
    let pax_usd = &dollars.pax_usd;
    let mut lines = vec![format!(
        "  in PAX per million tokens, from the card's US dollars: ÷ {pax_usd} (what 1 PAX costs), rounded half up to 9 decimals"
    )];
    let width = made.iter().map(|(_, price)| price.usd.len()).max().unwrap_or(0);
    lines.extend(made.iter().map(|(BillLine { part, rate, .. }, Price { path, usd })| {
        row(part.name(), format!("{usd:>width$} ÷ {pax_usd} = {rate}  {path}"))
    }));
    lines
}

/// Thousandths of a picopax: a rate has 9 decimals and is for a million tokens, so this is exact.
fn femtopax(line: &BillLine) -> u128 {
    u128::from(line.tokens.0).saturating_mul(u128::from(line.rate.nanopax()))
}

fn fifteen_decimals(femtopax: u128) -> String {
    const ONE: u128 = 1_000_000_000_000_000;
    format!("{}.{:015}", femtopax / ONE, femtopax % ONE)
}
