//! A caller's own provider key reaches the provider and nothing else; the caller's token reaches no provider.

use crate::OwnCase;
use crate::common::http::{Answer, Connection, request};
use crate::common::world::{TOKEN, World};
use crate::frames;
use pax_standin::Behaviour;
use std::path::Path;
use std::time::Duration;

pub const CASES: &[OwnCase] =
    &[("a caller's own key and token are nowhere but where they belong, with every log at debug", secrets)];

const OWN_KEY: &str = "sk-own-2f9c7d51e8b34a06";
const PLATFORM_KEY: &str = "sk-platform-71c0aa94d2e65b38";

/// Every log says as much as it can, and the platform's key is put on as over TLS, by the same fragments.
fn talkative() -> World {
    World::start_with(|builder| {
        builder.log_level("debug,wasm:debug").change_envoy_config(|config| Ok(with_platform_key(&config)))
    })
}

fn with_platform_key(config: &str) -> String {
    let root = pax_stack::Layout::find().unwrap().root;
    let fragment = std::fs::read_to_string(root.join("envoy/fragments/provider-key.yaml")).unwrap();
    let fragment = fragment.replace("${PROVIDER}", "fireworks").replace("${KEY_HEADER}", "authorization");
    let fragment = fragment.replace("${KEY_PREFIX}", "Bearer ");
    let (before, cluster) =
        config.split_once("- name: fireworks\n      type: LOGICAL_DNS").expect("the cluster");
    let idle = "          common_http_protocol_options: { idle_timeout: 4s }\n";
    let (head, rest) = cluster.split_once(idle).expect("its options");
    let injector: String = fragment.lines().map(|line| format!("          {line}\n")).collect();
    let secret = format!(
        "  secrets:\n    - name: fireworks_key\n      generic_secret: {{ secret: {{ inline_string: {PLATFORM_KEY} }} }}\n"
    );
    let rest = rest.replacen("  secrets:\n", &secret, 1);
    assert!(rest.contains(PLATFORM_KEY));
    [before, "- name: fireworks\n      type: LOGICAL_DNS", head, idle, &injector, &rest].concat()
}

/// A call with these headers beside the token. `model` may be one that no card knows.
fn call(world: &World, model: &str, stream: bool, more: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let mut headers: Vec<(&str, &[u8])> = vec![("authorization", bearer.as_bytes())];
    headers.extend(more.iter().map(|(name, value)| (*name, value.as_bytes())));
    let body =
        format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#);
    world.connect().call(&request("POST", "/v1/chat/completions", &headers, Some(body.as_bytes())))
}

fn secrets() {
    let world = talkative();
    let model = "accounts/fireworks/models/gpt-oss-120b";
    let direct: &[(&str, &str)] = &[("x-matrix-byo-api-key", OWN_KEY)];
    let beside: &[(&str, &str)] = &[("x-matrix-byo-api-key", "true"), ("x-matrix-user-api-key", OWN_KEY)];
    let mut answers = Vec::new();
    let mut ask = |status: u16, model: &str, stream: bool, more: &[(&str, &str)]| {
        let answer = call(&world, model, stream, more);
        assert_eq!(answer.status, status, "{more:?}: {}", answer.text());
        answers.push(answer);
    };
    // Calls that succeed, for a priced model and for one that only the provider knows, streamed and not.
    for more in [direct, beside] {
        ask(200, model, false, more);
        ask(200, model, true, more);
        ask(200, "accounts/somebody/models/unpriced", false, more);
    }
    // Calls that the provider refuses: its own text is passed on, so it must not hold the key either.
    for status in [401, 429, 500] {
        world.behave(Behaviour { times: Some(1), ..Behaviour::status(status) });
        ask(status, model, false, direct);
    }
    // Calls that break off, and one whose answer cannot be read.
    world.behave(Behaviour { cut_after_bytes: Some(20), times: Some(1), ..Behaviour::default() });
    ask(502, model, false, direct);
    world.behave(Behaviour { body: Some("not JSON".into()), times: Some(1), ..Behaviour::default() });
    ask(200, model, false, direct);
    over_http2(&world, model);
    let forwarded = answers.len() + 1;
    let mut ask = |status: u16, model: &str, more: &[(&str, &str)]| {
        let answer = call(&world, model, false, more);
        assert_eq!(answer.status, status, "{more:?}: {}", answer.text());
        answers.push(answer);
    };
    // Calls that are refused here, for the model, for the slot, for two keys.
    ask(404, "nobody/knows", direct);
    ask(400, model, &[("x-matrix-byo-api-key", OWN_KEY), ("x-matrix-slot", "No Slot")]);
    ask(400, model, &[("x-matrix-byo-api-key", OWN_KEY), ("x-matrix-user-api-key", OWN_KEY)]);
    ask(400, model, &[("x-matrix-user-api-key", OWN_KEY)]);
    // And some whose key stands where it does not belong.
    let mut connection = world.connect();
    answers.push(connection.call(&request(
        "GET",
        "/v1/nowhere",
        &[("x-matrix-byo-api-key", OWN_KEY.as_bytes())],
        None,
    )));

    own_keys_were_sent(&world, forwarded);
    platform_key_pays(&world, model, &mut answers);
    world.settle();
    let entries = world.entries();
    let byo: Vec<_> = entries.iter().filter(|entry| entry["funding"] == "byo").collect();
    assert_eq!((byo.len(), entries.len()), (9, 10), "{} entries", entries.len());
    assert!(byo.iter().all(|entry| entry["cost_pax"] == "0.000000000000"));
    found_nowhere(&world, &answers);
    world.replay();
}

