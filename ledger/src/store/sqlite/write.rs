//! The writer: batches of debits and groups of holds, each in one transaction that is synced once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{DebitOutcome, DebitReply, HoldReply, Standing, Void};
use pax_gateway::debit::frozen::Debit;
use rusqlite::{Connection, TransactionBehavior};

use super::desk::Desk;
use super::failed;
use super::statements::{Found, Statements, connect};
use crate::book::hold::Hold;
use crate::book::{Line, Page, Posting, Received, Rejected};
use crate::error::Error;
use crate::store::{HoldState, Waiting};

/// Of how many accounts expiries are posted in one transaction.
const EXPIRED_AT_ONCE: u32 = 100;
/// How many holds expire in one transaction.
const LAPSED_AT_ONCE: u32 = 100;
/// How many ended holds, tombstones and leases are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 500;
/// How long a transaction of holds works before it is committed, and one of debits while a hold waits.
const SHARE: Duration = Duration::from_millis(2);

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
        self.record_some(lines, 0, now, (&Waiting::default(), 0)).await
    }

    /// Records lines in order from one of them on, in one transaction. Answers each line that it has recorded: at least
    /// one, and not all of them if holds wait meanwhile. These are durable on return.
    ///
    /// # Errors
    /// If the store fails: then no line was kept.
    pub async fn record_some(
        &mut self,
        lines: &Arc<Vec<Line>>,
        from: usize,
        now: Moment,
        (holds, least): (&Waiting, usize),
    ) -> Result<Vec<DebitReply>, Error> {
        let (lines, holds) = (Arc::clone(lines), holds.clone());
        let work = move |desk: &mut Desk<'_>| {
            let began = Instant::now();
            let lines = lines.iter().skip(from).map(|line| (line, now, None));
            record_each(desk, lines, |done| done >= least && holds.is_any() && began.elapsed() >= SHARE)
        };
        self.work(now, "recorded debits", work).await
    }

    /// Makes holds in order from one of them on, in one transaction. Answers each hold that it has decided: at least one, and not all of them
    /// if that took long. Those that were made are durable on return.
    ///
    /// # Errors
    /// If the store fails: then no hold was made.
    pub async fn hold(
        &mut self,
        holds: &Arc<Vec<Hold>>,
        from: usize,
        now: Moment,
    ) -> Result<Vec<HoldReply>, Error> {
        let holds = Arc::clone(holds);
        let work = move |desk: &mut Desk<'_>| {
            let began = Instant::now();
            let mut replies = Vec::with_capacity(holds.len());
            for hold in holds.iter().skip(from) {
                replies.push(desk.hold(hold)?);
                if began.elapsed() >= SHARE {
                    break;
                }
            }
            Ok(replies)
        };
        self.work(now, "made holds", work).await
    }

    /// Renews the leases of Envoys.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn renew(&mut self, envoys: Vec<String>, now: Moment) -> Result<(), Error> {
        let renew =
            move |desk: &mut Desk<'_>| envoys.iter().try_for_each(|it| desk.statements.renew_lease(it, now));
        self.work(now, "renewed leases", renew).await
    }

    /// Counts all leases as renewed now: no Envoy could renew its own for a while, or nobody knows for how long it has
    /// not done so. If the clock was set, nobody knows either how old open holds are.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn renew_all(&mut self, now: Moment, clock_was_set: bool) -> Result<(), Error> {
        self.work(now, "renewed leases", move |desk| desk.renew_leases(clock_was_set)).await
    }

    /// Expires open holds that live no longer, in one transaction: not all if there are many. Gives how many.
    ///
    /// # Errors
    /// If the store fails: then none has expired.
    pub async fn expire_holds(&mut self, now: Moment) -> Result<usize, Error> {
        self.work(now, "expired holds", |desk| desk.expire_holds(LAPSED_AT_ONCE)).await
    }

    /// Expires all open holds: the Envoys that have them know another file of this ledger. Gives how many.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn expire_all_holds(&mut self, now: Moment) -> Result<usize, Error> {
        let mut all = 0;
        loop {
            let expired = self.work(now, "expired holds", |desk| {
                let open = desk.statements.open_holds(LAPSED_AT_ONCE)?;
                open.iter().try_for_each(|row| desk.release(row, HoldState::Expired))?;
                Ok(open.len())
            });
            match expired.await? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    }

    /// Forgets, in one transaction, ended holds, tombstones and leases that nobody can need any more: not all if there
    /// are many. Gives how many.
    ///
    /// # Errors
    /// If the store fails: then nothing was forgotten.
    pub async fn prune(&mut self, now: Moment) -> Result<usize, Error> {
        self.work(now, "forgot holds", move |desk| desk.statements.prune(now, FORGOTTEN_AT_ONCE)).await
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

    /// Records lines again that another file of this ledger has, each at the moment at which it was recorded there, and
    /// with what its posting says of holds: so a lot that was alive then is drawn on.
    ///
    /// # Errors
    /// If the store fails: then no line was kept.
    pub async fn record_again(
        &mut self,
        lines: Vec<(Line, Moment, Option<Posting>)>,
    ) -> Result<Vec<DebitReply>, Error> {
        let now = lines.first().map_or_else(|| Moment::from_ms(0), |(_, at, _)| *at);
        self.work(now, "recorded debits again", move |desk| {
            let lines = lines.iter().map(|(line, at, posting)| (line, *at, posting.as_ref()));
            record_each(desk, lines, |_| false)
        })
        .await
    }

    /// Posts all expiries that are due.
    ///
    /// # Errors
    /// If the store fails: then those of some accounts were not posted.
    pub async fn expire(&mut self, now: Moment) -> Result<(), Error> {
        let mut last = String::new();
        while let Some(account) = self.expire_after(last, now).await? {
            last = account;
        }
        Ok(())
    }

    /// Posts the expiries that are due of accounts whose names come after this one, in one transaction. Gives the last of
    /// these accounts; none if there is none left.
    ///
    /// # Errors
    /// If the store fails: then none was posted.
    pub async fn expire_after(&mut self, after: String, now: Moment) -> Result<Option<String>, Error> {
        let expire = move |desk: &mut Desk<'_>| {
            let mut accounts = desk.statements.accounts_with_due_lots(&after, now, EXPIRED_AT_ONCE)?;
            for account in &accounts {
                desk.post_due(account)?;
            }
            Ok(accounts.pop())
        };
        self.work(now, "posted expiries", expire).await
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

/// Records lines in order, each at its moment and, if it was recorded before, with its posting of then. Stops after a
/// line if `is_enough`.
fn record_each<'a>(
    desk: &mut Desk<'_>,
    lines: impl Iterator<Item = (&'a Line, Moment, Option<&'a Posting>)>,
    is_enough: impl Fn(usize) -> bool,
) -> Result<Vec<DebitReply>, rusqlite::Error> {
    let epoch = desk.statements.epoch()?;
    let mut recording = Recording { desk, epoch, is_sent_again: false };
    let mut replies = Vec::with_capacity(lines.size_hint().0);
    for (line, at, again) in lines {
        recording.desk.now = at;
        replies.push(match line {
            Line::Debit(received) => recording.record(received, again)?,
            Line::Void(void) => recording.void(void)?,
            Line::Needless(exchange) => voided(exchange),
            Line::Rejected(rejected) => recording.quarantine(rejected, DebitOutcome::Rejected)?,
        });
        if is_enough(replies.len()) {
            break;
        }
    }
    Ok(replies)
}

