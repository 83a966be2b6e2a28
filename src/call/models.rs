//! `GET /v1/models`: the models that this caller may use in this slot, in OpenAI's list shape, with rates; and
//! `GET /v1/models/{id}`: one of them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::account::Funding;
use crate::base::pax::{Pax, Rate};
use crate::base::refusal::refusals::Refusal;
use crate::call::admit::daily_cap;
use crate::call::config::Provider;
use crate::call::usable::Asker;
use crate::dialect::usage::Mode;
use crate::price::card::{Model, RateCard, RateTableVersion};
use crate::price::rates;

#[derive(Serialize)]
struct List<'a> {
    object: &'a str,
    data: Vec<Item<'a>>,
    /// The card in force.
    rate_table_v: RateTableVersion,
    /// What the account may spend in a UTC day; absent if no cap holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_cap_pax: Option<Pax>,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    object: &'a str,
    /// When the card came into force, in seconds since 1970. OpenAI's shape demands a date, and the model's own
    /// is not known.
    created: u64,
    owned_by: &'a str,
    mode: Mode,
    context_window: u64,
    /// Embeddings have no output.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(flatten)]
    prices: Prices,
    /// The least that a call costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pax_per_request_minimum: Option<Pax>,
    /// What it costs in other service tiers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    service_tiers: BTreeMap<&'a str, Prices>,
    rate_table_v: RateTableVersion,
    /// Whether its provider takes a key of the caller's own.
    own_keys: bool,
}

/// A price band, as in a card. The rates of the highest band whose threshold the call's input exceeds hold for
/// the whole call.
#[derive(Serialize)]
struct Prices {
    pax_per_mtok: Rates,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bands: Vec<Band>,
}

#[derive(Serialize)]
struct Band {
    above_input_tokens: u64,
    pax_per_mtok: Rates,
}

#[derive(Serialize)]
struct Rates {
    input: Rate,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_input: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_1h: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_input: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_input: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_output: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_output: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_output: Option<Rate>,
}

impl Rates {
    fn of(rates: &rates::Rates) -> Self {
        Self {
            input: rates.input,
            cached_input: rates.cached_input,
            cache_write: rates.cache_write,
            cache_write_1h: rates.cache_write_1h,
            audio_input: rates.audio_input,
            image_input: rates.image_input,
            output: Some(rates.output).filter(|rate| *rate != Rate::default()),
            audio_output: rates.audio_output,
            image_output: rates.image_output,
            reasoning_output: rates.reasoning_output,
        }
    }
}

impl Prices {
    fn of(prices: &rates::Prices) -> Self {
        let band = |band: &rates::Band| Band {
            above_input_tokens: band.above_input.0,
            pax_per_mtok: Rates::of(&band.rates),
        };
        Self { pax_per_mtok: Rates::of(&prices.rates), bands: prices.bands.iter().map(band).collect() }
    }
}

/// The answer's body: the models that the caller may use. A caller with its own provider key gets every priced
/// model whose provider takes such keys. Any other caller gets what is served on platform funding; on the free
/// tier, only the models of its slot's list.
#[must_use]
pub fn list(asker: Asker<'_>) -> Vec<u8> {
    let listed = asker.models().map(|(id, model, provider)| item(asker.card, id, model, provider));
    let on_platform = asker.funding == Funding::Platform;
    let list = List {
        object: "list",
        data: listed.collect(),
        rate_table_v: asker.card.version,
        daily_cap_pax: daily_cap(asker.account, asker.card).filter(|_| on_platform),
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

/// The answer's body for one of these models.
///
/// # Errors
/// The refusal of a call of any other model.
pub fn one(asker: Asker<'_>, id: &str) -> Result<Vec<u8>, Refusal> {
    let (id, model, provider) = asker.find_priced(id)?;
    Ok(serde_json::to_vec(&item(asker.card, id, model, provider)).unwrap_or_default())
}

fn item<'a>(card: &RateCard, id: &'a str, model: &'a Model, provider: &Provider) -> Item<'a> {
    let tiers = model.service_tiers.iter();
    Item {
        id,
        object: "model",
        created: card.effective_from.ms().checked_div(1_000).unwrap_or(0),
        owned_by: &model.provider,
        mode: model.mode,
        context_window: model.context_window.0,
        max_output_tokens: (model.mode == Mode::Chat).then_some(model.max_output.0),
        prices: Prices::of(&model.prices),
        pax_per_request_minimum: model.minimum,
        service_tiers: tiers.map(|(name, prices)| (name.as_str(), Prices::of(prices))).collect(),
        rate_table_v: card.version,
        own_keys: provider.own_keys,
    }
}
