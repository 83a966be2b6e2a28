//! How a call can end, and what is charged for each ending.

use super::*;

#[test]
fn every_ending_is_one_debit_or_none() {
    // What happens after the call was forwarded, and what its debit then has: provenance, ending, tokens.
    type Ending<'a> = (&'a str, fn(&mut Drive), Option<&'a str>);
    let endings: &[Ending<'_>] = &[
        (
            "the caller is gone before the head",
            |d| {
                d.step(Event::Closed(ClosedBy::Caller));
            },
            Some("Estimated NoAnswer 3 0"),
        ),
        (
            "the provider refuses",
            |d| {
                d.answer_head(429, "application/json")
                    .answer("{}", true)
                    .step(Event::Closed(ClosedBy::Caller));
            },
            None,
        ),
        (
            "the provider breaks",
            |d| {
                d.answer_head(500, "text/plain").answer("oops", true).step(Event::Closed(ClosedBy::Caller));
            },
            None,
        ),
        (
            "200 with an error",
            |d| {
                d.answer_head(200, "application/json").answer(r#"{"error":{"message":"x"}}"#, true);
            },
            None,
        ),
        (
            "a stream of an error",
            |d| {
                d.answer_head(200, "text/event-stream").answer("data: {\"error\":{}}\n\n", true);
            },
            None,
        ),
        (
            "no usage",
            |d| {
                d.answer_head(200, "text/event-stream")
                    .answer("data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n", true);
            },
            Some("Estimated Complete 3 2"),
        ),
        (
            "cut after text",
            |d| {
                d.answer_head(200, "text/event-stream")
                    .answer("data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n", false)
                    .step(Event::Closed(ClosedBy::Caller));
            },
            Some("Estimated CallerGone 3 2"),
        ),
        (
            "the provider breaks off after text",
            |d| {
                d.answer_head(200, "text/event-stream")
                    .answer("data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n", false)
                    .step(Event::Closed(ClosedBy::Provider));
            },
            Some("Estimated ProviderBrokeOff 3 2"),
        ),
        (
            "cut after usage",
            |d| {
                d.answer_head(200, "text/event-stream").answer("data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n", false).step(Event::Closed(ClosedBy::Caller));
            },
            Some("Reported CallerGone 3 4"),
        ),
        (
            "cut after usage, before the blank line",
            |d| {
                d.answer_head(200, "text/event-stream")
                    .answer(
                        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n",
                        false,
                    )
                    .step(Event::Closed(ClosedBy::Caller));
            },
            Some("Reported CallerGone 3 4"),
        ),
        (
            "cut in an event, after some of its text",
            |d| {
                d.answer_head(200, "text/event-stream")
                    .answer("data: {\"choices\":[{\"delta\":{\"content\":\"12345678", false)
                    .step(Event::Closed(ClosedBy::Caller));
            },
            Some("Estimated CallerGone 3 2"),
        ),
        (
            "cut in an event of an error",
            |d| {
                d.answer_head(200, "text/event-stream")
                    .answer("data: {\"error\":{\"message\":", false)
                    .step(Event::Closed(ClosedBy::Caller));
            },
            None,
        ),
        (
            "a held answer breaks off",
            |d| {
                d.answer_head(200, "application/json")
                    .answer(r#"{"choices":[{"message":{"content":"1234"#, false)
                    .answer_head(502, "text/plain");
            },
            Some("Estimated ProviderBrokeOff 3 1"),
        ),
        (
            "not JSON",
            |d| {
                d.answer_head(200, "application/json").answer("<html>", true);
            },
            Some("Estimated Complete 3 2"),
        ),
        (
            "compressed",
            |d| {
                d.step(Event::AnswerHead {
                    status: 200,
                    content_type: b"application/json",
                    content_encoding: b"gzip",
                    provider_request_id: None,
                    envoys_code: None,
                    end: false,
                })
                .answer("1234", true);
            },
            Some("Estimated Complete 3 1"),
        ),
        (
            "no body",
            |d| {
                d.step(Event::AnswerHead {
                    status: 200,
                    content_type: b"",
                    content_encoding: b"",
                    provider_request_id: None,
                    envoys_code: None,
                    end: true,
                });
            },
            Some("Estimated Complete 3 0"),
        ),
        (
            "unreadable usage",
            |d| {
                d.answer_head(200, "application/json")
                    .answer(r#"{"choices":[{}],"usage":{"prompt_tokens":-1}}"#, true);
            },
            Some("Estimated Complete 3 0"),
        ),
    ];
    for (name, happens, expected) in endings {
        let mut drive = Drive::forwarded(&stream());
        happens(&mut drive);
        drive.step(Event::Closed(ClosedBy::Caller));
        let told = (!drive.debits.is_empty()).then(|| {
            let debit = drive.debit();
            format!(
                "{:?} {:?} {} {}",
                debit.provenance, debit.ending, debit.tokens_input, debit.tokens_output
            )
        });
        assert_eq!(told.as_deref(), *expected, "{name}");
        assert!(!drive.exchange.request_waits() && !drive.exchange.answer_waits(), "{name}: nothing hangs");
        assert!(drive.reply.is_none(), "{name}: the provider's answer passes");
    }
}

#[test]
fn an_answer_in_the_place_of_the_providers_lets_none_of_it_pass() {
    for (status, code, told) in [
        (401, "502 provider_refused_platform_key", true),
        (403, "502 provider_refused_platform_key", true),
        (101, "502 upstream_failed", false),
        (0, "502 upstream_failed", false),
    ] {
        for end in [false, true] {
            let mut drive = Drive::new();
            drive.chat().resolved(Status::Active).body(&hello());
            let event = Event::AnswerHead {
                status,
                content_type: b"text/event-stream",
                content_encoding: b"",
                provider_request_id: None,
                envoys_code: None,
                end,
            };
            drive.step(event);
            assert_eq!(drive.code(), code);
            let headers = &drive.reply.as_ref().unwrap().headers;
            assert!(headers.contains(&("x-should-retry", "false".to_owned())), "{headers:?}");
            assert!(headers.iter().any(|(name, _)| *name == "x-matrix-exchange-id"), "{headers:?}");
            let expected = if told { vec![("fireworks".to_owned(), status)] } else { Vec::new() };
            assert_eq!(drive.key_refused, expected);
            assert!(drive.exchange.answer_waits() && drive.head.is_none() && drive.owed() == 0, "{status}");
            drive.answer("data: {\"choices\":[]}\n\n", false).answer("", true);
            assert!(drive.exchange.answer_waits(), "nothing of the provider's goes on");
            drive.step(Event::Closed(ClosedBy::Caller));
            assert_eq!((drive.owed(), drive.debits.len(), drive.key_refused.len()), (0, 0, expected.len()));
        }
    }
}

#[test]
fn an_answer_too_large_to_hold_passes_and_is_debited() {
    let mut drive = Drive::forwarded(&hello());
    drive.answer_head(200, "application/json");
    drive.answer(r#"{"choices":[{"message":{"content":""#, false);
    drive.answer(&"x".repeat(300), false);
    assert!(!drive.exchange.answer_waits());
    assert_eq!(drive.header("x-matrix-rate-table-version"), Some("1"));
    drive.answer(&format!(r#""}}}}],{USAGE}}}"#), true);
    assert_eq!(drive.header("x-matrix-cost-pax"), None);
    assert_eq!(drive.debit().cost_pax.to_string(), "0.002799650080");
}
