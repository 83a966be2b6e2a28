//! The module's memory: on wasm32 every allocation comes through here.
//!
//! A call makes more than a hundred small allocations that live as long as it does. Rust's own allocator for
//! wasm32 looks each time for the place that fits best, and joins what is freed to its neighbours; that was a
//! fifth of the call. Here a block has a multiple of [`STEP`] bytes, and a freed block waits in the list of
//! its size for the next allocation. Blocks are cut from pieces that Rust's allocator gives; larger
//! allocations are left to that allocator. A piece is never given back: there are as many blocks of each size
//! as were once in use together, however many calls come.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;

/// Every block's size and address are multiples of this.
const STEP: usize = 16;
/// The largest block: all but a few allocations of a call are smaller.
const LARGEST: usize = 1_024;
/// How many lists there are; the first, of no bytes, is never used.
const LISTS: usize = LARGEST / STEP + 1;

/// What blocks are cut from.
#[repr(align(16))]
struct Piece(#[expect(dead_code, reason = "only its layout is of use")] [u8; 64 * 1_024]);

/// Blocks of a few sizes, on top of another allocator.
pub(crate) struct Blocks<A> {
    beneath: A,
    /// The first free block of each size. Each free block begins with the address of the next.
    free: [Cell<*mut Free>; LISTS],
    /// What is left of the last piece, and how many bytes that is.
    rest: Cell<*mut u8>,
    rest_size: Cell<usize>,
}

struct Free {
    next: *mut Free,
}

/// How many steps the block of an allocation has; none if it is left to the allocator beneath.
const fn steps(layout: Layout) -> Option<usize> {
    let fits = layout.size() <= LARGEST && layout.align() <= STEP;
    if fits { Some(layout.size().div_ceil(STEP)) } else { None }
}

impl<A: GlobalAlloc> Blocks<A> {
    pub(crate) const fn new(beneath: A) -> Self {
        Self {
            beneath,
            free: [const { Cell::new(null_mut()) }; LISTS],
            rest: Cell::new(null_mut()),
            rest_size: Cell::new(0),
        }
    }

    fn list(&self, layout: Layout) -> Option<&Cell<*mut Free>> {
        self.free.get(steps(layout)?)
    }

    /// Cuts a block that was never used. If the rest of the last piece is too small for it, that rest is
    /// lost.
    #[cold]
    fn cut(&self, layout: Layout) -> *mut u8 {
        let bytes = steps(layout).map_or(LARGEST, |steps| steps.saturating_mul(STEP));
        if self.rest_size.get() < bytes {
            // SAFETY: the size is not zero.
            let piece = unsafe { self.beneath.alloc(Layout::new::<Piece>()) };
            if piece.is_null() {
                return piece;
            }
            self.rest.set(piece);
            self.rest_size.set(size_of::<Piece>());
        }
        let block = self.rest.get();
        // SAFETY: so many bytes are left of the piece.
        self.rest.set(unsafe { block.add(bytes) });
        self.rest_size.set(self.rest_size.get().saturating_sub(bytes));
        block
    }
}

// SAFETY: a block is at least as large as what it is for, and as aligned; it is cut once from memory that was
// allocated, and in a list only between `dealloc` and `alloc`. The same layout always means the same list.
// `inline(never)`: written out at every allocation, these functions would make the module larger by a seventh.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Blocks<A> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(list) = self.list(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { self.beneath.alloc(layout) };
        };
        let first = list.get();
        if first.is_null() {
            return self.cut(layout);
        }
        // SAFETY: what is in a list is a free block, and begins with the address of the next.
        list.set(unsafe { (*first).next });
        first.cast()
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(list) = self.list(layout) else {
            // SAFETY: as the caller promises; with this layout it came from there.
            return unsafe { self.beneath.dealloc(block, layout) };
        };
        let first: *mut Free = block.cast();
        // SAFETY: the block is no longer in use; it is aligned, and has room for an address.
        unsafe { first.write(Free { next: list.get() }) };
        list.set(first);
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        let wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        match (steps(layout), steps(wanted)) {
            // SAFETY: as the caller promises; with this layout it came from there.
            (None, None) => unsafe { self.beneath.realloc(block, layout, bytes) },
            (has, wants) if has == wants => block,
            // SAFETY: as the caller promises; both blocks have so many bytes, and are not the same.
            _ => unsafe {
                let moved = self.alloc(wanted);
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(block, bytes.min(layout.size()));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod module {
    use std::alloc::System;

    use super::Blocks;

    // SAFETY: a module without `atomics` has one thread.
    #[cfg(not(target_feature = "atomics"))]
    unsafe impl Sync for Blocks<System> {}

    #[cfg_attr(not(feature = "bench-talc"), global_allocator)]
    static MEMORY: Blocks<System> = Blocks::new(System);

    // SAFETY: as above.
    #[cfg(feature = "bench-talc")]
    #[global_allocator]
    static TALC: talc::TalckWasm = unsafe { talc::TalckWasm::new_global() };
}

#[cfg(test)]
#[path = "allocator_test.rs"]
mod tests;
