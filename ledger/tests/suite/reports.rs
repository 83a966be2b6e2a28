//! What a report promises: it adds up to the ledger, whatever it is grouped by, and sums are exact.

use crate::common;

use std::collections::BTreeMap;

use common::debits::{byo, estimated, on_day, reported};
use common::{Folder, Service, bytes, record, replayed, run, stderr, stdout};
use pax_gateway::base::account::{Funding, Tier};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::{Pax, Tokens};
use pax_gateway::debit::frozen::{Debit, Provenance};
use pax_ledger::report::{Dimension, Line, report};
use pax_ledger::server::embedded_bundle;
use pax_ledger::store::{EntryFilter, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

/// What a debit is in a dimension: told by the debit alone.
fn key(debit: &Debit, dimension: Dimension) -> String {
    match dimension {
        Dimension::Account => debit.account.clone(),
        Dimension::Model => debit.model.clone(),
        Dimension::Provider => debit.provider.clone(),
        Dimension::Day => debit.utc_day.to_string(),
        Dimension::Month => debit.utc_day.to_string()[..7].to_owned(),
        Dimension::Slot => debit.slot.clone(),
        Dimension::Token => debit.token_id.clone(),
        Dimension::Funding if debit.funding == Funding::Byo => "byo".to_owned(),
        Dimension::Funding => "platform".to_owned(),
        Dimension::Tier if debit.tier == Tier::Free => "free".to_owned(),
        Dimension::Tier => "credit".to_owned(),
    }
}

/// Calls, input, cached, output, cost, estimated calls, estimated cost.
type Sums = [i128; 7];

fn sums<'a>(debits: impl Iterator<Item = &'a Debit>) -> Sums {
    let mut sums = [0; 7];
    for debit in debits {
        let cost = i128::from(debit.cost_pax.picopax());
        let is_estimated = i128::from(debit.provenance == Provenance::Estimated);
        let tokens = |count: Tokens| i128::from(count.0);
        let more = [
            1,
            tokens(debit.tokens_input),
            tokens(debit.tokens_cached_input),
            tokens(debit.tokens_output),
            cost,
            is_estimated,
            is_estimated * cost,
        ];
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum += more;
        }
    }
    sums
}

fn told(line: &Line) -> Sums {
    let counts = &line.counts;
    [
        i128::from(counts.calls),
        counts.input,
        counts.cached,
        counts.output,
        counts.cost.picopax(),
        i128::from(counts.estimated_calls),
        counts.estimated.picopax(),
    ]
}

async fn reported_by(store: &Store, by: &[Dimension], filter: &EntryFilter) -> (Vec<Line>, Line) {
    let mut lines = Vec::new();
    let bundle = embedded_bundle().unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    let keep = &mut |line: &Line| {
        lines.push(line.clone());
        Ok(())
    };
    let total = report(&mut snapshot, &bundle, by, filter, keep).await.unwrap();
    (lines, total)
}

/// A debit that need not prove itself: anything that the ledger takes.
fn random_debit(n: u64, seed: [u8; 6], tokens: u32, cost: u64) -> Debit {
    let [account, model, slot, day, kind, token] = seed;
    let (account, tier) =
        if account.is_multiple_of(2) { ("free", Tier::Free) } else { ("credit", Tier::Credit) };
    let mut debit = match kind % 3 {
        0 => byo(n, account, tier),
        1 => estimated(n, account, tier),
        _ => reported(n, account, tier),
    };
    debit.model = format!("model-{}", model % 3);
    debit.provider = format!("provider-{}", model % 2);
    debit.slot = format!("slot-{}", slot % 3);
    debit.token_id = format!("tok_{}", token % 3);
    debit.tokens_input = Tokens(u64::from(tokens));
    debit.tokens_cached_input = Tokens(u64::from(tokens / 3));
    if debit.funding == Funding::Platform {
        debit.cost_pax = Pax::from_picopax(i64::try_from(cost).unwrap());
    }
    on_day(debit, u64::from(day % 40))
}

