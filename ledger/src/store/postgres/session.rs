//! The writer's session: transactions that are begun anew where the database asks for it.

use std::io;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pax_gateway::base::clock::Moment;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Error, Executor};

use super::hosts::{Hosts, SILENCE, within};
use super::image::Image;
use super::read::{lock, read};
use super::save::save;
use super::wanted::Wanted;
use crate::store::desk::{Answer, Desk, Fault};

/// No transaction is begun anew after this time: who waits for it has given up.
pub(in crate::store) const PATIENCE: Duration = Duration::from_secs(2);
/// How long a whole transaction may take, of which each statement has its own end.
const TRANSACTION: Duration = Duration::from_secs(6);
/// Gives back the locks that were taken at a desk.
const GIVE_BACK: &str = "ROLLBACK TO SAVEPOINT desk";
/// How long nobody looks again whether an earlier commit still waits.
const LOOKED: Duration = Duration::from_millis(500);
/// How long the session waits before it begins anew, after a host was lost.
const PAUSE: Duration = Duration::from_millis(50);

/// The writer's statements are long and few, and each finds its rows by an index. To plan one takes the server longer than to
/// do it, so it plans each once. If tables are empty then, it would choose to read them whole, and keep to that when they have
/// grown: hence no other way than by an index.
const PLANS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
    SET enable_mergejoin = off; SET jit = off";
/// The server's process of this session, and whether that of an earlier session waits for a standby. A process has a name
/// that no other has had, on any host.
const PROCESSES: &str = "WITH processes AS (SELECT pid, pid || '@' || extract(epoch FROM backend_start) AS name, wait_event \
    FROM pg_stat_activity WHERE usename = current_user) \
    SELECT (SELECT name FROM processes WHERE pid = pg_backend_pid()), \
    EXISTS (SELECT 1 FROM processes WHERE name = $1 AND wait_event = 'SyncRep')";

/// A connection of the writer's own.
#[derive(Debug)]
pub(in crate::store) struct Session {
    hosts: Hosts,
    connection: Option<PgConnection>,
    /// The server's process of the connection.
    process: Option<String>,
    /// The server's process of a connection that was given up before it had answered. If no synchronous standby confirms its
    /// commit, it waits, for hours if need be. Nothing else is begun meanwhile: each transaction would leave such a process
    /// behind, until the server takes no connection any more.
    waiting: Option<String>,
    /// When it was seen to wait last.
    seen: Option<Instant>,
}

impl Session {
    pub(in crate::store) fn new(hosts: &Hosts) -> Self {
        Self { hosts: hosts.clone(), connection: None, process: None, waiting: None, seen: None }
    }

