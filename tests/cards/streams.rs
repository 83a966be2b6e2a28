//! A stream that began before the reload and ends long after it.

use crate::Case;
use crate::bundles::{Cards, body, call, log, version, wait_for};
use crate::common::http::chat;
use crate::common::world::{TOKEN, World};
use pax_standin::Behaviour;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    ("a stream keeps the card of its admission over a reload, and is recorded", over_a_reload),
    ("a stream that ends after its configuration is recorded at once, though nobody calls", the_last_one),
];

/// Longer than it takes to be taken for dead, and than a sender's lease.
const EVENTS: usize = 130;

/// The next answer is a stream of so many events, ten a second.
fn paced(world: &World, events: usize) {
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":8}}\n\n";
    world.behave(Behaviour {
        body: Some([&event.repeat(events), usage, "data: [DONE]\n\n"].concat()),
        content_type: Some("text/event-stream".to_owned()),
        write_bytes: Some(vec![event.len()]),
        pace_ms: Some(100),
        times: Some(1),
        ..Behaviour::default()
    });
}

fn over_a_reload() {
    let world = World::start();
    let before = Cards::published();
    paced(&world, EVENTS);
    let mut long = world.connect();
    long.send(&chat(TOKEN, &body(true)));
    assert!(long.read_until(b"12345678"));
    let began = Instant::now();
    let mut cards = before.clone();
    for prices in [("1", "2"), ("3", "4")] {
        cards = cards.and_now(prices.0, prices.1);
        cards.use_in(&world);
        for _ in 0..4 {
            let answer = call(&world);
            assert_eq!(version(&answer), cards.newest(), "a new call is priced by the new card");
            let asked = Instant::now();
            cards.check(&world.entry(&answer.header("x-matrix-exchange-id")));
            assert!(asked.elapsed() < Duration::from_secs(5), "the old configuration holds the outbox up");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(11), "the stream was to outlast the reloads");
    let stream = long.read();
    assert!(stream.complete && stream.text().ends_with("data: [DONE]\n\n"), "{}", stream.text());
    assert!(began.elapsed() > Duration::from_secs(10));
    assert_eq!(version(&stream), before.newest());
    let entry = world.entry(&stream.header("x-matrix-exchange-id"));
    assert_eq!(entry["rate_table_v"], before.newest());
    assert_eq!((&entry["provenance"], &entry["ending"]), (&"reported".into(), &"complete".into()));
    cards.check(&entry);
    wait_for("nothing waits", || world.waiting() == 0);
    let log = log(&world);
    assert!(!log.contains("VM"), "nobody died: {log}");
    world.replay();
}

fn the_last_one() {
    let world = World::start();
    paced(&world, 25);
    let mut last = world.connect();
    last.send(&chat(TOKEN, &body(true)));
    assert!(last.read_until(b"12345678"));
    let cards = Cards::published().and_now("1", "2");
    cards.use_in(&world);
    let stream = last.read();
    assert!(stream.complete);
    let ended = Instant::now();
    cards.check(&world.entry(&stream.header("x-matrix-exchange-id")));
    assert!(ended.elapsed() < Duration::from_secs(4), "its debit waits for somebody to send it");
}
