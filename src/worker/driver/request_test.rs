//! The driver from a request's first header until the request goes on, or is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use crate::base::pax::Pax;
use crate::base::wire::{RESOLVE_PATH, ResolveRequest};
use crate::memory::lanes::debit_cell::DebitBytes;
use crate::memory::lanes::outbox;
use crate::memory::shared::SharedData;
use crate::worker::fake::calls::{
    asks_about_accounts, chat, chat_head, forwarded, get, head, header, hello, is_forwarded, refusal, reply,
    served, serving, serving_by, told,
};
use crate::worker::fake::{Call, Ended, Native, Upstream};
use crate::worker::host::Level;

fn upstream(native: &Native, call: u32) -> Upstream {
    native.state.stream(call, |stream| stream.upstream.clone()).unwrap().expect("it went on")
}

/// The host calls that were made during `work`: the name of each, and what it was about.
fn calls(native: &mut Native, work: impl FnOnce(&mut Native)) -> Vec<String> {
    native.state.calls.replace(Some(Vec::new()));
    work(native);
    let calls = native.state.calls.take().unwrap();
    calls.iter().map(|Call(name, about)| format!("{name} {about}")).collect()
}

#[test]
fn a_call_waits_until_its_root_has_asked_whose_token_it_is_and_the_next_does_not() {
    let mut native = serving();
    let call = chat_head(&native, "tok-credit");
    assert!(
        !native.asks(RESOLVE_PATH),
        "a stream that asked would take the answer of all others into its grave"
    );
    assert_eq!(native.state.tick_ms.get(), Some(1), "its root asks at once");
    native.proxy().request_body(call, hello().as_bytes(), true);
    native.tick();
    assert_eq!(native.state.tick_ms.get(), Some(20));
    let question = native.question(RESOLVE_PATH);
    assert_eq!(question.cluster, "ledger_resolve");
    let asked: ResolveRequest = serde_json::from_slice(&question.body).unwrap();
    assert_eq!(asked.utc_day.to_string(), "2026-06-01");
    assert!(!is_forwarded(&native, call));
    let ended = native.ledger.borrow_mut().answer(&question.path, &question.body);
    native.answer(&question, ended);
    let sent = upstream(&native, call);
    assert_eq!(sent.mark, "fireworks");
    assert_eq!(header(&sent.headers, ":path").as_deref(), Some("/inference/v1/chat/completions"));
    assert_eq!(header(&sent.headers, "cookie"), None, "an allow-list");
    assert_eq!(header(&sent.headers, "authorization"), None);

    let next = chat(&native, "tok-credit", &hello());
    assert!(is_forwarded(&native, next) && !native.asks(RESOLVE_PATH), "it is remembered");
}

#[test]
fn a_token_that_nobody_has_is_refused_and_remembered_as_such() {
    let mut native = serving();
    let call = chat(&native, "tok-nobody", &hello());
    native.tick();
    native.ledger_answers();
    assert_eq!(refusal(&native, call), "401 invalid_api_key");
    assert!(!is_forwarded(&native, call));
    let next = chat(&native, "tok-nobody", &hello());
    assert_eq!(refusal(&native, next), "401 invalid_api_key");
    assert!(!native.asks(RESOLVE_PATH));
    native.tick_after(5_000);
    chat(&native, "tok-nobody", &hello());
    native.tick();
    assert!(native.asks(RESOLVE_PATH), "not for longer than its time to live");
}

#[test]
fn while_the_ledger_is_away_an_account_is_served_for_its_grace_and_then_refused() {
    let mut native = serving();
    forwarded(&mut native, "tok-credit", &hello());
    // It has expired a second ago.
    native.tick_after(31_000);
    native.ledger_answers();
    let call = chat(&native, "tok-credit", &hello());
    native.tick();
    let question = native.question(RESOLVE_PATH);
    let meanwhile = chat(&native, "tok-credit", &hello());
    assert!(is_forwarded(&native, meanwhile), "while the ledger is asked anyway, nobody else waits");
    assert!(!is_forwarded(&native, call));
    native.answer(&question, Ended::none());
    assert!(is_forwarded(&native, call));

    native.tick_after(1_500);
    let late = chat(&native, "tok-credit", &hello());
    native.tick();
    let question = native.question(RESOLVE_PATH);
    native.answer(&question, Ended::none());
    assert_eq!(refusal(&native, late), "503 ledger_unavailable");
}

