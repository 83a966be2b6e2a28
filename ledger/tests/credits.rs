//! What callers are promised of their own balance and entries, over the public listener.

mod common;

use common::debits::{byo, estimated, exchange, on_day, reported};
use common::{Answer, Folder, SECRET, Service, ask, bytes, record};
use pax_gateway::account::Tier;
use pax_gateway::bundle::Bundle;
use pax_gateway::clock::{Moment, UtcDay};
use pax_gateway::debit::{Debit, Flag};
use pax_gateway::pax::Pax;
use pax_gateway::wire::IDENTITY_HEADER;
use pax_ledger::api::public::{CREDITS_PATH, ENTRIES_PATH};
use pax_ledger::store::Store;
use serde_json::{Value, json};

const BEARER: &str = "Bearer a-secret-of-the-tests";

/// A service over a store with the accounts `free` and `credit`; the store writes beside it.
fn serve(folder: &Folder) -> (tokio::runtime::Runtime, Store, Service) {
    assert!(BEARER.ends_with(SECRET));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(folder.store_with_accounts());
    let service = Service::start(&folder.database());
    (runtime, store, service)
}

/// Asks as Envoy and the filter do.
fn get(service: &Service, account: &str, path: &str) -> Answer {
    get_as(service, path, &[("authorization", BEARER), (IDENTITY_HEADER, account)])
}

fn get_as(service: &Service, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(service.public, "GET", path, headers, b"")
}

/// The debit, on the day that it is and the one that it is about to be.
fn today_and_tomorrow(debit: &Debit) -> [Vec<u8>; 2] {
    let today = pax_ledger::now().day();
    [(today, 0), (today.next(), 500)]
        .map(|(utc_day, more)| bytes(&Debit { utc_day, exchange_id: on_other(debit, more), ..debit.clone() }))
}

fn on_other(debit: &Debit, more: u64) -> pax_gateway::exchange_id::ExchangeId {
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
        assert!(runtime.block_on(store.set_daily_cap("free", own)).unwrap());
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
    runtime.block_on(store.set_status("credit", pax_gateway::account::Status::Disabled)).unwrap();
    assert_eq!(get(&service, "credit", CREDITS_PATH).json()["status"], "disabled");
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
    let mut shell = runtime.block_on(folder.shell());
    let sql = "ALTER TABLE day_totals RENAME TO elsewhere";
    runtime.block_on(sqlx::query(sql).execute(&mut shell)).unwrap();
    let answer = get(&service, "free", CREDITS_PATH);
    refused(&answer, 503, "ledger_unavailable", &Value::Null, "a store that fails");
    assert!(!answer.body.contains("day_totals"), "{}", answer.body);
}

#[test]
fn a_caller_never_sees_an_entry_of_another_account() {
    let folder = Folder::new();
    let (runtime, store, service) = serve(&folder);
    let debit = |n: u64| match n % 2 {
        0 => on_day(reported(n, "free", Tier::Free), n % 3),
        _ => on_day(reported(n, "credit", Tier::Credit), n % 3),
    };
    runtime.block_on(record(&store, &(0..40).map(|n| bytes(&debit(n))).collect::<Vec<_>>()));
    let mut queries: Vec<String> =
        ["", "?limit=1000&order=asc&after=0", "?after=9223372036854775807", "?format=csv"]
            .map(str::to_owned)
            .to_vec();
    queries.extend(
        ["since=1970-01-01", "until=9999-12-31", "since=2026-11-24&order=asc"].map(|q| format!("?{q}")),
    );
    queries.extend((0..45).map(|after| format!("?after={after}&order=asc")));
    queries.extend((0..45).map(|after| format!("?after={after}")));
    for (account, other) in [("free", 1), ("credit", 0)] {
        let mut shown = 0;
        for query in &queries {
            let answer = get(&service, account, &format!("{ENTRIES_PATH}{query}"));
            assert_eq!(answer.status, 200, "{query}: {answer:?}");
            let of =
                |from: u64| (from..40).step_by(2).filter(|n| answer.body.contains(&exchange(*n).to_string()));
            assert_eq!(of(other).count(), 0, "{account} sees another's entries by {query:?}");
            shown += of(1 - other).count();
        }
        assert!(shown > 500, "{account} sees its own");
    }
}

