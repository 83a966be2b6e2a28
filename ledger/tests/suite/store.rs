//! What the store promises: outcomes, append-only tables, sums.

use crate::common;

use std::collections::BTreeMap;

use common::debits::{byo, estimated, exchange, on_day, reported};
use common::{Folder, act, bytes, record, replayed};
use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{DebitOutcome, DebitReply, StandingAsk};
use pax_ledger::book::made::MADE_COLUMNS;
use pax_ledger::book::{COLUMNS, Sum};
use pax_ledger::store::{DayTotal, EntryFilter, NewToken, Open, Store};
use proptest::prelude::*;
use sqlx::Row;

fn outcomes(replies: &[DebitReply]) -> Vec<(DebitOutcome, Option<u64>)> {
    replies.iter().map(|reply| (reply.outcome, reply.account_seq)).collect()
}

#[tokio::test]
async fn the_database_has_a_column_for_each_field_of_a_debit_in_the_order_of_the_migrations() {
    if common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    folder.store().await.close().await;
    let info = sqlx::query("PRAGMA table_info(credit_ledger)").fetch_all(&mut folder.shell().await).await;
    let mut names: Vec<String> = info.unwrap().iter().map(|row| row.get("name")).collect();
    let of_the_chain =
        ["canonical", "account_seq", "prev_hash", "entry_hash", "recorded_at", "posting", "hash_v"];
    names.retain(|name| !of_the_chain.contains(&name.as_str()));
    assert_eq!(names.split_off(COLUMNS.len()), MADE_COLUMNS);
    assert_eq!(names, *COLUMNS, "a new field of a debit needs a migration that adds its column");
}

#[tokio::test]
async fn a_batch_is_answered_line_by_line_and_one_bad_line_blocks_no_other() {
    if common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let one = reported(1, "free", Tier::Free);
    let mut other_one = one.clone();
    other_one.slot = "planner".to_owned();
    let mut endless = one.clone();
    endless.exchange_id = exchange(9);
    endless.slot = "x".repeat(20_000);
    let lines = [
        bytes(&one),
        bytes(&one),
        bytes(&other_one),
        b"no debit".to_vec(),
        bytes(&reported(2, "nobody", Tier::Free)),
        bytes(&endless),
        bytes(&estimated(3, "free", Tier::Free)),
        bytes(&byo(4, "credit", Tier::Credit)),
        bytes(&reported(5, "credit", Tier::Credit)),
    ];
    let replies = record(&store, &lines).await;
    let expected = [
        (DebitOutcome::Recorded, Some(1)),
        (DebitOutcome::Duplicate, Some(1)),
        (DebitOutcome::Conflict, None),
        (DebitOutcome::Rejected, None),
        (DebitOutcome::Rejected, None),
        (DebitOutcome::Rejected, None),
        (DebitOutcome::Recorded, Some(2)),
        (DebitOutcome::Recorded, Some(1)),
        (DebitOutcome::Recorded, Some(2)),
    ];
    assert_eq!(outcomes(&replies), expected);
    let named: Vec<_> = replies.iter().map(|reply| reply.exchange_id.as_str()).collect();
    let ids = [1, 2, 3, 4, 5, 9].map(|n| exchange(n).to_string());
    assert_eq!(named, [&ids[0], &ids[0], &ids[0], "", &ids[1], &ids[5], &ids[2], &ids[3], &ids[4]]);
    let silent = |outcome| matches!(outcome, DebitOutcome::Recorded | DebitOutcome::Duplicate);
    assert!(replies.iter().all(|reply| reply.message.is_none() == silent(reply.outcome)), "{replies:?}");

    // The same batch again: nothing is recorded twice, and nothing is quarantined twice.
    let again = record(&store, &lines).await;
    let expected = expected.map(|(outcome, seq)| match outcome {
        DebitOutcome::Recorded => (DebitOutcome::Duplicate, seq),
        other => (other, seq),
    });
    assert_eq!(outcomes(&again), expected);
    let (report, differences) = replayed(&store).await;
    assert_eq!(differences, []);
    assert_eq!((report.entries, report.accounts), (4, 2));
    let quarantined = report.quarantined;
    assert_eq!((quarantined.conflicts, quarantined.rejected, quarantined.unseen), (1, 3, 4));
    assert!(!report.is_well(), "nobody has looked at them");
    let mut shell = folder.shell().await;
    let kept: Vec<(Option<String>, String, Vec<u8>, String)> =
        sqlx::query_as("SELECT exchange_id, reason, bytes, sha256 FROM quarantine ORDER BY rowid")
            .fetch_all(&mut shell)
            .await
            .unwrap();
    let bad = [&lines[2], &lines[3], &lines[4], &lines[5]];
    for ((row, line), reason) in kept.iter().zip(bad).zip(["conflict", "rejected", "rejected", "rejected"]) {
        assert_eq!(row.1, reason);
        assert_eq!(row.2, line[..line.len().min(pax_gateway::debit::frozen::CANON_MAX)]);
        assert_eq!(row.3, pax_gateway::base::digest::Digest::of(&[line]).to_string());
    }
}

