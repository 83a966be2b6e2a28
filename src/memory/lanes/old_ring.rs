//! The outbox of the module that was in this Envoy before: a ring of values in shared data between two counters. `tail`
//! gave each debit its number before the debit was written, `head` is the lowest number whose debit may still wait.
//! This module writes no debit there. It takes those that it finds into its own cells, as long as there are any: VMs of
//! the other module live on with their streams, and put more in.
//!
//! An operator who goes from version 0.1 to a later one needs this. The upgrade note in CHANGELOG.md says until which
//! version it is there.

use serde::Deserialize;

use crate::base::clock::{Tick, UtcDay};
use crate::base::exchange_id::{ExchangeId, Tag};
use crate::base::pax::Pax;
use crate::memory::cap::Claim;
use crate::memory::lanes::debit_cell::DebitBytes;
use crate::memory::shared::{SharedData, numbered, update};

/// How many debits a ring holds.
const SLOTS: u64 = 32_768;
/// How many debits are taken at once.
const TAKEN: usize = 256;
/// If nothing was written under a number for so long after it was given out, the number was lost with its VM.
const GAP_MS: u64 = 60_000;

/// A ring's keys.
#[derive(Debug)]
struct Ring {
    head: &'static str,
    tail: &'static str,
    slots: &'static str,
}

/// The debits that wait to be sent, and those of a version that the ledger did not read yet.
static RINGS: [Ring; 2] = [
    Ring { head: "pax/outbox/head", tail: "pax/outbox/tail", slots: "pax/outbox/" },
    Ring { head: "pax/aside/head", tail: "pax/aside/tail", slots: "pax/aside/" },
];

/// What a VM knows of both rings.
#[derive(Debug, Default)]
pub(crate) struct OldRings {
    gaps: [Option<Gap>; 2],
    /// How many debits were there at most, when the VM last looked.
    waiting: u64,
}

impl OldRings {
    /// Hands debits to `take`, and takes out each that `take` has put into a cell, up to [`TAKEN`] of a ring. To be
    /// called once a second.
    pub(crate) fn empty(
        &mut self,
        shared: &impl SharedData,
        now: Tick,
        mut take: impl FnMut(DebitBytes) -> bool,
    ) {
        self.waiting = 0;
        for (ring, gap) in RINGS.iter().zip(&mut self.gaps) {
            let (head, tail) = ring.ends(shared);
            if head < tail {
                ring.take(shared, (head, tail), &mut take);
                self.waiting =
                    self.waiting.saturating_add(tail.saturating_sub(ring.advance(shared, gap, now)));
            }
        }
    }

    /// How many debits were there at most, when the VM last looked: a number that was lost with its VM counts like a
    /// debit.
    pub(crate) const fn waiting(&self) -> u64 {
        self.waiting
    }
}

/// Whether a debit of this exchange is in one of the rings. Looks at all debits there, so it is only for what happens
/// hardly ever.
pub(crate) fn holds(shared: &impl SharedData, exchange_id: &ExchangeId) -> bool {
    RINGS.iter().any(|ring| ring.holds(shared, exchange_id))
}

fn counter(shared: &impl SharedData, key: &str) -> u64 {
    shared.get(key).map_or(0, |(value, _)| read_counter(&value))
}

fn read_counter(value: &[u8]) -> u64 {
    value.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A slot's value: the number; then, until the debit is acknowledged, the claim (one byte of length, the
/// account's name, four bytes of day, eight of tag; a zero for none) and the canonical bytes.
fn read_slot(value: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = value.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// The claim and the canonical bytes of the debit that waits in a slot under a number.
fn waiting_at(value: &[u8], number: u64) -> Option<(Option<Claim<'_>>, &[u8])> {
    let (written, rest) = read_slot(value)?;
    let (length, rest) = rest.split_first().filter(|_| written == number)?;
    if *length == 0 {
        return Some((None, rest));
    }
    let (account, rest) = rest.split_at_checked(usize::from(*length))?;
    let (day, rest) = rest.split_first_chunk::<4>()?;
    let (tag, canonical) = rest.split_first_chunk::<8>()?;
    let (account, tag) = (str::from_utf8(account).ok()?, Tag(u64::from_le_bytes(*tag)));
    let utc_day = UtcDay::from_days(u32::from_le_bytes(*day));
    Some((Some(Claim { account, utc_day, tag }), canonical))
}

/// A slot has no cost beside the canonical bytes.
fn cost(canonical: &[u8]) -> Pax {
    #[derive(Deserialize)]
    struct Cost {
        cost_pax: Pax,
    }
    serde_json::from_slice::<Cost>(canonical).map_or(Pax::ZERO, |debit| debit.cost_pax)
}

impl Ring {
    fn slot(&self, number: u64) -> String {
        numbered(self.slots, number.checked_rem(SLOTS).unwrap_or(0))
    }

    /// The head and the tail: debits may wait under the numbers from the one up to the other.
    fn ends(&self, shared: &impl SharedData) -> (u64, u64) {
        // The tail first: a head that moves on meanwhile makes the count smaller, never negative.
        let tail = counter(shared, self.tail);
        (counter(shared, self.head), tail)
    }

    fn take(
        &self,
        shared: &impl SharedData,
        (head, tail): (u64, u64),
        take: &mut impl FnMut(DebitBytes) -> bool,
    ) {
        let mut taken = 0usize;
        for number in head..tail {
            let slot = self.slot(number);
            let Some((value, version)) = shared.get(&slot) else { continue };
            let Some((claim, canonical)) = waiting_at(&value, number) else { continue };
            if taken >= TAKEN || !take(DebitBytes::new(claim.as_ref(), cost(canonical), canonical)) {
                return;
            }
            taken = taken.saturating_add(1);
            // If the swap is lost, a VM of the other module has sent the debit, and another debit may be there.
            let _ = shared.swap(&slot, &number.to_le_bytes(), version);
        }
    }

    fn holds(&self, shared: &impl SharedData, exchange_id: &ExchangeId) -> bool {
        let id = exchange_id.to_string();
        let (head, tail) = self.ends(shared);
        (head..tail).any(|number| {
            let Some((value, _)) = shared.get(&self.slot(number)) else { return false };
            let canonical = waiting_at(&value, number).map_or(&[][..], |(_, canonical)| canonical);
            // The id is near the front of the canonical form.
            canonical.windows(id.len()).take(64).any(|window| window == id.as_bytes())
        })
    }

    /// Moves the head over what was taken out, never back. Gives where it is.
    fn advance(&self, shared: &impl SharedData, gap: &mut Option<Gap>, now: Tick) -> u64 {
        let (head, tail) = self.ends(shared);
        let mut number = head;
        while number < tail && self.is_done(shared, gap, number, now) {
            number = number.saturating_add(1);
        }
        if number > head {
            let _ = update(shared, self.head, |value| {
                let further = (number > read_counter(value)).then(|| number.to_le_bytes().to_vec());
                (further, ())
            });
        }
        number
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
struct Gap {
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

#[cfg(test)]
#[path = "old_ring_test.rs"]
mod tests;
