//! The credit tier, and a free tier that the ledger admits: holds, over one Envoy and over two.

use crate::common::http::{Answer, Connection, chat};
use crate::common::world::{World, three_ledgers};
use crate::play::{
    Caller, INPUT_TOKENS, OUTPUT_TOKENS, all_at_once, answer, body, costs_all, error, reservation, room_for,
    served, sum, until,
};
use crate::{Case, OwnCase};
use pax_stack::Builder;
use pax_standin::Behaviour;
use rust_decimal::Decimal;
use serde_json::Value;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    ("of ten calls at once as many go up as the balance holds, and afterwards one more fits", ten_at_once),
    ("holds: a call that is not charged gives its hold back", not_charged),
    ("holds: a caller who hangs up before the answer's head leaves no hold", hung_up),
    ("holds: an account that is disabled is refused by its next hold, though its token is cached", disabled),
    ("holds: an answer says what is left", told),
];
pub const OWN_CASES: &[OwnCase] = &[
    ("holds: 200 callers on two Envoys never exceed a cap that the ledger keeps", || {
        two_hundred(|builder| builder)
    }),
    ("holds: nor if three ledgers on PostgreSQL keep it", || two_hundred(three_ledgers)),
    ("holds: ten at once, over two Envoys and three ledgers on PostgreSQL, 20 times", || {
        ten_at_once(&mut World::start_with(three_ledgers));
    }),
];

/// How many calls are sent at once.
const CALLS: usize = 10;

/// An account of tier credit with this much.
pub fn rich(world: &World, name: &str, pax: Decimal) -> Caller {
    let caller = Caller { account: name.to_owned(), token: format!("mtx-{name}") };
    let ledger = |args: &[&str]| world.stack.ledger(args).unwrap_or_else(|error| panic!("{error}"));
    ledger(&["account", "create", name, "--tier", "credit"]);
    ledger(&["token", "add", name, "--name", name, "--token", &caller.token]);
    ledger(&["grant", name, &pax.to_string(), "--class", "purchase", "--reason", "a test"]);
    caller
}

/// How many were served; the others were refused for want of credit, and no other reason.
fn paid(answers: &[Answer]) -> usize {
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.refusal(), "402 insufficient_credit", "{}", answer.text());
        let told = error(answer);
        let pax = |name: &str| told[name].as_str().unwrap().parse::<Decimal>().unwrap();
        assert!(pax("balance_pax") - pax("held_pax") < pax("needed_pax"), "{told}");
        assert_eq!(pax("needed_pax"), reservation(OUTPUT_TOKENS));
    }
    answers.iter().filter(|answer| answer.status == 200).count()
}

/// Sends a call on each connection. The provider answers none before each is refused or has gone up; then each costs little.
fn once_all_are_decided(world: &World, connections: &mut [Connection], call: &[u8]) -> Vec<Answer> {
    connections.iter_mut().for_each(|connection| connection.send(call));
    let decided = || {
        let refused = connections.iter_mut().map(|connection| usize::from(connection.has_answer()));
        (refused.sum::<usize>() + world.standin.received_count()).to_string()
    };
    until(Duration::from_secs(10), decided, &CALLS.to_string());
    world.behave(Behaviour { body: Some(answer(1, 1)), ..Behaviour::default() });
    connections.iter_mut().map(Connection::read).collect()
}

fn ten_at_once(world: &mut World) {
    let second = world.stack.another_envoy(|config| config).unwrap();
    let ports = [world.stack.gateway_port(), second.gateway_port()];
    // Over one Envoy, and over two; for three to six calls each.
    for (round, envoys) in (0..20).flat_map(|round| [(round, 1), (round, 2)]) {
        let fit = 3 + round % 4;
        let name = format!("holder-{round}-{envoys}");
        let caller = rich(world, &name, room_for(u64::try_from(fit).unwrap()));
        world.behave(Behaviour { waits: true, ..Behaviour::default() });
        world.standin.clear_received();
        let mut connections: Vec<_> = (0..CALLS).map(|call| Connection::open(ports[call % envoys])).collect();
        let answers = once_all_are_decided(world, &mut connections, &caller.call(OUTPUT_TOKENS));
        assert_eq!(paid(&answers), fit, "{name}");
        assert_eq!(world.take_received().len(), fit, "{name}: what went up");
        assert_eq!(caller.entries_within(world, fit + 1, Duration::from_secs(10)).len(), fit + 1);
        world.behave(Behaviour { body: Some(answer(1, 1)), ..Behaviour::default() });
        let eleventh = connections[0].call(&caller.call(OUTPUT_TOKENS));
        assert_eq!(eleventh.status, 200, "{}", eleventh.text());
    }
    world.settle();
    world.replay();
}

