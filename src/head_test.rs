#![allow(clippy::unwrap_used)]

use super::*;

fn call(headers: &[(&str, &[u8])]) -> Result<Call, Refusal> {
    Call::read(Mode::Chat, 1000, headers.iter().copied())
}

#[test]
fn only_the_exact_paths_are_routes() {
    assert_eq!(Route::of(b"POST", b"/v1/chat/completions"), Ok(Route::Metered(Mode::Chat)));
    assert_eq!(Route::of(b"POST", b"/v1/chat/completions?api-version=1"), Ok(Route::Metered(Mode::Chat)));
    assert_eq!(Route::of(b"POST", b"/v1/embeddings"), Ok(Route::Metered(Mode::Embeddings)));
    for path in [
        "",
        "/",
        "/v1",
        "/v1/completions",
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "//v1/chat/completions",
        "/V1/chat/completions",
        "/v1/chat/completions;x",
        "/v1/chat%2fcompletions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat/completions#x",
        "/v1/chat/completions\u{e4}",
        "/v1/models/x",
        "*",
    ] {
        assert_eq!(Route::of(b"POST", path.as_bytes()), Err(Refusal::UnknownRoute), "{path}");
    }
    for method in [&b"GET"[..], b"PUT", b"post", b"CONNECT", b""] {
        let refused = Route::of(method, b"/v1/chat/completions");
        assert_eq!(refused, Err(Refusal::MethodNotAllowed { allow: "POST" }));
    }
    assert_eq!(Route::of(b"POST", b"/healthz"), Err(Refusal::MethodNotAllowed { allow: "GET" }));
}

#[test]
fn a_token_is_read_and_never_kept() {
    let read = call(&[("authorization", b"Bearer mtx-demo-free")]).unwrap();
    assert_eq!(read.token, Digest::of(&[b"mtx-demo-free"]));
    assert_eq!(call(&[("authorization", b"bearer mtx-demo-free")]).unwrap().token, read.token);
    let long = [b"Bearer ".as_slice(), &[b'x'; 513]].concat();
    for wrong in [
        &b""[..],
        b"Bearer",
        b"Bearer ",
        b"Basic abc",
        b"Bearer a b",
        b"Bearer \xff\xfe",
        b"mtx-demo-free",
        &long,
    ] {
        assert_eq!(call(&[("authorization", wrong)]), Err(Refusal::InvalidApiKey), "{wrong:?}");
    }
    assert_eq!(call(&[]), Err(Refusal::InvalidApiKey));
}

#[test]
fn a_header_of_identity_stands_once() {
    let token: (&str, &[u8]) = ("authorization", b"Bearer t");
    let twice = |name: &str| Err(Refusal::InvalidHeader { name: name.to_owned() });
    assert_eq!(call(&[token, token]), twice("authorization"));
    assert_eq!(call(&[("authorization", b"Bearer t,Bearer u")]), twice("authorization"));
    assert_eq!(call(&[token, ("x-matrix-slot", b"a"), ("x-matrix-slot", b"b")]), twice("x-matrix-slot"));
    assert_eq!(call(&[token, ("x-matrix-new", b"a"), ("x-matrix-new", b"a")]), twice("x-matrix-new"));
    assert_eq!(call(&[token, ("x-matrix-goal-id", b"caf\xc3\xa9")]), twice("x-matrix-goal-id"));
    assert_eq!(call(&[token, ("x-matrix-intent-id", &[b'x'; 129])]), twice("x-matrix-intent-id"));
    assert_eq!(call(&[token, ("x-matrix-slot", b"Not A Slot")]), Err(Refusal::InvalidSlot));
    assert_eq!(call(&[token, ("x-matrix-byo-api-key", b"true")]), Err(Refusal::ByoNotServed));
}

#[test]
fn labels_are_read_and_only_listed_headers_pass() {
    let read = call(&[
        ("authorization", b"Bearer t"),
        ("x-matrix-slot", b"planner"),
        ("x-matrix-intent-id", b"i 1"),
        ("x-matrix-goal-id", b"g"),
        ("accept", b"*/*"),
        ("user-agent", b"me"),
        ("cookie", b"secret"),
        ("x-forwarded-for", b"1.2.3.4"),
    ])
    .unwrap();
    assert_eq!(
        (read.slot.as_deref(), read.intent_id.as_deref(), read.goal_id.as_deref()),
        (Some("planner"), Some("i 1"), Some("g"))
    );
    assert_eq!(read.passed, [("accept", b"*/*".to_vec()), ("user-agent", b"me".to_vec())]);
}

#[test]
fn bodies_that_cannot_be_read_are_refused_before_they_come() {
    let token: (&str, &[u8]) = ("authorization", b"Bearer t");
    assert_eq!(call(&[token, ("content-encoding", b"gzip")]), Err(Refusal::UnsupportedEncoding));
    assert!(call(&[token, ("content-encoding", b"identity")]).is_ok());
    assert_eq!(
        call(&[token, ("content-length", b"1001")]),
        Err(Refusal::RequestTooLarge { limit_bytes: 1000 })
    );
    assert!(call(&[token, ("content-length", b"1000")]).is_ok());
}
