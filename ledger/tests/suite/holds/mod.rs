//! Holds: what each does to the rows, whatever becomes of it.

mod acts;
mod closing;
use crate::common;
mod lapse;
mod proof;
mod queue;
mod recover;
mod room;
mod service;
pub mod story;

use common::debits::exchange;
use pax_gateway::base::account::Tier;
use pax_gateway::base::wire::HoldOutcome;
use pax_ledger::store::HoldFilter;
use story::Ledger;

/// Goes through a story from a ledger with the accounts `credit` and `free`.
async fn told(story: &str) {
    Ledger::new().await.tell(story).await;
}

#[tokio::test]
async fn a_hold_is_posted_by_its_debit_and_gives_back_what_it_set_aside() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         hold 4 0.5                -> held 0.9
         held                      -> 0.9 0.9 0.9
         debit 2                   -> recorded; hold 0.4; others 0.5
         state 2                   -> posted
         held                      -> 0.5 0.5 0.5
         debit 4                   -> recorded; hold 0.5; others 0
         debit 4                   -> duplicate
         held                      -> 0 0 0
         rows                      -> grant 1, debit -0.000014304462, debit -0.000014435696",
    )
    .await;
}

#[tokio::test]
async fn a_hold_of_tier_free_draws_on_the_day_and_on_no_balance() {
    told(
        "hold 2 2 free             -> held 2
         held free                 -> 0 2 2
         debit 2 free              -> recorded; hold 2; others 0
         held free                 -> 0 0 0",
    )
    .await;
}

#[tokio::test]
async fn a_debit_after_the_end_of_its_hold_is_late_and_one_above_it_an_overrun_and_both_are_posted_in_full() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         @60000 lapse              -> 1
         state 2                   -> expired
         held                      -> 0 0 0
         debit 2                   -> recorded; hold 0.4, late; others 0
         state 2                   -> posted
         hold 4 0.000001           -> held 0.000001
         debit 4                   -> recorded; hold 0.000001, overrun; others 0
         hold 6 0.000001           -> held 0.000001
         void 6                    -> voided
         debit 6                   -> recorded; hold 0.000001, late, overrun; others 0
         held                      -> 0 0 0
         rows                      -> grant 1, debit -0.000014304462, debit -0.000014435696, debit -0.00001456693",
    )
    .await;
}

#[tokio::test]
async fn an_overrun_may_take_the_balance_below_zero() {
    told(
        "grant gift 0.00001        -> 0.00001
         hold 2 0.00001            -> held 0.00001
         debit 2                   -> recorded; hold 0.00001, overrun; others 0
         hold 4 0                  -> InsufficientCredit
         rows                      -> grant 0.00001, debit -0.000014304462",
    )
    .await;
}

#[tokio::test]
async fn a_void_releases_a_hold_and_before_one_it_sees_to_it_that_none_is_made() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         void 2                    -> voided
         state 2                   -> voided
         held                      -> 0 0 0
         void 2                    -> voided
         hold 2 0.4                -> Closed
         void 4                    -> voided
         hold 4 0.4                -> Closed
         state 4                   -> none
         debit 6                   -> recorded; no hold; others 0
         void 6                    -> voided
         rows                      -> grant 1, debit -0.00001456693",
    )
    .await;
}

#[tokio::test]
async fn a_void_that_comes_after_its_hold_has_expired_is_heard_and_nobody_charges_the_call() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         @60000 lapse              -> 1
         state 2                   -> expired
         void 2                    -> voided
         state 2                   -> voided
         held                      -> 0 0 0",
    )
    .await;
}

#[tokio::test]
async fn a_clock_that_is_set_a_day_ahead_ends_no_hold() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         @90000000 clock-set       -> ok
         @90005000 lapse           -> 0
         state 2                   -> open
         held                      -> 0.4 0.4 0.4",
    )
    .await;
}

#[tokio::test]
async fn nobody_voids_or_posts_the_hold_of_another_account() {
    let mut ledger = Ledger::new().await;
    ledger
        .tell(
            "grant gift 1              -> 1
             hold 2 0.4                -> held 0.4
             hold 2 0.4 free           -> rejected: the exchange has a hold of another account
             void 2 of=free            -> rejected: the exchange has a hold of another account
             void 4 of=nobody          -> rejected: there is no account \"nobody\"
             debit 2 free              -> rejected: the exchange has a hold of another account
             held                      -> 0.4 0.4 0.4
             state 2                   -> open",
        )
        .await;
    let quarantined = ledger.store.snapshot().await.unwrap().quarantined().await.unwrap();
    assert_eq!(quarantined.rejected, 3);
}

#[tokio::test]
async fn the_same_hold_twice_is_one_hold_and_one_of_other_terms_is_none() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         hold 2 0.4                -> held 0.4
         status disabled           -> ok
         hold 2 0.4                -> held 0.4
         status active             -> ok
         hold 2 0.5                -> rejected: the exchange has an open hold that differs from this one
         held                      -> 0.4 0.4 0.4
         debit 2                   -> recorded; hold 0.4; others 0
         hold 2 0.4                -> Closed
         rows                      -> grant 1, debit -0.000014304462",
    )
    .await;
}

