//! What the operator is told over and over while it goes on, and not too often: a line at once, then one an interval.

use crate::clock::Tick;

/// How long one line is enough.
const INTERVAL_MS: u64 = 60_000;

/// One matter that goes on.
#[derive(Debug, Default)]
pub struct Rarely {
    told: Option<Tick>,
    /// How often it has happened since then.
    since: u64,
}

impl Rarely {
    /// A matter of which nothing was told yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { told: None, since: 0 }
    }

    /// It happened once more. Where a line is due: how often it has happened since the last line, not counting this time.
    pub fn tell(&mut self, now: Tick) -> Option<u64> {
        if self.told.is_some_and(|told| now.since_ms(told) < INTERVAL_MS) {
            self.since = self.since.saturating_add(1);
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}
