//! An operator's settings take effect while everything runs; and the kill switch.

use crate::common::http::{Answer, Connection, request};
use crate::common::prices::{Counts, price};
use crate::common::world::{TOKEN, World};
use crate::play::{Caller, MODEL, error, part, reservation, until};
use crate::{Case, OwnCase};
use pax_standin::Behaviour;
use rust_decimal::Decimal;
use serde_json::Value;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    ("a cap that is raised, lowered, or set to 0 holds within the token's time to live", caps),
    ("a disabled account and a revoked token stop calling within the token's time to live", switched_off),
    ("a clamp is written into the request, and it is what is reserved", clamp),
];

pub const OWN_CASES: &[OwnCase] =
    &[("under the kill switch no call is taken, and the gateway says that it lives", kill_switch)];

/// How long the gateways of this world believe a token.
const TTL: Duration = Duration::from_secs(1);
/// And some time for it to ask.
const PATIENCE: Duration = Duration::from_millis(2_000);
const CLAMP: u64 = 700;

pub fn world() -> World {
    World::start_with(|builder| {
        builder.change_filter_config(|config| {
            config["tokens"] = serde_json::json!({ "ttl_s": TTL.as_secs(), "unknown_ttl_s": 1 });
            config["gate"]["when_unbounded"] = "clamp".into();
            config["gate"]["clamp_output_tokens"] = CLAMP.into();
            config["providers"]["openai"]["output_maximum"] = "max_completion_tokens".into();
        })
    })
}

fn said(answer: &Answer) -> String {
    if answer.status == 200 { "200".to_owned() } else { answer.refusal() }
}

/// Every worker says so by now: connections are spread over them.
fn everywhere(world: &World, call: &[u8], expected: &str) {
    until(TTL + PATIENCE, || said(&world.connect().call(call)), expected);
    // One worker may have learned it a moment before the other.
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..16 {
        assert_eq!(said(&world.connect().call(call)), expected);
    }
}

fn caps(world: &mut World) {
    let one = reservation(100);
    let caller = Caller::new(world, "capped", Some(part(one, 2)));
    let cap = |text: &str| drop(world.stack.ledger(["account", "cap", "capped", text]).unwrap());
    let refused = world.connect().call(&caller.call(100));
    assert_eq!(refused.refusal(), "429 daily_cap_exceeded");
    assert_eq!(error(&refused)["limit_pax"], format!("{:.12}", part(one, 2)));
    cap("3");
    everywhere(world, &caller.call(100), "200");
    cap(&part(one, 2).to_string());
    everywhere(world, &caller.call(100), "429 daily_cap_exceeded");
    cap("default");
    everywhere(world, &caller.call(100), "200");
    cap("0");
    everywhere(world, &caller.call(1), "429 daily_cap_exceeded");
}

fn switched_off(world: &mut World) {
    let caller = Caller::new(world, "switched", None);
    let call = caller.call(10);
    everywhere(world, &call, "200");
    world.stack.ledger(["account", "disable", "switched"]).unwrap();
    everywhere(world, &call, "403 account_disabled");
    world.stack.ledger(["account", "enable", "switched"]).unwrap();
    everywhere(world, &call, "200");
    let list = world.stack.ledger(["token", "list", "switched"]).unwrap();
    let id = list.split_ascii_whitespace().find(|word| word.starts_with("tok_")).expect("the token's id");
    world.stack.ledger(["token", "revoke", id]).unwrap();
    everywhere(world, &call, "401 invalid_api_key");
}

