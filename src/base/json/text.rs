//! Reads the inside of a JSON string byte by byte: escapes, surrogates, UTF-8.
//!
//! Between two bytes only a [`Text`] is remembered, so a string may be cut anywhere.

/// What may come next in a string, after its opening quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// A character, an escape, or the closing quote.
    Plain,
    /// The rest of a character of several bytes.
    Rest {
        /// How many bytes are missing.
        missing: u8,
        /// The lowest value that the next of them may have (Unicode, table 3-7: no overlong form, no
        /// surrogate).
        low: u8,
        /// The highest value that it may have.
        high: u8,
    },
    /// What follows a backslash.
    Escape,
    /// The digits of `\u`, as far as they are read.
    Hex {
        /// How many are read.
        digits: u8,
        /// Their value.
        value: u16,
    },
    /// After a high surrogate: the backslash of the low one.
    LowSlash {
        /// The high surrogate.
        high: u16,
    },
    /// After a high surrogate and a backslash: the `u` of the low one.
    LowU {
        /// The high surrogate.
        high: u16,
    },
    /// After a high surrogate: digits of the low one.
    LowHex {
        /// The high surrogate.
        high: u16,
        /// How many are read.
        digits: u8,
        /// Their value.
        value: u16,
    },
}

const NOT_UTF8: &str = "a string is not UTF-8";

impl Text {
    /// Takes a byte; `out` gets the text that it completes, unescaped. None if the byte is the closing quote.
    ///
    /// # Errors
    /// Why the byte is not allowed there.
    #[inline]
    pub fn step(self, byte: u8, out: &mut impl FnMut(&[u8])) -> Result<Option<Self>, &'static str> {
        match self {
            Self::Plain => return plain(byte, out),
            Self::Rest { low, high, .. } if byte < low || byte > high => Err(NOT_UTF8),
            Self::Rest { missing, .. } => {
                out(&[byte]);
                Ok(rest(missing.saturating_sub(1), 0x80, 0xbf))
            }
            Self::Escape => escape(byte, out),
            Self::Hex { digits, value } => {
                let value = shift_in(value, byte)?;
                match digits {
                    0..3 => Ok(Self::Hex { digits: digits.saturating_add(1), value }),
                    _ => Ok(code_unit(value, out)),
                }
            }
            // A high surrogate without its low one is not a character. Like JavaScript and Python we take it
            // as U+FFFD, because clients that cut a text in the middle of an emoji send it.
            Self::LowSlash { high } if byte == b'\\' => Ok(Self::LowU { high }),
            Self::LowSlash { .. } => {
                character(char::REPLACEMENT_CHARACTER, out);
                return plain(byte, out);
            }
            Self::LowU { high } if byte == b'u' => Ok(Self::LowHex { high, digits: 0, value: 0 }),
            Self::LowU { .. } => {
                character(char::REPLACEMENT_CHARACTER, out);
                escape(byte, out)
            }
            Self::LowHex { high, digits, value } => {
                let value = shift_in(value, byte)?;
                match digits {
                    0..3 => Ok(Self::LowHex { high, digits: digits.saturating_add(1), value }),
                    _ => Ok(pair(high, value, out)),
                }
            }
        }
        .map(Some)
    }
}

fn rest(missing: u8, low: u8, high: u8) -> Text {
    if missing == 0 { Text::Plain } else { Text::Rest { missing, low, high } }
}

#[inline]
fn plain(byte: u8, out: &mut impl FnMut(&[u8])) -> Result<Option<Text>, &'static str> {
    let next = match byte {
        b'"' => return Ok(None),
        b'\\' => return Ok(Some(Text::Escape)),
        0x20..0x80 => Text::Plain,
        0xc2..=0xdf => rest(1, 0x80, 0xbf),
        0xe0 => rest(2, 0xa0, 0xbf),
        0xed => rest(2, 0x80, 0x9f),
        0xe1..=0xef => rest(2, 0x80, 0xbf),
        0xf0 => rest(3, 0x90, 0xbf),
        0xf1..=0xf3 => rest(3, 0x80, 0xbf),
        0xf4 => rest(3, 0x80, 0x8f),
        0x80.. => return Err(NOT_UTF8),
        _ => return Err("a control character stands in a string unescaped"),
    };
    out(&[byte]);
    Ok(Some(next))
}

#[inline]
fn escape(byte: u8, out: &mut impl FnMut(&[u8])) -> Result<Text, &'static str> {
    let meant = match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return Ok(Text::Hex { digits: 0, value: 0 }),
        _ => return Err("a string has an unknown escape"),
    };
    out(&[meant]);
    Ok(Text::Plain)
}

fn shift_in(value: u16, byte: u8) -> Result<u16, &'static str> {
    let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
    digit.map(|digit| value.wrapping_shl(4) | digit).ok_or("a \\u escape needs four hexadecimal digits")
}

fn code_unit(unit: u16, out: &mut impl FnMut(&[u8])) -> Text {
    if (0xd800..0xdc00).contains(&unit) {
        return Text::LowSlash { high: unit };
    }
    character(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER), out);
    Text::Plain
}

fn pair(high: u16, low: u16, out: &mut impl FnMut(&[u8])) -> Text {
    if let Some(Ok(both)) = char::decode_utf16([high, low]).next() {
        character(both, out);
        return Text::Plain;
    }
    // No pair: the first surrogate is alone, and the second unit is read anew.
    character(char::REPLACEMENT_CHARACTER, out);
    code_unit(low, out)
}

fn character(character: char, out: &mut impl FnMut(&[u8])) {
    out(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// How many bytes from the start are plain text of a string: ASCII, no quote, no backslash, no control
/// character.
#[inline]
pub fn plain_run(bytes: &[u8]) -> usize {
    run(bytes, |word| {
        let control = word.wrapping_sub(each(0x20)) & !word & TOPS;
        equal(word, b'"') | equal(word, b'\\') | control | (word & TOPS)
    })
}

/// How many bytes are left of the line: those before a carriage return or a line feed.
#[inline]
pub fn line_run(bytes: &[u8]) -> usize {
    run(bytes, |word| equal(word, b'\r') | equal(word, b'\n'))
}

/// How many of the bytes are not ASCII. Counts eight bytes at a time.
#[inline]
pub fn not_ascii(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from((u64::from_le_bytes(*word) & TOPS).count_ones()));
    let tail = tail.iter().map(|byte| u64::from(byte >> 7));
    words.chain(tail).fold(0, u64::saturating_add)
}

const TOPS: u64 = each(0x80);

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The usual zero-byte trick: marks the top bit of each byte that equals `byte`. A mark above another mark
/// may be wrong, but the lowest mark is always right.
fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ each(byte);
    zero.wrapping_sub(each(1)) & !zero & TOPS
}

/// How many bytes come before the first one that `marks` marks. Looks at eight bytes at a time.
#[inline]
fn run(bytes: &[u8], marks: impl Fn(u64) -> u64) -> usize {
    let first = |marked: u64| usize::try_from(marked.trailing_zeros() >> 3).unwrap_or(0);
    let (words, tail) = bytes.as_chunks::<8>();
    let mut passed = 0usize;
    for word in words {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return passed.saturating_add(first(marked));
        }
        passed = passed.saturating_add(8);
    }
    let mut last = [0; 8];
    for (place, byte) in last.iter_mut().zip(tail) {
        *place = *byte;
    }
    passed.saturating_add(first(marks(u64::from_le_bytes(last))).min(tail.len()))
}

#[cfg(test)]
#[path = "text_test.rs"]
mod tests;
