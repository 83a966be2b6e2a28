//! What a call owes in shared data, and in which order it is written, so that a VM may die between any two writes:
//! its cell ([`crate::memory::lanes`]), with its in-flight record or its debit, and its reservation
//! ([`crate::memory::cap`]).
//!
//! | | first | then | last |
//! | --- | --- | --- | --- |
//! | [`open`] | record | reservation | the call goes on, or asks the ledger for a hold |
//! | [`go_on`] | the record says that the provider may see the call | | the call goes on |
//! | [`settle`] | the debit overwrites the record | reservation becomes spending | the debit is sent |
//! | [`release`] | reservation | the cell is emptied | |
//! | [`release`] with a hold | the void overwrites the record | | the void is sent |
//! | [`acknowledged`] | spending becomes what the ledger says | the cell is emptied | |
//!
//! If the reservation of a dead VM's record is gone, the call never went on: the VM that finds the record
//! ([`take_over`]) charges nothing. If the reservation is there, the call may have been answered: it is charged by
//! estimate. A call with a hold has no reservation: its record itself says whether it went on, and if it did not, the VM
//! that finds the record voids the hold. If two VMs send a debit, both send the same bytes, which become one entry.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::clock::Tick;
use crate::base::pax::Pax;
use crate::base::wire::{DebitOutcome, DebitReply, Standing};
use crate::debit::admission::Admission;
use crate::debit::debiting::debit_of_unknown;
use crate::debit::frozen::{BadDebit, Debit, Ending};
use crate::memory::cap::{self, Acknowledged, Claim, Reserved};
use crate::memory::cap_bytes::Daily;
use crate::memory::lanes::debit_cell::DebitBytes;
use crate::memory::lanes::lane::{DebitCell, Lane, RecordCell, clear_lost, settle_lost};
use crate::memory::lanes::old_ring;
use crate::memory::lanes::outbox::{Outbox, Waiting};
use crate::memory::lanes::record::{self, Record};
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
/// It cannot be copied, and both use it up. If the ledger may have a hold for the call, a settlement posts it with the
/// debit, and a release voids it.
#[must_use = "a call that is neither settled nor released keeps its reservation until its VM dies"]
#[derive(Debug)]
pub struct Owed {
    admission: Rc<Admission>,
    /// Where the call's in-flight record is.
    cell: RecordCell,
    /// Whether the record says that the call goes on.
    goes_on: bool,
    /// Whether the ledger may have a hold for the call.
    may_be_held: bool,
}

impl Owed {
    /// The call.
    #[must_use]
    pub const fn admission(&self) -> &Rc<Admission> {
        &self.admission
    }

    /// The ledger has refused the hold, so there is none to be voided.
    pub fn without_hold(self) -> Self {
        Self { may_be_held: false, ..self }
    }

    /// Whether its release sends a void.
    #[must_use]
    pub const fn needs_void(&self) -> bool {
        self.may_be_held
    }

