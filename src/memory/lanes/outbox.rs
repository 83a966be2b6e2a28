//! This VM's debits that the ledger has not acknowledged, in the VM's own memory. Each is in a cell of the VM's lane,
//! too, from where another VM sends it if this one dies. Sending a debit twice is harmless: the ledger answers the
//! second time as it did the first.
//!
//! A debit of a version that the ledger does not read yet ([`DebitOutcome::Unsupported`]) is put **aside**, and is sent
//! again from there after a growing wait, the oldest first. A debit that is still not read then goes behind the others.
//! So no debit is given up, and none keeps others waiting. Both kinds count towards the number from which on new calls
//! are refused.

use std::collections::VecDeque;

use crate::base::clock::{Moment, Tick};
use crate::base::wire::DebitOutcome;
use crate::memory::lanes::Sums;
use crate::memory::lanes::debit_cell::DebitBytes;
use crate::memory::lanes::lane::{DebitCell, Lane, clear_lost};
use crate::memory::shared::SharedData;

/// How many debits one batch holds at most.
pub const BATCH: usize = 256;
/// How large a batch is at most, in bytes.
pub const BATCH_BYTES: usize = 512 * 1024;
/// From so many debits of a VM on its new calls are refused: the other cells are for the calls in flight, and the
/// debits are in this VM's memory, too.
pub const REFUSE_FROM: usize = 16_384;

/// A debit that waits.
#[derive(Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The debit.
    pub debit: DebitBytes,
    /// Where its copy is; none while there is no cell for it.
    cell: Option<DebitCell>,
}

/// Until when to wait, and how long to wait the next time.
#[derive(Debug)]
pub struct Wait {
    until: Tick,
    next_ms: u64,
}

const WAIT_FIRST_MS: u64 = 100;
const WAIT_LAST_MS: u64 = 5_000;

impl Wait {
    /// No wait.
    pub const NONE: Self = Self { until: Tick::from_ms(0), next_ms: WAIT_FIRST_MS };

    /// Begins the next wait, which is twice as long as the one before, up to a limit.
    pub fn longer(&mut self, now: Tick) {
        self.until = now.plus_ms(self.next_ms);
        self.next_ms = self.next_ms.saturating_mul(2).min(WAIT_LAST_MS);
    }

    /// Whether the wait is over.
    #[must_use]
    pub fn is_over(&self, now: Tick) -> bool {
        now >= self.until
    }
}

/// This VM's debits.
#[derive(Debug)]
pub struct Outbox {
    /// The debits that wait to be sent, oldest first.
    ready: VecDeque<Waiting>,
    /// The debits that the ledger does not read yet.
    aside: VecDeque<Waiting>,
    aside_wait: Wait,
    /// The batch that was sent last, until it is known what became of it.
    under_way: Vec<Waiting>,
    /// Whether the last batch came from those aside.
    was_aside: bool,
    /// Whether the last batch left something behind: then the next one need not wait for a tick.
    more: bool,
    /// When the oldest debit was settled, as of the last look.
    oldest: Option<Moment>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            aside: VecDeque::new(),
            aside_wait: Wait::NONE,
            under_way: Vec::new(),
            was_aside: false,
            more: false,
            oldest: None,
        }
    }
}

impl Outbox {
    /// Puts a debit in. `cell`: where its copy is.
    pub fn put(&mut self, debit: DebitBytes, cell: Option<DebitCell>) {
        self.ready.push_back(Waiting { debit, cell });
    }

    /// How many debits the ledger has not acknowledged.
    #[must_use]
    pub fn all(&self) -> usize {
        self.waiting().saturating_add(self.aside())
    }

