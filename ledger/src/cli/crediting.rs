//! Grants and corrections, for operators.

use std::process::ExitCode;
use std::sync::Arc;

use pax_gateway::base::account::Tier;
use pax_gateway::base::pax::Pax;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::{RateCard, RateTableVersion};

use super::accounts::no_account;
use super::acting::answer;
use super::args::{Acting, Amount, Correct, GrantOf, NewAmount};
use super::{print, repricing};
use crate::book::Sum;
use crate::cards;
use crate::error::Error;
use crate::server::embedded_bundle;
use crate::store::{self, Corrects, NewGrant, Store, ToCorrect};

pub(super) async fn grant(store: &Store, options: GrantOf) -> Result<ExitCode, Error> {
    let (Some(account), Some(Amount(amount_pax)), Some(class)) =
        (options.account, options.amount, options.class)
    else {
        return grant_to_zero(store, options.acting, options.dry_run).await;
    };
    let (expires_at, paid, reference) = (options.expires, options.paid, options.reference);
    let asked = NewGrant { account, amount_pax, class, expires_at, paid, reference };
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

/// Settles every balance below zero: before there was credit to grant, nothing could raise one. Each account is an
/// action of its own, so what was interrupted goes on where it stopped.
async fn grant_to_zero(store: &Store, acting: Acting, dry_run: bool) -> Result<ExitCode, Error> {
    let act = acting.act()?;
    let (mut accounts, mut again) = (0_u64, false);
    for row in
        store.accounts().await?.into_iter().filter(|row| row.balance < Sum::ZERO && row.closed.is_none())
    {
        accounts += 1;
        let account = row.name;
        if dry_run {
            let lacks = Sum::ZERO.less(row.balance).nearest();
            print(&format!("would grant {lacks} PAX to account {account}"))?;
            continue;
        }
        let act = act.of_many(&account).map_err(Error::Operator)?;
        let acted = store.grant_to_zero(&act, &account).await?;
        if acted.before.is_some() {
            again = true;
            print(&format!(
                "account {account} was settled under this key, and is below zero again: use another key"
            ))?;
            continue;
        }
        let settled = acted.reply;
        print(&format!(
            "granted {} PAX to account {account}: its balance was {} PAX after that",
            settled.amount_pax,
            Pax::ZERO
        ))?;
    }
    print(&format!("{accounts} accounts {} below zero", if dry_run { "are" } else { "were" }))?;
    Ok(if again { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) async fn correct(store: &Store, options: Correct) -> Result<ExitCode, Error> {
    let amount = options.amount.which()?;
    if let (Some(version), NewAmount::RepriceAs(reprice_as)) = (options.many.card, &amount) {
        let cards = (RateTableVersion(version), *reprice_as);
        return repricing::run(store, options.many, cards, options.acting).await;
    }
    let Some(what) = options.what else {
        return Err(Error::Operator("say which call, by its exchange's id".to_owned()));
    };
    let amount = match amount {
        NewAmount::To(amount) => store::Amount::To(amount),
        NewAmount::RepriceAs(version) => {
            store::Amount::RepricedAs(card_of(&known_cards(store).await?, version)?)
        }
    };
    let what = if options.grant { Corrects::Grant(what) } else { Corrects::Call(what) };
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
pub(super) async fn known_cards(store: &Store) -> Result<Bundle, Error> {
    let (bundle, mistakes) = cards::gather(&*embedded_bundle()?, &store.cards().await?);
    match mistakes.first() {
        None => Ok(bundle),
        Some(mistake) => Err(Error::Operator(format!("{mistake}; `pax-ledger replay` says more"))),
    }
}

/// The card of a version.
pub(super) fn card_of(bundle: &Bundle, version: RateTableVersion) -> Result<Arc<RateCard>, Error> {
    let card = bundle.cards().iter().find(|card| card.version == version);
    card.cloned().ok_or_else(|| {
        Error::Operator(format!("there is no rate card {version}; `pax-ledger cards list` lists them"))
    })
}
