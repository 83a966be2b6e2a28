//! The debit: what an exchange cost and everything that proves it, frozen as canonical bytes.
//!
//! The canonical form is JSON of version [`CANON_V`]: one line, a fixed order of fields, all of them always
//! there. The filter makes the bytes once, the ledger stores and hashes those same bytes, and a replay makes
//! them again. A new field is a new version; a version that has rows never changes (golden file
//! `tests/golden/debit_v1.json`).

use serde::{Deserialize, Serialize};

use crate::account::{Funding, Tier};
use crate::bundle::Bundle;
use crate::card::{Model, RateTableVersion, bytes_per_token};
use crate::clock::{Moment, UtcDay};
use crate::digest::Digest;
use crate::exchange_id::ExchangeId;
use crate::pax::{Pax, Tokens};
use crate::usage::{Mode, Rules, Usage};

/// The version of the canonical form.
pub const CANON_V: u32 = 1;
/// The estimator: tokens = ⌈bytes of text ÷ the card's bytes per token⌉, at most the limit, for input and output.
pub const ESTIMATOR: &str = "bytes/1";
/// The longest canonical form. All that strangers send into it is bounded: raw usage, labels, ids.
pub const CANON_MAX: usize = 16 * 1024;

/// The kind of an entry that comes from an exchange. The ledger's own kinds have canonical forms of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What a call cost.
    Debit,
}

/// Where the token counts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// The provider counted.
    Reported,
    /// The provider said nothing, or nothing that can be read.
    Estimated,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The provider's answer came to its end.
    Complete,
    /// Caller or provider ended it after the answer's head.
    Cut,
    /// The caller was gone before the answer's head.
    NoAnswer,
    /// The VM that had the call died; how the call ended is not known.
    Orphaned,
}

/// What was odd about an exchange, in the order in which a debit lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// More cached than input tokens were reported: billed as plain input.
    CachedExceedsInput,
    /// Usage was reported, but has no counts that can be read.
    UsageUnreadable,
    /// Usage was reported, but is larger than an entry keeps.
    UsageTooLarge,
    /// The answer cannot be read (compressed, or not what its content type says).
    AnswerUnreadable,
    /// The reported counts cost more than an amount can hold.
    CostOutOfRange,
    /// The provider says that it served the call in a service tier that the card does not price.
    ServiceTierUnpriced,
    /// More of a part that the card prices apart (cache writes, audio, reasoning) than of the input or output that it
    /// is a part of was reported: billed as plain input or output.
    PartExceedsWhole,
}

/// What an estimate was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// Bytes of text in the request.
    pub input_bytes: u64,
    /// Bytes of text seen in the answer.
    pub output_bytes: u64,
    /// The input tokens that were reserved.
    pub input_limit: Tokens,
    /// The output tokens that were reserved.
    pub output_limit: Tokens,
}

impl Estimate {
    /// The estimated counts, at so many bytes of text a token.
    #[must_use]
    pub fn usage(&self, bytes_per_token: u64) -> Usage {
        let tokens = |bytes: u64| Tokens(bytes.div_ceil(bytes_per_token.max(1)));
        Usage {
            input: tokens(self.input_bytes).min(self.input_limit),
            output: tokens(self.output_bytes).min(self.output_limit),
            ..Usage::default()
        }
    }
}

/// A debit. Fields stand in canonical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debit {
    /// [`CANON_V`].
    pub canon_v: u32,
    /// Always [`Kind::Debit`].
    pub kind: Kind,
    /// The idempotency key.
    pub exchange_id: ExchangeId,
    /// Whom it debits.
    pub account: String,
    /// The account's tier at admission: a free account's debits draw on its daily cap, not on a balance.
    pub tier: Tier,
    /// The token the call came with.
    pub token_id: String,
    /// Whose provider key paid.
    pub funding: Funding,
    /// The caller's role.
    pub slot: String,
    /// `X-Matrix-Intent-ID`.
    pub intent_id: Option<String>,
    /// `X-Matrix-Goal-ID`.
    pub goal_id: Option<String>,
    /// Chat or embeddings.
    pub mode: Mode,
    /// The public model id, as the card prices it.
    pub model: String,
    /// Who served it.
    pub provider: String,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// The provider's status; none where the caller was gone before it came.
    pub upstream_status: Option<u16>,
    /// The provider's `id` of the answer.
    pub response_id: Option<String>,
    /// The service tier that was priced; none for the standard one.
    pub service_tier: Option<String>,
    /// How it ended.
    pub ending: Ending,
    /// What was odd.
    pub flags: Vec<Flag>,
    /// Reported or estimated.
    pub provenance: Provenance,
    /// The rules that read `usage` ([`Rules::name`]).
    pub usage_rules: Option<String>,
    /// The raw usage, byte for byte as received.
    pub usage: Option<String>,
    /// The estimator's version ([`ESTIMATOR`]).
    pub estimator: Option<String>,
    /// What the estimate was made from.
    pub estimated_from: Option<Estimate>,
    /// All input, cached included.
    pub tokens_input: Tokens,
    /// Of the input: cached.
    pub tokens_cached_input: Tokens,
    /// Of the input: written to the provider's cache.
    pub tokens_cache_write_input: Tokens,
    /// Of the input: audio.
    pub tokens_audio_input: Tokens,
    /// All output, reasoning included.
    pub tokens_output: Tokens,
    /// Of the output: audio.
    pub tokens_audio_output: Tokens,
    /// Of the output: reasoning.
    pub tokens_reasoning_output: Tokens,
    /// What it cost.
    pub cost_pax: Pax,
    /// The card that priced it.
    pub rate_table_v: RateTableVersion,
    /// That card's hash.
    pub card_sha256: Digest,
    /// Admission, on the filter's clock.
    pub occurred_at: Moment,
    /// Settlement, on the filter's clock.
    pub settled_at: Moment,
    /// The UTC date of admission: the day whose cap it counts against.
    pub utc_day: UtcDay,
}