    /// How many of them are to be sent without a wait. Debits that were put aside do not count: they are tried again
    /// after seconds.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let under_way = if self.was_aside { 0 } else { self.under_way.len() };
        self.ready.len().saturating_add(under_way)
    }

    /// How many are aside, until the ledger reads their version.
    #[must_use]
    pub fn aside(&self) -> usize {
        let under_way = if self.was_aside { self.under_way.len() } else { 0 };
        self.aside.len().saturating_add(under_way)
    }

    /// Whether new calls can be taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.all() < REFUSE_FROM
    }

    /// Looks which debit is the oldest. This reads that debit, so it is done once a second.
    pub fn look(&mut self) {
        let firsts = [self.under_way.first(), self.ready.front(), self.aside.front()];
        self.oldest = firsts.into_iter().flatten().filter_map(|first| first.debit.settled_at()).min();
    }

    /// The sums over the debits, for the lane's value.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (debits, aside) = (number(self.all()), number(self.aside()));
        Sums { debits, aside, oldest: self.oldest.filter(|_| debits > 0), ..Sums::default() }
    }

    /// Gives a cell to each debit that has none.
    pub fn house(&mut self, shared: &impl SharedData, lane: &mut Lane, now: Tick) {
        let all = self.ready.iter_mut().chain(&mut self.aside).chain(&mut self.under_way);
        for Waiting { debit, cell } in all.filter(|waiting| waiting.cell.is_none()) {
            *cell = lane.put_debit(shared, debit.bytes(), now);
            if cell.is_none() {
                return;
            }
        }
    }

    /// The next batch to send, if there is one; its debits, in the order of the lines. While it is under way
    /// there is no other.
    pub fn next_batch(&mut self, now: Tick) -> Option<&[Waiting]> {
        if !self.under_way.is_empty() {
            return None;
        }
        let aside_is_due = !self.aside.is_empty() && self.aside_wait.is_over(now);
        // The two kinds take turns, so that neither keeps the other waiting.
        self.was_aside = aside_is_due && (self.ready.is_empty() || !self.was_aside);
        let from = if self.was_aside { &mut self.aside } else { &mut self.ready };
        let mut bytes = 0usize;
        while let Some(next) = from.front() {
            bytes = bytes.saturating_add(next.debit.canonical().len());
            let full = self.under_way.len() >= BATCH || bytes > BATCH_BYTES;
            if full && !self.under_way.is_empty() {
                break;
            }
            self.under_way.extend(from.pop_front());
        }
        self.more = !from.is_empty();
        (!self.under_way.is_empty()).then_some(self.under_way.as_slice())
    }

    /// The batch under way.
    #[must_use]
    pub fn under_way(&self) -> &[Waiting] {
        &self.under_way
    }

    /// Whether more waited than the last batch held.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// The ledger answered for the batch under way, debit by debit. Gives how many it does not read yet.
    pub fn answered(
        &mut self,
        shared: &impl SharedData,
        mut lane: Option<&mut Lane>,
        outcomes: &[DebitOutcome],
        now: Tick,
    ) -> usize {
        let batch = std::mem::take(&mut self.under_way);
        let (all, mut unread) = (batch.len(), 0usize);
        for (waiting, outcome) in batch.into_iter().zip(outcomes) {
            if *outcome == DebitOutcome::Unsupported {
                unread = unread.saturating_add(1);
                self.aside.push_back(waiting);
                continue;
            }
            let Some(cell) = waiting.cell else { continue };
            if !lane.as_mut().is_some_and(|lane| lane.clear_debit(shared, cell)) {
                clear_lost(shared, cell, waiting.debit.bytes());
            }
        }
        if self.was_aside && unread < all {
            // The ledger now reads a version that it did not read before: the other debits are tried at once.
            self.aside_wait = Wait::NONE;
        } else if unread > 0 && (self.was_aside || self.aside_wait.is_over(now)) {
            self.aside_wait.longer(now);
        }
        unread
    }

    /// The batch under way did not arrive, or its answer did not: it is sent again, byte for byte.
    pub fn failed(&mut self) {
        let queue = if self.was_aside { &mut self.aside } else { &mut self.ready };
        while let Some(last) = self.under_way.pop() {
            queue.push_front(last);
        }
    }
}

#[cfg(test)]
#[path = "outbox_test.rs"]
mod tests;
