//! Batches of debits on their way into the book: several share a transaction, and each is answered once all of its lines
//! are durable.

use std::collections::VecDeque;
use std::sync::Arc;

use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{DebitOutcome, DebitReply};
use pax_gateway::price::bundle::Bundle;
use tokio::sync::oneshot;

use super::again;
use super::refused::Refused;
use crate::book::Line;
use crate::error::Error;
use crate::metrics::Metrics;

/// No further request joins a group that has this many lines.
const GROUP_LINES: usize = 1_000;

/// How many lines of a transaction the log names.
const TOLD: usize = 5;

type Reply = oneshot::Sender<Result<Vec<DebitReply>, Error>>;

/// A request with a batch of debits.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) lines: Vec<Line>,
    pub(super) reply: Reply,
}

/// The lines of some requests, of which the first ones are recorded.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) lines: Arc<Vec<Line>>,
    /// How many lines are recorded.
    pub(super) recorded: usize,
    /// How many lines each request has that is not answered, in order.
    shares: VecDeque<(usize, Reply)>,
    /// The replies to recorded lines of the first of them.
    replies: Vec<DebitReply>,
}

impl Group {
    /// The lines of a request, and of more of them as long as they are few.
    pub(super) fn of(first: Job, mut more: impl FnMut() -> Option<Job>) -> Self {
        let mut lines = first.lines;
        let mut shares = VecDeque::from([(lines.len(), first.reply)]);
        while lines.len() < GROUP_LINES
            && let Some(job) = more()
        {
            shares.push_back((job.lines.len(), job.reply));
            lines.extend(job.lines);
        }
        Self { lines: Arc::new(lines), recorded: 0, shares, replies: Vec::new() }
    }

    /// Takes voids of refused holds for what they are: nothing was made, the same hold is refused again, and nothing needs
    /// to be written.
    pub(super) fn drop_needless(&mut self, refused: &Refused) {
        let is_needless =
            |line: &Line| matches!(line, Line::Void(void) if refused.has(&void.void, &void.account));
        if !self.lines.iter().any(is_needless) {
            return;
        }
        let lines = Arc::make_mut(&mut self.lines);
        for line in lines.iter_mut().filter(|line| is_needless(line)) {
            if let Line::Void(void) = line {
                *line = Line::Needless(void.void);
            }
        }
    }

    /// Takes the replies to the lines that are durable now. Gives whether lines are left.
    pub(super) fn take(&mut self, replies: Vec<DebitReply>) -> bool {
        self.recorded += replies.len();
        self.replies.extend(replies);
        while self.shares.front().is_some_and(|(count, _)| *count <= self.replies.len())
            && let Some((count, reply)) = self.shares.pop_front()
        {
            let rest = self.replies.split_off(count);
            // A filter that did not wait for this answer will send the debits again, and is told that they are
            // duplicates.
            let _ = reply.send(Ok(std::mem::replace(&mut self.replies, rest)));
        }
        !self.shares.is_empty()
    }

    /// Tells the requests that are left that the store failed.
    pub(super) fn fail(self, error: &Error) {
        for (_, reply) in self.shares {
            let _ = reply.send(Err(again(error)));
        }
    }
}

/// Counts what became of each line, and logs what an operator should look at: the first few lines of a
/// transaction, and how many more there are.
pub(super) fn tell(lines: &[Line], replies: &[DebitReply], bundle: &Bundle, metrics: &Metrics) {
    let mut odd = 0_usize;
    for (line, reply) in lines.iter().zip(replies) {
        let debit = line.debit().map(|received| &received.debit);
        // A debit that corrects an estimate has a message. What the estimate cost is counted already.
        let cost = debit.filter(|_| reply.message.is_none()).map_or(Pax::ZERO, |debit| debit.cost_pax);
        metrics.debit(reply.outcome, cost);
        let (what, why) = match (reply.outcome, debit) {
            (DebitOutcome::Recorded, Some(debit)) => match debit.prove(bundle) {
                Ok(()) => continue,
                Err(why) => {
                    metrics.unproven();
                    ("recorded an entry that does not prove itself", why.to_string())
                }
            },
            (DebitOutcome::Conflict, _) => {
                ("a conflict went to quarantine", reply.message.clone().unwrap_or_default())
            }
            (DebitOutcome::Rejected, _) => {
                ("a rejected line went to quarantine", reply.message.clone().unwrap_or_default())
            }
            _ => continue,
        };
        odd += 1;
        if odd <= TOLD {
            tracing::warn!(exchange_id = reply.exchange_id, why, "{what}");
        }
    }
    if odd > TOLD {
        tracing::warn!("and {} more lines like these", odd - TOLD);
    }
}
