//! A caller gets its own balance and entries through Envoy, and never another account's, even if it claims to
//! be that account.

use crate::Case;
use crate::common::http::{Answer, request};
use crate::common::world::World;
use crate::frames;
use crate::play::{Caller, OUTPUT_TOKENS, costs_all, reservation, room_for, sum};
use pax_gateway::base::clock::UtcDay;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

pub const CASES: &[Case] = &[
    ("whoever a request says that it is, it sees its own credits only", forged),
    ("a caller's own entries come page by page, as JSON and as CSV", pages),
];

/// What the ledger says that an account has spent on a day.
pub fn standing(world: &World, account: &str, day: UtcDay) -> String {
    let bearer = format!("Bearer {}", world.stack.ledger_secret());
    let headers: [(&str, &[u8]); 2] =
        [("authorization", bearer.as_bytes()), ("content-type", b"application/json")];
    let ask = format!(r#"{{"asks":[{{"account":"{account}","utc_day":"{day}"}}]}}"#);
    let ask = request("POST", "/internal/v1/standings", &headers, Some(ask.as_bytes()));
    let answer = crate::common::http::Connection::open(world.stack.ledger_internal_port()).call(&ask);
    let reply: Value = serde_json::from_slice(&answer.body).unwrap();
    reply["standings"][0]["spent_pax"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

fn get(world: &World, token: &str, path: &str, more: &[(&str, &[u8])]) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [&[("authorization", bearer.as_bytes())], more].concat();
    world.connect().call(&request("GET", path, &headers, None))
}

fn forged(world: &mut World) {
    let rich = Caller::new(world, "credits-rich", Some(room_for(9)));
    let poor = Caller::new(world, "credits-poor", Some(room_for(1)));
    world.behave(costs_all());
    assert_eq!(world.connect().call(&rich.call(OUTPUT_TOKENS)).status, 200);
    assert_eq!(rich.entries_within(world, 1, Duration::from_secs(10)).len(), 1);

    let own = get(world, &rich.token, "/v1/credits", &[]);
    let own: Value = serde_json::from_slice(&own.body).unwrap();
    assert_eq!(own["account"], "credits-rich");
    assert_eq!(own["spent_today_pax"], format!("{:.12}", reservation(OUTPUT_TOKENS)));

    let secret = format!("Bearer {}", world.stack.ledger_secret());
    let names: [&[(&str, &[u8])]; 9] = [
        &[("x-pax-account", b"credits-rich")],
        &[("X-Pax-Account", b"credits-rich"), ("x-pax-account", b"credits-rich")],
        &[("x_pax_account", b"credits-rich")],
        &[("x-matrix-account", b"credits-rich")],
        &[("x-matrix-user-id", b"credits-rich"), ("x-user-id", b"credits-rich")],
        &[("x-forwarded-user", b"credits-rich"), ("x-forwarded-for", b"127.0.0.1")],
        &[("x-pax-provider", b"pax/credits"), ("x-envoy-original-path", b"/v1/credits")],
        &[("x-http-method-override", b"GET"), ("cookie", b"x-pax-account=credits-rich")],
        &[("connection", b"x-pax-account"), ("proxy-authorization", secret.as_bytes())],
    ];
    for more in names {
        for path in ["/v1/credits", "/v1/credits/ledger"] {
            let answer = get(world, &poor.token, path, more);
            assert_eq!(answer.status, 200, "{path} {more:?}: {}", answer.text());
            assert!(!answer.text().contains("rich"), "{path} {more:?}: {}", answer.text());
            let said: Value = serde_json::from_slice(&answer.body).unwrap();
            let own = match path {
                "/v1/credits" => said["account"] == "credits-poor",
                _ => said["data"] == Value::Array(Vec::new()),
            };
            assert!(own, "{path} {more:?}: {said}");
        }
    }
    let bearer = format!("Bearer {}", poor.token);
    let twice: [(&[u8], &[u8]); 7] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", b"/v1/credits"),
        (b"x-pax-account", b"credits-rich"),
        (b"authorization", bearer.as_bytes()),
        (b"x-pax-account", b"credits-rich"),
    ];
    let answer = frames::call(world.stack.gateway_port(), &twice, b"");
    assert!(answer.contains(r#""account":"credits-poor""#) && !answer.contains("rich"), "{answer}");
    // Named in the query, it is a mistake; without a token of its own, or with the ledger's secret as one, nobody.
    assert_eq!(get(world, &poor.token, "/v1/credits?account=credits-rich", &[]).status, 400);
    for token in ["", "credits-rich", world.stack.ledger_secret()] {
        let refused = get(world, token, "/v1/credits", &[("x-pax-account", b"credits-rich")]);
        assert_eq!(refused.refusal(), "401 invalid_api_key");
    }
    forged_on_a_call(world, &bearer);
    for path in
        ["/v1/credits/", "/v1/credits/ledger/", "/v1/credits/ledgers", "/v1/creditsx", "/v1/credits%2fledger"]
    {
        assert_eq!(get(world, &poor.token, path, &[]).refusal(), "404 unknown_route", "{path}");
    }
}

/// On a call an identity is the token's as well, and the provider learns of none.
fn forged_on_a_call(world: &mut World, bearer: &str) {
    world.behave(costs_all());
    let body = crate::play::body(OUTPUT_TOKENS, false);
    for name in ["x-pax-account", "x-matrix-account", "x-pax-provider"] {
        world.take_received();
        let headers: [(&str, &[u8]); 2] = [("authorization", bearer.as_bytes()), (name, b"credits-rich")];
        let answer =
            world.connect().call(&request("POST", "/v1/chat/completions", &headers, Some(body.as_bytes())));
        let received = world.take_received();
        if name == "x-pax-account" {
            let entry = world.entry(&answer.header("x-matrix-exchange-id"));
            assert_eq!(entry["account"], "credits-poor");
            assert!(received[0].headers.iter().all(|(_, value)| !value.contains("rich")), "{received:?}");
        } else {
            assert_eq!(answer.refusal(), "429 daily_cap_exceeded", "it is the poor one's cap");
        }
    }
}

const ENTRIES: usize = 7;

fn pages(world: &mut World) {
    let caller = Caller::new(world, "credits-pages", None);
    for _ in 0..ENTRIES {
        assert_eq!(world.connect().call(&caller.call(10)).status, 200);
    }
    let entries = caller.entries_within(world, ENTRIES, Duration::from_secs(10));
    assert_eq!(entries.len(), ENTRIES);
    let spent = sum(&entries);

    let mut path = "/v1/credits/ledger?limit=3".to_owned();
    let (mut sizes, mut ids, mut told) = (Vec::new(), BTreeSet::new(), Decimal::ZERO);
    loop {
        let answer = get(world, &caller.token, &path, &[]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store");
        let page: Value = serde_json::from_slice(&answer.body).unwrap();
        let data = page["data"].as_array().unwrap();
        sizes.push(data.len());
        told += sum(data);
        ids.extend(data.iter().map(|entry| entry["exchange_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((sizes, ids.len(), told), (vec![3, 3, 1], ENTRIES, spent));

    let mut path = "/v1/credits/ledger?limit=4&order=asc".to_owned();
    let mut lines = Vec::new();
    loop {
        let answer = get(world, &caller.token, &path, &[("accept", b"text/csv")]);
        assert!(answer.status == 200 && answer.header("content-type").starts_with("text/csv"), "{answer:?}");
        let text = answer.text();
        lines.extend(text.split_terminator("\r\n").skip(1).map(str::to_owned));
        let link = answer.header("link");
        match link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")) {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(lines.len(), ENTRIES);
    for (line, entry) in lines.iter().zip(&entries) {
        assert!(line.contains(entry["exchange_id"].as_str().unwrap()), "{line}");
        assert!(line.contains(entry["cost_pax"].as_str().unwrap()), "{line}");
    }
}
