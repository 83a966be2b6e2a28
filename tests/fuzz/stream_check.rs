//! What a stream should say, and what of it should pass: from its whole events, as the standard and serde_json read them.

use crate::answer_check::{self, JUDGE, has_choices, has_usage};
use crate::tree::{Node, Value, read};
use crate::{Pieces, equal};
use pax_gateway::reading::answer::stream::{EventStream, HELD_MAX, Passed, Scanner};

const MARK: &[u8] = b"\xef\xbb\xbf";

/// What passed of a stream, and what was said.
fn pass(cut: &[&[u8]], takes_out: bool) -> (Vec<u8>, EventStream) {
    let mut scanner = Scanner::new(takes_out, JUDGE);
    let mut passed = Vec::new();
    for piece in cut {
        match scanner.push(piece) {
            Passed::Same => passed.extend_from_slice(piece),
            Passed::Instead(bytes) => passed.extend_from_slice(&bytes),
        }
    }
    passed.extend_from_slice(&scanner.finish());
    (passed, scanner.stream)
}

pub fn check(bytes: &[u8], pieces: &Pieces) -> Result<(), String> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let (passed, said) = pass(&[bytes], true);
    let told = format!("{said:?}");
    let (all, said_of_all) = pass(&[bytes], false);
    equal("nothing is taken out", &text(&all), &text(bytes))?;
    equal("what is said where nothing is taken out", &format!("{said_of_all:?}"), &told)?;
    for cut in pieces.of(bytes) {
        let (again, said_again) = pass(&cut, true);
        equal("what passes, however it is cut", &text(&again), &text(&passed))?;
        equal("what is said, however it is cut", &format!("{said_again:?}"), &told)?;
        equal("nothing is taken out, however it is cut", &text(&pass(&cut, false).0), &text(bytes))?;
    }
    // Of depths that the reader does not take nothing is said here; json_check knows them.
    if bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count()
        >= pax_gateway::base::json::reader::MAX_DEPTH
    {
        return Ok(());
    }
    let (mark, rest) = bytes.split_at(if bytes.starts_with(MARK) { MARK.len() } else { 0 });
    let events = events(rest);
    let left = events.iter().map(|event| event.without_usage()).collect::<Option<Vec<_>>>();
    if let Some(left) = left {
        equal("what passes", &text(&passed), &text(&[mark, &left.concat()].concat()))?;
        without_delay(mark, &events, &left)?;
    }
    match said_by(&events) {
        Some(expected) => {
            let text = expected.text.and(Some([said.text.ascii, said.text.other]));
            equal("what is said", &Told { text, ..Told::of(&said) }, &expected)
        }
        None => Ok(()),
    }
}

/// Whatever passes of an event has passed when its last byte came.
fn without_delay(mark: &[u8], events: &[Event<'_>], left: &[Vec<u8>]) -> Result<(), String> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mut scanner = Scanner::new(true, JUDGE);
    let mut push = |bytes: &[u8]| match scanner.push(bytes) {
        Passed::Same => bytes.to_vec(),
        Passed::Instead(passed) => passed,
    };
    equal("the mark passes at once", &text(&push(mark)), &text(mark))?;
    // The last one has no end of its own.
    for (event, left) in events.iter().zip(left).rev().skip(1).rev() {
        equal("an event passes when it has ended", &text(&push(&event.lines.concat())), &text(left))?;
    }
    Ok(())
}

/// What the oracle knows of a stream.
#[derive(Debug, Default, PartialEq)]
struct Told {
    id: Option<String>,
    usage: answer_check::Told,
    has_choices: bool,
    has_error: bool,
    /// Its text as ASCII and other bytes; none where the oracle knows nothing of it.
    text: Option<[u64; 2]>,
}

impl Told {
    fn of(stream: &EventStream) -> Self {
        let usage = answer_check::Told::read(&stream.usage);
        Self {
            id: stream.id.clone(),
            usage,
            has_choices: stream.has_choices,
            has_error: stream.has_error,
            text: Some([stream.text.ascii, stream.text.other]),
        }
    }
}

/// What all documents say. None where one is broken off, or has a key twice: what is kept of it is no promise.
fn said_by(events: &[Event<'_>]) -> Option<Told> {
    let mut told = Told { text: Some([0, 0]), ..Told::default() };
    for document in events.iter().flat_map(Event::documents) {
        let starts = document.iter().find(|byte| !byte.is_ascii_whitespace());
        let Some(tree) = read(&document) else {
            // What is no object says nothing, whether or not it is JSON.
            if starts == Some(&b'{') {
                return None;
            }
            continue;
        };
        if tree.has_twice() {
            return None;
        }
        let usage = answer_check::Told::of(&tree);
        // A choice's counts only where there is no other, and what is worth less never replaces what is worth more.
        let is_less = usage.at == 0 && told.usage.at > 0 && usage.worth == told.usage.worth;
        if usage.worth > 0 && usage.worth >= told.usage.worth && !is_less {
            told.usage = usage.kept();
        }
        let text = answer_check::text(&tree);
        let known = told.text.filter(|_| !answer_check::has_unknown_text(&tree));
        told.text = known.map(|before| [before[0] + text[0], before[1] + text[1]]);
        let id = tree.get("id").filter(|id| matches!(id.node, Node::String(_))).and_then(Value::text);
        told.id = told.id.or(id.filter(|id| (1..=128).contains(&id.len())).map(str::to_owned));
        told.has_choices |= has_choices(&tree);
        told.has_error |= tree.get("error").is_some_and(|error| !error.is_null());
    }
    Some(told)
}

/// The lines up to a blank one, or to the stream's end.
struct Event<'a> {
    /// Each with its end.
    lines: Vec<&'a [u8]>,
}

fn without_end(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(line.len());
    &line[..end]
}

fn events(bytes: &[u8]) -> Vec<Event<'_>> {
    let mut events = vec![Event { lines: Vec::new() }];
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = without_end(rest).len();
        let end = match rest.get(length..).unwrap_or_default() {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let (line, after) = rest.split_at(length + end);
        events.last_mut().unwrap().lines.push(line);
        if length == 0 {
            events.push(Event { lines: Vec::new() });
        }
        rest = after;
    }
    events
}