#[tokio::test]
async fn an_entry_that_does_not_prove_itself_is_recorded_and_named_by_replay() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let mut dear = reported(1, "free", Tier::Free);
    dear.cost_pax = Pax::from_picopax(dear.cost_pax.picopax() + 1);
    let replies = record(&store, &[bytes(&dear)]).await;
    assert_eq!(outcomes(&replies), [(DebitOutcome::Recorded, Some(1))]);
    let (_, differences) = replayed(&store).await;
    let [difference] = differences.as_slice() else { panic!("{differences:?}") };
    let text = difference.to_string();
    assert!(text.contains(&exchange(1).to_string()) && text.contains("priced again"), "{text}");
}

#[tokio::test]
async fn free_debits_count_on_days_only_and_credit_debits_on_the_balance_too() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let (free, credit) = (reported(1, "free", Tier::Free), reported(2, "credit", Tier::Credit));
    let lines =
        [&free, &on_day(estimated(3, "free", Tier::Free), 1), &credit, &byo(4, "credit", Tier::Credit)];
    record(&store, &lines.map(bytes)).await;
    assert_eq!(store.account("free").await.unwrap().unwrap().balance, Sum::ZERO);
    let balance = store.account("credit").await.unwrap().unwrap().balance;
    assert_eq!(balance, Sum::ZERO.minus(credit.cost_pax));
    let mut snapshot = store.snapshot().await.unwrap();
    let spent = |debit: &pax_gateway::debit::frozen::Debit| Sum::from(debit.cost_pax);
    let days = [("2026-11-23".to_owned(), spent(&free)), ("2026-11-24".to_owned(), spent(lines[1]))];
    let totals =
        |days: Vec<DayTotal>| -> Vec<_> { days.into_iter().map(|day| (day.utc_day, day.spent)).collect() };
    assert_eq!(totals(snapshot.day_totals("free").await.unwrap()), days);
    let of_credit = totals(snapshot.day_totals("credit").await.unwrap());
    assert_eq!(of_credit, [("2026-11-23".to_owned(), spent(&credit))]);
}

#[tokio::test]
async fn the_database_itself_keeps_entries_and_quarantine_append_only() {
    if common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    record(&store, &[bytes(&reported(1, "free", Tier::Free)), b"no debit".to_vec()]).await;
    store.mark_seen(&act(), None).await.unwrap().unwrap();
    let mut shell = folder.shell().await;
    for sql in [
        "UPDATE credit_ledger SET cost_picopax = 0",
        "UPDATE credit_ledger SET recorded_at = recorded_at",
        "DELETE FROM credit_ledger",
        "INSERT OR REPLACE INTO credit_ledger SELECT * FROM credit_ledger",
        "INSERT OR REPLACE INTO credit_ledger (rowid, canon_v, kind, account, cost_picopax, occurred_at, utc_day, \
         canonical, account_seq, prev_hash, entry_hash, recorded_at, posting, hash_v) \
         VALUES (1, 1, 'grant', 'free', 0, '', '', x'00', 99, '', '', 0, '', 2)",
        "UPDATE quarantine SET message = ''",
        "DELETE FROM quarantine",
        "INSERT OR REPLACE INTO quarantine SELECT * FROM quarantine",
        "UPDATE quarantine_seen SET because = ''",
        "DELETE FROM quarantine_seen",
        "INSERT OR REPLACE INTO quarantine_seen SELECT * FROM quarantine_seen",
        "UPDATE epochs SET epoch = epoch + 1",
        "DELETE FROM epochs",
        "INSERT OR REPLACE INTO epochs SELECT * FROM epochs",
        "INSERT INTO epochs SELECT epoch - 1, began_at, because FROM epochs",
    ] {
        let error = sqlx::query(sql).execute(&mut shell).await.expect_err(sql);
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    assert_eq!(replayed(&store).await.1, []);
}

#[tokio::test]
async fn a_damaged_head_blocks_its_own_account_only() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    record(&store, &[bytes(&reported(1, "free", Tier::Free))]).await;
    for damage in ["account_seq = 0", "head_hash = 'gone'"] {
        let sql = format!("UPDATE accounts SET {damage} WHERE name = 'free'");
        folder.sql(&sql).await;
        let n = if damage.starts_with('a') { 10 } else { 20 };
        let lines = [reported(n, "free", Tier::Free), reported(n + 1, "credit", Tier::Credit)];
        let replies = record(&store, &lines.map(|debit| bytes(&debit))).await;
        assert_eq!(replies[0].outcome, DebitOutcome::Rejected, "{damage}");
        assert_eq!(replies[1].outcome, DebitOutcome::Recorded, "{damage}");
        assert!(replies[0].message.as_ref().is_some_and(|message| message.contains("replay")), "{replies:?}");
    }
}

