//! Compares the reader with `serde_json`, on documents and on documents with a few changed bytes.
//!
//! Two differences are intended. A lone surrogate is U+FFFD here: serde_json refuses it in a string that it
//! decodes, and takes it in one that it skips. And [`MAX_DEPTH`] is 128 containers: serde_json builds 127,
//! and has no limit for those that it skips.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic)]
#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a reader told, its pieces joined: how it cuts a text into pieces does not matter.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Key { depth: usize, key: Vec<u8>, at: u64 },
    Begin { depth: usize, kind: Kind, at: u64 },
    Text(Vec<u8>),
    End { depth: usize, kind: Kind, end: u64 },
}

#[derive(Default)]
struct Recorder(Vec<Event>);

impl Sink for Recorder {
    fn key(&mut self, depth: usize, key: &[u8], at: u64) {
        self.0.push(Event::Key { depth, key: key.to_vec(), at });
    }
    fn begin(&mut self, depth: usize, kind: Kind, at: u64) {
        self.0.push(Event::Begin { depth, kind, at });
    }
    fn piece(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            Some(Event::Text(text)) => text.extend(bytes),
            Some(Event::Begin { kind: Kind::String | Kind::Number, .. }) => {
                self.0.push(Event::Text(bytes.to_vec()));
            }
            other => panic!("a piece after {other:?}"),
        }
    }
    fn end(&mut self, depth: usize, kind: Kind, end: u64) {
        self.0.push(Event::End { depth, kind, end });
    }
}

type Told = (Vec<Event>, Result<(), JsonError>);

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Told {
    let (mut reader, mut recorder) = (Reader::default(), Recorder::default());
    for piece in pieces {
        if let Err(error) = reader.push(piece, &mut recorder) {
            assert_eq!(reader.error(), Some(error));
            assert_eq!(reader.push(b"", &mut recorder), Err(error), "a mistake is final");
            assert_eq!(reader.push(b" ", &mut recorder), Err(error), "a mistake is final");
            assert_eq!(reader.finish(&mut recorder), Err(error), "a mistake is final");
            return (recorder.0, Err(error));
        }
    }
    let end = reader.finish(&mut recorder);
    assert_eq!(reader.is_done(), end.is_ok());
    (recorder.0, end)
}

