//! What the ledger promises about where an account stands: a sum and a number that belong together, always.

use crate::common;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use common::debits::{byo, estimated, on_day, reported};
use common::{Folder, SECRET, Service, act, bytes, http, record, replayed};
use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{
    DEBITS_PATH, DebitOutcome, DebitReplies, DebitReply, RESOLVE_PATH, ResolveRequest, Resolved,
    STANDINGS_MAX, STANDINGS_PATH, Standing, StandingAsk, StandingsReply, StandingsRequest,
};
use pax_gateway::debit::frozen::Debit;
use pax_ledger::store::{EntryFilter, NewToken, Store};
use serde::Serialize;

const TOKEN: &str = "mtx-test-free";

fn day(n: u64) -> UtcDay {
    Moment::from_ms(common::debits::DAY_0 + n * common::debits::DAY_MS).day()
}

fn sum(debits: &[&Debit]) -> Pax {
    debits.iter().fold(Pax::ZERO, |sum, debit| sum.checked_add(debit.cost_pax).unwrap())
}

/// Standings of a ledger's present epoch.
async fn present(store: &Store) -> impl Fn(u64, &[&Debit], u64) -> Standing + use<> {
    let epoch = store.epoch().await.unwrap();
    move |n: u64, spent: &[&Debit], account_seq: u64| Standing {
        utc_day: day(n),
        spent_pax: sum(spent),
        account_seq,
        epoch,
    }
}

fn ask(account: &str, n: u64) -> StandingAsk {
    StandingAsk { account: account.to_owned(), utc_day: day(n) }
}

async fn store_with_token(folder: &Folder) -> Store {
    let store = folder.store_with_accounts().await;
    let sha256 = Digest::of(&[TOKEN.as_bytes()]);
    let token = NewToken {
        token_id: "tok_1".to_owned(),
        account: "free",
        label: "t",
        sha256,
        is_given: true,
        expires_at: None,
    };
    assert!(store.add_token(&act(), &token).await.unwrap().is_some());
    store
}

#[tokio::test]
async fn each_debit_of_a_batch_hears_of_its_own_day_with_itself_and_all_before_it() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let [a, b, c, d, e] = [
        reported(1, "free", Tier::Free),
        on_day(reported(2, "free", Tier::Free), 1),
        estimated(3, "free", Tier::Free),
        byo(4, "free", Tier::Free),
        on_day(byo(5, "free", Tier::Free), 2),
    ];
    let paid = reported(6, "credit", Tier::Credit);
    let mut other_a = a.clone();
    other_a.slot = "planner".to_owned();
    let lines = [&a, &b, &c, &a, &d, &e, &b, &other_a, &paid].map(bytes);
    let replies = record(&store, &lines).await;
    let told: Vec<_> =
        replies.iter().map(|reply| (reply.outcome, reply.account_seq, reply.standing)).collect();
    let at = present(&store).await;
    let expected = [
        (DebitOutcome::Recorded, Some(1), Some(at(0, &[&a], 1))),
        (DebitOutcome::Recorded, Some(2), Some(at(1, &[&b], 2))),
        (DebitOutcome::Recorded, Some(3), Some(at(0, &[&a, &c], 3))),
        // What it was then is of no use to a filter: the standing is today's, the number that of its entry.
        (DebitOutcome::Duplicate, Some(1), Some(at(0, &[&a, &c], 3))),
        (DebitOutcome::Recorded, Some(4), Some(at(0, &[&a, &c], 4))),
        (DebitOutcome::Recorded, Some(5), Some(at(2, &[], 5))),
        (DebitOutcome::Duplicate, Some(2), Some(at(1, &[&b], 5))),
        (DebitOutcome::Conflict, None, None),
        (DebitOutcome::Recorded, Some(1), Some(at(0, &[&paid], 1))),
    ];
    assert_eq!(told, expected);

    // And in a batch of their own, where nothing was posted before them.
    let again = record(&store, &[&e, &c, &b].map(bytes)).await;
    let told: Vec<_> = again.iter().map(|reply| (reply.account_seq, reply.standing)).collect();
    let expected = [
        (Some(5), Some(at(2, &[], 5))),
        (Some(3), Some(at(0, &[&a, &c], 5))),
        (Some(2), Some(at(1, &[&b], 5))),
    ];
    assert_eq!(told, expected);
    let rejected = record(&store, &[b"no debit".to_vec(), bytes(&reported(9, "nobody", Tier::Free))]).await;
    assert!(rejected.iter().all(|reply| reply.standing.is_none()), "{rejected:?}");
    // A day on which nothing was spent has no total: a duplicate that asked for it left none behind.
    assert_eq!(replayed(&store).await.1, []);
}

