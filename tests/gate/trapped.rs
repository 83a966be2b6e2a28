//! A VM dies in the middle of calls: a module for tests traps on purpose.

use crate::OwnCase;
use crate::common::http::Connection;
use crate::common::world::World;
use crate::play::{Caller, OUTPUT_TOKENS, costs_all, error, reservation, room_for, sum, until};
use pax_gateway::memory::lanes::DEAD_MS;
use pax_stack::Layout;
use pax_standin::Behaviour;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const CASES: &[OwnCase] = &[
    ("a trapped VM leaves no call unrecorded, no reservation and no debit behind", trapped),
    ("a VM that traps at a request's head has charged and reserved nothing", at_the_head),
    ("the released module knows neither faults nor another clock", released),
];

/// A world whose filter fails when it is told to.
pub fn with_faults(change: impl FnOnce(&mut Value) + Send + 'static) -> World {
    let mut layout = Layout::find().unwrap();
    layout.wasm = layout.root.join("dist/test/pax_gateway_faults.wasm");
    assert!(layout.wasm.is_file(), "`sh envoy/wasm.sh faults` builds {}", layout.wasm.display());
    World::start_with(|builder| builder.layout(layout).change_filter_config(change))
}

const STREAMS: usize = 16;
/// How often their provider says something. A stream of a dead VM is cut when something comes.
const PACE_MS: u64 = 400;
/// Debits that wait for the ledger while a VM dies.
const WAITING: usize = 3;

