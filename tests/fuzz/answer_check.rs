//! What the readers of answers should say: documents and usages, from the whole as serde_json reads it.

use crate::tree::{Node, Value, read};
use crate::{Pieces, equal};
use pax_gateway::document::{Choices, Document, Found};
use pax_gateway::reported::{At, Judge, RawUsage, Reported};
use pax_gateway::usage::{Mode, RAW_MAX, Rules, Worth};

/// How a usage is judged in these checks.
pub const JUDGE: Judge = Judge { rules: Rules::OpenAi2, mode: Mode::Chat, one_answer: true };

/// A usage that counts, and what it is worth: 3 where the rules read it, 2 where it holds a count, 1 where it is too
/// long to be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub worth: u8,
    pub raw: String,
    /// 0 for a choice's, 1 for Groq's, 2 for the top-level one.
    pub at: u8,
}

impl Told {
    /// What a value at such a place tells.
    fn by(value: &Value, at: u8) -> Self {
        let worth = if value.raw.len() > RAW_MAX {
            1
        } else if counted(value, JUDGE.mode, second).is_some() {
            3
        } else {
            2 * u8::from(holds_a_count(value))
        };
        if worth == 0 { Self::default() } else { Self { worth, raw: value.raw.clone(), at } }
    }

    /// That of a document in which no key stands twice.
    pub fn of(tree: &Value) -> Self {
        let lists = tree.members().iter().filter(|(key, _)| key == "choices" || key == "data");
        let choices = lists.flat_map(|(_, list)| list.items()).filter_map(|choice| choice.get("usage"));
        let mut all: Vec<Self> = choices.map(|usage| Self::by(usage, 0)).collect();
        all.extend(tree.get("x_groq").and_then(|groq| groq.get("usage")).map(|usage| Self::by(usage, 1)));
        all.extend(tree.get("usage").map(|usage| Self::by(usage, 2)));
        // Of several that are alike, the last.
        all.into_iter()
            .filter(|told| told.worth > 0)
            .max_by_key(|told| (told.worth, told.at))
            .unwrap_or_default()
    }

    /// What the reader says.
    pub fn read(reported: &Reported) -> Self {
        let worth = match reported.worth {
            Worth::Nothing => return Self::default(),
            Worth::TooLarge => 1,
            Worth::Unreadable => 2,
            Worth::Readable => 3,
        };
        let at = match reported.at {
            At::Choice => 0,
            At::Groq => 1,
            At::Top => 2,
        };
        let raw = match &reported.raw {
            RawUsage::Value(raw) => String::from_utf8_lossy(raw).into_owned(),
            RawUsage::Absent | RawUsage::TooLarge => String::new(),
        };
        Self { worth, raw, at }
    }

    /// As the reader says it: of what is too long nothing is kept.
    pub fn kept(mut self) -> Self {
        if self.worth == 1 {
            self.raw.clear();
        }
        self
    }
}

/// Whether the top-level usage makes a chunk without choices the usage chunk.
pub fn has_usage(tree: &Value) -> bool {
    tree.get("usage").is_some_and(|usage| Told::by(usage, 2).worth >= 2)
}

