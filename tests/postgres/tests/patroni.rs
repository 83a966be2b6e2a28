//! A cluster that loses its primary while somebody writes: ten times, without a standby, and only for a while.

mod writer;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pax_postgres::patroni::Patroni;
use writer::{Session, Writer, Written};

const LOSSES: usize = 10;
/// What callers may have to wait for at most.
const OUTAGE: Duration = Duration::from_secs(40);
/// How long a node may take to come back.
const RETURN: Duration = Duration::from_secs(90);

#[test]
#[ignore = "ten fail-overs take minutes: make test-patroni"]
fn no_acknowledged_row_is_lost_with_ten_primaries() {
    let began = Instant::now();
    let mut cluster = Patroni::start(3);
    println!("a cluster of three: {:.1} s", began.elapsed().as_secs_f32());
    let writer = Writer::start(&cluster.url("pax"));
    writer.wait_for_row_after(Instant::now(), OUTAGE);
    let (mut outages, mut primaries) = (Vec::new(), BTreeSet::new());
    for number in 1..=LOSSES {
        let (before, standby) = cluster.wait_for_primary_and_sync_standby(RETURN);
        let lost = Instant::now();
        let killed = cluster.kill_primary();
        assert_eq!(killed, before, "nobody else became primary meanwhile");
        writer.wait_for_row_after(Instant::now(), OUTAGE);
        let outage = writer.longest_gap_since(lost);
        let (primary, _) = cluster.wait_for_primary_and_sync_standby(RETURN);
        assert_eq!(primary, standby, "the synchronous standby alone has every row");
        let returns = Instant::now();
        cluster.start_again(killed);
        cluster.wait_until_streaming(killed, RETURN);
        println!(
            "{number}: node {killed} lost, node {primary} took over; no row for {:.1} s; back as a standby after {:.1} s",
            outage.as_secs_f32(),
            returns.elapsed().as_secs_f32(),
        );
        outages.push(outage);
        primaries.insert(primary);
        // Rows for the node that is lost next.
        std::thread::sleep(Duration::from_secs(2));
    }
    let written = writer.stop();
    nothing_is_missing(&cluster, &written);
    outages.sort();
    let seconds = |at: usize| outages[at].as_secs_f32();
    println!(
        "outages: {:.1} s to {:.1} s, median {:.1} s",
        seconds(0),
        seconds(LOSSES - 1),
        seconds(LOSSES / 2)
    );
    assert!(written.acknowledged.len() > 10 * LOSSES, "few rows are no test");
    assert_eq!(primaries.len(), 3, "each node came back well enough to be primary");
    assert!(outages.iter().all(|outage| *outage < OUTAGE), "an outage was longer than {OUTAGE:?}");
}

/// Strict synchronous mode: what a primary without a standby writes, it does not acknowledge.
#[test]
#[ignore = "waits for a fail-over: make test-patroni"]
fn without_a_standby_nothing_is_acknowledged() {
    let mut cluster = Patroni::start(3);
    let writer = Writer::start(&cluster.url("pax"));
    writer.wait_for_row_after(Instant::now(), OUTAGE);
    let (primary, standby) = cluster.wait_for_primary_and_sync_standby(RETURN);
    let standbys = [standby, 3 - primary - standby];
    standbys.iter().for_each(|node| cluster.freeze(*node));
    std::thread::sleep(Duration::from_millis(500));
    let acknowledged = writer.acknowledged();
    std::thread::sleep(Duration::from_secs(3));
    let later = writer.acknowledged() - acknowledged;
    cluster.kill_primary();
    let lost = Instant::now();
    standbys.iter().for_each(|node| cluster.thaw(*node));
    writer.wait_for_row_after(lost, OUTAGE);
    println!(
        "no row for {:.1} s, 3.5 s of them without a standby",
        writer.longest_gap_since(lost).as_secs_f32()
    );
    nothing_is_missing(&cluster, &writer.stop());
    assert_eq!(later, 0, "rows were acknowledged while no standby answered");
}

/// A primary that was cut off and does not know yet that another has taken over: it must not acknowledge either.
#[test]
#[ignore = "waits for a fail-over: make test-patroni"]
fn a_primary_that_hung_acknowledges_nothing_when_it_wakes() {
    let cluster = Patroni::start(3);
    let writer = Writer::start(&cluster.url("pax"));
    writer.wait_for_row_after(Instant::now(), OUTAGE);
    let (hung, standby) = cluster.wait_for_primary_and_sync_standby(RETURN);
    let mut session = Session::open(&cluster.url("pax"));
    assert!(session.insert(-1), "the session reaches the primary");
    cluster.freeze(hung);
    let lost = Instant::now();
    writer.wait_for_row_after(lost + Duration::from_secs(1), OUTAGE);
    println!("no row for {:.1} s while the primary hung", writer.longest_gap_since(lost).as_secs_f32());
    cluster.thaw(hung);
    let is_acknowledged = session.insert(-2);
    cluster.wait_until_streaming(hung, RETURN);
    assert_eq!(cluster.primary(), Some(standby));
    let found = nothing_is_missing(&cluster, &writer.stop());
    assert!(found.contains(&-1), "what it acknowledged before is kept");
    assert!(!is_acknowledged && !found.contains(&-2), "it acknowledged a row while another was primary");
}

/// Writes wait for the synchronous standby, until the primary takes another one.
#[test]
#[ignore = "waits for another standby: make test-patroni"]
fn another_standby_takes_the_place_of_a_lost_synchronous_one() {
    let mut cluster = Patroni::start(3);
    let writer = Writer::start(&cluster.url("pax"));
    writer.wait_for_row_after(Instant::now(), OUTAGE);
    let (primary, killed) = cluster.wait_for_primary_and_sync_standby(RETURN);
    let lost = Instant::now();
    cluster.kill(killed);
    writer.wait_for_row_after(Instant::now() + Duration::from_secs(1), OUTAGE);
    println!("no row for {:.1} s, its standby killed", writer.longest_gap_since(lost).as_secs_f32());
    cluster.start_again(killed);
    cluster.wait_until_streaming(killed, RETURN);
    let (still, hung) = cluster.wait_for_primary_and_sync_standby(RETURN);
    let lost = Instant::now();
    cluster.freeze(hung);
    writer.wait_for_row_after(lost + Duration::from_secs(1), OUTAGE);
    println!("no row for {:.1} s, its standby hung", writer.longest_gap_since(lost).as_secs_f32());
    cluster.thaw(hung);
    cluster.wait_until_streaming(hung, RETURN);
    assert_eq!((still, cluster.primary()), (primary, Some(primary)), "the loss of a standby is no fail-over");
    nothing_is_missing(&cluster, &writer.stop());
}

/// Compares what was acknowledged with what is there, which it gives.
fn nothing_is_missing(cluster: &Patroni, written: &Written) -> BTreeSet<i64> {
    let found = writer::rows(&cluster.url("pax"));
    let missing: Vec<&i64> = written.acknowledged.difference(&found).collect();
    println!(
        "{} rows acknowledged, {} of them missing; {} rows tried without an answer, {} of them written",
        written.acknowledged.len(),
        missing.len(),
        written.unanswered.len(),
        written.unanswered.intersection(&found).count(),
    );
    assert!(missing.is_empty(), "acknowledged, and not there: {missing:?}");
    found
}