#[test]
fn a_free_account_whose_day_is_not_known_is_asked_about_anew_and_once() {
    let mut native = serving();
    let call = chat(&native, "tok-free", &hello());
    native.tick();
    let question = native.question(RESOLVE_PATH);
    // The ledger's answer is about another day than the question.
    let ended = native.ledger.borrow_mut().answer(&question.path, &question.body);
    let yesterday = String::from_utf8(ended.body.clone()).unwrap().replace("2026-06-01", "2026-05-31");
    native.answer(&question, Ended::with(200, yesterday));
    assert!(!is_forwarded(&native, call) && refusal(&native, call).is_empty(), "it waits");
    native.tick();
    let question = native.question(RESOLVE_PATH);
    native.answer(&question, ended);
    assert!(is_forwarded(&native, call));
    assert_eq!(native.records().len(), 1);
}

#[test]
fn more_tokens_than_may_wait_are_refused_and_the_operator_is_told_once() {
    // Streams that wait take memory. Here strangers may have enough of it.
    let native = serving_by(|config| config["limits"]["unknown_caller_bytes"] = 1_073_741_824.into());
    let waits: Vec<u32> = (0..4_096).map(|n| chat_head(&native, &format!("tok-{n}"))).collect();
    assert!(waits.iter().all(|call| reply(&native, *call).is_none()));
    for n in 4_096..4_099 {
        let call = chat_head(&native, &format!("tok-{n}"));
        assert_eq!(refusal(&native, call), "503 ledger_unavailable");
    }
    let told = told(&native, Level::Error);
    assert!(told.len() == 1 && told[0].starts_with("too many tokens"), "{told:?}");
    let same = chat_head(&native, "tok-0");
    assert!(reply(&native, same).is_none(), "a token that is asked about anyway asks for nothing more");
}

#[test]
fn without_random_bytes_a_call_is_refused_and_they_are_asked_for_sixty_four_calls_at_a_time() {
    let mut native = serving();
    let asked = calls(&mut native, |native| {
        for _ in 0..130 {
            get(native, "GET", "/healthz", "none", true);
        }
    });
    assert_eq!(asked.iter().filter(|call| call.starts_with("random_get")).count(), 3);

    let mut native = serving();
    native.around.has_random.set(false);
    for _ in 0..2 {
        let call = chat_head(&native, "tok-credit");
        assert_eq!(refusal(&native, call), "503 gateway_disabled");
        native.reply_passes(call);
        let stream = native.proxy().close(call).unwrap();
        assert!(stream.upstream.is_none());
        assert_eq!(stream.filter_state.get("pax"), None, "it has no id to be told by");
    }
    let lines = told(&native, Level::Error);
    assert!(lines.len() == 1 && lines[0].contains("random_get"), "{lines:?}");
    native.around.has_random.set(true);
    forwarded(&mut native, "tok-credit", &hello());
}

#[test]
fn where_every_lane_is_taken_calls_are_refused_and_both_reasons_are_told_once() {
    let native = serving();
    let mut other = native.beside();
    assert!(other.configure(crate::worker::fake::calls::gateway()));
    for lane in 0..1_024 {
        // The lane of another VM that is alive.
        native.around.shared.set(&format!("pax/2/lane/{lane}"), &[9; 32]);
    }
    other.settle();
    let _ = other.told();
    for _ in 0..2 {
        let call = chat(&other, "tok-credit", &hello());
        other.tick();
        other.ledger_answers();
        assert_eq!(refusal(&other, call), "503 ledger_unavailable");
    }
    let lines = told(&other, Level::Error);
    assert_eq!(lines.iter().filter(|line| line.starts_with("a call found no place")).count(), 1, "{lines:?}");
    // This was told when the worker started, and is not told again within the minute.
    assert!(!lines.iter().any(|line| line.starts_with("every lane")), "{lines:?}");
}

