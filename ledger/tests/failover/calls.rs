//! Calls as an Envoy makes them: callers ask for holds and wait for them shortly, outboxes send debits and voids until
//! each is acknowledged, and tokens are looked up. All move on to the next ledger if one does not answer well.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use pax_gateway::base::wire::{HoldOutcome, RESOLVE_PATH, Void};
use pax_gateway::debit::frozen::Debit;

use crate::common::bytes;
use crate::common::several::{Three, call, held, post, sent, token_sha256};

pub const ACCOUNTS: [&str; 5] = ["account-0", "account-1", "account-2", "account-3", "account-4"];
const CALLERS: usize = 6;
const OUTBOXES: usize = 3;
/// How long the filter waits for an answer, if nobody has set another time.
const DEADLINE: Duration = Duration::from_secs(2);
/// Between the calls of a caller, and between tries of those that were not answered.
const PAUSE: Duration = Duration::from_millis(50);
/// The most lines of a batch.
const BATCH: usize = 256;
/// One of so many holds is open until the end.
const OPEN: usize = 50;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hold,
    Debit,
    Void,
    LookUp,
}

/// What was acknowledged.
#[derive(Default)]
pub struct Seen {
    pub held: BTreeSet<String>,
    pub debited: BTreeSet<String>,
    pub voided: BTreeSet<String>,
    /// The debits of calls whose holds are open.
    pub open: Vec<Debit>,
    /// How many callers were told that there is no hold now.
    pub refused: usize,
    times: Vec<(Kind, Instant)>,
}

/// A line on its way.
struct Line {
    kind: Kind,
    exchange: String,
    bytes: Vec<u8>,
}

/// Calls that go on until they are stopped.
pub struct Calls {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    three: Arc<Three>,
    is_over: AtomicBool,
    seen: Mutex<Seen>,
}

impl Calls {
    pub fn start(three: &Arc<Three>) -> Self {
        let three = Arc::clone(three);
        let shared = Arc::new(Shared { three, is_over: AtomicBool::new(false), seen: Mutex::default() });
        let mut threads = Vec::new();
        let mut outboxes = Vec::new();
        for number in 0..OUTBOXES {
            let (outbox, lines) = channel();
            outboxes.push(outbox);
            let shared = Arc::clone(&shared);
            threads.push(spawn(move || shared.send(number, &lines)));
        }
        for number in 0..CALLERS {
            let (shared, outbox) = (Arc::clone(&shared), outboxes[number % OUTBOXES].clone());
            threads.push(spawn(move || shared.call(number, &outbox)));
        }
        let looking = Arc::clone(&shared);
        threads.push(spawn(move || looking.look_up()));
        Self { shared, threads }
    }

    /// Waits until a hold, a debit and a look-up were answered after this moment.
    pub fn wait_for_answers_after(&self, moment: Instant, limit: Duration) {
        for kind in [Kind::Hold, Kind::Debit, Kind::LookUp] {
            while self.last(kind).is_none_or(|time| time <= moment) {
                assert!(moment.elapsed() < limit, "no {kind:?} was answered for {limit:?}");
                assert!(!self.threads.iter().any(JoinHandle::is_finished), "a caller or an outbox failed");
                sleep(Duration::from_millis(20));
            }
        }
    }

    /// The longest time between two good answers, the second of them after this moment.
    pub fn longest_gap_since(&self, moment: Instant, kind: Kind) -> Duration {
        let seen = self.shared.seen.lock().unwrap();
        let times: Vec<Instant> =
            seen.times.iter().filter(|(of, _)| *of == kind).map(|(_, time)| *time).collect();
        let pairs = times.windows(2).filter(|pair| pair[1] > moment);
        pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Ends the calls. All lines are acknowledged then.
    pub fn stop(self) -> Seen {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }

    fn last(&self, kind: Kind) -> Option<Instant> {
        let seen = self.shared.seen.lock().unwrap();
        seen.times.iter().rev().find(|(of, _)| *of == kind).map(|(_, time)| *time)
    }
}

impl Shared {
    /// Makes calls, each with a hold, which a debit or a void ends.
    fn call(&self, caller: usize, outbox: &Sender<Line>) {
        let mut turn = caller;
        while !self.is_over.load(Ordering::Relaxed) {
            turn += 1;
            let (lost, debit) = call(ACCOUNTS[(turn * 7 + caller) % ACCOUNTS.len()]);
            let exchange = lost.exchange_id.to_string();
            let is_held = self.hold(&lost, turn);
            let void = Void { void: lost.exchange_id, account: lost.account };
            if is_held {
                self.note(Kind::Hold, [exchange.clone()]);
            } else {
                self.seen.lock().unwrap().refused += 1;
            }
            if is_held && turn.is_multiple_of(OPEN) {
                self.seen.lock().unwrap().open.push(debit);
            } else {
                // A ledger may have made the hold of a refused call too late, or its answer was lost.
                let (kind, bytes) = match is_held && !turn.is_multiple_of(5) {
                    true => (Kind::Debit, bytes(&debit)),
                    false => (Kind::Void, serde_json::to_vec(&void).unwrap()),
                };
                outbox.send(Line { kind, exchange, bytes }).unwrap();
            }
            sleep(PAUSE);
        }
    }

    /// Whether a ledger makes the hold before the caller is refused.
    fn hold(&self, lost: &Debit, first: usize) -> bool {
        let began = Instant::now();
        (0..3).any(|next| {
            let left = DEADLINE.saturating_sub(began.elapsed());
            let service = &self.three.services[(first + next) % 3];
            let reply = (!left.is_zero()).then(|| held(service, lost, "0.001", left)).flatten();
            reply.is_some_and(|reply| {
                assert_eq!(reply.outcome, HoldOutcome::Held, "{reply:?}");
                true
            })
        })
    }

    /// Sends what comes, in batches, each until it is acknowledged.
    fn send(&self, number: usize, lines: &Receiver<Line>) {
        let mut next = number;
        while let Ok(first) = lines.recv() {
            let mut batch = vec![first];
            batch.extend(lines.try_iter().take(BATCH - 1));
            let body = batch.iter().map(|line| line.bytes.as_slice()).collect::<Vec<_>>().join(&b'\n');
            while !sent(&self.three.services[next % 3], &body, DEADLINE) {
                next += 1;
                sleep(PAUSE);
            }
            for kind in [Kind::Debit, Kind::Void] {
                let of_kind = batch.iter().filter(|line| line.kind == kind);
                self.note(kind, of_kind.map(|line| line.exchange.clone()));
            }
        }
    }

    /// Asks whose tokens these are, as the filter does of those that it does not know yet.
    fn look_up(&self) {
        let mut turn = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            turn += 1;
            let sha256 = token_sha256(ACCOUNTS[turn % ACCOUNTS.len()]);
            let ask =
                format!("{{\"token_sha256\":\"{sha256}\",\"utc_day\":\"{}\"}}", pax_ledger::now().day());
            if post(&self.three.services[turn % 3], RESOLVE_PATH, ask.as_bytes(), DEADLINE).is_some() {
                self.note(Kind::LookUp, [String::new()]);
            }
            sleep(PAUSE);
        }
    }

    fn note(&self, kind: Kind, exchanges: impl IntoIterator<Item = String>) {
        let mut seen = self.seen.lock().unwrap();
        for exchange in exchanges {
            seen.times.push((kind, Instant::now()));
            match kind {
                Kind::Hold => seen.held.insert(exchange),
                Kind::Debit => seen.debited.insert(exchange),
                Kind::Void => seen.voided.insert(exchange),
                Kind::LookUp => true,
            };
        }
    }
}
