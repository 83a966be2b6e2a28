//! The outbox: debits in host memory until the ledger has acknowledged them. They outlive a trapped VM.
//!
//! A ring of [`SLOTS`] values in shared data between two counters: `tail` gives each debit its number before it
//! is written, `head` is the lowest number that may still wait. Any worker writes; one at a time, by a lease,
//! sends. Sending twice is harmless (the ledger answers the second as it did the first), so the lease saves
//! work and guards nothing.

use std::cell::Cell;

use crate::cap::Claim;
use crate::clock::{Tick, UtcDay};
use crate::exchange_id::{ExchangeId, Tag};
use crate::shared::{SharedData, Version, numbered, update};

/// How many debits can wait.
pub const SLOTS: u64 = 32_768;
/// From so many on new calls are refused: the rest is for those in flight.
pub const REFUSE_FROM: u64 = SLOTS / 2;
/// How many debits one batch holds at most.
pub const BATCH: usize = 256;
/// How large a batch is at most, in bytes.
pub const BATCH_BYTES: usize = 512 * 1024;
/// How long a sender may be silent before another takes over.
pub const LEASE_MS: u64 = 10_000;
/// A number that was given out and not written for so long was lost with its VM.
const GAP_MS: u64 = 60_000;

const HEAD: &str = "pax/outbox/head";
const TAIL: &str = "pax/outbox/tail";
const SENDER: &str = "pax/outbox/sender";

/// There is no slot left: nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A debit that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub number: u64,
    /// Its canonical bytes.
    pub canonical: Vec<u8>,
    /// What stands for it in its account's day.
    claim: Option<(String, UtcDay, Tag)>,
    /// The version of its slot when it was read.
    version: Version,
}

impl Waiting {
    /// What stands for it in its account's day; none where nothing was reserved.
    #[must_use]
    pub fn claim(&self) -> Option<Claim<'_>> {
        let (account, utc_day, tag) = self.claim.as_ref()?;
        Some(Claim { account, utc_day: *utc_day, tag: *tag })
    }
}

fn slot(number: u64) -> String {
    numbered("pax/outbox/", number.checked_rem(SLOTS).unwrap_or(0))
}

