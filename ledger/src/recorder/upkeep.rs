//! What the recorder does every few seconds, one transaction at a time between its other work: holds expire whose Envoys
//! are gone, lots expire that are over, and what has ended long ago is forgotten.

use std::time::{Duration, Instant};

use pax_gateway::base::clock::Moment;

use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::Writer;

/// How often a pass begins. A hold of a dead Envoy is gone after its lease and at most one such time.
const EVERY: Duration = Duration::from_secs(5);
/// If a pass begins so late, or if the ledger's clock was set by so much since the one before, nobody can tell which
/// Envoys have failed to renew their leases: all begin anew.
const OUT_OF_STEP: Duration = Duration::from_secs(10);
/// In how many transactions of a pass something is forgotten; the rest waits for the next pass.
const FORGETTING: u32 = 20;

/// How far a pass is.
#[derive(Debug)]
enum Step {
    Resting,
    Holds,
    /// The lots of accounts whose names come after this one.
    Lots(String),
    /// How many transactions are left for what is forgotten.
    Forgetting(u32),
}

/// The passes.
#[derive(Debug)]
pub(super) struct Upkeep {
    step: Step,
    next: Instant,
    /// When the pass before this one began, on both clocks. None before the first one: while the ledger was away, no
    /// Envoy could renew its lease.
    before: Option<(Instant, Moment)>,
    /// Whether no pass has begun since the ledger was started.
    is_first: bool,
}

impl Upkeep {
    pub(super) fn new() -> Self {
        Self { step: Step::Resting, next: Instant::now(), before: None, is_first: true }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        self.next
    }

    /// Does the next thing, in one transaction.
    pub(super) async fn step(&mut self, writer: &mut Writer, metrics: &Metrics) {
        if let Err(error) = self.try_step(writer, metrics, crate::now()).await {
            tracing::error!(%error, "the ledger could not expire or forget what is over; it tries again");
            self.rest();
            self.nothing_was_written();
        }
    }

    /// The store has failed, so Envoys could not renew their leases: all begin anew, before anything expires.
    pub(super) fn nothing_was_written(&mut self) {
        (self.step, self.before) = (Step::Resting, None);
    }

    fn rest(&mut self) {
        self.step = Step::Resting;
        self.next = Instant::now() + EVERY;
    }

    async fn try_step(&mut self, writer: &mut Writer, metrics: &Metrics, now: Moment) -> Result<(), Error> {
        match std::mem::replace(&mut self.step, Step::Holds) {
            Step::Resting => {
                let began = Instant::now();
                let is_shared = writer.begin_pass(now).await?;
                if !is_shared && !self.before.is_some_and(|before| in_step(before, (began, now))) {
                    let was_set = self.before.is_some_and(|before| clock_was_set(before, (began, now)));
                    match self.is_first {
                        true => {
                            tracing::info!("all Envoys' leases begin anew: the ledger was away until now")
                        }
                        false => tracing::warn!(
                            "all Envoys' leases begin anew: the ledger was slow or could not write, or its clock was set"
                        ),
                    }
                    writer.renew_all(now, was_set).await?;
                }
                (self.before, self.is_first) = (Some((began, now)), false);
            }
            Step::Holds => {
                let expired = writer.expire_holds(now).await?;
                metrics.expired(expired);
                if expired == 0 {
                    self.step = Step::Lots(String::new());
                }
            }
            Step::Lots(after) => {
                self.step = match writer.expire_after(after, now).await? {
                    Some(last) => Step::Lots(last),
                    None => Step::Forgetting(FORGETTING),
                };
            }
            Step::Forgetting(left) => {
                let forgotten = writer.prune(now).await?;
                match left.checked_sub(1) {
                    Some(left) if forgotten > 0 => self.step = Step::Forgetting(left),
                    _ => self.rest(),
                }
            }
        }
        Ok(())
    }
}

/// Whether two passes began as far from each other as they should, on both clocks.
fn in_step(before: (Instant, Moment), now: (Instant, Moment)) -> bool {
    now.0.duration_since(before.0) < EVERY + OUT_OF_STEP && !clock_was_set(before, now)
}

/// Whether the wall clock has gone another way than the monotonic one.
fn clock_was_set(before: (Instant, Moment), now: (Instant, Moment)) -> bool {
    let passed = now.0.duration_since(before.0);
    let by_the_wall = Duration::from_millis(now.1.since_ms(before.1));
    now.1 < before.1 || by_the_wall.abs_diff(passed) >= OUT_OF_STEP
}

#[cfg(test)]
#[path = "upkeep_test.rs"]
mod tests;
