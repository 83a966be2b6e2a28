//! What the request reader should say, from the whole body as serde_json reads it, and what the rewriter should make.

use crate::options_check::{MEDIA, asked};
use crate::tree::{Node, Value, read};
use crate::{Pieces, equal};
use pax_gateway::provider::OutputMaximum::{self, MaxCompletionTokens, MaxTokens};
use pax_gateway::request::Request;
use pax_gateway::request_body::RequestReader;
use pax_gateway::request_edits::{Rewrite, WrittenMaximum, WrittenTier, apply, edited_length};
use pax_gateway::request_error::RequestError;
use pax_gateway::usage::Mode;

type Told = Result<Request, RequestError>;

const TOP: &[&str] = &[
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "service_tier",
    "prompt_cache_retention",
    "messages",
    "input",
    "tools",
    "modalities",
    "audio",
    "chat_template_kwargs",
    "thinking",
    "reasoning",
    "usage",
    "cache_control",
];

const IN_PART: &[&str] = &["type", "text", "refusal", "thinking", "image_url", "file", "cache_control"];

pub fn check(bytes: &[u8], mode: Mode, pieces: &Pieces) -> Result<(), String> {
    let tell = |cut: &[&[u8]]| -> Told {
        let mut reader = RequestReader::new(mode);
        cut.iter().for_each(|piece| reader.push(piece));
        reader.finish()
    };
    let told = tell(&[bytes]);
    for cut in pieces.of(bytes) {
        equal("the request, however it is cut", &tell(&cut), &told)?;
    }
    let Some(tree) = read(bytes) else {
        let lone_surrogate = crate::serde_json_accepts(bytes);
        return if told.is_err() || lone_surrogate { Ok(()) } else { Err(format!("not refused: {told:?}")) };
    };
    let problem = if tree.depth() > pax_gateway::json::MAX_DEPTH { Some("too deep") } else { refused(&tree) };
    match (&told, problem) {
        (Err(_), Some(_)) => Ok(()),
        (Ok(request), None) => {
            asked(&tree, request, mode)?;
            accepted(bytes, &tree, request, mode)
        }
        _ => Err(format!("should be refused because of {problem:?}, and is {told:?}")),
    }
}

/// Whether a provider that folds case reads the key as this one.
fn folds(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars())
}

fn keys_wrong(value: &Value, names: &[&str]) -> bool {
    names.iter().any(|name| {
        let mut found = value.members().iter().filter(|(key, _)| folds(key, name));
        let first = found.next();
        first.is_some_and(|(key, _)| key != name) || found.next().is_some()
    })
}

fn refused(body: &Value) -> Option<&'static str> {
    let Node::Object(_) = body.node else { return Some("no object") };
    if keys_wrong(body, TOP) {
        return Some("a key twice, or in another spelling");
    }
    let get = |name: &str| body.get(name).filter(|value| !value.is_null());
    match get("model").map(|value| &value.node) {
        Some(Node::String(text)) if !text.is_empty() && text.len() <= 256 => {}
        _ => return Some("model"),
    }
    if get("stream").is_some_and(|value| !matches!(value.node, Node::Bool(_))) {
        return Some("stream");
    }
    if let Some(options) = get("stream_options") {
        let asks =
            options.get("include_usage").is_none_or(|value| matches!(value.node, Node::Bool(_) | Node::Null));
        if !matches!(options.node, Node::Object(_)) || keys_wrong(options, &["include_usage"]) || !asks {
            return Some("stream_options");
        }
    }
    let count =
        |value: &Value| matches!(&value.node, Node::Number(text) if text.parse().is_ok_and(|n: u64| n > 0));
    if ["max_tokens", "max_completion_tokens", "n"]
        .iter()
        .any(|name| get(name).is_some_and(|value| !count(value)))
    {
        return Some("a count");
    }
    let n = get("n").and_then(Value::text).and_then(|text| text.parse::<u64>().ok());
    if n > Some(128) {
        return Some("n");
    }
    if get("service_tier").is_some_and(|value| !matches!(value.node, Node::String(_))) {
        return Some("no string");
    }
    if body.get("cache_control").is_some_and(|it| keys_wrong(it, &["ttl"])) {
        return Some("cache_control");
    }
    if ["messages", "tools", "modalities"]
        .iter()
        .any(|name| get(name).is_some_and(|v| !matches!(v.node, Node::Array(_))))
    {
        return Some("no list");
    }
    let items = |name: &str| get(name).map(Value::items).unwrap_or_default();
    let cached = |value: &Value| value.get("cache_control").is_some_and(|it| keys_wrong(it, &["ttl"]));
    for tool in items("tools") {
        if keys_wrong(tool, &["type", "function", "custom", "cache_control"]) || cached(tool) {
            return Some("tools");
        }
    }
    for message in items("messages") {
        if keys_wrong(message, &["content", "audio", "cache_control"]) || cached(message) {
            return Some("messages");
        }
        for part in message.get("content").map(Value::items).unwrap_or_default() {
            let inside = |name: &str, key: &str| part.get(name).is_some_and(|it| keys_wrong(it, &[key]));
            if keys_wrong(part, IN_PART)
                || keys_wrong(part, MEDIA)
                || cached(part)
                || inside("image_url", "url")
                || inside("file", "file_data")
            {
                return Some("parts");
            }
        }
    }
    None
}

