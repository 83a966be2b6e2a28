//! The outbox: debits in host memory until the ledger has acknowledged them. They outlive a trapped VM.
//!
//! A [`Ring`] of [`SLOTS`] places. Every worker writes. One worker at a time sends: the one that has the
//! lease. Sending twice is harmless (the ledger answers the second time as it did the first), so the lease
//! only saves work.
//!
//! A debit of a version that the ledger does not read yet ([`DebitOutcome::Unsupported`]) goes into a second
//! ring of as many places, **aside**, and is sent again from there after a growing wait, the oldest first. A
//! debit that is still not read then goes behind the others. So no debit is given up, and none keeps others
//! waiting. Both rings count towards the number from which on new calls are refused.

use std::cell::Cell;

use serde::Deserialize;

use crate::base::clock::{Moment, Tick};
use crate::base::exchange_id::ExchangeId;
use crate::base::wire::DebitOutcome;
use crate::memory::cap::Claim;
use crate::memory::ring::{ASIDE, Gap, Ring, WAITING, counter};
pub use crate::memory::ring::{BATCH, BATCH_BYTES, Full, SLOTS, Waiting};
use crate::memory::shared::{SharedData, update};

/// From so many debits on new calls are refused: the other places are for the calls in flight.
pub const REFUSE_FROM: u64 = SLOTS / 2;
/// How long a sender may be silent before another takes over.
pub const LEASE_MS: u64 = 10_000;

const SENDER: &str = "pax/2/sender";

/// How much the outbox holds, at most: a number that was lost with its VM counts like a debit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many wait to be sent.
    pub waiting: u64,
    /// How many are aside, until the ledger reads their version.
    pub aside: u64,
    /// How many numbers were passed in all: this does not grow while no worker sends.
    pub passed: u64,
}

impl Contents {
    /// Looks at both rings.
    #[must_use]
    pub fn of(shared: &impl SharedData) -> Self {
        let ((head, tail), (aside_head, aside_tail)) = (WAITING.ends(shared), ASIDE.ends(shared));
        Self {
            waiting: tail.saturating_sub(head),
            aside: aside_tail.saturating_sub(aside_head),
            passed: head.saturating_add(aside_head),
        }
    }

    /// All that the ledger has not acknowledged.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.waiting.saturating_add(self.aside)
    }

    /// Whether new calls can be taken.
    #[must_use]
    pub const fn has_room(self) -> bool {
        self.all() < REFUSE_FROM
    }
}

/// When the oldest debit that waits, or is aside, was settled; none if there is no such debit. For the
/// metrics.
#[must_use]
pub fn oldest(shared: &impl SharedData) -> Option<Moment> {
    #[derive(Deserialize)]
    struct Settled {
        settled_at: Moment,
    }
    let settled_at = |canonical: Vec<u8>| serde_json::from_slice::<Settled>(&canonical).ok();
    let firsts = [&WAITING, &ASIDE].into_iter().filter_map(|ring| ring.first(shared));
    firsts.filter_map(settled_at).map(|debit| debit.settled_at).min()
}

/// Whether a debit of this exchange waits, or is aside.
#[must_use]
pub fn holds(shared: &impl SharedData, exchange_id: &ExchangeId) -> bool {
    WAITING.holds(shared, exchange_id) || ASIDE.holds(shared, exchange_id)
}

/// Puts debits in. Each VM has one.
#[derive(Debug, Default)]
pub struct Writer {
    /// The head as this writer last read it. The head only moves on, so there is at least as much room as
    /// this value leaves.
    head: Cell<u64>,
}

impl Writer {
    /// A writer that has seen nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: Cell::new(0) }
    }

    /// Puts a debit in, at `now`, with its claim on its account's day. `clock` says how late it is
    /// afterwards.
    ///
    /// # Errors
    /// [`Full`] if every slot waits for the ledger.
    pub fn put(
        &self,
        shared: &impl SharedData,
        claim: Option<&Claim<'_>>,
        canonical: &[u8],
        now: Tick,
        clock: impl Fn() -> Tick,
    ) -> Result<(), Full> {
        WAITING.put(shared, &self.head, (claim, canonical), now, clock)
    }
}

/// Until when to wait, and how long to wait the next time.
#[derive(Debug)]
struct Wait {
    until: Tick,
    next_ms: u64,
}

const WAIT_FIRST_MS: u64 = 100;
const WAIT_LAST_MS: u64 = 5_000;

impl Wait {
    const NONE: Self = Self { until: Tick::from_ms(0), next_ms: WAIT_FIRST_MS };

    fn longer(&mut self, now: Tick) {
        self.until = now.plus_ms(self.next_ms);
        self.next_ms = self.next_ms.saturating_mul(2).min(WAIT_LAST_MS);
    }
}

/// Sends what waits, one batch at a time. Each root context has one.
#[derive(Debug)]
pub struct Sender {
    /// Its id in the lease: random, so that no two senders have the same.
    id: u64,
    in_flight: Vec<Waiting>,
    /// Where the batch under way came from.
    of: &'static Ring,
    /// The head there when it was collected.
    head_seen: u64,
    /// Whether that batch left something behind: then the next one need not wait for a tick.
    more: bool,
    gap: Option<Gap>,
    gap_aside: Option<Gap>,
    retry: Wait,
    retry_aside: Wait,
}

