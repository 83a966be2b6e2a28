//! The rules of the book, without any SQL: what an entry is, how entries are chained, and how each one changes
//! the sums.
//!
//! * An entry is the canonical bytes of a debit, or of what the ledger makes itself ([`Made`]), with what only
//!   the ledger knows of it ([`Posting`]). Everything else that is stored with it can be derived from them.
//! * The entries of an account form a chain, numbered from 1 ([`entry_hash_2`], [`genesis`]); the account keeps
//!   the number and the hash of the last one, so that a missing tail shows.
//! * A debit on platform funding counts against the account's UTC day and its token's, whatever the tier; on tier
//!   `credit` it also reduces the balance, which may go below zero, and draws on the account's lots ([`Lots`]). A
//!   `byo` debit moves no money.
//! * Sums are exact, however large ([`Sum`]): no debit is refused because of a sum.
//! * A hold sets an amount aside before a call goes to its provider ([`hold`]). It is no entry: it ends in a debit, or
//!   without a trace.
//! * What operators do is a chain of rows too ([`Row`], [`Act`]).

mod act;
mod columns;
mod effect;
pub mod hold;
mod later;
mod lots;
pub mod made;
mod operator_log;
mod page;
mod plan;
mod posting;
mod sum;

pub use act::{About, AccountState, Act, TokenState, request_sha256};
pub use columns::{COLUMNS, TooLarge, Value, columns, each_column, fits};
pub use effect::{Effect, Entry, OnLots, Spent, effect};
pub use later::Later;
pub use lots::{Lot, Lots, debt};
pub use made::Made;
pub use operator_log::{
    OPERATOR_CANON_V, OPERATOR_COLUMNS, OperatorWalk, Row, StoredRow, differing, operator_genesis, row_hash,
};
pub use page::{Link, Page};
pub use plan::{BATCH_CORRECTIONS, Change, PlanId, batch_name, batch_sha256};
pub use posting::{PostedHold, Posting};
pub use sum::Sum;

use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{CANON_VERSIONS, DebitOutcome, DebitReply, Void};
use pax_gateway::debit::frozen::{CANON_MAX, Debit};

/// The previous hash of an account's first entry: SHA-256 of `"pax-chain/1\n"` and the account's name.
#[must_use]
pub fn genesis(account: &str) -> Digest {
    Digest::of(&[b"pax-chain/1\n", account.as_bytes()])
}

/// The hash of an entry of version 1, which has no posting: SHA-256 of
/// `"pax-entry/1\n" prev_hash "\n" account_seq "\n" recorded_at "\n" canonical`,
/// hashes in hexadecimal, numbers in decimal, `recorded_at` in milliseconds since 1970.
///
/// The numbers have the types of the store, so that a replay can hash even impossible ones that it finds.
#[must_use]
pub fn entry_hash(prev_hash: &str, account_seq: i64, recorded_at: i64, canonical: &[u8]) -> Digest {
    let head = format!("pax-entry/1\n{prev_hash}\n{account_seq}\n{recorded_at}\n");
    Digest::of(&[head.as_bytes(), canonical])
}

/// An entry's hash: SHA-256 of
/// `"pax-entry/2\n" prev_hash "\n" account_seq "\n" recorded_at "\n" posting "\n" canonical`. No entry of version 1
/// follows one of version 2 in a chain.
#[must_use]
pub fn entry_hash_2(
    prev_hash: &str,
    account_seq: i64,
    recorded_at: i64,
    posting: &str,
    canonical: &[u8],
) -> Digest {
    let head = format!("pax-entry/2\n{prev_hash}\n{account_seq}\n{recorded_at}\n{posting}\n");
    Digest::of(&[head.as_bytes(), canonical])
}

/// A line that is a debit, ready to be posted.
#[derive(Clone, Debug)]
pub struct Received {
    /// The debit.
    pub debit: Debit,
    /// Its bytes.
    pub canonical: Vec<u8>,
}

/// A line of a batch, read.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly every line is a debit")]
pub enum Line {
    /// A debit.
    Debit(Received),
    /// The end of a hold without a charge.
    Void(Void),
    /// The end of a hold that was never made: nothing is written.
    Needless(ExchangeId),
    /// Neither.
    Rejected(Rejected),
}

impl Line {
    /// Reads one line of a batch.
    #[must_use]
    pub fn read(line: &[u8]) -> Self {
        if line.starts_with(b"{\"void\":") {
            let void = serde_json::from_slice::<Void>(line).map_err(|why| why.to_string());
            let is_same = |void: &Void| serde_json::to_vec(void).is_ok_and(|again| again == line);
            return match void {
                Ok(void) if is_same(&void) && !is_name(&void.account) => {
                    Self::Rejected(Rejected::new(line, NO_NAME))
                }
                Ok(void) if is_same(&void) => Self::Void(void),
                Ok(_) => Self::Rejected(Rejected::new(line, "a void, but not in canonical form")),
                Err(why) => Self::Rejected(Rejected::new(line, why)),
            };
        }
        match read(line) {
            Ok(received) => Self::Debit(received),
            Err(rejected) => Self::Rejected(rejected),
        }
    }

