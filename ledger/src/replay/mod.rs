//! Replay: checks everything that was ever recorded again, in one snapshot.
//!
//! For every entry it checks the bytes (read and written again), each column against them, the place and hash
//! in the chain, the token counts from the raw usage or the estimate's bytes, and the price under the entry's
//! own card. For every account: the head of its chain, its balance, its day totals, and whether a sum is beyond
//! what an amount can be. For every stored card: its hash and version. For every append-only table: its
//! triggers, to the letter. For the quarantine: whether somebody has seen each line. For the operator log: its
//! chain, and whether accounts and tokens are as it left them. Memory does not grow with entries or rows.

mod operator_log;

use std::collections::BTreeMap;
use std::fmt;

use pax_gateway::base::digest::Digest;
use pax_gateway::debit::frozen::Debit;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::RateTableVersion;

use crate::book::{self, COLUMNS, Page, Sum, Value};
use crate::cards;
use crate::error::Error;
use crate::store::{AccountRow, Quarantined, Snapshot, StoredEntry};

const PAGE_ENTRIES: u32 = 500;

/// What a difference is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One entry.
    Entry {
        /// The value of its column.
        exchange_id: String,
        /// The value of its column.
        account: String,
        /// Its number in the account.
        account_seq: i64,
    },
    /// An account's head, balance, day totals or state.
    Account(String),
    /// A token's state.
    Token(String),
    /// One row of the operator log.
    OperatorRow {
        /// Its number.
        seq: i64,
        /// The value of its column.
        action: String,
    },
    /// The file as a whole.
    Database,
}

/// Something that is not as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub subject: Subject,
    /// What differs.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Entry { exchange_id, account, account_seq } => {
                write!(f, "entry {exchange_id} (account {account}, number {account_seq}): {}", self.what)
            }
            Subject::Account(account) => write!(f, "account {account}: {}", self.what),
            Subject::Token(token_id) => write!(f, "token {token_id}: {}", self.what),
            Subject::OperatorRow { seq, action } => {
                write!(f, "operator log, row {seq} ({action}): {}", self.what)
            }
            Subject::Database => write!(f, "database: {}", self.what),
        }
    }
}

/// The sums of the entries that one card priced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CardSum {
    /// Entries under the card.
    pub entries: u64,
    /// What they cost, in picopax.
    pub picopax: i128,
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries replayed.
    pub entries: u64,
    /// Accounts, those without entries too.
    pub accounts: u64,
    /// What all entries cost, in picopax.
    pub picopax: i128,
    /// The sums of each known card, under its version and hash.
    pub cards: BTreeMap<(RateTableVersion, Digest), CardSum>,
    /// Lines in quarantine. They are no differences, but the replay is not well before somebody has seen each
    /// of them.
    pub quarantined: Quarantined,
    /// How many differences there are.
    pub differences: u64,
}

impl Report {
    /// Whether nothing differs, and no line in quarantine waits for an operator.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.differences == 0 && self.quarantined.unseen == 0
    }
}

/// Checks everything. `tell` hears each difference as it is found.
///
/// # Errors
/// If the store cannot be read. A difference is no error.
pub async fn replay(
    snapshot: &mut Snapshot,
    built_in: &Bundle,
    tell: &mut dyn FnMut(&Difference),
) -> Result<Report, Error> {
    // The stored cards come from the same snapshot as the entries; the built-in ones are added.
    let (bundle, mistakes) = cards::gather(built_in, &snapshot.cards().await?);
    let mut replay = Replay { bundle: &bundle, tell, report: Report::default() };
    for mistake in mistakes {
        replay.differs(Subject::Database, mistake);
    }
    let mut account = snapshot.next_account(None).await?;
    while let Some(name) = account {
        replay.account(snapshot, &name).await?;
        account = snapshot.next_account(Some(&name)).await?;
    }
    // The chains are read through an index; this counts the rows themselves.
    let counted = snapshot.entry_count().await?;
    if u64::try_from(counted) != Ok(replay.report.entries) {
        let what = format!("holds {counted} entries, of which the chains show {}", replay.report.entries);
        replay.differs(Subject::Database, what);
    }
    replay.operator_log(snapshot).await?;
    for damage in snapshot.damage().await? {
        replay.differs(Subject::Database, damage);
    }
    for broken in snapshot.broken_guards().await? {
        replay.differs(Subject::Database, broken);
    }
    for sha256 in snapshot.seen_and_gone().await? {
        let what = format!("the line in quarantine with sha256 {sha256}, which was marked as seen, is gone");
        replay.differs(Subject::Database, what);
    }
    replay.report.quarantined = snapshot.quarantined().await?;
    Ok(replay.report)
}

