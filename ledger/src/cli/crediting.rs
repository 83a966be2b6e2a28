//! Grants and corrections, for operators.

use std::process::ExitCode;

use pax_gateway::base::account::Tier;
use pax_gateway::price::bundle::Bundle;

use super::accounts::no_account;
use super::acting::answer;
use super::args::{Correct, GrantOf, NewAmount};
use super::print;
use crate::cards;
use crate::error::Error;
use crate::server::embedded_bundle;
use crate::store::{Amount, Corrects, NewGrant, Store, ToCorrect};

pub(super) async fn grant(store: &Store, options: GrantOf) -> Result<ExitCode, Error> {
    let asked = NewGrant {
        account: options.account,
        amount_pax: options.amount.0,
        class: options.class,
        expires_at: options.expires,
        paid: options.paid,
        reference: options.reference,
    };
    let Some(row) = store.account(&asked.account).await? else { return Err(no_account(&asked.account)) };
    let act = options.acting.act()?;
    let granted = answer(store.grant(&act, &asked).await?);
    let ends = asked.expires_at.map_or_else(String::new, |end| format!(" until {end}"));
    print(&format!(
        "granted {} PAX to account {}{ends} (key {}): its balance was {} PAX after that",
        asked.amount_pax,
        asked.account,
        act.key(),
        granted.balance_pax
    ))?;
    if row.tier == Tier::Free {
        print("note: the account has tier free, whose calls spend no credit")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn correct(store: &Store, options: Correct) -> Result<ExitCode, Error> {
    let amount = match options.amount.which()? {
        NewAmount::To(amount) => Amount::To(amount),
        NewAmount::RepriceAs(version) => {
            let bundle = known_cards(store).await?;
            let card = bundle.cards().iter().find(|card| card.version == version);
            Amount::RepricedAs(card.cloned().ok_or_else(|| {
                Error::Operator(format!(
                    "there is no rate card {version}; `pax-ledger cards list` lists them"
                ))
            })?)
        }
    };
    let what = if options.grant { Corrects::Grant(options.what) } else { Corrects::Call(options.what) };
    let asked = ToCorrect { what, amount };
    let corrected = answer(store.correct(&options.acting.act()?, &asked).await?);
    print(&format!(
        "corrected {} of account {} from {} to {} PAX: its balance was {} PAX after that",
        asked.what.name(),
        corrected.account,
        corrected.was_pax,
        corrected.now_pax,
        corrected.balance_pax
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// All cards that the ledger knows.
async fn known_cards(store: &Store) -> Result<Bundle, Error> {
    let (bundle, mistakes) = cards::gather(&*embedded_bundle()?, &store.cards().await?);
    match mistakes.first() {
        None => Ok(bundle),
        Some(mistake) => Err(Error::Operator(format!("{mistake}; `pax-ledger replay` says more"))),
    }
}
