//! The writer: batches of debits, each in one transaction that is synced once.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{DebitOutcome, DebitReply, Standing};
use rusqlite::{Connection, TransactionBehavior};

use super::failed;
use super::statements::{Found, Opened, Statements, connect, is_refused};
use crate::book::{Page, Received, Rejected};
use crate::error::Error;
use crate::store::Line;

/// Records debits over a connection of its own.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    connection: Option<Connection>,
}

/// The open pages of a transaction: that of each account that it touches, or why there is none.
// B
struct Desk<'a> {
    statements: Statements<'a>,
    pages: HashMap<String, Result<OpenPage, String>>,
    /// The ledger's epoch, for each standing.
    epoch: u64,
    /// When the entries of the transaction are recorded.
    now: Moment,
    /// Whether the debit before this one had an entry already.
    is_sent_again: bool,
}

struct OpenPage {
    page: Page,
    /// The days whose total was looked up, even if there was none.
    days: HashSet<UtcDay>,
    touched: bool,
}

impl Writer {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, connection: None }
    }

    /// Records lines in order, in one transaction. Answers each line. All are durable on return.
    ///
    /// # Errors
    /// If the store fails: then no line was kept.
    pub async fn record(&mut self, lines: &Arc<Vec<Line>>, now: Moment) -> Result<Vec<DebitReply>, Error> {
        let (path, lines, connected) = (self.path.clone(), Arc::clone(lines), self.connection.take());
        // The disk is waited for, so another thread does it.
        let recording = tokio::task::spawn_blocking(move || {
            let mut connection = match connected {
                Some(connection) => connection,
                None => connect(&path).map_err(failed("connected to write"))?,
            };
            let replies = record(&mut connection, &lines, now).map_err(failed("recorded debits"))?;
            Ok::<_, Error>((connection, replies))
        });
        let (connection, replies) = recording.await.map_err(failed("recorded debits"))??;
        // Only a connection whose transaction succeeded is used again.
        self.connection = Some(connection);
        Ok(replies)
    }

    /// Closes the connection.
    pub async fn close(self) {
        let Some(connection) = self.connection else { return };
        // The last connection to close folds the log into the file, which can take a while.
        let closing = tokio::task::spawn_blocking(move || connection.close().map_err(|(_, error)| error));
        if let Ok(Err(error)) = closing.await {
            tracing::warn!(%error, "the writer's connection did not close well");
        }
    }
}

fn record(
    connection: &mut Connection,
    lines: &[Line],
    now: Moment,
) -> Result<Vec<DebitReply>, rusqlite::Error> {
    // Immediate, because a transaction that first reads and then writes could find its snapshot stale.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut statements = Statements::prepare(&tx)?;
    let epoch = statements.epoch()?;
    let mut desk = Desk { statements, pages: HashMap::new(), epoch, now, is_sent_again: false };
    let mut replies = Vec::with_capacity(lines.len());
    for line in lines {
        replies.push(match line {
            Ok(received) => desk.record(received)?,
            Err(rejected) => desk.quarantine(rejected, DebitOutcome::Rejected)?,
        });
    }
    desk.save()?;
    tx.commit()?;
    Ok(replies)
}

