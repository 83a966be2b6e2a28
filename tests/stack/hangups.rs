//! Callers that go before their answer does.

use crate::Case;
use crate::common::http::{Connection, request};
use crate::common::world::{MODEL, TOKEN, World};
use pax_standin::Behaviour;
use serde_json::Value;
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    ("a caller that hangs up in a stream is charged once, for the text that came", in_the_stream),
    ("a caller that hangs up before the head is charged once, for its input", before_the_head),
    (
        "a caller that hangs up on a silent provider is charged for what may have been written",
        after_a_long_silence,
    ),
    ("a caller that hangs up while its JSON answer is held is charged once", in_a_held_answer),
    ("a caller that hangs up after the reported usage is charged by it", after_the_usage),
    ("a caller that hangs up in its own request costs nothing", in_the_request),
];

/// A call whose entry can be found without an answer.
pub fn call(world: &World, goal: &str, stream: bool) -> Connection {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_bytes()), ("x-matrix-goal-id", goal.as_bytes())];
    let text = "x".repeat(400);
    let body = format!(
        r#"{{"model":"{MODEL}","stream":{stream},"messages":[{{"role":"user","content":"{text}"}}]}}"#
    );
    let mut connection = world.connect();
    connection.send(&request("POST", "/v1/chat/completions", &headers, Some(body.as_bytes())));
    connection
}

/// The only entry of a goal, after all that could still come has come.
pub fn only_entry(world: &World, goal: &str) -> Option<Value> {
    world.settle();
    let mut entries: Vec<Value> =
        world.entries().into_iter().filter(|entry| entry["goal_id"] == goal).collect();
    assert!(entries.len() < 2, "one call, one entry: {entries:?}");
    entries.pop()
}

fn wait_until_received(world: &World) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.standin.received().is_empty() {
        assert!(Instant::now() < deadline, "the call does not reach the provider");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn event(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

/// A stream that falls silent after these bytes.
fn silent_after(world: &World, body: String) {
    let content_type = Some("text/event-stream".to_owned());
    let stall_after_bytes = Some(body.len());
    world.behave(Behaviour { body: Some(body), content_type, stall_after_bytes, ..Behaviour::default() });
}

fn in_the_stream(world: &mut World) {
    silent_after(world, [event("12345678"), event("the-last")].concat());
    let mut connection = call(world, "hangup-stream", true);
    assert!(connection.read_until(b"the-last"));
    drop(connection);
    let entry = only_entry(world, "hangup-stream").expect("an entry");
    assert_eq!((&entry["provenance"], &entry["ending"]), (&"estimated".into(), &"caller_gone".into()));
    assert_eq!(entry["tokens_output"], 4);
    assert!(entry["tokens_input"].as_u64().unwrap() >= 100, "{entry}");
}

fn before_the_head(world: &mut World) {
    world.behave(Behaviour { delay_ms: Some(5_000), ..Behaviour::default() });
    let connection = call(world, "hangup-head", false);
    wait_until_received(world);
    drop(connection);
    let entry = only_entry(world, "hangup-head").expect("an entry");
    assert_eq!((&entry["provenance"], &entry["ending"]), (&"estimated".into(), &"no_answer".into()));
    assert_eq!((&entry["tokens_output"], &entry["upstream_status"]), (&0.into(), &Value::Null));
    assert!(entry["tokens_input"].as_u64().unwrap() >= 100, "{entry}");
}

/// Nothing is seen of a call without a stream until it is whole: who hangs up pays for the time in which the provider
/// may have written, less the first five seconds.
fn after_a_long_silence(world: &mut World) {
    world.behave(Behaviour { delay_ms: Some(20_000), ..Behaviour::default() });
    let connection = call(world, "hangup-silence", false);
    wait_until_received(world);
    std::thread::sleep(Duration::from_millis(6_500));
    drop(connection);
    let entry = only_entry(world, "hangup-silence").expect("an entry");
    let unseen_ms = entry["unseen_ms"].as_u64().unwrap();
    assert!((6_400..20_000).contains(&unseen_ms), "{entry}");
    assert_eq!(entry["tokens_output"], ((unseen_ms - 5_000) * 40).div_ceil(1_000), "{entry}");
    assert_eq!((&entry["first_byte_ms"], &entry["duration_ms"]), (&Value::Null, &entry["unseen_ms"]));
}

fn in_a_held_answer(world: &mut World) {
    let body = r#"{"choices":[{"message":{"content":"12345678"#.to_owned();
    let stall_after_bytes = Some(body.len());
    let content_length = Some(false);
    let first_byte_delay_ms = Some(1);
    world.behave(Behaviour {
        body: Some(body),
        stall_after_bytes,
        content_length,
        first_byte_delay_ms,
        ..Behaviour::default()
    });
    let connection = call(world, "hangup-held", false);
    wait_until_received(world);
    std::thread::sleep(Duration::from_millis(300));
    drop(connection);
    let entry = only_entry(world, "hangup-held").expect("an entry");
    assert_eq!((&entry["provenance"], &entry["ending"]), (&"estimated".into(), &"caller_gone".into()));
    assert_eq!(entry["tokens_output"], 2);
}

fn after_the_usage(world: &mut World) {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":8}}\n\n";
    silent_after(world, [&event("12345678"), usage, &event("the-last")].concat());
    let mut connection = call(world, "hangup-usage", true);
    assert!(connection.read_until(b"the-last"));
    drop(connection);
    let entry = only_entry(world, "hangup-usage").expect("an entry");
    assert_eq!((&entry["provenance"], &entry["ending"]), (&"reported".into(), &"caller_gone".into()));
    assert_eq!((&entry["tokens_input"], &entry["tokens_output"]), (&9.into(), &8.into()));
}

fn in_the_request(world: &mut World) {
    let bearer = format!("Bearer {TOKEN}");
    let headers: [(&str, &[u8]); 3] = [
        ("authorization", bearer.as_bytes()),
        ("x-matrix-goal-id", b"hangup-request"),
        ("content-length", b"1000"),
    ];
    let mut connection = world.connect();
    connection.send(&request("POST", "/v1/chat/completions", &headers, None));
    connection.send(format!(r#"{{"model":"{MODEL}""#).as_bytes());
    std::thread::sleep(Duration::from_millis(200));
    drop(connection);
    assert!(only_entry(world, "hangup-request").is_none());
    assert!(world.take_received().is_empty());
}
