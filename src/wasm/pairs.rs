//! Header maps in the proxy-wasm ABI's form: a count, two sizes for each pair, then names and values, each
//! ended by a zero byte. Sizes and the count are little-endian `u32`s.

/// Reads a map. None for bytes that are not of this form. Names that are not UTF-8, which Envoy does not let in, are left
/// out.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (sizes, mut texts) = rest.split_at_checked(count.checked_mul(8)?)?;
    let (sizes, _) = sizes.as_chunks::<4>();
    let mut text = |size: &[u8; 4]| {
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        let (text, rest) = texts.split_at_checked(size)?;
        texts = rest.get(1..)?;
        Some(text.to_vec())
    };
    let mut pairs = Vec::with_capacity(count);
    for pair in sizes.chunks_exact(2) {
        let [name, value] = pair else { return None };
        let (name, value) = (text(name)?, text(value)?);
        if let Ok(name) = String::from_utf8(name) {
            pairs.push((name, value));
        }
    }
    Some(pairs)
}

/// Writes a map.
#[must_use]
pub fn write(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = size(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend_from_slice(&size(name.len()));
        bytes.extend_from_slice(&size(value.len()));
    }
    for (name, value) in pairs {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    fn owned(pairs: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
    }

    #[test]
    fn a_name_that_is_no_text_is_left_out_and_the_others_stay() {
        let mut bytes = write(&[("a", b"1"), ("bc", b"2"), ("d", b"")]);
        let at = bytes.windows(2).position(|pair| pair == b"bc").unwrap();
        bytes[at] = 0xff;
        assert_eq!(read(&bytes), Some(owned(&[("a", b"1"), ("d", b"")])));
    }

    #[test]
    fn a_map_that_ends_too_early_is_no_map() {
        let bytes = write(&[("name", b"value"), ("other", b"")]);
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
            prop_assert_eq!(read(&write(&pairs)), Some(owned(&pairs)));
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
