//! Checks what is kept of an account's holds, and adds up what the open ones set aside.

use std::collections::BTreeMap;

use pax_gateway::base::account::Tier;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::{Debit, Ending};
use pax_gateway::price::bundle::Bundle;

use crate::book::{Posting, Sum};
use crate::store::{AccountRow, DayTotal, HoldState, StoredHold, TokenDay};

/// What an account's open holds set aside.
#[derive(Debug, Default)]
pub(super) struct OpenHolds {
    /// From the balance.
    pub(super) balance: Sum,
    days: BTreeMap<String, Sum>,
    tokens: BTreeMap<(String, String), Sum>,
}

impl OpenHolds {
    /// Adds a hold, if it is open.
    pub(super) fn add(&mut self, hold: &StoredHold) {
        if hold.state != HoldState::Open.name() {
            return;
        }
        if hold.tier == Tier::Credit.name() {
            self.balance = self.balance.plus(hold.held);
        }
        let day = self.days.entry(hold.utc_day.clone()).or_default();
        *day = day.plus(hold.held);
        let token = self.tokens.entry((hold.token_id.clone(), hold.utc_day.clone())).or_default();
        *token = token.plus(hold.held);
    }

    /// Compares the sums that are kept with those that the open holds make.
    pub(super) fn differences(
        mut self,
        account: Option<&AccountRow>,
        days: &[DayTotal],
        tokens: &[TokenDay],
    ) -> Vec<String> {
        let mut found = Vec::new();
        let kept = account.map_or(Pax::ZERO, |account| account.held);
        if Sum::from(kept) != self.balance {
            found.push(format!(
                "its balance has {kept} PAX held, but its open holds of tier credit make {} PAX",
                self.balance
            ));
        }
        for DayTotal { utc_day, held, .. } in days {
            let made = self.days.remove(utc_day).unwrap_or_default();
            if Sum::from(*held) != made {
                found
                    .push(format!("it has {held} PAX held on {utc_day}, but its open holds make {made} PAX"));
            }
        }
        for TokenDay { token_id, utc_day, held, .. } in tokens {
            let made = self.tokens.remove(&(token_id.clone(), utc_day.clone())).unwrap_or_default();
            if Sum::from(*held) != made {
                found.push(format!(
                    "token {token_id} has {held} PAX held on {utc_day}, but its open holds make {made} PAX"
                ));
            }
        }
        for (day, made) in self.days {
            found.push(format!("it has no sum of what is held on {day}, but its open holds make {made} PAX"));
        }
        for ((token, day), made) in self.tokens {
            found.push(format!(
                "token {token} has no sum of what is held on {day}, but its open holds make {made} PAX"
            ));
        }
        found
    }
}

/// What is wrong with one hold.
pub(super) fn differences(hold: &StoredHold, bundle: &Bundle) -> Vec<String> {
    let mut found: Vec<String> = entry(hold).into_iter().collect();
    let Some(lost) = &hold.lost else { return found };
    match Debit::from_canonical(lost) {
        Ok(debit) => {
            let said = [
                debit.exchange_id.to_string(),
                debit.account.clone(),
                debit.token_id.clone(),
                debit.utc_day.to_string(),
                debit.tier.name().to_owned(),
            ];
            let kept = [&hold.exchange_id, &hold.account, &hold.token_id, &hold.utc_day, &hold.tier];
            if said.iter().ne(kept) || debit.ending != Ending::Lost {
                found.push("its columns differ from what the debit of its lost call says".to_owned());
            }
            if let Err(bad) = debit.prove(bundle) {
                found.push(format!("the debit of its lost call does not prove itself: {bad}"));
            }
        }
        Err(bad) => found.push(format!("the debit of its lost call cannot be read: {bad}")),
    }
    found
}

/// Compares a hold with the entry of its exchange.
fn entry(hold: &StoredHold) -> Option<String> {
    let state = &hold.state;
    let is_posted = [HoldState::Posted, HoldState::Charged].map(HoldState::name).contains(&state.as_str());
    match (&hold.entry, is_posted) {
        (None, false) => None,
        (None, true) => Some(format!("it is {state}, but its exchange has no entry")),
        (Some(_), false) => Some(format!("it is {state}, but its exchange has an entry")),
        (Some((account, posting)), true) => {
            let posting = posting.as_deref().and_then(|line| Posting::read(line).ok());
            let posted = posting.and_then(|posting| posting.hold);
            match posted {
                _ if *account != hold.account => {
                    Some(format!("its exchange has an entry of account {account}"))
                }
                None => Some("the posting of its exchange's entry names no hold".to_owned()),
                Some(posted) if posted.held_pax != hold.held => Some(format!(
                    "it has set {} PAX aside, but the posting of its exchange's entry says {} PAX",
                    hold.held, posted.held_pax
                )),
                Some(_) => None,
            }
        }
    }
}
