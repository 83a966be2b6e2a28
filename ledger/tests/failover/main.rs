//! Three ledgers on a cluster of PostgreSQL that loses its primary ten times, while calls are made.

mod calls;
#[path = "../suite/common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use calls::{ACCOUNTS, Calls, Kind, Seen};
use common::several::{Three, sent};
use common::{PATIENCE, bytes};
use pax_postgres::patroni::Patroni;

const LOSSES: usize = 10;
/// What callers may have to do without at most.
const OUTAGE: Duration = Duration::from_secs(40);
/// How long anything may take, so that it is measured and not only missed.
const LIMIT: Duration = Duration::from_secs(90);
const TIMED: [Kind; 3] = [Kind::Hold, Kind::Debit, Kind::LookUp];

#[test]
#[ignore = "ten fail-overs take minutes: make test-patroni"]
fn no_acknowledged_hold_or_debit_is_lost_with_ten_primaries() {
    let mut cluster = Patroni::start(3);
    let url = cluster.url("pax");
    let migrated = common::run(Path::new(&url), &["migrate"]);
    assert!(migrated.status.success(), "{}", common::stderr(&migrated));
    let three = Arc::new(Three::start(&url));
    ACCOUNTS.iter().for_each(|name| three.account(name, "1000"));
    let calls = Calls::start(&three);
    calls.wait_for_answers_after(Instant::now(), LIMIT);
    let (mut outages, mut primaries) = (Vec::new(), BTreeSet::new());
    for number in 1..=LOSSES {
        let (outage, primary) = lose_primary(&mut cluster, &calls, number);
        outages.push(outage);
        primaries.insert(primary);
    }
    let seen = calls.stop();
    nothing_is_missing(&cluster, &three, &seen);
    for (index, kind) in TIMED.iter().enumerate() {
        let mut of: Vec<f32> = outages.iter().map(|outage| outage[index].as_secs_f32()).collect();
        of.sort_by(f32::total_cmp);
        println!("no {kind:?} for {:.1} s to {:.1} s, median {:.1} s", of[0], of[LOSSES - 1], of[LOSSES / 2]);
    }
    assert_eq!(primaries.len(), 3, "each node came back well enough to be primary");
    assert!(outages.iter().flatten().all(|outage| *outage <= OUTAGE), "an outage was longer than {OUTAGE:?}");
}

/// Kills the primary, and starts it again once calls go on. Gives how long each kind of answer was missed, and the new
/// primary.
fn lose_primary(cluster: &mut Patroni, calls: &Calls, number: usize) -> ([Duration; 3], usize) {
    let (before, standby) = cluster.wait_for_primary_and_sync_standby(LIMIT);
    let lost = Instant::now();
    let killed = cluster.kill_primary();
    assert_eq!(killed, before, "nobody else became primary meanwhile");
    calls.wait_for_answers_after(Instant::now(), LIMIT);
    let outage = TIMED.map(|kind| calls.longest_gap_since(lost, kind));
    let (primary, _) = cluster.wait_for_primary_and_sync_standby(LIMIT);
    assert_eq!(primary, standby, "the synchronous standby alone has every row");
    cluster.start_again(killed);
    for node in (0..3).filter(|node| *node != primary) {
        cluster.wait_until_streaming(node, LIMIT);
    }
    let [holds, debits, look_ups] = outage.map(|outage| outage.as_secs_f32());
    println!(
        "{number}: node {killed} lost, node {primary} took over; no hold for {holds:.1} s, no debit for {debits:.1} s, \
         no look-up for {look_ups:.1} s"
    );
    // Calls for the node that is lost next.
    std::thread::sleep(Duration::from_secs(2));
    (outage, primary)
}

/// Compares what was acknowledged with what is there.
fn nothing_is_missing(cluster: &Patroni, three: &Three, seen: &Seen) {
    let sql = |sql: &str| cluster.run("pax", sql);
    let lines = |query: &str| sql(query).lines().map(str::to_owned).collect::<BTreeSet<String>>();
    println!(
        "{} holds, {} debits and {} voids acknowledged, {} calls refused, {} holds open",
        seen.held.len(),
        seen.debited.len(),
        seen.voided.len(),
        seen.refused,
        seen.open.len()
    );
    assert!(seen.debited.len() > 1_000 && seen.open.len() > 10, "few calls are no test");
    let holds: BTreeMap<String, String> = lines("SELECT exchange_id, state FROM holds")
        .iter()
        .filter_map(|row| row.split_once('|'))
        .map(|(exchange, state)| (exchange.to_owned(), state.to_owned()))
        .collect();
    let open: BTreeSet<String> = seen.open.iter().map(|debit| debit.exchange_id.to_string()).collect();
    for exchange in &seen.held {
        let expected = match exchange {
            exchange if seen.debited.contains(exchange) => "posted",
            exchange if seen.voided.contains(exchange) => "voided",
            _ => "open",
        };
        assert_eq!(holds.get(exchange).map(String::as_str), Some(expected), "the hold of {exchange}");
    }
    assert_eq!(lines("SELECT exchange_id FROM holds WHERE state = 'open'"), open);
    // All lines were sent until they were acknowledged, so there is no entry of which nobody knows.
    assert_eq!(lines("SELECT exchange_id FROM credit_ledger WHERE kind = 'debit'"), seen.debited);
    assert_eq!(sql("SELECT count(*) FROM quarantine"), "0");
    three.holds(&sql);
    // The calls that have gone on all the time end now.
    for debit in &seen.open {
        assert!(sent(&three.services[0], &bytes(debit), PATIENCE));
    }
    assert_eq!(sql("SELECT count(*) FROM holds WHERE state = 'open'"), "0");
    three.holds(&sql);
}
