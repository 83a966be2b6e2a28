//! What the readers of answers should say: documents and usages, from the whole as serde_json reads it.

use crate::tree::{Node, Value, read};
use crate::{Pieces, equal};
use pax_gateway::document::{Choices, Document, Found, RawUsage};
use pax_gateway::usage::{Mode, RAW_MAX, Rules};

/// The usage that a document's value stands for.
pub fn raw_usage(value: Option<&Value>) -> RawUsage {
    match value {
        None => RawUsage::Absent,
        Some(value) if value.is_null() => RawUsage::Null,
        Some(value) if value.raw.len() > RAW_MAX => RawUsage::TooLarge,
        Some(value) => RawUsage::Value(value.raw.clone().into_bytes()),
    }
}

pub fn document(bytes: &[u8], pieces: &Pieces) -> Result<(), String> {
    let tell = |cut: &[&[u8]]| -> (bool, bool, Found) {
        let mut document = Document::default();
        for piece in cut {
            document.push(piece);
        }
        (document.is_whole(), document.is_broken(), document.found)
    };
    let told = tell(&[bytes]);
    for cut in pieces.of(bytes) {
        equal("the document, however it is cut", &tell(&cut), &told)?;
    }
    let (whole, _, found) = told;
    let Some(tree) = read(bytes).filter(|tree| tree.depth() <= pax_gateway::json::MAX_DEPTH) else {
        return Ok(());
    };
    let Node::Object(_) = tree.node else { return Ok(()) };
    equal("whole", &whole, &true)?;
    equal("usage", &found.usage, &raw_usage(tree.get("usage")))?;
    if tree.has_twice() {
        return Ok(());
    }
    equal(
        "x_groq.usage",
        &found.groq_usage,
        &raw_usage(tree.get("x_groq").and_then(|groq| groq.get("usage"))),
    )?;
    equal("error", &found.error, &tree.get("error").is_some_and(|error| !error.is_null()))?;
    let id = tree.get("id").filter(|id| matches!(id.node, Node::String(_))).and_then(Value::text);
    equal("id", &found.id.as_deref(), &id.filter(|id| id.len() <= 128))?;
    equal("choices", &(found.choices == Choices::Some), &has_choices(&tree))
}

/// Whether any list of `choices` or `data` has an element.
pub fn has_choices(tree: &Value) -> bool {
    let lists = tree.members().iter().filter(|(key, _)| key == "choices" || key == "data");
    lists.into_iter().any(|(_, value)| !value.items().is_empty())
}

pub fn usage(bytes: &[u8]) -> Result<(), String> {
    for (rules, mode) in
        Rules::ALL.into_iter().flat_map(|rules| [(rules, Mode::Chat), (rules, Mode::Embeddings)])
    {
        let told = rules.read(bytes, mode);
        let Some(tree) = read(bytes) else {
            let reads = crate::serde_json_accepts(bytes);
            return if told.is_none() || reads { Ok(()) } else { Err(format!("no JSON, and yet {told:?}")) };
        };
        // Of keys that stand twice in a provider's own usage nothing is said.
        if tree.has_twice() || tree.depth() > pax_gateway::json::MAX_DEPTH {
            return Ok(());
        }
        let told = told.map(|reading| {
            let usage = reading.usage;
            let counts =
                [usage.input, usage.cached_input, usage.cache_write_input, usage.audio_input, usage.output];
            let counts = counts.map(|tokens| tokens.0);
            (counts, usage.audio_output.0, usage.reasoning_output.0, reading.cached_exceeds_input)
        });
        let expected = match rules {
            Rules::OpenAi1 => counted(&tree, mode),
            Rules::Additional1 => counted_beside(&tree, mode),
        };
        equal(rules.name(), &told, &expected)?;
    }
    Ok(())
}

type Counts = ([u64; 5], u64, u64, bool);

/// A whole number of 63 bits, as `12`, `12.0` or `"12"`.
fn count(value: Option<&Value>) -> Option<u64> {
    let text = value?.text()?;
    let (whole, zeros) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || zeros.is_empty() || zeros.bytes().any(|byte| byte != b'0') {
        return None;
    }
    whole.parse::<u64>().ok().filter(|count| i64::try_from(*count).is_ok())
}

/// A count in the details of this name.
fn inner(tree: &Value, outer: &str, name: &str) -> Option<u64> {
    count(tree.get(outer).and_then(|details| details.get(name)))
}

/// `openai/1`: the parts of the input are inside of it.
fn counted(tree: &Value, mode: Mode) -> Option<Counts> {
    let top = |name: &str| count(tree.get(name));
    let inner = |outer: &str, name: &str| inner(tree, outer, name);
    let (prompt, completion, total) = (top("prompt_tokens"), top("completion_tokens"), top("total_tokens"));
    let input = match (prompt, completion, total) {
        (Some(prompt), _, _) => prompt,
        (None, Some(completion), Some(total)) => total.checked_sub(completion)?,
        (None, None, Some(total)) if mode == Mode::Embeddings => total,
        _ => return None,
    };
    let output = match (completion, total, mode) {
        (Some(completion), _, _) => completion,
        (None, _, Mode::Embeddings) => 0,
        (None, Some(total), Mode::Chat) => total.checked_sub(input)?,
        (None, None, Mode::Chat) => return None,
    };
    // An embeddings answer whose total is all there is has no more of it beyond the input.
    let output = output.max(total.unwrap_or(0).saturating_sub(input));
    let cached =
        inner("prompt_tokens_details", "cached_tokens").or(top("prompt_cache_hit_tokens")).unwrap_or(0);
    let exceeds = cached > input;
    let zero = |outer: &str, name: &str| inner(outer, name).unwrap_or(0);
    let counts = [
        input,
        if exceeds { 0 } else { cached },
        zero("prompt_tokens_details", "cache_write_tokens"),
        zero("prompt_tokens_details", "audio_tokens"),
        output,
    ];
    let details = "completion_tokens_details";
    Some((counts, zero(details, "audio_tokens"), zero(details, "reasoning_tokens"), exceeds))
}

/// `additional/1`: what was cached is beside the prompt.
fn counted_beside(tree: &Value, mode: Mode) -> Option<Counts> {
    let first = |names: [&str; 2]| names.iter().find_map(|name| count(tree.get(name)));
    let prompt = |name: &str| inner(tree, "prompt_tokens_details", name);
    let cached = count(tree.get("cache_read_input_tokens")).or(prompt("cached_tokens")).unwrap_or(0);
    let written =
        count(tree.get("cache_creation_input_tokens")).or(prompt("cache_write_tokens")).unwrap_or(0);
    // Of 64 bits each, in 128.
    let beside =
        first(["prompt_tokens", "input_tokens"]).map(u128::from)? + u128::from(cached) + u128::from(written);
    let input = i64::try_from(beside).ok()?.unsigned_abs();
    let stated = first(["completion_tokens", "output_tokens"]).or((mode == Mode::Embeddings).then_some(0))?;
    let output = stated.max(count(tree.get("total_tokens")).unwrap_or(0).saturating_sub(input));
    let completion = |name: &str| inner(tree, "completion_tokens_details", name).unwrap_or(0);
    let counts = [input, cached, written, prompt("audio_tokens").unwrap_or(0), output];
    Some((counts, completion("audio_tokens"), completion("reasoning_tokens"), false))
}
