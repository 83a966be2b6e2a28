#![allow(clippy::unwrap_used)]

use super::*;

fn call(headers: &[(&str, &[u8])]) -> Result<Call, Refusal> {
    Call::read(Wanted::Metered(Mode::Chat), 1000, headers.iter().copied())
}

#[test]
fn only_the_exact_paths_are_routes() {
    assert_eq!(Route::of(b"POST", b"/v1/chat/completions"), Ok(Route::Wanted(Wanted::Metered(Mode::Chat))));
    assert_eq!(
        Route::of(b"POST", b"/v1/chat/completions?api-version=1"),
        Ok(Route::Wanted(Wanted::Metered(Mode::Chat)))
    );
    assert_eq!(Route::of(b"POST", b"/v1/embeddings"), Ok(Route::Wanted(Wanted::Metered(Mode::Embeddings))));
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
        "/v1/models/",
        "/v1/model/x",
        "*",
    ] {
        let told = Err(Refusal::UnknownRoute(WrongPath::of(path.as_bytes())));
        assert_eq!(Route::of(b"POST", path.as_bytes()), told, "{path}");
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
}

#[test]
fn a_callers_own_key_stands_in_one_of_two_headers() {
    let key = |headers: &[(&str, &[u8])]| {
        let all = [&[("authorization", &b"Bearer t"[..])], headers].concat();
        call(&all).map(|call| call.own_key.map(|key| String::from_utf8(key.reveal().to_vec()).unwrap()))
    };
    let (byo, user) = ("x-matrix-byo-api-key", "x-matrix-user-api-key");
    let own = |key: &str| Ok(Some(key.to_owned()));
    let bad = |name: &str| Err(Refusal::InvalidHeader { name: name.to_owned() });
    assert_eq!(key(&[]), Ok(None));
    assert_eq!(key(&[(byo, b"sk-1")]), own("sk-1"));
    for yes in [&b"true"[..], b"1", b"yes", b"TRUE", b" Yes "] {
        assert_eq!(key(&[(byo, yes), (user, b" sk-2 ")]), own("sk-2"));
        assert_eq!(key(&[(byo, yes)]), Err(Refusal::ByoMissingKey));
        assert_eq!(key(&[(byo, yes), (user, b"")]), Err(Refusal::ByoMissingKey));
    }
    for no in [&b"false"[..], b"0", b"no"] {
        assert_eq!(key(&[(byo, no)]), Ok(None));
        assert_eq!(key(&[(byo, no), (user, b"sk-3")]), bad(byo), "a key beside a no");
    }
    assert_eq!(key(&[(byo, b"")]), Err(Refusal::ByoMissingKey));
    assert_eq!(
        key(&[(user, b"sk-4")]),
        Err(Refusal::ByoMissingKey),
        "who sends a key does not want to be charged"
    );
    assert_eq!(key(&[(byo, b"sk-5"), (user, b"sk-6")]), bad(byo), "two keys");
    assert_eq!(key(&[(byo, b"sk-7,sk-8")]), bad(byo), "sent twice, Envoy joins them");
    assert_eq!(key(&[(byo, b"true"), (user, b"a b")]), bad(user));
    assert_eq!(key(&[(byo, &[b'k'; 513])]), bad(byo));
    assert_eq!(format!("{:?}", OwnKey(b"sk-9".to_vec())), "OwnKey(..)", "no text shows it");
}

#[test]
fn what_the_ledger_answers_keeps_its_query() {
    let wanted = Wanted::Credits;
    let headers: [(&str, &[u8]); 3] = [
        (":path", b"/v1/credits/ledger?limit=5"),
        ("authorization", b"Bearer t"),
        ("x-pax-account", b"other"),
    ];
    let call = Call::read(wanted, 1000, headers.into_iter()).unwrap();
    assert_eq!(call.path, b"/v1/credits/ledger?limit=5");
    assert!(call.passed.is_empty(), "an identity that a caller sends goes nowhere");
    assert_eq!(Route::of(b"GET", b"/v1/credits?x"), Ok(Route::Wanted(wanted)));
    assert_eq!(Route::of(b"GET", b"/v1/models"), Ok(Route::Wanted(Wanted::Models)));
    let unknown = Refusal::UnknownRoute(WrongPath::of(b"/v1/credits/"));
    assert_eq!(Route::of(b"GET", b"/v1/credits/"), Err(unknown));
    assert_eq!(Route::of(b"POST", b"/v1/credits"), Err(Refusal::MethodNotAllowed { allow: "GET" }));
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

#[test]
fn the_id_of_a_model_is_read_out_of_the_path_with_its_slashes_as_they_are_or_escaped() {
    let asked = |path: &str| {
        assert_eq!(Route::of(b"GET", path.as_bytes()), Ok(Route::Wanted(Wanted::Model)), "{path}");
        let headers = [(":path", path.as_bytes()), ("authorization", b"Bearer t")];
        Call::read(Wanted::Model, 1000, headers.into_iter()).unwrap().model
    };
    for (path, id) in [
        ("/v1/models/gpt-4o", "gpt-4o"),
        ("/v1/models/accounts/fireworks/models/gpt-oss-120b", "accounts/fireworks/models/gpt-oss-120b"),
        (
            "/v1/models/accounts%2Ffireworks%2fmodels%2Fgpt-oss-120b?a=b",
            "accounts/fireworks/models/gpt-oss-120b",
        ),
        ("/v1/models/a%20b%3F", "a b?"),
        ("/v1/models/%ff%", "\u{fffd}%"),
    ] {
        assert_eq!(asked(path), id);
    }
    assert_eq!(asked(&format!("/v1/models/{}", "x".repeat(60 * 1024))).len(), MODEL_MAX);
    for method in [&b"POST"[..], b"DELETE"] {
        let refused = Route::of(method, b"/v1/models/x");
        assert_eq!(refused, Err(Refusal::MethodNotAllowed { allow: "GET" }));
    }
}
