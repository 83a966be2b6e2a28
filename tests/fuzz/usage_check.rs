//! What the rules should count of a raw usage, from the whole as serde_json reads it.

use crate::equal;
use crate::tree::{Node, Value, read};
use pax_gateway::usage::{Mode, Rules};

/// Whether any of the counts that the rules know is there, even one that cannot be.
pub fn holds_a_count(usage: &Value) -> bool {
    let is_count = |value: Option<&Value>| {
        count(value).is_some() || value.is_some_and(|value| matches!(value.node, Node::Number(_)))
    };
    const OUTER: [&str; 9] = [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "input_tokens",
        "output_tokens",
        "prompt_cache_hit_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cached_tokens",
    ];
    const INNER: [(&str, &[&str]); 3] = [
        ("prompt_tokens_details", &["cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"]),
        ("completion_tokens_details", &["audio_tokens", "image_tokens", "reasoning_tokens"]),
        ("cache_creation", &["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]),
    ];
    OUTER.iter().any(|name| is_count(usage.get(name)))
        || INNER.iter().any(|(outer, names)| {
            names.iter().any(|name| is_count(usage.get(outer).and_then(|details| details.get(name))))
        })
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
            Counts {
                input: usage.input.0,
                cached: usage.cached_input.0,
                written: usage.cache_write_input.0,
                hour: usage.cache_write_1h_input.0,
                audio: [usage.audio_input.0, usage.audio_output.0],
                images: [usage.image_input.0, usage.image_output.0],
                output: usage.output.0,
                reasoning: usage.reasoning_output.0,
                exceeds: reading.cached_exceeds_input,
                tier: reading.service_tier,
                writes_cost: reading.writes_cost,
                tools: reading.server_tools,
            }
        });
        let expected = match rules {
            Rules::OpenAi1 => counted(&tree, mode, inside_first),
            Rules::Additional1 => counted_beside(&tree, mode, apart_first),
            Rules::OpenAi2 => counted(&tree, mode, second),
            Rules::Additional2 => counted_beside(&tree, mode, second),
        };
        equal(rules.name(), &told, &expected)?;
    }
    Ok(())
}

/// All that a usage says.
#[derive(Debug, Default, PartialEq)]
pub struct Counts {
    input: u64,
    cached: u64,
    written: u64,
    hour: u64,
    audio: [u64; 2],
    images: [u64; 2],
    output: u64,
    reasoning: u64,
    exceeds: bool,
    tier: Option<String>,
    writes_cost: bool,
    tools: bool,
}

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

/// What a set of rules reads beside prompt, completion and total: cached, where it is told by a provider that has it
/// apart (by one that has it inside), and what was written.
pub type Beside = fn(&Value, bool) -> Option<Counts>;

fn inside_first(tree: &Value, _: bool) -> Option<Counts> {
    let cached =
        inner(tree, "prompt_tokens_details", "cached_tokens").or(count(tree.get("prompt_cache_hit_tokens")));
    let written = inner(tree, "prompt_tokens_details", "cache_write_tokens");
    Some(Counts { cached: cached.unwrap_or(0), written: written.unwrap_or(0), ..Counts::default() })
}

fn apart_first(tree: &Value, _: bool) -> Option<Counts> {
    let prompt = |name: &str| inner(tree, "prompt_tokens_details", name);
    let cached = count(tree.get("cache_read_input_tokens")).or(prompt("cached_tokens"));
    let written = count(tree.get("cache_creation_input_tokens")).or(prompt("cache_write_tokens"));
    Some(Counts { cached: cached.unwrap_or(0), written: written.unwrap_or(0), ..Counts::default() })
}

/// A tier's name is kept up to 65 bytes.
fn kept_tier(name: &str) -> String {
    let bytes = name.as_bytes();
    String::from_utf8_lossy(&bytes[..bytes.len().min(65)]).into_owned()
}

