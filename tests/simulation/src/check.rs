//! What must hold: after every step, and once all is well again.

use std::collections::BTreeSet;

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::worker::root_share::IDLE_MS;

use crate::event::{Site, What};
use crate::memory::{self, There};
use crate::provider::secret;
use crate::truth::{Call, Stage};
use crate::witness::WAIT_MS;
use crate::world::World;

/// How long a small call takes at most.
const SMALL_CALL_MS: u64 = 20_000;

impl World {
    /// Things happen until that time, or until it is enough; each is checked.
    pub(crate) fn run_until(&self, until: u64, enough: impl Fn() -> bool) {
        while self.broken.borrow().is_none() && !enough() {
            if !self.step(until) {
                self.time.set(self.time.get().max(until));
                return;
            }
            self.check_step();
            self.steps.set(self.steps.get() + 1);
        }
    }

    /// After every step.
    pub(crate) fn check_step(&self) {
        for envoy in 0..self.plan.envoys {
            if !self.envoys[envoy].changed.replace(false) {
                continue;
            }
            let there = memory::read(&self.envoys[envoy].memory);
            self.check_items(envoy, &there);
            self.check_known(envoy, &there);
            self.check_records(envoy, &there);
        }
        self.check_holds();
        self.check_lots();
        let posted = self.ledger.borrow().posted;
        if self.posted.replace(posted) != posted {
            self.check_bounds();
        }
    }

