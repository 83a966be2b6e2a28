//! Numbers and texts as bytes, for what stands in shared data: little-endian, a text with its length in two bytes.

use crate::base::pax::Pax;

/// Reads off the front of bytes; nothing where they end early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk::<N>().copied()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn pax(&mut self) -> Option<Pax> {
        self.array().map(i64::from_le_bytes).map(Pax::from_picopax)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let length = self.u16()?;
        str::from_utf8(self.take(usize::from(length))?).ok().map(str::to_owned)
    }

    /// What may be missing: a byte of 0, or of 1 and the value.
    pub(crate) fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            _ => read(self).map(Some),
        }
    }
}

/// Writes a text: at most 65,535 bytes, more than any here has.
pub(crate) fn put_text(into: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(text.as_bytes().get(..usize::from(length)).unwrap_or_default());
}

/// Writes what may be missing.
pub(crate) fn put_optional<T>(into: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    into.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(into, value);
    }
}