/// A call fits again and again, though the balance holds one at a time.
fn fits_again(world: &World, caller: &Caller) {
    world.behave(Behaviour { body: Some(answer(1, 1)), ..Behaviour::default() });
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let answer = world.connect().call(&caller.call(OUTPUT_TOKENS));
        if answer.status == 200 {
            return;
        }
        assert!(Instant::now() < deadline, "something is held: {}", answer.text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn not_charged(world: &mut World) {
    let caller = rich(world, "not-charged", room_for(1));
    for status in [429, 500, 401] {
        world.behave(Behaviour { status: Some(status), ..Behaviour::default() });
        let refused = world.connect().call(&caller.call(OUTPUT_TOKENS));
        assert_ne!(refused.status, 200);
        fits_again(world, &caller);
    }
}

fn hung_up(world: &mut World) {
    let caller = rich(world, "hung-up", room_for(1));
    fits_again(world, &caller);
    for _ in 0..10 {
        // Some are gone before their hold is answered, some after it.
        world.connect().send(&caller.call(OUTPUT_TOKENS));
    }
    fits_again(world, &caller);
    world.settle();
    world.replay();
}

fn disabled(world: &mut World) {
    let caller = rich(world, "frozen", room_for(10));
    fits_again(world, &caller);
    world.stack.ledger(["account", "disable", "frozen"]).unwrap();
    assert_eq!(world.connect().call(&caller.call(OUTPUT_TOKENS)).refusal(), "403 account_disabled");
    world.stack.ledger(["account", "enable", "frozen"]).unwrap();
    let id = world.stack.ledger(["token", "list", "frozen"]).unwrap();
    let id = id.split_whitespace().find(|word| word.starts_with("tok_")).unwrap();
    world.stack.ledger(["token", "revoke", id]).unwrap();
    assert_eq!(world.connect().call(&caller.call(OUTPUT_TOKENS)).refusal(), "401 invalid_api_key");
}

fn told(world: &mut World) {
    let caller = rich(world, "told", Decimal::ONE);
    world.behave(Behaviour { body: Some(answer(1_000, 100)), ..Behaviour::default() });
    let answer = world.connect().call(&caller.call(OUTPUT_TOKENS));
    let pax = |name: &str| answer.header(name).parse::<Decimal>().unwrap();
    assert_eq!(pax("x-matrix-balance-pax"), Decimal::ONE - pax("x-matrix-cost-pax"));
    assert!(!answer.has_header("x-matrix-daily-spent-pax"));
    world.standin.reset();
    let stream = world.connect().call(&chat(&caller.token, &body(OUTPUT_TOKENS, true)));
    assert!(stream.status == 200 && !stream.has_header("x-matrix-balance-pax"));
}

fn two_hundred(ledgers: fn(Builder) -> Builder) {
    let by_ledger = |config: &mut Value| config["gate"]["admission"]["free"] = "ledger".into();
    let world = World::start_with(|builder| ledgers(builder.change_filter_config(by_ledger)));
    let second = world.stack.another_envoy(|config| config).unwrap();
    let ports = [world.stack.gateway_port(), second.gateway_port()];
    let cap = room_for(20);
    let caller = Caller::new(&world, "crowd", Some(cap));
    world.behave(Behaviour { delay_ms: Some(500), ..costs_all() });
    let bursts = ports.map(|port| {
        let call = caller.call(OUTPUT_TOKENS);
        std::thread::spawn(move || {
            let mut connections: Vec<_> = (0..100).map(|_| Connection::open(port)).collect();
            served(&all_at_once(&mut connections, &call))
        })
    });
    let served: usize = bursts.map(|burst| burst.join().unwrap()).iter().sum();
    assert_eq!(served, 20);
    let entries = caller.entries_within(&world, 20, Duration::from_secs(10));
    assert_eq!((entries.len(), sum(&entries)), (20, reservation(OUTPUT_TOKENS) * Decimal::from(20)));
    for port in ports {
        let refused = Connection::open(port).call(&caller.call(OUTPUT_TOKENS));
        assert_eq!(refused.refusal(), "429 daily_cap_exceeded");
    }
    overrun(&world);
    world.settle();
    world.replay();
}

/// A provider that does not keep the maximum that it was given is paid for what it wrote, and each entry says so.
fn overrun(world: &World) {
    let cap = room_for(2);
    let caller = Caller::new(world, "overrun", Some(cap));
    world.behave(Behaviour {
        delay_ms: Some(500),
        body: Some(answer(INPUT_TOKENS, 2 * OUTPUT_TOKENS)),
        ..Behaviour::default()
    });
    let mut connections: Vec<_> = (0..CALLS).map(|_| world.connect()).collect();
    assert_eq!(served(&all_at_once(&mut connections, &caller.call(OUTPUT_TOKENS))), 2);
    let entries = caller.entries_within(world, 2, Duration::from_secs(10));
    let over = entries.iter().filter(|entry| entry["posting"]["hold"]["overrun"] == true).count();
    println!("a provider that writes twice what it may: cap {cap}, spent {}, {over} overruns", sum(&entries));
    assert!(over == 2 && sum(&entries) == reservation(2 * OUTPUT_TOKENS) * Decimal::from(2), "{entries:?}");
}
