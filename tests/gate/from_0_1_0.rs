//! Envoys go from the module of version 0.1.0 to this one and back while calls run. The ledger is frozen at each change, so
//! that debits of the module before wait in Envoy. The last streams of that module end before the ledger wakes, so that
//! the module after it must send these debits.

use crate::OwnCase;
use crate::common::http::{Answer, Connection, request};
use crate::common::load::Load;
use crate::common::world::{TOKEN, World};
use crate::play::{Caller, reservation, sum, until};
use pax_stack::{Layout, replace};
use pax_standin::Behaviour;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const CASES: &[OwnCase] = &[(
    "from the module of version 0.1.0 to this one and back under load, each answered call is one entry",
    there_and_back,
)];

/// The gauge of debits that wait.
const WAITING: &str = "wasmcustom.pax_outbox_waiting";
/// How many files of the filter's configuration Envoy has taken.
const TAKEN: &str = "extension_config_discovery.http_filter.pax_gateway.config_reload";
/// Callers of each token of each Envoy.
const CALLERS: usize = 1;
/// Streams of each token of each Envoy that are open when the module is replaced.
const STREAMS: usize = 2;
/// So many events in a stream, so far apart, last longer than Envoy takes to compile a module on a busy machine.
const EVENTS: usize = 100;
const PACE: Duration = Duration::from_millis(100);
/// How long callers call before the ledger is frozen, and again before the module is replaced.
const CALLS: Duration = Duration::from_secs(1);
/// How long they call after the ledger wakes.
const CALLS_AFTER: Duration = Duration::from_secs(2);
/// How long a VM may take to end after its last stream.
const VM_ENDS: Duration = Duration::from_millis(300);
/// How long Envoy may take to compile the module.
const RELOAD: Duration = Duration::from_secs(7);
/// How long the last debits may take to the ledger. A worker of 0.1.0 waits ten seconds before it takes another for dead.
const RECORDED: Duration = Duration::from_secs(30);
/// So long after the ledger woke for the last time nothing more comes: whatever is sent twice was sent twice by then.
const LATE: Duration = Duration::from_secs(15);

struct Gateway {
    port: u16,
    admin_port: u16,
    /// The file of its filter's configuration.
    filter: PathBuf,
    /// A free account that calls only here.
    free: Caller,
}

fn there_and_back() {
    let mut layout = Layout::find().unwrap();
    let before = layout.root.join("dist/test/pax_gateway_0_1_0.wasm");
    assert!(before.is_file(), "`sh envoy/wasm.sh before` builds {}", before.display());
    let current = std::mem::replace(&mut layout.wasm, before.clone());
    let world = World::start_with(|builder| builder.layout(layout));
    let alone = world.stack.another_envoy(|config| without_service(&config)).unwrap();
    let folder = world.stack.run_dir().join(format!("envoy-{}", alone.gateway_port()));
    // More than all calls cost, and less than the longest call that can be asked for: so what is left can be measured.
    let cap = reservation(380_000);
    let free = |name: &str| Caller::new(&world, name, Some(cap));
    let gateways = [
        Gateway {
            port: world.stack.gateway_port(),
            admin_port: world.stack.admin_port(),
            filter: world.stack.filter_file(),
            free: free("of-the-stack"),
        },
        Gateway {
            port: alone.gateway_port(),
            admin_port: alone.admin_port(),
            filter: folder.join("filter.yaml"),
            free: free("without-a-service"),
        },
    ];

    let (mut owed, _) = replace_under_load(&world, &gateways, (&before, &current));
    recorded(&world, &owed);
    assert_eq!(adds_in_front(&world), Some(true), "this module serves");
    nothing_in_flight(&gateways);

    let (again, woke) = replace_under_load(&world, &gateways, (&current, &before));
    assert_eq!(adds_in_front(&world), Some(false), "the module of 0.1.0 serves");
    owed.extend(again);
    recorded(&world, &owed);
    std::thread::sleep(LATE.saturating_sub(woke.elapsed()));
    nothing_in_flight(&gateways);

    let entries = world.entries();
    let answered = world.standin.received_count();
    assert_eq!(
        (entries.len(), answered),
        (owed.len(), owed.len()),
        "entries, and what the provider answered"
    );
    for gateway in &gateways {
        let spent = sum(&gateway.free.entries(&world));
        assert_eq!(spent_today(gateway), format!("{spent:.12}"));
        gateway.free.has_nothing_reserved(&world, gateway.port, cap);
    }
    assert_eq!(world.entries_when(owed.len() + gateways.len()).len(), owed.len() + gateways.len());
    world.settle();
    println!("{}", world.replay().trim());
}

