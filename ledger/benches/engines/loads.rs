//! The loads: debits one batch after another on each connection, and holds at a steady rate with their debits beside them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use pax_gateway::base::account::Tier;
use pax_gateway::base::wire::HOLDS_PATH;
use pax_gateway::debit::frozen::{Debit, Ending};

use crate::common::debits::estimated;
use crate::shared::{Connection, from_now, request, request_of};
use crate::subject::{Cpu, Subject};

/// How many connections ask for holds, each for one at a time: so many calls can wait for their holds at once. One whose
/// answer is late asks late for its next one, but what that waits counts from the moment when it was due.
const HOLD_CONNECTIONS: usize = 128;
/// How many connections send debits beside the holds, and how many debits come in a batch.
const DEBIT_CONNECTIONS: usize = 3;
const BESIDE: usize = 50;

/// What one sample of debits says.
#[derive(Clone, Copy)]
pub struct OfDebits {
    pub debits: u64,
    pub per_s: u64,
    /// CPU time for 1,000 debits.
    pub cpu: Cpu,
}

/// What one sample of holds says.
#[derive(Clone, Copy)]
pub struct OfHolds {
    pub debits: u64,
    pub median_us: u64,
    pub p99_us: u64,
    pub holds_per_s: u64,
    pub debits_per_s: u64,
    /// CPU time for 1,000 calls, each a hold and a debit.
    pub cpu: Cpu,
}

/// Sends so many batches, made before, over these connections, each to the next ledger.
pub fn debits(subject: &Subject, connections: usize, accounts: u64, (size, batches): (u64, u64)) -> OfDebits {
    let requests: Vec<Vec<u8>> =
        (0..batches).map(|_| request_of(&subject.debits.batch(size, accounts))).collect();
    let next = AtomicUsize::new(0);
    let mut open: Vec<Connection> = (0..connections).map(|number| connect(subject, number)).collect();
    let cpu = subject.cpu();
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
    OfDebits { debits, per_s: per_s(debits, took), cpu: subject.cpu().for_1000(cpu, debits) }
}

fn connect(subject: &Subject, number: usize) -> Connection {
    Connection::open(subject.ledgers[number % subject.ledgers.len()].internal)
}

fn per_s(count: u64, took: Duration) -> u64 {
    count * 1_000_000 / u64::try_from(took.as_micros()).unwrap().max(1)
}

/// Makes so many holds, so many a second, and beside them the debits that post them.
pub fn holds(subject: &Subject, accounts: u64, (rate, holds): (u64, u64)) -> OfHolds {
    let (held, calls) = channel();
    let calls = Arc::new(Mutex::new(calls));
    let open = |number| connect(subject, number);
    let askers: Vec<(usize, Connection)> =
        (0..HOLD_CONNECTIONS).map(|number| (number, open(number))).collect();
    let posters: Vec<Connection> = (0..DEBIT_CONNECTIONS).map(open).collect();
    // Made once, since an estimate takes milliseconds, which would delay the first holds.
    let mut lost = from_now(estimated(0, "", Tier::Credit));
    lost.ending = Ending::Lost;
    let cpu = subject.cpu();
    // The threads are there by then.
    let began = Instant::now() + Duration::from_millis(50);
    let (mut waited, took, beside) = scope(|scope| {
        let ask = |(first, connection)| {
            let (held, lost) = (held.clone(), lost.clone());
            let due = move |number| began + Duration::from_micros(number * 1_000_000 / rate);
            let times = (first as u64..holds).step_by(HOLD_CONNECTIONS).map(due);
            scope.spawn(move || ask(subject, (connection, lost), accounts, times, &held))
        };
        let askers: Vec<_> = askers.into_iter().map(ask).collect();
        let post = |connection| {
            let calls = Arc::clone(&calls);
            scope.spawn(move || post(connection, &calls))
        };
        let posting: Vec<_> = posters.into_iter().map(post).collect();
        let waited: Vec<u64> = askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect();
        let took = began.elapsed();
        // The end of the calls is that of the posting.
        drop(held);
        let batches = posting.into_iter().flat_map(|posting| posting.join().unwrap());
        let beside = batches.filter(|(at, _)| at.saturating_duration_since(began) <= took);
        (waited, took, beside.map(|(_, debits)| debits).sum())
    });
    waited.sort_unstable();
    let quantile = |hundredths: usize| waited[(waited.len() - 1) * hundredths / 100];
    OfHolds {
        debits: holds,
        median_us: quantile(50),
        p99_us: quantile(99),
        holds_per_s: per_s(holds, took),
        debits_per_s: per_s(beside, took),
        cpu: subject.cpu().for_1000(cpu, holds),
    }
}

/// Asks for a hold at each of these times. Gives how long each took from then on, in microseconds.
fn ask(
    subject: &Subject,
    (mut connection, mut lost): (Connection, Debit),
    accounts: u64,
    times: impl Iterator<Item = Instant>,
    held: &Sender<Debit>,
) -> Vec<u64> {
    let mut waited = Vec::new();
    for due in times {
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

/// Sends the debits of calls whose holds are made, in batches. Gives when each batch was durable, and how many it had.
fn post(mut connection: Connection, calls: &Mutex<Receiver<Debit>>) -> Vec<(Instant, u64)> {
    let mut sent = Vec::new();
    loop {
        let batch: Vec<Debit> = calls.lock().unwrap().iter().take(BESIDE).collect();
        if batch.is_empty() {
            return sent;
        }
        let size = batch.len() as u64;
        let lines: Vec<Vec<u8>> = batch.iter().map(Debit::to_canonical).collect();
        connection.record(&request_of(&lines), size);
        sent.push((Instant::now(), size));
    }
}
