//! Explains the words of an entry to its reader.

use pax_gateway::debit::frozen::{Ending, Flag};
use pax_gateway::dialect::usage::Mode;

pub(super) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Chat => "chat",
        Mode::Embeddings => "embeddings",
        Mode::Completions => "completions",
        Mode::Responses => "responses",
    }
}

pub(super) const fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete: the provider's answer came to its end",
        Ending::Cut => {
            "cut: the caller or the provider broke the answer off; version 1 of an entry does not say who"
        }
        Ending::CallerGone => "caller_gone: the caller hung up before the answer's end",
        Ending::ProviderBrokeOff => "provider_broke_off: the provider broke the answer off",
        Ending::NoAnswer => "no_answer: the caller hung up before the answer began",
        Ending::Orphaned => {
            "orphaned: the gateway's worker that had the call died, and how the call ended is not known"
        }
        Ending::Lost => {
            "lost: the gateway that had the call is gone, and an operator charged what was held for it"
        }
    }
}

/// A flag's name and what it means.
pub(super) const fn flag(flag: Flag) -> (&'static str, &'static str) {
    match flag {
        Flag::CachedExceedsInput => {
            ("cached_exceeds_input", "more cached tokens than input were reported: all of it is plain input")
        }
        Flag::UsageUnreadable => {
            ("usage_unreadable", "the reported usage lacks the counts of such a call: they are estimated")
        }
        Flag::UsageTooLarge => {
            ("usage_too_large", "the reported usage is larger than an entry keeps: the tokens are estimated")
        }
        Flag::AnswerUnreadable => {
            ("answer_unreadable", "the answer could not be read: all its bytes count as text")
        }
        Flag::CostOutOfRange => ("cost_out_of_range", "the sum is more than an amount can hold"),
        Flag::ServiceTierUnpriced => (
            "service_tier_unpriced",
            "the provider names a service tier that the rate card has no prices for",
        ),
        Flag::PartExceedsWhole => {
            ("part_exceeds_whole", "more of a part than of its whole was reported: it is not charged apart")
        }
        Flag::UsageZero => (
            "usage_zero",
            "no tokens were reported of a side on which there was text: that side is estimated",
        ),
        Flag::UsageImpossible => (
            "usage_impossible",
            "more tokens were reported of a side than there can be: that side is estimated",
        ),
        Flag::PartUnpriced => (
            "part_unpriced",
            "a part that the rate card has no price for, or a tool that the provider ran, was reported",
        ),
    }
}
