//! The recorder: one task that writes all holds and debits. Requests that wait while it writes share the next
//! transaction, and so the next sync. Holds have a queue of their own and go first, since a caller waits for each.

mod debits;
mod refused;
mod upkeep;
mod working;

use std::sync::Arc;

use pax_gateway::base::wire::{DebitReply, HoldReply};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::debits::Job;
use self::working::{Asked, Work};
use crate::book::Line;
use crate::book::hold::Hold;
use crate::cards::Cards;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{Waiting, Writer};

/// How many requests with debits may wait in the queue. More requests wait until it has room.
const QUEUE: usize = 256;
/// How many holds and leases may wait in theirs.
const HOLDS_QUEUE: usize = 1_024;

/// Hands holds, leases and batches of debits to the task that writes.
#[derive(Clone, Debug)]
pub struct Recorder {
    jobs: mpsc::Sender<Job>,
    asked: mpsc::Sender<Asked>,
    waiting: Waiting,
}

/// The task that writes.
#[derive(Debug)]
pub struct Recording {
    task: JoinHandle<()>,
    /// Nothing is ever sent: the message is that this end of the channel is dropped.
    stop: oneshot::Sender<()>,
}

impl Recording {
    /// Takes no more requests, records those that wait, and closes the writer.
    pub async fn finish(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the recorder failed");
        }
    }
}

impl Recorder {
    /// Starts the task.
    #[must_use]
    pub fn start(writer: Writer, cards: Arc<Cards>, metrics: Arc<Metrics>) -> (Self, Recording) {
        let (jobs, debits) = mpsc::channel(QUEUE);
        let (asked, holds) = mpsc::channel(HOLDS_QUEUE);
        let (stop, stopped) = oneshot::channel();
        let waiting = Waiting::default();
        let work = Work::new(writer, (holds, debits), waiting.clone(), (cards, metrics));
        let task = tokio::spawn(work.run(stopped));
        (Self { jobs, asked, waiting }, Recording { task, stop })
    }

    /// Records a batch and answers each line, in order. On return the whole batch is durable.
    ///
    /// # Errors
    /// If the store fails: then a part of the batch may have been kept, and the same batch can be sent again.
    pub async fn record(&self, lines: Vec<Line>) -> Result<Vec<DebitReply>, Error> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { lines, reply }).await.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)?
    }

    /// Makes a hold, or tells what is in its way. If it was made, it is durable on return.
    ///
    /// # Errors
    /// If the store fails: then the hold was not made.
    pub async fn hold(&self, hold: Hold) -> Result<HoldReply, Error> {
        let (reply, answer) = oneshot::channel();
        let asked = Asked::Hold { hold: Box::new(hold), reply, _waits: self.waiting.wait() };
        self.asked.send(asked).await.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)?
    }

    /// Renews the lease of an Envoy.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn renew(&self, envoy: String) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        let asked = Asked::Lease { envoy, reply, _waits: self.waiting.wait() };
        self.asked.send(asked).await.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)?
    }
}

/// The error of a transaction, for another of the requests that shared it.
fn again(error: &Error) -> Error {
    Error::Store { doing: "wrote for several requests", why: error.to_string() }
}