/// Over HTTP/2, which another part of Envoy reads.
fn over_http2(world: &World, model: &str) {
    let bearer = format!("Bearer {TOKEN}");
    let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
    let head: [(&[u8], &[u8]); 6] = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", b"/v1/chat/completions"),
        (b"authorization", bearer.as_bytes()),
        (b"x-matrix-byo-api-key", OWN_KEY.as_bytes()),
    ];
    let over_http2 = frames::call(world.stack.gateway_port(), &head, body.as_bytes());
    assert!(over_http2.contains("\"usage\"") && !over_http2.contains(OWN_KEY), "{over_http2}");
}

/// The provider got so many calls, each with the caller's own key and no other secret.
fn own_keys_were_sent(world: &World, forwarded: usize) {
    let received = world.take_received();
    assert_eq!(received.len(), forwarded);
    for request in &received {
        assert_eq!(
            request.header("authorization"),
            Some(format!("Bearer {OWN_KEY}").as_str()),
            "{request:?}"
        );
        let text = format!("{request:?}");
        assert!(
            !text.contains(PLATFORM_KEY) && !text.contains(TOKEN) && !text.contains("x-matrix-"),
            "{text}"
        );
        assert_eq!(text.matches(OWN_KEY).count(), 1, "{text}");
    }
}

/// The reverse: without a key of the caller's own the platform's pays, also where the provider refuses it.
fn platform_key_pays(world: &World, model: &str, answers: &mut Vec<Answer>) {
    for status in [200, 401] {
        world.behave(Behaviour { status: Some(status), times: Some(1), ..Behaviour::default() });
        answers.push(call(world, model, false, &[]));
    }
    // An empty key is none, and no reason to take the platform's.
    answers.push(call(
        world,
        model,
        false,
        &[("x-matrix-byo-api-key", "true"), ("x-matrix-user-api-key", "")],
    ));
    assert_eq!(answers.last().unwrap().refusal(), "400 byo_missing_key");
    let received = world.take_received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(request.header("authorization"), Some(format!("Bearer {PLATFORM_KEY}").as_str()));
        assert!(
            !format!("{request:?}").contains("sk-own") && !format!("{request:?}").contains(TOKEN),
            "{request:?}"
        );
    }
}

/// Looks for key and token in all that was written, told or kept.
fn found_nowhere(world: &World, answers: &[Answer]) {
    let mut places: Vec<(String, Vec<u8>)> = Vec::new();
    for path in
        ["/stats", "/stats/prometheus", "/config_dump?include_eds", "/clusters", "/listeners", "/server_info"]
    {
        let answer = Connection::open(world.stack.admin_port()).call(&request("GET", path, &[], None));
        assert!(answer.status == 200 && answer.complete, "{path}");
        places.push((path.to_owned(), answer.body));
    }
    for (number, answer) in answers.iter().enumerate() {
        places.push((
            format!("answer {number}"),
            format!("{:?} {}", answer.headers, answer.text()).into_bytes(),
        ));
    }
    // Envoy writes its calls log every 100 ms.
    std::thread::sleep(Duration::from_millis(500));
    files(world.stack.run_dir(), &mut places);
    files(world.stack.db().parent().unwrap(), &mut places);
    let names: Vec<&str> = places.iter().map(|(name, _)| name.as_str()).collect();
    let text = names.join(" ");
    for expected in ["calls.log", "envoy.log", "envoy.yaml", "ledger.log", "ledger.db", "ledger.db-wal"] {
        assert!(text.contains(expected), "{expected} was not looked into: {text}");
    }
    let log = places.iter().find(|(name, _)| name.ends_with("envoy.log")).unwrap();
    let log = String::from_utf8_lossy(&log.1);
    assert!(log.contains(" debug wasm: ") || log.contains(" debug pool: "), "the log does not say much");
    let calls = places.iter().find(|(name, _)| name.ends_with("calls.log")).unwrap();
    assert!(
        String::from_utf8_lossy(&calls.1).contains(r#""provider":"fireworks""#),
        "there is no line of a call"
    );
    let secret = world.stack.ledger_secret();
    for (name, bytes) in &places {
        let found = |secret: &str| bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
        for (what, secret) in [
            ("key", OWN_KEY),
            ("token", TOKEN),
            ("ledger's secret", secret),
            ("platform's key", PLATFORM_KEY),
        ] {
            // The test itself has written the platform's key there.
            let at = found(secret).filter(|_| secret != PLATFORM_KEY || !name.ends_with("envoy.yaml"));
            if let Some(at) = at {
                let around = &bytes[at.saturating_sub(300)..(at + 100).min(bytes.len())];
                panic!("a {what} is in {name}: {}", String::from_utf8_lossy(around));
            }
        }
    }
}

fn files(folder: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            files(&path, places);
        } else {
            places.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}
