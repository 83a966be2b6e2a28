//! Accounts: who is charged for calls, as the ledger service tells it to the filter.

use serde::{Deserialize, Serialize};

use crate::base::pax::Pax;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The whitelist of its slot, up to a daily cap.
    Free,
    /// Any priced model, without a daily cap.
    Credit,
}

impl Tier {
    /// Its name on entries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Credit => "credit",
        }
    }
}

/// Whether an account may call at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It may.
    Active,
    /// An operator switched it off.
    Disabled,
}

/// Whose provider key pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Funding {
    /// Ours: the call is charged.
    Platform,
    /// The caller's own: the call is recorded and costs nothing.
    Byo,
}

impl Funding {
    /// Its name on entries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Byo => "byo",
        }
    }
}

/// The account that a token resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub account: String,
    /// Its tier.
    pub tier: Tier,
    /// Its status.
    pub status: Status,
    /// The ledger's id of the token that was resolved: neither the token nor its hash.
    pub token_id: String,
    /// How much it may spend in a UTC day, if that is not the rate card's default. Zero blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_cap_pax: Option<Pax>,
    /// The newest version of a debit's canonical form that this program and the ledger both read. The filter
    /// writes this version.
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub canon_v: u32,
}

fn first_version() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_first_version(version: &u32) -> bool {
    *version == 1
}
