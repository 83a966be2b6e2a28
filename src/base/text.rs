//! Values with an exact text, as money must have one: [`AsText`] writes it, and `FromStr` reads it.

/// Whether a character can steer the reader's terminal: a control character, or one that breaks lines or
/// turns the direction of the text after it.
#[must_use]
pub fn steers_terminal(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A value with exactly one text, all of it ASCII. A call writes some twenty ids, amounts and times, and the
/// machinery of `Display` took longer than making their digits.
pub trait AsText {
    /// Appends the text to `to`.
    fn put(&self, to: &mut Vec<u8>);

    /// The text.
    fn text(&self) -> String {
        // As long as a digest, the longest of these texts.
        let mut text = Vec::with_capacity(64);
        self.put(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Implements `Display` and `Serialize` with the value's text, and `Deserialize` with its `FromStr`.
macro_rules! by_text {
    ($($name:ty),+) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&crate::base::text::AsText::text(self))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&crate::base::text::AsText::text(self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

pub(crate) use by_text;

/// The two lowercase hexadecimal digits of each byte. A call writes several ids and digests, and working the digits out one
/// by one took longer than pricing the call.
static HEX: [[u8; 2]; 256] = {
    const fn digit(nibble: u8) -> u8 {
        if nibble < 10 { b'0'.wrapping_add(nibble) } else { b'a'.wrapping_add(nibble.wrapping_sub(10)) }
    }
    let mut pairs = [[0; 2]; 256];
    let mut rest: &mut [[u8; 2]] = &mut pairs;
    let mut byte = 0_u8;
    while let [pair, after @ ..] = rest {
        *pair = [digit(byte >> 4), digit(byte & 0x0f)];
        byte = byte.wrapping_add(1);
        rest = after;
    }
    pairs
};

/// The two lowercase hexadecimal digits of a byte.
pub(crate) fn hex(byte: u8) -> [u8; 2] {
    HEX.get(usize::from(byte)).copied().unwrap_or_default()
}

/// The longest decimal number of 64 bits.
pub(crate) const DECIMAL_MAX: usize = 20;

/// A number in decimal. A call writes some thirty numbers, and `format!` takes a hundred instructions before
/// it begins.
pub(crate) fn decimal(number: u64, digits: &mut [u8; DECIMAL_MAX]) -> &str {
    str::from_utf8(decimal_bytes(number, 0, digits)).unwrap_or_default()
}

/// Appends a number in decimal, with zeros before it up to `width` digits.
pub(crate) fn put_decimal(to: &mut Vec<u8>, number: u64, width: usize) {
    // Most numbers of an entry have one digit.
    match u8::try_from(number) {
        Ok(digit @ 0..10) if width <= 1 => to.push(b'0'.wrapping_add(digit)),
        _ => to.extend_from_slice(decimal_bytes(number, width, &mut [0; DECIMAL_MAX])),
    }
}

fn decimal_bytes(number: u64, width: usize, digits: &mut [u8; DECIMAL_MAX]) -> &[u8] {
    let (mut rest, mut used) = (number, 0usize);
    for place in digits.iter_mut().rev() {
        if rest == 0 && used >= width.max(1) {
            break;
        }
        *place = b'0'.wrapping_add(u8::try_from(rest.checked_rem(10).unwrap_or(0)).unwrap_or(0));
        rest = rest.checked_div(10).unwrap_or(0);
        used = used.saturating_add(1);
    }
    digits.get(DECIMAL_MAX.saturating_sub(used)..).unwrap_or_default()
}

/// Whether a text can be the name of a slot.
#[must_use]
pub fn is_slot_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_what_format_writes() {
        for number in [0, 1, 9, 10, 99, 100, 32_767, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; DECIMAL_MAX]), format!("{number}"));
            let mut all = Vec::new();
            [0, 3, 12].iter().for_each(|width| put_decimal(&mut all, number, *width));
            assert_eq!(all, format!("{number}{number:03}{number:012}").into_bytes());
        }
    }
}
