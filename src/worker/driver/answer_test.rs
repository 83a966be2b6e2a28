//! The driver from an answer's first header to its stream's end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use serde_json::json;

use crate::memory::shared::SharedData;
use crate::worker::fake::calls::{
    COST, USAGE, answer, answer_head, chat_head, forwarded, get, head, header, hello, line, refusal, serving,
    told,
};
use crate::worker::fake::{Native, Stream};
use crate::worker::host::{HeaderMap, Level};

fn streamed() -> String {
    hello().replacen('{', "{\"stream\":true,", 1)
}

fn whole() -> String {
    format!(r#"{{"id":"r1","choices":[{{"message":{{"content":"Hi"}}}}],{USAGE}}}"#)
}

type Headers = Vec<(String, Vec<u8>)>;

/// The part of an answer that has reached the caller.
fn passed(native: &Native, call: u32) -> (Option<Headers>, Vec<u8>) {
    native.state.stream(call, |stream| (stream.passed_head.clone(), stream.passed.clone())).unwrap()
}

/// Envoy answers by itself. `details`: its reason.
fn envoy_answers(native: &Native, call: u32, details: &str, headers: &[(String, Vec<u8>)]) {
    native.state.stream(call, |stream| {
        stream.properties.insert(b"response\0code_details".to_vec(), details.as_bytes().to_vec());
    });
    native.proxy().answer_head(call, headers, false);
    native.proxy().answer_body(call, b"{}", true);
}

fn close(native: &mut Native, call: u32) -> Stream {
    let stream = native.proxy().close(call).unwrap();
    native.settle();
    assert!(native.records().is_empty(), "a record is left behind");
    stream
}

fn debits(native: &Native) -> usize {
    native.ledger.borrow().debits().len()
}

#[test]
fn a_json_answer_is_held_under_a_mark_until_its_cost_is_known() {
    let mut native = serving();
    let call = forwarded(&mut native, "tok-credit", &hello());
    answer_head(&native, call, "200", &[("content-type", "application/json"), ("x-request-id", "req_1")]);
    let whole = whole();
    for piece in whole.as_bytes()[..whole.len() - 1].chunks(7) {
        native.proxy().answer_body(call, piece, false);
        assert_eq!(passed(&native, call), (None, Vec::new()));
    }
    let held = native.state.stream(call, |stream| stream.filter_state["pax_held"].clone()).unwrap();
    native.proxy().answer_body(call, b"}", true);
    let (head, body) = passed(&native, call);
    let head = head.expect("it goes on");
    assert_eq!(body, whole.as_bytes());
    assert_eq!(header(&head, "x-matrix-exchange-id").as_deref(), Some(held.as_str()));
    assert_eq!(header(&head, "x-matrix-cost-pax").as_deref(), Some(COST));
    assert_eq!(
        header(&head, "x-request-id").as_deref(),
        Some(held.as_str()),
        "ours, in the place of the provider's"
    );
    let line = line(&close(&mut native, call));
    assert_eq!(line["outcome"], "answered");
    assert_eq!(line["provider_request_id"], "req_1");
    assert_eq!(debits(&native), 1);
}

#[test]
fn a_stream_passes_as_it_comes_without_the_chunk_that_was_asked_for() {
    let mut native = serving();
    let call = forwarded(&mut native, "tok-credit", &streamed());
    answer_head(&native, call, "200", &[("content-type", "text/event-stream"), ("content-length", "500")]);
    let (head, _) = passed(&native, call);
    assert_eq!(
        header(&head.expect("a stream does not wait"), "content-length"),
        None,
        "bytes will be taken out"
    );
    assert!(native.state.stream(call, |stream| stream.filter_state.contains_key("pax_held")) == Some(false));
    native.proxy().answer_body(call, b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n", false);
    let text = b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    assert_eq!(passed(&native, call).1, text);
    native.proxy().answer_body(call, format!("data: {{\"choices\":[],{USAGE}}}\n\n").as_bytes(), false);
    assert_eq!(passed(&native, call).1, text);
    native.proxy().answer_body(call, b"data: [DONE]\n\n", true);
    assert_eq!(passed(&native, call).1, [&text[..], b"data: [DONE]\n\n"].concat());
    close(&mut native, call);
    assert_eq!(debits(&native), 1);
}

#[test]
fn what_is_held_stays_in_front_of_bytes_that_are_replaced() {
    let mut native = serving();
    let call = forwarded(&mut native, "tok-credit", &streamed());
    // The head announces a document, but the body is a stream.
    answer_head(&native, call, "200", &[("content-type", "application/json")]);
    native.proxy().answer_body(call, b"\n", false);
    assert_eq!(passed(&native, call), (None, Vec::new()));
    native.proxy().answer_body(call, b"\nda", false);
    let (usage, rest) = (format!("ta: {{\"choices\":[],{USAGE}}}\n\n"), b"data: [DONE]\n\n");
    native.proxy().answer_body(call, &[usage.as_bytes(), rest].concat(), true);
    assert_eq!(passed(&native, call).1, [&b"\n\n"[..], rest].concat());
    close(&mut native, call);
    assert_eq!(debits(&native), 1);
}

#[test]
fn trailers_end_an_answer_and_go_on_without_what_stays_here() {
    let mut native = serving();
    let call = forwarded(&mut native, "tok-credit", &hello());
    answer_head(&native, call, "200", &[("content-type", "application/json")]);
    native.proxy().answer_body(call, whole().as_bytes(), false);
    assert_eq!(passed(&native, call).0, None);
    let trailers = head("0", &[("openai-organization", "org"), ("x-checksum", "7")]);
    native.proxy().answer_trailers(call, &trailers);
    let (head, body) = passed(&native, call);
    assert!(header(&head.unwrap(), "x-matrix-cost-pax").is_some());
    assert_eq!(body, whole().as_bytes());
    let left =
        native.state.stream(call, |stream| stream.headers(HeaderMap::AnswerTrailers).to_vec()).unwrap();
    assert_eq!(header(&left, "openai-organization"), None);
    assert_eq!(header(&left, "x-checksum").as_deref(), Some("7"));
    close(&mut native, call);
    assert_eq!(debits(&native), 1);
}

#[test]
fn what_a_provider_says_of_the_operators_account_stays_here() {
    let mut native = serving();
    for status in ["200", "429"] {
        let call = forwarded(&mut native, "tok-credit", &hello());
        let headers = [
            ("content-type", "application/json"),
            ("openai-organization", "org"),
            ("set-cookie", "c=1"),
            ("x-matrix-cost-pax", "0"),
            ("retry-after", "3"),
        ];
        answer_head(&native, call, status, &headers);
        native.proxy().answer_body(call, whole().as_bytes(), true);
        let (head, _) = passed(&native, call);
        let head = head.unwrap();
        for name in ["openai-organization", "set-cookie"] {
            assert_eq!(header(&head, name), None, "{status} {name}");
        }
        assert_ne!(header(&head, "x-matrix-cost-pax").as_deref(), Some("0"));
        assert_eq!(header(&head, "retry-after").as_deref(), Some("3"));
        close(&mut native, call);
    }
}

#[test]
fn the_code_of_a_local_reply_is_believed_only_of_envoy_itself() {
    let mut native = serving();
    let coded = head("503", &[("content-type", "application/json"), ("x-matrix-code", "upstream_overload")]);
    let call = forwarded(&mut native, "tok-credit", &hello());
    envoy_answers(&native, call, "overload", &coded);
    let stream = close(&mut native, call);
    assert_eq!(header(stream.passed_head.as_deref().unwrap(), "x-matrix-code"), None);
    let told = line(&stream);
    assert_eq!((&told["outcome"], &told["code"]), (&json!("provider_failed"), &json!("upstream_overload")));

    let call = forwarded(&mut native, "tok-credit", &hello());
    envoy_answers(&native, call, "via_upstream", &coded);
    let stream = close(&mut native, call);
    assert_eq!(header(stream.passed_head.as_deref().unwrap(), "x-matrix-code"), None);
    let told = line(&stream);
    assert_eq!((&told["outcome"], &told["code"]), (&json!("provider_error"), &json!(null)));
    assert_eq!(debits(&native), 0);
}

#[test]
fn envoys_own_refusal_of_a_request_passes_and_tells_its_code() {
    let mut native = serving();
    let call = chat_head(&native, "tok-credit");
    let coded = head("413", &[("content-type", "application/json"), ("x-matrix-code", "request_too_large")]);
    envoy_answers(&native, call, "request_payload_too_large", &coded);
    let stream = close(&mut native, call);
    let passed = stream.passed_head.as_deref().unwrap();
    assert_eq!(header(passed, "x-matrix-code"), None);
    assert!(header(passed, "x-request-id").is_some());
    let told = line(&stream);
    assert_eq!(
        (&told["status"], &told["outcome"], &told["code"]),
        (&json!(413), &json!("refused"), &json!("request_too_large"))
    );
}

#[test]
fn a_provider_that_envoy_cannot_reach_is_told_of_and_one_that_answers_is_not() {
    let mut native = serving();
    let details = "upstream_reset_before_response_started{connection_failure,refused}";
    let head = head("503", &[("content-type", "application/json")]);
    for _ in 0..2 {
        let call = forwarded(&mut native, "tok-credit", &hello());
        native.state.stream(call, |stream| {
            stream.properties.insert(b"xds\0cluster_name".to_vec(), b"fireworks".to_vec());
        });
        envoy_answers(&native, call, details, &head);
        close(&mut native, call);
    }
    let lines = told(&native, Level::Error);
    assert!(lines.len() == 1 && lines[0].contains("cluster \"fireworks\" gets no connection"), "{lines:?}");

    let credits = get(&native, "GET", "/v1/credits", "tok-credit", true);
    envoy_answers(&native, credits, "cluster_not_found", &head);
    let lines = told(&native, Level::Error);
    assert!(lines.len() == 1 && lines[0].starts_with("the ledger's public listener"), "{lines:?}");

    let call = forwarded(&mut native, "tok-credit", &hello());
    envoy_answers(&native, call, "via_upstream", &head);
    assert_eq!(told(&native, Level::Error), [""; 0]);
}

#[test]
fn a_refused_platform_key_is_answered_in_the_providers_place_told_of_once_and_costs_nothing() {
    let mut native = serving();
    for _ in 0..2 {
        let call = forwarded(&mut native, "tok-credit", &hello());
        answer_head(&native, call, "401", &[("content-type", "application/json")]);
        assert_eq!(refusal(&native, call), "502 provider_refused_platform_key");
        assert_eq!(passed(&native, call), (None, Vec::new()));
        let stream = close(&mut native, call);
        assert_eq!(line(&stream)["outcome"], "provider_failed");
    }
    let lines = told(&native, Level::Warn);
    assert!(lines.len() == 1 && lines[0].contains("refuses the platform's key"), "{lines:?}");
    assert_eq!(debits(&native), 0);
}

#[test]
fn who_ended_a_stream_is_read_from_envoys_flags_and_told_in_one_line() {
    const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 1 << 7;
    for (flags, outcome) in
        [(UPSTREAM_REMOTE_RESET, "provider_broke_off"), (DOWNSTREAM_CONNECTION_TERMINATION, "caller_gone")]
    {
        let mut native = serving();
        let call = forwarded(&mut native, "tok-credit", &streamed());
        answer_head(&native, call, "200", &[("content-type", "text/event-stream")]);
        native.proxy().answer_body(
            call,
            b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n",
            false,
        );
        native.state.stream(call, |stream| {
            stream.properties.insert(b"response\0flags".to_vec(), flags.to_le_bytes().to_vec());
        });
        let stream = close(&mut native, call);
        assert_eq!(line(&stream)["outcome"], outcome);
        assert_eq!(native.state.metrics.sum("pax_calls_total"), 1);
        assert_eq!(debits(&native), 1);
    }
}

#[test]
fn an_answer_that_breaks_off_while_it_is_held_is_charged_when_envoy_answers_in_its_place() {
    let mut native = serving();
    let call = forwarded(&mut native, "tok-credit", &hello());
    answer_head(&native, call, "200", &[("content-type", "application/json")]);
    native.proxy().answer_body(call, br#"{"choices":[{"message":{"content":"Hi"#, false);
    let coded = head("502", &[("content-type", "application/json"), ("x-matrix-code", "upstream_cut")]);
    native.state.stream(call, |stream| stream.answer.clear());
    envoy_answers(&native, call, "upstream_reset_after_response_started", &coded);
    let stream = close(&mut native, call);
    assert_eq!(line(&stream)["code"], "upstream_cut");
    assert_eq!(debits(&native), 1);
}

#[test]
fn who_only_asks_whether_it_lives_is_marked_and_neither_told_of_nor_counted() {
    let mut native = serving();
    for path in ["/healthz", "/readyz"] {
        let call = get(&native, "GET", path, "none", true);
        native.reply_passes(call);
        let stream = close(&mut native, call);
        assert_eq!(stream.reply.unwrap().status, 200, "{path}");
        assert_eq!(stream.filter_state["pax_probe"], "1");
        assert!(!stream.filter_state.contains_key("pax"));
    }
    assert_eq!(native.state.metrics.sum("pax_calls_total"), 0);
}

#[test]
fn a_debit_whose_vm_was_taken_for_dead_and_finds_no_other_lane_is_sent_all_the_same() {
    let mut native = serving();
    let call = forwarded(&mut native, "tok-credit", &hello());
    // Another VM has taken its lane, and all others are taken, too.
    let lanes: Vec<String> = (0..1_024).map(|lane| format!("pax/2/lane/{lane}")).collect();
    lanes.iter().for_each(|lane| assert!(native.around.shared.set(lane, &[9; 32])));
    native.tick_after(1_000);
    assert!(told(&native, Level::Warn).iter().any(|line| line.starts_with("this VM was taken for dead")));
    // That VM has swept it.
    let swept = native.records().pop().unwrap();
    native.around.shared.set(&format!("pax/2/open/{swept}"), &[]);
    answer(&native, call, "application/json", &whole());
    let (head, _) = passed(&native, call);
    assert!(header(&head.unwrap(), "x-matrix-cost-pax").is_some(), "the caller gets its answer all the same");
    assert_eq!(native.records().len(), 0, "no cell holds the debit");
    // As soon as a lane is free, there is a copy of it.
    native.around.shared.set("pax/2/lane/7", &[]);
    native.tick_after(1_000);
    assert_eq!(native.records(), ["7/0"]);
    native.settle();
    let ledger = native.ledger.borrow();
    assert_eq!(ledger.debits().len(), 1);
    assert_eq!(ledger.debits()[0].0.cost_pax.to_string(), COST);
    assert_eq!(native.records().len(), 0);
}

#[test]
fn a_host_call_that_fails_is_told_and_stops_nothing() {
    let mut native = serving();
    let call = forwarded(&mut native, "tok-credit", &streamed());
    native.state.failing.replace(vec![
        "replace_header_map_value",
        "remove_header_map_value",
        "set_buffer_bytes",
    ]);
    answer_head(&native, call, "200", &[("content-type", "text/event-stream"), ("set-cookie", "c")]);
    native.proxy().answer_body(call, format!("data: {{\"choices\":[],{USAGE}}}\n\n").as_bytes(), true);
    let lines = told(&native, Level::Error);
    for what in ["set an answer's header", "take an answer's header off", "replace an answer's bytes"] {
        assert!(lines.iter().any(|line| line.contains(what)), "{what}: {lines:?}");
    }
    close(&mut native, call);
    assert_eq!(debits(&native), 1);

    native.state.failing.replace(vec!["send_local_response"]);
    let call = chat_head(&native, "tok-credit");
    native.proxy().request_body(call, b"{", true);
    assert_eq!(
        told(&native, Level::Error),
        ["Envoy did not let the filter answer a caller: status 4294967295"]
    );
    native.state.failing.replace(Vec::new());
    let stream = native.proxy().close(call).unwrap();
    assert!(stream.upstream.is_none(), "a refused request never goes on");
}
