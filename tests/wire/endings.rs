//! The table of endings: what the caller saw, and the one entry, or none. Each is driven through a real Envoy.
//!
//! The prompt is 404 bytes of text (the content and `user`), by the card's four bytes per token 101; what the model
//! says is eight bytes an event, two tokens.

use crate::common::providers::move_provider;
use crate::common::world::World;
use crate::drive::{Caller, Ending, Provider, drive};
use crate::early::{Early, EarlyProvider, Then};
use pax_standin::Behaviour;

const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n";
const SECOND: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"abcdefgh\"}}]}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
pub const USAGE_EVENT: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":90,\"completion_tokens\":8}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ERROR: &str =
    r#"{"error":{"message":"overloaded","type":"server_error","param":null,"code":"overloaded"}}"#;
const JSON: &str = r#"{"id":"a","choices":[{"message":{"content":"12345678"}}],"usage":{"prompt_tokens":90,"completion_tokens":8}}"#;

fn json(body: &str) -> Behaviour {
    Behaviour { body: Some(body.to_owned()), ..Behaviour::default() }
}

fn events(events: &[&str]) -> Behaviour {
    Behaviour { content_type: Some("text/event-stream".to_owned()), ..json(&events.concat()) }
}

fn stays(
    stream: bool,
    name: &'static str,
    provider: Behaviour,
    saw: &'static str,
    entry: &'static str,
) -> Ending {
    let provider = Provider::Plays(Box::new(provider));
    Ending { name, stream, provider, caller: Caller::Stays, saw, entry }
}

fn leaves(
    stream: bool,
    name: &'static str,
    provider: Behaviour,
    caller: Caller,
    entry: &'static str,
) -> Ending {
    Ending { caller, ..stays(stream, name, provider, "left", entry) }
}

fn early(name: &'static str, answer: String, then: Then, saw: &'static str, entry: &'static str) -> Ending {
    let provider = Provider::Early(Early { answer, then });
    Ending { name, stream: false, provider, caller: Caller::Stays, saw, entry }
}

fn callers() -> Vec<Ending> {
    let silent = |played: &[&str]| {
        let stall_after_bytes = Some(played.concat().len());
        Behaviour { stall_after_bytes, ..events(&[played, &[EVENT]].concat()) }
    };
    let held =
        Behaviour { stall_after_bytes: Some(JSON.len() - 40), content_length: Some(false), ..json(JSON) };
    let slow = Behaviour { delay_ms: Some(5_000), ..Behaviour::default() };
    vec![
        leaves(
            false,
            "caller leaves before the head",
            slow.clone(),
            Caller::LeavesAfterMs(50),
            "estimated no_answer 101 0",
        ),
        leaves(
            true,
            "caller leaves before the stream's head",
            slow,
            Caller::LeavesAfterMs(50),
            "estimated no_answer 101 0",
        ),
        leaves(
            true,
            "caller leaves mid-stream",
            silent(&[EVENT, SECOND]),
            // Text of one event only: between two of them Envoy may begin another chunk of HTTP.
            Caller::LeavesAfter("abcdefgh"),
            "estimated caller_gone 101 4",
        ),
        leaves(
            true,
            "caller leaves after the last text, before the usage",
            silent(&[EVENT, FINISH]),
            Caller::LeavesAfter("stop"),
            "estimated caller_gone 101 2",
        ),
        leaves(
            true,
            "caller leaves after the usage, before [DONE]",
            silent(&[EVENT, USAGE_EVENT, ": ping\n\n"]),
            Caller::LeavesAfter(": ping"),
            "reported caller_gone 90 8",
        ),
        leaves(
            false,
            "caller leaves a JSON answer that is held",
            held,
            Caller::LeavesAfterMs(300),
            "estimated caller_gone 101 2",
        ),
    ]
}

