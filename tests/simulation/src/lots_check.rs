//! What must hold of lots and balances.

use std::collections::BTreeMap;

use pax_gateway::base::account::{Funding, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;
use pax_ledger::book::{Lot, Lots, OnLots, Page, Sum};

use crate::ledger::Ledger;
use crate::lots::{PASS_MS, plus};
use crate::world::World;

impl Ledger {
    fn is_wrong(&mut self, why: String) {
        self.credit.wrong.get_or_insert(why);
    }

    /// An entry was made: what it draws comes out of the lots that end first; of two that end at one moment, out of the older.
    pub(crate) fn saw_entry(&mut self, account: &str, done: &OnLots<'_>, before: &Lots) {
        let Some(kept) = self.accounts.get(account) else { return };
        if let OnLots::PutBack(_) | OnLots::Correct { .. } = done {
            for lot in kept.page.lots.iter().filter(|lot| self.credit.expired.contains_key(&lot.key)) {
                let Some(was) = before.find(&lot.key) else { continue };
                let gone = |lot: &Lot| lot.amount.checked_sub(lot.rest).unwrap_or_default();
                let less = gone(was).checked_sub(gone(lot)).unwrap_or_default().max(Pax::ZERO);
                let put_back = self.credit.put_back.entry(lot.key.clone()).or_default();
                *put_back = plus(*put_back, less);
            }
        }
        let OnLots::Draw(amount) = done else { return };
        let mut lots: Vec<&Lot> = before.iter().collect();
        let never = Moment::from_ms(u64::MAX);
        lots.sort_by_key(|lot| (lot.expires_at.unwrap_or(never), lot.account_seq));
        let mut wanted = *amount;
        let mut expected = BTreeMap::new();
        for lot in lots {
            let taken = wanted.min(lot.rest);
            wanted = wanted.checked_sub(taken).unwrap_or_default();
            expected.insert(lot.key.as_str(), lot.rest.checked_sub(taken).unwrap_or_default());
        }
        let differs = |lot: &&Lot| expected.get(lot.key.as_str()) != Some(&lot.rest);
        let found = kept.page.lots.iter().find(differs).cloned();
        if let Some(lot) = found {
            self.is_wrong(format!(
                "{account} spends {amount}, and not in the order of its lots: {lot:?}, of {before:?}"
            ));
        }
    }

    /// An expiry was posted. `left` is what open holds leave of the balance after it.
    pub(crate) fn saw_expiry(&mut self, grant: &str, amount: Pax, (now, left): (Moment, Pax)) {
        self.credit.expiries += 1;
        let expired = self.credit.expired.entry(grant.to_owned()).or_default();
        *expired = plus(*expired, amount);
        let expired = *expired;
        let put_back = self.credit.put_back.get(grant).copied().unwrap_or_default();
        let Some(granted) = self.credit.granted.get(grant).cloned() else {
            return self.is_wrong(format!("{grant} expires, which nobody has granted"));
        };
        if granted.ends.is_none_or(|end| end > now) {
            self.is_wrong(format!("a lot expires at {now}, before its end: {granted:?}"));
        }
        // A correction that makes it due counts already.
        let most = self.lot(&granted.account, grant).map(|lot| lot.amount).unwrap_or_default();
        if expired > plus(most, put_back) || amount <= Pax::ZERO {
            self.is_wrong(format!("{expired} have expired, {amount} of them now, of the lot {granted:?}"));
        }
        if left < Pax::ZERO {
            self.is_wrong(format!(
                "an expiry of {amount} takes what open holds need: {left} left; {granted:?}"
            ));
        }
    }

    /// A lot of an account that was over by then, though something is left of it that no open hold needs.
    fn stays(&self, page: &Page, by: Moment) -> Option<Lot> {
        let free = page.balance.minus(self.held_of_balance(&page.account));
        let is_over = |lot: &&Lot| lot.rest > Pax::ZERO && lot.expires_at.is_some_and(|end| end <= by);
        page.lots.iter().find(is_over).filter(|_| free > Sum::ZERO).cloned()
    }
}

impl World {
    /// After every step: the lots of the accounts that the ledger has looked after.
    pub(crate) fn check_lots(&self) {
        let mut ledger = self.ledger.borrow_mut();
        if let Some(wrong) = ledger.credit.wrong.take() {
            self.fail(&wrong);
        }
        let looked_after = std::mem::take(&mut ledger.credit.looked_after);
        for (account, at) in looked_after {
            let Some(kept) = ledger.accounts.get(&account) else { continue };
            let (page, balance) = (&kept.page, kept.page.balance);
            if page.lots.rest() != balance.max(Sum::ZERO) {
                let lots = &page.lots;
                self.fail(&format!("the balance of {account} is {balance}, but its lots are {lots:?}"));
            }
            if let Some(lot) = page.lots.iter().find(|lot| lot.rest < Pax::ZERO || lot.rest > lot.amount) {
                self.fail(&format!(
                    "{account} has more of a lot than that had, or less than nothing: {lot:?}"
                ));
            }
            if let Some(lot) = ledger.stays(page, at) {
                self.fail(&format!(
                    "{account}: a lot is over, no hold needs it, and it stays at {at}: {lot:?}"
                ));
            }
        }
    }

    /// Now and then: no lot is over for longer than from one look of the ledger at all accounts to the next.
    pub(crate) fn check_lots_are_over(&self) {
        let ledger = self.ledger.borrow();
        let by = Moment::from_ms(self.ledgers_clock().ms() - PASS_MS);
        for (account, kept) in &ledger.accounts {
            if let Some(lot) = ledger.stays(&kept.page, by) {
                self.fail(&format!("{account}: a lot has been over for {PASS_MS} ms: {lot:?}"));
            }
        }
    }

    /// At rest: each balance is what was granted, less what has expired and what calls cost.
    pub(crate) fn check_credit(&self) {
        let ledger = self.ledger.borrow();
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        for (key, granted) in &ledger.credit.granted {
            let page = ledger.accounts.get(&granted.account).map(|kept| &kept.page);
            match page.and_then(|page| page.lots.find(key)) {
                None => self.fail(&format!("a grant was lost, and did not come back: {granted:?}")),
                Some(lot) if lot.amount != granted.amount => {
                    self.fail(&format!("{lot:?} should have the amount of its grant: {granted:?}"));
                }
                Some(_) => {}
            }
            let expired = ledger.credit.expired.get(key).copied().unwrap_or_default();
            let sum = sums.entry(&granted.account).or_default();
            *sum = sum.plus(granted.amount).minus(expired);
        }
        let calls = ledger.entries.iter().filter_map(|(id, entry)| {
            let debit = Debit::from_canonical(&entry.canonical).ok()?;
            let is_paid = (debit.tier, debit.funding) == (Tier::Credit, Funding::Platform);
            is_paid.then_some((debit.account, ledger.nets.get(id).copied().unwrap_or_default()))
        });
        for (account, net) in calls {
            let Some((account, _)) = ledger.accounts.get_key_value(&account) else { continue };
            let sum = sums.entry(account).or_default();
            *sum = sum.minus(net);
        }
        for (account, kept) in &ledger.accounts {
            let (balance, sum) = (kept.page.balance, sums.get(account.as_str()).copied().unwrap_or_default());
            if balance != sum {
                self.fail(&format!("the balance of {account} is {balance}, but its entries make {sum}"));
            }
        }
    }
}
