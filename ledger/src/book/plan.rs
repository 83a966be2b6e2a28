//! Plans of many corrections: what each one would do, in an order that never changes, so that an operator agrees to
//! exactly that.
//!
//! A plan is cut into batches, each of which is done in one transaction. The hash of a batch ([`batch_sha256`]) is in the
//! operator log, and so proves the entries that the transaction made; the hash of a plan ([`PlanId`]) is made of those of
//! its batches.

use std::fmt;
use std::str::FromStr;

use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;

/// How many corrections a batch has; the last one of a plan may have fewer.
pub const BATCH_CORRECTIONS: usize = 500;

/// What one correction of a call does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The exchange.
    pub corrects: String,
    /// What the call cost.
    pub was_pax: Pax,
    /// What it costs from then on.
    pub now_pax: Pax,
}

/// The hash of a batch: SHA-256 of `"pax-corrections/1\n"` and a line for each correction, in their order:
/// `corrects " " was_pax " " now_pax "\n"`.
#[must_use]
pub fn batch_sha256<'a>(changes: impl Iterator<Item = &'a Change>) -> Digest {
    let line = |it: &Change| format!("{} {} {}\n", it.corrects, it.was_pax, it.now_pax);
    let lines: String = changes.map(line).collect();
    Digest::of(&[b"pax-corrections/1\n", lines.as_bytes()])
}

/// The name of a plan. Its text is the milliseconds of the moment, a dash, and the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanId {
    /// The plan has no call that was recorded later: calls that come in while it is looked at do not change it.
    pub until: Moment,
    /// SHA-256 of `"pax-plan/1\n"`, the hash of the card under which the calls are priced again, and those of the
    /// batches, each followed by a line's end.
    pub sha256: Digest,
}

impl PlanId {
    /// The name of a plan that prices calls under this card again, in these batches.
    #[must_use]
    pub fn new(until: Moment, card: Digest, batches: impl Iterator<Item = Digest>) -> Self {
        let lines: String = std::iter::once(card).chain(batches).map(|hash| format!("{hash}\n")).collect();
        Self { until, sha256: Digest::of(&[b"pax-plan/1\n", lines.as_bytes()]) }
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.until.ms(), self.sha256)
    }
}

impl FromStr for PlanId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').and_then(|(until, sha256)| {
            Some(Self { until: Moment::from_ms(until.parse().ok()?), sha256: sha256.parse().ok()? })
        });
        parts.filter(|plan| plan.to_string() == text).ok_or_else(|| {
            "a plan is the text that --dry-run prints: a number, a dash, and 64 hexadecimal digits".to_owned()
        })
    }
}

/// The key of a batch of a plan, without the operator's key before it; batches are numbered from 1.
#[must_use]
pub fn batch_name(number: usize) -> String {
    format!("{number:04}")
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;
