//! A wrong rate card is put right: the plan, its hash, a run that is interrupted, and what a replay makes of it.

use std::sync::Arc;

use pax_gateway::base::pax::Pax;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::RateCard;
use pax_ledger::cards::learn;
use pax_ledger::store::repricing::{Changes, Repricing};

use super::common::debits::{MODEL, exchange};
use super::common::tampering::{copy_of, fold, tampered};
use super::common::{Folder, act_at, program, run, stderr, stdout};
use super::*;

/// The newest card that is built in under the next version, ten times as dear for the tests' model.
pub fn wrong_card() -> String {
    let bundle = Bundle::embedded().unwrap();
    let (card, text) = bundle.files().last().unwrap();
    let version = |v: u32| format!("\"rate_table_v\": {v}");
    let text = text.replace(&version(card.version.0), &version(card.version.0 + 1));
    // The tests' debits are of the 23rd.
    let began = card.effective_from.to_string().replace(".000", "");
    let text = text.replace(&began, "2026-11-23T00:00:00Z");
    let at = text.find(&format!("\"{MODEL}\": {{")).unwrap();
    let (before, model) = text.split_at(at);
    format!("{before}{}", model.replacen("\"input\": \"0.15\"", "\"input\": \"1.50\"", 1))
}

/// The debit under this card.
pub fn under(card: &RateCard, mut debit: Debit) -> Debit {
    (debit.rate_table_v, debit.card_sha256) = (card.version, card.sha256);
    if debit.funding == pax_gateway::base::account::Funding::Platform {
        debit.cost_pax = debit.charge(&card.models[MODEL]).unwrap().unwrap();
    }
    debit
}

struct Wrong {
    folder: Folder,
    repricing: Repricing,
    /// What the calls of account `credit` should have cost.
    truth: Pax,
}

/// A ledger with 1,203 calls of three accounts under a wrong card: two on tier credit, one on tier free. Beside them are
/// a call with the caller's own key, a call under the right card, and one whose amount an operator has named.
async fn wrong() -> Wrong {
    let folder = Folder::new();
    let store = accounts(&folder).await;
    store.create_account(&act_at(at(0)), "zoe", Tier::Credit, None).await.unwrap();
    let text = wrong_card();
    learn(&store, &[&text]).await.unwrap();
    let card = RateCard::parse(&text).unwrap();
    let right = Bundle::embedded().unwrap().in_force(at(0)).unwrap().clone();
    grant(&store, "gift", "1", None, at(0)).await;
    let (mut lines, mut truth) = (Vec::new(), Pax::ZERO);
    for n in 1..=1_203 {
        let (account, tier) =
            [("credit", Tier::Credit), ("free", Tier::Free), ("zoe", Tier::Credit)][n as usize % 3];
        let debit = if n % 5 == 0 { estimated(n, account, tier) } else { reported(n, account, tier) };
        let wrong = under(&card, debit);
        if account == "credit" {
            truth = truth.checked_add(wrong.charge(&right.models[MODEL]).unwrap().unwrap()).unwrap();
        }
        lines.push(book::Line::read(&bytes(&wrong)));
    }
    for debit in [under(&card, byo(2_001, "credit", Tier::Credit)), under(&right, costing(2_002, "credit"))] {
        truth = truth.checked_add(debit.cost_pax).unwrap();
        lines.push(book::Line::read(&bytes(&debit)));
    }
    lines.push(book::Line::read(&bytes(&under(&card, costing(2_003, "credit")))));
    let mut writer = store.writer();
    let replies = writer.record(&lines.into(), at(10)).await.unwrap();
    assert!(replies.iter().all(|reply| reply.account_seq.is_some()));
    writer.close().await;
    correct(&store, &exchange(2_003).to_string(), "0").await.unwrap();
    holds(&store).await;
    store.close().await;
    fold(&folder).await;
    let repricing = Repricing {
        priced_under: Arc::new(card),
        reprice_as: right,
        account: None,
        model: None,
        since: None,
        until: None,
    };
    Wrong { folder, repricing, truth }
}

