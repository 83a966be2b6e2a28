//! What a debit costs the ledger: batches through the recorder, and through the real service over HTTP. Each
//! line has what the disk's own sync takes, measured in the same run.
//!
//! `cargo bench --profile tools --locked --workspace --bench debits`; what it takes from the environment:
//! `PAX_BENCH_SECONDS` for each measurement (2), `PAX_BENCH_ACCOUNTS` (10000), `PAX_BENCH_CORE` (a number: the
//! service runs on that core alone, by `taskset`), `PAX_BENCH_ONLY=100` (batches of that size only), and
//! `PAX_BENCH_LEDGER` (another build of `pax-ledger`: then only that is measured, so that two can be compared).

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::DEBITS_PATH;
use pax_gateway::debit::frozen::Debit;
use pax_ledger::book;
use pax_ledger::cards::Cards;
use pax_ledger::metrics::Metrics;
use pax_ledger::recorder::Recorder;

#[path = "../tests/suite/common/mod.rs"]
mod common;

use common::debits::{DAY_0, reported};
use common::{BEARER, Folder, Service, program};

/// A setting of the environment, or its default.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Debits of many accounts, each of another exchange, in the order of time as a filter sends them.
struct Debits {
    template: Debit,
    accounts: u64,
    made: AtomicU64,
}

impl Debits {
    fn new(accounts: u64) -> Self {
        Self { template: reported(0, "account-0", Tier::Free), accounts, made: AtomicU64::new(0) }
    }

    /// The canonical bytes of a batch. Consecutive debits belong to accounts that are far from each other.
    fn batch(&self, size: u64) -> Vec<Vec<u8>> {
        let first = self.made.fetch_add(size, Ordering::Relaxed);
        (first..first + size).map(|number| self.debit(number).to_canonical()).collect()
    }

    fn debit(&self, number: u64) -> Debit {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [a, b, c, d, e, f, g, h] = mixed.to_be_bytes();
        let mut debit = self.template.clone();
        debit.exchange_id =
            ExchangeId::new(Moment::from_ms(DAY_0 + number / 10), [a, b, c, d, e, f, g, h, a, b]);
        // Prime to any number of accounts that is round, so a batch's accounts are distinct.
        debit.account = format!("account-{}", number.wrapping_mul(7_919) % self.accounts);
        debit.response_id = Some(format!("chatcmpl-{number:024}"));
        debit.provider_request_id = Some(format!("req-{mixed:032x}"));
        debit
    }
}

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

/// The CPU time of a process so far: of all of its threads that still run.
fn cpu(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| -> u64 {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.map(of_task).sum())
}

/// How long the disk takes to sync an append of 4 KiB: the median of 51.
fn sync_time(folder: &Path) -> Duration {
    let mut file = File::create(folder.join("sync")).unwrap();
    let mut times: Vec<Duration> = (0..51)
        .map(|_| {
            file.write_all(&[7; 4096]).unwrap();
            let began = Instant::now();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// A folder with a database of these accounts.
fn database(runtime: &tokio::runtime::Runtime, accounts: u64) -> Folder {
    let folder = Folder::new();
    runtime.block_on(async {
        folder.store().await.close().await;
        let mut shell = folder.shell().await;
        sqlx::query("BEGIN").execute(&mut shell).await.unwrap();
        for number in 0..accounts {
            let name = format!("account-{number}");
            sqlx::query("INSERT INTO accounts VALUES (?1, 'free', 'active', 0, 0, ?2, 0, NULL, 0)")
                .bind(&name)
                .bind(book::genesis(&name).to_string())
                .execute(&mut shell)
                .await
                .unwrap();
        }
        sqlx::query("COMMIT").execute(&mut shell).await.unwrap();
        sqlx::Connection::close(shell).await.unwrap();
    });
    folder
}

/// Batches one after another through the recorder, which includes reading the lines. The runtime has one
/// worker, whose time and the writer's are counted; making the debits is not.
fn through_recorder(accounts: u64, size: u64, seconds: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = database(&runtime, accounts);
    let debits = Debits::new(accounts);
    let sync = sync_time(&folder.0);
    runtime.block_on(async {
        let store = folder.store().await;
        let cards = Cards::open(store.clone()).await.unwrap();
        let (recorder, recording) = Recorder::start(store.writer(), cards, Arc::new(Metrics::new()));
        let mut measured = Measured { debits: 0, took: Duration::ZERO, cpu: Duration::ZERO };
        while measured.took < Duration::from_secs(seconds) {
            let lines = debits.batch(size);
            let (began, cpu_before) = (Instant::now(), cpu(std::process::id()));
            let read: Vec<_> = lines.iter().map(|line| book::Line::read(line)).collect();
            let replies = recorder.record(read).await.unwrap();
            measured.took += began.elapsed();
            measured.cpu += cpu(std::process::id()).saturating_sub(cpu_before);
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
    let debits = Debits::new(accounts);
    let address = service.internal;
    let (began, cpu_before) = (Instant::now(), cpu(service.child.id()));
    let until = began + Duration::from_secs(seconds);
    let sent: u64 = std::thread::scope(|scope| {
        let client = || scope.spawn(|| send(address, &debits, size, until));
        let clients: Vec<_> = (0..clients).map(|_| client()).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    let took = began.elapsed();
    let cpu = cpu(service.child.id()).saturating_sub(cpu_before);
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
fn send(address: SocketAddr, debits: &Debits, size: u64, until: Instant) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sent, mut answer) = (0, Vec::new());
    while Instant::now() < until {
        let body = debits.batch(size).join(&b'\n');
        let mut request = format!(
            "POST {DEBITS_PATH} HTTP/1.1\r\nhost: ledger\r\nauthorization: {BEARER}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(&body);
        stream.write_all(&request).unwrap();
        read_answer(&mut stream, &mut answer);
        let recorded = answer.windows(11).filter(|bytes| *bytes == b"account_seq").count() as u64;
        // Each reply has it twice: its own, and its standing's.
        assert_eq!(recorded, 2 * size, "{}", String::from_utf8_lossy(&answer));
        sent += size;
    }
    sent
}

fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    let mut chunk = [0; 65_536];
    loop {
        let count = stream.read(&mut chunk).unwrap();
        assert_ne!(count, 0, "the service closed the connection");
        answer.extend_from_slice(&chunk[..count]);
        let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if answer.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
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
