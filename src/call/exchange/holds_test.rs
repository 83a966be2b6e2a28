//! The ledger's answers to a hold, as an exchange sees them.

use super::*;
use crate::base::refusal::refusals::Refusal;

/// A call of the credit tier that waits for its hold.
fn waiting() -> Drive {
    let mut drive = Drive::new();
    drive.holds = None;
    drive.chat().resolved(Status::Active).body(&hello());
    assert_eq!((drive.owed(), drive.held.len()), (1, 1));
    assert!(drive.exchange.request_waits() && drive.forward.is_none() && drive.reply.is_none());
    drive
}

#[test]
fn each_answer_has_its_refusal_and_only_an_answer_that_did_not_come_is_voided() {
    let reply = |outcome| Ok(hold_reply(outcome));
    for (answer, code, voids) in [
        (reply(HoldOutcome::Closed), "503 ledger_unavailable", 0),
        (reply(HoldOutcome::Rejected), "503 ledger_unavailable", 0),
        (reply(HoldOutcome::AccountDisabled), "403 account_disabled", 0),
        (reply(HoldOutcome::UnknownToken), "401 invalid_api_key", 0),
        (reply(HoldOutcome::InsufficientCredit), "402 insufficient_credit", 0),
        (reply(HoldOutcome::DailyCapExceeded), "429 daily_cap_exceeded", 0),
        (Err(NoHold::NotAsked), "503 ledger_unavailable", 0),
        (Err(NoHold::NotAnswered), "503 ledger_unavailable", 1),
    ] {
        let mut drive = waiting();
        drive.step(Event::Held(answer));
        assert_eq!(drive.code(), code);
        assert_eq!((drive.owed(), drive.gate.voids()), (0, voids), "{code}");
        // The answer that comes again, or late, changes nothing.
        drive.step(Event::Held(Ok(hold_reply(HoldOutcome::Held))));
        assert!(drive.exchange.request_waits() && drive.forward.is_none());
    }
}

#[test]
fn a_call_that_ends_while_it_waits_for_its_hold_is_voided() {
    for event in [
        Event::Closed(ClosedBy::Caller),
        Event::NoRoom(Full::All),
        Event::AnswerHead {
            status: 408,
            content_type: b"",
            content_encoding: b"",
            provider_request_id: None,
            envoys_code: Some("request_timeout"),
            end: true,
        },
    ] {
        let mut drive = waiting();
        drive.step(event);
        assert_eq!((drive.owed(), drive.gate.voids()), (0, 1));
        drive.step(Event::Held(Ok(hold_reply(HoldOutcome::Held))));
        assert!(drive.exchange.request_waits() && drive.forward.is_none(), "it went on after that");
    }
}

#[test]
fn a_call_goes_on_with_its_hold_and_a_call_that_is_not_charged_voids_it() {
    let mut drive = waiting();
    drive.step(Event::Held(Ok(hold_reply(HoldOutcome::Held))));
    assert!(drive.forward.is_some() && drive.owed() == 1);
    drive.answer_head(429, "application/json");
    assert_eq!((drive.owed(), drive.gate.voids()), (0, 1));
}

#[test]
fn what_is_short_is_said_with_the_ways_out() {
    let refusal = |balance: &str, needed: &str| {
        let [balance, held, needed] = [balance, "1", needed].map(|pax| pax.parse().unwrap());
        let less = crate::base::refusal::refusals::CostLess::LowerMaximum;
        Refusal::InsufficientCredit { balance, held, needed, own_keys: true, less }
    };
    let waits = refusal("2", "2");
    assert_eq!(waits.headers(), [("retry-after", "1")], "what is held may come back");
    assert!(waits.message().starts_with("Wait for the calls in flight to end, ask the gateway's operator"));
    let short = refusal("2", "3");
    assert_eq!(short.headers(), [("x-should-retry", "false")]);
    assert_eq!(
        short.message(),
        "Ask the gateway's operator for more credit, lower max_tokens or call with a provider key of your own in \
         X-Matrix-BYO-API-Key: this call can cost up to 3 PAX, and of this account's 2 PAX 1 are set aside for calls in flight."
    );
    assert!(!refusal("-1", "3").message().contains("max_tokens"), "no call fits a debt");
}
