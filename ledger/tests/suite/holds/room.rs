//! What a hold has to fit into, whoever else holds at the same moment.

use std::collections::BTreeMap;

use pax_gateway::base::account::Funding;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::{Debit, Ending};
use pax_ledger::store::{Open, Store};

use super::common::act_at;
use super::common::replayed;
use super::story::{ENVOY, Ledger, at, hold_of, lost_debit, pax};
use super::{HoldOutcome, Tier, told};

/// Ten holds, from two processes at once; gives how many had which outcome.
async fn ten_at_once(
    ledger: &Ledger,
    tier: Tier,
    hold: &'static str,
    cap: &'static str,
) -> BTreeMap<String, usize> {
    let of_process = async |first: u64| {
        let location = ledger.folder.location();
        let store = Store::open(&location, Open::Existing).await.unwrap().with_given_time();
        let mut tasks = Vec::new();
        for n in 0..5 {
            let mut writer = store.writer();
            tasks.push(tokio::spawn(async move {
                let asked = hold_of(&lost_debit(first + 2 * n, tier), hold, cap, ENVOY).unwrap();
                let replies = writer.hold(&vec![asked].into(), 0, at(1)).await.unwrap();
                writer.close().await;
                replies[0].outcome
            }));
        }
        (store, tasks)
    };
    let (one, other) = tokio::join!(of_process(100), of_process(200));
    let mut outcomes = BTreeMap::new();
    for task in one.1.into_iter().chain(other.1) {
        *outcomes.entry(format!("{:?}", task.await.unwrap())).or_default() += 1;
    }
    one.0.close().await;
    other.0.close().await;
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_holds_at_once_over_two_connections_exactly_those_are_made_that_the_balance_has_room_for() {
    let mut ledger = Ledger::new().await;
    ledger.tell("grant gift 1 -> 1\n hold 2 0.05 -> held 0.05").await;
    let outcomes = ten_at_once(&ledger, Tier::Credit, "0.3", "5").await;
    let expected = [("Held", 3), ("InsufficientCredit", 7)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(outcomes, expected.into());
    ledger.tell("held -> 0.95 0.95 0.95\n void 2 -> voided").await;
    ledger.tell("hold 4 0.1 -> held 1\n hold 6 0.000000000001 -> InsufficientCredit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_holds_at_once_on_tier_free_exactly_those_are_made_that_the_day_s_cap_has_room_for() {
    let mut ledger = Ledger::new().await;
    ledger
        .tell("hold 2 0.00002 free cap=1 -> held 0.00002\n debit 2 free -> recorded; hold 0.00002; others 0")
        .await;
    // 0.000014304462 are spent, so a third hold of this size would not fit.
    let outcomes = ten_at_once(&ledger, Tier::Free, "0.333333", "1").await;
    let expected = [("DailyCapExceeded", 8), ("Held", 2)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(outcomes, expected.into());
    ledger.tell("held free -> 0 0.666666 0.666666").await;
    ledger.tell("hold 4 0.333319695538 free cap=1 -> held 0.999985695538").await;
    ledger.tell("hold 6 0.000000000001 free cap=1 -> DailyCapExceeded").await;
}

#[tokio::test]
async fn an_account_s_own_cap_goes_before_that_of_the_card_and_zero_blocks() {
    let mut ledger = Ledger::new().await;
    for (n, cap, hold, expected) in [
        (2, "2", "1.5", "held 1.5"),
        (4, "2", "0.6", "DailyCapExceeded"),
        (6, "1", "0", "DailyCapExceeded"),
        (8, "0", "0", "DailyCapExceeded"),
    ] {
        let cap = Some(pax(cap));
        assert!(ledger.store.set_daily_cap(&act_at(at(n)), "free", cap).await.unwrap().is_some());
        ledger.tell(&format!("hold {n} {hold} free cap=1 -> {expected}")).await;
    }
}

#[tokio::test]
async fn an_account_that_is_switched_off_and_a_token_that_is_revoked_hold_nothing_from_that_moment_on() {
    told(
        "grant gift 1              -> 1
         hold 2 0.1                -> held 0.1
         status disabled           -> ok
         hold 4 0.1                -> AccountDisabled
         status active             -> ok
         hold 4 0.1                -> held 0.2
         revoke                    -> ok
         hold 6 0.1                -> UnknownToken
         debit 2                   -> recorded; hold 0.1; others 0.1",
    )
    .await;
}

#[tokio::test]
async fn a_token_holds_for_its_own_account_until_it_ends() {
    let mut ledger = Ledger::new().await;
    ledger.tell("grant gift 1 -> 1").await;
    let mut of_the_other = lost_debit(2, Tier::Credit);
    of_the_other.token_id = lost_debit(2, Tier::Free).token_id;
    let mut of_nobody = lost_debit(4, Tier::Credit);
    of_nobody.account = "nobody".to_owned();
    for lost in [of_the_other, of_nobody] {
        let hold = hold_of(&lost, "0.1", "5", ENVOY).unwrap();
        let replies = ledger.writer.hold(&vec![hold].into(), 0, at(1)).await.unwrap();
        assert_eq!(replies[0].outcome, HoldOutcome::UnknownToken, "{replies:?}");
    }
    let ends = format!("UPDATE tokens SET expires_at = {} WHERE account = 'credit'", at(50).ms());
    super::common::tampering::run(&ledger.folder, &ends).await;
    assert_eq!(ledger.step("@49 hold 6 0.1").await, "held 0.1");
    assert_eq!(ledger.step("@50 hold 8 0.1").await, "UnknownToken");
}

#[tokio::test]
async fn a_hold_counts_on_the_day_and_the_tier_of_its_admission_whatever_the_account_s_tier_is_when_it_ends()
{
    let mut ledger = Ledger::new().await;
    ledger.tell("grant gift 1 -> 1\n hold 2 0.4 -> held 0.4").await;
    assert!(ledger.store.set_tier(&act_at(at(1)), "credit", Tier::Free).await.unwrap().is_some());
    ledger.tell("held -> 0.4 0.4 0.4\n debit 2 -> recorded; hold 0.4; others 0\n held -> 0 0 0").await;
}

#[tokio::test]
async fn what_is_no_hold_is_rejected_in_words() {
    let lost = lost_debit(2, Tier::Credit);
    for (why, change) in [
        ("ending", (|debit: &mut Debit| debit.ending = Ending::Complete) as fn(&mut Debit)),
        ("hold_id", |debit| debit.hold_id = None),
        ("caller's own key", |debit| {
            debit.funding = Funding::Byo;
            debit.cost_pax = Pax::ZERO;
        }),
    ] {
        let mut changed = lost.clone();
        change(&mut changed);
        let refused = hold_of(&changed, "0.1", "5", ENVOY).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    for (hold, cap, envoy, why) in [
        ("-0.1", "5", ENVOY, "`hold_pax` is negative"),
        ("0.1", "-5", ENVOY, "`card_cap_pax` is negative"),
        ("0.1", "5", "E1", "`envoy` must be"),
        ("much", "5", ENVOY, "first line"),
    ] {
        assert!(hold_of(&lost, hold, cap, envoy).unwrap_err().contains(why), "{why}");
    }
    let read = pax_ledger::book::hold::Hold::read;
    assert!(read(b"{}").unwrap_err().contains("two lines"));
    let first = format!("{{\"envoy\":\"{ENVOY}\",\"hold_pax\":\"1\"}}\n");
    assert!(read(format!("{first}no debit").as_bytes()).unwrap_err().contains("second line"));
    let of_free = lost_debit(2, Tier::Free).to_canonical();
    assert!(read(&[first.as_bytes(), &of_free].concat()).unwrap_err().contains("card_cap_pax"));
}

#[tokio::test]
async fn a_transaction_that_only_refuses_writes_nothing() {
    if crate::common::on_postgres() {
        return;
    }
    let mut ledger = Ledger::new().await;
    ledger.tell("grant gift 1 -> 1\n hold 2 1 -> held 1").await;
    let log = ledger.folder.0.join("ledger.db-wal");
    let written = |log: &std::path::Path| std::fs::metadata(log).unwrap().len();
    let before = written(&log);
    for n in 0..20 {
        let step = format!("hold {} 0.1", 100 + 2 * n);
        assert_eq!(ledger.step(&step).await, "InsufficientCredit");
    }
    assert_eq!(written(&log), before);
    ledger.tell("void 2 -> voided").await;
    assert!(written(&log) > before);
    assert_eq!(replayed(&ledger.store).await.1, []);
}
