//! A model of a card as text: written in the style of the cards, or changed in its place with every other byte kept.

use std::fmt::Write as _;

use pax_gateway::base::pax::Usd;

use crate::decimal::dollars;
use crate::draft::{Edits, quoted};
use crate::spans::{Member, Value};

/// The parts of `usd_per_mtok` in the order in which cards have them.
pub const PARTS: [&str; 10] = [
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "image_input",
    "output",
    "audio_output",
    "image_output",
    "reasoning_output",
];

/// `usd_per_mtok`: parts, in the order of [`PARTS`], and dollars.
pub type Rates = Vec<(String, String)>;

/// The prices of a model, or of one of its service tiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Its prices.
    pub rates: Rates,
    /// Its bands: bound and prices, by ascending bound.
    pub bands: Vec<(u64, Rates)>,
}

/// A model as an import writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who serves it.
    pub provider: String,
    /// `chat` or `embeddings`.
    pub mode: &'static str,
    /// The provider's id, if it differs from the public id.
    pub upstream_model: Option<String>,
    /// The most input.
    pub context_window: u64,
    /// The most output; none for embeddings.
    pub max_output: Option<u64>,
    /// Whether its provider hides what it reasons.
    pub hidden_reasoning: bool,
    /// Its prices.
    pub plain: Scope,
    /// Other service tiers, by name.
    pub tiers: Vec<(String, Scope)>,
}

fn rates(rates: &Rates) -> String {
    let pairs: Vec<String> =
        rates.iter().map(|(part, usd)| format!("{}: {}", quoted(part), quoted(usd))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A list of bands, one to a line, whose lines begin with `indent`.
fn bands(bands: &[(u64, Rates)], indent: &str) -> String {
    if bands.is_empty() {
        return "[]".to_owned();
    }
    let lines: Vec<String> = bands
        .iter()
        .map(|(above, prices)| {
            format!("{indent}  {{\"above_input_tokens\": {above}, \"usd_per_mtok\": {}}}", rates(prices))
        })
        .collect();
    format!("[\n{}\n{indent}]", lines.join(",\n"))
}

fn tiers(tiers: &[(String, Scope)], has_bands: bool) -> String {
    let lines: Vec<String> = tiers
        .iter()
        .map(|(name, scope)| {
            let mut line = format!("        {}: {{\"usd_per_mtok\": {}", quoted(name), rates(&scope.rates));
            // If the model has bands, a tier must say what becomes of them.
            if has_bands || !scope.bands.is_empty() {
                let _ = write!(line, ", \"bands\": {}", bands(&scope.bands, "        "));
            }
            line + "}"
        })
        .collect();
    format!("{{\n{}\n      }}", lines.join(",\n"))
}

impl Entry {
    /// The object of a new model.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!(
            "{{\n      \"provider\": {}, \"mode\": \"{}\", \"context_window\": {}",
            quoted(&self.provider),
            self.mode,
            self.context_window
        );
        if let Some(most) = self.max_output {
            let _ = write!(text, ", \"max_output_tokens\": {most}");
        }
        if self.hidden_reasoning {
            text.push_str(", \"hidden_reasoning\": true");
        }
        if let Some(upstream) = &self.upstream_model {
            let _ = write!(text, ",\n      \"upstream_model\": {}", quoted(upstream));
        }
        let _ = write!(text, ",\n      \"usd_per_mtok\": {}", rates(&self.plain.rates));
        if !self.plain.bands.is_empty() {
            let _ = write!(text, ",\n      \"bands\": {}", bands(&self.plain.bands, "      "));
        }
        if !self.tiers.is_empty() {
            let _ = write!(
                text,
                ",\n      \"service_tiers\": {}",
                tiers(&self.tiers, !self.plain.bands.is_empty())
            );
        }
        text + "\n    }"
    }

    /// Changes a model that is there: what differs, and nothing else. Fields that the source says nothing of stay.
    pub fn update(&self, model: &Value, edits: &mut Edits) {
        let limits = [("context_window", Some(self.context_window)), ("max_output_tokens", self.max_output)];
        for (key, new) in limits {
            if let (Some(value), Some(new)) = (model.get(key), new)
                && value.whole() != Some(new)
            {
                edits.replace(value.span.clone(), new.to_string());
            }
        }
        // The list never says that reasoning is shown. So if the card says that it is hidden, that stays.
        if self.hidden_reasoning {
            set(model, "hidden_reasoning", "max_output_tokens", Some("true".to_owned()), edits);
        }
        let old = scope_of(model);
        if let Some(value) = model.get("usd_per_mtok") {
            update_rates(value, &self.plain.rates, edits);
        }
        let new_bands = (!self.plain.bands.is_empty()).then(|| bands(&self.plain.bands, "      "));
        if old.bands != self.plain.bands {
            set(model, "bands", "usd_per_mtok", new_bands, edits);
        }
        let old_tiers = tiers_of(model);
        if old_tiers != self.tiers {
            let new = (!self.tiers.is_empty()).then(|| tiers(&self.tiers, !self.plain.bands.is_empty()));
            let after = if model.get("bands").is_some() { "bands" } else { "usd_per_mtok" };
            set(model, "service_tiers", after, new, edits);
        }
    }
}

