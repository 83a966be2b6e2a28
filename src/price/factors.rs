//! A card's factors for estimates: how many bytes of text make a token, and how fast a model writes unseen.

use crate::base::pax::Tokens;
use crate::base::text_bytes::TextBytes;

/// A model's factors for estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factors {
    /// Bytes of ASCII text for one token.
    pub bytes_per_token: u64,
    /// Bytes of other text for one token.
    pub bytes_per_token_other: u64,
    /// Up to this many seconds of silence are waiting in line, and not writing.
    pub unseen_after_s: u64,
    /// Tokens that may be written unseen in each second after that; 0 if none are.
    pub unseen_tokens_per_s: u64,
}

impl Default for Factors {
    fn default() -> Self {
        Self { bytes_per_token: 4, bytes_per_token_other: 3, unseen_after_s: 5, unseen_tokens_per_s: 40 }
    }
}

impl Factors {
    /// The tokens of a text: each kind of bytes is rounded up.
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
