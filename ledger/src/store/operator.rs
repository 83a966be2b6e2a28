//! Actions of operators, as the store takes and answers them.

use pax_gateway::base::clock::Moment;

use super::{AccountRow, TokenRow};
use crate::book::{AccountState, TokenState};

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted<Reply> {
    /// The answer.
    pub reply: Reply,
    /// Set if the action was done before, under the same key: then nothing was done again, and the answer is the
    /// first one's.
    pub before: Option<DoneBefore>,
}

impl<Reply> Acted<Reply> {
    /// The answer to an action that was done for the first time.
    pub fn new(reply: Reply) -> Self {
        Self { reply, before: None }
    }
}

/// When an action was done that is asked for again, and who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneBefore {
    /// When.
    pub at: Moment,
    /// Who.
    pub by: String,
}

/// Which rows of the operator log to list.
#[derive(Clone, Debug, Default)]
pub struct OperatorFilter {
    /// Only of this account.
    pub account: Option<String>,
    /// Only of this moment and later.
    pub since: Option<Moment>,
}

impl From<&AccountRow> for AccountState {
    fn from(row: &AccountRow) -> Self {
        let closed_at = row.closed.as_ref().map(|(at, _)| *at);
        Self { tier: row.tier, status: row.status, daily_cap_pax: row.daily_cap, closed_at }
    }
}

impl From<&TokenRow> for TokenState {
    fn from(row: &TokenRow) -> Self {
        let TokenRow { account, label, expires_at, revoked_at, .. } = row.clone();
        Self { account, label, expires_at, revoked_at }
    }
}
