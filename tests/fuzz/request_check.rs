//! What the request reader should say, from the whole body as serde_json reads it, and what the rewriter should make.

use crate::tree::{Node, Value, read};
use crate::{Pieces, equal};
use pax_gateway::price::ServiceTier;
use pax_gateway::provider::OutputMaximum;
use pax_gateway::request::{Buys, Request, RequestError, Rewrite, apply, edited_length};
use pax_gateway::request_body::RequestReader;
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
    "messages",
    "input",
    "tools",
    "modalities",
    "audio",
    "web_search_options",
    "search_parameters",
    "search_settings",
    "enable_search",
    "plugins",
    "models",
    "deferred",
];

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
            bought(&tree, request)?;
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
    if get("service_tier").is_some_and(|value| !matches!(value.node, Node::String(_))) {
        return Some("no string");
    }
    if ["messages", "tools", "modalities"]
        .iter()
        .any(|name| get(name).is_some_and(|v| !matches!(v.node, Node::Array(_))))
    {
        return Some("no list");
    }
    let items = |name: &str| get(name).map(Value::items).unwrap_or_default();
    if items("tools").iter().any(|tool| keys_wrong(tool, &["type"])) {
        return Some("tools");
    }
    for message in items("messages") {
        let parts = message.get("content").map(Value::items).unwrap_or_default();
        if keys_wrong(message, &["content", "audio"])
            || parts.iter().any(|part| keys_wrong(part, &["type", "text", "refusal"]))
        {
            return Some("messages");
        }
    }
    None
}

/// Which options change the price, and which service tier is asked for.
fn bought(body: &Value, request: &Request) -> Result<(), String> {
    let get = |name: &str| body.get(name).filter(|value| !value.is_null());
    let items = |name: &str| get(name).map(Value::items).unwrap_or_default();
    let mut expected = Vec::new();
    let mut tier = ServiceTier::Auto;
    match get("service_tier").map(|value| &value.node) {
        None => {}
        Some(Node::String(name)) if name == "auto" => {}
        Some(Node::String(name)) if ["default", "standard", "on_demand"].contains(&name.as_str()) => {
            tier = ServiceTier::Plain;
        }
        Some(Node::String(name)) => {
            tier = ServiceTier::Named(name.clone());
            expected.push(("service_tier", Buys::ServiceTier));
        }
        Some(_) => return Err("a service tier that is no string was let through".to_owned()),
    }
    for name in &TOP[11..] {
        if get(name).is_some_and(|value| !matches!(value.node, Node::Bool(false))) {
            expected.push((name, if *name == "audio" { Buys::AudioOutput } else { Buys::Other }));
        }
    }
    for modality in items("modalities").iter().filter(|value| !is_string(value, &["text"])) {
        let spoken = is_string(modality, &["audio"]);
        expected.push(("modalities", if spoken { Buys::AudioOutput } else { Buys::Other }));
    }
    let function =
        |tool: &Value| tool.get("type").is_some_and(|kind| is_string(kind, &["function", "custom"]));
    if items("tools").iter().any(|tool| !function(tool)) {
        expected.push(("tools", Buys::Other));
    }
    let audio =
        |part: &Value| part.get("type").is_some_and(|kind| is_string(kind, &["input_audio", "audio_url"]));
    let heard = |message: &Value| {
        let parts = message.get("content").map(Value::items).unwrap_or_default();
        parts.iter().any(audio) || message.get("audio").is_some_and(|value| !value.is_null())
    };
    if items("messages").iter().any(heard) {
        expected.push(("messages", Buys::AudioInput));
        equal("not text", &request.not_text, &true)?;
    }
    let mut told: Vec<_> = request.options.iter().map(|option| (option.key, option.buys)).collect();
    for options in [&mut told, &mut expected] {
        options.sort_by_key(|(key, buys)| (*key, *buys as u8));
    }
    expected.dedup();
    equal("what it buys", &told, &expected)?;
    // Of a name longer than any model's, and than any tier's, the rest does not matter.
    let cut = |tier: &ServiceTier| tier.name().map(|name| name.chars().take(64).collect::<String>());
    equal("service tier", &cut(&request.service_tier), &cut(&tier))?;
    equal("no other tier", &(request.service_tier == ServiceTier::Plain), &(tier == ServiceTier::Plain))
}

fn accepted(bytes: &[u8], tree: &Value, request: &Request, mode: Mode) -> Result<(), String> {
    let text = |name: &str| tree.get(name).and_then(Value::text);
    let count = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    equal("model", &Some(request.model.as_str()), &text("model"))?;
    let streams = matches!(tree.get("stream").map(|v| &v.node), Some(Node::Bool(true)));
    equal("stream", &request.stream, &streams)?;
    let asks = tree.get("stream_options").and_then(|options| options.get("include_usage"));
    equal("asks usage", &request.asks_usage(), &matches!(asks.map(|v| &v.node), Some(Node::Bool(true))))?;
    equal("maximum", &request.stated_max_output, &count("max_tokens").max(count("max_completion_tokens")))?;
    equal("n", &request.n, &count("n").unwrap_or(1))?;
    equal("bytes", &request.body_bytes, &u64::try_from(bytes.len()).unwrap())?;
    use OutputMaximum::{MaxCompletionTokens, MaxTokens};
    for (model, ask, maximum) in [
        (None, true, None),
        (Some("a \"model\" \u{e4}"), false, Some((MaxTokens, 7))),
        (Some("m"), true, Some((MaxCompletionTokens, 8))),
        (None, false, Some((MaxTokens, 9))),
    ] {
        let rewrite = Rewrite { upstream_model: model, asks_usage: ask, max_output: maximum };
        let edits = request.edits(&rewrite);
        let made = apply(bytes, &edits);
        let length = edited_length(request.body_bytes, &edits);
        equal("length", &length, &u64::try_from(made.len()).unwrap())?;
        let Ok(mut expected) = serde_json::from_slice::<serde_json::Value>(bytes) else { continue };
        if let Some(model) = model {
            expected["model"] = model.into();
        }
        if ask {
            expected["stream_options"]["include_usage"] = true.into();
        }
        let written = maximum.filter(|_| request.stated_max_output.is_none());
        if let Some((field, tokens)) = written {
            expected[field.name()] = tokens.into();
        }
        let rewritten: serde_json::Value = serde_json::from_slice(&made).map_err(|error| {
            format!("rewritten ({model:?}, {ask}) it is no JSON: {error}: {}", made.escape_ascii())
        })?;
        equal("the rewritten body", &rewritten, &expected)?;
        let mut reader = RequestReader::new(mode);
        reader.push(&made);
        let again = reader.finish().map_err(|error| format!("rewritten it is refused: {error:?}"))?;
        equal("asks when rewritten", &again.asks_usage(), &(ask || request.asks_usage()))?;
        let maximum = written.map(|(_, tokens)| tokens).or(request.stated_max_output);
        equal("maximum when rewritten", &again.stated_max_output, &maximum)?;
        equal("text bytes when rewritten", &again.text_bytes, &request.text_bytes)?;
        equal("model when rewritten", &again.model.as_str(), &model.unwrap_or(&request.model))?;
    }
    Ok(())
}
