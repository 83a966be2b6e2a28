//! Grants to the account `credit`, by an operator of the tests.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_ledger::book::Act;
use pax_ledger::book::made::GrantClass;
use pax_ledger::store::{NewGrant, Store};

pub fn pax(text: &str) -> Pax {
    text.parse().unwrap()
}

pub fn keyed(key: &str, now: Moment) -> Act {
    Act::new(key.to_owned(), "ops".to_owned(), Some("a test".to_owned()), now).unwrap()
}

pub fn new_grant(amount: &str, expires_at: Option<Moment>) -> NewGrant {
    NewGrant {
        account: "credit".to_owned(),
        amount_pax: pax(amount),
        class: GrantClass::Goodwill,
        expires_at,
        paid: None,
        reference: None,
    }
}

/// Grants, and gives the balance after that.
pub async fn grant(store: &Store, key: &str, amount: &str, expires_at: Option<Moment>, now: Moment) -> Pax {
    store.grant(&keyed(key, now), &new_grant(amount, expires_at)).await.unwrap().reply.balance_pax
}
