//! What a call owes in shared data, and in which order it is written, so that a VM may die between any two writes:
//! its in-flight record ([`crate::in_flight`]), its reservation ([`crate::cap`]), its debit ([`crate::outbox`]).
//!
//! | | first | then | last |
//! | --- | --- | --- | --- |
//! | [`open`] | record | reservation | the call goes on |
//! | [`settle`] | debit | reservation becomes spending | record |
//! | [`release`] | reservation | record | |
//! | [`acknowledged`] | spending becomes what the ledger says | the outbox's slot | |
//!
//! A record without its reservation is of a call that never went on, or of one whose debit was acknowledged: who
//! finds it ([`orphan`]) owes nothing. One with its reservation may have been answered: it is charged by estimate.
//! A debit that was put into the outbox twice has one exchange id, and becomes one entry.

use std::collections::BTreeMap;

use crate::admission::{Admission, Answered};
use crate::bundle::Bundle;
use crate::cap::{self, Acknowledged, Claim, Reserved};
use crate::cap_place::Daily;
use crate::clock::Tick;
use crate::debit::{BadDebit, Debit, Ending};
use crate::event::Opened;
use crate::in_flight::{self, Lane, Slot};
use crate::kept::{self, Kept};
use crate::outbox::{self, Waiting, Writer};
use crate::pax::Pax;
use crate::record;
use crate::settle::settle as settle_debit;
use crate::shared::SharedData;
use crate::stopwatch::Lasted;
use crate::wire::{DebitReply, Outcome, Standing};

/// What stands for a call in its account's day; none where nothing was reserved.
fn claim(admission: &Admission) -> Option<Claim<'_>> {
    let of = |_| Claim {
        account: &admission.account.account,
        utc_day: admission.admitted_at.day(),
        tag: admission.exchange_id.tag(),
    };
    admission.reservation.map(of)
}

/// Keeps a call's in-flight record and makes its reservation: from then on exactly one [`settle`] or [`release`] is
/// owed, with the record's place.
pub fn open(
    shared: &impl SharedData,
    lane: &mut Lane,
    admission: &Admission,
    limit: Option<Pax>,
    now: Tick,
) -> Result<Slot, Opened> {
    let mut slot = lane.put(shared, &record::write(admission), now).ok_or(Opened::Busy)?;
    let reserved = match (claim(admission), admission.reservation, limit) {
        (Some(claim), Some(amount), Some(limit)) => cap::reserve(shared, &claim, amount, limit, now),
        _ => Reserved::Done,
    };
    let refused = match reserved {
        Reserved::Done => {
            lane.reserves(&mut slot, admission.reservation.unwrap_or_default());
            return Ok(slot);
        }
        Reserved::Exceeded(daily) => Opened::Exceeded(daily),
        Reserved::Unknown => Opened::Unknown,
        Reserved::Busy => Opened::Busy,
    };
    clear(shared, lane, slot, admission);
    Err(refused)
}

/// Puts a call's debit into the outbox, its cost in the place of its reservation, and takes its record out. Where the
/// outbox is full the debit stays in the record's place, until [`settle_kept`] puts it in. Gives where the account's day
/// stands then.
///
/// # Errors
/// [`outbox::Full`], if the outbox is full and this VM has lost its lane: who has it now charges the call by estimate.
pub fn settle(
    shared: &impl SharedData,
    (lane, slot): (&mut Lane, Slot),
    (outbox, now, clock): (&Writer, Tick, impl Fn() -> Tick),
    admission: &Admission,
    (canonical, cost): (&[u8], Pax),
) -> Result<Option<Daily>, outbox::Full> {
    let claim = claim(admission);
    let put = outbox.put(shared, claim.as_ref(), canonical, now, clock);
    if put.is_err() && !lane.keep(shared, slot, &kept::write(claim.as_ref(), cost, canonical)) {
        return Err(outbox::Full);
    }
    let daily = claim.and_then(|claim| cap::settle(shared, &claim, cost));
    if put.is_ok() {
        clear(shared, lane, slot, admission);
    }
    Ok(daily)
}

/// Puts this VM's debits that found no room into the outbox, as many as there is room for now. Gives how many still wait.
pub fn settle_kept(
    shared: &impl SharedData,
    lane: &mut Lane,
    (outbox, clock): (&Writer, impl Fn() -> Tick),
) -> usize {
    lane.settle_kept(shared, |record| {
        let kept = kept::read(record);
        kept.is_none_or(|kept| put_kept(shared, (outbox, clock(), &clock), &kept))
    })
}

