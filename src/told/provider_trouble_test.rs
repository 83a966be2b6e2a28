#![allow(clippy::unwrap_used)]

use super::*;
use crate::worker::fake::Map;

fn at(ms: u64) -> Tick {
    Tick::from_ms(1_000_000).plus_ms(ms)
}

fn told(details: &str) -> LocalReply {
    let [details, route, cluster] = [details, "mistral", "mistral"].map(str::to_owned);
    LocalReply { details, transport: String::new(), route, cluster }
}

/// Some are as Envoy 1.40 gave them: for a closed port, an unknown name, plain HTTP where TLS was spoken, a
/// wrong cluster in a route, and no route for the mark. The others are from Envoy's sources.
#[test]
fn who_was_reached_is_no_trouble_whatever_became_of_it() {
    for (details, why) in [
        ("cluster_not_found", Some(Unreachable::UnknownCluster)),
        ("route_not_found", Some(Unreachable::NoRoute)),
        ("no_healthy_upstream", Some(Unreachable::NoHost)),
        (
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
            Some(Unreachable::NoConnection),
        ),
        ("upstream_reset_before_response_started{local_connection_failure}", Some(Unreachable::NoConnection)),
        ("upstream_reset_before_response_started{connection_timeout}", Some(Unreachable::NoConnection)),
        ("upstream_reset_before_response_started{overflow}", Some(Unreachable::Overflow)),
        // The provider had the request.
        ("upstream_reset_before_response_started{connection_termination}", None),
        ("upstream_reset_before_response_started{remote_reset}", None),
        ("upstream_response_timeout", None),
        ("stream_idle_timeout", None),
        ("via_upstream", None),
        ("", None),
    ] {
        assert_eq!(Unreachable::of(&told(details)), why, "{details}");
    }
}

#[test]
fn a_line_names_the_provider_its_cluster_envoys_reason_and_what_to_check() {
    let line = |mark: &str, why: Unreachable, told: &LocalReply| {
        ProviderTroubles::default().tell(&Map::default(), at(0), (mark, why), told).unwrap()
    };
    let mut tls = told("upstream_reset_before_response_started{remote_connection_failure}");
    for (why, words) in [
        (Unreachable::UnknownCluster, "its route \"mistral\" names a cluster that Envoy does not have"),
        (Unreachable::NoRoute, "no route matches the filter state wasm.pax_provider \"mistral\""),
        (Unreachable::NoHost, "cluster \"mistral\" has no host. Is its name resolved"),
        (
            Unreachable::NoConnection,
            "no connection: upstream_reset_before_response_started{remote_connection_failure}.",
        ),
        (Unreachable::Overflow, "the circuit breakers of cluster \"mistral\""),
    ] {
        let line = line("mistral", why, &tls);
        assert!(
            line.starts_with("provider \"mistral\" cannot be reached: ") && line.contains(words),
            "{line}"
        );
    }
    tls.transport = format!("TLS_error: wrong version number{}", "x".repeat(100_000));
    let line_of_tls = line("mistral", Unreachable::NoConnection, &tls);
    assert!(line_of_tls.contains("no connection: TLS_error: wrong version number"), "{line_of_tls}");
    assert!(line_of_tls.len() < 1_000, "{}", line_of_tls.len());
    let credits = line(CREDITS_MARK, Unreachable::NoConnection, &tls);
    assert!(
        credits.starts_with("the ledger's public listener (GET /v1/credits) cannot be reached"),
        "{credits}"
    );
}

#[test]
fn it_is_said_once_a_minute_for_each_provider_and_reason_by_one_of_the_workers() {
    let shared = Map::default();
    let mut workers: [ProviderTroubles; 2] = std::array::from_fn(|_| ProviderTroubles::default());
    let mut lines = Vec::new();
    for ms in 0..60_000 {
        for worker in &mut workers {
            for mark in ["openai", "groq"] {
                let why = (mark, Unreachable::NoConnection);
                lines.extend(worker.tell(&shared, at(ms), why, &told("")));
            }
        }
    }
    assert_eq!(lines.len(), 2, "{lines:#?}");
    let [first, _] = &mut workers;
    let other = first.tell(&shared, at(60_000), ("openai", Unreachable::NoHost), &told("")).unwrap();
    assert!(!other.contains("more since"), "another reason is another matter: {other}");
    let next = first.tell(&shared, at(60_000), ("openai", Unreachable::NoConnection), &told("")).unwrap();
    assert!(next.contains("(119999 more since this was last said)"), "{next}");
}
