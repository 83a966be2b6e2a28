//! Tests of `resolves.rs`.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::*;

const PATIENCE_MS: u64 = 2_000;

fn question(number: u32) -> Question {
    (Digest::of(&[&number.to_le_bytes()]), UtcDay::default())
}

fn at(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// Sends all that may be sent. The callouts are numbered from `next` on.
fn send(resolves: &mut Resolves<u32>, next: &mut u32, now: Tick) -> Vec<(u32, Question)> {
    let mut sent = Vec::new();
    while let Some(question) = resolves.next_question() {
        *next += 1;
        resolves.sent(question, *next, now, PATIENCE_MS);
        sent.push((*next, question));
    }
    sent
}

#[test]
fn all_streams_that_wait_for_one_token_wait_for_one_question() {
    let (mut resolves, mut next) = (Resolves::default(), 0);
    for stream in 0..100 {
        resolves.wait(question(1), false, stream, at(0), PATIENCE_MS).unwrap();
        // Also while it is under way.
        send(&mut resolves, &mut next, at(0));
    }
    assert_eq!(next, 1);
    assert!(resolves.is_asking(&question(1).0) && !resolves.is_asking(&question(2).0));
    assert!(resolves.answered(77).is_none(), "somebody else's callout");
    let (asked, waiters) = resolves.answered(1).unwrap();
    assert_eq!((asked, waiters), (question(1), (0..100).collect()));
    assert!(resolves.is_empty() && !resolves.is_asking(&question(1).0));
}

#[test]
fn answers_are_told_one_after_another_and_until_then_the_root_has_work() {
    let mut resolves = Resolves::default();
    resolves.tell(0..100, &Resolution::Unknown);
    assert!(resolves.has_work() && !resolves.has_next() && !resolves.is_empty());
    let told: Vec<u32> = std::iter::from_fn(|| resolves.next_told()).map(|(waiter, _)| waiter).collect();
    assert_eq!(told, (0..100).collect::<Vec<u32>>());
    assert!(!resolves.has_work() && resolves.is_empty());
}

#[test]
fn the_same_token_on_another_day_is_another_question() {
    let (mut resolves, mut next) = (Resolves::default(), 0);
    let (token, day) = question(1);
    resolves.wait((token, day), true, 1, at(0), PATIENCE_MS).unwrap();
    resolves.wait((token, day.next()), true, 2, at(0), PATIENCE_MS).unwrap();
    assert_eq!(send(&mut resolves, &mut next, at(0)).len(), 2);
}

#[test]
fn a_flood_of_strangers_takes_no_place_of_an_account() {
    let (mut resolves, mut next) = (Resolves::default(), 0);
    let taken = (0..10_000).filter(|n| resolves.wait(question(*n), false, *n, at(0), PATIENCE_MS).is_ok());
    assert_eq!(taken.count(), STRANGERS_QUEUE);
    assert_eq!(send(&mut resolves, &mut next, at(0)).len(), STRANGERS_PLACES);
    let accounts: Vec<u32> = (20_000..20_100).collect();
    for account in &accounts {
        resolves.wait(question(*account), true, *account, at(1), PATIENCE_MS).unwrap();
    }
    let mut under_way = send(&mut resolves, &mut next, at(1));
    assert_eq!(under_way.len(), PLACES - STRANGERS_PLACES, "at once");
    let mut answered = Vec::new();
    while let Some((callout, _)) = under_way.pop() {
        answered.extend(resolves.answered(callout).unwrap().1);
        under_way.extend(send(&mut resolves, &mut next, at(2)));
    }
    assert_eq!(answered.len(), accounts.len(), "though no stranger was answered");
    // One stranger's answer lets the next stranger in.
    assert!(resolves.answered(1).is_some());
    assert_eq!(send(&mut resolves, &mut next, at(2)).len(), 1);
}

#[test]
fn every_wait_ends() {
    let (mut resolves, mut next) = (Resolves::default(), 0);
    for number in 0..100 {
        resolves.wait(question(number), false, number, at(u64::from(number)), PATIENCE_MS).unwrap();
    }
    let sent = send(&mut resolves, &mut next, at(100)).len();
    assert_eq!(resolves.overdue(at(1_999)).len(), 0);
    // The waits for questions that were not sent end in the order in which they came.
    assert_eq!(resolves.overdue(at(2_050)).len(), 51 - sent);
    assert_eq!(resolves.overdue(at(2_099)).len(), 49);
    // The waits for questions that Envoy should have ended.
    assert_eq!(resolves.overdue(at(3_099)).len(), 0);
    let late = resolves.overdue(at(3_100));
    assert_eq!(late.len(), sent);
    assert_eq!(late.first().map(|(token, _)| *token), Some(question(late.first().unwrap().1).0));
    assert!(resolves.is_empty() && !resolves.has_next());
    assert!(resolves.answered(1).is_none(), "an answer that comes still later is nobody's");
    // And the places are free again.
    resolves.wait(question(1), false, 1, at(5_000), PATIENCE_MS).unwrap();
    assert_eq!(send(&mut resolves, &mut next, at(5_000)).len(), 1);
}

#[test]
fn a_question_that_cannot_be_sent_gives_its_waiters_back() {
    let mut resolves = Resolves::default();
    resolves.wait(question(1), false, 7, at(0), PATIENCE_MS).unwrap();
    let question = resolves.next_question().unwrap();
    assert_eq!(resolves.failed(&question), [7]);
    assert!(resolves.is_empty());
}
