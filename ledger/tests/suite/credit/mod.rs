//! Grants, corrections and expiries: what each moves, in rows.

mod better;
mod commands;
use crate::common;
mod many;
mod proof;
mod recover;

use common::debits::{DAY_0, byo, estimated, exchange, reported, version_in_force};
use common::granting::{grant, keyed, new_grant, pax};
use common::{Folder, act_at, bytes, replayed};
use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;
use pax_ledger::book::{self, Act, Made};
use pax_ledger::store::{Amount, Corrects, EntryFilter, NewGrant, Store, ToCorrect};

fn at(ms: u64) -> Moment {
    Moment::from_ms(DAY_0 + 1_000_000 + ms)
}

/// A store with the accounts `free` and `credit`, made before all that the tests do: operators' actions are never earlier
/// than the one before.
async fn accounts(folder: &Folder) -> Store {
    let store = folder.store().await;
    for (name, tier) in [("free", Tier::Free), ("credit", Tier::Credit)] {
        assert!(store.create_account(&act_at(at(0)), name, tier, None).await.unwrap().is_some());
    }
    store
}

async fn record_at(store: &Store, debit: &Debit, now: Moment) {
    let mut writer = store.writer();
    let line = book::Line::read(&bytes(debit));
    let replies = writer.record(&vec![line].into(), now).await.unwrap();
    assert!(replies[0].account_seq.is_some(), "{replies:?}");
    writer.close().await;
}

async fn correct(store: &Store, corrects: &str, to: &str) -> Result<Pax, String> {
    // The tests' grants have words for keys.
    let name = corrects.to_owned();
    let what = if corrects.starts_with("01a2") { Corrects::Call(name) } else { Corrects::Grant(name) };
    let asked = ToCorrect { what, amount: Amount::To(pax(to)) };
    let corrected = store.correct(&act_at(at(500)), &asked).await.map_err(|error| error.to_string())?;
    Ok(corrected.reply.balance_pax)
}

/// A call on tier credit; the first one costs 0.000014238846 PAX.
fn costing(n: u64, account: &str) -> Debit {
    reported(n, account, Tier::Credit)
}

/// What the account's entries say, one a line: number, kind, how the balance moves.
async fn rows(store: &Store) -> Vec<String> {
    let filter = EntryFilter { account: Some("credit".to_owned()), ..EntryFilter::default() };
    let entries = store.entries(&filter, None, 1_000).await.unwrap();
    let row = |canonical: &[u8]| match Made::read(canonical) {
        Ok(made) => format!("{} {}", made.kind(), made.amount().short()),
        Err(_) => format!("debit -{}", Debit::from_canonical(canonical).unwrap().cost_pax.short()),
    };
    entries.iter().map(|entry| format!("{} {}", entry.account_seq, row(&entry.canonical))).collect()
}

/// What is left of each lot, in the order of the grants.
async fn lots(store: &Store) -> Vec<String> {
    let mut snapshot = store.snapshot().await.unwrap();
    let lots = snapshot.lots("credit").await.unwrap();
    lots.iter().map(|lot| format!("{} {}/{}", lot.key, lot.rest.short(), lot.amount.short())).collect()
}

async fn balance(store: &Store) -> String {
    store.account("credit").await.unwrap().unwrap().balance.nearest().short()
}

