//! Tests of `open_bodies.rs`.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::*;

const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;
/// The shares hold one stream of a stranger, two of an account and five in total, each with a body of one MiB.
const ONE: u64 = MIB + STREAM;
const SHARES: Shares = Shares { strangers: ONE, account: 2 * ONE, all: 5 * ONE };

/// A body of so many bytes that came in one piece.
fn body(bodies: &mut OpenBodies, account: Option<&str>, bytes: u64) -> Result<OpenBody, Full> {
    let mut body = OpenBody::default();
    let known = account.map_or(Ok(()), |account| bodies.belongs_to(&mut body, account, SHARES));
    let grown = known.and_then(|()| bodies.grows(&mut body, bytes, SHARES));
    // A stream that is refused gives back what it held.
    if grown.is_err() {
        bodies.ended(&mut body);
    }
    grown.map(|()| body)
}

#[test]
fn strangers_share_one_bound_and_accounts_have_room_whatever_strangers_hold() {
    let mut bodies = OpenBodies::new();
    let first = body(&mut bodies, None, MIB).unwrap();
    assert_eq!(body(&mut bodies, None, 1).unwrap_err(), Full::Strangers);
    assert!(body(&mut bodies, Some("a"), MIB).is_ok());
    let mut first = first;
    bodies.ended(&mut first);
    assert!(body(&mut bodies, None, MIB).is_ok());
}

#[test]
fn one_accounts_bound_is_not_the_others() {
    let mut bodies = OpenBodies::new();
    let _held = [body(&mut bodies, Some("a"), MIB), body(&mut bodies, Some("a"), MIB)];
    assert_eq!(body(&mut bodies, Some("a"), 1).unwrap_err(), Full::Account);
    let _more = ["b", "b", "c"].map(|account| body(&mut bodies, Some(account), MIB));
    assert_eq!(body(&mut bodies, Some("d"), 1).unwrap_err(), Full::All);
}

#[test]
fn fifty_small_bodies_of_one_account_are_open_at_once() {
    let mut bodies = OpenBodies::new();
    let open: Vec<_> = (0..50).map(|_| body(&mut bodies, Some("a"), 10 * KIB).unwrap()).collect();
    assert_eq!(bodies.accounts.get("a"), Some(&(50 * (BLOCK + STREAM))));
    drop(open);
}

#[test]
fn a_body_is_the_accounts_from_the_moment_its_token_is_known() {
    let mut bodies = OpenBodies::new();
    let mut one = body(&mut bodies, None, MIB).unwrap();
    bodies.belongs_to(&mut one, "a", SHARES).unwrap();
    assert_eq!((bodies.strangers, bodies.accounts.get("a")), (0, Some(&ONE)));
    let mut two = body(&mut bodies, None, MIB).unwrap();
    let mut three = OpenBody::default();
    bodies.belongs_to(&mut two, "a", SHARES).unwrap();
    bodies.grows(&mut three, MIB, SHARES).unwrap();
    assert_eq!(bodies.belongs_to(&mut three, "a", SHARES), Err(Full::Account));
    for mut body in [one, two, three] {
        bodies.ended(&mut body);
        bodies.ended(&mut body);
    }
    assert_eq!(
        (bodies.strangers, bodies.all, bodies.accounts.len()),
        (0, 0, 0),
        "all of it is given back, once"
    );
}

#[test]
fn a_declared_length_costs_nothing_and_a_piece_costs_what_envoy_takes_for_it() {
    let mut bodies = OpenBodies::new();
    let mut open = OpenBody::default();
    bodies.belongs_to(&mut open, "a", SHARES).unwrap();
    assert_eq!(bodies.all, STREAM, "nothing has come but a head");
    for (bytes, held) in [
        (300, 300),
        (600, 600),
        (1_200, 600 + BLOCK),
        (1_200, 600 + BLOCK),
        (1_200 + 17 * KIB, 600 + 3 * BLOCK),
    ] {
        bodies.grows(&mut open, bytes, SHARES).unwrap();
        assert_eq!((open.held, bodies.all), (held, held + STREAM), "{bytes}");
    }
}

#[test]
fn whose_token_is_asked_about_anew_is_no_stranger_meanwhile() {
    let mut bodies = OpenBodies::new();
    let _full = body(&mut bodies, None, MIB).unwrap();
    // Its token belonged to account a a moment ago; the ledger then tells that it is b's.
    let mut renewed = body(&mut bodies, Some("a"), MIB).unwrap();
    bodies.belongs_to(&mut renewed, "b", SHARES).unwrap();
    assert_eq!((bodies.accounts.get("a"), bodies.accounts.get("b")), (None, Some(&ONE)));
    bodies.ended(&mut renewed);
    assert_eq!((bodies.accounts.len(), bodies.all), (0, ONE));
}

#[test]
fn heads_alone_fill_a_share_too() {
    let mut bodies = OpenBodies::new();
    let mut open: Vec<OpenBody> = Vec::new();
    for account in [None, Some("a")] {
        let mut fits = 0;
        while body(&mut bodies, account, 0).map(|body| open.push(body)).is_ok() {
            fits += 1;
        }
        let share = if account.is_some() { SHARES.account } else { SHARES.strangers };
        assert_eq!(fits, share / STREAM);
    }
    open.iter_mut().for_each(|body| bodies.ended(body));
    assert_eq!((bodies.all, bodies.accounts.len()), (0, 0));
}

#[test]
fn a_body_in_small_pieces_is_gathered_and_then_takes_its_own_size() {
    let mut bodies = OpenBodies::new();
    let wide = Shares { strangers: 64 * MIB, account: 64 * MIB, all: 64 * MIB };
    let mut open = OpenBody::default();
    let (mut most, mut copied) = (0, 0);
    for bytes in (0..=10 * MIB).step_by(600) {
        bodies.grows(&mut open, bytes, wide).unwrap();
        most = most.max(open.held);
        if open.is_scattered() {
            copied += bytes;
            bodies.gathered(&mut open);
            assert!(!open.is_scattered());
        }
    }
    assert!(most < 41 * MIB, "{most}");
    assert!(copied < 120 * MIB, "{copied}");
    let mut whole = OpenBody::default();
    for bytes in (0..=10 * MIB).step_by(70_000) {
        bodies.grows(&mut whole, bytes, wide).unwrap();
        assert!(!whole.is_scattered(), "pieces as Envoy reads them from a fast caller");
    }
    bodies.ended(&mut open);
    bodies.ended(&mut whole);
    assert_eq!((bodies.all, bodies.strangers), (0, 0));
}