    /// No reservation without an exchange or its end, nothing pending without its debit.
    fn check_items(&self, envoy: usize, there: &There) {
        let tags = |ids: &[ExchangeId]| -> BTreeSet<u64> { ids.iter().map(|id| id.tag().0).collect() };
        let (waiting, records) = (tags(&there.waiting), tags(&there.records));
        let living = tags(&self.open_calls(envoy));
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

    /// Open exchanges in living VMs.
    pub(crate) fn open_calls(&self, envoy: usize) -> Vec<ExchangeId> {
        let mut open = Vec::new();
        for worker in &self.envoys[envoy].workers {
            if let Some(vm) = worker.vm.borrow().as_ref() {
                let handles = vm.streams.keys().filter_map(|context| vm.state.handle(*context));
                open.extend(handles.filter_map(|it| it.look(|stream| stream.exchange().owed()).flatten()));
            }
        }
        open
    }

    /// What an Envoy knows of a day is what the ledger's entries up to that number add up to.
    fn check_known(&self, envoy: usize, there: &There) {
        let ledger = self.ledger.borrow();
        for day in &there.days {
            let spent = ledger.spent_up_to(&day.account, day.day, day.version).picopax();
            if spent != day.spent {
                self.fail(&format!(
                    "envoy {envoy} knows that {} has spent {} on {} by entry {}, but it was {spent}",
                    day.account, day.spent, day.day, day.version
                ));
            }
        }
    }

    /// A call that was sent on has a record until it is settled.
    fn check_records(&self, envoy: usize, there: &There) {
        let truth = self.truth.borrow();
        for id in self.open_calls(envoy) {
            let doubted = truth.calls.get(&id).is_some_and(|call| call.doubted);
            if !doubted && !there.records.contains(&id) {
                self.fail(&format!("envoy {envoy}: {id} is open and has no record"));
            }
        }
    }

    /// Nothing was spent beyond what the Envoys could know.
    fn check_bounds(&self) {
        let (ledger, truth) = (self.ledger.borrow(), self.truth.borrow());
        for (account, day) in truth.admitted.keys() {
            let spent = ledger.spent(account, *day);
            let bound = truth.bound(account, *day);
            let bound = bound.and_then(|bound| bound.checked_add(ledger.was_lost(account, *day)));
            if let Some(bound) = bound.filter(|bound| spent > *bound) {
                self.fail(&format!("{account} has spent {spent} on {day}, more than {bound}"));
            }
        }
        for id in &ledger.conflicts {
            let excused = truth.calls.get(id).is_some_and(|call| call.doubted);
            if !excused {
                self.fail(&format!("the ledger got two debits of {id} with different bytes"));
            }
        }
        drop(truth);
        self.check_balances(&ledger);
        if ledger.rejected > 0 {
            self.fail("the ledger got a debit that it cannot record");
        }
        if ledger.unproven > 0 {
            self.fail("the ledger got a debit under a card that it had not heard of");
        }
    }

    /// Once all has been well for long enough.
    pub(crate) fn check_at_rest(&self) {
        for envoy in 0..self.plan.envoys {
            let there = memory::read(&self.envoys[envoy].memory);
            if let Some(id) = there.waiting.first() {
                self.fail(&format!("envoy {envoy}: the debit or void of {id} never leaves its cell"));
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
        self.check_credit();
    }

    /// At the end nothing waits: each worker's root is alone and looks once a second, and the metrics say what happened.
    pub(crate) fn check_idle(&self) {
        for (envoy, it) in self.envoys.iter().enumerate() {
            for vm in it.workers.iter().filter_map(|worker| worker.vm.try_borrow().ok()) {
                let roots = vm.iter().flat_map(|vm| &vm.roots);
                let paces: Vec<u32> = roots.map(|root| root.period_ms).collect();
                if paces != [IDLE_MS] {
                    self.fail(&format!(
                        "envoy {envoy}: the roots of a worker that rests tick every {paces:?} ms"
                    ));
                }
            }
            let metrics = it.metrics.borrow();
            for gauge in [
                "pax_outbox_waiting",
                "pax_debits_unsupported",
                "pax_calls_in_flight",
                "pax_reserved_picopax",
            ] {
                if metrics.of(gauge) != Some(0) {
                    self.fail(&format!("envoy {envoy}: {gauge} is {:?} at rest", metrics.of(gauge)));
                }
            }
            if let Some(differs) = it.counted.borrow().differs(&metrics) {
                self.fail(&format!("envoy {envoy}: {differs}"));
            }
        }
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
                self.fail(&format!("the entry of {id} is not what its VM made: {call:?}"));
            }
        }
        if let Some((id, cost, net)) = ledger.wrongly_charged() {
            self.fail(&format!("{id} costs {cost} in the end, but it was charged {net}"));
        }
        if let Some(id) = ledger.missing.first() {
            self.fail(&format!("the entry of {id} was lost, and did not come back"));
        }
        if let Some(id) = ledger.entries.keys().find(|id| !truth.calls.contains_key(id)) {
            self.fail(&format!("there is an entry of {id}, which nobody called"));
        }
    }

    /// Whether no debit waits at an Envoy.
    pub(crate) fn outbox_is_empty(&self, envoy: usize) -> bool {
        memory::read(&self.envoys[envoy].memory).waiting.is_empty()
    }

    /// A small call of an account is served if the ledger says that it may be; then its Envoy knows what it spent.
    pub(crate) fn check_small_call(&self, envoy: usize, token: &str) {
        let site = Site { envoy, worker: 0 };
        let digest = Digest::of(&[secret(token).as_bytes()]).0;
        let (account, revoked) = match self.ledger.borrow().tokens.get(&digest) {
            Some(token) => (token.account.clone(), token.revoked),
            None => return,
        };
        let now = self.clock(site).wall;
        let (day, card) = (now.day(), self.newest(envoy).bundle.in_force(now).map(|card| card.sha256));
        self.ledger.borrow_mut().expire(&account, Pax::ZERO, self.ledgers_clock());
        let (before, left, expired, expiries) = {
            let ledger = self.ledger.borrow();
            let (spent, left) = (ledger.spent(&account, day), ledger.left(&account, day));
            (spent, left, ledger.holds.counts.expired, ledger.credit.expiries)
        };
        let calls = self.truth.borrow().calls.len();
        let vm = self.worker(site).number.get();
        self.ended.set(None);
        self.later(1, site, vm, What::SmallCall { token: token.to_owned() });
        let until = self.time.get() + SMALL_CALL_MS;
        self.run_until(until, || self.ended.get().is_some());
        self.run_until(self.time.get() + WAIT_MS, || self.outbox_is_empty(envoy));
        let Some((replied, forwarded)) = self.ended.take() else {
            return self.fail(&format!("envoy {envoy}: a small call of {account} never ended"));
        };
        let ledger = self.ledger.borrow();
        let Some(kept) = ledger.accounts.get(&account) else { return };
        let truth = self.truth.borrow();
        let last = truth.latest.filter(|_| truth.calls.len() > calls).and_then(|id| truth.calls.get(&id));
        let reservation = last.and_then(|call| call.reservation).unwrap_or_default();
        let fits =
            before.checked_add(reservation).is_some_and(|sum| sum <= kept.daily_cap.unwrap_or(Pax::MAX));
        let needs_hold = kept.tier == Tier::Credit || self.plan.free_by_ledger;
        let fits = match needs_hold {
            false => fits,
            // Where a hold of a killed Envoy expired meanwhile, there was more left than before.
            true if ledger.holds.counts.expired > expired => replied.is_none(),
            // Where a lot ended meanwhile, there was less.
            true if ledger.credit.expiries > expiries => replied.is_none(),
            true => last.and_then(|call| call.hold).unwrap_or_default() <= left,
        };
        let right = match replied {
            Some(401) => revoked,
            Some(403) => kept.status == Status::Disabled,
            Some(429) => !revoked && kept.tier == Tier::Free && !fits,
            Some(402) => !revoked && kept.tier == Tier::Credit && !fits,
            Some(503) => needs_hold && self.is_far_from_the_ledgers_clock(envoy),
            None => forwarded && !revoked && kept.status == Status::Active && fits,
            Some(_) => false,
        };
        // Where midnight comes between, it is another day's sum that admits the call.
        let same_day = self.clock(site).wall.day() == day;
        if !right && same_day {
            self.fail(&format!(
                "envoy {envoy}: a small call of {account}, which had spent {before}, had {left} left and calls with {last:?}, got {replied:?}, went on: {forwarded}; revoked {revoked}, {:?}, cap {:?}",
                kept.status, kept.daily_cap
            ));
        }
        if last.is_some_and(|call| Some(call.card) != card) && same_day {
            self.fail(&format!("envoy {envoy}: a small call is not priced by the card in force: {last:?}"));
        }
        if forwarded && !needs_hold && same_day {
            self.check_synced(envoy, (&account, day), &ledger);
        }
    }

    fn check_synced(&self, envoy: usize, of: (&str, UtcDay), ledger: &crate::ledger::Ledger) {
        let (account, today) = of;
        let there = memory::read(&self.envoys[envoy].memory);
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
    let expected = match call.stage {
        _ if call.killed => return Ok(()),
        // The sweeper has put one in, and its living VM knew nothing of it.
        Stage::LetGo if call.doubted => None,
        Stage::LetGo => Some(false),
        Stage::Charged => Some(true),
        Stage::Recorded if call.reservation.or(call.hold).is_some() && !call.doubted => Some(false),
        Stage::Recorded | Stage::Reserved | Stage::Held if call.forwarded && call.orphaned => Some(true),
        // Its VM may have died before its caller was sent on.
        Stage::Recorded | Stage::Reserved | Stage::Held => None,
    };
    match expected {
        Some(true) if !has_entry => Err("an entry"),
        Some(false) if has_entry => Err("no entry"),
        _ => Ok(()),
    }
}
