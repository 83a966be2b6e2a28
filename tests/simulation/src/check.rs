//! What must hold: after every step, and once all is well again.

use std::collections::BTreeSet;

use pax_gateway::account::{Status, Tier};
use pax_gateway::clock::UtcDay;
use pax_gateway::digest::Digest;
use pax_gateway::outbox::Contents;
use pax_gateway::pax::Pax;

use crate::event::{Site, What};
use crate::memory::{Still, There, exchange_of};
use crate::truth::{Call, Stage};
use crate::world::World;

impl World {
    /// After every step.
    pub(crate) fn check_step(&self) {
        for envoy in 0..self.plan.envoys {
            let (memory, checked) = (&self.envoys[envoy].memory, &self.envoys[envoy].checked);
            if checked.replace(memory.writes.get()) == memory.writes.get() {
                continue;
            }
            let there = memory.read();
            self.check_items(envoy, &there);
            self.check_known(envoy, &there);
            self.check_records(envoy, &there);
        }
        let posted = self.ledger.borrow().posted;
        if self.posted.replace(posted) != posted {
            self.check_bounds();
        }
    }

    /// No reservation without an exchange or its end, nothing pending without its debit.
    fn check_items(&self, envoy: usize, there: &There) {
        let tag_of = |id: &str| id.parse().ok().map(|id: pax_gateway::exchange_id::ExchangeId| id.tag().0);
        let waiting: BTreeSet<u64> =
            there.waiting.iter().filter_map(|(_, it)| tag_of(exchange_of(it))).collect();
        let records: BTreeSet<u64> = there.records.iter().filter_map(|id| tag_of(id)).collect();
        let living = self.open_tags(envoy);
        let truth = self.truth.borrow();
        for day in &there.days {
            for (tag, amount) in &day.open {
                let has = living.contains(tag) || records.contains(tag) || waiting.contains(tag);
                let excused = truth.of_tag(*tag).is_some_and(|call| call.doubted && call.orphaned);
                if !has && !excused {
                    self.fail(&format!(
                        "envoy {envoy}: {} on {} has a reservation of {amount} without an exchange: {:?}",
                        day.account,
                        day.day,
                        truth.tags.get(tag)
                    ));
                }
            }
            for (tag, amount) in &day.pending {
                if !waiting.contains(tag) {
                    self.fail(&format!(
                        "envoy {envoy}: {} on {} waits for the ledger to acknowledge {amount}, but no debit waits: {:?}",
                        day.account, day.day, truth.tags.get(tag)
                    ));
                }
            }
        }
    }

    /// The tags of open exchanges in living VMs.
    fn open_tags(&self, envoy: usize) -> BTreeSet<u64> {
        let mut tags = BTreeSet::new();
        for worker in &self.envoys[envoy].workers {
            if let Some(vm) = worker.vm.borrow().as_ref() {
                tags.extend(vm.streams.values().filter_map(crate::stream::Stream::open_tag));
            }
        }
        tags
    }

    /// What an Envoy knows of a day is what the ledger's entries up to that number add up to.
    fn check_known(&self, envoy: usize, there: &There) {
        let ledger = self.ledger.borrow();
        for day in &there.days {
            let spent = ledger.spent_up_to(&day.account, day.day, day.account_seq).picopax();
            if spent != day.spent {
                self.fail(&format!(
                    "envoy {envoy} knows that {} has spent {} on {} by entry {}, but it was {spent}",
                    day.account, day.spent, day.day, day.account_seq
                ));
            }
        }
    }

    /// A call that was sent on has a record until it is settled.
    fn check_records(&self, envoy: usize, there: &There) {
        let truth = self.truth.borrow();
        for worker in &self.envoys[envoy].workers {
            let vm = worker.vm.borrow();
            for stream in vm.iter().flat_map(|vm| vm.streams.values()).filter(|it| it.open_tag().is_some()) {
                let Some(id) = stream.exchange.id() else { continue };
                let doubted = truth.calls.get(&id).is_some_and(|call| call.doubted);
                if !doubted && !there.records.contains(&id.to_string()) {
                    self.fail(&format!("envoy {envoy}: {id} is open and has no record"));
                }
            }
        }
    }

    /// Nothing was spent beyond what the Envoys could know.
    fn check_bounds(&self) {
        let (ledger, truth) = (self.ledger.borrow(), self.truth.borrow());
        for (account, day) in truth.admitted.keys() {
            let spent = ledger.spent(account, *day);
            if let Some(bound) = truth.bound(account, *day).filter(|bound| spent > *bound) {
                self.fail(&format!("{account} has spent {spent} on {day}, more than {bound}"));
            }
        }
        for id in &ledger.conflicts {
            let excused = truth
                .calls
                .get(id)
                .is_some_and(|call| call.doubted || (call.orphaned && call.reservation.is_none()));
            if !excused {
                self.fail(&format!("the ledger got two debits of {id} with different bytes"));
            }
        }
        if ledger.rejected > 0 {
            self.fail("the ledger got a debit that it cannot record");
        }
    }

    /// Once all has been well for long enough.
    pub(crate) fn check_at_rest(&self) {
        for envoy in 0..self.plan.envoys {
            let there = self.envoys[envoy].memory.read();
            if let Some((_, debit)) = there.waiting.first() {
                self.fail(&format!(
                    "envoy {envoy}: the debit of {} never left the outbox",
                    exchange_of(debit)
                ));
            }
            if let Some(id) = there.records.first() {
                self.fail(&format!("envoy {envoy}: the record of {id} stays"));
            }
            let truth = self.truth.borrow();
            for day in &there.days {
                let leaks =
                    day.open.iter().filter(|(tag, _)| truth.of_tag(*tag).is_none_or(|call| !call.doubted));
                if leaks.count() > 0 || !day.pending.is_empty() {
                    self.fail(&format!(
                        "envoy {envoy}: {} on {} is never free: {day:?}",
                        day.account, day.day
                    ));
                }
            }
            for worker in &self.envoys[envoy].workers {
                if worker.vm.borrow().as_ref().is_some_and(|vm| !vm.streams.is_empty()) {
                    self.fail(&format!("envoy {envoy}: a stream does not end"));
                }
            }
        }
        self.check_entries();
    }