impl Event<'_> {
    /// The values of its data lines.
    fn values(&self) -> impl Iterator<Item = &[u8]> {
        let value = |line: &[u8]| match line {
            b"data" => Some(0..0),
            _ => line
                .starts_with(b"data: ")
                .then_some(6)
                .or(line.starts_with(b"data:").then_some(5))
                .map(|at| at..line.len()),
        };
        self.lines.iter().filter_map(move |line| value(without_end(line)).map(|place| &line[place]))
    }

    /// Its documents: one, or more where a line goes on after a whole one or after what is none.
    fn documents(&self) -> Vec<Vec<u8>> {
        let mut documents: Vec<Vec<u8>> = Vec::new();
        for value in self.values() {
            let is_blank = value.iter().all(|byte| matches!(byte, b' ' | b'\t'));
            match documents.last_mut() {
                Some(document) if is_blank || may_go_on(document) => {
                    document.push(b'\n');
                    document.extend_from_slice(value);
                }
                _ => documents.push(value.to_vec()),
            }
        }
        documents
    }

    /// What of it passes, where its usage is taken out. None where a key stands twice.
    fn without_usage(&self) -> Option<Vec<u8>> {
        // Comments before the first field are no part of the event.
        let comments = self.lines.iter().take_while(|line| line.starts_with(b":")).count();
        let (before, lines) = self.lines.split_at(comments);
        let fields = lines.split_last().filter(|(last, _)| without_end(last).is_empty());
        let waits: usize = fields.map_or(lines, |(_, fields)| fields).iter().map(|line| line.len()).sum();
        let tree = match self.documents().as_slice() {
            [document] => read(document),
            _ => None,
        };
        let usage_only = match tree {
            Some(tree) if tree.has_twice() => return None,
            Some(tree) => {
                let error = tree.get("error").is_some_and(|error| !error.is_null());
                has_usage(&tree) && !has_choices(&tree) && !error
            }
            // A lone surrogate is JSON to the scanner, and none to serde_json's reading.
            None if self.documents().iter().any(|document| crate::serde_json_accepts(document)) => {
                match self.documents().len() {
                    1 => return None,
                    _ => false,
                }
            }
            None => false,
        };
        let passes = if usage_only && waits <= HELD_MAX { before } else { self.lines.as_slice() };
        Some(passes.concat())
    }
}

/// Whether more bytes may make it a document: it is none yet, and has no mistake so far.
fn may_go_on(document: &[u8]) -> bool {
    let ended = [document, b"\n"].concat();
    let broken = |text: &str| match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => true,
        Err(error) => !error.is_eof(),
    };
    str::from_utf8(&ended).is_ok_and(|text| !broken(text))
}
