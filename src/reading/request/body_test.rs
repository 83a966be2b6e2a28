#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::dialect::provider::OutputMaximum;
use crate::reading::request::edits::{Rewrite, apply, edited_length};
use crate::reading::request::parsed::StreamOptions;
use proptest::prelude::*;

fn read_cut(body: &[u8], cut: usize) -> Result<Request, RequestError> {
    let mut reader = RequestReader::new(Mode::Chat);
    reader.push(&body[..cut]);
    reader.push(&body[cut..]);
    reader.finish()
}

/// Reads a body whole and cut at every byte: always the same.
fn read(body: &str) -> Result<Request, RequestError> {
    let whole = read_cut(body.as_bytes(), 0);
    for cut in 1..body.len() {
        assert_eq!(read_cut(body.as_bytes(), cut), whole, "cut at {cut}: {body}");
    }
    whole
}

fn refusal(body: &str) -> String {
    match read(body) {
        // Whether such a request is refused depends on who pays.
        Ok(Request { options, .. }) if !options.is_empty() => {
            let names: Vec<_> = options.into_iter().map(|option| option.name).collect();
            format!("unpriced {}", names.join(", "))
        }
        Ok(request) => format!("{request:?}"),
        Err(RequestError::NotJson(error)) => format!("not json at {}", error.at),
        Err(RequestError::NotAnObject) => "not an object".to_owned(),
        Err(RequestError::Twice(key)) => format!("twice {key}"),
        Err(RequestError::Spelling(key)) => format!("spelling {key}"),
        Err(RequestError::WrongType { key, .. }) => format!("type {key}"),
        Err(RequestError::MissingModel) => "missing model".to_owned(),
        Err(RequestError::Unpriced { names, .. }) => format!("unpriced {}", names.join(", ")),
    }
}

