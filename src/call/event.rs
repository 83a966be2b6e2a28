//! The words between an exchange and its driver: events tell what happened, effects tell what is to be done.

use std::rc::Rc;

use crate::base::clock::UtcDay;
use crate::base::digest::Digest;
use crate::base::pairs::Pairs;
use crate::base::pax::Pax;
use crate::base::wire::HoldReply;
use crate::call::open_bodies::Full;
use crate::debit::admission::Admission;
use crate::debit::frozen::Debit;
use crate::memory::cap_bytes::Daily;
use crate::memory::gate::{NotOpened, Owed};
use crate::memory::token_cache::Resolution;
use crate::reading::request::edits::Edit;

/// The mark of requests that the ledger answers. No provider can have this name.
pub const CREDITS_MARK: &str = "pax/credits";

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The request's head came.
    Head {
        /// All headers, `:method` and `:path` among them, names in lowercase.
        headers: &'a Pairs,
        /// Whether no body follows.
        end: bool,
        /// Fresh random bytes from the host, for the exchange's id.
        random: [u8; 10],
        /// Whether the outbox has room for one more debit.
        outbox_has_room: bool,
        /// Whether the ledger answers, as far as this worker knows.
        ledger_answers: bool,
    },
    /// The ledger or the cache has answered whose token it is.
    Resolved(Resolution),
    /// The request's body, as far as it has come, does not fit what may be held.
    NoRoom(Full),
    /// Envoy keeps the request's body from the filter.
    BodyKeptBack,
    /// More of the request's body came.
    Body {
        /// Only the new bytes.
        bytes: &'a [u8],
        /// Whether it is complete.
        end: bool,
    },
    /// The answer's head came.
    AnswerHead {
        /// The status.
        status: u16,
        /// `content-type`, empty if absent.
        content_type: &'a [u8],
        /// `content-encoding`, empty if absent.
        content_encoding: &'a [u8],
        /// The id that the provider gave the call.
        provider_request_id: Option<&'a str>,
        /// The code of Envoy's own reply, if this is one; none if the provider (or the ledger) answered.
        envoys_code: Option<&'a str>,
        /// Whether no body follows.
        end: bool,
    },
    /// More of the answer's body came.
    AnswerBody {
        /// Only the new bytes.
        bytes: &'a [u8],
        /// Whether it is complete.
        end: bool,
    },
    /// What came of [`Effect::Open`] or [`Effect::GoOn`], at once.
    Opened(Result<Owed, NotOpened>),
    /// The ledger's answer to [`Effect::Hold`].
    Held(Result<HoldReply, NoHold>),
    /// [`Effect::Settle`] is done. Carries the account's day as it is now, if the account has a cap.
    Settled(Option<Daily>),
    /// Nothing more will happen: the caller, the provider or Envoy ended it.
    Closed(ClosedBy),
}

/// Why the ledger has not answered to a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHold {
    /// It was not asked.
    NotAsked,
    /// It was asked, and has not answered in time, or not as it should. It may have made the hold.
    NotAnswered,
}

/// Who ended an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// The caller, or anything else that is not the provider.
    Caller,
    /// The provider broke its answer off, or was silent for longer than the operator's limits.
    Provider,
}

impl ClosedBy {
    /// Who ended the exchange, read from Envoy's response flags. These have a bit for each value of its
    /// `CoreResponseFlag`, in that order.
    #[must_use]
    pub const fn of_flags(flags: u64) -> Self {
        const UPSTREAM_REQUEST_TIMEOUT: u64 = 1 << 2;
        const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
        const UPSTREAM_CONNECTION_FAILURE: u64 = 1 << 5;
        const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
        const STREAM_IDLE_TIMEOUT: u64 = 1 << 16;
        const UPSTREAM_MAX_STREAM_DURATION: u64 = 1 << 19;
        const DURATION_TIMEOUT: u64 = 1 << 22;
        const UPSTREAM_PROTOCOL_ERROR: u64 = 1 << 23;
        const PROVIDER: u64 = UPSTREAM_REQUEST_TIMEOUT
            | UPSTREAM_REMOTE_RESET
            | UPSTREAM_CONNECTION_FAILURE
            | UPSTREAM_CONNECTION_TERMINATION
            | STREAM_IDLE_TIMEOUT
            | UPSTREAM_MAX_STREAM_DURATION
            | DURATION_TIMEOUT
            | UPSTREAM_PROTOCOL_ERROR;
        if flags & PROVIDER == 0 { Self::Caller } else { Self::Provider }
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Ask whose token it is, and for the account's standing on that day.
    Resolve {
        /// SHA-256 of the token.
        token: Digest,
        /// The day.
        utc_day: UtcDay,
        /// Whether the ledger must be asked, even if the token is cached.
        fresh: bool,
    },
    /// Keep an in-flight record of the call and make its reservation; answer with [`Event::Opened`] at once.
    Open {
        /// The call.
        admission: Rc<Admission>,
        /// The account's daily cap; none if no cap holds for the account.
        cap: Option<Pax>,
    },
    /// Ask the ledger for the call's hold; answer with [`Event::Held`].
    Hold {
        /// The call.
        admission: Rc<Admission>,
        /// The daily cap of its card, if its tier has one.
        card_cap: Option<Pax>,
    },
    /// The hold is durable: write into the in-flight record that the call goes on; answer with [`Event::Opened`] at once.
    GoOn(Owed),
    /// Answer the caller here and now.
    Reply(Reply),
    /// Send the request on: it does not wait any more.
    Forward(Box<Forward>),
    /// Change the answer's head before it goes on.
    AnswerHead(AnswerHead),
    /// Count and tell the operator that the provider refused the platform's key.
    KeyRefused {
        /// Its name.
        provider: String,
        /// The status of its answer.
        status: u16,
    },
    /// Let these bytes pass instead of the ones that came.
    ReplaceBody(Vec<u8>),
    /// Put the debit into the outbox and its cost in the place of the reservation, and remove the in-flight
    /// record; answer with [`Event::Settled`] at once.
    Settle {
        /// The obligation that the settlement fulfils.
        owed: Owed,
        /// Its debit.
        debit: Box<Debit>,
    },
    /// End the call without a charge: give back what is set aside, and remove the in-flight record.
    Release(Owed),
}

/// A local answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers beside `content-type: application/json`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What changes in an answer's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// Headers to set.
    pub add: Vec<(&'static str, String)>,
    /// Whether bytes may be taken out of the body. If so, `content-length` must not reach the caller.
    pub length_changes: bool,
}

/// How the request goes upstream.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The mark that Envoy's route demands: the provider's name, or [`CREDITS_MARK`].
    pub mark: String,
    /// All headers of the request, in place of the caller's.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Edits of the body; none if it goes as it came.
    pub edits: Vec<Edit>,
    /// The body's length after the edits: with the old length, a second request could be smuggled in. None if
    /// no body is expected.
    pub content_length: Option<u64>,
}
