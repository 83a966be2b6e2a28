//! What really happened to each call: kept by the simulator beside the core, and never asked by it.

use std::collections::BTreeMap;

use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;

use crate::ledger::Ledger;
use crate::memory::Recorded;

/// How far a call came, by what was written of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its record is there.
    Recorded,
    /// Its reservation, too.
    Reserved,
    /// Its record says that the ledger has made its hold, so that it goes on.
    Held,
    /// A debit of it was put into a cell.
    Charged,
    /// Nothing is owed: its reservation or its hold was refused, or given back.
    LetGo,
}

/// A call that asked for a reservation or a hold, or needed none.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Its Envoy, from one start to the next.
    pub(crate) life: u64,
    /// Its VM.
    pub(crate) vm: u64,
    pub(crate) account: String,
    pub(crate) day: UtcDay,
    /// The card that prices it.
    pub(crate) card: Digest,
    pub(crate) reservation: Option<Pax>,
    pub(crate) hold: Option<Pax>,
    pub(crate) cost: Pax,
    /// What its own VM charged for it.
    pub(crate) own_cost: Pax,
    pub(crate) stage: Stage,
    pub(crate) forwarded: bool,
    /// Its VM died while something was owed for it.
    pub(crate) orphaned: bool,
    /// Its Envoy was killed while something was owed for it, or waited in a cell.
    pub(crate) killed: bool,
    /// Its VM was taken for dead and lives.
    pub(crate) doubted: bool,
    /// The bytes of its debit: its own VM's, if that came to it.
    pub(crate) canonical: Option<Vec<u8>>,
}

impl Call {
    /// A call whose record was just written.
    pub(crate) fn of(record: Recorded, life: u64, vm: u64) -> Self {
        Self {
            life,
            vm,
            account: record.account,
            day: record.day,
            card: record.card,
            reservation: record.reservation,
            hold: record.hold,
            cost: Pax::ZERO,
            own_cost: Pax::ZERO,
            stage: Stage::Recorded,
            forwarded: false,
            orphaned: false,
            killed: false,
            doubted: false,
            canonical: None,
        }
    }
}

/// An Envoy's last admission on an account's day: what it knew then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted {
    /// Which of all admissions.
    pub(crate) number: u64,
    pub(crate) version: u64,
    pub(crate) spent: Pax,
    pub(crate) cap: Pax,
}

type OfADay<T> = BTreeMap<(String, UtcDay), T>;

#[derive(Default)]
pub(crate) struct Truth {
    pub(crate) calls: BTreeMap<ExchangeId, Call>,
    pub(crate) tags: BTreeMap<u64, ExchangeId>,
    /// The call that asked last.
    pub(crate) latest: Option<ExchangeId>,
    pub(crate) admitted: OfADay<BTreeMap<u64, Admitted>>,
    /// The bytes under which the ledger acknowledged an exchange.
    pub(crate) acknowledged: BTreeMap<ExchangeId, Vec<u8>>,
    /// The numbers under which Envoys ask for holds: of which Envoy, from one start to the next, each is.
    pub(crate) envoys: BTreeMap<String, u64>,
    /// When Envoys were killed.
    pub(crate) killed: BTreeMap<u64, u64>,
}

fn plus(sum: Pax, amount: Pax) -> Pax {
    sum.checked_add(amount).unwrap_or(Pax::MAX)
}

impl Truth {
    /// An Envoy's last admission, unless a later one is known.
    pub(crate) fn admitted(&mut self, life: u64, of: (String, UtcDay), last: Admitted) {
        let known = self.admitted.entry(of).or_default().entry(life).or_insert(last);
        if known.number < last.number {
            *known = last;
        }
    }

    pub(crate) fn call(&mut self, id: &ExchangeId) -> Option<&mut Call> {
        self.calls.get_mut(id)
    }

    pub(crate) fn of_tag(&self, tag: u64) -> Option<&Call> {
        self.tags.get(&tag).and_then(|id| self.calls.get(id))
    }

    pub(crate) fn vm_died(&mut self, vm: u64) {
        for call in self.calls.values_mut().filter(|call| call.vm == vm) {
            let over = matches!(call.stage, Stage::Charged | Stage::LetGo);
            call.orphaned |= !over;
        }
    }

    pub(crate) fn envoy_was_killed(&mut self, life: u64, now: u64, ledger: &Ledger) {
        self.killed.insert(life, now);
        for (id, call) in self.calls.iter_mut().filter(|(_, call)| call.life == life) {
            call.killed |= !ledger.entries.contains_key(id);
        }
    }

    /// What an Envoy's own calls add to what it knows, which is the account's entries up to a number: the
    /// reservations of those that are open, the costs of those that are settled.
    pub(crate) fn own(&self, life: u64, (account, day): (&str, UtcDay), up_to: u64, ledger: &Ledger) -> Pax {
        let calls = self.calls.iter().filter(|(_, call)| {
            call.life == life && call.account == account && call.day == day && !call.doubted
        });
        // An Envoy forgets a debit that was acknowledged, and does not hear that a restore has lost it.
        let calls = calls.filter(|(id, _)| !ledger.lost_ever.contains(id));
        let unknown =
            calls.filter(|(id, _)| ledger.entries.get(id).is_none_or(|entry| entry.version > up_to));
        unknown.fold(Pax::ZERO, |sum, (_, call)| match call.stage {
            Stage::Reserved => plus(sum, call.reservation.unwrap_or_default()),
            Stage::Charged => plus(sum, call.cost),
            Stage::Recorded | Stage::Held | Stage::LetGo => sum,
        })
    }

    /// The most that can be spent on an account's day, by what each Envoy knew when it last admitted a call:
    /// see the crate's documentation. None where nobody admitted one.
    pub(crate) fn bound(&self, account: &str, day: UtcDay) -> Option<Pax> {
        let admitted = self.admitted.get(&(account.to_owned(), day))?;
        let (latest, of_latest) = admitted.iter().max_by_key(|(_, last)| last.version)?;
        let others = admitted.iter().filter(|(life, _)| *life != latest);
        let bound = others.fold(of_latest.cap, |sum, (_, last)| {
            plus(sum, last.cap.checked_sub(last.spent).unwrap_or_default().max(Pax::ZERO))
        });
        // A VM that lives and was taken for dead is charged by estimate before it knows better.
        let doubted =
            self.calls.values().filter(|call| call.doubted && call.account == account && call.day == day);
        Some(doubted.fold(bound, |sum, call| plus(sum, call.reservation.unwrap_or_default())))
    }
}
