//! Connections to PostgreSQL. Of several hosts, the one that takes writes is used, and looked for again if it does so no
//! longer.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select_ok};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, Postgres, Transaction};
use tokio::sync::Mutex;

use crate::store::location::PostgresUrl;

/// What every session is told. A lock, a statement and an idle transaction end by themselves, so that a session that hangs
/// does not stop the others.
const TIMEOUTS: [(&str, &str); 3] =
    [("lock_timeout", "1s"), ("statement_timeout", "2s"), ("idle_in_transaction_session_timeout", "2s")];
/// How long one host may take to answer a new connection.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a look-up may wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);
/// How long an answer may take of a host that may be gone without a word: longer than any statement's own end.
pub(in crate::store) const SILENCE: Duration = Duration::from_secs(4);
/// How long a connection may take to show that it can be used again.
const RELEASE: Duration = Duration::from_secs(1);
/// How long the host that was found last is not looked for again.
const FOUND: Duration = Duration::from_secs(1);
/// Look-ups at the same time.
const READERS: u32 = 8;

/// Whether a session takes writes, asked of the session itself. A session that would not wait for the disk, or for the
/// synchronous standby, is told to: what was acknowledged is durable.
const WRITABLE: &str = "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' \
    AND set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on' \
    ELSE current_setting('synchronous_commit') END, false) IS NOT NULL";

/// The hosts of a ledger, with connections to the one that takes writes. Clones share them.
#[derive(Clone)]
pub(in crate::store) struct Hosts {
    all: Arc<Vec<PgConnectOptions>>,
    pool: PgPool,
    /// When the host that takes writes was found last.
    found: Arc<Mutex<Option<Instant>>>,
    /// Whether the time is what callers say, and not what the database's clock says.
    pub(in crate::store) is_time_given: bool,
}

impl std::fmt::Debug for Hosts {
    /// Without passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all.iter().map(PgConnectOptions::get_host)).finish()
    }
}

impl Hosts {
    /// Makes no connection yet.
    pub(super) fn new(url: &PostgresUrl) -> Result<Self, String> {
        let hosts = url.hosts().map_err(|error| error.to_string())?;
        let all: Vec<_> = hosts
            .into_iter()
            .map(|host| {
                let host = if host.get_application_name().is_none() {
                    host.application_name("pax-ledger")
                } else {
                    host
                };
                host.options(TIMEOUTS).disable_statement_logging()
            })
            .collect();
        let first = all.first().cloned().ok_or_else(|| "it names no host".to_owned())?;
        let pool = pool(READERS, first);
        Ok(Self { all: Arc::new(all), pool, found: Arc::default(), is_time_given: false })
    }

    /// The same hosts, with a connection that nobody else takes.
    pub(in crate::store) fn apart(&self) -> Self {
        let options = self.pool.connect_options().as_ref().clone();
        Self { pool: pool(1, options), ..self.clone() }
    }

    /// A connection to the host that takes writes.
    pub(in crate::store) fn connection(
        &self,
    ) -> BoxFuture<'_, Result<PoolConnection<Postgres>, sqlx::Error>> {
        async move {
            match self.pool.acquire().await {
                Ok(connection) => Ok(connection),
                // The host may have lost its place to another one.
                Err(_) => {
                    self.look().await?;
                    self.pool.acquire().await
                }
            }
        }
        .boxed()
    }

    /// Looks for the host that takes writes, unless somebody else has found it a moment ago: many look-ups may wait.
    async fn look(&self) -> Result<(), sqlx::Error> {
        let mut found = self.found.lock().await;
        if found.is_none_or(|found| found.elapsed() >= FOUND) {
            let _ = self.connect().await?.close().await;
            *found = Some(Instant::now());
        }
        Ok(())
    }

    /// A connection of one's own to the host that takes writes. The pool uses that host from now on, too.
    pub(super) fn connect(&self) -> BoxFuture<'_, Result<PgConnection, sqlx::Error>> {
        async move {
            let ((connection, host), _) = select_ok(self.all.iter().map(connect_to)).await?;
            self.pool.set_connect_options(host);
            Ok(connection)
        }
        .boxed()
    }

    pub(in crate::store) fn begin(
        &self,
    ) -> BoxFuture<'_, Result<Transaction<'static, Postgres>, sqlx::Error>> {
        self.begin_with("BEGIN").boxed()
    }

    async fn begin_with(
        &self,
        statement: &'static str,
    ) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        match self.pool.begin_with(statement).await {
            Ok(tx) => Ok(tx),
            // The host may have lost its place to another one.
            Err(_) => {
                self.look().await?;
                self.pool.begin_with(statement).await
            }
        }
    }

    /// Begins to read from one snapshot, for as long as it takes.
    pub(in crate::store) fn begin_to_read(
        &self,
    ) -> BoxFuture<'_, Result<Transaction<'static, Postgres>, sqlx::Error>> {
        async move {
            let mut tx = self.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let patient =
                "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
            (&mut *tx).execute(patient).await?;
            Ok(tx)
        }
        .boxed()
    }

    pub(in crate::store) async fn close(&self) {
        self.pool.close().await;
    }
}

/// At most so many connections, each checked before it is used.
fn pool(most: u32, host: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(takes_writes(connection)))
        .after_connect(|connection, _| Box::pin(async move { checked(connection).await }))
        // A connection whose host is gone without a word must not keep its place in the pool.
        .after_release(|connection, _| {
            Box::pin(async move { within(RELEASE, connection.ping()).await.map(|()| true) })
        })
        .connect_lazy_with(host)
}

fn connect_to(
    host: &PgConnectOptions,
) -> BoxFuture<'_, Result<(PgConnection, PgConnectOptions), sqlx::Error>> {
    async move {
        let mut connection = within(CONNECT, host.connect()).await?;
        within(CONNECT, checked(&mut connection)).await?;
        Ok((connection, host.clone()))
    }
    .boxed()
}

/// Whether a session takes writes.
async fn takes_writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    within(SILENCE, sqlx::query_scalar(WRITABLE).fetch_one(connection)).await
}

async fn checked(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match takes_writes(connection).await? {
        true => Ok(()),
        false => Err(sqlx::Error::Configuration("this host takes no writes: it is a standby".into())),
    }
}

/// Waits so long at most.
pub(in crate::store) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the database is silent");
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(sqlx::Error::Io(silent())))
}
