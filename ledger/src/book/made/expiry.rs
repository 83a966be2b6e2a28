//! Expiries: a lot is over, and what is left of it leaves the balance.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use serde::{Deserialize, Serialize};

/// A lot is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expiry {
    canon_v: u32,
    kind: String,
    /// Its idempotency key: that of the grant, and the number that this entry has in its account. A lot has more than one
    /// expiry if open holds kept a part of it.
    pub key: String,
    /// The account.
    pub account: String,
    /// The key of the grant.
    pub grant: String,
    /// What was left.
    pub amount_pax: Pax,
    /// When the lot ended.
    pub expired_at: Moment,
    /// When the ledger took it out of the balance.
    pub occurred_at: Moment,
}

impl Expiry {
    /// The expiry of a lot, as the entry with this number in its account.
    #[must_use]
    pub fn new(
        account: &str,
        grant: &str,
        account_seq: i64,
        amount_pax: Pax,
        (expired_at, occurred_at): (Moment, Moment),
    ) -> Self {
        Self {
            canon_v: 1,
            kind: "expiry".to_owned(),
            key: format!("expiry/{account}/{account_seq}"),
            account: account.to_owned(),
            grant: grant.to_owned(),
            amount_pax,
            expired_at,
            occurred_at,
        }
    }
}
