//! Accounts that are closed: nothing is lent or given to them any more, and what they have left is paid out once.

use pax_ledger::store::Corrects;
use pax_ledger::store::{Amount, ToCorrect};

use super::common::debits::exchange;
use super::common::granting::{keyed, new_grant, pax};
use super::common::replayed;
use super::common::tampering::{run, tampered};
use super::story::{Ledger, at};
use super::told;

#[tokio::test]
async fn a_closed_account_is_paid_out_by_one_entry_of_its_whole_balance() {
    told(
        "grant gift 1              -> 1
         grant short 2 until 500   -> 3
         hold 2 0.4                -> held 0.4
         debit 2                   -> recorded; hold 0.4; others 0
         close                     -> paid 2.999985695538, balance 0, held 0
         lots                      -> gift 0/1, short 0/2
         hold 4 0.1                -> AccountDisabled
         @600 expire               -> ok
         rows                      -> grant 1, grant 2, debit -0.000014304462, payout -2.999985695538",
    )
    .await;
}

#[tokio::test]
async fn what_open_holds_need_is_paid_out_when_the_last_of_them_ends() {
    told(
        "grant gift 1              -> 1
         hold 2 0.4                -> held 0.4
         hold 4 0.3                -> held 0.7
         hold 6 0.1                -> held 0.8
         close                     -> paid 0, balance 1, held 0.8
         debit 2                   -> recorded; hold 0.4; others 0.4
         void 4                    -> voided
         rows                      -> grant 1, debit -0.000014304462
         @60000 lapse              -> 1
         rows                      -> grant 1, debit -0.000014304462, payout -0.999985695538
         debit 6                   -> recorded; hold 0.1, late; others 0
         rows                      -> grant 1, debit -0.000014304462, payout -0.999985695538, debit -0.00001456693",
    )
    .await;
}

#[tokio::test]
async fn a_lot_that_is_over_expires_before_the_rest_is_paid_out_and_a_debt_is_not() {
    told(
        "grant short 1 until 100   -> 1
         grant gift 1              -> 2
         @200 close                -> paid 1, balance 0, held 0
         rows                      -> grant 1, grant 1, expiry -1, payout -1",
    )
    .await;
    told(
        "hold 2 1                  -> InsufficientCredit
         debit 2                   -> recorded; no hold; others 0
         close                     -> paid 0, balance -0.000014304462, held 0
         rows                      -> debit -0.000014304462",
    )
    .await;
}

/// A closed account, its balance paid out, with one call that was charged.
async fn closed() -> Ledger {
    let mut ledger = Ledger::new().await;
    ledger
        .tell(
            "grant gift 1              -> 1
             debit 2                   -> recorded; no hold; others 0
             @10 close                 -> paid 0.999985695538, balance 0, held 0",
        )
        .await;
    ledger
}

#[tokio::test]
async fn nothing_is_done_to_a_closed_account_but_that_a_call_made_cheaper_is_paid_out_too() {
    let mut ledger = closed().await;
    let act = |key: &str| keyed(key, at(20));
    let refused = |error: pax_ledger::error::Error| {
        let said = error.to_string();
        assert!(said.contains("account credit is closed"), "{said}");
    };
    refused(ledger.store.grant(&act("late"), &new_grant("1", None)).await.unwrap_err());
    refused(ledger.store.close_account(&act("twice"), "credit").await.unwrap_err());
    let active = pax_gateway::base::account::Status::Active;
    refused(ledger.store.set_status(&act("again"), "credit", active).await.unwrap_err());
    let free = pax_gateway::base::account::Tier::Free;
    refused(ledger.store.set_tier(&act("free"), "credit", free).await.unwrap_err());
    assert!(ledger.store.create_account(&act("new"), "credit", free, None).await.unwrap().is_none());
    // The same request again gets its first answer.
    let again = ledger.store.close_account(&keyed("close", at(30)), "credit").await.unwrap().unwrap();
    assert!(again.before.is_some() && again.reply.paid_out_pax == pax("0.999985695538"));
    let what = Corrects::Call(exchange(2).to_string());
    let asked = ToCorrect { what, amount: Amount::To(pax("0")) };
    ledger.store.correct(&act("goodwill"), &asked).await.unwrap();
    ledger
        .tell(
            "rows -> grant 1, debit -0.000014304462, payout -0.999985695538, correction 0.000014304462, \
             payout -0.000014304462",
        )
        .await;
}

#[tokio::test]
async fn a_replay_names_a_payout_that_is_missing_forged_or_nobodys() {
    let folder = closed().await.closed().await;
    for (sql, expected) in [
        (
            "DELETE FROM credit_ledger WHERE kind = 'payout'",
            "it is closed, but a payout of 0.999985695538 PAX is missing",
        ),
        (
            "UPDATE accounts SET closed_at = NULL, close_key = NULL WHERE name = 'credit'",
            "its closed_at is null",
        ),
        (
            "UPDATE accounts SET close_key = 'other' WHERE name = 'credit'",
            "no row with the key \"other\" that closes it",
        ),
        (
            "DELETE FROM operator_log WHERE action = 'account_close'",
            "no row with the key \"close\" that closes its account",
        ),
    ] {
        let (_, found) = tampered(&folder, sql).await;
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|what| what.contains(expected)), "{sql}: {found:?}");
    }
    // Somebody who can make entries pays out an account that nobody has closed.
    let ledger = Ledger::new().await;
    let folder = ledger.closed().await;
    run(
        &folder,
        "UPDATE accounts SET status = 'disabled', closed_at = 1, close_key = 'mine' WHERE name = 'credit'",
    )
    .await;
    let ledger = Ledger::of(folder).await;
    ledger.store.grant(&keyed("gift", at(1)), &new_grant("1", None)).await.unwrap_err();
    let found = replayed(&ledger.store).await.1;
    assert!(found.iter().any(|what| what.to_string().contains("no row with the key \"mine\"")), "{found:?}");
}