#[test]
fn an_entry_is_shown_whole_with_amounts_as_texts_and_the_usage_as_received() {
    let folder = Folder::new();
    let (runtime, store, service) = serve(&folder);
    let mut odd = estimated(2, "free", Tier::Free);
    odd.flags = vec![Flag::CachedExceedsInput, Flag::UsageUnreadable];
    let debits = [reported(1, "free", Tier::Free), odd, byo(3, "free", Tier::Free)];
    runtime.block_on(record(&store, &debits.clone().map(|debit| bytes(&debit))));
    let answer = get(&service, "free", &format!("{ENTRIES_PATH}?order=asc"));
    let body = answer.json();
    assert_eq!((body["object"].as_str(), body["has_more"].as_bool()), (Some("list"), Some(false)));
    assert_eq!((body["next"].is_null(), body.as_object().unwrap().len()), (true, 4));
    assert!(body.as_object().unwrap().contains_key("next"));
    for ((item, debit), number) in body["data"].as_array().unwrap().iter().zip(&debits).zip(1..) {
        let usage = debit.usage.as_ref().map(|raw| serde_json::from_str::<Value>(raw).unwrap());
        let expected = json!({
            "account_seq": number, "exchange_id": debit.exchange_id, "kind": "debit",
            "occurred_at": debit.occurred_at, "settled_at": debit.settled_at, "utc_day": debit.utc_day,
            "model": debit.model, "provider": debit.provider, "slot": debit.slot, "intent_id": "intent-1",
            "goal_id": null, "funding": debit.funding, "stream": false, "upstream_status": 200,
            "ending": debit.ending, "provenance": debit.provenance, "flags": debit.flags,
            "tokens_input": debit.tokens_input, "tokens_cached_input": debit.tokens_cached_input,
            "tokens_cache_write_input": debit.tokens_cache_write_input,
            "tokens_audio_input": debit.tokens_audio_input, "tokens_output": debit.tokens_output,
            "tokens_audio_output": debit.tokens_audio_output,
            "tokens_reasoning_output": debit.tokens_reasoning_output, "cost_pax": debit.cost_pax,
            "rate_table_v": debit.rate_table_v, "token_id": debit.token_id, "usage": usage,
        });
        assert_eq!(item, &expected);
    }
    assert!(
        answer.body.contains("\"flags\":[\"cached_exceeds_input\",\"usage_unreadable\"]"),
        "{}",
        answer.body
    );
    assert!(answer.body.contains("\"usage\":{\"prompt_tokens\":1001,"), "{}", answer.body);
    assert_eq!(get(&service, "credit", ENTRIES_PATH).json()["data"], json!([]));
}