/// Why bytes are no debit, or a debit does not prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDebit(pub String);

impl std::fmt::Display for BadDebit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BadDebit {}

impl Debit {
    /// The canonical bytes.
    ///
    /// # Errors
    /// Never.
    pub fn to_canonical(&self) -> Result<Vec<u8>, BadDebit> {
        Ok(crate::canonical::write(self))
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// Where they are no debit, or are not the canonical form of the debit that they hold.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, BadDebit> {
        let debit: Self = serde_json::from_slice(bytes).map_err(|error| BadDebit(error.to_string()))?;
        if debit.canon_v != CANON_V {
            return Err(BadDebit(format!(
                "canon_v {} is unknown; this program knows {CANON_V}",
                debit.canon_v
            )));
        }
        if debit.to_canonical()? != bytes {
            return Err(BadDebit("the bytes are not the canonical form of the debit they hold".to_owned()));
        }
        Ok(debit)
    }

    /// The counts as a usage.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            input: self.tokens_input,
            cached_input: self.tokens_cached_input,
            cache_write_input: self.tokens_cache_write_input,
            audio_input: self.tokens_audio_input,
            output: self.tokens_output,
            audio_output: self.tokens_audio_output,
            reasoning_output: self.tokens_reasoning_output,
            ..Usage::default()
        }
    }

    /// Sets the counts.
    pub fn set_usage(&mut self, usage: &Usage) {
        self.tokens_input = usage.input;
        self.tokens_cached_input = usage.cached_input;
        self.tokens_cache_write_input = usage.cache_write_input;
        self.tokens_audio_input = usage.audio_input;
        self.tokens_output = usage.output;
        self.tokens_audio_output = usage.audio_output;
        self.tokens_reasoning_output = usage.reasoning_output;
    }

    /// Proves the debit from what it carries: counts the raw usage (or the estimate) again and prices it
    /// again under its own card.
    ///
    /// # Errors
    /// The first thing that does not come out the same, said for the operator.
    pub fn prove(&self, bundle: &Bundle) -> Result<(), BadDebit> {
        let wrong = |what: String| Err(BadDebit(what));
        let Some(card) = bundle.by_sha256(&self.card_sha256) else {
            return wrong(format!("its card {} is not in the bundle", self.card_sha256));
        };
        if card.version != self.rate_table_v {
            return wrong(format!(
                "rate_table_v is {}, but its card is version {}",
                self.rate_table_v, card.version
            ));
        }
        // Only that it was in force already: a later version may be dated back, and older entries stay right.
        if card.effective_from > self.occurred_at {
            return wrong(format!("it occurred before its card was in force, at {}", card.effective_from));
        }
        if self.utc_day != self.occurred_at.day() {
            return wrong(format!("utc_day is {}, but it occurred at {}", self.utc_day, self.occurred_at));
        }
        let model = card.models.get(&self.model).filter(|model| model.mode == self.mode);
        // With a key of its own a caller may call what the card does not price, of whatever provider.
        if self.funding == Funding::Platform && model.is_none_or(|model| model.provider != self.provider) {
            return wrong(format!(
                "its card does not price model {:?} for this route and provider",
                self.model
            ));
        }
        let counted = self.count(model)?;
        if counted != self.usage() {
            return wrong(format!("counted again, its tokens are {counted:?}, not {:?}", self.usage()));
        }
        let tier = self.service_tier.as_deref();
        let is_priced = |name: &str| model.is_some_and(|model| model.service_tiers.contains_key(name));
        if let Some(name) = tier.filter(|name| !is_priced(name)) {
            return wrong(format!("its card does not price service tier {name:?} of model {:?}", self.model));
        }
        let cost = match self.funding {
            Funding::Platform => model.and_then(|model| model.price(&counted, tier)),
            Funding::Byo => Some(Pax::ZERO),
        };
        match cost {
            Some(cost) if cost == self.cost_pax => Ok(()),
            Some(cost) => wrong(format!("priced again, it costs {cost}, not {}", self.cost_pax)),
            None => wrong("priced again, its cost is out of range".to_owned()),
        }
    }

    fn count(&self, model: Option<&Model>) -> Result<Usage, BadDebit> {
        let rules = self.usage_rules.as_deref().and_then(Rules::named);
        match (self.provenance, &self.usage, rules, &self.estimated_from) {
            (Provenance::Reported, Some(raw), Some(rules), None) => {
                let reading = rules.read(raw.as_bytes(), self.mode);
                reading.map(|r| r.usage).ok_or_else(|| BadDebit("its raw usage cannot be read".to_owned()))
            }
            (Provenance::Estimated, _, _, Some(from)) if self.estimator.as_deref() == Some(ESTIMATOR) => {
                Ok(from.usage(bytes_per_token(model)))
            }
            _ => Err(BadDebit("its provenance does not fit its usage and estimate".to_owned())),
        }
    }
}

#[cfg(test)]
#[path = "debit_test.rs"]
mod tests;