#[test]
fn what_the_contract_refuses_is_refused() {
    for (body, expected) in [
        ("", "not json at 0"),
        ("[]", "not an object"),
        ("\"model\"", "not an object"),
        ("{}", "missing model"),
        (r#"{"model":""}"#, "missing model"),
        (r#"{"model":null}"#, "missing model"),
        (r#"{"model":7}"#, "type model"),
        (r#"{"model":"m"} x"#, "not json at 14"),
        (r#"{"model":"m"}{}"#, "not json at 13"),
        (r#"{"model":"m","model":"n"}"#, "twice model"),
        (r#"{"model":"m","mo\u0064el":"n"}"#, "twice model"),
        (r#"{"model":"m","Model":"n"}"#, "spelling model"),
        (r#"{"Model":"m"}"#, "spelling model"),
        ("{\"model\":\"m\",\"\u{17f}tream\":true}", "spelling stream"),
        (r#"{"model":"m","\u017ftream":true}"#, "spelling stream"),
        ("{\"model\":\"m\",\"max_to\u{212a}ens\":1}", "spelling max_tokens"),
        (r#"{"model":"m","stream":"yes"}"#, "type stream"),
        (r#"{"model":"m","stream":true,"stream":false}"#, "twice stream"),
        (r#"{"model":"m","stream_options":1}"#, "type stream_options"),
        (r#"{"model":"m","stream_options":{"include_usage":1}}"#, "type stream_options.include_usage"),
        (
            r#"{"model":"m","stream_options":{"include_usage":true,"include_usage":false}}"#,
            "twice include_usage",
        ),
        (r#"{"model":"m","stream_options":{"Include_Usage":true}}"#, "spelling include_usage"),
        (r#"{"model":"m","max_tokens":0}"#, "type max_tokens"),
        (r#"{"model":"m","max_tokens":1.5}"#, "type max_tokens"),
        (r#"{"model":"m","max_tokens":-1}"#, "type max_tokens"),
        (r#"{"model":"m","max_completion_tokens":"7"}"#, "type max_completion_tokens"),
        (r#"{"model":"m","n":0}"#, "type n"),
        (r#"{"model":"m","n":129}"#, "type n"),
        (r#"{"model":"m","messages":"hi"}"#, "type messages"),
        (r#"{"model":"m","service_tier":"priority"}"#, "unpriced service_tier"),
        (r#"{"model":"m","service_tier":"flex"}"#, "unpriced service_tier"),
        (r#"{"model":"m","SERVICE_TIER":"default"}"#, "spelling service_tier"),
        (r#"{"model":"m","web_search_options":{}}"#, "unpriced web_search_options"),
        (r#"{"model":"m","search_parameters":{"mode":"on"}}"#, "unpriced search_parameters"),
        (r#"{"model":"m","enable_search":true}"#, "unpriced enable_search"),
        (r#"{"model":"m","models":["m","dearer"]}"#, "unpriced models"),
        (r#"{"model":"m","deferred":true}"#, "unpriced deferred"),
        (r#"{"model":"m","audio":{"voice":"x"}}"#, "unpriced audio"),
        (r#"{"model":"m","modalities":["text","audio"]}"#, "unpriced modalities"),
        (r#"{"model":"m","tools":[{"type":"web_search"}]}"#, "unpriced tools"),
        (r#"{"model":"m","tools":[{"type":"function"},{"type":"x"}]}"#, "unpriced tools"),
        (r#"{"model":"m","tools":[{"google_search":{}}]}"#, "unpriced tools.google_search, tools"),
        (r#"{"model":"m","tools":[{"type":"function","type":"web_search"}]}"#, "twice type"),
        (r#"{"model":"m","tools":["x"]}"#, "unpriced tools"),
    ] {
        assert_eq!(refusal(body), expected, "{body}");
    }
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(257));
    assert_eq!(refusal(&long), "type model");
    let deep = format!(r#"{{"model":"m","x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert!(refusal(&deep).starts_with("not json"), "too deep");
}

#[test]
fn a_body_that_is_not_utf_8_is_refused() {
    for body in [&b"{\"model\":\"\xff\"}"[..], b"{\"model\":\"m\",\"x\":\"\xc3\"}", b"\xff{\"model\":\"m\"}"]
    {
        assert!(matches!(read_cut(body, 3), Err(RequestError::NotJson(_))));
    }
}

#[test]
fn what_matters_is_read() {
    let request = read(
        r#"{"messages":[{"role":"user","content":"Hi \u00e4"},{"role":"user","content":[{"type":"text","text":"abc"}]}],
        "model":"a/b","stream":true,"stream_options":{"x":1},"max_tokens":5,"max_completion_tokens":9,"n":2,
        "service_tier":"default","web_search_options":null,"modalities":["text"],"tools":[{"type":"function","function":{"name":"f","type":"x"}}]}"#,
    )
    .unwrap();
    assert_eq!(request.model, "a/b");
    assert!(request.stream && !request.asks_usage() && !request.not_text);
    assert_eq!((request.stated_maximum(OutputMaximum::MaxTokens), request.n), (Some(5), 2));
    assert_eq!(request.stated_maximum(OutputMaximum::MaxCompletionTokens), Some(9));
    assert!(matches!(request.stream_options, StreamOptions::Without { empty: false, .. }));
}

#[test]
fn text_is_counted_and_pictures_are_not() {
    let picture = "x".repeat(1000);
    let with_picture = format!(
        r#"{{"model":"m","messages":[{{"content":[{{"type":"text","text":"four"}},{{"type":"image_url","image_url":{{"url":"{picture}"}}}}]}}]}}"#
    );
    let request = read(&with_picture).unwrap();
    assert!(request.not_text);
    assert_eq!(request.text.all(), 4);
    let deep = r#"{"model":"m","tools":[{"type":"function","function":{"parameters":{"a":{"b":{"c":{"d":"four"}}}}}}]}"#;
    assert_eq!(read(deep).unwrap().text.all(), "functiontypefunctionparametersabcdfour".len() as u64);
    let tokens = r#"{"model":"m","input":[[1,2,3],[4]]}"#;
    let mut reader = RequestReader::new(Mode::Embeddings);
    reader.push(tokens.as_bytes());
    assert_eq!(reader.finish().unwrap().given_tokens, 4);
}

fn rewritten(body: &str, upstream: Option<&str>) -> String {
    let rewrite = Rewrite { upstream_model: upstream, asks_usage: true, ..Rewrite::default() };
    let edits = read(body).unwrap().edits(&rewrite);
    String::from_utf8(apply(body.as_bytes(), &edits)).unwrap()
}

#[test]
fn a_stream_is_made_to_report_usage_and_nothing_else_changes() {
    for (body, expected) in [
        (
            r#"{"model":"m" , "stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m" , "stream":true}"#,
        ),
        (
            r#"{"stream_options" : null,"model":"m"}"#,
            r#"{"stream_options" : {"include_usage":true},"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{ },"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true },"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{"x":1},"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true,"x":1},"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":false},"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{"include_usage": null },"model":"m"}"#,
            r#"{"stream_options":{"include_usage": true },"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m"}"#,
        ),
    ] {
        assert_eq!(rewritten(body, None), expected);
    }
    assert_eq!(
        rewritten(r#"{"stream_options":null,"model":"m\n"}"#, Some("up\"stream")),
        r#"{"stream_options":{"include_usage":true},"model":"up\"stream"}"#
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_and_cuts_change_nothing(
        body in prop::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b'"'), Just(b':'), Just(b','), any::<u8>()], 0..60),
        cut in 0usize..60,
    ) {
        prop_assert_eq!(read_cut(&body, cut.min(body.len())), read_cut(&body, 0));
    }

    #[test]
    fn a_rewritten_body_means_the_same(stream_options in prop_oneof![
        Just(serde_json::json!(null)), Just(serde_json::json!({})), Just(serde_json::json!({"x": [1, {"y": "z"}]})),
        Just(serde_json::json!({"include_usage": false, "x": 1})), Just(serde_json::json!({"x": 1, "include_usage": true})),
    ], there in any::<bool>(), extra in "[a-z]{0,5}\\PC{0,9}") {
        let mut body = serde_json::json!({"model": "m", "stream": true, "messages": [{"content": extra}]});
        if there {
            body["stream_options"] = stream_options;
        }
        let text = serde_json::to_string_pretty(&body).unwrap();
        let after: serde_json::Value = serde_json::from_str(&rewritten(&text, Some("n"))).unwrap();
        body["model"] = "n".into();
        if body.get("stream_options").is_none_or(|options| options.is_null()) {
            body["stream_options"] = serde_json::json!({});
        }
        body["stream_options"]["include_usage"] = true.into();
        prop_assert_eq!(after, body);
    }
}

#[test]
fn the_length_after_edits_is_the_edited_bodys() {
    for body in [r#"{"model":"m"}"#, r#"{"stream_options":null,"model":"a long one"}"#] {
        let rewrite = Rewrite { upstream_model: Some("n"), asks_usage: true, ..Rewrite::default() };
        let edits = read(body).unwrap().edits(&rewrite);
        assert_eq!(edited_length(body.len() as u64, &edits), apply(body.as_bytes(), &edits).len() as u64);
    }
}
