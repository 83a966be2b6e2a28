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
use std::rc::Rc;

use crate::admission::{Admission, Answered};
use crate::bundle::Bundle;
use crate::cap::{self, Acknowledged, Claim, Reserved};
use crate::cap_place::Daily;
use crate::clock::Tick;
use crate::debit::{BadDebit, Debit, Ending};
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

/// What is owed from a call's opening on: exactly one settlement ([`settle`]) or one release ([`release`]). It cannot be
/// copied, and both take it away. The id of a hold at the ledger will have its place here: a settlement posts the hold
/// with the debit, a release voids it.
#[must_use = "a call that is neither settled nor released keeps its reservation until its VM dies"]
#[derive(Debug)]
pub struct Owed {
    admission: Rc<Admission>,
    /// The place of the call's in-flight record.
    slot: Slot,
}

impl Owed {
    /// The call.
    #[must_use]
    pub const fn admission(&self) -> &Rc<Admission> {
        &self.admission
    }
}

/// Why a call was not opened. Nothing is owed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// Its reservation does not fit the daily cap.
    Exceeded(Daily),
    /// The ledger has to be asked anew what the account has spent that day.
    Unknown,
    /// There is no room for its record or its reservation now.
    Busy,
}

/// Keeps a call's in-flight record and makes its reservation.
///
/// # Errors
/// [`NotOpened`]; then neither of them is left.
pub fn open(
    shared: &impl SharedData,
    lane: &mut Lane,
    admission: &Rc<Admission>,
    limit: Option<Pax>,
    now: Tick,
) -> Result<Owed, NotOpened> {
    let mut slot = lane.put(shared, &record::write(admission), now).ok_or(NotOpened::Busy)?;
    let reserved = match (claim(admission), admission.reservation, limit) {
        (Some(claim), Some(amount), Some(limit)) => cap::reserve(shared, &claim, amount, limit, now),
        _ => Reserved::Done,
    };
    let refused = match reserved {
        Reserved::Done => {
            lane.reserves(&mut slot, admission.reservation.unwrap_or_default());
            return Ok(Owed { admission: Rc::clone(admission), slot });
        }
        Reserved::Exceeded(daily) => NotOpened::Exceeded(daily),
        Reserved::Unknown => NotOpened::Unknown,
        Reserved::Busy => NotOpened::Busy,
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
    lane: &mut Lane,
    outbox: (&Writer, Tick, impl Fn() -> Tick),
    owed: Owed,
    (canonical, cost): (&[u8], Pax),
) -> Result<Option<Daily>, outbox::Full> {
    let Owed { admission, slot } = owed;
    let claim = claim(&admission);
    match charge(shared, outbox, claim.as_ref(), (canonical, cost)) {
        Ok(daily) => {
            clear(shared, lane, slot, &admission);
            Ok(daily)
        }
        Err(outbox::Full) if lane.keep(shared, slot, &kept::write(claim.as_ref(), cost, canonical)) => {
            Ok(claim.and_then(|claim| cap::settle(shared, &claim, cost)))
        }
        Err(outbox::Full) => Err(outbox::Full),
    }
}

/// Puts a debit into the outbox, then its cost in the place of its call's reservation. Gives where the account's day
/// stands then. Doing both again, after a death between them or after it, changes nothing.
fn charge(
    shared: &impl SharedData,
    (outbox, now, clock): (&Writer, Tick, impl Fn() -> Tick),
    claim: Option<&Claim<'_>>,
    (canonical, cost): (&[u8], Pax),
) -> Result<Option<Daily>, outbox::Full> {
    outbox.put(shared, claim, canonical, now, clock)?;
    Ok(claim.and_then(|claim| cap::settle(shared, claim, cost)))
}

/// Puts this VM's debits that found no room into the outbox, as many as there is room for now. Gives how many still wait.
pub fn settle_kept(
    shared: &impl SharedData,
    lane: &mut Lane,
    (outbox, clock): (&Writer, impl Fn() -> Tick),
) -> usize {
    lane.settle_kept(shared, |record| {
        let kept = kept::read(record);
        kept.is_none_or(|kept| charge_kept(shared, (outbox, clock(), &clock), &kept))
    })
}

/// Puts a kept debit into the outbox; false if that is still full. Its cost was put in the place of its reservation when
/// it was kept, unless its VM died just before: so that is done again.
fn charge_kept(
    shared: &impl SharedData,
    outbox: (&Writer, Tick, impl Fn() -> Tick),
    kept: &Kept<'_>,
) -> bool {
    charge(shared, outbox, kept.claim().as_ref(), (kept.canonical, kept.cost)).is_ok()
}

/// Takes a call's record out, wherever it is.
fn clear(shared: &impl SharedData, lane: &mut Lane, slot: Slot, admission: &Admission) {
    if !lane.clear(shared, slot) {
        in_flight::clear_lost(shared, slot, &record::write(admission));
    }
}

/// Gives a call's reservation back, and takes its record out: nothing is owed for it.
pub fn release(shared: &impl SharedData, lane: &mut Lane, owed: Owed) {
    let Owed { admission, slot } = owed;
    if let Some(claim) = claim(&admission) {
        cap::release(shared, &claim);
    }
    clear(shared, lane, slot, &admission);
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
    outbox: (&Writer, Tick, impl Fn() -> Tick),
    record: &[u8],
) -> Orphan {
    if let Some(kept) = kept::read(record) {
        return if charge_kept(shared, outbox, &kept) { Orphan::Kept } else { Orphan::Later };
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
    match charge(shared, outbox, claim.as_ref(), (&canonical, debit.cost_pax)) {
        Ok(_) => Orphan::Charged(Box::new(debit)),
        Err(outbox::Full) => Orphan::Later,
    }
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
#[allow(clippy::unwrap_used)]
pub(crate) mod fake {
    use super::{Admission, Debit, Lane, NotOpened, Owed, Rc, Tick, Writer};
    use crate::fake::Map;

    /// The gate itself, for tests of what goes through it: over shared data of its own, and with room for every
    /// reservation.
    pub(crate) struct Gatekeeper {
        map: Map,
        lane: Lane,
        outbox: Writer,
    }

    impl Gatekeeper {
        pub(crate) fn new() -> Self {
            let map = Map::default();
            let lane = Lane::take(&map, 1, Tick::default()).unwrap();
            Self { map, lane, outbox: Writer::new() }
        }

        pub(crate) fn open(&mut self, admission: &Rc<Admission>) -> Result<Owed, NotOpened> {
            super::open(&self.map, &mut self.lane, admission, None, Tick::default())
        }

        pub(crate) fn settle(&mut self, owed: Owed, debit: &Debit) {
            let (canonical, now) = (debit.to_canonical(), Tick::default());
            let charged = (canonical.as_slice(), debit.cost_pax);
            super::settle(&self.map, &mut self.lane, (&self.outbox, now, || now), owed, charged).unwrap();
        }

        pub(crate) fn release(&mut self, owed: Owed) {
            super::release(&self.map, &mut self.lane, owed);
        }

        /// How many calls are neither settled nor released.
        pub(crate) fn owed(&self) -> usize {
            self.lane.open()
        }
    }
}

#[cfg(test)]
#[path = "gate_test.rs"]
mod tests;
