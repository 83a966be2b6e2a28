//! What the request reader should say, from the whole body as serde_json reads it, and what the rewriter should make.

use crate::tree::{Node, Value, read};
use crate::{Pieces, equal};
use pax_gateway::price::ServiceTier;
use pax_gateway::provider::OutputMaximum::{self, MaxCompletionTokens, MaxTokens};
use pax_gateway::request::{Buys, Request};
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

/// What every provider is sent, beside those of the keys above that are not its own.
const COMMON: &str = "model messages stream stream_options max_tokens max_completion_tokens n temperature top_p stop seed \
    presence_penalty frequency_penalty logit_bias logprobs top_logprobs response_format tools tool_choice \
    parallel_tool_calls functions function_call user safety_identifier metadata store prompt_cache_key \
    prompt_cache_retention reasoning_effort verbosity modalities service_tier top_k min_p top_a typical_p \
    repetition_penalty";
const COMMON_EMBEDDINGS: &str = "model input encoding_format dimensions user";
/// The members that an object may have.
const SHAPES: &[(&str, &[&str])] = &[
    ("chat_template_kwargs", &["enable_thinking", "thinking"]),
    ("thinking", &["type"]),
    ("reasoning", &["effort", "exclude", "enabled"]),
    ("usage", &["include"]),
];
const MEDIA: &[&str] =
    &["video_url", "audio_url", "input_audio", "image", "image_embeds", "image_pil", "audio_embeds"];
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