#[tokio::test]
async fn a_debit_that_is_told_again_after_damage_is_a_duplicate_without_a_standing() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let line = [bytes(&reported(1, "free", Tier::Free))];
    record(&store, &line).await;
    folder.sql("UPDATE accounts SET head_hash = 'gone'").await;
    let [reply] = record(&store, &line).await.try_into().unwrap();
    assert_eq!((reply.outcome, reply.account_seq, reply.standing), (DebitOutcome::Duplicate, Some(1), None));
}

#[tokio::test]
async fn a_token_resolves_to_the_cap_and_to_the_standing_of_the_day_that_was_asked_for() {
    let folder = Folder::new();
    let store = store_with_token(&folder).await;
    let sha256 = Digest::of(&[TOKEN.as_bytes()]);
    let resolved = async |n| store.resolve(&sha256, day(n), pax_ledger::now()).await.unwrap().unwrap();
    let at = present(&store).await;
    assert_eq!(resolved(0).await.standing, at(0, &[], 0));
    let [a, b, c] = [
        reported(1, "free", Tier::Free),
        on_day(estimated(2, "free", Tier::Free), 1),
        byo(3, "free", Tier::Free),
    ];
    record(&store, &[&a, &b, &c].map(bytes)).await;
    record(&store, &[bytes(&reported(4, "credit", Tier::Credit))]).await;
    for (n, spent) in [(0, vec![&a]), (1, vec![&b]), (2, vec![])] {
        assert_eq!(resolved(n).await.standing, at(n, &spent, 3), "day {n}");
    }
    assert_eq!(resolved(0).await.account.daily_cap_pax, None);
    for cap in [Some(Pax::ZERO), Some(Pax::from_picopax(2_500_000_000_000)), None] {
        assert!(store.set_daily_cap(&act(), "free", cap).await.unwrap().is_some());
        assert_eq!(resolved(0).await.account.daily_cap_pax, cap);
        let credits = store.credits("free", day(1).start()).await.unwrap().unwrap();
        assert_eq!((credits.daily_cap, credits.spent), (cap, b.cost_pax.into()));
    }
    assert!(
        store.set_daily_cap(&act(), "free", Some(Pax::from_picopax(-1))).await.is_err(),
        "the schema refuses it"
    );
    assert!(store.set_daily_cap(&act(), "nobody", None).await.unwrap().is_none());
}

fn post(service: &Service, path: &str, body: &impl Serialize) -> (u16, String) {
    http(service.internal, "POST", path, Some(SECRET), &serde_json::to_vec(body).unwrap())
}

fn standings(service: &Service, asks: Vec<StandingAsk>) -> Vec<Option<Standing>> {
    let (status, body) = post(service, STANDINGS_PATH, &StandingsRequest { asks });
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<StandingsReply>(&body).unwrap().standings
}

fn send(service: &Service, debits: &[Debit]) -> Vec<DebitReply> {
    let lines: Vec<_> = debits.iter().map(bytes).collect();
    let (status, body) = http(service.internal, "POST", DEBITS_PATH, Some(SECRET), &lines.join(&b'\n'));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<DebitReplies>(&body).unwrap().results
}

#[test]
fn standings_come_in_the_order_of_the_question_and_a_question_has_a_limit() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { store_with_token(&folder).await.close().await });
    let service = Service::start(&folder.database());
    let (a, b) = (reported(1, "free", Tier::Free), on_day(reported(2, "credit", Tier::Credit), 1));
    send(&service, &[a.clone(), b.clone()]);
    let asks = vec![
        ask("credit", 1),
        ask("nobody", 0),
        ask("free", 0),
        ask("credit", 0),
        ask("", 0),
        ask("free", 0),
    ];
    let at = runtime.block_on(async { present(&folder.store().await).await });
    let expected = [
        Some(at(1, &[&b], 1)),
        None,
        Some(at(0, &[&a], 1)),
        Some(at(0, &[], 1)),
        None,
        Some(at(0, &[&a], 1)),
    ];
    assert_eq!(standings(&service, asks), expected);
    assert_eq!(standings(&service, Vec::new()), []);
    let fullest = standings(&service, vec![ask("free", 0); STANDINGS_MAX]);
    assert_eq!(fullest, vec![Some(at(0, &[&a], 1)); STANDINGS_MAX]);
    let too_many = StandingsRequest { asks: vec![ask("free", 0); STANDINGS_MAX + 1] };
    let (status, body) = post(&service, STANDINGS_PATH, &too_many);
    assert!(status == 413 && body.contains("\"code\":\"request_too_large\""), "{body}");
    assert!(body.contains(&STANDINGS_MAX.to_string()) && body.contains("257"), "{body}");
    for path in [STANDINGS_PATH, RESOLVE_PATH] {
        for body in ["", "{}", "{\"asks\":[{\"account\":\"free\",\"utc_day\":\"2026-11-31\"}]}"] {
            let (status, said) = http(service.internal, "POST", path, Some(SECRET), body.as_bytes());
            assert!(status == 400 && said.contains("utc_day") && said.contains("YYYY-MM-DD"), "{said}");
        }
    }
}

