//! The log of what operators did, without any SQL: what a row is, and how rows are chained.
//!
//! * A row is its canonical bytes ([`Row::to_canonical`]). The columns that are stored with them repeat their
//!   fields.
//! * All rows form one chain, numbered from 1 ([`row_hash`], [`genesis`]). The log keeps the number and the hash of
//!   the last one, so that a missing tail shows. `at` never falls within the chain.
//! * The key of an action is used once, for ever. The hash of its request ([`super::request_sha256`]) tells whether somebody
//!   sends the same action again, or another one under the same key.
//! * A subject that has a state (`account:NAME`, `token:ID`) has all of it in `before` and `after`. So each row's
//!   `before` follows from the `after` of the row before it on the same subject.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Value;

/// The version of the canonical bytes.
pub const OPERATOR_CANON_V: u32 = 1;

/// What a row says, in the canonical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The version of its canonical bytes.
    pub canon_v: u32,
    /// When it was done.
    pub at: Moment,
    /// Who did it.
    pub by: String,
    /// The action's key.
    pub key: String,
    /// What was done, such as `account_cap`.
    pub action: String,
    /// To what ([`super::About`]).
    pub subject: String,
    /// The account that it concerns.
    pub account: Option<String>,
    /// The subject before the action; null if there was nothing.
    pub before: Json,
    /// The subject after it.
    pub after: Json,
    /// Why.
    pub reason: Option<String>,
    /// The hash of the request.
    pub request_sha256: Digest,
    /// What was answered, so that it can be answered again.
    pub reply: Json,
}

/// The columns that repeat the fields of [`Row`], in its order.
pub const OPERATOR_COLUMNS: [&str; 12] = [
    "canon_v",
    "at",
    "by",
    "key",
    "action",
    "subject",
    "account",
    "before",
    "after",
    "reason",
    "request_sha256",
    "reply",
];

impl Row {
    /// The canonical bytes: JSON without spaces, the fields in the order of [`Row`], the keys of objects inside
    /// them in alphabetical order.
    #[must_use]
    pub fn to_canonical(&self) -> Vec<u8> {
        // Texts, numbers and objects with text keys: nothing here can fail to become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// Why the bytes are not the canonical form of a row.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, String> {
        let row: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if row.canon_v != OPERATOR_CANON_V {
            return Err(format!("canon_v {} is not read by this program", row.canon_v));
        }
        if row.to_canonical() != bytes {
            return Err("they are not in the canonical form".to_owned());
        }
        Ok(row)
    }

    /// The values of [`OPERATOR_COLUMNS`].
    #[must_use]
    pub fn columns(&self) -> [Value; 12] {
        let text = |text: &str| Value::Text(text.to_owned());
        let json = |json: &Json| if json.is_null() { Value::Null } else { Value::Text(json.to_string()) };
        let optional = |it: Option<&str>| it.map_or(Value::Null, text);
        [
            Value::Int(self.canon_v.into()),
            Value::Int(i64::try_from(self.at.ms()).unwrap_or(i64::MAX)),
            text(&self.by),
            text(&self.key),
            text(&self.action),
            text(&self.subject),
            optional(self.account.as_deref()),
            json(&self.before),
            json(&self.after),
            optional(self.reason.as_deref()),
            text(&self.request_sha256.to_string()),
            json(&self.reply),
        ]
    }
}

/// The previous hash of the first row: SHA-256 of `"pax-operator-log/1\n"`.
#[must_use]
pub fn operator_genesis() -> Digest {
    Digest::of(&[b"pax-operator-log/1\n"])
}

/// A row's hash: SHA-256 of `"pax-operator/1\n" prev_hash "\n" seq "\n" canonical`, the hash in hexadecimal, the
/// number in decimal.
#[must_use]
pub fn row_hash(prev_hash: &str, seq: i64, canonical: &[u8]) -> Digest {
    let head = format!("pax-operator/1\n{prev_hash}\n{seq}\n");
    Digest::of(&[head.as_bytes(), canonical])
}

/// A row as it was read from the store. It is not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// Its number.
    pub seq: i64,
    /// The values of [`OPERATOR_COLUMNS`].
    pub columns: Vec<Value>,
    /// Its canonical bytes.
    pub canonical: Vec<u8>,
    /// The hash of the row before.
    pub prev_hash: String,
    /// Its own hash.
    pub row_hash: String,
}

impl StoredRow {
    /// The value of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Value> {
        OPERATOR_COLUMNS.iter().position(|column| *column == name).and_then(|at| self.columns.get(at))
    }

    /// The text of a column; none if it is NULL, or no text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.column(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// How far a walk along the log has come. The last row's hash is kept both as stored and as computed: if they
/// differ, that row has been named, and the next one may follow either hash.
#[derive(Clone, Debug)]
pub struct OperatorWalk {
    /// The number of the last row; 0 before the first.
    pub seq: i64,
    /// Its hash, as stored.
    pub stored: String,
    /// Its hash, as computed.
    pub computed: String,
    /// When the last row was written, in milliseconds since 1970.
    pub at: i64,
}

impl Default for OperatorWalk {
    fn default() -> Self {
        let genesis = operator_genesis().to_string();
        Self { seq: 0, stored: genesis.clone(), computed: genesis, at: 0 }
    }
}

impl OperatorWalk {
    /// Checks the next row: its place in the chain, its bytes, each column against them. Takes the step.
    pub fn step(&mut self, row: &StoredRow) -> Vec<String> {
        let mut found = Vec::new();
        let due = self.seq.saturating_add(1);
        if row.seq != due {
            found.push(format!("number {due} should be here: rows are missing, or seq was changed"));
        }
        if row.prev_hash != self.stored && row.prev_hash != self.computed {
            found.push(format!("its prev_hash is {}, but the row before has {}", row.prev_hash, self.stored));
        }
        self.computed = row_hash(&row.prev_hash, row.seq, &row.canonical).to_string();
        if row.row_hash != self.computed {
            found.push(format!(
                "its row_hash is {}, but its canonical bytes, seq and prev_hash make {}",
                row.row_hash, self.computed
            ));
        }
        self.seq = row.seq;
        self.stored.clone_from(&row.row_hash);
        match Row::from_canonical(&row.canonical) {
            Ok(said) => {
                let columns = said.columns();
                for ((name, said), found_there) in OPERATOR_COLUMNS.iter().zip(&columns).zip(&row.columns) {
                    if said != found_there {
                        found.push(format!(
                            "column {name} is {found_there}, but its canonical bytes say {said}"
                        ));
                    }
                }
                let at = i64::try_from(said.at.ms()).unwrap_or(i64::MAX);
                if at < self.at {
                    found.push("it is earlier than the row before".to_owned());
                }
                self.at = at;
            }
            Err(why) => found.push(format!("its canonical bytes are no row: {why}")),
        }
        found
    }
}

/// The fields that two states of a subject both have, and that differ: the name, and both values. A field that only
/// one of them has was added by a later version of the program.
#[must_use]
pub fn differing<'a>(one: &'a Json, other: &'a Json) -> Vec<(&'a str, &'a Json, &'a Json)> {
    let (Json::Object(one), Json::Object(other)) = (one, other) else { return Vec::new() };
    let both = one.iter().filter_map(|(name, value)| Some((name.as_str(), value, other.get(name)?)));
    both.filter(|(_, value, found)| value != found).collect()
}

#[cfg(test)]
#[path = "operator_log_test.rs"]
mod tests;
