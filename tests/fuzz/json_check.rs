//! The reader itself: accepted exactly where serde_json accepts, and told as serde_json reads.

use crate::tree::{Node, Value, read};
use crate::{Pieces, equal};
use pax_gateway::base::json::reader::{JsonError, KEY_KEPT, Kind, MAX_DEPTH, Reader, Sink};

/// What a reader told, pieces joined, offsets included.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Key(usize, Vec<u8>),
    Begin(usize, Kind, u64),
    Text(Vec<u8>),
    End(usize, Kind, u64),
}

#[derive(Default)]
struct Recorder(Vec<Event>);

impl Sink for Recorder {
    fn key(&mut self, depth: usize, key: &[u8], _: u64) {
        self.0.push(Event::Key(depth, key.to_vec()));
    }
    fn begin(&mut self, depth: usize, kind: Kind, at: u64) {
        self.0.push(Event::Begin(depth, kind, at));
    }
    fn piece(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            Some(Event::Text(text)) => text.extend(bytes),
            _ => self.0.push(Event::Text(bytes.to_vec())),
        }
    }
    fn end(&mut self, depth: usize, kind: Kind, end: u64) {
        self.0.push(Event::End(depth, kind, end));
    }
}

fn tell(cut: &[&[u8]]) -> (Vec<Event>, Result<(), JsonError>) {
    let (mut reader, mut recorder) = (Reader::default(), Recorder::default());
    for piece in cut {
        if let Err(error) = reader.push(piece, &mut recorder) {
            return (recorder.0, Err(error));
        }
    }
    let end = reader.finish(&mut recorder);
    (recorder.0, end)
}

pub fn check(bytes: &[u8], pieces: &Pieces) -> Result<(), String> {
    let told = tell(&[bytes]);
    for cut in pieces.of(bytes) {
        equal("the events, however it is cut", &tell(&cut), &told)?;
    }
    let too_deep = matches!(told.1, Err(JsonError { what: "the JSON is nested too deep", .. }));
    if too_deep {
        let brackets = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
        return if brackets > MAX_DEPTH {
            Ok(())
        } else {
            Err(format!("{brackets} brackets are not too deep"))
        };
    }
    equal("accepted", &told.1.is_ok(), &crate::serde_json_accepts(bytes))?;
    if let Some(tree) = read(bytes).filter(|_| told.1.is_ok()) {
        let mut events = Vec::new();
        expected(&tree, 0, &mut events);
        let places_left_out = |event: Event| match event {
            Event::Begin(depth, kind, _) => Event::Begin(depth, kind, 0),
            Event::End(depth, kind, _) => Event::End(depth, kind, 0),
            other => other,
        };
        let told: Vec<Event> = told.0.into_iter().map(places_left_out).collect();
        equal("the events", &told, &events)?;
    }
    Ok(())
}

fn expected(value: &Value, depth: usize, events: &mut Vec<Event>) {
    let kind = match &value.node {
        Node::Null => Kind::Null,
        Node::Bool(true) => Kind::True,
        Node::Bool(false) => Kind::False,
        Node::Number(_) => Kind::Number,
        Node::String(_) => Kind::String,
        Node::Array(_) => Kind::Array,
        Node::Object(_) => Kind::Object,
    };
    events.push(Event::Begin(depth, kind, 0));
    for (key, value) in value.members() {
        let mut key = key.clone().into_bytes();
        key.truncate(KEY_KEPT);
        events.push(Event::Key(depth + 1, key));
        expected(value, depth + 1, events);
    }
    value.items().iter().for_each(|value| expected(value, depth + 1, events));
    if let Some(text) = value.text().filter(|text| !text.is_empty()) {
        events.push(Event::Text(text.as_bytes().to_vec()));
    }
    events.push(Event::End(depth, kind, 0));
}
