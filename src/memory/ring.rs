//! A ring of values in shared data between two counters: `tail` gives each debit its number before it is
//! written, `head` is the lowest number whose debit may still wait. Every worker may write and read;
//! [`crate::memory::outbox`] says which one does when.

use std::cell::Cell;

use crate::base::clock::{Tick, UtcDay};
use crate::base::exchange_id::{ExchangeId, Tag};
use crate::memory::cap::{Claim, OwnedClaim};
use crate::memory::shared::{SharedData, Version, numbered, update};

/// How many debits a ring holds.
pub const SLOTS: u64 = 32_768;
/// How many debits one batch holds at most.
pub const BATCH: usize = 256;
/// How large a batch is at most, in bytes.
pub const BATCH_BYTES: usize = 512 * 1024;
/// If nothing was written under a number for so long after it was given out, the number was lost with its VM.
pub(crate) const GAP_MS: u64 = 60_000;

/// There is no slot left: nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A ring's keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    head: &'static str,
    tail: &'static str,
    slots: &'static str,
}

/// The debits that wait to be sent.
pub(crate) static WAITING: Ring =
    Ring { head: "pax/outbox/head", tail: "pax/outbox/tail", slots: "pax/outbox/" };
/// The debits of a version that the ledger does not read yet.
pub(crate) static ASIDE: Ring = Ring { head: "pax/aside/head", tail: "pax/aside/tail", slots: "pax/aside/" };

/// A debit that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub number: u64,
    /// Its canonical bytes.
    pub canonical: Vec<u8>,
    /// Its claim on its account's day.
    claim: Option<OwnedClaim>,
    /// The version of its slot when it was read.
    version: Version,
}

impl Waiting {
    /// Its claim on its account's day; none if nothing was reserved.
    #[must_use]
    pub fn claim(&self) -> Option<Claim<'_>> {
        self.claim.as_ref().map(OwnedClaim::as_claim)
    }
}