fn cuts() -> Vec<Ending> {
    let cut = |behaviour: Behaviour, at: usize| Behaviour { cut_after_bytes: Some(at), ..behaviour };
    let large = JSON.replace("12345678", &"12345678".repeat(100_000));
    let stream = events(&[EVENT, EVENT, USAGE_EVENT, DONE]);
    let before_done = EVENT.len() * 2 + USAGE_EVENT.len();
    vec![
        stays(
            false,
            "provider cuts before its head",
            Behaviour { cut_before_head: true, ..json(JSON) },
            "502 upstream_failed",
            "none",
        ),
        stays(
            false,
            "provider cuts after its head",
            cut(json(JSON), 0),
            "502 upstream_cut",
            "estimated provider_broke_off 101 0",
        ),
        stays(
            false,
            "provider cuts mid-JSON, held",
            cut(json(JSON), JSON.len() - 40),
            "502 upstream_cut",
            "estimated provider_broke_off 101 2",
        ),
        stays(
            false,
            "provider cuts after the usage of its JSON, held",
            cut(json(JSON), JSON.len() - 1),
            "502 upstream_cut",
            "reported provider_broke_off 90 8",
        ),
        stays(
            false,
            "provider cuts mid-JSON, too large to be held",
            cut(json(&large), large.len() - 40),
            "200 cut",
            // So much text was never 32,768 tokens, the most that the card allows: that maximum bounds nothing.
            "estimated provider_broke_off 101 200000",
        ),
        stays(
            true,
            "provider cuts mid-stream",
            cut(stream.clone(), EVENT.len() + 20),
            "200 cut",
            "estimated provider_broke_off 101 2",
        ),
        stays(
            true,
            "provider cuts after the usage",
            cut(stream.clone(), before_done),
            "200 cut",
            "reported provider_broke_off 90 8",
        ),
    ]
}

/// The provider says nothing more, and keeps its connection.
fn silences() -> Vec<Ending> {
    let stall = |behaviour: Behaviour, at: usize| Behaviour { stall_after_bytes: Some(at), ..behaviour };
    let silent = Behaviour { delay_ms: Some(9_000), ..Behaviour::default() };
    let stream = events(&[EVENT, EVENT, USAGE_EVENT, DONE]);
    let before_done = EVENT.len() * 2 + USAGE_EVENT.len();
    vec![
        stays(false, "provider is silent before its head", silent.clone(), "504 upstream_timeout", "none"),
        stays(true, "provider is silent before its stream's head", silent, "504 upstream_timeout", "none"),
        stays(
            false,
            "provider stalls mid-JSON, held",
            stall(json(JSON), JSON.len() - 40),
            "502 upstream_cut",
            "estimated provider_broke_off 101 2",
        ),
        stays(
            true,
            "provider stalls mid-stream",
            stall(stream.clone(), EVENT.len() + 20),
            "200 cut",
            "estimated provider_broke_off 101 2",
        ),
        stays(
            true,
            "provider stalls after the usage",
            stall(stream, before_done),
            "200 cut",
            "reported provider_broke_off 90 8",
        ),
    ]
}

fn answers() -> Vec<Ending> {
    let silent_json = r#"{"id":"a","choices":[{"message":{"content":"12345678"}}]}"#;
    vec![
        stays(false, "JSON with usage", json(JSON), "200 whole", "reported complete 90 8"),
        stays(
            true,
            "stream with usage",
            events(&[EVENT, USAGE_EVENT, DONE]),
            "200 whole",
            "reported complete 90 8",
        ),
        stays(
            true,
            "stream without [DONE]",
            events(&[EVENT, USAGE_EVENT]),
            "200 whole",
            "reported complete 90 8",
        ),
        stays(false, "JSON without usage", json(silent_json), "200 whole", "estimated complete 101 2"),
        stays(
            true,
            "stream without usage",
            events(&[EVENT, EVENT, DONE]),
            "200 whole",
            "estimated complete 101 4",
        ),
        stays(
            true,
            "stream without usage and [DONE]",
            events(&[EVENT]),
            "200 whole",
            "estimated complete 101 2",
        ),
    ]
}