fn counter(value: &[u8]) -> u64 {
    value.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn read_counter(shared: &impl SharedData, key: &str) -> u64 {
    shared.get(key).map_or(0, |(value, _)| counter(&value))
}

/// A slot's value: the number; then, until it is acknowledged, the claim (one byte of length, the account's name,
/// four bytes of day, eight of tag; a zero for none) and the canonical bytes.
fn read_slot(value: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = value.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

type OwnedClaim = (String, UtcDay, Tag);

/// The claim and the canonical bytes of a slot that waits.
fn read_waiting(rest: &[u8]) -> Option<(Option<OwnedClaim>, &[u8])> {
    let (length, rest) = rest.split_first()?;
    if *length == 0 {
        return Some((None, rest));
    }
    let (account, rest) = rest.split_at_checked(usize::from(*length))?;
    let (day, rest) = rest.split_first_chunk::<4>()?;
    let (tag, canonical) = rest.split_first_chunk::<8>()?;
    let day = UtcDay::from_days(u32::from_le_bytes(*day));
    let account = str::from_utf8(account).ok()?.to_owned();
    Some((Some((account, day, Tag(u64::from_le_bytes(*tag)))), canonical))
}

fn write_slot(number: u64, claim: Option<&Claim<'_>>, canonical: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(canonical.len().saturating_add(320));
    value.extend_from_slice(&number.to_le_bytes());
    // The ledger takes no longer name; without its claim a debit is a debit all the same.
    let claim = claim.and_then(|claim| Some((u8::try_from(claim.account.len()).ok()?, claim)));
    match claim {
        Some((length, claim)) => {
            value.push(length);
            value.extend_from_slice(claim.account.as_bytes());
            value.extend_from_slice(&claim.utc_day.days().to_le_bytes());
            value.extend_from_slice(&claim.tag.0.to_le_bytes());
        }
        None => value.push(0),
    }
    value.extend_from_slice(canonical);
    value
}

/// From which number on debits may wait, and how many, at most.
#[must_use]
pub fn waiting_from(shared: &impl SharedData) -> (u64, u64) {
    // The tail first: a head that moves on meanwhile makes the count smaller, never negative.
    let tail = read_counter(shared, TAIL);
    let head = read_counter(shared, HEAD);
    (head, tail.saturating_sub(head))
}

/// Puts debits in. Each VM has one.
#[derive(Debug, Default)]
pub struct Writer {
    /// The head as it once was. It only moves on, so there is at least as much room as counted from here.
    head: Cell<u64>,
}

impl Writer {
    /// A writer that has seen nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: Cell::new(0) }
    }

    /// Puts a debit in, at `now`, with what stands for it in its account's day. `clock` says how late it is
    /// afterwards.
    ///
    /// # Errors
    /// [`Full`] where every slot waits for the ledger.
    pub fn put(
        &self,
        shared: &impl SharedData,
        claim: Option<&Claim<'_>>,
        canonical: &[u8],
        now: Tick,
        clock: impl Fn() -> Tick,
    ) -> Result<(), Full> {
        let number = update(shared, TAIL, |value| {
            let number = counter(value);
            if number.saturating_sub(self.head.get()) >= SLOTS {
                self.head.set(read_counter(shared, HEAD));
            }
            if number.saturating_sub(self.head.get()) >= SLOTS {
                return (None, None);
            }
            (Some(number.saturating_add(1).to_le_bytes().to_vec()), Some(number))
        });
        let number = number.flatten().ok_or(Full)?;
        // The number is this caller's alone, so whatever the slot holds, it is to be replaced.
        if !shared.set(&slot(number), &write_slot(number, claim, canonical)) {
            return Err(Full);
        }
        let after = clock();
        if after.since_ms(now) >= GAP_MS / 2 {
            // This thread was stopped for so long that its number may be given up, also by a sender that has looked
            // and not moved the head yet. Once more, under a new one: sent twice it is one entry.
            return self.put(shared, claim, canonical, after, clock);
        }
        Ok(())
    }
}

/// Sends what waits, one batch at a time. Each root context has one.
#[derive(Debug)]
pub struct Sender {
    /// Who holds the lease: random, other than every other sender's.
    id: u64,
    in_flight: Vec<Waiting>,
    /// The head when the batch under way was collected.
    head_seen: u64,
    /// Whether that batch left something behind: then the next one need not wait for a tick.
    more: bool,
    gap: Option<Gap>,
    retry_at: Tick,
    backoff_ms: u64,
}

/// A number at the head whose slot does not hold it, and since when that is known.
#[derive(Clone, Copy, Debug)]
struct Gap {
    number: u64,
    since: Tick,
}

const BACKOFF_FIRST_MS: u64 = 100;
const BACKOFF_LAST_MS: u64 = 5_000;

impl Sender {
    /// A sender with an id of its own.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self {
            id,
            in_flight: Vec::new(),
            head_seen: 0,
            more: false,
            gap: None,
            retry_at: Tick::from_ms(0),
            backoff_ms: BACKOFF_FIRST_MS,
        }
    }

    /// The next batch to send, if it is time and the lease is ours; its debits, in the order of the lines.
    /// While it is under way there is no other.
    pub fn next_batch(&mut self, shared: &impl SharedData, now: Tick) -> Option<&[Waiting]> {
        if !self.in_flight.is_empty() || now < self.retry_at {
            return None;
        }
        let tail = read_counter(shared, TAIL);
        if read_counter(shared, HEAD) >= tail || !self.hold_lease(shared, now) {
            return None;
        }
        self.advance(shared, tail, now);
        self.head_seen = read_counter(shared, HEAD);
        (self.in_flight, self.more) = collect(shared, self.head_seen, tail);
        (!self.in_flight.is_empty()).then_some(self.in_flight.as_slice())
    }

    /// The ledger acknowledged the batch under way, all of it.
    pub fn acknowledged(&mut self, shared: &impl SharedData, now: Tick) {
        let batch = std::mem::take(&mut self.in_flight);
        let mut cleared = self.head_seen;
        for debit in &batch {
            // Only as it was read: the slot may have been cleared by another sender and be taken anew.
            let done = shared.swap(&slot(debit.number), &debit.number.to_le_bytes(), debit.version);
            if done && debit.number == cleared {
                cleared = cleared.saturating_add(1);
            }
        }
        // Where the batch began at the head, what it cleared need not be looked at again.
        if cleared > self.head_seen {
            move_head(shared, cleared);
        }
        self.backoff_ms = BACKOFF_FIRST_MS;
        self.retry_at = now;
        let tail = read_counter(shared, TAIL);
        self.advance(shared, tail, now);
    }

    /// The batch under way did not arrive, or its answer did not: it is sent again later, to the same byte.
    pub fn failed(&mut self, now: Tick) {
        self.in_flight.clear();
        self.retry_at = now.plus_ms(self.backoff_ms);
        self.backoff_ms = self.backoff_ms.saturating_mul(2).min(BACKOFF_LAST_MS);
    }

    /// Whether more waited than the last batch held.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// The batch under way.
    #[must_use]
    pub fn in_flight(&self) -> &[Waiting] {
        &self.in_flight
    }

    /// Gives the lease up, if it is this sender's: another need not wait for its end.
    pub fn release(&self, shared: &impl SharedData) {
        if !self.in_flight.is_empty() {
            return;
        }
        let _ = update(shared, SENDER, |value| {
            let ours = value.first_chunk::<8>().is_some_and(|id| u64::from_le_bytes(*id) == self.id);
            (ours.then(Vec::new), ())
        });
    }

    /// The sender ends, and will not hear what the ledger says of the batch under way: another sends it again, at once
    /// and not after the lease.
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

    /// Moves the head over what was acknowledged.
    fn advance(&mut self, shared: &impl SharedData, tail: u64, now: Tick) {
        let head = read_counter(shared, HEAD);
        let mut number = head;
        while number < tail && self.is_done(shared, number, now) {
            number = number.saturating_add(1);
        }
        if number > head {
            move_head(shared, number);
        }
    }

    /// Whether nothing waits under a number below the tail. One that its slot does not hold yet was given out
    /// a moment ago, or its VM died in between: then it is passed after [`GAP_MS`].
    fn is_done(&mut self, shared: &impl SharedData, number: u64, now: Tick) -> bool {
        let slot = shared.get(&slot(number));
        match slot.as_ref().and_then(|(value, _)| read_slot(value)) {
            Some((written, canonical)) if written == number => canonical.is_empty(),
            Some((written, _)) if written > number => true,
            _ => self.gap_is_old(number, now),
        }
    }

    fn gap_is_old(&mut self, number: u64, now: Tick) -> bool {
        let known = self.gap.filter(|gap| gap.number == number);
        let gap = known.unwrap_or(Gap { number, since: now });
        self.gap = Some(gap);
        now.since_ms(gap.since) >= GAP_MS
    }
}