pub(crate) fn counter(value: &[u8]) -> u64 {
    value.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn read_counter(shared: &impl SharedData, key: &str) -> u64 {
    shared.get(key).map_or(0, |(value, _)| counter(&value))
}

/// A slot's value: the number; then, until the debit is acknowledged, the claim (one byte of length, the
/// account's name, four bytes of day, eight of tag; a zero for none) and the canonical bytes.
fn read_slot(value: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = value.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// The claim and the canonical bytes of a slot that waits.
fn read_waiting(rest: &[u8]) -> Option<(Option<OwnedClaim>, &[u8])> {
    let (length, rest) = rest.split_first()?;
    if *length == 0 {
        return Some((None, rest));
    }
    let (account, rest) = rest.split_at_checked(usize::from(*length))?;
    let (day, rest) = rest.split_first_chunk::<4>()?;
    let (tag, canonical) = rest.split_first_chunk::<8>()?;
    let utc_day = UtcDay::from_days(u32::from_le_bytes(*day));
    let account = str::from_utf8(account).ok()?.to_owned();
    let claim = OwnedClaim { account, utc_day, tag: Tag(u64::from_le_bytes(*tag)) };
    Some((Some(claim), canonical))
}

fn write_slot(number: u64, claim: Option<&Claim<'_>>, canonical: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(canonical.len().saturating_add(320));
    value.extend_from_slice(&number.to_le_bytes());
    // The ledger takes no name that is longer. A debit without its claim is still charged.
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

/// What waits in a slot under a number.
fn waiting_at(value: &[u8], number: u64) -> Option<(Option<OwnedClaim>, &[u8])> {
    let (written, rest) = read_slot(value)?;
    read_waiting(rest).filter(|_| written == number)
}

impl Ring {
    fn slot(&self, number: u64) -> String {
        numbered(self.slots, number.checked_rem(SLOTS).unwrap_or(0))
    }

    /// The head and the tail: debits may wait under the numbers from the one up to the other.
    pub(crate) fn ends(&self, shared: &impl SharedData) -> (u64, u64) {
        // The tail first: a head that moves on meanwhile makes the count smaller, never negative.
        let tail = read_counter(shared, self.tail);
        (read_counter(shared, self.head), tail)
    }

    /// Puts a debit in, at `now`. `seen`: the head as this writer last read it. `clock` says how late it is
    /// afterwards.
    ///
    /// # Errors
    /// [`Full`] if every slot is taken.
    pub(crate) fn put(
        &self,
        shared: &impl SharedData,
        seen: &Cell<u64>,
        (claim, canonical): (Option<&Claim<'_>>, &[u8]),
        now: Tick,
        clock: impl Fn() -> Tick,
    ) -> Result<(), Full> {
        let number = update(shared, self.tail, |value| {
            let number = counter(value);
            if number.saturating_sub(seen.get()) >= SLOTS {
                seen.set(read_counter(shared, self.head));
            }
            if number.saturating_sub(seen.get()) >= SLOTS {
                return (None, None);
            }
            (Some(number.saturating_add(1).to_le_bytes().to_vec()), Some(number))
        });
        let number = number.flatten().ok_or(Full)?;
        // Only this caller has the number, so whatever the slot holds is to be replaced.
        if !shared.set(&self.slot(number), &write_slot(number, claim, canonical)) {
            return Err(Full);
        }
        let after = clock();
        if after.since_ms(now) >= GAP_MS / 2 {
            // This thread was stopped for so long that a sender may have given its number up. Or a sender has
            // found nothing there, and will move the head next. So the debit is put in once more, under a new
            // number: sent twice, it is still one entry.
            return self.put(shared, seen, (claim, canonical), after, clock);
        }
        Ok(())
    }

    /// Takes a debit out, if its slot is still as it was read: another sender may have cleared it, and
    /// another debit may be in it by now.
    pub(crate) fn clear(&self, shared: &impl SharedData, debit: &Waiting) -> bool {
        shared.swap(&self.slot(debit.number), &debit.number.to_le_bytes(), debit.version)
    }

    /// Moves the head on, never back.
    pub(crate) fn move_head(&self, shared: &impl SharedData, number: u64) {
        let _ = update(shared, self.head, |value| {
            let further = (number > counter(value)).then(|| number.to_le_bytes().to_vec());
            (further, ())
        });
    }

    /// Whether a debit of this exchange waits. Looks at all debits that wait, so it is only for what happens
    /// hardly ever.
    pub(crate) fn holds(&self, shared: &impl SharedData, exchange_id: &ExchangeId) -> bool {
        let id = exchange_id.to_string();
        let (head, tail) = self.ends(shared);
        (head..tail).any(|number| {
            let Some((value, _)) = shared.get(&self.slot(number)) else { return false };
            let canonical = waiting_at(&value, number).map_or(&[][..], |(_, canonical)| canonical);
            // The id is near the front of the canonical form.
            canonical.windows(id.len()).take(64).any(|window| window == id.as_bytes())
        })
    }

    /// The canonical bytes of the first debit that waits; none if there is none near the head.
    pub(crate) fn first(&self, shared: &impl SharedData) -> Option<Vec<u8>> {
        let (head, tail) = self.ends(shared);
        (head..tail).take(BATCH).find_map(|number| {
            let (value, _) = shared.get(&self.slot(number))?;
            waiting_at(&value, number).map(|(_, canonical)| canonical.to_vec())
        })
    }

    /// The debits that wait from `head` up to `tail`, as many as one batch holds, and whether more wait.
    pub(crate) fn collect(&self, shared: &impl SharedData, head: u64, tail: u64) -> (Vec<Waiting>, bool) {
        let mut batch = Vec::new();
        let mut bytes = 0usize;
        for number in head..tail {
            let Some((value, version)) = shared.get(&self.slot(number)) else { continue };
            let Some((claim, canonical)) = waiting_at(&value, number) else { continue };
            bytes = bytes.saturating_add(canonical.len());
            if batch.len() >= BATCH || (bytes > BATCH_BYTES && !batch.is_empty()) {
                return (batch, true);
            }
            batch.push(Waiting { number, canonical: canonical.to_vec(), claim, version });
        }
        (batch, false)
    }

    /// Moves the head over what was acknowledged.
    pub(crate) fn advance(&self, shared: &impl SharedData, gap: &mut Option<Gap>, now: Tick) {
        let (head, tail) = self.ends(shared);
        let mut number = head;
        while number < tail && self.is_done(shared, gap, number, now) {
            number = number.saturating_add(1);
        }
        if number > head {
            self.move_head(shared, number);
        }
    }

    /// Whether nothing waits under a number below the tail. If the slot does not hold the number yet, the
    /// number was given out a moment ago, or its VM died before it wrote: then the number is passed after
    /// [`GAP_MS`].
    fn is_done(&self, shared: &impl SharedData, gap: &mut Option<Gap>, number: u64, now: Tick) -> bool {
        let slot = shared.get(&self.slot(number));
        match slot.as_ref().and_then(|(value, _)| read_slot(value)) {
            Some((written, canonical)) if written == number => canonical.is_empty(),
            Some((written, _)) if written > number => true,
            _ => Gap::is_old(gap, number, now),
        }
    }
}

/// A number at the head whose slot does not hold it, and since when that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    number: u64,
    since: Tick,
}

impl Gap {
    fn is_old(known: &mut Option<Self>, number: u64, now: Tick) -> bool {
        let same = known.filter(|gap| gap.number == number);
        let gap = same.unwrap_or(Self { number, since: now });
        *known = Some(gap);
        now.since_ms(gap.since) >= GAP_MS
    }
}
