#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::alloc::System;

use super::*;
use proptest::prelude::*;

/// Counts the bytes that it has given and not got back.
#[derive(Default)]
struct Counted(Cell<usize>);

// SAFETY: System's blocks, as they are.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.set(self.0.get() + layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.0.set(self.0.get() - layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).unwrap()
}

/// An allocation with bytes of its own in it, which must be there as long as it lives.
struct Held(*mut u8, usize, u8);

fn hold(blocks: &Blocks<Counted>, bytes: usize, fill: u8) -> Held {
    // SAFETY: not of size zero; there are so many bytes.
    unsafe {
        let block = blocks.alloc(layout(bytes));
        assert!(!block.is_null() && block.addr().is_multiple_of(8));
        block.write_bytes(fill, bytes);
        Held(block, bytes, fill)
    }
}

impl Held {
    fn check(&self) {
        // SAFETY: it has so many bytes, all of them written.
        let bytes = unsafe { std::slice::from_raw_parts(self.0, self.1) };
        assert!(bytes.iter().all(|byte| *byte == self.2));
    }

    fn resize(&mut self, blocks: &Blocks<Counted>, bytes: usize) {
        self.check();
        // SAFETY: it is of that layout; what is new of it is written.
        unsafe {
            self.0 = blocks.realloc(self.0, layout(self.1), bytes);
            self.1 = self.1.min(bytes);
            self.check();
            self.0.write_bytes(self.2, bytes);
        }
        self.1 = bytes;
    }

    fn give_back(self, blocks: &Blocks<Counted>) {
        self.check();
        // SAFETY: it is of that layout, and it is no longer in use.
        unsafe { blocks.dealloc(self.0, layout(self.1)) }
    }
}

#[test]
fn a_block_is_the_smallest_that_fits() {
    for bytes in 1..=LARGEST {
        let block = steps(layout(bytes)).unwrap() * STEP;
        assert!(bytes <= block && block < bytes + STEP, "{bytes}");
    }
    assert_eq!(steps(layout(LARGEST + 1)), None);
    assert_eq!(steps(Layout::from_size_align(32, 32).unwrap()), None);
    assert!(align_of::<Piece>() == STEP && size_of::<Piece>() >= LARGEST);
}

#[test]
fn what_is_given_back_is_used_again() {
    let blocks = Blocks::new(Counted::default());
    let mut most = 0;
    for round in 0..100 {
        let held: Vec<Held> = (1..200).map(|at| hold(&blocks, at * 7, 0)).collect();
        let taken = blocks.beneath.0.get();
        most = if round == 0 { taken } else { most };
        assert_eq!(taken, most);
        held.into_iter().for_each(|held| held.give_back(&blocks));
    }
}

#[test]
fn what_grows_within_its_block_stays_there() {
    let blocks = Blocks::new(Counted::default());
    let mut held = hold(&blocks, 33, 7);
    let place = held.0;
    held.resize(&blocks, 48);
    assert_eq!(held.0, place);
    held.resize(&blocks, 49);
    assert_ne!(held.0, place);
}

proptest! {
    #[test]
    fn nobody_writes_into_a_block_that_is_held(steps in prop::collection::vec((0u8..3, 1usize..1_500, any::<u8>()), 0..200)) {
        let blocks = Blocks::new(Counted::default());
        let mut all: Vec<Held> = Vec::new();
        for (step, bytes, fill) in steps {
            let at = usize::from(fill) % all.len().max(1);
            match step {
                1 if !all.is_empty() => all.swap_remove(at).give_back(&blocks),
                2 if !all.is_empty() => all[at].resize(&blocks, bytes),
                _ => all.push(hold(&blocks, bytes, fill)),
            }
            all.iter().for_each(Held::check);
        }
        all.into_iter().for_each(|held| held.give_back(&blocks));
    }
}
