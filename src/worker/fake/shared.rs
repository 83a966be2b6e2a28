//! A fake of shared data: a map with Envoy's rules.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::memory::shared::{SharedData, Version};

/// Shared data, which outlives a VM and dies with its Envoy.
#[derive(Clone, Debug, Default)]
pub struct Map {
    values: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    last_cas: Cell<u32>,
    writes: Cell<u64>,
}

impl Map {
    /// Writes as Envoy does: a CAS of 0 overwrites, and an absent key is made whatever the CAS. Gives whether
    /// it was written.
    pub fn write(&self, key: &str, value: &[u8], cas: u32) -> bool {
        let mut values = self.values.borrow_mut();
        if cas != 0 && values.get(key).is_some_and(|(_, current)| *current != cas) {
            return false;
        }
        // No value ever has a CAS of 0.
        let next = self.last_cas.get().wrapping_add(1).max(1);
        self.last_cas.set(next);
        self.writes.set(self.writes.get() + 1);
        values.insert(key.to_owned(), (value.to_vec(), next));
        true
    }

    /// A value; none if it was never written.
    #[must_use]
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.values.borrow().get(key).map(|(value, _)| value.clone())
    }

    /// Forgets everything, as if Envoy had ended.
    pub fn forget(&self) {
        self.values.borrow_mut().clear();
        self.writes.set(self.writes.get() + 1);
    }

    /// How often something was written.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.get()
    }

    /// Gives every value whose key begins with a prefix, with the rest of its key, in the order of the keys.
    pub fn each(&self, prefix: &str, mut with: impl FnMut(&str, &[u8])) {
        let values = self.values.borrow();
        for (key, (value, _)) in values.range(prefix.to_owned()..) {
            let Some(rest) = key.strip_prefix(prefix) else { break };
            with(rest, value);
        }
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.values.borrow().len()
    }
}

impl SharedData for Map {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.values.borrow().get(key).map(|(value, cas)| (value.clone(), Version::new(*cas)))
    }

    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool {
        self.write(key, value, expected.cas())
    }

    fn set(&self, key: &str, value: &[u8]) -> bool {
        self.write(key, value, 0)
    }
}
