//! What the service promises over HTTP, as a process of its own.

use crate::common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::debits::{exchange, reported};
use common::{Folder, SECRET, Service, bytes, http, program, run, stderr, stdout};
use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::wire::{
    DEBITS_PATH, DebitOutcome, DebitReplies, RESOLVE_PATH, Resolved, STANDINGS_PATH,
};
use pax_gateway::debit::frozen::CANON_MAX;
use pax_gateway::memory::lanes::outbox::{BATCH, BATCH_BYTES};
use pax_ledger::api::internal::{BODY_MAX, LINES_MAX};

/// A filter's fullest batch is let in.
const _: () = assert!(BATCH <= LINES_MAX && BATCH_BYTES + 2 * CANON_MAX < BODY_MAX);

fn ledger() -> Folder {
    let folder = Folder::new();
    for (arguments, expected) in [
        (&["account", "create", "free", "--tier", "free"][..], "created account free (tier free)\n"),
        (&["token", "add", "free", "--name", "test", "--token", "mtx-test-free"], "mtx-test-free\n"),
    ] {
        let output = run(&folder.database(), arguments);
        assert_eq!(stdout(&output), expected, "{}", stderr(&output));
    }
    folder
}

fn resolve(service: &Service, token: &str) -> (u16, String) {
    let sha256 = Digest::of(&[token.as_bytes()]);
    let body = format!("{{\"token_sha256\":\"{sha256}\",\"utc_day\":\"2026-11-23\"}}");
    http(service.internal, "POST", RESOLVE_PATH, Some(SECRET), body.as_bytes())
}

fn send(service: &Service, numbers: impl Iterator<Item = u64>) -> Vec<(String, DebitOutcome)> {
    let lines: Vec<_> = numbers.map(|n| bytes(&reported(n, "free", Tier::Free))).collect();
    outcomes(service, &lines)
}

/// Sends lines and gives what became of each, by its exchange.
fn outcomes(service: &Service, lines: &[Vec<u8>]) -> Vec<(String, DebitOutcome)> {
    let (status, body) = http(service.internal, "POST", DEBITS_PATH, Some(SECRET), &lines.join(&b'\n'));
    assert_eq!(status, 200, "{body}");
    let replies: DebitReplies = serde_json::from_str(&body).unwrap();
    replies.results.into_iter().map(|reply| (reply.exchange_id, reply.outcome)).collect()
}

#[test]
fn a_token_resolves_to_its_account_until_it_is_revoked() {
    let folder = ledger();
    let service = Service::start(&folder.database());
    let (status, body) = resolve(&service, "mtx-test-free");
    let Resolved { account, standing, canon_v } = serde_json::from_str(&body).unwrap();
    assert_eq!(canon_v, [1, 2], "what it reads");
    assert_eq!((status, account.account.as_str(), account.tier), (200, "free", Tier::Free));
    assert_eq!((account.status, account.daily_cap_pax, standing.account_seq), (Status::Active, None, 0));
    let (status, body) = resolve(&service, "mtx-test-fre");
    assert_eq!(status, 404);
    assert!(body.contains("\"code\":\"unknown_token\""), "{body}");

    assert!(run(&folder.database(), &["account", "disable", "free"]).status.success());
    let (status, body) = resolve(&service, "mtx-test-free");
    let disabled: Resolved = serde_json::from_str(&body).unwrap();
    assert_eq!((status, disabled.account.status), (200, Status::Disabled));
    assert!(run(&folder.database(), &["account", "enable", "free"]).status.success());
    assert!(run(&folder.database(), &["token", "revoke", &account.token_id]).status.success());
    assert_eq!(resolve(&service, "mtx-test-free").0, 404);
}

/// A debit as a filter may write it that is newer than this program: of which it knows no more than how it begins.
fn of_version_3(n: u64) -> Vec<u8> {
    let id = exchange(n);
    format!("{{\"canon_v\":3,\"kind\":\"debit\",\"exchange_id\":\"{id}\",\"account\":\"free\"}}").into_bytes()
}

