//! Reads one line of the calls log, as Envoy wrote it.
//!
//! envoy/README.md has the form of a line. A key that is missing or has another type counts as not known, so
//! lines of older and newer versions can be read, too.

use pax_gateway::base::pax::Pax;
use serde_json::Value;

/// A line: a JSON object of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line(Value);

impl Line {
    /// Reads a line; nothing if it is no JSON object.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(line).ok()?;
        line.is_object().then_some(Self(line))
    }

    /// The whole line.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// Whether this is the line of the request with this id: the exchange's id or, if the filter did not see
    /// the request, the id that Envoy gave it.
    #[must_use]
    pub fn is_of(&self, id: &str) -> bool {
        self.text("exchange_id") == Some(id)
    }

    /// Whether the line has the filter's part.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.0.get("pax").is_some_and(Value::is_object)
    }

    /// The value of a key in the filter's part of the line, or else in Envoy's part.
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

    /// Whether the value is `true`.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// An amount.
    #[must_use]
    pub fn pax(&self, key: &str) -> Option<Pax> {
        self.text(key)?.parse().ok()
    }

    /// The texts of a list.
    #[must_use]
    pub fn texts(&self, key: &str) -> Vec<&str> {
        self.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }
}
