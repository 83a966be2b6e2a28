//! What the operator is told of calls: one line each in the calls log, and nothing that is secret.

use crate::Case;
use crate::common::calls_log;
use crate::common::http::{Answer, chat, request};
use crate::common::world::{MODEL, TOKEN, World};
use crate::hangups;
use pax_standin::Behaviour;
use serde_json::{Value, json};
use std::time::Duration;

pub const CASES: &[Case] = &[
    ("each answer and each refusal has one line in the calls log", each_has_a_line),
    ("what the filter never saw has a line of Envoy's own", unseen),
    ("a probe has no line", probes),
    ("a calls log that is moved away under load loses no line", moved_away),
    ("every entry has a line that says the same", entries_have_lines),
];

fn hello(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"whisper-in-a-prompt"}}]}}"#)
}

fn get(path: &str, token: &str) -> Vec<u8> {
    request("GET", path, &[("authorization", format!("Bearer {token}").as_bytes())], None)
}

/// What is sent, what the provider does, and what is told: outcome, status, code.
type Told = (Vec<u8>, Behaviour, &'static str, u16, Option<&'static str>);

fn tellings() -> Vec<Told> {
    let plain = Behaviour::default;
    let fails = |status| Behaviour { status: Some(status), ..Behaviour::default() };
    let stream = hello(MODEL).replacen('{', r#"{"stream":true,"#, 1);
    let unpriced = hello(MODEL).replacen('{', r#"{"surprise":true,"#, 1);
    vec![
        (chat(TOKEN, &hello(MODEL)), plain(), "answered", 200, None),
        (chat(TOKEN, &stream), plain(), "answered", 200, None),
        (get("/v1/models", TOKEN), plain(), "local", 200, None),
        (get("/v1/credits", TOKEN), plain(), "local", 200, None),
        (chat("mtx-nobodys", &hello(MODEL)), plain(), "refused", 401, Some("invalid_api_key")),
        (chat(TOKEN, &hello("nobody/knows")), plain(), "refused", 404, Some("model_not_found")),
        (chat(TOKEN, "{"), plain(), "refused", 400, Some("invalid_json")),
        (chat(TOKEN, &unpriced), plain(), "refused", 400, Some("unpriced_option")),
        (chat("mtx-demo-free", &hello("gpt-5")), plain(), "refused", 403, Some("model_not_allowed")),
        (get("/v1/nothing?key=sk-in-a-query", TOKEN), plain(), "refused", 404, Some("unknown_route")),
        (get("/v1/chat/completions", TOKEN), plain(), "refused", 405, Some("method_not_allowed")),
        (chat(TOKEN, &hello(MODEL)), fails(429), "provider_error", 429, None),
        (
            chat(TOKEN, &hello(MODEL)),
            fails(401),
            "provider_failed",
            502,
            Some("provider_refused_platform_key"),
        ),
        (
            chat(TOKEN, &hello(MODEL)),
            Behaviour { cut_before_head: true, ..plain() },
            "provider_failed",
            502,
            Some("upstream_failed"),
        ),
        (
            chat(TOKEN, &hello(MODEL)),
            Behaviour { body: Some("x".repeat(9_000)), cut_after_bytes: Some(4_000), ..plain() },
            "provider_broke_off",
            502,
            Some("upstream_cut"),
        ),
    ]
}

fn each_has_a_line(world: &mut World) {
    for (number, (sent, behaviour, outcome, status, code)) in tellings().into_iter().enumerate() {
        world.behave(behaviour);
        let answer = world.connect().call(&sent);
        let told = told(world, &answer);
        let (line, pax) = (&told, &told["pax"]);
        assert_eq!((answer.status, &line["status"]), (status, &json!(status)), "{number}: {answer:?}");
        assert_eq!(
            (&pax["outcome"], &pax["status"], &pax["code"]),
            (&json!(outcome), &json!(status), &json!(code)),
            "{number}: {told}"
        );
        assert!(!answer.has_header("x-matrix-code"), "{number}: {answer:?}");
        if let Some(code) = code {
            assert_eq!(answer.refusal(), format!("{status} {code}"), "{number}");
        }
        for secret in [TOKEN, "mtx-", "whisper-in-a-prompt", "sk-in-a-query"] {
            assert!(!told.to_string().contains(secret), "{number}: {told}");
        }
        if outcome == "answered" {
            let entry = world.entry(pax["exchange_id"].as_str().unwrap());
            assert_eq!((&pax["account"], &pax["token_id"]), (&entry["account"], &entry["token_id"]));
        }
    }
}

/// The line of an answer, found by what every SDK shows as the request's id.
fn told(world: &World, answer: &Answer) -> Value {
    calls_log::line_of(world, &answer.header("x-request-id"))
}

fn unseen(world: &mut World) {
    let begun = calls_log::lines(world).len();
    let long =
        format!("GET /v1/models HTTP/1.1\r\nhost: gateway.test\r\nx-long: {}\r\n\r\n", "x".repeat(70_000));
    let answer = world.connect().call(long.as_bytes());
    assert_eq!(answer.status, 431, "{answer:?}");
    let deadline = std::time::Instant::now() + Duration::from_secs(3);
    let line = loop {
        let found = calls_log::lines(world).into_iter().skip(begun).find(|line| line["status"] == 431);
        match found {
            Some(line) => break line,
            None => assert!(std::time::Instant::now() < deadline, "no line"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(line["pax"].is_null() && line["response_code_details"].is_string(), "{line}");
    assert!(!line.to_string().contains("xxxx"), "{line}");
}

fn probes(world: &mut World) {
    let begun = calls_log::lines(world).len();
    for path in ["/healthz", "/readyz", "/healthz?x=1"] {
        assert_eq!(world.connect().call(&request("GET", path, &[], None)).status, 200);
    }
    let last = world.chat(&hello(MODEL));
    told(world, &last);
    assert_eq!(calls_log::lines(world).len(), begun + 1);
}

fn moved_away(world: &mut World) {
    let (log, older) =
        (world.stack.run_dir().join("calls.log"), world.stack.run_dir().join("calls.log.moved"));
    let ids: Vec<String> = (0..120)
        .map(|call| {
            if call == 60 {
                // What Envoy has not written yet goes to the new file.
                std::thread::sleep(Duration::from_millis(300));
                std::fs::rename(&log, &older).unwrap();
                world.stack.reopen_logs().unwrap();
                // Envoy opens the file when it writes the next time.
                std::thread::sleep(Duration::from_millis(300));
            }
            world.chat(&hello(MODEL)).header("x-request-id")
        })
        .collect();
    calls_log::line_of(world, ids.last().unwrap());
    let moved = std::fs::read_to_string(&older).unwrap();
    let now = std::fs::read_to_string(&log).unwrap();
    for id in &ids {
        assert_eq!(moved.matches(id.as_str()).count() + now.matches(id.as_str()).count(), 1, "{id}");
    }
    assert!(moved.contains(&ids[0]) && now.contains(&ids[119]));
}

fn entries_have_lines(world: &mut World) {
    hangups::call(world, "gone-before-the-end", true);
    world.settle();
    std::thread::sleep(Duration::from_millis(300));
    let lines = calls_log::lines(world);
    let entries = world.entries();
    for entry in &entries {
        let id = &entry["exchange_id"];
        let mut found = lines.iter().map(|line| &line["pax"]).filter(|pax| pax["exchange_id"] == *id);
        let pax = found.next().unwrap_or_else(|| panic!("no line of {entry}"));
        assert!(found.next().is_none(), "two lines of {id}");
        for (told, entered) in [
            ("account", "account"),
            ("model", "model"),
            ("provider", "provider"),
            ("cost_pax", "cost_pax"),
            ("provenance", "provenance"),
            ("input_tokens", "tokens_input"),
            ("cached_tokens", "tokens_cached_input"),
            ("output_tokens", "tokens_output"),
            ("flags", "flags"),
            ("rate_table_v", "rate_table_v"),
            ("slot", "slot"),
        ] {
            assert_eq!(pax[told], entry[entered], "{told}: {pax} {entry}");
        }
    }
    assert!(entries.len() > 100);
}
