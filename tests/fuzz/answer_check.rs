//! What the readers of answers should say of a document, from the whole as serde_json reads it.

use crate::tree::{Node, Value, read};
use crate::usage_check::{counted, holds_a_count, second};
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
