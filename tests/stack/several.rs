//! Several ledgers behind one Envoy: one that dies or falls silent is not noticed by callers.

use crate::common::http::{Connection, request};
use crate::common::load::{Load, Tally};
use crate::common::world::{TOKEN, World, three_ledgers};
use pax_stack::Builder;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A case that starts what it needs.
type Case = (&'static str, fn());

pub const CASES: &[Case] = &[
    ("one of three ledgers is killed under load, and no call fails", killed),
    ("two of three ledgers are away, and no call fails", two_away),
    ("one of three ledgers falls silent: soon it is asked nothing any more", silent),
];

const CALLERS: usize = 8;

/// Three ledgers behind one Envoy, and the exchanges that their database had before.
fn world(change: impl FnOnce(Builder) -> Builder) -> (World, BTreeSet<String>) {
    let world = World::start_with(|builder| change(three_ledgers(builder)));
    let before = exchanges(&world);
    (world, before)
}

/// The exchanges of all entries of calls; each must have one.
fn exchanges(world: &World) -> BTreeSet<String> {
    let entries = world.entries();
    let ids: BTreeSet<String> =
        entries.iter().map(|entry| entry["exchange_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(entries.len(), ids.len(), "an exchange has two entries");
    ids
}

/// Callers whose calls need holds, and one that asks for its credits, while something happens. Gives what the former saw,
/// and the answers to the latter that were not 200.
fn under_load(world: &mut World, happens: impl FnOnce(&mut World)) -> (Tally, Vec<String>) {
    let port = world.stack.gateway_port();
    let stop = Arc::new(AtomicBool::new(false));
    let asking = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let bearer = format!("Bearer {TOKEN}");
            let ask = request("GET", "/v1/credits", &[("authorization", bearer.as_bytes())], None);
            let mut other = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = Connection::open(port).call(&ask);
                if answer.status != 200 {
                    other.push(answer.refusal());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            other
        }
    });
    let load = Load::start(SocketAddr::from(([127, 0, 0, 1], port)), TOKEN, CALLERS);
    std::thread::sleep(Duration::from_secs(1));
    happens(world);
    std::thread::sleep(Duration::from_secs(1));
    stop.store(true, Ordering::Relaxed);
    let seen = load.stop();
    (seen, asking.join().unwrap())
}

/// Every answer has its entry, and no entry is another's.
fn compare((world, before): &(World, BTreeSet<String>), seen: &Tally) {
    world.settle();
    let new: BTreeSet<String> = exchanges(world).difference(before).cloned().collect();
    assert_eq!(new, seen.owed());
    world.replay();
}

fn stats(world: &World) -> String {
    let asked = "^cluster.(ledger|ledger_resolve|ledger_public)\\.(upstream_rq_retry|upstream_rq_retry_success|\
                 upstream_cx_connect_fail|outlier_detection.ejections_enforced_total|health_check.failure)$";
    world.stack.admin(&format!("/stats?filter={asked}")).unwrap()
}

fn killed() {
    let mut world = world(|builder| builder);
    let (seen, other) = under_load(&mut world.0, |world| {
        for ledger in [0, 1, 2] {
            world.stack.kill_one_ledger(ledger);
            std::thread::sleep(Duration::from_millis(1500));
            world.stack.start_ledger().unwrap();
            std::thread::sleep(Duration::from_millis(1500));
        }
    });
    println!("one of three ledgers killed three times: {seen}; credits: {other:?}\n{}", stats(&world.0));
    assert!(seen.answered.len() > 100, "few calls are no test: {seen}");
    assert!(seen.was_stopped_cleanly(0) && other.is_empty(), "{seen} {other:?}");
    compare(&world, &seen);
}

fn two_away() {
    let mut world = world(|builder| builder);
    let (seen, other) = under_load(&mut world.0, |world| {
        world.stack.kill_one_ledger(0);
        world.stack.kill_one_ledger(2);
        std::thread::sleep(Duration::from_secs(4));
    });
    println!("two of three ledgers away: {seen}; credits: {other:?}\n{}", stats(&world.0));
    assert!(seen.was_stopped_cleanly(0) && other.is_empty(), "{seen} {other:?}");
    compare(&world, &seen);
}

/// Between Envoy and one ledger: once it is mute, it takes connections and questions and passes nothing on.
fn mute_proxy(ledger: u16, mute: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for envoy in listener.incoming().flatten() {
            let Ok(ledger) = TcpStream::connect(("127.0.0.1", ledger)) else { continue };
            for (from, to) in [(&envoy, &ledger), (&ledger, &envoy)] {
                let (from, to, mute) =
                    (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&mute));
                std::thread::spawn(move || pass(from, to, &mute));
            }
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream, mute: &AtomicBool) {
    let mut piece = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if !mute.load(Ordering::Relaxed) && to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn silent() {
    let mute = Arc::new(AtomicBool::new(false));
    let muted = Arc::clone(&mute);
    let mut world = world(|builder| {
        builder.change_envoy_config(move |text| {
            let cluster = text.split("- name: ledger\n").nth(1).expect("the ledgers' cluster");
            let port =
                cluster.split("port_value: ").nth(1).expect("a port").split(' ').next().expect("a port");
            let proxy = mute_proxy(port.parse().unwrap(), muted);
            Ok(text.replace(&format!("port_value: {port} "), &format!("port_value: {proxy} ")))
        })
    });
    let (mut seen, other) = under_load(&mut world.0, |_| {
        mute.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(4));
    });
    println!("one of three ledgers falls silent: {seen}; credits: {other:?}\n{}", stats(&world.0));
    // What it was asked at first ends after two seconds; nothing is asked of it any more.
    let (later, other) = under_load(&mut world.0, |_| std::thread::sleep(Duration::from_secs(1)));
    println!("and later: {later}; credits: {other:?}");
    assert!(later.was_stopped_cleanly(0) && other.is_empty(), "{later} {other:?}");
    mute.store(false, Ordering::Relaxed);
    seen.answered.extend(later.answered);
    compare(&world, &seen);
}
