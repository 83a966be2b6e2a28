//! The recorder: one task that writes all debits. Requests that wait while it writes share the next
//! transaction, and so the next sync.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{DebitOutcome, DebitReply};
use pax_gateway::price::bundle::Bundle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::cards::Cards;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{Line, Writer};

/// How many requests may wait in the queue. More requests wait until it has room.
const QUEUE: usize = 256;
/// No further request joins a transaction that has this many lines.
const GROUP_LINES: usize = 1_000;

/// How often the lots are looked at for those that are over.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// How many lines of a transaction the log names.
const TOLD: usize = 5;

type Reply = Result<Vec<DebitReply>, Error>;

struct Job {
    lines: Vec<Line>,
    reply: oneshot::Sender<Reply>,
}

/// Hands batches to the task that writes.
#[derive(Clone, Debug)]
pub struct Recorder {
    jobs: mpsc::Sender<Job>,
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
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(work(writer, queue, stopped, cards, metrics));
        (Self { jobs }, Recording { task, stop })
    }

    /// Records a batch and answers each line, in order. On return the whole batch is durable.
    ///
    /// # Errors
    /// If the store fails: then nothing of the batch was kept.
    pub async fn record(&self, lines: Vec<Line>) -> Reply {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { lines, reply }).await.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)?
    }
}

async fn work(
    mut writer: Writer,
    mut queue: mpsc::Receiver<Job>,
    mut stopped: oneshot::Receiver<()>,
    cards: Arc<Cards>,
    metrics: Arc<Metrics>,
) {
    let mut expiring = tokio::time::interval(EXPIRE_EVERY);
    loop {
        let job = tokio::select! {
            job = queue.recv() => job,
            _ = expiring.tick() => {
                if let Err(error) = writer.expire(crate::now()).await {
                    tracing::error!(%error, "lots that are over could not be taken out of balances");
                }
                continue;
            }
            // The requests in the queue are still handed out; `recv` ends when the queue is empty.
            _ = &mut stopped, if !queue.is_closed() => {
                queue.close();
                continue;
            }
        };
        let Some(job) = job else { break };
        let mut lines = job.lines;
        let mut shares = vec![(lines.len(), job.reply)];
        while lines.len() < GROUP_LINES
            && let Ok(job) = queue.try_recv()
        {
            shares.push((job.lines.len(), job.reply));
            lines.extend(job.lines);
        }
        let lines = Arc::new(lines);
        let began = Instant::now();
        match writer.record(&lines, crate::now()).await {
            Ok(replies) => {
                metrics.committed(began.elapsed());
                let named = lines.iter().flatten().map(|received| received.debit.card_sha256);
                let bundle = cards.with(named).await;
                tell(&lines, &replies, &bundle, &metrics);
                let mut replies = replies.into_iter();
                for (count, reply) in shares {
                    // A filter that did not wait for this answer will send the debits again, and is told that
                    // they are duplicates.
                    let _ = reply.send(Ok(replies.by_ref().take(count).collect()));
                }
            }
            Err(error) => {
                let why = error.to_string();
                for (_, reply) in shares {
                    let _ = reply.send(Err(Error::Store { doing: "recorded a batch", why: why.clone() }));
                }
            }
        }
    }
    writer.close().await;
}

/// Counts what became of each line, and logs what an operator should look at: the first few lines of a
/// transaction, and how many more there are.
fn tell(lines: &[Line], replies: &[DebitReply], bundle: &Bundle, metrics: &Metrics) {
    let mut odd = 0_usize;
    for (line, reply) in lines.iter().zip(replies) {
        // A debit that corrects an estimate has a message. What the estimate cost is counted already.
        let cost = match line {
            Ok(received) if reply.message.is_none() => received.debit.cost_pax,
            _ => Pax::ZERO,
        };
        metrics.debit(reply.outcome, cost);
        let (what, why) = match (reply.outcome, line) {
            (DebitOutcome::Recorded, Ok(received)) => match received.debit.prove(bundle) {
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