/// Whether any of the counts that the rules know is there, even one that cannot be.
fn holds_a_count(usage: &Value) -> bool {
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

/// The text of a document: what is said in each choice, once, as ASCII and other bytes.
pub fn text(tree: &Value) -> [u64; 2] {
    let lists = tree.members().iter().filter(|(key, _)| key == "choices" || key == "data");
    lists.flat_map(|(_, list)| list.items()).map(said).fold([0, 0], plus)
}

fn plus(one: [u64; 2], other: [u64; 2]) -> [u64; 2] {
    [one[0] + other[0], one[1] + other[1]]
}

fn bytes(text: &str) -> [u64; 2] {
    let other = text.bytes().filter(|byte| *byte >= 0x80).count() as u64;
    [text.len() as u64 - other, other]
}

/// The bytes of a member that is a string.
fn string(value: &Value, name: &str) -> [u64; 2] {
    match value.get(name).map(|value| &value.node) {
        Some(Node::String(text)) => bytes(text),
        _ => [0, 0],
    }
}

/// All strings in a value, whatever their names.
fn strings(value: &Value) -> [u64; 2] {
    match &value.node {
        Node::String(text) => bytes(text),
        Node::Array(items) => items.iter().map(strings).fold([0, 0], plus),
        Node::Object(members) => members.iter().map(|(_, value)| strings(value)).fold([0, 0], plus),
        _ => [0, 0],
    }
}

fn longer(one: [u64; 2], other: [u64; 2]) -> [u64; 2] {
    if other[0] + other[1] > one[0] + one[1] { other } else { one }
}

fn first(all: &[[u64; 2]]) -> [u64; 2] {
    all.iter().copied().find(|text| *text != [0, 0]).unwrap_or_default()
}

/// What one choice says, by the names that hold text; of unknown names the oracle says nothing.
fn said(choice: &Value) -> [u64; 2] {
    let object = |name: &str| choice.get(name).filter(|value| matches!(value.node, Node::Object(_)));
    let Some(said) = object("delta").or(object("message")) else { return string(choice, "text") };
    let each = |name: &str, read: &dyn Fn(&Value) -> [u64; 2]| {
        said.get(name).map_or([0, 0], |list| list.items().iter().map(read).fold([0, 0], plus))
    };
    let part = |part: &Value| {
        let thoughts = part.get("thinking").map_or([0, 0], |thoughts| {
            thoughts.items().iter().map(|thought| string(thought, "text")).fold([0, 0], plus)
        });
        ["text", "thinking", "refusal"].iter().map(|name| string(part, name)).fold(thoughts, plus)
    };
    let called =
        |function: &Value| plus(string(function, "name"), function.get("arguments").map_or([0, 0], strings));
    let call = |call: &Value| {
        let custom = call.get("custom");
        let custom = custom.map_or([0, 0], |tool| plus(string(tool, "name"), string(tool, "input")));
        plus(call.get("function").map_or([0, 0], called), custom)
    };
    let detail = |detail: &Value| plus(string(detail, "text"), string(detail, "summary"));
    let reasoning = first(&[
        longer(string(said, "reasoning"), string(said, "reasoning_content")),
        each("reasoning_details", &detail),
    ]);
    let calls = longer(each("tool_calls", &call), said.get("function_call").map_or([0, 0], called));
    let transcript = said.get("audio").map_or([0, 0], |audio| string(audio, "transcript"));
    let whole = [
        string(said, "content"),
        each("content", &part),
        string(said, "refusal"),
        reasoning,
        calls,
        transcript,
    ];
    first(&[whole.into_iter().fold([0, 0], plus), string(choice, "text")])
}

/// Whether a document has text under names that the oracle does not know.
pub fn has_unknown_text(tree: &Value) -> bool {
    const KNOWN: [&str; 12] = [
        "content",
        "refusal",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "audio",
        "tool_calls",
        "function_call",
        "role",
        "id",
        "type",
        "name",
    ];
    let lists = tree.members().iter().filter(|(key, _)| key == "choices" || key == "data");
    lists.flat_map(|(_, list)| list.items()).any(|choice| {
        ["delta", "message"].iter().filter_map(|name| choice.get(name)).any(|said| {
            matches!(said.node, Node::String(_))
                || said
                    .members()
                    .iter()
                    .any(|(key, value)| !KNOWN.contains(&key.as_str()) && strings(value) != [0, 0])
        })
    })
}

pub fn document(bytes: &[u8], pieces: &Pieces) -> Result<(), String> {
    let tell = |cut: &[&[u8]]| -> (bool, bool, Found) {
        let mut document = Document::new(JUDGE);
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
    if tree.has_twice() {
        return Ok(());
    }
    equal("usage", &Told::read(&found.usage), &Told::of(&tree).kept())?;
    equal("whether it is the usage chunk's", &found.has_usage, &has_usage(&tree))?;
    if !has_unknown_text(&tree) {
        equal("text", &[found.text().ascii, found.text().other], &text(&tree))?;
    }
    equal("error", &found.error, &tree.get("error").is_some_and(|error| !error.is_null()))?;
    let id = tree.get("id").filter(|id| matches!(id.node, Node::String(_))).and_then(Value::text);
    equal("id", &found.id.as_deref(), &id.filter(|id| (1..=128).contains(&id.len())))?;
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
struct Counts {
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
type Beside = fn(&Value, bool) -> Option<Counts>;

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

fn second(tree: &Value, apart: bool) -> Option<Counts> {
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
fn counted(tree: &Value, mode: Mode, beside: Beside) -> Option<Counts> {
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
