//! Settlement: from what was admitted and what was answered to the one debit, or to none.

use std::sync::Arc;

use crate::account::{Account, Funding};
use crate::answer::Said;
use crate::bounds::estimated_output_limit;
use crate::card::{Model, RateCard, bytes_per_token};
use crate::clock::Moment;
use crate::debit::{CANON_V, Debit, ESTIMATOR, Ending, Estimate, Flag, Kind, Provenance};
use crate::exchange_id::ExchangeId;
use crate::pax::{Pax, Tokens};
use crate::price::ServiceTier;
use crate::reported::RawUsage;
use crate::usage::{Mode, Rules, Usage};

/// A call that was let through: all that its debit will say of it, frozen at admission.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The idempotency key.
    pub exchange_id: ExchangeId,
    /// When it was admitted: its UTC date is the day it counts on.
    pub admitted_at: Moment,
    /// Whom it debits.
    pub account: Arc<Account>,
    /// Whose provider key pays.
    pub funding: Funding,
    /// The slot, default included.
    pub slot: String,
    /// `X-Matrix-Intent-ID`.
    pub intent_id: Option<String>,
    /// `X-Matrix-Goal-ID`.
    pub goal_id: Option<String>,
    /// Chat or embeddings.
    pub mode: Mode,
    /// Whether the caller asked for a stream.
    pub wants_stream: bool,
    /// The card in force at admission; the exchange keeps it to its end.
    pub card: Arc<RateCard>,
    /// The public model id.
    pub model: String,
    /// Who serves it.
    pub provider: String,
    /// How its provider's raw usage is read.
    pub usage_rules: Rules,
    /// The service tier that was asked for, where the card prices it; none for the standard one.
    pub service_tier: Option<String>,
    /// Bytes of text in the request, for an estimate.
    pub input_bytes: u64,
    /// The most input there can be.
    pub input_limit: Tokens,
    /// The most output there can be.
    pub output_limit: Tokens,
    /// What is set aside of the account's daily cap; none where it has none.
    pub reservation: Option<Pax>,
}

impl Admission {
    /// The price of the model under the card of the admission. A call with the caller's own key may be for a model
    /// that the card does not know.
    #[must_use]
    pub fn priced(&self) -> Option<&Model> {
        self.card.models.get(&self.model).filter(|model| model.mode == self.mode)
    }
}

/// How an answer ended, for its debit.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// The provider's status; none where the caller was gone before it came.
    pub status: Option<u16>,
    /// The id that the provider gave the call.
    pub provider_request_id: Option<String>,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Whether it came to its end.
    pub complete: bool,
    /// What it said.
    pub said: Said,
}

/// The debit of an exchange that the provider answered with 2xx, or that it may have answered so had the
/// caller stayed. None where the answer was nothing but an error, and where the model has no price (which
/// admission has refused).
#[must_use]
pub fn settle(admission: &Admission, answered: Answered, now: Moment) -> Option<Debit> {
    let Answered { status, stream, complete, said, .. } = answered;
    if said.only_error && !said.usage.is_reported() {
        return None;
    }
    let model = admission.priced();
    if model.is_none() && admission.funding == Funding::Platform {
        return None;
    }
    let ending = match (status, complete) {
        (None, _) => Ending::NoAnswer,
        (Some(_), true) => Ending::Complete,
        (Some(_), false) => Ending::Cut,
    };
    let mut flags = Vec::new();
    let service_tier = served_tier(&said, admission, model, &mut flags);
    let counted = count(&said, admission, (model, service_tier.as_deref()), &mut flags);
    flags.sort_unstable();
    let raw = match said.usage {
        RawUsage::Value(raw) => String::from_utf8(raw).ok(),
        _ => None,
    };
    let mut debit = Debit {
        canon_v: CANON_V,
        kind: Kind::Debit,
        exchange_id: admission.exchange_id,
        account: admission.account.account.clone(),
        tier: admission.account.tier,
        token_id: admission.account.token_id.clone(),
        funding: admission.funding,
        slot: admission.slot.clone(),
        intent_id: admission.intent_id.clone(),
        goal_id: admission.goal_id.clone(),
        mode: admission.mode,
        model: admission.model.clone(),
        provider: admission.provider.clone(),
        stream,
        upstream_status: status,
        response_id: said.id,
        service_tier,
        ending,
        flags,
        provenance: counted.provenance,
        usage_rules: (counted.provenance == Provenance::Reported)
            .then(|| admission.usage_rules.name().to_owned()),
        usage: raw,
        estimator: counted.estimate.map(|_| ESTIMATOR.to_owned()),
        estimated_from: counted.estimate,
        tokens_input: Tokens::ZERO,
        tokens_cached_input: Tokens::ZERO,
        tokens_cache_write_input: Tokens::ZERO,
        tokens_audio_input: Tokens::ZERO,
        tokens_output: Tokens::ZERO,
        tokens_audio_output: Tokens::ZERO,
        tokens_reasoning_output: Tokens::ZERO,
        cost_pax: counted.cost,
        rate_table_v: admission.card.version,
        card_sha256: admission.card.sha256,
        occurred_at: admission.admitted_at,
        settled_at: now.max(admission.admitted_at),
        utc_day: admission.admitted_at.day(),
    };
    debit.set_usage(&counted.usage);
    Some(debit)
}

