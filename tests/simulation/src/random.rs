//! Chance, all of it from one seed.

use std::cell::Cell;

/// `SplitMix64`: small, good enough, and the same everywhere.
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
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
