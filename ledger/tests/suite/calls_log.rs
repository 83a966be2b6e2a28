//! "Why was I refused?", answered from the id alone: what `explain` prints of a request that has no entry, to the letter, for
//! every code and every outcome. `UPDATE_GOLDEN=1` writes the golden files.

use crate::common;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::debits::{exchange, reported};
use common::{Folder, bytes, program, record, run, stderr, stdout};
use pax_gateway::base::account::Tier;
use pax_gateway::base::refusal::codes;
use pax_gateway::call::story::{Outcome, Story};
use pax_gateway::told::log_line;
use pax_ledger::calls_log::{Line, OUTCOMES, words};
use serde_json::{Value, json};

/// Codes that callers are promised and that no version gives yet: balances, budgets and rates.
const PROMISED: [&str; 3] = ["budget_exceeded", "insufficient_credit", "rate_limited"];

/// The codes of Envoy's own replies.
fn local_replies() -> BTreeSet<String> {
    let replies = include_str!("../../../envoy/local-replies.json");
    let replies: Vec<Value> = serde_json::from_str(replies).unwrap();
    replies.iter().map(|reply| reply["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_code_has_words_and_no_word_is_for_a_code_that_there_is_not() {
    let given = codes::CODES.into_iter().chain(PROMISED).map(str::to_owned);
    let all: BTreeSet<String> = given.chain(local_replies()).collect();
    let with_words: Vec<&str> = words::CODES.iter().map(|words| words.code).collect();
    assert_eq!(with_words, all.iter().map(String::as_str).collect::<Vec<_>>());
    for words in words::CODES {
        let is_sentence = |text: &str| {
            text.ends_with('.') && text.chars().next().is_some_and(|first| !first.is_lowercase())
        };
        assert!(is_sentence(words.why) && !words.what_to_do.is_empty(), "{}", words.code);
        assert!(
            words.what_to_do.iter().all(|what| is_sentence(what) || what.starts_with('`')),
            "{}",
            words.code
        );
    }
}

#[test]
fn every_outcome_of_the_filter_has_words() {
    let names: Vec<&str> = OUTCOMES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, Outcome::ALL.map(Outcome::name));
}

/// The line of a call as the filter tells it, where it is all known.
fn called() -> Value {
    json!({
        "v": 1, "exchange_id": exchange(7), "method": "POST", "path": "/v1/chat/completions", "status": 200,
        "outcome": "answered", "code": null, "message": null, "account": "alice", "tier": "free",
        "token_id": "tok_0123456789abcdef", "slot": "default", "model": "gpt-oss-120b",
        "model_served": "accounts/fireworks/models/gpt-oss-120b", "provider": "fireworks", "funding": "platform",
        "stream": false, "provider_status": 200, "provider_request_id": "req-1", "rate_table_v": 2,
        "provenance": "reported", "flags": [], "input_tokens": 1000, "cached_tokens": 10, "output_tokens": 20,
        "cost_pax": "0.000001200000", "reserved_pax": "0.001720000000", "needed_pax": "0.001720000000",
        "in_flight_pax": "0.003000000000", "spent_pax": "1.500000000000", "limit_pax": "10.000000000000",
        "left_pax": "8.500000000000", "forwarded_ms": 3, "first_byte_ms": 420, "duration_ms": 1234,
    })
}

fn with(mut line: Value, more: Value) -> Value {
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

/// What is null where nothing was forwarded.
fn not_forwarded() -> Value {
    json!({
        "provider_status": null, "provider_request_id": null, "provenance": null, "input_tokens": null,
        "cached_tokens": null, "output_tokens": null, "cost_pax": null, "reserved_pax": null, "forwarded_ms": null,
        "first_byte_ms": null, "duration_ms": 4,
    })
}

fn by_envoy(pax: &Value) -> Value {
    json!({
        "time": "2026-11-23T00:00:00.123Z", "status": pax["status"].as_u64().unwrap_or(0), "duration_ms": pax["duration_ms"],
        "response_flags": "-", "response_code_details": "via_upstream", "bytes_received": 123, "bytes_sent": 456, "pax": pax,
    })
}

/// A refusal by the filter: what is known by then, and what is not.
fn refused(code: &str, status: u16, message: &str) -> Value {
    let line = with(
        with(called(), not_forwarded()),
        json!({"outcome": "refused", "code": code, "status": status, "message": message}),
    );
    let unknown = match code {
        "unknown_host" | "unknown_route" | "method_not_allowed" | "invalid_header" | "invalid_slot"
        | "byo_missing_key" | "invalid_api_key" => &[
            "account",
            "tier",
            "token_id",
            "slot",
            "model",
            "model_served",
            "provider",
            "funding",
            "rate_table_v",
            "needed_pax",
            "in_flight_pax",
            "spent_pax",
            "limit_pax",
            "left_pax",
            "stream",
        ][..],
        "daily_cap_exceeded" => &[],
        _ => &[
            "model_served",
            "provider",
            "rate_table_v",
            "needed_pax",
            "in_flight_pax",
            "spent_pax",
            "limit_pax",
            "left_pax",
            "stream",
        ],
    };
    let gone: serde_json::Map<String, Value> =
        unknown.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
    with(line, Value::Object(gone))
}

/// A line with the code, as likely a one as there is.
fn line_of(code: &str) -> Value {
    let is_local_only = !codes::CODES.contains(&code) && local_replies().contains(code);
    if is_local_only {
        // Envoy's own reply to a call that the filter saw has no words of its own; to what it did not see, no story.
        return match code {
            "upstream_cut" => {
                let cut = json!({"outcome": "provider_broke_off", "status": 502, "code": code, "provenance": "estimated"});
                with(
                    by_envoy(&with(called(), cut)),
                    json!({"response_code_details": "upstream_reset_after_response_started{remote_reset}"}),
                )
            }
            "upstream_timeout" | "upstream_unavailable" => {
                let failed = json!({
                    "outcome": "provider_failed", "status": 503, "code": code, "provider_status": null, "provider_request_id": null,
                    "provenance": null, "input_tokens": null, "cached_tokens": null, "output_tokens": null, "cost_pax": null,
                    "first_byte_ms": null,
                });
                with(by_envoy(&with(called(), failed)), json!({"response_flags": "UF"}))
            }
            _ => json!({
                "time": "2026-11-23T00:00:00.123Z", "status": 400, "duration_ms": 0, "response_flags": "DPE",
                "response_code_details": "http1.codec_error", "bytes_received": 0, "bytes_sent": 90, "method": "POST",
                "path": "/v1/chat/completions", "code": code, "exchange_id": exchange(7), "pax": null,
            }),
        };
    }
    let more = match code {
        "daily_cap_exceeded" => json!({
            "message": "This call can cost up to 8.7 PAX.", "needed_pax": "8.700000000000", "status": 429,
        }),
        "provider_refused_platform_key" | "upstream_failed" => json!({
            "outcome": "provider_failed", "status": 502, "provider": "fireworks", "provider_status": 401,
            "reserved_pax": "0.001720000000", "forwarded_ms": 3, "first_byte_ms": 90,
        }),
        _ => json!({}),
    };
    by_envoy(&with(refused(code, 400, "What the caller was told, on\none line."), more))
}

fn golden(name: &str, found: &str) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/calls_log").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(found, expected, "{name}");
}

/// A ledger without entries, and a log with these lines in the folder beside it.
fn ledger(lines: &[Value]) -> (Folder, PathBuf) {
    let folder = Folder::new();
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(async { folder.store_with_accounts().await.close().await });
    let log = folder.0.join("calls.log");
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&log, lines).unwrap();
    (folder, log)
}