struct Counted {
    provenance: Provenance,
    usage: Usage,
    estimate: Option<Estimate>,
    cost: Pax,
}

/// The service tier that prices a call: what the provider says served it, since it may be another than the one that
/// was asked for; the one that was asked for where it says nothing, or one that the card does not price.
fn served_tier(
    said: &Said,
    admission: &Admission,
    model: Option<&Model>,
    flags: &mut Vec<Flag>,
) -> Option<String> {
    match &said.service_tier {
        ServiceTier::Plain => None,
        ServiceTier::Named(name) if model.is_some_and(|model| model.service_tiers.contains_key(name)) => {
            Some(name.clone())
        }
        ServiceTier::Named(_) => {
            flags.push(Flag::ServiceTierUnpriced);
            admission.service_tier.clone()
        }
        ServiceTier::Auto => admission.service_tier.clone(),
    }
}

/// Reported usage beats an estimate, as long as it can be read and paid.
fn count(
    said: &Said,
    admission: &Admission,
    (model, service_tier): (Option<&Model>, Option<&str>),
    flags: &mut Vec<Flag>,
) -> Counted {
    // A caller's own key pays the provider itself: the tokens are recorded and cost nothing.
    let price = |usage: &Usage| match (admission.funding, model) {
        (Funding::Byo, _) => Some(Pax::ZERO),
        (Funding::Platform, model) => model.and_then(|model| model.price(usage, service_tier)),
    };
    match &said.usage {
        RawUsage::Value(raw) => match admission.usage_rules.read(raw, admission.mode) {
            Some(reading) => {
                if reading.cached_exceeds_input {
                    flags.push(Flag::CachedExceedsInput);
                }
                if model.is_some_and(|model| model.prices.part_exceeds_whole(&reading.usage)) {
                    flags.push(Flag::PartExceedsWhole);
                }
                if let Some(cost) = price(&reading.usage) {
                    let usage = reading.usage;
                    return Counted { provenance: Provenance::Reported, usage, estimate: None, cost };
                }
                flags.push(Flag::CostOutOfRange);
            }
            None => flags.push(Flag::UsageUnreadable),
        },
        RawUsage::TooLarge => flags.push(Flag::UsageTooLarge),
        RawUsage::Absent if said.unreadable => flags.push(Flag::AnswerUnreadable),
        RawUsage::Absent => {}
    }
    let bytes_per_token = bytes_per_token(model);
    let estimate = Estimate {
        input_bytes: admission.input_bytes,
        output_bytes: said.text.all(),
        input_limit: admission.input_limit,
        output_limit: estimated_output_limit(admission.output_limit, said.text.all(), bytes_per_token),
    };
    let usage = estimate.usage(bytes_per_token);
    // The card was refused if its largest call did not fit an amount; n such calls saturate.
    let cost = price(&usage).unwrap_or(Pax::MAX);
    Counted { provenance: Provenance::Estimated, usage, estimate: Some(estimate), cost }
}

#[cfg(test)]
#[path = "settle_test.rs"]
mod tests;