#[tokio::test]
async fn a_hold_for_an_exchange_that_has_an_entry_is_closed() {
    told(
        "grant gift 1              -> 1
         debit 2                   -> recorded; no hold; others 0
         hold 2 0.4                -> Closed
         state 2                   -> none
         held                      -> 0 0 0
         rows                      -> grant 1, debit -0.000014304462",
    )
    .await;
}

#[tokio::test]
async fn a_grant_that_ends_under_an_open_hold_is_kept_for_it_and_the_rest_ends_with_it() {
    told(
        "grant short 1 until 100   -> 1
         hold 2 0.4                -> held 0.4
         hold 4 0.1                -> held 0.5
         @100 expire               -> ok
         lots                      -> short 0.5/1
         hold 6 0.01               -> InsufficientCredit
         debit 2                   -> recorded; hold 0.4; others 0.1
         lots                      -> short 0.1/1
         rows                      -> grant 1, expiry -0.5, debit -0.000014304462, expiry -0.399985695538
         void 4                    -> voided
         lots                      -> short 0/1
         rows                      -> grant 1, expiry -0.5, debit -0.000014304462, expiry -0.399985695538, expiry -0.1",
    )
    .await;
}

#[tokio::test]
async fn a_grant_that_comes_under_open_holds_backs_them_so_the_lot_that_was_kept_for_them_ends() {
    told(
        "grant short 1 until 100   -> 1
         hold 2 0.4                -> held 0.4
         @100 grant long 2         -> 2
         lots                      -> short 0/1, long 2/2
         debit 2                   -> recorded; hold 0.4; others 0",
    )
    .await;
}

#[tokio::test]
async fn a_balance_that_is_over_is_not_lent_and_the_next_hold_takes_it_out() {
    told(
        "grant short 1 until 100   -> 1
         @99 hold 2 0.4            -> held 0.4
         void 2                    -> voided
         @100 hold 4 0.4           -> InsufficientCredit
         rows                      -> grant 1, expiry -1",
    )
    .await;
}

#[tokio::test]
async fn a_grant_on_a_balance_below_zero_pays_it_first_and_lends_the_rest() {
    told(
        "debit 2                   -> recorded; no hold; others 0
         hold 4 0.00001            -> InsufficientCredit
         grant small 0.00001       -> -0.000004304462
         hold 4 0.00001            -> InsufficientCredit
         grant more 0.00002        -> 0.000015695538
         hold 4 0.00001            -> held 0.00001
         hold 6 0.00001            -> InsufficientCredit
         debit 4                   -> recorded; hold 0.00001, overrun; others 0
         rows                      -> debit -0.000014304462, grant 0.00001, grant 0.00002, debit -0.000014435696",
    )
    .await;
}

#[tokio::test]
async fn an_expired_hold_is_charged_from_what_it_keeps_and_can_be_held_no_more() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         @60000 lapse              -> 1
         charge 2                  -> recorded; hold 0.4, late; others 0
         state 2                   -> charged
         hold 2 0.4                -> Closed",
    )
    .await;
}

#[tokio::test]
async fn the_holds_that_are_open_or_have_expired_are_listed_page_by_page() {
    let mut ledger = Ledger::new().await;
    ledger
        .tell(
            "grant gift 1              -> 1
             hold 2 0.1                -> held 0.1
             @60000 lapse              -> 1
             hold 4 0.1                -> held 0.1
             hold 6 0.1                -> held 0.2
             void 6                    -> voided
             hold 8 0.1 free           -> held 0.1",
        )
        .await;
    let of = |account: Option<&str>, expired_only| HoldFilter {
        account: account.map(str::to_owned),
        expired_only,
    };
    for (filter, expected) in [
        (of(None, false), vec![2, 4, 8]),
        (of(None, true), vec![2]),
        (of(Some("credit"), false), vec![2, 4]),
        (of(Some("free"), true), vec![]),
    ] {
        let mut after = String::new();
        let mut found = Vec::new();
        while let Some(row) = ledger.store.holds(&filter, &after, 1).await.unwrap().pop() {
            assert!(row.lost.is_some() && row.held_pax == story::pax("0.1"), "{row:?}");
            after.clone_from(&row.exchange_id);
            found.push(row.exchange_id);
        }
        let expected: Vec<_> = expected.into_iter().map(|n| exchange(n).to_string()).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_grant_under_open_holds_adds_to_what_the_next_ones_have() {
    told(
        "grant gift 1              -> 1
         hold 2 0.6                -> held 0.6
         grant other 0.5           -> 1.5
         hold 4 0.9                -> held 1.5
         hold 6 0.000001           -> InsufficientCredit
         debit 2                   -> recorded; hold 0.6; others 0.9
         hold 6 0.5                -> held 1.4",
    )
    .await;
}