/// What `explain` prints of the exchange 7, without the folder's name.
fn explained(folder: &Folder, log: &Path, line: &Value) -> String {
    std::fs::write(log, format!("{line}\n")).unwrap();
    let output =
        run(&folder.database(), &["explain", "--log", log.to_str().unwrap(), &exchange(7).to_string()]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{line}");
    stdout(&output).replace(&format!("{}/", folder.0.display()), "")
}

#[test]
fn every_code_is_explained_to_the_letter() {
    let (folder, log) = ledger(&[]);
    for words in words::CODES {
        let out = explained(&folder, &log, &line_of(words.code));
        assert!(out.contains(words.why) && out.contains(words.what_to_do[0]), "{out}");
        golden(words.code, &out);
        // And without any line, for a caller who has nothing but the code.
        let output = program(Path::new("unused")).args(["explain", words.code]).output().unwrap();
        assert!(output.status.success() && stdout(&output).contains(words.why), "{}", stderr(&output));
    }
}

#[test]
fn every_outcome_without_a_code_is_explained_to_the_letter() {
    let (folder, log) = ledger(&[]);
    for (outcome, _) in OUTCOMES {
        let more = match outcome {
            "answered" | "provider_broke_off" => json!({}),
            "provider_error" => {
                json!({"provider_status": 400, "status": 400, "cost_pax": null, "input_tokens": null, "provenance": null})
            }
            "caller_gone" => {
                json!({"status": null, "provenance": "estimated", "flags": ["usage_unreadable"]})
            }
            "local" => with(
                not_forwarded(),
                json!({"method": "GET", "path": "/v1/models", "model": null, "provider": null}),
            ),
            _ => not_forwarded(),
        };
        let line = by_envoy(&with(with(called(), more), json!({"outcome": outcome})));
        golden(&format!("outcome_{outcome}"), &explained(&folder, &log, &line));
    }
    let unseen = with(line_of("invalid_request"), json!({"code": null}));
    golden("not_seen_by_the_filter", &explained(&folder, &log, &unseen));
}

#[test]
fn what_can_help_a_call_that_did_not_fit_its_cap_is_told_by_its_numbers() {
    let (folder, log) = ledger(&[]);
    for (limit, spent, in_flight, needed, says) in [
        ("0", "0", "0", "1", "which blocks it: `pax-ledger account cap"),
        ("5", "0", "0", "6", "more than the whole cap: it fits on no day"),
        ("5", "2", "2", "3", "as soon as enough of the calls in flight have ended"),
        ("5", "4", "0", "2", "what is spent stays spent"),
    ] {
        let numbers =
            json!({"limit_pax": limit, "spent_pax": spent, "in_flight_pax": in_flight, "needed_pax": needed});
        let line = by_envoy(&with(refused("daily_cap_exceeded", 429, "No."), numbers));
        let out = explained(&folder, &log, &line);
        assert!(out.contains(says), "{says:?} is not in {out}");
        let above: i64 = [spent, in_flight, needed].iter().map(|it| it.parse::<i64>().unwrap()).sum::<i64>()
            - limit.parse::<i64>().unwrap();
        assert!(out.contains(&format!("above the limit   {above}.000000000000  ")), "{out}");
    }
}

#[test]
fn a_line_of_another_version_is_told_as_far_as_it_goes() {
    let (folder, log) = ledger(&[]);
    let odd = json!({"pax": {"exchange_id": exchange(7), "status": "many", "outcome": "transcended", "code": "a_new\u{1b}code", "flags": 5}});
    let out = explained(&folder, &log, &odd);
    assert!(out.contains("has no words for the code a_new code") && !out.contains('\u{1b}'), "{out}");
    let unknown = json!({"pax": {"exchange_id": exchange(7), "outcome": "transcended"}});
    let out = explained(&folder, &log, &unknown);
    assert!(out.contains("in words that this program knows"), "{out}");
    // The id that Envoy gives what the filter never saw is no exchange's.
    let id = "5f0c6a7e-1111-4222-8333-444455556666";
    let line = with(line_of("invalid_request"), json!({"exchange_id": id}));
    std::fs::write(&log, format!("{line}\n")).unwrap();
    let output = run(&folder.database(), &["explain", id, "--log", log.to_str().unwrap()]);
    assert!(output.status.success() && stdout(&output).contains(words::of("invalid_request").unwrap().why));
}

#[test]
fn the_lines_that_the_filter_writes_are_read() {
    let mut story = Story::default();
    story.begin(Default::default(), b"POST", b"/v1/chat/completions?key=secret");
    story.refuse(&pax_gateway::base::refusal::refusals::Refusal::AccountDisabled, Outcome::Refused);
    let written = log_line::write(Some(exchange(7)), &story, Default::default()).unwrap();
    let line = Line::read(format!("{{\"status\":403,\"pax\":{written}}}").as_bytes()).unwrap();
    assert!(line.is_of(&exchange(7).to_string()) && line.is_told());
    assert_eq!((line.text("code"), line.text("outcome")), (Some("account_disabled"), Some("refused")));
    assert_eq!((line.text("path"), line.whole("status")), (Some("/v1/chat/completions"), Some(403)));
    // The filter has all the keys that a case here has, and no other.
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(&serde_json::from_str(&written).unwrap()), keys(&called()));
}

