//! Keeps the order of a worker's questions to the ledger about tokens. Each token has one question at a time,
//! however many streams wait for its answer. Tokens that were an account's go before tokens that may be
//! anybody's. Every wait ends, and not too many streams are woken in one callback.
//!
//! A flood of unknown tokens fills the places for strangers, then their queue. Some places are kept for tokens
//! that were an account's a moment ago, so that their callers do not wait behind strangers.

use std::collections::{BTreeMap, VecDeque};

use crate::base::clock::{Tick, UtcDay};
use crate::base::digest::Digest;
use crate::memory::token_cache::Resolution;

/// How many questions of one worker may be under way.
const PLACES: usize = 32;
/// Of these, how many may be about tokens that may be anybody's.
const STRANGERS_PLACES: usize = 24;
/// How many such tokens may wait for a place. More are not asked about.
const STRANGERS_QUEUE: usize = 4_096;
/// Envoy itself ends a question that is under way. If it does not, the wait ends this much later.
const SLACK_MS: u64 = 1_000;

/// How many streams may be told an answer in one callback. Envoy lets the first stream go on while it ends that
/// callback, the second while it ends the first one's, and so on: the module's stack cannot hold some hundreds
/// of these.
pub const TOLD_AT_ONCE: usize = 32;

/// What is asked: whose token it is, and the account's standing on that day.
pub type Question = (Digest, UtcDay);

/// One question, and the streams that wait for its answer.
#[derive(Debug)]
struct Asked<W> {
    waiters: Vec<W>,
    known: bool,
    until: Tick,
    /// Whether it was sent.
    under_way: bool,
}

/// A worker's questions.
#[derive(Debug)]
pub struct Resolves<W> {
    asked: BTreeMap<Question, Asked<W>>,
    known: VecDeque<Question>,
    strangers: VecDeque<Question>,
    /// The callouts under way.
    callouts: BTreeMap<u32, Question>,
    strangers_under_way: usize,
    /// The streams that are still to be told, and what.
    told: VecDeque<(W, Resolution)>,
}

impl<W> Default for Resolves<W> {
    fn default() -> Self {
        Self {
            asked: BTreeMap::new(),
            known: VecDeque::new(),
            strangers: VecDeque::new(),
            callouts: BTreeMap::new(),
            strangers_under_way: 0,
            told: VecDeque::new(),
        }
    }
}

impl<W> Resolves<W> {
    /// Whether a token is being asked about.
    #[must_use]
    pub fn is_asking(&self, token: &Digest) -> bool {
        let first = self.asked.range((*token, UtcDay::default())..).next();
        first.is_some_and(|((asked, _), _)| asked == token)
    }

    /// A stream waits for an answer, `patience_ms` at most. `known`: the token was an account's a moment ago.
    ///
    /// # Errors
    /// Gives the waiter back, if too many strangers wait already.
    pub fn wait(
        &mut self,
        question: Question,
        known: bool,
        waiter: W,
        now: Tick,
        patience_ms: u64,
    ) -> Result<(), W> {
        if let Some(asked) = self.asked.get_mut(&question) {
            asked.waiters.push(waiter);
            return Ok(());
        }
        let queue = if known { &mut self.known } else { &mut self.strangers };
        if !known && queue.len() >= STRANGERS_QUEUE {
            return Err(waiter);
        }
        queue.push_back(question);
        let until = now.plus_ms(patience_ms);
        self.asked.insert(question, Asked { waiters: vec![waiter], known, until, under_way: false });
        Ok(())
    }

    /// Whether no stream waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.told.is_empty()
    }

    /// These streams are to be told this.
    pub fn tell(&mut self, waiters: impl IntoIterator<Item = W>, resolution: &Resolution) {
        self.told.extend(waiters.into_iter().map(|waiter| (waiter, resolution.clone())));
    }

    /// The next stream to be told. At most [`TOLD_AT_ONCE`] are told in one callback.
    pub fn next_told(&mut self) -> Option<(W, Resolution)> {
        self.told.pop_front()
    }

    /// Whether there is something to be done at once: a question to be sent, or an answer to be told.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.told.is_empty() || self.has_next()
    }

    /// Whether there is a question to be sent, and a place for it.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.callouts.len() < PLACES
            && (!self.known.is_empty()
                || (!self.strangers.is_empty() && self.strangers_under_way < STRANGERS_PLACES))
    }

    /// The next question to be sent, if there is a place: [`Resolves::sent`] or [`Resolves::failed`] must follow.
    pub fn next_question(&mut self) -> Option<Question> {
        if !self.has_next() {
            return None;
        }
        self.known.pop_front().or_else(|| self.strangers.pop_front())
    }

    /// The question was sent as this callout, which Envoy ends after `timeout_ms`.
    pub fn sent(&mut self, question: Question, callout: u32, now: Tick, timeout_ms: u64) {
        let Some(asked) = self.asked.get_mut(&question) else { return };
        asked.under_way = true;
        asked.until = now.plus_ms(timeout_ms).plus_ms(SLACK_MS);
        self.strangers_under_way = self.strangers_under_way.saturating_add(usize::from(!asked.known));
        self.callouts.insert(callout, question);
    }

    /// The question could not be sent. Gives the streams that waited for its answer.
    pub fn failed(&mut self, question: &Question) -> Vec<W> {
        self.asked.remove(question).map(|asked| asked.waiters).unwrap_or_default()
    }

    /// A callout has ended. Gives its question and the streams that waited for the answer; none if it is not a
    /// callout of these questions.
    pub fn answered(&mut self, callout: u32) -> Option<(Question, Vec<W>)> {
        let question = self.callouts.remove(&callout)?;
        let asked = self.asked.remove(&question)?;
        self.strangers_under_way = self.strangers_under_way.saturating_sub(usize::from(!asked.known));
        Some((question, asked.waiters))
    }

    /// The streams that have waited too long, each with the token for which it waited.
    pub fn overdue(&mut self, now: Tick) -> Vec<(Digest, W)> {
        let mut over: Vec<Question> = Vec::new();
        // The waits in a queue end in the order of the queue.
        for queue in [&mut self.known, &mut self.strangers] {
            while let Some(question) = queue.front() {
                if self.asked.get(question).is_some_and(|asked| now < asked.until) {
                    break;
                }
                over.extend(queue.pop_front());
            }
        }
        let late = |question: &Question| {
            self.asked.get(question).is_none_or(|asked| asked.under_way && now >= asked.until)
        };
        let callouts: Vec<u32> = self
            .callouts
            .iter()
            .filter(|(_, question)| late(question))
            .map(|(callout, _)| *callout)
            .collect();
        let mut waiters = Vec::new();
        for ((token, _), found) in callouts.into_iter().filter_map(|callout| self.answered(callout)) {
            waiters.extend(found.into_iter().map(|waiter| (token, waiter)));
        }
        for question in over {
            waiters.extend(self.failed(&question).into_iter().map(|waiter| (question.0, waiter)));
        }
        waiters
    }
}

#[cfg(test)]
#[path = "resolves_test.rs"]
mod tests;
