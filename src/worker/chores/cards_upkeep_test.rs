#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use super::*;
use crate::worker::fake::calls::{self, chat, config, gateway, now, refusal, served, told};
use crate::worker::fake::{Ended, Native};
use crate::worker::host::HostStatus;

fn unconfigured() -> Native {
    let native = Native::new(Rc::default(), now());
    calls::open_accounts(&native);
    native
}

fn accepted(native: &mut Native) {
    let question = native.question(CARDS_PATH);
    let ended = native.ledger.borrow_mut().answer(&question.path, &question.body);
    native.answer(&question, ended);
}

#[test]
fn calls_are_priced_by_cards_from_the_moment_on_in_which_the_ledger_has_them() {
    let mut native = unconfigured();
    assert!(native.configure(gateway()));
    native.tick();
    let early = chat(&native, "tok-credit", &calls::hello());
    native.tick();
    let resolve = native.question(crate::base::wire::RESOLVE_PATH);
    let ended = native.ledger.borrow_mut().answer(&resolve.path, &resolve.body);
    native.answer(&resolve, ended);
    assert_eq!(refusal(&native, early), "503 gateway_disabled", "no card is in force yet");
    let _ = native.told();
    accepted(&mut native);
    let lines = told(&native, Level::Info);
    assert_eq!(lines, ["configured with rate cards v1, v2, v3"]);
    assert_eq!(native.state.metrics.of("pax_rate_cards"), Some(3));
    let debited = served(&mut native, "tok-credit");
    assert!(debited.upstream.is_some());
}

#[test]
fn a_worker_serves_its_first_call_if_another_one_has_heard_that_the_ledger_has_the_cards() {
    let mut native = unconfigured();
    let mut other = native.beside();
    assert!(native.configure(gateway()) && other.configure(gateway()));
    other.tick();
    native.tick();
    accepted(&mut native);
    // The other one did not tick since.
    assert!(served(&mut other, "tok-credit").upstream.is_some());
}

#[test]
fn a_ledger_that_refuses_the_cards_is_told_of_once_and_asked_again() {
    let mut native = unconfigured();
    assert!(native.configure(gateway()));
    native.tick();
    let refused = || Ended::with(409, r#"{"error":{"code":"card_conflict","message":"v1 is another"}}"#);
    for round in 0..2 {
        let question = native.question(CARDS_PATH);
        native.answer(&question, refused());
        let lines = told(&native, Level::Error);
        assert_eq!(lines.len(), usize::from(round == 0), "{lines:?}");
        assert!(
            lines.iter().all(|line| line.ends_with("status 409 card_conflict: v1 is another")),
            "{lines:?}"
        );
        native.tick_after(400);
    }
    assert_eq!(native.state.metrics.sum("pax_rate_cards_refused_total"), 1);
    accepted(&mut native);
    assert!(told(&native, Level::Info).iter().any(|line| line.starts_with("configured with")));
}

#[test]
fn a_ledger_that_is_away_is_told_of_once_and_asked_again() {
    let mut native = unconfigured();
    assert!(native.configure(gateway()));
    native.tick();
    for round in 0..2 {
        let question = native.question(CARDS_PATH);
        native.answer(&question, Ended::none());
        let lines = told(&native, Level::Warn);
        let cards =
            lines.iter().filter(|line| line.contains("does not know this configuration's rate cards yet"));
        assert_eq!(cards.count(), usize::from(round == 0), "{lines:?}");
        native.tick_after(400);
    }
    native.around.questions.borrow_mut().clear();
    assert_eq!(native.state.metrics.sum("pax_rate_cards_refused_total"), 0);

    let mut native = unconfigured();
    assert!(native.configure(gateway()));
    native.around.refuses.set(Some(HostStatus::BAD_ARGUMENT));
    native.tick();
    native.around.refuses.set(None);
    native.tick_after(90);
    assert!(!native.asks(CARDS_PATH), "not at once");
    native.tick_after(20);
    assert!(native.asks(CARDS_PATH));
}

#[test]
fn of_two_roots_with_the_same_cards_one_publishes_and_both_take_them_up() {
    let mut native = unconfigured();
    assert!(native.configure(gateway()));
    assert!(native.configure_by(&config(|config| config["default_slot"] = "planner".into())));
    native.tick();
    // Both workers publish before either has an answer: the ledger accepts cards that it has already.
    accepted(&mut native);
    let second = native.question(CARDS_PATH);
    native.tick_after(20);
    let lines = told(&native, Level::Info);
    assert_eq!(lines.iter().filter(|line| line.starts_with("configured with")).count(), 2, "{lines:?}");
    let ended = native.ledger.borrow_mut().answer(&second.path, &second.body);
    native.answer(&second, ended);
    assert!(native.told().is_empty(), "what it asked has been taken up already");
    native.tick_after(1_000);
    assert!(!native.asks(CARDS_PATH));

    let mut other = native.beside();
    assert!(other.configure(gateway()));
    assert!(told(&other, Level::Info).iter().any(|line| line.starts_with("configured with")), "at once");
    other.tick();
    assert!(!other.asks(CARDS_PATH));
}
