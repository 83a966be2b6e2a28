//! Several Envoys share one ledger, and one of them dies.

use crate::Case;
use crate::common::http::Connection;
use crate::common::world::World;
use crate::play::{
    Caller, OUTPUT_TOKENS, all_at_once, costs_all, error, most_output, part, reservation, room_for, served,
    sum, until,
};
use pax_stack::Builder;
use pax_standin::Behaviour;
use rust_decimal::Decimal;
use std::time::Duration;

pub const CASES: &[Case] = &[
    ("two Envoys at once overshoot a cap by no more than what the other did not know", two_at_once),
    ("an Envoy knows within the sync interval what the other has spent", they_learn),
    ("an Envoy that is killed with half of the cap spent serves exactly the other half", killed),
];

/// How often the Envoys of this world ask where active accounts stand.
pub const SYNC: Duration = Duration::from_secs(2);

pub fn world() -> World {
    World::start_with(syncing)
}

/// A stack whose Envoys ask every [`SYNC`].
pub fn syncing(builder: Builder) -> Builder {
    builder.change_filter_config(|config| config["gate"]["sync_s"] = SYNC.as_secs().into())
}

/// Served once by each, so that both know the account's day as it stands.
fn known_to(world: &World, caller: &Caller, ports: [u16; 2]) {
    for port in ports {
        let answer = Connection::open(port).call(&caller.call(1));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    caller.entries_within(world, 2, Duration::from_secs(10));
}

fn two_at_once(world: &mut World) {
    let second = world.stack.another_envoy(|config| config).unwrap();
    let ports = [world.stack.gateway_port(), second.gateway_port()];
    let cap = room_for(20);
    let caller = Caller::new(world, "fleet", Some(cap));
    world.behave(Behaviour { delay_ms: Some(500), ..costs_all() });
    let bursts = ports.map(|port| {
        let call = caller.call(OUTPUT_TOKENS);
        std::thread::spawn(move || {
            let mut connections: Vec<_> = (0..40).map(|_| Connection::open(port)).collect();
            served(&all_at_once(&mut connections, &call))
        })
    });
    let served = bursts.map(|burst| burst.join().unwrap());
    // Of one Envoy alone the cap is never exceeded; two of them knew of nothing spent.
    assert!(served.iter().all(|served| (1..=20).contains(served)), "{served:?}");
    assert!(served.iter().sum::<usize>() >= 20, "{served:?}");
    let entries = caller.entries_within(world, served.iter().sum(), Duration::from_secs(10));
    assert_eq!(entries.len(), served.iter().sum::<usize>());
    assert!(sum(&entries) <= cap * Decimal::TWO);
    for port in ports {
        let ask = || Connection::open(port).call(&caller.call(OUTPUT_TOKENS)).refusal();
        until(SYNC * 3, ask, "429 daily_cap_exceeded");
    }
}

fn they_learn(world: &mut World) {
    let second = world.stack.another_envoy(|config| config).unwrap();
    let ports = [world.stack.gateway_port(), second.gateway_port()];
    let cap = room_for(20);
    let caller = Caller::new(world, "learner", Some(cap));
    known_to(world, &caller, ports);
    // The second is silent from here on, for longer than an interval.
    std::thread::sleep(SYNC * 2);

    world.behave(costs_all());
    let mut connection = Connection::open(ports[0]);
    for _ in 0..15 {
        assert_eq!(connection.call(&caller.call(OUTPUT_TOKENS)).status, 200);
    }
    let spent = sum(&caller.entries_within(world, 17, Duration::from_secs(10)));
    assert!(spent > reservation(OUTPUT_TOKENS) * Decimal::from(15));

    // Nothing was acknowledged to the second Envoy, and nobody has called it meanwhile: it has asked by itself. A call
    // of a third of the cap would fit, were nothing spent.
    std::thread::sleep(SYNC + Duration::from_secs(1));
    let refused = Connection::open(ports[1]).call(&caller.call(most_output(part(cap, 3))));
    assert_eq!(refused.refusal(), "429 daily_cap_exceeded");
    let said: Decimal = error(&refused)["spent_pax"].as_str().unwrap().parse().unwrap();
    assert_eq!(said, spent, "what the other spent is in it");
}

fn killed(world: &mut World) {
    let cap = room_for(20);
    let caller = Caller::new(world, "killed", Some(cap));
    world.behave(costs_all());
    let mut connections: Vec<_> = (0..10).map(|_| world.connect()).collect();
    assert_eq!(served(&all_at_once(&mut connections, &caller.call(OUTPUT_TOKENS))), 10);
    assert_eq!(caller.entries_within(world, 10, Duration::from_secs(10)).len(), 10);
    // Calls that die with it are not acknowledged, and lost: that is the promise.
    world.behave(Behaviour { delay_ms: Some(60_000), ..Behaviour::default() });
    let mut lost: Vec<_> = (0..5).map(|_| world.connect()).collect();
    lost.iter_mut().for_each(|connection| connection.send(&caller.call(OUTPUT_TOKENS)));
    while world.standin.received().len() < 15 {
        std::thread::sleep(Duration::from_millis(10));
    }
    world.stack.kill_envoy();
    world.stack.start_envoy().unwrap();

    world.behave(costs_all());
    let mut connections: Vec<_> = (0..40).map(|_| world.connect()).collect();
    assert_eq!(served(&all_at_once(&mut connections, &caller.call(OUTPUT_TOKENS))), 10);
    let entries = caller.entries_within(world, 20, Duration::from_secs(10));
    assert_eq!((entries.len(), sum(&entries)), (20, reservation(OUTPUT_TOKENS) * Decimal::from(20)));
    caller.has_nothing_reserved(world, world.stack.gateway_port(), cap);
}
