//! Requests that one program reads differently from the next. Most never reach the provider; each one that does
//! is metered.

use crate::Case;
use crate::common::http::request;
use crate::common::world::{TOKEN, World};
use crate::frames;
use crate::play::body;

pub const CASES: &[Case] = &[
    ("no spelling of a path reaches the provider unmetered", paths),
    ("no method but the route's own reaches the provider", methods),
    ("a header that matters and stands twice is refused", twice),
    ("no length of a body is ambiguous", lengths),
    ("nothing twisted reaches the provider unmetered over HTTP/2", over_http2),
];

/// What the provider was sent is what became entries, to the number, and each is a metered route's.
struct Tally {
    before: usize,
    metered: usize,
}

impl Tally {
    fn begin(world: &World) -> Self {
        world.settle();
        world.take_received();
        Self { before: world.entries().len(), metered: 0 }
    }

    fn saw(&mut self, outcome: &str) {
        self.metered += usize::from(outcome == "metered");
    }

    fn end(self, world: &World) {
        world.settle();
        let received = world.take_received();
        assert_eq!(received.len(), self.metered, "{received:#?}");
        assert_eq!(world.entries().len() - self.before, self.metered, "the provider's calls and the entries");
        for received in received {
            assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/chat/completions"));
            assert_eq!(received.header("authorization"), None);
        }
    }
}

/// `metered`, a refusal in the error shape, or how Envoy itself put an end to it.
fn outcome(answer: &crate::common::http::Answer) -> String {
    match answer.status {
        0 => "closed".to_owned(),
        200 if answer.has_header("x-matrix-cost-pax") => "metered".to_owned(),
        200..300 => format!("{} {}", answer.status, answer.text()),
        _ if answer.text().contains("\"code\"") => answer.refusal(),
        status => status.to_string(),
    }
}

fn send(world: &World, bytes: &[u8]) -> String {
    let mut connection = world.connect();
    connection.send(bytes);
    outcome(&connection.read())
}

fn call(method: &str, path: &str, more: More<'_>) -> Vec<u8> {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [&[("authorization", bearer.as_bytes())], more].concat();
    request(method, path, &headers, Some(body(10, false).as_bytes()))
}

