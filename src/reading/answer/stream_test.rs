#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice
)]

use super::*;
use crate::reading::answer::reported::RawUsage;
use proptest::prelude::*;

const CHUNK: &str =
    r#"{"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":"häi"}}],"usage":null}"#;
const USAGE: &str = r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;

/// Pushes the pieces; gives what passed and what was said.
fn pass(pieces: &[&[u8]], takes_out: bool) -> (Vec<u8>, EventStream) {
    let mut scanner = Scanner::new(takes_out, Judge::default());
    let mut passed = Vec::new();
    for piece in pieces {
        match scanner.push(piece) {
            Passed::Same => passed.extend_from_slice(piece),
            Passed::Instead(bytes) => passed.extend_from_slice(&bytes),
        }
        assert!(scanner.held.len() <= HELD_MAX + piece.len());
    }
    passed.extend_from_slice(&scanner.finish());
    (passed, scanner.stream)
}

/// Pushes a stream whole, cut in two at every byte, and byte by byte: always the same passes.
fn check(stream: &str, expected: &str) -> EventStream {
    let bytes = stream.as_bytes();
    let (_, said) = pass(&[bytes], true);
    for cut in 0..bytes.len() {
        let (passed, again) = pass(&[&bytes[..cut], &bytes[cut..]], true);
        assert_eq!(String::from_utf8_lossy(&passed), expected, "cut at {cut} of {stream:?}");
        assert_eq!(format!("{again:?}"), format!("{said:?}"), "cut at {cut} of {stream:?}");
        let (passed, again) = pass(&[&bytes[..cut], &bytes[cut..]], false);
        assert_eq!(passed, bytes, "nothing is taken out, cut at {cut} of {stream:?}");
        assert_eq!(format!("{again:?}"), format!("{said:?}"));
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let (passed, again) = pass(&single, true);
    assert_eq!(String::from_utf8_lossy(&passed), expected, "byte by byte: {stream:?}");
    assert_eq!(format!("{again:?}"), format!("{said:?}"));
    said
}

/// Chunks as they come, with `{text}` in them.
const EVENTS: &[&str] = &[
    "data: {\"id\":\"c1\",\"choices\":[{\"delta\":{\"content\":\"{text}\"}}]}\n\n",
    "data: {\"id\":\"c{text}\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
    "data:{\"choices\":[{\"delta\":{\"content\":\"{text}\"}}],\"obfuscation\":\"{text}{text}\",\"usage\":null}\n\n",
    "data:  {\"service_tier\":\"{text}\",\"choices\":[{\"delta\":{\"reasoning\":\"{text}\",\"content\":\"{text}\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"role\":\"{text}\",\"tool_calls\":[{\"id\":\"{text}\",\"arguments\":\"{text}\"}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"{text}\"}}],\"usage\":{\"prompt_tokens\":1,\"x\":\"{text}\"}}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"{text}\"}}],\"x_groq\":{\"id\":\"{text}\"}}\r\n\r\n",
    "data: {\"choices\":[{\"{text}\":{\"content\":\"x\"},\"text\":\"{text}\"}],\"a\":\"{text}\",\"b\":\"{text}\"}\n\n",
    "data: {\"a\":\"{text}\",\"choices\":[{\"delta\":{\"1\":\"{text}\",\"2\":\"\",\"3\":\"\",\"4\":\"\",\"5\":\"\",\"6\":\"\",\"7\":\"{text}\",\"8\":\"{text}\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning\":\"{text}\",\"reasoning_content\":\"{text}\"},\"text\":\"{text}\"}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"thoughts\":\"{text}\",\"content\":\"\",\"reasoning_details\":[{\"text\":\"{text}\"}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning\":\"{text}\"}},{\"delta\":{\"reasoning_content\":\"{text}\"}}]}\n\n",
    "data: {\"choices\":[{\"message\":{\"content\":\"{text}\"},\"delta\":{\"content\":\"{text}\"}}]}\n\n",
    "event: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"{text}\"}}]}\n\n",
    "data:\ndata: {\"choices\":[{\"delta\":{\"content\":\"{text}\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"{text}\"}}]}\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"{text}\"}}],\"error\":\"{text}\"}\n\n",
    "data: {usage}\n\n",
    ": ping\n\n",
    "\r\n",
];
/// What a model writes, and what cannot be in a JSON string; `?` becomes a byte that is not UTF-8.
const TEXTS: &[&str] = &[
    "",
    " word",
    " and 9 bytes",
    "ä",
    "\u{1f600}",
    "\\n",
    "\\\"}]}",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\ud83d\\n",
    "\\u00e4",
    "\"",
    "\\",
    "\\x",
    "\u{1}",
    "?",
    "\n",
    "\\u12",
    " a text that is longer than a word is, and longer than eight",
    "\\\\",
];

/// Puts the data of the two kinds of events in the place of `{chunk}` and `{usage}`.
fn fill(text: &str) -> String {
    text.replace("{chunk}", CHUNK).replace("{usage}", USAGE)
}

#[test]
fn exactly_the_usage_chunk_is_taken_out() {
    for (stream, expected) in [
        ("data: {chunk}\n\ndata: {usage}\n\ndata: [DONE]\n\n", "data: {chunk}\n\ndata: [DONE]\n\n"),
        (
            "data: {chunk}\r\n\r\ndata: {usage}\r\n\r\ndata: [DONE]\r\n\r\n",
            "data: {chunk}\r\n\r\ndata: [DONE]\r\n\r\n",
        ),
        ("data: {chunk}\r\rdata: {usage}\r\rdata: [DONE]\r\r", "data: {chunk}\r\rdata: [DONE]\r\r"),
        ("data:{chunk}\n\ndata:{usage}\n\n", "data:{chunk}\n\n"),
        ("data: {usage}\n\ndata: {chunk}\n\n", "data: {chunk}\n\n"),
        ("\u{feff}data: {usage}\n\ndata: {chunk}\n\n", "\u{feff}data: {chunk}\n\n"),
        ("\u{feff}: hi\ndata: {usage}\n\n", "\u{feff}: hi\n"),
        ("\u{feff}\u{feff}data: {usage}\n\n", "\u{feff}\u{feff}data: {usage}\n\n"),
        ("\n\u{feff}data: {usage}\n\n", "\n\u{feff}data: {usage}\n\n"),
        (
            ": hi\n\ndata: {chunk}\n\n: ping\ndata: {usage}\n\n: bye\n\n",
            ": hi\n\ndata: {chunk}\n\n: ping\n: bye\n\n",
        ),
        (": hi\r\ndata: {usage}\r\n\r\n: bye\r\n\r\n", ": hi\r\n: bye\r\n\r\n"),
        (
            "event: message\nid: 7\ndata: {chunk}\n\nevent: message\nid: 8\ndata: {usage}\n\n",
            "event: message\nid: 7\ndata: {chunk}\n\n",
        ),
        ("\n\n\ndata: {chunk}\n\n\n\ndata: {usage}\n\n\n", "\n\n\ndata: {chunk}\n\n\n\n\n"),
        ("data: {chunk}\n\ndata: {usage}", "data: {chunk}\n\n"),
        ("data: {chunk}\n\ndata: {usage}\n", "data: {chunk}\n\n"),
        (
            "data: {chunk}\n\ndata: {\"choices\":[],\"usage\":{\"a\":",
            "data: {chunk}\n\ndata: {\"choices\":[],\"usage\":{\"a\":",
        ),
        ("data: {chunk}\n\ndata: [DONE]", "data: {chunk}\n\ndata: [DONE]"),
        ("retry: 10\n\ndata: {chunk}\n\n", "retry: 10\n\ndata: {chunk}\n\n"),
        ("data\ndata: {usage}\n\ndatax: 1\n\n", "datax: 1\n\n"),
        ("data: {usage}\ndata\ndata:\ndata:  \n\ndata: {chunk}\n\n", "data: {chunk}\n\n"),
        ("data: {usage}\ndatax: 1\nd\ndelta: 2\n\ndata: {chunk}\n\n", "data: {chunk}\n\n"),
        ("", ""),
    ] {
        check(&fill(stream), &fill(expected));
    }
}

#[test]
fn a_chunk_that_is_more_than_usage_stays() {
    for data in [
        r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"{"usage":{"prompt_tokens":1,"completion_tokens":1},"choices":[{"delta":{}}]}"#,
        r#"{"choices":[],"usage":null}"#,
        r#"{"choices":[],"usage":{}}"#,
        r#"{"choices":[],"usage":[]}"#,
        r#"{"choices":[],"usage":"x"}"#,
        r#"{"choices":[],"usage":0}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":null}}"#,
        r#"{"choices":[{"usage":{"prompt_tokens":1,"completion_tokens":1}}]}"#,
        r#"{"choices":[],"prompt_filter_results":[]}"#,
        r#"{"choices":[],"error":{"message":"x"},"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"{"choices":[{"delta":{"content":"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}"}}]}"#,
        r#"{"error":{"message":"x","usage":{"prompt_tokens":1}}}"#,
        "not json",
        "[DONE]",
        "",
        "{",
        "7",
    ] {
        let stream = format!("data: {data}\n\ndata: [DONE]\n\n");
        check(&stream, &stream);
    }
    let stream =
        "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":1,\ndata: \"completion_tokens\":2}}\n\n";
    let said = check(stream, "");
    assert!(said.usage.raw.is_reported(), "a document may stand on several data lines");
}

#[test]
fn the_last_usage_that_is_not_null_wins_and_text_adds_up() {
    let said = check(
        &fill(
            "data: {chunk}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: {chunk}\n\n",
        ),
        &fill(
            "data: {chunk}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: {chunk}\n\n",
        ),
    );
    let last = br#"{"prompt_tokens":1,"completion_tokens":2}"#;
    assert_eq!(said.usage.raw, RawUsage::Value(last.to_vec()));
    assert_eq!(said.id.as_deref(), Some("c1"));
    assert_eq!(said.text, TextBytes { ascii: 2 + 1 + 2, other: 4 });
    assert!(said.has_choices && !said.has_error);
}

#[test]
fn without_blank_lines_documents_are_read_all_the_same_and_all_of_them_pass() {
    for stream in [
        "data: {chunk}\ndata: {usage}\ndata: [DONE]\n",
        "data: {usage}\ndata: {chunk}\n\n",
        "data: {usage}\ndata: [DONE]\n\n",
        "data: {usage}\ndata: 7\n\n",
        "data: {\"id\":\"c1\"}\ndata: {usage}\n\n",
        "data: oops\ndata: {usage}\n\n",
        "data: {usage}\ndata: {usage}\n\n",
    ] {
        let stream = fill(stream);
        assert!(check(&stream, &stream).usage.raw.is_reported(), "{stream}");
    }
    // On one line they are no document, and the second one begins none.
    let stream = fill("data: oops {usage}\n\n");
    assert_eq!(check(&stream, &stream).usage.raw, RawUsage::Absent);
}

#[test]
fn the_first_id_that_is_one_counts() {
    let stream = "data: {\"id\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\ndata: {\"id\":\"c1\",\"choices\":[{}]}\n\ndata: {\"id\":\"c2\",\"choices\":[{}]}\n\n";
    assert_eq!(check(stream, stream).id.as_deref(), Some("c1"));
}

/// Bytes that are not UTF-8 are pushed as they are.
#[test]
fn half_a_byte_order_mark_is_text_like_any_other() {
    for mark in [&b"\xef"[..], b"\xef\xbb", b"\xef\xbb\xef"] {
        for rest in ["\n", "data: {usage}\n\n", "\ndata: {usage}\n\n"] {
            let stream = [mark, fill(rest).as_bytes()].concat();
            // The first line is a field that nobody knows, and a field belongs to its event.
            let taken = rest.starts_with("\nd");
            for cut in 0..=stream.len() {
                let (passed, said) = pass(&[&stream[..cut], &stream[cut..]], true);
                assert_eq!(passed, if taken { &b""[..] } else { &stream }, "{mark:?} {rest:?}, cut at {cut}");
                assert_eq!(said.usage.raw.is_reported(), taken, "{mark:?} {rest:?}, cut at {cut}");
            }
        }
    }
}

#[test]
fn an_event_never_waits_longer_than_it_must() {
    let mut scanner = Scanner::new(true, Judge::default());
    let start = r#"data: {"id":"c1","choices":["#;
    assert_eq!(
        scanner.push(start.as_bytes()),
        Passed::Instead(Vec::new()),
        "it could still be the usage chunk"
    );
    let released = format!("{start}{{");
    assert_eq!(scanner.push(b"{"), Passed::Instead(released.into_bytes()), "it has a choice: it cannot be");
    assert_eq!(scanner.push(br#""delta":{"content":"a"#), Passed::Same);
    assert_eq!(scanner.push(b"\"}}]}\n\n"), Passed::Same);
    let long = format!("data: {{\"x\":\"{}", "y".repeat(HELD_MAX));
    assert_eq!(scanner.push(long.as_bytes()), Passed::Same, "an event too long to be it does not wait");
    // Nor does an event wait if something else than its data is too long.
    let mut longs = vec![format!("id: {}\n", "y".repeat(HELD_MAX))];
    longs
        .extend(["id: 7\n", "data\n", "data:\n", "data:  \r\n", "d\r"].map(|line| line.repeat(HELD_MAX / 2)));
    for long in longs {
        let stream = format!("{long}data: {USAGE}\n\n");
        for size in [1000, stream.len()] {
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            assert!(pass(&pieces, true).0 == stream.as_bytes(), "{}", &long[..8]);
        }
    }
}

#[test]
fn long_events_pass_as_they_came_and_the_usage_chunk_between_them_goes() {
    for size in [1_000, 15_000, HELD_MAX, 1_000_000] {
        let text = "ä".repeat(size / 2);
        let long = format!(r#"data: {{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#);
        let stream = format!("{long}\n\ndata: {USAGE}\n\n{long}\n\n");
        let expected = format!("{long}\n\n{long}\n\n");
        for piece in [1, 1_021, 65_536, stream.len()] {
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(piece).collect();
            let (passed, said) = pass(&pieces, true);
            assert!(passed == expected.as_bytes(), "{size} bytes in pieces of {piece}");
            let other = u64::try_from(2 * text.len()).unwrap();
            assert!(said.usage.raw.is_reported() && said.text == TextBytes { ascii: 0, other });
        }
    }
}

proptest! {
    #[test]
    fn chunks_that_differ_only_in_their_text_are_read_at_once_as_byte_by_byte(
        events in prop::collection::vec((0usize..EVENTS.len(), 0usize..TEXTS.len(), 1usize..6), 1..12),
        piece in 40usize..2_000,
    ) {
        let stream: String = events
            .iter()
            .flat_map(|(event, text, times)| {
                let text = move |time: usize| TEXTS[(*text + time) % TEXTS.len()];
                (0..*times).map(move |time| fill(&EVENTS[*event].replace("{text}", text(time))))
            })
            .collect();
        let bytes: Vec<u8> = stream.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
        for takes_out in [true, false] {
            let (passed, said) = pass(&bytes.chunks(1).collect::<Vec<_>>(), takes_out);
            for pieces in [bytes.chunks(piece).collect(), vec![bytes.as_slice()]] {
                let (again, said_again) = pass(&pieces, takes_out);
                prop_assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&passed));
                prop_assert_eq!(format!("{said_again:?}"), format!("{said:?}"));
            }
        }
    }

    #[test]
    fn any_stream_cut_anywhere_passes_the_same(
        parts in prop::collection::vec(prop::sample::select(vec![
            "data: ", "data:", "{chunk}", "{usage}", "\n", "\r\n", "\r", "\n\n", ": c", "event: x", "[DONE]", "{", "}", "\"", "\u{feff}", "x",
        ]), 0..24),
        cuts in prop::collection::vec(0usize..600, 0..5),
    ) {
        let text = fill(&parts.concat());
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.push(0);
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let (whole, said) = pass(&[bytes], true);
        let (passed, again) = pass(&pieces, true);
        prop_assert_eq!(String::from_utf8_lossy(&passed), String::from_utf8_lossy(&whole));
        prop_assert_eq!(format!("{again:?}"), format!("{said:?}"));
        if !text.contains(USAGE) {
            prop_assert_eq!(&whole, bytes, "only the usage chunk may go");
        }
    }
}
