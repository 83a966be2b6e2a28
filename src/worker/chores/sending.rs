//! A root sends its VM's debits to the ledger, a batch at a time, and takes in the ledger's replies.

use crate::base::wire::{DEBITS_PATH, DebitOutcome, DebitReplies};
use crate::memory::gate;
use crate::memory::lanes::outbox::{Wait, Waiting};
use crate::told::ledger_trouble::{Trouble, Way};
use crate::told::metrics::{DEBIT_RESULTS, Metric, Value};
use crate::told::rarely::Rarely;
use crate::worker::chores::callouts::Ended;
use crate::worker::host::{Host, Level};
use crate::worker::root_share::Worker;

/// One root's part in sending its VM's debits. While a VM changes from one configuration to the next it has two roots,
/// and whichever ticks first sends the next batch: so a root that cannot reach its ledger keeps no debit waiting.
#[derive(Debug)]
pub struct Sending {
    /// The callout of the batch under way, if this root sent it.
    under_way: Option<u32>,
    /// How long this root waits after a failure.
    retry: Wait,
    tells_of_unsupported: Rarely,
}

impl Default for Sending {
    fn default() -> Self {
        Self { under_way: None, retry: Wait::NONE, tells_of_unsupported: Rarely::new() }
    }
}

impl Sending {
    /// The root ends, and will not get the ledger's replies to the batch under way: it is sent again by the VM's other
    /// root, or by the VM that takes over this one's lane.
    pub fn retire(self, worker: &Worker) {
        if self.under_way.is_some() {
            let _ = worker.vm.with(|vm| vm.outbox().failed());
        }
    }

    /// Sends the next batch, one debit a line, if there is one.
    pub fn send(&mut self, host: &impl Host, worker: &Worker) {
        let now = host.tick();
        if !self.retry.is_over(now) {
            return;
        }
        let Some(body) = worker.vm.with(|vm| vm.outbox().next_batch(now).map(lines)).flatten() else {
            return;
        };
        let gateway = worker.gateway();
        let to = (&gateway.config.ledger, Way::Main);
        self.under_way = worker.callouts.post(host, now, to, (DEBITS_PATH, "application/x-ndjson"), &body);
        if self.under_way.is_none() {
            self.failed(host, worker);
        }
    }

    fn failed(&mut self, host: &impl Host, worker: &Worker) {
        let _ = worker.vm.with(|vm| vm.outbox().failed());
        self.retry.longer(host.tick());
    }

    /// A callout has ended; false if it is not the batch under way.
    pub fn take_answer(&mut self, host: &impl Host, worker: &Worker, ended: Ended) -> bool {
        if self.under_way.take_if(|callout| *callout == ended.callout).is_none() {
            return false;
        }
        self.take_replies(host, worker, ended);
        // If more waited than the last batch could hold, the next batch goes at once; otherwise new debits wait
        // for the tick. A batch costs Envoy as much as a call does, so a batch for every few debits would cost
        // more than all else about them.
        if worker.vm.with(|vm| vm.outbox().has_more()).unwrap_or(false) {
            self.send(host, worker);
        }
        true
    }

    /// Takes in the ledger's replies to the batch under way: all of them, or the batch is sent again.
    fn take_replies(&mut self, host: &impl Host, worker: &Worker, ended: Ended) {
        let gateway = worker.gateway();
        let from = (&gateway.config.ledger, Way::Main);
        let expected = worker.vm.with(|vm| vm.outbox().under_way().len()).unwrap_or(0);
        let replies = worker.callouts.answer(host, host.tick(), from, ended, |said| {
            let replies: DebitReplies = said.done()?;
            match replies.results.len() {
                answers if answers == expected => Ok(replies),
                answers => Err(Trouble::Unreadable(format!("{answers} answers to {expected} debits"))),
            }
        });
        match replies {
            Ok(replies) => self.acknowledge(host, worker, &replies),
            // The debits are sent again.
            Err(_) => self.failed(host, worker),
        }
    }

    fn acknowledge(&mut self, host: &impl Host, worker: &Worker, replies: &DebitReplies) {
        for reply in &replies.results {
            if matches!(reply.outcome, DebitOutcome::Conflict | DebitOutcome::Rejected) {
                let why = reply.message.as_deref().unwrap_or("no reason given");
                let line = format!("the ledger quarantined the debit of {}: {why}", reply.exchange_id);
                host.log(Level::Error, &line);
            }
        }
        for (outcome, word) in DEBIT_RESULTS {
            let of = replies.results.iter().filter(|reply| reply.outcome == outcome).count();
            if of > 0 {
                let of = u64::try_from(of).unwrap_or(0);
                worker.vm.tell(host, Metric::Debits, [Value::Word(word)], of);
            }
        }
        let outcomes: Vec<DebitOutcome> = replies.results.iter().map(|reply| reply.outcome).collect();
        let now = host.tick();
        self.retry = Wait::NONE;
        let unread = worker.vm.with(|vm| {
            let (lane, outbox) = vm.lane_and_outbox(host, now);
            gate::acknowledged(host, outbox.under_way(), &replies.results);
            outbox.answered(host, lane, &outcomes, now)
        });
        let unread = unread.unwrap_or(0);
        if unread > 0 && self.tells_of_unsupported.tell(now).is_some() {
            let line = format!(
                "the ledger does not read the version of {unread} debits that it got just now: they wait, and are \
                 sent again. Upgrade the ledger before its Envoys"
            );
            host.log(Level::Warn, &line);
        }
    }
}

/// The body of a batch.
fn lines(batch: &[Waiting]) -> Vec<u8> {
    let bytes = batch.iter().map(|waiting| waiting.debit.canonical().len().saturating_add(1)).sum();
    let mut body = Vec::with_capacity(bytes);
    for waiting in batch {
        body.extend_from_slice(waiting.debit.canonical());
        body.push(b'\n');
    }
    body
}

#[cfg(test)]
#[path = "sending_test.rs"]
mod tests;
