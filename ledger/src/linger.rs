//! A stop of the ledger that waits while an Envoy still has debits on their way.
//!
//! If ledger and Envoy are stopped together (by docker compose, or because a node is drained), the ledger may
//! be stopped first. Every worker of an Envoy asks something at least every three seconds
//! ([`pax_gateway::worker::chores::readiness`]), so silence means that no Envoy is left.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

/// Longer than a living Envoy is ever silent.
const SILENCE: Duration = Duration::from_secs(4);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When a filter was last heard.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Option<Instant>>>);

impl Heard {
    fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when no filter was heard for a while, and after `at_most` in any case.
    pub async fn silence(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        while Instant::now() < deadline && self.last().is_some_and(|last| last.elapsed() < SILENCE) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Notes that a filter is there. It is used only on routes that demand the secret.
pub async fn hear(State(heard): State<Heard>, request: Request, next: Next) -> Response {
    *heard.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    next.run(request).await
}
