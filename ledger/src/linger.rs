//! An end that waits for those who still have something to say: an Envoy whose debits are on their way.
//!
//! Who stops ledger and Envoy together (docker compose, a node that is drained) may stop the ledger first. Every worker of
//! an Envoy asks something at least every three seconds ([`pax_gateway::worker::chores::readiness`]), so silence means that none is left.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

/// Longer than an Envoy is ever silent.
const SILENCE: Duration = Duration::from_secs(4);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When a filter was last heard.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Option<Instant>>>);

impl Heard {
    fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once no filter was heard for a while, and after `at_most` in any case.
    pub async fn silence(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        while Instant::now() < deadline && self.last().is_some_and(|last| last.elapsed() < SILENCE) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Notes that a filter is there: on routes that only one who knows the secret comes to.
pub async fn hear(State(heard): State<Heard>, request: Request, next: Next) -> Response {
    *heard.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    next.run(request).await
}