struct Replay<'a> {
    bundle: &'a Bundle,
    tell: &'a mut dyn FnMut(&Difference),
    report: Report,
}

/// How far the walk along a chain has come. The last entry's hash is kept both as stored and as computed. If
/// they differ, that entry has been named, and the next entry may follow either hash: otherwise one change
/// would name the whole rest of the chain.
struct Walk {
    account_seq: i64,
    stored: String,
    computed: String,
    sums: Page,
}

impl Replay<'_> {
    fn differs(&mut self, subject: Subject, what: String) {
        self.report.differences += 1;
        (self.tell)(&Difference { subject, what });
    }

    async fn account(&mut self, snapshot: &mut Snapshot, name: &str) -> Result<(), Error> {
        self.report.accounts += 1;
        let genesis = book::genesis(name).to_string();
        let mut walk =
            Walk { account_seq: 0, stored: genesis.clone(), computed: genesis, sums: Page::empty(name) };
        let mut after = i64::MIN;
        loop {
            let entries = snapshot.entries(name, after, PAGE_ENTRIES).await?;
            let Some(last) = entries.last() else { break };
            after = last.account_seq;
            for entry in &entries {
                self.entry(name, entry, &mut walk);
            }
        }
        let days = snapshot.day_totals(name).await?;
        match snapshot.account(name).await? {
            Some(account) => self.head(&account, &walk),
            None => self.differs(
                Subject::Account(name.to_owned()),
                format!(
                    "has {} entries and {} day totals, but there is no such account",
                    walk.account_seq,
                    days.len()
                ),
            ),
        }
        self.days(name, &walk, days);
        Ok(())
    }

    fn entry(&mut self, account: &str, entry: &StoredEntry, walk: &mut Walk) {
        self.report.entries += 1;
        let exchange_id = column(entry, "exchange_id").map_or_else(String::new, |value| match value {
            Value::Text(text) => text.clone(),
            other => other.to_string(),
        });
        let subject =
            Subject::Entry { exchange_id, account: account.to_owned(), account_seq: entry.account_seq };
        for what in chain_differences(entry, walk) {
            self.differs(subject.clone(), what);
        }
        match Debit::from_canonical(&entry.canonical) {
            Ok(debit) => self.debit(&subject, entry, &debit, walk),
            Err(bad) => self.differs(subject, format!("its canonical bytes are no debit: {bad}")),
        }
    }

    fn debit(&mut self, subject: &Subject, entry: &StoredEntry, debit: &Debit, walk: &mut Walk) {
        match book::columns(debit) {
            Ok(expected) => {
                for ((name, expected), found) in COLUMNS.iter().zip(&expected).zip(&entry.columns) {
                    if expected != found {
                        let what =
                            format!("column {name} is {found}, but its canonical bytes say {expected}");
                        self.differs(subject.clone(), what);
                    }
                }
            }
            Err(why) => {
                self.differs(subject.clone(), format!("its canonical bytes do not fit columns: {why}"))
            }
        }
        if let Err(bad) = debit.prove(self.bundle) {
            self.differs(subject.clone(), format!("does not prove itself: {bad}"));
        }
        walk.sums.add(&book::effect(debit));
        let cost = i128::from(debit.cost_pax.picopax());
        self.report.picopax += cost;
        if let Some(card) = self.bundle.by_sha256(&debit.card_sha256) {
            let sum = self.report.cards.entry((card.version, card.sha256)).or_default();
            sum.entries += 1;
            sum.picopax += cost;
        }
    }

    fn head(&mut self, account: &AccountRow, walk: &Walk) {
        let subject = || Subject::Account(account.name.clone());
        if account.account_seq != walk.account_seq {
            let what = format!(
                "its head is number {}, but the last entry found is number {}: entries or the head were changed",
                account.account_seq, walk.account_seq
            );
            self.differs(subject(), what);
        }
        if account.head_hash != walk.stored && account.head_hash != walk.computed {
            let what =
                format!("its head's hash is {}, but its last entry's is {}", account.head_hash, walk.stored);
            self.differs(subject(), what);
        }
        if account.balance != walk.sums.balance {
            let what =
                format!("its balance is {}, but its entries make {}", account.balance, walk.sums.balance);
            self.differs(subject(), what);
        }
        if walk.sums.balance.amount().is_none() {
            let what = beyond("balance", walk.sums.balance, &format!("--account {}", account.name));
            self.differs(subject(), what);
        }
    }

    fn days(&mut self, account: &str, walk: &Walk, found: Vec<(String, Sum)>) {
        let mut found: BTreeMap<String, Sum> = found.into_iter().collect();
        for (day, spent) in &walk.sums.days {
            if spent.amount().is_none() {
                let of = format!("--account {account} --since {day} --until {day}");
                let what = beyond(&format!("total of {day}"), *spent, &of);
                self.differs(Subject::Account(account.to_owned()), what);
            }
            let what = match found.remove(&day.to_string()) {
                Some(total) if total == *spent => continue,
                Some(total) => {
                    format!("its total of {day} is {total} PAX, but its entries make {spent} PAX")
                }
                None => format!("has no total of {day}, but its entries make {spent} PAX"),
            };
            self.differs(Subject::Account(account.to_owned()), what);
        }
        for (day, total) in found {
            let what = format!("has a total of {total} PAX on {day}, but no entry of that day");
            self.differs(Subject::Account(account.to_owned()), what);
        }
    }
}

