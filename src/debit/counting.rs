//! Counting and charging, as version 2 of a debit does: from what an answer said to the counts that are billed, and
//! what they cost.
//!
//! Reported usage beats an estimate, for input and output apart. A side is estimated if it is reported as
//! zero although there was text, or as more than the card's limits allow. The other side stays as reported.

use crate::base::account::Funding;
use crate::base::pax::{Pax, Tokens};
use crate::base::text_bytes::TextBytes;
use crate::debit::admission::Admission;
use crate::debit::bounds::UNBOUNDED;
use crate::debit::estimate::{Bytes2, Side, TokenLimits};
use crate::debit::frozen::Flag;
use crate::dialect::usage::{Mode, Reading, Rules, Usage};
use crate::price::card::Model;
use crate::price::factors::Factors;
use crate::price::rates::ServedTier;
use crate::reading::answer::reported::RawUsage;
use crate::reading::answer::said::Said;

/// What is billed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// The counts.
    pub usage: Usage,
    /// What of them is estimated, and from what.
    pub estimate: Option<Bytes2>,
    /// Whether any of them is reported.
    pub is_reported: bool,
    /// Whether the provider charges for cache writes more than for input ([`Reading::writes_cost`]).
    pub writes_cost: bool,
}

/// Counts an answer. `reading` is its usage, if that can be read.
pub(crate) fn count(
    admission: &Admission,
    said: &Said,
    reading: Option<&Reading>,
    unseen_ms: Option<u64>,
    flags: &mut Vec<Flag>,
) -> Counted {
    let model = admission.priced();
    let side = match reading {
        Some(reading) => doubted(admission, said, model, &reading.usage, flags),
        None => Some(Side::Both),
    };
    let reported = reading.map(|reading| reading.usage).unwrap_or_default();
    let estimate = side.map(|side| estimate(admission, said.text, model, side));
    let limits = TokenLimits { input: admission.input_limit, output: admission.output_limit };
    let usage = estimate.map_or(reported, |estimate| estimate.usage(limits, unseen_ms, &reported));
    let is_reported = side != Some(Side::Both);
    let Some(reading) = reading.filter(|_| is_reported) else {
        return Counted { usage, estimate, is_reported, writes_cost: false };
    };
    if reading.cached_exceeds_input && side != Some(Side::Input) {
        flags.push(Flag::CachedExceedsInput);
    }
    if reading.server_tools {
        flags.push(Flag::PartUnpriced);
    }
    Counted { usage, estimate, is_reported, writes_cost: reading.writes_cost }
}

/// The reported usage, if it can be read by these rules.
pub(crate) fn read(rules: Rules, mode: Mode, said: &Said, flags: &mut Vec<Flag>) -> Option<Reading> {
    match &said.usage {
        RawUsage::Value(raw) => {
            let reading = rules.read(raw, mode);
            if reading.is_none() {
                flags.push(Flag::UsageUnreadable);
            }
            return reading;
        }
        RawUsage::TooLarge => flags.push(Flag::UsageTooLarge),
        RawUsage::Absent if said.unreadable => flags.push(Flag::AnswerUnreadable),
        RawUsage::Absent => {}
    }
    None
}

/// The side or sides of a reported usage that are not believed.
fn doubted(
    admission: &Admission,
    said: &Said,
    model: Option<&Model>,
    usage: &Usage,
    flags: &mut Vec<Flag>,
) -> Option<Side> {
    let (zero_input, zero_output) = zeros(admission, said, usage);
    let (most_input, most_output) = impossible(admission, model, usage);
    if zero_input || zero_output {
        flags.push(Flag::UsageZero);
    }
    if most_input || most_output {
        flags.push(Flag::UsageImpossible);
    }
    Side::of(zero_input || most_input, zero_output || most_output)
}

/// Which sides, input and output, are reported as zero although there was text.
fn zeros(admission: &Admission, said: &Said, usage: &Usage) -> (bool, bool) {
    let asked = admission.input.all() > 0 || admission.not_text;
    let answered = said.text.all() > 0 && admission.mode != Mode::Embeddings;
    (usage.input == Tokens::ZERO && asked, usage.output == Tokens::ZERO && answered)
}

/// Which sides, input and output, are reported above what can be.
pub(crate) fn impossible(admission: &Admission, model: Option<&Model>, usage: &Usage) -> (bool, bool) {
    let (window, maximum) = model.map_or((UNBOUNDED, UNBOUNDED), |model| {
        (model.context_window.0, model.max_output.0.saturating_mul(admission.n))
    });
    // Each text has the whole window, and an embeddings call may bring many texts.
    let window =
        if admission.mode == Mode::Embeddings { window.max(admission.input_limit.0) } else { window };
    // A provider that runs on to the context's end may write more than the card's maximum.
    let maximum = maximum.max(admission.output_limit.0);
    (usage.input.0 > window, usage.output.0 > maximum)
}

fn estimate(admission: &Admission, seen: TextBytes, model: Option<&Model>, side: Side) -> Bytes2 {
    let factors = model.map_or_else(Factors::default, |model| model.factors);
    // The answer of an embeddings call is no text.
    let seen = if admission.mode == Mode::Embeddings { TextBytes::default() } else { seen };
    Bytes2 {
        side,
        input_ascii_bytes: admission.input.ascii,
        input_other_bytes: admission.input.other,
        not_text: admission.not_text,
        shares_window: admission.shares_window,
        output_ascii_bytes: seen.ascii,
        output_other_bytes: seen.other,
        bytes_per_token: factors.bytes_per_token,
        bytes_per_token_other: factors.bytes_per_token_other,
        unseen_after_s: factors.unseen_after_s,
        unseen_tokens_per_s: factors.unseen_tokens_per_s,
    }
}

/// What the counts cost. A caller's own key pays the provider itself: the tokens are recorded and cost nothing.
pub(crate) fn charge(
    admission: &Admission,
    counted: &Counted,
    served: ServedTier<'_>,
    flags: &mut Vec<Flag>,
) -> Pax {
    let Some(model) = admission.priced().filter(|_| admission.funding == Funding::Platform) else {
        return Pax::ZERO;
    };
    if model.part_exceeds_whole(&counted.usage, counted.writes_cost) {
        flags.push(Flag::PartExceedsWhole);
    }
    let charged = model.charge(&counted.usage, counted.writes_cost, served, &mut |_| {});
    let Some(charged) = charged else {
        // A card whose largest call does not fit an amount is refused, but n such answers together may not
        // fit either: then the cost is the largest amount.
        flags.push(Flag::CostOutOfRange);
        return Pax::MAX;
    };
    if charged.part_unpriced {
        flags.push(Flag::PartUnpriced);
    }
    charged.cost
}
