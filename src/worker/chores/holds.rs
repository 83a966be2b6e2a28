//! Which streams wait for the ledger's answers to their holds.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// One worker's holds that the ledger has not answered: a waiter for each callout.
#[derive(Debug)]
pub struct Holds<W>(RefCell<BTreeMap<u32, W>>);

impl<W> Default for Holds<W> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<W> Holds<W> {
    /// Takes the waiter of a callout out; none if it is no hold's, or if nobody waits for its answer any more.
    pub fn take(&self, callout: u32) -> Option<W> {
        self.0.try_borrow_mut().ok()?.remove(&callout)
    }

    /// A waiter waits for the answer of a callout.
    pub fn waits(&self, callout: u32, waiter: W) {
        if let Ok(mut holds) = self.0.try_borrow_mut() {
            holds.insert(callout, waiter);
        }
    }
}