impl Sender {
    /// A sender with an id of its own.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self {
            id,
            in_flight: Vec::new(),
            of: &WAITING,
            head_seen: 0,
            more: false,
            gap: None,
            gap_aside: None,
            retry: Wait::NONE,
            retry_aside: Wait::NONE,
        }
    }

    /// The next batch to send, if it is time and the lease is ours; its debits, in the order of the lines.
    /// While it is under way there is no other.
    pub fn next_batch(&mut self, shared: &impl SharedData, now: Tick) -> Option<&[Waiting]> {
        let contents = Contents::of(shared);
        let idle = self.in_flight.is_empty() && now >= self.retry.until;
        if !idle || contents.all() == 0 || !self.hold_lease(shared, now) {
            return None;
        }
        // The rings take turns, so that neither keeps the other waiting.
        let turns = if *self.of == ASIDE { [&WAITING, &ASIDE] } else { [&ASIDE, &WAITING] };
        for ring in turns {
            if *ring == ASIDE && (contents.aside == 0 || now < self.retry_aside.until) {
                continue;
            }
            ring.advance(shared, self.gap_of(ring), now);
            let (head, tail) = ring.ends(shared);
            let (batch, more) = ring.collect(shared, head, tail);
            if !batch.is_empty() {
                (self.in_flight, self.more, self.of, self.head_seen) = (batch, more, ring, head);
                return Some(&self.in_flight);
            }
        }
        None
    }

    fn gap_of(&mut self, ring: &Ring) -> &mut Option<Gap> {
        if *ring == ASIDE { &mut self.gap_aside } else { &mut self.gap }
    }

    /// The ledger answered for the batch under way, debit by debit. Gives how many it does not read yet.
    pub fn answered(
        &mut self,
        shared: &impl SharedData,
        outcomes: &[DebitOutcome],
        clock: impl Fn() -> Tick,
    ) -> usize {
        let batch = std::mem::take(&mut self.in_flight);
        let (ring, mut cleared, mut unread) = (self.of, self.head_seen, 0usize);
        for (debit, outcome) in batch.iter().zip(outcomes) {
            if *outcome == DebitOutcome::Unsupported {
                unread = unread.saturating_add(1);
                let (seen, claim) = (Cell::new(0), debit.claim());
                let again = (claim.as_ref(), debit.canonical.as_slice());
                // If there is no room aside, the debit stays where it is.
                if ASIDE.put(shared, &seen, again, clock(), &clock).is_err() {
                    continue;
                }
            }
            if ring.clear(shared, debit) && debit.number == cleared {
                cleared = cleared.saturating_add(1);
            }
        }
        // If the batch began at the head, what it cleared need not be looked at again.
        if cleared > self.head_seen {
            ring.move_head(shared, cleared);
        }
        let now = clock();
        self.retry = Wait { until: now, ..Wait::NONE };
        if unread == batch.len() && *ring == ASIDE {
            self.retry_aside.longer(now);
        } else if *ring == ASIDE {
            // The ledger now reads a version that it did not read before: the other debits are tried at once.
            self.retry_aside = Wait::NONE;
        } else if unread > 0 && now >= self.retry_aside.until {
            self.retry_aside.longer(now);
        }
        ring.advance(shared, self.gap_of(ring), now);
        unread
    }

    /// The batch under way did not arrive, or its answer did not: it is sent again later, byte for byte.
    pub fn failed(&mut self, now: Tick) {
        self.in_flight.clear();
        self.retry.longer(now);
    }

    /// Whether more waited than the last batch held.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// The batch under way.
    #[must_use]
    pub fn in_flight(&self) -> &[Waiting] {
        &self.in_flight
    }

    /// Gives the lease up, if this sender has it, so that another sender need not wait until it ends.
    pub fn release(&self, shared: &impl SharedData) {
        if !self.in_flight.is_empty() {
            return;
        }
        let _ = update(shared, SENDER, |value| {
            let ours = value.first_chunk::<8>().is_some_and(|id| u64::from_le_bytes(*id) == self.id);
            (ours.then(Vec::new), ())
        });
    }

    /// Ends this sender, which will not hear what the ledger says of the batch under way. Another sender
    /// sends that batch again, at once instead of after the lease.
    pub fn retire(mut self, shared: &impl SharedData) {
        self.in_flight.clear();
        self.release(shared);
    }

    fn hold_lease(&self, shared: &impl SharedData, now: Tick) -> bool {
        let held = update(shared, SENDER, |value| {
            let lease = value.split_first_chunk::<8>();
            let (holder, until) =
                lease.map_or((0, 0), |(id, until)| (u64::from_le_bytes(*id), counter(until)));
            let ours = holder == self.id;
            if !ours && now.ms() < until {
                return (None, false);
            }
            if ours && now.plus_ms(LEASE_MS / 2).ms() < until {
                return (None, true);
            }
            let until = now.plus_ms(LEASE_MS).ms();
            (Some([self.id.to_le_bytes(), until.to_le_bytes()].concat()), true)
        });
        held.unwrap_or(false)
    }
}

#[cfg(test)]
#[path = "outbox_test.rs"]
mod tests;
