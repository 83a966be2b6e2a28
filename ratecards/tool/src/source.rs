//! LiteLLM's price list, read as it is written: which provider has which model, and what each of a model's
//! prices means.
//!
//! The list has some three hundred fields. Each is sorted here into what a card says, what says nothing of a price, what no
//! call through the gateway can incur, and the rest: what changes the price in a way that a card cannot express.

use crate::spans::Value;

/// A price's place in the source: `input_cost_per_token_above_200k_tokens_priority` is the part `input`, above 200 000,
/// in tier `priority`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The service tier; none is the standard one.
    pub tier: Option<String>,
    /// Calls with more input tokens than these; none is all others.
    pub above: Option<u64>,
    /// The key in a card's `usd_per_mtok`.
    pub part: &'static str,
}

/// What a field of the source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A price that a card can express.
    Price(Place),
    /// The same price under another name: they must be equal.
    SameAs(Place),
    /// Says nothing of what a call costs.
    Plain,
    /// A price of what the gateway does not offer.
    NotOffered(&'static str),
    /// Changes the price, and no card can say how.
    Beyond,
}

/// The parts that a card can price, by the start of the source's field.
const PARTS: [(&str, &str); 10] = [
    ("input_cost_per_token", "input"),
    ("output_cost_per_token", "output"),
    ("cache_read_input_token_cost", "cached_input"),
    ("cache_creation_input_token_cost", "cache_write"),
    ("cache_creation_input_token_cost_above_1hr", "cache_write_1h"),
    ("input_cost_per_audio_token", "audio_input"),
    ("input_cost_per_image_token", "image_input"),
    ("output_cost_per_audio_token", "audio_output"),
    ("output_cost_per_image_token", "image_output"),
    ("output_cost_per_reasoning_token", "reasoning_output"),
];

/// Other names for a part: a card prices the one as the other, so that they must cost the same.
const SAME: [(&str, &str); 5] = [
    ("input_cost_per_token_cache_hit", "cached_input"),
    ("cache_read_input_audio_token_cost", "cached_input"),
    ("cache_read_input_image_token_cost", "cached_input"),
    ("cache_creation_input_audio_token_cost", "cache_write"),
    ("cache_creation_input_token_cost_above_12hr", "cache_write"),
];

/// The service tiers that the source prices and callers can ask for.
const TIERS: [&str; 2] = ["priority", "flex"];
/// Tiers of the source for calls that the gateway does not make, or of which not enough is known to price them: a call
/// that asks for a tier that its card does not price is refused.
const OTHER_TIERS: [(&str, &str); 3] = [
    ("batches", "the gateway has no batch route"),
    ("ultrafast", "a call that asks for it is refused"),
    ("decisions", "the gateway has no such route"),
];

/// Sorts a field.
#[must_use]
pub fn field(name: &str) -> Field {
    let (stem, other) =
        match OTHER_TIERS.iter().find_map(|(tier, why)| Some((name.strip_suffix(tier)?, *why))) {
            Some((stem, why)) => (stem.trim_end_matches('_'), Some(why)),
            None => (name, None),
        };
    match priced(stem) {
        Some(_) if other.is_some() => Field::NotOffered(other.unwrap_or_default()),
        Some(field) => field,
        // No price of these tiers is taken, so what the field says does not matter.
        None if other.is_some() && says_cost(stem) => Field::NotOffered(other.unwrap_or_default()),
        None if says_cost(name) => Field::Beyond,
        None => Field::Plain,
    }
}

fn priced(name: &str) -> Option<Field> {
    // The longer names come first, since some names begin like others.
    for (stem, part) in SAME {
        if let Some(rest) = name.strip_prefix(stem)
            && let Some((above, tier)) = suffix(rest)
        {
            return Some(Field::SameAs(Place { tier, above, part }));
        }
    }
    for (stem, part) in PARTS {
        if let Some(rest) = name.strip_prefix(stem)
            && let Some((above, tier)) = suffix(rest)
        {
            return Some(Field::Price(Place { tier, above, part }));
        }
    }
    None
}

