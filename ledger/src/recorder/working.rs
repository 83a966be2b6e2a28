//! The recorder's task: what waits, in which order it is written.

use std::sync::Arc;
use std::time::Instant;

use pax_gateway::base::wire::HoldReply;
use tokio::sync::{mpsc, oneshot};

use super::again;
use super::debits::{Group, Job, tell};
use super::refused::Refused;
use super::upkeep::Upkeep;
use crate::book::hold::Hold;
use crate::cards::Cards;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{Waiting, Waits, Writer};

/// The most holds that share a transaction.
const GROUP_HOLDS: usize = 64;

/// What goes before debits.
#[derive(Debug)]
pub(super) enum Asked {
    /// A hold. It counts as waiting until it is taken apart.
    Hold { hold: Box<Hold>, reply: oneshot::Sender<Result<HoldReply, Error>>, _waits: Waits },
    /// The renewal of a lease, likewise.
    Lease { envoy: String, reply: oneshot::Sender<Result<(), Error>>, _waits: Waits },
}

/// The task.
pub(super) struct Work {
    writer: Writer,
    holds: mpsc::Receiver<Asked>,
    debits: mpsc::Receiver<Job>,
    waiting: Waiting,
    /// Debits of which a part may be recorded.
    group: Option<Group>,
    refused: Refused,
    upkeep: Upkeep,
    cards: Arc<Cards>,
    metrics: Arc<Metrics>,
}

impl Work {
    pub(super) fn new(
        writer: Writer,
        (holds, debits): (mpsc::Receiver<Asked>, mpsc::Receiver<Job>),
        waiting: Waiting,
        (cards, metrics): (Arc<Cards>, Arc<Metrics>),
    ) -> Self {
        let (refused, upkeep) = (Refused::default(), Upkeep::new());
        Self { writer, holds, debits, waiting, group: None, refused, upkeep, cards, metrics }
    }

    /// Works until it is asked to stop and nothing waits any more. In each turn go the holds that wait, then one
    /// transaction of debits, then one of upkeep: so none of them can keep another from going on for ever.
    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut first = None;
        loop {
            let asked = self.asked(first.take());
            let mut is_idle = asked.is_empty();
            // Each hold brings a line: if fewer were recorded, the lines that wait would only become more.
            let least = asked.len();
            if !is_idle {
                self.answer(asked).await;
            }
            if let Some(group) = self.group.take().or_else(|| self.gather()) {
                is_idle = false;
                self.record(group, least).await;
            }
            if self.upkeep.due() <= Instant::now() {
                is_idle = false;
                self.upkeep.step(&mut self.writer, &self.metrics).await;
            }
            if !is_idle {
                continue;
            }
            let (holds_end, debits_end) = (self.holds.is_closed(), self.debits.is_closed());
            tokio::select! {
                biased;
                asked = self.holds.recv() => match asked {
                    Some(asked) => first = Some(asked),
                    None => break,
                },
                job = self.debits.recv(), if !debits_end => {
                    self.group = job.map(|job| Group::of(job, || self.debits.try_recv().ok()));
                }
                () = tokio::time::sleep_until(self.upkeep.due().into()) => {}
                _ = &mut stopped, if !holds_end => {
                    // What is in the queues is still handed out.
                    self.holds.close();
                    self.debits.close();
                }
            }
        }
        // Both queues are closed. What was being put into this one is still handed out.
        while let Some(job) = self.debits.recv().await {
            let mut group = Some(Group::of(job, || None));
            while let Some(part) = group.take() {
                self.record(part, 0).await;
                group = self.group.take();
            }
        }
        self.writer.close().await;
    }

    /// What goes before debits and waits now.
    fn asked(&mut self, first: Option<Asked>) -> Vec<Asked> {
        let mut asked: Vec<Asked> = first.into_iter().collect();
        while asked.len() < GROUP_HOLDS
            && let Ok(next) = self.holds.try_recv()
        {
            asked.push(next);
        }
        asked
    }

    fn gather(&mut self) -> Option<Group> {
        let first = self.debits.try_recv().ok()?;
        Some(Group::of(first, || self.debits.try_recv().ok()))
    }

    /// Makes holds and renews leases.
    async fn answer(&mut self, asked: Vec<Asked>) {
        let (mut holds, mut replies, mut leases) = (Vec::new(), Vec::new(), Vec::new());
        for asked in asked {
            match asked {
                Asked::Lease { envoy, reply, .. } => leases.push((envoy, reply)),
                // The filter has given up, and will send a void.
                Asked::Hold { reply, .. } if reply.is_closed() => {}
                Asked::Hold { hold, reply, .. } => match self.refused.again(&hold.lost.debit) {
                    Some(refusal) => {
                        self.metrics.hold(refusal.outcome);
                        let _ = reply.send(Ok(refusal));
                    }
                    None => {
                        holds.push(*hold);
                        replies.push(reply);
                    }
                },
            }
        }
        if !holds.is_empty() {
            self.hold(&Arc::new(holds), replies).await;
        }
        if !leases.is_empty() {
            let (envoys, replies): (Vec<_>, Vec<_>) = leases.into_iter().unzip();
            let renewed = self.writer.renew(envoys, crate::now()).await;
            if renewed.is_err() {
                self.upkeep.nothing_was_written();
            }
            for reply in replies {
                let _ = reply.send(renewed.as_ref().map_err(again).copied());
            }
        }
    }

    async fn hold(
        &mut self,
        holds: &Arc<Vec<Hold>>,
        replies: Vec<oneshot::Sender<Result<HoldReply, Error>>>,
    ) {
        let mut replies = replies.into_iter();
        let mut decided = 0;
        while decided < holds.len() {
            let answers = match self.writer.hold(holds, decided, crate::now()).await {
                Ok(answers) => answers,
                Err(error) => {
                    self.upkeep.nothing_was_written();
                    for reply in replies {
                        let _ = reply.send(Err(again(&error)));
                    }
                    return;
                }
            };
            for ((hold, answer), reply) in holds.iter().skip(decided).zip(&answers).zip(&mut replies) {
                self.metrics.hold(answer.outcome);
                self.refused.remember(&hold.lost.debit, answer);
                let _ = reply.send(Ok(answer.clone()));
            }
            decided += answers.len();
        }
    }

    /// Records debits: all of the group, unless holds wait meanwhile, but at least so many.
    async fn record(&mut self, mut group: Group, least: usize) {
        let began = Instant::now();
        group.drop_needless(&self.refused);
        let recorded =
            self.writer.record_some(&group.lines, group.recorded, crate::now(), (&self.waiting, least)).await;
        let replies = match recorded {
            Ok(replies) => replies,
            Err(error) => {
                self.upkeep.nothing_was_written();
                return group.fail(&error);
            }
        };
        self.metrics.committed(began.elapsed());
        let lines = Arc::clone(&group.lines);
        let lines = lines.get(group.recorded..).unwrap_or_default();
        let lines = lines.get(..replies.len()).unwrap_or_default();
        let named = lines.iter().filter_map(|line| line.debit().map(|received| received.debit.card_sha256));
        let bundle = self.cards.with(named).await;
        tell(lines, &replies, &bundle, &self.metrics);
        if group.take(replies) {
            self.group = Some(group);
        }
    }
}
