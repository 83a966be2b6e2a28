//! What is told of an exchange: its line in the log.

use super::*;
use crate::base::clock::Tick;
use crate::told::log_line;
use serde_json::{Value, json};

impl Drive {
    fn line(&self, at_ms: u64) -> Option<Value> {
        let now = Now::at(now()).tick.ms().saturating_add(at_ms);
        let line = log_line::write(self.exchange.id(), self.exchange.story(), Tick::from_ms(now))?;
        assert!(!line.contains('\n'), "{line}");
        Some(serde_json::from_str(&line).unwrap())
    }

    fn hangs_up(&mut self) {
        self.step(Event::Closed(ClosedBy::Caller));
    }
}

/// A name, what happens, and what the line must have: the outcome, and the other keys that matter.
pub(super) type Told = (&'static str, fn(&mut Drive), &'static str, Value);

fn answered() -> Value {
    json!({
        "status": 200, "account": "acme", "tier": "credit", "token_id": "tok_1", "slot": "default", "model": MODEL,
        "model_served": MODEL, "provider": "fireworks", "funding": "platform", "stream": false, "provider_status": 200,
        "rate_table_v": 1, "provenance": "reported", "flags": [], "input_tokens": 100_000, "cached_tokens": 0,
        "output_tokens": 30_000, "cost_pax": "0.002799650080", "code": null, "message": null, "method": "POST",
        "path": "/v1/chat/completions"
    })
}

fn called(drive: &mut Drive) -> &mut Drive {
    drive.chat().resolved(Status::Active).body(&hello())
}

fn envoys(status: u16, code: &str) -> Event<'_> {
    Event::AnswerHead {
        status,
        content_type: b"application/json",
        content_encoding: b"",
        provider_request_id: None,
        envoys_code: Some(code),
        end: false,
    }
}

pub(super) fn tellings() -> Vec<Told> {
    vec![
        (
            "an answer",
            |d| {
                called(d)
                    .answer_head(200, "application/json")
                    .answer(&format!(r#"{{"choices":[{{"message":{{"content":"Hi"}}}}],{USAGE}}}"#), true);
            },
            "answered",
            answered(),
        ),
        (
            "a caller who hangs up before its body came",
            |d| {
                d.chat().resolved(Status::Active);
            },
            "caller_gone",
            json!({"status": null, "account": "acme", "model": null, "cost_pax": null}),
        ),
        (
            "a caller who hangs up in a stream",
            |d| {
                d.chat().resolved(Status::Active).body(&stream());
                d.answer_head(200, "text/event-stream")
                    .answer("data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n", false);
            },
            "caller_gone",
            json!({"status": 200, "provenance": "estimated", "stream": true, "output_tokens": 2}),
        ),
        (
            "an unknown model",
            |d| {
                d.chat().resolved(Status::Active).body(r#"{"model":"gpt-nothing","messages":[]}"#);
            },
            "refused",
            json!({"status": 404, "code": "model_not_found", "model": "gpt-nothing", "provider": null, "cost_pax": null}),
        ),
        (
            "a disabled account",
            |d| {
                d.chat().resolved(Status::Disabled);
            },
            "refused",
            json!({"status": 403, "code": "account_disabled", "account": "acme"}),
        ),
        (
            "an unknown path",
            |d| {
                d.head_of(&[(":method", "GET"), (":path", "/v2/x?key=sk-secret")], true);
            },
            "refused",
            json!({"status": 404, "code": "unknown_route", "method": "GET", "path": "/v2/x", "account": null}),
        ),
        (
            "a cap that it does not fit",
            |d| {
                d.tier = Tier::Free;
                d.opens = Err(NotOpened::Exceeded(DAILY));
                d.chat().resolved(Status::Active).body(&gate::free_body());
            },
            "refused",
            json!({
                "status": 429, "code": "daily_cap_exceeded", "limit_pax": "10.000000000000", "spent_pax": "9.000000000000",
                "in_flight_pax": "0.000000000007", "left_pax": "1.000000000000", "reserved_pax": null
            }),
        ),
        (
            "a provider's own error",
            |d| {
                called(d).answer_head(429, "application/json").answer("{}", true);
            },
            "provider_error",
            json!({"status": 429, "provider_status": 429, "code": null, "cost_pax": null, "provider": "fireworks"}),
        ),
        (
            "a platform's key that is refused",
            |d| {
                called(d).answer_head(401, "application/json");
            },
            "provider_failed",
            json!({"status": 502, "provider_status": 401, "code": "provider_refused_platform_key"}),
        ),
        (
            "a provider that cannot be reached",
            |d| {
                called(d).step(envoys(503, "upstream_unavailable"));
            },
            "provider_failed",
            json!({"status": 503, "provider_status": null, "code": "upstream_unavailable"}),
        ),
        (
            "a body that Envoy does not take",
            |d| {
                d.chat().resolved(Status::Active).step(envoys(413, "request_too_large"));
            },
            "refused",
            json!({"status": 413, "code": "request_too_large"}),
        ),
        (
            "a held answer that breaks off",
            |d| {
                called(d)
                    .answer_head(200, "application/json")
                    .answer(r#"{"choices":[{"message":{"content":"1234"#, false)
                    .step(Event::Closed(ClosedBy::Provider));
            },
            "provider_broke_off",
            json!({"status": 502, "provider_status": 200, "code": "upstream_cut", "provenance": "estimated"}),
        ),
        (
            "the list of models",
            |d| {
                d.head_of(
                    &[(":method", "GET"), (":path", "/v1/models"), ("authorization", "Bearer t")],
                    true,
                )
                .resolved(Status::Active);
            },
            "local",
            json!({"status": 200, "account": "acme", "path": "/v1/models"}),
        ),
    ]
}

#[test]
fn the_line_says_what_became_of_each_exchange() {
    for (name, happens, outcome, expected) in tellings() {
        let mut drive = Drive::new();
        happens(&mut drive);
        drive.hangs_up();
        let line = drive.line(7).unwrap_or_default();
        assert_eq!(line["outcome"], outcome, "{name}: {line}");
        assert_eq!(line["exchange_id"], drive.exchange.id().unwrap().to_string(), "{name}");
        assert_eq!((&line["v"], &line["duration_ms"]), (&json!(1), &json!(7)), "{name}");
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&line[key], value, "{name}: {key}");
        }
        let refused = drive.reply.as_ref().filter(|reply| reply.status != 200);
        let said: Value = refused.map_or(Value::Null, |reply| serde_json::from_slice(&reply.body).unwrap());
        assert_eq!(line["message"], said["error"]["message"], "{name}: the words that the caller got");
        assert!(!line.to_string().contains("secret"), "{name}");
    }
}

#[test]
fn every_line_has_the_same_keys_in_the_same_order() {
    let mut all: Vec<Vec<String>> = Vec::new();
    for (_, happens, _, _) in tellings() {
        let mut drive = Drive::new();
        happens(&mut drive);
        drive.hangs_up();
        let line = log_line::write(drive.exchange.id(), drive.exchange.story(), Tick::default()).unwrap();
        // Strings of the test have no such sequence.
        let keys = line.split("\":").map(|piece| piece.rsplit('"').next().unwrap_or_default().to_owned());
        all.push(keys.collect());
        all.last_mut().unwrap().pop();
    }
    all.dedup();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0].first().map(String::as_str), Some("v"));
}