#[test]
fn a_debit_of_a_version_that_is_not_read_is_answered_in_its_place_and_leaves_nothing() {
    use DebitOutcome::{Duplicate, Recorded, Unsupported};
    let folder = ledger();
    let of = |n| bytes(&reported(n, "free", Tier::Free));
    let said = |what: &[(u64, DebitOutcome)]| -> Vec<_> {
        what.iter().map(|(n, outcome)| (exchange(*n).to_string(), *outcome)).collect()
    };
    let left = |entries: usize| {
        assert_eq!(stdout(&run(&folder.database(), &["entries"])).lines().count(), entries);
        assert_eq!(stdout(&run(&folder.database(), &["quarantine", "list", "--json"])), "");
        let replay = run(&folder.database(), &["replay"]);
        assert!(replay.status.success(), "{}", stderr(&replay));
    };
    let reads = |service: &Service| {
        let (_, body) = resolve(service, "mtx-test-free");
        serde_json::from_str::<Resolved>(&body).unwrap().canon_v
    };
    // Of versions 1, 3, 2, 3 and 1: those that are not read are first, last and between others in one batch or another.
    let service = Service::start(&folder.database());
    assert_eq!(reads(&service), [1, 2]);
    let batch = [of(1), of_version_3(2), of(4), of_version_3(6), of(3)];
    let expected = [(1, Recorded), (2, Unsupported), (4, Recorded), (6, Unsupported), (3, Recorded)];
    assert_eq!(outcomes(&service, &batch), said(&expected));
    left(3);
    let expected = [(2, Unsupported), (4, Duplicate), (6, Unsupported)];
    assert_eq!(outcomes(&service, &[of_version_3(2), of(4), of_version_3(6)]), said(&expected));
    left(3);
    drop(service);

    // Before it is rolled back to a program that reads version 1 alone. What is an entry already is not read either.
    let service = Service::start_with(program(&folder.database()), &["--canon-v", "1"]);
    assert_eq!(reads(&service), [1]);
    let batch = [of(8), of(5), of(4)];
    assert_eq!(outcomes(&service, &batch), said(&[(8, Unsupported), (5, Recorded), (4, Unsupported)]));
    left(4);
    drop(service);
    let service = Service::start(&folder.database());
    assert_eq!(outcomes(&service, &batch), said(&[(8, Recorded), (5, Duplicate), (4, Duplicate)]));
    left(5);
}

#[test]
fn nobody_without_the_secret_gets_past_the_internal_listener_and_nothing_of_it_is_public() {
    let folder = ledger();
    let service = Service::start(&folder.database());
    let line = bytes(&reported(1, "free", Tier::Free));
    for path in [RESOLVE_PATH, STANDINGS_PATH, DEBITS_PATH] {
        for secret in [None, Some(""), Some("another-secret-of-the-tests"), Some(&SECRET[1..])] {
            let (status, body) = http(service.internal, "POST", path, secret, &line);
            assert_eq!(status, 401, "{path} {secret:?}");
            assert!(body.contains("\"code\":\"unauthorized\"") && !body.contains(SECRET), "{body}");
        }
        assert_eq!(http(service.public, "POST", path, Some(SECRET), &line).0, 404, "{path}");
    }
    for address in [service.internal, service.public] {
        assert_eq!(http(address, "GET", "/healthz", None, b""), (200, "{\"status\":\"ok\"}".to_owned()));
        assert_eq!(http(address, "GET", "/nothing", None, b"").0, 404);
    }
    assert_eq!(stdout(&run(&folder.database(), &["entries"])), "");
}

