//! Replay: checks everything that was ever recorded again, in one snapshot.
//!
//! For every entry it checks the bytes (read and written again), each column against them, the place and hash
//! in the chain, the token counts from the raw usage or the estimate's bytes, and the price under the entry's
//! own card. For every account: the head of its chain, its balance, its day totals, its holds and what the open ones set
//! aside, whether a lot that is over has expired, and whether a sum is beyond what an amount can be. For every stored card: its hash and version. For every append-only table: its
//! triggers, to the letter. For the quarantine: whether somebody has seen each line. For the operator log: its
//! chain, and whether accounts and tokens are as it left them. Memory does not grow with entries or rows.

mod difference;
mod operator_log;

mod chain;
mod heads;
mod holds;
mod made;

use std::collections::BTreeMap;

use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use pax_gateway::debit::frozen::Debit;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::RateTableVersion;

pub use self::difference::{Difference, Subject};
use self::holds::OpenHolds;
use crate::book::made::MADE_COLUMNS;
use crate::book::{self, COLUMNS, Entry, Made, Page, TooLarge, Value};
use crate::cards;
use crate::error::Error;
use crate::store::{ChainEntry, ChainPage, Quarantined, Snapshot};

/// How many entries are read at once, and how many holds.
const PAGE_ENTRIES: usize = 500;
const PAGE_HOLDS: usize = 500;

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
    let mut hear = |news: News<'_>| match news {
        News::Found(difference) => tell(difference),
        News::Replayed { .. } => {}
    };
    replay_heard(snapshot, built_in, &mut hear).await
}

/// What is told while a replay runs.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// Something differs.
    Found(&'a Difference),
    /// So many entries were replayed. `of` is about how many there are: the place of the last one.
    Replayed {
        /// How many.
        entries: u64,
        /// Of how many.
        of: u64,
    },
}

/// The same. `tell` also hears how far the replay has come.
///
/// # Errors
/// As of [`replay`].
pub async fn replay_heard(
    snapshot: &mut Snapshot,
    built_in: &Bundle,
    tell: &mut dyn FnMut(News<'_>),
) -> Result<Report, Error> {
    let last_place = u64::try_from(snapshot.last_place().await?).unwrap_or(0);
    // The stored cards come from the same snapshot as the entries; the built-in ones are added.
    let (bundle, mistakes) = cards::gather(built_in, &snapshot.cards().await?);
    let (report, page) = (Report::default(), ChainPage::default());
    let mut replay = Replay { bundle: &bundle, tell, report, page, last_place };
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
    tell: &'a mut dyn FnMut(News<'_>),
    report: Report,
    /// Its buffers are used again for each page of entries.
    page: ChainPage,
    /// The place of the last entry in the order of recording.
    last_place: u64,
}

/// How far the walk along a chain has come. The last entry's hash is kept both as stored and as computed. If
/// they differ, that entry has been named, and the next entry may follow either hash: otherwise one change
/// would name the whole rest of the chain.
struct Walk {
    account_seq: i64,
    stored: String,
    computed: String,
    /// The version of the last entry's hash, and when it was recorded.
    hash_v: i64,
    recorded_at: i64,
    /// Whether every entry so far has its own hash: if one was changed, its time may have been, and later times are not
    /// compared with it.
    is_sound: bool,
    /// When the last entry was recorded that concerned lots.
    lots_at: Moment,
    sums: Page,
}

impl Walk {
    fn new(account: &str) -> Self {
        let genesis = book::genesis(account).to_string();
        Self {
            account_seq: 0,
            stored: genesis.clone(),
            computed: genesis,
            hash_v: 1,
            recorded_at: i64::MIN,
            is_sound: true,
            lots_at: Moment::from_ms(0),
            sums: Page::empty(account),
        }
    }
}