/// The difference for a sum that no true costs can make, with what to do.
fn beyond(name: &str, sum: Sum, entries: &str) -> String {
    format!(
        "its {name} is {sum} PAX, beyond the range of an amount (9223372 PAX either way). It is kept exactly, and every \
         debit became an entry, but filters are told the end of the range. Look for the entries whose costs cannot \
         be: `pax-ledger entries {entries}`"
    )
}

/// Checks an entry's place in the chain, and takes the next step.
fn chain_differences(entry: &StoredEntry, walk: &mut Walk) -> Vec<String> {
    let mut found = Vec::new();
    let due = walk.account_seq.saturating_add(1);
    if entry.account_seq != due {
        found
            .push(format!("number {due} should stand here: entries are missing, or account_seq was changed"));
    }
    if entry.prev_hash != walk.stored && entry.prev_hash != walk.computed {
        let before = &walk.stored;
        found.push(format!("its prev_hash is {}, but the entry before has {before}", entry.prev_hash));
    }
    let hash = book::entry_hash(&entry.prev_hash, entry.account_seq, entry.recorded_at, &entry.canonical);
    walk.computed = hash.to_string();
    if entry.entry_hash != walk.computed {
        found.push(format!(
            "its entry_hash is {}, but its canonical bytes, account_seq, prev_hash and recorded_at make {}",
            entry.entry_hash, walk.computed
        ));
    }
    walk.account_seq = entry.account_seq;
    walk.stored.clone_from(&entry.entry_hash);
    found
}

fn column<'a>(entry: &'a StoredEntry, name: &str) -> Option<&'a Value> {
    COLUMNS.iter().position(|column| *column == name).and_then(|index| entry.columns.get(index))
}
