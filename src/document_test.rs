#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;

/// Reads a document cut at every byte: always the same.
fn find(text: &str) -> Found {
    let bytes = text.as_bytes();
    let read = |cut: usize| {
        let mut document = Document::default();
        document.push(&bytes[..cut]);
        document.push(&bytes[cut..]);
        document.found
    };
    let whole = read(0);
    for cut in 1..bytes.len() {
        assert_eq!(read(cut), whole, "cut at {cut} of {text}");
    }
    whole
}

fn usage(text: &str) -> RawUsage {
    find(text).take_usage()
}

fn value(text: &str) -> RawUsage {
    RawUsage::Value(text.as_bytes().to_vec())
}

#[test]
fn the_raw_usage_is_kept_byte_for_byte() {
    assert_eq!(
        usage(r#"{"usage" : { "prompt_tokens":1, "x":[1.50, "é\n"] } }"#),
        value(r#"{ "prompt_tokens":1, "x":[1.50, "é\n"] }"#)
    );
    assert_eq!(usage(r#"{"us\u0061ge":{"a":1}}"#), value(r#"{"a":1}"#), "escaped keys");
    assert_eq!(usage(r#"{"usage":7}"#), value("7"));
    assert_eq!(usage(r#"{"usage":null}"#), RawUsage::Null.as_counted());
    assert_eq!(usage("{}"), RawUsage::Absent);
    assert_eq!(usage(r#"{"usage":{"a":1},"usage":{"a":2}}"#), value(r#"{"a":2}"#), "the last of two");
    let large = format!(r#"{{"usage":{{"a":"{}"}}}}"#, "x".repeat(RAW_MAX));
    assert_eq!(usage(&large), RawUsage::TooLarge);
    let fits = format!(r#"{{"usage":"{}"}}"#, "x".repeat(RAW_MAX - 2));
    assert!(matches!(usage(&fits), RawUsage::Value(raw) if raw.len() == RAW_MAX));
}

impl RawUsage {
    /// `null` is as good as nothing once a document is done.
    fn as_counted(&self) -> RawUsage {
        if self.is_reported() { self.clone() } else { RawUsage::Absent }
    }
}

#[test]
fn groqs_usage_counts_where_there_is_no_other() {
    assert_eq!(usage(r#"{"x_groq":{"id":"r","usage":{"a":1}}}"#), value(r#"{"a":1}"#));
    assert_eq!(usage(r#"{"x_groq":{"usage":{"a":1}},"usage":null}"#), value(r#"{"a":1}"#));
    assert_eq!(usage(r#"{"usage":{"a":2},"x_groq":{"usage":{"a":1}}}"#), value(r#"{"a":2}"#));
}

#[test]
fn decoys_are_no_usage() {
    for text in [
        r#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}","usage":{"a":1}}}]}"#,
        r#"{"a":{"usage":{"b":1}}}"#,
        r#"{"x_groq":{"a":{"usage":{"b":1}}}}"#,
        r#"[{"usage":{"b":1}}]"#,
        r#"{"choices":[{"usage":{"b":1}}]}"#,
    ] {
        assert_eq!(usage(text), RawUsage::Absent, "{text}");
    }
}

#[test]
fn text_is_what_the_model_wrote() {
    for (text, bytes) in [
        (r#"{"choices":[{"message":{"role":"assistant","content":"h\u00e4i"}}]}"#, 4),
        (r#"{"choices":[{"delta":{"reasoning_content":"ab","content":"c"}},{"delta":{"content":"d"}}]}"#, 4),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
            8,
        ),
        (r#"{"choices":[{"text":"abc"}]}"#, 3),
        (r#"{"choices":[{"delta":{"audio":{"id":"a","data":"UklGRg==","transcript":"four"}}}]}"#, 4),
        (r#"{"choices":[{"delta":{"content":null},"finish_reason":"stop"}],"id":"xxxx","model":"yyyy"}"#, 0),
        (r#"{"delta":{"content":"decoy"},"x":[{"delta":{"content":"decoy"}}]}"#, 0),
    ] {
        assert_eq!(find(text).text_bytes, bytes, "{text}");
    }
}

#[test]
fn choices_errors_and_the_id_are_seen() {
    let found = find(r#"{"id":"ch\u0061t","choices":[],"error":null}"#);
    assert_eq!((found.id.as_deref(), found.choices, found.error), (Some("chat"), Choices::Empty, false));
    let found = find(r#"{"id":7,"choices":[{}],"error":{"message":"x"}}"#);
    assert_eq!((found.id, found.choices, found.error), (None, Choices::Some, true));
    assert_eq!(find(r#"{"data":[{"embedding":[0.1]}]}"#).choices, Choices::Some);
    for text in [r#"{"choices":[{}],"data":[]}"#, r#"{"data":[],"choices":[{}],"choices":[]}"#] {
        assert_eq!(find(text).choices, Choices::Some, "an empty list takes none away: {text}");
    }
    for (tier, name) in [
        (r#""default""#, Some("default")),
        ("null", None),
        ("7", None),
        (r#""fl\u0065x""#, Some("flex")),
        (&format!("\"{}\"", "t".repeat(70)), Some(&*"t".repeat(65))),
    ] {
        let found = find(&format!(r#"{{"service_tier":{tier},"x":"priority"}}"#));
        assert_eq!(found.service_tier.as_deref(), name, "{tier}");
    }
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(129));
    assert_eq!(find(&long).id, None, "an id that an entry cannot keep is left out");
}
