//! Makes cases: documents, requests, usages and streams in the shapes that matter, and mutations of all of them.

use crate::Kind;
use crate::random::Random;
use crate::words::{BYTES, KEYS, NUMBERS, STRINGS};

fn space(random: &mut Random) -> &'static str {
    if random.once_in(6) { random.pick(&[" ", "\n", "\t \r\n", "  "]) } else { "" }
}

/// A key as its quoted text: now and then in another case, with an escape, or very long.
fn key(random: &mut Random) -> String {
    let key = random.pick(KEYS);
    match random.below(24) {
        0 => format!("\"{}\"", key.to_uppercase()),
        1 => format!("\"{}\"", key.replace('s', "\u{17f}").replace('k', "\u{212a}")),
        2 => format!("\"\\u{:04x}{}\"", u32::from(key.as_bytes()[0]), &key[1..]),
        3 => format!("\"{}\"", key.repeat(12)),
        _ => format!("\"{key}\""),
    }
}

pub fn value(random: &mut Random, depth: usize) -> String {
    match random.below(if depth > 5 { 5 } else { 8 }) {
        0 => random.pick(&["null", "true", "false"]).to_owned(),
        1 | 2 => random.pick(NUMBERS).to_owned(),
        3 | 4 => format!("\"{}\"", random.pick(STRINGS)),
        5 => {
            let items: Vec<String> = (0..random.below(4)).map(|_| value(random, depth + 1)).collect();
            format!("[{}{}]", items.join(","), space(random))
        }
        _ => {
            let members: Vec<(String, String)> =
                (0..random.below(5)).map(|_| (key(random), value(random, depth + 1))).collect();
            object(random, &members)
        }
    }
}

fn object(random: &mut Random, members: &[(String, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(key, value)| format!("{}{key}{}:{value}", space(random), space(random)))
        .collect();
    format!("{{{}{}}}", members.join(","), space(random))
}

/// Members, each there most of the time, in any order, and now and then another one or one twice.
fn members(random: &mut Random, likely: &[(&str, String)]) -> String {
    let mut made: Vec<(String, String)> = Vec::new();
    for (name, value) in likely {
        if !random.once_in(4) {
            made.push((format!("\"{name}\""), value.clone()));
        }
    }
    if random.once_in(3) {
        made.push((key(random), value(random, 2)));
    }
    if random.once_in(10) && !made.is_empty() {
        let twice = made[random.below(made.len())].clone();
        made.push(twice);
    }
    for index in (1..made.len()).rev() {
        made.swap(index, random.below(index + 1));
    }
    object(random, &made)
}

fn or_any(random: &mut Random, likely: String) -> String {
    if random.once_in(12) { value(random, 2) } else { likely }
}

fn number(random: &mut Random) -> String {
    if random.once_in(4) { value(random, 4) } else { random.below(5_000).to_string() }
}

pub fn usage(random: &mut Random) -> String {
    let details = |random: &mut Random| {
        let likely = [
            ("cached_tokens", number(random)),
            ("audio_tokens", number(random)),
            ("reasoning_tokens", number(random)),
            ("cache_write_tokens", number(random)),
            ("image_tokens", number(random)),
        ];
        let made = members(random, &likely);
        or_any(random, made)
    };
    let (prompt, completion) = match random.once_in(3) {
        true => ("input_tokens", "output_tokens"),
        false => ("prompt_tokens", "completion_tokens"),
    };
    let likely = [
        (prompt, number(random)),
        (completion, number(random)),
        ("total_tokens", number(random)),
        (
            if random.once_in(2) { "prompt_cache_hit_tokens" } else { "cache_read_input_tokens" },
            number(random),
        ),
        (if random.once_in(2) { "x" } else { "cache_creation_input_tokens" }, number(random)),
        ("prompt_tokens_details", details(random)),
        ("completion_tokens_details", details(random)),
    ];
    let mut likely = likely.to_vec();
    let lifetimes =
        [("ephemeral_5m_input_tokens", number(random)), ("ephemeral_1h_input_tokens", number(random))];
    for (key, value) in [
        ("cached_tokens", number(random)),
        ("cache_creation", members(random, &lifetimes)),
        ("service_tier", random.pick(&["null", "\"priority\"", "7"]).into()),
        ("server_tool_use", format!("{{\"web_search_requests\":{}}}", number(random))),
    ] {
        if random.once_in(4) {
            likely.push((key, value));
        }
    }
    let made = members(random, &likely);
    or_any(random, made)
}

/// A part of a message: text, or something with an address or data in it.
fn part(random: &mut Random) -> String {
    let data = format!("\"{}\"", random.pick(STRINGS));
    let inside = |random: &mut Random, key: &'static str| {
        let object = members(random, &[(key, data.clone())]);
        if random.once_in(3) { data.clone() } else { object }
    };
    let kind =
        random.pick(&["text", "text", "image_url", "file", "thinking", "video_url", "input_audio", "x"]);
    let mut likely = vec![("type", format!("\"{kind}\"")), ("text", "\"hä\\u00e4\"".into())];
    for (name, key) in
        [("image_url", "url"), ("file", "file_data"), ("cache_control", "ttl"), ("video_url", "url")]
    {
        if random.once_in(3) {
            let value = inside(random, key);
            let lives = name == "cache_control" && random.once_in(2);
            likely.push((name, if lives { format!("{{\"ttl\":{}}}", random.pick(LIVES)) } else { value }));
        }
    }
    members(random, &likely)
}

