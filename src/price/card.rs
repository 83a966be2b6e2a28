//! The rate card: one immutable price table, read strictly, and the price of a usage under it.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::clock::Moment;
use crate::base::digest::Digest;
use crate::base::pax::{Pax, Tokens, Usd};
use crate::base::strict_json::{self, Fields, Mistakes, Node};
use crate::base::text::is_slot_name;
use crate::dialect::usage::{Mode, Usage};
use crate::price::card_model::{self, CONTEXT_MAX, Cost, Known, amount};
use crate::price::factors::Factors;
use crate::price::rates::{Prices, ServiceTier};

/// The largest `unseen_after_s`: no call waits in line for longer than a day.
const UNSEEN_AFTER_MAX_S: u64 = 86_400;
/// The largest `unseen_tokens_per_s`: no model writes faster.
const UNSEEN_MAX: u64 = 100_000;
/// The longest `upstream_model`, in bytes: it is written into requests, and Envoy's buffer has room for this
/// much.
const UPSTREAM_MODEL_MAX: usize = 256;

/// A rate card's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct RateTableVersion(pub u32);

impl fmt::Display for RateTableVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One published price table.
#[derive(Clone, Debug)]
pub struct RateCard {
    /// `rate_table_v`.
    pub version: RateTableVersion,
    /// SHA-256 of the file's bytes.
    pub sha256: Digest,
    /// The moment from which it is in force.
    pub effective_from: Moment,
    /// Why it was published.
    pub reason: String,
    /// What one PAX costs.
    pub pax_usd: Usd,
    /// What the free tier may do.
    pub free_tier: FreeTier,
    /// The priced models, under their public ids.
    pub models: BTreeMap<String, Model>,
}

/// The free tier's default cap and its whitelist.
#[derive(Clone, Debug)]
pub struct FreeTier {
    /// How much a free account may spend in a UTC day.
    pub daily_cap: Pax,
    /// The models that a free account may call, for each slot.
    pub slots: BTreeMap<String, Vec<String>>,
}

/// A priced model.
#[derive(Clone, Debug)]
pub struct Model {
    /// The provider's name in the filter's configuration.
    pub provider: String,
    /// The kind of call that it takes.
    pub mode: Mode,
    /// The provider's name for it, if that differs from the public id.
    pub upstream_model: Option<String>,
    /// The most input that the provider takes (for embeddings: of one text). Some providers count the output
    /// into it as well; others take this much input, and the output comes on top.
    pub context_window: Tokens,
    /// Zero for embeddings.
    pub max_output: Tokens,
    /// Whether the model writes reasoning that its provider does not pass on.
    pub hidden_reasoning: bool,
    /// The factors for estimates. A model for embeddings writes nothing, so it writes nothing unseen.
    pub factors: Factors,
    /// What it costs in the standard service tier.
    pub prices: Prices,
    /// The least that a call costs, in any tier.
    pub minimum: Option<Pax>,
    /// What it costs in other service tiers, under their names. A tier that is not here is refused.
    pub service_tiers: BTreeMap<String, Prices>,
}

impl Model {
    /// What a usage costs in a service tier (none is the standard one), under the rules of `canon_v` 1. None
    /// if the card does not price that tier, or if the cost leaves the range of [`Pax`]. No real usage costs
    /// that much.
    #[must_use]
    pub fn price(&self, usage: &Usage, service_tier: Option<&str>) -> Option<Pax> {
        let prices = match service_tier {
            None => &self.prices,
            Some(name) => self.service_tiers.get(name)?,
        };
        Some(prices.price(usage)?.max(self.minimum.unwrap_or_default()))
    }
}

/// Bytes of text that an estimate takes for one token; the default if the card does not know the model.
#[must_use]
pub fn bytes_per_token(model: Option<&Model>) -> u64 {
    model.map_or_else(Factors::default, |model| model.factors).bytes_per_token.max(1)
}

impl RateCard {
    /// Whether the free tier may call a model in a slot.
    #[must_use]
    pub fn is_free(&self, slot: &str, model: &str) -> bool {
        self.free_tier.slots.get(slot).is_some_and(|ids| ids.iter().any(|id| id == model))
    }

