//! The entries that the ledger makes itself: grants, corrections, expiries, payouts. Each kind has canonical bytes of its own:
//! JSON in one line, a fixed order of fields, all always there (golden file `tests/golden/made_entries.json`). A version
//! that has rows never changes; a new field is a new version.

mod correction;
mod expiry;
mod grant;
mod payout;

pub use correction::{BETTER, Correction, Original, better_key, repriced};
pub use expiry::Expiry;
pub use grant::{Grant, GrantClass, LARGEST, Paid};
pub use payout::{PAYOUT, Payout};

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::CANON_MAX;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Value;

/// The columns that only these entries fill, after those of a debit.
pub const MADE_COLUMNS: [&str; 3] = ["entry_key", "amount_picopax", "corrects"];

/// An entry that the ledger has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// An operator gives credit.
    Grant(Grant),
    /// An operator, or a better report, changes what an earlier entry moved.
    Correction(Box<Correction>),
    /// A lot is over.
    Expiry(Expiry),
    /// A closed account's balance is paid out.
    Payout(Payout),
}

impl Made {
    /// Its name in the column `kind`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Grant(_) => "grant",
            Self::Correction(_) => "correction",
            Self::Expiry(_) => "expiry",
            Self::Payout(_) => "payout",
        }
    }

    /// Its canonical bytes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // Structs of texts, numbers and amounts can always be written.
        match self {
            Self::Grant(grant) => serde_json::to_vec(grant),
            Self::Correction(correction) => serde_json::to_vec(correction),
            Self::Expiry(expiry) => serde_json::to_vec(expiry),
            Self::Payout(payout) => serde_json::to_vec(payout),
        }
        .unwrap_or_default()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// If they are no such entry, or were not written by [`Made::canonical`].
    pub fn read(canonical: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
            canon_v: u32,
        }
        let Kind { kind, canon_v } = read(canonical)?;
        if canon_v != 1 {
            return Err(format!("version {canon_v} of kind {kind:?} is unknown"));
        }
        let entry = match kind.as_str() {
            "grant" => Self::Grant(read(canonical)?),
            "correction" => Self::Correction(read(canonical)?),
            "expiry" => Self::Expiry(read(canonical)?),
            "payout" => Self::Payout(read(canonical)?),
            other => return Err(format!("kind {other:?} is unknown")),
        };
        match entry.canonical() == canonical {
            true => Ok(entry),
            false => Err("they are not in canonical form".to_owned()),
        }
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &str {
        match self {
            Self::Grant(grant) => &grant.account,
            Self::Correction(correction) => &correction.account,
            Self::Expiry(expiry) => &expiry.account,
            Self::Payout(payout) => &payout.account,
        }
    }

    /// Its idempotency key: no two entries have the same.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Grant(grant) => &grant.key,
            Self::Correction(correction) => &correction.key,
            Self::Expiry(expiry) => &expiry.key,
            Self::Payout(payout) => &payout.key,
        }
    }

    /// Whether two entries are the same but for who made them, and when.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Grant(one), Self::Grant(two)) => {
                let two = Grant { occurred_at: one.occurred_at, by: one.by.clone(), ..two.clone() };
                *one == two
            }
            (Self::Correction(one), Self::Correction(two)) => {
                let two = Correction { occurred_at: one.occurred_at, by: one.by.clone(), ..(**two).clone() };
                **one == two
            }
            _ => self == other,
        }
    }

    /// When it was made.
    #[must_use]
    pub fn occurred_at(&self) -> Moment {
        match self {
            Self::Grant(grant) => grant.occurred_at,
            Self::Correction(correction) => correction.occurred_at,
            Self::Expiry(expiry) => expiry.occurred_at,
            Self::Payout(payout) => payout.occurred_at,
        }
    }

    /// The day to which it belongs: a correction's is that of what it corrects.
    #[must_use]
    pub fn utc_day(&self) -> UtcDay {
        match self {
            Self::Correction(correction) => correction.utc_day,
            other => other.occurred_at().day(),
        }
    }

    /// The value of a column of a debit or of [`MADE_COLUMNS`].
    #[must_use]
    pub fn column(&self, name: &str) -> Value {
        let text = |text: &str| Value::Text(text.to_owned());
        match name {
            "canon_v" => Value::Int(1),
            "kind" => text(self.kind()),
            "account" => text(self.account()),
            "occurred_at" => text(&self.occurred_at().to_string()),
            "utc_day" => text(&self.utc_day().to_string()),
            "entry_key" => text(self.key()),
            "cost_picopax" => Value::Int(self.cost().picopax()),
            "amount_picopax" => Value::Int(self.amount().picopax()),
            name => match self {
                Self::Correction(correction) => correction.column(name),
                Self::Grant(_) | Self::Expiry(_) | Self::Payout(_) => Value::Null,
            },
        }
    }

    /// How much dearer a call has become; nothing if the entry concerns no call.
    #[must_use]
    pub fn cost(&self) -> Pax {
        match self {
            Self::Correction(correction) => correction.cost(),
            Self::Grant(_) | Self::Expiry(_) | Self::Payout(_) => Pax::ZERO,
        }
    }

    /// How much the balance rises.
    #[must_use]
    pub fn amount(&self) -> Pax {
        match self {
            Self::Grant(grant) => grant.amount_pax,
            Self::Correction(correction) => correction.balance(),
            Self::Expiry(expiry) => negative(expiry.amount_pax),
            Self::Payout(payout) => negative(payout.amount_pax),
        }
    }
}

fn read<T: DeserializeOwned>(canonical: &[u8]) -> Result<T, String> {
    if canonical.len() > MADE_CANON_MAX {
        return Err(format!("they have {} bytes; at most {MADE_CANON_MAX} are allowed", canonical.len()));
    }
    serde_json::from_slice(canonical).map_err(|why| why.to_string())
}

/// The longest canonical form: a correction may hold a debit's whole bytes as a JSON text, in which each byte takes six
/// at most.
const MADE_CANON_MAX: usize = 7 * CANON_MAX;

pub(super) fn negative(amount: Pax) -> Pax {
    Pax::ZERO.checked_sub(amount).unwrap_or(Pax::MAX)
}

#[cfg(test)]
#[path = "made_test.rs"]
mod tests;
