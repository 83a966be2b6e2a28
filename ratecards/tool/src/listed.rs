//! One model of LiteLLM's list as a model of a card, or the reasons why it cannot be one.

use std::collections::{BTreeMap, BTreeSet};

use crate::decimal::per_million;
use crate::model_text::{Entry, PARTS, Rates, Scope};
use crate::source::{Field, Listed, Place, field, hides_reasoning};
use crate::spans::{Member, Value};
use crate::unpriced::{Unpriced, unpriced};

/// What the operator said, beside which models to take.
#[derive(Clone, Debug, Default)]
pub struct Leave {
    /// A zero for a part of input or output counts as no price: the part then costs what the rest costs.
    pub allow_zero: bool,
    /// Whether to leave unpriced what can be: see [`crate::unpriced`].
    pub unpriced: bool,
    /// Where the gateway calls each provider, as far as that is known.
    pub authorities: BTreeMap<String, String>,
    /// Fields that a card cannot express; the operator knows that no call incurs them.
    pub ignored: Vec<String>,
}

/// A price that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its place in the card.
    pub place: Place,
    /// Its field in the list.
    pub field: String,
    /// Its number there, as it is written: US dollars per token.
    pub per_token: String,
    /// US dollars per million tokens.
    pub usd: String,
}

/// What a model of the list is to a card.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The model.
    pub entry: Entry,
    /// Its prices, one by one.
    pub taken: Vec<Taken>,
    /// What of the list was not taken, though the model was.
    pub notes: Vec<String>,
    /// What of the model's price is left unpriced, and what becomes of calls that would incur it.
    pub unpriced: Vec<String>,
}

/// Reads a model.
///
/// # Errors
/// All reasons to leave it out.
pub fn read(listed: &Listed<'_>, leave: &Leave) -> Result<Reading, Vec<String>> {
    let mut reader = Reader {
        leave,
        reasons: Vec::new(),
        notes: Vec::new(),
        unpriced: BTreeMap::new(),
        dropped: BTreeSet::new(),
    };
    let mode = reader.mode(listed.fields);
    let Some(mode) = mode else { return Err(reader.reasons) };
    let mut prices = reader.prices(listed, mode);
    reader.need(&prices, mode);
    reader.spread_images(&mut prices);
    let context_window = reader.limit(listed.fields, &["max_input_tokens", "max_tokens"]);
    let max_output = match mode {
        "chat" => reader.limit(listed.fields, &["max_output_tokens", "max_tokens"]),
        _ => None,
    };
    if let Some(window) = context_window.filter(|_| mode == "chat") {
        reader.drop_unreachable(&mut prices, window);
    }
    let plain = reader.scope(&prices, None);
    let tiers = reader.tiers(&mut prices, &plain);
    match (context_window, listed.upstream.clone()) {
        (Some(context_window), Ok(_)) if reader.reasons.is_empty() => {
            let provider = listed.provider.to_owned();
            let hidden_reasoning = mode == "chat" && hides_reasoning(listed);
            if hidden_reasoning {
                let hides = if provider == "groq" { "hides that if asked" } else { "hides that" };
                reader.notes.push(format!("it reasons (supports_reasoning), and {provider} {hides}"));
            }
            let entry = Entry {
                provider,
                mode,
                upstream_model: None,
                context_window,
                max_output,
                hidden_reasoning,
                plain,
                tiers,
            };
            let mut taken: Vec<Taken> = prices.into_values().collect();
            taken.sort_by_key(|taken| {
                let part = PARTS.iter().position(|part| *part == taken.place.part);
                (taken.place.tier.clone(), taken.place.above, part)
            });
            let unpriced = reader.left_unpriced();
            Ok(Reading { entry, taken, notes: reader.notes, unpriced })
        }
        (_, upstream) => {
            reader.reasons.splice(0..0, upstream.err());
            Err(reader.reasons)
        }
    }
}

type Found = BTreeMap<Place, Taken>;

struct Reader<'a> {
    leave: &'a Leave,
    reasons: Vec<String>,
    notes: Vec<String>,
    /// What is left unpriced, with its fields.
    unpriced: BTreeMap<Unpriced, Vec<String>>,
    /// Service tiers with a price that cannot be taken.
    dropped: BTreeSet<String>,
}