/// A chat call whose body says no more than this beside its model.
fn stating(token: &str, model: &str, more: &str) -> (Vec<u8>, u64) {
    let body = format!(r#"{{"model":"{model}",{more}"messages":[]}}"#);
    (crate::common::http::chat(token, &body), body.len().try_into().unwrap())
}

fn clamp(world: &mut World) {
    let sent = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    let clamped = serde_json::json!(CLAMP);
    // What the caller states, what the provider is told in its own field, and how many tokens are reserved. The stand-in
    // honours `max_tokens` alone, as this provider's settings say of it: a maximum under the other name bounds an
    // answer, and with it what is charged, only if it is moved.
    for (number, (states, told, reserved)) in [
        ("", ("max_tokens", clamped.clone()), CLAMP),
        (r#""max_tokens":null,"#, ("max_tokens", clamped.clone()), CLAMP),
        (r#""n":3,"#, ("max_tokens", clamped.clone()), 3 * CLAMP),
        (r#""max_tokens":50,"#, ("max_tokens", 50.into()), 50),
        (r#""max_tokens":5000,"#, ("max_tokens", 5000.into()), 5000),
        (r#""max_completion_tokens":60,"#, ("max_tokens", 60.into()), 60),
        (r#""max_completion_tokens":3,"#, ("max_tokens", 3.into()), 3),
        (r#""max_tokens":40,"max_completion_tokens":90,"#, ("max_tokens", 40.into()), 40),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = stating("", MODEL, states).1;
        let counts = Counts { input: bytes + 1_024, cached: 0, output: reserved };
        let version = pax_gateway::price::bundle::Bundle::embedded().unwrap();
        let version = version.in_force(crate::common::prices::now()).unwrap().version.0;
        let needed = price(&crate::common::prices::card_text(version), MODEL, counts);
        let least = needed.parse::<Decimal>().unwrap();
        // A picopax below it is refused, and the refusal names it; at it the call is served.
        let poor = Caller::new(world, &format!("clamp-{number}"), Some(least - Decimal::new(1, 12)));
        let refused = world.connect().call(&stating(&poor.token, MODEL, states).0);
        assert_eq!(refused.refusal(), "429 daily_cap_exceeded", "{states:?}");
        assert_eq!(error(&refused)["needed_pax"], needed, "{states:?}");
        let rich = Caller::new(world, &format!("clamped-{number}"), Some(least));
        let answer = world.connect().call(&stating(&rich.token, MODEL, states).0);
        assert_eq!(answer.status, 200, "{states:?}: {}", answer.text());
        let received = world.take_received();
        assert_eq!(received.len(), 1, "{states:?}");
        let received = sent(&received[0].body);
        assert_eq!(received[told.0], told.1, "{states:?}: {received}");
        assert_eq!(received["max_completion_tokens"], Value::Null, "{states:?}: {received}");
        let entries = rich.entries_within(world, 1, Duration::from_secs(5));
        assert!(entries[0]["tokens_output"].as_u64().unwrap() <= reserved, "{states:?}: {}", entries[0]);
    }
    // OpenAI's field is the other one, and it refuses a request that states both. Its model does not end by itself
    // here: what is generated shows which maximum it honoured.
    for (states, told) in [("", CLAMP), (r#""max_tokens":30,"#, 30), (r#""max_completion_tokens":20,"#, 20)] {
        world.behave(Behaviour::plays("openai"));
        let answer = world.connect().call(&stating(TOKEN, "gpt-4o-mini", states).0);
        assert_eq!(answer.status, 200, "{states:?}: {}", answer.text());
        let received = sent(&world.take_received()[0].body);
        assert_eq!(received["max_completion_tokens"], told, "{states:?}: {received}");
        assert_eq!(received["max_tokens"], Value::Null, "{states:?}: {received}");
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["usage"]["completion_tokens"], told, "{states:?}: {answer}");
    }
    world.standin.reset();
    // A caller's own key is the caller's own money.
    let bearer = format!("Bearer {TOKEN}");
    let headers: [(&str, &[u8]); 2] =
        [("authorization", bearer.as_bytes()), ("x-matrix-byo-api-key", b"sk-own-of-the-clamp-case")];
    let body = br#"{"model":"gpt-4o-mini","messages":[]}"#;
    let own = world.connect().call(&request("POST", "/v1/chat/completions", &headers, Some(body)));
    assert_eq!(own.status, 200, "{}", own.text());
    assert_eq!(world.take_received()[0].body.as_bytes(), body);
}

fn kill_switch() {
    let world =
        World::start_with(|builder| builder.change_filter_config(|config| config["disabled"] = true.into()));
    let ask = |method: &str, path: &str, body: Option<&[u8]>| {
        let bearer = format!("Bearer {TOKEN}");
        let headers: [(&str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
        Connection::open(world.stack.gateway_port()).call(&request(method, path, &headers, body))
    };
    let begun = Instant::now();
    let alive = ask("GET", "/healthz", None);
    assert_eq!((alive.status, alive.text().as_str()), (200, r#"{"status":"disabled"}"#));
    assert_eq!(ask("GET", "/readyz", None).status, 503);
    let body = format!(r#"{{"model":"{MODEL}","messages":[]}}"#);
    for (method, path, body) in [
        ("POST", "/v1/chat/completions", Some(body.as_bytes())),
        ("POST", "/v1/embeddings", Some(body.as_bytes())),
        ("GET", "/v1/models", None),
    ] {
        let refused = ask(method, path, body);
        assert_eq!(refused.refusal(), "503 gateway_disabled", "{path}");
        assert!(refused.has_header("retry-after") && !refused.has_header("x-should-retry"), "{path}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(world.take_received().is_empty());
    // The same stack without the switch serves.
    let on =
        world.stack.another_envoy(|config| config.replace(r#"\"disabled\":true"#, r#"\"disabled\":false"#));
    let on = on.unwrap();
    let answer = Connection::open(on.gateway_port()).call(&crate::common::http::chat(TOKEN, &body));
    assert_eq!(answer.status, 200, "{}", answer.text());
}
