//! Requests of 20 MiB and answers of 40 MB: metered, passed byte for byte, and Envoy's memory stays what it was.

use crate::Case;
use crate::common::http::{Answer, chat, request};
use crate::common::prices::reprice;
use crate::common::world::{MODEL, TOKEN, World};
use crate::h2c;
use pax_standin::Behaviour;

pub const CASES: &[Case] = &[
    ("a vision prompt of 20 MB arrives as it was sent, by length, in chunks, over HTTP/2", vision_prompts),
    ("a body at the limit passes, one byte more is refused, by length, in chunks, over HTTP/2", limit),
    ("a streamed body at the limit passes, though it is longer once it is rewritten", limit_rewritten),
    ("an embeddings answer of 40 MB passes byte for byte and is metered by its end", vectors),
    ("the memory of Envoy is after thirty calls of 20 and 40 MB what it was after five", memory),
];

/// The filter's limits.request_bytes.
const LIMIT: usize = 20 * 1024 * 1024;
/// What the filter writes into a streamed body.
const ASKED: &str = r#""stream_options":{"include_usage":true},"#;
/// The context window of the model that is asked.
const WINDOW: u64 = 131_072;
/// What the embedder counts of two short texts.
const TOKENS: u64 = 9;
const EMBEDDER: &str = "nomic-ai/nomic-embed-text-v1.5";

/// How a request's body is framed.
#[derive(Clone, Copy, Debug)]
pub enum Framing {
    Length,
    Chunked,
    Http2,
}

pub const FRAMINGS: [Framing; 3] = [Framing::Length, Framing::Chunked, Framing::Http2];