#[test]
fn any_report_adds_up_to_the_ledger() {
    let debit = (any::<[u8; 6]>(), any::<u32>(), 0..=1_000_000_000_000_000_u64);
    let mut runner = TestRunner::new(Config { cases: 3, failure_persistence: None, ..Config::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runner
        .run(&proptest::collection::vec(debit, 0..120), |seeds| {
            let debits: Vec<Debit> = seeds
                .iter()
                .zip(0..)
                .map(|((seed, tokens, cost), n)| random_debit(n, *seed, *tokens, *cost))
                .collect();
            runtime.block_on(adds_up(&debits));
            Ok(())
        })
        .unwrap();
}

async fn adds_up(debits: &[Debit]) {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    record(&store, &debits.iter().map(bytes).collect::<Vec<_>>()).await;
    let (replay, _) = replayed(&store).await;
    let whole = sums(debits.iter());
    for chosen in 0..1_u32 << Dimension::ALL.len() {
        let mut by: Vec<_> = Dimension::ALL
            .into_iter()
            .zip(0..)
            .filter(|(_, bit)| chosen >> bit & 1 == 1)
            .map(|(it, _)| it)
            .collect();
        if !chosen.is_multiple_of(2) {
            by.reverse();
        }
        let (lines, total) = reported_by(&store, &by, &EntryFilter::default()).await;
        assert_eq!(told(&total), whole, "{by:?}");
        assert_eq!(total.counts.cost.picopax(), replay.picopax, "the total of a replay");
        let mut expected = BTreeMap::<Vec<Option<String>>, Vec<&Debit>>::new();
        for debit in debits.iter().filter(|_| !by.is_empty()) {
            expected.entry(by.iter().map(|it| Some(key(debit, *it))).collect()).or_default().push(debit);
        }
        let expected: Vec<_> = expected.into_iter().map(|(keys, of)| (keys, sums(of.into_iter()))).collect();
        let lines: Vec<_> = lines.iter().map(|line| (line.keys.clone(), told(line))).collect();
        assert_eq!(lines, expected, "{by:?}");
    }
    store.close().await;
}

#[tokio::test]
async fn sums_beyond_an_amount_are_exact_and_dollars_are_missing_where_a_card_is_not_known() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let most = |n: u64| {
        let mut debit = reported(n, "free", Tier::Free);
        debit.cost_pax = Pax::MAX;
        debit.tokens_input = Tokens(u64::try_from(i64::MAX).unwrap());
        debit
    };
    let debits = [most(1), most(2), most(3), estimated(4, "credit", Tier::Credit)];
    record(&store, &debits.iter().map(bytes).collect::<Vec<_>>()).await;
    let filter = EntryFilter::default();
    let (lines, total) = reported_by(&store, &[Dimension::Tier], &filter).await;
    assert_eq!(told(&total), sums(debits.iter()));
    assert_eq!(told(&lines[1]), sums(debits[..3].iter()));
    assert_eq!(lines[1].counts.cost.to_string(), "27670116.110564327421");
    // 27670116.110564327421 PAX at 11.43 dollars.
    assert_eq!(lines[1].dollars.unwrap().to_string(), "316269427.14375026242203");

    let mut unknown = reported(5, "credit", Tier::Credit);
    unknown.card_sha256 = Digest::of(&[b"a card that nobody knows"]);
    record(&store, &[bytes(&unknown)]).await;
    let (lines, total) = reported_by(&store, &[Dimension::Tier], &filter).await;
    assert_eq!((lines[0].dollars, total.dollars), (None, None));
    assert!(lines[1].dollars.is_some());
}

fn filled(debits: &[Debit]) -> Folder {
    let folder = Folder::new();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = folder.store_with_accounts().await;
        record(&store, &debits.iter().map(bytes).collect::<Vec<_>>()).await;
        store.close().await;
    });
    folder
}

fn said(folder: &Folder, arguments: &[&str]) -> String {
    let output = run(&folder.database(), arguments);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");
    stdout(&output)
}

fn some_debits() -> [Debit; 4] {
    let mut formula = estimated(2, "credit", Tier::Credit);
    formula.model = "=cmd()".to_owned();
    [
        reported(1, "free", Tier::Free),
        formula,
        on_day(reported(4, "free", Tier::Free), 8),
        byo(6, "credit", Tier::Credit),
    ]
}