/// The hashes of all debits, in order, which their bytes are part of.
async fn debits_of(folder: &Folder) -> Vec<Vec<String>> {
    folder.sql("SELECT entry_hash FROM credit_ledger WHERE kind = 'debit' ORDER BY rowid").await
}

fn said(folder: &Folder, command: &[&str]) -> (Option<i32>, String) {
    let output = run(&folder.database(), command);
    (output.status.code(), stdout(&output) + &stderr(&output))
}

#[tokio::test]
async fn a_wrong_card_is_put_right_by_a_plan_and_an_interrupted_run_does_the_rest_and_nothing_twice() {
    let Wrong { folder, repricing, truth } = wrong().await;
    let before = debits_of(&folder).await;
    let (card, right) =
        (repricing.priced_under.version.to_string(), repricing.reprice_as.version.to_string());
    let command = ["correct", "--reprice-as", &right, "--card", &card];
    let (code, told) = said(&folder, &[&command[..], &["--dry-run"]].concat());
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("1203 calls of 3 accounts") && told.contains("a difference of -"), "{told}");
    assert!(told.contains("left out: 1 whose amount an operator has named, 0 that cost the same"), "{told}");
    let plan = told.lines().find_map(|line| line.strip_prefix("plan ")).unwrap().to_owned();

    // Without the plan, or with another one, nothing is done.
    let acting = ["--key", "fix", "--by", "kim", "--reason", "wrong card"];
    let mut other = plan.clone();
    other.replace_range(plan.len() - 1.., if plan.ends_with('0') { "1" } else { "0" });
    for (plan, why) in [(None, "--dry-run"), (Some(other.as_str()), "these calls make the plan")] {
        let named: Vec<&str> = plan.map_or_else(Vec::new, |plan| vec!["--plan", plan]);
        let (code, told) = said(&folder, &[&command[..], &named, &acting].concat());
        assert!(code == Some(1) && told.contains("nothing is done") && told.contains(why), "{told}");
    }

    // The run is interrupted after its first batch of three, and another call comes in under the wrong card.
    let store = folder.store().await;
    let id = plan.parse::<pax_ledger::book::PlanId>().unwrap();
    let made = store.plan(&repricing, id.until, Some("fix")).await.unwrap();
    assert_eq!((made.id, made.batches.len(), made.done), (id, 3, 0));
    let act = Act::new("fix".to_owned(), "kim".to_owned(), Some("wrong card".to_owned()), pax_ledger::now());
    let act = act.unwrap();
    assert_eq!(store.reprice(&act, &repricing, &made, 0).await.unwrap().reply.corrections, 500);
    let late = under(&repricing.priced_under, costing(3_001, "credit"));
    record_at(&store, &late, id.until.plus_ms(1)).await;
    holds(&store).await;
    store.close().await;
    let begun = ["--dry-run", "--key", "fix", "--plan", &plan];
    let (_, told) = said(&folder, &[&command[..], &begun].concat());
    assert!(told.contains("500 of them are corrected already under this key"), "{told}");
    assert!(told.contains(&format!("plan {plan}\n")), "{told}");

    for (corrected, known) in [(703, 500), (0, 1_203)] {
        let (code, told) = said(&folder, &[&command[..], &["--plan", &plan], &acting].concat());
        assert_eq!(code, Some(0), "{told}");
        let expected =
            format!("corrected {corrected} calls (keys fix/...); {known} of the plan's 1203 had been");
        assert!(told.contains(&expected), "{told}");
    }

    // History is untouched, and the balance is what it would have been; the call that was forgiven stays so.
    assert_eq!(debits_of(&folder).await[..before.len()], before);
    let store = folder.store().await;
    let left = pax("1").checked_sub(truth).unwrap().checked_sub(late.cost_pax).unwrap();
    assert_eq!(balance(&store).await, left.short());
    assert_eq!(
        store.account("free").await.unwrap().unwrap().balance.nearest(),
        Pax::ZERO,
        "no credit is minted"
    );
    holds(&store).await;
    let logged = stdout(&run(&folder.database(), &["operator-log", "--json"]));
    assert_eq!(logged.matches("\"action\":\"reprice\"").count(), 3);
}

