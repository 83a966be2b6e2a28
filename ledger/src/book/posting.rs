//! The posting: what only the ledger knows of an entry, since a debit's bytes are frozen by the filter before the ledger
//! sees them. It is one line of JSON with a fixed order of fields, beside the canonical bytes, and hashed with them.

use pax_gateway::base::account::Tier;
use pax_gateway::base::pax::Pax;
use serde::{Deserialize, Serialize};

/// The version of the form.
const POSTING_V: u32 = 1;

/// What only the ledger knows of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posting {
    posting_v: u32,
    /// The hold that a debit has posted. None if it had none.
    pub hold: Option<PostedHold>,
    /// What the account's open holds set aside when the entry was posted, its own hold left out. A lot that is over
    /// keeps so much for them.
    pub held_pax: Pax,
    /// Whose sums the entry has changed, in the order account, token.
    pub scopes: Vec<String>,
}

/// The hold that a debit has posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostedHold {
    /// What it set aside.
    pub held_pax: Pax,
    /// It had expired or was voided by then.
    pub late: bool,
    /// The debit is larger than the hold.
    pub overrun: bool,
}

impl PostedHold {
    /// What of the balance it kept until its debit came, for a debit of this tier.
    #[must_use]
    pub fn kept(&self, tier: Tier) -> Pax {
        if tier == Tier::Credit && !self.late { self.held_pax } else { Pax::ZERO }
    }
}

impl Posting {
    /// A posting.
    #[must_use]
    pub fn new(hold: Option<PostedHold>, held_pax: Pax, scopes: Vec<String>) -> Self {
        Self { posting_v: POSTING_V, hold, held_pax, scopes }
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        // A struct of texts, numbers and lists of them can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// If it is no posting, or was not written by [`Posting::line`].
    pub fn read(line: &str) -> Result<Self, String> {
        let posting: Self = serde_json::from_str(line).map_err(|why| why.to_string())?;
        if posting.posting_v != POSTING_V {
            return Err(format!("posting_v {} is unknown", posting.posting_v));
        }
        if posting.line() != line {
            return Err("it is not in canonical form".to_owned());
        }
        Ok(posting)
    }
}
