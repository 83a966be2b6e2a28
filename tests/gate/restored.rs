//! A ledger is restored from a backup: its numbers are lower than those that Envoy knows, and Envoy must
//! believe them.

use crate::OwnCase;
use crate::common::calls_log;
use crate::common::world::World;
use crate::fleet::{SYNC, syncing};
use crate::play::{
    Caller, OUTPUT_TOKENS, all_at_once, costs_all, error, most_output, room_for, served, sum, until,
};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

pub const CASES: &[OwnCase] = &[(
    "after a restore the cap is that of the backup's entries and of what the ledger has not had",
    restored,
)];

fn calls(world: &World, caller: &Caller, count: usize) {
    let mut connections: Vec<_> = (0..count).map(|_| world.connect()).collect();
    assert_eq!(served(&all_at_once(&mut connections, &caller.call(OUTPUT_TOKENS))), count);
}

/// What the Envoy says that was spent, to a call that never fits.
fn spent(world: &World, caller: &Caller, cap: Decimal) -> String {
    let refused = world.connect().call(&caller.call(most_output(cap) + 1));
    let told = error(&refused)["spent_pax"].as_str().unwrap_or_default().parse::<Decimal>();
    told.map_or_else(|_| refused.refusal(), |told| told.normalize().to_string())
}

fn restored() {
    let mut world = World::start_with(syncing);
    let cap = room_for(20);
    let caller = Caller::new(&world, "restored", Some(cap));
    world.behave(costs_all());
    calls(&world, &caller, 5);
    world.settle();
    // While it serves. The demo's credit is an entry, too.
    let backup = world.stack.db().with_extension("backup");
    let said = world.stack.ledger(["backup".as_ref(), backup.as_os_str()]).unwrap();
    assert!(said.contains(": 6 entries, ") && said.contains("everything holds"), "{said}");
    calls(&world, &caller, 10);
    world.settle();
    let before = caller.entries(&world);
    assert_eq!(before.len(), 15);
    until(SYNC * 3, || spent(&world, &caller, cap), &sum(&before).normalize().to_string());

    world.stack.kill_ledger();
    // Calls whose debits wait for the ledger, in this Envoy's outbox.
    calls(&world, &caller, 2);
    let said = world.stack.ledger(["restore".as_ref(), backup.as_os_str()]).unwrap();
    assert!(said.contains(": 6 entries, epoch "), "{said}");
    world.stack.start_ledger().unwrap();
    let after = caller.entries_within(&world, 7, SYNC * 5);
    assert_eq!(after.len(), 7, "the backup's, and those that waited");
    let took = until(SYNC * 3, || spent(&world, &caller, cap), &sum(&after).normalize().to_string());
    println!("believed {took:?} after its debits were there");

    // Those that are lost are found by the calls log, with what they cost.
    let exchanges = |entries: &[Value]| -> BTreeSet<String> {
        entries.iter().map(|entry| entry["exchange_id"].as_str().unwrap().to_owned()).collect()
    };
    let lost: Vec<_> = exchanges(&before).difference(&exchanges(&after)).cloned().collect();
    assert_eq!(lost.len(), 10);
    let unnamed = || {
        let told: Vec<String> = calls_log::lines(&world)
            .iter()
            .filter(|line| line["pax"]["cost_pax"].is_string())
            .filter_map(|line| Some(line["pax"]["exchange_id"].as_str()?.to_owned()))
            .collect();
        lost.iter().filter(|exchange| !told.contains(exchange)).count().to_string()
    };
    until(Duration::from_secs(15), unnamed, "0");

    // Of twenty that fit, thirteen are left.
    let mut connections: Vec<_> = (0..30).map(|_| world.connect()).collect();
    assert_eq!(served(&all_at_once(&mut connections, &caller.call(OUTPUT_TOKENS))), 13);
    world.settle();
    assert_eq!(caller.entries_within(&world, 20, SYNC * 5).len(), 20);
    caller.has_nothing_reserved(&world, world.stack.gateway_port(), cap);
    world.settle();
    world.replay();
}