/// Reads `_above_200k_tokens_priority`: the bound and the tier. Nothing if it says something else.
fn suffix(rest: &str) -> Option<(Option<u64>, Option<String>)> {
    let (rest, tier) =
        match TIERS.iter().find_map(|tier| Some((rest.strip_suffix(tier)?.strip_suffix('_')?, *tier))) {
            Some((rest, tier)) => (rest, Some(tier.to_owned())),
            None => (rest, None),
        };
    if rest.is_empty() {
        return Some((None, tier));
    }
    let thousands: u64 = rest.strip_prefix("_above_")?.strip_suffix("k_tokens")?.parse().ok()?;
    Some((Some(thousands.checked_mul(1_000)?), tier))
}

/// Whether a name may speak of money. A name is taken for harmless only if that is known.
fn says_cost(name: &str) -> bool {
    ["cost", "pric", "multiplier", "provider_specific_entry", "fee", "uplift", "discount"]
        .iter()
        .any(|word| name.contains(word))
}

/// Providers that have another name in the source than in the gateway: the gateway's name, the source's
/// names, and the prefix of their models' ids. Other providers have the same name in both, which is also the
/// prefix.
const PROVIDERS: [(&str, &[&str], &str); 3] = [
    ("fireworks", &["fireworks_ai", "fireworks_ai-embedding-models"], "fireworks_ai/"),
    ("together", &["together_ai"], "together_ai/"),
    ("openai", &["openai"], ""),
];

/// Providers, by the source's names, that do not pass on what a model reasons, or only a summary of it.
const HIDING: [&str; 6] = ["openai", "azure", "xai", "gemini", "vertex_ai-language-models", "anthropic"];
/// A provider that hides what any model reasons if the request asks for that (`include_reasoning`,
/// `reasoning_format`).
const HIDES_IF_ASKED: &str = "groq";
/// Open models: every other provider shows what they reason.
const OPEN: [&str; 3] = ["gpt-oss", "deepseek", "qwen"];

/// Whether a model's provider hides what it reasons. The source says only whether it reasons (`supports_reasoning`).
#[must_use]
pub fn hides_reasoning(listed: &Listed<'_>) -> bool {
    let says = |key: &str| listed.fields.get(key);
    let reasons = says("supports_reasoning").and_then(Value::plain) == Some("true");
    let provider = says("litellm_provider").and_then(Value::text).unwrap_or_default();
    let name = listed.name.to_ascii_lowercase();
    let hides = HIDING.contains(&provider) && !OPEN.iter().any(|open| name.contains(open));
    reasons && (hides || provider == HIDES_IF_ASKED)
}

/// A model of the source.
#[derive(Clone, Debug)]
pub struct Listed<'a> {
    /// Its name in the source.
    pub name: &'a str,
    /// The gateway's name for its provider.
    pub provider: &'a str,
    /// What the provider calls it, or why that is not known.
    pub upstream: Result<String, String>,
    /// Its fields.
    pub fields: &'a Value,
}

/// The models of a provider, in the order of the source.
#[must_use]
pub fn models<'a>(source: &'a Value, provider: &'a str) -> Vec<Listed<'a>> {
    let known = PROVIDERS.iter().find(|(name, _, _)| *name == provider);
    let own = [provider];
    let (names, prefix) =
        known.map_or((&own[..], format!("{provider}/")), |(_, names, prefix)| (*names, (*prefix).to_owned()));
    let mut models = Vec::new();
    for member in source.members() {
        let of = member.value.get("litellm_provider").and_then(Value::text);
        if of.is_some_and(|of| names.contains(&of)) {
            let upstream = upstream(provider, &member.key, &prefix);
            models.push(Listed { name: &member.key, provider, upstream, fields: &member.value });
        }
    }
    models
}