#[test]
fn bodies_beyond_a_limit_are_refused_and_leave_nothing() {
    let folder = ledger();
    let service = Service::start(&folder.database());
    let post = |body: &[u8]| http(service.internal, "POST", DEBITS_PATH, Some(SECRET), body);
    assert_eq!(post(&vec![b'x'; BODY_MAX + 1]).0, 413);
    let (status, body) = post(&b"x\n".repeat(LINES_MAX + 1));
    assert_eq!(status, 413);
    assert!(body.contains(&LINES_MAX.to_string()), "{body}");
    assert_eq!(post(b""), (200, "{\"results\":[]}".to_owned()));
    let (status, body) = post(&b"x\n".repeat(LINES_MAX));
    assert_eq!((status, body.matches("rejected").count()), (200, LINES_MAX));
    assert_eq!(http(service.internal, "POST", RESOLVE_PATH, Some(SECRET), b"{}").0, 400);
    assert!(stdout(&run(&folder.database(), &["replay"])).starts_with("replayed 0 entries"));
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = ledger();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let service = Service::start(&folder.database());
        for batch in 0..3 {
            let first = round * 100 + batch * 10;
            acknowledged.extend(send(&service, first..first + 7));
        }
        service.signal("KILL");
    }
    let listed = stdout(&run(&folder.database(), &["entries"]));
    assert_eq!((acknowledged.len(), listed.lines().count()), (63, 63));
    for (id, outcome) in &acknowledged {
        assert!(*outcome == DebitOutcome::Recorded && listed.contains(id), "{id}");
    }
    let replay = run(&folder.database(), &["replay"]);
    assert!(replay.status.success(), "{}", stderr(&replay));
    assert!(stdout(&replay).starts_with("replayed 63 entries of 1 accounts: everything holds\n"));
}

#[test]
fn many_senders_at_once_are_each_answered_for_their_own_lines() {
    let folder = ledger();
    let service = Service::start(&folder.database());
    std::thread::scope(|scope| {
        for sender in 0..16 {
            let service = &service;
            scope.spawn(move || {
                for batch in 0..5 {
                    // Every second sender repeats what the one before it sends.
                    let first = (sender / 2) * 1_000 + batch * 10;
                    let replies = send(service, first..first + 5);
                    let ids: Vec<_> = (first..first + 5).map(|n| exchange(n).to_string()).collect();
                    assert_eq!(
                        replies.iter().map(|(id, _)| id).collect::<Vec<_>>(),
                        ids.iter().collect::<Vec<_>>()
                    );
                    let fine = |outcome| matches!(outcome, DebitOutcome::Recorded | DebitOutcome::Duplicate);
                    assert!(replies.iter().all(|(_, outcome)| fine(*outcome)), "{replies:?}");
                }
            });
        }
    });
    let replay = stdout(&run(&folder.database(), &["replay"]));
    assert!(replay.starts_with("replayed 200 entries of 1 accounts: everything holds\n"), "{replay}");
}

#[test]
fn it_stops_in_order_when_asked_to() {
    let folder = ledger();
    for signal in ["TERM", "INT"] {
        let mut service = Service::start(&folder.database());
        resolve(&service, "mtx-test-free");
        send(&service, 0..5);
        service.signal(signal);
        assert!(service.child.wait().unwrap().success(), "{signal}");
        let log = std::fs::metadata(folder.database().with_extension("db-wal"));
        assert!(log.is_err() || log.is_ok_and(|log| log.len() == 0), "the log is folded into the file");
    }
}

#[test]
fn a_connection_that_never_ends_does_not_keep_it_from_stopping() {
    let folder = ledger();
    let mut service = Service::start(&folder.database());
    let mut half = TcpStream::connect(service.internal).unwrap();
    half.write_all(b"POST /internal/v1/debits HTTP/1.1\r\nhost").unwrap();
    send(&service, 0..5);
    service.signal("TERM");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = service.child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it waits for a connection that never ends");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
}

#[test]
fn a_store_that_fails_answers_503_and_keeps_nothing() {
    let folder = ledger();
    let service = Service::start(&folder.database());
    let shell = tokio::runtime::Runtime::new().unwrap();
    let sql = |sql: &str| {
        shell.block_on(folder.sql(sql));
    };
    sql("ALTER TABLE day_totals RENAME TO elsewhere");
    let lines = bytes(&reported(1, "free", Tier::Free));
    let (status, body) = http(service.internal, "POST", DEBITS_PATH, Some(SECRET), &lines);
    assert_eq!(status, 503);
    assert!(body.contains("send it again") && !body.contains("day_totals"), "{body}");
    sql("ALTER TABLE elsewhere RENAME TO day_totals");
    assert_eq!(send(&service, 1..2), [(exchange(1).to_string(), DebitOutcome::Recorded)]);
}

