//! The words between an exchange and the adapter: what happened, and what is to be done.

use std::sync::Arc;

use crate::account::Account;
use crate::debit::Debit;
use crate::digest::Digest;
use crate::request::Edit;

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The request's head came.
    Head {
        /// All headers, `:method` and `:path` among them, names in lowercase.
        headers: &'a [(String, Vec<u8>)],
        /// Whether no body follows.
        end: bool,
        /// Fresh random bytes from the host, for the exchange's id.
        random: [u8; 10],
        /// Whether the outbox has room for one more debit.
        outbox_has_room: bool,
    },
    /// The ledger (or the cache) answered whose token it is.
    Resolved(Resolution),
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
        /// `content-type`, empty where absent.
        content_type: &'a [u8],
        /// `content-encoding`, empty where absent.
        content_encoding: &'a [u8],
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
    /// Nothing more will happen: the caller, the provider or Envoy ended it.
    Closed,
}

/// Whose token it is.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// This account's.
    Account(Arc<Account>),
    /// Nobody's.
    Unknown,
    /// The ledger did not say.
    Unavailable,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Ask whose token it is.
    Resolve(Digest),
    /// Answer the caller here and now.
    Reply(Reply),
    /// Send the request on: it does not wait any more.
    Forward(Box<Forward>),
    /// Change the answer's head before it goes on.
    AnswerHead(AnswerHead),
    /// Let these bytes pass instead of the ones that came.
    ReplaceBody(Vec<u8>),
    /// Put the debit into the outbox.
    Record(Box<Debit>),
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
    /// Whether bytes may be taken out of the body, so that its length must not be told.
    pub length_changes: bool,
}

/// How the request goes upstream.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The provider's name: the mark that Envoy's route demands.
    pub provider: String,
    /// All headers it goes with, in place of the caller's.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// Edits of the body; none where it goes as it came.
    pub edits: Vec<Edit>,
    /// The body's length after them: a stale one would smuggle a second request.
    pub content_length: u64,
}