/// Envoy's configuration without the filter on the main thread. That filter keeps the module with which Envoy was started,
/// and after ten seconds it sends what no worker of its version sends. Without it only the workers can.
fn without_service(config: &str) -> String {
    if !config.contains("\nstatic_resources:") {
        // The file of the filter's configuration.
        return config.to_owned();
    }
    let (head, rest) = config.split_once("\nbootstrap_extensions:").expect("the filter on the main thread");
    let next = rest.lines().position(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
    let rest: Vec<&str> = rest.lines().skip(next.expect("another key")).collect();
    format!("{head}\n{}\n", rest.join("\n"))
}

/// Replaces the module at all gateways. Gives the exchanges of all calls, each of which was answered to its end, and when
/// the ledger woke.
fn replace_under_load(
    world: &World,
    gateways: &[Gateway],
    (from, to): (&Path, &Path),
) -> (BTreeSet<String>, Instant) {
    let streams: Vec<_> = gateways.iter().flat_map(|gateway| open_streams(world, gateway)).collect();
    let load =
        |gateway: &Gateway, token: &str| Load::start(([127, 0, 0, 1], gateway.port).into(), token, CALLERS);
    let free: Vec<Load> = gateways.iter().map(|gateway| load(gateway, &gateway.free.token)).collect();
    let credit: Vec<Load> = gateways.iter().map(|gateway| load(gateway, TOKEN)).collect();
    std::thread::sleep(CALLS);
    signal_ledger(world, "-STOP");
    std::thread::sleep(CALLS);
    let taken = gateways.iter().map(|gateway| gateway.replace_module(from, to)).collect::<Vec<_>>();
    for (gateway, taken) in gateways.iter().zip(taken) {
        until(RELOAD, || (gateway.stat(TAKEN) > taken).to_string(), "true");
    }
    assert!(
        streams.iter().all(|stream| !stream.is_finished()),
        "a stream ended before the module was replaced"
    );
    let waiting: Vec<u64> = gateways.iter().map(|gateway| gateway.stat(WAITING)).collect();
    let mut owed = BTreeSet::new();
    for stream in streams {
        let answer = stream.join().unwrap();
        assert!(answer.status == 200 && answer.complete, "{} {}", answer.status, answer.text());
        owed.insert(answer.header("x-matrix-exchange-id"));
    }
    std::thread::sleep(VM_ENDS);
    signal_ledger(world, "-CONT");
    let woke = Instant::now();
    std::thread::sleep(CALLS_AFTER);
    // A free account can have 1,024 calls that the ledger has not acknowledged, and is refused more. While the ledger is
    // frozen, this module refuses calls of the credit tier.
    for load in free.into_iter().chain(credit) {
        let seen = load.stop();
        println!("{seen}");
        assert_eq!((seen.cut.len(), seen.unanswered, seen.unconnected), (0, 0, 0), "{seen}");
        assert!(seen.refused.keys().all(|refusal| refusal == "503 ledger_unavailable"), "{seen}");
        owed.extend(seen.answered);
    }
    println!("{} calls answered; {waiting:?} debits waited", owed.len());
    (owed, woke)
}

fn open_streams(world: &World, gateway: &Gateway) -> Vec<JoinHandle<Answer>> {
    let credit = Caller { account: String::new(), token: TOKEN.to_owned() };
    let callers = [&gateway.free, &credit];
    let count = callers.len() * STREAMS;
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":50,\"completion_tokens\":70}}\n\n";
    world.behave(Behaviour {
        body: Some(event.repeat(EVENTS) + usage + "data: [DONE]\n\n"),
        content_type: Some("text/event-stream".to_owned()),
        pace_ms: Some(PACE.as_millis().try_into().unwrap()),
        times: Some(count.try_into().unwrap()),
        ..Behaviour::default()
    });
    let came = world.standin.received_count();
    let calls =
        callers.into_iter().flat_map(|caller| std::iter::repeat_n(caller.special(true, None), STREAMS));
    let streams = calls.map(|call| {
        let mut connection = Connection::open(gateway.port);
        std::thread::spawn(move || connection.call(&call))
    });
    let streams = streams.collect();
    until(
        Duration::from_secs(10),
        || (world.standin.received_count() - came).to_string(),
        &count.to_string(),
    );
    streams
}

fn signal_ledger(world: &World, signal: &str) {
    let (_, id) = world.stack.processes().into_iter().find(|(name, _)| *name == "ledger").unwrap();
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

impl Gateway {
    fn stat(&self, name: &str) -> u64 {
        let path = format!("/stats?filter=^{}$", name.replace('.', "\\."));
        let answer = Connection::open(self.admin_port).call(&request("GET", &path, &[], None));
        let text = answer.text();
        let value = text.trim().rsplit(": ").next().and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("{name}: {text}"))
    }

    /// Moves a file into the filter's place that names the other module. Gives how many such files Envoy had taken before.
    fn replace_module(&self, from: &Path, to: &Path) -> u64 {
        // The filter on the main thread keeps the module of 0.1.0. It sets the gauge too, and does not count this module's
        // debits.
        until(Duration::from_secs(1), || (self.stat(WAITING) > 0).to_string(), "true");
        let taken = self.stat(TAKEN);
        let text = std::fs::read_to_string(&self.filter).unwrap();
        let path = |module: &Path| Value::from(module.to_string_lossy()).to_string();
        assert!(text.contains(&path(from)), "{text}");
        replace(&self.filter, &text.replace(&path(from), &path(to))).unwrap();
        taken
    }
}

/// Whether the module adds keys to a body in front of the others, as it does from version 0.2 on: what the provider got
/// last shows it. None if the modules of the two Envoys differ.
fn adds_in_front(world: &World) -> Option<bool> {
    let received = world.standin.received();
    let streams = received.iter().rev().filter(|request| request.body.contains(r#""stream":true"#)).take(20);
    let in_front: BTreeSet<bool> =
        streams.map(|request| request.body.starts_with(r#"{"stream_options""#)).collect();
    in_front.first().copied().filter(|_| in_front.len() == 1)
}

/// Waits until each of these exchanges has an entry, and no other exchange has one.
fn recorded(world: &World, owed: &BTreeSet<String>) {
    let begun = Instant::now();
    loop {
        let entries = world.entries();
        let ids = entries.iter().map(|entry| entry["exchange_id"].as_str().unwrap().to_owned());
        let recorded: BTreeSet<String> = ids.collect();
        let (lost, unasked) = (owed.difference(&recorded).count(), recorded.difference(owed).count());
        if (lost, unasked) == (0, 0) {
            assert_eq!(entries.len(), recorded.len(), "an exchange has two entries");
            println!("all recorded {:?} after the last call", begun.elapsed());
            return;
        }
        assert!(
            begun.elapsed() < RECORDED,
            "{lost} calls have no entry, {unasked} entries are nobody's call"
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn nothing_in_flight(gateways: &[Gateway]) {
    for gateway in gateways {
        let left = || {
            ["calls_in_flight", "reserved_picopax"]
                .map(|name| gateway.stat(&format!("wasmcustom.pax_{name}")))
        };
        until(Duration::from_secs(15), || format!("{:?}", left()), "[0, 0]");
    }
}

/// What the ledger tells a caller through Envoy that it has spent.
fn spent_today(gateway: &Gateway) -> String {
    let bearer = format!("Bearer {}", gateway.free.token);
    let headers: [(&str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
    let answer = Connection::open(gateway.port).call(&request("GET", "/v1/credits", &headers, None));
    let credits: Value = serde_json::from_slice(&answer.body).unwrap();
    credits["spent_today_pax"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}
