//! The recorder's queues: holds go before debits, and neither keeps the other from going on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::DebitOutcome;
use pax_gateway::debit::frozen::Debit;
use pax_ledger::book::Line;
use pax_ledger::book::hold::Hold;
use pax_ledger::cards::Cards;
use pax_ledger::metrics::Metrics;
use pax_ledger::recorder::{Recorder, Recording};

use super::common::debits::{exchange, reported};
use super::common::{bytes, replayed};
use super::story::{ENVOY, Ledger, hold_of, lost_debit};
use super::{HoldOutcome, Tier};

/// More lines than are written in the time of some holds.
const FLOOD: u64 = 6_000;

async fn recorder(ledger: &Ledger) -> (Recorder, Recording) {
    let cards = Cards::open(ledger.store.clone()).await.unwrap();
    Recorder::start(ledger.store.writer(), cards, Arc::new(Metrics::new()))
}

/// A hold of an exchange that begins now, since the recorder has the true clock.
pub fn hold_now(n: u16, hold: &str) -> Hold {
    static LOST: LazyLock<Debit> = LazyLock::new(|| lost_debit(2, Tier::Credit));
    let mut lost = LOST.clone();
    let [a, b] = n.to_be_bytes();
    lost.exchange_id = ExchangeId::new(pax_ledger::now(), [0, 0, 0, 0, 0, 0, 0, 0, a, b]);
    lost.hold_id = Some(lost.exchange_id.to_string());
    hold_of(&lost, hold, "5", ENVOY).unwrap()
}