async fn holds(store: &Store) {
    let (report, found) = replayed(store).await;
    assert!(report.is_well() && found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_grant_is_an_entry_that_debits_draw_on_and_the_lot_that_ends_first_comes_first() {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    assert_eq!(grant(&store, "for ever", "1", None, at(0)).await, pax("1"));
    assert_eq!(grant(&store, "a week", "0.00001", Some(at(9_000_000)), at(1)).await, pax("1.00001"));
    let debit = costing(1, "credit");
    assert_eq!(debit.cost_pax, pax("0.000014238846"));
    record_at(&store, &debit, at(2)).await;
    assert_eq!(rows(&store).await, ["1 grant 1", "2 grant 0.00001", "3 debit -0.000014238846"]);
    assert_eq!(lots(&store).await, ["for ever 0.999995761154/1", "a week 0/0.00001"]);
    assert_eq!(balance(&store).await, "0.999995761154");
    // A free call and one with the caller's own key move nothing.
    record_at(&store, &byo(2, "credit", Tier::Credit), at(3)).await;
    record_at(&store, &reported(3, "credit", Tier::Free), at(4)).await;
    assert_eq!(balance(&store).await, "0.999995761154");
    holds(&store).await;
}

#[tokio::test]
async fn a_lot_that_is_over_expires_before_the_next_debit_or_by_itself_and_a_clock_that_is_set_back_changes_nothing()
 {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    grant(&store, "short", "2", Some(at(100)), at(0)).await;
    grant(&store, "shorter", "1", Some(at(50)), at(0)).await;
    record_at(&store, &costing(1, "credit"), at(60)).await;
    let expected = ["1 grant 2", "2 grant 1", "3 expiry -1", "4 debit -0.000014238846"];
    assert_eq!(rows(&store).await, expected);
    // The clock goes back: the chain's time does not, and nothing expires twice.
    record_at(&store, &costing(2, "credit"), at(10)).await;
    assert_eq!(lots(&store).await, ["short 1.999971456692/2", "shorter 0/1"]);
    let mut writer = store.writer();
    writer.expire(at(99)).await.unwrap();
    assert_eq!(rows(&store).await.len(), 5);
    writer.expire(at(100)).await.unwrap();
    writer.expire(at(100)).await.unwrap();
    writer.close().await;
    assert_eq!(rows(&store).await.len(), 6);
    assert_eq!(rows(&store).await.last().unwrap(), "6 expiry -1.999971456692");
    assert_eq!(balance(&store).await, "0");
    holds(&store).await;
}

#[tokio::test]
async fn a_grant_pays_a_balance_below_zero_first() {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    record_at(&store, &costing(1, "credit"), at(0)).await;
    assert_eq!(balance(&store).await, "-0.000014238846");
    assert_eq!(grant(&store, "small", "0.00001", None, at(1)).await, pax("-0.000004238846"));
    assert_eq!(grant(&store, "large", "1", None, at(2)).await, pax("0.999995761154"));
    assert_eq!(lots(&store).await, ["small 0/0.00001", "large 0.999995761154/1"]);
    holds(&store).await;
}

#[tokio::test]
async fn a_correction_names_what_it_corrects_and_moves_the_difference_on_the_days_and_lots_of_the_call() {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    grant(&store, "gift", "1", None, at(0)).await;
    record_at(&store, &costing(1, "credit"), at(1)).await;
    let id = exchange(1).to_string();
    assert_eq!(correct(&store, &id, "0.000004238846").await.unwrap(), pax("0.999995761154"));
    assert_eq!(correct(&store, &id, "0").await.unwrap(), pax("1"));
    assert_eq!(correct(&store, &id, "0.5").await.unwrap(), pax("0.5"));
    assert_eq!(correct(&store, "gift", "0.4").await.unwrap(), pax("-0.1"));
    assert_eq!(correct(&store, "gift", "2").await.unwrap(), pax("1.5"));
    let expected = [
        "1 grant 1",
        "2 debit -0.000014238846",
        "3 correction 0.00001",
        "4 correction 0.000004238846",
        "5 correction -0.5",
        "6 correction -0.6",
        "7 correction 1.6",
    ];
    assert_eq!(rows(&store).await, expected);
    assert_eq!(lots(&store).await, ["gift 1.5/2"]);
    let mut snapshot = store.snapshot().await.unwrap();
    let day = "2026-11-23".parse().unwrap();
    assert_eq!(snapshot.spent("credit", day).await.unwrap().nearest(), pax("0.5"), "the day of the call");
    drop(snapshot);
    holds(&store).await;
}

#[tokio::test]
async fn a_correction_of_a_free_call_mints_no_credit() {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    record_at(&store, &reported(1, "credit", Tier::Free), at(0)).await;
    assert_eq!(correct(&store, &exchange(1).to_string(), "0").await.unwrap(), Pax::ZERO);
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.spent("credit", "2026-11-23".parse().unwrap()).await.unwrap().nearest(), Pax::ZERO);
    drop(snapshot);
    holds(&store).await;
}

#[tokio::test]
async fn a_call_is_priced_again_under_another_card_and_the_replay_prices_it_so_too() {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    let debit = estimated(2, "credit", Tier::Credit);
    record_at(&store, &debit, at(0)).await;
    let bundle = pax_ledger::server::embedded_bundle().unwrap();
    let last = version_in_force(Moment::from_ms(DAY_0 + 365 * 86_400_000));
    let card = bundle.cards().iter().find(|card| card.version.0 == last).unwrap();
    let asked = ToCorrect {
        what: Corrects::Call(debit.exchange_id.to_string()),
        amount: Amount::RepricedAs(std::sync::Arc::clone(card)),
    };
    match store.correct(&act_at(at(600)), &asked).await {
        Ok(corrected) => {
            assert_eq!(corrected.reply.was_pax, debit.cost_pax);
            let model = &card.models[common::debits::MODEL];
            assert_eq!(Some(corrected.reply.now_pax), debit.charge(model).unwrap());
        }
        // Where the cards agree on the model there is nothing to correct.
        Err(error) => assert!(error.to_string().contains("PAX already"), "{error}"),
    }
    holds(&store).await;
}

#[tokio::test]
async fn what_cannot_be_granted_or_corrected_is_refused_in_words_and_leaves_nothing() {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    grant(&store, "gift", "1", Some(at(400)), at(0)).await;
    record_at(&store, &byo(1, "credit", Tier::Credit), at(1)).await;
    record_at(&store, &costing(2, "credit"), at(2)).await;
    let before = rows(&store).await;
    let call = exchange(2).to_string();
    for (corrects, to, why) in [
        (exchange(1).to_string().as_str(), "0.1", "the caller's own key"),
        (&exchange(9).to_string(), "0.1", "there is no call"),
        (&call, "-1", "less than 0"),
        (&call, "0.000014304462", "already"),
        ("gift", "0.1", "the grant ended at"),
        ("nobody's", "0.1", "there is no grant"),
    ] {
        let refused = correct(&store, corrects, to).await.unwrap_err();
        assert!(refused.contains(why), "{corrects} to {to}: {refused}");
    }
    for (account, amount, why) in [
        ("credit", "0", "more than 0"),
        ("credit", "1000001", "at most 1000000"),
        ("nobody", "1", "no account"),
    ] {
        let asked = NewGrant { account: account.to_owned(), ..new_grant(amount, None) };
        let refused = store.grant(&act_at(at(600)), &asked).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    let keyless =
        Act::new("expiry/credit/3".to_owned(), "ops".to_owned(), Some("x".to_owned()), at(9)).unwrap();
    let refused = store.grant(&keyless, &new_grant("1", None)).await.unwrap_err().to_string();
    assert!(refused.contains("the ledger's own"), "{refused}");
    let unsaid = Act::new("k".to_owned(), "ops".to_owned(), None, at(9)).unwrap();
    let refused = store.grant(&unsaid, &new_grant("1", None)).await.unwrap_err().to_string();
    assert!(refused.contains("--reason"), "{refused}");
    assert_eq!(rows(&store).await, before);
    holds(&store).await;
}

#[tokio::test]
async fn the_same_key_grants_once_and_two_at_once_do_too() {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    let asked = new_grant("1", None);
    let (one, two) = (keyed("once", at(0)), keyed("once", at(0)));
    let (one, two) = tokio::join!(store.grant(&one, &asked), store.grant(&two, &asked));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.reply, two.reply);
    assert_eq!([one.before.is_some(), two.before.is_some()].iter().filter(|again| **again).count(), 1);
    let other = store.grant(&keyed("once", at(1)), &new_grant("2", None)).await.unwrap_err();
    assert!(other.to_string().contains("another request"), "{other}");
    assert_eq!(rows(&store).await, ["1 grant 1"]);
    holds(&store).await;
}

#[tokio::test]
async fn a_grant_under_the_id_of_a_call_is_not_taken_for_the_call() {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    let id = exchange(1).to_string();
    grant(&store, &id, "5", None, at(0)).await;
    record_at(&store, &costing(1, "credit"), at(1)).await;
    let both =
        [(Corrects::Grant(id.clone()), "3"), (Corrects::Call(id.clone()), "0"), (Corrects::Grant(id), "0")];
    for (what, to) in both {
        store.correct(&act_at(at(9)), &ToCorrect { what, amount: Amount::To(pax(to)) }).await.unwrap();
    }
    assert_eq!(balance(&store).await, "0");
    holds(&store).await;
}
