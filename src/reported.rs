//! Which usage of an answer counts: providers report it at three places, again and again, and now and then something
//! that is none.

use crate::usage::{Mode, Rules, Worth};

/// A raw usage, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RawUsage {
    /// The provider said nothing that holds a count.
    #[default]
    Absent,
    /// The value's bytes as received.
    Value(Vec<u8>),
    /// More bytes than an entry keeps.
    TooLarge,
}

impl RawUsage {
    /// Whether the provider said something.
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

/// Where in a document a usage stands: of two that are worth the same, the later one of this list counts.
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

/// By what usages are judged while an answer passes.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// The rules that count the call.
    pub rules: Rules,
    /// The call's.
    pub mode: Mode,
    /// Whether one answer was asked for: of several, a choice's usage says nothing of the others.
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
    /// Where it stood.
    pub at: At,
}

impl Reported {
    /// A usage that stands there.
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

    /// Another one of the same document.
    pub fn or_beside(&mut self, other: Self) {
        if other.worth > Worth::Nothing && (other.worth, other.at) >= (self.worth, self.at) {
            *self = other;
        }
    }

    /// The one of a later document. A choice's counts only where there is no other.
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
