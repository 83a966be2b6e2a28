//! Estimates: what is counted where a provider counts nothing. The estimator has a version on every entry; an old one
//! stays for the entries that it made.

use serde::{Deserialize, Serialize};

use crate::json_text::not_ascii;
use crate::pax::Tokens;

/// Bytes of text as UTF-8: unescaped, without JSON's framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextBytes {
    /// Bytes that are ASCII.
    pub ascii: u64,
    /// All other bytes: a Chinese character has three of them, and is about one token.
    pub other: u64,
}

impl TextBytes {
    /// Counts these bytes in.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let other = not_ascii(bytes);
        self.ascii = self.ascii.saturating_add(length.saturating_sub(other));
        self.other = self.other.saturating_add(other);
    }

    /// So many bytes of which nothing is known: they count as ASCII.
    #[must_use]
    pub const fn unread(bytes: u64) -> Self {
        Self { ascii: bytes, other: 0 }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.ascii == 0 && self.other == 0
    }

    /// The longer of two texts.
    #[must_use]
    pub const fn or_longer(self, other: Self) -> Self {
        if self.all() < other.all() { other } else { self }
    }

    /// At most so many bytes of each kind.
    #[must_use]
    pub fn at_most(self, bytes: u64) -> Self {
        Self { ascii: self.ascii.min(bytes), other: self.other.min(bytes) }
    }

    /// Adds other text.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self { ascii: self.ascii.saturating_add(more.ascii), other: self.other.saturating_add(more.other) }
    }

    /// All of them.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.ascii.saturating_add(self.other)
    }
}

/// What a card says of a model for estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factors {
    /// Bytes of ASCII text a token.
    pub bytes_per_token: u64,
    /// Bytes of other text a token.
    pub bytes_per_token_other: u64,
    /// Seconds of silence that are waiting in line, and no writing.
    pub unseen_after_s: u64,
    /// Tokens a second that may be written unseen after that; 0 where none are.
    pub unseen_tokens_per_s: u64,
}

impl Default for Factors {
    fn default() -> Self {
        Self { bytes_per_token: 4, bytes_per_token_other: 3, unseen_after_s: 5, unseen_tokens_per_s: 40 }
    }
}

impl Factors {
    /// Tokens of so much text: each kind of bytes rounded up.
    #[must_use]
    pub fn tokens(&self, text: TextBytes) -> Tokens {
        let ascii = text.ascii.div_ceil(self.bytes_per_token.max(1));
        let other = text.other.div_ceil(self.bytes_per_token_other.max(1));
        Tokens(ascii.saturating_add(other))
    }

    /// Tokens that may have been written in so many milliseconds of silence, rounded up.
    #[must_use]
    pub const fn unseen(&self, unseen_ms: u64) -> Tokens {
        let writing_ms = unseen_ms.saturating_sub(self.unseen_after_s.saturating_mul(1_000));
        Tokens(writing_ms.saturating_mul(self.unseen_tokens_per_s).div_ceil(1_000))
    }
}
