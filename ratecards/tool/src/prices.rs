//! The dollars of a card, one by one, as they are written.
//!
//! A parsed card has rates in PAX, with which calls are priced, and no dollars. Changes are easier to read in
//! dollars, so the dollars are taken from the text of a card that was parsed before.

use std::collections::BTreeMap;

use pax_gateway::base::pax::Usd;

use crate::spans::{self, Value};

/// Which price of a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// Per million tokens.
    Token {
        /// The service tier; none is the standard one.
        tier: Option<String>,
        /// The band: calls with more input tokens than these.
        above: Option<u64>,
        /// Its key in `usd_per_mtok`.
        part: String,
    },
    /// The least that a call costs.
    Minimum,
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Minimum => f.write_str("minimum per request"),
            Self::Token { tier, above, part } => {
                if let Some(tier) = tier {
                    write!(f, "{tier}: ")?;
                }
                f.write_str(part)?;
                above.map_or(Ok(()), |above| write!(f, " above {above}"))
            }
        }
    }
}

/// The part whose price another part has if it has none of its own. For parts that are not named here, calls
/// that ask for them are refused then, or they are charged at the model's dearest rate.
#[must_use]
pub fn whole_of(part: &str) -> Option<&'static str> {
    match part {
        "cached_input" | "cache_write" => Some("input"),
        "reasoning_output" => Some("output"),
        _ => None,
    }
}

/// A price as a card states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// In US dollars: per million tokens, or per request.
    pub usd: Usd,
    /// Its path in the card.
    pub path: String,
}

/// The prices of a model.
pub type Prices = BTreeMap<Which, Price>;

/// The prices of every model of a card. What cannot be read is left out: the card's own reader has named it.
#[must_use]
pub fn of_card(text: &str) -> BTreeMap<String, Prices> {
    let card = spans::read(text);
    let models = card.as_ref().and_then(|card| card.get("models"));
    let models = models.map(Value::members).unwrap_or_default();
    models.iter().map(|model| (model.key.clone(), of_model(&model.key, &model.value))).collect()
}

fn of_model(id: &str, model: &Value) -> Prices {
    let path = pax_gateway::base::strict_json::join("models", id);
    let mut prices = Prices::new();
    scope(model, &path, None, &mut prices);
    if let Some(usd) = usd(model.get("usd_per_request_minimum")) {
        let path = format!("{path}.usd_per_request_minimum");
        prices.insert(Which::Minimum, Price { usd, path });
    }
    for tier in model.get("service_tiers").map(Value::members).unwrap_or_default() {
        let path = pax_gateway::base::strict_json::join(&format!("{path}.service_tiers"), &tier.key);
        scope(&tier.value, &path, Some(&tier.key), &mut prices);
    }
    prices
}

/// Adds the prices in `usd_per_mtok` and `bands` of a model or of one of its service tiers.
fn scope(of: &Value, path: &str, tier: Option<&str>, prices: &mut Prices) {
    let mut add = |holder: &Value, path: &str, above: Option<u64>| {
        for member in holder.get("usd_per_mtok").map(Value::members).unwrap_or_default() {
            let Some(usd) = usd(Some(&member.value)) else { continue };
            let (tier, part) = (tier.map(str::to_owned), member.key.clone());
            let path = format!("{path}.usd_per_mtok.{part}");
            prices.insert(Which::Token { tier, above, part }, Price { usd, path });
        }
    };
    add(of, path, None);
    for (index, band) in of.get("bands").map(Value::items).unwrap_or_default().iter().enumerate() {
        let above = band.get("above_input_tokens").and_then(Value::whole);
        add(band, &format!("{path}.bands[{index}]"), above);
    }
}

fn usd(value: Option<&Value>) -> Option<Usd> {
    value?.text()?.parse().ok()
}