    fn check_entries(&self) {
        let (ledger, truth) = (self.ledger.borrow(), self.truth.borrow());
        for (id, call) in &truth.calls {
            let entry = ledger.entries.get(id);
            if let Err(expected) = fits(call, entry.is_some()) {
                self.fail(&format!("{id} should have {expected}: {call:?}"));
            }
            let other =
                entry.zip(call.canonical.as_ref()).is_some_and(|(entry, put)| entry.canonical != *put);
            if other && !call.doubted {
                self.fail(&format!("the entry of {id} is not what its VM put into the outbox: {call:?}"));
            }
        }
        if let Some(id) = ledger.entries.keys().find(|id| !truth.calls.contains_key(id)) {
            self.fail(&format!("there is an entry of {id}, which nobody called"));
        }
    }

    /// Whether the outbox of an Envoy has come to its end.
    pub(crate) fn outbox_is_empty(&self, envoy: usize) -> bool {
        Contents::of(&Still(&self.envoys[envoy].memory)).all() == 0
    }

    /// A small call of an account is served if the ledger says that it may be; then its Envoy knows what it spent.
    pub(crate) fn check_small_call(&self, envoy: usize, token: &str) {
        let site = Site { envoy, worker: 0 };
        let digest = Digest::of(&[token.as_bytes()]).0;
        let (account, revoked) = match self.ledger.borrow().tokens.get(&digest) {
            Some(token) => (token.account.clone(), token.revoked),
            None => return,
        };
        let day = self.clock(site).wall.day();
        let before = self.ledger.borrow().spent(&account, day);
        let calls = self.truth.borrow().calls.len();
        let vm = self.worker(site).number.get();
        self.ended.borrow_mut().clear();
        self.later(1, site, vm, What::SmallCall { token: token.to_owned() });
        let until = self.time.get() + 20_000;
        while self.broken.borrow().is_none() && self.step(until) {
            self.check_step();
            self.steps.set(self.steps.get() + 1);
        }
        let ended = self.ended.borrow_mut().pop_last();
        let Some((_, (replied, forwarded))) = ended else {
            return self.fail(&format!("envoy {envoy}: a small call of {account} never ended"));
        };
        let ledger = self.ledger.borrow();
        let Some(kept) = ledger.accounts.get(&account) else { return };
        let truth = self.truth.borrow();
        let last = truth.latest.filter(|_| truth.calls.len() > calls).and_then(|id| truth.calls.get(&id));
        let reservation = last.and_then(|call| call.reservation).unwrap_or_default();
        let fits =
            before.checked_add(reservation).is_some_and(|sum| sum <= kept.daily_cap.unwrap_or(Pax::MAX));
        let right = match replied {
            Some(401) => revoked,
            Some(403) => kept.status == Status::Disabled,
            Some(429) => !revoked && kept.tier == Tier::Free && !fits,
            None => {
                forwarded && !revoked && kept.status == Status::Active && (fits || kept.tier != Tier::Free)
            }
            Some(_) => false,
        };
        // Where midnight comes between, it is another day's sum that admits the call.
        let same_day = self.clock(site).wall.day() == day;
        if !right && same_day {
            self.fail(&format!(
                "envoy {envoy}: a small call of {account}, which had spent {before} and reserves {reservation}, got {replied:?}, went on: {forwarded}; revoked {revoked}, {:?}, cap {:?}",
                kept.status, kept.daily_cap
            ));
        }
        if forwarded && kept.tier == Tier::Free && same_day {
            self.check_synced(envoy, (&account, day), &ledger);
        }
    }

    fn check_synced(&self, envoy: usize, of: (&str, UtcDay), ledger: &crate::ledger::Ledger) {
        let (account, today) = of;
        let there = self.envoys[envoy].memory.read();
        let known = there.days.iter().find(|day| day.account == account && day.day == today);
        let spent = ledger.spent(account, today).picopax();
        if known.is_none_or(|day| day.spent != spent || !day.open.is_empty() || !day.pending.is_empty()) {
            self.fail(&format!(
                "envoy {envoy} does not know that {account} has spent {spent} today: {known:?}"
            ));
        }
    }
}

/// How many entries a call has, by what became of it.
fn fits(call: &Call, has_entry: bool) -> Result<(), &'static str> {
    let ended = matches!(call.stage, Stage::Settled | Stage::Open | Stage::Settling);
    let expected = match call.stage {
        _ if call.killed => return Ok(()),
        Stage::Refused => Some(false),
        Stage::Opening if call.reservation.is_some() => Some(false),
        Stage::Opening => None,
        // Its VM may have died with the reservation still there, or before its caller was sent on.
        Stage::Releasing => None,
        Stage::Released if call.doubted => None,
        Stage::Released => Some(false),
        Stage::Settled => Some(true),
        Stage::Open | Stage::Settling if call.forwarded && call.orphaned && ended => Some(true),
        Stage::Open | Stage::Settling => None,
    };
    match expected {
        Some(true) if !has_entry => Err("an entry"),
        Some(false) if has_entry => Err("no entry"),
        _ => Ok(()),
    }
}