fn is_string(value: &Value, texts: &[&str]) -> bool {
    matches!(&value.node, Node::String(text) if texts.contains(&text.as_str()))
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

/// The options that are asked for, and which service tier: what each is called, in any order.
fn asked(body: &Value, request: &Request, mode: Mode) -> Result<(), String> {
    let mut expected = Vec::new();
    top_options(body, mode, &mut expected);
    ttl(body, &mut expected);
    equal("asks for cache writes", &request.caches, &caches(body))?;
    retention(body, &mut expected);
    let tier = tier(body, &mut expected)?;
    tools(body, &mut expected);
    messages(body, &mut expected);
    if request.n > 1 {
        for (name, buys) in &mut expected {
            if name == "stream_options.continuous_usage_stats" {
                *buys = Buys::Other;
            }
        }
    }
    let told: std::collections::BTreeSet<_> =
        request.options.iter().map(|option| (option.name.clone(), option.buys as u8)).collect();
    // A key is told up to its 64th byte.
    let expected: std::collections::BTreeSet<_> =
        expected.into_iter().map(|(name, buys)| (name, buys as u8)).collect();
    if expected.len() <= 64 {
        equal("what it asks for", &told, &expected)?;
    } else {
        equal("that it asks for more", &told.is_empty(), &false)?;
    }
    let cut = |tier: &ServiceTier| tier.name().map(|name| name.chars().take(64).collect::<String>());
    equal("service tier", &cut(&request.service_tier), &cut(&tier))?;
    equal("no other tier", &(request.service_tier == ServiceTier::Plain), &(tier == ServiceTier::Plain))
}

/// A key as far as the reader keeps it.
fn kept(key: &str) -> String {
    String::from_utf8_lossy(key.as_bytes().get(..64).unwrap_or(key.as_bytes())).into_owned()
}

fn top_options(body: &Value, mode: Mode, expected: &mut Vec<(String, Buys)>) {
    let common = if mode == Mode::Chat { COMMON } else { COMMON_EMBEDDINGS };
    for (key, value) in body.members().iter().filter(|(_, value)| !value.is_null()) {
        match key.as_str() {
            "audio" if mode == Mode::Chat => expected.push((kept(key), Buys::AudioOutput)),
            key if !common.split_ascii_whitespace().any(|name| name == key) => {
                expected.push((kept(key), Buys::Provider));
            }
            _ => {}
        }
        let known = SHAPES.iter().find(|(name, _)| name == key);
        if known.is_some() && !matches!(value.node, Node::Object(_)) {
            expected.push((key.clone(), Buys::Other));
        }
        let members = match known {
            Some((_, members)) => *members,
            None if key == "stream_options" => &["include_usage", "include_obfuscation"],
            None => continue,
        };
        for (member, value) in value.members().iter().filter(|(_, value)| !value.is_null()) {
            if !members.contains(&member.as_str()) {
                expected.push((format!("{key}.{}", kept(member)), Buys::Provider));
            } else if key == "chat_template_kwargs" && !matches!(value.node, Node::Bool(_)) {
                expected.push((key.clone(), Buys::Other));
            }
        }
    }
    if mode == Mode::Embeddings && body.get("input").is_some_and(has_object) {
        expected.push(("input".to_owned(), Buys::Other));
    }
    for modality in body.get("modalities").map(Value::items).unwrap_or_default() {
        if !is_string(modality, &["text"]) {
            let buys = match &modality.node {
                Node::String(name) if name == "audio" => Buys::AudioOutput,
                Node::String(name) if name == "image" => Buys::ImageOutput,
                _ => Buys::Other,
            };
            expected.push(("modalities".to_owned(), buys));
        }
    }
}

fn has_object(value: &Value) -> bool {
    matches!(value.node, Node::Object(_)) || value.items().iter().any(has_object)
}

fn tier(body: &Value, expected: &mut Vec<(String, Buys)>) -> Result<ServiceTier, String> {
    match body.get("service_tier").map(|value| &value.node) {
        None | Some(Node::Null) => Ok(ServiceTier::Auto),
        Some(Node::String(name)) if name == "auto" => Ok(ServiceTier::Auto),
        Some(Node::String(name)) if ["default", "standard", "on_demand"].contains(&name.as_str()) => {
            Ok(ServiceTier::Plain)
        }
        Some(Node::String(name)) => {
            expected.push(("service_tier".to_owned(), Buys::ServiceTier));
            Ok(ServiceTier::Named(name.clone()))
        }
        Some(_) => Err("a service tier that is no string was let through".to_owned()),
    }
}

fn retention(body: &Value, expected: &mut Vec<(String, Buys)>) {
    match body.get("prompt_cache_retention").map(|value| &value.node) {
        None | Some(Node::Null) => {}
        Some(Node::String(life)) if life == "in_memory" || life == "in-memory" => {}
        Some(_) => expected.push(("prompt_cache_retention".to_owned(), Buys::LongCacheWrite)),
    }
}

fn has(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(|value| !value.is_null())
}

fn ttl(value: &Value, expected: &mut Vec<(String, Buys)>) {
    let buys = match value.get("cache_control").and_then(|it| it.get("ttl")).map(|ttl| &ttl.node) {
        None | Some(Node::Null) => return,
        Some(Node::String(life)) if life == "5m" => return,
        Some(Node::String(life)) if life == "1h" => Buys::CacheWrite1h,
        Some(_) => Buys::Other,
    };
    expected.push(("cache_control.ttl".to_owned(), buys));
}

/// Whether anything in the body is marked for the provider's cache.
fn caches(body: &Value) -> bool {
    let items = |value: &Value, name: &str| value.get(name).map(Value::items).unwrap_or_default().to_vec();
    let marked = |value: &Value| has(value, "cache_control");
    let message = |it: &Value| marked(it) || items(it, "content").iter().any(marked);
    marked(body) || items(body, "tools").iter().any(marked) || items(body, "messages").iter().any(message)
}

fn tools(body: &Value, expected: &mut Vec<(String, Buys)>) {
    for tool in body.get("tools").map(Value::items).unwrap_or_default() {
        for (key, _) in tool.members().iter().filter(|(_, value)| !value.is_null()) {
            if !["type", "function", "custom", "strict", "cache_control"].contains(&key.as_str()) {
                expected.push((format!("tools.{}", kept(key)), Buys::Other));
            }
        }
        ttl(tool, expected);
        let known = tool.get("type").is_some_and(|kind| is_string(kind, &["function", "custom"]));
        if !known || (has(tool, "function") && has(tool, "custom")) {
            expected.push(("tools".to_owned(), Buys::Other));
        }
    }
}

fn messages(body: &Value, expected: &mut Vec<(String, Buys)>) {
    for message in body.get("messages").map(Value::items).unwrap_or_default() {
        ttl(message, expected);
        if has(message, "audio") {
            expected.push(("messages.audio".to_owned(), Buys::AudioInput));
        }
        let Some(content) = message.get("content") else { continue };
        if matches!(content.node, Node::Object(_)) {
            expected.push(("messages.content".to_owned(), Buys::Other));
        }
        for part in content.items() {
            part_of(part, expected);
        }
    }
}

fn part_of(part: &Value, expected: &mut Vec<(String, Buys)>) {
    ttl(part, expected);
    let named = |name: &str| format!("messages.content.{name}");
    match part.get("type").map(|kind| &kind.node) {
        Some(Node::String(kind)) => match kind.as_str() {
            "text" | "refusal" | "input_text" | "output_text" | "thinking" => {
                if MEDIA.iter().chain(&["image_url", "file"]).any(|key| has(part, key)) {
                    expected.push(("messages.content".to_owned(), Buys::Other));
                }
            }
            "image_url" | "input_image" | "file" => {
                if MEDIA.iter().any(|key| has(part, key)) {
                    expected.push(("messages.content".to_owned(), Buys::Other));
                }
            }
            "input_audio" | "audio_url" | "video_url" | "input_video" => {
                expected.push((named(kind), Buys::AudioInput));
            }
            other => expected.push((named(&other.chars().take(257).collect::<String>()), Buys::Other)),
        },
        None if !matches!(part.node, Node::Object(_)) => {}
        _ => expected.push(("messages.content".to_owned(), Buys::Other)),
    }
    let text = |value: Option<&Value>| match value.map(|value| &value.node) {
        Some(Node::String(text)) => Some(text.trim_ascii_start().to_ascii_lowercase()),
        _ => None,
    };
    let picture = part.get("image_url");
    for address in [text(picture), text(picture.and_then(|it| it.get("url")))].into_iter().flatten() {
        if address.starts_with("data:") && !address.starts_with("data:image/") {
            expected.push((named("image_url"), Buys::AudioInput));
        }
    }
    let read = ["data:application/pdf", "data:text/", "data:image/"];
    if let Some(data) = text(part.get("file").and_then(|file| file.get("file_data")))
        && !read.iter().any(|kind| data.starts_with(kind))
    {
        expected.push((named("file"), Buys::AudioInput));
    }
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