#[test]
fn at_the_outboxes_bound_calls_are_refused_and_it_is_told() {
    let mut native = serving();
    let put = |count: usize| {
        let debit = DebitBytes::new(None, Pax::ZERO, b"{}");
        native.vm().with(|vm| (0..count).for_each(|_| vm.outbox().put(debit.clone(), None))).unwrap();
    };
    put(outbox::REFUSE_FROM - 1);
    let call = chat(&native, "tok-credit", &hello());
    native.tick();
    native.ledger_answers();
    assert!(is_forwarded(&native, call), "there is room for one more");
    native.vm().with(|vm| vm.outbox().put(DebitBytes::new(None, Pax::ZERO, b"{}"), None)).unwrap();
    for _ in 0..2 {
        let call = chat(&native, "tok-credit", &hello());
        assert_eq!(refusal(&native, call), "503 ledger_unavailable");
    }
    let lines = told(&native, Level::Error);
    let full = lines.iter().filter(|line| line.starts_with("too many debits wait")).count();
    assert_eq!(full, 1, "{lines:?}");
    let ready = get(&native, "GET", "/readyz", "none", true);
    assert_eq!(reply(&native, ready).unwrap().status, 503);
}

#[test]
fn trailers_end_a_request_and_none_goes_on() {
    let mut native = serving();
    forwarded(&mut native, "tok-credit", &hello());
    let call = chat_head(&native, "tok-credit");
    native.proxy().request_body(call, hello().as_bytes(), false);
    assert!(!is_forwarded(&native, call));
    native.proxy().request_trailers(call, &head("0", &[("x-secret", "1")]));
    assert_eq!(upstream(&native, call).body, hello().as_bytes());
    let trailers = native
        .state
        .stream(call, |stream| stream.maps[&crate::worker::host::HeaderMap::RequestTrailers].len());
    assert_eq!(trailers, Some(0));
}