#[tokio::test]
async fn a_correction_of_a_batch_that_is_changed_or_gone_is_named_and_so_is_one_too_many() {
    let Wrong { folder, repricing, .. } = wrong().await;
    let store = folder.store().await;
    let plan = store.plan(&repricing, pax_ledger::now(), Some("fix")).await.unwrap();
    for batch in 0..plan.batches.len() {
        store.reprice(&keyed("fix", pax_ledger::now()), &repricing, &plan, batch).await.unwrap();
    }
    holds(&store).await;
    store.close().await;
    fold(&folder).await;
    let last = "(SELECT max(account_seq) FROM credit_ledger WHERE account = 'zoe')";
    for (sql, expected) in [
        (
            format!("DELETE FROM credit_ledger WHERE account = 'zoe' AND account_seq = {last}"),
            "reprice): it made 203 corrections with the hash",
        ),
        (
            "DELETE FROM operator_log WHERE key = 'fix/0002'".to_owned(),
            "the operator log has no row with its key \"fix/0002/",
        ),
        (
            "UPDATE credit_ledger SET entry_key = 'fix/0001/' || corrects WHERE entry_key LIKE 'fix/0002/%' AND \
             entry_key = (SELECT min(entry_key) FROM credit_ledger WHERE entry_key LIKE 'fix/0002/%')"
                .to_owned(),
            "reprice): it made 500 corrections with the hash",
        ),
        (
            "UPDATE operator_log SET after = replace(after, '500', '499') WHERE key = 'fix/0001'".to_owned(),
            "but the entries whose keys begin with \"fix/0001\" are 500",
        ),
        (
            format!(
                "UPDATE credit_ledger SET canonical = CAST(replace(CAST(canonical AS TEXT), '\"now_pax\":\"0.0', \
                 '\"now_pax\":\"0.1') AS BLOB) WHERE account = 'zoe' AND account_seq = {last}"
            ),
            "but made again it is",
        ),
    ] {
        let (_, found) = tampered(&folder, &sql).await;
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|it| it.contains(expected)), "{sql}: {found:#?}");
    }
}

#[tokio::test]
async fn a_plan_covers_what_was_asked_for_and_a_call_that_is_corrected_meanwhile_stops_the_run() {
    let Wrong { folder, mut repricing, .. } = wrong().await;
    let store = folder.store().await;
    let now = pax_ledger::now();
    let all = store.plan(&repricing, now, None).await.unwrap();
    assert_eq!(all.by_account.values().map(|changes| changes.count).sum::<u64>(), 1_203);
    assert_eq!(all.by_model.keys().collect::<Vec<_>>(), [MODEL]);
    assert!(all.all.now < all.all.was && all.first.len() == 10);
    repricing.account = Some("zoe".to_owned());
    let zoe = store.plan(&repricing, now, None).await.unwrap();
    assert_eq!((zoe.all, zoe.batches.len()), (all.by_account["zoe"], 1));
    repricing.model = Some("another".to_owned());
    assert_eq!(store.plan(&repricing, now, None).await.unwrap().all, Changes::default());
    repricing.model = None;
    repricing.since = Some("2026-11-24".parse().unwrap());
    assert_eq!(store.plan(&repricing, now, None).await.unwrap().all, Changes::default());
    (repricing.since, repricing.until) = (None, Some("2026-11-23".parse().unwrap()));
    assert_eq!(store.plan(&repricing, now, None).await.unwrap().id, zoe.id);
    // Before the calls were recorded there was nothing to plan.
    assert_eq!(store.plan(&repricing, at(9), None).await.unwrap().all, Changes::default());

    let call = &zoe.first[3].change.corrects;
    correct(&store, call, "0").await.unwrap();
    let stopped = store.reprice(&keyed("fix", now), &repricing, &zoe, 0).await.unwrap_err().to_string();
    assert!(stopped.contains("corrected one meanwhile"), "{stopped}");
    assert_eq!(
        store.operator_rows(&Default::default(), i64::MAX, 1).await.unwrap()[0].text("action"),
        Some("correct")
    );
    holds(&store).await;
}