#[tokio::test]
async fn no_debit_is_refused_because_a_sum_is_large_and_replay_says_that_it_is() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    // As a report of 95,000,000,000,000 tokens costs.
    let dear = |n| {
        let mut dear = reported(n, "credit", Tier::Credit);
        dear.cost_pax = "4986876".parse().unwrap();
        dear
    };
    let (first, second, third) = (dear(1), dear(2), reported(3, "credit", Tier::Credit));
    let day = first.utc_day;
    for (debit, number, spent) in
        [(&first, 1, "4986876"), (&second, 2, "9223372.036854775807"), (&third, 3, "9223372.036854775807")]
    {
        let replies = record(&store, &[bytes(debit)]).await;
        let [DebitReply { outcome: DebitOutcome::Recorded, standing: Some(standing), .. }] =
            replies.as_slice()
        else {
            panic!("{replies:?}")
        };
        assert_eq!((standing.account_seq, standing.spent_pax), (number, spent.parse().unwrap()));
        let asked =
            store.standings(&[StandingAsk { account: "credit".to_owned(), utc_day: day }]).await.unwrap();
        assert_eq!(asked, [Some(*standing)]);
    }
    let spent = Sum::from(first.cost_pax).plus(second.cost_pax).plus(third.cost_pax);
    assert!(spent.to_string().starts_with("9973752.0"), "{spent}");
    let credits = store.credits("credit", day.start()).await.unwrap().unwrap();
    assert_eq!((credits.spent, credits.balance.to_string()), (spent, format!("-{spent}")));
    let (report, found) = replayed(&store).await;
    assert_eq!((report.entries, report.quarantined.rejected), (3, 0));
    let found: Vec<String> =
        found.iter().map(ToString::to_string).filter(|text| text.contains("beyond")).collect();
    let begin = format!("account credit: its balance is -{spent} PAX, beyond the range");
    assert!(found[0].starts_with(&begin), "{found:?}");
    assert!(
        found[1].starts_with(&format!("account credit: its total of {day} is {spent} PAX, beyond")),
        "{found:?}"
    );
    assert!(found[1].contains(&format!("`pax-ledger entries --account credit --since {day} --until {day}`")));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[tokio::test]
async fn a_token_resolves_until_it_expires_or_is_revoked() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let now = pax_ledger::now();
    let sha256 = pax_gateway::base::digest::Digest::of(&[b"mtx-test"]);
    let token = NewToken {
        token_id: "tok_1".to_owned(),
        account: "free",
        label: "test",
        sha256,
        is_given: true,
        expires_at: Some(now.plus_ms(1_000)),
    };
    let resolve = |now: Moment| store.resolve(&sha256, now.day(), now);
    assert_eq!(resolve(now).await.unwrap(), None);
    assert!(store.add_token(&act(), &token).await.unwrap().is_some());
    assert!(store.add_token(&act(), &token).await.unwrap().is_none());
    let account = resolve(now).await.unwrap().unwrap().account;
    assert_eq!((account.account.as_str(), account.token_id.as_str()), ("free", "tok_1"));
    let later = resolve(now.plus_ms(999)).await.unwrap();
    assert_eq!(later.map(|resolved| resolved.account), Some(account));
    assert_eq!(resolve(now.plus_ms(1_000)).await.unwrap(), None);
    assert!(store.revoke_token(&act(), "tok_1").await.unwrap().is_some());
    assert_eq!(resolve(now).await.unwrap(), None);
    assert!(store.revoke_token(&act(), "tok_2").await.unwrap().is_none());
}

