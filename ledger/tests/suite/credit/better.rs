//! The true debit of a call that was charged by an estimate, in each order: what is answered, and what the rows say.

use pax_gateway::base::wire::{DebitOutcome, DebitReply};
use pax_gateway::debit::frozen::Ending;
use pax_ledger::store::repricing::Repricing;

use super::common::debits::exchange;
use super::common::tampering::{copy_of, fold, tampered};
use super::common::{run, stderr, stdout};
use super::*;

/// A debit of exchange 2, by a word of the table.
fn debit(word: &str) -> Debit {
    let (word, n) = if word.ends_with('1') { (word.trim_end_matches('1'), 1) } else { (word, 2) };
    let mut debit = match word {
        "orphaned" | "lost" | "free orphaned" => estimated(n, "credit", Tier::Credit),
        "byo orphaned" => byo(n, "credit", Tier::Credit),
        "byo true" => byo(n, "credit", Tier::Credit),
        "true" | "truer" | "of zoe" | "of tomorrow" | "other token" | "free true" => costing(n, "credit"),
        other => panic!("{other}"),
    };
    match word {
        "lost" => debit.ending = Ending::Lost,
        word if word.ends_with("orphaned") => debit.ending = Ending::Orphaned,
        "truer" => debit.settled_at = debit.settled_at.plus_ms(1),
        "of zoe" => "zoe".clone_into(&mut debit.account),
        "of tomorrow" => debit.utc_day = debit.utc_day.next(),
        "other token" => "tok_other".clone_into(&mut debit.token_id),
        _ => {}
    }
    if word.starts_with("free") {
        debit.tier = Tier::Free;
    }
    debit
}

async fn send(store: &Store, word: &str, now: Moment) -> DebitReply {
    let mut writer = store.writer();
    let line = book::Line::read(&bytes(&debit(word)));
    let reply = writer.record(&vec![line].into(), now).await.unwrap().remove(0);
    writer.close().await;
    reply
}

/// Each row: what is sent, in order, each with what is answered; the rows of the account; its balance.
const TABLE: [(&str, &[&str], &str); 11] = [
    (
        "orphaned: recorded, true: recorded, true: duplicate, orphaned: duplicate, lost: superseded, truer: conflict",
        &["1 debit -0.000018438321", "2 correction 0.000004133859"],
        "-0.000014304462",
    ),
    (
        "lost: recorded, true: recorded, true: duplicate",
        &["1 debit -0.000018438321", "2 correction 0.000004133859"],
        "-0.000014304462",
    ),
    (
        "true: recorded, orphaned: superseded, lost: superseded",
        &["1 debit -0.000014304462"],
        "-0.000014304462",
    ),
    ("orphaned: recorded, lost: superseded", &["1 debit -0.000018438321"], "-0.000018438321"),
    ("true: recorded, truer: conflict, true: duplicate", &["1 debit -0.000014304462"], "-0.000014304462"),
    // A filter of version 0.1 does not know the word.
    ("true1: recorded, orphaned1: duplicate", &["1 debit -0.000014238846"], "-0.000014238846"),
    // Only the same call's report is a better one.
    ("orphaned: recorded, of zoe: conflict", &["1 debit -0.000018438321"], "-0.000018438321"),
    ("orphaned: recorded, of tomorrow: conflict", &["1 debit -0.000018438321"], "-0.000018438321"),
    ("orphaned: recorded, other token: conflict", &["1 debit -0.000018438321"], "-0.000018438321"),
    // A call on tier free or with the caller's own key moves no balance.
    ("free orphaned: recorded, free true: recorded", &["1 debit -0.000018438321", "2 correction 0"], "0"),
    ("byo orphaned: recorded, byo true: recorded", &["1 debit -0", "2 correction 0"], "0"),
];

