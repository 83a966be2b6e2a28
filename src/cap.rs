//! The daily cap in shared data: what each account has spent today, what is reserved and what waits for the
//! ledger, for all workers of one Envoy.
//!
//! The ledger is the truth, this is its cache. An account has a **place** in one of a fixed number of buckets;
//! a place knows at most two UTC days, and of each what the ledger said last ([`Standing`]) and a list of
//! what this Envoy adds to it: open reservations, and costs that the ledger has not acknowledged. Both stand
//! there by the tag of their exchange, so that doing the same thing twice changes nothing: a reservation is
//! released once, a debit leaves the list once, whoever says so and in whatever order.
//!
//! Nothing is reserved against a day of which the ledger has said nothing: after a restart, an eviction or
//! midnight it is asked first ([`Reserved::Unknown`]). A place with open reservations or unacknowledged debits
//! is never evicted; others make room, the longest unused first.

use crate::cap_place::{Bucket, Daily, Day, Item, Place};
use crate::clock::{Tick, UtcDay};
use crate::exchange_id::Tag;
use crate::pax::Pax;
use crate::shared::{SharedData, numbered, update};
use crate::wire::Standing;

/// How many buckets there are. With [`crate::cap_place::IDLE_PLACES`] each, about 130,000 idle accounts are remembered, in at most
/// 16 MiB; an account that is not is asked for again.
pub const BUCKETS: u32 = 16_384;
/// How many exchanges of one account may be open or unacknowledged in one Envoy. Beyond it its calls are refused
/// until the ledger catches up: every change copies the list.
pub const ITEMS_MAX: usize = 1_024;
/// A settlement must not be lost to a race: it is tried this many times as often as a reservation.
const PERSISTENCE: u32 = 64;

/// What stands for an exchange in its account's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The account's name.
    pub account: &'a str,
    /// The UTC day of its admission.
    pub utc_day: UtcDay,
    /// The exchange.
    pub tag: Tag,
}

/// A claim as it is read out of shared data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedClaim {
    pub(crate) account: String,
    pub(crate) utc_day: UtcDay,
    pub(crate) tag: Tag,
}

impl OwnedClaim {
    pub(crate) fn as_claim(&self) -> Claim<'_> {
        Claim { account: &self.account, utc_day: self.utc_day, tag: self.tag }
    }
}

/// What came of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It is made.
    Done,
    /// It does not fit the cap.
    Exceeded(Daily),
    /// The ledger has to be asked where the account stands on that day.
    Unknown,
    /// The account has [`ITEMS_MAX`] exchanges open or unacknowledged, or other workers won every race.
    Busy,
}

fn key(account: &str) -> String {
    // FNV-1a. Names are the operator's, not strangers', and the name itself stands in the place.
    let hash = account
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    numbered("pax/cap/", u64::from(hash & BUCKETS.saturating_sub(1)))
}

/// Changes an account's place, if it has one and `change` says so.
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

/// Takes in where the ledger says that an account stands. Of two standings of one epoch the one with the higher
/// `account_seq` wins, and one of a higher epoch wins over all of the epochs before; what this Envoy has not had
/// acknowledged stays on top.
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

/// Sets `amount` aside for an exchange, where today's spending, what is reserved and `amount` fit `cap` together.
/// The same exchange again is [`Reserved::Done`] and changes nothing.
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

/// Puts an exchange's cost in the place of its reservation: spent, and not acknowledged yet. Nothing changes where
/// the reservation is gone already. Gives where the account's day stands then.
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
    /// Where the account stands with it; none for a debit that went to quarantine.
    pub standing: Option<Standing>,
}

/// Takes acknowledged debits off an account's list, and takes in what the ledger said of it, in one step.
pub fn acknowledged(shared: &impl SharedData, account: &str, debits: &[Acknowledged]) {
    let _ = change_surely(shared, account, |place| {
        let mut changed = false;
        for debit in debits {
            let Some(day) = place.day_mut(debit.utc_day) else { continue };
            // Its own worker may not have come to settle it in here yet.
            changed |= Day::take(&mut day.pending, debit.tag) | Day::take(&mut day.open, debit.tag);
            if let Some(standing) = &debit.standing {
                changed |= day.learn(standing);
            }
        }
        (changed, ())
    });
}

/// Where an account's day stands, as far as this Envoy knows.
#[must_use]
pub fn daily(shared: &impl SharedData, account: &str, day: UtcDay) -> Option<Daily> {
    change(shared, account, |place| (false, place.day(day).map(Day::daily))).flatten().flatten()
}

#[cfg(test)]
#[path = "cap_test.rs"]
mod tests;
