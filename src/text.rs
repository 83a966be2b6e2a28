//! Values whose text is exact, as money must be: written as their [`AsText`] and read by their `FromStr`.

/// Whether a character steers the terminal of whoever reads it: beside control characters those that part lines, or turn the
/// direction of what follows.
#[must_use]
pub fn steers_terminal(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A value with one text, all of it ASCII. Ids, amounts and times are written some twenty times a call, and the
/// machinery of `Display` took longer than making their digits.
pub trait AsText {
    /// Writes the text at the end of what is there.
    fn put(&self, to: &mut Vec<u8>);

    /// The text.
    fn text(&self) -> String {
        let mut text = Vec::with_capacity(48);
        self.put(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Implements `Display`, `Serialize` and `Deserialize` by the text.
macro_rules! by_text {
    ($($name:ty),+) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&crate::text::AsText::text(self))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&crate::text::AsText::text(self))
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

/// The two lowercase hexadecimal digits of a byte. Ids and digests are written on every call, and formatting
/// them byte by byte took longer than pricing it.
pub(crate) const fn hex(byte: u8) -> [u8; 2] {
    const fn digit(nibble: u8) -> u8 {
        if nibble < 10 { b'0'.wrapping_add(nibble) } else { b'a'.wrapping_add(nibble.wrapping_sub(10)) }
    }
    [digit(byte >> 4), digit(byte & 0x0f)]
}

/// The longest decimal number of 64 bits.
pub(crate) const DECIMAL_MAX: usize = 20;

/// A number in decimal. Numbers are written some thirty times a call, and `format!` takes a hundred instructions to
/// begin with.
pub(crate) fn decimal(number: u64, digits: &mut [u8; DECIMAL_MAX]) -> &str {
    str::from_utf8(decimal_bytes(number, 0, digits)).unwrap_or_default()
}

/// Writes a number in decimal at the end of what is there, with zeros before it up to `width` digits.
pub(crate) fn put_decimal(to: &mut Vec<u8>, number: u64, width: usize) {
    to.extend_from_slice(decimal_bytes(number, width, &mut [0; DECIMAL_MAX]));
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

/// Whether a text can name a slot.
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