fn trapped() {
    let mut world = with_faults(|_| ());
    let port = world.stack.gateway_port();
    // For a call that makes the account known, the debits that will wait, the streams, and the call that traps.
    let calls = 1 + WAITING + STREAMS + 1;
    let cap = room_for(calls.try_into().unwrap());
    let caller = Caller::new(&world, "trapped", Some(cap));
    world.behave(costs_all());
    assert_eq!(Connection::open(port).call(&caller.call(OUTPUT_TOKENS)).status, 200);
    assert_eq!(caller.entries_within(&world, 1, Duration::from_secs(10)).len(), 1);

    world.stack.kill_ledger();
    for _ in 0..WAITING {
        assert_eq!(Connection::open(port).call(&caller.call(OUTPUT_TOKENS)).status, 200);
    }
    let mut streams = slow_streams(&world, &caller);
    // The workers say once a second what they have.
    let open = |world: &World| (world.metric("pax_calls_in_flight"), world.metric("pax_reserved_picopax"));
    let picopax = |amount: Decimal| u64::try_from(amount * Decimal::from(10u64.pow(12))).unwrap();
    let all = (Some(STREAMS as u64), Some(picopax(reservation(OUTPUT_TOKENS) * Decimal::from(STREAMS))));
    until(Duration::from_secs(4), || format!("{:?}", open(&world)), &format!("{all:?}"));
    world.behave(costs_all());
    let mut last = Connection::open(port);
    let answer = last.call(&caller.special(false, Some("trap-on-answer")));
    // Nothing of the held answer went out: the caller is told where it is charged.
    assert_eq!(answer.refusal(), "502 upstream_cut", "nothing trapped");
    let trapping = answer.header("x-matrix-exchange-id");
    let died = Instant::now();
    until(Duration::from_secs(3), || world.waiting().to_string(), &WAITING.to_string());

    // Everything is spent or reserved, and stays so until the VM counts as dead.
    let refused = Connection::open(port).call(&caller.call(OUTPUT_TOKENS));
    assert_eq!(refused.refusal(), "429 daily_cap_exceeded");
    let reserved = reservation(OUTPUT_TOKENS) * Decimal::from(STREAMS + 1);
    assert_eq!(error(&refused)["reserved_pax"], format!("{reserved:.12}"));
    std::thread::sleep(Duration::from_millis(3 * PACE_MS));
    let cut = streams.iter_mut().filter_map(|(id, stream)| stream.is_closed().then(|| id.clone()));
    let mut cut: Vec<String> = cut.collect();
    assert!(!cut.is_empty(), "the VM that died had no stream");
    let living = STREAMS - cut.len();
    cut.push(trapping);
    world.stack.start_ledger().unwrap();

    let recorded = 1 + WAITING + cut.len();
    let entries = caller.entries_within(&world, recorded, Duration::from_millis(DEAD_MS + 10_000));
    assert!(died.elapsed() > Duration::from_millis(DEAD_MS / 2), "it was taken for dead too soon");
    assert_eq!(entries.len(), recorded, "{} calls were cut", cut.len());
    let mut endings = BTreeMap::new();
    for entry in &entries {
        *endings.entry(entry["ending"].as_str().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(endings, BTreeMap::from([("complete", 1 + WAITING), ("orphaned", cut.len())]));
    for id in &cut {
        let entry = world.entry(id);
        assert_eq!((&entry["ending"], &entry["provenance"]), (&"orphaned".into(), &"estimated".into()));
    }

    // What it had reserved is free: a call that fits goes through.
    until(
        Duration::from_secs(3),
        || Connection::open(port).call(&caller.call(OUTPUT_TOKENS)).status.to_string(),
        "200",
    );
    // Streams of the other VM live on, and end as any other.
    drop(streams);
    world.settle();
    let entries = caller.entries_within(&world, recorded + 1 + living, Duration::from_secs(10));
    assert_eq!(entries.len(), recorded + 1 + living);
    assert!(sum(&entries) <= cap);
    caller.has_nothing_reserved(&world, port, cap);
    world.settle();
    // The metrics have what the dead VM counted, and what its calls were charged by another.
    until(Duration::from_secs(4), || format!("{:?}", open(&world)), "(Some(0), Some(0))");
    assert_eq!(world.metric("pax_charged_picopax_total"), Some(picopax(sum(&world.entries()))));
    let orphaned = world.stack.admin("/stats?filter=outcome=orphaned").unwrap();
    let counted = |line: &str| line.ends_with(&format!("outcome=orphaned: {}", cut.len()));
    assert!(orphaned.lines().any(counted), "{orphaned}");
    world.replay();
}

/// Streams that have begun and go on for longer than the test, with the ids of their exchanges.
fn slow_streams(world: &World, caller: &Caller) -> Vec<(String, Connection)> {
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n";
    world.behave(Behaviour {
        body: Some(event.repeat(200)),
        content_type: Some("text/event-stream".to_owned()),
        pace_ms: Some(PACE_MS),
        ..Behaviour::default()
    });
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut connection = world.connect();
        connection.send(&caller.special(true, None));
        let head = connection.read_head();
        assert_eq!(head.status, 200);
        assert!(connection.read_until(b"12345678"));
        streams.push((head.header("x-matrix-exchange-id"), connection));
    }
    streams
}

fn at_the_head() {
    let world = with_faults(|_| ());
    let port = world.stack.gateway_port();
    let cap = room_for(4);
    let caller = Caller::new(&world, "at-the-head", Some(cap));
    let call = || Connection::open(port).call(&caller.call(1)).status;
    for _ in 0..6 {
        let answer = Connection::open(port).call(&caller.special(false, Some("trap-on-request")));
        assert!(answer.status == 0 || answer.status == 503, "nothing trapped: {}", answer.text());
        // The module is loaded anew for the next call, or after a moment's wait: then every worker serves again.
        let ask = || (0..12).all(|_| call() == 200).to_string();
        until(Duration::from_secs(10), ask, "true");
    }
    let served = world.take_received().len();
    // Debits that a dead VM had not sent yet are sent by another one, once it is known to be dead.
    let swept = Duration::from_millis(DEAD_MS + 10_000);
    assert_eq!(caller.entries_within(&world, served, swept).len(), served);
    world.settle();
    caller.has_nothing_reserved(&world, port, cap);
    // Another sweep finds nothing more.
    std::thread::sleep(Duration::from_millis(DEAD_MS + 3_000));
    assert_eq!(caller.entries(&world).len(), served + 1);
    world.replay();
}

fn released() {
    let module = std::fs::read(Layout::find().unwrap().wasm).unwrap();
    for word in ["x-pax-fault", "test_clock_offset_ms"] {
        assert!(!module.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
    let builder = pax_stack::Stack::builder().upstream("127.0.0.1:9").change_filter_config(|config| {
        config["test_clock_offset_ms"] = 1.into();
    });
    let Err(told) = builder.start() else { panic!("it started") };
    assert!(told.to_string().contains("configuration: test_clock_offset_ms: is unknown"), "{told}");
}