    fn record(&self) -> Vec<u8> {
        record::write(&self.admission, self.goes_on)
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

/// Keeps a call's in-flight record and makes its reservation. `clock` says how late it is afterwards.
///
/// # Errors
/// [`NotOpened`]; then neither of them is left.
pub fn open(
    shared: &impl SharedData,
    lane: &mut Lane,
    admission: &Rc<Admission>,
    limit: Option<Pax>,
    (now, clock): (Tick, impl Fn() -> Tick),
) -> Result<Owed, NotOpened> {
    let is_held = admission.hold.is_some();
    let record = record::write(admission, !is_held);
    let cell = lane.put_record(shared, &record, now).ok_or(NotOpened::Busy)?;
    let mut owed = Owed { admission: Rc::clone(admission), cell, goes_on: !is_held, may_be_held: is_held };
    let refused = match reserve(shared, lane, admission, limit, (now, clock)) {
        Reserved::Done => {
            lane.reserves(&mut owed.cell, admission.set_aside().unwrap_or_default());
            return Ok(owed);
        }
        Reserved::Exceeded(daily) => NotOpened::Exceeded(daily),
        Reserved::Unknown => NotOpened::Unknown,
        Reserved::Busy => NotOpened::Busy,
    };
    clear(shared, Some(lane), &owed);
    Err(refused)
}

/// Writes into the record of a call that the provider may see it from now on: its hold is durable.
///
/// # Errors
/// [`NotOpened::Busy`] if another VM may have taken this one for dead, and its record for that of a call which never went
/// on. The hold is voided then.
pub fn go_on(
    shared: &impl SharedData,
    mut lane: Option<&mut Lane>,
    outbox: &mut Outbox,
    owed: Owed,
    (now, clock): (Tick, impl Fn() -> Tick),
) -> Result<Owed, NotOpened> {
    let record = record::write(&owed.admission, true);
    let written = lane.as_mut().is_some_and(|lane| lane.rewrite(shared, &owed.cell, &record, now));
    let owed = Owed { goes_on: written, ..owed };
    // If this thread was stopped before it wrote, a sweeping worker has found a call that never went on.
    if written && lane.as_mut().is_some_and(|lane| lane.is_held(shared, clock())) {
        return Ok(owed);
    }
    release(shared, lane, outbox, (owed, now));
    Err(NotOpened::Busy)
}

/// Makes a call's reservation, if it needs one.
fn reserve(
    shared: &impl SharedData,
    lane: &mut Lane,
    admission: &Admission,
    limit: Option<Pax>,
    (now, clock): (Tick, impl Fn() -> Tick),
) -> Reserved {
    let (Some(claim), Some(amount), Some(limit)) = (claim(admission), admission.reservation, limit) else {
        return Reserved::Done;
    };
    let reserved = cap::reserve(shared, &claim, amount, limit, now);
    // If this thread was stopped before the reservation, a sweeping worker has found the record without one, has charged
    // nothing and emptied the cell. Then nothing would tell of the call if this VM died, too.
    if reserved == Reserved::Done && !lane.is_held(shared, clock()) {
        cap::release(shared, &claim);
        return Reserved::Busy;
    }
    reserved
}

/// Overwrites a call's record with its debit, puts its cost in the place of its reservation, and lets the debit be
/// sent. `lane` is none if this VM has none now. If another VM has swept the record's lane meanwhile, it has charged the
/// call by estimate, and the debit gets another cell. If there is none, it waits in this VM's memory for one. Gives the
/// account's day after that.
pub fn settle(
    shared: &impl SharedData,
    lane: Option<&mut Lane>,
    outbox: &mut Outbox,
    owed: Owed,
    (debit, now): (&Debit, Tick),
) -> Option<Daily> {
    let claim = claim(&owed.admission);
    let debit_bytes = DebitBytes::of(claim.as_ref(), debit);
    let cell = overwrite(shared, lane, &owed, (debit_bytes.bytes(), now));
    let daily = claim.and_then(|claim| cap::settle(shared, &claim, debit.cost_pax));
    outbox.put(debit_bytes, cell);
    daily
}

/// Puts what is to be sent in the place of a call's record, or into another cell if that is lost; none if there is none.
fn overwrite(
    shared: &impl SharedData,
    mut lane: Option<&mut Lane>,
    owed: &Owed,
    (bytes, now): (&[u8], Tick),
) -> Option<DebitCell> {
    lane.as_mut()
        .and_then(|lane| lane.settle(shared, owed.cell, bytes, now))
        .or_else(|| settle_lost(shared, owed.cell, &owed.record(), bytes))
        .or_else(|| lane.and_then(|lane| lane.put_debit(shared, bytes, now)))
}

/// Takes a debit of another VM into a cell of this one's, puts its cost in the place of its call's reservation, if that
/// is still there, and lets it be sent. False if no cell is empty. Doing this again, after a death in between, changes
/// nothing.
pub fn adopt(
    shared: &impl SharedData,
    lane: &mut Lane,
    outbox: &mut Outbox,
    debit: DebitBytes,
    now: Tick,
) -> bool {
    let Some(cell) = lane.put_debit(shared, debit.bytes(), now) else { return false };
    if let Some(claim) = debit.claim() {
        cap::settle(shared, &claim, debit.cost());
    }
    outbox.put(debit, Some(cell));
    true
}

/// Takes a call's record out, even if this VM has lost the lane that it is in.
fn clear(shared: &impl SharedData, lane: Option<&mut Lane>, owed: &Owed) {
    if !lane.is_some_and(|lane| lane.clear_record(shared, owed.cell)) {
        clear_lost(shared, owed.cell, &owed.record());
    }
}

/// Gives back what is set aside for a call, and takes its record out: nothing is owed for it. If the ledger may have a
/// hold for it, a void is sent as debits are.
pub fn release(
    shared: &impl SharedData,
    lane: Option<&mut Lane>,
    outbox: &mut Outbox,
    (owed, now): (Owed, Tick),
) {
    if let Some(claim) = claim(&owed.admission) {
        cap::release(shared, &claim);
    }
    if owed.may_be_held {
        let void = void(&owed.admission);
        let cell = overwrite(shared, lane, &owed, (void.bytes(), now));
        outbox.put(void, cell);
    } else {
        clear(shared, lane, &owed);
    }
}

fn void(admission: &Admission) -> DebitBytes {
    DebitBytes::void(&admission.account.account, admission.exchange_id)
}

/// What became of what a dead VM's cell holds.
#[derive(Debug)]
pub enum TakenOver {
    /// It was a call's record: the call is charged by this debit, which is an estimate.
    Charged(Box<Debit>),
    /// It was a debit, or a void: this VM sends it.
    Debit,
    /// It was a record of a call that waited for its hold: the hold is voided.
    Voided,
    /// It was a record of a call for which nothing is owed.
    Nothing,
    /// Not now: no cell is empty, or this VM does not know the record's card yet. A later pass or another VM takes it
    /// over.
    Later,
    /// It cannot be read: the operator is told, and it is given up.
    Unreadable(BadDebit),
}

/// Takes over what a dead VM's cell holds, once: a VM that does it again makes the same bytes.
pub fn take_over(
    shared: &impl SharedData,
    bundle: &Bundle,
    (lane, outbox): (&mut Lane, &mut Outbox),
    held: Vec<u8>,
    now: Tick,
) -> TakenOver {
    let record = match DebitBytes::read(held) {
        Ok(debit) => {
            let adopted = adopt(shared, lane, outbox, debit, now);
            return if adopted { TakenOver::Debit } else { TakenOver::Later };
        }
        Err(record) => record,
    };
    let Record { admission, goes_on } = match record::read(bundle, &record) {
        Ok(Some(record)) => record,
        Ok(None) => return TakenOver::Later,
        Err(problem) => return TakenOver::Unreadable(problem),
    };
    if !goes_on {
        let voided = adopt(shared, lane, outbox, void(&admission), now);
        return if voided { TakenOver::Voided } else { TakenOver::Later };
    }
    let claim = claim(&admission);
    // A VM of the module before this one put the call's true debit into the old ring, and may have died just after that.
    // The ring is looked at first: a debit that is gone from there has no reservation left.
    let settled = old_ring::holds(shared, &admission.exchange_id);
    if settled || claim.as_ref().is_some_and(|claim| !cap::is_reserved(shared, claim)) {
        return TakenOver::Nothing;
    }
    // What the answer said died with the VM.
    let Some(debit) = debit_of_unknown(&admission, Ending::Orphaned) else {
        return TakenOver::Nothing;
    };
    let bytes = DebitBytes::of(claim.as_ref(), &debit);
    match adopt(shared, lane, outbox, bytes, now) {
        true => TakenOver::Charged(Box::new(debit)),
        false => TakenOver::Later,
    }
}

/// Takes in what the ledger said of a batch: each account's debits in one step. To be called before the
/// outbox forgets them.
pub fn acknowledged(shared: &impl SharedData, batch: &[Waiting], replies: &[DebitReply]) {
    let mut accounts: BTreeMap<&str, Vec<Acknowledged>> = BTreeMap::new();
    for (waiting, reply) in batch.iter().zip(replies) {
        // A debit that the ledger does not read yet stays in the outbox, and so on the account's list.
        let Some(claim) = waiting.debit.claim().filter(|_| reply.outcome != DebitOutcome::Unsupported) else {
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
    use super::{Admission, Debit, Lane, NotOpened, Outbox, Owed, Rc, Tick};
    use crate::worker::fake::Map;

    /// The gate itself, for tests of its callers: over shared data of its own, and with room for every
    /// reservation.
    pub(crate) struct Gatekeeper {
        map: Map,
        lane: Lane,
        outbox: Outbox,
    }

    impl Gatekeeper {
        pub(crate) fn new() -> Self {
            let map = Map::default();
            let lane = Lane::take(&map, 1, Tick::default()).unwrap();
            Self { map, lane, outbox: Outbox::default() }
        }

        pub(crate) fn open(&mut self, admission: &Rc<Admission>) -> Result<Owed, NotOpened> {
            let now = Tick::default();
            super::open(&self.map, &mut self.lane, admission, None, (now, || now))
        }

        pub(crate) fn settle(&mut self, owed: Owed, debit: &Debit) {
            let (lane, outbox, now) = (Some(&mut self.lane), &mut self.outbox, Tick::default());
            super::settle(&self.map, lane, outbox, owed, (debit, now));
        }

        pub(crate) fn release(&mut self, owed: Owed) {
            super::release(&self.map, Some(&mut self.lane), &mut self.outbox, (owed, Tick::default()));
        }

        pub(crate) fn go_on(&mut self, owed: Owed) -> Result<Owed, NotOpened> {
            super::go_on(
                &self.map,
                Some(&mut self.lane),
                &mut self.outbox,
                owed,
                (Tick::default(), Tick::default),
            )
        }

        /// How many voids wait to be sent.
        pub(crate) fn voids(&mut self) -> usize {
            let batch = self.outbox.next_batch(Tick::default()).unwrap_or_default();
            let voids = batch.iter().filter(|waiting| waiting.debit.canonical().starts_with(b"{\"void\""));
            let voids = voids.count();
            self.outbox.failed();
            voids
        }

        /// How many calls are neither settled nor released.
        pub(crate) fn owed(&self) -> usize {
            self.lane.used().saturating_sub(self.outbox.all())
        }
    }
}

#[cfg(test)]
#[path = "gate_test.rs"]
mod tests;