/// Sends each, and holds that what came of it is what is written beside it.
fn each(world: &World, tricks: &[(String, Vec<u8>, &str)]) {
    let mut tally = Tally::begin(world);
    let mut wrong = Vec::new();
    for (name, bytes, expected) in tricks {
        let came = send(world, bytes);
        tally.saw(&came);
        if came != *expected {
            wrong.push(format!("{name:?}: {came:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    tally.end(world);
}

fn paths(world: &mut World) {
    let tricks: Vec<_> = [
        ("/v1/chat/completions", "metered"),
        ("/v1/./chat/completions", "metered"),
        ("/v1/../v1/chat/completions", "metered"),
        ("/v1/%2e%2e/v1/chat/completions", "metered"),
        ("/%76%31/chat/completions", "metered"),
        ("http://elsewhere.test/v1/chat/completions", "421 unknown_host"),
        ("/v1/chat/completions?a=/v1/models", "metered"),
        ("/v1/chat/completions#fragment", "400 invalid_request"),
        ("/v1/chat/completions%23fragment", "404 unknown_route"),
        ("/v1/chat/completions%3f", "404 unknown_route"),
        ("/v1/chat/completions%20", "404 unknown_route"),
        ("/v1/chat/completions%09", "404 unknown_route"),
        ("/v1/chat/completions%00", "400 invalid_request"),
        ("/v1/chat/completions\0", "400 invalid_request"),
        ("/v1/chat/completions\t", "metered"),
        ("/v1/chat\\completions", "metered"),
        ("/v1%5cchat%5ccompletions", "404 unknown_route"),
        ("/v1/chat%252fcompletions", "404 unknown_route"),
        ("/v1/chat%2f%2e%2e%2fchat/completions", "404 unknown_route"),
        ("/v1/chat/completions//", "404 unknown_route"),
        ("/v1/chat/completions/.", "404 unknown_route"),
        ("/v1/chat/completions/..", "404 unknown_route"),
        ("/v1/chat/COMPLETIONS", "404 unknown_route"),
        ("/v1;v=2/chat/completions", "404 unknown_route"),
        ("/v1/chat/completions/%3bx", "404 unknown_route"),
        ("/v1/chat/completion%73%2e", "404 unknown_route"),
        ("/v1/credits/../chat/completions", "metered"),
        ("/../../v1/chat/completions", "metered"),
        ("v1/chat/completions", "400 invalid_request"),
        ("*", "400 invalid_request"),
        ("http://127.0.0.1/internal/v1/debits", "421 unknown_host"),
        ("https://elsewhere.test/v1/chat/completions", "400 invalid_request"),
        ("/v1/chat/completions HTTP/1.1\r\nx-a: b\r\n\r\nPOST /v1/completions", "400 invalid_request"),
    ]
    .into_iter()
    .map(|(path, expected)| (path.to_owned(), call("POST", path, &[]), expected))
    .collect();
    each(world, &tricks);
}

fn methods(world: &mut World) {
    let over: [(&str, &[u8]); 3] =
        [("x-http-method-override", b"POST"), ("x-http-method", b"POST"), ("x-method-override", b"POST")];
    let mut tricks = Vec::new();
    for (method, expected) in [
        ("GET", "405 method_not_allowed"),
        ("PUT", "405 method_not_allowed"),
        ("PATCH", "405 method_not_allowed"),
        ("DELETE", "405 method_not_allowed"),
        ("OPTIONS", "405 method_not_allowed"),
        ("TRACE", "405 method_not_allowed"),
        ("post", "400 invalid_request"),
        ("Post", "400 invalid_request"),
        ("POSTS", "400 invalid_request"),
        ("CONNECT", "400 invalid_request"),
    ] {
        tricks.push((method.to_owned(), call(method, "/v1/chat/completions", &over), expected));
    }
    tricks.push(("CONNECT host".into(), call("CONNECT", "api.openai.com:443", &[]), "400 invalid_request"));
    tricks.push(("POST on credits".into(), call("POST", "/v1/credits", &[]), "405 method_not_allowed"));
    tricks.push(("POST on models".into(), call("POST", "/v1/models", &[]), "405 method_not_allowed"));
    let upgrade: [(&str, &[u8]); 2] = [("connection", b"upgrade"), ("upgrade", b"websocket")];
    tricks.push((
        "websocket".into(),
        call("POST", "/v1/chat/completions", &upgrade),
        "403 upgrade_not_supported",
    ));
    let h2c: [(&str, &[u8]); 3] = [
        ("connection", b"upgrade, http2-settings"),
        ("upgrade", b"h2c"),
        ("http2-settings", b"AAMAAABkAAQAAP__"),
    ];
    tricks.push(("h2c".into(), call("POST", "/v1/chat/completions", &h2c), "metered"));
    each(world, &tricks);
    // Nothing follows the head of an answer to HEAD, so that it is read for itself.
    let mut connection = world.connect();
    connection.send(&call("HEAD", "/v1/chat/completions", &over));
    assert_eq!(connection.read_head().status, 405);
    assert!(world.take_received().is_empty());
}

/// Headers beside those of an ordinary call.
type More<'a> = &'a [(&'a str, &'a [u8])];

fn twice(world: &mut World) {
    let token = format!("Bearer {TOKEN}");
    let tricks: [(&str, More<'_>); 8] = [
        ("another authorization", &[("authorization", b"Bearer mtx-demo-free")]),
        ("the same authorization", &[("Authorization", token.as_bytes())]),
        ("a slot", &[("x-matrix-slot", b"default"), ("X-Matrix-Slot", b"planner")]),
        ("a key", &[("x-matrix-byo-api-key", b"sk-one"), ("X-Matrix-BYO-API-Key", b"sk-two")]),
        ("two kinds of key", &[("x-matrix-byo-api-key", b"sk-one"), ("x-matrix-user-api-key", b"sk-two")]),
        ("a yes", &[("x-matrix-byo-api-key", b"true"), ("x-matrix-byo-api-key", b"true")]),
        ("a goal", &[("x-matrix-goal-id", b"a"), ("x-matrix-goal-id", b"b")]),
        ("whatever it is", &[("x-matrix-else", b"a"), ("x-matrix-else", b"b")]),
    ];
    let tricks = tricks.map(|(name, more)| {
        (name.to_owned(), call("POST", "/v1/chat/completions", more), "400 invalid_header")
    });
    each(world, &tricks);
}

/// A call with a head of its own making, in which what is said of the body's length is the trick.
fn told(headers: &str, body: &str) -> Vec<u8> {
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway.test";
    format!("{head}\r\nauthorization: Bearer {TOKEN}\r\n{headers}\r\n\r\n{body}").into_bytes()
}

fn lengths(world: &mut World) {
    let text = body(10, false);
    let n = text.len();
    let length = format!("content-length: {n}");
    let chunked = format!("{n:x}\r\n{text}\r\n0\r\n\r\n");
    let chunks = "transfer-encoding: chunked";
    let hidden = format!("0\r\n\r\nPOST /v1/completions HTTP/1.1\r\nhost: x\r\n\r\n{text}");
    let refused = [
        ("two that agree", told(&format!("{length}\r\n{length}"), &text)),
        ("two", told(&format!("{length}\r\ncontent-length: 5"), &text)),
        ("a list", told(&format!("{length}, {n}"), &text)),
        ("a sign", told(&format!("content-length: +{n}"), &text)),
        ("hex", told("content-length: 0xf0", &text)),
        ("a length and chunks", told(&format!("content-length: 5\r\n{chunks}"), &chunked)),
        ("a hidden request", told(&format!("{chunks}\r\ncontent-length: {}", hidden.len()), &hidden)),
        ("nearly chunked", told(&format!("transfer-encoding: xchunked\r\n{length}"), &text)),
        ("chunked twice", told("transfer-encoding: chunked, chunked", &chunked)),
        ("chunked and not", told("transfer-encoding: chunked, identity", &chunked)),
        ("a space before the colon", told(&format!("content-length : {n}"), &text)),
    ];
    // Envoy writes the head anew, so that nobody behind it reads these otherwise.
    let metered = [
        ("a folded header", told(&format!("x-a: b\r\n c\r\n{length}"), &text)),
        ("a bare line feed", told(&format!("x-a: b\n{length}"), &text)),
    ];
    let refused = refused.map(|(name, bytes)| (name.to_owned(), bytes, "400 invalid_request"));
    let metered = metered.map(|(name, bytes)| (name.to_owned(), bytes, "metered"));
    let hosts = told(&format!("host: api.openai.com\r\n{length}"), &text);
    let two_hosts = [("two hosts".to_owned(), hosts, "421 unknown_host")];
    each(world, &[refused.as_slice(), metered.as_slice(), two_hosts.as_slice()].concat());
    // What is behind the length is another request, judged for itself.
    let mut tally = Tally::begin(world);
    let mut connection = world.connect();
    connection
        .send(&[call("POST", "/v1/chat/completions", &[]), call("POST", "/v1/completions", &[])].concat());
    tally.saw(&outcome(&connection.read()));
    assert_eq!(outcome(&connection.read()), "404 unknown_route");
    tally.end(world);
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A call's head over HTTP/2 with one header more; a pseudo-header stands in the place of the one that is right.
fn head(name: &[u8], value: &[u8]) -> Fields {
    let bearer = format!("Bearer {TOKEN}");
    let right: [(&[u8], &[u8]); 5] = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", b"/v1/chat/completions"),
        (b"authorization", bearer.as_bytes()),
    ];
    let pseudo = name.starts_with(b":");
    let right = right.iter().filter(|(known, _)| !pseudo || *known != name);
    let mut fields: Fields = right.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    fields.insert(if pseudo { 0 } else { fields.len() }, (name.to_vec(), value.to_vec()));
    fields
}

fn over_http2(world: &mut World) {
    let mut two_paths = head(b"x-a", b"b");
    two_paths.insert(1, (b":path".to_vec(), b"/v1/completions".to_vec()));
    let mut two_slots = head(b"x-matrix-slot", b"default");
    two_slots.push((b"x-matrix-slot".to_vec(), b"planner".to_vec()));
    let tricks: Vec<(&str, Fields, &str)> = vec![
        ("as it should be", head(b"x-a", b"b"), "metered"),
        ("authorization twice", head(b"authorization", b"Bearer mtx-demo-free"), "invalid_header"),
        ("a slot twice", two_slots, "invalid_header"),
        ("two paths", two_paths, "closed"),
        ("a path with a NUL", head(b":path", b"/v1/chat/completions\0"), "closed"),
        ("a path with a line", head(b":path", b"/v1/chat/completions HTTP/1.1\r\nx-a: b"), "closed"),
        ("a path with a space", head(b":path", b"/v1/chat/completions x"), "closed"),
        ("a path with a tab", head(b":path", b"/v1/chat/completions\t"), "closed"),
        ("a path with a fragment", head(b":path", b"/v1/chat/completions#x"), "invalid_request"),
        ("dots", head(b":path", b"/v1/../v1/chat/completions"), "metered"),
        ("escaped dots", head(b":path", b"/v1/%2e%2e/v1/chat/completions"), "metered"),
        ("an escaped slash", head(b":path", b"/v1%2fchat/completions"), "unknown_route"),
        ("a trailing slash", head(b":path", b"/v1/chat/completions/"), "unknown_route"),
        ("case", head(b":path", b"/v1/Chat/completions"), "unknown_route"),
        ("no path", head(b":path", b""), "closed"),
        ("an absolute path", head(b":path", b"http://gateway.test/v1/chat/completions"), "closed"),
        ("post", head(b":method", b"post"), "method_not_allowed"),
        ("TRACE", head(b":method", b"TRACE"), "method_not_allowed"),
        ("CONNECT", head(b":method", b"CONNECT"), "closed"),
        ("PUT", head(b":method", b"PUT"), "method_not_allowed"),
        ("a length that is too small", head(b"content-length", b"5"), "reset"),
        ("a length that is too large", head(b"content-length", b"5000"), "reset"),
        ("chunks", head(b"transfer-encoding", b"chunked"), "closed"),
        ("a connection", head(b"connection", b"authorization"), "closed"),
        ("a header in capitals", head(b"X-Matrix-Slot", b"planner"), "closed"),
        ("a host of another", head(b"host", b"api.openai.com"), "metered"),
        ("a value with a line in it", head(b"x-a", b"b\r\nx-matrix-slot: planner"), "closed"),
    ];
    let mut tally = Tally::begin(world);
    let port = world.stack.gateway_port();
    // All at once: whom Envoy hangs up on, waits a second for the end.
    let came: Vec<String> = std::thread::scope(|scope| {
        let send = |fields: &Fields| {
            let fields: Vec<(&[u8], &[u8])> =
                fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
            frames::call(port, &fields, body(10, false).as_bytes())
        };
        let sent: Vec<_> = tricks.iter().map(|(_, fields, _)| scope.spawn(move || send(fields))).collect();
        sent.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let mut wrong = Vec::new();
    for ((name, _, expected), answer) in tricks.iter().zip(&came) {
        let json: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
        let came = match json["error"]["code"].as_str() {
            Some(code) => code,
            None if json["usage"].is_object() => "metered",
            None => answer,
        };
        tally.saw(came);
        if came != *expected {
            wrong.push(format!("{name:?}: {came:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    tally.end(world);
}
