//! Grants and corrections, as operators ask for them.

use std::sync::Arc;

use pax_gateway::base::account::Funding;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;
use pax_gateway::price::card::RateCard;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::book::Act;
use crate::book::made::{Correction, Grant, GrantClass, Paid, repriced};

/// A grant that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewGrant {
    /// The account.
    pub account: String,
    /// How much.
    pub amount_pax: Pax,
    /// Why, for reports.
    pub class: GrantClass,
    /// When what is left of it ends. None if it does not.
    pub expires_at: Option<Moment>,
    /// What was paid for it.
    pub paid: Option<Paid>,
    /// What it is called elsewhere.
    pub reference: Option<String>,
}

impl NewGrant {
    /// Credit that nobody has paid for, and that does not end.
    #[must_use]
    pub fn goodwill(account: &str, amount_pax: Pax) -> Self {
        let account = account.to_owned();
        Self {
            account,
            amount_pax,
            class: GrantClass::Goodwill,
            expires_at: None,
            paid: None,
            reference: None,
        }
    }

    /// The grant that the action makes.
    #[must_use]
    pub fn grant(&self, act: &Act, at: Moment) -> Grant {
        let mut grant = Grant::new(act.key(), &self.account, self.amount_pax, self.class, at);
        grant.expires_at = self.expires_at;
        grant.paid.clone_from(&self.paid);
        grant.reference.clone_from(&self.reference);
        grant.by = act.by().to_owned();
        grant.reason = act.reason().unwrap_or_default().to_owned();
        grant
    }
}

/// What came of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The number of its entry in the account.
    pub account_seq: i64,
    /// The account's balance after it.
    pub balance_pax: Pax,
}

/// What an account was granted that was below zero, so that its balance was zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// How much; nothing if it was not below zero any more.
    pub amount_pax: Pax,
}

/// What came of closing an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// What was paid out at once.
    pub paid_out_pax: Pax,
    /// What is left: below zero if it owes something.
    pub balance_pax: Pax,
    /// What open holds still need. What they leave is paid out when the last of them ends.
    pub held_pax: Pax,
}

/// What a correction corrects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Corrects {
    /// The call of this exchange.
    Call(String),
    /// The grant with this key.
    Grant(String),
}

impl Corrects {
    /// What an entry corrects.
    #[must_use]
    pub fn of(correction: &Correction) -> Self {
        let name = correction.corrects.clone();
        if correction.debit.is_some() { Self::Call(name) } else { Self::Grant(name) }
    }

    /// The exchange's id or the grant's key.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Call(name) | Self::Grant(name) => name,
        }
    }
}

/// What became of an entry that was entered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeAgain {
    /// It is an entry now.
    Recorded,
    /// It was an entry already.
    Known,
    /// It cannot become one.
    Refused(String),
}

/// A correction that an operator asks for.
#[derive(Clone, Debug)]
pub struct ToCorrect {
    /// What.
    pub what: Corrects,
    /// What it is to be.
    pub amount: Amount,
}

/// What a call is to cost, or a grant to be.
#[derive(Clone, Debug)]
pub enum Amount {
    /// This amount.
    To(Pax),
    /// What the call costs under another card.
    RepricedAs(Arc<RateCard>),
}

impl Amount {
    /// How the amount is written in the request's hash.
    #[must_use]
    pub fn argument(&self) -> serde_json::Value {
        match self {
            Self::To(amount) => json!({"to_pax": amount}),
            Self::RepricedAs(card) => json!({"reprice_as": card.sha256}),
        }
    }

    /// The card under which a call is priced again.
    #[must_use]
    pub fn card(&self) -> Option<Digest> {
        match self {
            Self::To(_) => None,
            Self::RepricedAs(card) => Some(card.sha256),
        }
    }

    /// What a call is to cost.
    ///
    /// # Errors
    /// Why it cannot be corrected so.
    pub fn of_call(&self, debit: &Debit) -> Result<Pax, String> {
        if debit.funding == Funding::Byo {
            return Err("the call was made with the caller's own key, and cost nothing".to_owned());
        }
        match self {
            Self::To(amount) => not_negative(*amount),
            Self::RepricedAs(card) => repriced(debit, card),
        }
    }

    /// What a grant is to be.
    ///
    /// # Errors
    /// Why it cannot be corrected so.
    pub fn of_grant(&self, grant: &Grant, now: Moment) -> Result<Pax, String> {
        if let Some(end) = grant.expires_at.filter(|end| *end <= now) {
            return Err(format!("the grant ended at {end}; make a new one"));
        }
        match self {
            Self::To(amount) if *amount > crate::book::made::LARGEST => {
                Err(format!("a grant is at most {} PAX", crate::book::made::LARGEST))
            }
            Self::To(amount) => not_negative(*amount),
            Self::RepricedAs(_) => Err("a grant has no price; say --to AMOUNT".to_owned()),
        }
    }
}

fn not_negative(amount: Pax) -> Result<Pax, String> {
    if amount < Pax::ZERO { Err("it would be less than 0 PAX".to_owned()) } else { Ok(amount) }
}

/// What came of a correction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrected {
    /// The account.
    pub account: String,
    /// The number of its entry in the account.
    pub account_seq: i64,
    /// What it was.
    pub was_pax: Pax,
    /// What it is now.
    pub now_pax: Pax,
    /// The account's balance after it.
    pub balance_pax: Pax,
}
