//! Holds that operators end: each is an action, and the true debit that comes later has the last word.

use pax_ledger::book::Act;

use super::common::debits::exchange;
use super::common::tampering::{fold, tampered};
use super::common::{Folder, replayed, run, stderr, stdout};
use super::story::Ledger;

/// A command that acts on the hold of an exchange; its exit code and what it says.
fn acts(folder: &Folder, what: &str, n: u64, key: &str) -> (Option<i32>, String) {
    let id = exchange(n).to_string();
    let output = run(
        &folder.database(),
        &["holds", what, &id, "--key", key, "--by", "kim", "--reason", "the host is gone"],
    );
    (output.status.code(), stdout(&output) + &stderr(&output))
}

/// A ledger with two holds that have expired (2, 4) and an open one (6).
async fn lapsed() -> Ledger {
    let mut ledger = Ledger::new().await;
    ledger
        .tell(
            "grant gift 1              -> 1
             hold 2 0.4                -> held 0.4
             hold 4 0.1                -> held 0.5
             @60000 lapse              -> 2
             hold 6 0.2                -> held 0.2",
        )
        .await;
    ledger
}

#[tokio::test]
async fn a_lapsed_hold_is_charged_once_and_its_true_debit_corrects_that() {
    let mut ledger = lapsed().await;
    let (code, said) = acts(&ledger.folder, "charge", 2, "c2");
    assert!(code == Some(0) && said.contains("charged account credit 0.000018438321 PAX"), "{said}");
    let (code, said) = acts(&ledger.folder, "charge", 2, "c2");
    assert!(code == Some(0) && said.contains("nothing is done again"), "{said}");
    for (what, n, why) in [
        ("charge", 2, "has an entry"),
        ("void", 2, "has an entry"),
        ("charge", 6, "is open: its call may still be under way"),
        ("charge", 8, "there is no hold"),
        ("void", 8, "`pax-ledger holds list`"),
    ] {
        let (code, said) = acts(&ledger.folder, what, n, "k");
        assert!(
            code == Some(1) && said.contains("nothing is done") && said.contains(why),
            "{what} {n}: {said}"
        );
    }
    ledger
        .tell(
            "state 2                   -> charged
             held                      -> 0.2 0.2 0.2
             rows                      -> grant 1, debit -0.000018438321",
        )
        .await;
    ledger.step("debit 2").await;
    ledger.tell("rows -> grant 1, debit -0.000018438321, correction 0.000004133859").await;
    ledger.step("debit 2").await;
    ledger.tell("rows -> grant 1, debit -0.000018438321, correction 0.000004133859").await;
    let logged = stdout(&run(&ledger.folder.database(), &["operator-log", "--account", "credit", "--json"]));
    assert!(logged.contains("\"action\":\"hold_charge\"") && logged.contains("the host is gone"), "{logged}");
}

#[tokio::test]
async fn an_open_hold_is_voided_and_gives_back_and_a_lapsed_one_leaves_the_list() {
    let mut ledger = lapsed().await;
    let listed = |folder: &Folder, more: &[&str]| {
        stdout(&run(&folder.database(), &[&["holds", "list", "--json"], more].concat()))
    };
    assert_eq!(listed(&ledger.folder, &[]).lines().count(), 3);
    assert_eq!(listed(&ledger.folder, &["--account", "free"]), "");
    let lapsed = listed(&ledger.folder, &["--lapsed"]);
    let first: serde_json::Value = serde_json::from_str(lapsed.lines().next().unwrap()).unwrap();
    assert_eq!((lapsed.lines().count(), first["state"].as_str()), (2, Some("expired")));
    assert_eq!(first["charge_pax"], "0.000018438321");
    assert!(first["model"].is_string() && first["rate_table_v"].is_number() && first["slot"].is_string());
    let table = stdout(&run(&ledger.folder.database(), &["holds", "list"]));
    assert!(table.starts_with("exchange ") && table.lines().count() == 4, "{table}");

    for (n, held) in [(6, "0.200000000000"), (4, "0.100000000000")] {
        let (code, said) = acts(&ledger.folder, "void", n, &format!("v{n}"));
        assert!(
            code == Some(0) && said.contains(held) && said.contains("if its call's debit comes"),
            "{said}"
        );
    }
    let (code, said) = acts(&ledger.folder, "void", 6, "again");
    assert!(code == Some(1) && said.contains("is voided already"), "{said}");
    assert_eq!(listed(&ledger.folder, &[]).lines().count(), 1);
    // A call of which nobody knew that it went on is charged in full.
    ledger
        .tell(
            "state 6                   -> voided
             state 4                   -> voided
             held                      -> 0 0 0
             debit 6                   -> recorded; hold 0.2, late; others 0",
        )
        .await;
}

#[tokio::test]
async fn a_charge_whose_entry_is_gone_is_named() {
    let ledger = lapsed().await;
    let key = Act::new("c2".to_owned(), "kim".to_owned(), Some("gone".to_owned()), ledger.now).unwrap();
    ledger.store.charge_hold(&key, exchange(2)).await.unwrap();
    assert!(replayed(&ledger.store).await.1.is_empty());
    let folder = ledger.closed().await;
    fold(&folder).await;
    let sql = "DELETE FROM credit_ledger WHERE kind = 'debit'";
    let (_, found) = tampered(&folder, sql).await;
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let told = format!("the entry of exchange {}, which it has charged, is gone", exchange(2));
    assert!(found.iter().any(|it| it.contains(&told)), "{found:#?}");
}
