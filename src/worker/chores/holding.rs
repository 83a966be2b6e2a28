//! Asks the ledger for calls' holds, tells the streams that wait its answers, and renews this Envoy's lease.
//!
//! A root's context makes the question, so that it does not end with its stream: the ledger may answer it all the same.
//! The SDK hands the answer to the context in whose callback the question was made, which is the stream's or, if the stream
//! was woken by its root, the root's.

use crate::base::clock::{Now, Tick};
use crate::base::pax::Pax;
use crate::base::wire::{HOLDS_PATH, HoldOutcome, HoldReply, HoldRequest, LEASE_PATH, LeaseRequest};
use crate::call::event::NoHold;
use crate::debit::admission::Admission;
use crate::debit::debiting::debit_of_unknown;
use crate::debit::frozen::Ending;
use crate::memory::lease;
use crate::told::complaints::Complaint;
use crate::told::ledger_trouble::{Said, Way};
use crate::worker::chores::callouts::Ended;
use crate::worker::host::{Host, Level, random, told};
use crate::worker::root_share::Worker;
use crate::worker::waiting::Waiter;

/// The first version of a debit that names its hold: a ledger that does not read it makes no holds.
const NAMES_HOLD_FROM: u32 = 2;

impl Worker {
    /// Asks the ledger for a call's hold. Gives the number of the callout.
    ///
    /// # Errors
    /// [`NoHold::NotAsked`].
    pub(crate) fn ask_for_hold(
        &self,
        host: &impl Host,
        (admission, card_cap): (&Admission, Option<Pax>),
        waiter: &Waiter,
        now: Tick,
    ) -> Result<u32, NoHold> {
        // While the ledger is away, each question would leave a void in the outbox.
        if self.vm.with(|vm| vm.probe().ledger_is_away()).unwrap_or(true) {
            return Err(NoHold::NotAsked);
        }
        if admission.account.canon_v < NAMES_HOLD_FROM {
            self.complain(host, now, Complaint::LedgerWithoutHolds);
            return Err(NoHold::NotAsked);
        }
        let body = body(host, self, admission, card_cap).ok_or(NoHold::NotAsked)?;
        let gateway = self.gateway();
        let to = (&gateway.config.ledger, Way::Main);
        told(host, host.act_for(self.context), "ask the ledger in a root's context");
        let callout = self.callouts.post(host, now, to, (HOLDS_PATH, "application/x-ndjson"), &body);
        waiter.act(host);
        let callout = callout.ok_or(NoHold::NotAsked)?;
        self.holds.waits(callout, waiter.clone());
        Ok(callout)
    }

    /// Reads the ledger's answer to a hold.
    ///
    /// # Errors
    /// [`NoHold::NotAnswered`].
    pub(crate) fn read_hold(&self, host: &impl Host, now: Tick, ended: Ended) -> Result<HoldReply, NoHold> {
        let gateway = self.gateway();
        let from = (&gateway.config.ledger, Way::Main);
        let answer = self.callouts.answer(host, now, from, ended, Said::done::<HoldReply>);
        let Ok(reply) = answer else {
            // A ledger that only reads, since its disk is full, answers probes. After a second failure in a row it is asked
            // for holds again after the next probe, so that not every call leaves a void. One failure alone may be a
            // connection that broke.
            if self.hold_failed.replace(true) {
                let _ = self.vm.with(|vm| vm.probe().answered(false));
            }
            return Err(NoHold::NotAnswered);
        };
        self.hold_failed.set(false);
        if reply.outcome == HoldOutcome::Rejected && self.complains(host, now, Complaint::HoldRejected) {
            let why = reply.message.as_deref().unwrap_or("no reason given");
            host.log(Level::Error, &format!("the ledger said of the hold that it rejected: {why}"));
        }
        Ok(reply)
    }
}

/// The two lines of a question.
fn body(
    host: &impl Host,
    worker: &Worker,
    admission: &Admission,
    card_cap_pax: Option<Pax>,
) -> Option<Vec<u8>> {
    let (envoy, hold_pax) = (envoy(host, worker)?, admission.hold?);
    let lost = debit_of_unknown(admission, Ending::Lost)?;
    let mut body = serde_json::to_vec(&HoldRequest { envoy, hold_pax, card_cap_pax }).ok()?;
    body.push(b'\n');
    lost.to_canonical_into(&mut body);
    Some(body)
}

/// This Envoy's number, as the ledger takes it.
fn envoy(host: &impl Host, worker: &Worker) -> Option<String> {
    if worker.envoy.get().is_none() {
        let drawn = u64::from_le_bytes(random(host).ok()?);
        worker.envoy.set(lease::envoy(host, drawn));
    }
    worker.envoy.get().map(|number| format!("{number:016x}"))
}

/// A callout has ended in the root's callback; false if it is no hold's.
pub fn take_answer(host: &impl Host, worker: &Worker, ended: Ended) -> bool {
    let Some(waiter) = worker.holds.take(ended.callout) else { return false };
    let now = host.now();
    let reply = worker.read_hold(host, now.tick, ended);
    waiter.take_hold(host, reply, now);
    told(host, host.act_for(worker.context), "go on in a root's context");
    true
}

/// One root's part in renewing the lease.
#[derive(Debug, Default)]
pub struct Leasing {
    under_way: Option<u32>,
}

impl Leasing {
    /// Renews the lease, if it is time and calls need holds.
    pub fn tick(&mut self, host: &impl Host, worker: &Worker, now: Now) {
        let gateway = worker.gateway();
        if self.under_way.is_some() || !gateway.config.gate.makes_holds() || !lease::renew(host, now.tick) {
            return;
        }
        let body = envoy(host, worker).and_then(|envoy| serde_json::to_vec(&LeaseRequest { envoy }).ok());
        let to = (&gateway.config.ledger, Way::Main);
        self.under_way = body.and_then(|body| {
            worker.callouts.post(host, now.tick, to, (LEASE_PATH, "application/json"), &body)
        });
        if self.under_way.is_none() {
            lease::not_renewed(host, now.tick);
        }
    }

    /// A callout has ended; false if it is not the one that renews the lease.
    pub fn take_answer(&mut self, host: &impl Host, worker: &Worker, ended: Ended) -> bool {
        if self.under_way.take_if(|callout| *callout == ended.callout).is_none() {
            return false;
        }
        let (now, gateway) = (host.tick(), worker.gateway());
        let from = (&gateway.config.ledger, Way::Main);
        let renewed = worker.callouts.answer(host, now, from, ended, Said::done::<serde::de::IgnoredAny>);
        if renewed.is_err() {
            lease::not_renewed(host, now);
        }
        true
    }
}
