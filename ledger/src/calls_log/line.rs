//! One line of the calls log, as Envoy wrote it.
//!
//! Its form is told in envoy/README.md. What a line lacks, or has in another type, is not known: a line of a newer or an
//! older version is read as far as it goes.

use pax_gateway::base::pax::Pax;
use serde_json::Value;

/// A line, and whether it is a call's.
#[derive(Clone, Debug, PartialEq)]
pub struct Line(Value);

impl Line {
    /// Reads a line; nothing where it is no JSON object.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(line).ok()?;
        line.is_object().then_some(Self(line))
    }

    /// The line as it is.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// Whether it is the line of a request: its exchange, or the id that Envoy gave it where the filter did not see it.
    #[must_use]
    pub fn is_of(&self, id: &str) -> bool {
        self.text("exchange_id") == Some(id)
    }

    /// Whether the filter told of the request.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.0.get("pax").is_some_and(Value::is_object)
    }

    /// What the filter told, or else what Envoy saw by the same name.
    fn get(&self, key: &str) -> Option<&Value> {
        let told = self.0.get("pax").and_then(|pax| pax.get(key));
        told.or_else(|| self.0.get(key)).filter(|value| !value.is_null())
    }

    /// A text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// A whole number.
    #[must_use]
    pub fn whole(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }

    /// Whether something is said to be so.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// An amount.
    #[must_use]
    pub fn pax(&self, key: &str) -> Option<Pax> {
        self.text(key)?.parse().ok()
    }

    /// A list's texts.
    #[must_use]
    pub fn texts(&self, key: &str) -> Vec<&str> {
        self.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }
}
