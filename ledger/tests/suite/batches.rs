//! Batches of debits: what one transaction holds, and several writers at once.

use crate::common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::debits::{exchange, on_day, reported};
use common::{Folder, bytes, record, replayed};
use pax_gateway::base::account::Tier;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{DebitOutcome, DebitReply};
use pax_ledger::book::Line;
use pax_ledger::cards::Cards;
use pax_ledger::metrics::Metrics;
use pax_ledger::recorder::Recorder;
use pax_ledger::store::Writer;

/// Lines, as a recorder hands them to a writer.
fn read(lines: &[Vec<u8>]) -> Vec<Line> {
    lines.iter().map(|line| Line::read(line)).collect()
}

fn spent(reply: &DebitReply) -> i64 {
    reply.standing.unwrap().spent_pax.picopax()
}

#[tokio::test]
async fn one_account_a_hundred_times_in_a_batch_is_numbered_chained_and_added_up() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let debits: Vec<_> = (0..101).map(|n| reported(n, "credit", Tier::Credit)).collect();
    let lines: Vec<_> = debits.iter().map(bytes).collect();
    let mut replies = record(&store, &lines[..100]).await;
    replies.extend(record(&store, &lines[100..]).await);
    let mut sum = 0;
    for ((debit, reply), number) in debits.iter().zip(&replies).zip(1..) {
        sum += debit.cost_pax.picopax();
        assert_eq!((reply.outcome, reply.account_seq), (DebitOutcome::Recorded, Some(number)));
        let standing = reply.standing.unwrap();
        assert_eq!((standing.account_seq, standing.spent_pax), (number, Pax::from_picopax(sum)));
    }
    let (report, differences) = replayed(&store).await;
    assert_eq!((report.entries, differences), (101, vec![]));
}

#[tokio::test]
async fn a_batch_adds_to_the_totals_of_every_day_that_it_touches() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let debit = |n, day| bytes(&on_day(reported(n, "free", Tier::Free), day));
    let before = record(&store, &[debit(0, 0), debit(1, 1), debit(2, 2)]).await;
    // Days in another order, one of them twice, and one that no entry had.
    let after = record(&store, &[debit(3, 2), debit(4, 1), debit(5, 2), debit(6, 3)]).await;
    let cost = |n| reported(n, "free", Tier::Free).cost_pax.picopax();
    assert_eq!(before.iter().map(spent).collect::<Vec<_>>(), [cost(0), cost(1), cost(2)]);
    let expected = [cost(2) + cost(3), cost(1) + cost(4), cost(2) + cost(3) + cost(5), cost(6)];
    assert_eq!(after.iter().map(spent).collect::<Vec<_>>(), expected);
    assert_eq!(replayed(&store).await.1, []);
}

#[tokio::test]
async fn a_duplicate_a_conflict_and_a_bad_line_leave_the_lines_around_them_as_they_are() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let old = reported(1, "free", Tier::Free);
    record(&store, &[bytes(&old)]).await;
    let mut conflict = old.clone();
    conflict.slot = "planner".to_owned();
    // A mistake of the shell: the account's head is behind its entries, so the next number is taken.
    record(&store, &[bytes(&reported(2, "credit", Tier::Credit))]).await;
    let behind = "UPDATE accounts SET account_seq = 0 WHERE name = 'credit'";
    folder.sql(behind).await;
    let lines = [
        bytes(&reported(10, "free", Tier::Free)),
        bytes(&old),
        bytes(&reported(11, "free", Tier::Free)),
        bytes(&conflict),
        bytes(&reported(12, "credit", Tier::Credit)),
        bytes(&reported(13, "free", Tier::Free)),
        b"no debit".to_vec(),
        bytes(&reported(14, "nobody", Tier::Free)),
        bytes(&reported(15, "free", Tier::Free)),
        bytes(&reported(15, "free", Tier::Free)),
    ];
    let replies = record(&store, &lines).await;
    let outcomes: Vec<_> = replies.iter().map(|reply| (reply.outcome, reply.account_seq)).collect();
    use DebitOutcome::{Conflict, Duplicate, Recorded, Rejected};
    let expected = [
        (Recorded, Some(2)),
        (Duplicate, Some(1)),
        (Recorded, Some(3)),
        (Conflict, None),
        (Rejected, None),
        (Recorded, Some(4)),
        (Rejected, None),
        (Rejected, None),
        (Recorded, Some(5)),
        (Duplicate, Some(5)),
    ];
    assert_eq!(outcomes, expected);
    // A duplicate's standing counts what the batch recorded before it.
    assert_eq!(replies[1].standing.unwrap().account_seq, 2);
    assert_eq!(spent(&replies[9]), spent(&replies[8]));
    let (_, differences) = replayed(&store).await;
    assert!(
        differences.iter().all(|difference| difference.to_string().contains("credit")),
        "{differences:?}"
    );
}

