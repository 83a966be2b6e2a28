//! What callers are promised of their own balance, and who is let in to the public listener at all.

use crate::common;

use common::debits::{byo, estimated, exchange, on_day, reported};
use common::{Answer, BEARER, Folder, SECRET, act, ask, bytes, get, get_as, record, serve};
use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::IDENTITY_HEADER;
use pax_gateway::debit::frozen::Debit;
use pax_gateway::price::bundle::Bundle;
use pax_ledger::api::public::{CREDITS_PATH, ENTRIES_PATH};
use serde_json::{Value, json};

/// The debit, on the day that it is and the one that it is about to be.
fn today_and_tomorrow(debit: &Debit) -> [Vec<u8>; 2] {
    let today = pax_ledger::now().day();
    [(today, 0), (today.next(), 500)]
        .map(|(utc_day, more)| bytes(&Debit { utc_day, exchange_id: on_other(debit, more), ..debit.clone() }))
}

fn on_other(debit: &Debit, more: u64) -> pax_gateway::base::exchange_id::ExchangeId {
    exchange(debit.occurred_at.ms() - common::debits::DAY_0 + more)
}

#[test]
fn a_caller_sees_what_it_may_spend_has_spent_and_when_that_begins_anew() {
    let folder = Folder::new();
    let (runtime, store, service) = serve(&folder);
    let [a, b] = [reported(1, "free", Tier::Free), estimated(2, "free", Tier::Free)];
    let paid = reported(3, "credit", Tier::Credit);
    let mut lines = [&a, &b, &byo(4, "free", Tier::Free)].map(today_and_tomorrow).concat();
    lines.push(bytes(&on_day(reported(5, "free", Tier::Free), 100)));
    lines.push(bytes(&Debit { utc_day: "2020-01-01".parse().unwrap(), ..reported(6, "free", Tier::Free) }));
    lines.push(today_and_tomorrow(&paid)[0].clone());
    runtime.block_on(record(&store, &lines));
    let spent = a.cost_pax.checked_add(b.cost_pax).unwrap();
    let card = Bundle::embedded().unwrap().in_force(pax_ledger::now()).unwrap().clone();

    let expected = |answer: &Value, cap: Pax, remaining: Pax| {
        let utc_day: UtcDay = answer["utc_day"].as_str().unwrap().parse().unwrap();
        let today = pax_ledger::now().day();
        assert!(utc_day == today || utc_day.next() == today, "{answer}");
        let resets_at: Moment = answer["resets_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(resets_at, utc_day.next().start());
        json!({
            "account": "free", "tier": "free", "status": "active", "balance_pax": "0.000000000000",
            "held_pax": "0.000000000000", "available_pax": null, "next_expiry": null,
            "daily_cap_pax": cap, "utc_day": utc_day, "spent_today_pax": spent, "remaining_today_pax": remaining,
            "resets_at": resets_at, "rate_table_v": card.version,
        })
    };
    let default = card.free_tier.daily_cap;
    for (own, cap) in [
        (None, default),
        (Some("0.000000000001"), "0.000000000001".parse().unwrap()),
        (Some("0"), Pax::ZERO),
        (Some("9223372.036854775807"), Pax::from_picopax(i64::MAX)),
        (None, default),
    ] {
        let own = own.map(|own| own.parse().unwrap());
        assert!(runtime.block_on(store.set_daily_cap(&act(), "free", own)).unwrap().is_some());
        let answer = get(&service, "free", CREDITS_PATH);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "application/json");
        let left = cap.checked_sub(spent).unwrap().max(Pax::ZERO);
        assert_eq!(answer.json(), expected(&answer.json(), cap, left), "{own:?}");
    }

    // Tier credit has a balance, and no cap.
    let answer = get(&service, "credit", CREDITS_PATH).json();
    assert_eq!(answer["balance_pax"], format!("-{}", paid.cost_pax));
    assert_eq!((&answer["daily_cap_pax"], &answer["remaining_today_pax"]), (&Value::Null, &Value::Null));
    assert_eq!(answer["tier"], "credit");
    assert_eq!((&answer["available_pax"], &answer["next_expiry"]), (&answer["balance_pax"], &Value::Null));
    runtime.block_on(store.set_status(&act(), "credit", Status::Disabled)).unwrap();
    assert_eq!(get(&service, "credit", CREDITS_PATH).json()["status"], "disabled");
}

