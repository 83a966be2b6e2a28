//! The lots of the ledger in memory: what is granted, what debits draw on it, and what expires. The rules are the book's
//! ([`pax_ledger::book::Page`]); here is only when the ledger's desk asks them.

use std::collections::BTreeMap;

use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_ledger::book::made::{Grant, GrantClass};
use pax_ledger::book::{self, Link, Lot, Lots, Made, OnLots};

use crate::Fault;
use crate::holds::Stand;
use crate::ledger::Ledger;
use crate::restored::{Logged, What};

/// How often the ledger looks for lots that are over.
pub(crate) const PASS_MS: u64 = 5_000;

/// A grant, as an operator made it.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) amount: Pax,
    pub(crate) ends: Option<Moment>,
    pub(crate) at: Moment,
}

impl Granted {
    /// The ledger's entry.
    pub(crate) fn made(&self) -> Grant {
        let mut grant = Grant::new(&self.key, &self.account, self.amount, GrantClass::Purchase, self.at);
        grant.expires_at = self.ends;
        grant
    }
}

/// What was given and what has expired, and what was seen to be wrong with it.
#[derive(Default)]
pub(crate) struct Credit {
    /// Every grant that was ever made, by its key, with its amount after all corrections.
    pub(crate) granted: BTreeMap<String, Granted>,
    /// How much of each grant has expired.
    pub(crate) expired: BTreeMap<String, Pax>,
    /// How much less was gone of each lot by corrections after some of it had expired. The book takes what has expired of a lot
    /// for what was drawn from it, and so may put more back than that: it expires again. And what a restore has lost may
    /// come back after a lot's end: a smaller amount then comes after an expiry of the larger one.
    pub(crate) put_back: BTreeMap<String, Pax>,
    /// The accounts that the ledger has looked after since somebody last checked, and when it did.
    pub(crate) looked_after: BTreeMap<String, Moment>,
    pub(crate) wrong: Option<String>,
    /// When the ledger last looked for lots that are over, at all accounts.
    passed_at: u64,
    /// How many expiries were posted, and how often open holds kept a lot that was over.
    pub(crate) expiries: u64,
    pub(crate) kept_for_holds: u64,
    /// How many grants paid a negative balance first.
    pub(crate) debts_paid: u64,
    /// How many grants were corrected.
    pub(crate) grants_corrected: u64,
}

/// What an entry is recorded with.
pub(crate) struct Entered {
    pub(crate) link: Link,
    /// What there was of the hold that it names.
    pub(crate) hold: Option<Stand>,
    pub(crate) held: HeldThen,
}

/// What open holds set aside of a balance when an entry was made: those of other calls, and its own call's until then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeldThen {
    pub(crate) others: Pax,
    pub(crate) own: Pax,
}

pub(crate) fn plus(one: Pax, two: Pax) -> Pax {
    one.checked_add(two).unwrap_or(Pax::MAX)
}

impl Ledger {
    /// An operator grants credit, under a key that no other grant has.
    pub(crate) fn grant(&mut self, granted: Granted, now: Moment) {
        self.credit.debts_paid += u64::from(self.balance(&granted.account) < Pax::ZERO);
        let made = Made::Grant(granted.made());
        if let Some(entered) = self.enter(book::Entry::Made(&made), &made.canonical(), now) {
            self.credit.granted.insert(granted.key.clone(), granted.clone());
            self.log.push(Logged::of(What::Grant(granted), &entered));
        }
    }

    /// The lot of a grant.
    pub(crate) fn lot(&self, account: &str, key: &str) -> Option<&Lot> {
        self.accounts.get(account)?.page.lots.find(key)
    }

    /// What open holds set aside of an account's balance: of the free tier nothing.
    pub(crate) fn held_of_balance(&self, account: &str) -> Pax {
        let is_credit = self.accounts.get(account).is_some_and(|kept| kept.tier == Tier::Credit);
        if is_credit { self.holds.held(account) } else { Pax::ZERO }
    }

