//! The writer: batches of debits, each in one transaction that is synced once.

use std::path::PathBuf;
use std::sync::Arc;

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{DebitOutcome, DebitReply, Standing};
use pax_gateway::debit::frozen::Debit;
use rusqlite::{Connection, TransactionBehavior};

use super::desk::Desk;
use super::failed;
use super::statements::{Found, Statements, connect};
use crate::book::{Entry, Page, Received, Rejected};
use crate::error::Error;
use crate::store::Line;

/// Of how many accounts expiries are posted in one transaction.
const EXPIRED_AT_ONCE: u32 = 100;

/// Records debits over a connection of its own.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    connection: Option<Connection>,
}

/// A transaction of debits.
pub(super) struct Recording<'a, 'tx> {
    pub(super) desk: &'a mut Desk<'tx>,
    /// The ledger's epoch, for each standing.
    epoch: u64,
    /// Whether the debit before this one had an entry already.
    is_sent_again: bool,
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
        let lines = Arc::clone(lines);
        self.work(now, "recorded debits", move |desk| record(desk, &lines)).await
    }

    /// Works at the desk, in one transaction. On return what was done is durable.
    async fn work<T: Send + 'static>(
        &mut self,
        now: Moment,
        doing: &'static str,
        work: impl FnOnce(&mut Desk<'_>) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (path, connected) = (self.path.clone(), self.connection.take());
        // The disk is waited for, so another thread does it.
        let working = tokio::task::spawn_blocking(move || {
            let mut connection = match connected {
                Some(connection) => connection,
                None => connect(&path).map_err(failed("connected to write"))?,
            };
            let done = in_transaction(&mut connection, now, work).map_err(failed(doing))?;
            Ok::<_, Error>((connection, done))
        });
        let (connection, done) = working.await.map_err(failed(doing))??;
        // Only a connection whose transaction succeeded is used again.
        self.connection = Some(connection);
        Ok(done)
    }

    /// Records lines again that another file of this ledger has, each at the moment at which it was recorded there: so a
    /// lot that was alive then is drawn on.
    ///
    /// # Errors
    /// If the store fails: then no line was kept.
    pub async fn record_again(&mut self, lines: Vec<(Line, Moment)>) -> Result<Vec<DebitReply>, Error> {
        let now = lines.first().map_or_else(|| Moment::from_ms(0), |(_, at)| *at);
        self.work(now, "recorded debits again", move |desk| {
            let lines = lines.iter().map(|(line, at)| (line, *at));
            record_each(desk, lines)
        })
        .await
    }

    /// Posts all expiries that are due.
    ///
    /// # Errors
    /// If the store fails: then those of at most [`EXPIRED_AT_ONCE`] accounts, and of the accounts after them, were not
    /// posted.
    pub async fn expire(&mut self, now: Moment) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let from = after.clone();
            let accounts = self.work(now, "posted expiries", move |desk| {
                let accounts = desk.statements.accounts_with_due_lots(&from, now, EXPIRED_AT_ONCE)?;
                for account in &accounts {
                    if let Err(why) = desk.expire(account)? {
                        tracing::error!(
                            account,
                            why,
                            "a lot that is over could not be taken out of the balance"
                        );
                    }
                }
                Ok(accounts)
            });
            match accounts.await?.pop() {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
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

fn in_transaction<T>(
    connection: &mut Connection,
    now: Moment,
    work: impl FnOnce(&mut Desk<'_>) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    // Immediate, because a transaction that first reads and then writes could find its snapshot stale.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut desk = Desk::new(Statements::prepare(&tx)?, now);
    let done = work(&mut desk)?;
    desk.save()?;
    drop(desk);
    tx.commit()?;
    Ok(done)
}

fn record(desk: &mut Desk<'_>, lines: &[Line]) -> Result<Vec<DebitReply>, rusqlite::Error> {
    let now = desk.now;
    record_each(desk, lines.iter().map(|line| (line, now)))
}

/// Records lines in order, each at its moment.
fn record_each<'a>(
    desk: &mut Desk<'_>,
    lines: impl Iterator<Item = (&'a Line, Moment)>,
) -> Result<Vec<DebitReply>, rusqlite::Error> {
    let epoch = desk.statements.epoch()?;
    let mut recording = Recording { desk, epoch, is_sent_again: false };
    let mut replies = Vec::with_capacity(lines.size_hint().0);
    for (line, at) in lines {
        recording.desk.now = at;
        replies.push(match line {
            Ok(received) => recording.record(received)?,
            Err(rejected) => recording.quarantine(rejected, DebitOutcome::Rejected)?,
        });
    }
    Ok(replies)
}

impl Recording<'_, '_> {
    /// Most debits are new, so an entry is inserted at once, and looked for only if it cannot be: an exchange that
    /// has an entry already is a duplicate or a conflict, whatever else is wrong with the line. But a filter that
    /// was not answered sends the whole batch again, so after one such exchange the next one is looked for first.
    fn record(&mut self, received: &Received) -> Result<DebitReply, rusqlite::Error> {
        if self.is_sent_again
            && let Some(reply) = self.known(received)?
        {
            return Ok(reply);
        }
        self.is_sent_again = false;
        let debit = &received.debit;
        let why = match self.desk.enter(Entry::Debit(debit), &received.canonical)? {
            Ok(link) => {
                let standing = self.standing(debit)?;
                return Ok(reply(&debit.exchange_id, DebitOutcome::Recorded, link.account_seq, standing));
            }
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
        let debit = &received.debit;
        Ok(Some(match self.desk.statements.find(&debit.exchange_id, &received.canonical)? {
            Found::Nothing => return Ok(None),
            Found::Same { account_seq } => {
                let standing = self.standing(debit)?;
                reply(&debit.exchange_id, DebitOutcome::Duplicate, account_seq, standing)
            }
            Found::Other { account_seq } => self.later(received, account_seq)?,
        }))
    }

    /// The standing of a debit's account on its day. None if the account's page cannot be read.
    pub(super) fn standing(&mut self, debit: &Debit) -> Result<Option<Standing>, rusqlite::Error> {
        let epoch = self.epoch;
        let open = self.desk.open(&debit.account, debit.utc_day)?;
        Ok(open.ok().and_then(|open| standing(&open.page, debit.utc_day, epoch)))
    }

    pub(super) fn quarantine(
        &mut self,
        line: &Rejected,
        outcome: DebitOutcome,
    ) -> Result<DebitReply, rusqlite::Error> {
        let reason = if outcome == DebitOutcome::Conflict { "conflict" } else { "rejected" };
        let exchange_id = line.exchange_id.map(|id| id.to_string());
        let now = self.desk.now;
        self.desk.statements.quarantine(line, exchange_id.as_deref(), reason, now)?;
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

pub(super) fn reply(
    exchange_id: &ExchangeId,
    outcome: DebitOutcome,
    account_seq: i64,
    standing: Option<Standing>,
) -> DebitReply {
    let account_seq = u64::try_from(account_seq).ok();
    DebitReply { exchange_id: exchange_id.to_string(), outcome, account_seq, standing, message: None }
}