/// What may be said of how long something stays in a provider's cache.
const LIVES: &[&str] = &["\"1h\"", "\"5m\"", "\"1H\"", "null", "60", "{}"];

fn tool(random: &mut Random) -> String {
    let kind = random.pick(&["\"function\"", "\"function\"", "\"custom\"", "\"x\"", "null"]).to_owned();
    let mut likely = vec![("type", kind)];
    let said = ["function", "custom", "strict", "cache_control", "google_search"];
    for (name, value) in said.into_iter().zip(["{\"name\":\"f\"}", "{}", "true", "{\"ttl\":\"1h\"}", "{}"]) {
        if random.once_in(3) {
            likely.push((name, or_any(random, value.to_owned())));
        }
    }
    members(random, &likely)
}

fn request(random: &mut Random) -> String {
    let part = part(random);
    let content = if random.once_in(2) { format!("[{part}]") } else { "\"Hello\"".into() };
    let message = members(random, &[("role", "\"user\"".into()), ("content", content)]);
    let asks = random.pick(&["true", "false", "null", "1"]).to_owned();
    let options = members(random, &[("include_usage", asks), ("continuous_usage_stats", "true".into())]);
    let options = if random.once_in(3) { random.pick(&["null", "{}", "[]"]).into() } else { options };
    let maximum = number(random);
    let mut likely: Vec<(&str, String)> = vec![
        ("model", or_any(random, "\"gpt-5\"".into())),
        ("stream", random.pick(&["true", "true", "false", "null"]).into()),
        ("messages", or_any(random, format!("[{message}]"))),
    ];
    for (key, value) in [
        ("stream_options", options),
        ("max_tokens", maximum),
        ("n", random.pick(&["1", "3", "null", "0", "1.0"]).into()),
        ("tools", format!("[{}]", tool(random))),
        ("max_completion_tokens", number(random)),
        ("prompt_cache_retention", random.pick(&["null", "\"in_memory\"", "\"24h\"", "[]"]).into()),
        ("service_tier", random.pick(&["null", "\"auto\"", "\"default\"", "\"flex\""]).into()),
        ("chat_template_kwargs", members(random, &[("enable_thinking", "true".into()), ("x", "1".into())])),
        ("thinking", members(random, &[("type", "\"enabled\"".into()), ("budget_tokens", "9".into())])),
        ("reasoning", members(random, &[("effort", "\"low\"".into()), ("max_tokens", "9".into())])),
        ("modalities", random.pick(&["[\"text\"]", "[]", "[\"audio\"]", "[\"image\"]"]).into()),
        ("cache_control", format!("{{\"ttl\":{}}}", random.pick(LIVES))),
        ("input", "[\"a\",[1,2]]".into()),
    ] {
        if random.once_in(3) {
            likely.push((key, value));
        }
    }
    members(random, &likely)
}

