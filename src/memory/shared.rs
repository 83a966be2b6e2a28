//! Envoy's shared data as the core sees it: a map in host memory that all workers see, with compare-and-swap.
//! There is no delete; an empty value is as good as none.
//!
//! If an operator replaces the module while Envoy runs, VMs of both modules run for a while, with one shared
//! data. So a value with another form or another meaning gets another key, unless its bytes say which form it
//! has: values under `pax/2/` hold ticks, and older modules wrote times of the wall clock under keys without
//! `2/`. The debits that wait (`pax/outbox/`) have always had one form, so either module sends them.

use crate::base::text::{DECIMAL_MAX, decimal};

/// The port. Envoy implements it with host calls, tests with a map.
pub trait SharedData {
    /// A value and its version; nothing if it was never written.
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)>;

    /// Writes the value if its version is still the given one; says whether it was.
    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool;

    /// Writes the value, whatever is there; says whether it did. In Envoy a write costs a fifth of a read.
    fn set(&self, key: &str, value: &[u8]) -> bool
    where
        Self: Sized,
    {
        update(self, key, |_| (Some(value.to_vec()), ())).is_some()
    }
}

/// The key of a numbered value.
pub(crate) fn numbered(prefix: &str, number: u64) -> String {
    let mut key = String::with_capacity(prefix.len().saturating_add(DECIMAL_MAX));
    key.push_str(prefix);
    key.push_str(decimal(number, &mut [0; DECIMAL_MAX]));
    key
}

/// A value's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u32);

impl Version {
    /// The version of a value that was never written.
    ///
    /// Envoy takes a CAS of 0 for "overwrite whatever is there". A CAS that no value has makes the key if it
    /// is absent, and fails if it is there.
    pub const ABSENT: Self = Self(u32::MAX);

    /// A version as Envoy gives it.
    #[must_use]
    pub const fn new(cas: u32) -> Self {
        Self(cas)
    }

    /// The version as Envoy takes it.
    #[must_use]
    pub const fn cas(self) -> u32 {
        self.0
    }
}

/// How often a compare-and-swap is tried again before the caller gives up: each loss means that another
/// worker won, so this many losses in a row do not happen.
pub(crate) const SWAPS: u32 = 64;

/// Reads a value and writes the one that `change` makes of it; tries again if another worker wrote in
/// between. `change` gives nothing if the value is to stay.
pub(crate) fn update<T>(
    shared: &impl SharedData,
    key: &str,
    mut change: impl FnMut(&[u8]) -> (Option<Vec<u8>>, T),
) -> Option<T> {
    for _ in 0..SWAPS {
        let (value, version) = shared.get(key).unwrap_or((Vec::new(), Version::ABSENT));
        let (changed, result) = change(&value);
        match changed {
            Some(changed) if !shared.swap(key, &changed, version) => {}
            _ => return Some(result),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn a_numbered_key_is_the_formatted_one() {
        for number in [0, 1, 9, 10, 99, 100, 32_767, u64::MAX] {
            assert_eq!(numbered("pax/x/", number), format!("pax/x/{number}"));
        }
    }
}
