//! What used to fail in silence: each trouble stands in Envoy's log, with what to do, once and not once a call; is counted;
//! and the caller is told the truth.

use crate::common::http::{Answer, Connection, chat, request};
use crate::common::providers::{change_cluster, change_route};
use crate::common::world::{MODEL, TOKEN, World};
use crate::outages::{Stranger, add_token, served_again};
use std::process::Command;
use std::time::{Duration, Instant};

/// A case that starts what it needs.
type Case = (&'static str, fn());

pub const CASES: &[Case] = &[
    ("an unknown cluster in ledger.cluster or ledger.resolve_cluster is named, once", unknown_cluster),
    ("a ledger that is away is told of, once, and when it answers again", ledger_away),
    ("a ledger that is there and says nothing is told of as that", ledger_frozen),
    ("a ledger with another secret is told of as that, whatever it was asked", other_secret),
    ("a provider that cannot be reached is named with its reason, once, to operator and caller", providers),
    ("without allow_on_headers_stop_iteration calls are refused, not hung, by a name of it", kept_back),
    ("with it a caller who is slow is waited for, however slow its first byte", slow_callers),
    ("/v1/credits says that it is the ledger that is away", credits_away),
];

/// How many calls must not make more than one line.
const CALLS: usize = 1_000;

fn log(world: &World) -> String {
    std::fs::read_to_string(world.stack.run_dir().join("envoy.log")).unwrap()
}

/// The lines of Envoy's log that say this.
fn lines(world: &World, what: &str) -> Vec<String> {
    log(world).lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
}

/// Waits for a line in Envoy's log.
fn wait_for_line(world: &World, what: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match lines(world, what).first() {
            Some(line) => return line.clone(),
            None => assert!(Instant::now() < deadline, "{what:?} is not in {}", log(world)),
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn said_once(world: &World, what: &str) {
    let lines = lines(world, what);
    println!("{} lines: {}", lines.len(), lines.first().map_or("", String::as_str));
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

/// How many errors of a code the gateway answered itself.
fn refused_with(world: &World, code: &str) -> u64 {
    // A worker tells Envoy what it has counted at its next tick.
    std::thread::sleep(Duration::from_millis(1_200));
    let text = world.stack.admin("/stats?filter=pax_refusals_total").unwrap();
    let of_code = text.lines().filter(|line| line.contains(&format!("error_type={code}:")));
    of_code.filter_map(|line| line.rsplit(": ").next()?.trim().parse::<u64>().ok()).sum()
}

fn body(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[]}}"#)
}

fn call(world: &World, token: &str, model: &str) -> Answer {
    world.connect().call(&chat(token, &body(model)))
}

fn message(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["error"]["message"].as_str().unwrap_or_default().to_owned()
}

/// Many calls, each with a token that nobody asked about yet.
fn many_new_tokens(world: &World, name: &str) {
    let mut connections: Vec<_> = (0..8).map(|_| world.connect()).collect();
    for number in 0..CALLS {
        let connection = &mut connections[number % 8];
        let answer = connection.call(&chat(&format!("mtx-{name}-{number}"), &body(MODEL)));
        assert_eq!(answer.refusal(), "503 ledger_unavailable");
    }
}

fn unknown_cluster() {
    let world = World::start();
    assert_eq!(call(&world, TOKEN, MODEL).status, 200);
    world.stack.change_filter(|filter| filter["ledger"]["cluster"] = "ledgr".into()).unwrap();
    let main = "ledger.cluster: Envoy has no such cluster: \"ledgr\"";
    let line = wait_for_line(&world, main);
    assert!(line.contains("Name a cluster of Envoy's configuration"), "{line}");
    std::thread::sleep(Duration::from_secs(3));
    said_once(&world, main);
    assert!(world.metric("pax_callouts_failed_total").unwrap_or(0) > 3);

    world
        .stack
        .change_filter(|filter| {
            filter["ledger"]["cluster"] = "ledger".into();
            filter["ledger"]["resolve_cluster"] = "ledger_resolv".into();
        })
        .unwrap();
    let resolve = "ledger.resolve_cluster: Envoy has no such cluster: \"ledger_resolv\"";
    let deadline = Instant::now() + Duration::from_secs(10);
    while lines(&world, resolve).is_empty() {
        let _ = call(&world, "mtx-new", MODEL);
        assert!(Instant::now() < deadline, "{}", log(&world));
    }
    many_new_tokens(&world, "unknown-cluster");
    said_once(&world, resolve);
}

fn signal_ledger(world: &World, signal: &str) {
    let (_, id) = world.stack.processes().into_iter().find(|(name, _)| *name == "ledger").unwrap();
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

fn ledger_away() {
    let mut world = World::start_with(|builder| {
        builder.change_filter_config(|config| config["ledger"]["timeout_ms"] = 400.into())
    });
    assert_eq!(call(&world, TOKEN, MODEL).status, 200);
    world.stack.kill_ledger();
    many_new_tokens(&world, "away");
    for way in ["ledger\" (ledger.cluster)", "ledger_resolve\" (ledger.resolve_cluster)"] {
        let told = format!("the ledger does not answer at cluster \"{way}");
        let line = wait_for_line(&world, &told);
        assert!(line.contains("Is pax-ledger running"), "{line}");
        said_once(&world, &told);
    }
    let failed = world.metric("pax_callouts_failed_total").unwrap_or(0);
    assert!(failed >= CALLS.try_into().unwrap(), "{failed}");
    world.stack.start_ledger().unwrap();
    wait_for_line(&world, "the ledger answers again at cluster \"ledger\"");
    assert_eq!(call(&world, "mtx-nobodys", MODEL).refusal(), "401 invalid_api_key");
    wait_for_line(&world, "the ledger answers again at cluster \"ledger_resolve\"");
    assert_eq!(lines(&world, "the ledger ").len(), 4, "{}", log(&world));
}

fn ledger_frozen() {
    let world = World::start_with(|builder| {
        builder.change_filter_config(|config| config["ledger"]["timeout_ms"] = 400.into())
    });
    signal_ledger(&world, "-STOP");
    let begun = Instant::now();
    assert_eq!(call(&world, "mtx-frozen", MODEL).refusal(), "503 ledger_unavailable");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let told = "the ledger does not answer at cluster \"ledger_resolve\" (ledger.resolve_cluster): ";
    let line = wait_for_line(&world, told);
    println!("{line}");
    assert!(line.contains("timeout"), "{line}");
    // Which is noticed without any call.
    wait_for_line(&world, "the ledger does not answer at cluster \"ledger\" (ledger.cluster): ");
    signal_ledger(&world, "-CONT");
    wait_for_line(&world, "the ledger answers again at cluster \"ledger\"");
}

fn other_secret() {
    let mut world = World::start();
    add_token(&world, "mtx-known");
    served_again(&world, "mtx-known");
    world.stack.kill_ledger();
    let stranger = Stranger::start(&world);
    many_new_tokens(&world, "secret");
    // Cards that it does not know yet are what it is asked about first after a reload.
    world.stack.change_filter(|filter| filter["tokens"]["ttl_s"] = 31.into()).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    for way in ["ledger\" (ledger.cluster)", "ledger_resolve\" (ledger.resolve_cluster)"] {
        let told = format!("the ledger refuses the secret that Envoy sends by cluster \"{way}: status 401");
        let line = wait_for_line(&world, &told);
        assert!(line.contains("PAX_LEDGER_SECRET"), "{line}");
    }
    let told = log(&world);
    println!("{told}");
    assert!(!told.contains("refuses this configuration's rate cards"), "{told}");
    assert!(!told.contains(world.stack.ledger_secret()) && !told.contains("another-secret"), "{told}");
    assert_eq!(lines(&world, "refuses the secret").len(), 2, "{told}");
    drop(stranger);
    world.stack.start_ledger().unwrap();
    wait_for_line(&world, "the ledger answers again");
}

fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn providers() {
    let world = World::start_with(|builder| {
        builder.change_envoy_config(|config| {
            let host = "address: \"127.0.0.1\"";
            let config = crate::common::providers::move_provider(&config, "openai", closed_port());
            let config = change_cluster(&config, "groq", |cluster| {
                cluster.replacen(host, "address: \"no-such-host.invalid\"", 1)
            });
            let config = change_cluster(&config, "deepseek", |cluster| {
                let tls = "transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config: { \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext }\n      connect_timeout: 5s";
                cluster.replacen("connect_timeout: 5s", tls, 1)
            });
            let config = change_route(&config, "mistral", |route| {
                route.replacen("cluster: mistral", "cluster: mistrl", 1)
            });
            // Envoy itself refuses a route to a cluster that is not there, unless it is told not to look.
            let all = "route_config:\n                  name: gateway\n";
            let config = config.replacen(all, &format!("{all}                  validate_clusters: false\n"), 1);
            Ok(change_route(&config, "together", |route| route.replacen("\"together\"", "\"togeter\"", 1)))
        })
    });
    let told = |provider: &str| format!("provider \"{provider}\" cannot be reached");
    let mut failed = 0;
    for (provider, model, because) in [
        ("openai", "gpt-4.1", "gets no connection"),
        ("groq", "qwen/qwen3.8-27b", "has no host"),
        ("deepseek", "deepseek-chat", "gets no connection"),
        ("mistral", "codestral-latest", "names a cluster that Envoy does not have"),
        ("together", "Qwen/Qwen3.5-9B", "no route matches the filter state wasm.pax_provider \"together\""),
    ] {
        let answer = call(&world, TOKEN, model);
        println!("{provider}: {} {}", answer.refusal(), message(&answer));
        failed += 1;
        let line = wait_for_line(&world, &told(provider));
        println!("{line}");
        assert!(line.contains(because), "{line}");
        assert_eq!(answer.refusal(), "503 upstream_unavailable", "{provider}");
        assert!(
            message(&answer).contains(&format!("The provider {provider} cannot be reached")),
            "{}",
            answer.text()
        );
    }
    for _ in 0..CALLS {
        assert_eq!(call(&world, TOKEN, "gpt-4.1").refusal(), "503 upstream_unavailable");
        failed += 1;
    }
    said_once(&world, &told("openai"));
    assert_eq!(refused_with(&world, "upstream_unavailable"), failed);
    // A provider that answers is no trouble, whatever it answers.
    assert_eq!(call(&world, TOKEN, MODEL).status, 200);
    world.behave(pax_standin::Behaviour { status: Some(503), ..Default::default() });
    assert_eq!(call(&world, TOKEN, MODEL).status, 503);
    assert_eq!(refused_with(&world, "upstream_unavailable"), failed);
    assert!(lines(&world, &told("fireworks")).is_empty());
    world.settle();
    world.replay();
}

/// Sets the flag in the file of the filter's configuration, in one move.
fn set_flag(world: &World, on: bool) {
    let flag = |on: bool| format!("allow_on_headers_stop_iteration: {on}");
    let file = world.stack.filter_file();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(&flag(!on)));
    let new = file.with_extension("new");
    std::fs::write(&new, text.replace(&flag(!on), &flag(on))).unwrap();
    std::fs::rename(&new, &file).unwrap();
}

/// Calls on connections of their own until each of some in a row is answered so.
fn until_all(world: &World, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(15);
    let said = |answer: &Answer| if answer.status == 200 { "200".to_owned() } else { answer.refusal() };
    while !(0..8).all(|_| said(&call(world, TOKEN, MODEL)) == expected) {
        assert!(Instant::now() < deadline, "{}", log(world));
    }
}

fn kept_back() {
    let mut world = World::start();
    world.stack.kill_envoy();
    set_flag(&world, false);
    world.stack.start_envoy().unwrap();
    let refused = |answer: &Answer| {
        assert_eq!(answer.refusal(), "503 gateway_disabled");
        assert!(message(answer).contains("allow_on_headers_stop_iteration"), "{}", answer.text());
        assert!(answer.has_header("retry-after") && !answer.has_header("x-should-retry"));
    };
    let text = body(MODEL);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_bytes())];
    let head = |length: usize| {
        let head = request("POST", "/v1/chat/completions", &headers, None);
        let head = String::from_utf8(head).unwrap();
        head.replacen("\r\n\r\n", &format!("\r\ncontent-length: {length}\r\n\r\n"), 1).into_bytes()
    };
    // Whole, its first byte alone, all but the last, in pieces, and over HTTP/2; all at once.
    let open = || world.connect();
    let begun = Instant::now();
    let mut whole: Vec<_> = (0..50).map(|_| open()).collect();
    whole.iter_mut().for_each(|connection| connection.send(&chat(TOKEN, &text)));
    let mut one_byte = open();
    one_byte.send(&head(text.len()));
    one_byte.send(&text.as_bytes()[..1]);
    let mut chunked = open();
    let chunks = head(0);
    let chunks =
        String::from_utf8(chunks).unwrap().replace("content-length: 0", "transfer-encoding: chunked");
    chunked.send(chunks.as_bytes());
    chunked.send(format!("1\r\n{}\r\n", text.chars().next().unwrap()).as_bytes());
    let port = world.stack.gateway_port();
    let over_http2 = [false, true].map(|trailers| {
        let text = text.clone();
        std::thread::spawn(move || crate::http2::said(port, &text, trailers))
    });
    // Nothing of it was sent: it may still come.
    let mut silent = open();
    silent.send(&head(text.len()));
    for connection in whole.iter_mut().chain([&mut one_byte, &mut chunked]) {
        refused(&connection.read());
    }
    for answer in over_http2 {
        let (status, text) = answer.join().unwrap();
        assert!(status == 503 && text.contains("allow_on_headers_stop_iteration"), "{status} {text}");
    }
    println!("refused after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(!silent.has_answer(), "its body was not kept back");
    silent.send(text.as_bytes());
    refused(&silent.read());
    // From now on at once, but for the one that is tried.
    let mut slow = 0;
    for _ in 0..CALLS {
        let begun = Instant::now();
        refused(&call(&world, TOKEN, MODEL));
        slow += usize::from(begun.elapsed() > Duration::from_millis(500));
    }
    assert!(slow < 4, "{slow}");
    said_once(&world, "Envoy keeps the bodies of requests from the filter");
    assert!(refused_with(&world, "gateway_disabled") >= CALLS.try_into().unwrap());
    // Without a body nothing is amiss.
    assert_eq!(world.connect().call(&request("GET", "/v1/models", &headers, None)).status, 200);
    assert!(world.take_received().is_empty());
    // The operator sets it while Envoy runs, and takes it away again.
    set_flag(&world, true);
    until_all(&world, "200");
    set_flag(&world, false);
    until_all(&world, "503 gateway_disabled");
}

fn slow_callers() {
    let world = World::start();
    let text = body(MODEL);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_bytes())];
    let head = String::from_utf8(request("POST", "/v1/chat/completions", &headers, None)).unwrap();
    let head = head.replacen("\r\n\r\n", &format!("\r\ncontent-length: {}\r\n\r\n", text.len()), 1);
    let mut slow: Vec<Connection> = (0..8).map(|_| world.connect()).collect();
    for connection in &mut slow {
        connection.send(head.as_bytes());
    }
    std::thread::sleep(Duration::from_secs(4));
    for connection in &mut slow {
        assert!(!connection.has_answer(), "{:?}", connection.read());
        connection.send(&text.as_bytes()[..1]);
    }
    std::thread::sleep(Duration::from_secs(3));
    for connection in &mut slow {
        assert!(!connection.has_answer(), "{:?}", connection.read());
        connection.send(&text.as_bytes()[1..]);
        let answer = connection.read();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(lines(&world, "keeps the bodies").is_empty());
    assert_eq!(refused_with(&world, "gateway_disabled"), 0);
}

fn credits_away() {
    let mut world = World::start();
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_bytes())];
    let credits = request("GET", "/v1/credits", &headers, None);
    assert_eq!(world.connect().call(&credits).status, 200);
    world.stack.kill_ledger();
    for path in ["/v1/credits", "/v1/credits/ledger?limit=2"] {
        let answer = world.connect().call(&request("GET", path, &headers, None));
        assert_eq!(answer.refusal(), "503 ledger_unavailable");
        assert!(answer.has_header("retry-after") && !answer.has_header("x-should-retry"));
        let said = message(&answer);
        assert!(said.contains("ledger") && !said.to_lowercase().contains("provider"), "{said}");
    }
    for _ in 0..CALLS {
        assert_eq!(world.connect().call(&credits).refusal(), "503 ledger_unavailable");
    }
    said_once(&world, "the ledger's public listener (GET /v1/credits) cannot be reached");
    assert_eq!(refused_with(&world, "upstream_unavailable"), 0, "it is no provider");
    world.stack.start_ledger().unwrap();
    assert_eq!(world.connect().call(&credits).status, 200);
}
