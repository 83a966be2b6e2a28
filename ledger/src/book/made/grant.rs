//! Grants: an operator gives an account credit.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use serde::{Deserialize, Serialize};

use super::super::Lot;

/// The largest grant: a million PAX. So no chain of debits leaves the range of an amount.
pub const LARGEST: Pax = Pax::from_picopax(1_000_000_000_000_000_000);

/// Why credit was given, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum GrantClass {
    /// It was paid for.
    Purchase,
    /// It is part of a campaign.
    Promotion,
    /// It makes up for something.
    Goodwill,
    /// It gives back what was paid.
    Refund,
}

/// What was paid for a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    /// A decimal number, as it was typed: `12.50`.
    pub amount: String,
    /// Three capital letters: `EUR`.
    pub currency: String,
}

impl std::str::FromStr for Paid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no price; write it as 12.50EUR");
        let (amount, currency) = text.split_at_checked(text.len().saturating_sub(3)).ok_or_else(wrong)?;
        let (whole, part) = amount.split_once('.').unwrap_or((amount, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_price = digits(whole) && digits(part) && whole.len() <= 12 && part.len() <= 6;
        if !is_price || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong());
        }
        Ok(Self { amount: amount.to_owned(), currency: currency.to_owned() })
    }
}

/// An operator gives an account credit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub(super) canon_v: u32,
    pub(super) kind: String,
    /// Its idempotency key, which also names its lot.
    pub key: String,
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
    /// What it is called elsewhere: an invoice, an order.
    pub reference: Option<String>,
    /// When the ledger took it.
    pub occurred_at: Moment,
    /// Who gave it.
    pub by: String,
    /// Why, in words.
    pub reason: String,
}

impl Grant {
    /// A grant of an amount, which is kept for ever and was not paid for.
    #[must_use]
    pub fn new(key: &str, account: &str, amount_pax: Pax, class: GrantClass, occurred_at: Moment) -> Self {
        Self {
            canon_v: 1,
            kind: "grant".to_owned(),
            key: key.to_owned(),
            account: account.to_owned(),
            amount_pax,
            class,
            expires_at: None,
            paid: None,
            reference: None,
            occurred_at,
            by: String::new(),
            reason: String::new(),
        }
    }

    /// Its lot, as the entry with this number in its account, before it has paid a debt.
    #[must_use]
    pub fn lot(&self, account_seq: i64) -> Lot {
        let (amount, expires_at) = (self.amount_pax, self.expires_at);
        Lot { key: self.key.clone(), account_seq, amount, rest: amount, expires_at }
    }

    /// Why the ledger cannot take it. None if it can.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        if self.amount_pax <= Pax::ZERO {
            return Some("a grant is more than 0 PAX; to take credit back, correct the grant".to_owned());
        }
        if self.amount_pax > LARGEST {
            return Some(format!("a grant is at most {LARGEST} PAX; make several"));
        }
        let over = self.expires_at.filter(|end| *end <= self.occurred_at);
        over.map(|end| format!("it would have ended already, at {end}"))
    }
}
