//! The ledger dies, comes back, or refuses the gateway.

use crate::Case;
use crate::common::http::{Answer, Connection, chat, request};
use crate::common::world::{TOKEN, World};
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    (
        "while the ledger is dead known callers of the free tier are served, and every debit arrives once",
        killed,
    ),
    ("while the ledger is dead a call that needs a hold is refused, and nothing of it is left", needs_hold),
    ("a caller that the ledger cannot tell is refused at once, and served when it is back", unknown_caller),
    (
        "/readyz says within six seconds that the ledger does not answer, and within three that it does",
        readiness,
    ),
    ("a ledger with another secret is a ledger that is down: no hang, no lost debit", wrong_secret),
];

/// A token of the free tier, whose calls are admitted without a question to the ledger.
const FREE: &str = "mtx-demo-free";

/// A body for a model that both tiers may call.
fn body() -> String {
    r#"{"model":"accounts/fireworks/models/gpt-oss-120b","max_tokens":16,"messages":[]}"#.to_owned()
}

/// A caller that makes one call after another until it is stopped; gives the exchanges' ids.
fn keep_calling(port: u16, stop: Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut connection = Connection::open(port);
        let mut ids = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let answer = connection.call(&chat(FREE, &body()));
            assert_eq!(answer.status, 200, "call {}: {}", ids.len(), answer.text());
            ids.push(answer.header("x-matrix-exchange-id"));
            // An account may have a thousand calls that the ledger has not acknowledged.
            std::thread::sleep(Duration::from_millis(10));
        }
        ids
    })
}

fn killed(world: &mut World) {
    world.settle();
    let before = world.entries().len();
    let stop = Arc::new(AtomicBool::new(false));
    let port = world.stack.gateway_port();
    let callers: Vec<_> = (0..4).map(|_| keep_calling(port, Arc::clone(&stop))).collect();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(400));
        world.stack.kill_ledger();
        std::thread::sleep(Duration::from_millis(700));
        assert!(world.waiting() > 0, "debits wait while the ledger is dead");
        world.stack.start_ledger().unwrap();
    }
    std::thread::sleep(Duration::from_millis(200));
    stop.store(true, Ordering::Relaxed);
    let ids: Vec<String> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    world.settle();
    let mut entries = BTreeMap::new();
    for entry in world.entries() {
        *entries.entry(entry["exchange_id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert!(ids.len() > 100, "few calls are no test: {}", ids.len());
    let missing: Vec<&String> = ids.iter().filter(|id| !entries.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{} of {} debits are lost: {missing:?}", missing.len(), ids.len());
    assert!(entries.values().all(|count| *count == 1), "a debit stands twice");
    assert_eq!(entries.len(), before + ids.len());
    world.replay();
}

fn needs_hold(world: &mut World) {
    served_again(world, TOKEN);
    world.settle();
    world.take_received();
    let before = world.entries().len();
    world.stack.kill_ledger();
    for _ in 0..20 {
        refused_quickly(world, TOKEN);
    }
    world.stack.start_ledger().unwrap();
    served_again(world, TOKEN);
    world.settle();
    assert_eq!(world.entries().len(), before + 1);
    world.replay();
}

/// A new token of the free tier that no filter has asked about.
pub fn add_token(world: &World, token: &str) {
    let add = ["token", "add", "demo-free", "--name", token, "--token", token];
    world.stack.ledger(add).unwrap_or_else(|error| panic!("{error}"));
}

fn refused_quickly(world: &World, token: &str) {
    let begun = Instant::now();
    let answer = world.connect().call(&chat(token, &body()));
    assert_eq!(answer.refusal(), "503 ledger_unavailable");
    assert!(answer.has_header("retry-after") && !answer.has_header("x-should-retry"));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(world.take_received().is_empty());
}

pub fn served_again(world: &World, token: &str) {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let answer = world.connect().call(&chat(token, &body()));
        if answer.status == 200 {
            world.entry(&answer.header("x-matrix-exchange-id"));
            return;
        }
        assert!(Instant::now() < deadline, "still {}", answer.refusal());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn unknown_caller(world: &mut World) {
    add_token(world, "mtx-new-1");
    world.stack.kill_ledger();
    refused_quickly(world, "mtx-new-1");
    world.stack.start_ledger().unwrap();
    served_again(world, "mtx-new-1");
}

/// Asks `/readyz` until it is answered as expected, for so many seconds at most: on new connections, which come to
/// every worker.
fn readyz(world: &World, expected: &str, seconds: u64) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let ask = || world.connect().call(&request("GET", "/readyz", &[], None));
    let as_expected = |answer: &Answer| match expected {
        "200" => answer.status == 200,
        refusal => answer.refusal() == refusal && answer.text().contains("its ledger does not answer"),
    };
    while !(0..8).all(|_| as_expected(&ask())) {
        assert!(Instant::now() < deadline, "/readyz is not {expected}: {}", ask().text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn readiness(world: &mut World) {
    readyz(world, "200", 3);
    world.stack.kill_ledger();
    readyz(world, "503 ledger_unavailable", 6);
    world.stack.start_ledger().unwrap();
    readyz(world, "200", 3);
    // One that is there and says nothing.
    let ledger = world.stack.processes().into_iter().find(|(name, _)| *name == "ledger").unwrap().1;
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &ledger.to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    readyz(world, "503 ledger_unavailable", 6);
    signal("-CONT");
    readyz(world, "200", 3);
}

/// A ledger on the stack's ports and database that expects another secret; killed when dropped.
pub struct Stranger(Child);

impl Stranger {
    pub fn start(world: &World) -> Self {
        let layout = pax_stack::Layout::find().unwrap();
        let port = |port: u16| format!("127.0.0.1:{port}");
        let mut command = Command::new(layout.ledger);
        command.arg("--db").arg(world.stack.db());
        command.args(["serve", "--internal", &port(world.stack.ledger_internal_port())]);
        command.args(["--public", &port(world.stack.ledger_public_port())]);
        command.env("PAX_LEDGER_SECRET", "another-secret-that-is-long-enough-for-a-ledger");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let stranger = Self(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", world.stack.ledger_internal_port())).is_err() {
            assert!(Instant::now() < deadline, "the other ledger does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        stranger
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wrong_secret(world: &mut World) {
    add_token(world, "mtx-new-2");
    // Known since now, so that it is still believed at the end.
    add_token(world, "mtx-known");
    served_again(world, "mtx-known");
    world.take_received();
    world.stack.kill_ledger();
    let stranger = Stranger::start(world);
    refused_quickly(world, "mtx-new-2");
    readyz(world, "503 ledger_unavailable", 6);
    // A caller that is known is served; its debit waits.
    let answer = world.connect().call(&chat("mtx-known", &body()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(world.waiting(), 1);
    drop(stranger);
    world.stack.start_ledger().unwrap();
    world.entry(&answer.header("x-matrix-exchange-id"));
    served_again(world, "mtx-new-2");
}
