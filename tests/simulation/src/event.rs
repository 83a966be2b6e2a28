//! What can happen in the world, and how a trace tells it.

use std::fmt;
use std::rc::Rc;

use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::wire::{DebitReply, HoldReply, HoldRequest, Resolved, Standing, StandingAsk};

use crate::faults::Happening;
use crate::memory::exchange_of;

/// A worker of an Envoy; the last of them is its main thread, which serves nobody.
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

/// What happens to a VM. Roots and streams are told by their contexts.
#[derive(Debug)]
pub(crate) enum What {
    /// A root's timer: `number` is that of its last setting, `due` when it was to go off.
    Tick {
        root: u32,
        number: u64,
        due: u64,
    },
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
    Act(u32),
    HangUp(u32),
    /// The end of a root's callout.
    Reply {
        root: u32,
        callout: u32,
        answer: Answer,
    },
    /// A new configuration comes: a new root takes over.
    Configure,
    /// A root that another took over from ends.
    Done(u32),
}

/// What a root asks the ledger.
#[derive(Debug)]
pub(crate) enum Question {
    Resolve(Digest, UtcDay),
    Standings(Vec<StandingAsk>),
    Debits(Vec<Vec<u8>>),
    Cards(Vec<String>),
    /// A hold, with the debit of a call that is lost.
    Hold(HoldRequest, Vec<u8>),
    /// To renew the lease of the Envoy with this number.
    Lease(String),
}

/// What it hears.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Resolved(Option<Resolved>),
    Standings(Vec<Option<Standing>>),
    Debits(Vec<DebitReply>),
    Cards(Vec<Digest>),
    Held(HoldReply),
    Renewed,
    /// Somebody on the way says that the ledger is not there.
    Away,
    /// Nothing, until the time was over.
    Nothing,
}

/// A question on its way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) site: Site,
    pub(crate) vm: u64,
    pub(crate) root: u32,
    pub(crate) callout: u32,
    pub(crate) question: Rc<Question>,
    pub(crate) answer_lost: bool,
}

#[derive(Debug)]
pub(crate) enum Event {
    /// Something happens to a VM, if it still lives.
    At(Site, u64, What),
    /// A caller comes to a worker, whichever VM it has, and others follow while there are troubles.
    Arrival(Site),
    /// The same, and nobody follows.
    Visit(Site),
    /// A worker gets a new VM.
    Reload(Site),
    ToLedger(Box<Message>),
    Happens(Happening),
}

pub(crate) fn shortly(what: &What) -> String {
    match what {
        What::Reply { root, callout, answer } => {
            format!("answer ({callout}) for root {root}: {}", heard(answer))
        }
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
        Question::Cards(cards) => format!("to know {} cards", cards.len()),
        Question::Hold(asked, lost) => format!("to hold {} for {}", asked.hold_pax, exchange_of(lost)),
        Question::Lease(envoy) => format!("to renew the lease of {envoy}"),
    }
}

pub(crate) fn heard(answer: &Answer) -> String {
    match answer {
        Answer::Debits(replies) => {
            let short =
                replies.iter().map(|it| format!("{} {:?} {:?}", it.exchange_id, it.outcome, it.standing));
            short.collect::<Vec<_>>().join(", ")
        }
        Answer::Cards(known) => format!("{} cards are known", known.len()),
        other => format!("{other:?}"),
    }
}
