//! What filter and ledger say to each other, over the ledger's internal listener.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `POST` [`RESOLVE_PATH`] | [`ResolveRequest`] | 200 [`Account`](crate::account::Account), 404 unknown, revoked or expired |
//! | `POST` [`DEBITS_PATH`] | canonical debits, one a line ([`crate::debit`]) | 200 [`DebitReplies`], item by item |
//!
//! Unknown fields of an answer are passed over, so that a ledger can be updated before its filters.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Resolves a token.
pub const RESOLVE_PATH: &str = "/internal/v1/resolve";
/// Records debits.
pub const DEBITS_PATH: &str = "/internal/v1/debits";

/// Asks which account a token belongs to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ResolveRequest {
    /// SHA-256 of the token; the token itself never leaves the filter.
    pub token_sha256: Digest,
}

/// What became of a debit. Whatever it is, the debit need not be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is an entry now.
    Recorded,
    /// It was one already, to the byte.
    Duplicate,
    /// The exchange has an entry of other bytes: quarantined.
    Conflict,
    /// It is no debit that the ledger can record: quarantined.
    Rejected,
}

/// What became of one debit of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DebitReply {
    /// The debit's exchange; empty where it could not be read.
    pub exchange_id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The entry's place in the account's chain, where there is an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_seq: Option<u64>,
    /// Why not, for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of a batch, in the order of its lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DebitReplies {
    /// One for each line.
    pub results: Vec<DebitReply>,
}
