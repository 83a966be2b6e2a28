//! Makes the calls of unit tests: the configuration, the requests and the answers.

use std::rc::Rc;

use serde_json::Value;

use super::{Ended, Native, Question, Reply, Stream};
use crate::base::account::{Account, Status, Tier};
use crate::base::clock::Now;
use crate::base::wire::{STANDINGS_PATH, StandingsRequest};
use crate::call::config::Gateway;
use crate::worker::host::Level;

/// A time at which card v1 is in force.
pub(crate) const NOON: &str = "2026-06-01T12:00:00Z";
/// A model that v1 lets the free tier call.
pub(crate) const MODEL: &str = "accounts/fireworks/models/gpt-oss-120b";
/// A usage that costs [`COST`] under v1.
pub(crate) const USAGE: &str = r#""usage":{"prompt_tokens":8,"completion_tokens":5}"#;
pub(crate) const COST: &str = "0.000000944882";

pub(crate) fn now() -> Now {
    Now::at(NOON.parse().unwrap())
}

/// The configuration, as its text.
pub(crate) fn config(change: impl FnOnce(&mut Value)) -> String {
    let mut config = serde_json::json!({
        "ledger": {"cluster": "ledger", "authority": "ledger.test", "resolve_cluster": "ledger_resolve"},
        "hosts": ["gateway.test"],
        "credits": {"cluster": "ledger_public", "authority": "public.test"},
        "workers": 1,
        // Most tests are about other things than holds.
        "gate": {"admission": {"credit": "shared_data"}},
        "limits": {"request_bytes": 65_536, "unknown_caller_bytes": 131_072, "held_answer_bytes": 4_096},
        "providers": {"fireworks": {
            "cluster": "fireworks", "authority": "api.test", "base_path": "/inference/v1", "stream_usage": "ask",
            "stops_at": "model_maximum", "own_keys": true
        }}
    });
    change(&mut config);
    config.to_string()
}

pub(crate) fn gateway() -> Gateway {
    Gateway::parse(&config(|_| ())).unwrap()
}

/// A worker that serves the calls of the accounts `free` and `credit`, whose tokens are `tok-free` and `tok-credit`.
pub(crate) fn serving() -> Native {
    serving_by(|_| ())
}

/// The same worker with a changed configuration.
pub(crate) fn serving_by(change: impl FnOnce(&mut Value)) -> Native {
    let gateway = Gateway::parse(&config(change)).unwrap();
    let native = Native::serving(Rc::default(), now(), &gateway);
    open_accounts(&native);
    let _ = native.told();
    native
}

pub(crate) fn open_accounts(native: &Native) {
    let mut ledger = native.ledger.borrow_mut();
    for (name, tier) in [("free", Tier::Free), ("credit", Tier::Credit)] {
        let account = Account {
            account: name.to_owned(),
            tier,
            status: Status::Active,
            token_id: format!("id-{name}"),
            daily_cap_pax: None,
            canon_v: 2,
        };
        ledger.open(&format!("tok-{name}"), account);
    }
}

/// The head of a chat call comes.
pub(crate) fn chat_head(native: &Native, token: &str) -> u32 {
    get(native, "POST", "/v1/chat/completions", token, false)
}

pub(crate) fn get(native: &Native, method: &str, path: &str, token: &str, end: bool) -> u32 {
    let authorization = format!("Bearer {token}");
    let head = [
        (":method", method),
        (":path", path),
        (":authority", "gateway.test"),
        (":scheme", "http"),
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("cookie", "c=1"),
    ];
    native.head(&head, end)
}

/// A whole call comes, and waits if its token is not known.
pub(crate) fn chat(native: &Native, token: &str, body: &str) -> u32 {
    let call = chat_head(native, token);
    native.proxy().request_body(call, body.as_bytes(), true);
    call
}

/// A call that went on to its provider.
pub(crate) fn forwarded(native: &mut Native, token: &str, body: &str) -> u32 {
    let call = chat(native, token, body);
    if !is_forwarded(native, call) {
        native.tick();
        native.ledger_answers();
    }
    assert!(is_forwarded(native, call), "{:?}", reply(native, call));
    call
}

/// A call that came to its end: its debit waits in the outbox, or is on its way to the ledger.
pub(crate) fn served(native: &mut Native, token: &str) -> Stream {
    let call = forwarded(native, token, &hello());
    answer(native, call, "application/json", &format!(r#"{{"choices":[{{}}],{USAGE}}}"#));
    native.proxy().close(call).unwrap()
}

/// The provider answers with 200, all at once.
pub(crate) fn answer(native: &Native, call: u32, content_type: &str, body: &str) {
    answer_head(native, call, "200", &[("content-type", content_type)]);
    native.proxy().answer_body(call, body.as_bytes(), true);
}

/// The head of the provider's answer.
pub(crate) fn answer_head(native: &Native, call: u32, status: &str, headers: &[(&str, &str)]) {
    native.answer_head(call, &head(status, headers), false);
}

/// A head of an answer.
pub(crate) fn head(status: &str, headers: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    let headers = [(":status", status)].into_iter().chain(headers.iter().copied());
    headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect()
}

pub(crate) fn hello() -> String {
    format!(r#"{{"model":"{MODEL}","max_tokens":50,"messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

pub(crate) fn is_forwarded(native: &Native, call: u32) -> bool {
    native.state.stream(call, |stream| stream.upstream.is_some()).unwrap()
}

pub(crate) fn reply(native: &Native, call: u32) -> Option<Reply> {
    native.state.stream(call, |stream| stream.reply.clone()).unwrap()
}

/// The status and the code of the filter's own reply; empty if there is none.
pub(crate) fn refusal(native: &Native, call: u32) -> String {
    let Some(reply) = reply(native, call) else { return String::new() };
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    format!("{} {}", reply.status, body["error"]["code"].as_str().unwrap_or_default())
}

/// The next question for standings that names an account. Probes, which name none, are answered on the way.
pub(crate) fn asks_about_accounts(native: &mut Native) -> Option<(Question, Vec<String>)> {
    while native.asks(STANDINGS_PATH) {
        let question = native.question(STANDINGS_PATH);
        let request: StandingsRequest = serde_json::from_slice(&question.body).unwrap();
        let accounts: Vec<String> = request.asks.into_iter().map(|ask| ask.account).collect();
        if !accounts.is_empty() {
            return Some((question, accounts));
        }
        native.answer(&question, Ended::with(200, r#"{"standings":[]}"#));
    }
    None
}

/// The log lines of this level since the last call of this function.
pub(crate) fn told(native: &Native, level: Level) -> Vec<String> {
    native.told().into_iter().filter(|(at, _)| *at == level).map(|(_, line)| line).collect()
}

/// A header of a map.
pub(crate) fn header(headers: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let found = headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// The line of a closed stream in the operator's log.
pub(crate) fn line(stream: &Stream) -> Value {
    serde_json::from_str(&stream.filter_state["pax"]).unwrap()
}
