//! Compares the second card with the list that its prices come from. The list is LiteLLM's and no part of
//! this repository: `PAX_LITELLM_PRICES` names a copy. Prices are compared as decimal texts: no float ever.

use std::collections::BTreeMap;
use std::{env, fs};

use serde_json::value::RawValue;

use super::embedded;
use crate::base::pax::{AmountError, Usd};

/// An object whose values are kept as they are written.
type Raw<'a> = BTreeMap<String, &'a RawValue>;

fn members(text: &str) -> Raw<'_> {
    serde_json::from_str(text).unwrap()
}

fn text(members: &Raw<'_>, key: &str) -> Option<String> {
    members.get(key).map(|raw| serde_json::from_str(raw.get()).unwrap())
}

/// Dollars for a token as dollars for a million tokens: the point of `6e-07` moves, and it is 0.6.
fn per_million(per_token: &str) -> Result<Usd, AmountError> {
    let (mantissa, exponent) = per_token.split_once(['e', 'E']).unwrap_or((per_token, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let point = isize::try_from(whole.len()).unwrap() + 6 + exponent.parse::<isize>().unwrap();
    let before = "0".repeat(usize::try_from(1 - point).unwrap_or(0));
    let mut digits = before + whole + fraction;
    let point = usize::try_from(point).unwrap_or(0).max(1);
    while digits.len() <= point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(point);
    format!("{whole}.{fraction}").parse()
}

/// The list's name for a model: the provider, then the provider's own id. OpenAI's models have the id only.
fn listed_name(provider: &str, upstream: &str) -> String {
    match provider {
        "openai" => upstream.to_owned(),
        "fireworks" | "together" => format!("{provider}_ai/{upstream}"),
        _ => format!("{provider}/{upstream}"),
    }
}

#[test]
fn a_price_per_token_is_read_as_one_per_million_by_its_text() {
    for (per_token, usd) in [
        ("6e-07", "0.6"),
        ("1.5e-06", "1.5"),
        ("0.000002", "2"),
        ("2.8E-8", "0.028"),
        ("1e-09", "0.001"),
        ("1.25e-05", "12.5"),
        ("0.00001", "10"),
        ("0.0", "0"),
        ("1", "1000000"),
        ("1.25e+1", "12500000"),
        ("1e-18", "0.000000000001"),
    ] {
        assert_eq!(per_million(per_token), Ok(usd.parse().unwrap()), "{per_token}");
    }
    assert_eq!(per_million("1e-19"), Err(AmountError::TooPrecise { decimals: 12 }));
}

#[test]
fn each_price_of_the_second_card_is_the_listed_one() {
    let Some(file) = env::var_os("PAX_LITELLM_PRICES") else {
        println!("skipped: PAX_LITELLM_PRICES does not name LiteLLM's price list");
        return;
    };
    let list = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let list = members(&list);
    let (_, card) = embedded::FILES.iter().find(|(name, _)| *name == "v2.json").unwrap();
    let models = members(card).get("models").map(|models| members(models.get())).unwrap();
    let mut wrong = Vec::new();
    for (id, model) in &models {
        let model = members(model.get());
        let upstream = text(&model, "upstream_model").unwrap_or_else(|| id.clone());
        let name = listed_name(&text(&model, "provider").unwrap(), &upstream);
        let Some(listed) = list.get(&name).map(|listed| members(listed.get())) else {
            wrong.push(format!("{id}: {name} is not in the list"));
            continue;
        };
        let prices = members(model["usd_per_mtok"].get());
        for (ours, theirs) in [
            ("input", "input_cost_per_token"),
            ("cached_input", "cache_read_input_token_cost"),
            ("output", "output_cost_per_token"),
        ] {
            let price: Option<Usd> = text(&prices, ours).map(|usd| usd.parse().unwrap());
            let listed = listed.get(theirs).map(|raw| per_million(raw.get()).unwrap());
            // The list has a zero if there is no such price, as for the output of embeddings.
            if price != listed.filter(|usd| !usd.is_zero()) {
                wrong.push(format!("{id}: {ours} is {price:?}, {name} has {theirs} {listed:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} models compared", models.len());
}