    /// The debit, if it is one.
    #[must_use]
    pub const fn debit(&self) -> Option<&Received> {
        match self {
            Self::Debit(received) => Some(received),
            Self::Void(_) | Self::Needless(_) | Self::Rejected(_) => None,
        }
    }
}

/// A line that cannot become an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its exchange, if that can be read.
    pub exchange_id: Option<ExchangeId>,
    /// The line, cut at [`CANON_MAX`].
    pub bytes: Vec<u8>,
    /// The hash of the whole line.
    pub sha256: Digest,
    /// Why, for the operator.
    pub why: String,
}

impl Rejected {
    /// Rejects a line.
    #[must_use]
    pub fn new(line: &[u8], why: impl Into<String>) -> Self {
        #[derive(serde::Deserialize)]
        struct Id {
            exchange_id: ExchangeId,
        }
        let kept = line.get(..CANON_MAX).unwrap_or(line);
        Self {
            exchange_id: serde_json::from_slice(line).ok().map(|id: Id| id.exchange_id),
            bytes: kept.to_vec(),
            sha256: Digest::of(&[line]),
            why: why.into(),
        }
    }
}

/// The reply to a line whose version is not read: this program does not know it, or it is above `canon_v`,
/// which the operator has set. The filter keeps the debit and sends it again; the ledger keeps nothing of it.
/// None for any other line.
#[must_use]
pub fn unsupported(line: &[u8], canon_v: u32) -> Option<DebitReply> {
    /// The fields that every version has.
    #[derive(serde::Deserialize)]
    struct Versioned {
        canon_v: u32,
        exchange_id: Option<String>,
    }
    let is_read = |version: u32| CANON_VERSIONS.contains(&version) && version <= canon_v;
    // Nearly every line is in canonical form, and its first bytes tell. If the rest of the line is no debit,
    // `read` tells why.
    if first_version(line).is_some_and(is_read) {
        return None;
    }
    let versioned: Versioned = serde_json::from_slice(line).ok()?;
    let message = format!(
        "canon_v {} is not read by this ledger; it stays with the filter until the ledger is upgraded",
        versioned.canon_v
    );
    (!is_read(versioned.canon_v)).then(|| DebitReply {
        exchange_id: versioned.exchange_id.unwrap_or_default(),
        outcome: DebitOutcome::Unsupported,
        account_seq: None,
        standing: None,
        message: Some(message),
    })
}

/// Whether canonical bytes are those of a debit, by their first two fields.
#[must_use]
pub fn is_debit(canonical: &[u8]) -> bool {
    let after_version = canonical.splitn(2, |byte| *byte == b',').nth(1);
    after_version.is_some_and(|rest| rest.starts_with(b"\"kind\":\"debit\","))
}

/// The version with which a line in canonical form begins.
fn first_version(line: &[u8]) -> Option<u32> {
    let rest = line.strip_prefix(b"{\"canon_v\":")?;
    let digits = rest.split(|byte| *byte == b',').next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads a debit. It does not check that the debit proves its own figures: the money was spent all
/// the same, and a replay names such an entry.
///
/// # Errors
/// If the line is longer than [`CANON_MAX`], is not canonical, or holds numbers that no entry can.
pub fn read(line: &[u8]) -> Result<Received, Rejected> {
    if line.len() > CANON_MAX {
        return Err(Rejected::new(
            line,
            format!("has {} bytes; a debit has at most {CANON_MAX}", line.len()),
        ));
    }
    let debit = Debit::from_canonical(line).map_err(|bad| Rejected::new(line, bad.to_string()))?;
    if debit.cost_pax < Pax::ZERO {
        return Err(Rejected::new(line, "cost_pax is negative; a debit gives nothing back"));
    }
    if !is_name(&debit.account) || !is_name(&debit.token_id) {
        return Err(Rejected::new(line, NO_NAME));
    }
    match fits(&debit) {
        Ok(()) => Ok(Received { canonical: line.to_vec(), debit }),
        Err(why) => Err(Rejected::new(line, why.to_string())),
    }
}

/// Why a line is refused that names an account or a token as nobody could.
const NO_NAME: &str = "`account` or `token_id` is longer than 512 bytes or has the character U+0000";

/// Whether an account or a token can have this name. A database looks for it before anything else, so it must be a text
/// that every database takes.
fn is_name(name: &str) -> bool {
    name.len() <= 512 && !name.contains('\0')
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
