//! Payouts: an account is closed, and what is left of its balance is owed to its owner outside of the ledger.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use serde::{Deserialize, Serialize};

/// Keys of payouts begin like this.
pub const PAYOUT: &str = "payout/";

/// What a closed account had left leaves the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payout {
    canon_v: u32,
    kind: String,
    /// Its idempotency key, with the number that this entry has in its account. An account has more than one payout if a
    /// call is made cheaper after the first one.
    pub key: String,
    /// The account.
    pub account: String,
    /// The key of the action that has closed the account.
    pub close_key: String,
    /// What was left: the whole balance.
    pub amount_pax: Pax,
    /// When the ledger took it out of the balance.
    pub occurred_at: Moment,
}

impl Payout {
    /// The payout of a closed account, as the entry with this number.
    #[must_use]
    pub fn new(
        account: &str,
        close_key: &str,
        account_seq: i64,
        amount_pax: Pax,
        occurred_at: Moment,
    ) -> Self {
        Self {
            canon_v: 1,
            kind: "payout".to_owned(),
            key: format!("{PAYOUT}{account}/{account_seq}"),
            account: account.to_owned(),
            close_key: close_key.to_owned(),
            amount_pax,
            occurred_at,
        }
    }
}
