//! What can happen in the world, and how a trace tells it.

use std::fmt;

use pax_gateway::clock::UtcDay;
use pax_gateway::digest::Digest;
use pax_gateway::wire::{DebitReply, Resolved, Standing, StandingAsk};

use crate::faults::Happening;
use crate::memory::exchange_of;

/// A worker of an Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) envoy: usize,
    pub(crate) worker: usize,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "envoy {} worker {}", self.envoy, self.worker)
    }
}

/// What happens to a VM.
#[derive(Debug)]
pub(crate) enum What {
    Tick,
    /// A caller comes, with this token and perhaps a key of its own.
    Call {
        token: String,
        own_key: bool,
    },
    /// One that is sure to be served, as soon as all is well.
    SmallCall {
        token: String,
    },
    /// The next act of a stream.
    Act(u64),
    HangUp(u64),
    /// A callout's answer, or its failure.
    Reply(u64, Answer),
}

/// What a VM asks the ledger.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Resolve(Digest, UtcDay),
    Standings(Vec<StandingAsk>),
    Debits(Vec<Vec<u8>>),
}

/// What it hears.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Resolved(Option<Resolved>),
    Standings(Vec<Option<Standing>>),
    Debits(Vec<DebitReply>),
    Failed,
}

/// A question on its way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) site: Site,
    pub(crate) vm: u64,
    pub(crate) callout: u64,
    pub(crate) question: Question,
    pub(crate) answer_lost: bool,
}

#[derive(Debug)]
pub(crate) enum Event {
    /// Something happens to a VM, if it still lives.
    At(Site, u64, What),
    /// A caller comes to a worker, whichever VM it has.
    Arrival(Site),
    /// A worker gets a new VM.
    Reload(Site),
    ToLedger(Box<Message>),
    Happens(Happening),
}

pub(crate) fn shortly(what: &What) -> String {
    match what {
        What::Reply(callout, answer) => format!("answer ({callout}): {}", heard(answer)),
        other => format!("{other:?}"),
    }
}

pub(crate) fn told(question: &Question) -> String {
    match question {
        Question::Resolve(_, day) => format!("whose token, and where on {day}"),
        Question::Standings(asks) => format!("where stand {asks:?}"),
        Question::Debits(lines) => {
            let ids: Vec<_> = lines.iter().map(|line| exchange_of(line)).collect();
            format!("to record {ids:?}")
        }
    }
}

pub(crate) fn heard(answer: &Answer) -> String {
    match answer {
        Answer::Debits(replies) => {
            let short =
                replies.iter().map(|it| format!("{} {:?} {:?}", it.exchange_id, it.outcome, it.standing));
            short.collect::<Vec<_>>().join(", ")
        }
        other => format!("{other:?}"),
    }
}
