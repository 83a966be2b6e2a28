//! Header maps, in the one buffer in which proxy-wasm hands them over: a count, two sizes for each pair, then names
//! and values, each ended by a zero byte. Sizes and the count are little-endian `u32`s.

/// A header map. It is read where it is, so that a header costs no allocation.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Of this form, or empty for a map without headers.
    bytes: Vec<u8>,
}

/// Values may be secret.
impl std::fmt::Debug for Pairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl Pairs {
    /// Takes a map over. None for bytes that are not of this form.
    #[must_use]
    pub fn read(bytes: Vec<u8>) -> Option<Self> {
        let (sizes, mut texts) = parts(&bytes)?;
        for size in sizes {
            (_, texts) = text(*size, texts)?;
        }
        Some(Self { bytes })
    }

    /// The map of these pairs.
    #[must_use]
    pub fn of<N: AsRef<str>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Self {
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let pairs = || pairs.iter().map(|(name, value)| (name.as_ref().as_bytes(), value.as_ref()));
        let mut bytes = size(pairs().count()).to_vec();
        for (name, value) in pairs() {
            bytes.extend_from_slice(&size(name.len()));
            bytes.extend_from_slice(&size(value.len()));
        }
        for (name, value) in pairs() {
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(value);
            bytes.push(0);
        }
        Self { bytes }
    }

    /// The map in this form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its headers, in their order. Names that are not UTF-8, which Envoy does not let in, are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)))
    }

    /// The values of a header, in their order.
    pub fn values<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.raw().filter(|(name, _)| *name == wanted.as_bytes()).map(|(_, value)| value)
    }

    /// The first value of a header.
    #[must_use]
    pub fn get(&self, wanted: &str) -> Option<&[u8]> {
        self.raw().find(|(name, _)| *name == wanted.as_bytes()).map(|(_, value)| value)
    }

    fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (sizes, mut texts) = parts(&self.bytes).unwrap_or_default();
        let (sizes, _) = sizes.as_chunks::<2>();
        sizes.iter().map_while(move |[name, value]| {
            let (name, rest) = text(*name, texts)?;
            let (value, rest) = text(*value, rest)?;
            texts = rest;
            Some((name, value))
        })
    }
}

/// The sizes of all names and values, and what follows them.
fn parts(bytes: &[u8]) -> Option<(&[[u8; 4]], &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (sizes, texts) = rest.split_at_checked(count.checked_mul(8)?)?;
    Some((sizes.as_chunks().0, texts))
}

/// A text of this size, and what follows the zero byte behind it.
fn text(size: [u8; 4], texts: &[u8]) -> Option<(&[u8], &[u8])> {
    let size = usize::try_from(u32::from_le_bytes(size)).ok()?;
    let (text, rest) = texts.split_at_checked(size)?;
    Some((text, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Option<Pairs> {
        Pairs::read(bytes.to_vec())
    }

    #[test]
    fn a_headers_values_are_found_by_its_name_and_no_debug_text_has_them() {
        let pairs = Pairs::of(&[("a", "1"), ("b", "secret"), ("a", "3")]);
        assert_eq!(pairs.get("a"), Some(&b"1"[..]));
        assert_eq!(pairs.values("a").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!((pairs.get("c"), Pairs::default().get("a")), (None, None));
        assert_eq!(format!("{pairs:?}"), r#"["a", "b", "a"]"#);
    }

    #[test]
    fn a_name_that_is_no_text_is_left_out_and_the_others_stay() {
        let mut bytes = Pairs::of(&[("a", "1"), ("bc", "2"), ("d", "")]).bytes;
        let at = bytes.windows(2).position(|pair| pair == b"bc").unwrap();
        bytes[at] = 0xff;
        let pairs = read(&bytes).unwrap();
        assert_eq!(pairs.iter().collect::<Vec<_>>(), [("a", &b"1"[..]), ("d", b"")]);
    }

    #[test]
    fn a_map_that_ends_too_early_is_no_map() {
        let bytes = Pairs::of(&[("name", "value"), ("other", "")]).bytes;
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), None, "{end} of {} bytes", bytes.len());
        }
        assert_eq!(read(&u32::MAX.to_le_bytes()), None, "a count that nothing follows");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            pairs in prop::collection::vec(("[a-z:-]{0,12}", prop::collection::vec(any::<u8>(), 0..24)), 0..12)
        ) {
            let pairs: Vec<(&str, &[u8])> =
                pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            let read = read(Pairs::of(&pairs).as_bytes()).unwrap();
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), pairs);
        }

        #[test]
        fn no_bytes_make_the_reader_stop_or_take_more_than_there_is(
            bytes in prop::collection::vec(any::<u8>(), 0..64), count in 0_u32..8
        ) {
            let bytes = [count.to_le_bytes().as_slice(), &bytes].concat();
            if let Some(pairs) = read(&bytes) {
                let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
                prop_assert!(size <= bytes.len());
            }
        }
    }
}
