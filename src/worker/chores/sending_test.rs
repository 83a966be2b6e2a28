#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use super::*;
use crate::memory::lanes::outbox::BATCH;
use crate::worker::fake::calls::{chat, refusal, served, serving, told};
use crate::worker::fake::{Ended, Native};

/// Replies the same to each debit of a question, as the ledger would.
fn says(native: &Native, body: &[u8], outcome: &str, message: Option<&str>) -> Ended {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let results: Vec<serde_json::Value> = lines
        .map(|line| {
            let debit: serde_json::Value = serde_json::from_slice(line).unwrap();
            let mut said =
                serde_json::json!({"exchange_id": debit["exchange_id"].clone(), "outcome": outcome});
            if let Some(message) = message {
                said["message"] = message.into();
            }
            said
        })
        .collect();
    assert!(native.ledger.borrow().debits().is_empty() || !results.is_empty());
    Ended::with(200, serde_json::json!({ "results": results }).to_string())
}

fn debits_total(native: &Native, result: &str) -> Option<u64> {
    native.state.metrics.of(&format!("pax_debits_total;result={result}"))
}

#[test]
fn a_full_batch_is_followed_by_the_next_at_once_and_the_rest_waits_for_the_tick() {
    let mut native = serving();
    for _ in 0..BATCH + 2 {
        served(&mut native, "tok-credit");
    }
    native.tick_after(20);
    let first = native.question(DEBITS_PATH);
    assert_eq!(first.body.split(|byte| *byte == b'\n').count(), BATCH + 1, "each closed by a line break");
    let ended = native.ledger.borrow_mut().answer(&first.path, &first.body);
    native.answer(&first, ended);
    let second = native.question(DEBITS_PATH);
    served(&mut native, "tok-credit");
    let ended = native.ledger.borrow_mut().answer(&second.path, &second.body);
    native.answer(&second, ended);
    assert!(!native.asks(DEBITS_PATH), "a batch for one debit would be the dearest part of it");
    assert_eq!(native.ledger.borrow().debits().len(), BATCH + 2);
    native.settle();
    assert_eq!(native.ledger.borrow().debits().len(), BATCH + 3);
    assert_eq!(debits_total(&native, "recorded"), Some(u64::try_from(BATCH).unwrap() + 3));
    assert_eq!(native.state.metrics.of("pax_outbox_waiting"), Some(0));
}