    /// Reads a card.
    ///
    /// # Errors
    /// Every mistake, with its path.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut fields = Fields::of(strict_json::parse(text)?, "", &mut mistakes);
        let version = fields.whole("rate_table_v", 1..=u64::from(u32::MAX), &mut mistakes);
        let effective_from = fields.parsed("effective_from", &mut mistakes);
        let reason = fields.text("reason", &mut mistakes);
        let pax_usd = fields.required("pax_usd", &mut mistakes);
        let pax_usd = pax_usd.and_then(|node| card_model::read_usd(node, "pax_usd", &mut mistakes));
        let free_tier = fields.object("free_tier", &mut mistakes);
        let free_tier = free_tier.map(|fields| read_free_tier(fields, &mut mistakes));
        let models = fields.object("models", &mut mistakes);
        let models = models.map(|fields| read_models(fields, pax_usd, &mut mistakes));
        fields.finish(&mut mistakes);
        if let (Some((_, slots)), Some(models)) = (&free_tier, &models) {
            check_whitelist(slots, models, &mut mistakes);
        }
        let card = (|| {
            let (daily_cap, slots) = free_tier?;
            Some(Self {
                version: RateTableVersion(u32::try_from(version?).ok()?),
                sha256: Digest::of(&[text.as_bytes()]),
                effective_from: effective_from?,
                reason: reason?,
                pax_usd: pax_usd?,
                free_tier: FreeTier { daily_cap: daily_cap?, slots },
                models: models?.into_iter().map(|(id, model)| Some((id, model?))).collect::<Option<_>>()?,
            })
        })();
        mistakes.or(card)
    }
}

/// The models of each slot.
type Slots = BTreeMap<String, Vec<String>>;

fn read_free_tier(mut fields: Fields, mistakes: &mut Mistakes) -> (Option<Pax>, Slots) {
    let cap = fields.required("daily_cap_pax", mistakes);
    let path = fields.path("daily_cap_pax");
    let daily_cap =
        cap.and_then(|node| amount(node, &path, "from 0 (which blocks) to 9 million PAX", mistakes));
    let daily_cap = daily_cap.filter(|cap: &Pax| {
        if *cap < Pax::ZERO {
            mistakes.add(&path, "must not be negative; \"0\" blocks the free tier");
        }
        *cap >= Pax::ZERO
    });
    let mut slots = BTreeMap::new();
    if let Some(named) = fields.object("slots", mistakes) {
        for (slot, path, node) in named.rest() {
            if !is_slot_name(&slot) {
                mistakes.add(&path, "is no slot name: use at most 64 of a-z, 0-9, '-' and '_'");
            }
            slots.insert(slot, read_list(node, &path, mistakes));
        }
    }
    fields.finish(mistakes);
    (daily_cap, slots)
}

fn read_list(node: Node, path: &str, mistakes: &mut Mistakes) -> Vec<String> {
    let Node::List(nodes) = node else {
        mistakes.add(path, "must be a list of model ids");
        return Vec::new();
    };
    let mut ids = Vec::new();
    for (index, node) in nodes.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        match strict_json::text(node, &path, mistakes) {
            Some(id) if ids.contains(&id) => mistakes.add(&path, format!("{id:?} stands twice: keep one")),
            id => ids.extend(id),
        }
    }
    ids
}

/// The models that the card names; none for a model with a mistake of its own.
type Models = BTreeMap<String, Option<Model>>;

fn check_whitelist(slots: &Slots, models: &Models, mistakes: &mut Mistakes) {
    for (slot, ids) in slots {
        for id in ids.iter().filter(|id| !models.contains_key(*id)) {
            let what = format!("{id:?} has no price in this card: add it to models, or take it out here");
            mistakes.add(&strict_json::join("free_tier.slots", slot), what);
        }
    }
}

fn read_models(fields: Fields, pax_usd: Option<Usd>, mistakes: &mut Mistakes) -> Models {
    let mut models = BTreeMap::new();
    for (id, path, node) in fields.rest() {
        if id.is_empty() || id.len() > 256 || id.chars().any(char::is_control) {
            mistakes.add(&path, "is no model id: use 1 to 256 bytes of printable characters");
        }
        let fields = Fields::of(node, &path, mistakes);
        models.insert(id, read_model(fields, pax_usd, mistakes));
    }
    models
}