fn accepted(bytes: &[u8], tree: &Value, request: &Request, mode: Mode) -> Result<(), String> {
    let text = |name: &str| tree.get(name).and_then(Value::text);
    let count = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    equal("model", &Some(request.model.as_str()), &text("model"))?;
    let streams = matches!(tree.get("stream").map(|v| &v.node), Some(Node::Bool(true)));
    equal("stream", &request.stream, &streams)?;
    let asks = tree.get("stream_options").and_then(|options| options.get("include_usage"));
    equal("asks usage", &request.asks_usage(), &matches!(asks.map(|v| &v.node), Some(Node::Bool(true))))?;
    let stated = [count("max_tokens"), count("max_completion_tokens")];
    equal("maxima", &[MaxTokens, MaxCompletionTokens].map(|field| number(request, field)), &stated)?;
    equal("n", &request.n, &count("n").unwrap_or(1))?;
    equal("bytes", &request.body_bytes, &u64::try_from(bytes.len()).unwrap())?;
    for (model, ask, field, tokens, tier) in [
        (None, true, MaxTokens, None, None),
        (Some("a \"model\" \u{e4}"), false, MaxTokens, Some(7), Some(WrittenTier::TakenOut)),
        (Some("m"), true, MaxCompletionTokens, Some(8), Some(WrittenTier::Standard("on_demand"))),
        (None, false, MaxTokens, Some(9), Some(WrittenTier::Standard("default"))),
    ] {
        let maximum = Some(WrittenMaximum { field, tokens }).filter(|it| it.tokens.is_some());
        let rewrite = Rewrite { upstream_model: model, asks_usage: ask, maximum, service_tier: tier };
        rewritten((bytes, mode), request, &rewrite)?;
    }
    Ok(())
}

fn number(request: &Request, field: OutputMaximum) -> Option<u64> {
    request.maximum(field).and_then(|member| member.number)
}

/// What a rewritten body says, as serde_json reads it.
fn rewritten((bytes, mode): (&[u8], Mode), request: &Request, rewrite: &Rewrite<'_>) -> Result<(), String> {
    let edits = request.edits(rewrite);
    let made = apply(bytes, &edits);
    let length = edited_length(request.body_bytes, &edits);
    equal("length", &length, &u64::try_from(made.len()).unwrap())?;
    let Ok(mut expected) = serde_json::from_slice::<serde_json::Value>(bytes) else { return Ok(()) };
    let Some(members) = expected.as_object_mut() else { return Err("no object".to_owned()) };
    if let Some(model) = rewrite.upstream_model {
        members.insert("model".to_owned(), model.into());
    }
    if let Some(WrittenMaximum { field, tokens: Some(tokens) }) = rewrite.maximum {
        if number(request, field.other()).is_some() {
            members.remove(field.other().name());
        }
        members.insert(field.name().to_owned(), tokens.into());
    }
    match rewrite.service_tier {
        Some(WrittenTier::Standard(word)) => drop(members.insert("service_tier".to_owned(), word.into())),
        Some(WrittenTier::TakenOut) => drop(members.remove("service_tier")),
        None => {}
    }
    if rewrite.asks_usage {
        expected["stream_options"]["include_usage"] = true.into();
    }
    let read: serde_json::Value = serde_json::from_slice(&made)
        .map_err(|error| format!("{rewrite:?} made no JSON: {error}: {}", made.escape_ascii()))?;
    equal("the rewritten body", &read, &expected)?;
    let mut reader = RequestReader::new(mode);
    reader.push(&made);
    let again = reader.finish().map_err(|error| format!("rewritten it is refused: {error:?}"))?;
    equal("asks when rewritten", &again.asks_usage(), &(rewrite.asks_usage || request.asks_usage()))?;
    if let Some(WrittenMaximum { field, tokens }) = rewrite.maximum {
        equal("maximum when rewritten", &number(&again, field), &tokens)?;
        equal("no other maximum", &number(&again, field.other()), &None)?;
    }
    equal("text bytes when rewritten", &again.text, &request.text)?;
    equal("model when rewritten", &again.model.as_str(), &rewrite.upstream_model.unwrap_or(&request.model))
}