#[test]
fn the_mark_is_set_before_the_headers_and_those_before_the_one_that_makes_envoy_choose_the_route() {
    let mut native = serving();
    forwarded(&mut native, "tok-credit", &hello());
    let call = chat_head(&native, "tok-credit");
    let made = calls(&mut native, |native| native.proxy().request_body(call, hello().as_bytes(), true));
    let from = made.iter().position(|call| call == "set_property pax_provider").expect("a mark");
    let expected = [
        "set_property pax_provider",
        "set_header_map_pairs Request",
        "replace_header_map_value Request content-length",
    ];
    assert_eq!(made[from..], expected, "and nothing of the body, which goes on as it is");

    let stream = hello().replacen('{', "{\"stream\":true,", 1);
    let call = chat_head(&native, "tok-credit");
    let made = calls(&mut native, |native| native.proxy().request_body(call, stream.as_bytes(), true));
    let from = made.iter().position(|call| call == "set_property pax_provider").expect("a mark");
    assert_eq!(made[from..from + 3], expected);
    assert_eq!(made[from + 3..], ["set_buffer_bytes Request"]);
    let sent = upstream(&native, call);
    let body = String::from_utf8(sent.body).unwrap();
    assert!(body.contains(r#""stream_options":{"include_usage":true}"#), "{body}");
    assert_eq!(header(&sent.headers, "content-length"), Some(body.len().to_string()));
}

#[test]
fn a_body_is_read_up_to_its_last_edit_and_what_comes_after_it_stays() {
    let mut native = serving();
    forwarded(&mut native, "tok-credit", &hello());
    let padding = "x".repeat(20_000);
    // The caller's stream options are edited where they are: near the front, or behind 20 kB.
    let options = r#""stream":true,"stream_options":{"include_usage":false}"#;
    let hello = hello();
    let rest = hello.strip_prefix('{').unwrap();
    for (body, writes) in [
        (format!("{{{options},\"metadata\":{{\"a\":\"{padding}\"}},{rest}"), 1),
        (format!("{{\"metadata\":{{\"a\":\"{padding}\"}},{options},{rest}"), 4),
    ] {
        let call = chat_head(&native, "tok-credit");
        let made = calls(&mut native, |native| native.proxy().request_body(call, body.as_bytes(), true));
        let written = made.iter().filter(|call| *call == "set_buffer_bytes Request").count();
        assert_eq!(written, writes, "a long front is not joined");
        let sent = upstream(&native, call);
        let expected = body.replace("false", "true");
        assert_eq!(String::from_utf8(sent.body).unwrap(), expected);
    }
}

#[test]
fn a_request_that_could_not_be_marked_is_not_changed_in_any_other_way_and_it_is_told() {
    let mut native = serving();
    forwarded(&mut native, "tok-credit", &hello());
    native.state.failing.replace(vec!["set_property"]);
    let call = chat_head(&native, "tok-credit");
    let made = calls(&mut native, |native| native.proxy().request_body(call, hello().as_bytes(), true));
    assert!(!made.iter().any(|call| call.contains("header_map") && !call.starts_with("get")), "{made:?}");
    let lines = told(&native, Level::Error);
    assert_eq!(lines, ["Envoy did not let the filter send a request on: status 4294967295"]);
}

#[test]
fn a_call_for_credits_goes_to_the_ledger_with_whose_it_is_and_is_not_metered() {
    let mut native = serving();
    let call = get(&native, "GET", "/v1/credits", "tok-free", true);
    native.tick();
    native.ledger_answers();
    let sent = upstream(&native, call);
    assert_eq!(sent.mark, "pax/credits");
    assert_eq!(header(&sent.headers, "x-pax-account").as_deref(), Some("free"));
    assert_eq!(header(&sent.headers, "accept-encoding").as_deref(), Some("identity"));
    native.answer_head(call, &head("200", &[("content-type", "application/json")]), false);
    native.proxy().answer_body(call, b"{}", true);
    let stream = native.proxy().close(call).unwrap();
    assert_eq!(stream.passed, b"{}");
    assert!(header(stream.passed_head.as_deref().unwrap(), "x-request-id").is_some());
    native.settle();
    assert!(native.ledger.borrow().debits().is_empty() && native.records().is_empty());
    assert_eq!(native.state.metrics.sum("pax_calls_total"), 1);
}

#[test]
fn what_waits_when_its_caller_goes_is_forgotten() {
    let mut native = serving();
    let call = chat(&native, "tok-credit", &hello());
    native.tick();
    native.proxy().close(call).unwrap();
    native.ledger_answers();
    assert!(native.told().is_empty() && native.records().is_empty());
    let next = chat(&native, "tok-credit", &hello());
    assert!(is_forwarded(&native, next), "what the ledger said is remembered all the same");
}

#[test]
fn what_an_account_has_spent_elsewhere_counts_once_the_ledger_says_so() {
    let mut native = serving();
    served(&mut native, "tok-free");
    native.settle();
    // Another Envoy has spent the rest of the day.
    native.tick_after(4_990);
    let (question, _) = asks_about_accounts(&mut native).expect("five seconds are over");
    let ended = native.ledger.borrow_mut().answer(&question.path, &question.body);
    let mut reply: serde_json::Value = serde_json::from_slice(&ended.body).unwrap();
    reply["standings"][0]["spent_pax"] = "10".into();
    reply["standings"][0]["account_seq"] = 7.into();
    native.answer(&question, Ended::with(200, reply.to_string()));
    let call = chat(&native, "tok-free", &hello());
    assert_eq!(refusal(&native, call), "429 daily_cap_exceeded");
    assert!(native.records().is_empty());
}