fn read_mode(fields: &mut Fields, mistakes: &mut Mistakes) -> Option<Mode> {
    match fields.text("mode", mistakes)?.as_str() {
        "chat" => Some(Mode::Chat),
        "embeddings" => Some(Mode::Embeddings),
        other => {
            mistakes.add(&fields.path("mode"), format!("must be \"chat\" or \"embeddings\", is {other:?}"));
            None
        }
    }
}

fn read_model(mut fields: Fields, pax_usd: Option<Usd>, mistakes: &mut Mistakes) -> Option<Model> {
    let provider = fields.text("provider", mistakes);
    let mode = read_mode(&mut fields, mistakes);
    let upstream_model = fields.optional_text("upstream_model", mistakes).filter(|name| {
        let fits = name.len() <= UPSTREAM_MODEL_MAX && !name.chars().any(char::is_control);
        if !fits {
            let what = format!("must have at most {UPSTREAM_MODEL_MAX} bytes and no control characters");
            mistakes.add(&fields.path("upstream_model"), what);
        }
        fits
    });
    let context_window = fields.whole("context_window", 1..=CONTEXT_MAX, mistakes);
    let max_output = match mode {
        Some(Mode::Chat | Mode::Completions | Mode::Responses) => {
            fields.whole("max_output_tokens", 1..=CONTEXT_MAX, mistakes)
        }
        Some(Mode::Embeddings) => Some(0),
        // Without a mode nobody knows whether `max_output_tokens` must be there, so it may be there or not.
        None => fields.whole_or("max_output_tokens", 0, 1..=CONTEXT_MAX, mistakes),
    };
    let (hidden_reasoning, factors) = read_estimates(&mut fields, mode, mistakes);
    let cost = card_model::read(&mut fields, Known { mode, pax_usd, context_window }, mistakes);
    let path = fields.path("usd_per_mtok");
    fields.finish(mistakes);
    let Cost { prices, minimum, service_tiers } = cost?;
    let model = Model {
        provider: provider?,
        mode: mode?,
        upstream_model,
        context_window: Tokens(context_window?),
        max_output: Tokens(max_output?),
        hidden_reasoning: hidden_reasoning?,
        factors: factors?,
        prices,
        minimum,
        service_tiers,
    };
    let most = model.ceiling(model.context_window, model.max_output, &ServiceTier::Auto);
    if most == Pax::MAX {
        mistakes
            .add(&path, "makes the largest possible call cost more than 9 million PAX: are these dollars?");
    }
    Some(model)
}

/// Reads what estimates need: whether reasoning is hidden, and the factors.
fn read_estimates(
    fields: &mut Fields,
    mode: Option<Mode>,
    mistakes: &mut Mistakes,
) -> (Option<bool>, Option<Factors>) {
    let default = Factors::default();
    let bytes_per_token = fields.whole_or("bytes_per_token", default.bytes_per_token, 1..=64, mistakes);
    let bytes_per_token_other =
        fields.whole_or("bytes_per_token_other", default.bytes_per_token_other, 1..=64, mistakes);
    let (hidden_reasoning, after, tokens) = match mode {
        Some(Mode::Embeddings) => (Some(false), Some(default.unseen_after_s), Some(0)),
        _ => (
            fields.flag_or("hidden_reasoning", false, mistakes),
            fields.whole_or("unseen_after_s", default.unseen_after_s, 0..=UNSEEN_AFTER_MAX_S, mistakes),
            fields.whole_or("unseen_tokens_per_s", default.unseen_tokens_per_s, 0..=UNSEEN_MAX, mistakes),
        ),
    };
    let factors = (|| {
        Some(Factors {
            bytes_per_token: bytes_per_token?,
            bytes_per_token_other: bytes_per_token_other?,
            unseen_after_s: after?,
            unseen_tokens_per_s: tokens?,
        })
    })();
    (hidden_reasoning, factors)
}

#[cfg(test)]
#[path = "card_test.rs"]
mod tests;
