//! What callers are promised of their list of entries: theirs alone, each once, as JSON and as CSV.

use crate::common;

use std::collections::BTreeMap;

use common::debits::{byo, estimated, exchange, on_day, reported};
use common::{BEARER, Folder, Service, bytes, get, get_as, record, serve};
use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::wire::IDENTITY_HEADER;
use pax_gateway::debit::frozen::{Debit, Flag};
use pax_ledger::api::public::ENTRIES_PATH;
use serde_json::{Value, json};

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
    odd.hold_id = Some("hold-1".to_owned());
    let debits = [reported(1, "free", Tier::Free), odd, byo(3, "free", Tier::Free)];
    runtime.block_on(record(&store, &debits.clone().map(|debit| bytes(&debit))));
    let answer = get(&service, "free", &format!("{ENTRIES_PATH}?order=asc"));
    let body = answer.json();
    assert_eq!((body["object"].as_str(), body["has_more"].as_bool()), (Some("list"), Some(false)));
    assert_eq!((body["next"].is_null(), body.as_object().unwrap().len()), (true, 4));
    assert!(body.as_object().unwrap().contains_key("next"));
    for ((item, debit), number) in body["data"].as_array().unwrap().iter().zip(&debits).zip(1..) {
        // Every field of the debit but those that are the operator's; null for what its version lacks.
        let mut expected = serde_json::to_value(debit).unwrap();
        let fields = expected.as_object_mut().unwrap();
        for hidden in ["canon_v", "account", "tier", "hold_id"] {
            assert!(fields.remove(hidden).is_some(), "{hidden}");
        }
        let usage = debit.usage.as_ref().map(|raw| serde_json::from_str::<Value>(raw).unwrap());
        fields.insert("usage".to_owned(), json!(usage));
        fields.insert("account_seq".to_owned(), json!(number));
        if debit.canon_v == 1 {
            for later in ["tokens_cache_write_1h_input", "tokens_image_input", "tokens_image_output"] {
                fields.insert(later.to_owned(), Value::Null);
            }
        }
        assert_eq!(item, &expected);
    }
    let odd = &body["data"][1];
    assert_eq!((&odd["ending"], &odd["provider_request_id"]), (&json!("caller_gone"), &json!("req-2")));
    let from = &odd["estimated_from"];
    assert_eq!((&from["side"], &from["input_ascii_bytes"]), (&json!("both"), &json!(4_002)));
    for factor in ["bytes_per_token", "bytes_per_token_other", "unseen_after_s", "unseen_tokens_per_s"] {
        assert!(from[factor].is_u64(), "{factor}: {from}");
    }
    assert!(!answer.body.contains("hold_id") && !answer.body.contains("hold-1"), "{}", answer.body);
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

/// A row by its columns' names.
type Row = BTreeMap<String, String>;

/// All pages of a list as CSV, each found by the link of the one before: how many rows each has, and the rows.
fn csv_pages(service: &Service, path: &str, headers: &[(&str, &str)]) -> (Vec<usize>, Vec<Row>) {
    let mut path = path.to_owned();
    let (mut rows, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let answer = get_as(service, &path, headers);
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
            return (sizes, rows);
        }
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        assert!(path.starts_with("/v1/credits/ledger?") && path.contains("format=csv"), "{path}");
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
    let (sizes, rows) = csv_pages(&service, &format!("{ENTRIES_PATH}?limit=4&order=asc"), &headers);
    assert_eq!(sizes, [4, 4, 1]);
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
    assert!(answer.body.contains(",token_id,amount_pax,corrects,key\r\n1,"), "{}", answer.body);
    assert!(answer.body.contains(",\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\","), "{}", answer.body);
    assert!(answer.body.contains(",\"a,\"\"b\"\"\r\nc\","), "{}", answer.body);
    let empty = get(&service, "credit", &format!("{ENTRIES_PATH}?format=csv"));
    assert_eq!((empty.body.matches("\r\n").count(), empty.header("link").as_str()), (1, ""));
    // The query says what holds, and its next page too.
    let answer = get_as(&service, &format!("{ENTRIES_PATH}?format=json&limit=1"), &headers);
    assert!(answer.json()["next"].as_str().unwrap().contains("format=json"), "{answer:?}");
}
