//! Corrections in the ledger in memory: an operator's, and those that the true debit of an estimated call makes.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::DebitOutcome;
use pax_gateway::debit::frozen::Debit;
use pax_ledger::book::made::Correction;
use pax_ledger::book::{self, Later, Made, Received};

use crate::Fault;
use crate::ledger::Ledger;
use crate::lots::Entered;
use crate::restored::{Logged, What};

impl Ledger {
    /// An operator makes a call cheaper.
    pub(crate) fn correct(&mut self, id: ExchangeId, to: Pax, now: Moment) {
        let Some(was) = self.nets.get(&id).copied().filter(|was| to < *was) else { return };
        if let Some(entered) = self.enter_correction(id, (was, to), now) {
            self.forgiven.insert(id, to);
            self.log.push(Logged::of(What::Correction(id, to), &entered));
        }
    }

    /// An operator makes a grant of another amount: not that of one that has ended, as at the ledger's command line. When it is
    /// recorded again after a restore, it must begin at the same amount.
    pub(crate) fn correct_grant(&mut self, key: &str, (was, to): (Pax, Pax), now: Moment) {
        let Some(granted) = self.credit.granted.get(key).filter(|granted| granted.amount == was) else {
            return;
        };
        let (account, grant) = (granted.account.clone(), granted.made());
        if self.lot(&account, key).is_none_or(|lot| lot.amount != was) {
            return;
        }
        let correction = Correction::of_grant(&self.correction_key(), &grant, (was, to), now);
        let made = Made::Correction(Box::new(correction));
        let Some(entered) = self.enter(book::Entry::Made(&made), &made.canonical(), now) else { return };
        self.log.push(Logged::of(What::GrantCorrection(key.to_owned(), was, to), &entered));
        self.credit.grants_corrected += 1;
        self.credit.granted.entry(key.to_owned()).and_modify(|granted| granted.amount = to);
        let is_short = self.balance(&account) < self.held_of_balance(&account);
        if let Some(kept) = self.accounts.get_mut(&account) {
            // Only after a restore: other calls had the room before it was recorded again.
            kept.had_late_debits |= is_short;
        }
    }

    fn correction_key(&self) -> String {
        format!("correction-{}", self.log.len())
    }

    /// A debit came whose exchange has an entry of other bytes. Gives the outcome.
    pub(crate) fn later(&mut self, received: &Received, now: Moment) -> DebitOutcome {
        let id = received.debit.exchange_id;
        let Some(first) =
            self.entries.get(&id).and_then(|entry| Debit::from_canonical(&entry.canonical).ok())
        else {
            return DebitOutcome::Conflict;
        };
        match Later::of(&received.debit, &first) {
            Later::Conflict => DebitOutcome::Conflict,
            Later::Superseded => DebitOutcome::Superseded,
            Later::Better if self.true_costs.contains_key(&id) => DebitOutcome::Duplicate,
            Later::Better if self.fault == Fault::EstimateWins => {
                self.true_costs.insert(id, received.debit.cost_pax);
                DebitOutcome::Superseded
            }
            Later::Better => {
                self.true_costs.insert(id, received.debit.cost_pax);
                self.forgiven.remove(&id);
                let was = self.nets.get(&id).copied().unwrap_or(first.cost_pax);
                if let Some(entered) = self.enter_correction(id, (was, received.debit.cost_pax), now) {
                    self.log.push(Logged::of(What::Better(id, received.canonical.clone()), &entered));
                }
                self.better += 1;
                // The estimate has ended its hold, so other calls may have had the room since.
                if let Some(kept) = self.accounts.get_mut(&received.debit.account) {
                    kept.had_late_debits = true;
                }
                DebitOutcome::Recorded
            }
        }
    }

    fn enter_correction(&mut self, id: ExchangeId, (was, to): (Pax, Pax), now: Moment) -> Option<Entered> {
        let debit = Debit::from_canonical(&self.entries.get(&id)?.canonical).ok()?;
        let correction = Correction::of_debit(&self.correction_key(), &debit, (was, to), now);
        let made = Made::Correction(Box::new(correction));
        let entered = self.enter(book::Entry::Made(&made), &made.canonical(), now)?;
        if let Some(kept) = self.accounts.get_mut(&debit.account) {
            kept.total(self.epoch, debit.utc_day);
        }
        self.nets.insert(id, to);
        Some(entered)
    }

    /// What a call should have cost in the end, and does not: of one whose true debit came, or that an operator has made
    /// cheaper since.
    pub(crate) fn wrongly_charged(&self) -> Option<(&ExchangeId, Pax, Pax)> {
        let of_debits = self.true_costs.iter().filter(|(id, _)| !self.forgiven.contains_key(id));
        let mut known = of_debits.chain(&self.forgiven);
        known.find_map(|(id, cost)| self.nets.get(id).filter(|net| *net != cost).map(|net| (id, *cost, *net)))
    }
}
