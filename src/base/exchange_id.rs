//! The exchange's id: a UUIDv7 made from the clock and the host's random bytes.

use std::fmt;
use std::str::FromStr;

use crate::base::clock::Moment;
use crate::base::text::{AsText, by_text, hex};

/// The idempotency key of an exchange, everywhere. Its text is the usual text of a UUID, in lowercase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId([u8; 16]);

impl ExchangeId {
    /// A UUIDv7 (RFC 9562): 48 bits of milliseconds, then the host's random bits. A counter in their place
    /// would not do: two workers would make the same id.
    #[must_use]
    pub fn new(now: Moment, random: [u8; 10]) -> Self {
        let [_, _, a, b, c, d, e, f] = now.ms().to_be_bytes();
        let [g, h, i, j, k, l, m, n, o, p] = random;
        let (version, variant) = (0x70 | (g & 0x0f), 0x80 | (i & 0x3f));
        Self([a, b, c, d, e, f, version, h, variant, j, k, l, m, n, o, p])
    }
}

/// The last eight bytes of an exchange's id: 62 of the host's random bits. They are enough to tell the open
/// exchanges of one account apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(pub u64);

impl ExchangeId {
    /// The sixteen bytes of the UUID.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// An id from its bytes; none if they are no UUIDv7.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let [_, _, _, _, _, _, version, _, variant, ..] = bytes;
        if version >> 4 == 7 && variant >> 6 == 0b10 { Some(Self(bytes)) } else { None }
    }

    /// The exchange's tag.
    #[must_use]
    pub const fn tag(self) -> Tag {
        let [_, _, _, _, _, _, _, _, a, b, c, d, e, f, g, h] = self.0;
        Tag(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl AsText for ExchangeId {
    fn put(&self, to: &mut Vec<u8>) {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.0.map(hex);
        for (index, group) in
            [&[a, b, c, d][..], &[e, f], &[g, h], &[i, j], &[k, l, m, n, o, p]].iter().enumerate()
        {
            if index > 0 {
                to.push(b'-');
            }
            to.extend_from_slice(group.as_flattened());
        }
    }
}

impl ExchangeId {
    /// When the exchange began, by the clock of its Envoy.
    #[must_use]
    pub const fn began(&self) -> Moment {
        let [a, b, c, d, e, f, ..] = self.0;
        Moment::from_ms(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

/// A text that is no lowercase UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnExchangeId;

impl fmt::Display for NotAnExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a UUIDv7 in lowercase")
    }
}

impl std::error::Error for NotAnExchangeId {}

impl FromStr for ExchangeId {
    type Err = NotAnExchangeId;

    fn from_str(text: &str) -> Result<Self, NotAnExchangeId> {
        let mut nibbles = text.bytes().filter(|byte| *byte != b'-').map(|byte| match byte {
            b'0'..=b'9' => Ok(byte.wrapping_sub(b'0')),
            b'a'..=b'f' => Ok(byte.wrapping_sub(b'a').wrapping_add(10)),
            _ => Err(NotAnExchangeId),
        });
        let mut bytes = [0; 16];
        for place in &mut bytes {
            let high = nibbles.next().ok_or(NotAnExchangeId)??;
            let low = nibbles.next().ok_or(NotAnExchangeId)??;
            *place = high << 4 | low;
        }
        // The id written again must be the same text: this checks the length and the dashes.
        Self::from_bytes(bytes).filter(|id| id.to_string() == text).ok_or(NotAnExchangeId)
    }
}

by_text!(ExchangeId);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_is_a_uuid_v7_of_its_moment() {
        let id = ExchangeId::new(Moment::from_ms(0x0192_3456_789a), [0xff; 10]);
        assert_eq!(id.to_string(), "01923456-789a-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.began(), Moment::from_ms(0x0192_3456_789a));
    }

    #[test]
    fn texts_that_are_no_ids_are_refused() {
        for text in [
            "",
            "01923456-789a-4fff-bfff-ffffffffffff",
            "01923456-789a-7fff-cfff-ffffffffffff",
            "01923456-789A-7fff-bfff-ffffffffffff",
            "01923456789a7fffbfffffffffffffff",
            "01923456-789a-7fff-bfff-ffffffffffff0",
            "01923456-789a-7fff-bfff-fffffffffff",
        ] {
            assert_eq!(text.parse::<ExchangeId>(), Err(NotAnExchangeId), "{text}");
        }
    }
}