#[test]
fn a_report_is_a_table_csv_or_json_with_the_total_last() {
    let debits = some_debits();
    let folder = filled(&debits);
    let _service = Service::start(&folder.database());
    let table = said(&folder, &["report", "--by", "account,month"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let of = |line: usize| lines[line].join(" ");
    assert_eq!(of(0), "account utc_month calls input cached output cost_pax cost_usd estimated");
    let (first, second, third) = (&debits[0], &debits[1], &debits[2]);
    assert!(of(1).starts_with("credit 2026-11 2 "), "{table}");
    assert!(of(1).ends_with("100.00%") && of(1).contains(&second.cost_pax.to_string()), "{table}");
    assert!(of(2).starts_with(&format!("free 2026-11 1 1001 0 21 {} ", first.cost_pax)), "{table}");
    assert!(of(3).starts_with(&format!("free 2026-12 1 1004 0 24 {} ", third.cost_pax)), "{table}");
    assert!(of(4).starts_with("total 4 ") && lines.len() == 5, "{table}");
    let ends: Vec<usize> = table.lines().map(|line| line.trim_end().len()).collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "numbers stand at the right: {table}");

    let csv = said(&folder, &["report", "--by", "model", "--csv"]);
    let rows: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(
        rows[0],
        "row,model,calls,tokens_input,tokens_cached_input,tokens_output,cost_pax,cost_usd,estimated_calls,estimated_pax,estimated_share"
    );
    assert!(rows[1].starts_with("group,'=cmd(),1,"), "{csv}");
    assert!(rows[3].starts_with("total,,4,") && rows[4].is_empty(), "{csv}");

    let json = said(&folder, &["report", "--by", "funding,tier", "--json"]);
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["row"], "group");
    assert_eq!((&lines[0]["funding"], &lines[0]["tier"]), (&"byo".into(), &"credit".into()));
    assert_eq!(
        (&lines[0]["cost_pax"], &lines[0]["estimated_share"]),
        (&"0.000000000000".into(), &Value::Null)
    );
    let last = lines.last().unwrap();
    assert_eq!((&last["row"], &last["calls"], &last["tier"]), (&"total".into(), &4.into(), &Value::Null));
    let dollars = last["cost_usd"].as_str().unwrap();
    let pax: rust_decimal::Decimal = last["cost_pax"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        dollars.parse::<rust_decimal::Decimal>().unwrap(),
        pax * "11.43".parse::<rust_decimal::Decimal>().unwrap()
    );

    assert_eq!(said(&folder, &["report"]).lines().count(), 2);
}

#[test]
fn a_report_has_the_calls_of_its_time_and_account_as_entries_have() {
    let folder = filled(&some_debits());
    let calls = |more: &[&str]| {
        let json = said(&folder, &[&["report", "--json"], more].concat());
        let calls =
            serde_json::from_str::<Value>(json.lines().last().unwrap()).unwrap()["calls"].as_u64().unwrap();
        let entries = said(&folder, &[&["entries"], more].concat()).lines().count();
        assert_eq!(usize::try_from(calls).unwrap(), entries, "{more:?}");
        calls
    };
    assert_eq!(calls(&[]), 4);
    assert_eq!(calls(&["--account", "free"]), 2);
    assert_eq!(calls(&["--from", "2026-11-24"]), 1);
    assert_eq!(calls(&["--to", "2026-12-01"]), 3, "a day is its first moment, and not included");
    assert_eq!(calls(&["--from", "2026-11-23T00:00:00.002Z", "--to", "2026-11-23T00:00:00.006Z"]), 1);
    assert_eq!(calls(&["--from", "2026-11-23", "--to", "2026-11-24", "--account", "credit"]), 2);
    for (arguments, code, why) in [
        (&["report", "--by", "model,model"][..], 1, "names model twice"),
        (&["report", "--account", "nobody"], 1, "no account \"nobody\""),
        (&["report", "--from", "2026-11-24", "--to", "2026-11-24"], 1, "--to itself is not included"),
        (&["report", "--by", "colour"], 2, "account"),
        (&["report", "--from", "yesterday"], 2, "or a UTC day such as"),
        (&["report", "--csv", "--json"], 2, "cannot be used with"),
    ] {
        let output = run(&folder.database(), arguments);
        assert!(output.status.code() == Some(code) && stderr(&output).contains(why), "{}", stderr(&output));
    }
}
