//! The exact host calls of one call, in their order. Each costs time, and a change of
//! `tests/golden/host_calls.txt` shows that one came or went. The host calls of a root's ticks are not listed:
//! all calls of a batch share them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::wire::HOLDS_PATH;
use crate::worker::fake::calls::{USAGE, answer_head, chat_head, hello, served, serving, serving_by};
use crate::worker::fake::{Call, Native};

const GOLDEN: &str = include_str!("../../../tests/golden/host_calls.txt");

/// A worker whose free calls are admitted by the ledger.
fn holding() -> Native {
    serving_by(|config| config["gate"] = serde_json::json!({"admission": {"free": "ledger"}}))
}

/// Makes three calls of a free account and lists the host calls of the third. By then the token is cached,
/// every series of its metrics has a number, and debits of other calls wait.
fn listed(body: &str, content_type: &str, answer: &[&str]) -> Vec<Call> {
    listed_of(serving(), body, content_type, answer)
}

fn listed_of(mut native: Native, body: &str, content_type: &str, answer: &[&str]) -> Vec<Call> {
    served(&mut native, "tok-free");
    call(&mut native, body, content_type, answer);
    native.state.calls.replace(Some(Vec::new()));
    call(&mut native, body, content_type, answer);
    native.state.calls.take().unwrap()
}

/// One call whose body comes at once, the ledger's answer if it needs a hold, and its answer in these pieces.
fn call(native: &mut Native, body: &str, content_type: &str, answer: &[&str]) {
    let call = chat_head(native, "tok-free");
    native.proxy().request_body(call, body.as_bytes(), true);
    if native.asks(HOLDS_PATH) {
        let question = native.question(HOLDS_PATH);
        let ended = native.ledger.borrow_mut().answer(&question.path, &question.body);
        native.answer(&question, ended);
    }
    answer_head(native, call, "200", &[("content-type", content_type)]);
    for (index, piece) in answer.iter().enumerate() {
        native.proxy().answer_body(call, piece.as_bytes(), index + 1 == answer.len());
    }
    native.proxy().close(call).unwrap();
}

fn text(name: &str, calls: &[Call]) -> String {
    // A metric's labels are left out.
    let line = |Call(name, about): &Call| {
        let about = about.split(';').next().unwrap_or_default();
        format!("{name} {about}").trim_end().to_owned()
    };
    let lines: Vec<String> = calls.iter().map(line).collect();
    format!("# {name}: {} host calls\n{}\n", calls.len(), lines.join("\n"))
}

#[test]
fn a_call_makes_these_host_calls_and_no_other() {
    let json = format!(r#"{{"choices":[{{}}],{USAGE}}}"#);
    let asks = r#"{"stream":true,"stream_options":{"include_usage":true},"#;
    let usage = format!("data: {{\"choices\":[],{USAGE}}}\n\n");
    let streamed =
        ["data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n", &usage, "data: [DONE]\n\n", ""];
    let told = [
        text("JSON", &listed(&hello(), "application/json", &[&json])),
        text(
            "stream whose caller asks for usage",
            &listed(&hello().replacen('{', asks, 1), "text/event-stream", &streamed),
        ),
        text(
            "stream that is rewritten to ask for usage",
            &listed(&hello().replacen('{', r#"{"stream":true,"#, 1), "text/event-stream", &streamed),
        ),
        text("JSON with a hold", &listed_of(holding(), &hello(), "application/json", &[&json])),
    ]
    .join("\n");
    let first = told.lines().zip(GOLDEN.lines()).find(|(is, should)| is != should);
    assert!(told == GOLDEN, "first: {first:?}\nall of them:\n{told}");
}
