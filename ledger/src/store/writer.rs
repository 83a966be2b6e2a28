//! The writer: batches of debits and groups of holds, each in one transaction that is synced once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pax_gateway::base::clock::Moment;
use pax_gateway::base::wire::{DebitReply, HoldReply};
use sqlx::SqlitePool;

use super::desk::{Answer, Desk, record_each};
use super::postgres::{Hosts, Session, Wanted};
use super::sql::Pool;
use super::sqlite::Connected;
use super::{Waiting, failed};
use crate::book::hold::Hold;
use crate::book::{Line, Posting};
use crate::error::Error;

/// How long a transaction of holds works before it is committed, and one of debits while a hold waits.
const SHARE: Duration = Duration::from_millis(2);

/// How many lines share a transaction in PostgreSQL: its accounts are locked until all are written.
const LINES: usize = 250;

/// Records debits and makes holds, over a connection of its own.
#[derive(Debug)]
pub struct Writer {
    /// For upkeep: a connection that no look-up can take.
    pub(super) pool: Pool,
    connection: Connection,
}

#[derive(Debug)]
enum Connection {
    Sqlite(Connected),
    Postgres(Session),
}

impl Writer {
    pub(super) fn sqlite(pool: SqlitePool, connected: Connected) -> Self {
        Self { pool: Pool::Sqlite(pool), connection: Connection::Sqlite(connected) }
    }

    pub(super) fn postgres(hosts: Hosts, session: Session) -> Self {
        Self { pool: Pool::Postgres(hosts), connection: Connection::Postgres(session) }
    }

    /// Records lines in order. Answers each line. All are durable on return.
    ///
    /// # Errors
    /// If the store fails: then a part of the lines may have been kept, and all can be sent again.
    pub async fn record(&mut self, lines: &Arc<Vec<Line>>, now: Moment) -> Result<Vec<DebitReply>, Error> {
        let mut replies = Vec::with_capacity(lines.len());
        while replies.len() < lines.len() {
            replies.extend(self.record_some(lines, replies.len(), now, (&Waiting::default(), 0)).await?);
        }
        Ok(replies)
    }

    /// Records lines in order from one of them on, in one transaction. Answers each line that it has recorded: at least
    /// one, and not all of them if they are many or if holds wait meanwhile. These are durable on return.
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
        let most = if matches!(self.connection, Connection::Postgres(_)) { LINES } else { usize::MAX };
        let known = Arc::clone(&lines);
        let wanted = move |wanted: &mut Wanted| {
            known.iter().skip(from).take(most).for_each(|line| wanted.line(line));
        };
        let work = move |desk: &mut Desk<'_>| {
            let began = Instant::now();
            let lines = lines.iter().skip(from).take(most).map(|line| (line, None, None));
            record_each(desk, lines, |done| done >= least && holds.is_any() && began.elapsed() >= SHARE)
        };
        self.work(now, "recorded debits", wanted, work).await
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
        let (holds, known) = (Arc::clone(holds), Arc::clone(holds));
        let wanted = move |wanted: &mut Wanted| known.iter().skip(from).for_each(|hold| wanted.hold(hold));
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
        self.work(now, "made holds", wanted, work).await
    }

    /// Renews the leases of Envoys.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn renew(&mut self, envoys: Vec<String>, now: Moment) -> Result<(), Error> {
        let known = envoys.clone();
        let wanted = move |wanted: &mut Wanted| known.iter().for_each(|envoy| wanted.envoy(envoy));
        let renew = move |desk: &mut Desk<'_>| {
            let now = desk.now;
            envoys.iter().try_for_each(|envoy| desk.books.renew_lease(envoy, now))
        };
        self.work(now, "renewed leases", wanted, renew).await
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
        let lines = Arc::new(lines);
        let known = Arc::clone(&lines);
        let wanted = move |wanted: &mut Wanted| known.iter().for_each(|(line, ..)| wanted.line(line));
        let work = move |desk: &mut Desk<'_>| {
            let lines = lines.iter().map(|(line, at, posting)| (line, Some(*at), posting.as_ref()));
            record_each(desk, lines, |_| false)
        };
        self.work(now, "recorded debits again", wanted, work).await
    }

    /// Works at the desk, in one transaction. On return what was done is durable. `wanted` names what the work will ask
    /// for; what it leaves out is read once the work has asked for it.
    pub(super) async fn work<T: Send + 'static>(
        &mut self,
        now: Moment,
        doing: &'static str,
        wanted: impl FnOnce(&mut Wanted),
        mut work: impl FnMut(&mut Desk<'_>) -> Answer<T> + Send + 'static,
    ) -> Result<T, Error> {
        match &mut self.connection {
            Connection::Sqlite(connected) => connected.work(now, doing, work).await,
            Connection::Postgres(session) => {
                let mut first = Wanted::default();
                wanted(&mut first);
                session.work((first, now), &mut work).await.map_err(failed(doing))
            }
        }
    }

    /// Closes its connections.
    pub async fn close(self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(hosts) => hosts.close().await,
        }
        match self.connection {
            Connection::Sqlite(connected) => connected.close().await,
            Connection::Postgres(session) => session.close().await,
        }
    }
}
