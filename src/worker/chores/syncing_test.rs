#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use super::*;
use crate::worker::fake::calls::{asks_about_accounts, get, reply, served, serving, serving_by};
use crate::worker::fake::{Ended, Native, Question};
use crate::worker::host::HostStatus;

fn asked(question: &Question) -> Vec<String> {
    let request: StandingsRequest = serde_json::from_slice(&question.body).unwrap();
    request.asks.into_iter().map(|ask| ask.account).collect()
}

fn ready(native: &Native) -> u16 {
    let call = get(native, "GET", "/readyz", "none", true);
    reply(native, call).unwrap().status
}

#[test]
fn active_accounts_of_the_free_tier_are_asked_about_once_an_interval() {
    let mut native = serving();
    served(&mut native, "tok-free");
    served(&mut native, "tok-credit");
    native.settle();
    native.tick_after(3_800);
    assert!(asks_about_accounts(&mut native).is_none());
    native.tick_after(100);
    let asked = asks_about_accounts(&mut native);
    let (question, accounts) = asked.expect("the next tick would come after the five seconds");
    assert_eq!(accounts, ["free"], "the credit tier has no day");
    native.tick_after(6_000);
    assert!(asks_about_accounts(&mut native).is_none(), "one question at a time");
    native.answer(&question, Ended::none());
    native.tick_after(1_000);
    let (again, _) = asks_about_accounts(&mut native).expect("what got no answer is asked again");
    native.answer(&again, Ended::with(200, r#"{"standings":[null]}"#));
    native.tick_after(31_000);
    assert!(asks_about_accounts(&mut native).is_none(), "who is silent is forgotten");
}

#[test]
fn another_interval_is_the_configurations() {
    let mut native = serving_by(|config| config["gate"]["sync_s"] = 1.into());
    served(&mut native, "tok-free");
    native.settle();
    native.tick_after(900);
    assert!(asks_about_accounts(&mut native).is_some());
}

#[test]
fn whether_the_ledger_answers_is_asked_now_and_then_and_is_what_readyz_says() {
    let mut native = serving();
    assert_eq!(ready(&native), 200);
    native.tick_after(2_000);
    let question = native.question(STANDINGS_PATH);
    assert_eq!(asked(&question), [""; 0], "for no account");
    native.tick_after(4_000);
    assert!(!native.asks(STANDINGS_PATH), "one question at a time");
    native.answer(&question, Ended::with(503, "upstream connect error"));
    assert_eq!(ready(&native), 503);
    native.tick_after(500);
    let question = native.question(STANDINGS_PATH);
    native.answer(&question, Ended::with(200, r#"{"standings":[]}"#));
    assert_eq!(ready(&native), 200);
    native.around.refuses.set(Some(HostStatus::BAD_ARGUMENT));
    native.tick_after(2_000);
    assert_eq!(ready(&native), 503, "it could not even be asked");
    native.around.refuses.set(None);
    native.tick_after(500);
    assert!(native.asks(STANDINGS_PATH));
}