/// What the reader tells of the whole. It must tell the same if the bytes are cut in two at any place, and if
/// they come one by one.
fn read_cut_anywhere(bytes: &[u8]) -> Told {
    let whole = read([bytes]);
    for cut in 0..=bytes.len() {
        assert_eq!(read([&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(read(bytes.chunks(1)), whole, "byte by byte");
    whole
}

fn serde_json_accepts(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok() && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// What the reader should tell of the document `doc`, according to serde_json; `raw` is a value in it.
fn expected(doc: &str, depth: usize, raw: &RawValue, events: &mut Vec<Event>) {
    let text = raw.get();
    let at = offset_in(doc, text);
    let kind = match text.as_bytes()[0] {
        b'{' => Kind::Object,
        b'[' => Kind::Array,
        b'"' => Kind::String,
        b't' => Kind::True,
        b'f' => Kind::False,
        b'n' => Kind::Null,
        _ => Kind::Number,
    };
    events.push(Event::Begin { depth, kind, at: at as u64 });
    match kind {
        Kind::Object => {
            // serde_json tells where the value before ends. The key is the next text in quotes.
            let mut before = at;
            for (key, value) in serde_json::from_str::<Members>(text).unwrap().0 {
                let at = before + doc[before..].find('"').unwrap();
                before = offset_in(doc, value.get()) + value.get().len();
                let mut kept = key.into_bytes();
                kept.truncate(KEY_KEPT);
                events.push(Event::Key { depth: depth + 1, key: kept, at: at as u64 });
                expected(doc, depth + 1, value, events);
            }
        }
        Kind::Array => {
            for value in serde_json::from_str::<Vec<&RawValue>>(text).unwrap() {
                expected(doc, depth + 1, value, events);
            }
        }
        Kind::String => {
            let text: String = serde_json::from_str(text).unwrap();
            if !text.is_empty() {
                events.push(Event::Text(text.into_bytes()));
            }
        }
        Kind::Number => events.push(Event::Text(text.as_bytes().to_vec())),
        Kind::True | Kind::False | Kind::Null => {}
    }
    events.push(Event::End { depth, kind, end: (at + text.len()) as u64 });
}

fn offset_in(doc: &str, part: &str) -> usize {
    part.as_ptr() as usize - doc.as_ptr() as usize
}

/// An object's members in order, with keys that occur twice, and the bytes of each value.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 1 => "[ \t\r\n]{1,4}"]
}

/// A string with its quotes: plain runs around the word length, longer characters, every kind of escape.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ !#-\\[\\]-~\u{7f}]{0,20}",
        2 => "[\u{80}-\u{7ff}\u{800}-\u{d7ff}\u{e000}-\u{ffff}\u{10000}-\u{10ffff}]{1,3}",
        2 => r#"\\["\\/bfnrt]"#,
        2 => any::<char>().prop_map(|c| c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect()),
        1 => any::<char>().prop_map(|c| c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04X}")).collect()),
    ];
    vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn key() -> impl Strategy<Value = String> {
    let long = (KEY_KEPT - 3..KEY_KEPT + 4, "[a-zé]").prop_map(|(n, c)| format!("\"{}\"", c.repeat(n)));
    prop_oneof![8 => string(), 1 => long, 1 => Just("\"model\"".to_owned())]
}

fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        string(),
    ];
    let value = leaf.prop_recursive(6, 24, 4, |inner| {
        let element = (space(), inner, space()).prop_map(|(a, v, b)| format!("{a}{v}{b}")).boxed();
        let name = (space(), key(), space()).prop_map(|(a, k, b)| format!("{a}{k}{b}"));
        let member = (name, element.clone()).prop_map(|(k, v)| format!("{k}:{v}"));
        prop_oneof![
            vec(element, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
            space().prop_map(|s| format!("[{s}]")),
            space().prop_map(|s| format!("{{{s}}}")),
        ]
    });
    (space(), value, space()).prop_map(|(a, v, b)| format!("{a}{v}{b}"))
}

/// A change to a document: a place, what happens there, and a byte for it.
fn change() -> impl Strategy<Value = (Index, u8, u8)> {
    let likely = proptest::sample::select(br#"{}[]",:\u0dD8cC9eE+-. tfn"#.to_vec());
    (any::<Index>(), 0..4u8, prop_oneof![3 => likely, 1 => any::<u8>()])
}

fn changed(doc: &str, changes: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = doc.as_bytes().to_vec();
    for (place, how, byte) in changes {
        let at = place.index(bytes.len() + 1);
        match how {
            0 => bytes.insert(at, *byte),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = *byte,
            3 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_document_is_told_as_serde_json_reads_it_wherever_it_is_cut(doc in document()) {
        let mut events = Vec::new();
        expected(&doc, 0, serde_json::from_str(&doc).unwrap(), &mut events);
        let (told, end) = read_cut_anywhere(doc.as_bytes());
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(told, events);
    }

    #[test]
    fn changed_bytes_are_accepted_exactly_where_serde_json_accepts_them(
        doc in document(),
        changes in vec(change(), 1..4),
    ) {
        let bytes = changed(&doc, &changes);
        let (_, end) = read_cut_anywhere(&bytes);
        prop_assert_eq!(end.is_ok(), serde_json_accepts(&bytes), "{:?}: {:?}", end, bytes.escape_ascii());
    }

    #[test]
    fn an_error_stands_at_the_first_byte_after_which_nothing_helps(
        doc in document(),
        changes in vec(change(), 1..4),
    ) {
        let bytes = changed(&doc, &changes);
        if let (_, Err(JsonError { at, .. })) = read([&bytes[..]]) {
            let at = usize::try_from(at).unwrap();
            prop_assert!(at <= bytes.len());
            let (_, before) = read([&bytes[..at]]);
            // The bytes before the mistake are a document, or the beginning of one.
            prop_assert!(before.is_ok() || before.is_err_and(|error| error.at == at as u64));
        }
    }

    #[test]
    fn any_bytes_at_all_are_read_or_refused(bytes in vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(read_cut_anywhere(&bytes).1.is_ok(), serde_json_accepts(&bytes));
    }

    #[test]
    fn each_bracket_is_closed_by_its_own_down_to_the_deepest(
        kinds in vec(any::<bool>(), 1..MAX_DEPTH + 3),
        wrong in any::<Index>(),
    ) {
        let doc = nested(&kinds);
        let (told, end) = read([doc.as_bytes()]);
        prop_assert_eq!(end.is_ok(), kinds.len() <= MAX_DEPTH);
        if end.is_ok() {
            prop_assert_eq!(told.iter().filter(|event| matches!(event, Event::End { .. })).count(), kinds.len());
            let at = doc.len() - 1 - wrong.index(kinds.len());
            let mut bytes = doc.into_bytes();
            bytes[at] = if bytes[at] == b']' { b'}' } else { b']' };
            let (_, end) = read([&bytes[..]]);
            prop_assert_eq!(end.unwrap_err().at, at as u64);
        }
    }
}

/// Nested containers: true for an object.
fn nested(kinds: &[bool]) -> String {
    let innermost = kinds.len() - 1;
    let open = |(level, object): (usize, &bool)| match (object, level == innermost) {
        (true, false) => "{\"k\":",
        (true, true) => "{",
        (false, _) => "[",
    };
    let close = |object: &bool| if *object { "}" } else { "]" };
    let opened = kinds.iter().enumerate().map(open);
    opened.chain(kinds.iter().rev().map(close)).collect()
}

#[test]
fn the_depth_is_128_containers() {
    for kinds in [[true; MAX_DEPTH + 1], [false; MAX_DEPTH + 1]] {
        let deepest = nested(&kinds[1..]);
        assert_eq!(read([deepest.as_bytes()]).1, Ok(()));
        let deeper = nested(&kinds);
        let at = deeper.rfind(['{', '[']).unwrap() as u64;
        let error = JsonError { at, what: "the JSON is nested too deep" };
        assert_eq!(read([deeper.as_bytes()]).1, Err(error));
        // serde_json skips any depth, and builds one level less.
        assert!(serde_json_accepts(deeper.as_bytes()));
        assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_err());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(&kinds[2..])).is_ok());
    }
    let scalars = format!("{}1,\"x\",null{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert_eq!(read_cut_anywhere(scalars.as_bytes()).1, Ok(()), "at the bottom, values still stand");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    // `¦` marks the place.
    let table: [(&str, &[&str]); 11] = [
        ("the JSON ends early", &["¦", " \n¦", "[1¦", "[1,2¦", "{\"a\"¦", "\"abc¦", "\"\\ud83d¦", "tru¦"]),
        ("a number is not complete", &["-¦", "1.¦", "1e+¦", "[-¦]", "[1.¦]", "[1e¦,2]", "-¦a"]),
        (
            "a comma or a closing bracket is missing",
            &["[-0¦1]", "{\"a\":1¦]", "{\"a\":1 ¦\"b\":2}", "[1 ¦2]", "[1¦}", "[1¦:2]"],
        ),
        ("bytes follow the JSON value", &["0¦1", "1 ¦2", "{}¦}", "null¦\u{feff}"]),
        (
            "a value is missing",
            &[
                "¦\u{feff}{}",
                "[¦,]",
                "[1,¦]",
                "{\"a\":¦}",
                "[¦+1]",
                "[¦.5]",
                "[¦NaN]",
                "[¦'a']",
                "¦/**/1",
                "[¦True]",
            ],
        ),
        ("a key in double quotes is missing", &["{¦a:1}", "{¦1:1}", "{\"a\":1,¦}", "{¦,}"]),
        ("a colon is missing", &["{\"a\" ¦1}", "{\"a\"¦}"]),
        ("a value is neither true, false, null, a number nor a string", &["[nul¦]", "[t¦Rue]"]),
        ("a string has an unknown escape", &["\"\\¦x\"", "\"\\¦U0041\"", "\"\\ud83d\\¦x\""]),
        ("a \\u escape needs four hexadecimal digits", &["\"\\u12¦g4\"", "\"\\ud83d\\u¦\""]),
        (
            "a control character stands in a string unescaped",
            &["\"a¦\nb\"", "\"12345678¦\u{1f}\"", "\"\\ud83d¦\n\"", "{\"¦\u{0}\":1}"],
        ),
    ];
    for (what, docs) in table {
        for marked in docs {
            let doc = marked.replace('¦', "");
            let at = marked.find('¦').unwrap() as u64;
            assert_eq!(read_cut_anywhere(doc.as_bytes()).1, Err(JsonError { at, what }), "{doc:?}");
            assert!(!serde_json_accepts(doc.as_bytes()), "{doc:?}");
        }
    }
}

#[test]
fn a_long_key_is_kept_to_its_first_64_bytes() {
    for len in [63, 64, 65, 5_000] {
        let key = "k".repeat(len);
        let doc = format!("{{\"{key}\":{{\"a\":1}}}}");
        let (told, end) = read([doc.as_bytes()]);
        assert_eq!(end, Ok(()));
        let kept = key.as_bytes()[..len.min(64)].to_vec();
        assert_eq!(told[1], Event::Key { depth: 1, key: kept, at: 1 });
        let a = Event::Key { depth: 2, key: b"a".to_vec(), at: len as u64 + 5 };
        assert_eq!(told[3], a, "the next key has nothing of it");
    }
}

#[test]
fn the_reader_knows_its_place() {
    let (mut reader, mut recorder) = (Reader::default(), Recorder::default());
    let mut place = |bytes: &[u8]| {
        reader.push(bytes, &mut recorder).unwrap();
        (reader.is_fresh(), reader.is_done(), reader.offset())
    };
    assert_eq!(place(b" \n"), (true, false, 2));
    assert_eq!(place(b"["), (false, false, 3));
    assert_eq!(place(b"1"), (false, false, 4));
    assert_eq!(place(b","), (false, false, 5));
    assert_eq!(place(b"2]"), (false, true, 7));
    assert_eq!(place(b"\n"), (false, true, 8));
    assert_eq!(reader.finish(&mut recorder), Ok(()));
    assert_eq!(reader.finish(&mut recorder), Ok(()), "the end may be said twice");
}

#[test]
fn a_number_alone_ends_only_with_the_bytes() {
    let (mut reader, mut recorder) = (Reader::default(), Recorder::default());
    reader.push(b"12", &mut recorder).unwrap();
    assert!(!reader.is_done());
    reader.push(b"3", &mut recorder).unwrap();
    assert_eq!(reader.finish(&mut recorder), Ok(()));
    assert!(reader.is_done());
    let end = Event::End { depth: 0, kind: Kind::Number, end: 3 };
    assert_eq!(recorder.0[1..], [Event::Text(b"123".to_vec()), end]);
    let error = JsonError { at: 3, what: "bytes follow the JSON value" };
    assert_eq!(reader.push(b"4", &mut recorder), Err(error));
}