/// Moves the head on, never back.
fn move_head(shared: &impl SharedData, number: u64) {
    let _ = update(shared, HEAD, |value| {
        let further = (number > counter(value)).then(|| number.to_le_bytes().to_vec());
        (further, ())
    });
}

/// What waits in a slot under a number.
fn waiting_at(value: &[u8], number: u64) -> Option<(Option<OwnedClaim>, &[u8])> {
    let (written, rest) = read_slot(value)?;
    read_waiting(rest).filter(|_| written == number)
}

/// Whether a debit of this exchange waits. Looks at all that wait: for what happens hardly ever.
#[must_use]
pub fn holds(shared: &impl SharedData, exchange_id: &ExchangeId) -> bool {
    let id = exchange_id.to_string();
    let (head, tail) = (read_counter(shared, HEAD), read_counter(shared, TAIL));
    (head..tail).any(|number| {
        let Some((value, _)) = shared.get(&slot(number)) else { return false };
        let canonical = waiting_at(&value, number).map_or(&[][..], |(_, canonical)| canonical);
        // The id stands at the front of the canonical form.
        canonical.windows(id.len()).take(64).any(|window| window == id.as_bytes())
    })
}

/// What waits from `head` up to `tail`, as much as one batch holds, and whether that is not all of it.
fn collect(shared: &impl SharedData, head: u64, tail: u64) -> (Vec<Waiting>, bool) {
    let mut batch = Vec::new();
    let mut bytes = 0usize;
    for number in head..tail {
        let Some((value, version)) = shared.get(&slot(number)) else { continue };
        let Some((claim, canonical)) = waiting_at(&value, number) else { continue };
        bytes = bytes.saturating_add(canonical.len());
        if batch.len() >= BATCH || (bytes > BATCH_BYTES && !batch.is_empty()) {
            return (batch, true);
        }
        batch.push(Waiting { number, canonical: canonical.to_vec(), claim, version });
    }
    (batch, false)
}

#[cfg(test)]
#[path = "outbox_test.rs"]
mod tests;
