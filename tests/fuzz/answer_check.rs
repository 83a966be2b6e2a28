//! What the readers of answers should say: documents, usages and streams, from the whole as serde_json reads it.

use crate::tree::{Node, Value, read};
use crate::{Pieces, equal};
use pax_gateway::document::{Choices, Document, Found, RawUsage};
use pax_gateway::sse::{HELD_MAX, Passed, Scanner};
use pax_gateway::usage::{self, Mode, RAW_MAX};

/// The usage that a document's value stands for.
fn raw_usage(value: Option<&Value>) -> RawUsage {
    match value {
        None => RawUsage::Absent,
        Some(value) if value.is_null() => RawUsage::Null,
        Some(value) if value.raw.len() > RAW_MAX => RawUsage::TooLarge,
        Some(value) => RawUsage::Value(value.raw.clone().into_bytes()),
    }
}

/// A difference that is known: where a document has two lists of choices (`choices` twice, or `data` beside it), an
/// empty one takes the place of one with elements. True where two may stand in one document.
fn has_two_lists(bytes: &[u8], stream: bool) -> bool {
    let count =
        |line: &Line<'_>, name: &[u8]| line.text.windows(name.len()).filter(|part| *part == name).count();
    // The first letter may be an escape; a document may stand on two lines.
    let lists: Vec<usize> =
        lines(bytes).iter().map(|line| count(line, b"hoices\"") + count(line, b"ata\"")).collect();
    lists.iter().sum::<usize>() > 1 && (!stream || two_near(&lists))
}

/// In a stream only lists in one line, or in two that follow each other, can be of one document.
fn two_near(lists: &[usize]) -> bool {
    lists.iter().any(|count| *count > 1) || lists.windows(2).any(|pair| pair[0] + pair[1] > 1)
}

