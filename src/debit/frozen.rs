//! The debit: what an exchange cost and everything that proves it, frozen as canonical bytes.
//!
//! The canonical form is JSON of a version, `canon_v`: one line, a fixed order of fields, all of that
//! version's fields always there. The filter makes the bytes once, the ledger stores and hashes those same
//! bytes, and a replay makes them again. A new field is a new version; a version that has rows never changes
//! (golden files `tests/golden/debit_v1.json` and `debit_v2.json`). With each token that it resolves a ledger
//! says which versions it reads, and a filter writes no other version.

use serde::{Deserialize, Serialize};

use crate::base::account::{Funding, Tier};
use crate::base::clock::{Moment, UtcDay};
use crate::base::digest::Digest;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::{Pax, Tokens};
use crate::base::text::AsText;
use crate::base::wire::CANON_VERSIONS;
use crate::debit::canonical::{self, Field, with_table_of_fields};
use crate::debit::canonical_reader::Reader;
use crate::debit::estimate::EstimatedFrom;
use crate::debit::field::held;
use crate::dialect::usage::{Mode, Usage};
use crate::price::card::RateTableVersion;

/// The longest canonical form. Whatever strangers put into it is bounded: raw usage, labels, ids.
pub const CANON_MAX: usize = 16 * 1024;

/// The kind of an entry that comes from an exchange. The ledger's own kinds have canonical forms of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// What a call cost.
    Debit,
}

impl EntryKind {
    /// Its name on entries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debit => "debit",
        }
    }
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

impl Provenance {
    /// Its name on entries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Estimated => "estimated",
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The provider's answer came to its end.
    Complete,
    /// Caller or provider ended it after the answer's head: version 1 does not say which.
    Cut,
    /// The caller was gone after the answer's head.
    CallerGone,
    /// The provider broke the answer off.
    ProviderBrokeOff,
    /// The caller was gone before the answer's head.
    NoAnswer,
    /// The VM that had the call died; how the call ended is not known.
    Orphaned,
    /// An operator charges a hold whose Envoy is gone: nothing else is known of the call.
    Lost,
}

impl Ending {
    /// Its name on entries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::CallerGone => "caller_gone",
            Self::ProviderBrokeOff => "provider_broke_off",
            Self::NoAnswer => "no_answer",
            Self::Orphaned => "orphaned",
            Self::Lost => "lost",
        }
    }
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
    /// The provider says that it served the call in a service tier that the card does not price: from version 2 on
    /// every token is billed at the model's dearest rate of its side.
    ServiceTierUnpriced,
    /// A part that the card prices apart (cache writes, audio, images, reasoning) was reported as larger than
    /// the input or output that contains it: billed as plain input or output.
    PartExceedsWhole,
    /// Zero tokens were reported for a side that had text: that side is estimated.
    UsageZero,
    /// More tokens were reported for a side than the card's limits allow: that side is estimated.
    UsageImpossible,
    /// A part was reported that the card has no price for (audio, images, cache writes, a hosted tool): its tokens are
    /// billed at the model's dearest rate of their side.
    PartUnpriced,
}

impl Flag {
    /// Its name, on entries, in logs and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CachedExceedsInput => "cached_exceeds_input",
            Self::UsageUnreadable => "usage_unreadable",
            Self::UsageTooLarge => "usage_too_large",
            Self::AnswerUnreadable => "answer_unreadable",
            Self::CostOutOfRange => "cost_out_of_range",
            Self::ServiceTierUnpriced => "service_tier_unpriced",
            Self::PartExceedsWhole => "part_exceeds_whole",
            Self::UsageZero => "usage_zero",
            Self::UsageImpossible => "usage_impossible",
            Self::PartUnpriced => "part_unpriced",
        }
    }
}

/// As a list of JSON.
impl AsText for Vec<Flag> {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(b'[');
        for (index, flag) in self.iter().enumerate() {
            to.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            to.extend_from_slice(flag.name().as_bytes());
            to.push(b'"');
        }
        to.push(b']');
    }
}