#[test]
fn a_request_that_is_nowhere_exits_1_and_says_where_was_looked() {
    let (folder, log) = ledger(&[line_of("invalid_json")]);
    let id = exchange(8).to_string();
    let output = run(&folder.database(), &["explain", &id]);
    let error = stderr(&output);
    assert!(output.status.code() == Some(1) && error.contains("PAX_CALLS_LOG"), "{error}");
    let missing = folder.0.join("missing.log");
    let logs = ["--log", log.to_str().unwrap(), "--log", missing.to_str().unwrap()];
    let output = run(&folder.database(), &[&["explain", &id], &logs[..]].concat());
    let error = stderr(&output);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    for part in ["calls.log (1 lines)", "missing.log (cannot be read: ", "began at 2026-11-23T00:00:00.008Z"]
    {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    for wrong in ["17", "no_such_code", "019abcde-0000-7000-8000-00000000000g"] {
        let output = run(&folder.database(), &["explain", wrong]);
        assert!(output.status.code() == Some(2) && stderr(&output).contains("an error's code"), "{wrong}");
    }
}

#[test]
fn a_log_is_named_by_the_environment_or_comes_by_standard_input() {
    let (folder, log) = ledger(&[line_of("invalid_json")]);
    let by_environment = program(&folder.database())
        .args(["explain", &exchange(7).to_string()])
        .env("PAX_CALLS_LOG", &log)
        .output();
    assert!(stdout(&by_environment.unwrap()).contains("answered          400 invalid_json"));
    let mut child = program(&folder.database())
        .args(["explain", &exchange(7).to_string(), "--log", "-"])
        .stdin(std::fs::File::open(&log).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_call_with_an_entry_has_its_bill_and_the_logs_times_beside_it() {
    let folder = Folder::new();
    let debit = reported(7, "free", Tier::Free);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = folder.store_with_accounts().await;
        record(&store, &[bytes(&debit)]).await;
        store.close().await;
    });
    let log = folder.0.join("calls.log");
    std::fs::write(&log, format!("{}\n", by_envoy(&called()))).unwrap();
    let id = exchange(7).to_string();
    let arguments = ["explain", &id, "--log", log.to_str().unwrap()];
    let out = stdout(&run(&folder.database(), &arguments));
    let bill = stdout(&run(&folder.database(), &["explain", &id]));
    let beside = out.strip_prefix(&bill).unwrap();
    assert!(
        beside.contains("calls log\n  found in")
            && beside.contains("1234 ms, it went to the provider after 3 ms"),
        "{beside}"
    );
    let json: Value =
        serde_json::from_str(&stdout(&run(&folder.database(), &[&arguments[..], &["--json"]].concat())))
            .unwrap();
    assert_eq!(
        (&json["entry"]["cost_pax"], &json["call"]["pax"]["account"]),
        (&debit.cost_pax.to_string().into(), &"alice".into())
    );
    assert_eq!((&json["differences"], &json["why"]), (&json!([]), &Value::Null));
    assert_eq!(json["bill"].as_array().unwrap().len(), bill.lines().count());
}

#[test]
fn json_says_the_same_and_what_is_in_quarantine_is_said() {
    let (folder, log) = ledger(&[by_envoy(&called())]);
    let id = exchange(7).to_string();
    let mut stranger = reported(7, "nobody", Tier::Free);
    stranger.account = "nobody".to_owned();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = folder.store().await;
        record(&store, &[bytes(&stranger)]).await;
        store.close().await;
    });
    let arguments = ["explain", &id, "--log", log.to_str().unwrap(), "--json"];
    let json: Value = serde_json::from_str(&stdout(&run(&folder.database(), &arguments))).unwrap();
    let shape = "bill call corrections differences entry exchange_id found_in what_to_do why";
    assert_eq!(json.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" "), shape);
    assert_eq!((&json["entry"], &json["call"]["pax"]["cost_pax"]), (&Value::Null, &"0.000001200000".into()));
    let why = json["why"].as_str().unwrap();
    assert!(why.contains("in quarantine as number 1 (rejected: there is no account \"nobody\")"), "{why}");
    assert!(json["what_to_do"][0].as_str().unwrap().contains("`quarantine seen 1`"), "{json}");
    // Also where no log has it.
    let error = stderr(&run(&folder.database(), &["explain", &id]));
    assert!(error.contains("number 1 in quarantine names it (rejected"), "{error}");
}

#[test]
fn the_readme_shows_what_is_printed() {
    let shown = include_str!("../../README.md").split("A part of what it prints:\n\n```text\n").nth(1);
    let golden = include_str!("../golden/calls_log/daily_cap_exceeded.txt");
    let shown = shown.unwrap().split("```").next().unwrap();
    let lines: Vec<&str> = shown.lines().filter(|line| !["", "..."].contains(line)).collect();
    assert!(
        lines.len() > 10 && lines.iter().all(|line| golden.lines().any(|known| known == *line)),
        "{lines:#?}"
    );
}