#[tokio::test]
async fn a_true_debit_corrects_an_estimate_once_and_no_estimate_corrects_anything() {
    for (sent, expected, left) in TABLE {
        let folder = Folder::new();
        let store = accounts(&folder).await;
        store.create_account(&act_at(at(0)), "zoe", Tier::Credit, None).await.unwrap();
        let mut conflicts = 0;
        for (step, ms) in sent.split(", ").zip(1..) {
            let (word, outcome) = step.split_once(": ").unwrap();
            let reply = send(&store, word, at(ms)).await;
            let outcome: DebitOutcome = serde_json::from_str(&format!("\"{outcome}\"")).unwrap();
            assert_eq!(reply.outcome, outcome, "{sent}: {step}: {reply:?}");
            assert_eq!(reply.standing.is_some(), outcome != DebitOutcome::Conflict, "{sent}: {step}");
            conflicts += i64::from(outcome == DebitOutcome::Conflict);
        }
        assert_eq!(
            (rows(&store).await, balance(&store).await),
            (expected.iter().map(|row| (*row).to_owned()).collect(), left.to_owned()),
            "{sent}"
        );
        let (report, found) = replayed(&store).await;
        assert_eq!((report.quarantined.conflicts, found), (conflicts, Vec::new()), "{sent}");
    }
}

/// A ledger whose only call was charged by an estimate; then its true debit came.
async fn corrected() -> Folder {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    grant(&store, "gift", "1", None, at(0)).await;
    send(&store, "orphaned", at(1)).await;
    send(&store, "true", at(2)).await;
    holds(&store).await;
    store.close().await;
    fold(&folder).await;
    folder
}

#[tokio::test]
async fn explain_tells_of_both_and_the_owner_gets_of_the_true_debit_what_owners_get() {
    let folder = corrected().await;
    let id = exchange(2).to_string();
    let explained = stdout(&run(&folder.database(), &["explain", &id]));
    for told in [
        "from 0.000018438321 to 0.000014304462 PAX by pax-ledger: the true debit came after an estimate (orphaned)",
        "the true debit, in entry 3",
    ] {
        assert!(explained.contains(told), "{told}: {explained}");
    }
    let bill = explained.split_once("the true debit, in entry 3").unwrap().1;
    assert!(bill.contains("1002") && bill.contains("0.000014304462"), "{bill}");
    let store = folder.store().await;
    let filter = pax_ledger::store::OwnFilter {
        order: pax_ledger::store::Order::NewestFirst,
        after: None,
        since: None,
        until: None,
    };
    let own = store.own_entries("credit", &filter, 1).await.unwrap();
    let own: serde_json::Value =
        serde_json::from_str(pax_ledger::listing::own_json(&own[0]).unwrap().get()).unwrap();
    assert_eq!((own["kind"].as_str(), own["corrects"].as_str()), (Some("correction"), Some(id.as_str())));
    assert_eq!(own["better"]["cost_pax"], "0.000014304462");
    assert_eq!(own["better"]["usage"]["prompt_tokens"], 1_002);
    assert!(own["better"].get("hold_id").is_none() && own.get("by").is_none(), "{own}");
}

