//! Reads canonical bytes from front to back: the fields come in the order of their table, so no name is looked
//! up. The ledger reads every debit, and `serde_json` took five times as long.
//!
//! The reader is lenient and names no mistake. Its caller writes the debit again and compares the bytes; if
//! they differ, `serde_json` reads them and names the mistake.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

use crate::base::json::text::plain_run;

/// The bytes that are not read yet.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// Takes these bytes, if they come next.
    pub(crate) fn exactly(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Takes the brace or comma before a field, and its name with quotes and colon.
    pub(crate) fn name(&mut self, name: &[u8]) -> Option<()> {
        self.0 = self.0.get(1..)?.strip_prefix(name)?;
        Some(())
    }

    /// Takes `true` or `false`.
    pub(crate) fn truth(&mut self) -> Option<bool> {
        match self.exactly(b"true") {
            Some(()) => Some(true),
            None => self.exactly(b"false").map(|()| false),
        }
    }

    /// Takes a whole number.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = None;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            let digit = u64::from(digit.wrapping_sub(b'0'));
            number = Some(number.unwrap_or(0_u64).checked_mul(10)?.checked_add(digit)?);
            self.0 = rest;
        }
        number
    }

    /// Takes a word of an enum.
    pub(crate) fn word<T: DeserializeOwned>(&mut self) -> Option<T> {
        let word = self.text()?;
        T::deserialize(IntoDeserializer::<Error>::into_deserializer(&*word)).ok()
    }

    /// Takes a string.
    pub(crate) fn text(&mut self) -> Option<Cow<'a, str>> {
        self.exactly(b"\"")?;
        let mut unescaped = Vec::new();
        let mut plain = self.0;
        loop {
            let run = plain_run(self.0);
            let (byte, rest) = self.0.get(run..)?.split_first()?;
            self.0 = rest;
            // The run before an escape or the closing quote.
            let before = || plain.get(..plain.len().checked_sub(rest.len())?.checked_sub(1)?);
            match byte {
                b'"' if unescaped.is_empty() => return str::from_utf8(before()?).ok().map(Cow::Borrowed),
                b'"' => {
                    unescaped.extend_from_slice(before()?);
                    return String::from_utf8(unescaped).ok().map(Cow::Owned);
                }
                b'\\' => {
                    unescaped.extend_from_slice(before()?);
                    unescaped.push(self.escape()?);
                    plain = self.0;
                }
                0..0x20 => return None,
                // Part of a character that is not ASCII.
                _ => {}
            }
        }
    }

    /// Takes what follows a backslash, if it stands for one byte.
    fn escape(&mut self) -> Option<u8> {
        let (kind, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match kind {
            b'"' | b'\\' => *kind,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => {
                let (digits, rest) = self.0.split_at_checked(4)?;
                self.0 = rest;
                let value = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
                value.is_ascii().then_some(value)?
            }
            _ => return None,
        })
    }

    /// Takes JSON up to the first byte like this one.
    pub(crate) fn json<T: DeserializeOwned>(&mut self, last: u8) -> Option<T> {
        let length = self.0.iter().position(|byte| *byte == last)?.checked_add(1)?;
        let (json, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        serde_json::from_slice(json).ok()
    }
}
