//! The scenarios in a real Envoy with the real ledger. Entries are looked up by the `x-matrix-exchange-id` that
//! every answer carries; that there are no others is checked at the end.

use crate::check::{Request, Seen};
use crate::common::http::request;
use crate::common::prices::{now, reprice};
use crate::common::world::World;
use crate::format::{Provider, Scenario};
use pax_gateway::price::bundle::Bundle;
use pax_standin::Behaviour;
use std::collections::BTreeSet;

/// Runs a scenario on a connection of its own. Gives the exchange's id where it should be debited.
pub fn run(world: &World, scenario: &Scenario) -> Option<String> {
    prepare(world, scenario);
    match &scenario.provider {
        Some(provider) => world.behave(behaviour(provider)),
        None => world.standin.reset(),
    }
    world.take_received();
    let headers: Vec<(&str, &[u8])> =
        scenario.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let mut bytes = request(&scenario.method, &scenario.path, &headers, scenario.body.as_deref());
    if let Some(host) = &scenario.host {
        let usual = b"gateway.test";
        let at = bytes.windows(usual.len()).position(|window| window == usual).expect("a host");
        bytes.splice(at..at + usual.len(), host.bytes());
    }
    let answer = world.connect().call(&bytes);

    let exchange_id = answer.header("x-matrix-exchange-id");
    let mut seen = Seen {
        status: answer.status,
        complete: answer.complete,
        headers: answer.headers,
        body: answer.body,
        ..Seen::default()
    };
    let mut received = world.take_received();
    assert!(received.len() < 2, "the provider got it twice: {received:?}");
    seen.upstream = received.pop().map(|received| Request {
        line: format!("{} {}", received.method, received.path),
        headers: received.headers,
        body: received.body.into_bytes(),
    });
    if scenario.expect.entry.is_some() {
        let entry = world.entry(&exchange_id);
        let bundle = Bundle::embedded().unwrap();
        seen.priced = Some((reprice(&entry), bundle.in_force(now()).unwrap().version.0));
        seen.entry = Some(entry);
    }
    seen.check(scenario);
    scenario.expect.entry.is_some().then_some(exchange_id)
}

/// What the ledger's operator does before the call.
fn prepare(world: &World, scenario: &Scenario) {
    let ledger = |args: &[&str]| world.stack.ledger(args).unwrap_or_else(|error| panic!("{error}"));
    for act in &scenario.ledger {
        let words: Vec<&str> = act.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["account", name, tier, token] => {
                ledger(&["account", "create", name, "--tier", tier]);
                ledger(&["token", "add", name, "--name", token, "--token", token]);
            }
            ["cap", name, pax] => drop(ledger(&["account", "cap", name, pax])),
            ["disable", name] => drop(ledger(&["account", "disable", name])),
            ["revoke", token] => {
                // A token is listed by its id; the label is the token here.
                let list = ledger(&["token", "list"]);
                let line = list.lines().find(|line| line.split_ascii_whitespace().any(|word| word == *token));
                let id = line.and_then(|line| line.split_ascii_whitespace().next()).expect("the token's id");
                ledger(&["token", "revoke", id]);
            }
            other => panic!("the ledger does not know {other:?}"),
        }
    }
}

fn behaviour(provider: &Provider) -> Behaviour {
    let body = provider.body();
    let text = |value: &[u8]| value.iter().map(|byte| char::from(*byte)).collect();
    Behaviour {
        status: Some(provider.status),
        content_type: Some(provider.content_type.clone()),
        headers: provider.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        cut_after_bytes: provider.cut.then_some(body.len()),
        content_length: provider.cut.then_some(false),
        body: Some(String::from_utf8(body).expect("the stand-in's bodies are text")),
        ..Behaviour::default()
    }
}

/// After all scenarios: no entries but those that one of them expects, and the ledger agrees with each.
pub fn finish(world: &World, debited: &BTreeSet<String>) {
    world.settle();
    let entries = world.entries();
    let unexpected: Vec<_> =
        entries.iter().filter(|entry| !debited.contains(entry["exchange_id"].as_str().unwrap())).collect();
    assert!(unexpected.is_empty(), "debits that no scenario that passed expects: {unexpected:?}");
    assert_eq!(entries.len(), debited.len());
    assert!(world.take_received().is_empty(), "a request reached the provider late");
    world.replay();
}