/// Puts a kept debit into the outbox; false where that is still full.
fn put_kept(
    shared: &impl SharedData,
    (outbox, now, clock): (&Writer, Tick, impl Fn() -> Tick),
    kept: &Kept<'_>,
) -> bool {
    let claim = kept.claim();
    let put = outbox.put(shared, claim.as_ref(), kept.canonical, now, clock).is_ok();
    if put && let Some(claim) = &claim {
        // Its VM may have died just before.
        cap::settle(shared, claim, kept.cost);
    }
    put
}

/// Takes a call's record out, wherever it is.
fn clear(shared: &impl SharedData, lane: &mut Lane, slot: Slot, admission: &Admission) {
    if !lane.clear(shared, slot) {
        in_flight::clear_lost(shared, slot, &record::write(admission));
    }
}

/// Gives a call's reservation back, and takes its record out: nothing is owed for it.
pub fn release(shared: &impl SharedData, lane: &mut Lane, slot: Slot, admission: &Admission) {
    if let Some(claim) = claim(admission) {
        cap::release(shared, &claim);
    }
    clear(shared, lane, slot, admission);
}

/// What became of a dead VM's record.
#[derive(Debug)]
pub enum Orphan {
    /// It is charged by estimate: this debit is in the outbox.
    Charged(Box<Debit>),
    /// It was settled, and found no room then: its own debit is in the outbox now.
    Kept,
    /// Nothing is owed.
    Nothing,
    /// The outbox is full, or this VM has not heard of its card yet: later, or another VM.
    Later,
    /// It cannot be read: said to the operator, and given up.
    Unreadable(BadDebit),
}

/// Settles a dead VM's record by estimate, once: who does it again puts in the same bytes.
pub fn orphan(
    shared: &impl SharedData,
    bundle: &Bundle,
    (outbox, now, clock): (&Writer, Tick, impl Fn() -> Tick),
    record: &[u8],
) -> Orphan {
    if let Some(kept) = kept::read(record) {
        return if put_kept(shared, (outbox, now, clock), &kept) { Orphan::Kept } else { Orphan::Later };
    }
    let admission = match record::read(bundle, record) {
        Ok(Some(admission)) => admission,
        Ok(None) => return Orphan::Later,
        Err(problem) => return Orphan::Unreadable(problem),
    };
    let claim = claim(&admission);
    // Its VM may have died just after it put the true debit in: that one stands. This is asked first, for where it was
    // acknowledged since, it is its reservation that is gone before its place in the outbox.
    let settled = outbox::holds(shared, &admission.exchange_id);
    if settled || claim.as_ref().is_some_and(|claim| !cap::is_reserved(shared, claim)) {
        return Orphan::Nothing;
    }
    // What the answer said died with the VM: the input is charged. Its end is not known, so it is its beginning.
    let answered =
        Answered { ending: Ending::Orphaned, ..Answered::without_head(&admission, Lasted::default()) };
    let Some(debit) = settle_debit(&admission, answered, admission.admitted_at) else {
        return Orphan::Nothing;
    };
    let canonical = debit.to_canonical();
    if outbox.put(shared, claim.as_ref(), &canonical, now, clock).is_err() {
        return Orphan::Later;
    }
    if let Some(claim) = &claim {
        cap::settle(shared, claim, debit.cost_pax);
    }
    Orphan::Charged(Box::new(debit))
}

/// Takes in what the ledger said of a batch: each account's debits in one step. Before the outbox forgets them.
pub fn acknowledged(shared: &impl SharedData, batch: &[Waiting], replies: &[DebitReply]) {
    let mut accounts: BTreeMap<&str, Vec<Acknowledged>> = BTreeMap::new();
    for (waiting, reply) in batch.iter().zip(replies) {
        // It stays in the outbox, and so on the account's list.
        let Some(claim) = waiting.claim().filter(|_| reply.outcome != Outcome::Unsupported) else { continue };
        let standing: Option<Standing> = reply.standing;
        accounts.entry(claim.account).or_default().push(Acknowledged {
            tag: claim.tag,
            utc_day: claim.utc_day,
            standing,
        });
    }
    for (account, debits) in accounts {
        cap::acknowledged(shared, account, &debits);
    }
}

#[cfg(test)]
#[path = "gate_test.rs"]
mod tests;