#[tokio::test]
async fn a_wrong_repricing_is_priced_again_under_the_card_that_it_took() {
    let Wrong { folder, mut repricing, .. } = wrong().await;
    repricing.account = Some("zoe".to_owned());
    let store = folder.store().await;
    let now = pax_ledger::now();
    let there = store.plan(&repricing, now, Some("there")).await.unwrap();
    store.reprice(&keyed("there", now), &repricing, &there, 0).await.unwrap();
    assert_eq!(store.plan(&repricing, now, None).await.unwrap().all, Changes::default());
    std::mem::swap(&mut repricing.priced_under, &mut repricing.reprice_as);
    let back = store.plan(&repricing, now, Some("back")).await.unwrap();
    assert_eq!((back.all.was, back.all.now), (there.all.now, there.all.was));
    store.reprice(&keyed("back", now), &repricing, &back, 0).await.unwrap();
    holds(&store).await;
}

async fn corrections(folder: &Folder) -> i64 {
    let sql = "SELECT count(*) FROM credit_ledger WHERE kind = 'correction' AND entry_key LIKE 'fix/%'";
    folder.sql(sql).await[0][0].parse().unwrap()
}

/// Starts the run on a copy of the ledger, and kills it once some of its corrections are there. None if it ended before.
async fn killed_in_the_middle(ledger: &Folder, command: &[&str]) -> Option<(Folder, i64)> {
    let folder = copy_of(ledger);
    let mut run =
        program(&folder.database()).args(command).stdout(std::process::Stdio::null()).spawn().unwrap();
    while corrections(&folder).await == 0 && run.try_wait().unwrap().is_none() {}
    run.kill().unwrap();
    let ended = run.wait().unwrap();
    let made = corrections(&folder).await;
    (!ended.success() && (1..1_203).contains(&made)).then_some((folder, made))
}

#[tokio::test]
async fn a_run_whose_process_is_killed_in_the_middle_is_taken_up_again_and_each_call_is_corrected_once() {
    let Wrong { folder, repricing, truth } = wrong().await;
    let before = debits_of(&folder).await;
    let versions = [repricing.reprice_as.version.to_string(), repricing.priced_under.version.to_string()];
    let command = ["correct", "--reprice-as", &versions[0], "--card", &versions[1]];
    let (_, told) = said(&folder, &[&command[..], &["--dry-run"]].concat());
    let plan = told.lines().find_map(|line| line.strip_prefix("plan ")).unwrap();
    let acting = ["--plan", plan, "--key", "fix", "--by", "kim", "--reason", "wrong card"];
    let whole = [&command[..], &acting].concat();
    let mut killed = None;
    for _ in 0..50 {
        killed = killed_in_the_middle(&folder, &whole).await;
        if killed.is_some() {
            break;
        }
    }
    let (killed, made) = killed.expect("a run that can be killed between two batches");
    assert_eq!(made % 500, 0, "a batch is there as a whole or not at all");
    let store = killed.store().await;
    holds(&store).await;

    let (code, told) = said(&killed, &whole);
    let expected =
        format!("corrected {} calls (keys fix/...); {made} of the plan's 1203 had been", 1_203 - made);
    assert!(code == Some(0) && told.contains(&expected), "{told}");
    let sql = "SELECT count(*), count(DISTINCT corrects) FROM credit_ledger WHERE entry_key LIKE 'fix/%'";
    assert_eq!(killed.sql(sql).await, [["1203", "1203"]]);
    assert_eq!(debits_of(&killed).await, before);
    assert_eq!(balance(&store).await, pax("1").checked_sub(truth).unwrap().short());
    holds(&store).await;
}
