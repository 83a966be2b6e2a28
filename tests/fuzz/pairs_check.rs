//! The reader of header maps: what it reads of any bytes is what a slow reading by the form's own words finds there, and
//! what is written of it is read again.

use crate::equal;
use crate::random::Random;
use crate::words::BYTES;
use pax_gateway::base::pairs::Pairs;

/// A map by the ABI's words: a number of pairs, their sizes, then their texts, each with a zero behind it. None where
/// something is missing.
fn expected(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut rest = bytes.iter().copied();
    let number = |rest: &mut dyn Iterator<Item = u8>| {
        let bytes: Vec<u8> = rest.take(4).collect();
        (bytes.len() == 4)
            .then(|| bytes.iter().rev().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte)))
    };
    let count = number(&mut rest)?;
    if count > bytes.len() {
        return None;
    }
    let sizes: Vec<usize> = (0..2 * count).map(|_| number(&mut rest)).collect::<Option<_>>()?;
    let mut text = |size: usize| {
        let text: Vec<u8> = rest.by_ref().take(size).collect();
        let is_closed = rest.next().is_some();
        (text.len() == size && is_closed).then_some(text)
    };
    sizes.chunks(2).map(|pair| Some((text(pair[0])?, text(pair[1])?))).collect()
}

pub fn check(bytes: &[u8]) -> Result<(), String> {
    let read = Pairs::read(bytes.to_vec());
    let owned = |pairs: &Pairs| -> Vec<_> {
        pairs.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    };
    let pairs = read.as_ref().map(owned);
    let expected = expected(bytes).map(|pairs| {
        let named = |(name, value): (Vec<u8>, Vec<u8>)| Some((String::from_utf8(name).ok()?, value));
        pairs.into_iter().filter_map(named).collect::<Vec<_>>()
    });
    equal("the pairs", &pairs, &expected)?;
    let Some(pairs) = pairs else { return Ok(()) };
    let again = Pairs::read(Pairs::of(&pairs).as_bytes().to_vec());
    equal("what was written, read again", &again.as_ref().map(owned), &Some(pairs))
}

/// A header map in the form in which Envoy hands it over: a count, two sizes for each pair, then the texts.
pub fn make(random: &mut Random) -> Vec<u8> {
    let texts: Vec<Vec<u8>> = (0..2 * random.below(6))
        .map(|_| (0..random.below(9)).map(|_| BYTES[random.below(BYTES.len())]).collect())
        .collect();
    let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut bytes = number(texts.len() / 2).to_vec();
    bytes.extend(texts.iter().flat_map(|text| number(text.len())));
    for text in texts {
        bytes.extend(text);
        bytes.push(0);
    }
    bytes
}
