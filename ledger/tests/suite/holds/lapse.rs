//! Leases and ages: when a hold ends by itself, and when it is forgotten.

use super::story::{ENVOY, Ledger, at};
use super::told;

#[tokio::test]
async fn a_hold_lives_as_long_as_its_envoy_renews_its_lease_and_no_longer_than_a_minute_after() {
    told(
        "grant gift 1                           -> 1
         hold 2 0.4                             -> held 0.4
         hold 4 0.1 envoy=00000000000000e2      -> held 0.5
         @50000 lease 00000000000000e2          -> ok
         @59999 lapse                           -> 0
         @60000 lapse                           -> 1
         state 2                                -> expired
         state 4                                -> open
         @109999 lapse                          -> 0
         @110000 lapse                          -> 1
         held                                   -> 0 0 0",
    )
    .await;
}

#[tokio::test]
async fn a_hold_renews_the_lease_of_its_envoy_and_a_refused_one_does_not() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         @30000 hold 4 0.4         -> held 0.8
         @50000 hold 6 0.4         -> InsufficientCredit
         @89999 lapse              -> 0
         @90000 lapse              -> 2",
    )
    .await;
}

#[tokio::test]
async fn while_the_ledger_was_away_no_lease_has_lapsed() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         @500000 renew-all         -> ok
         lapse                     -> 0
         @560000 lapse             -> 1",
    )
    .await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_hold_live_longer_and_none_expire_twice() {
    told(
        "@500000 grant gift 1      -> 1
         hold 2 0.4                -> held 0.4
         @0 lapse                  -> 0
         hold 4 0.4 envoy=00000000000000e2 -> held 0.8
         @59999 lapse              -> 0
         @60000 lapse              -> 2
         lapse                     -> 0
         debit 2                   -> recorded; hold 0.4, late; others 0
         rows                      -> grant 1, debit -0.000014304462",
    )
    .await;
}

#[tokio::test]
async fn no_hold_lives_longer_than_a_day() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         @86399999 lease 00000000000000e1 -> ok
         lapse                     -> 0
         @86400000 lapse           -> 1",
    )
    .await;
}

#[tokio::test]
async fn a_hold_of_another_hour_than_the_ledger_s_is_rejected_so_that_what_is_forgotten_cannot_be_held() {
    let mut ledger = Ledger::new().await;
    ledger.tell("grant gift 1 -> 1\n hold 2 0.1 -> held 0.1\n void 2 -> voided\n void 4 -> voided").await;
    // Exchange 6 began 6 milliseconds after the day did, and the tests' clock begins 1,000 seconds after that.
    let hour = 3_600_000 - 1_000_000 + 6;
    ledger.tell(&format!("@{hour} hold 6 0.1 -> held 0.1\n void 6 -> voided")).await;
    let said = ledger.step(&format!("@{} hold 8 0.1", hour + 3)).await;
    assert!(
        said.starts_with("rejected: the exchange's id is of another hour than the ledger's clock"),
        "{said}"
    );
    // Everything that was kept a day ago is forgotten, and nothing of it can be held.
    ledger.tell(&format!("@{} prune -> 0\n @{} prune -> 4", 86_399_999, 86_400_000 + hour)).await;
    for n in [2, 4, 6] {
        ledger.tell(&format!("state {n} -> none")).await;
        assert!(ledger.step(&format!("hold {n} 0.1")).await.starts_with("rejected"), "{n}");
    }
    ledger.tell("prune -> 0").await;
}

#[tokio::test]
async fn an_exchange_of_the_future_is_rejected_too() {
    let mut ledger = Ledger::new().await;
    let lost = super::common::debits::on_day(super::story::lost_debit(2, super::Tier::Credit), 0);
    let hold = super::story::hold_of(&lost, "0", "5", ENVOY).unwrap();
    let an_hour_before = pax_gateway::base::clock::Moment::from_ms(at(0).ms() - 1_000_000 - 3_600_000 + 2);
    let before = pax_gateway::base::clock::Moment::from_ms(an_hour_before.ms() - 1);
    let holds = vec![hold].into();
    for (now, is_held) in [(before, false), (an_hour_before, true)] {
        let replies = ledger.writer.hold(&holds, 0, now).await.unwrap();
        assert_eq!(replies[0].outcome == super::HoldOutcome::Held, is_held, "{replies:?}");
    }
}

#[tokio::test]
async fn an_expired_hold_is_kept_for_a_month_so_that_it_can_be_charged() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         @60000 lapse              -> 1
         @86520000 prune           -> 1
         state 2                   -> expired
         @2678459999 prune         -> 0
         @2678460000 prune         -> 1
         state 2                   -> none",
    )
    .await;
}

#[tokio::test]
async fn a_restore_expires_the_holds_of_the_backup_and_their_debits_come_late() {
    if crate::common::on_postgres() {
        return;
    }
    let mut ledger = Ledger::new().await;
    ledger.tell("grant short 1 until 100 -> 1\n hold 2 0.4 -> held 0.4\n hold 4 0.1 -> held 0.5").await;
    ledger.tell("@100 expire -> ok\n lots -> short 0.5/1").await;
    let backup = ledger.closed().await;
    let target = super::common::Folder::new();
    let location = pax_ledger::store::Location::Sqlite(target.database());
    pax_ledger::store::restore(&location, &backup.database(), at(200)).await.unwrap();
    let store = target.store().await;
    let writer = store.writer();
    let mut restored = Ledger { folder: target, store, writer, now: at(300) };
    restored
        .tell(
            "held                  -> 0 0 0
             rows                  -> grant 1, expiry -0.5, expiry -0.4, expiry -0.1
             debit 2               -> recorded; hold 0.4, late; others 0",
        )
        .await;
}