held! {
    EntryKind, Provenance, Ending, Mode: Word(|held| held.name()), |from| from.word();
    RateTableVersion: Number(|held| u64::from(held.0)), |from| from.number()?.try_into().ok().map(RateTableVersion);
    Vec<Flag>: Json(|held| held), |from| from.json(b']');
    EstimatedFrom: Json(|held| held), |from| EstimatedFrom::read(from);
}

with_table_of_fields! {
    /// A debit of either version, its fields in the canonical order. The number before a field is the first version that
    /// has it.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Debit {
        /// One of [`CANON_VERSIONS`].
        1 canon_v: u32,
        /// Always [`EntryKind::Debit`].
        1 kind: EntryKind,
        /// The idempotency key.
        1 exchange_id: ExchangeId,
        /// Whom it debits.
        1 account: String,
        /// The account's tier at admission: a free account's debits draw on its daily cap, not on a balance.
        1 tier: Tier,
        /// The token the call came with.
        1 token_id: String,
        /// Whose provider key paid.
        1 funding: Funding,
        /// The caller's role.
        1 slot: String,
        /// `X-Matrix-Intent-ID`.
        1 intent_id: Option<String>,
        /// `X-Matrix-Goal-ID`.
        1 goal_id: Option<String>,
        /// Which of the metered calls.
        1 mode: Mode,
        /// The model that the caller asked for, if that is another name of `model`.
        2 asked_model: Option<String>,
        /// The public model id, as the card prices it.
        1 model: String,
        /// Who served it.
        1 provider: String,
        /// Whether the answer was a stream.
        1 stream: bool,
        /// The provider's status; none if the caller was gone before it came.
        1 upstream_status: Option<u16>,
        /// The provider's own id of the request, from the answer's head.
        2 provider_request_id: Option<String>,
        /// The provider's `id` of the answer.
        1 response_id: Option<String>,
        /// The hold that it posts.
        2 hold_id: Option<String>,
        /// The service tier that was priced, or with [`Flag::ServiceTierUnpriced`] the one that has no price; none for the
        /// standard one.
        1 service_tier: Option<String>,
        /// How it ended.
        1 ending: Ending,
        /// What was odd.
        1 flags: Vec<Flag>,
        /// Reported or estimated.
        1 provenance: Provenance,
        /// The rules that read `usage` ([`Rules::name`]).
        1 usage_rules: Option<String>,
        /// The raw usage, byte for byte as received.
        1 usage: Option<String>,
        /// How many answers were asked for.
        2 n: Option<u64>,
        /// The maximum of each answer that the caller stated to the provider.
        2 stated_maximum: Option<Tokens>,
        /// The input tokens that were reserved.
        2 input_limit: Option<Tokens>,
        /// The output tokens that were reserved, all answers together.
        2 output_limit: Option<Tokens>,
        /// Milliseconds from forwarding the request to the first visible text, or to the end if none came.
        /// None if nothing can be written unseen: a stream of a model that hides no reasoning.
        2 unseen_ms: Option<u64>,
        /// The estimator's version ([`crate::debit::estimate::ESTIMATOR`]).
        1 estimator: Option<String>,
        /// What the estimate was made from.
        1 estimated_from: Option<EstimatedFrom>,
        /// All input, cached included.
        1 tokens_input: Tokens,
        /// Of the input: cached.
        1 tokens_cached_input: Tokens,
        /// Of the input: written to the provider's cache.
        1 tokens_cache_write_input: Tokens,
        /// Of the input: written to the provider's cache for an hour.
        #[serde(default)]
        2 tokens_cache_write_1h_input: Tokens,
        /// Of the input: audio.
        1 tokens_audio_input: Tokens,
        /// Of the input: images.
        #[serde(default)]
        2 tokens_image_input: Tokens,
        /// All output, reasoning included.
        1 tokens_output: Tokens,
        /// Of the output: audio.
        1 tokens_audio_output: Tokens,
        /// Of the output: images.
        #[serde(default)]
        2 tokens_image_output: Tokens,
        /// Of the output: reasoning.
        1 tokens_reasoning_output: Tokens,
        /// What it cost.
        1 cost_pax: Pax,
        /// The card that priced it.
        1 rate_table_v: RateTableVersion,
        /// That card's hash.
        1 card_sha256: Digest,
        /// Admission, on the filter's clock.
        1 occurred_at: Moment,
        /// Settlement, on the filter's clock.
        1 settled_at: Moment,
        /// Milliseconds from forwarding the request to the answer's first byte, on the monotonic clock.
        2 first_byte_ms: Option<u64>,
        /// Milliseconds from forwarding the request to settlement, on the monotonic clock.
        2 duration_ms: Option<u64>,
        /// The UTC date of admission: the day whose cap it counts against.
        1 utc_day: UtcDay,
    }
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