fn update_rates(value: &Value, new: &Rates, edits: &mut Edits) {
    let members = value.members();
    let same_keys = members.len() == new.len()
        && new.iter().all(|(part, _)| members.iter().any(|member| member.key == *part));
    if !same_keys {
        edits.replace(value.span.clone(), rates(new));
        return;
    }
    for (part, usd) in new {
        let Some(old) = value.get(part) else { continue };
        let number = |text: &str| text.parse::<Usd>().ok();
        if old.text().and_then(number) != number(usd) {
            edits.replace(old.span.clone(), quoted(usd));
        }
    }
}

/// Sets, puts in after another, or takes out a member of a model.
fn set(model: &Value, key: &str, after: &str, new: Option<String>, edits: &mut Edits) {
    let members = model.members();
    let place = members.iter().position(|member| member.key == key);
    match (place.and_then(|index| members.get(index)), new) {
        (Some(old), Some(new)) => edits.replace(old.value.span.clone(), new),
        (None, Some(new)) => {
            let after = members.iter().find(|member| member.key == after).or(members.last());
            if let Some(after) = after {
                let at = after.value.span.end;
                edits.replace(at..at, format!(",\n      {}: {new}", quoted(key)));
            }
        }
        (Some(old), None) => edits.replace(with_comma(members, old), String::new()),
        (None, None) => {}
    }
}

/// The bytes of a member with the comma before it, or, if it is the first member, with the comma behind it.
fn with_comma(members: &[Member], member: &Member) -> std::ops::Range<usize> {
    let before = members.iter().take_while(|other| other.at < member.at).last();
    let behind = members.iter().find(|other| other.at > member.at);
    match (before, behind) {
        (Some(before), _) => before.value.span.end..member.value.span.end,
        (None, Some(behind)) => member.at..behind.at,
        (None, None) => member.at..member.value.span.end,
    }
}

/// Prices of a card's text, in our order, their dollars as we write them.
fn rates_of(value: Option<&Value>) -> Rates {
    let members = value.map(Value::members).unwrap_or_default();
    let mut rates: Rates = members
        .iter()
        .map(|member| {
            let text = member.value.text().unwrap_or_default();
            (member.key.clone(), text.parse::<Usd>().map_or_else(|_| text.to_owned(), dollars))
        })
        .collect();
    rates.sort_by_key(|(part, _)| PARTS.iter().position(|known| known == part));
    rates
}

/// What a model or a service tier of a card's text says.
#[must_use]
pub fn scope_of(value: &Value) -> Scope {
    let bands = value.get("bands").map(Value::items).unwrap_or_default().iter();
    Scope {
        rates: rates_of(value.get("usd_per_mtok")),
        bands: bands
            .map(|band| {
                let above = band.get("above_input_tokens").and_then(Value::whole).unwrap_or_default();
                (above, rates_of(band.get("usd_per_mtok")))
            })
            .collect(),
    }
}

/// The service tiers of a model of a card's text, by name.
#[must_use]
pub fn tiers_of(model: &Value) -> Vec<(String, Scope)> {
    let tiers = model.get("service_tiers").map(Value::members).unwrap_or_default();
    let mut tiers: Vec<_> = tiers.iter().map(|tier| (tier.key.clone(), scope_of(&tier.value))).collect();
    tiers.sort_by(|a, b| a.0.cmp(&b.0));
    tiers
}
