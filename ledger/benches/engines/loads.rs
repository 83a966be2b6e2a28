//! The loads: debits one batch after another on each connection, and holds at a steady rate with their debits beside them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use pax_gateway::base::account::Tier;
use pax_gateway::base::wire::HOLDS_PATH;
use pax_gateway::debit::frozen::{Debit, Ending};

use crate::common::debits::estimated;
use crate::shared::{Connection, from_now, request, request_of};
use crate::subject::Subject;

/// How often a hold is asked for.
const HOLD_EVERY: Duration = Duration::from_millis(1);
/// How many connections ask for holds, each for one at a time. One whose answer is late asks late for its next one, but
/// what that waits counts from the moment when it was due.
const HOLD_CONNECTIONS: u64 = 32;
/// How many debits come in a batch beside the holds.
const BESIDE: usize = 50;

/// What one sample of debits says.
#[derive(Clone, Copy)]
pub struct OfDebits {
    pub debits: u64,
    pub per_s: u64,
    /// CPU time for 1,000 debits, in microseconds: of the ledgers, and of PostgreSQL.
    pub ledgers_us: u64,
    pub server_us: Option<u64>,
}

/// What one sample of holds says.
#[derive(Clone, Copy)]
pub struct OfHolds {
    pub debits: u64,
    pub median_us: u64,
    pub p99_us: u64,
    pub holds_per_s: u64,
    pub debits_per_s: u64,
}

/// Sends so many batches, made before, over these connections, each to the next ledger.
pub fn debits(subject: &Subject, connections: usize, accounts: u64, (size, batches): (u64, u64)) -> OfDebits {
    let requests: Vec<Vec<u8>> =
        (0..batches).map(|_| request_of(&subject.debits.batch(size, accounts))).collect();
    let next = AtomicUsize::new(0);
    let mut open: Vec<Connection> = (0..connections).map(|number| connect(subject, number)).collect();
    let (ledgers, server) = (subject.ledgers_us(), subject.server_us());
    let began = Instant::now();
    scope(|scope| {
        for connection in &mut open {
            let send = || {
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    connection.record(request, size);
                }
            };
            scope.spawn(send);
        }
    });
    let took = began.elapsed();
    let debits = batches * size;
    let per_1000 = |us: u64| us * 1_000 / debits;
    let server_us = subject.server_us().zip(server).map(|(after, before)| per_1000(after - before));
    OfDebits {
        debits,
        per_s: per_s(debits, took),
        ledgers_us: per_1000(subject.ledgers_us() - ledgers),
        server_us,
    }
}

fn connect(subject: &Subject, number: usize) -> Connection {
    Connection::open(subject.ledgers[number % subject.ledgers.len()].internal)
}

pub fn per_s(count: u64, took: Duration) -> u64 {
    count * 1_000_000 / u64::try_from(took.as_micros()).unwrap().max(1)
}

/// Makes so many holds, at a thousand a second, and beside them the debits that post them.
pub fn holds(subject: &Subject, accounts: u64, holds: u64) -> OfHolds {
    let (held, calls) = channel();
    let open = |number| connect(subject, usize::try_from(number).unwrap());
    let askers: Vec<(u64, Connection)> = (0..HOLD_CONNECTIONS).map(|first| (first, open(first))).collect();
    let posters: Vec<Connection> = (0..3).map(open).collect();
    // The threads are there by then.
    let began = Instant::now() + Duration::from_millis(20);
    let (mut waited, (beside, took)) = scope(|scope| {
        let ask = |(first, connection)| {
            let held = held.clone();
            let numbers = (first..holds).step_by(HOLD_CONNECTIONS as usize);
            scope.spawn(move || ask(subject, connection, accounts, (began, numbers), &held))
        };
        let askers: Vec<_> = askers.into_iter().map(ask).collect();
        let posting = scope.spawn(move || post(posters, &calls));
        let waited: Vec<u64> = askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect();
        let took = began.elapsed();
        // The end of the calls is that of the posting.
        drop(held);
        let batches = posting.join().unwrap();
        let beside = batches.iter().filter(|(at, _)| at.saturating_duration_since(began) <= took);
        (waited, (beside.map(|(_, debits)| *debits).sum(), took))
    });
    waited.sort_unstable();
    let quantile = |hundredths: usize| waited[(waited.len() - 1) * hundredths / 100];
    OfHolds {
        debits: holds,
        median_us: quantile(50),
        p99_us: quantile(99),
        holds_per_s: per_s(holds, took),
        debits_per_s: per_s(beside, took),
    }
}

/// Asks for the holds of these numbers, each when it is due. Gives how long each took from then on, in microseconds.
fn ask(
    subject: &Subject,
    mut connection: Connection,
    accounts: u64,
    (began, numbers): (Instant, impl Iterator<Item = u64>),
    held: &Sender<Debit>,
) -> Vec<u64> {
    let mut lost = from_now(estimated(0, "", Tier::Credit));
    lost.ending = Ending::Lost;
    let mut waited = Vec::new();
    for number in numbers {
        let due = began + HOLD_EVERY * u32::try_from(number).unwrap();
        let mut debit = subject.debits.debit(subject.debits.next(), accounts, pax_ledger::now());
        debit.hold_id = Some(debit.exchange_id.to_string());
        (lost.exchange_id, lost.hold_id) = (debit.exchange_id, debit.hold_id.clone());
        (lost.account, lost.token_id) = (debit.account.clone(), debit.token_id.clone());
        let asked = b"{\"envoy\":\"00000000000000e1\",\"hold_pax\":\"0.01\"}\n";
        let request = request(HOLDS_PATH, &[asked.as_slice(), &lost.to_canonical()].concat());
        sleep(due.saturating_duration_since(Instant::now()));
        let answer = connection.ask(&request);
        waited.push(u64::try_from(due.elapsed().as_micros()).unwrap());
        let is_held = answer.windows(6).any(|bytes| bytes == b"\"held\"");
        assert!(is_held, "{}", String::from_utf8_lossy(answer));
        held.send(debit).unwrap();
    }
    waited
}

/// Sends the debits of calls whose holds are made, in batches, to each ledger in turn. Gives when each batch was durable,
/// and how many it had.
fn post(mut connections: Vec<Connection>, calls: &Receiver<Debit>) -> Vec<(Instant, u64)> {
    let mut sent = Vec::new();
    loop {
        let batch: Vec<Vec<u8>> = calls.iter().take(BESIDE).map(|debit| debit.to_canonical()).collect();
        if batch.is_empty() {
            return sent;
        }
        let size = batch.len() as u64;
        let turn = sent.len() % connections.len();
        connections[turn].record(&request_of(&batch), size);
        sent.push((Instant::now(), size));
    }
}