impl Reader<'_> {
    fn mode(&mut self, fields: &Value) -> Option<&'static str> {
        let (mode, route) = match fields.get("mode").and_then(Value::text) {
            Some("chat") => ("chat", "/v1/chat/completions"),
            Some("embedding") => ("embeddings", "/v1/embeddings"),
            Some(other) => {
                self.reasons.push(format!("mode is {other}: the gateway serves chat and embeddings"));
                return None;
            }
            None => {
                self.reasons.push("has no mode".to_owned());
                return None;
            }
        };
        let routes = fields.get("supported_endpoints").map(Value::items).unwrap_or_default();
        if !routes.is_empty() && !routes.iter().any(|known| known.text() == Some(route)) {
            self.reasons.push(format!("is not served at {route}"));
        }
        Some(mode)
    }

    /// A price that cannot be taken. If it is a tier's, the tier is left out; if it is the model's own, the
    /// model is left out.
    fn refuse(&mut self, place: &Place, why: String) {
        match &place.tier {
            Some(tier) => {
                self.dropped.insert(tier.clone());
                self.notes.push(format!("tier {tier} is not taken: {why}"));
            }
            None => self.reasons.push(why),
        }
    }

    fn prices(&mut self, listed: &Listed<'_>, mode: &str) -> Found {
        let mut found = Found::new();
        let (mut same, mut beyond) = (Vec::new(), Vec::new());
        for member in listed.fields.members() {
            let (name, raw) = (&member.key, member.value.plain());
            if raw == Some("null") {
                continue;
            }
            let ignored = self.leave.ignored.iter().any(|ignored| ignored == name);
            match field(name) {
                Field::Plain => {}
                _ if ignored => self.notes.push(format!("{name} is ignored, as you said")),
                Field::Beyond => beyond.push(member),
                Field::NotOffered(why) => self.notes.push(format!("{name} is not taken: {why}")),
                Field::Price(place) => {
                    if let Some(taken) = self.price(&place, name, raw, mode) {
                        found.insert(place, taken);
                    }
                }
                Field::SameAs(place) => same.push((place, name, raw)),
            }
        }
        for (place, name, raw) in same {
            self.same(place, name, raw, mode, &mut found);
        }
        for member in beyond {
            self.beyond(listed, member, &found);
        }
        found
    }

    /// What no card can express is left unpriced, or leaves the model out.
    fn beyond(&mut self, listed: &Listed<'_>, member: &Member, found: &Found) {
        let name = &member.key;
        let why = match unpriced(name) {
            None => "--ignore takes the model all the same, where no call incurs it".to_owned(),
            Some(_) if !self.leave.unpriced => "--leave-unpriced takes the model without it".to_owned(),
            Some(kind) => {
                let prices = found.iter().map(|(place, taken)| (place.clone(), taken.usd.clone())).collect();
                let authority = self.leave.authorities.get(listed.provider).map(String::as_str);
                match kind.may_be_left(listed, &member.value, &prices, authority) {
                    Ok(()) => return self.unpriced.entry(kind).or_default().push(name.clone()),
                    Err(why) => why,
                }
            }
        };
        self.reasons.push(format!("no card can express {name} ({why})"));
    }

    fn left_unpriced(&self) -> Vec<String> {
        let all = |fields: &[String]| match fields {
            [first] => first.clone(),
            [first, others @ ..] => format!("{first} and {} more", others.len()),
            [] => String::new(),
        };
        self.unpriced.iter().map(|(kind, fields)| format!("{}: {}", all(fields), kind.says())).collect()
    }

    fn price(&mut self, place: &Place, name: &str, raw: Option<&str>, mode: &str) -> Option<Taken> {
        let Some(raw) = raw else {
            self.refuse(place, format!("{name} is no number"));
            return None;
        };
        let usd = match per_million(raw) {
            Ok(usd) => usd,
            Err(why) => {
                self.refuse(place, format!("{name}: {why}"));
                return None;
            }
        };
        let is_zero = usd == "0.00";
        if mode == "embeddings" && !matches!(place.part, "input" | "cached_input") {
            // A zero is how the list says that embeddings have none of it.
            if !is_zero {
                self.refuse(place, format!("{name}: a card prices only the input of embeddings"));
            }
            return None;
        }
        let is_whole = matches!(place.part, "input" | "output");
        if is_zero && is_whole {
            self.refuse(
                place,
                format!("{name} is 0: no card makes a model free, and a zero is how a missing price looks"),
            );
            return None;
        }
        if is_zero && self.leave.unpriced {
            self.unpriced.entry(Unpriced::FreePart).or_default().push(name.to_owned());
            return None;
        }
        if is_zero && !self.leave.allow_zero {
            self.refuse(
                place,
                format!("{name} is 0: --allow-zero takes that for a part that is not priced apart"),
            );
            return None;
        }
        if is_zero {
            self.notes.push(format!("{name} is 0: taken for not priced apart"));
            return None;
        }
        Some(Taken { place: place.clone(), field: name.to_owned(), per_token: raw.to_owned(), usd })
    }

    /// A second price for what a card prices once.
    fn same(&mut self, place: Place, name: &str, raw: Option<&str>, mode: &str, found: &mut Found) {
        match found.get(&place) {
            Some(taken) if raw.is_some_and(|raw| per_million(raw).as_ref() == Ok(&taken.usd)) => {}
            Some(_) if self.leave.unpriced && unpriced(name) == Some(Unpriced::LongCacheWrite) => {
                self.unpriced.entry(Unpriced::LongCacheWrite).or_default().push(name.to_owned());
            }
            Some(taken) => {
                let raw = raw.unwrap_or("no number");
                let why = format!(
                    "no card can express {name} ({raw} where {} is {})",
                    taken.field, taken.per_token
                );
                self.refuse(&place, why);
            }
            // The older name of the price of cached input, without the newer one.
            None if name.ends_with("_cache_hit") => {
                if let Some(taken) = self.price(&place, name, raw, mode) {
                    found.insert(place, taken);
                }
            }
            None => self.refuse(&place, format!("no card can express {name}")),
        }
    }

    fn need(&mut self, prices: &Found, mode: &str) {
        for (part, name) in [("input", "input_cost_per_token"), ("output", "output_cost_per_token")] {
            let place = Place { tier: None, above: None, part };
            let told = self.reasons.iter().any(|reason| reason.starts_with(name));
            if !(prices.contains_key(&place) || told || part == "output" && mode == "embeddings") {
                self.reasons.push(format!("has no {name}"));
            }
        }
    }

    /// Images that cost as much as other input do so in every band and tier, though the list says it only
    /// once.
    fn spread_images(&mut self, prices: &mut Found) {
        let plain = |part| Place { tier: None, above: None, part };
        let usd = |place: Place| prices.get(&place).map(|taken| taken.usd.clone());
        let (image, input) = (usd(plain("image_input")), usd(plain("input")));
        if image.is_none() || image != input {
            return;
        }
        let inputs: Vec<Taken> =
            prices.values().filter(|taken| taken.place.part == "input").cloned().collect();
        for taken in inputs {
            let place = Place { part: "image_input", ..taken.place.clone() };
            prices.entry(place.clone()).or_insert(Taken { place, ..taken });
        }
    }

    fn limit(&mut self, fields: &Value, names: &[&str]) -> Option<u64> {
        let limit = names.iter().find_map(|name| fields.get(name)?.whole().filter(|limit| *limit > 0));
        if limit.is_none() {
            self.reasons.push(format!("has no {}", names.join(" and no ")));
        }
        limit
    }

    /// Takes out bands that no call can be in.
    fn drop_unreachable(&mut self, prices: &mut Found, window: u64) {
        let beyond = |place: &Place| place.above.filter(|above| *above >= window);
        let bounds: BTreeSet<u64> = prices.keys().filter_map(beyond).collect();
        for bound in bounds {
            self.notes
                .push(format!("prices above {bound} tokens are not taken: the context window has {window}"));
        }
        prices.retain(|place, _| beyond(place).is_none());
    }

    /// The prices of a service tier, or of the standard one. If one of its bands lacks a price, that is a
    /// reason to leave it out.
    fn scope(&mut self, prices: &Found, tier: Option<&str>) -> Scope {
        let rates = rates(prices, tier, None);
        let of_tier = prices.keys().filter(|place| place.tier.as_deref() == tier);
        let bounds: BTreeSet<u64> = of_tier.filter_map(|place| place.above).collect();
        let bands: Vec<_> =
            bounds.into_iter().map(|above| (above, self::rates(prices, tier, Some(above)))).collect();
        for (above, band) in &bands {
            self.complete(tier, &format!("above {above} tokens"), &rates, band);
        }
        Scope { rates, bands }
    }

    /// Names what one of two price lists has and the other lacks: a card states the same prices in each.
    fn complete(&mut self, tier: Option<&str>, of: &str, whole: &Rates, other: &Rates) {
        let has = |rates: &Rates, part: &str| rates.iter().any(|(known, _)| known == part);
        for part in PARTS {
            if has(whole, part) != has(other, part) {
                let (with, without) = if has(whole, part) { ("", of) } else { (of, "otherwise") };
                let with = if with.is_empty() { String::new() } else { format!(" {with}") };
                let place = Place { tier: tier.map(str::to_owned), above: None, part };
                self.refuse(&place, format!("{part} is priced{with} but not {without}"));
            }
        }
    }

    fn tiers(&mut self, prices: &mut Found, plain: &Scope) -> Vec<(String, Scope)> {
        let names: BTreeSet<String> = prices.keys().filter_map(|place| place.tier.clone()).collect();
        let mut tiers = Vec::new();
        for name in names {
            let scope = self.scope(prices, Some(&name));
            self.complete(Some(&name), "in it", &plain.rates, &scope.rates);
            let bounds = |scope: &Scope| scope.bands.iter().map(|(above, _)| *above).collect::<Vec<_>>();
            if bounds(&scope) != bounds(plain) && !self.dropped.contains(&name) {
                let place = Place { tier: Some(name.clone()), above: None, part: "input" };
                self.refuse(&place, "it is not priced for every size of the input".to_owned());
            }
            tiers.push((name, scope));
        }
        prices.retain(|place, _| place.tier.as_ref().is_none_or(|tier| !self.dropped.contains(tier)));
        tiers.retain(|(name, _)| !self.dropped.contains(name));
        tiers
    }
}

fn rates(prices: &Found, tier: Option<&str>, above: Option<u64>) -> Rates {
    let of = |part: &'static str| {
        let place = Place { tier: tier.map(str::to_owned), above, part };
        prices.get(&place).map(|taken| (part.to_owned(), taken.usd.clone()))
    };
    PARTS.into_iter().filter_map(of).collect()
}