#[tokio::test]
async fn entries_come_in_order_page_by_page_and_by_filter() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let debits = (0..25).map(|n| {
        let (account, tier) = if n % 3 == 0 { ("credit", Tier::Credit) } else { ("free", Tier::Free) };
        bytes(&on_day(reported(n, account, tier), n / 10))
    });
    let debits: Vec<_> = debits.collect();
    record(&store, &debits).await;
    let count = |keep: fn(u64) -> bool| (0..25).filter(move |n| keep(*n)).map(|n| debits[n as usize].clone());
    let day = |n| Some(Moment::from_ms(common::debits::DAY_0 + n * common::debits::DAY_MS).day());
    let all = EntryFilter::default();
    let credit = EntryFilter { account: Some("credit".to_owned()), ..all.clone() };
    for (name, filter, expected) in [
        ("all", all.clone(), count(|_| true).collect::<Vec<_>>()),
        ("one account", credit.clone(), count(|n| n % 3 == 0).collect()),
        (
            "one exchange",
            EntryFilter { exchange: Some(exchange(7).to_string()), ..all.clone() },
            count(|n| n == 7).collect(),
        ),
        ("from a day on", EntryFilter { since: day(1), ..all.clone() }, count(|n| n >= 10).collect()),
        ("up to a day", EntryFilter { until: day(1), ..all.clone() }, count(|n| n < 20).collect()),
        (
            "all at once",
            EntryFilter { since: day(1), until: day(1), ..credit },
            count(|n| n % 3 == 0 && n / 10 == 1).collect(),
        ),
    ] {
        for limit in [1, 4, 100] {
            let (mut found, mut last) = (Vec::new(), None);
            loop {
                let page = store.entries(&filter, last.as_ref(), limit).await.unwrap();
                found.extend(page.iter().map(|entry| entry.canonical.clone()));
                match page.into_iter().last() {
                    Some(entry) => last = Some(entry),
                    None => break,
                }
            }
            assert_eq!(found, expected, "{name}, {limit} a page");
        }
    }
}

#[tokio::test]
async fn two_programs_may_make_the_same_database_at_once() {
    for _ in 0..5 {
        let folder = Folder::new();
        let location = folder.location();
        let open = || {
            let location = location.clone();
            tokio::spawn(async move { Store::open(&location, Open::Create).await.map(|_| ()) })
        };
        for opened in [open(), open(), open(), open()] {
            opened.await.unwrap().unwrap();
        }
    }
}

/// Exchange number, kind of debit, day.
type Sent = (u64, u8, u64);

fn batches() -> impl Strategy<Value = Vec<Vec<Sent>>> {
    // The kind follows from the number, so that a repeat is a duplicate.
    let sent = (0..20_u64, 0..3_u64).prop_map(|(n, _)| (n, (n % 5) as u8, n % 3));
    proptest::collection::vec(proptest::collection::vec(sent, 0..12), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_repeated_or_reordered_each_exchange_counts_once(batches in batches()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = Folder::new();
            let store = folder.store_with_accounts().await;
            let mut seen = BTreeMap::new();
            for batch in &batches {
                let debits: Vec<_> = batch.iter().map(|(n, kind, day)| on_day(match kind {
                    0 => reported(*n, "free", Tier::Free),
                    1 => estimated(*n, "free", Tier::Free),
                    2 => reported(*n, "credit", Tier::Credit),
                    3 => byo(*n, "credit", Tier::Credit),
                    _ => estimated(*n, "credit", Tier::Credit),
                }, *day)).collect();
                let replies = record(&store, &debits.iter().map(bytes).collect::<Vec<_>>()).await;
                for (debit, reply) in debits.into_iter().zip(replies) {
                    let known = seen.insert(debit.exchange_id, debit).is_some();
                    prop_assert_eq!(reply.outcome, if known { DebitOutcome::Duplicate } else { DebitOutcome::Recorded });
                }
            }
            let (report, differences) = replayed(&store).await;
            prop_assert_eq!(differences, vec![]);
            prop_assert_eq!(report.entries, seen.len() as u64);
            let sum = |account: &str| seen.values().filter(|d| d.account == account).map(|d| d.cost_pax.picopax()).sum::<i64>();
            prop_assert_eq!(report.picopax, i128::from(sum("free") + sum("credit")));
            let balance = store.account("credit").await.unwrap().unwrap().balance;
            prop_assert_eq!(balance.amount().unwrap().picopax(), -sum("credit"));
            let mut snapshot = store.snapshot().await.unwrap();
            for account in ["free", "credit"] {
                let days = snapshot.day_totals(account).await.unwrap();
                prop_assert_eq!(days.iter().map(|day| day.spent.amount().unwrap().picopax()).sum::<i64>(), sum(account));
            }
            Ok(())
        })?;
    }
}