#[test]
fn a_probe_and_a_stream_without_a_head_are_not_told() {
    let mut drive = Drive::new();
    assert_eq!(drive.line(0), None);
    drive.head_of(&[(":method", "GET"), (":path", "/healthz")], true).hangs_up();
    assert_eq!(drive.line(0), None);
}

#[test]
fn a_token_where_a_name_belongs_is_in_no_line() {
    for (path, told) in [
        ("/v1/mtx-0123456789abcdef/chat", "/v1/mtx-.../chat"),
        ("/v1/models#sk-0123456789", "/v1/models"),
        ("/sk-0123456789/gsk_0123456789", "/sk-.../gsk_..."),
        ("/v1/task-0123456789", "/v1/task-0123456789"),
        ("/v1/sk-short", "/v1/sk-short"),
    ] {
        let mut drive = Drive::new();
        drive.head_of(&[(":method", "GET"), (":path", path)], true).hangs_up();
        let line = drive.line(0).unwrap();
        assert_eq!(line["path"], told);
        assert!(!line["message"].as_str().unwrap().contains("0123456789abcdef"), "{line}");
    }
    let mut drive = Drive::new();
    let body = r#"{"model":"sk-live-0123456789","messages":[]}"#;
    drive.chat().resolved(Status::Active).body(body).hangs_up();
    let line = drive.line(0).unwrap();
    assert!(!line.to_string().contains("0123456789") && line["model"] == "sk-...", "{line}");
}

#[test]
fn nothing_in_a_line_steers_a_terminal() {
    let mut drive = Drive::new();
    let body = "{\"model\":\"gpt-\u{9b}31m\u{202e}x\u{2028}\u{7f}\",\"messages\":[]}";
    drive.chat().resolved(Status::Active).body(body).hangs_up();
    let line = log_line::write(drive.exchange.id(), drive.exchange.story(), Tick::default()).unwrap();
    assert!(line.contains(r"gpt-\u009b31m\u202ex\u2028\u007f"), "{line}");
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["model"], "gpt-\u{9b}31m\u{202e}x\u{2028}\u{7f}");
}

#[test]
fn what_callers_choose_is_bounded() {
    let mut drive = Drive::new();
    let (path, model) = (format!("/{}", "p".repeat(5_000)), "ü".repeat(2_000));
    drive.head_of(&[(":method", "GET"), (":path", &path)], true).hangs_up();
    assert_eq!(drive.line(0).unwrap()["path"].as_str().unwrap().len(), 256);
    let mut drive = Drive::new();
    drive.chat().resolved(Status::Active).body(&format!(r#"{{"model":"{model}","messages":[]}}"#)).hangs_up();
    let line = drive.line(0).unwrap();
    assert!(line["model"].as_str().is_none_or(|model| model.len() <= 256), "{line}");
    assert!(line.to_string().len() < 3_000, "{line}");
}