fn flood() -> Vec<Line> {
    let mut debit = reported(0, "free", Tier::Free);
    let mut line = |n| {
        debit.exchange_id = exchange(n);
        Line::read(&bytes(&debit))
    };
    (0..FLOOD).map(&mut line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_does_not_wait_for_the_debits_that_came_before_it() {
    let mut ledger = Ledger::new().await;
    ledger.tell("grant gift 1 -> 1").await;
    let (recorder, recording) = recorder(&ledger).await;
    let debits = tokio::spawn({
        let (recorder, lines) = (recorder.clone(), flood());
        async move { recorder.record(lines).await.unwrap() }
    });
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    for n in 0..3 {
        let reply = recorder.hold(hold_now(n, "0.1")).await.unwrap();
        assert_eq!(reply.outcome, HoldOutcome::Held);
        assert!(!debits.is_finished(), "hold {n} came after the debits");
    }
    let replies = debits.await.unwrap();
    assert_eq!(replies.len(), usize::try_from(FLOOD).unwrap());
    assert!(replies.iter().all(|reply| reply.outcome == DebitOutcome::Recorded));
    let numbers: Vec<_> = replies.iter().map(|reply| reply.account_seq.unwrap()).collect();
    assert_eq!(numbers, (1..=FLOOD).collect::<Vec<_>>(), "in the order of the lines");
    recording.finish().await;
    assert_eq!(replayed(&ledger.store).await.1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn debits_go_on_while_holds_come_without_end() {
    let ledger = Ledger::new().await;
    let (recorder, recording) = recorder(&ledger).await;
    let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut holds = Vec::new();
    // More than one transaction takes, so that some wait whenever others were answered.
    for caller in 0..256_u16 {
        let (recorder, is_over, asked) = (recorder.clone(), Arc::clone(&is_over), Arc::clone(&asked));
        holds.push(tokio::spawn(async move {
            let mut n = caller;
            while !is_over.load(Ordering::Relaxed) {
                let reply = recorder.hold(hold_now(n, "0.1")).await.unwrap();
                assert_eq!(reply.outcome, HoldOutcome::InsufficientCredit);
                asked.fetch_add(1, Ordering::Relaxed);
                n = n.wrapping_add(256);
            }
        }));
    }
    let recorded = tokio::time::timeout(std::time::Duration::from_secs(30), recorder.record(flood())).await;
    assert_eq!(recorded.unwrap().unwrap().len(), usize::try_from(FLOOD).unwrap());
    is_over.store(true, Ordering::Relaxed);
    for hold in holds {
        hold.await.unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > 50, "{asked:?}");
    recording.finish().await;
    assert_eq!(replayed(&ledger.store).await.1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_hold_that_comes_again_gets_its_first_refusal_again() {
    let mut ledger = Ledger::new().await;
    let (recorder, recording) = recorder(&ledger).await;
    let refused = hold_now(1, "0.1");
    let first = recorder.hold(refused.clone()).await.unwrap();
    assert_eq!(first.outcome, HoldOutcome::InsufficientCredit);
    ledger.tell("grant gift 1 -> 1").await;
    assert_eq!(recorder.hold(refused.clone()).await.unwrap(), first);
    assert_eq!(recorder.hold(hold_now(2, "0.1")).await.unwrap().outcome, HoldOutcome::Held);
    // Nothing of that was written, so another task decides anew.
    recording.finish().await;
    let mut writer = ledger.store.writer();
    let replies = writer.hold(&vec![refused].into(), 0, pax_ledger::now()).await.unwrap();
    assert_eq!(replies[0].outcome, HoldOutcome::Held);
    writer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_void_of_a_refused_hold_writes_nothing() {
    let ledger = Ledger::new().await;
    let (recorder, recording) = recorder(&ledger).await;
    let refused = hold_now(1, "0.1");
    assert_eq!(recorder.hold(refused.clone()).await.unwrap().outcome, HoldOutcome::InsufficientCredit);
    let line = |exchange: &ExchangeId| {
        Line::read(format!(r#"{{"void":"{exchange}","account":"credit"}}"#).as_bytes())
    };
    let [refused, unseen] = [refused, hold_now(2, "0.1")].map(|hold| hold.lost.debit.exchange_id);
    let replies = recorder.record(vec![line(&refused), line(&unseen)]).await.unwrap();
    assert!(replies.iter().all(|reply| reply.outcome == DebitOutcome::Voided));
    recording.finish().await;
    assert_eq!(tombstones(&ledger).await, [unseen.to_string()]);
}

async fn tombstones(ledger: &Ledger) -> Vec<String> {
    ledger.folder.sql("SELECT exchange_id FROM tombstones ORDER BY exchange_id").await.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_when_the_recorder_stops_is_answered() {
    let mut ledger = Ledger::new().await;
    ledger.tell("grant gift 1 -> 1").await;
    let (recorder, recording) = recorder(&ledger).await;
    let debits = tokio::spawn({
        let (recorder, lines) = (recorder.clone(), flood());
        async move { recorder.record(lines).await.unwrap().len() }
    });
    let hold = tokio::spawn({
        let recorder = recorder.clone();
        async move { recorder.hold(hold_now(1, "0.1")).await.unwrap().outcome }
    });
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    recording.finish().await;
    assert_eq!(hold.await.unwrap(), HoldOutcome::Held);
    assert_eq!(debits.await.unwrap(), usize::try_from(FLOOD).unwrap());
    assert!(recorder.hold(hold_now(2, "0.1")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorder_expires_holds_whose_envoys_are_gone_by_itself() {
    let mut ledger = Ledger::new().await;
    ledger.tell("grant gift 1 -> 1").await;
    // A hold that is older than a day goes whatever its lease says, and the tests need not wait for a minute.
    let a_day_ago = Moment::from_ms(pax_ledger::now().ms() - 86_400_000 - 1);
    let mut old = lost_debit(2, Tier::Credit);
    old.exchange_id = ExchangeId::new(a_day_ago, [7; 10]);
    old.hold_id = Some(old.exchange_id.to_string());
    let holds = vec![hold_of(&old, "0.1", "5", ENVOY).unwrap()].into();
    assert_eq!(ledger.writer.hold(&holds, 0, a_day_ago).await.unwrap()[0].outcome, HoldOutcome::Held);
    let (recorder, recording) = recorder(&ledger).await;
    let young = recorder.hold(hold_now(1, "0.1")).await.unwrap();
    assert_eq!(young.outcome, HoldOutcome::Held);
    for _ in 0..200 {
        if ledger.step("held").await == "0.1 0.1 0.1" {
            recording.finish().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the old hold is still open");
}