impl Replay<'_> {
    fn differs(&mut self, subject: Subject, what: String) {
        self.report.differences += 1;
        (self.tell)(News::Found(&Difference { subject, what }));
    }

    async fn account(&mut self, snapshot: &mut Snapshot, name: &str) -> Result<(), Error> {
        self.report.accounts += 1;
        let mut walk = Walk::new(name);
        let mut page = std::mem::take(&mut self.page);
        let mut after = i64::MIN;
        loop {
            snapshot.chain_page((name, after), PAGE_ENTRIES, &mut page).await?;
            for entry in page.entries() {
                after = entry.account_seq;
                self.entry(snapshot, name, &entry, &mut walk).await?;
            }
            (self.tell)(News::Replayed { entries: self.report.entries, of: self.last_place });
            if page.len() < PAGE_ENTRIES {
                break;
            }
        }
        self.page = page;
        let open = self.holds(snapshot, name).await?;
        let days = snapshot.day_totals(name).await?;
        let account = snapshot.account(name).await?;
        let differences = match &account {
            Some(account) => heads::head(account, &walk),
            None => vec![format!(
                "has {} entries and {} day totals, but there is no such account",
                walk.account_seq,
                days.len()
            )],
        };
        let tokens = snapshot.token_days(name).await?;
        let lots = snapshot.lots(name).await?;
        let found = differences
            .into_iter()
            .chain(heads::days(name, &walk, &days))
            .chain(heads::tokens(&walk, &tokens))
            .chain(heads::lots(&walk, lots))
            .chain(heads::due(&walk, open.balance))
            .chain(account.as_ref().and_then(|account| heads::owed(account, &walk, open.balance)))
            .chain(open.differences(account.as_ref(), &days, &tokens));
        for what in found {
            self.differs(Subject::Account(name.to_owned()), what);
        }
        if let Some((_, key)) = account.as_ref().and_then(|account| account.closed.as_ref())
            && !snapshot.was_closed(name, key).await?
        {
            let what =
                format!("it is closed, but the operator log has no row with the key {key:?} that closes it");
            self.differs(Subject::Account(name.to_owned()), what);
        }
        Ok(())
    }

    /// Checks the account's holds. Gives what the open ones set aside.
    async fn holds(&mut self, snapshot: &mut Snapshot, name: &str) -> Result<OpenHolds, Error> {
        let mut open = OpenHolds::default();
        let mut after = String::new();
        loop {
            let page = snapshot.holds(name, &after, PAGE_HOLDS).await?;
            if let Some(last) = page.last() {
                after.clone_from(&last.exchange_id);
            }
            for hold in &page {
                open.add(hold);
                for what in holds::differences(hold, self.bundle) {
                    let (exchange_id, account) = (hold.exchange_id.clone(), hold.account.clone());
                    self.differs(Subject::Hold { exchange_id, account }, what);
                }
            }
            if page.len() < PAGE_HOLDS {
                return Ok(open);
            }
        }
    }

    async fn entry(
        &mut self,
        snapshot: &mut Snapshot,
        account: &str,
        entry: &ChainEntry<'_>,
        walk: &mut Walk,
    ) -> Result<(), Error> {
        self.report.entries += 1;
        let mut found = chain::differences(entry, walk);
        if book::is_debit(entry.canonical) {
            match Debit::from_canonical(entry.canonical) {
                Ok(debit) => self.debit(entry, &debit, walk, &mut found),
                Err(bad) => found.push(format!("its canonical bytes are no debit: {bad}")),
            }
        } else {
            match Made::read(entry.canonical) {
                Ok(made) => {
                    let proof = made::Proof { bundle: self.bundle, entry, walk: &*walk };
                    found.extend(proof.differences(snapshot, &made).await?);
                    take(entry, Entry::Made(&made), walk, &mut found);
                    self.report.picopax += i128::from(made.cost().picopax());
                }
                Err(bad) => found.push(format!("its canonical bytes are no entry: {bad}")),
            }
        }
        for what in found {
            self.differs(subject(account, entry), what);
        }
        Ok(())
    }

    fn debit(&mut self, entry: &ChainEntry<'_>, debit: &Debit, walk: &mut Walk, found: &mut Vec<String>) {
        if let Err(bad) = debit.prove(self.bundle) {
            found.push(format!("does not prove itself: {bad}"));
        }
        take(entry, Entry::Debit(debit), walk, found);
        let cost = i128::from(debit.cost_pax.picopax());
        self.report.picopax += cost;
        if let Some(card) = self.bundle.by_sha256(&debit.card_sha256) {
            let sum = self.report.cards.entry((card.version, card.sha256)).or_default();
            sum.entries += 1;
            sum.picopax += cost;
        }
    }
}

/// Compares an entry's columns and posting with what its canonical bytes say, and adds it to the sums and lots.
fn take(entry: &ChainEntry<'_>, read: Entry<'_>, walk: &mut Walk, found: &mut Vec<String>) {
    let (before, mut named) = (found.len(), COLUMNS.iter().chain(&MADE_COLUMNS).zip(entry.columns()));
    let compared = read.each_column(|expected| {
        if let Some((name, value)) = named.next()
            && expected != value
        {
            found.push(format!("column {name} is {value}, but its canonical bytes say {expected}"));
        }
        Ok::<_, TooLarge>(())
    });
    if let Err(why) = compared {
        found.truncate(before);
        found.push(format!("its canonical bytes do not fit columns: {why}"));
    }
    let effect = book::effect(read);
    found.extend(chain::posting_differences(entry, (read, &effect), walk));
    let recorded_at = moment(entry.recorded_at);
    walk.sums.apply(&effect, entry.account_seq, recorded_at);
    if effect.lots != book::OnLots::None {
        walk.lots_at = walk.lots_at.max(recorded_at);
    }
    walk.sums.account_seq = entry.account_seq;
    walk.sums.recorded_at = walk.sums.recorded_at.max(recorded_at);
}

/// An entry, by its exchange or its key.
fn subject(account: &str, entry: &ChainEntry<'_>) -> Subject {
    let named = |wanted| {
        let mut columns = COLUMNS.iter().chain(&MADE_COLUMNS).zip(entry.columns());
        columns.find(|(name, value)| **name == wanted && *value != Value::Null).map(|(_, value)| value)
    };
    let exchange_id =
        named("exchange_id").or_else(|| named("entry_key")).map_or_else(String::new, |value| match value {
            Value::Text(text) => text.to_owned(),
            other => other.to_string(),
        });
    Subject::Entry { exchange_id, account: account.to_owned(), account_seq: entry.account_seq }
}

/// The moment of a column that should hold milliseconds since 1970.
fn moment(ms: i64) -> Moment {
    Moment::from_ms(u64::try_from(ms).unwrap_or(0))
}