pub fn send(world: &World, framing: Framing, body: &str) -> Answer {
    let mut connection = world.connect();
    match framing {
        Framing::Length => connection.call(&chat(TOKEN, body)),
        Framing::Http2 => h2c::post(world.stack.gateway_port(), "/v1/chat/completions", body),
        Framing::Chunked => {
            let bearer = format!("Bearer {TOKEN}");
            let headers: [(&str, &[u8]); 2] =
                [("authorization", bearer.as_bytes()), ("transfer-encoding", b"chunked")];
            let mut bytes = request("POST", "/v1/chat/completions", &headers, None);
            for piece in body.as_bytes().chunks(100_003) {
                bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            connection.call(&bytes)
        }
    }
}

/// A prompt with a picture, so many bytes in all; and its `messages`.
fn vision(stream: bool, bytes: usize) -> (String, String) {
    let frame = |picture: &str| {
        let text = r#"{"type":"text","text":"What is in this picture?"}"#;
        let url =
            format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{picture}"}}}}"#);
        let messages = format!(r#"[{{"role":"user","content":[{text},{url}]}}]"#);
        (format!(r#"{{"model":"{MODEL}","stream":{stream},"messages":{messages}}}"#), messages)
    };
    // No two stretches of it are equal, so that a piece in the wrong place shows.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(alphabet[usize::try_from(state % 64).unwrap()])
    };
    let picture: String = (0..bytes - frame("").0.len()).map(next).collect();
    frame(&picture)
}

/// The call is answered, arrived as `expected`, and is priced by what the stand-in reports, or by the estimate where that
/// is more than the model's context window holds.
fn assert_metered(world: &World, answer: &Answer, expected: &str, messages: &str, what: &str) {
    assert!(answer.status == 200 && answer.complete, "{what}: {} {}", answer.status, answer.text());
    let received = world.take_received();
    assert_eq!(received.len(), 1, "{what}");
    assert!(received[0].body == expected, "{what}: the prompt arrived otherwise than it was sent");
    assert_eq!(received[0].header("content-length"), Some(expected.len().to_string().as_str()), "{what}");
    let entry = world.entry(&answer.header("x-matrix-exchange-id"));
    // The stand-in counts a token per four bytes of `messages`, whatever its model's window.
    let reported = u64::try_from(messages.len().div_ceil(4)).unwrap();
    let fits = reported <= WINDOW;
    let provenance = if fits { "reported" } else { "estimated" };
    let flags: &[&str] = if fits { &[] } else { &["usage_impossible"] };
    assert_eq!((&entry["provenance"], &entry["ending"]), (&provenance.into(), &"complete".into()), "{what}");
    assert_eq!(entry["flags"], serde_json::json!(flags), "{what}");
    assert_eq!(entry["usage"]["prompt_tokens"], reported, "{what}");
    assert!(!fits || entry["tokens_input"] == reported, "{what}");
    assert!(entry["tokens_input"].as_u64().unwrap() <= WINDOW, "{what}");
    assert_eq!(entry["cost_pax"], reprice(&entry).as_str(), "{what}");
}

/// The body as the provider should receive it.
fn rewritten(body: &str) -> String {
    body.replacen('{', &format!("{{{ASKED}"), 1)
}

fn vision_prompts(world: &mut World) {
    for stream in [false, true] {
        let (body, messages) = vision(stream, 20_000_000);
        let expected = if stream { rewritten(&body) } else { body.clone() };
        for framing in FRAMINGS {
            let answer = send(world, framing, &body);
            let what = format!("{framing:?}, stream: {stream}");
            assert_metered(world, &answer, &expected, &messages, &what);
        }
    }
}

fn limit(world: &mut World) {
    world.settle();
    for framing in FRAMINGS {
        let (body, messages) = vision(false, LIMIT);
        let answer = send(world, framing, &body);
        assert_metered(world, &answer, &body, &messages, &format!("{framing:?}"));
        let before = world.entries().len();
        for (beyond, stream) in [(1, false), (1, true), (400_000, false)] {
            let (body, _) = vision(stream, LIMIT + beyond);
            let answer = send(world, framing, &body);
            let what = format!("{framing:?}, {beyond} bytes beyond, stream: {stream}");
            assert_eq!(answer.refusal(), "413 request_too_large", "{what}");
            assert_eq!(answer.header("x-should-retry"), "false", "{what}");
        }
        assert!(world.take_received().is_empty(), "{framing:?}: a refused request went on");
        world.settle();
        assert_eq!(world.entries().len(), before, "{framing:?}");
    }
}

fn limit_rewritten(world: &mut World) {
    for framing in FRAMINGS {
        for bytes in [LIMIT - ASKED.len(), LIMIT - 1, LIMIT] {
            let (body, messages) = vision(true, bytes);
            let answer = send(world, framing, &body);
            assert_metered(world, &answer, &rewritten(&body), &messages, &format!("{framing:?}, {bytes}"));
        }
    }
}

/// An embeddings answer of so many bytes at least, its usage at its end; and its tokens.
fn vectors_of(bytes: usize) -> (String, u64) {
    let mut body = String::with_capacity(bytes + 1000);
    body.push_str(r#"{"object":"list","data":["#);
    let mut index = 0u64;
    while body.len() < bytes {
        if index > 0 {
            body.push(',');
        }
        body.push_str(&format!(r#"{{"object":"embedding","index":{index},"embedding":["#));
        for place in 0..768u64 {
            let separator = if place > 0 { "," } else { "" };
            body.push_str(&format!("{separator}-0.0{}", (index * 769 + place) * 7919 % 1_000_003));
        }
        body.push_str("]}");
        index += 1;
    }
    let usage =
        format!(r#"],"model":"{EMBEDDER}","usage":{{"prompt_tokens":{TOKENS},"total_tokens":{TOKENS}}}}}"#);
    body.push_str(&usage);
    (body, TOKENS)
}

fn embed(world: &World, body: &str) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_bytes()), ("content-type", b"application/json")];
    world.connect().call(&request("POST", "/v1/embeddings", &headers, Some(body.as_bytes())))
}

fn vectors(world: &mut World) {
    let (body, tokens) = vectors_of(40_000_000);
    let asked = format!(r#"{{"model":"{EMBEDDER}","input":["a","b"]}}"#);
    for (content_length, write_bytes) in [(true, None), (false, None), (false, Some(vec![70_001, 1, 300]))] {
        let what = format!("length: {content_length}, writes: {write_bytes:?}");
        world.behave(Behaviour {
            body: Some(body.clone()),
            content_length: Some(content_length),
            write_bytes,
            ..Behaviour::default()
        });
        let answer = embed(world, &asked);
        assert!(answer.status == 200 && answer.complete, "{what}: {}", answer.status);
        assert!(answer.body == body.as_bytes(), "{what}: {} bytes of {}", answer.body.len(), body.len());
        let entry = world.entry(&answer.header("x-matrix-exchange-id"));
        assert_eq!(
            (&entry["provenance"], &entry["ending"]),
            (&"reported".into(), &"complete".into()),
            "{what}"
        );
        assert_eq!((&entry["tokens_input"], &entry["tokens_output"]), (&tokens.into(), &0.into()), "{what}");
        assert_eq!(entry["cost_pax"], reprice(&entry).as_str());
    }
}

/// Envoy's resident memory, in KiB.
fn resident(world: &World) -> u64 {
    let (_, id) = world.stack.processes().into_iter().find(|(name, _)| *name == "Envoy").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

fn memory(world: &mut World) {
    if !std::path::Path::new("/proc/self/status").exists() {
        println!("not shown: this system does not tell a process's memory");
        return;
    }
    let (plain, streamed) = (vision(false, LIMIT - 1000).0, vision(true, LIMIT - 1000).0);
    let asked = format!(r#"{{"model":"{EMBEDDER}","input":"a"}}"#);
    let (vectors, _) = vectors_of(40_000_000);
    let mut after = Vec::new();
    for number in 0..30 {
        match number % 3 {
            0 | 1 => {
                world.standin.reset();
                let body = if number % 3 == 0 { &plain } else { &streamed };
                let answer = send(world, FRAMINGS[number / 3 % 3], body);
                assert!(answer.status == 200 && answer.complete, "{} {}", answer.status, answer.text());
            }
            _ => {
                world.behave(Behaviour { body: Some(vectors.clone()), ..Behaviour::default() });
                let answer = embed(world, &asked);
                assert!(answer.complete && answer.body.len() == vectors.len(), "{}", answer.status);
            }
        }
        world.standin.clear_received();
        after.push(resident(world) / 1024);
    }
    println!("Envoy's resident memory after each call, in MiB: {after:?}");
    // What the allocator keeps for the next call comes and goes; what leaked would be there after every one.
    let early = after[..10].iter().max().unwrap();
    let late = after[25..].iter().min().unwrap();
    assert!(
        *late <= early + 40,
        "{early} MiB in the first ten calls, {late} MiB in the last five: {after:?}"
    );
}