pub fn document(bytes: &[u8], pieces: &Pieces) -> Result<(), String> {
    if has_two_lists(bytes, false) {
        return Ok(());
    }
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
fn has_choices(tree: &Value) -> bool {
    let lists = tree.members().iter().filter(|(key, _)| key == "choices" || key == "data");
    lists.into_iter().any(|(_, value)| !value.items().is_empty())
}

pub fn usage(bytes: &[u8]) -> Result<(), String> {
    for mode in [Mode::Chat, Mode::Embeddings] {
        let told = usage::read(bytes, mode);
        let Some(tree) = read(bytes) else {
            let reads = crate::serde_json_accepts(bytes);
            return if told.is_none() || reads { Ok(()) } else { Err(format!("no JSON, and yet {told:?}")) };
        };
        // Known: in details that are a list, the key of an object before it is still taken for theirs.
        let listed = |name: &str| tree.get(name).is_some_and(|details| !details.items().is_empty());
        if listed("prompt_tokens_details") || listed("completion_tokens_details") {
            return Ok(());
        }
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
        equal("the usage", &told, &counted(&tree, mode))?;
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

fn counted(tree: &Value, mode: Mode) -> Option<Counts> {
    let top = |name: &str| count(tree.get(name));
    let inner = |outer: &str, name: &str| count(tree.get(outer).and_then(|details| details.get(name)));
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

/// What passed of a stream, and what was said.
fn pass(cut: &[&[u8]], takes_out: bool) -> (Vec<u8>, String) {
    let mut scanner = Scanner::new(takes_out);
    let mut passed = Vec::new();
    for piece in cut {
        match scanner.push(piece) {
            Passed::Same => passed.extend_from_slice(piece),
            Passed::Instead(bytes) => passed.extend_from_slice(&bytes),
        }
    }
    passed.extend_from_slice(&scanner.finish());
    (passed, format!("{:?}", scanner.stream))
}

pub fn stream(bytes: &[u8], pieces: &Pieces) -> Result<(), String> {
    if has_two_lists(bytes, true) {
        return Ok(());
    }
    let (passed, said) = pass(&[bytes], true);
    equal("nothing is taken out", &pass(&[bytes], false), &(bytes.to_vec(), said.clone()))?;
    for cut in pieces.of(bytes) {
        let (again, said_again) = pass(&cut, true);
        equal(
            "what passes, however it is cut",
            &again.escape_ascii().to_string(),
            &passed.escape_ascii().to_string(),
        )?;
        equal("what is said, however it is cut", &said_again, &said)?;
        equal("nothing is taken out, however it is cut", &pass(&cut, false).0, &bytes.to_vec())?;
    }
    match without_usage_events(bytes) {
        Some(expected) => {
            equal("what passes", &passed.escape_ascii().to_string(), &expected.escape_ascii().to_string())
        }
        None => Ok(()),
    }
}

/// A line, and its end.
struct Line<'a> {
    text: &'a [u8],
    /// Where it begins, where its text ends, and where its end ends.
    place: (usize, usize, usize),
    ended: bool,
}

fn lines(bytes: &[u8]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let end = match rest.get(length..).unwrap_or_default() {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        lines.push(Line {
            text: &rest[..length],
            place: (start, start + length, start + length + end),
            ended: end > 0,
        });
        start += length + end;
    }
    lines
}

/// The stream less its usage-only events. None where the standard's reading is not what is promised: documents that
/// follow each other without a blank line are read one by one, and a doubled key says two things.
fn without_usage_events(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut event: Vec<Line<'_>> = Vec::new();
    // Known: half a byte order mark is no text to the scanner.
    if bytes.starts_with(b"\xef") && !bytes.starts_with(b"\xef\xbb\xbf") {
        return None;
    }
    for line in lines(bytes) {
        // Known: any line that begins with a d ends the document before it.
        if line.text.starts_with(b"d") && !line.text.starts_with(b"data:") {
            return None;
        }
        let mark_only = line.place.0 == 0 && line.text == b"\xef\xbb\xbf";
        let blank = (line.text.is_empty() || mark_only) && line.ended;
        event.push(line);
        if blank {
            end_event(bytes, &event, &mut out)?;
            event.clear();
        }
    }
    end_event(bytes, &event, &mut out)?;
    Some(out)
}

fn end_event(bytes: &[u8], event: &[Line<'_>], out: &mut Vec<u8>) -> Option<()> {
    let (Some(first), Some(last)) = (event.first(), event.last()) else { return Some(()) };
    // Comments before the first field are no part of the event.
    let comments = event.iter().take_while(|line| line.text.starts_with(b":")).count();
    let begins = event.get(comments).map_or(last.place.2, |line| line.place.0);
    out.extend_from_slice(&bytes[first.place.0..begins]);
    let data = |line: &Line<'_>| {
        let text = line.text.strip_prefix(b"\xef\xbb\xbf").filter(|_| line.place.0 == 0).unwrap_or(line.text);
        let value = text.strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value).to_vec())
    };
    let values: Vec<Vec<u8>> = event.iter().filter_map(data).collect();
    let last_data = event.iter().rev().find(|line| data(line).is_some());
    // Known: a data line after a whole document begins another one, even an empty line.
    if (1..values.len()).any(|count| crate::serde_json_accepts(&values[..count].join(&b'\n'))) {
        return None;
    }
    let whole = read(&values.join(&b'\n'));
    let usage_only = match &whole {
        Some(tree) if tree.depth() > pax_gateway::json::MAX_DEPTH => false,
        Some(tree) => {
            if tree.has_twice() {
                return None;
            }
            let error = tree.get("error").is_some_and(|error| !error.is_null());
            raw_usage(tree.get("usage")).is_reported() && !has_choices(tree) && !error
        }
        None if values.len() > 1 || values.iter().any(|value| crate::serde_json_accepts(value)) => {
            return None;
        }
        None => false,
    };
    let short = last_data.is_some_and(|line| line.place.1 - begins <= HELD_MAX);
    if !(usage_only && short) {
        out.extend_from_slice(&bytes[begins..last.place.2]);
    }
    Some(())
}