impl Desk<'_> {
    /// Most debits are new, so an entry is inserted at once, and looked for only if it cannot be: an exchange that
    /// has an entry already is a duplicate or a conflict, whatever else is wrong with the line. But a filter that
    /// was not answered sends the whole batch again, so after one such exchange the next one is looked for first.
    fn record(&mut self, received: &Received) -> Result<DebitReply, rusqlite::Error> {
        if self.is_sent_again
            && let Some(reply) = self.known(received)?
        {
            return Ok(reply);
        }
        let entered = self.enter(received)?;
        self.is_sent_again = false;
        let why = match entered {
            Ok(recorded) => return Ok(recorded),
            Err(why) => why,
        };
        if let Some(reply) = self.known(received)? {
            self.is_sent_again = true;
            return Ok(reply);
        }
        self.quarantine(&Rejected::new(&received.canonical, why), DebitOutcome::Rejected)
    }

    /// Answers a debit whose exchange has an entry; none if it has none.
    fn known(&mut self, received: &Received) -> Result<Option<DebitReply>, rusqlite::Error> {
        let (debit, epoch) = (&received.debit, self.epoch);
        Ok(Some(match self.statements.find(&debit.exchange_id, &received.canonical)? {
            Found::Nothing => return Ok(None),
            Found::Same { account_seq } => {
                // If the account's page cannot be read, no standing is known either.
                let open = self.open(&debit.account, debit.utc_day)?;
                let standing = open.ok().and_then(|open| standing(&open.page, debit.utc_day, epoch));
                reply(&debit.exchange_id, DebitOutcome::Duplicate, account_seq, standing)
            }
            Found::Other { account_seq } => {
                let why = format!("entry {account_seq} of the account has other bytes for this exchange");
                self.quarantine(&Rejected::new(&received.canonical, why), DebitOutcome::Conflict)?
            }
        }))
    }

    /// Makes the debit an entry of its account, or tells why it cannot become one.
    fn enter(&mut self, received: &Received) -> Result<Result<DebitReply, String>, rusqlite::Error> {
        let (debit, epoch, now) = (&received.debit, self.epoch, self.now);
        let mut after = match self.open(&debit.account, debit.utc_day)? {
            Ok(open) => open.page.clone(),
            Err(why) => return Ok(Err(why)),
        };
        let link = match after.post(debit, &received.canonical, now) {
            Ok(link) => link,
            Err(why) => return Ok(Err(why)),
        };
        match self.statements.insert(received, &link) {
            Ok(()) => {}
            // The exchange has an entry; or, if it has none, the database was changed by hand. The other lines
            // of the batch must not wait for that.
            Err(error) if is_refused(&error) => {
                let why = format!("the database refused the entry: {error}; run `pax-ledger replay`");
                return Ok(Err(why));
            }
            Err(error) => return Err(error),
        }
        let standing = standing(&after, debit.utc_day, epoch);
        if let Some(Ok(open)) = self.pages.get_mut(&debit.account) {
            (open.page, open.touched) = (after, true);
        }
        Ok(Ok(reply(&debit.exchange_id, DebitOutcome::Recorded, link.account_seq, standing)))
    }

    /// Opens the account's page, with the total of the day.
    fn open(&mut self, account: &str, day: UtcDay) -> Result<Result<&mut OpenPage, String>, rusqlite::Error> {
        if !self.pages.contains_key(account) {
            let page = match self.statements.open(account, day)? {
                Opened::Page(page) => Ok(OpenPage { page, days: HashSet::from([day]), touched: false }),
                Opened::Nothing => Err(format!("there is no account {account:?}")),
                Opened::Damaged => {
                    Err(format!("the chain of account {account:?} is damaged: run `pax-ledger replay`"))
                }
            };
            self.pages.insert(account.to_owned(), page);
        }
        let open = match self.pages.get_mut(account) {
            Some(Ok(open)) => open,
            Some(Err(why)) => return Ok(Err(why.clone())),
            None => return Ok(Err(format!("there is no account {account:?}"))),
        };
        if open.days.insert(day)
            && let Some(spent) = self.statements.spent(account, day)?
        {
            open.page.days.insert(day, spent);
        }
        Ok(Ok(open))
    }

    /// Writes the heads and sums of the pages that have new entries.
    fn save(mut self) -> Result<(), rusqlite::Error> {
        for (account, page) in &self.pages {
            if let Ok(OpenPage { page, touched: true, .. }) = page {
                self.statements.save(account, page)?;
            }
        }
        Ok(())
    }

    fn quarantine(&mut self, line: &Rejected, outcome: DebitOutcome) -> Result<DebitReply, rusqlite::Error> {
        let reason = if outcome == DebitOutcome::Conflict { "conflict" } else { "rejected" };
        let exchange_id = line.exchange_id.map(|id| id.to_string());
        self.statements.quarantine(line, exchange_id.as_deref(), reason, self.now)?;
        let message = Some(line.why.clone());
        let exchange_id = exchange_id.unwrap_or_default();
        Ok(DebitReply { exchange_id, outcome, account_seq: None, standing: None, message })
    }
}

/// The account's standing from its page, on a day whose total the page knows.
fn standing(page: &Page, utc_day: UtcDay, epoch: u64) -> Option<Standing> {
    let account_seq = u64::try_from(page.account_seq).ok()?;
    let spent_pax = page.days.get(&utc_day).copied().unwrap_or_default().nearest();
    Some(Standing { utc_day, spent_pax, account_seq, epoch })
}

fn reply(
    exchange_id: &ExchangeId,
    outcome: DebitOutcome,
    account_seq: i64,
    standing: Option<Standing>,
) -> DebitReply {
    let account_seq = u64::try_from(account_seq).ok();
    DebitReply { exchange_id: exchange_id.to_string(), outcome, account_seq, standing, message: None }
}
