//! Estimates: what is counted if a provider counts nothing. Every entry names the version of its estimator;
//! an old version stays for the entries that were made with it.

use serde::{Deserialize, Serialize};

use crate::base::pax::Tokens;
use crate::base::text::AsText;
use crate::base::text_bytes::TextBytes;
use crate::debit::canonical::{self, with_table_of_fields};
use crate::debit::canonical_reader::Reader;
use crate::debit::field::held;
use crate::dialect::usage::Usage;
use crate::price::factors::Factors;

/// The estimator of version 1 of a debit: tokens = ⌈bytes of text ÷ the card's bytes per token⌉, at most the limit.
pub const ESTIMATOR_1: &str = "bytes/1";
/// The estimator of version 2: [`Bytes2`].
pub const ESTIMATOR: &str = "bytes/2";
/// How many tokens above twice a limit an estimate of text may be before the text counts as proof that the
/// limit was not kept.
pub const LIMIT_SLACK: u64 = 16;

/// What an estimate was made from, as the entry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EstimatedFrom {
    /// By `bytes/1`.
    Bytes1(Bytes1),
    /// By `bytes/2`.
    Bytes2(Bytes2),
}

/// As an object of JSON.
impl AsText for EstimatedFrom {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Bytes1(from) => canonical::put(to, Bytes1::FIELDS, from),
            Self::Bytes2(from) => canonical::put(to, Bytes2::FIELDS, from),
        }
    }
}

impl EstimatedFrom {
    /// Reads the canonical bytes of either form.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let start = *from;
        let read = match Bytes2::read(from, u32::MAX) {
            Some(bytes) => Self::Bytes2(bytes),
            None => {
                *from = start;
                Self::Bytes1(Bytes1::read(from, u32::MAX)?)
            }
        };
        from.exactly(b"}").map(|()| read)
    }
}

with_table_of_fields! {
    /// What a `bytes/1` estimate was made from.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Bytes1 {
        /// Bytes of text in the request.
        1 input_bytes: u64,
        /// Bytes of text seen in the answer.
        1 output_bytes: u64,
        /// The input tokens that were reserved.
        1 input_limit: Tokens,
        /// The output tokens that were reserved.
        1 output_limit: Tokens,
    }
}

impl Bytes1 {
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

/// Which side of a call is estimated; the other one is as reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Input and output.
    Both,
    /// Only the input.
    Input,
    /// Only the output.
    Output,
}

impl Side {
    /// The side or sides that are estimated, if any is.
    #[must_use]
    pub const fn of(input: bool, output: bool) -> Option<Self> {
        match (input, output) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Input),
            (false, true) => Some(Self::Output),
            (false, false) => None,
        }
    }

    /// Its name on entries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

held! {
    Side: Word(|held| held.name()), |from| from.word();
}

with_table_of_fields! {
    /// What a `bytes/2` estimate was made from, beside the limits and the unseen time, which every debit has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Bytes2 {
        /// What is estimated.
        2 side: Side,
        /// Bytes of text in the request that are ASCII.
        2 input_ascii_bytes: u64,
        /// Its other bytes of text.
        2 input_other_bytes: u64,
        /// Whether the request holds parts that are not text: then the input counts as its limit.
        2 not_text: bool,
        /// Whether input and output share the context window, so that both together are at most that.
        2 shares_window: bool,
        /// Bytes of text seen in the answer that are ASCII.
        2 output_ascii_bytes: u64,
        /// Its other bytes of text.
        2 output_other_bytes: u64,
        /// [`Factors::bytes_per_token`].
        2 bytes_per_token: u64,
        /// [`Factors::bytes_per_token_other`].
        2 bytes_per_token_other: u64,
        /// [`Factors::unseen_after_s`].
        2 unseen_after_s: u64,
        /// [`Factors::unseen_tokens_per_s`].
        2 unseen_tokens_per_s: u64,
    }
}

/// What bounds an estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenLimits {
    /// The input tokens that were reserved.
    pub input: Tokens,
    /// The output tokens that were reserved.
    pub output: Tokens,
}

impl Bytes2 {
    /// The card's factors.
    #[must_use]
    pub const fn factors(&self) -> Factors {
        Factors {
            bytes_per_token: self.bytes_per_token,
            bytes_per_token_other: self.bytes_per_token_other,
            unseen_after_s: self.unseen_after_s,
            unseen_tokens_per_s: self.unseen_tokens_per_s,
        }
    }

    /// Tokens of the text that was seen.
    #[must_use]
    pub fn seen(&self) -> Tokens {
        self.factors().tokens(TextBytes { ascii: self.output_ascii_bytes, other: self.output_other_bytes })
    }

    /// The counts: `reported`, with the estimated side in the place of the reported one.
    #[must_use]
    pub fn usage(&self, limits: TokenLimits, unseen_ms: Option<u64>, reported: &Usage) -> Usage {
        let output = match self.side {
            Side::Input => reported.output,
            Side::Both | Side::Output => self.output(limits.output, unseen_ms),
        };
        let input = match self.side {
            Side::Output => reported.input,
            Side::Both | Side::Input => self.input(limits.input, output),
        };
        match self.side {
            Side::Both => Usage { input, output, ..Usage::default() },
            // The parts of an estimated side are not known.
            Side::Output => Usage {
                output,
                audio_output: Tokens::ZERO,
                image_output: Tokens::ZERO,
                reasoning_output: Tokens::ZERO,
                ..*reported
            },
            Side::Input => Usage {
                input,
                output: reported.output,
                audio_output: reported.audio_output,
                image_output: reported.image_output,
                reasoning_output: reported.reasoning_output,
                ..Usage::default()
            },
        }
    }

    fn input(&self, limit: Tokens, output: Tokens) -> Tokens {
        let text = TextBytes { ascii: self.input_ascii_bytes, other: self.input_other_bytes };
        match (self.not_text, self.shares_window) {
            (true, true) => limit.saturating_sub(output),
            (true, false) => limit,
            (false, _) => self.factors().tokens(text).min(limit),
        }
    }

    /// Whether the text that was seen has more than twice the limit's tokens and [`LIMIT_SLACK`]: then the
    /// provider did not keep to the limit, and the limit bounds nothing.
    #[must_use]
    pub fn disproves(&self, limit: Tokens) -> bool {
        self.seen().0 > limit.0.saturating_mul(2).saturating_add(LIMIT_SLACK)
    }

    /// The tokens that were seen and those that may have been written unseen, at most the limit. If the text
    /// disproves the limit, all those that were seen.
    fn output(&self, limit: Tokens, unseen_ms: Option<u64>) -> Tokens {
        let seen = self.seen();
        if self.disproves(limit) {
            return seen;
        }
        let unseen = unseen_ms.map_or(Tokens::ZERO, |ms| self.factors().unseen(ms));
        Tokens(seen.0.saturating_add(unseen.0)).min(limit)
    }
}

#[cfg(test)]
#[path = "estimate_test.rs"]
mod tests;
