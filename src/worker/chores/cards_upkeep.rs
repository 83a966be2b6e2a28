//! A root publishes its configuration's rate cards to the ledger; from then on they price new calls of its VM.

use std::rc::Rc;

use crate::base::clock::Tick;
use crate::base::wire::CARDS_PATH;
use crate::memory::publish::Publishing;
use crate::price::bundle::Bundle;
use crate::told::ledger_trouble::{Said, Trouble, Way};
use crate::told::metrics::Metric;
use crate::worker::chores::callouts::Ended;
use crate::worker::host::{Host, Level};
use crate::worker::root_share::Worker;

/// One root's cards.
#[derive(Debug)]
pub struct CardsUpkeep {
    /// The cards of this configuration, until the ledger knows them; then the VM has them.
    publishing: Option<Publishing>,
    /// The callout that makes them known.
    under_way: Option<u32>,
    /// The reason why the ledger does not know them yet, as the operator was last told.
    told: String,
}

impl CardsUpkeep {
    /// Begins with a configuration's cards, which the ledger may not know.
    #[must_use]
    pub fn new(bundle: Rc<Bundle>) -> Self {
        Self { publishing: Some(Publishing::new(bundle)), under_way: None, told: String::new() }
    }

    /// Whether the ledger must still be told of the cards, or has not answered yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.publishing.is_some()
    }

    /// If the ledger knows this configuration's cards, from whichever root, they price new calls of this VM
    /// from now on.
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

    /// Publishes the cards to the ledger, if it does not know them.
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

/// Tells the operator. A ledger that cannot be reached is a warning, since it may come back; one that refuses
/// will refuse again.
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
