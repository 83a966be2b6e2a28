//! Grants and corrections after a restore: recovered at their own time, and only if they follow from what is there.

use pax_ledger::store::{Amount, Corrects, ToCorrect};

use super::common::debits::exchange;
use super::common::tampering::{copy_of, fold};
use super::common::{Folder, run, stderr, stdout};
use super::{accounts, at, balance, costing, grant, holds, keyed, pax, record_at, rows};

/// Runs `recover` on a ledger, from the file of another one.
fn recover(folder: &Folder, from: &Folder) -> (Option<i32>, String) {
    let output = run(&folder.database(), &["recover", from.database().to_str().unwrap()]);
    (output.status.code(), stdout(&output) + &stderr(&output))
}

#[tokio::test]
async fn what_is_recovered_after_a_restore_happens_at_its_own_time_so_no_lot_ends_before_it_was_spent() {
    if crate::common::on_postgres() {
        return;
    }
    let lost = Folder::new();
    accounts(&lost).await.close().await;
    fold(&lost).await;
    let restored = copy_of(&lost);
    let store = lost.store().await;
    grant(&store, "dated", "1", Some(at(100)), at(0)).await;
    record_at(&store, &costing(1, "credit"), at(50)).await;
    store
        .correct(
            &keyed("less", at(60)),
            &ToCorrect { what: Corrects::Grant("dated".to_owned()), amount: Amount::To(pax("0.5")) },
        )
        .await
        .unwrap();
    record_at(&store, &costing(2, "credit"), at(120)).await;
    let (expected, left) = (rows(&store).await, balance(&store).await);
    assert_eq!((expected.len(), left.as_str()), (5, "-0.000014304462"));
    store.close().await;
    fold(&lost).await;
    for known in [0, 5] {
        let (code, said) = recover(&restored, &lost);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("recorded {} entries", if known == 0 { 4 } else { 0 })), "{said}");
        let store = restored.store().await;
        assert_eq!((rows(&store).await, balance(&store).await), (expected.clone(), left.clone()));
        holds(&store).await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_correction_or_a_key_that_does_not_follow_from_what_is_here_is_not_recovered_and_is_said() {
    if crate::common::on_postgres() {
        return;
    }
    let lost = Folder::new();
    let store = accounts(&lost).await;
    record_at(&store, &costing(1, "credit"), at(1)).await;
    store.close().await;
    fold(&lost).await;
    let restored = copy_of(&lost);
    let id = exchange(1).to_string();
    let to = |amount: &str| ToCorrect {
        what: Corrects::Call(exchange(1).to_string()),
        amount: Amount::To(pax(amount)),
    };
    let store = lost.store().await;
    store.correct(&keyed("k1", at(2)), &to("0.00001")).await.unwrap();
    grant(&store, "shared", "1", None, at(3)).await;
    store.close().await;
    let store = restored.store().await;
    store.correct(&keyed("k3", at(4)), &to("0.000001")).await.unwrap();
    grant(&store, "shared", "2", None, at(5)).await;
    let before = rows(&store).await;
    store.close().await;
    fold(&lost).await;
    let (code, said) = recover(&restored, &lost);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("\"k1\" of account credit is not recorded: it makes {id:?}")), "{said}");
    assert!(said.contains("grant \"shared\" of account credit is not recorded"), "{said}");
    let store = restored.store().await;
    assert_eq!(rows(&store).await, before);
    holds(&store).await;
}

/// A ledger with a grant, and its copy, which takes its place later.
async fn lost_and_restored() -> (Folder, Folder) {
    let lost = Folder::new();
    let store = accounts(&lost).await;
    grant(&store, "gift", "1", None, at(0)).await;
    store.close().await;
    fold(&lost).await;
    let restored = copy_of(&lost);
    (lost, restored)
}

#[tokio::test]
async fn the_cards_that_a_restore_has_lost_are_recovered_with_the_entries_that_they_priced() {
    if crate::common::on_postgres() {
        return;
    }
    let (lost, restored) = lost_and_restored().await;
    let text = super::many::wrong_card();
    let store = lost.store().await;
    pax_ledger::cards::learn(&store, &[&text]).await.unwrap();
    let card = pax_gateway::price::card::RateCard::parse(&text).unwrap();
    record_at(&store, &super::many::under(&card, costing(1, "credit")), at(10)).await;
    let expected = rows(&store).await;
    store.close().await;
    fold(&lost).await;
    let (code, said) = recover(&restored, &lost);
    assert_eq!(code, Some(0), "{said}");
    let store = restored.store().await;
    assert_eq!(rows(&store).await, expected);
    holds(&store).await;
}

#[tokio::test]
async fn what_operators_did_to_accounts_after_the_backup_is_listed_and_not_done_again() {
    if crate::common::on_postgres() {
        return;
    }
    let (lost, restored) = lost_and_restored().await;
    let store = lost.store().await;
    let disabled = pax_gateway::base::account::Status::Disabled;
    store.set_status(&keyed("freeze", at(1)), "credit", disabled).await.unwrap();
    store
        .create_account(&keyed("new", at(2)), "new", pax_gateway::base::account::Tier::Free, None)
        .await
        .unwrap();
    store.close().await;
    fold(&lost).await;
    // An account without entries may have debits on their way.
    let (code, said) = recover(&restored, &lost);
    assert!(code == Some(1) && said.contains("`pax-ledger account create new --tier free`"), "{said}");
    stdout(&run(&restored.database(), &["account", "create", "new", "--tier", "free"]));
    let (code, said) = recover(&restored, &lost);
    let told = "it is NOT done here: account_disable account:credit, by ops (key freeze)";
    assert!(code == Some(1) && said.contains(told), "{said}");
    // Once it is done here, under its own key, nothing is left to be told.
    let store = restored.store().await;
    store.set_status(&keyed("freeze", at(1)), "credit", disabled).await.unwrap();
    store.close().await;
    assert_eq!(recover(&restored, &lost).0, Some(0));
}
