//! A ledger that is restored from a backup: its numbers are lower than those that the Envoy knows, and true.

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
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const CASES: &[OwnCase] = &[(
    "after a restore the cap is that of the backup's entries and of what the ledger has not had",
    restored,
)];

/// A copy of a ledger that does not run: the file and its log.
fn back_up(db: &Path) -> PathBuf {
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", db.display()));
    for log in ["", "-wal"] {
        if beside(log).exists() {
            std::fs::copy(beside(log), beside(&format!(".backup{log}"))).unwrap();
        }
    }
    beside(".backup")
}

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
    let mut world = World::start_with(|builder| syncing(builder));
    let cap = room_for(20);
    let caller = Caller::new(&world, "restored", Some(cap));
    world.behave(costs_all());
    calls(&world, &caller, 5);
    world.settle();
    world.stack.kill_ledger();
    let backup = back_up(world.stack.db());
    world.stack.start_ledger().unwrap();
    until(SYNC * 3, || world.connect().call(&caller.call(1)).status.to_string(), "200");
    calls(&world, &caller, 10);
    world.settle();
    let before = caller.entries(&world);
    assert_eq!(before.len(), 16);
    until(SYNC * 3, || spent(&world, &caller, cap), &sum(&before).normalize().to_string());

    world.stack.kill_ledger();
    // Calls whose debits wait for the ledger, in this Envoy's outbox.
    calls(&world, &caller, 2);
    let said = world.stack.ledger(["restore".as_ref(), backup.as_os_str()]).unwrap();
    assert!(said.contains(": 5 entries, epoch "), "{said}");
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
    assert_eq!(lost.len(), 11);
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
