//! The daily cap in shared data: what each account has spent today, what is reserved and what waits for the
//! ledger, for all workers of one Envoy.
//!
//! The ledger is the truth, this is its cache. An account has a **place** in one of a fixed number of
//! buckets; a place knows at most two UTC days, and of each what the ledger said last ([`Standing`]) and a
//! list of what this Envoy adds to it: open reservations, and costs that the ledger has not acknowledged.
//! Both are listed under the tag of their exchange, so that doing the same thing twice changes nothing: a
//! reservation is released once and a debit leaves the list once, whichever worker does it, and in whatever
//! order.
//!
//! Nothing is reserved for a day of which the ledger has not told: after a restart, an eviction or midnight
//! the ledger is asked first ([`Reserved::Unknown`]). A place with open reservations or unacknowledged debits
//! is never evicted. Other places make room, the longest unused first.

use crate::base::clock::{Tick, UtcDay};
use crate::base::exchange_id::Tag;
use crate::base::pax::Pax;
use crate::base::wire::Standing;
use crate::memory::cap_bytes::{Bucket, Daily, Day, Item, Place};
use crate::memory::shared::{SharedData, numbered, update};

/// How many buckets there are. With [`crate::memory::cap_bytes::IDLE_PLACES`] each, about 130,000 idle
/// accounts are remembered, in at most 16 MiB. If an account is not remembered, the ledger is asked for it
/// again.
pub const BUCKETS: u32 = 16_384;
/// How many exchanges of one account may be open or unacknowledged in one Envoy. Beyond that the account's
/// calls are refused until the ledger catches up, since every change copies the list.
pub const ITEMS_MAX: usize = 1_024;
/// A settlement must not be lost to a race: it is tried this many times as often as a reservation.
const PERSISTENCE: u32 = 64;

/// Which item of which account's day is an exchange's: its reservation, later its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The account's name.
    pub account: &'a str,
    /// The UTC day of its admission.
    pub utc_day: UtcDay,
    /// The exchange.
    pub tag: Tag,
}

/// What came of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It is made.
    Done,
    /// It does not fit the cap.
    Exceeded(Daily),
    /// The ledger has to be asked first what the account has spent that day.
    Unknown,
    /// The account has [`ITEMS_MAX`] exchanges open or unacknowledged, or other workers won every race.
    Busy,
}

fn key(account: &str) -> String {
    // FNV-1a is enough: the operator chooses the names, not strangers, and each place holds its account's
    // whole name.
    let hash = account
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    numbered("pax/cap/", u64::from(hash & BUCKETS.saturating_sub(1)))
}

/// Changes an account's place, if it has one and `with` says that it changed.
fn change<T>(
    shared: &impl SharedData,
    account: &str,
    mut with: impl FnMut(&mut Place) -> (bool, T),
) -> Option<Option<T>> {
    update(shared, &key(account), |value| {
        let bucket = Bucket::of(value, account);
        let Some(mut place) = bucket.place() else { return (None, None) };
        let (changed, result) = with(&mut place);
        (changed.then(|| bucket.with(&place)), Some(result))
    })
}

/// As [`change`], for what must not be lost to a race.
fn change_surely<T>(
    shared: &impl SharedData,
    account: &str,
    mut with: impl FnMut(&mut Place) -> (bool, T),
) -> Option<T> {
    (0..PERSISTENCE).find_map(|_| change(shared, account, &mut with)).flatten()
}

/// Takes in an account's standing, as the ledger tells it. Of two standings of one epoch the one with the
/// higher `account_seq` wins, and a standing of a higher epoch wins over all standings of earlier epochs.
/// Costs that the ledger has not acknowledged to this Envoy stay on top.
pub fn learn(shared: &impl SharedData, account: &str, standing: &Standing, now: Tick) {
    let _ = update(shared, &key(account), |value| {
        let bucket = Bucket::of(value, account);
        let mut place = bucket.place().unwrap_or_else(|| Place::new(account));
        let known = place.day(standing.utc_day).is_some();
        if !known && !place.make_room_for(standing.utc_day) {
            return (None, ());
        }
        place.used = now;
        let changed = match place.day_mut(standing.utc_day) {
            Some(day) => day.learn(standing) || !known,
            None => false,
        };
        (changed.then(|| bucket.with(&place)), ())
    });
}

