//! Trailers, which follow a body. No trailer of a caller reaches a provider or the ledger. A provider's
//! trailers that name the operator's account there do not reach the caller.

use crate::OwnCase;
use crate::common::providers::{move_credits, move_provider, speak_http2};
use crate::common::world::{TOKEN, World};
use crate::frames::{self, Request};
use crate::raw::{Got, Http2};

pub const CASES: &[OwnCase] =
    &[("a caller's trailers reach neither an HTTP/2 provider nor the ledger", callers_trailers)];

/// A model of the provider that the case's own server plays.
const MODEL: &str = "mistral-small-latest";

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

fn head<'a>(method: &'a [u8], path: &'a [u8], bearer: &'a str) -> Fields<'a> {
    vec![
        (b":method", method),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", path),
        (b"authorization", bearer.as_bytes()),
    ]
}

fn callers_trailers() {
    let (provider, credits) = (Http2::start(), Http2::start());
    let ports = (provider.port, credits.port);
    let world = World::start_with(|builder| {
        builder.change_envoy_config(move |config| {
            let config = speak_http2(&move_provider(&config, "mistral", ports.0), "mistral");
            Ok(move_credits(&config, ports.1))
        })
    });
    let port = world.stack.gateway_port();
    let bearer = format!("Bearer {TOKEN}");
    let large = vec![b'x'; 20_000];
    let tricks: Vec<(&str, Fields<'_>)> = vec![
        ("none", vec![]),
        ("one", vec![(b"x-after", b"1")]),
        ("a key and an identity", vec![(b"authorization", b"Bearer sk-x"), (b"x-pax-account", b"rich")]),
        ("a mark of ours", vec![(b"x-matrix-cost-pax", b"0"), (b"te", b"trailers")]),
        ("a large one", vec![(b"x-after", &large)]),
        ("many", vec![(b"x-after", b"1"); 90]),
        ("a path", vec![(b":path", b"/v1/other")]),
        ("a length", vec![(b"content-length", b"3")]),
    ];
    for (name, trailers) in &tricks {
        for pieces in [1, 3] {
            for stream in [false, true] {
                let body = format!(
                    r#"{{"model":"{MODEL}","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#
                );
                let path = b"/v1/chat/completions";
                let call =
                    Request { head: &head(b"POST", path, &bearer), body: body.as_bytes(), pieces, trailers };
                let answer = frames::send(port, &call);
                told(&answer, provider.take(), (name, "\"usage\""));
            }
        }
        let call = Request { head: &head(b"GET", b"/v1/credits", &bearer), body: b"x", pieces: 1, trailers };
        let answer = frames::send(port, &call);
        told(&answer, credits.take(), (name, "choices"));
    }
    world.settle();
    world.replay();
}

/// Either the call went on, without a trailer, or Envoy hung up on what is no HTTP/2, and it went nowhere.
fn told(answer: &str, got: Vec<Got>, (name, served): (&str, &str)) {
    match answer {
        "closed" | "reset" => assert!(got.is_empty() && name != "one", "{name}: {got:?}"),
        answer => {
            assert!(answer.contains(served), "{name}: {answer}");
            assert_eq!(got.len(), 1, "{name}");
            let trailers = got[0].trailers.clone().unwrap_or_default();
            assert!(trailers.is_empty(), "{name}: {} got {trailers:?}", got[0].path);
            assert!(!got[0].body.is_empty(), "{name}: its body came");
        }
    }
}
