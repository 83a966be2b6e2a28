//! The holds that were refused lately: the same hold again gets its first refusal again.

use std::collections::{HashMap, VecDeque};

use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{HoldOutcome, HoldReply};
use pax_gateway::debit::frozen::Debit;

/// How many refusals are remembered; the oldest is forgotten first.
const REMEMBERED: usize = 64 * 1_024;

/// Refusals, by exchange. They are in memory only: if they were on disk, callers without credit could make the ledger
/// write as fast as they can ask. If one is forgotten, the same hold is decided anew: it was not made, so it may be made.
#[derive(Debug, Default)]
pub(super) struct Refused {
    replies: HashMap<ExchangeId, (String, HoldReply)>,
    order: VecDeque<ExchangeId>,
}

impl Refused {
    /// The first refusal of a hold. None if it was not refused, or that is forgotten.
    pub(super) fn again(&self, debit: &Debit) -> Option<HoldReply> {
        let (account, reply) = self.replies.get(&debit.exchange_id)?;
        (*account == debit.account).then(|| reply.clone())
    }

    /// Whether an exchange's hold was refused.
    pub(super) fn has(&self, exchange: &ExchangeId, account: &str) -> bool {
        self.replies.get(exchange).is_some_and(|(of, _)| of == account)
    }

    /// Remembers the answer to a hold, if it is a refusal.
    pub(super) fn remember(&mut self, debit: &Debit, reply: &HoldReply) {
        match reply.outcome {
            HoldOutcome::AccountDisabled
            | HoldOutcome::UnknownToken
            | HoldOutcome::InsufficientCredit
            | HoldOutcome::DailyCapExceeded => {}
            // These are answered so again anyway.
            HoldOutcome::Held | HoldOutcome::Closed | HoldOutcome::Rejected => return,
        }
        let refusal = (debit.account.clone(), reply.clone());
        if self.replies.insert(debit.exchange_id, refusal).is_none() {
            self.order.push_back(debit.exchange_id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.replies.remove(&oldest);
        }
    }
}
