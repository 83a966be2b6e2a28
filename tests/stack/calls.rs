//! One caller, one call after another.

use crate::Case;
use crate::common::http::{Connection, chat, request};
use crate::common::world::{MODEL, TOKEN, World};
use crate::hangups;
use pax_standin::Behaviour;
use serde_json::Value;

pub const CASES: &[Case] = &[
    ("on one connection many rewritten requests stay apart", many_on_one_connection),
    ("requests sent in one go are answered in order", pipelined),
    ("a caller that waits for 100 Continue gets it", expect_continue),
    ("a request in chunks is measured, priced and forwarded with its length", chunked_request),
    ("a prompt of 2 MB is read and forwarded", large_prompt),
    ("a prompt beyond the limit is refused as too large", too_large_prompt),
    ("an answer of 500 KB still carries its cost", held_answer),
    ("an answer of 3 MB passes and is metered", large_answer),
    ("a stream of 3 MB passes and is metered", large_stream),
    ("an answer that breaks off while it is held is charged by estimate", broken_answer),
    ("a provider that hangs up before its answer costs nothing", no_answer),
];

fn hello(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

fn stream() -> String {
    format!(r#"{{"stream":true,"model":"{MODEL}","messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

fn many_on_one_connection(world: &mut World) {
    let before = world.entries().len();
    let mut connection = world.connect();
    let mut forwarded = 0;
    for round in 0..60 {
        // A longer body, one of the same length under another name, one as it came, one that is refused.
        let (body, status) = match round % 4 {
            0 => (stream(), 200),
            1 => (hello("accounts/fireworks/models/kimi-k2.6"), 200),
            2 => (hello(MODEL), 200),
            _ => (hello("nobody/knows"), 404),
        };
        let answer = connection.call(&chat(TOKEN, &body));
        assert_eq!((answer.status, answer.complete), (status, true), "call {round}: {}", answer.text());
        forwarded += usize::from(status == 200);
        if status == 200 {
            assert!(answer.text().contains("Nothing"), "call {round}: {}", answer.text());
        }
    }
    let received = world.take_received();
    assert_eq!(received.len(), forwarded);
    for request in &received {
        let body: Value = serde_json::from_str(&request.body).expect("a body of its own");
        let length = request.header("content-length").unwrap().to_owned();
        assert_eq!((request.method.as_str(), length), ("POST", request.body.len().to_string()));
        assert_eq!(body["stream"] == true, body["stream_options"]["include_usage"] == true);
    }
    assert_eq!(world.entries_when(before + forwarded).len(), before + forwarded);
}

fn pipelined(world: &mut World) {
    let mut connection = world.connect();
    let models = [MODEL, "accounts/fireworks/models/gpt-oss-120b", "accounts/fireworks/models/kimi-k2.6"];
    connection.send(&models.map(|model| chat(TOKEN, &hello(model))).concat());
    for model in models {
        let answer = connection.read();
        let entry = world.entry(&answer.header("x-matrix-exchange-id"));
        assert_eq!(entry["model"], model);
        assert_eq!(answer.header("x-matrix-cost-pax"), entry["cost_pax"].as_str().unwrap());
    }
}

fn expect_continue(world: &mut World) {
    let body = hello(MODEL);
    let head = |token: &str| {
        let bearer = format!("Bearer {token}");
        let length = body.len().to_string();
        let headers: [(&str, &[u8]); 3] = [
            ("authorization", bearer.as_bytes()),
            ("expect", b"100-continue"),
            ("content-length", length.as_bytes()),
        ];
        request("POST", "/v1/chat/completions", &headers, None)
    };
    let mut connection = world.connect();
    connection.send(&head(TOKEN));
    assert_eq!(connection.read_head().status, 100);
    connection.send(body.as_bytes());
    let answer = connection.read();
    assert_eq!(answer.status, 200, "{}", answer.text());
    world.entry(&answer.header("x-matrix-exchange-id"));
    assert_eq!(world.take_received()[0].header("expect"), None);

    // Who is refused by the head alone need not send the body.
    let mut connection = world.connect();
    connection.send(&head("mtx-nobody"));
    assert_eq!(connection.read().refusal(), "401 invalid_api_key");
    assert!(world.take_received().is_empty());
}

fn chunked_request(world: &mut World) {
    let bearer = format!("Bearer {TOKEN}");
    let headers: [(&str, &[u8]); 2] =
        [("authorization", bearer.as_bytes()), ("transfer-encoding", b"chunked")];
    let mut connection = world.connect();
    connection.send(&request("POST", "/v1/chat/completions", &headers, None));
    for piece in stream().as_bytes().chunks(7) {
        connection.send(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    connection.send(b"0\r\nx-trailer: 1\r\n\r\n");
    let answer = connection.read();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let entry = world.entry(&answer.header("x-matrix-exchange-id"));
    assert_eq!((&entry["provenance"], &entry["stream"]), (&"reported".into(), &true.into()));
    let received = world.take_received();
    assert_eq!(received[0].header("content-length"), Some(received[0].body.len().to_string().as_str()));
}

fn large_prompt(world: &mut World) {
    let text = "word ".repeat(400_000);
    // One whose context window holds it.
    let body = stream().replace("Hello", &text).replace(MODEL, "accounts/fireworks/models/deepseek-v4-flash");
    let answer = world.chat(&body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = world.take_received();
    assert_eq!(received.len(), 1);
    let asked = body.replacen('{', "{\"stream_options\":{\"include_usage\":true},", 1);
    assert!(received[0].body == asked, "the prompt arrived otherwise than it was sent");
    let entry = world.entry(&answer.header("x-matrix-exchange-id"));
    // The stand-in counts a token per four bytes of `messages`.
    assert!(entry["tokens_input"].as_u64().unwrap() > 500_000, "{entry}");
}

fn too_large_prompt(world: &mut World) {
    let before = world.entries().len();
    let body = hello(MODEL).replace("Hello", &"x".repeat(21 * 1024 * 1024));
    assert_eq!(world.chat(&body).refusal(), "413 request_too_large");
    // Without a length to look at.
    let bearer = format!("Bearer {TOKEN}");
    let headers: [(&str, &[u8]); 2] =
        [("authorization", bearer.as_bytes()), ("transfer-encoding", b"chunked")];
    let mut connection = world.connect();
    let mut bytes = request("POST", "/v1/chat/completions", &headers, None);
    bytes.extend_from_slice(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes());
    connection.send(&bytes);
    assert_eq!(connection.read().refusal(), "413 request_too_large");
    assert!(world.take_received().is_empty());
    world.settle();
    assert_eq!(world.entries().len(), before);
}

const USAGE: &str = r#""usage":{"prompt_tokens":11,"completion_tokens":30000}"#;

/// A JSON answer with so much text.
fn answer_of(bytes: usize) -> String {
    format!(r#"{{"choices":[{{"message":{{"content":"{}"}}}}],{USAGE}}}"#, "z".repeat(bytes))
}

fn held_answer(world: &mut World) {
    let body = answer_of(500 * 1024);
    world.behave(Behaviour { body: Some(body.clone()), ..Behaviour::default() });
    let answer = world.chat(&hello(MODEL));
    assert!(answer.status == 200 && answer.complete && answer.text() == body, "{}", answer.status);
    let entry = world.entry(&answer.header("x-matrix-exchange-id"));
    assert_eq!(answer.header("x-matrix-cost-pax"), entry["cost_pax"].as_str().unwrap());
}

fn large_answer(world: &mut World) {
    let body = answer_of(3 * 1024 * 1024);
    for content_length in [true, false] {
        let content_length = Some(content_length);
        world.behave(Behaviour { body: Some(body.clone()), content_length, ..Behaviour::default() });
        let answer = world.chat(&hello(MODEL));
        assert!(answer.status == 200 && answer.complete && answer.text() == body, "{}", answer.status);
        assert!(!answer.has_header("x-matrix-cost-pax") && answer.has_header("x-matrix-rate-table-version"));
        let entry = world.entry(&answer.header("x-matrix-exchange-id"));
        assert_eq!((&entry["tokens_output"], &entry["ending"]), (&30_000.into(), &"complete".into()));
    }
}

fn large_stream(world: &mut World) {
    let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "z".repeat(1000));
    // One event that is larger than anything that may wait.
    let huge = event.replacen("zzz", &"y".repeat(200_000), 1);
    let text = [event.repeat(2700), huge].concat();
    let usage = format!("data: {{\"choices\":[],{USAGE}}}\n\n");
    let done = "data: [DONE]\n\n";
    let content_type = Some("text/event-stream".to_owned());
    let body = Some([&text, &usage, done].concat());
    world.behave(Behaviour { body, content_type, ..Behaviour::default() });
    let answer = world.chat(&stream());
    assert!(answer.complete && answer.text() == [&text, done].concat(), "{}", answer.body.len());
    let entry = world.entry(&answer.header("x-matrix-exchange-id"));
    assert_eq!((&entry["tokens_output"], &entry["ending"]), (&30_000.into(), &"complete".into()));
}

fn broken_answer(world: &mut World) {
    let cut_after_bytes = Some(20_000);
    world.behave(Behaviour { body: Some(answer_of(40_000)), cut_after_bytes, ..Behaviour::default() });
    let answer = hangups::call(world, "broken", false).read();
    // Nothing of the held answer went out, so the caller can be told: Envoy's own reply, in the error shape.
    assert!(answer.refusal().starts_with("502 "), "{answer:?}");
    let entry = hangups::only_entry(world, "broken").expect("an entry");
    assert_eq!(
        (&entry["provenance"], &entry["ending"]),
        (&"estimated".into(), &"provider_broke_off".into()),
        "{entry}"
    );
    assert!(entry["tokens_output"].as_u64().unwrap() > 4_000, "{entry}");
    assert_eq!(answer.header("x-matrix-exchange-id"), entry["exchange_id"].as_str().unwrap());
}

fn no_answer(world: &mut World) {
    world.settle();
    let before = world.entries().len();
    world.behave(Behaviour { cut_before_head: true, ..Behaviour::default() });
    let answer = Connection::open(world.stack.gateway_port()).call(&chat(TOKEN, &hello(MODEL)));
    assert!((500..600).contains(&answer.status), "{}", answer.status);
    assert_eq!(answer.header("content-type"), "application/json", "{}", answer.text());
    assert_eq!(world.take_received().len(), 1, "a request that may have been read is not sent again");
    world.settle();
    assert_eq!(world.entries().len(), before, "an upstream failure before a 2xx head costs nothing");
}
