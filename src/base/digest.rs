//! SHA-256 digests: of a token, of a rate card, of an entry's chain.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::base::text::{AsText, by_text, hex};

/// A SHA-256 digest. Its text is 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of the parts, one after the other.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl AsText for Digest {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.0.map(hex).as_flattened());
    }
}

/// A text that is not 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADigest;

impl fmt::Display for NotADigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be 64 lowercase hexadecimal digits")
    }
}

impl std::error::Error for NotADigest {}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(NotADigest);
        }
        let nibble = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte.wrapping_sub(b'0')),
            b'a'..=b'f' => Ok(byte.wrapping_sub(b'a').wrapping_add(10)),
            _ => Err(NotADigest),
        };
        let mut digest = [0; 32];
        for (place, [high, low]) in digest.iter_mut().zip(pairs) {
            *place = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(digest))
    }
}

by_text!(Digest);