#[test]
fn a_batch_that_gets_no_fitting_answer_is_sent_again_to_the_byte_after_a_growing_wait() {
    let mut native = serving();
    served(&mut native, "tok-credit");
    native.tick_after(20);
    let first = native.question(DEBITS_PATH);
    let wrong = [
        Ended::none(),
        Ended::with(200, r#"{"results":[]}"#),
        Ended::with(200, "what"),
        Ended::with(500, r#"{"error":{"code":"database"}}"#),
    ];
    let mut told_of = Vec::new();
    let mut sent = first.clone();
    for (ended, wait_ms) in wrong.into_iter().zip([100, 200, 400, 800]) {
        native.answer(&sent, ended);
        told_of.extend(native.told().into_iter().map(|(_, line)| line));
        native.tick_after(wait_ms - 1);
        assert!(!native.asks(DEBITS_PATH), "{wait_ms}");
        native.tick_after(20);
        sent = native.question(DEBITS_PATH);
        assert_eq!(sent.body, first.body);
    }
    for what in ["none came in time", "0 answers to 1 debits", "status 500 database"] {
        assert!(told_of.iter().any(|line| line.contains(what)), "{what}: {told_of:?}");
    }
    let ended = native.ledger.borrow_mut().answer(&sent.path, &sent.body);
    native.answer(&sent, ended);
    native.settle();
    assert!(!native.asks(DEBITS_PATH) && native.ledger.borrow().debits().len() == 1);
}

#[test]
fn a_batch_that_could_not_be_sent_is_tried_again_later() {
    let mut native = serving();
    served(&mut native, "tok-credit");
    native.around.refuses.set(Some(crate::worker::host::HostStatus(10)));
    native.tick_after(20);
    native.around.refuses.set(None);
    native.tick_after(80);
    assert!(!native.asks(DEBITS_PATH));
    native.tick_after(20);
    assert!(native.asks(DEBITS_PATH));
}

#[test]
fn an_estimate_that_is_superseded_is_acknowledged_and_counted_and_no_trouble() {
    let mut native = serving();
    served(&mut native, "tok-credit");
    native.tick_after(20);
    let question = native.question(DEBITS_PATH);
    let ended = says(&native, &question.body, "superseded", None);
    native.answer(&question, ended);
    native.settle();
    assert!(!native.asks(DEBITS_PATH) && told(&native, Level::Error).is_empty());
    assert_eq!(debits_total(&native, "superseded"), Some(1));
    assert_eq!(native.state.metrics.of("pax_outbox_waiting"), Some(0));
}

#[test]
fn what_the_ledger_quarantines_is_told_with_its_reason_and_not_sent_again() {
    let mut native = serving();
    for (outcome, reason, expected) in
        [("conflict", Some("other bytes"), "other bytes"), ("rejected", None, "no reason given")]
    {
        served(&mut native, "tok-credit");
        native.tick_after(20);
        let question = native.question(DEBITS_PATH);
        let ended = says(&native, &question.body, outcome, reason);
        native.answer(&question, ended);
        let lines = told(&native, Level::Error);
        assert!(
            lines.len() == 1 && lines[0].starts_with("the ledger quarantined the debit of "),
            "{lines:?}"
        );
        assert!(lines[0].ends_with(expected), "{lines:?}");
        assert_eq!(debits_total(&native, outcome), Some(1));
        native.settle();
        assert!(!native.asks(DEBITS_PATH));
    }
    served(&mut native, "tok-credit");
    native.tick_after(20);
    let question = native.question(DEBITS_PATH);
    let ended = says(&native, &question.body, "duplicate", None);
    native.answer(&question, ended);
    assert_eq!((debits_total(&native, "duplicate"), told(&native, Level::Error).len()), (Some(1), 0));
}

#[test]
fn debits_that_the_ledger_does_not_read_yet_wait_aside_and_are_told_of_rarely() {
    let mut native = serving();
    let unread = |native: &mut Native| {
        let question = native.question(DEBITS_PATH);
        let ended = says(native, &question.body, "unsupported", None);
        native.answer(&question, ended);
    };
    served(&mut native, "tok-credit");
    native.tick_after(20);
    unread(&mut native);
    let lines = told(&native, Level::Warn);
    assert!(lines.len() == 1 && lines[0].contains("Upgrade the ledger before its Envoys"), "{lines:?}");
    native.tick_after(100);
    assert_eq!(native.state.metrics.of("pax_debits_unsupported"), Some(1));
    unread(&mut native);
    assert_eq!(told(&native, Level::Warn), [""; 0], "once a minute");
    native.tick_after(5_000);
    let question = native.question(DEBITS_PATH);
    let ended = native.ledger.borrow_mut().answer(&question.path, &question.body);
    native.answer(&question, ended);
    native.settle();
    assert_eq!(native.state.metrics.of("pax_debits_unsupported"), Some(0));
    assert_eq!(native.ledger.borrow().debits().len(), 1);
}

#[test]
fn each_worker_sends_its_own_debits_at_once() {
    let mut native = serving();
    let mut other = native.beside();
    assert!(other.configure(crate::worker::fake::calls::gateway()));
    other.settle();
    served(&mut native, "tok-credit");
    served(&mut other, "tok-credit");
    native.tick_after(20);
    other.tick_after(20);
    let bodies = [native.question(DEBITS_PATH).body, other.question(DEBITS_PATH).body];
    let lines = bodies.each_ref().map(|body| body.iter().filter(|byte| **byte == b'\n').count());
    assert_eq!(lines, [1, 1]);
    assert_ne!(bodies[0], bodies[1]);
}

#[test]
fn what_the_ledger_acknowledged_counts_for_the_day_as_the_ledger_says() {
    let mut native = serving();
    served(&mut native, "tok-free");
    native.tick_after(20);
    let question = native.question(DEBITS_PATH);
    let mut said = says(&native, &question.body, "recorded", None);
    let standing =
        serde_json::json!({"utc_day": "2026-06-01", "spent_pax": "10", "account_seq": 9, "epoch": 1});
    let mut results: serde_json::Value = serde_json::from_slice(&said.body).unwrap();
    results["results"][0]["standing"] = standing;
    said.body = results.to_string().into_bytes();
    native.answer(&question, said);
    let call = chat(&native, "tok-free", &crate::worker::fake::calls::hello());
    assert_eq!(refusal(&native, call), "429 daily_cap_exceeded");
}
