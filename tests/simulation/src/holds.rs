//! The holds of the ledger in memory: what is set aside for whose call, how each hold ended, and the Envoys' leases.

use std::collections::{BTreeMap, BTreeSet};

use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{HoldReply, LEASE_LAPSES_MS};

/// What there is of an exchange's hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It was refused.
    Refused,
    /// It is open.
    Open,
    /// Its debit came.
    Posted,
    /// Its void came, perhaps before the hold did.
    Voided,
    /// Its Envoy's lease has lapsed.
    Expired,
}

/// A hold.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) account: String,
    /// The day of the call's admission.
    pub(crate) day: UtcDay,
    /// The number of the Envoy that asked for it.
    pub(crate) envoy: String,
    pub(crate) amount: Pax,
}

/// How many holds came to what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HoldCounts {
    pub(crate) made: u64,
    pub(crate) refused: u64,
    pub(crate) voided: u64,
    pub(crate) expired: u64,
    /// Debits that came after their hold had expired.
    pub(crate) late: u64,
}

#[derive(Default)]
pub(crate) struct Holds {
    /// The holds that were made or refused.
    asked: BTreeMap<ExchangeId, Hold>,
    /// What was answered to each of them at first.
    answers: BTreeMap<ExchangeId, HoldReply>,
    stands: BTreeMap<ExchangeId, Stand>,
    open: BTreeSet<ExchangeId>,
    /// The exchanges of which a void came.
    voids: BTreeSet<ExchangeId>,
    /// Until when each Envoy's lease is good.
    leases: BTreeMap<String, u64>,
    /// The holds that have expired since somebody last looked, and when.
    pub(crate) lapsed: Vec<(ExchangeId, u64)>,
    pub(crate) counts: HoldCounts,
}

impl Holds {
    /// What there is of an exchange's hold; none if nothing is known of it.
    pub(crate) fn stand(&self, id: &ExchangeId) -> Option<Stand> {
        self.stands.get(id).copied()
    }

    /// A hold that was asked for; none if only a void came, or nothing.
    pub(crate) fn hold(&self, id: &ExchangeId) -> Option<&Hold> {
        self.asked.get(id)
    }

    /// Whether the ledger has ever made an exchange's hold.
    pub(crate) fn was_made(&self, id: &ExchangeId) -> bool {
        self.asked.contains_key(id) && self.stand(id) != Some(Stand::Refused)
    }

    /// Whether a void of this exchange came.
    pub(crate) fn heard_void(&self, id: &ExchangeId) -> bool {
        self.voids.contains(id)
    }

    /// What was answered to a hold at first.
    pub(crate) fn answer(&self, id: &ExchangeId) -> Option<HoldReply> {
        self.answers.get(id).cloned()
    }

    /// The open holds.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&ExchangeId, &Hold)> {
        self.open.iter().filter_map(|id| Some((id, self.hold(id)?)))
    }

    /// What open holds set aside of an account's balance.
    pub(crate) fn held(&self, account: &str) -> Pax {
        let of_account = self.open().filter(|(_, hold)| hold.account == account);
        of_account.fold(Pax::ZERO, |sum, (_, hold)| sum.checked_add(hold.amount).unwrap_or(Pax::MAX))
    }

    /// What open holds of a day set aside.
    pub(crate) fn held_on(&self, account: &str, day: UtcDay) -> Pax {
        let of_day = self.open().filter(|(_, hold)| hold.account == account && hold.day == day);
        of_day.fold(Pax::ZERO, |sum, (_, hold)| sum.checked_add(hold.amount).unwrap_or(Pax::MAX))
    }

    /// The entry that posted a hold is lost.
    pub(crate) fn not_posted(&mut self, id: &ExchangeId) {
        if self.stand(id) == Some(Stand::Posted) && self.hold(id).is_some() {
            self.end(id, Stand::Expired);
        }
    }

    /// All open holds expire.
    pub(crate) fn expire_all(&mut self) {
        for id in std::mem::take(&mut self.open) {
            self.counts.expired += 1;
            self.end(&id, Stand::Expired);
        }
    }

    /// A hold is made or refused.
    pub(crate) fn decide(&mut self, id: ExchangeId, hold: Hold, is_made: bool) {
        let stand = if is_made { Stand::Open } else { Stand::Refused };
        self.stands.insert(id, stand);
        if is_made {
            self.open.insert(id);
            self.counts.made += 1;
        } else {
            self.counts.refused += 1;
        }
        self.asked.insert(id, hold);
    }

    /// What is answered to a hold at first.
    pub(crate) fn answered(&mut self, id: ExchangeId, answer: HoldReply) {
        self.answers.insert(id, answer);
    }

    /// A debit that names its hold becomes an entry. Gives what there was of the hold.
    pub(crate) fn post(&mut self, id: &ExchangeId) -> Option<Stand> {
        let before = self.stand(id);
        self.counts.late += u64::from(before == Some(Stand::Expired));
        self.end(id, Stand::Posted);
        before
    }

    /// A void came. Gives the account of the open hold that it ends. `forgets`: a planted bug, nothing is kept of a hold that
    /// did not come yet.
    pub(crate) fn void(&mut self, id: ExchangeId, forgets: bool) -> Option<String> {
        self.voids.insert(id);
        match self.stand(&id) {
            Some(Stand::Open) => {
                self.counts.voided += 1;
                self.end(&id, Stand::Voided);
                return self.hold(&id).map(|hold| hold.account.clone());
            }
            Some(Stand::Refused) => self.end(&id, Stand::Voided),
            Some(Stand::Posted | Stand::Voided | Stand::Expired) => {}
            None if forgets => {}
            None => self.end(&id, Stand::Voided),
        }
        None
    }

    fn end(&mut self, id: &ExchangeId, stand: Stand) {
        self.open.remove(id);
        self.stands.insert(*id, stand);
    }

    /// An Envoy lives.
    pub(crate) fn renew(&mut self, envoy: &str, now: u64) {
        self.leases.insert(envoy.to_owned(), now + LEASE_LAPSES_MS);
    }

    /// The holds of Envoys whose leases are over expire. Gives the account of each.
    pub(crate) fn lapse(&mut self, now: u64) -> Vec<String> {
        let is_over = |hold: &Hold| self.leases.get(&hold.envoy).is_none_or(|until| *until <= now);
        let over = self.open().filter(|(_, hold)| is_over(hold));
        let over: Vec<_> = over.map(|(id, hold)| (*id, hold.account.clone())).collect();
        let expires = |(id, account)| {
            self.counts.expired += 1;
            self.end(&id, Stand::Expired);
            self.lapsed.push((id, now));
            account
        };
        over.into_iter().map(expires).collect()
    }
}
