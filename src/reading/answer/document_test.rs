#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

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

/// The usage of a document that counts, if the call asked for one answer or for several.
fn usage_of(text: &str, one_answer: bool) -> RawUsage {
    let mut document = Document::new(Judge { one_answer, ..Judge::default() });
    document.push(text.as_bytes());
    document.found.usage.raw
}

fn usage(text: &str) -> RawUsage {
    find(text).usage.raw
}

fn value(text: &str) -> RawUsage {
    RawUsage::Value(text.as_bytes().to_vec())
}

const GOOD: &str = r#"{"prompt_tokens":1,"completion_tokens":2}"#;
/// A usage that holds a count, but not those of a call.
const HALF: &str = r#"{"completion_tokens":2}"#;

#[test]
fn the_raw_usage_is_kept_byte_for_byte() {
    let odd = r#"{ "prompt_tokens":1, "completion_tokens" : 2.0, "x":[1.50, "é\n"] }"#;
    assert_eq!(usage(&format!(r#"{{"usage" : {odd} }}"#)), value(odd));
    assert_eq!(usage(&format!(r#"{{"us\u0061ge":{GOOD}}}"#)), value(GOOD), "escaped keys");
    let later = GOOD.replace('1', "7");
    assert_eq!(usage(&format!(r#"{{"usage":{GOOD},"usage":{later}}}"#)), value(&later), "the last of two");
    let long = |length: usize| {
        format!(r#"{{"prompt_tokens":1,"completion_tokens":2,"a":"{}"}}"#, "x".repeat(length))
    };
    let room = RAW_MAX - long(0).len();
    assert_eq!(usage(&format!(r#"{{"usage":{}}}"#, long(room + 1))), RawUsage::TooLarge);
    assert_eq!(usage(&format!(r#"{{"usage":{}}}"#, long(room))), value(&long(room)));
}

#[test]
fn what_holds_no_count_is_no_usage() {
    for none in [
        "null",
        "{}",
        "[]",
        r#""x""#,
        "0",
        "7",
        "[12,3]",
        r#"{"prompt_tokens":null,"completion_tokens":null}"#,
        r#"{"queue_time":0.4,"prompt_tokens":"many"}"#,
    ] {
        let found = find(&format!(r#"{{"usage":{none}}}"#));
        assert_eq!((found.usage, found.has_usage), (Reported::default(), false), "{none}");
        for (one, other) in [(GOOD, none), (none, GOOD)] {
            let both = format!(r#"{{"usage":{one},"x_groq":{{"usage":{other}}}}}"#);
            assert_eq!(usage(&both), value(GOOD), "{both}");
            let both = format!(r#"{{"usage":{one},"usage":{other}}}"#);
            assert_eq!(usage(&both), value(GOOD), "{both}");
        }
    }
    let negative = r#"{"prompt_tokens":-1,"completion_tokens":1.5}"#;
    assert_eq!(usage(&format!(r#"{{"usage":{negative}}}"#)), value(negative), "a count that cannot be");
}

#[test]
fn a_usage_that_can_be_read_is_never_replaced_by_one_that_cannot() {
    let large = format!(r#"{{"prompt_tokens":9,"x":"{}"}}"#, "x".repeat(6_000));
    for worse in [HALF, &large] {
        assert_eq!(usage(&format!(r#"{{"usage":{GOOD},"usage":{worse}}}"#)), value(GOOD));
        assert_eq!(usage(&format!(r#"{{"x_groq":{{"usage":{GOOD}}},"usage":{worse}}}"#)), value(GOOD));
    }
    let mut document = Document::default();
    document.push(format!(r#"{{"usage":{HALF},"usage":{large}}}"#).as_bytes());
    assert_eq!(document.found.usage.raw, value(HALF));
}

#[test]
fn groqs_usage_counts_where_there_is_no_other() {
    let other = GOOD.replace('1', "7");
    assert_eq!(usage(&format!(r#"{{"x_groq":{{"id":"r","usage":{GOOD}}}}}"#)), value(GOOD));
    assert_eq!(usage(&format!(r#"{{"x_groq":{{"usage":{GOOD}}},"usage":null}}"#)), value(GOOD));
    assert_eq!(usage(&format!(r#"{{"usage":{other},"x_groq":{{"usage":{GOOD}}}}}"#)), value(&other));
}

#[test]
fn a_choices_usage_counts_where_there_is_no_other_and_one_answer_was_asked_for() {
    let other = GOOD.replace('1', "7");
    let choice = format!(r#"{{"choices":[{{"delta":{{}},"usage":{GOOD}}}]"#);
    assert_eq!(usage(&format!("{choice}}}")), value(GOOD));
    assert_eq!(usage(&format!(r#"{choice},"usage":{other}}}"#)), value(&other));
    assert_eq!(usage(&format!(r#"{{"usage":{other},{}}}"#, &choice[1..])), value(&other));
    assert_eq!(usage(&format!(r#"{choice},"usage":{{}}}}"#)), value(GOOD));
    assert_eq!(usage_of(&format!("{choice}}}"), false), RawUsage::Absent);
    assert_eq!(usage_of(&format!(r#"{{"usage":{GOOD}}}"#), false), value(GOOD));
}

#[test]
fn decoys_are_no_usage() {
    for text in [
        r#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}","usage":{good}}}]}"#,
        r#"{"a":{"usage":{good}}}"#,
        r#"{"x_groq":{"a":{"usage":{good}}}}"#,
        r#"[{"usage":{good}}]"#,
        r#"{"choices":{"a":{"usage":{good}}}}"#,
        r#"{"choices":[[{"usage":{good}}]]}"#,
    ] {
        assert_eq!(usage(&text.replace("{good}", GOOD)), RawUsage::Absent, "{text}");
    }
}

#[test]
fn text_is_what_the_model_wrote() {
    for (choices, ascii, other) in [
        (r#"[{"message":{"role":"assistant","content":"h\u00e4i"}}]"#, 2, 2),
        (r#"[{"message":{"content":"你好, ok","refusal":"no"}}]"#, 6, 6),
        (r#"[{"delta":{"reasoning_content":"ab","content":"c"}},{"delta":{"content":"d"}}]"#, 4, 0),
        (
            r#"[{"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]"#,
            8,
            0,
        ),
        (
            r#"[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":"bc","d":[{"e":"g"}]}}}]}}]"#,
            4,
            0,
        ),
        (
            r#"[{"delta":{"tool_calls":[{"id":"call_1","type":"custom","custom":{"name":"f","input":"abc"}}]}}]"#,
            4,
            0,
        ),
        (r#"[{"message":{"function_call":{"name":"f","arguments":"{}"}}}]"#, 3, 0),
        (r#"[{"text":"abc"}]"#, 3, 0),
        (r#"[{"delta":{"audio":{"id":"a","data":"UklGRg==","transcript":"four"}}}]"#, 4, 0),
        (r#"[{"delta":{"content":null},"finish_reason":"stop"}],"id":"xxxx","model":"yyyy""#, 0, 0),
        (r#"[],"delta":{"content":"decoy"},"x":[{"delta":{"content":"decoy"}}]"#, 0, 0),
        // Mistral's parts.
        (
            r#"[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"ab"}]},{"type":"text","text":"c"}]}}]"#,
            3,
            0,
        ),
        (r#"[{"message":{"content":[{"type":"thinking","thinking":"ab","signature":"sssss"}]}}]"#, 2, 0),
    ] {
        let text = find(&format!(r#"{{"choices":{choices}}}"#)).text();
        assert_eq!((text.ascii, text.other), (ascii, other), "{choices}");
    }
}

#[test]
fn text_that_a_provider_says_twice_counts_once() {
    for (choices, bytes) in [
        (r#"[{"text":"four","delta":{"content":"four"}}]"#, 4),
        (r#"[{"delta":{"content":"four"},"text":"four"}]"#, 4),
        (r#"[{"delta":{"reasoning":"four","reasoning_content":"four"}}]"#, 4),
        (r#"[{"delta":{"reasoning":"four","reasoning_content":"other"}}]"#, 5),
        (r#"[{"delta":{"reasoning":"four","reasoning_content":null}}]"#, 4),
        (
            r#"[{"delta":{"reasoning":"four","reasoning_details":[{"type":"reasoning.text","text":"four","format":"x","signature":"sss"}]}}]"#,
            4,
        ),
        (
            r#"[{"delta":{"reasoning":null,"reasoning_details":[{"type":"reasoning.summary","summary":"four"}]}}]"#,
            4,
        ),
        (r#"[{"message":{"content":"hi there"},"delta":{"content":"there"}}]"#, 5),
        (r#"[{"delta":{"content":"there"},"message":{"content":"hi there"}}]"#, 5),
        (r#"[{"delta":null,"message":{"content":"there"}}]"#, 5),
        (r#"[{"delta":{"content":"there"}},{"message":{"content":"there"}}]"#, 10),
    ] {
        assert_eq!(find(&format!(r#"{{"choices":{choices}}}"#)).text().all(), bytes, "{choices}");
    }
}

#[test]
fn what_the_model_did_not_write_is_no_text() {
    let long = "x".repeat(9_000);
    for delta in [
        r#""role":"assistant","name":"MiniMax AI","channel":"analysis","reasoning_id":"r1","finish_reason":"stop""#,
        r#""reasoning_details":[{"type":"reasoning.encrypted","id":"r1","data":"{long}"}]"#,
        r#""encrypted_content":"{long}","thought_signature":"{long}""#,
        r#""images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,{long}"}}]"#,
        r#""content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,{long}"}}],"b64_json":"{long}""#,
        r#""annotations":[{"type":"url_citation","url_citation":{"url":"u","title":"t","content":"{long}"}}]"#,
        r#""tool_calls":[{"id":"{long}","type":"function","function":{"description":"{long}"}}]"#,
        r#""extra_content":{"google":{"thought":true,"text":"{long}"}},"token_ids":[1,2],"audio_content":"{long}""#,
        r#""thinking_blocks":[{"type":"thinking","thinking":"{long}"}],"provider_specific_fields":{"a":"{long}"}"#,
    ] {
        let text =
            format!(r#"{{"choices":[{{"delta":{{{delta}}},"logprobs":{{"content":[{{"token":"t"}}]}}}}]}}"#);
        assert_eq!(find(&text.replace("{long}", "abcd")).text(), TextBytes::default(), "{delta}");
        let mut document = Document::default();
        document.push(text.replace("{long}", &long).as_bytes());
        assert_eq!(document.found.text(), TextBytes::default(), "{delta}");
    }
}

#[test]
fn text_under_an_unknown_name_is_not_free_and_not_more_than_a_chunk_holds() {
    let long = "x".repeat(9_000);
    for (delta, bytes) in [
        (r#"{"role":"assistant","thoughts":"four"}"#, 4),
        (r#"{"thoughts":{"parts":[{"type":"t","body":"four"}]}}"#, 4),
        (r#"{"thinking":"four","content":""}"#, 4),
        (r#"{"thoughts":"four","content":"x"}"#, 1),
        (r#"{"thoughts":"{long}"}"#, 256),
    ] {
        let mut document = Document::default();
        document.push(format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#).replace("{long}", &long).as_bytes());
        assert_eq!(document.found.text().all(), bytes, "{delta}");
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
    assert_eq!(find(r#"{"id":""}"#).id, None, "an empty id is none");
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(129));
    assert_eq!(find(&long).id, None, "an id that an entry cannot keep is left out");
}