fn upstream(provider: &str, name: &str, prefix: &str) -> Result<String, String> {
    let Some(id) = name.strip_prefix(prefix) else {
        return Err(format!(
            "does not begin with {prefix:?}: it is a class of models, or another name of one"
        ));
    };
    if provider == "fireworks" && !id.contains('/') {
        return Err(format!("is a short name of {prefix}accounts/fireworks/models/{id}"));
    }
    if id.starts_with("ft:") {
        return Err("stands for fine-tuned models, whose names nobody knows before they are made".to_owned());
    }
    Ok(id.to_owned())
}

/// Whether a pattern with `*` (any text) and `?` (one character) fits a whole text.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern.get(1..).unwrap_or_default();
            let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            starts.filter_map(|at| text.get(at..)).any(|text| glob(rest, text))
        }
        Some(first) => {
            let mut chars = text.chars();
            let fits = chars.next().is_some_and(|c| first == '?' || c == first);
            fits && glob(pattern.get(first.len_utf8()..).unwrap_or_default(), chars.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(tier: Option<&str>, above: Option<u64>, part: &'static str) -> Place {
        Place { tier: tier.map(str::to_owned), above, part }
    }

    #[test]
    fn each_field_is_sorted() {
        let price = |tier, above, part| Field::Price(place(tier, above, part));
        for (name, expected) in [
            ("input_cost_per_token", price(None, None, "input")),
            ("input_cost_per_token_flex", price(Some("flex"), None, "input")),
            ("output_cost_per_token_above_200k_tokens", price(None, Some(200_000), "output")),
            (
                "cache_read_input_token_cost_above_272k_tokens_priority",
                price(Some("priority"), Some(272_000), "cached_input"),
            ),
            ("cache_creation_input_token_cost", price(None, None, "cache_write")),
            ("output_cost_per_reasoning_token", price(None, None, "reasoning_output")),
            ("input_cost_per_token_cache_hit", Field::SameAs(place(None, None, "cached_input"))),
            ("cache_creation_input_token_cost_above_1hr", price(None, None, "cache_write_1h")),
            (
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
                price(None, Some(200_000), "cache_write_1h"),
            ),
            ("input_cost_per_image_token", price(None, None, "image_input")),
            ("output_cost_per_image_token_priority", price(Some("priority"), None, "image_output")),
            ("output_cost_per_image", Field::Beyond),
            ("cache_creation_input_token_cost_above_12hr", Field::SameAs(place(None, None, "cache_write"))),
            (
                "cache_creation_input_token_cost_above_12hr_above_272k_tokens_flex",
                Field::SameAs(place(Some("flex"), Some(272_000), "cache_write")),
            ),
            ("input_cost_per_token_batches", Field::NotOffered("the gateway has no batch route")),
            ("input_cost_per_image_token_batches", Field::NotOffered("the gateway has no batch route")),
            (
                "output_cost_per_token_above_272k_tokens_ultrafast",
                Field::NotOffered("a call that asks for it is refused"),
            ),
            ("input_cost_per_image", Field::Beyond),
            ("input_cost_per_second", Field::Beyond),
            ("input_cost_per_query", Field::Beyond),
            ("search_context_cost_per_query", Field::Beyond),
            ("regional_processing_uplift_multiplier_eu", Field::Beyond),
            ("off_peak_pricing", Field::Beyond),
            ("tiered_pricing", Field::Beyond),
            ("input_cost_per_token_above_lunch", Field::Beyond),
            ("input_cost_per_token_weekend", Field::Beyond),
            ("max_input_tokens", Field::Plain),
            ("supports_vision", Field::Plain),
            ("deprecation_date", Field::Plain),
        ] {
            assert_eq!(field(name), expected, "{name}");
        }
    }

    #[test]
    fn a_pattern_fits_a_whole_text() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("gpt-4*", "gpt-4o-mini", true),
            ("gpt-4*", "a-gpt-4o", false),
            ("*/gpt-?ss-*b", "openai/gpt-oss-120b", true),
            ("gpt-4", "gpt-4o", false),
            ("?", "é", true),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