pub fn document(random: &mut Random) -> String {
    let said = |random: &mut Random| format!("\"{}\"", random.pick(STRINGS));
    let mut written = vec![("role", "\"assistant\"".to_owned()), ("content", said(random))];
    for key in ["reasoning", "reasoning_content", "refusal", "thoughts"] {
        if random.once_in(5) {
            written.push((key, said(random)));
        }
    }
    for (key, value) in [
        ("reasoning_details", format!("[{{\"type\":\"t\",\"text\":{},\"data\":\"x\"}}]", said(random))),
        (
            "tool_calls",
            format!("[{{\"id\":\"c\",\"function\":{{\"name\":\"f\",\"arguments\":{}}}}}]", said(random)),
        ),
        ("function_call", format!("{{\"name\":\"f\",\"arguments\":{}}}", value(random, 4))),
        ("content", format!("[{{\"type\":\"text\",\"text\":{}}}]", said(random))),
        ("audio", format!("{{\"data\":\"x\",\"transcript\":{}}}", said(random))),
    ] {
        if random.once_in(8) {
            written.push((key, value));
        }
    }
    let place = random.pick(&["delta", "delta", "message"]);
    let mut choice = vec![("index", "0".to_owned()), (place, members(random, &written))];
    if random.once_in(8) {
        choice.push(("text", said(random)));
    }
    if random.once_in(12) {
        choice.push(("usage", usage(random)));
    }
    if random.once_in(12) {
        choice.push(("message", members(random, &written)));
    }
    let choice = members(random, &choice);
    let choices = if random.once_in(2) { "[]".to_owned() } else { format!("[{choice}]") };
    let mut likely = vec![("id", "\"c1\"".to_owned()), ("choices", or_any(random, choices))];
    match random.below(4) {
        0 => likely.push(("usage", "null".into())),
        1 | 2 => likely.push(("usage", usage(random))),
        _ => {}
    }
    if random.once_in(8) {
        likely.push(("x_groq", format!("{{\"usage\":{}}}", usage(random))));
    }
    if random.once_in(8) {
        likely.push(("error", random.pick(&["null", "{\"message\":\"x\"}", "\"x\""]).into()));
    }
    if random.once_in(16) {
        likely.push(("data", random.pick(&["[]", "[{}]", "7"]).into()));
    }
    members(random, &likely)
}

/// A document that differs from another in the text of a string, as the chunks of a stream do, or in nothing.
fn retold(random: &mut Random, document: &str) -> String {
    let (said, other) = (random.pick(STRINGS), random.pick(STRINGS));
    document.replace(&format!("\"{said}\""), &format!("\"{other}\""))
}

fn stream(random: &mut Random) -> String {
    let end = random.pick(&["\n", "\n", "\r\n", "\r"]);
    let mut out = String::new();
    if random.once_in(12) {
        out.push('\u{feff}');
    }
    let mut told = document(random);
    for _ in 0..random.below(8) {
        for _ in 0..random.below(3) {
            if random.once_in(3) {
                out.push_str(random.pick(&[
                    ": ping",
                    "event: message",
                    "id: 7",
                    "retry: 3",
                    "data",
                    "datax: 1",
                    ":",
                ]));
                out.push_str(end);
            }
        }
        match random.below(8) {
            0 => out.push_str("data: [DONE]"),
            1 => {
                // A document on several data lines.
                out.push_str("data: ");
                out.push_str(&document(random).replacen(',', &format!(",{end}data:"), 1));
            }
            2 => out.push_str(&format!("data: {{\"choices\":[],\"usage\":{}}}", usage(random))),
            3 if random.once_in(40) => {
                let padding = "y".repeat(16_000 + random.below(800));
                out.push_str(&format!("data: {{\"x\":\"{padding}\",\"choices\":[],\"usage\":{{\"n\":1}}}}"));
            }
            _ => {
                out.push_str(random.pick(&["data: ", "data:", "data:  "]));
                let same = random.once_in(2);
                told = if same { retold(random, &told) } else { document(random) }.replace(['\n', '\r'], " ");
                out.push_str(&told);
            }
        }
        out.push_str(end);
        if !random.once_in(12) {
            out.push_str(if random.once_in(10) { "\n" } else { end });
        }
    }
    out
}

/// A case of this kind.
pub fn make(random: &mut Random, kind: Kind) -> Vec<u8> {
    let mut bytes = match kind {
        Kind::Json => value(random, 0).into_bytes(),
        Kind::Chat | Kind::Embeddings => request(random).into_bytes(),
        Kind::Document => document(random).into_bytes(),
        Kind::Usage => usage(random).into_bytes(),
        Kind::Stream => stream(random).into_bytes(),
        Kind::Pairs => crate::pairs_check::make(random),
    };
    if random.once_in(2) {
        mutate(random, &mut bytes);
    }
    bytes
}

/// Changes a few places: bytes put in, taken out, turned, doubled, moved.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(24)).min(bytes.len());
        match random.below(7) {
            0 => bytes.insert(at, BYTES[random.below(BYTES.len())]),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = BYTES[random.below(BYTES.len())],
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            4 if at < end => drop(bytes.drain(at..end)),
            5 if at < end => {
                let piece = bytes[at..end].to_vec();
                let place = random.below(bytes.len() + 1);
                bytes.splice(place..place, piece);
            }
            6 if random.once_in(20) => {
                let open = random.pick(&["[", "{\"x\":"]);
                let deep = open.repeat(120 + random.below(16));
                bytes.splice(at..at, deep.into_bytes());
            }
            _ => {}
        }
    }
}
