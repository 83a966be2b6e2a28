//! The store: the only place that knows SQL, behind plain types.
//!
//! [`Store`] does administration (`acts`) and look-ups (`reads`) itself, in SQL that SQLite and PostgreSQL both understand
//! (`sql`). It hands out a [`Writer`], which records batches, and a [`Snapshot`], from which replays read. What an entry or
//! a hold does is decided at the `desk`, which asks a database through a port: `sqlite` answers from its file, and
//! `postgres` from what it has read under the accounts' locks.

mod acts;
mod copying;
mod credit;
mod database;
mod desk;
mod hold;
pub mod location;
pub mod operator;
mod postgres;
mod reads;
pub mod repricing;
mod schema;
mod sql;
mod sqlite;
mod upkeep;
mod waiting;
mod writer;

pub use acts::LoggedRow;
pub use copying::Copied;
pub use credit::{Amount, Closed, Corrected, Corrects, Granted, MadeAgain, NewGrant, Settled, ToCorrect};
pub use database::Store;
pub use hold::{HoldEnded, HoldFilter, HoldRow, HoldState, StoredHold};
pub use location::{Location, Open};
pub use operator::{Acted, DoneBefore, OperatorFilter};
pub use reads::{ChainEntry, ChainPage, Listing, Snapshot};
pub use sqlite::{BackedUp, Replaced, Restored, back_up, restore};
pub use waiting::{Waiting, Waits};
pub use writer::Writer;

use self::database::failed;
use self::hold::{HOLD, HOLD_OF};
use self::reads::{epoch_of, from_ms, pax, read_status, read_tier, sum, to_ms};

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;
use pax_gateway::price::card::RateTableVersion;
use serde::{Deserialize, Serialize};

use crate::book::{self, Sum, Value};
use crate::report::Counts;

/// An account, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its name.
    pub name: String,
    /// Its tier.
    pub tier: Tier,
    /// Its status.
    pub status: Status,
    /// When it was created.
    pub created_at: Moment,
    /// How many entries it has.
    pub account_seq: i64,
    /// The hash of the last one, as stored.
    pub head_hash: String,
    /// When the last one was recorded; the start of time if there is none.
    pub recorded_at: Moment,
    /// Its balance.
    pub balance: Sum,
    /// What open holds of tier credit set aside from its balance.
    pub held: Pax,
    /// What it may spend in a UTC day; none if the rate card's default holds.
    pub daily_cap: Option<Pax>,
    /// When it was closed, and the key of the action that did it.
    pub closed: Option<(Moment, String)>,
}

/// What is kept of an account's day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayTotal {
    /// The UTC day.
    pub utc_day: String,
    /// What was spent.
    pub spent: Sum,
    /// What open holds set aside.
    pub held: Pax,
}

/// What is kept of a token's day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDay {
    /// The token's id.
    pub token_id: String,
    /// The UTC day.
    pub utc_day: String,
    /// What was spent.
    pub spent: Sum,
    /// What open holds set aside.
    pub held: Pax,
}

/// What an account may spend, and has spent on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credits {
    /// Its tier.
    pub tier: Tier,
    /// Its status.
    pub status: Status,
    /// Its balance.
    pub balance: Sum,
    /// What it may spend in a UTC day; none if the rate card's default holds.
    pub daily_cap: Option<Pax>,
    /// What its entries of the day cost on platform funding.
    pub spent: Sum,
    /// What open holds of tier credit set aside from the balance.
    pub held: Pax,
    /// What the day's open holds set aside, whatever their tier.
    pub held_today: Pax,
    /// When the next lot ends of which something is left, and how much is left of it.
    pub next_expiry: Option<(Moment, Pax)>,
}

/// A token, as operators see it: neither the token nor its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub token_id: String,
    /// Whose it is.
    pub account: String,
    /// What the operator called it.
    pub label: String,
    /// When it was made.
    pub created_at: Moment,
    /// When it ceases to resolve.
    pub expires_at: Option<Moment>,
    /// When it was revoked.
    pub revoked_at: Option<Moment>,
}

/// A token to be stored.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// Its id.
    pub token_id: String,
    /// Whose it is.
    pub account: &'a str,
    /// What the operator calls it.
    pub label: &'a str,
    /// SHA-256 of the token.
    pub sha256: Digest,
    /// Whether the operator has chosen the token; if not, it is random.
    pub is_given: bool,
    /// When it ceases to resolve.
    pub expires_at: Option<Moment>,
}

/// A rate card to be learned.
#[derive(Clone, Copy, Debug)]
pub struct NewCard<'a> {
    /// SHA-256 of its file.
    pub sha256: Digest,
    /// Its version.
    pub version: RateTableVersion,
    /// Its file.
    pub text: &'a str,
}

/// A version that belongs to another card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCard {
    /// The version.
    pub version: RateTableVersion,
    /// SHA-256 of the card that has it, as stored.
    pub known: String,
}

/// A rate card as it was read from the store. It is not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCard {
    /// SHA-256 of its file.
    pub sha256: String,
    /// Its version.
    pub version: i64,
    /// Its file.
    pub text: String,
    /// When it was learned.
    pub learned_at: Moment,
}

