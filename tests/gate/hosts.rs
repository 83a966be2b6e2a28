//! Requests for other hosts than the gateway's own, as a web page sends them if its name resolves to the
//! gateway's address; and attempts to slip past that check.

use crate::OwnCase;
use crate::common::http::Connection;
use crate::common::world::{MODEL, TOKEN, World};
use crate::frames;

pub const CASES: &[OwnCase] = &[
    ("a request for another host is refused before anybody is asked whose token it is", others),
    ("with every host allowed each is answered, and Envoy still wants one", every_host),
];

/// A call whose head begins with these lines.
fn call(target: &str, lines: &str, token: &str) -> Vec<u8> {
    let body = format!(r#"{{"model":"{MODEL}","messages":[]}}"#);
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\n{lines}authorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn others() {
    let world = World::start();
    let port = world.stack.gateway_port();
    let path = "/v1/chat/completions";
    for (name, lines, expected) in [
        ("its own address", format!("Host: 127.0.0.1:{port}\r\n"), "200"),
        ("its own name", format!("Host: LocalHost:{port}\r\n"), "200"),
        ("its own address of IPv6", format!("Host: [::1]:{port}\r\n"), "200"),
        ("a configured one", "Host: Gateway.TEST\r\n".to_owned(), "200"),
        ("with http's own port", "Host: gateway.test:80\r\n".to_owned(), "200"),
        ("another", "Host: evil.test\r\n".to_owned(), "421 unknown_host"),
        ("another, by the gateway's port", format!("Host: evil.test:{port}\r\n"), "421 unknown_host"),
        ("its address without the port", "Host: 127.0.0.1\r\n".to_owned(), "421 unknown_host"),
        ("another port", "Host: gateway.test:8080\r\n".to_owned(), "421 unknown_host"),
        ("https's port", "Host: gateway.test:443\r\n".to_owned(), "421 unknown_host"),
        ("another spelling of the address", format!("Host: 127.1:{port}\r\n"), "421 unknown_host"),
        ("a dot behind it", "Host: gateway.test.\r\n".to_owned(), "421 unknown_host"),
        ("below it", "Host: a.gateway.test\r\n".to_owned(), "421 unknown_host"),
        ("a list of two", "Host: gateway.test, evil.test\r\n".to_owned(), "no"),
        ("twice the same", "Host: gateway.test\r\nHost: gateway.test\r\n".to_owned(), "no"),
        ("two", "Host: gateway.test\r\nHost: evil.test\r\n".to_owned(), "no"),
        ("two, the other way round", "Host: evil.test\r\nHost: gateway.test\r\n".to_owned(), "no"),
        ("a user", "Host: evil@gateway.test\r\n".to_owned(), "no"),
        (
            "a forwarded one",
            "Host: evil.test\r\nX-Forwarded-Host: gateway.test\r\n".to_owned(),
            "421 unknown_host",
        ),
        ("a pseudo-header", "Host: evil.test\r\n:authority: gateway.test\r\n".to_owned(), "no"),
        ("an empty one", "Host:\r\n".to_owned(), "no"),
        ("a star", "Host: *\r\n".to_owned(), "no"),
        ("none", String::new(), "no"),
    ] {
        match (expected, said(port, &call(path, &lines, TOKEN)).as_str()) {
            // Some of it Envoy itself refuses as no HTTP.
            ("no", "421 unknown_host" | "400 invalid_request") => {}
            (expected, came) => assert_eq!(came, expected, "{name}: {lines:?}"),
        }
    }
    full_urls(port);
    over_http2(port);
    nobody_is_asked(&world);
    world.replay();
}

/// What a request is answered: 200, or the refusal.
fn said(port: u16, bytes: &[u8]) -> String {
    let answer = Connection::open(port).call(bytes);
    if answer.status == 200 { "200".to_owned() } else { answer.refusal() }
}

fn full_urls(port: u16) {
    // A full URL names the host in the place of the header.
    for (target, host, expected) in [
        ("http://gateway.test", "evil.test", "200"),
        ("http://gateway.test:80", "gateway.test", "200"),
        ("http://evil.test", "gateway.test", "421 unknown_host"),
        ("HTTP://EVIL.test:80", "gateway.test", "421 unknown_host"),
        ("http://gateway.test@evil.test", "gateway.test", "421 unknown_host"),
        ("https://gateway.test:443", "evil.test", "400 invalid_request"),
        ("https://evil.test", "gateway.test", "400 invalid_request"),
    ] {
        let bytes = call(&format!("{target}/v1/chat/completions"), &format!("Host: {host}\r\n"), TOKEN);
        assert_eq!(said(port, &bytes), expected, "{target} {host}");
    }
}

fn nobody_is_asked(world: &World) {
    let port = world.stack.gateway_port();
    // Nobody is asked whose token it is, on any route; who only asks whether it lives is answered.
    let asked = || world.stack.stat("cluster.ledger.upstream_rq_total").unwrap_or(0);
    world.settle();
    let before = asked();
    for path in ["/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/credits", "/nowhere", "/"] {
        for method in ["GET", "POST", "OPTIONS"] {
            let bytes = format!(
                "{method} {path} HTTP/1.1\r\nhost: evil.test\r\nauthorization: Bearer mtx-new\r\n\r\n"
            );
            assert_eq!(said(port, bytes.as_bytes()), "421 unknown_host", "{method} {path}");
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            said(port, format!("GET {path} HTTP/1.1\r\nhost: 10.0.0.7:8080\r\n\r\n").as_bytes()),
            "200"
        );
        let posted = format!("POST {path} HTTP/1.1\r\nhost: evil.test\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(said(port, posted.as_bytes()), "421 unknown_host");
    }
    world.settle();
    let after = asked();
    assert_eq!(after, before, "the ledger was asked for a stranger's host");
}

fn over_http2(port: u16) {
    let bearer = format!("Bearer {TOKEN}");
    let body = format!(r#"{{"model":"{MODEL}","messages":[]}}"#);
    type Fields = Vec<(&'static [u8], &'static [u8])>;
    let tricks: [(&str, Fields, &str); 9] = [
        ("a configured one", vec![(b":authority", b"gateway.TEST")], "200"),
        ("another", vec![(b":authority", b"evil.test")], "unknown_host"),
        (
            "another, and the right host",
            vec![(b":authority", b"evil.test"), (b"host", b"gateway.test")],
            "unknown_host",
        ),
        ("only the header", vec![(b"host", b"evil.test")], "unknown_host"),
        ("only the right header", vec![(b"host", b"gateway.test")], "200"),
        ("two", vec![(b":authority", b"gateway.test"), (b":authority", b"evil.test")], "closed"),
        ("none", vec![], "none"),
        ("an empty one", vec![(b":authority", b"")], "none"),
        ("https's port over http", vec![(b":authority", b"gateway.test:443")], "unknown_host"),
    ];
    for (name, hosts, expected) in tricks {
        let mut fields: Vec<(&[u8], &[u8])> =
            vec![(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/v1/chat/completions")];
        fields.extend(hosts.iter().filter(|(name, _)| name.starts_with(b":")));
        fields.push((b"authorization", bearer.as_bytes()));
        fields.extend(hosts.iter().filter(|(name, _)| !name.starts_with(b":")));
        let answer = frames::call(port, &fields, body.as_bytes());
        let json: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let came = match json["error"]["code"].as_str() {
            Some(code) => code,
            None if json["usage"].is_object() => "200",
            None => answer.as_str(),
        };
        match expected {
            // However Envoy says no.
            "none" => assert!(came != "200", "{name}: {answer}"),
            expected => assert_eq!(came, expected, "{name}: {answer}"),
        }
    }
}

fn every_host() {
    let world = World::start_with(|builder| {
        builder.change_filter_config(|config| config["hosts"] = serde_json::json!(["*"]))
    });
    let port = world.stack.gateway_port();
    let said = |lines: &str| Connection::open(port).call(&call("/v1/chat/completions", lines, TOKEN)).status;
    assert_eq!((said("Host: evil.test\r\n"), said("Host: 10.0.0.7:1\r\n"), said("")), (200, 200, 400));
}
