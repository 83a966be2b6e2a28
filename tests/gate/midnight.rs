//! A UTC day ends. The filter's clock is set so that midnight comes soon; only a module for tests has such a
//! clock.

use crate::OwnCase;
use crate::common::http::Connection;
use crate::common::prices::now;
use crate::play::{Caller, OUTPUT_TOKENS, costs_all, reservation, room_for, sum};
use crate::trapped::with_faults;
use pax_gateway::base::clock::Moment;
use pax_standin::Behaviour;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const CASES: &[OwnCase] =
    &[("at midnight the cap begins anew, and a call that began before it settles on yesterday", midnight)];

/// How long before midnight Envoy is told the time: it starts meanwhile.
const BEFORE_MS: u64 = 20_000;

fn midnight() {
    // The midnight that was last, so that yesterday and today are the ledger's too.
    let begins = Arc::new(Mutex::new(Moment::default()));
    let told = Arc::clone(&begins);
    let world = with_faults(move |config| {
        let now = now();
        *told.lock().unwrap() = now.plus_ms(BEFORE_MS);
        let offset = i64::try_from(now.since_ms(now.day().start()) + BEFORE_MS).unwrap();
        config["test_clock_offset_ms"] = (-offset).into();
    });
    let midnight = *begins.lock().unwrap();
    let left_ms = |at: Moment| at.since_ms(now());
    assert!(left_ms(midnight) > 3_000, "Envoy took too long to start: {} ms are left", left_ms(midnight));
    let today = now().day();
    let yesterday = pax_gateway::base::clock::UtcDay::from_days(today.days() - 1);

    let cap = room_for(3);
    let caller = Caller::new(&world, "midnight", Some(cap));
    world.behave(Behaviour { times: Some(2), ..costs_all() });
    let port = world.stack.gateway_port();
    for _ in 0..2 {
        assert_eq!(Connection::open(port).call(&caller.call(OUTPUT_TOKENS)).status, 200);
    }
    // It begins before midnight and is answered after it.
    let delay_ms = Some(left_ms(midnight) + 2_000);
    world.behave(Behaviour { delay_ms, times: Some(1), ..costs_all() });
    let mut late = Connection::open(port);
    late.send(&caller.call(OUTPUT_TOKENS));
    while world.standin.received().len() < 3 {
        std::thread::sleep(Duration::from_millis(10));
    }
    world.behave(costs_all());
    let refused = Connection::open(port).call(&caller.call(OUTPUT_TOKENS));
    assert_eq!(refused.refusal(), "429 daily_cap_exceeded");
    assert_eq!(crate::play::error(&refused)["resets_at"], today.start().to_string());
    assert!(left_ms(midnight) > 500, "too slow: midnight came too early for this test");

    std::thread::sleep(Duration::from_millis(left_ms(midnight) + 500));
    // What is spent and what is reserved of yesterday is nothing of today's.
    for _ in 0..3 {
        assert_eq!(Connection::open(port).call(&caller.call(OUTPUT_TOKENS)).status, 200);
    }
    assert_eq!(Connection::open(port).call(&caller.call(OUTPUT_TOKENS)).refusal(), "429 daily_cap_exceeded");
    let answer = late.read();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let three = reservation(OUTPUT_TOKENS) * rust_decimal::Decimal::from(3);
    assert_eq!(answer.header("x-matrix-daily-spent-pax"), format!("{three:.12}"), "yesterday's");

    let entries = caller.entries_within(&world, 6, Duration::from_secs(10));
    let of = |day: String| -> Vec<Value> {
        entries.iter().filter(|entry| entry["utc_day"] == day.as_str()).cloned().collect()
    };
    assert_eq!((of(yesterday.to_string()).len(), of(today.to_string()).len()), (3, 3), "{entries:?}");
    let entry = world.entry(&answer.header("x-matrix-exchange-id"));
    assert_eq!(entry["utc_day"], yesterday.to_string());
    assert!(entry["settled_at"].as_str().unwrap() > today.start().to_string().as_str(), "{entry}");
    for day in [yesterday, today] {
        assert_eq!(sum(&of(day.to_string())), three);
        assert_eq!(crate::credits::standing(&world, &caller.account, day), format!("{three:.12}"));
    }
    world.settle();
    world.replay();
}
