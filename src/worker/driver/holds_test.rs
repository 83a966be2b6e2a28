#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use serde_json::{Value, json};

use crate::base::exchange_id::ExchangeId;
use crate::base::wire::{DEBITS_PATH, HOLDS_PATH, HoldRequest, LEASE_PATH, RESOLVE_PATH, Void};
use crate::debit::frozen::{Debit, Ending};
use crate::worker::fake::calls::{
    COST, USAGE, answer, chat, get, hello, is_forwarded, open_accounts, refusal, reply, serving_by, told,
};
use crate::worker::fake::{Ended, Native, Question, Stream};
use crate::worker::host::{HeaderMap, Level};

/// A worker whose calls are all admitted by the ledger.
fn serving() -> Native {
    serving_by(|config| config["gate"] = json!({"admission": {"free": "ledger"}}))
}

/// The two lines of a question for a hold.
fn lines(question: &Question) -> (HoldRequest, Debit) {
    let end = question.body.iter().position(|byte| *byte == b'\n').unwrap();
    let request = serde_json::from_slice(&question.body[..end]).unwrap();
    (request, Debit::from_canonical(&question.body[end + 1..]).unwrap())
}

/// A call that waits for its hold, and the question for it.
fn waiting(native: &mut Native, token: &str) -> (u32, Question) {
    let call = chat(native, token, &hello());
    if native.asks(RESOLVE_PATH) || !native.asks(HOLDS_PATH) {
        native.tick();
        let resolve = native.question(RESOLVE_PATH);
        answered_by_ledger(native, &resolve);
    }
    assert!(!is_forwarded(native, call));
    (call, native.question(HOLDS_PATH))
}

fn answered_by_ledger(native: &mut Native, question: &Question) {
    let ended = native.ledger.borrow_mut().answer(&question.path, &question.body);
    native.answer(question, ended);
}

/// The voids among the lines that are sent next.
fn voids(native: &mut Native) -> Vec<ExchangeId> {
    native.tick_after(20);
    if !native.asks(DEBITS_PATH) {
        return Vec::new();
    }
    let question = native.question(DEBITS_PATH);
    answered_by_ledger(native, &question);
    let lines = question.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| serde_json::from_slice::<Void>(line).ok()).map(|void| void.void).collect()
}

fn open_holds(native: &Native) -> usize {
    native.ledger.borrow().held().count()
}

fn header<'a>(stream: &'a Stream, name: &str) -> Option<&'a str> {
    let headers = stream.maps.get(&HeaderMap::Answer).unwrap();
    let (_, value) = headers.iter().find(|(found, _)| found == name)?;
    Some(std::str::from_utf8(value).unwrap())
}

fn body(native: &Native, call: u32) -> Value {
    serde_json::from_slice(&reply(native, call).unwrap().body).unwrap()
}

