//! An account's page in the book: the head of its chain, its sums and its lots. Entries are posted to it one by one.

use std::collections::BTreeMap;

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;

use super::made::{Expiry, Payout};
use super::{Effect, Lots, OnLots, PostedHold, Posting, Sum, entry_hash_2, genesis, lots};

/// How an entry is chained to the one before it, and what else only the ledger knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in the account, from 1.
    pub account_seq: i64,
    /// The hash of the entry before it.
    pub prev_hash: Digest,
    /// Its own hash.
    pub entry_hash: Digest,
    /// When the ledger took it, on the ledger's clock, but never before the entry before it.
    pub recorded_at: Moment,
    /// Its posting's line.
    pub posting: String,
}

/// The head of an account's chain, its sums and its lots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The account.
    pub account: String,
    /// The number of the last entry; 0 if there is none.
    pub account_seq: i64,
    /// The hash of the last entry; [`genesis`] if there is none.
    pub head: Digest,
    /// When the last entry was recorded; the start of time if there is none.
    pub recorded_at: Moment,
    /// The balance.
    pub balance: Sum,
    /// What open holds of tier credit set aside from the balance.
    pub held: Pax,
    /// What was spent on each day. While a batch is posted, the page has only the days that the batch touches.
    pub days: BTreeMap<UtcDay, Sum>,
    /// What was spent with each token on each day, likewise.
    pub tokens: BTreeMap<(String, UtcDay), Sum>,
    /// The lots. While a batch is posted, the page has them only if it needs them, and then those that are not empty.
    pub lots: Lots,
}

impl Page {
    /// An account's page before its first entry.
    #[must_use]
    pub fn empty(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            account_seq: 0,
            head: genesis(account),
            recorded_at: Moment::from_ms(0),
            balance: Sum::ZERO,
            held: Pax::ZERO,
            days: BTreeMap::new(),
            tokens: BTreeMap::new(),
            lots: Lots::default(),
        }
    }

    /// How an entry with this effect would be chained, with the hold that it posts, and what all other open holds set
    /// aside. The page takes the entry in by [`Page::add`], once it is kept.
    ///
    /// # Errors
    /// If no number is left for another entry of the account.
    pub fn link(
        &self,
        effect: &Effect<'_>,
        (hold, held): (Option<PostedHold>, Pax),
        canonical: &[u8],
        now: Moment,
    ) -> Result<Link, String> {
        let account_seq = self.account_seq.checked_add(1).ok_or("the account's chain is full")?;
        let recorded_at = now.max(self.recorded_at);
        let posting = Posting::new(hold, held, effect.scopes(&self.account)).line();
        let ms = i64::try_from(recorded_at.ms()).unwrap_or(i64::MAX);
        let prev_hash = self.head;
        let entry_hash = entry_hash_2(&prev_hash.to_string(), account_seq, ms, &posting, canonical);
        Ok(Link { account_seq, prev_hash, entry_hash, recorded_at, posting })
    }

    /// Takes an entry in: its place in the chain, and what it does to the sums and lots. The page must know the totals
    /// of its day, and the lots if it changes them.
    pub fn add(&mut self, effect: &Effect<'_>, link: &Link) {
        self.apply(effect, link.account_seq, link.recorded_at);
        self.account_seq = link.account_seq;
        (self.head, self.recorded_at) = (link.entry_hash, link.recorded_at);
    }

    /// Changes the sums and lots as an entry does.
    pub fn apply(&mut self, effect: &Effect<'_>, account_seq: i64, recorded_at: Moment) {
        let debt = lots::debt(self.balance);
        match effect.lots {
            OnLots::None => {}
            OnLots::Draw(amount) => {
                self.lots.draw(amount);
            }
            OnLots::PutBack(amount) => {
                let beyond_the_debt = amount.checked_sub(debt.min(amount)).unwrap_or_default();
                self.lots.put_back(beyond_the_debt, recorded_at);
            }
            OnLots::Grant(grant) => self.lots.grant(grant.lot(account_seq), debt),
            OnLots::Correct { grant, to } => {
                self.lots.correct(grant, to, debt);
            }
            OnLots::Expire { grant, amount } => {
                self.lots.expire(grant, amount);
            }
        }
        self.balance = self.balance.plus(effect.balance);
        if let Some(spent) = &effect.spent {
            let total = self.days.entry(spent.utc_day).or_default();
            *total = total.plus(spent.amount);
            let total = self.tokens.entry((spent.token_id.to_owned(), spent.utc_day)).or_default();
            *total = total.plus(spent.amount);
        }
    }

    /// The expiry to be posted next, if a lot is over by `now`. `held` is what open holds set aside: so much of the
    /// balance is kept for them.
    #[must_use]
    pub fn due(&self, held: Pax, now: Moment) -> Option<Expiry> {
        let now = now.max(self.recorded_at);
        let lot = self.lots.due(now)?;
        let free = self.balance.minus(held).nearest().max(Pax::ZERO);
        let amount = lot.rest.min(free);
        let over = (lot.expires_at?, now);
        let seq = self.account_seq.checked_add(1)?;
        (amount > Pax::ZERO).then(|| Expiry::new(&self.account, &lot.key, seq, amount, over))
    }

    /// The payout to be posted next, if the account was closed by the action with this key, something is left, and no open
    /// hold needs it. `held` is what open holds set aside.
    #[must_use]
    pub fn payout(&self, close_key: &str, held: Pax, now: Moment) -> Option<Payout> {
        let (amount, seq) = (self.balance.nearest(), self.account_seq.checked_add(1)?);
        let is_owed = held == Pax::ZERO && amount > Pax::ZERO;
        is_owed.then(|| Payout::new(&self.account, close_key, seq, amount, now.max(self.recorded_at)))
    }
}
