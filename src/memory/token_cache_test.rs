//! Tests of `token_cache.rs`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use super::*;
use crate::base::account::{Status, Tier};
use crate::worker::fake::Map;

const TTL_MS: u64 = 30_000;

fn account(name: &str) -> Resolution {
    Resolution::Account(Arc::new(Account {
        account: name.to_owned(),
        tier: Tier::Free,
        status: Status::Active,
        token_id: "tok_1".to_owned(),
        daily_cap_pax: None,
        canon_v: 2,
    }))
}

/// What a worker sees that has not asked the ledger yet.
fn look_up(shared: &Map, token: &Digest, now: Tick) -> String {
    name(TokenCache::default().look_up(shared, token, now))
}

fn name(found: Remembered) -> String {
    let of = |resolution| match resolution {
        Resolution::Account(account) => account.account.clone(),
        Resolution::Unknown => "unknown".to_owned(),
        Resolution::Unavailable => "unavailable".to_owned(),
    };
    match found {
        Remembered::Fresh(resolution) => of(resolution),
        Remembered::Stale(account) => format!("{}, stale", account.account),
        Remembered::Expired(_) => "expired".to_owned(),
        Remembered::Nothing => "nothing".to_owned(),
    }
}

/// Tokens of one bucket, in shared data and in a worker's memory.
fn token(n: u8) -> Digest {
    let mut bytes = [0; 32];
    *bytes.get_mut(16).unwrap() = n;
    Digest(bytes)
}

#[test]
fn what_a_module_before_wrote_by_the_wall_clock_is_not_believed_for_ever() {
    let (shared, token) = (Map::default(), token(1));
    let json = br#"{"account":"a","tier":"free","status":"active","token_id":"tok_1","daily_cap_pax":null}"#;
    let times = Times::from(Tick::from_ms(1_795_392_000_000), TTL_MS);
    let left = bucket([Place { token: &token.0, times, account: json }].into_iter());
    assert!(shared.swap("pax/token/0", &left, crate::memory::shared::Version::ABSENT));
    // An hour after this Envoy's machine was started.
    assert_eq!(look_up(&shared, &token, Tick::from_ms(3_600_000)), "nothing");
}

#[test]
fn grace_counts_once_from_the_expiry_however_often_the_ledger_is_asked_in_vain() {
    let (shared, worker, t) = (Map::default(), TokenCache::default(), Tick::from_ms);
    assert_eq!(name(worker.look_up(&shared, &token(1), t(0))), "nothing");
    worker.remember(&shared, &token(1), &account("a"), t(0), TTL_MS);
    let other = TokenCache::default();
    for (at, found) in [
        (29_999, "a"),
        (30_000, "a, stale"),
        (30_001, "a, stale"),
        (31_999, "a, stale"),
        (32_000, "expired"),
        (34_000, "expired"),
        (3_600_000, "expired"),
    ] {
        for worker in [&worker, &other] {
            assert_eq!(name(worker.look_up(&shared, &token(1), t(at))), found, "at {at}");
            worker.remember(&shared, &token(1), &Resolution::Unavailable, t(at), TTL_MS);
        }
        assert_eq!(look_up(&shared, &token(1), t(at)), found, "to a new worker at {at}");
    }
    worker.remember(&shared, &token(1), &Resolution::Unknown, t(3_600_001), 5_000);
    for worker in [&worker, &other] {
        assert_eq!(name(worker.look_up(&shared, &token(1), t(3_600_002))), "unknown", "revoked");
    }
}

#[test]
fn what_one_worker_has_asked_the_others_know() {
    let (shared, t) = (Map::default(), Tick::from_ms);
    let (worker, other) = (TokenCache::default(), TokenCache::default());
    worker.remember(&shared, &token(1), &account("a"), t(0), TTL_MS);
    assert_eq!(name(other.look_up(&shared, &token(1), t(1))), "a");
    worker.remember(&shared, &token(1), &account("b"), t(31_000), TTL_MS);
    assert_eq!(name(other.look_up(&shared, &token(1), t(31_001))), "b", "a newer entry beats a stale one");
}

#[test]
fn a_token_that_was_nobodys_and_is_an_accounts_now_is_the_accounts() {
    let (shared, worker, t) = (Map::default(), TokenCache::default(), Tick::from_ms);
    worker.remember(&shared, &token(1), &Resolution::Unknown, t(0), 5_000);
    assert_eq!(name(worker.look_up(&shared, &token(1), t(4_999))), "unknown");
    assert_eq!(name(worker.look_up(&shared, &token(1), t(5_000))), "nothing", "strangers have no grace");
    worker.remember(&shared, &token(1), &account("a"), t(5_001), TTL_MS);
    assert_eq!(name(worker.look_up(&shared, &token(1), t(5_002))), "a");
    assert_eq!(look_up(&shared, &token(1), t(5_002)), "a");
}