/// The version that the bytes state, if this program does not read that version. Such bytes are no bad debit:
/// a later program reads them.
#[must_use]
pub fn unknown_version(bytes: &[u8]) -> Option<u32> {
    /// What every version begins with.
    #[derive(Deserialize)]
    struct Versioned {
        canon_v: u32,
    }
    let Versioned { canon_v } = serde_json::from_slice(bytes).ok()?;
    (!CANON_VERSIONS.contains(&canon_v)).then_some(canon_v)
}

impl Debit {
    /// The canonical bytes.
    #[must_use]
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(canonical::USUAL);
        self.to_canonical_into(&mut bytes);
        bytes
    }

    /// Writes the canonical bytes at the end of what is there.
    pub fn to_canonical_into(&self, to: &mut Vec<u8>) {
        canonical::put(to, Self::FIELDS.iter().filter(|field| self.has(field)), self);
    }

    /// Whether its version has a field.
    #[must_use]
    pub const fn has(&self, field: &Field<Self>) -> bool {
        field.since <= self.canon_v
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// If they are no debit, or are not the canonical form of the debit that they hold.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, BadDebit> {
        // Nearly all debits are read here.
        if let Some(debit) = Self::read_in_order(bytes).filter(|debit| debit.to_canonical() == bytes) {
            return Ok(debit);
        }
        Self::read_in_any_order(bytes)
    }

    /// The debit, if the bytes are in the canonical order of a known version. They may differ from the canonical
    /// form elsewhere.
    fn read_in_order(bytes: &[u8]) -> Option<Self> {
        let mut begin = Reader(bytes);
        begin.name(b"\"canon_v\":")?;
        let canon_v =
            u32::try_from(begin.number()?).ok().filter(|version| CANON_VERSIONS.contains(version))?;
        Self::read(&mut Reader(bytes), canon_v)
    }

    /// As [`Self::from_canonical`], and it names the mistake.
    fn read_in_any_order(bytes: &[u8]) -> Result<Self, BadDebit> {
        if let Some(canon_v) = unknown_version(bytes) {
            let known = CANON_VERSIONS.map(|version| version.to_string()).join(" and ");
            return Err(BadDebit(format!("canon_v {canon_v} is unknown; this program knows {known}")));
        }
        let debit: Self = serde_json::from_slice(bytes).map_err(|error| BadDebit(error.to_string()))?;
        if debit.to_canonical() != bytes {
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
            cache_write_1h_input: self.tokens_cache_write_1h_input,
            audio_input: self.tokens_audio_input,
            image_input: self.tokens_image_input,
            output: self.tokens_output,
            audio_output: self.tokens_audio_output,
            image_output: self.tokens_image_output,
            reasoning_output: self.tokens_reasoning_output,
        }
    }

    /// Sets the counts.
    pub fn set_usage(&mut self, usage: &Usage) {
        self.tokens_input = usage.input;
        self.tokens_cached_input = usage.cached_input;
        self.tokens_cache_write_input = usage.cache_write_input;
        self.tokens_cache_write_1h_input = usage.cache_write_1h_input;
        self.tokens_audio_input = usage.audio_input;
        self.tokens_image_input = usage.image_input;
        self.tokens_output = usage.output;
        self.tokens_audio_output = usage.audio_output;
        self.tokens_image_output = usage.image_output;
        self.tokens_reasoning_output = usage.reasoning_output;
    }
}

#[cfg(test)]
#[path = "frozen_test.rs"]
mod tests;
