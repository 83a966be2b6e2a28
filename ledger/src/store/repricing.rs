//! Many calls priced again at once, as an operator asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::digest::Digest;
use pax_gateway::price::card::RateCard;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::book::{Change, PlanId, Sum};

/// How many of a plan's corrections are shown.
pub const SHOWN: usize = 10;

/// Which calls are priced again, and under which card. Calls with the caller's own key are never among them.
#[derive(Clone, Debug)]
pub struct Repricing {
    /// The card under which they are priced now: that of the call, or that of its last correction.
    pub priced_under: Arc<RateCard>,
    /// The card that prices them again.
    pub reprice_as: Arc<RateCard>,
    /// Only calls of this account.
    pub account: Option<String>,
    /// Only calls of this model.
    pub model: Option<String>,
    /// Only calls of this UTC day and later.
    pub since: Option<UtcDay>,
    /// Only calls of this UTC day and earlier.
    pub until: Option<UtcDay>,
}

impl Repricing {
    /// How it is written in the request's hash.
    #[must_use]
    pub fn argument(&self, plan: &PlanId) -> serde_json::Value {
        json!({
            "plan": plan.to_string(), "card": self.priced_under.sha256, "reprice_as": self.reprice_as.sha256,
            "account": self.account, "model": self.model, "since": self.since, "until": self.until,
        })
    }
}

/// What a repricing would do, or has done: the plan of a run stays the same while the run goes on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub id: PlanId,
    /// Its batches.
    pub batches: Vec<PlannedBatch>,
    /// All its corrections.
    pub all: Changes,
    /// Those that the run with the operator's key has made already.
    pub done: u64,
    /// Its corrections by account.
    pub by_account: BTreeMap<String, Changes>,
    /// Its corrections by model.
    pub by_model: BTreeMap<String, Changes>,
    /// The first [`SHOWN`] of them.
    pub first: Vec<Planned>,
    /// Calls of the selection that are not in it.
    pub left_out: LeftOut,
}

/// A batch of a plan.
#[derive(Clone, Debug)]
pub struct PlannedBatch {
    /// After which entry its calls begin.
    pub after: Place,
    /// The hash of its corrections.
    pub sha256: Digest,
}

/// An entry's place in the order of a plan: by account, then in the account's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The account; empty before the first.
    pub account: String,
    /// The entry's number in it.
    pub account_seq: i64,
}

/// One correction of a plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The call's entry.
    pub place: Place,
    /// The call's model.
    pub model: String,
    /// What is to be done.
    pub change: Change,
    /// Whether the run with the operator's key has made it already.
    pub is_done: bool,
}

/// What a number of corrections change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How many.
    pub count: u64,
    /// What the calls cost before.
    pub was: Sum,
    /// What they cost after.
    pub now: Sum,
}

impl Changes {
    /// Counts one more.
    pub fn add(&mut self, change: &Change) {
        self.count = self.count.saturating_add(1);
        self.was = self.was.plus(change.was_pax);
        self.now = self.now.plus(change.now_pax);
    }

    /// How much dearer the calls become.
    #[must_use]
    pub fn difference(&self) -> Sum {
        self.now.less(self.was)
    }
}

/// How many calls of a selection are not in a plan, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// An operator has named their amount: what was decided for one call is not undone for many.
    pub corrected: u64,
    /// They cost the same under both cards.
    pub same: u64,
    /// The card has no price for them.
    pub unpriced: u64,
}

/// What came of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchDone {
    /// How many corrections its transaction made.
    pub corrections: usize,
}
