#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;

const JSON: &str = r#"{"id":"c1","choices":[{"message":{"content":"four"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
const STREAM: &str = "data: {\"id\":\"c1\",\"choices\":[{\"delta\":{\"content\":\"four\"}}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n";

/// Reads an answer cut at every byte, always the same: whether it is a stream, what passed, and what it said.
fn read(content_type: &str, wants_stream: bool, body: &[u8]) -> (bool, Vec<u8>, Said) {
    let asked = Asked { wants_stream, takes_out: wants_stream, judge: Judge::default() };
    let read = |cut: usize| {
        let mut answer = Answer::of(content_type.as_bytes(), b"", asked);
        let mut passed = Vec::new();
        for piece in [&body[..cut], &body[cut..]] {
            match answer.push(piece) {
                Passed::Same => passed.extend_from_slice(piece),
                Passed::Instead(instead) => passed.extend_from_slice(&instead),
            }
        }
        passed.extend_from_slice(&answer.finish());
        (answer.is_stream(), passed, answer.said())
    };
    let whole = read(0);
    for cut in 1..body.len() {
        assert_eq!(read(cut), whole, "cut at {cut} of {}", body.escape_ascii());
    }
    whole
}

const TYPES: [&str; 4] = ["text/event-stream", "application/json; charset=utf-8", "", "text/plain"];

#[test]
fn an_answer_is_read_as_what_its_bytes_are() {
    for content_type in TYPES {
        for wants_stream in [false, true] {
            for before in ["", " \r\n\n", "\u{feff}", "\u{feff}\n "] {
                let (is_stream, passed, said) =
                    read(content_type, wants_stream, format!("{before}{JSON}").as_bytes());
                assert!(!is_stream && said.usage.is_reported() && said.text.all() == 4, "{content_type}");
                assert_eq!(passed, format!("{before}{JSON}").as_bytes(), "{content_type}");
                assert!(!said.unreadable);
            }
            for before in ["", "\r\n\n", "\u{feff}", ": wait\n\n", "event: message\n"] {
                let body = format!("{before}{STREAM}{USAGE}data: [DONE]\n\n");
                let (is_stream, passed, said) = read(content_type, wants_stream, body.as_bytes());
                assert!(is_stream && said.usage.is_reported() && said.text.all() == 4, "{content_type}");
                let left = if wants_stream { body.replace(USAGE, "") } else { body };
                assert_eq!(String::from_utf8(passed).unwrap(), left, "{content_type}");
                assert!(!said.unreadable);
            }
        }
    }
}

#[test]
fn the_usage_chunk_is_taken_out_also_where_it_comes_first() {
    for content_type in TYPES {
        for before in ["", "\n", "\u{feff}"] {
            let body = format!("{before}{USAGE}{STREAM}");
            let passed = read(content_type, true, body.as_bytes()).1;
            assert_eq!(String::from_utf8(passed).unwrap(), format!("{before}{STREAM}"), "{content_type}");
        }
    }
}

#[test]
fn the_content_type_is_a_hint_for_bytes_that_say_nothing() {
    for (content_type, wants_stream, is_stream) in [
        ("text/event-stream", false, true),
        ("application/json", true, false),
        ("", true, true),
        ("", false, false),
    ] {
        for body in ["", " ", "\n\n", "\u{feff}"] {
            let (told, passed, said) = read(content_type, wants_stream, body.as_bytes());
            assert_eq!((told, said), (is_stream, Said::default()), "{content_type} {body:?}");
            assert_eq!(passed, body.as_bytes());
        }
    }
}

#[test]
fn what_cannot_be_read_is_counted_by_all_its_bytes() {
    for body in [
        "<html>no gateway</html>",
        "dead end",
        "retrying\nlater",
        "da",
        r#"{"choices":[{"message":{"content":"four"}}]"},"#,
        r#"{"output":"another protocol"}"#,
        "{\"choices\":[]}\n{\"choices\":[]}",
        "\u{e4}\u{f6}\u{fc}",
    ] {
        for content_type in ["application/json", "text/event-stream"] {
            let (is_stream, passed, said) = read(content_type, true, body.as_bytes());
            assert_eq!(passed, body.as_bytes());
            // The ends of lines are no text.
            let lines = body.bytes().filter(|byte| !is_stream || *byte != b'\n').count();
            let all = TextBytes::unread(u64::try_from(lines).unwrap());
            assert_eq!((said.text, said.unreadable), (all, true), "{content_type} {body:?}");
        }
    }
    let mut answer = Answer::of(
        b"application/json",
        b"gzip",
        Asked { wants_stream: false, takes_out: false, judge: Judge::default() },
    );
    assert!(!answer.has_text());
    assert_eq!(answer.push(b"{\"choices\""), Passed::Same);
    assert!(answer.has_text());
    assert_eq!(answer.said().text, TextBytes::unread(10));
}

#[test]
fn events_that_break_are_counted_by_their_bytes_and_what_nobody_knows_only_where_nothing_else_is_said() {
    let foreign = "event: content_block_delta\ndata: {\"delta\":{\"text\":\"four\"}}\n\n";
    for (body, bytes, unreadable) in [
        (format!("{STREAM}data: {{\"choices\":[{{]\n\n"), 4 + 14, true),
        (format!("{STREAM}{foreign}data: hello\n\nfield: x\n\n"), 4, false),
        (foreign.to_owned(), 25, true),
        ("data: hello\n\n".to_owned(), 5, true),
        ("data: [DONE]\n\n".to_owned(), 0, false),
        ("data:[DONE] \n\n: [DONE]\n\nid: [DONE]\n\n".to_owned(), 0, false),
        ("data: [DONE]]\n\n".to_owned(), 7, true),
        ("data: {\"choices\":[]}\n\ndata: hello\n\n".to_owned(), 0, false),
    ] {
        let said = read("text/event-stream", true, body.as_bytes()).2;
        assert_eq!((said.text.all(), said.unreadable), (bytes, unreadable), "{body}");
    }
    let error = "data: {\"error\":{\"message\":\"x\"}}\n\n";
    assert!(read("text/event-stream", true, error.as_bytes()).2.only_error);
    assert!(!read("text/event-stream", true, format!("{error}data: {{,\n\n").as_bytes()).2.only_error);
}

#[test]
fn text_is_seen_as_soon_as_it_comes() {
    let asked = Asked { wants_stream: true, takes_out: true, judge: Judge::default() };
    let mut answer = Answer::of(b"text/event-stream", b"", asked);
    for (piece, has_text) in [
        (": wait\n\n", false),
        ("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n", false),
        ("data: {\"choices\":[{\"delta\":{\"content\":\"", false),
        ("a", true),
        ("\"}}]}\n\n", true),
    ] {
        answer.push(piece.as_bytes());
        assert_eq!(answer.has_text(), has_text, "{piece}");
    }
}