/// An entry as it was read from the store. It is not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its place in the order of recording.
    pub position: i64,
    /// The values of [`crate::book::COLUMNS`], then of [`crate::book::made::MADE_COLUMNS`].
    pub columns: Vec<Value>,
    /// Its canonical bytes.
    pub canonical: Vec<u8>,
    /// Its number in the account.
    pub account_seq: i64,
    /// The hash of the entry before.
    pub prev_hash: String,
    /// Its own hash.
    pub entry_hash: String,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_at: i64,
    /// The version of its hash.
    pub hash_v: i64,
    /// Its posting's line, which entries of hash version 1 lack.
    pub posting: Option<String>,
}

impl StoredEntry {
    /// The value of a column of [`crate::book::COLUMNS`] or [`crate::book::made::MADE_COLUMNS`].
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Value> {
        let mut names = book::COLUMNS.iter().chain(&book::made::MADE_COLUMNS);
        names.position(|column| *column == name).and_then(|index| self.columns.get(index))
    }

    /// The hash that its columns make.
    #[must_use]
    pub fn hash(&self) -> Digest {
        let (prev, seq, at) = (&self.prev_hash, self.account_seq, self.recorded_at);
        match &self.posting {
            Some(posting) => book::entry_hash_2(prev, seq, at, posting, &self.canonical),
            None => book::entry_hash(prev, seq, at, &self.canonical),
        }
    }
}

/// Which entries to list.
#[derive(Clone, Debug, Default)]
pub struct EntryFilter {
    /// Only of this account.
    pub account: Option<String>,
    /// Only of this exchange.
    pub exchange: Option<String>,
    /// Only of this kind, as the column `kind` has it.
    pub kind: Option<&'static str>,
    /// Only of this UTC day and later.
    pub since: Option<UtcDay>,
    /// Only of this UTC day and earlier.
    pub until: Option<UtcDay>,
    /// Only of calls that began at this moment or later.
    pub from: Option<Moment>,
    /// Only of calls that began before this moment.
    pub to: Option<Moment>,
    /// In which order.
    pub order: Order,
}

/// In which order entries are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The entry that was recorded last comes first.
    NewestFirst,
    /// In the order in which they were recorded.
    #[default]
    OldestFirst,
}

/// The last entry of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEntry {
    /// When it was recorded.
    pub recorded_at: Moment,
    /// Its exchange.
    pub exchange_id: Option<String>,
}

/// The sums over the entries of one group and one rate card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSum {
    /// The keys that the entries share, in the order of the dimensions that were asked for.
    pub keys: Vec<Option<String>>,
    /// Their rate card.
    pub card_sha256: Option<String>,
    /// The sums.
    pub counts: Counts,
}

/// Which of an account's own entries to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFilter {
    /// In which order.
    pub order: Order,
    /// Only entries that come after the entry with this number, in that order.
    pub after: Option<i64>,
    /// Only of this UTC day and later.
    pub since: Option<UtcDay>,
    /// Only of this UTC day and earlier.
    pub until: Option<UtcDay>,
}

/// An entry, for its account's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnEntry {
    /// Its number in the account.
    pub account_seq: i64,
    /// Its canonical bytes.
    pub canonical: Vec<u8>,
}

/// How many lines are in quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quarantined {
    /// Other bytes for an exchange that has an entry.
    pub conflicts: i64,
    /// Lines that are no debits.
    pub rejected: i64,
    /// Conflicts and rejected lines that nobody has marked as seen.
    pub unseen: i64,
}

/// The figures of the database file that `/metrics` has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// How many accounts there are of a tier and a status.
    pub accounts: Vec<(Tier, Status, i64)>,
    /// How many entries.
    pub entries: i64,
    /// When the newest one was recorded.
    pub last_entry: Option<Moment>,
    /// The present epoch.
    pub epoch: u64,
    /// What is in quarantine.
    pub quarantined: Quarantined,
    /// How many holds are open, and what they set aside.
    pub holds: (i64, Sum),
    /// Size of the file.
    pub database_bytes: u64,
    /// Size of the log beside it, whose entries are not in the file yet.
    pub log_bytes: u64,
}

/// A line in quarantine, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedLine {
    /// Its number, in the order in which lines came.
    pub number: i64,
    /// When it came.
    pub received_at: Moment,
    /// `conflict` or `rejected`.
    pub reason: String,
    /// Its exchange, if that could be read.
    pub exchange_id: Option<String>,
    /// What was wrong with it.
    pub message: String,
    /// The hash of the whole line.
    pub sha256: String,
    /// Its bytes, cut at the length of the longest canonical form; none if they were not asked for.
    pub bytes: Option<Vec<u8>>,
    /// Who marked it as seen.
    pub seen: Option<Seen>,
}

/// The mark that somebody has looked at a line in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Moment,
    /// Who.
    pub by: String,
    /// Why it may rest.
    pub because: String,
}

/// What came of marking lines as seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// How many are marked now and were not before.
    pub new: usize,
    /// How many were marked before. These stay as they were.
    pub known: usize,
}

/// Why an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// The service started; its file may be a copy that has taken the place of another file.
    Served,
    /// The file was restored from a backup.
    Restored,
}
