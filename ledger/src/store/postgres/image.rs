//! What a transaction has read, and what it has changed: it decides in memory, and nothing is written before all is
//! decided.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pax_gateway::base::account::Status;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::pax::Pax;
use serde_json::Value as Json;

use super::wanted::Wanted;
use crate::book::{Lot, Sum};
use crate::store::HoldRow;
use crate::store::desk::{Answer, Fault};

/// An account's row.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) account_seq: i64,
    pub(super) head_hash: String,
    pub(super) balance: Sum,
    pub(super) recorded_at: Moment,
    pub(super) held: Pax,
    pub(super) daily_cap: Option<Pax>,
    pub(super) status: Status,
    pub(super) closed: Option<(Moment, String)>,
    /// The number of its last entry, which its head does not have if it was changed by hand.
    pub(super) last_entry: i64,
}

/// What was spent on a day, and what open holds set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) spent: Sum,
    pub(super) held: Pax,
}

/// A token's row.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) account: String,
    pub(super) revoked_at: Option<Moment>,
    pub(super) expires_at: Option<Moment>,
}

/// An entry, as far as it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) account_seq: i64,
    pub(super) kind: String,
    pub(super) canonical: Vec<u8>,
}

/// The key of a token's day.
pub(super) type OfToken = (String, String, UtcDay);

/// The rows, as they are now.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The database's clock, after the locks were taken.
    pub(super) now: Moment,
    pub(super) epoch: u64,
    pub(super) accounts: HashMap<String, Account>,
    pub(super) days: HashMap<(String, UtcDay), Day>,
    pub(super) token_days: HashMap<OfToken, Day>,
    pub(super) lots: HashMap<String, Vec<Lot>>,
    pub(super) holds: HashMap<String, HoldRow>,
    pub(super) entries: HashMap<String, Known>,
    pub(super) tombstones: HashSet<String>,
    pub(super) tokens: HashMap<String, Token>,
    pub(super) leases: HashMap<String, Moment>,
    pub(super) keys: HashMap<String, Known>,
    pub(super) corrections: HashMap<(bool, String), Vec<u8>>,
}

/// What has changed, and is to be written.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) accounts: BTreeSet<String>,
    pub(super) days: BTreeSet<(String, UtcDay)>,
    pub(super) token_days: BTreeSet<OfToken>,
    /// By key, with the account.
    pub(super) lots: BTreeMap<String, String>,
    /// New entries in their order: their columns, and their canonical bytes.
    pub(super) entries: Vec<(Json, Vec<u8>)>,
    pub(super) new_holds: Vec<String>,
    pub(super) ended_holds: BTreeSet<String>,
    /// Exchange, account and moment.
    pub(super) tombstones: Vec<(String, String, Moment)>,
    pub(super) leases: BTreeSet<String>,
    /// Lines for the quarantine: their columns, and their bytes.
    pub(super) quarantine: Vec<(Json, Vec<u8>)>,
}

/// What the desk works on.
#[derive(Debug)]
pub(super) struct Image {
    /// What was read.
    pub(super) known: Wanted,
    pub(super) rows: Rows,
    pub(super) changes: Changes,
    /// What was asked for and not read.
    pub(super) missing: Wanted,
}

impl Image {
    pub(super) fn new(mut known: Wanted, rows: Rows) -> Self {
        // With a hold come its days.
        for hold in rows.holds.values() {
            known.days.insert((hold.account.clone(), hold.utc_day));
            known.token_days.insert((hold.account.clone(), hold.token_id.clone(), hold.utc_day));
        }
        Self { known, rows, changes: Changes::default(), missing: Wanted::default() }
    }

    /// Notes that something was not read, unless it was.
    pub(super) fn need(&mut self, is_known: bool, note: impl FnOnce(&mut Wanted)) -> Answer<()> {
        if is_known {
            return Ok(());
        }
        note(&mut self.missing);
        Err(Fault::Unread)
    }

    pub(super) fn need_account(&mut self, account: &str) -> Answer<()> {
        self.need(self.known.accounts.contains(account), |wanted| wanted.account(account))
    }

    /// A day that one account needs, the others of a batch often need too: that of today, when a batch comes after midnight.
    pub(super) fn need_day(&mut self, account: &str, day: UtcDay) -> Answer<()> {
        let key = (account.to_owned(), day);
        let is_known = self.known.days.contains(&key);
        let of_all: Vec<_> = match is_known {
            true => Vec::new(),
            false => self.known.accounts.iter().map(|account| (account.clone(), day)).collect(),
        };
        self.need(is_known, |wanted| {
            wanted.days.insert(key);
            wanted.days.extend(of_all);
        })
    }

    pub(super) fn need_exchange(&mut self, exchange: &str) -> Answer<()> {
        let is_known = self.known.exchanges.contains(exchange);
        self.need(is_known, |wanted| {
            wanted.exchanges.insert(exchange.to_owned());
        })
    }

    pub(super) fn need_token_day(&mut self, key: &(String, String, UtcDay)) -> Answer<()> {
        self.need(self.known.token_days.contains(key), |wanted| {
            wanted.token_days.insert(key.clone());
        })
    }

    pub(super) fn need_key(&mut self, key: &str) -> Answer<()> {
        let is_known = self.known.keys.contains(key);
        self.need(is_known, |wanted| {
            wanted.keys.insert(key.to_owned());
        })
    }

    pub(super) fn set_day(&mut self, key: (String, UtcDay), day: Day) {
        if self.rows.days.insert(key.clone(), day) != Some(day) {
            self.changes.days.insert(key);
        }
    }

    pub(super) fn set_token_day(&mut self, key: (String, String, UtcDay), day: Day) {
        if self.rows.token_days.insert(key.clone(), day) != Some(day) {
            self.changes.token_days.insert(key);
        }
    }

    /// Changes what open holds of a day set aside.
    pub(super) fn hold_days(
        &mut self,
        (account, token_id, day): (&str, &str, UtcDay),
        change: impl Fn(Pax) -> Option<Pax>,
    ) -> Answer<()> {
        self.need_account(account)?;
        let of_token = (account.to_owned(), token_id.to_owned(), day);
        self.need_day(account, day)?;
        self.need_token_day(&of_token)?;
        let of_account = (account.to_owned(), day);
        let too_much =
            || Fault::Unreadable("the open holds of the day would be more than an amount can be".to_owned());
        let mut whole = self.rows.days.get(&of_account).copied().unwrap_or_default();
        let mut part = self.rows.token_days.get(&of_token).copied().unwrap_or_default();
        whole.held = change(whole.held).ok_or_else(too_much)?;
        part.held = change(part.held).ok_or_else(too_much)?;
        self.set_day(of_account, whole);
        self.set_token_day(of_token, part);
        Ok(())
    }
}
