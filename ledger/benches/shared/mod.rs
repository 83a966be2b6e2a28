//! What the benchmarks share: settings, accounts and their debits, a kept connection to a ledger, and how much time
//! processes and the disk take.
#![allow(dead_code, reason = "each benchmark uses its own part")]

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::DEBITS_PATH;
use pax_gateway::debit::frozen::Debit;
use pax_ledger::book;

use crate::common::BEARER;
use crate::common::debits::reported;

/// How many rows one statement makes: `psql` takes it as an argument, which has at most 128 KiB.
const ROWS: u64 = 250;

/// A setting of the environment, or its default.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

pub fn account(number: u64) -> String {
    format!("account-{number}")
}

pub fn token(number: u64) -> String {
    format!("tok_{number:016x}")
}

/// The statements that make so many accounts of a tier, with a token each, in either database.
pub fn make_accounts(accounts: u64, tier: Tier) -> Vec<String> {
    let of_some = |from: u64| {
        let numbers = || from..accounts.min(from + ROWS);
        let of_account = |number| {
            let (name, tier) = (account(number), tier.name());
            format!("('{name}', '{tier}', 'active', 0, 0, '{}', 0)", book::genesis(&name))
        };
        let of_token = |number| {
            let (name, token) = (account(number), token(number));
            format!("('{token}', '{name}', 'bench', '{}', 0)", Digest::of(&[token.as_bytes()]))
        };
        let all = |rows: Vec<String>| rows.join(", ");
        [
            format!(
                "INSERT INTO accounts (name, tier, status, created_at, account_seq, head_hash, balance_picopax) \
                 VALUES {}",
                all(numbers().map(of_account).collect())
            ),
            format!(
                "INSERT INTO tokens (token_id, account, label, sha256, created_at) VALUES {}",
                all(numbers().map(of_token).collect())
            ),
        ]
    };
    (0..accounts).step_by(usize::try_from(ROWS).unwrap()).flat_map(of_some).collect()
}

/// Debits of many accounts, each of another exchange, in the order of time as a filter sends them: from now on.
pub struct Debits {
    template: Debit,
    made: AtomicU64,
}

/// The debit as that of a call that begins now: nearly all debits are of the day on which they come.
pub fn from_now(mut debit: Debit) -> Debit {
    let now = pax_ledger::now();
    (debit.occurred_at, debit.settled_at, debit.utc_day) = (now, now.plus_ms(1_234), now.day());
    debit
}

impl Debits {
    pub fn new(tier: Tier) -> Self {
        Self { template: from_now(reported(0, "account-0", tier)), made: AtomicU64::new(0) }
    }

    /// The canonical bytes of a batch. Consecutive debits belong to accounts that are far from each other.
    pub fn batch(&self, size: u64, accounts: u64) -> Vec<Vec<u8>> {
        let debit = |_| {
            let number = self.next();
            let began = self.template.occurred_at.plus_ms(number / 10);
            self.debit(number, accounts, began).to_canonical()
        };
        (0..size).map(debit).collect()
    }

    /// The number of another debit.
    pub fn next(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    /// The debit of that number, whose exchange began at a moment.
    pub fn debit(&self, number: u64, accounts: u64, began: Moment) -> Debit {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [a, b, c, d, e, f, g, h] = mixed.to_be_bytes();
        // Prime to any number of accounts that is round, so a batch's accounts are distinct.
        let whose = number.wrapping_mul(7_919) % accounts;
        let mut debit = self.template.clone();
        debit.exchange_id = ExchangeId::new(began, [a, b, c, d, e, f, g, h, a, b]);
        (debit.account, debit.token_id) = (account(whose), token(whose));
        debit.response_id = Some(format!("chatcmpl-{number:024}"));
        debit.provider_request_id = Some(format!("req-{mixed:032x}"));
        debit
    }
}

/// A kept connection to a ledger's internal listener.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, answer: Vec::new() }
    }

    /// Sends a request with debits, each of which must become an entry.
    pub fn record(&mut self, request: &[u8], size: u64) {
        let answer = self.ask(request);
        let recorded = answer.windows(10).filter(|bytes| *bytes == b"\"recorded\"").count();
        assert_eq!(recorded as u64, size, "{}", String::from_utf8_lossy(answer));
    }

    /// Sends a request. Gives the whole answer.
    pub fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).unwrap();
        self.answer.clear();
        let mut chunk = [0; 65_536];
        loop {
            let count = self.stream.read(&mut chunk).unwrap();
            assert_ne!(count, 0, "the service closed the connection");
            self.answer.extend_from_slice(&chunk[..count]);
            let Some(end) = self.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.answer[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if self.answer.len() >= end + 4 + length.parse::<usize>().unwrap() {
                return &self.answer;
            }
        }
    }
}

/// A request with a body, as the filter sends it.
pub fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: ledger\r\nauthorization: {BEARER}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A request with debits.
pub fn request_of(debits: &[Vec<u8>]) -> Vec<u8> {
    request(DEBITS_PATH, &debits.join(&b'\n'))
}

/// The CPU time of a process so far: of all of its threads that still run. Nothing if it is gone.
pub fn cpu(pid: u32) -> Option<Duration> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of_task = |task: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    Some(Duration::from_nanos(tasks.filter_map(of_task).sum()))
}

/// How long the disk takes to write and sync 4 KiB of a file that has them already, as both databases write their logs: the
/// median of 51.
pub fn sync_time(folder: &Path) -> Duration {
    let mut times = sync_times(folder, 51);
    times.sort_unstable();
    times[times.len() / 2]
}

/// How long each of so many takes.
pub fn sync_times(folder: &Path, count: usize) -> Vec<Duration> {
    let mut file = File::create(folder.join("sync")).unwrap();
    for _ in 0..count {
        file.write_all(&[0; 4096]).unwrap();
    }
    file.sync_all().unwrap();
    file.rewind().unwrap();
    let mut sync = || {
        let began = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        began.elapsed()
    };
    (0..count).map(|_| sync()).collect()
}