    /// Makes an entry of its account's chain. Expiries that are due come before it, and those that it makes due come after
    /// it. Until then, lots that are over keep for it what its call's hold has set aside.
    pub(crate) fn enter(&mut self, entry: book::Entry<'_>, canonical: &[u8], now: Moment) -> Option<Entered> {
        let (account, effect) = (entry.account(), book::effect(entry));
        let with_own = self.held_of_balance(account);
        if effect.lots != OnLots::None {
            self.expire(account, plus(self.then.others, self.then.own), now);
        }
        let hold = match entry {
            book::Entry::Debit(debit) if debit.hold_id.is_some() => self.holds.post(&debit.exchange_id),
            _ => None,
        };
        let others = self.held_of_balance(account);
        let (fault, then) = (self.fault, self.then.others);
        let kept = self.accounts.get_mut(account)?;
        let before = kept.page.lots.clone();
        let mut link = kept.page.link(&effect, (None, others.max(then)), canonical, now).ok()?;
        if fault == Fault::SilentCorrection && matches!(entry, book::Entry::Made(Made::Correction(_))) {
            link.account_seq -= 1;
        }
        kept.page.add(&effect, &link);
        plant(fault, &effect.lots, &before, &mut kept.page.lots);
        self.saw_entry(account, &effect.lots, &before);
        let own = with_own.checked_sub(others).unwrap_or_default();
        if effect.lots != OnLots::None || own > Pax::ZERO {
            self.looks_after(account, now);
        }
        Some(Entered { link, hold, held: HeldThen { others, own } })
    }

    /// An entry was made, or a hold has ended: what has become due by it expires.
    pub(crate) fn looks_after(&mut self, account: &str, now: Moment) {
        if self.fault == Fault::ForgottenRest {
            self.credit.looked_after.insert(account.to_owned(), now);
            return;
        }
        self.expire(account, self.then.others, now);
    }

    /// Posts the expiries of an account that are due. `then` is what open holds had set aside when the same was done in the
    /// file from which the ledger recovers.
    pub(crate) fn expire(&mut self, account: &str, then: Pax, now: Moment) {
        let held = self.held_of_balance(account);
        let keep = if self.fault == Fault::GreedyExpiry { Pax::ZERO } else { held.max(then) };
        // A planted bug: its clock is fast where it looks for lots that are over.
        let fast_ms = if self.fault == Fault::EarlyExpiry { 3_000 } else { 0 };
        let at = Moment::from_ms(now.ms() + fast_ms);
        while let Some(kept) = self.accounts.get_mut(account) {
            let Some(mut due) = kept.page.due(keep, at) else { break };
            if self.fault == Fault::DearExpiry {
                due.amount_pax = plus(self.credit.granted[&due.grant].amount, due.amount_pax);
            }
            let (grant, amount) = (due.grant.clone(), due.amount_pax);
            let made = Made::Expiry(due);
            let effect = book::effect(book::Entry::Made(&made));
            let Ok(link) = kept.page.link(&effect, (None, keep), &made.canonical(), now) else { break };
            let before = kept.page.lots.clone();
            kept.page.add(&effect, &link);
            plant(self.fault, &effect.lots, &before, &mut kept.page.lots);
            let left = kept.page.balance.minus(held).nearest();
            self.saw_expiry(&grant, amount, (link.recorded_at, left));
        }
        let Some(kept) = self.accounts.get(account) else { return };
        let now = now.max(kept.page.recorded_at);
        self.credit.kept_for_holds += u64::from(kept.page.lots.due(now).is_some());
        self.credit.looked_after.insert(account.to_owned(), now);
    }

    /// Posts the expiries of all accounts that are due.
    pub(crate) fn expire_all(&mut self, now: Moment) {
        let accounts: Vec<String> = self.accounts.keys().cloned().collect();
        accounts.iter().for_each(|account| self.expire(account, Pax::ZERO, now));
    }

    /// What the ledger does every few seconds, if it is time.
    pub(crate) fn pass(&mut self, at: u64) {
        if at >= self.credit.passed_at + PASS_MS && self.fault != Fault::LostPass {
            self.credit.passed_at = at;
            self.expire_all(self.clock(at));
        }
    }
}

/// The planted bugs of what an entry does to lots.
fn plant(fault: Fault, done: &OnLots<'_>, before: &Lots, lots: &mut Lots) {
    match (fault, done) {
        (Fault::UndrawnExpiry, OnLots::Expire { .. }) => *lots = before.clone(),
        (Fault::UncorrectedLot, OnLots::Correct { .. }) => *lots = before.clone(),
        (Fault::UnpaidDebt, OnLots::Grant(grant)) => {
            let paid_nothing = |lot: &Lot| Lot {
                rest: if lot.key == grant.key { lot.amount } else { lot.rest },
                ..lot.clone()
            };
            *lots = Lots::of(lots.iter().map(paid_nothing).collect());
        }
        (Fault::LastLotFirst, OnLots::Draw(amount)) => {
            let (mut all, mut wanted): (Vec<Lot>, Pax) = (before.iter().cloned().collect(), *amount);
            for lot in all.iter_mut().rev() {
                let taken = wanted.min(lot.rest);
                lot.rest = lot.rest.checked_sub(taken).unwrap_or_default();
                wanted = wanted.checked_sub(taken).unwrap_or_default();
            }
            *lots = Lots::of(all);
        }
        _ => {}
    }
}
