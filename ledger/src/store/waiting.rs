//! Who waits for the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many holds wait while debits are recorded. The thread that writes looks at it, so that a hold does not wait for a
/// whole batch.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<AtomicUsize>);

/// One that waits. It waits no longer if it is dropped.
#[derive(Debug)]
pub struct Waits(Waiting);

impl Waiting {
    /// One more waits.
    #[must_use]
    pub fn wait(&self) -> Waits {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waits(self.clone())
    }

    /// Whether any waits.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
