//! Prices that change while many call.

use crate::Case;
use crate::bundles::{Cards, body, call, cards_in_use, version, wait_for};
use crate::common::http::{Connection, chat};
use crate::common::world::{TOKEN, World};
use pax_gateway::base::clock::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    ("prices change under load: no call fails, and every entry costs what its own card says", under_load),
    ("a card takes force at its moment, on every worker", takes_force),
];

/// Callers on connections of their own, half of whose calls are streams, until they are stopped; each gives the
/// exchanges and the versions that their answers named.
fn callers(
    world: &World,
    count: usize,
    stop: &Arc<AtomicBool>,
    pace_ms: u64,
) -> Vec<JoinHandle<Vec<(String, u32)>>> {
    let port = world.stack.gateway_port();
    let caller = |number: usize| {
        let stop = Arc::clone(stop);
        std::thread::spawn(move || {
            let mut connection = Connection::open(port);
            let mut calls = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let stream = (number + calls.len()).is_multiple_of(2);
                let answer = connection.call(&chat(TOKEN, &body(stream)));
                assert!(answer.status == 200 && answer.complete, "{} {}", answer.status, answer.text());
                assert!(!stream || answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
                calls.push((answer.header("x-matrix-exchange-id"), version(&answer)));
                std::thread::sleep(Duration::from_millis(pace_ms));
            }
            calls
        })
    };
    (0..count).map(caller).collect()
}

fn under_load() {
    let world = World::start();
    let mut cards = Cards::published();
    let first = cards.newest();
    let stop = Arc::new(AtomicBool::new(false));
    let callers = callers(&world, 32, &stop, 0);
    std::thread::sleep(Duration::from_millis(400));
    // Up and down again, and once the very same file.
    for (input, output) in [("7.5", "30"), ("0.001", "0.002"), ("123.456", "0.5"), ("0.05", "0.20")] {
        cards = cards.and_now(input, output);
        cards.use_in(&world);
        cards.put(&world);
        std::thread::sleep(Duration::from_millis(400));
    }
    stop.store(true, Ordering::Relaxed);
    let calls: Vec<(String, u32)> =
        callers.into_iter().flat_map(|caller| caller.join().expect("a call failed")).collect();
    let ended = Instant::now();
    world.settle();
    // A sender's lease is ten seconds: who held it when its configuration ended gave it up.
    assert!(ended.elapsed() < Duration::from_secs(6), "a configuration that ended holds the outbox up");
    let entries = world.entries();
    assert_eq!(entries.len(), calls.len(), "one entry for each call");
    let named: BTreeMap<&str, u32> = calls.iter().map(|(id, version)| (id.as_str(), *version)).collect();
    for entry in &entries {
        assert_eq!(entry["rate_table_v"], named[entry["exchange_id"].as_str().unwrap()]);
        assert_eq!(entry["provenance"], "reported");
        cards.check(entry);
    }
    let seen: BTreeSet<u32> = named.values().copied().collect();
    assert_eq!(seen, (first..=cards.newest()).collect(), "calls under every card");
    world.replay();
    // A published card is not taken back by an older file.
    Cards::published().and_now("7.5", "30").put(&world);
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..8 {
        assert_eq!(version(&call(&world)), cards.newest());
    }
    assert_eq!(cards_in_use(&world), Some(u64::from(cards.newest())));
}

fn takes_force() {
    let world = World::start();
    let before = Cards::published();
    let at = Moment::from_ms(crate::common::prices::now().ms() + 3_000);
    let cards = before.clone().and("1", "2", &at.to_string());
    cards.use_in(&world);
    assert!(crate::common::prices::now() < at, "the machine is too slow for this test");
    let stop = Arc::new(AtomicBool::new(false));
    let callers = callers(&world, 8, &stop, 5);
    wait_for("the moment has passed", || crate::common::prices::now().ms() > at.ms() + 1_000);
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        let versions: Vec<u32> = caller.join().unwrap().into_iter().map(|(_, version)| version).collect();
        // Eight connections are spread over two workers.
        assert!(versions.is_sorted() && versions.contains(&before.newest()), "{versions:?}");
        assert_eq!(versions.last(), Some(&cards.newest()));
    }
    world.settle();
    for entry in world.entries() {
        let admitted: Moment = entry["occurred_at"].as_str().unwrap().parse().unwrap();
        let due = if admitted < at { before.newest() } else { cards.newest() };
        assert_eq!(entry["rate_table_v"], due, "admitted at {admitted}, and it takes force at {at}");
        cards.check(&entry);
    }
    assert_eq!(cards_in_use(&world), Some(u64::from(cards.newest())));
    world.replay();
}