/// Debits of the accounts on three days, in batches that repeat some of what was sent before.
fn batches(sender: u64) -> Vec<Vec<Debit>> {
    let debit = |n: u64| {
        let (account, tier) =
            if n.is_multiple_of(4) { ("credit", Tier::Credit) } else { ("free", Tier::Free) };
        let debit = match n % 5 {
            0 => byo(n, account, tier),
            1 => estimated(n, account, tier),
            _ => reported(n, account, tier),
        };
        on_day(debit, n % 3)
    };
    let first = sender * 1_000;
    let batch = |b: u64| (first + b * 6..first + b * 6 + 8).map(debit).collect();
    (0..12).map(batch).collect()
}

#[test]
fn no_standing_that_is_ever_seen_has_a_sum_of_other_entries_than_its_number_says() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { store_with_token(&folder).await.close().await });
    let service = Service::start(&folder.database());
    let seen = Mutex::new(Vec::new());
    let saw = |account: &str, standing: Standing| seen.lock().unwrap().push((account.to_owned(), standing));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for asker in 0..3 {
            let (service, saw, done) = (&service, &saw, &done);
            scope.spawn(move || {
                for n in (0..3).cycle() {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    if asker == 0 {
                        let asks = vec![ask("free", n), ask("credit", n), ask("free", n)];
                        let told = standings(service, asks);
                        assert_eq!(told[0], told[2], "one question is answered from one moment");
                        saw("free", told[0].unwrap());
                        saw("credit", told[1].unwrap());
                    } else {
                        let token_sha256 = Digest::of(&[TOKEN.as_bytes()]);
                        let request = ResolveRequest { token_sha256, utc_day: day(n) };
                        let (status, body) = post(service, RESOLVE_PATH, &request);
                        assert_eq!(status, 200, "{body}");
                        let resolved: Resolved = serde_json::from_str(&body).unwrap();
                        saw("free", resolved.standing);
                    }
                }
            });
        }
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let (service, saw) = (&service, &saw);
                scope.spawn(move || {
                    for batch in batches(sender) {
                        for (debit, reply) in batch.iter().zip(send(service, &batch)) {
                            let standing = reply.standing.unwrap();
                            assert_eq!(standing.utc_day, debit.utc_day);
                            assert!(standing.account_seq >= reply.account_seq.unwrap());
                            let is_new = reply.outcome == DebitOutcome::Recorded;
                            assert!(!is_new || Some(standing.account_seq) == reply.account_seq);
                            saw(&debit.account, standing);
                        }
                    }
                })
            })
            .collect();
        let sent = senders.into_iter().map(|sender| sender.join().is_ok()).collect::<Vec<_>>();
        done.store(true, Ordering::Relaxed);
        assert_eq!(sent, [true; 3]);
    });
    check(&runtime.block_on(spent_by_number(&folder)), &seen.into_inner().unwrap());
}

/// What each account had spent on a day once it had so many entries, from the entries themselves.
async fn spent_by_number(folder: &Folder) -> BTreeMap<(String, UtcDay, u64), Pax> {
    let store = folder.store().await;
    let mut spent = BTreeMap::new();
    for account in ["free", "credit"] {
        let filter = EntryFilter { account: Some(account.to_owned()), ..EntryFilter::default() };
        let entries = store.entries(&filter, None, 10_000).await.unwrap();
        for n in 0..3 {
            let mut sum = Pax::ZERO;
            spent.insert((account.to_owned(), day(n), 0), sum);
            for (entry, number) in entries.iter().zip(1..) {
                let debit = Debit::from_canonical(&entry.canonical).unwrap();
                assert_eq!(entry.account_seq, number);
                if debit.utc_day == day(n) {
                    sum = sum.checked_add(debit.cost_pax).unwrap();
                }
                spent.insert((account.to_owned(), day(n), u64::try_from(number).unwrap()), sum);
            }
        }
    }
    assert_eq!(replayed(&store).await.1, []);
    spent
}

fn check(spent: &BTreeMap<(String, UtcDay, u64), Pax>, seen: &[(String, Standing)]) {
    let mut numbers = std::collections::BTreeSet::new();
    for (account, standing) in seen {
        let Standing { utc_day, spent_pax, account_seq, .. } = *standing;
        let expected = spent.get(&(account.clone(), utc_day, account_seq));
        assert_eq!(expected, Some(&spent_pax), "{account} on {utc_day}, by entry {account_seq}");
        numbers.insert(account_seq);
    }
    // Else it has seen nothing but the beginning and the end.
    assert!(numbers.len() > 50 && seen.len() > 300, "{} standings, {} numbers", seen.len(), numbers.len());
}
