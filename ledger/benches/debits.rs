//! What a debit costs the ledger: batches through the recorder, and through the real service over HTTP. Each
//! line has what the disk's own sync takes, measured in the same run.
//!
//! `cargo bench --profile tools --locked --workspace --bench debits`; what it takes from the environment:
//! `PAX_BENCH_SECONDS` for each measurement (2), `PAX_BENCH_ACCOUNTS` (10000), `PAX_BENCH_CORE` (a number: the
//! service runs on that core alone, by `taskset`), `PAX_BENCH_ONLY=100` (batches of that size only), and
//! `PAX_BENCH_LEDGER` (another build of `pax-ledger`: then only that is measured, so that two can be compared).

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pax_gateway::base::account::Tier;
use pax_ledger::book;
use pax_ledger::cards::Cards;
use pax_ledger::metrics::Metrics;
use pax_ledger::recorder::Recorder;

#[path = "../tests/suite/common/mod.rs"]
mod common;
mod shared;

use common::{Folder, Service, program};
use shared::{Connection, Debits, cpu, make_accounts, request_of, setting, sync_time};

/// One measurement.
struct Measured {
    debits: u64,
    took: Duration,
    cpu: Duration,
}

impl Measured {
    #[allow(clippy::float_arithmetic, reason = "figures for people")]
    fn print(&self, way: &str, size: u64, sync: Duration) {
        let per_debit = |time: Duration| time.as_secs_f64() * 1e6 / self.debits as f64;
        println!(
            "{way:<22} {size:>5} {:>12.0} {:>14.1} {:>14.1} {:>12.0}",
            self.debits as f64 / self.took.as_secs_f64(),
            per_debit(self.cpu),
            per_debit(self.took),
            sync.as_secs_f64() * 1e6,
        );
    }
}

/// A folder with a database of these accounts.
fn database(runtime: &tokio::runtime::Runtime, accounts: u64) -> Folder {
    let folder = Folder::of_file();
    runtime.block_on(async {
        folder.store().await.close().await;
        let mut shell = folder.shell().await;
        for statement in make_accounts(accounts, Tier::Free) {
            sqlx::query(&statement).execute(&mut shell).await.unwrap();
        }
        sqlx::Connection::close(shell).await.unwrap();
    });
    folder
}

/// Batches one after another through the recorder, which includes reading the lines. The runtime has one
/// worker, whose time and the writer's are counted; making the debits is not.
fn through_recorder(accounts: u64, size: u64, seconds: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = database(&runtime, accounts);
    let debits = Debits::new(Tier::Free);
    let sync = sync_time(&folder.0);
    runtime.block_on(async {
        let store = folder.store().await;
        let cards = Cards::open(store.clone()).await.unwrap();
        let (recorder, recording) = Recorder::start(store.writer(), cards, Arc::new(Metrics::new()));
        let mut measured = Measured { debits: 0, took: Duration::ZERO, cpu: Duration::ZERO };
        while measured.took < Duration::from_secs(seconds) {
            let lines = debits.batch(size, accounts);
            let (began, cpu_before) = (Instant::now(), cpu(std::process::id()).unwrap());
            let read: Vec<_> = lines.iter().map(|line| book::Line::read(line)).collect();
            let replies = recorder.record(read).await.unwrap();
            measured.took += began.elapsed();
            measured.cpu += cpu(std::process::id()).unwrap().saturating_sub(cpu_before);
            measured.debits += replies.iter().filter(|reply| reply.account_seq.is_some()).count() as u64;
        }
        measured.print("recorder", size, sync);
        recording.finish().await;
        store.close().await;
    });
}

/// Batches over HTTP from several clients, each with a connection of its own. The service's time is counted.
fn through_service(accounts: u64, size: u64, seconds: u64, clients: u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = database(&runtime, accounts);
    let sync = sync_time(&folder.0);
    let service = Service::start_as(ledger(&folder.database()));
    let debits = Debits::new(Tier::Free);
    let address = service.internal;
    let (began, cpu_before) = (Instant::now(), cpu(service.child.id()).unwrap());
    let until = began + Duration::from_secs(seconds);
    let sent: u64 = std::thread::scope(|scope| {
        let client = || scope.spawn(|| send(address, &debits, (size, accounts), until));
        let clients: Vec<_> = (0..clients).map(|_| client()).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    let took = began.elapsed();
    let cpu = cpu(service.child.id()).unwrap().saturating_sub(cpu_before);
    Measured { debits: sent, took, cpu }.print(&format!("service, {clients} clients"), size, sync);
}

/// The program that is measured, on the core that was asked for.
fn ledger(database: &Path) -> Command {
    let own = program(database);
    let path = std::env::var_os("PAX_BENCH_LEDGER").unwrap_or_else(|| own.get_program().to_owned());
    let mut command = match std::env::var("PAX_BENCH_CORE") {
        Ok(core) => {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", &core]).arg(path);
            pinned
        }
        Err(_) => Command::new(path),
    };
    for (name, value) in own.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

/// Sends batches over one connection until a moment. Gives how many debits were recorded.
fn send(address: SocketAddr, debits: &Debits, (size, accounts): (u64, u64), until: Instant) -> u64 {
    let (mut connection, mut sent) = (Connection::open(address), 0);
    while Instant::now() < until {
        connection.record(&request_of(&debits.batch(size, accounts)), size);
        sent += size;
    }
    sent
}

fn main() {
    let (seconds, accounts) = (setting("PAX_BENCH_SECONDS", 2), setting("PAX_BENCH_ACCOUNTS", 10_000));
    let only = setting("PAX_BENCH_ONLY", 0);
    println!(
        "{:<22} {:>5} {:>12} {:>14} {:>14} {:>12}",
        "", "batch", "debits/s", "CPU µs each", "µs each", "sync µs"
    );
    let sizes = || [1, 10, 100].into_iter().filter(|size| only == 0 || only == *size);
    if std::env::var_os("PAX_BENCH_LEDGER").is_none() {
        for size in sizes() {
            through_recorder(accounts, size, seconds);
        }
    }
    for clients in [1, 8] {
        for size in sizes() {
            through_service(accounts, size, seconds, clients);
        }
    }
}
