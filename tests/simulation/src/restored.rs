//! The ledger in memory is restored from a backup, and what it has lost comes back from the file that was moved aside.

use std::collections::BTreeMap;

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;

use crate::Fault;
use crate::ledger::{Ledger, version};
use pax_ledger::book::Page;

/// What the ledger has recorded, so that it can be recorded again.
#[derive(Clone)]
pub(crate) enum Logged {
    /// A debit.
    Line(ExchangeId, Vec<u8>),
    /// A true debit, which has corrected an estimate.
    Better(ExchangeId, Vec<u8>),
    /// A grant: the account, its key, its amount.
    Grant(String, String, Pax),
    /// An operator's correction.
    Correction(ExchangeId, Pax),
}

/// A copy of the ledger.
pub(crate) struct Backup {
    pages: BTreeMap<String, Page>,
    nets: BTreeMap<ExchangeId, Pax>,
    logged: usize,
}

impl Ledger {
    pub(crate) fn back_up(&mut self) {
        let pages = self.accounts.iter().map(|(name, kept)| (name.clone(), kept.page.clone())).collect();
        self.backup = Some(Backup { pages, nets: self.nets.clone(), logged: self.log.len() });
    }

    /// The backup takes the ledger's place, in a new epoch. Nothing is held any more: the Envoys' holds are another file's.
    pub(crate) fn restore(&mut self) {
        let Some(Backup { pages, nets, logged }) = self.backup.take() else { return };
        if self.fault != Fault::KeptEpoch {
            self.epoch += 1;
        }
        for (name, page) in pages {
            let Some(kept) = self.accounts.get_mut(&name) else { continue };
            let days: Vec<UtcDay> = kept.totals.keys().chain(page.days.keys()).copied().collect();
            kept.page = page;
            for day in days {
                let total = kept.page.days.get(&day).copied().unwrap_or_default().nearest();
                kept.totals.entry(day).or_default().insert(version(self.epoch, 0), total);
                kept.total(self.epoch, day);
            }
        }
        self.nets = nets;
        self.holds.expire_all();
        self.lost = self.log.split_off(logged);
        for lost in &self.lost {
            let (Logged::Line(id, _) | Logged::Better(id, _)) = lost else { continue };
            self.true_costs.remove(id);
            if matches!(lost, Logged::Line(..)) {
                self.missing.insert(*id);
                self.holds.not_posted(id);
                self.lost_ever.insert(*id);
            }
        }
        self.restores += 1;
    }

    /// What the file has that was moved aside is recorded again. What Envoys have sent again meanwhile is there already.
    pub(crate) fn recover(&mut self, now: Moment) {
        // A program that does not read them cannot have recorded them.
        let behind = std::mem::take(&mut self.behind);
        for lost in std::mem::take(&mut self.lost) {
            match lost {
                Logged::Line(_, line) | Logged::Better(_, line) => drop(self.record(&line, now)),
                Logged::Grant(account, key, amount) => self.grant(&account, &key, amount, now),
                Logged::Correction(id, to) => self.correct(id, to, now),
            }
        }
        self.behind = behind;
    }

    /// What was lost of an account's day at some time: an Envoy may have admitted calls in its place meanwhile.
    pub(crate) fn was_lost(&self, account: &str, day: UtcDay) -> Pax {
        let entries = self.lost_ever.iter().filter_map(|id| self.entries.get(id));
        let debits = entries
            .filter_map(|entry| pax_gateway::debit::frozen::Debit::from_canonical(&entry.canonical).ok());
        let of_day = debits.filter(|debit| debit.account == account && debit.utc_day == day);
        of_day.fold(Pax::ZERO, |sum, debit| sum.checked_add(debit.cost_pax).unwrap_or(Pax::MAX))
    }
}
