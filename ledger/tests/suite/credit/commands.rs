//! Grants and corrections on the command line.

use super::common::debits::exchange;
use super::common::tampering::fold;
use super::common::{Folder, run, stderr, stdout};
use super::{accounts, at, costing, holds, record_at, rows};

const REASON: [&str; 4] = ["--reason", "a test", "--by", "kim"];

/// Runs a command that acts; gives its exit code and what it prints.
fn acts(folder: &Folder, command: &[&str]) -> (Option<i32>, String) {
    let output = run(&folder.database(), &[command, &REASON].concat());
    (output.status.code(), stdout(&output) + &stderr(&output))
}

/// A ledger with one call of account `credit`, which is below zero by it.
async fn one_call() -> Folder {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    record_at(&store, &costing(1, "credit"), at(1)).await;
    store.close().await;
    fold(&folder).await;
    folder
}

#[tokio::test]
async fn credit_is_granted_and_calls_are_corrected_and_explain_tells_of_it() {
    let folder = one_call().await;
    let id = exchange(1).to_string();
    let grant = ["grant", "credit", "2.5", "--class", "purchase", "--paid", "2.00EUR", "--key", "order-7"];
    let (code, said) = acts(&folder, &grant);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        said,
        "granted 2.500000000000 PAX to account credit (key order-7): its balance was 2.499985761154 PAX after that\n"
    );
    let (code, said) = acts(&folder, &grant);
    assert!(code == Some(0) && said.contains("nothing is done again"), "{said}");
    let (code, said) = acts(&folder, &["correct", &id, "--to", "0", "--key", "sorry"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("from 0.000014238846 to 0.000000000000 PAX: its balance was 2.500000000000 PAX"),
        "{said}"
    );
    let (code, said) = acts(&folder, &["correct", "order-7", "--grant", "--to", "1", "--key", "typed"]);
    assert!(code == Some(0) && said.contains("from 2.500000000000 to 1.000000000000 PAX"), "{said}");
    for wrong in [
        vec!["correct", &id, "--key", "k"],
        vec!["correct", &id, "--to", "1", "--reprice-as", "2", "--key", "k"],
        vec!["grant", "credit", "--class", "goodwill", "--key", "k"],
        vec!["grant", "credit", "1", "--key", "k"],
        vec!["grant", "--to-zero", "--all"],
        vec!["grant", "--to-zero", "--key", "k"],
    ] {
        assert_eq!(acts(&folder, &wrong).0, Some(2), "{wrong:?}");
    }
    let (code, said) = acts(&folder, &["grant", "nobody", "1", "--class", "goodwill", "--key", "k"]);
    assert!(code == Some(1) && said.contains("account list"), "{said}");
    let explained = stdout(&run(&folder.database(), &["explain", &id]));
    let told = "from 0.000014238846 to 0.000000000000 PAX by kim: a test";
    assert!(explained.contains("corrected since\n  entry 3 ") && explained.contains(told), "{explained}");
    let store = folder.store().await;
    holds(&store).await;
}

#[tokio::test]
async fn balances_below_zero_are_listed_and_settled_once() {
    let folder = one_call().await;
    let settle = ["grant", "--to-zero", "--all", "--key", "settle"];
    let (code, said) = acts(&folder, &[&settle[..], &["--dry-run"]].concat());
    assert_eq!(code, Some(0));
    assert_eq!(said, "would grant 0.000014238846 PAX to account credit\n1 accounts are below zero\n");
    let (code, said) = acts(&folder, &settle);
    assert!(code == Some(0) && said.contains("its balance was 0.000000000000 PAX after that"), "{said}");
    let (code, said) = acts(&folder, &settle);
    assert_eq!((code, said.as_str()), (Some(0), "0 accounts were below zero\n"));
    let store = folder.store().await;
    assert_eq!(rows(&store).await, ["1 debit -0.000014238846", "2 grant 0.000014238846"]);
    // An account that was paid meanwhile lacks nothing, and gets nothing.
    let act = super::keyed("late", at(8));
    assert_eq!(store.grant_to_zero(&act, "credit").await.unwrap().reply.amount_pax, super::pax("0"));
    assert_eq!(rows(&store).await.len(), 2);
    // Somebody who is below zero again is not settled under the same key.
    record_at(&store, &costing(2, "credit"), at(9)).await;
    let (code, said) = acts(&folder, &settle);
    assert!(code == Some(1) && said.contains("use another key"), "{said}");
    holds(&store).await;
}

#[tokio::test]
async fn an_account_moves_to_another_tier_and_the_log_says_who_moved_it() {
    let folder = one_call().await;
    let (code, said) = acts(&folder, &["account", "tier", "free", "credit", "--key", "up"]);
    assert!(code == Some(0) && said.starts_with("account free has tier credit"), "{said}");
    assert_eq!(acts(&folder, &["account", "tier", "nobody", "credit", "--key", "k"]).0, Some(1));
    let logged = stdout(&run(&folder.database(), &["operator-log", "--account", "free", "--json"]));
    let row: serde_json::Value = serde_json::from_str(logged.lines().next().unwrap()).unwrap();
    assert_eq!((row["action"].as_str(), row["by"].as_str()), (Some("account_tier"), Some("kim")));
    assert_eq!(
        (row["before"]["tier"].as_str(), row["after"]["tier"].as_str()),
        (Some("free"), Some("credit"))
    );
    let store = folder.store().await;
    holds(&store).await;
}

#[tokio::test]
async fn an_account_is_frozen_and_closed_for_good() {
    let folder = one_call().await;
    let done = |command: &[&str], code: i32, told: &str| {
        let (exit, said) = acts(&folder, command);
        assert!(exit == Some(code) && said.contains(told), "{command:?}: {exit:?} {said}");
    };
    done(&["grant", "credit", "2", "--class", "purchase", "--key", "order"], 0, "granted 2.000000000000 PAX");
    done(&["account", "freeze", "credit"], 0, "disabled");
    assert!(stdout(&run(&folder.database(), &["account", "show", "credit"])).contains("disabled"));
    done(&["account", "close", "credit", "--key", "bye"], 0, "1.999985761154");
    done(&["account", "close", "credit", "--key", "bye"], 0, "nothing is done again");
    done(&["account", "enable", "credit"], 1, "closed");
    done(&["grant", "credit", "1", "--class", "goodwill", "--key", "late"], 1, "closed");
    done(&["account", "create", "credit", "--tier", "credit"], 1, "credit");
    let replay = run(&folder.database(), &["replay"]);
    assert!(replay.status.success(), "{}{}", stdout(&replay), stderr(&replay));
}
