//! A ledger is upgraded, rolled back and upgraded again while calls run. Debits that it cannot read yet wait,
//! and in the end every answered call has one entry.

use crate::OwnCase;
use crate::common::load::{Load, Tally};
use crate::common::prices::now;
use crate::common::world::{TOKEN, World};
use pax_gateway::base::clock::Moment;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub const CASES: &[OwnCase] = &[(
    "of a ledger that is upgraded, rolled back and upgraded again under load, each answered call is one entry",
    under_load,
)];

/// How long the gateway believes what the ledger said of a token, and so which versions it reads.
const TTL: Duration = Duration::from_secs(1);
/// How much longer it may take until every worker has asked anew.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long callers call between two changes.
const PHASE: Duration = Duration::from_secs(4);
/// For how long the ledger is away at each change, so that debits of the version before it wait.
const AWAY: Duration = Duration::from_millis(700);
const CALLERS: usize = 4;

/// The ledger is started anew, as a program that reads versions up to this one; gives the moment at which it is up.
fn restart_reading(world: &mut World, newest: u32) -> Moment {
    world.stack.kill_ledger();
    std::thread::sleep(AWAY);
    world.stack.set_ledger_args(["--canon-v".to_owned(), newest.to_string()]);
    world.stack.start_ledger().unwrap();
    now()
}

fn unsupported(world: &World) -> u64 {
    world.stack.stat("wasmcustom.pax_debits_unsupported").unwrap_or(0)
}

fn moment(entry: &Value, name: &str) -> Moment {
    entry[name].as_str().unwrap().parse().unwrap()
}

fn version(entry: &Value) -> u64 {
    entry["canon_v"].as_u64().unwrap()
}

/// Those of `entries` whose moment `name` is at `from` or later are of one version, and they are no few.
fn all_of_version(entries: &[Value], name: &str, from: Moment, expected: u64) -> usize {
    let of_phase: Vec<&Value> = entries.iter().filter(|entry| moment(entry, name) >= from).collect();
    let others = of_phase.iter().filter(|entry| version(entry) != expected).count();
    assert_eq!(others, 0, "of {} with {name} from {from} on, not of version {expected}", of_phase.len());
    assert!(of_phase.len() > 50, "few calls are no test: {}", of_phase.len());
    of_phase.len()
}

/// Once the gateway has asked about its token again, it writes the newest version that the ledger reads.
fn asked_anew(ledger_up: Moment) -> Moment {
    ledger_up.plus_ms((TTL + PATIENCE).as_millis().try_into().unwrap())
}

fn under_load() {
    let mut world = World::start_with(|builder| {
        builder.change_filter_config(|config| {
            config["tokens"]["ttl_s"] = TTL.as_secs().into();
            // A ledger that reads version 1 alone makes no holds.
            config["gate"]["admission"]["credit"] = "shared_data".into();
        })
    });
    let before = restart_reading(&mut world, 1);
    let load = Load::start(([127, 0, 0, 1], world.stack.gateway_port()).into(), TOKEN, CALLERS);
    std::thread::sleep(PHASE);
    let of_1 = all_of_version(&world.entries(), "occurred_at", before, 1);

    let upgraded = restart_reading(&mut world, 2);
    std::thread::sleep(PHASE);
    let of_2 = all_of_version(&world.entries(), "occurred_at", asked_anew(upgraded), 2);
    assert_eq!(unsupported(&world), 0);

    let rolled_back = restart_reading(&mut world, 1);
    std::thread::sleep(PHASE);
    let waiting = (unsupported(&world), world.waiting());
    assert!(0 < waiting.0 && waiting.0 <= waiting.1, "debits of version 2 wait: {waiting:?}");
    let (counted, entries) = (now(), world.entries());
    // Those of version 2 keep no others waiting.
    let past_them = all_of_version(&entries, "recorded_at", rolled_back, 1);
    all_of_version(&entries, "occurred_at", asked_anew(rolled_back), 1);

    let again = restart_reading(&mut world, 2);
    std::thread::sleep(PHASE);
    let seen = load.stop();
    let begun = Instant::now();
    world.settle();
    let entries = world.entries();
    all_of_version(&entries, "occurred_at", asked_anew(again), 2);
    println!(
        "{seen}\nread up to 1: {of_1} entries; 2: {of_2}; 1 again: {} debits of version 2 wait, {past_them} entries past them; \
         2 again: all recorded {:?} after the last call",
        waiting.0,
        begun.elapsed()
    );
    nothing_is_lost(&world, &entries, &seen);
    let waited = entries.iter().filter(|entry| {
        version(entry) == 2
            && moment(entry, "occurred_at") < counted
            && moment(entry, "recorded_at") > counted
    });
    // A debit that two senders put aside waits twice, and is one entry.
    let waited = waited.count() as u64;
    assert!(
        0 < waited && waited <= waiting.0,
        "those that waited are entries now: {waited} of {}",
        waiting.0
    );
}

/// Each answered call has exactly one entry, of either version, and nobody else has one.
fn nothing_is_lost(world: &World, entries: &[Value], seen: &Tally) {
    assert_eq!((seen.cut.len(), seen.unanswered, seen.unconnected), (0, 0, 0), "{seen}");
    // A caller may come while the ledger is away for longer than an expired answer is good for.
    assert!(seen.refused.keys().all(|refusal| refusal == "503 ledger_unavailable"), "{seen}");
    let exchange = |entry: &Value| entry["exchange_id"].as_str().unwrap().to_owned();
    let recorded: BTreeSet<String> = entries.iter().map(exchange).collect();
    let lost = seen.owed().difference(&recorded).count();
    assert_eq!(
        (lost, recorded.len(), entries.len()),
        (0, seen.answered.len(), seen.answered.len()),
        "{seen}"
    );
    for version_of in [1, 2] {
        assert!(entries.iter().filter(|entry| version(entry) == version_of).count() > 100);
    }
    assert_eq!(unsupported(world), 0);
    for result in ["conflict", "rejected"] {
        let put_aside = world.stack.stat(&format!("wasmcustom.pax_debits_total;result={result}"));
        assert_eq!(put_aside, Some(0), "{result}");
    }
    assert_eq!(world.stack.ledger(["quarantine", "list", "--json"]).unwrap(), "");
    println!("{}", world.replay().trim());
}
