//! Holds, voids and leases over HTTP.

use pax_gateway::base::wire::{DEBITS_PATH, HOLDS_PATH, HoldReply, LEASE_PATH};
use serde_json::json;

use super::common::{Folder, SECRET, Service, ask, bytes, http, program};
use super::queue::hold_now;
use super::story::{ENVOY, Ledger, hold_body, pax};
use super::{HoldOutcome, Tier};

/// A service over a ledger in which account `credit` has 1 PAX.
fn served(more: &[&str]) -> (Folder, Service) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = runtime.block_on(async {
        let mut ledger = Ledger::new().await;
        ledger.tell("grant gift 1 -> 1").await;
        ledger.closed().await
    });
    let service = Service::start_with(program(&folder.database()), more);
    (folder, service)
}

fn post(service: &Service, path: &str, body: &[u8]) -> (u16, String) {
    http(service.internal, "POST", path, Some(SECRET), body)
}

fn hold(service: &Service, body: &[u8]) -> HoldReply {
    let (status, body) = post(service, HOLDS_PATH, body);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn metric(service: &Service, series: &str) -> String {
    let bearer = format!("Bearer {SECRET}");
    let text = ask(service.internal, "GET", "/metrics", &[("authorization", &bearer)], b"").body;
    let line = text.lines().find(|line| line.starts_with(&format!("{series} ")));
    line.unwrap_or_else(|| panic!("{series} in {text}")).rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_call_is_held_and_voided_and_another_one_is_held_and_debited_and_the_figures_say_so() {
    let (_folder, service) = served(&[]);
    let (voided, posted) = (hold_now(1, "0.4").lost.debit, hold_now(2, "0.5").lost.debit);
    let reply = hold(&service, &hold_body(&voided, "0.4", "5", ENVOY));
    assert_eq!((reply.outcome, reply.balance_pax, reply.held_pax), (HoldOutcome::Held, pax("1"), pax("0.4")));
    assert_eq!(hold(&service, &hold_body(&posted, "0.5", "5", ENVOY)).held_pax, pax("0.9"));
    let refused = hold(&service, &hold_body(&hold_now(3, "0.2").lost.debit, "0.2", "5", ENVOY));
    assert_eq!((refused.outcome, refused.held_pax), (HoldOutcome::InsufficientCredit, pax("0.9")));
    assert_eq!(metric(&service, "pax_ledger_holds_open"), "2");
    assert_eq!(metric(&service, "pax_ledger_held_picopax"), "900000000000");
    assert_eq!(
        post(&service, LEASE_PATH, format!("{{\"envoy\":\"{ENVOY}\"}}").as_bytes()),
        (200, "{}".to_owned())
    );
    let mut debit = super::common::debits::reported(2, "credit", Tier::Credit);
    debit.exchange_id = posted.exchange_id;
    let void = json!({"void": voided.exchange_id.to_string(), "account": "credit"}).to_string();
    // The order of the fields is part of the form.
    let void_in_form = format!("{{\"void\":\"{}\",\"account\":\"credit\"}}", voided.exchange_id);
    let batch = [void_in_form.as_bytes(), &bytes(&debit), void.as_bytes()].join(&b'\n');
    let (status, answer) = post(&service, DEBITS_PATH, &batch);
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let outcomes: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|it| it["outcome"].clone()).collect();
    assert_eq!(outcomes, ["voided", "recorded", "rejected"]);
    assert_eq!(answer["results"][0]["exchange_id"], voided.exchange_id.to_string());
    assert_eq!(metric(&service, "pax_ledger_holds_open"), "0");
    assert_eq!(metric(&service, "pax_ledger_held_picopax"), "0");
    for (outcome, count) in [("held", "2"), ("insufficient_credit", "1"), ("closed", "0")] {
        assert_eq!(metric(&service, &format!("pax_ledger_holds_total{{outcome=\"{outcome}\"}}")), count);
    }
    assert_eq!(metric(&service, "pax_ledger_debits_total{outcome=\"voided\"}"), "1");
}

#[test]
fn what_is_no_hold_or_no_lease_is_answered_in_words_and_long_bodies_are_not_read() {
    let (_folder, service) = served(&[]);
    let rejected = hold(&service, b"{}");
    assert_eq!(rejected.outcome, HoldOutcome::Rejected);
    assert!(rejected.message.unwrap().contains("two lines"));
    for body in ["{\"envoy\":\"E1\"}", "{}", ""] {
        assert_eq!(post(&service, LEASE_PATH, body.as_bytes()).0, 400, "{body}");
    }
    let long = vec![b' '; 70_000];
    for path in [HOLDS_PATH, LEASE_PATH] {
        assert_eq!(post(&service, path, &long).0, 413, "{path}");
        assert_eq!(http(service.internal, "POST", path, None, b"").0, 401, "{path}");
        assert_eq!(http(service.public, "POST", path, Some(SECRET), b"").0, 404, "{path}");
    }
}

#[test]
fn a_ledger_that_reads_only_debits_of_version_1_makes_no_hold() {
    let (_folder, service) = served(&["--canon-v", "1"]);
    let reply = hold(&service, &hold_body(&hold_now(1, "0.1").lost.debit, "0.1", "5", ENVOY));
    assert_eq!(reply.outcome, HoldOutcome::Rejected);
    assert!(reply.message.unwrap().contains("canon_v 2 is not read"));
}
