//! Records again what a restore has lost, from the file that was moved aside, for operators.

use std::path::Path;
use std::process::ExitCode;

use pax_gateway::base::clock::Moment;
use pax_gateway::base::wire::DebitOutcome;

use super::print;
use crate::book::{self, Act, Line, Made, Posting};
use crate::cards;
use crate::error::Error;
use crate::now;
use crate::store::{EntryFilter, Location, MadeAgain, Open, OperatorFilter, Store, StoredEntry, Writer};

/// The most lines of one transaction, as in the service.
const PAGE_ENTRIES: u32 = 1_000;

pub(super) async fn run(store: &Store, file: &Path, by: &str) -> Result<ExitCode, Error> {
    let other = Store::open(&Location::Sqlite(file.to_owned()), Open::Read).await?;
    let recovered = recover(store, &other, by).await;
    let undone = undone_acts(store, &other).await;
    other.close().await;
    let Recovered { recorded, known, quarantined, refused } = recovered?;
    print(&format!("recorded {recorded} entries of {}; {known} of its entries were here", file.display()))?;
    if quarantined > 0 {
        print(&format!(
            "{quarantined} could not be recorded: `pax-ledger quarantine list --unseen` shows them"
        ))?;
    }
    let undone = undone?;
    for act in &undone {
        print(&format!("an operator did this there, and it is NOT done here: {act}"))?;
    }
    let is_whole = quarantined + refused == 0 && undone.is_empty();
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What operators do to accounts and tokens: `recover` does none of it again, since it may have been done otherwise since.
const ACTS: [&str; 8] = [
    "account_cap",
    "account_close",
    "account_disable",
    "account_enable",
    "account_tier",
    "hold_void",
    "token_add",
    "token_revoke",
];

/// The actions of the other file's operators that this ledger does not know, the oldest first.
async fn undone_acts(store: &Store, other: &Store) -> Result<Vec<String>, Error> {
    let mut undone = Vec::new();
    let mut before = i64::MAX;
    loop {
        let page = other.operator_rows(&OperatorFilter::default(), before, PAGE_ENTRIES).await?;
        let Some(last) = page.last() else { break };
        before = last.seq;
        for row in &page {
            let [action, subject, key, by] =
                ["action", "subject", "key", "by"].map(|name| row.text(name).unwrap_or_default());
            if ACTS.contains(&action) && !store.knows_act(key).await? {
                undone.push(format!("{action} {subject}, by {by} (key {key})"));
            }
        }
    }
    undone.reverse();
    Ok(undone)
}

#[derive(Default)]
struct Recovered {
    recorded: u64,
    known: u64,
    quarantined: u64,
    refused: u64,
}

impl Recovered {
    async fn record(&mut self, writer: &mut Writer, debits: &[StoredEntry]) -> Result<(), Error> {
        let lines =
            debits.iter().map(|entry| (Line::read(&debit_bytes(entry)), recorded_at(entry), posting(entry)));
        for reply in writer.record_again(lines.collect()).await? {
            match reply.outcome {
                DebitOutcome::Recorded => self.recorded += 1,
                DebitOutcome::Duplicate | DebitOutcome::Superseded => self.known += 1,
                _ => self.quarantined += 1,
            }
        }
        Ok(())
    }

    /// Enters a grant or a correction again. Expiries the ledger makes anew, where they are due; a payout, when the operator
    /// closes the account again.
    async fn again(&mut self, store: &Store, entry: &StoredEntry, by: &str) -> Result<(), Error> {
        let number = entry.account_seq;
        let made = match Made::read(&entry.canonical) {
            Ok(Made::Expiry(_) | Made::Payout(_)) => return Ok(()),
            Ok(made) => made,
            Err(why) => {
                self.refused += 1;
                let account = entry.column("account").map(ToString::to_string).unwrap_or_default();
                return print(&format!("entry number {number} of account {account} cannot be read: {why}"));
            }
        };
        let key = made.key();
        let reason = "recovered after a restore".to_owned();
        let act = Act::new(key.to_owned(), by.to_owned(), Some(reason), now()).map_err(Error::Operator)?;
        match store.make_again(&act, &made, recorded_at(entry), posting(entry).as_ref()).await? {
            MadeAgain::Recorded => self.recorded += 1,
            MadeAgain::Known => self.known += 1,
            MadeAgain::Refused(why) => {
                self.refused += 1;
                print(&format!(
                    "{} {key:?} of account {} is not recorded: {why}",
                    made.kind(),
                    made.account()
                ))?;
            }
        }
        Ok(())
    }
}

fn recorded_at(entry: &StoredEntry) -> Moment {
    Moment::from_ms(u64::try_from(entry.recorded_at).unwrap_or(0))
}

/// What the other file knows of an entry beside its bytes. None of an entry from before postings.
fn posting(entry: &StoredEntry) -> Option<Posting> {
    entry.posting.as_deref().and_then(|line| Posting::read(line).ok())
}

/// Whether a filter sent the entry as a debit.
fn is_debit(entry: &StoredEntry) -> bool {
    book::is_debit(&entry.canonical) || better(entry).is_some()
}

/// The debit as a filter sent it.
fn debit_bytes(entry: &StoredEntry) -> Vec<u8> {
    better(entry).map_or_else(|| entry.canonical.clone(), String::into_bytes)
}

/// The better report that a correction embeds.
fn better(entry: &StoredEntry) -> Option<String> {
    match Made::read(&entry.canonical) {
        Ok(Made::Correction(correction)) => correction.better,
        _ => None,
    }
}

/// Whether the other file belongs to this ledger: the chain of some account begins with the same entry, or this
/// ledger has no entries yet.
async fn is_of_one_ledger(store: &Store, other: &Store) -> Result<bool, Error> {
    let mut is_empty = true;
    for account in store.accounts().await? {
        let first = EntryFilter { account: Some(account.name), ..EntryFilter::default() };
        let Some(own) = store.entries(&first, None, 1).await?.into_iter().next() else { continue };
        is_empty = false;
        let theirs = other.entries(&first, None, 1).await?;
        if theirs.first().is_some_and(|entry| entry.entry_hash == own.entry_hash) {
            return Ok(true);
        }
    }
    Ok(is_empty)
}

/// Records the entries of another file that this ledger lacks. A debit's bytes are the same in both files, so
/// an entry that is here already counts as a duplicate.
async fn recover(store: &Store, other: &Store, by: &str) -> Result<Recovered, Error> {
    let mut missing = Vec::new();
    for account in other.accounts().await? {
        if store.account(&account.name).await?.is_none() {
            missing.push(format!(
                "`pax-ledger account create {} --tier {}`",
                account.name,
                account.tier.name()
            ));
        }
    }
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(Error::Operator(format!(
            "nothing is recorded: that file has accounts that are not here, and their debits may be on their way. Create them first: {missing}. Their \
             tokens have to be made anew"
        )));
    }
    if !is_of_one_ledger(store, other).await? {
        return Err(Error::Operator(
            "nothing is recorded: no account's first entry here is its first entry in that file, so it is another gateway's \
             ledger. (A backup from before the very first entry cannot be told from one: then take the file that was moved aside \
             back, and restore a later backup)"
                .to_owned(),
        ));
    }
    // What is recorded again is proved by the cards under which it was priced.
    let cards = other.cards().await?;
    let texts: Vec<&str> = cards.iter().map(|card| card.text.as_str()).collect();
    cards::learn(store, &texts).await?;
    let mut writer = store.writer();
    let mut recovered = Recovered::default();
    let mut list = other.list().await?;
    let mut last: Option<StoredEntry> = None;
    loop {
        let page = list.page(&EntryFilter::default(), last.as_ref(), PAGE_ENTRIES).await?;
        last = page.last().cloned();
        if last.is_none() {
            break;
        }
        // In the order in which they were recorded: debits together, what the ledger made itself one by one.
        for part in page.chunk_by(|one, next| is_debit(one) && is_debit(next)) {
            match part {
                [one] if !is_debit(one) => recovered.again(store, one, by).await?,
                debits => recovered.record(&mut writer, debits).await?,
            }
        }
    }
    // What lots kept for holds is free now: no hold of the other file is open here.
    writer.expire(now()).await?;
    writer.close().await;
    Ok(recovered)
}