/// Answers that are errors, or cannot be read, and none at all.
fn failures() -> Vec<Ending> {
    let gzip = |behaviour: Behaviour| Behaviour { gzip: true, ..behaviour };
    let error_event = format!("data: {ERROR}\n\n");
    let html = Behaviour { content_type: Some("text/html".to_owned()), ..json("<html>sorry</html>") };
    let moved = Behaviour { status: Some(302), ..json("{}") };
    vec![
        stays(false, "4xx", Behaviour::status(429), "429 standin_status", "none"),
        stays(true, "4xx to a stream", Behaviour::status(400), "400 standin_status", "none"),
        stays(false, "5xx", Behaviour::status(500), "500 standin_status", "none"),
        stays(true, "5xx to a stream", Behaviour::status(503), "503 standin_status", "none"),
        stays(false, "3xx", moved, "302 whole", "none"),
        stays(false, "200 with an error", json(ERROR), "200 overloaded", "none"),
        stays(true, "200 with an error, asked for a stream", json(ERROR), "200 overloaded", "none"),
        stays(true, "stream of nothing but an error", events(&[&error_event, DONE]), "200 whole", "none"),
        stays(
            true,
            "stream that ends in an error",
            events(&[EVENT, &error_event]),
            "200 whole",
            "estimated complete 101 2",
        ),
        stays(false, "200 with an empty body", json(""), "200 whole", "estimated complete 101 0"),
        stays(false, "200 that is no JSON", html, "200 whole", "estimated complete 101 5 answer_unreadable"),
        stays(
            false,
            "gzip against our wish",
            gzip(json(JSON)),
            "200 whole",
            "estimated complete 101 29 answer_unreadable",
        ),
        stays(
            true,
            "gzip stream against our wish",
            gzip(events(&[EVENT, USAGE_EVENT, DONE])),
            "200 whole",
            "estimated complete 101 41 answer_unreadable",
        ),
        Ending {
            provider: Provider::IsDown,
            ..stays(
                false,
                "provider cannot be reached",
                Behaviour::default(),
                "503 upstream_unavailable",
                "none",
            )
        },
        Ending {
            provider: Provider::IsDown,
            ..stays(
                true,
                "provider of a stream cannot be reached",
                Behaviour::default(),
                "503 upstream_unavailable",
                "none",
            )
        },
    ]
}

fn early_answers() -> Vec<Ending> {
    // Without `connection: close` Envoy takes the connection for one that can be used again, behind what the
    // provider has not read: it has written the whole request, into its own buffer.
    let head = |status: &str, length: usize| {
        let fields = "content-type: application/json\r\nconnection: close\r\n";
        format!("HTTP/1.1 {status}\r\n{fields}content-length: {length}\r\n\r\n")
    };
    let whole = head("200 OK", JSON.len()) + JSON;
    let refused = head("413 Content Too Large", ERROR.len()) + ERROR;
    let half = head("200 OK", JSON.len()) + &JSON[..JSON.len() - 40];
    vec![
        early(
            "200 before the request is read, and no more reading",
            whole.clone(),
            Then::StopReading,
            "200 whole",
            "reported complete 90 8",
        ),
        early(
            "200 before the request is read, then read",
            whole,
            Then::StopWriting,
            "200 whole",
            "reported complete 90 8",
        ),
        early(
            "4xx before the request is read, and no more reading",
            refused.clone(),
            Then::StopReading,
            "413 overloaded",
            "none",
        ),
        early(
            "4xx before the request is read, then closed",
            refused,
            Then::StopWriting,
            "413 overloaded",
            "none",
        ),
        early(
            "half an answer before the request is read, then reset",
            half,
            Then::Reset,
            "502 upstream_cut",
            "estimated provider_broke_off 262144 2",
        ),
    ]
}

/// Every ending is one debit or none, and nothing hangs.
pub fn table() {
    let provider = EarlyProvider::start();
    let port = provider.port;
    let world = World::start_with(|builder| {
        builder.change_envoy_config(move |config| {
            // Half an hour of silence is too long for a test.
            assert!(config.contains("stream_idle_timeout: 1800s"));
            let config = config.replace("stream_idle_timeout: 1800s", "stream_idle_timeout: 2s");
            // Nobody listens on port 1.
            let config = move_provider(&config, "groq", 1);
            Ok(move_provider(&config, "mistral", port))
        })
    });
    let mut wrong = Vec::new();
    println!(
        "| ending | the caller saw | entry: provenance, ending, input, output | cost |\n| --- | --- | --- | --- |"
    );
    let endings = [callers(), cuts(), silences(), answers(), failures(), early_answers()].concat();
    for (number, ending) in endings.iter().enumerate() {
        let outcome = drive(&world, &provider, number, ending);
        let Ending { name, saw, entry, .. } = ending;
        println!("| {name} | {} | {} | {} |", outcome.saw, outcome.entry, outcome.cost);
        if (outcome.saw.as_str(), outcome.entry.as_str()) != (*saw, *entry) {
            wrong.push(format!("{name}: {saw}, {entry}; not {}, {}", outcome.saw, outcome.entry));
        }
    }
    world.settle();
    world.replay();
    assert!(wrong.is_empty(), "should have been\n{}", wrong.join("\n"));
}