#[test]
fn it_does_not_start_without_a_proper_secret() {
    let folder = ledger();
    let secret_file = folder.0.join("secret");
    std::fs::write(&secret_file, "fifteen-letters\n").unwrap();
    let file = ["--secret-file", secret_file.to_str().unwrap()];
    for (secret, arguments, expected) in [
        (None, &[][..], "set PAX_LEDGER_SECRET"),
        (Some(""), &[], "at least 16"),
        (Some("fifteen-letters"), &[], "at least 16"),
        (Some(SECRET), &file, "at least 16"),
        (Some(SECRET), &["--secret-file", "/nowhere/secret"], "/nowhere/secret"),
    ] {
        let mut command = program(&folder.database());
        command.env_remove("PAX_LEDGER_SECRET").arg("serve").args(arguments);
        if let Some(secret) = secret {
            command.env("PAX_LEDGER_SECRET", secret);
        }
        command.args(["--internal", "127.0.0.1:0", "--public", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that starts all the same says that it listens, and is not waited for.
        let mut listening = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut listening).unwrap();
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        assert_eq!(listening, "", "{secret:?} {arguments:?}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn health_is_asked_of_both_listeners_without_a_database() {
    let folder = ledger();
    let service = Service::start(&folder.database());
    let health = |internal: &str, public: &str| {
        let mut command = program(&folder.database());
        command.env_remove("PAX_LEDGER_DB").env_remove("PAX_LEDGER_SECRET");
        command.args(["health", "--internal", internal, "--public", public]).output().unwrap()
    };
    let (internal, public) = (service.internal.to_string(), service.public.to_string());
    let asked = health(&internal, &public);
    assert!(asked.status.success(), "{}", stderr(&asked));
    // Port 9 (discard) is nobody's.
    let asked = health(&internal, "127.0.0.1:9");
    assert_eq!(asked.status.code(), Some(1));
    assert!(stderr(&asked).contains("asking the public listener at 127.0.0.1:9"), "{}", stderr(&asked));
    service.signal("STOP");
    assert_eq!(health(&internal, &public).status.code(), Some(1), "it is there and says nothing");
}

#[test]
fn while_the_secret_is_rotated_the_old_one_is_taken_too() {
    let folder = ledger();
    let mut command = program(&folder.database());
    command.env("PAX_LEDGER_SECRET", "a-new-secret-of-the-tests").env("PAX_LEDGER_SECRET_OLD", SECRET);
    let service = Service::start_as(command);
    let asked = |secret| http(service.internal, "POST", STANDINGS_PATH, Some(secret), b"{\"asks\":[]}").0;
    assert_eq!((asked("a-new-secret-of-the-tests"), asked(SECRET), asked("another-secret")), (200, 200, 401));
}

#[test]
fn at_its_end_it_goes_on_while_filters_are_heard() {
    let folder = ledger();
    let serve = || {
        let mut command = program(&folder.database());
        command.env("RUST_LOG", "off");
        Service::start_with(command, &["--linger-s", "30"])
    };
    let ended = |service: &mut Service| service.child.try_wait().unwrap().is_some();
    let until_ended = |service: &mut Service, patience: Duration| {
        let begun = Instant::now();
        while !ended(service) {
            assert!(begun.elapsed() < patience, "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    // One whom no filter asked anything ends at once, whoever asks for its health.
    let mut service = serve();
    assert_eq!(http(service.internal, "GET", "/healthz", None, b"").0, 200);
    service.signal("TERM");
    until_ended(&mut service, Duration::from_secs(3));

    let mut service = serve();
    let asked =
        |service: &Service| http(service.internal, "POST", STANDINGS_PATH, Some(SECRET), b"{\"asks\":[]}").0;
    assert_eq!(asked(&service), 200);
    service.signal("TERM");
    for _ in 0..6 {
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(asked(&service), 200, "a debit could still come");
    }
    assert!(!ended(&mut service));
    until_ended(&mut service, Duration::from_secs(8));
}
