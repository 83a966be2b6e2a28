//! Chance, all of it from one seed.

use pax_gateway::worker::fake::SplitMix64;

/// A run's chance.
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.number()
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from `start` up to and with `last`.
    pub(crate) fn between(&self, start: u64, last: u64) -> u64 {
        start + self.below(last - start + 1)
    }

    /// True `times` in `of` times.
    pub(crate) fn chance(&self, times: u64, of: u64) -> bool {
        times > 0 && self.below(of) < times
    }

    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        let length = u64::try_from(from.len()).unwrap_or(1);
        &from[usize::try_from(self.below(length)).unwrap_or(0)]
    }

    pub(crate) fn bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let from = self.next().to_le_bytes().into_iter().chain(self.next().to_le_bytes());
        bytes.iter_mut().zip(from).for_each(|(place, byte)| *place = byte);
        bytes
    }
}
