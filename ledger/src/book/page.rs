//! An account's page in the book: the head of its chain and its sums. Entries are posted to it one by one.

use std::collections::BTreeMap;

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::debit::frozen::Debit;

use super::{Effect, Sum, effect, entry_hash, genesis};

/// How an entry is chained to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in the account, from 1.
    pub account_seq: i64,
    /// The hash of the entry before it.
    pub prev_hash: Digest,
    /// Its own hash.
    pub entry_hash: Digest,
    /// When the ledger took it, on the ledger's clock.
    pub recorded_at: Moment,
}

/// The head of an account's chain and its sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The number of the last entry; 0 if there is none.
    pub account_seq: i64,
    /// The hash of the last entry; [`genesis`] if there is none.
    pub head: Digest,
    /// The balance.
    pub balance: Sum,
    /// What was spent on each day. While a batch is posted, the page has only the days that the batch touches.
    pub days: BTreeMap<UtcDay, Sum>,
}

impl Page {
    /// An account's page before its first entry.
    #[must_use]
    pub fn empty(account: &str) -> Self {
        Self { account_seq: 0, head: genesis(account), balance: Sum::ZERO, days: BTreeMap::new() }
    }

    /// Posts a debit: adds it to the sums and chains it. The page must know the total of the debit's day.
    ///
    /// # Errors
    /// If no number is left for another entry of the account. The page is then unchanged.
    pub fn post(&mut self, debit: &Debit, canonical: &[u8], recorded_at: Moment) -> Result<Link, String> {
        let account_seq = self.account_seq.checked_add(1).ok_or("the account's chain is full")?;
        self.add(&effect(debit));
        let ms = i64::try_from(recorded_at.ms()).unwrap_or(i64::MAX);
        let prev_hash = self.head;
        let entry_hash = entry_hash(&prev_hash.to_string(), account_seq, ms, canonical);
        self.account_seq = account_seq;
        self.head = entry_hash;
        Ok(Link { account_seq, prev_hash, entry_hash, recorded_at })
    }

    /// Adds an entry's effect to the sums.
    pub fn add(&mut self, effect: &Effect) {
        self.balance = self.balance.minus(effect.balance);
        if let Some((day, cost)) = effect.day {
            let spent = self.days.entry(day).or_default();
            *spent = spent.plus(cost);
        }
    }
}
