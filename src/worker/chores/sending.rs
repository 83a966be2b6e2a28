//! A root sends the outbox's debits to the ledger, a batch at a time, and takes in the ledger's replies.

use crate::base::wire::{DEBITS_PATH, DebitOutcome, DebitReplies};
use crate::memory::gate;
use crate::memory::outbox::{Contents, Sender};
use crate::told::ledger_trouble::{Trouble, Way};
use crate::told::metrics::{DEBIT_RESULTS, Metric, Value};
use crate::told::rarely::Rarely;
use crate::worker::chores::callouts::Ended;
use crate::worker::host::{Host, Level};
use crate::worker::root_share::Worker;
use crate::worker::vm::Vm;

/// One root's part in emptying the outbox.
#[derive(Debug)]
pub struct Sending {
    sender: Sender,
    /// The callout of the batch under way.
    under_way: Option<u32>,
    /// What was in the outbox when this root last looked.
    contents: Contents,
    tells_of_unsupported: Rarely,
}

impl Sending {
    /// A root that has sent nothing yet. `id`: random, other than every other root's.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self {
            sender: Sender::new(id),
            under_way: None,
            contents: Contents::default(),
            tells_of_unsupported: Rarely::new(),
        }
    }

    /// Looks whether the outbox has room for new calls, and whether this root has something to send. If so,
    /// sends it.
    pub fn tick(&mut self, host: &impl Host, worker: &Worker) {
        if self.look(host, worker) {
            self.send(host, worker);
        }
    }

    /// Whether this root has something to send.
    pub fn look(&mut self, host: &impl Host, worker: &Worker) -> bool {
        self.contents = Contents::of(host);
        worker.room.set(self.contents.has_room());
        worker.vm.tell(host, Metric::OutboxWaiting, [], self.contents.all());
        worker.vm.tell(host, Metric::Unsupported, [], self.contents.aside);
        if self.contents.all() == 0 {
            let _ = worker.vm.with(Vm::outbox_is_empty);
            return false;
        }
        if worker.serves() {
            return true;
        }
        // Workers that serve calls send the debits, on their own threads. If none of them is left, and the last
        // one's lease is over, any root sends.
        let (passed, now) = (self.contents.passed, host.tick());
        worker.vm.with(|vm| vm.finds_outbox_stuck(passed, now)).unwrap_or(false)
    }

    /// How many debits waited to be sent when the outbox was last looked into. Debits that were put aside do
    /// not count: they are tried again after seconds.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.contents.waiting
    }

    /// Gives up the sender's lease: the worker that has the next debit must not wait for a root that looks once
    /// a second.
    pub fn rest(&self, host: &impl Host) {
        self.sender.release(host);
    }

    /// The root ends, and will not get the ledger's replies to the batch under way.
    pub fn retire(self, host: &impl Host) {
        self.sender.retire(host);
    }

    /// Sends the next batch, one debit a line.
    fn send(&mut self, host: &impl Host, worker: &Worker) {
        let now = host.tick();
        let Some(batch) = self.sender.next_batch(host, now) else { return };
        let mut body =
            Vec::with_capacity(batch.iter().map(|debit| debit.canonical.len().saturating_add(1)).sum());
        for debit in batch {
            body.extend_from_slice(&debit.canonical);
            body.push(b'\n');
        }
        let gateway = worker.gateway();
        let to = (&gateway.config.ledger, Way::Main);
        self.under_way = worker.callouts.post(host, now, to, (DEBITS_PATH, "application/x-ndjson"), &body);
        if self.under_way.is_none() {
            self.sender.failed(now);
        }
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
        if self.sender.has_more() {
            self.send(host, worker);
        }
        true
    }

    /// Takes in the ledger's replies to the batch under way: all of them, or the batch is sent again.
    fn take_replies(&mut self, host: &impl Host, worker: &Worker, ended: Ended) {
        let gateway = worker.gateway();
        let from = (&gateway.config.ledger, Way::Main);
        let expected = self.sender.in_flight().len();
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
            Err(_) => self.sender.failed(host.tick()),
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
        gate::acknowledged(host, self.sender.in_flight(), &replies.results);
        let outcomes: Vec<DebitOutcome> = replies.results.iter().map(|reply| reply.outcome).collect();
        let unread = self.sender.answered(host, &outcomes, || host.tick());
        if unread > 0 && self.tells_of_unsupported.tell(host.tick()).is_some() {
            let line = format!(
                "the ledger does not read the version of {unread} debits that it got just now: they wait, and are \
                 sent again. Upgrade the ledger before its Envoys"
            );
            host.log(Level::Warn, &line);
        }
    }
}

#[cfg(test)]
#[path = "sending_test.rs"]
mod tests;
