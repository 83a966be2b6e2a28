//! What filter and ledger send each other over the ledger's internal listener.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `POST` [`RESOLVE_PATH`] | [`ResolveRequest`] | 200 [`Resolved`], 404 unknown, revoked or expired |
//! | `POST` [`STANDINGS_PATH`] | [`StandingsRequest`] | 200 [`StandingsReply`], item by item |
//! | `POST` [`CARDS_PATH`] | [`CardsRequest`] | 200 [`CardsReply`]; 409 a version is another card's, 400 a card cannot be read |
//! | `POST` [`DEBITS_PATH`] | canonical debits ([`crate::debit::frozen`]) and voids ([`Void`]), one a line | 200 [`DebitReplies`], item by item |
//! | `POST` [`HOLDS_PATH`] | two lines: a [`HoldRequest`], and the canonical debit of a call that is lost | 200 [`HoldReply`] |
//! | `POST` [`LEASE_PATH`] | [`LeaseRequest`] | 200 `{}` |
//!
//! A caller's own request for its balance or entries goes to the ledger's public listener, to which Envoy
//! routes it. The filter names the account in [`IDENTITY_HEADER`].
//!
//! The filter passes over fields of an answer that it does not know, so that a ledger can be updated before
//! its filters.

use serde::{Deserialize, Serialize};

use crate::base::account::Account;
use crate::base::clock::UtcDay;
use crate::base::digest::Digest;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::Pax;

/// The versions of a debit's canonical form that this program reads. The filter writes the newest of them
/// that the ledger reads too.
pub const CANON_VERSIONS: [u32; 2] = [1, 2];
/// Resolves a token.
pub const RESOLVE_PATH: &str = "/internal/v1/resolve";
/// The code of the ledger's answer if no account has the token.
pub const UNKNOWN_TOKEN: &str = "unknown_token";
/// Tells the standings of accounts.
pub const STANDINGS_PATH: &str = "/internal/v1/standings";
/// The most accounts that one [`StandingsRequest`] asks for.
pub const STANDINGS_MAX: usize = 256;
/// The account whose balance or entries are asked for, on the ledger's public listener. The filter sets it. A
/// header of this name from the caller never goes on.
pub const IDENTITY_HEADER: &str = "x-pax-account";
/// Records debits.
pub const DEBITS_PATH: &str = "/internal/v1/debits";

/// Makes cards known to the ledger, which keeps them for ever.
pub const CARDS_PATH: &str = "/internal/v1/cards";

/// Makes cards known to the ledger: all of them, or none if it answers with an error.
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
    /// The UTC day of the filter's clock: the filter asks for the spending on this day.
    pub utc_day: UtcDay,
}

/// The account that a token belongs to, and its standing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The account.
    pub account: Account,
    /// Its spending on the day that was asked for.
    pub standing: Standing,
    /// The versions of a debit's canonical form that the ledger reads. A ledger that reads the first version
    /// only does not send this field.
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

/// What an account has spent on a day, counted over its entries up to a number. Of two standings the one with
/// the higher epoch is the later one, whatever the numbers are. If the epochs are equal, it is the one with
/// the higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The UTC day.
    pub utc_day: UtcDay,
    /// What the account's entries of that day cost on platform funding.
    pub spent_pax: Pax,
    /// The number of the account's last entry, on whatever day; 0 if it has none.
    pub account_seq: u64,
    /// The ledger's epoch. A ledger begins a higher one whenever it starts and whenever it is restored from a
    /// backup: the numbers in a backup are lower than those that the ledger told before. 0 if the ledger is
    /// too old to send one.
    #[serde(default)]
    pub epoch: u64,
}

/// Asks for the standings of accounts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StandingsRequest {
    /// At most [`STANDINGS_MAX`].
    pub asks: Vec<StandingAsk>,
}

/// Asks for the standing of one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StandingAsk {
    /// The account's name.
    pub account: String,
    /// The filter's UTC day.
    pub utc_day: UtcDay,
}

