//! An action of an operator: under which key, who does it and why, and what it may be done to.

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// The longest key of an action.
const KEY_MAX: usize = 128;
/// The longest name of an operator, and the longest reason, in bytes.
const BY_MAX: usize = 128;
const REASON_MAX: usize = 1_024;

/// An operator's own part of an action: under which key, who, why and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    key: String,
    by: String,
    reason: Option<String>,
    at: Moment,
}

impl Act {
    /// An act.
    ///
    /// # Errors
    /// What is wrong with one of the texts; the message begins with its name.
    pub fn new(key: String, by: String, reason: Option<String>, at: Moment) -> Result<Self, String> {
        let is_printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if key.trim().len() != key.len()
            || !(1..=KEY_MAX).contains(&key.len())
            || !key.bytes().all(is_printable)
        {
            return Err(format!(
                "key must have 1 to {KEY_MAX} printable ASCII characters, and no space at either end"
            ));
        }
        for (name, text, most) in [("by", Some(&by), BY_MAX), ("reason", reason.as_ref(), REASON_MAX)] {
            let Some(text) = text else { continue };
            if text.trim().is_empty() || text.len() > most || text.chars().any(char::is_control) {
                return Err(format!("{name} must have 1 to {most} printable characters"));
            }
        }
        Ok(Self { key, by, reason, at })
    }

    /// The same act on one of many: its key is followed by a slash and the name of that one.
    ///
    /// # Errors
    /// If that is too long for a key.
    pub fn of_many(&self, name: &str) -> Result<Self, String> {
        Self::new(format!("{}/{name}", self.key), self.by.clone(), self.reason.clone(), self.at)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Who acts.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// When, on the ledger's clock.
    #[must_use]
    pub fn at(&self) -> Moment {
        self.at
    }
}

/// The hash of what is asked for: SHA-256 of `"pax-operator-request/1\n"` and the canonical JSON of action, arguments
/// and reason. Who asks is left out, so that another operator may send an action again.
#[must_use]
pub fn request_sha256(action: &str, arguments: &Json, reason: Option<&str>) -> Digest {
    let request = json!({"action": action, "arguments": arguments, "reason": reason}).to_string();
    Digest::of(&[b"pax-operator-request/1\n", request.as_bytes()])
}

/// The state of an account that operators decide, as rows with the subject `account:NAME` have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// Its tier.
    pub tier: Tier,
    /// Its status.
    pub status: Status,
    /// Its own daily cap.
    pub daily_cap_pax: Option<Pax>,
    /// When it was closed. A row says nothing of it while the account is open, as rows did before accounts could be closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Moment>,
}

/// The state of a token, as rows with the subject `token:ID` have it: never the token itself, nor its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenState {
    /// Whose it is.
    pub account: String,
    /// What the operator called it.
    pub label: String,
    /// When it ceases to resolve.
    pub expires_at: Option<Moment>,
    /// When it was revoked.
    pub revoked_at: Option<Moment>,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'a> {
    /// An account's state.
    Account(&'a str),
    /// A token's state.
    Token(&'a str),
    /// Something that has no state of its own, such as lines that were marked as seen.
    Event(&'a str),
}

impl<'a> About<'a> {
    /// What a row with this subject is about.
    #[must_use]
    pub fn of(subject: &'a str) -> Self {
        match subject.split_once(':') {
            Some(("account", name)) => Self::Account(name),
            Some(("token", id)) => Self::Token(id),
            _ => Self::Event(subject),
        }
    }

    /// The row's subject.
    #[must_use]
    pub fn subject(self) -> String {
        match self {
            Self::Account(name) => format!("account:{name}"),
            Self::Token(id) => format!("token:{id}"),
            Self::Event(subject) => subject.to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "act_test.rs"]
mod tests;