fn voided(exchange: &ExchangeId) -> DebitReply {
    DebitReply {
        exchange_id: exchange.to_string(),
        outcome: DebitOutcome::Voided,
        account_seq: None,
        standing: None,
        message: None,
    }
}

impl Recording<'_, '_> {
    /// Most debits are new, so an entry is inserted at once, and looked for only if it cannot be: an exchange that
    /// has an entry already is a duplicate or a conflict, whatever else is wrong with the line. But a filter that
    /// was not answered sends the whole batch again, so after one such exchange the next one is looked for first.
    fn record(
        &mut self,
        received: &Received,
        again: Option<&Posting>,
    ) -> Result<DebitReply, rusqlite::Error> {
        if self.is_sent_again
            && let Some(reply) = self.known(received)?
        {
            return Ok(reply);
        }
        self.is_sent_again = false;
        let debit = &received.debit;
        let why = match self.desk.post(received, again)? {
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

    /// Ends a hold without a charge.
    fn void(&mut self, void: &Void) -> Result<DebitReply, rusqlite::Error> {
        match self.desk.void(void)? {
            Ok(()) => Ok(voided(&void.void)),
            Err(why) => {
                let line = serde_json::to_vec(void).unwrap_or_default();
                let mut rejected = Rejected::new(&line, why);
                rejected.exchange_id = Some(void.void);
                self.quarantine(&rejected, DebitOutcome::Rejected)
            }
        }
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
