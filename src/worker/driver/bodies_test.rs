//! The driver and the bytes of requests' bodies: whose memory they take, how they lie there, and bodies that never come.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use crate::worker::fake::Call;
use crate::worker::fake::calls::{
    chat, chat_head, forwarded, hello, is_forwarded, refusal, serving, serving_by, told,
};
use crate::worker::host::Level;

#[test]
fn bodies_of_strangers_and_of_an_account_have_bounds_and_end_with_their_streams() {
    // A share holds two of the largest requests, and each stream counts for 16 KiB: room for seven bodies of strangers.
    let native = serving();
    let body = "x".repeat(400);
    let calls: Vec<u32> = (0..8)
        .map(|n| {
            let call = chat_head(&native, &format!("tok-{n}"));
            native.proxy().request_body(call, body.as_bytes(), false);
            call
        })
        .collect();
    assert!(calls[..7].iter().all(|call| refusal(&native, *call).is_empty()));
    assert_eq!(refusal(&native, calls[7]), "503 ledger_unavailable");
    native.proxy().close(calls[0]).unwrap();
    let next = chat_head(&native, "tok-next");
    assert_eq!(refusal(&native, next), "", "one has ended, and so has the refused one");
    native.proxy().request_body(next, &[b' '; 60_000], false);
    assert_eq!(refusal(&native, next), "503 ledger_unavailable", "its body takes memory as well");

    let native = serving();
    let heads: Vec<u32> = (0..9).map(|n| chat_head(&native, &format!("tok-{n}"))).collect();
    assert!(heads[..8].iter().all(|call| refusal(&native, *call).is_empty()));
    assert_eq!(
        refusal(&native, heads[8]),
        "503 ledger_unavailable",
        "a stream that waits takes memory without a body"
    );

    let mut native = serving_by(|config| {
        config["limits"]["open_bytes_per_account"] = 65_536.into();
    });
    let first = forwarded(&mut native, "tok-credit", &hello());
    let heads: Vec<u32> = (0..7).map(|_| chat(&native, "tok-credit", &hello())).collect();
    let refused: Vec<&u32> = heads.iter().filter(|call| !is_forwarded(&native, **call)).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refusal(&native, *refused[0]), "429 too_many_bytes_open");
    native.proxy().close(first).unwrap();
    let next = chat(&native, "tok-credit", &hello());
    assert!(is_forwarded(&native, next));
}

#[test]
fn a_known_account_without_room_is_refused_before_it_waits_for_the_ledger() {
    let mut native = serving_by(|config| config["limits"]["open_bytes_per_account"] = 65_536.into());
    forwarded(&mut native, "tok-credit", &hello());
    while is_forwarded(&native, chat(&native, "tok-credit", &hello())) {}
    native.tick_after(40_000);
    native.ledger_answers();
    let call = chat_head(&native, "tok-credit");
    assert_eq!(refusal(&native, call), "429 too_many_bytes_open");
}

#[test]
fn a_body_in_many_pieces_is_written_anew_in_one_and_goes_on_as_it_came() {
    let mut native = serving_by(|config| {
        config["limits"]["request_bytes"] = 1_048_576.into();
        config["limits"]["unknown_caller_bytes"] = 16_777_216.into();
    });
    let long = hello().replace("Hello", &"x".repeat(60_000));
    let call = chat_head(&native, "tok-credit");
    native.state.calls.replace(Some(Vec::new()));
    for piece in long.as_bytes().chunks(600) {
        native.proxy().request_body(call, piece, false);
    }
    native.proxy().request_body(call, b"", true);
    let made = native.state.calls.take().unwrap();
    let writes = made.iter().filter(|Call(name, _)| *name == "set_buffer_bytes").count();
    assert!((1..20).contains(&writes), "{writes} times");
    native.tick();
    native.ledger_answers();
    let upstream = native.state.stream(call, |stream| stream.upstream.clone()).unwrap().unwrap();
    assert_eq!(upstream.body, long.as_bytes());
}

#[test]
fn bodies_that_envoy_keeps_back_are_refused_and_the_operator_is_told_what_to_set() {
    let mut native = serving();
    let watched = chat_head(&native, "tok-credit");
    let silent = chat_head(&native, "tok-credit");
    native.tick();
    native.ledger_answers();
    native.tick_after(900);
    // Envoy has received some of it.
    native.state.stream(watched, |stream| stream.counts(600));
    assert_eq!(refusal(&native, watched), "", "it may still come");
    native.tick_after(200);
    assert_eq!(refusal(&native, watched), "503 gateway_disabled");
    assert_eq!(refusal(&native, silent), "", "its caller has sent nothing");
    assert_eq!(native.state.tick_ms.get(), Some(20), "others may be left that are to be refused");
    let lines = told(&native, Level::Error);
    assert!(lines.len() == 1 && lines[0].contains("allow_on_headers_stop_iteration"), "{lines:?}");

    let next = chat_head(&native, "tok-credit");
    assert_eq!(refusal(&native, next), "503 gateway_disabled", "nobody else waits a second");
    native.tick_after(5_000);
    native.ledger_answers();
    let tried = chat_head(&native, "tok-credit");
    assert_eq!(refusal(&native, tried), "", "one in five seconds is tried");
    native.proxy().request_body(tried, hello().as_bytes(), true);
    native.tick();
    native.ledger_answers();
    assert!(is_forwarded(&native, tried), "its body came, so bodies do");
    let after = chat_head(&native, "tok-credit");
    assert_eq!(refusal(&native, after), "");
}
