//! What filter and ledger say to each other, over the ledger's internal listener.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `POST` [`RESOLVE_PATH`] | [`ResolveRequest`] | 200 [`Resolved`], 404 unknown, revoked or expired |
//! | `POST` [`STANDINGS_PATH`] | [`StandingsRequest`] | 200 [`StandingsReply`], item by item |
//! | `POST` [`CARDS_PATH`] | [`CardsRequest`] | 200 [`CardsReply`]; 409 another card has one's version, 400 one cannot be read |
//! | `POST` [`DEBITS_PATH`] | canonical debits, one a line ([`crate::debit`]) | 200 [`DebitReplies`], item by item |
//!
//! Callers' own requests for their balance and entries go to the ledger's public listener, which Envoy routes to;
//! the filter says there who calls, by [`IDENTITY_HEADER`].
//!
//! Unknown fields of an answer are passed over, so that a ledger can be updated before its filters.

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::clock::UtcDay;
use crate::digest::Digest;
use crate::pax::Pax;

/// The versions of a debit's canonical form that this program reads, and the newest of which it writes if the ledger
/// reads it too.
pub const CANON_VERSIONS: [u32; 2] = [1, 2];
/// Resolves a token.
pub const RESOLVE_PATH: &str = "/internal/v1/resolve";
/// The code of its answer where nobody has the token.
pub const UNKNOWN_TOKEN: &str = "unknown_token";
/// Tells where accounts stand.
pub const STANDINGS_PATH: &str = "/internal/v1/standings";
/// The most accounts that one [`StandingsRequest`] asks for.
pub const STANDINGS_MAX: usize = 256;
/// Whose balance or entries are asked for, on the ledger's public listener: set by the filter, which lets nothing
/// of the caller's own head through.
pub const IDENTITY_HEADER: &str = "x-pax-account";
/// Records debits.
pub const DEBITS_PATH: &str = "/internal/v1/debits";

/// Makes cards known to the ledger, which keeps them for ever.
pub const CARDS_PATH: &str = "/internal/v1/cards";

/// Makes cards known: all of them, or with an error none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CardsRequest<'a> {
    /// The texts of the cards' files, byte for byte.
    pub cards: Vec<std::borrow::Cow<'a, str>>,
}

/// What the ledger knows now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CardsReply {
    /// The hashes of the cards that were sent, in their order.
    pub known: Vec<Digest>,
}

/// Asks which account a token belongs to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ResolveRequest {
    /// SHA-256 of the token; the token itself never leaves the filter.
    pub token_sha256: Digest,
    /// The filter's UTC day: the one whose spending it wants to know.
    pub utc_day: UtcDay,
}

/// Whose token it is, and where the account stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The account.
    pub account: Account,
    /// Its spending on the day that was asked for.
    pub standing: Standing,
    /// The versions of a debit's canonical form that the ledger reads. Ledgers that know no other than the first do not
    /// say.
    #[serde(default = "first_version")]
    pub canon_v: Vec<u32>,
}

fn first_version() -> Vec<u32> {
    vec![1]
}

impl Resolved {
    /// The account, with the version of its debits that this program and the ledger both read.
    #[must_use]
    pub fn account(self) -> Account {
        let reads = |version: &u32| self.canon_v.contains(version);
        let canon_v = CANON_VERSIONS.into_iter().filter(reads).max().unwrap_or(1);
        Account { canon_v, ..self.account }
    }
}

/// What an account has spent on a day, by its entries up to a number. Of two standings of one epoch the one with the
/// higher number is the later one; of two epochs, the higher one's is, whatever the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The UTC day.
    pub utc_day: UtcDay,
    /// What the account's entries of that day cost on platform funding.
    pub spent_pax: Pax,
    /// The number of the account's last entry, of whatever day; 0 where it has none.
    pub account_seq: u64,
    /// The ledger's epoch. A ledger begins a higher one whenever it starts and whenever it is restored from a backup,
    /// whose numbers are lower than those that were told before. 0 where the ledger is too old to say.
    #[serde(default)]
    pub epoch: u64,
}

/// Asks where accounts stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StandingsRequest {
    /// At most [`STANDINGS_MAX`].
    pub asks: Vec<StandingAsk>,
}

/// Asks where one account stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StandingAsk {
    /// Its name.
    pub account: String,
    /// The filter's UTC day.
    pub utc_day: UtcDay,
}

/// Where accounts stand, in the order in which they were asked for; none for an account that there is not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StandingsReply {
    /// One for each ask.
    pub standings: Vec<Option<Standing>>,
}

/// What became of a debit. But for [`Outcome::Unsupported`] it need not be sent again, whatever it is.
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
    /// It is of a version that the ledger does not read yet: it is to be kept, and sent again later.
    Unsupported,
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
    /// Where the account stands on the debit's day, with this debit in it; the number is that of the last entry
    /// that it counts. There where there is an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
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
