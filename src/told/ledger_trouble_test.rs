#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::call::config::Config;
use crate::worker::fake::Map;

fn at(ms: u64) -> Tick {
    Tick::from_ms(1_000_000).plus_ms(ms)
}

fn ledger(cluster: &str, resolve: &str) -> Ledger {
    Ledger {
        cluster: cluster.to_owned(),
        authority: "ledger".to_owned(),
        timeout_ms: 2_000,
        resolve_cluster: resolve.to_owned(),
    }
}

/// What an answer is, in one word.
fn word(answer: Result<Said, Trouble>) -> String {
    match answer {
        Ok(Said::Done(body)) => format!("done {}", String::from_utf8(body).unwrap()),
        Ok(Said::Refused(refused)) => format!("refused {} {}", refused.status, refused.code),
        Err(trouble) => trouble.to_string(),
    }
}

#[test]
fn an_answer_is_the_ledgers_or_says_what_is_amiss() {
    let error =
        |code: &str| format!(r#"{{"error":{{"message":"why","type":"t","param":null,"code":"{code}"}}}}"#);
    let (unknown, conflict) = (error("unknown_token"), error("conflict"));
    let (away, secret) = (error("ledger_unavailable"), error("unauthorized"));
    let envoys =
        "upstream connect error or disconnect/reset before headers. reset reason: connection\r\nfailure";
    for (status, body, expected) in [
        (Some(200), "{}", "done {}"),
        (Some(404), unknown.as_str(), "refused 404 unknown_token"),
        (Some(409), &conflict, "refused 409 conflict"),
        (Some(401), &secret, "status 401: the shared secret differs"),
        (Some(403), "RBAC: access denied", "status 403: the shared secret differs"),
        (Some(503), &away, "status 503 ledger_unavailable: why"),
        (
            Some(503),
            envoys,
            "no answer (upstream connect error or disconnect/reset before headers. reset reason: connection  failure)",
        ),
        (Some(504), "upstream request timeout", "no answer (upstream request timeout)"),
        (None, "", "no answer (none came in time)"),
        // Answers of another server: they do not mean that a token is unknown.
        (Some(404), "<html>", "no answer of a ledger's: status 404, and no reason in JSON"),
        (Some(404), r#"{"error":"not found"}"#, "no answer of a ledger's: status 404, and no reason in JSON"),
        (Some(500), "", "no answer of a ledger's: status 500, and no reason in JSON"),
        (Some(301), "", "no answer of a ledger's: status 301, and no reason in JSON"),
    ] {
        assert_eq!(word(read(status, body.as_bytes().to_vec())), expected, "{status:?} {body}");
    }
    let long = word(read(Some(503), vec![b'x'; 100_000]));
    assert!(long.len() < 300, "{}", long.len());
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_is_no_answer() {
    let wrong = Said::Done(b"{\"standings\":7}".to_vec()).done::<crate::base::wire::StandingsReply>();
    assert!(matches!(wrong, Err(Trouble::Unreadable(_))), "{wrong:?}");
    let refused = Refused { status: 404, code: "unknown_route".to_owned(), message: String::new() };
    let refused = Said::Refused(refused).done::<crate::base::wire::StandingsReply>();
    assert!(matches!(refused, Err(Trouble::Status(_))), "{refused:?}");
}

#[test]
fn each_trouble_names_the_key_the_cluster_and_what_to_do() {
    let refused = Refused { status: 503, code: "ledger_unavailable".to_owned(), message: String::new() };
    for (trouble, error, words) in [
        (Trouble::UnknownCluster, true, "ledger.cluster: Envoy has no such cluster: \"ledgr\""),
        (Trouble::NoAnswer("timeout".to_owned()), false, "\"ledgr\" (ledger.cluster): timeout. Debits wait"),
        (
            Trouble::Unauthorized(401),
            true,
            "\"ledgr\" (ledger.cluster): status 401. The cluster's credential_injector",
        ),
        (
            Trouble::Status(refused),
            false,
            "\"ledgr\" (ledger.cluster): status 503 ledger_unavailable. The ledger's own log",
        ),
        (
            Trouble::Unreadable("status 404".to_owned()),
            true,
            "is no ledger that this filter understands: status 404",
        ),
    ] {
        let mut troubles = Troubles::default();
        let ledger = ledger("ledgr", "ledgr");
        let told = troubles.failed(&Map::default(), at(0), (&ledger, Way::Main), &trouble);
        let (is_error, line) = match told.unwrap() {
            Line::Error(line) => (true, line),
            Line::Warning(line) => (false, line),
            Line::Note(line) => panic!("{line}"),
        };
        assert_eq!(is_error, error, "{line}");
        assert!(line.contains(words), "{words:?} is not in {line}");
    }
}

#[test]
fn a_cluster_of_its_own_for_questions_is_named_by_its_own_key() {
    let told = |ledger: &Ledger, way: Way| {
        let line =
            Troubles::default().failed(&Map::default(), at(0), (ledger, way), &Trouble::UnknownCluster);
        let Some(Line::Error(line)) = line else { panic!("{line:?}") };
        line
    };
    assert!(
        told(&ledger("a", "b"), Way::Resolve)
            .starts_with("ledger.resolve_cluster: Envoy has no such cluster: \"b\"")
    );
    assert!(
        told(&ledger("a", "b"), Way::Main).starts_with("ledger.cluster: Envoy has no such cluster: \"a\"")
    );
    // If the configuration names one cluster, the line names only the key that is in it.
    let text = r#"{"ledger": {"cluster": "a", "authority": "l"}, "hosts": ["*"], "providers": {}}"#;
    let one = Config::parse(text).unwrap().ledger;
    assert!(told(&one, Way::Resolve).starts_with("ledger.cluster: Envoy has no such cluster: \"a\""));
}

#[test]
fn a_thousand_failures_of_many_workers_are_one_line_a_minute_and_one_at_their_end() {
    let (shared, ledger) = (Map::default(), ledger("ledger", "ledger"));
    let mut workers: [Troubles; 4] = std::array::from_fn(|_| Troubles::default());
    let to = (&ledger, Way::Main);
    let trouble = Trouble::NoAnswer("timeout".to_owned());
    for worker in &mut workers {
        assert_eq!(worker.answered(&shared, at(0), to), None, "nothing was amiss");
    }
    let mut lines = Vec::new();
    for ms in 0..61_000 {
        let worker = usize::try_from(ms % 4).unwrap();
        lines.extend(workers.get_mut(worker).unwrap().failed(&shared, at(ms), to, &trouble));
    }
    let [Line::Warning(first), Line::Warning(second)] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(!first.contains("more since"), "{first}");
    assert!(second.contains("(59999 more since this was last said)"), "{second}");
    let ends: Vec<Line> =
        workers.iter_mut().filter_map(|worker| worker.answered(&shared, at(61_000), to)).collect();
    let [Line::Note(end)] = ends.as_slice() else { panic!("{ends:?}") };
    assert!(end.contains("answers again at cluster \"ledger\" (ledger.cluster), 61 s after"), "{end}");
    assert_eq!(workers.first_mut().unwrap().answered(&shared, at(61_001), to), None, "it is told once");
}

#[test]
fn another_trouble_is_told_at_once_and_a_new_configuration_tells_of_the_old_ones_end() {
    let (shared, wrong) = (Map::default(), ledger("ledgr", "ledgr"));
    let mut old = Troubles::default();
    assert!(old.failed(&shared, at(0), (&wrong, Way::Main), &Trouble::UnknownCluster).is_some());
    assert!(old.failed(&shared, at(1), (&wrong, Way::Main), &Trouble::UnknownCluster).is_none());
    assert!(old.failed(&shared, at(2), (&wrong, Way::Main), &Trouble::Unauthorized(401)).is_some());
    // The operator mends the name, and gets it wrong first.
    let other = ledger("legder", "legder");
    let mut new = Troubles::default();
    let told = new.failed(&shared, at(3_000), (&other, Way::Main), &Trouble::UnknownCluster);
    assert!(matches!(told, Some(Line::Error(line)) if line.contains("legder")));
    let right = ledger("ledger", "ledger");
    let mut last = Troubles::default();
    let told = last.answered(&shared, at(9_000), (&right, Way::Main));
    assert!(matches!(told, Some(Line::Note(line)) if line.contains("\"ledger\"") && line.contains("9 s")));
}