/// Sets an amount aside, as the filter does.
fn hold(service: &common::Service, account: &str, tier: Tier, amount: &str) {
    let now = pax_ledger::now();
    let mut lost = estimated(2, account, tier);
    let id = pax_gateway::base::exchange_id::ExchangeId::new(now, [tier as u8 + 1; 10]);
    (lost.exchange_id, lost.hold_id) = (id, Some(id.to_string()));
    (lost.occurred_at, lost.settled_at, lost.utc_day) = (now, now, now.day());
    lost.token_id = format!("tok_{account}");
    lost.ending = pax_gateway::debit::frozen::Ending::Lost;
    let asked = json!({"envoy": "00000000000000e1", "hold_pax": amount, "card_cap_pax": "5.000000000000"});
    let body = [asked.to_string().into_bytes(), bytes(&lost)].join(&b'\n');
    let path = pax_gateway::base::wire::HOLDS_PATH;
    let (status, said) = common::http(service.internal, "POST", path, Some(SECRET), &body);
    assert!(status == 200 && said.contains("\"held\""), "{said}");
}

#[test]
fn a_caller_sees_what_is_held_for_its_calls_what_is_left_and_which_credit_ends_next() {
    let folder = Folder::new();
    let (runtime, store, service) = serve(&folder);
    let in_an_hour = pax_ledger::now().plus_ms(3_600_000);
    for (account, token_id) in [("free", "tok_free"), ("credit", "tok_credit")] {
        let token = pax_ledger::store::NewToken {
            token_id: token_id.to_owned(),
            account,
            label: "a test",
            sha256: pax_gateway::base::digest::Digest::of(&[account.as_bytes()]),
            is_given: true,
            expires_at: None,
        };
        assert!(runtime.block_on(store.add_token(&act(), &token)).unwrap().is_some());
    }
    let lots = [
        ("2", None),
        ("1", Some(in_an_hour.plus_ms(1))),
        ("0.5", Some(in_an_hour)),
        ("0.25", Some(in_an_hour)),
    ];
    for (amount, expires_at) in lots {
        let grant = pax_ledger::store::NewGrant {
            account: "credit".to_owned(),
            amount_pax: amount.parse().unwrap(),
            class: pax_ledger::book::made::GrantClass::Goodwill,
            expires_at,
            paid: None,
            reference: None,
        };
        runtime.block_on(store.grant(&act(), &grant)).unwrap();
    }
    hold(&service, "credit", Tier::Credit, "0.750000000000");
    hold(&service, "free", Tier::Free, "0.000001000000");
    let answer = get(&service, "credit", CREDITS_PATH).json();
    assert_eq!(answer["balance_pax"], "3.750000000000");
    assert_eq!(
        (&answer["held_pax"], &answer["available_pax"]),
        (&json!("0.750000000000"), &json!("3.000000000000"))
    );
    assert_eq!(answer["next_expiry"], json!({"at": in_an_hour, "amount_pax": "0.500000000000"}));
    // Of tier free the day's cap is what holds draw on.
    let answer = get(&service, "free", CREDITS_PATH).json();
    assert_eq!((&answer["held_pax"], &answer["available_pax"]), (&json!("0.000001000000"), &Value::Null));
    let pax = |name: &str| answer[name].as_str().unwrap().parse::<Pax>().unwrap();
    assert_eq!(pax("daily_cap_pax").checked_sub(pax("held_pax")), Some(pax("remaining_today_pax")));
}

/// That an answer is an error in OpenAI's shape, and says nothing that is not the caller's business.
fn refused(answer: &Answer, status: u16, code: &str, param: &Value, context: &str) {
    assert_eq!(answer.status, status, "{context}: {answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{context}");
    assert_eq!(answer.header("content-type"), "application/json", "{context}");
    let body = answer.json();
    let error = body["error"].as_object().unwrap();
    assert_eq!((body.as_object().unwrap().len(), error.len()), (1, 4), "{context}: {body}");
    let kind = match status {
        401 => "authentication_error",
        503 => "server_error",
        _ => "invalid_request_error",
    };
    assert_eq!((&error["code"], &error["type"]), (&json!(code), &json!(kind)), "{context}: {body}");
    assert_eq!(&error["param"], param, "{context}: {body}");
    assert!(error["message"].as_str().unwrap().len() > 10 && !answer.body.contains(SECRET), "{context}");
    let retry = (answer.header("x-should-retry"), answer.header("retry-after"));
    let expected = if status == 503 { ("", "1") } else { ("false", "") };
    assert_eq!((retry.0.as_str(), retry.1.as_str()), expected, "{context}");
}

