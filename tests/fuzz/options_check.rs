//! The options that a request should be said to ask for, and its service tier.

use crate::equal;
use crate::tree::{Node, Value};
use pax_gateway::price::ServiceTier;
use pax_gateway::request::{Buys, Request};
use pax_gateway::usage::Mode;

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
/// The members of a message's part that hold something else than text.
pub const MEDIA: &[&str] =
    &["video_url", "audio_url", "input_audio", "image", "image_embeds", "image_pil", "audio_embeds"];

fn is_string(value: &Value, texts: &[&str]) -> bool {
    matches!(&value.node, Node::String(text) if texts.contains(&text.as_str()))
}

/// The options that are asked for, and which service tier: what each is called, in any order.
pub fn asked(body: &Value, request: &Request, mode: Mode) -> Result<(), String> {
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
