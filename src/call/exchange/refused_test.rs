//! Calls that are refused before they are forwarded, and what is answered without a token.

use super::*;
use crate::base::pairs::Pairs;

#[test]
fn what_is_refused_is_not_forwarded_and_not_debited() {
    let call = |headers: &[(&str, &str)]| {
        let mut drive = Drive::new();
        drive.head_of(headers, false);
        drive
    };
    let chat = [(":method", "POST"), (":path", "/v1/chat/completions")];
    assert_eq!(call(&chat).code(), "401 invalid_api_key");
    assert_eq!(call(&[(":method", "POST"), (":path", "/v1/completions")]).code(), "404 unknown_route");
    assert_eq!(
        call(&[(":method", "GET"), (":path", "/v1/chat/completions")]).code(),
        "405 method_not_allowed"
    );
    assert_eq!(call(&[]).code(), "404 unknown_route");
    assert_eq!(Drive::new().chat().step(Event::Resolved(Resolution::Unknown)).code(), "401 invalid_api_key");
    assert_eq!(
        Drive::new().chat().step(Event::Resolved(Resolution::Unavailable)).code(),
        "503 ledger_unavailable"
    );
    assert_eq!(Drive::new().chat().resolved(Status::Disabled).code(), "403 account_disabled");
    let body = |text: &str| Drive::new().chat().resolved(Status::Active).body(text).code();
    assert_eq!(body(""), "400 invalid_json");
    assert_eq!(body("{"), "400 invalid_json");
    assert_eq!(body("{}"), "400 missing_model");
    assert_eq!(body(r#"{"model":"nobody/knows"}"#), "404 model_not_found");
    assert_eq!(body(r#"{"model":"nomic-ai/nomic-embed-text-v1.5"}"#), "404 model_not_found");
    assert_eq!(
        body(&hello().replace("{\"model", "{\"service_tier\":\"flex\",\"model")),
        "400 unpriced_option"
    );
    assert_eq!(body(&format!("{}{}", hello(), " ".repeat(4096))), "413 request_too_large");
    let refused = Drive::new().chat().body("{").resolved(Status::Active).code();
    assert_eq!(refused, "400 invalid_json", "the body may come before the account");
}

#[test]
fn at_the_outboxes_bound_new_calls_are_refused() {
    let mut drive = Drive::new();
    let headers = [
        (":method", "POST"),
        (":authority", "gateway.test"),
        (":path", "/v1/embeddings"),
        ("authorization", "Bearer t"),
    ];
    drive.step(Event::Head {
        headers: &Pairs::of(&headers),
        end: true,
        random: [0; 10],
        outbox_has_room: false,
        ledger_answers: true,
    });
    assert_eq!(drive.code(), "503 ledger_unavailable");
}

#[test]
fn health_needs_no_token() {
    for path in ["/healthz", "/readyz"] {
        let mut drive = Drive::new();
        drive.head_of(&[(":method", "GET"), (":path", path), (":authority", "10.0.0.7:10000")], true);
        assert_eq!(drive.reply.as_ref().unwrap().body, br#"{"status":"ok"}"#, "nor a host that is listed");
    }
}

#[test]
fn for_another_host_nobody_is_asked_whose_token_it_is() {
    for (method, path) in [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/models"),
        ("GET", "/v1/credits"),
        ("GET", "/v1/credits/ledger"),
        ("GET", "/v1/nowhere"),
        ("POST", "/healthz"),
    ] {
        let mut drive = Drive::new();
        let head = [
            (":method", method),
            (":path", path),
            (":authority", "evil.test"),
            ("authorization", "Bearer t"),
        ];
        drive.head_of(&head, false);
        assert_eq!(drive.code(), "421 unknown_host", "{path}");
        assert!(drive.asked.is_empty() && drive.exchange.request_waits(), "{path}");
        drive.resolved(Status::Active).body(&hello());
        assert!(drive.forward.is_none(), "{path}");
    }
}
