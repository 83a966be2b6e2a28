//! What a call owes in shared data, and in which order it is written, so that a VM may die between any two writes:
//! its in-flight record ([`crate::memory::in_flight`]), its reservation ([`crate::memory::cap`]), its debit
//! ([`crate::memory::outbox`]).
//!
//! | | first | then | last |
//! | --- | --- | --- | --- |
//! | [`open`] | record | reservation | the call goes on |
//! | [`settle`] | debit | reservation becomes spending | record |
//! | [`release`] | reservation | record | |
//! | [`acknowledged`] | spending becomes what the ledger says | the outbox's slot | |
//!
//! If the reservation of a dead VM's record is gone, the call never went on, or its debit was acknowledged:
//! the VM that finds the record ([`orphan`]) charges nothing. If the reservation is there, the call may have
//! been answered: it is charged by estimate. If a debit was put into the outbox twice, both copies have one
//! exchange id and become one entry.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::clock::Tick;
use crate::base::pax::Pax;
use crate::base::stopwatch::Lasted;
use crate::base::wire::{DebitOutcome, DebitReply, Standing};
use crate::debit::admission::{Admission, Answered};
use crate::debit::debiting::debit_of;
use crate::debit::frozen::{BadDebit, Debit, Ending};
use crate::memory::cap::{self, Acknowledged, Claim, Reserved};
use crate::memory::cap_bytes::Daily;
use crate::memory::in_flight::{self, Lane, RecordCell};
use crate::memory::kept::{self, Kept};
use crate::memory::outbox::{self, Waiting, Writer};
use crate::memory::record;
use crate::memory::shared::SharedData;
use crate::price::bundle::Bundle;

/// A call's claim on its account's day; none if nothing was reserved.
fn claim(admission: &Admission) -> Option<Claim<'_>> {
    let of = |_| Claim {
        account: &admission.account.account,
        utc_day: admission.admitted_at.day(),
        tag: admission.exchange_id.tag(),
    };
    admission.reservation.map(of)
}

/// What is owed from a call's opening on: exactly one settlement ([`settle`]) or one release ([`release`]).
/// It cannot be copied, and both use it up. The id of a hold at the ledger will have its place here: a
/// settlement posts the hold with the debit, a release voids it.
#[must_use = "a call that is neither settled nor released keeps its reservation until its VM dies"]
#[derive(Debug)]
pub struct Owed {
    admission: Rc<Admission>,
    /// Where the call's in-flight record is.
    cell: RecordCell,
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
    /// The ledger has to be asked again what the account has spent that day.
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
    let mut cell = lane.put(shared, &record::write(admission), now).ok_or(NotOpened::Busy)?;
    let reserved = match (claim(admission), admission.reservation, limit) {
        (Some(claim), Some(amount), Some(limit)) => cap::reserve(shared, &claim, amount, limit, now),
        _ => Reserved::Done,
    };
    let refused = match reserved {
        Reserved::Done => {
            lane.reserves(&mut cell, admission.reservation.unwrap_or_default());
            return Ok(Owed { admission: Rc::clone(admission), cell });
        }
        Reserved::Exceeded(daily) => NotOpened::Exceeded(daily),
        Reserved::Unknown => NotOpened::Unknown,
        Reserved::Busy => NotOpened::Busy,
    };
    clear(shared, lane, cell, admission);
    Err(refused)
}

/// Puts a call's debit into the outbox, puts its cost in the place of its reservation, and takes its record
/// out. If the outbox is full, the debit is kept in the record's place until [`settle_kept`] puts it into the
/// outbox. Gives the account's day after that.
///
/// # Errors
/// [`outbox::Full`], if the outbox is full and this VM has lost its lane: the worker that swept the lane
/// charges the call by estimate.
pub fn settle(
    shared: &impl SharedData,
    lane: &mut Lane,
    outbox: (&Writer, Tick, impl Fn() -> Tick),
    owed: Owed,
    (canonical, cost): (&[u8], Pax),
) -> Result<Option<Daily>, outbox::Full> {
    let Owed { admission, cell } = owed;
    let claim = claim(&admission);
    match charge(shared, outbox, claim.as_ref(), (canonical, cost)) {
        Ok(daily) => {
            clear(shared, lane, cell, &admission);
            Ok(daily)
        }
        Err(outbox::Full) if lane.keep(shared, cell, &kept::write(claim.as_ref(), cost, canonical)) => {
            Ok(claim.and_then(|claim| cap::settle(shared, &claim, cost)))
        }
        Err(outbox::Full) => Err(outbox::Full),
    }
}

