//! Decides which usage of an answer counts. Providers report it at three places, some again and again, and
//! now and then report something that is no usage.

use crate::dialect::usage::{Mode, Rules, Worth};

/// A raw usage, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RawUsage {
    /// The provider reported nothing that holds a count.
    #[default]
    Absent,
    /// The value's bytes as received.
    Value(Vec<u8>),
    /// More bytes than an entry keeps.
    TooLarge,
}

impl RawUsage {
    /// Whether the provider reported something.
    #[must_use]
    pub fn is_reported(&self) -> bool {
        matches!(self, Self::Value(_) | Self::TooLarge)
    }

    /// The value as text, for the entry.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Value(raw) => String::from_utf8(raw.clone()).ok(),
            Self::Absent | Self::TooLarge => None,
        }
    }
}

/// The place of a usage in a document. Of two usages that are worth the same, the one whose place is later in
/// this list counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// `choices[].usage`: Moonshot's last chunk.
    #[default]
    Choice,
    /// `x_groq.usage`.
    Groq,
    /// The top-level `usage`.
    Top,
}

/// What is needed to judge a usage while an answer passes.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// The rules with which the call is counted.
    pub rules: Rules,
    /// The kind of the call.
    pub mode: Mode,
    /// Whether the call asked for one answer. If it asked for several, the usage of one choice does not
    /// include the others.
    pub one_answer: bool,
}

impl Default for Judge {
    fn default() -> Self {
        Self { rules: Rules::default().latest(), mode: Mode::Chat, one_answer: true }
    }
}

/// The usage that counts, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// The usage.
    pub raw: RawUsage,
    /// What it is worth: one that the rules can read is never replaced by one that they cannot.
    pub worth: Worth,
    /// Its place.
    pub at: At,
}

impl Reported {
    /// A usage at this place of a document.
    #[must_use]
    pub fn of(raw: RawUsage, at: At, judge: Judge) -> Self {
        let worth = match &raw {
            _ if at == At::Choice && !judge.one_answer => Worth::Nothing,
            RawUsage::Absent => Worth::Nothing,
            RawUsage::TooLarge => Worth::TooLarge,
            RawUsage::Value(raw) => judge.rules.worth(raw, judge.mode),
        };
        if worth == Worth::Nothing { Self::default() } else { Self { raw, worth, at } }
    }

    /// Takes in another usage of the same document.
    pub fn or_beside(&mut self, other: Self) {
        if other.worth > Worth::Nothing && (other.worth, other.at) >= (self.worth, self.at) {
            *self = other;
        }
    }

    /// Takes in the usage of a later document. The usage of a choice does not replace one that is worth the
    /// same and comes from another place.
    pub fn or_later(&mut self, later: Self) {
        let is_less = later.at == At::Choice && self.at != At::Choice && later.worth == self.worth;
        if later.worth > Worth::Nothing && later.worth >= self.worth && !is_less {
            *self = later;
        }
    }
}

#[cfg(test)]
#[path = "reported_test.rs"]
mod tests;
