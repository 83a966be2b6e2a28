//! Random bytes of the host, fetched many at a time and given out a few at a time: a host call costs the same,
//! however many bytes it fetches.

use std::cell::{Cell, RefCell};

use crate::worker::host::{Host, HostStatus, random};

/// A worker's random bytes.
#[derive(Debug)]
pub struct Random {
    bytes: RefCell<[u8; Random::SIZE]>,
    used: Cell<usize>,
}

impl Default for Random {
    /// No bytes are there yet.
    fn default() -> Self {
        Self { bytes: RefCell::new([0; Self::SIZE]), used: Cell::new(Self::SIZE) }
    }
}

impl Random {
    const SIZE: usize = 640;

    /// Bytes that were never given before.
    ///
    /// # Errors
    /// The host's status, if it gives none.
    pub fn take<const N: usize>(&self, host: &impl Host) -> Result<[u8; N], HostStatus> {
        let mut bytes = self.bytes.try_borrow_mut().map_err(|_| HostStatus(u32::MAX))?;
        if self.used.get().saturating_add(N) > bytes.len() {
            *bytes = random(host)?;
            self.used.set(0);
        }
        let taken = bytes.get(self.used.get()..).and_then(|rest| rest.first_chunk::<N>());
        self.used.set(self.used.get().saturating_add(N));
        taken.copied().ok_or(HostStatus(u32::MAX))
    }
}
