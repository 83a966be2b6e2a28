//! A client that writes a row every 100 ms, and remembers which were acknowledged, and when.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

const EVERY: Duration = Duration::from_millis(100);
/// How long one host may take to answer a new connection.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an acknowledgement may take.
const SILENCE: Duration = Duration::from_secs(4);

#[derive(Default)]
pub struct Written {
    pub acknowledged: BTreeSet<i64>,
    /// Nobody knows of these whether they are there.
    pub unanswered: BTreeSet<i64>,
    times: Vec<Instant>,
    is_over: bool,
}

impl Written {
    /// Remembers a row. Gives whether it was the last.
    fn note(&mut self, id: i64, is_acknowledged: bool) -> bool {
        if is_acknowledged {
            self.acknowledged.insert(id);
            self.times.push(Instant::now());
        } else {
            self.unanswered.insert(id);
        }
        self.is_over
    }
}

pub struct Writer {
    written: Arc<Mutex<Written>>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Makes a table, and starts to write.
    pub fn start(url: &str) -> Self {
        let hosts = hosts(url);
        let written = Arc::new(Mutex::new(Written::default()));
        let shared = Arc::clone(&written);
        let thread = std::thread::spawn(move || run(write(&hosts, &shared)));
        Self { written, thread }
    }

    /// Waits until a row is acknowledged that came after this moment.
    pub fn wait_for_row_after(&self, moment: Instant, limit: Duration) {
        while self.look(|written| written.times.last().is_none_or(|time| *time <= moment)) {
            assert!(moment.elapsed() < limit, "no row was acknowledged for {limit:?}");
            assert!(!self.thread.is_finished(), "the writer has stopped");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The longest time between two acknowledgements, the second of them after this moment.
    pub fn longest_gap_since(&self, moment: Instant) -> Duration {
        self.look(|written| {
            let pairs = written.times.windows(2).filter(|pair| pair[1] > moment);
            pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
        })
    }

    /// How many rows were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.look(|written| written.acknowledged.len())
    }

    pub fn stop(self) -> Written {
        self.look(|written| written.is_over = true);
        self.thread.join().expect("the writer did not panic");
        self.written
            .lock()
            .map(|mut written| std::mem::take(&mut *written))
            .expect("the writer did not panic")
    }

    fn look<T>(&self, look: impl FnOnce(&mut Written) -> T) -> T {
        look(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One connection, which stays with the host that was primary when it was opened.
pub struct Session {
    runtime: Runtime,
    connection: PgConnection,
}

impl Session {
    pub fn open(url: &str) -> Self {
        let runtime = runtime();
        let connection = runtime.block_on(connect(&hosts(url))).expect("a primary answers");
        Self { runtime, connection }
    }

    /// Whether a row was acknowledged.
    pub fn insert(&mut self, id: i64) -> bool {
        self.runtime.block_on(insert(&mut self.connection, id))
    }
}

/// All rows that are there.
pub fn rows(url: &str) -> BTreeSet<i64> {
    run(async {
        let mut connection = connect(&hosts(url)).await.expect("a primary answers");
        let rows = connection.fetch_all("SELECT id FROM written").await.expect("the table is there");
        rows.iter().map(|row| row.get(0)).collect()
    })
}

async fn write(hosts: &[PgConnectOptions], shared: &Mutex<Written>) {
    let mut connection = connect(hosts).await.expect("a primary answers");
    connection.execute("CREATE TABLE written (id bigint PRIMARY KEY)").await.expect("a table is made");
    let mut kept = Some(connection);
    for id in 0_i64.. {
        let next = Instant::now() + EVERY;
        if kept.is_none() {
            kept = connect(hosts).await;
        }
        let Some(mut connection) = kept.take() else {
            sleep(EVERY).await;
            continue;
        };
        let is_acknowledged = insert(&mut connection, id).await;
        // After a failure the host may be primary no longer: it is looked for anew.
        kept = is_acknowledged.then_some(connection);
        if shared.lock().expect("nobody panics with it").note(id, is_acknowledged) {
            return;
        }
        sleep(next.saturating_duration_since(Instant::now())).await;
    }
}

async fn insert(connection: &mut PgConnection, id: i64) -> bool {
    let insert = format!("INSERT INTO written VALUES ({id})");
    matches!(timeout(SILENCE, connection.execute(insert.as_str())).await, Ok(Ok(_)))
}

/// A connection to the host that takes writes, if one does.
async fn connect(hosts: &[PgConnectOptions]) -> Option<PgConnection> {
    for host in hosts {
        let Ok(Ok(mut connection)) = timeout(CONNECT, PgConnection::connect_with(host)).await else {
            continue;
        };
        let asked = timeout(CONNECT, connection.fetch_one("SELECT pg_is_in_recovery()")).await;
        if matches!(asked, Ok(Ok(row)) if !row.get::<bool, _>(0)) {
            return Some(connection);
        }
    }
    None
}

/// The library takes one host for each connection.
fn hosts(url: &str) -> Vec<PgConnectOptions> {
    let (user, rest) = url.split_once('@').expect("the URL has a user");
    let (hosts, database) = rest.split_once('/').expect("the URL has a database");
    let one = |host: &str| format!("{user}@{host}/{database}").parse::<PgConnectOptions>().expect("a URL");
    hosts.split(',').map(|host| one(host).disable_statement_logging()).collect()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
