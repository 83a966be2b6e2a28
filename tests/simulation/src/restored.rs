//! The ledger in memory is restored from a backup, and what it has lost comes back from the file that was moved aside.

use std::collections::BTreeMap;

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;

use crate::Fault;
use crate::ledger::{Ledger, version};
use crate::lots::{Entered, Granted, HeldThen};
use pax_ledger::book::Page;

/// What the ledger has recorded, so that it can be recorded again.
#[derive(Clone)]
pub(crate) enum What {
    /// A debit.
    Line(ExchangeId, Vec<u8>),
    /// A true debit, which has corrected an estimate.
    Better(ExchangeId, Vec<u8>),
    Grant(Granted),
    /// An operator's correction.
    Correction(ExchangeId, Pax),
    /// An operator's correction of a grant: its amount until then, and from then on.
    GrantCorrection(String, Pax, Pax),
}

/// The same with what its posting says: when, and what open holds had set aside then.
#[derive(Clone)]
pub(crate) struct Logged {
    pub(crate) what: What,
    at: Moment,
    held: HeldThen,
}

impl Logged {
    pub(crate) fn of(what: What, entered: &Entered) -> Self {
        Self { what, at: entered.link.recorded_at, held: entered.held }
    }
}

/// A copy of the ledger.
pub(crate) struct Backup {
    pages: BTreeMap<String, Page>,
    nets: BTreeMap<ExchangeId, Pax>,
    expired: BTreeMap<String, Pax>,
    logged: usize,
}

impl Ledger {
    pub(crate) fn back_up(&mut self) {
        let pages = self.accounts.iter().map(|(name, kept)| (name.clone(), kept.page.clone())).collect();
        let (nets, expired) = (self.nets.clone(), self.credit.expired.clone());
        self.backup = Some(Backup { pages, nets, expired, logged: self.log.len() });
    }

    /// The backup takes the ledger's place, in a new epoch. Nothing is held any more: the Envoys' holds are another file's.
    pub(crate) fn restore(&mut self, now: Moment) {
        let Some(Backup { pages, nets, expired, logged }) = self.backup.take() else { return };
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
        (self.nets, self.credit.expired) = (nets, expired);
        self.holds.expire_all();
        self.lost = self.log.split_off(logged);
        for lost in self.lost.iter().rev() {
            if let What::GrantCorrection(key, was, _) = &lost.what {
                self.credit.granted.entry(key.clone()).and_modify(|granted| granted.amount = *was);
            }
        }
        for lost in &self.lost {
            let (What::Line(id, _) | What::Better(id, _)) = &lost.what else { continue };
            self.true_costs.remove(id);
            if matches!(lost.what, What::Line(..)) {
                self.missing.insert(*id);
                self.holds.not_posted(id);
                self.lost_ever.insert(*id);
            }
        }
        self.expire_all(now);
        self.restores += 1;
    }

    /// What the file has that was moved aside is recorded again. What Envoys have sent again meanwhile is there already.
    pub(crate) fn recover(&mut self, now: Moment) {
        // A program that does not read them cannot have recorded them.
        let behind = std::mem::take(&mut self.behind);
        for Logged { what, at, held } in std::mem::take(&mut self.lost) {
            self.then = held;
            match (what, self.fault) {
                (What::Line(..), Fault::UnrecoveredDebits)
                | (What::Grant(_), Fault::UnrecoveredGrants)
                | (What::Correction(..), Fault::UnrecoveredCorrections) => {}
                (What::Line(_, line) | What::Better(_, line), _) => drop(self.record(&line, at)),
                (What::Grant(granted), _) => self.grant(granted, at),
                (What::Correction(id, to), _) => self.correct(id, to, at),
                (What::GrantCorrection(key, was, to), _) => self.correct_grant(&key, (was, to), at),
            }
        }
        self.then = HeldThen::default();
        // What lots kept for holds is free now.
        self.expire_all(now);
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