#[test]
fn a_call_goes_on_when_its_hold_is_durable_and_its_debit_ends_the_hold() {
    for token in ["tok-credit", "tok-free"] {
        let mut native = serving();
        // The second call finds its token in the cache, so its stream asks in a callback of its own.
        for _ in 0..2 {
            let (call, question) = waiting(&mut native, token);
            let (hold, lost) = lines(&question);
            assert_eq!(hold.hold_pax.to_string(), "0.000064934383", "the most that it can cost");
            assert_eq!(hold.card_cap_pax.map(|cap| cap.short()), (token == "tok-free").then(|| "10".into()));
            assert_eq!((lost.ending, lost.hold_id), (Ending::Lost, Some(lost.exchange_id.to_string())));
            assert_eq!(native.records().len(), 1);
            answered_by_ledger(&mut native, &question);
            assert!(is_forwarded(&native, call));
            assert_eq!(open_holds(&native), 1);
            answer(&native, call, "application/json", &format!(r#"{{"choices":[{{}}],{USAGE}}}"#));
            let _ = native.proxy().close(call).unwrap();
            native.settle();
            assert_eq!((open_holds(&native), native.records()), (0, Vec::new()));
        }
        let debits = native.ledger.borrow().debits().to_vec();
        assert_eq!(debits.len(), 2);
        for (debit, _) in debits {
            assert_eq!(debit.hold_id, Some(debit.exchange_id.to_string()));
            assert_eq!(debit.cost_pax.to_string(), COST);
        }
    }
}

#[test]
fn an_answer_tells_what_is_left() {
    let mut native = serving();
    native.ledger.borrow_mut().credit("credit", "1".parse().unwrap());
    let (call, question) = waiting(&mut native, "tok-credit");
    answered_by_ledger(&mut native, &question);
    answer(&native, call, "application/json", &format!(r#"{{"choices":[{{}}],{USAGE}}}"#));
    let stream = native.proxy().close(call).unwrap();
    assert_eq!(header(&stream, "x-matrix-balance-pax"), Some("0.999999055118"));
    assert_eq!(header(&stream, "x-matrix-daily-spent-pax"), None);
    let (call, question) = waiting(&mut native, "tok-free");
    answered_by_ledger(&mut native, &question);
    answer(&native, call, "application/json", &format!(r#"{{"choices":[{{}}],{USAGE}}}"#));
    let stream = native.proxy().close(call).unwrap();
    assert_eq!(header(&stream, "x-matrix-balance-pax"), None);
    assert_eq!(header(&stream, "x-matrix-daily-spent-pax"), Some(COST));
    assert_eq!(header(&stream, "x-matrix-daily-remaining-pax"), Some("9.999999055118"));
}

#[test]
fn without_credit_a_call_is_refused_and_nothing_is_left_behind() {
    let mut native = serving();
    native.ledger.borrow_mut().credit("credit", "0.0001".parse().unwrap());
    let (_open, question) = waiting(&mut native, "tok-credit");
    answered_by_ledger(&mut native, &question);
    let (call, question) = waiting(&mut native, "tok-credit");
    answered_by_ledger(&mut native, &question);
    assert_eq!(refusal(&native, call), "402 insufficient_credit");
    let error = &body(&native, call)["error"];
    let means = ["balance_pax", "held_pax", "needed_pax"].map(|name| error[name].as_str().unwrap());
    assert_eq!(means, ["0.000100000000", "0.000064934383", "0.000064934383"]);
    assert_eq!(native.records().len(), 1, "that of the other call");
    assert_eq!(voids(&mut native), [], "the ledger has not made the hold");
}

#[test]
fn a_free_tier_that_the_ledger_admits_is_held_to_its_cap_there() {
    let mut native = serving();
    {
        let mut ledger = native.ledger.borrow_mut();
        let account = crate::base::account::Account {
            account: "free".to_owned(),
            tier: crate::base::account::Tier::Free,
            status: crate::base::account::Status::Active,
            token_id: "id-free".to_owned(),
            daily_cap_pax: Some("0.00006".parse().unwrap()),
            canon_v: 2,
        };
        ledger.open("tok-free", account);
    }
    let (call, question) = waiting(&mut native, "tok-free");
    answered_by_ledger(&mut native, &question);
    assert_eq!(refusal(&native, call), "429 daily_cap_exceeded");
    assert_eq!(body(&native, call)["error"]["limit_pax"], "0.000060000000");
}

#[test]
fn a_hold_that_is_not_answered_is_voided_and_so_is_that_of_a_caller_who_hangs_up() {
    let mut native = serving();
    // One connection may break. After a second failure in a row the ledger counts as away until a probe is answered.
    for _ in 0..2 {
        let (call, question) = waiting(&mut native, "tok-credit");
        native.answer(&question, Ended::none());
        assert_eq!(refusal(&native, call), "503 ledger_unavailable");
        let id = lines(&question).1.exchange_id;
        assert_eq!(voids(&mut native), [id]);
        assert_eq!(native.records(), Vec::<String>::new());
    }
    let early = chat(&native, "tok-credit", &hello());
    assert_eq!(
        (refusal(&native, early).as_str(), native.asks(HOLDS_PATH)),
        ("503 ledger_unavailable", false)
    );
    native.tick_after(600);
    native.ledger_answers();

    let (call, question) = waiting(&mut native, "tok-credit");
    let _ = native.proxy().close(call).unwrap();
    // The ledger makes the hold after that.
    answered_by_ledger(&mut native, &question);
    assert_eq!(open_holds(&native), 1);
    assert_eq!(voids(&mut native), [lines(&question).1.exchange_id]);
    assert_eq!((open_holds(&native), native.records()), (0, Vec::new()));
}

#[test]
fn a_call_that_is_not_charged_has_its_hold_voided() {
    let mut native = serving();
    let (call, question) = waiting(&mut native, "tok-credit");
    answered_by_ledger(&mut native, &question);
    native.answer_head(call, &crate::worker::fake::calls::head("429", &[]), true);
    let _ = native.proxy().close(call).unwrap();
    assert_eq!(voids(&mut native), [lines(&question).1.exchange_id]);
    assert_eq!(open_holds(&native), 0);
}

#[test]
fn a_ledger_that_is_known_to_be_away_is_not_asked_and_leaves_no_voids() {
    let mut native = serving();
    let (call, question) = waiting(&mut native, "tok-credit");
    answered_by_ledger(&mut native, &question);
    let _ = native.proxy().close(call).unwrap();
    native.settle();
    native.tick_after(2_100);
    let probe = native.question(crate::base::wire::STANDINGS_PATH);
    native.answer(&probe, Ended::none());
    let call = chat(&native, "tok-credit", &hello());
    assert_eq!(refusal(&native, call), "503 ledger_unavailable");
    assert!(!native.asks(HOLDS_PATH));
    native.around.questions.borrow_mut().clear();
    assert_eq!(voids(&mut native), []);
}

#[test]
fn a_ledger_that_makes_no_holds_is_told_of() {
    let mut native = serving();
    let account = crate::base::account::Account {
        account: "old".to_owned(),
        tier: crate::base::account::Tier::Credit,
        status: crate::base::account::Status::Active,
        token_id: "id-old".to_owned(),
        daily_cap_pax: None,
        canon_v: 1,
    };
    let resolved = json!({"account": account, "standing": {"utc_day": "2026-06-01", "spent_pax": "0.000000000000",
        "account_seq": 0, "epoch": 1}});
    let call = chat(&native, "tok-old", &hello());
    native.tick();
    let question = native.question(RESOLVE_PATH);
    native.answer(&question, Ended::with(200, resolved.to_string()));
    assert_eq!(refusal(&native, call), "503 ledger_unavailable");
    assert!(told(&native, Level::Error).iter().any(|line| line.contains("Upgrade the ledger")));
}

#[test]
fn a_call_with_a_key_of_the_callers_own_needs_no_hold() {
    let mut native = serving();
    open_accounts(&native);
    let head = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "gateway.test"),
        ("authorization", "Bearer tok-credit"),
        ("x-matrix-byo-api-key", "sk-own"),
    ];
    let call = native.head(&head, false);
    native.proxy().request_body(call, hello().as_bytes(), true);
    native.tick();
    let resolve = native.question(RESOLVE_PATH);
    answered_by_ledger(&mut native, &resolve);
    assert!(is_forwarded(&native, call) && !native.asks(HOLDS_PATH));
}

#[test]
fn one_worker_renews_the_lease_of_its_envoy_every_ten_seconds() {
    let mut native = serving();
    let mut beside = native.beside();
    assert!(beside.configure_by(&crate::worker::fake::calls::config(|_| ())));
    let mut renewed = 0;
    for _ in 0..31 {
        for worker in [&mut native, &mut beside] {
            worker.tick_after(500);
            while worker.asks(LEASE_PATH) {
                let question = worker.question(LEASE_PATH);
                answered_by_ledger(worker, &question);
                renewed += 1;
            }
            worker.ledger_answers();
        }
    }
    assert_eq!(renewed, 3, "in 31 seconds; the first one was before");
    // Credits need no hold either.
    let call = get(&native, "GET", "/v1/credits", "tok-credit", true);
    assert!(!is_forwarded(&native, call) || !native.asks(HOLDS_PATH));
}