#[test]
fn whoever_does_not_share_the_secret_can_claim_no_identity() {
    let folder = Folder::new();
    let (_runtime, _store, service) = serve(&folder);
    let identity = (IDENTITY_HEADER, "free");
    for path in [CREDITS_PATH, ENTRIES_PATH] {
        for authorization in [
            &[][..],
            &["Bearer another-secret-of-the-tests"],
            &["Bearer "],
            &["a-secret-of-the-tests"],
            &["Basic a-secret-of-the-tests"],
            &[BEARER, BEARER],
        ] {
            let mut headers = vec![identity];
            headers.extend(authorization.iter().map(|value| ("authorization", *value)));
            for method in ["GET", "POST"] {
                let answer = ask(service.public, method, path, &headers, b"");
                refused(&answer, 401, "unauthorized", &Value::Null, &format!("{method} {authorization:?}"));
            }
        }
    }
    assert_eq!(get_as(&service, "/healthz", &[]).status, 200);
}

#[test]
fn who_calls_is_said_once_or_the_request_is_refused() {
    let folder = Folder::new();
    let (_runtime, _store, service) = serve(&folder);
    for path in [CREDITS_PATH, ENTRIES_PATH] {
        for names in
            [&[][..], &[""], &["free", "free"], &["free", "credit"], &["credit", "free"], &["fr\u{e9}e"]]
        {
            let mut headers = vec![("authorization", BEARER)];
            headers.extend(names.iter().map(|name| (IDENTITY_HEADER, *name)));
            let answer = get_as(&service, path, &headers);
            refused(&answer, 400, "invalid_header", &json!(IDENTITY_HEADER), &format!("{names:?}"));
        }
        for name in ["nobody", "free,credit", "free' OR '1'='1", "%", "FREE", "fre"] {
            refused(&get(&service, name, path), 404, "account_not_found", &Value::Null, name);
        }
        // Names of headers have no case, so a second spelling is a second header.
        let headers = [("authorization", BEARER), ("X-Pax-Account", "credit"), (IDENTITY_HEADER, "free")];
        refused(&get_as(&service, path, &headers), 400, "invalid_header", &json!(IDENTITY_HEADER), path);
    }
}

#[test]
fn other_methods_other_paths_and_other_parameters_are_refused_by_name() {
    let folder = Folder::new();
    let (runtime, _store, service) = serve(&folder);
    let headers = [("authorization", BEARER), (IDENTITY_HEADER, "free")];
    for path in [CREDITS_PATH, ENTRIES_PATH] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = ask(service.public, method, path, &headers, b"");
            refused(&answer, 405, "method_not_allowed", &Value::Null, method);
            assert_eq!(answer.header("allow"), "GET");
        }
        let head = ask(service.public, "HEAD", path, &headers, b"");
        assert_eq!((head.status, head.header("allow").as_str()), (405, "GET"));
    }
    for path in
        ["/", "/v1/credits/", "/v1/credits/ledger/", "/v1/credits/ledger/1", "/v1/models", "/v1//credits"]
    {
        refused(&get(&service, "free", path), 404, "unknown_route", &Value::Null, path);
    }
    for (path, query, param) in [
        (CREDITS_PATH, "account=credit", "account"),
        (ENTRIES_PATH, "account=credit", "account"),
        (ENTRIES_PATH, "limit=5&account=credit", "account"),
        (ENTRIES_PATH, "x-pax-account=credit", "x-pax-account"),
        (ENTRIES_PATH, "limit=1001", "limit"),
        (ENTRIES_PATH, "limit=1&limit=2", "limit"),
        (ENTRIES_PATH, "after=1%20OR%201=1", "after"),
        (ENTRIES_PATH, "order=random", "order"),
        (ENTRIES_PATH, "since=yesterday", "since"),
        (ENTRIES_PATH, "until=2026-13-01", "until"),
        (ENTRIES_PATH, "format=xml", "format"),
    ] {
        let answer = get(&service, "free", &format!("{path}?{query}"));
        refused(&answer, 400, "invalid_request", &json!(param), query);
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(param), "{query}");
    }
    let sql = "ALTER TABLE day_totals RENAME TO elsewhere";
    runtime.block_on(folder.sql(sql));
    let answer = get(&service, "free", CREDITS_PATH);
    refused(&answer, 503, "ledger_unavailable", &Value::Null, "a store that fails");
    assert!(!answer.body.contains("day_totals"), "{}", answer.body);
}
