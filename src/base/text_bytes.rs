//! How much text a body has, counted while the body passes. Estimates are made from it.

use crate::base::json::text::not_ascii;

/// Bytes of text as UTF-8: unescaped, without JSON's framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextBytes {
    /// Bytes that are ASCII.
    pub ascii: u64,
    /// All other bytes: a Chinese character has three of them, and is about one token.
    pub other: u64,
}

impl TextBytes {
    /// Adds these bytes.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let other = not_ascii(bytes);
        self.ascii = self.ascii.saturating_add(length.saturating_sub(other));
        self.other = self.other.saturating_add(other);
    }

    /// This many bytes whose content is not known: they count as ASCII.
    #[must_use]
    pub const fn unread(bytes: u64) -> Self {
        Self { ascii: bytes, other: 0 }
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.ascii == 0 && self.other == 0
    }

    /// The longer of two texts.
    #[must_use]
    pub const fn or_longer(self, other: Self) -> Self {
        if self.all() < other.all() { other } else { self }
    }

    /// This text, cut to at most this many bytes of each kind.
    #[must_use]
    pub fn at_most(self, bytes: u64) -> Self {
        Self { ascii: self.ascii.min(bytes), other: self.other.min(bytes) }
    }

    /// Both texts together.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self { ascii: self.ascii.saturating_add(more.ascii), other: self.other.saturating_add(more.other) }
    }

    /// The bytes of both kinds together.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.ascii.saturating_add(self.other)
    }
}