#[test]
fn pages_hold_every_entry_once_while_new_ones_arrive() {
    let folder = Folder::new();
    let (runtime, store, service) = serve(&folder);
    let send = |from: u64, to: u64| {
        let lines =
            |n| [bytes(&reported(n, "free", Tier::Free)), bytes(&byo(n + 50_000, "credit", Tier::Credit))];
        runtime.block_on(record(&store, &(from..to).flat_map(lines).collect::<Vec<_>>()));
    };
    send(0, 30);
    let mut sent = 30;
    for order in ["desc", "asc"] {
        let before = sent;
        let mut path = format!("{ENTRIES_PATH}?limit=7&order={order}");
        let (mut seen, mut pages) = (Vec::<u64>::new(), 0);
        loop {
            let body = get(&service, "free", &path).json();
            let page: Vec<u64> = body["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["account_seq"].as_u64().unwrap())
                .collect();
            seen.extend(&page);
            assert_eq!(body["has_more"].as_bool(), Some(!body["next"].is_null()));
            let Some(next) = body["next"].as_str() else { break };
            assert_eq!(page.len(), 7);
            path = next.to_owned();
            if pages < 5 {
                send(sent, sent + 3);
                sent += 3;
            }
            pages += 1;
        }
        let expected: Vec<u64> = match order {
            // Those that came later are newer than the first page.
            "desc" => (1..=before).rev().collect(),
            _ => (1..=sent).collect(),
        };
        assert_eq!(seen, expected, "{order}");
    }
    // A page that is full to the last entry has no next one.
    let body = get(&service, "free", &format!("{ENTRIES_PATH}?limit={sent}")).json();
    assert_eq!(
        (body["data"].as_array().unwrap().len() as u64, body["has_more"].as_bool()),
        (sent, Some(false))
    );
}

#[test]
fn days_bound_a_list_and_hold_on_every_page() {
    let folder = Folder::new();
    let (runtime, store, service) = serve(&folder);
    let lines: Vec<_> = (0..20).map(|n| bytes(&on_day(reported(n, "free", Tier::Free), n % 4))).collect();
    runtime.block_on(record(&store, &lines));
    let day = |n: u64| Moment::from_ms(common::debits::DAY_0 + n * common::debits::DAY_MS).day();
    for (query, first, last) in [
        (format!("since={}", day(2)), 2, 3),
        (format!("until={}", day(1)), 0, 1),
        (format!("since={0}&until={0}", day(3)), 3, 3),
        (format!("since={}&until={}", day(3), day(0)), 9, 0),
    ] {
        let mut path = format!("{ENTRIES_PATH}?limit=3&{query}");
        let mut seen = Vec::<u64>::new();
        loop {
            let body = get(&service, "free", &path).json();
            seen.extend(
                body["data"].as_array().unwrap().iter().map(|item| item["account_seq"].as_u64().unwrap()),
            );
            let Some(next) = body["next"].as_str() else { break };
            path = next.to_owned();
        }
        let expected: Vec<u64> =
            (1..=20).rev().filter(|seq| (first..=last).contains(&((seq - 1) % 4))).collect();
        assert_eq!(seen, expected, "{query}");
    }
}

#[test]
fn csv_is_quoted_disarmed_and_paged_by_its_link() {
    let folder = Folder::new();
    let (runtime, store, service) = serve(&folder);
    let labels = [
        ("=HYPERLINK(\"http://evil\",\"x\")", "'=HYPERLINK(\"http://evil\",\"x\")"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("a,\"b\"\r\nc", "a,\"b\"\r\nc"),
        ("plain", "plain"),
        ("grün", "grün"),
    ];
    let debits: Vec<Debit> = labels
        .iter()
        .zip(1..)
        .map(|((label, _), n)| {
            let mut debit = reported(n, "free", Tier::Free);
            debit.intent_id = Some((*label).to_owned());
            debit.slot = (*label).to_owned();
            debit.flags = vec![Flag::CachedExceedsInput, Flag::UsageTooLarge];
            debit
        })
        .collect();
    runtime.block_on(record(&store, &debits.iter().map(bytes).collect::<Vec<_>>()));

    let csv = ("accept", "text/csv");
    let headers = [("authorization", BEARER), (IDENTITY_HEADER, "free"), csv];
    let mut path = format!("{ENTRIES_PATH}?limit=4&order=asc");
    let (mut rows, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let answer = get_as(&service, &path, &headers);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.header("content-type").starts_with("text/csv; charset=utf-8"), "{answer:?}");
        assert!(answer.header("content-disposition").starts_with("attachment"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        let mut reader = csv::Reader::from_reader(answer.body.as_bytes());
        let head = reader.headers().unwrap().clone();
        let page: Vec<_> = reader.records().map(|row| row.unwrap()).collect();
        sizes.push(page.len());
        rows.extend(page.into_iter().map(|row| {
            head.iter().zip(row.iter()).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
        }));
        let link = answer.header("link");
        if link.is_empty() {
            break;
        }
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        assert!(path.starts_with("/v1/credits/ledger?") && path.contains("format=csv"), "{path}");
    }
    assert_eq!(sizes, [4, 4, 1]);
    let rows: Vec<std::collections::BTreeMap<String, String>> = rows;
    for (((row, debit), (_, cell)), number) in rows.iter().zip(&debits).zip(labels).zip(1..) {
        assert_eq!(
            (row["slot"].as_str(), row["intent_id"].as_str(), row["goal_id"].as_str()),
            (cell, cell, "")
        );
        assert_eq!(row["account_seq"], number.to_string());
        assert_eq!(row["exchange_id"], debit.exchange_id.to_string());
        assert_eq!(row["cost_pax"], debit.cost_pax.to_string());
        assert_eq!(row["flags"], "cached_exceeds_input usage_too_large");
        assert_eq!(
            (row["tokens_input"].clone(), row["stream"].as_str()),
            (debit.tokens_input.to_string(), "false")
        );
        assert!(!row.contains_key("usage"));
    }

    // To the byte: what a spreadsheet gets.
    let answer = get(&service, "free", &format!("{ENTRIES_PATH}?format=csv&order=asc&limit=7"));
    assert!(answer.body.starts_with("account_seq,exchange_id,kind,occurred_at,"), "{}", answer.body);
    assert!(answer.body.contains(",token_id\r\n1,"), "{}", answer.body);
    assert!(answer.body.contains(",\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\","), "{}", answer.body);
    assert!(answer.body.contains(",\"a,\"\"b\"\"\r\nc\","), "{}", answer.body);
    let empty = get(&service, "credit", &format!("{ENTRIES_PATH}?format=csv"));
    assert_eq!((empty.body.matches("\r\n").count(), empty.header("link").as_str()), (1, ""));
    // The query says what holds, and its next page too.
    let answer = get_as(&service, &format!("{ENTRIES_PATH}?format=json&limit=1"), &headers);
    assert!(answer.json()["next"].as_str().unwrap().contains("format=json"), "{answer:?}");
}
