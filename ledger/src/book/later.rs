//! What a second debit of an exchange is to the first, which is its entry. A call has one true debit; but if how it ended
//! is not known, an estimate is charged, and the true debit may come all the same.

use pax_gateway::debit::frozen::{Debit, Ending};

/// What a later debit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// The true debit, after an estimate: it corrects that.
    Better,
    /// An estimate, which says nothing that the first one does not say better.
    Superseded,
    /// One of them is not true, or they are not of the same call.
    Conflict,
}

impl Later {
    /// What a debit of other bytes is to the first debit of its exchange.
    #[must_use]
    pub fn of(later: &Debit, first: &Debit) -> Self {
        // Only what the first one moved can be corrected: its account, its token, its day.
        let scopes = |debit: &Debit| (debit.tier, debit.funding, debit.utc_day);
        let is_same_call = later.exchange_id == first.exchange_id
            && later.account == first.account
            && later.token_id == first.token_id
            && scopes(later) == scopes(first);
        match (is_same_call, has_unknown_ending(first), has_unknown_ending(later)) {
            (false, ..) | (true, false, false) => Self::Conflict,
            (true, _, true) => Self::Superseded,
            (true, true, false) => Self::Better,
        }
    }
}

/// Whether the debit is charged without knowing how the call ended.
fn has_unknown_ending(debit: &Debit) -> bool {
    matches!(debit.ending, Ending::Orphaned | Ending::Lost)
}
