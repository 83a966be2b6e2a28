//! A root makes its configuration's rate cards known to the ledger; from then on new calls of its VM are priced by them.

use std::rc::Rc;

use crate::bundle::Bundle;
use crate::callouts::Ended;
use crate::clock::Tick;
use crate::ledger_trouble::{Said, Trouble, Way};
use crate::metrics::Metric;
use crate::port::{Host, Level};
use crate::publish::Publishing;
use crate::wire::CARDS_PATH;
use crate::worker::Worker;

/// One root's cards.
#[derive(Debug)]
pub struct CardsUpkeep {
    /// The cards of this configuration, until the ledger knows them: then they are the VM's.
    publishing: Option<Publishing>,
    /// The callout that makes them known.
    under_way: Option<u32>,
    /// Why the ledger does not know them yet, as it was last told.
    told: String,
}

impl CardsUpkeep {
    /// A configuration's cards, of which the ledger may not know.
    #[must_use]
    pub fn new(bundle: Rc<Bundle>) -> Self {
        Self { publishing: Some(Publishing::new(bundle)), under_way: None, told: String::new() }
    }

    /// Whether the ledger has still to be told, or to answer.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.publishing.is_some()
    }

    /// Once the ledger knows this configuration's cards, whichever root told it, new calls of this VM are priced by them.
    pub fn take_up(&mut self, host: &impl Host, worker: &Worker) {
        let Some(publishing) = self.publishing.take_if(|publishing| publishing.is_known(host)) else {
            return;
        };
        let bundle = publishing.bundle();
        let cards = worker.vm.with(|vm| vm.adopt(bundle)).unwrap_or(0);
        let versions: Vec<String> = bundle.cards().iter().map(|card| format!("v{}", card.version)).collect();
        host.log(Level::Info, &format!("configured with rate cards {}", versions.join(", ")));
        if worker.gateway().config.disabled {
            host.log(
                Level::Warn,
                "the kill switch is on (\"disabled\": true in the filter's configuration): every call is answered 503",
            );
        }
        worker.vm.tell(host, Metric::RateCards, [], u64::try_from(cards).unwrap_or(0));
    }

    /// Makes the cards known to the ledger, if they are not.
    pub fn tick(&mut self, host: &impl Host, worker: &Worker, now: Tick) {
        self.take_up(host, worker);
        let Some(publishing) = &mut self.publishing else { return };
        let Some(body) = publishing.ask(host, now) else { return };
        let gateway = worker.gateway();
        let to = (&gateway.config.ledger, Way::Main);
        self.under_way = worker.callouts.post(host, now, to, (CARDS_PATH, "application/json"), &body);
        if self.under_way.is_none() {
            publishing.failed(now);
        }
    }

    /// A callout has ended; false if it is not the one that makes cards known.
    pub fn take_answer(&mut self, host: &impl Host, worker: &Worker, ended: Ended) -> bool {
        if self.under_way.take_if(|callout| *callout == ended.callout).is_none() {
            return false;
        }
        let Some(publishing) = &mut self.publishing else { return true };
        let (now, gateway) = (host.tick(), worker.gateway());
        let from = (&gateway.config.ledger, Way::Main);
        let (refused, why) = match worker.callouts.answer(host, now, from, ended, Ok) {
            Ok(Said::Done(_)) => {
                publishing.acknowledged(host);
                self.tick(host, worker, now);
                return true;
            }
            Ok(Said::Refused(refused)) => (true, Trouble::Status(refused).to_string()),
            Err(trouble) => (false, trouble.to_string()),
        };
        publishing.failed(now);
        if why != self.told {
            tell(host, worker, refused, &why);
            self.told = why;
        }
        true
    }
}

/// A ledger that is away comes back; one that refuses will refuse again.
fn tell(host: &impl Host, worker: &Worker, refused: bool, why: &str) {
    if refused {
        worker.vm.tell(host, Metric::RateCardsRefused, [], 1);
        host.log(
            Level::Error,
            &format!(
                "the ledger refuses this configuration's rate cards, so the cards before them stay: {why}"
            ),
        );
    } else {
        host.log(
            Level::Warn,
            &format!("the ledger does not know this configuration's rate cards yet: {why}"),
        );
    }
}

#[cfg(test)]
#[path = "cards_upkeep_test.rs"]
mod tests;