    /// Works at the desk, in one transaction, which is begun anew if the database could not finish it. If the commit's
    /// answer was lost, the work is done again: what it did is found done then.
    pub(in crate::store) fn work<'a, T: Send + 'static>(
        &'a mut self,
        (wanted, now): (Wanted, Moment),
        work: &'a mut (impl FnMut(&mut Desk<'_>) -> Answer<T> + Send),
    ) -> BoxFuture<'a, Result<T, Error>> {
        let now = self.hosts.is_time_given.then_some(now);
        self.until_done(wanted, now, work).boxed()
    }

    async fn until_done<T: Send + 'static>(
        &mut self,
        mut wanted: Wanted,
        now: Option<Moment>,
        work: &mut (impl FnMut(&mut Desk<'_>) -> Answer<T> + Send),
    ) -> Result<T, Error> {
        let began = Instant::now();
        loop {
            let connected = match self.connection.take() {
                Some(connection) => Ok(connection),
                None => self.connect().await,
            };
            let error = match connected {
                Ok(mut connection) => {
                    let working = transaction(&mut connection, (&mut wanted, now), work);
                    match within(TRANSACTION, working).await {
                        Ok(done) => {
                            self.connection = Some(connection);
                            return Ok(done);
                        }
                        // With the connection ends a transaction that may be open.
                        Err(error @ Error::Database(_)) => {
                            let _ = within(SILENCE, connection.close()).await;
                            error
                        }
                        Err(error) => {
                            self.waiting = self.process.take();
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            if !is_worth_another_try(&error) || began.elapsed() >= PATIENCE {
                return Err(error);
            }
            tracing::warn!(%error, "a transaction is begun anew");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connect(&mut self) -> Result<PgConnection, Error> {
        let still_waits = || {
            let why = "an earlier commit still waits for the synchronous standby";
            Error::Io(io::Error::new(io::ErrorKind::WouldBlock, why))
        };
        if self.waiting.is_some() && self.seen.is_some_and(|seen| seen.elapsed() < LOOKED) {
            return Err(still_waits());
        }
        let mut connection = self.hosts.connect().await?;
        let asked = sqlx::query_as(PROCESSES).bind(self.waiting.as_deref()).fetch_one(&mut connection);
        let (process, is_waiting): (Option<String>, bool) = match within(SILENCE, asked).await {
            // Some do not let this role see its own sessions. Then nobody knows, and each commit that waits leaves one.
            Err(Error::Database(_)) => (None, false),
            asked => asked?,
        };
        if process.is_none() {
            tracing::warn!(
                "this role cannot see its own sessions in pg_stat_activity: if the standby is away, they may pile up"
            );
        }
        if is_waiting {
            self.seen = Some(Instant::now());
            let _ = within(SILENCE, connection.close()).await;
            return Err(still_waits());
        }
        within(SILENCE, connection.execute(PLANS)).await?;
        (self.process, self.waiting) = (process, None);
        Ok(connection)
    }

    pub(in crate::store) async fn close(self) {
        if let Some(connection) = self.connection {
            let _ = connection.close().await;
        }
    }
}

async fn transaction<T>(
    connection: &mut PgConnection,
    asked: (&mut Wanted, Option<Moment>),
    work: &mut (impl FnMut(&mut Desk<'_>) -> Answer<T> + Send),
) -> Result<T, Error> {
    (&mut *connection).execute("BEGIN").await?;
    let done = locked(connection, asked, work, "ROLLBACK; BEGIN").await?;
    connection.execute("COMMIT").await?;
    Ok(done)
}

/// Works at a desk, in a transaction that is open. `now` is when entries are recorded, if it is not the database's clock.
pub(in crate::store) async fn at_desk<T>(
    connection: &mut PgConnection,
    (mut wanted, now): (Wanted, Option<Moment>),
    work: &mut impl FnMut(&mut Desk<'_>) -> Answer<T>,
) -> Result<T, Error> {
    let began = Instant::now();
    (&mut *connection).execute("SAVEPOINT desk").await?;
    loop {
        match locked(connection, (&mut wanted, now), work, GIVE_BACK).await {
            Ok(done) => {
                connection.execute("RELEASE SAVEPOINT desk").await?;
                return Ok(done);
            }
            // What was done before stays: an act has its own row locked.
            Err(error) if is_for_another(&error) && began.elapsed() < PATIENCE => {
                (&mut *connection).execute(GIVE_BACK).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Locks, reads, works and writes. If an account is asked for that is not locked, `give_back` gives back the locks, so that
/// their order begins anew.
async fn locked<T>(
    connection: &mut PgConnection,
    (wanted, now): (&mut Wanted, Option<Moment>),
    work: &mut impl FnMut(&mut Desk<'_>) -> Answer<T>,
    give_back: &'static str,
) -> Result<T, Error> {
    let (done, image) = loop {
        lock(connection, wanted).await?;
        match attempt(connection, wanted, now, work).await? {
            Attempt::Done(done, image) => break (done, image),
            Attempt::Unread { is_locked: true } => {}
            Attempt::Unread { is_locked: false } => {
                (&mut *connection).execute(give_back).await?;
            }
        }
    };
    save(connection, &image).await?;
    Ok(done)
}

enum Attempt<T> {
    Done(T, Box<Image>),
    /// Something was asked for that was not read; it is wanted now. `is_locked`: all of it belongs to accounts that are
    /// locked already.
    Unread {
        is_locked: bool,
    },
}

async fn attempt<T>(
    connection: &mut PgConnection,
    wanted: &mut Wanted,
    now: Option<Moment>,
    work: &mut impl FnMut(&mut Desk<'_>) -> Answer<T>,
) -> Result<Attempt<T>, Error> {
    let rows = read(connection, wanted).await?;
    let now = now.unwrap_or(rows.now);
    let mut image = Box::new(Image::new(wanted.clone(), rows));
    let worked = {
        let mut desk = Desk::new(image.as_mut(), now);
        work(&mut desk).and_then(|done| desk.save().map(|()| done))
    };
    match worked {
        Ok(done) => Ok(Attempt::Done(done, image)),
        Err(Fault::Unread) => {
            let is_locked = image.missing.accounts.is_subset(&wanted.accounts);
            wanted.join(image.missing);
            Ok(Attempt::Unread { is_locked })
        }
        Err(fault) => Err(Error::Decode(fault.to_string().into())),
    }
}

/// Whether another transaction was chosen before this one, or kept its rows for too long.
pub(in crate::store) fn is_for_another(error: &Error) -> bool {
    const CODES: [&str; 3] = [
        "40001", // serialization_failure
        "40P01", // deadlock_detected
        "55P03", // lock_not_available
    ];
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| CODES.contains(&code.as_ref()))
}

/// Whether a transaction may succeed if it is begun anew: the database chose another one before it, its row was locked for
/// too long, another transaction made the same row, or the host is gone or takes no writes any more.
fn is_worth_another_try(error: &Error) -> bool {
    const CODES: [&str; 7] = [
        "23505", // unique_violation
        "25006", // read_only_sql_transaction
        "25P03", // idle_in_transaction_session_timeout
        "57P01", // admin_shutdown
        "57P02", // crash_shutdown
        "57P03", // cannot_connect_now
        "57014", // query_canceled
    ];
    match error {
        _ if is_for_another(error) => true,
        Error::Database(error) => error.code().is_some_and(|code| CODES.contains(&code.as_ref())),
        // An earlier commit waits for more than a moment.
        Error::Io(error) => error.kind() != io::ErrorKind::WouldBlock,
        Error::Tls(_) | Error::Protocol(_) | Error::Configuration(_) => true,
        _ => false,
    }
}
