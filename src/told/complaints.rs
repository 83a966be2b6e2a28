//! What the operator is told if calls are refused for a reason that lies in the gateway itself. One of the
//! workers writes a line to Envoy's log at once, and then one an interval for as long as it goes on.

use std::collections::BTreeMap;

use crate::base::clock::Tick;
use crate::memory::cap::ITEMS_MAX;
use crate::memory::shared::SharedData;
use crate::told::rarely::{RarelyAmongAll, more};

/// What is amiss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complaint {
    /// Envoy keeps requests' bodies from the filter: [`crate::worker::body_watch`].
    BodiesKeptBack,
    /// The ledger is of a version that makes no holds.
    LedgerWithoutHolds,
    /// The ledger has rejected a hold.
    HoldRejected,
    /// The host gives no random bytes.
    NoRandom,
    /// A call found no place in shared data.
    NoPlace,
    /// So many debits wait for the ledger that no call can be added to them.
    OutboxFull,
    /// So many tokens wait for a question to the ledger that no other token may join them.
    TooManyQuestions,
}

impl Complaint {
    fn name(self) -> &'static str {
        match self {
            Self::BodiesKeptBack => "bodies_kept_back",
            Self::LedgerWithoutHolds => "ledger_without_holds",
            Self::HoldRejected => "hold_rejected",
            Self::NoRandom => "no_random",
            Self::NoPlace => "no_place",
            Self::OutboxFull => "outbox_full",
            Self::TooManyQuestions => "too_many_questions",
        }
    }

    fn line(self, more: &str) -> String {
        match self {
            Self::BodiesKeptBack => format!(
                "Envoy keeps the bodies of requests from the filter, so calls are refused with 503 gateway_disabled{more}. Set \
                 allow_on_headers_stop_iteration: true in the filter's configuration in Envoy, beside root_id. If it is \
                 set, a filter in front of this one gathers bodies: put it behind"
            ),
            Self::LedgerWithoutHolds => format!(
                "the ledger is of a version that makes no holds, so calls that need one are refused with 503 \
                 ledger_unavailable{more}. Upgrade the ledger; until then, gate.admission.credit: \"shared_data\" in the \
                 filter's configuration lets the credit tier call without a limit"
            ),
            Self::HoldRejected => format!(
                "the ledger rejected a hold, so its call was refused with 503 ledger_unavailable{more}. Set the clocks of \
                 Envoy's host and of the ledger's: they may be an hour apart. The next line says why"
            ),
            Self::NoRandom => format!(
                "Envoy gives the filter no random bytes, so calls would have no ids and are refused with 503 \
                 gateway_disabled{more}. Its capability restrictions, if it has any, must allow wasi's random_get"
            ),
            Self::NoPlace => format!(
                "a call found no place in shared data and was refused with 503 ledger_unavailable{more}: its worker has as \
                 many calls open as it can, or its account has {ITEMS_MAX} that are open or not acknowledged. If debits wait \
                 (pax_outbox_waiting), mend the ledger; if none does, there are more calls than one Envoy is for"
            ),
            Self::OutboxFull => format!(
                "too many debits wait for the ledger (pax_outbox_waiting), so new calls are refused with 503 \
                 ledger_unavailable{more}. Mend the ledger, and do not stop Envoy before it has them"
            ),
            Self::TooManyQuestions => format!(
                "too many tokens that nobody was known by wait to be asked about, so a call was refused with 503 \
                 ledger_unavailable{more}. Somebody tries many tokens: limit callers in front of the gateway. Or the \
                 ledger is slow"
            ),
        }
    }
}

/// What one worker has met.
#[derive(Debug, Default)]
pub struct Complaints {
    met: BTreeMap<Complaint, RarelyAmongAll>,
}

impl Complaints {
    /// It happened once more. Gives the line if one is due.
    pub fn tell(&mut self, shared: &impl SharedData, now: Tick, complaint: Complaint) -> Option<String> {
        let met = self.met.entry(complaint).or_default();
        let again = met.tell(shared, complaint.name(), "", now)?;
        Some(complaint.line(&more(again)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::worker::fake::Map;

    #[test]
    fn each_says_what_callers_get_and_what_to_do_once_for_all_workers() {
        let shared = Map::default();
        let mut workers = [Complaints::default(), Complaints::default()];
        let mut tell = |worker: usize, complaint: Complaint| {
            workers.get_mut(worker).unwrap().tell(&shared, Tick::from_ms(1_000_000), complaint)
        };
        for (complaint, code, next) in [
            (Complaint::BodiesKeptBack, "503 gateway_disabled", "Set allow_on_headers_stop_iteration: true"),
            (Complaint::LedgerWithoutHolds, "503 ledger_unavailable", "Upgrade the ledger"),
            (Complaint::HoldRejected, "503 ledger_unavailable", "Set the clocks"),
            (Complaint::NoRandom, "503 gateway_disabled", "must allow wasi's random_get"),
            (Complaint::NoPlace, "503 ledger_unavailable", "mend the ledger"),
            (Complaint::OutboxFull, "503 ledger_unavailable", "Mend the ledger, and do not stop Envoy"),
            (Complaint::TooManyQuestions, "503 ledger_unavailable", "limit callers"),
        ] {
            let line = tell(0, complaint).unwrap();
            assert!(line.contains(code) && line.contains(next), "{line}");
            assert_eq!([tell(1, complaint), tell(0, complaint)], [None, None]);
        }
    }
}