/// What the second sets of rules read.
pub fn second(tree: &Value, apart: bool) -> Option<Counts> {
    let prompt = |name: &str| inner(tree, "prompt_tokens_details", name);
    let cached = match apart {
        true => count(tree.get("cache_read_input_tokens")).or(prompt("cached_tokens")),
        false => prompt("cached_tokens").or(count(tree.get("prompt_cache_hit_tokens"))),
    };
    let lifetime = |name: &str| u128::from(inner(tree, "cache_creation", name).unwrap_or(0));
    let (short, hour) = (lifetime("ephemeral_5m_input_tokens"), lifetime("ephemeral_1h_input_tokens"));
    let stated = count(tree.get("cache_creation_input_tokens")).or(prompt("cache_creation_input_tokens"));
    let whole = match stated.or(prompt("cache_write_tokens")) {
        Some(whole) => u128::from(whole).max(hour),
        None => short + hour,
    };
    let whole = i64::try_from(whole).ok()?.unsigned_abs();
    let hour = u64::try_from(hour).ok()?;
    let tools = tree.get("server_tool_use");
    let uses = tools.into_iter().chain(
        tools
            .into_iter()
            .flat_map(|tools| tools.items().iter().chain(tools.members().iter().map(|(_, value)| value))),
    );
    let creation = tree.get("cache_creation").is_some_and(|value| matches!(value.node, Node::Object(_)));
    let tier = tree.get("service_tier").filter(|tier| matches!(tier.node, Node::String(_)));
    Some(Counts {
        cached: cached.or(count(tree.get("cached_tokens"))).unwrap_or(0),
        written: whole - hour,
        hour,
        images: [
            prompt("image_tokens").unwrap_or(0),
            inner(tree, "completion_tokens_details", "image_tokens").unwrap_or(0),
        ],
        tier: tier.and_then(Value::text).map(kept_tier),
        writes_cost: creation || stated.is_some(),
        tools: uses.into_iter().any(|value| count(Some(value)).is_some_and(|count| count > 0)),
        ..Counts::default()
    })
}

/// `openai`: the parts of the input are inside of it.
pub fn counted(tree: &Value, mode: Mode, beside: Beside) -> Option<Counts> {
    let top = |name: &str| count(tree.get(name));
    let zero = |outer: &str, name: &str| inner(tree, outer, name).unwrap_or(0);
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
        (None, Some(total), _) => total.checked_sub(input)?,
        (None, None, _) => return None,
    };
    let beside = beside(tree, false)?;
    let exceeds = beside.cached > input;
    Some(Counts {
        input,
        cached: if exceeds { 0 } else { beside.cached },
        audio: [
            zero("prompt_tokens_details", "audio_tokens"),
            zero("completion_tokens_details", "audio_tokens"),
        ],
        // An embeddings answer whose total is all there is has no more of it beyond the input.
        output: output.max(total.unwrap_or(0).saturating_sub(input)),
        reasoning: zero("completion_tokens_details", "reasoning_tokens"),
        exceeds,
        ..beside
    })
}

/// `additional`: what was cached is beside the prompt.
fn counted_beside(tree: &Value, mode: Mode, beside: Beside) -> Option<Counts> {
    let first = |names: [&str; 2]| names.iter().find_map(|name| count(tree.get(name)));
    let zero = |outer: &str, name: &str| inner(tree, outer, name).unwrap_or(0);
    let beside = beside(tree, true)?;
    // Of 64 bits each, in 128.
    let parts = [beside.cached, beside.written, beside.hour].map(u128::from).iter().sum::<u128>();
    let input = first(["prompt_tokens", "input_tokens"]).map(u128::from)? + parts;
    let input = i64::try_from(input).ok()?.unsigned_abs();
    let stated = first(["completion_tokens", "output_tokens"]).or((mode == Mode::Embeddings).then_some(0))?;
    Some(Counts {
        input,
        audio: [
            zero("prompt_tokens_details", "audio_tokens"),
            zero("completion_tokens_details", "audio_tokens"),
        ],
        output: stated.max(count(tree.get("total_tokens")).unwrap_or(0).saturating_sub(input)),
        reasoning: zero("completion_tokens_details", "reasoning_tokens"),
        ..beside
    })
}
