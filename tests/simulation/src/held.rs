//! What must hold of holds: none is kept for nothing, none of a living Envoy lapses, and all of a killed one do.

use pax_gateway::base::account::Tier;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;

use crate::FREED_MS;
use crate::ledger::{CLOCKS_APART_MS, Ledger};
use crate::witness::WAIT_MS;
use crate::world::World;

/// Once all has been well for so long, dead VMs' calls are settled, too.
const SETTLED_MS: u64 = 25_000;
/// How often open holds are looked at.
const LOOK_MS: u64 = 250;
/// How long after a long outage of the ledger a lease may still be over: so long a question takes at most, and as long
/// an Envoy waits before it renews again.
const RENEWED_MS: u64 = 15_000;

impl World {
    /// After every step: leases lapse, lots expire, and open holds are of calls that are open.
    pub(crate) fn check_holds(&self) {
        let now = self.time.get();
        let mut ledger = self.ledger.borrow_mut();
        ledger.lapse(now);
        ledger.pass(now);
        let lapsed = std::mem::take(&mut ledger.holds.lapsed);
        drop(ledger);
        for (id, at) in lapsed {
            self.check_lapsed(&id, at);
        }
        if now >= self.holds_looked_at.get() + LOOK_MS {
            self.holds_looked_at.set(now);
            self.look_at_holds(now);
            self.check_lots_are_over();
        }
    }

    /// The Envoy that asked for a hold, from one start to the next; none if it was killed, and when.
    fn envoy_of(&self, id: &ExchangeId) -> Result<usize, u64> {
        let (ledger, truth) = (self.ledger.borrow(), self.truth.borrow());
        let life = ledger.holds.hold(id).and_then(|hold| truth.envoys.get(&hold.envoy)).copied();
        let living = self.envoys.iter().position(|envoy| Some(envoy.life.get()) == life);
        let killed = life.and_then(|life| truth.killed.get(&life)).copied().unwrap_or(0);
        living.ok_or(killed)
    }

    /// No hold of an Envoy lapses that lives and reaches its ledger.
    fn check_lapsed(&self, id: &ExchangeId, at: u64) {
        let away = self.plan.long_outage_ms > 0 && at < self.plan.chaos_ms + RENEWED_MS;
        if let (Ok(envoy), false) = (self.envoy_of(id), away) {
            self.fail(&format!("the hold of {id} has expired, but envoy {envoy} lives"));
        }
    }

    /// Each open hold is of a call that is open in a living VM, once all has been well for long enough; until then its
    /// Envoy was not killed long ago.
    fn look_at_holds(&self, now: u64) {
        let open: Vec<ExchangeId> = self.ledger.borrow().holds.open().map(|(id, _)| *id).collect();
        let settled = self.calm_since.get().is_some_and(|calm| now >= calm + SETTLED_MS);
        let mut since = self.held_for_nothing_since.borrow_mut();
        for id in open {
            match self.envoy_of(&id) {
                Err(killed) if now > killed + FREED_MS => {
                    let ago = now - killed;
                    self.fail(&format!("{id} is held, but its Envoy was killed {ago} ms ago"));
                }
                Ok(envoy) if settled && !self.open_calls(envoy).contains(&id) => {
                    let waits = now - *since.entry(id).or_insert(now);
                    if waits > WAIT_MS {
                        self.fail(&format!(
                            "envoy {envoy}: {id} is still held {waits} ms after its call ended"
                        ));
                    }
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// No balance falls below zero but by a late debit, no call costs more than its hold, and what was voided or refused
    /// is not charged.
    pub(crate) fn check_balances(&self, ledger: &Ledger) {
        for (account, kept) in ledger.accounts.iter().filter(|(_, kept)| kept.tier == Tier::Credit) {
            let balance = ledger.balance(account);
            if balance < Pax::ZERO && !kept.had_late_debits {
                self.fail(&format!("the balance of {account} is {balance}, and no debit came late"));
            }
        }
        let by_ledger =
            ledger.accounts.iter().filter(|(_, kept)| kept.tier == Tier::Free && self.plan.free_by_ledger);
        for (account, kept) in by_ledger.filter(|(_, kept)| !kept.had_late_debits) {
            let over = kept.page.days.iter().find(|(_, spent)| spent.nearest() > kept.highest_cap);
            if let Some((day, spent)) = over {
                self.fail(&format!(
                    "{account} has spent {spent:?} on {day}, above its cap, and no debit came late"
                ));
            }
        }
        let truth = self.truth.borrow();
        for id in &ledger.unheld {
            if !truth.calls.get(id).is_some_and(|call| call.doubted) {
                self.fail(&format!(
                    "{id} was charged, but its hold was voided or refused, or nobody asked for it"
                ));
            }
        }
        if let Some(id) = ledger.overruns.first() {
            self.fail(&format!("{id} cost more than its hold"));
        }
    }

    /// When the last Envoy was killed of those that still have open holds.
    pub(crate) fn last_kill_with_open_holds(&self) -> Option<u64> {
        let open: Vec<ExchangeId> = self.ledger.borrow().holds.open().map(|(id, _)| *id).collect();
        open.iter().filter_map(|id| self.envoy_of(id).err()).max()
    }

    /// At the end nothing is held.
    pub(crate) fn check_nothing_is_held(&self) {
        if let Some((id, hold)) = self.ledger.borrow().holds.open().next() {
            self.fail(&format!("{id} is held for ever: {hold:?}"));
        }
    }

    /// Whether the ledger refuses holds whose ids have this Envoy's time, or perhaps does.
    pub(crate) fn is_far_from_the_ledgers_clock(&self, envoy: usize) -> bool {
        self.envoys[envoy].clock_off.get().unsigned_abs() + WAIT_MS > CLOCKS_APART_MS
    }
}