/// Puts a debit into the outbox, then its cost in the place of its call's reservation. Gives the account's
/// day after that. Doing both again, after a death between the two or after both, changes nothing.
fn charge(
    shared: &impl SharedData,
    (outbox, now, clock): (&Writer, Tick, impl Fn() -> Tick),
    claim: Option<&Claim<'_>>,
    (canonical, cost): (&[u8], Pax),
) -> Result<Option<Daily>, outbox::Full> {
    outbox.put(shared, claim, canonical, now, clock)?;
    Ok(claim.and_then(|claim| cap::settle(shared, claim, cost)))
}

/// Puts this VM's kept debits into the outbox, as many as there is room for now. Gives how many still wait.
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

/// Puts a kept debit into the outbox; false if the outbox is still full. Its cost took the place of its
/// reservation when the debit was kept, unless the VM died just before that: so this step is done again.
fn charge_kept(
    shared: &impl SharedData,
    outbox: (&Writer, Tick, impl Fn() -> Tick),
    kept: &Kept<'_>,
) -> bool {
    charge(shared, outbox, kept.claim().as_ref(), (kept.canonical, kept.cost)).is_ok()
}

/// Takes a call's record out, even if this VM has lost the lane that it is in.
fn clear(shared: &impl SharedData, lane: &mut Lane, cell: RecordCell, admission: &Admission) {
    if !lane.clear(shared, cell) {
        in_flight::clear_lost(shared, cell, &record::write(admission));
    }
}

/// Gives a call's reservation back, and takes its record out: nothing is owed for it.
pub fn release(shared: &impl SharedData, lane: &mut Lane, owed: Owed) {
    let Owed { admission, cell } = owed;
    if let Some(claim) = claim(&admission) {
        cap::release(shared, &claim);
    }
    clear(shared, lane, cell, &admission);
}

/// What became of a dead VM's record.
#[derive(Debug)]
pub enum Orphan {
    /// It is charged by estimate: this debit is in the outbox.
    Charged(Box<Debit>),
    /// Its VM had settled it, and found no room in the outbox: that debit is in the outbox now.
    Kept,
    /// Nothing is owed.
    Nothing,
    /// Not now: the outbox is full, or this VM does not know the record's card yet. A later pass or another
    /// VM settles it.
    Later,
    /// It cannot be read: the operator is told, and it is given up.
    Unreadable(BadDebit),
}

/// Settles a dead VM's record by estimate, once: a VM that does it again puts in the same bytes.
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
    // The VM may have died just after it put the call's true debit into the outbox: then nothing is left to charge. The
    // outbox is looked at first: an acknowledgement takes the reservation away before it takes the debit out, so a debit
    // that is gone from the outbox has no reservation left either.
    let settled = outbox::holds(shared, &admission.exchange_id);
    if settled || claim.as_ref().is_some_and(|claim| !cap::is_reserved(shared, claim)) {
        return Orphan::Nothing;
    }
    // What the answer said died with the VM, so only the input is charged. When the call ended is not known,
    // so the debit has the time of its admission.
    let answered =
        Answered { ending: Ending::Orphaned, ..Answered::without_head(&admission, Lasted::default()) };
    let Some(debit) = debit_of(&admission, answered, admission.admitted_at) else {
        return Orphan::Nothing;
    };
    let canonical = debit.to_canonical();
    match charge(shared, outbox, claim.as_ref(), (&canonical, debit.cost_pax)) {
        Ok(_) => Orphan::Charged(Box::new(debit)),
        Err(outbox::Full) => Orphan::Later,
    }
}

/// Takes in what the ledger said of a batch: each account's debits in one step. To be called before the
/// outbox forgets them.
pub fn acknowledged(shared: &impl SharedData, batch: &[Waiting], replies: &[DebitReply]) {
    let mut accounts: BTreeMap<&str, Vec<Acknowledged>> = BTreeMap::new();
    for (waiting, reply) in batch.iter().zip(replies) {
        // A debit that the ledger does not read yet stays in the outbox, and so on the account's list.
        let Some(claim) = waiting.claim().filter(|_| reply.outcome != DebitOutcome::Unsupported) else {
            continue;
        };
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
    use crate::worker::fake::Map;

    /// The gate itself, for tests of its callers: over shared data of its own, and with room for every
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