#[test]
fn strangers_push_no_account_out_and_memory_is_bounded() {
    let (shared, worker, t) = (Map::default(), TokenCache::default(), Tick::from_ms);
    worker.remember(&shared, &token(0), &account("a"), t(0), TTL_MS);
    for n in 1..=255 {
        // Entries of strangers that are later than the account's and last longer do not push it out either.
        worker.remember(&shared, &token(n), &Resolution::Unknown, t(u64::from(n)), 3_600_000);
    }
    assert_eq!(name(worker.look_up(&shared, &token(0), t(300))), "a");
    assert_eq!(look_up(&shared, &token(0), t(300)), "a");
    let mut size = 0;
    shared.each("", |_, value| size += value.len());
    assert!(size < (PLACES + 1) * 50 + 200, "{size}");
    let tables = worker.0.borrow();
    let kept = |table: &Table| table.buckets.iter().map(Vec::len).sum::<usize>();
    assert_eq!((kept(&tables.accounts), kept(&tables.strangers)), (1, 4));
}

#[test]
fn of_too_many_accounts_in_one_bucket_those_stay_that_expire_last() {
    let (shared, worker, t) = (Map::default(), TokenCache::default(), Tick::from_ms);
    for n in 0..100u8 {
        worker.remember(&shared, &token(n), &account(&n.to_string()), t(u64::from(n)), TTL_MS);
    }
    assert_eq!(name(worker.look_up(&shared, &token(99), t(100))), "99");
    assert_eq!(name(worker.look_up(&shared, &token(88), t(100))), "88");
    assert_eq!(name(worker.look_up(&shared, &token(87), t(100))), "nothing");
    assert_eq!(look_up(&shared, &token(96), t(100)), "96");
    assert_eq!(look_up(&shared, &token(95), t(100)), "nothing");
}

#[test]
fn an_entry_that_holds_costs_no_shared_data_and_no_copy() {
    let (shared, worker, t) = (Map::default(), TokenCache::default(), Tick::from_ms);
    worker.remember(&shared, &token(1), &account("a"), t(0), TTL_MS);
    let empty = Map::default();
    let found = |at| match worker.look_up(&empty, &token(1), t(at)) {
        Remembered::Fresh(Resolution::Account(account)) => account,
        other => panic!("{other:?}"),
    };
    assert!(Arc::ptr_eq(&found(1), &found(29_999)));
}

#[test]
fn only_what_holds_or_is_good_for_its_grace_spares_a_question() {
    let said = |found: Remembered| match found.or_unavailable() {
        Resolution::Unavailable => "unavailable".to_owned(),
        resolution => name(Remembered::Fresh(resolution)),
    };
    let asks = |found: &Remembered, asking| match found.clone().or_ask(asking) {
        Ok(resolution) => name(Remembered::Fresh(resolution)),
        Err(Some(account)) => format!("ask whether it is still {}", account.account),
        Err(None) => "ask".to_owned(),
    };
    let Resolution::Account(a) = account("a") else { panic!("no account") };
    let fresh = Remembered::Fresh(Resolution::Account(Arc::clone(&a)));
    let (stale, expired) = (Remembered::Stale(Arc::clone(&a)), Remembered::Expired(a));
    for (found, alone, while_asking) in [
        (&fresh, "a", "a"),
        (&stale, "ask whether it is still a", "a"),
        (&expired, "ask whether it is still a", "ask whether it is still a"),
        (&Remembered::Nothing, "ask", "ask"),
    ] {
        assert_eq!((asks(found, false).as_str(), asks(found, true).as_str()), (alone, while_asking));
    }
    // The ledger did not answer.
    assert_eq!([fresh, stale].map(said), ["a", "a"]);
    assert_eq!([expired, Remembered::Nothing].map(said), ["unavailable", "unavailable"]);
}

/// Random tokens, as SHA-256 makes them.
fn random(number: u32) -> Digest {
    Digest::of(&[&number.to_le_bytes()])
}

/// How often the ledger is asked by one worker in one time to live, when so many tokens call over and over.
fn asks(tokens: u32, strangers: u32) -> u32 {
    let (shared, worker) = (Map::default(), TokenCache::default());
    let mut asks = 0;
    for round in 0..3u64 {
        let now = Tick::from_ms(round * 1_000);
        for number in 0..tokens {
            if !matches!(worker.look_up(&shared, &random(number), now), Remembered::Fresh(_)) {
                asks += 1;
                worker.remember(&shared, &random(number), &account("a"), now, TTL_MS);
            }
        }
        for number in 0..strangers {
            let token = random(u32::MAX - number);
            if !matches!(worker.look_up(&shared, &token, now), Remembered::Fresh(_)) {
                worker.remember(&shared, &token, &Resolution::Unknown, now, 5_000);
            }
        }
    }
    asks
}

#[test]
fn twenty_thousand_live_tokens_are_asked_about_once_each() {
    assert_eq!(asks(20_000, 0), 20_000);
    assert_eq!(asks(20_000, 50_000), 20_000, "whatever strangers send");
    // More tokens than places: nearly all are still remembered.
    let many = asks(60_000, 0);
    assert!(many < 70_000, "{many}");
}
