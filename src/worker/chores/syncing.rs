//! A root asks the ledger for the standings of active accounts, once an interval; and, now and then, whether it
//! answers at all.

use crate::base::clock::{Now, Tick};
use crate::base::wire::{STANDINGS_PATH, StandingAsk, StandingsReply, StandingsRequest};
use crate::memory::cap;
use crate::told::ledger_trouble::{Said, Way};
use crate::worker::chores::callouts::Ended;
use crate::worker::host::Host;
use crate::worker::root_share::Worker;

const JSON: &str = "application/json";

/// One root's questions for standings.
#[derive(Debug, Default)]
pub struct Syncing {
    /// The callout that asks for standings, and which ones it asks for.
    under_way: Option<(u32, Vec<StandingAsk>)>,
    /// The callout that only asks whether the ledger answers.
    probe: Option<u32>,
}

impl Syncing {
    /// Asks for the standings of active accounts, if it is time.
    pub fn tick(&mut self, host: &impl Host, worker: &Worker, now: Now) {
        if self.under_way.is_some() {
            return;
        }
        let gateway = worker.gateway();
        let (interval_ms, ttl_ms) = (gateway.config.gate.sync_ms, gateway.config.tokens.ttl_ms);
        let asks = worker.vm.with(|vm| match vm.active() {
            active if active.due(now.tick, interval_ms, worker.tick_ms().into()) => active.next(now, ttl_ms),
            _ => Vec::new(),
        });
        let Some(asks) = asks.filter(|asks| !asks.is_empty()) else { return };
        let callout = ask(host, worker, now.tick, asks.clone());
        self.under_way = callout.map(|callout| (callout, asks));
    }

    /// Asks the ledger, now and then, whether it answers. The question names no account, so it tries only the
    /// secret and the database.
    pub fn probe(&mut self, host: &impl Host, worker: &Worker, now: Tick) {
        if self.probe.is_some() || !worker.vm.with(|vm| vm.probe().ask(now)).unwrap_or(false) {
            return;
        }
        self.probe = ask(host, worker, now, Vec::new());
        if self.probe.is_none() {
            let _ = worker.vm.with(|vm| vm.probe().answered(false));
        }
    }

    /// A callout has ended; false if it is neither of these two.
    pub fn take_answer(&mut self, host: &impl Host, worker: &Worker, ended: Ended) -> bool {
        if let Some((_, asks)) = self.under_way.take_if(|(callout, _)| *callout == ended.callout) {
            take_standings(host, worker, &asks, ended);
            return true;
        }
        if self.probe.take_if(|callout| *callout == ended.callout).is_none() {
            return false;
        }
        let answers = answer(host, worker, ended).is_some();
        let _ = worker.vm.with(|vm| vm.probe().answered(answers));
        true
    }
}

fn ask(host: &impl Host, worker: &Worker, now: Tick, asks: Vec<StandingAsk>) -> Option<u32> {
    let gateway = worker.gateway();
    let body = serde_json::to_vec(&StandingsRequest { asks }).unwrap_or_default();
    let to = (&gateway.config.ledger, Way::Main);
    worker.callouts.post(host, now, to, (STANDINGS_PATH, JSON), &body)
}

fn answer(host: &impl Host, worker: &Worker, ended: Ended) -> Option<StandingsReply> {
    let gateway = worker.gateway();
    let from = (&gateway.config.ledger, Way::Main);
    worker.callouts.answer(host, host.tick(), from, ended, Said::done).ok()
}

/// Takes in the standings. A question that was not answered is asked again in the next round.
fn take_standings(host: &impl Host, worker: &Worker, asks: &[StandingAsk], ended: Ended) {
    let Some(reply) = answer(host, worker, ended) else { return };
    let now = host.tick();
    for (ask, standing) in asks.iter().zip(&reply.standings) {
        if let Some(standing) = standing {
            cap::learn(host, &ask.account, standing, now);
        }
    }
}

#[cfg(test)]
#[path = "syncing_test.rs"]
mod tests;
