//! Envoys that are lost with calls under way: a killed one, and one whose host stands still for longer than a lease.
//! They are lost before the other cases run, and looked at after them, since a lease takes a minute to lapse.

use crate::OwnCase;
use crate::common::http::Connection;
use crate::common::world::World;
use crate::holds::rich;
use crate::play::{Caller, OUTPUT_TOKENS, answer, room_for, signal};
use pax_standin::Behaviour;
use serde_json::Value;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const BEGUN: &[OwnCase] =
    &[("lost Envoys: calls are open when one is killed and another one stands still", lost)];
pub const ENDED: &[OwnCase] = &[
    (
        "lost Envoys: within 70 s the balance is whole, and each call that was under way is listed",
        whole_again,
    ),
    (
        "lost Envoys: a call that was charged as lost is corrected once by its true debit",
        true_debit_after_all,
    ),
];

/// How long a lost Envoy's holds may live.
const WHOLE_WITHIN: Duration = Duration::from_secs(70);
/// How many calls are open when the Envoy is killed.
const OPEN: usize = 3;

/// What the cases hand to each other.
struct Lost {
    world: World,
    /// Whose calls were open at the Envoy that was killed.
    caller: Caller,
    /// How long that caller's balance was held.
    held: Option<JoinHandle<Duration>>,
    /// The Envoy that stands still, its caller, and the connection of its call.
    frozen: pax_stack::Envoy,
    waiting: (Caller, Connection),
}

static LOST: Mutex<Option<Lost>> = Mutex::new(None);

fn until_received(world: &World, calls: usize) {
    while world.standin.received().len() < calls {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn lost() {
    let mut world = World::start();
    let (caller, other) = (rich(&world, "killed", room_for(3)), rich(&world, "stood-still", room_for(1)));
    let frozen = world.stack.another_envoy(|config| config).unwrap();
    world.behave(Behaviour { delay_ms: Some(2_000), body: Some(answer(10, 1)), ..Behaviour::default() });
    let mut waiting = Connection::open(frozen.gateway_port());
    waiting.send(&other.call(OUTPUT_TOKENS));
    until_received(&world, 1);
    signal(frozen.id(), "-STOP");

    let mut open: Vec<_> = (0..OPEN).map(|_| world.connect()).collect();
    let (served, silent) = open.split_first_mut().unwrap();
    // One caller has read a part of the answer by then.
    world.behave(Behaviour { stall_after_bytes: Some(400), ..Behaviour::default() });
    served.send(&caller.special(true, None));
    assert!(served.read_until(b"\"content\":"), "nothing was served");
    world.behave(Behaviour { delay_ms: Some(120_000), ..Behaviour::default() });
    silent.iter_mut().for_each(|connection| connection.send(&caller.call(OUTPUT_TOKENS)));
    until_received(&world, 1 + OPEN);
    world.stack.kill_envoy();
    let begun = Instant::now();
    world.stack.start_envoy().unwrap();
    world.behave(Behaviour { body: Some(answer(1, 1)), ..Behaviour::default() });
    let (port, call) = (world.stack.gateway_port(), caller.call(OUTPUT_TOKENS));
    assert_eq!(Connection::open(port).call(&call).refusal(), "402 insufficient_credit");
    let held = std::thread::spawn(move || {
        while Connection::open(port).call(&call).status != 200 && begun.elapsed() < WHOLE_WITHIN * 2 {
            std::thread::sleep(Duration::from_millis(500));
        }
        begun.elapsed()
    });
    let lost = Lost { world, caller, held: Some(held), frozen, waiting: (other, waiting) };
    *LOST.lock().unwrap() = Some(lost);
}

/// The holds of an account that have expired.
fn lapsed(world: &World, account: &str) -> Vec<Value> {
    let lines = world.stack.ledger(["holds", "list", "--lapsed", "--account", account, "--json"]).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn whole_again() {
    let mut lost = LOST.lock().unwrap();
    let Lost { world, caller, held, .. } = lost.as_mut().expect("an earlier case has lost Envoys");
    let whole_after = held.take().unwrap().join().unwrap();
    assert!(whole_after <= WHOLE_WITHIN, "{whole_after:?}");
    assert!(whole_after > Duration::from_secs(45), "a lease is not that short: {whole_after:?}");
    world.settle();
    assert_eq!(caller.entries(world).len(), 2, "the grant, and the call that fitted again");
    let listed = lapsed(world, &caller.account);
    assert_eq!(listed.len(), OPEN, "what was served without an entry: {listed:?}");
    world.replay();
}

fn true_debit_after_all() {
    let lost = LOST.lock().unwrap().take().expect("an earlier case has lost Envoys");
    let Lost { world, caller, frozen, waiting: (other, mut connection), .. } = lost;
    let charge = |account: &str| {
        let exchange = lapsed(&world, account)[0]["exchange_id"].as_str().unwrap().to_owned();
        world.stack.ledger(["holds", "charge", &exchange, "--reason", "its host is gone"]).unwrap();
        exchange
    };
    let (killed, stood_still) = (charge(&caller.account), charge(&other.account));
    let charged = other.entries(&world);
    assert_eq!(charged[1]["ending"], "lost", "{charged:?}");
    // The host goes on: its Envoy reads the provider's answer, and sends the true debit of a call that was given up.
    signal(frozen.id(), "-CONT");
    assert_eq!(connection.read().status, 200);
    assert_eq!(other.entries_within(&world, 3, Duration::from_secs(20)).len(), 3, "no correction came");
    // Whatever else that Envoy has to say of the call changes nothing.
    std::thread::sleep(Duration::from_millis(1_500));
    let entries = other.entries(&world);
    let kinds: Vec<_> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["grant", "debit", "correction"], "{stood_still}");
    let better: Value = serde_json::from_str(entries[2]["better"].as_str().unwrap()).unwrap();
    assert_eq!((better["ending"].as_str(), better["usage"].is_string()), (Some("complete"), true));
    let listed: Vec<_> = lapsed(&world, &caller.account);
    assert!(listed.len() == OPEN - 1 && listed.iter().all(|hold| hold["exchange_id"] != killed.as_str()));
    world.replay();
}