#[tokio::test]
async fn an_exchange_that_has_an_entry_is_a_duplicate_or_a_conflict_whatever_else_is_wrong() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let (free, credit) = (reported(1, "free", Tier::Free), reported(2, "credit", Tier::Credit));
    record(&store, &[bytes(&free), bytes(&credit)]).await;
    // The first account has no readable head, the second one's next number is taken, a third one does not exist.
    for damage in ["head_hash = 'gone' WHERE name = 'free'", "account_seq = 0 WHERE name = 'credit'"] {
        folder.sql(&format!("UPDATE accounts SET {damage}")).await;
    }
    let of_nobody = reported(1, "nobody", Tier::Free);
    let mut other_credit = credit.clone();
    other_credit.slot = "planner".to_owned();
    let lines = [
        bytes(&free),
        bytes(&credit),
        bytes(&of_nobody),
        bytes(&other_credit),
        bytes(&reported(3, "free", Tier::Free)),
        bytes(&reported(4, "credit", Tier::Credit)),
        bytes(&reported(5, "nobody", Tier::Free)),
        bytes(&free),
    ];
    let replies = record(&store, &lines).await;
    let told = |reply: &DebitReply| {
        let message = reply.message.clone().unwrap_or_default();
        (reply.outcome, reply.account_seq, reply.standing.map(|standing| standing.account_seq), message)
    };
    // Each line alone is answered as among the others.
    let mut alone = Vec::new();
    for line in &lines {
        alone.extend(record(&store, std::slice::from_ref(line)).await.iter().map(told));
    }
    use DebitOutcome::{Conflict, Duplicate, Rejected};
    let conflict = "entry 1 of the account has other bytes for this exchange";
    let expected = [
        (Duplicate, Some(1), None, ""),
        (Duplicate, Some(1), Some(0), ""),
        (Conflict, None, None, conflict),
        (Conflict, None, None, conflict),
        (Rejected, None, None, "the chain of account \"free\" is damaged: run `pax-ledger replay`"),
        (
            Rejected,
            None,
            None,
            "the database refused the entry: credit_ledger is append-only; run `pax-ledger replay`",
        ),
        (Rejected, None, None, "there is no account \"nobody\""),
        (Duplicate, Some(1), None, ""),
    ];
    let expected =
        expected.map(|(outcome, seq, of_standing, why)| (outcome, seq, of_standing, why.to_owned()));
    assert_eq!(replies.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(alone, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_batches_at_once_record_each_exchange_once() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let cards = Cards::open(store.clone()).await.unwrap();
    let (recorder, recording) = Recorder::start(store.writer(), cards, Arc::new(Metrics::new()));
    let lines: Arc<Vec<_>> = Arc::new((0..50).map(|n| bytes(&reported(n, "free", Tier::Free))).collect());
    let send = || {
        let (recorder, lines) = (recorder.clone(), Arc::clone(&lines));
        tokio::spawn(async move { recorder.record(read(&lines)).await.unwrap() })
    };
    let (one, other) = (send(), send());
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    let mut numbers = BTreeSet::new();
    for (number, (one, other)) in one.iter().zip(&other).enumerate() {
        assert_eq!((&one.exchange_id, one.account_seq), (&other.exchange_id, other.account_seq));
        assert_eq!(one.exchange_id, exchange(number as u64).to_string());
        let outcomes = BTreeSet::from([one.outcome, other.outcome].map(|outcome| format!("{outcome:?}")));
        assert_eq!(outcomes, ["Duplicate", "Recorded"].map(str::to_owned).into());
        numbers.extend(one.account_seq);
    }
    assert_eq!(numbers, (1..=50).collect());
    recording.finish().await;
    assert_eq!(replayed(&store).await.1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_processes_wait_for_each_other() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let write = |mut writer: Writer, first: u64| {
        tokio::spawn(async move {
            for batch in 0..10 {
                let of = |n| bytes(&reported(first + batch * 10 + n, "free", Tier::Free));
                let lines: Vec<_> = (0..10).map(of).collect();
                let replies = writer.record(&read(&lines).into(), pax_ledger::now()).await.unwrap();
                assert!(replies.iter().all(|reply| reply.outcome == DebitOutcome::Recorded), "{replies:?}");
            }
            writer.close().await;
        })
    };
    let (one, other) = (write(store.writer(), 0), write(store.writer(), 1_000));
    one.await.unwrap();
    other.await.unwrap();
    let (report, differences) = replayed(&store).await;
    assert_eq!((report.entries, differences), (200, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_while_another_process_writes_for_three_seconds() {
    if common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let mut shell = folder.shell().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut shell).await.unwrap();
    let recording = tokio::spawn(async move {
        let replies = record(&store, &[bytes(&reported(1, "free", Tier::Free))]).await;
        (store, replies)
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!recording.is_finished());
    sqlx::query("COMMIT").execute(&mut shell).await.unwrap();
    let (store, replies) = recording.await.unwrap();
    assert_eq!(replies[0].outcome, DebitOutcome::Recorded);
    assert_eq!(replayed(&store).await.1, []);
}

#[tokio::test]
async fn a_batch_that_the_store_could_not_keep_is_kept_whole_when_it_comes_again() {
    if common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let mut shell = folder.shell().await;
    let mut writer = store.writer();
    let lines = Arc::new(read(&[0, 1].map(|n| bytes(&reported(n, "free", Tier::Free)))));
    // The entries are written before the totals, which are refused for a while.
    let refuse =
        "CREATE TRIGGER no_totals BEFORE INSERT ON day_totals BEGIN SELECT RAISE(ABORT, 'refused'); END";
    sqlx::query(refuse).execute(&mut shell).await.unwrap();
    let error = writer.record(&lines, pax_ledger::now()).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    sqlx::query("DROP TRIGGER no_totals").execute(&mut shell).await.unwrap();
    let replies = writer.record(&lines, pax_ledger::now()).await.unwrap();
    assert!(replies.iter().all(|reply| reply.outcome == DebitOutcome::Recorded), "{replies:?}");
    writer.close().await;
    assert_eq!(replayed(&store).await.1, []);
}