/// Sets `amount` aside for an exchange, if the day's spending, what is reserved and `amount` fit `cap`
/// together. The same exchange again is [`Reserved::Done`] and changes nothing.
pub fn reserve(shared: &impl SharedData, claim: &Claim<'_>, amount: Pax, cap: Pax, now: Tick) -> Reserved {
    let tag = claim.tag;
    let reserved = change(shared, claim.account, |place| {
        let Some(day) = place.day_mut(claim.utc_day) else { return (false, Reserved::Unknown) };
        if day.has(tag) {
            return (false, Reserved::Done);
        }
        let daily = day.daily();
        let fits = daily
            .spent
            .checked_add(daily.reserved)
            .and_then(|sum| sum.checked_add(amount))
            .is_some_and(|sum| sum <= cap);
        if !fits {
            return (false, Reserved::Exceeded(daily));
        }
        if day.items() >= ITEMS_MAX {
            return (false, Reserved::Busy);
        }
        day.open.push(Item { tag, amount });
        place.used = now;
        (true, Reserved::Done)
    });
    match reserved {
        Some(Some(reserved)) => reserved,
        Some(None) => Reserved::Unknown,
        None => Reserved::Busy,
    }
}

/// Puts an exchange's cost in the place of its reservation: spent, and not acknowledged yet. Nothing changes
/// if the reservation is gone already. Gives the account's day after that.
pub fn settle(shared: &impl SharedData, claim: &Claim<'_>, cost: Pax) -> Option<Daily> {
    change_surely(shared, claim.account, |place| {
        let Some(day) = place.day_mut(claim.utc_day) else { return (false, None) };
        let settled = Day::take(&mut day.open, claim.tag);
        if settled {
            day.pending.push(Item { tag: claim.tag, amount: cost });
        }
        (settled, Some(day.daily()))
    })
    .flatten()
}

/// Gives an exchange's reservation back; says whether there was one.
pub fn release(shared: &impl SharedData, claim: &Claim<'_>) -> bool {
    let released = change_surely(shared, claim.account, |place| {
        let day = place.day_mut(claim.utc_day);
        let released = day.is_some_and(|day| Day::take(&mut day.open, claim.tag));
        (released, released)
    });
    released.unwrap_or(false)
}

/// Whether an exchange's reservation is there.
#[must_use]
pub fn is_reserved(shared: &impl SharedData, claim: &Claim<'_>) -> bool {
    let found = change(shared, claim.account, |place| {
        let day = place.day(claim.utc_day);
        (false, day.is_some_and(|day| day.open.iter().any(|item| item.tag == claim.tag)))
    });
    found.flatten().unwrap_or(false)
}

/// A debit that the ledger has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its exchange.
    pub tag: Tag,
    /// The UTC day it counts on.
    pub utc_day: UtcDay,
    /// The account's standing with it; none for a debit that went to quarantine.
    pub standing: Option<Standing>,
}

/// Takes acknowledged debits off an account's list, and takes in the standings that came with them, in one
/// step.
pub fn acknowledged(shared: &impl SharedData, account: &str, debits: &[Acknowledged]) {
    let _ = change_surely(shared, account, |place| {
        let mut changed = false;
        for debit in debits {
            let Some(day) = place.day_mut(debit.utc_day) else { continue };
            // The worker that made the debit may not have settled it in this list yet: then it is still open.
            changed |= Day::take(&mut day.pending, debit.tag) | Day::take(&mut day.open, debit.tag);
            if let Some(standing) = &debit.standing {
                changed |= day.learn(standing);
            }
        }
        (changed, ())
    });
}

/// An account's day, as far as this Envoy knows.
#[must_use]
pub fn daily(shared: &impl SharedData, account: &str, day: UtcDay) -> Option<Daily> {
    change(shared, account, |place| (false, place.day(day).map(Day::daily))).flatten().flatten()
}

#[cfg(test)]
#[path = "cap_test.rs"]
mod tests;