#[tokio::test]
async fn whatever_is_changed_in_the_embedded_bytes_is_named() {
    let folder = corrected().await;
    let sql = |from: &str, to: &str| {
        format!(
            "UPDATE credit_ledger SET canonical = CAST(replace(CAST(canonical AS TEXT), '{from}', '{to}') AS BLOB) \
             WHERE account = 'credit' AND account_seq = 3"
        )
    };
    for (from, to, told) in [
        (r#"\"tokens_input\":1002"#, r#"\"tokens_input\":1003"#, "its amount cannot be proved"),
        (
            r#"\"cost_pax\":\"0.000014304462"#,
            r#"\"cost_pax\":\"0.000014304463"#,
            "its amount cannot be proved",
        ),
        (
            r#""now_pax":"0.000014304462"#,
            r#""now_pax":"0.000014304463"#,
            "but made again it is 0.000014304462 PAX",
        ),
        (r#"\"account\":\"credit"#, r#"\"account\":\"zoe"#, "not the true debit of an estimated call"),
        (r#"\"ending\":\"complete"#, r#"\"ending\":\"orphaned"#, "not the true debit of an estimated call"),
        (r#""key":"better/"#, r#""key":"batter/"#, "its key is not that of a better report"),
    ] {
        let (_, found) = tampered(&folder, &sql(from, to)).await;
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|it| it.contains("number 3") && it.contains(told)), "{from}: {found:#?}");
    }
}

#[tokio::test]
async fn a_call_is_priced_again_by_its_true_debit_alone_or_among_many() {
    let bundle = pax_ledger::server::embedded_bundle().unwrap();
    let card = |version: u32| bundle.cards().iter().find(|card| card.version.0 == version).unwrap().clone();
    let reprice_as = card(1);
    let model = &reprice_as.models[common::debits::MODEL];
    let truth = debit("true").charge(model).unwrap().unwrap();
    assert_ne!(Some(truth), debit("orphaned").charge(model).unwrap());

    let folder = corrected().await;
    let store = folder.store().await;
    let many = Repricing {
        priced_under: card(debit("true").rate_table_v.0),
        reprice_as: reprice_as.clone(),
        account: None,
        model: None,
        since: None,
        until: None,
    };
    let plan = store.plan(&many, pax_ledger::now(), Some("fix")).await.unwrap();
    assert_eq!(plan.first[0].change.now_pax, truth);
    let one =
        ToCorrect { what: Corrects::Call(exchange(2).to_string()), amount: Amount::RepricedAs(reprice_as) };
    let again = copy_of(&folder);
    let alone = again.store().await;
    assert_eq!(alone.correct(&act_at(at(500)), &one).await.unwrap().reply.now_pax, truth);
    holds(&alone).await;
    store.reprice(&keyed("fix", pax_ledger::now()), &many, &plan, 0).await.unwrap();
    holds(&store).await;
}

#[tokio::test]
async fn an_estimate_and_its_true_debit_are_recovered_after_a_restore_and_so_are_the_corrections_of_a_run() {
    if crate::common::on_postgres() {
        return;
    }
    let folder = corrected().await;
    let bundle = pax_ledger::server::embedded_bundle().unwrap();
    let card = |version: u32| bundle.cards().iter().find(|card| card.version.0 == version).unwrap().clone();
    let many = Repricing {
        priced_under: card(debit("true").rate_table_v.0),
        reprice_as: card(1),
        account: None,
        model: None,
        since: None,
        until: None,
    };
    let store = folder.store().await;
    let until = pax_ledger::now();
    let plan = store.plan(&many, until, Some("fix")).await.unwrap();
    store.reprice(&keyed("fix", until), &many, &plan, 0).await.unwrap();
    let (expected, left) = (rows(&store).await, balance(&store).await);
    store.close().await;
    fold(&folder).await;

    let restored = Folder::new();
    accounts(&restored).await.close().await;
    for known in [0, 4] {
        let output = run(&restored.database(), &["recover", folder.database().to_str().unwrap()]);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains(&format!("recorded {} entries", 4 - known)), "{said}");
        let store = restored.store().await;
        assert_eq!((rows(&store).await, balance(&store).await), (expected.clone(), left.clone()));
        holds(&store).await;
        store.close().await;
    }
    // The run is asked for again: what was recovered is done, and the plan is the same.
    let store = restored.store().await;
    let again = store.plan(&many, until, Some("fix")).await.unwrap();
    assert_eq!((again.id, again.done), (plan.id, 1));
    let done = store.reprice(&keyed("fix", pax_ledger::now()), &many, &again, 0).await.unwrap();
    assert_eq!(done.reply.corrections, 0);
    assert_eq!(rows(&store).await, expected);
    holds(&store).await;
}
