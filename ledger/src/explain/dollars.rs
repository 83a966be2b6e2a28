//! The prices of a model in dollars, as its card's file states them: its rates were made from these.

use pax_gateway::base::pax::{Pax, Rate, Usd};
use pax_gateway::price::rates::Part;
use serde_json::Value;

/// A price in US dollars per million tokens, and its path in the card's model.
pub(super) struct Price {
    pub path: String,
    pub usd: String,
}

/// The prices of a model as its card's file has them.
pub(super) struct Dollars {
    /// What one PAX costs, as the card writes it.
    pub pax_usd: String,
    one_pax: Usd,
    model: Value,
}

impl Dollars {
    /// Reads the prices of a model from a card's file.
    pub fn of(card: &str, model: &str) -> Option<Self> {
        let card: Value = serde_json::from_str(card).ok()?;
        let pax_usd = card.get("pax_usd")?.as_str()?.to_owned();
        let model = card.get("models")?.get(model)?.clone();
        Some(Self { one_pax: pax_usd.parse().ok()?, pax_usd, model })
    }

    /// The price that a part's rate was made from: its own at `place` (the call's band and service tier), else
    /// any price of the same side from which the rate can be made.
    pub fn price(&self, place: &str, part: Part, rate: Rate) -> Option<Price> {
        let is_output = |name: &str| name.ends_with("output");
        let places = self.places();
        let all = || places.iter().flat_map(|(at, set)| set.iter().map(move |(name, usd)| (at, name, usd)));
        let own = all().filter(|(at, name, _)| *at == place && *name == part.name());
        let side = all().filter(|(_, name, _)| is_output(name) == is_output(part.name()));
        own.chain(side).find_map(|(at, name, usd)| {
            let usd = usd.as_str()?;
            let made = Rate::derive(usd.parse().ok()?, self.one_pax).ok()?;
            let path = format!("{at}usd_per_mtok.{name}");
            (made == rate).then(|| Price { path, usd: usd.to_owned() })
        })
    }

    /// The least that a call costs, in dollars, if this minimum was made from it.
    pub fn minimum(&self, minimum: Pax) -> Option<&str> {
        let usd = self.model.get("usd_per_request_minimum")?.as_str()?;
        (Pax::derive(usd.parse().ok()?, self.one_pax) == Ok(minimum)).then_some(usd)
    }

    /// The places of prices in the model, with their paths: its own, those of its bands, and those of its
    /// service tiers and their bands.
    fn places(&self) -> Vec<(String, &serde_json::Map<String, Value>)> {
        let tiers = self.model.get("service_tiers").and_then(Value::as_object);
        let tiers = tiers.into_iter().flatten().map(|(name, tier)| (format!("service_tiers.{name}."), tier));
        let mut found = Vec::new();
        for (place, prices) in [(String::new(), &self.model)].into_iter().chain(tiers) {
            let bands = prices.get("bands").and_then(Value::as_array).into_iter().flatten();
            let bands: Vec<_> =
                bands.enumerate().map(|(index, band)| (format!("{place}bands[{index}]."), band)).collect();
            let all = [(place, prices)].into_iter().chain(bands);
            found.extend(all.filter_map(|(place, set)| Some((place, set.get("usd_per_mtok")?.as_object()?))));
        }
        found
    }
}
