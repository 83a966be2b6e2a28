//! What `/metrics` of the internal listener promises: who may ask, what counts, and that README's list is the whole one.

use crate::common;

use std::collections::BTreeSet;

use common::debits::{byo, reported, version_in_force};
use common::{Answer, BEARER, Folder, SECRET, Service, ask, bytes, get, http, program, run};
use pax_gateway::base::account::Tier;
use pax_gateway::base::wire::{DEBITS_PATH, RESOLVE_PATH, STANDINGS_PATH};

const METRICS_SECRET: &str = "a-secret-for-figures";

fn scrape_as(service: &Service, secret: Option<&str>) -> Answer {
    let bearer = secret.map(|secret| format!("Bearer {secret}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    ask(service.internal, "GET", "/metrics", &headers, b"")
}

/// The lines of a scrape that are samples: series and value.
fn scrape(service: &Service) -> Vec<(String, String)> {
    let answer = scrape_as(service, Some(SECRET));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let samples = answer.body.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.rsplit_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

fn value(samples: &[(String, String)], series: &str) -> String {
    let found: Vec<_> = samples.iter().filter(|(known, _)| known == series).collect();
    assert_eq!(found.len(), 1, "{series} in {samples:#?}");
    found[0].1.clone()
}

fn served() -> (Folder, Service) {
    let folder = Folder::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { folder.store_with_accounts().await.close().await });
    let mut with_both = program(&folder.database());
    with_both.env("PAX_LEDGER_METRICS_SECRET", METRICS_SECRET);
    let service = Service::start_as(with_both);
    (folder, service)
}

fn send(service: &Service, lines: &[Vec<u8>]) -> u16 {
    http(service.internal, "POST", DEBITS_PATH, Some(SECRET), &lines.join(&b'\n')).0
}

#[test]
fn debits_count_by_what_became_of_them_and_their_cost_once() {
    let (folder, service) = served();
    let first = reported(1, "free", Tier::Free);
    let second = reported(2, "credit", Tier::Credit);
    let mut other = first.clone();
    other.tokens_output.0 += 1;
    let unread =
        bytes(&second).iter().map(|byte| if *byte == b'2' { b'9' } else { *byte }).collect::<Vec<_>>();
    assert!(unread.starts_with(b"{\"canon_v\":9,"));
    let lines = [
        bytes(&first),
        bytes(&first),
        bytes(&other),
        b"no debit".to_vec(),
        unread,
        bytes(&second),
        bytes(&byo(3, "free", Tier::Free)),
    ];
    assert_eq!(send(&service, &lines), 200);
    assert_eq!(send(&service, &[bytes(&first)]), 200);
    let samples = scrape(&service);
    for (outcome, count) in
        [("recorded", "3"), ("duplicate", "2"), ("conflict", "1"), ("rejected", "1"), ("unsupported", "1")]
    {
        assert_eq!(value(&samples, &format!("pax_ledger_debits_total{{outcome=\"{outcome}\"}}")), count);
    }
    let charged = first.cost_pax.picopax() + second.cost_pax.picopax();
    assert_eq!(value(&samples, "pax_ledger_charged_picopax_total"), charged.to_string());
    assert_eq!(value(&samples, "pax_ledger_batch_commit_seconds_count"), "2");
    assert_eq!(value(&samples, "pax_ledger_batch_commit_seconds_bucket{le=\"+Inf\"}"), "2");
    assert_eq!(value(&samples, "pax_ledger_quarantine_unseen_lines"), "2");
    assert_eq!(value(&samples, "pax_ledger_entries"), "3");
    assert_eq!(value(&samples, "pax_ledger_accounts{tier=\"free\",status=\"active\"}"), "1");
    assert_eq!(value(&samples, "pax_ledger_accounts{tier=\"free\",status=\"disabled\"}"), "0");
    assert_eq!(
        value(&samples, "pax_ledger_rate_table_version"),
        version_in_force(pax_ledger::now()).to_string()
    );
    let now = pax_ledger::now().ms() / 1_000;
    let last: f64 = value(&samples, "pax_ledger_last_entry_timestamp_seconds").parse().unwrap();
    assert!((now - 60..=now + 1).contains(&(last as u64)), "{last} is not now");
    let epoch: u64 = value(&samples, "pax_ledger_epoch").parse().unwrap();
    assert!(epoch / 1_000 >= now - 60, "{epoch}");
    let size: u64 = value(&samples, "pax_ledger_database_bytes{file=\"database\"}").parse().unwrap();
    match folder.is_postgres() {
        true => assert!(size > 1_000_000, "{size}: that of the whole database"),
        false => assert_eq!(size, std::fs::metadata(folder.database()).unwrap().len()),
    }

    assert!(
        run(&folder.database(), &["quarantine", "seen", "--all", "--by", "t", "--reason", "t"])
            .status
            .success()
    );
    assert!(run(&folder.database(), &["account", "disable", "free"]).status.success());
    let samples = scrape(&service);
    assert_eq!(value(&samples, "pax_ledger_quarantine_unseen_lines"), "0");
    assert_eq!(value(&samples, "pax_ledger_accounts{tier=\"free\",status=\"disabled\"}"), "1");
}

#[test]
fn an_entry_that_does_not_prove_itself_is_counted() {
    let (_folder, service) = served();
    let mut wrong = reported(1, "free", Tier::Free);
    wrong.tokens_output.0 += 1;
    assert_eq!(send(&service, &[bytes(&wrong), bytes(&reported(2, "free", Tier::Free))]), 200);
    assert_eq!(value(&scrape(&service), "pax_ledger_entries_unproven_total"), "1");
}

#[test]
fn requests_count_by_route_and_ending_and_nobodys_words_make_a_series() {
    let (_folder, service) = served();
    let before: BTreeSet<String> = scrape(&service).into_iter().map(|(series, _)| series).collect();
    let resolve = format!("{{\"token_sha256\":\"{}\",\"utc_day\":\"2026-11-23\"}}", "0".repeat(64));
    for (path, secret, body) in [
        (RESOLVE_PATH, Some(SECRET), resolve.as_bytes()),
        (RESOLVE_PATH, Some(SECRET), b"nonsense"),
        (RESOLVE_PATH, Some("another-secret-is-this"), b""),
        (RESOLVE_PATH, None, b""),
        (STANDINGS_PATH, Some(SECRET), b"{\"asks\":[]}"),
        ("/internal/v1/invented", Some(SECRET), b""),
    ] {
        http(service.internal, "POST", path, secret, body);
    }
    assert_eq!(http(service.internal, "GET", RESOLVE_PATH, Some(SECRET), b"").0, 405);
    for path in ["/v1/credits", "/v1/credits/ledger", "/v1/credits?x=1", "/v1/invented"] {
        get(&service, "free", path);
        get(&service, "nobody-invented", path);
    }
    let mut odd = reported(1, "free", Tier::Free);
    odd.model = "an-invented-model".to_owned();
    assert_eq!(send(&service, &[bytes(&odd)]), 200);
    let samples = scrape(&service);
    let after: BTreeSet<String> = samples.iter().map(|(series, _)| series.clone()).collect();
    assert_eq!(before, after, "all series are there from the start");
    for (route, outcome, count) in [
        ("resolve", "answered", "0"),
        ("resolve", "unknown", "1"),
        ("resolve", "unauthorized", "2"),
        ("resolve", "refused", "2"),
        ("standings", "answered", "1"),
        ("debits", "answered", "1"),
        ("credits", "answered", "1"),
        ("credits", "refused", "2"),
        ("credits", "unknown", "1"),
        ("entries", "answered", "1"),
        ("entries", "unknown", "1"),
        ("entries", "failed", "0"),
    ] {
        let series = format!("pax_ledger_requests_total{{route=\"{route}\",outcome=\"{outcome}\"}}");
        assert_eq!(value(&samples, &series), count, "{series}");
    }
}

#[test]
fn figures_are_for_who_knows_a_secret_and_theirs_opens_nothing_else() {
    let (_folder, service) = served();
    for (secret, status) in
        [(None, 401), (Some("another-secret-is-this"), 401), (Some(SECRET), 200), (Some(METRICS_SECRET), 200)]
    {
        assert_eq!(scrape_as(&service, secret).status, status, "{secret:?}");
    }
    assert_eq!(http(service.internal, "POST", "/metrics", Some(SECRET), b"").0, 405);
    for path in [RESOLVE_PATH, STANDINGS_PATH, DEBITS_PATH] {
        assert_eq!(http(service.internal, "POST", path, Some(METRICS_SECRET), b"").0, 401, "{path}");
    }
    // Nothing of it on the listener that callers come to.
    let public = ask(service.public, "GET", "/metrics", &[("authorization", BEARER)], b"");
    assert_eq!(public.status, 404);
    let figures = scrape_as(&service, Some(SECRET)).body;
    assert!(!figures.contains(SECRET) && !figures.contains(METRICS_SECRET), "{figures}");

    // A secret that is too short to be one stops the start, and says which.
    let folder = Folder::new();
    let mut short = program(&folder.database());
    short.env("PAX_LEDGER_METRICS_SECRET", "short").args(["serve", "--internal", "127.0.0.1:0"]);
    let output = short.args(["--public", "127.0.0.1:0"]).output().unwrap();
    let error = common::stderr(&output);
    assert!(error.contains("PAX_LEDGER_METRICS_SECRET: ") && error.contains("at least 16"), "{error}");
}

#[test]
fn the_readme_lists_every_metric_with_its_type_and_no_other() {
    let (_folder, service) = served();
    let text = scrape_as(&service, Some(SECRET)).body;
    let told: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let readme = include_str!("../../README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `pax_ledger_"));
    let listed: BTreeSet<(String, String)> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            (cells[1].to_owned(), cells[2].to_owned())
        })
        .collect();
    assert_eq!(told, listed);
    // And their labels, with every value that a label can have.
    for row in readme.lines().filter(|line| line.starts_with("| `pax_ledger_")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        let labels: BTreeSet<&str> =
            cells[3].split('`').skip(1).step_by(2).filter(|label| !label.is_empty()).collect();
        let mut said = BTreeSet::new();
        for sample in text.lines().filter(|line| line.starts_with(&format!("{name}{{"))) {
            let inner = sample.split(['{', '}']).nth(1).unwrap_or_default();
            for pair in inner.split(',') {
                let (label, value) = pair.split_once('=').unwrap();
                if name != "pax_ledger_build_info" {
                    said.insert(value.trim_matches('"'));
                }
                said.insert(label);
            }
        }
        assert_eq!(said, labels, "{name}");
    }
}