/// The standings of accounts, in the order of the asks; none for an account that does not exist.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StandingsReply {
    /// One for each ask.
    pub standings: Vec<Option<Standing>>,
}

/// Sets an amount aside in the ledger, for one exchange.
pub const HOLDS_PATH: &str = "/internal/v1/holds";
/// Tells that an Envoy lives, and so its holds.
pub const LEASE_PATH: &str = "/internal/v1/lease";
/// How often an Envoy renews its lease.
pub const LEASE_RENEW_MS: u64 = 10_000;
/// If a lease was not renewed for so long, its Envoy counts as dead, and its holds expire.
pub const LEASE_LAPSES_MS: u64 = 60_000;

/// Asks for a hold. It is the first line of two; the second one is the canonical debit that the call is charged with if
/// its Envoy is lost: that debit names the exchange, the account, the token, the tier and the day, and all else that a
/// hold has to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRequest {
    /// The Envoy that asks: a number that it draws when it starts, in 16 hex digits.
    pub envoy: String,
    /// How much to set aside: the most that the call can cost.
    pub hold_pax: Pax,
    /// The daily cap of the free tier on the call's card, for an account of that tier: it holds unless the account has a
    /// cap of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_cap_pax: Option<Pax>,
}

/// What became of a hold. The same hold again gets the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldOutcome {
    /// It is durable.
    Held,
    /// The exchange has an entry already, or its hold has ended.
    Closed,
    /// The account is switched off, frozen or closed.
    AccountDisabled,
    /// The token was revoked, or has expired.
    UnknownToken,
    /// It does not fit what the account's balance and its open holds leave.
    InsufficientCredit,
    /// It does not fit the account's daily cap.
    DailyCapExceeded,
    /// It is no hold that the ledger can make: the message says why.
    Rejected,
}

/// The answer to a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReply {
    /// What became of it.
    pub outcome: HoldOutcome,
    /// The account's balance.
    #[serde(default)]
    pub balance_pax: Pax,
    /// What open holds set aside: from the balance if the tier is `credit`, from the day's cap if it is `free`. This hold
    /// counts if it was made.
    #[serde(default)]
    pub held_pax: Pax,
    /// What the account has spent on the call's day on platform funding.
    #[serde(default)]
    pub spent_pax: Pax,
    /// The daily cap that was held against; none if no cap holds for the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_pax: Option<Pax>,
    /// Why it was rejected, for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Ends a hold without a charge. It is a line among debits, in this form, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Void {
    /// The exchange.
    pub void: ExchangeId,
    /// Its account.
    pub account: String,
}

/// Renews an Envoy's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// As in [`HoldRequest`].
    pub envoy: String,
}

/// What became of a debit. Only a debit that is [`DebitOutcome::Unsupported`] must be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DebitOutcome {
    /// It is an entry now; or, if it is the true debit of a call that was charged by an estimate, a part of the
    /// correction of that.
    Recorded,
    /// It was recorded already, equal to the byte.
    Duplicate,
    /// It is an estimate of a call that has an entry already: acknowledged, and charged to nobody.
    Superseded,
    /// The exchange has an entry with other bytes, and both claim to be the truth: quarantined.
    Conflict,
    /// It is no debit that the ledger can record: quarantined.
    Rejected,
    /// The ledger does not read its version yet: the filter keeps it, and sends it again later.
    Unsupported,
    /// The line was a [`Void`]: the exchange has no open hold any more, and none can be made for it.
    Voided,
}

/// What became of one debit of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DebitReply {
    /// The debit's exchange; empty if it could not be read.
    pub exchange_id: String,
    /// What became of it.
    pub outcome: DebitOutcome,
    /// The entry's place in the account's chain, if there is an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_seq: Option<u64>,
    /// The account's standing on the debit's day, with this debit in it. Its number is that of the last entry
    /// that it counts. Present if there is an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// Why the debit is no new entry, for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of a batch, in the order of its lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DebitReplies {
    /// One for each line.
    pub results: Vec<DebitReply>,
}
