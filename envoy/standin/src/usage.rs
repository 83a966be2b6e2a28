//! Where an answer's usage stands, and how to take it out without touching the other members' bytes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object's members in their order, each value as it was written.
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'a> Members<'a> {
    /// `None` where the bytes are not a JSON object.
    pub(crate) fn read(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

/// Whether a chunk carries nothing but usage: `"choices":[]` and a usage that is not null.
pub(crate) fn is_usage_only(json: &[u8]) -> bool {
    let Some(members) = Members::read(json) else { return false };
    let no_choices = members
        .get("choices")
        .and_then(|value| serde_json::from_str::<Vec<IgnoredAny>>(value.get()).ok())
        .is_some_and(|choices| choices.is_empty());
    no_choices && members.get("usage").is_some_and(|value| value.get() != "null")
}

/// The object without `usage` and `x_groq.usage`; `None` when there is nothing to take out.
pub(crate) fn without_usage(json: &[u8]) -> Option<Vec<u8>> {
    let members = Members::read(json)?;
    let mut kept = Vec::with_capacity(members.0.len());
    let mut changed = false;
    for (key, value) in &members.0 {
        let inner = (key == "x_groq").then(|| without_usage(value.get().as_bytes())).flatten();
        changed |= key == "usage" || inner.is_some();
        if key != "usage" {
            let value = inner.unwrap_or_else(|| value.get().as_bytes().to_vec());
            let mut member = serde_json::to_vec(key).ok()?;
            member.push(b':');
            member.extend_from_slice(&value);
            kept.push(member);
        }
    }
    changed.then(|| [b"{".as_slice(), &kept.join(&b','), b"}"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_chunk_without_choices_and_with_usage_is_usage_only() {
        assert!(is_usage_only(br#"{"choices":[ ],"usage":{"prompt_tokens":1}}"#));
        for other in [
            r#"{"choices":[],"usage":null}"#,
            r#"{"choices":[{}],"usage":{}}"#,
            r#"{"usage":{}}"#,
            r#"{"choices":[]}"#,
            "[DONE]",
        ] {
            assert!(!is_usage_only(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn taking_usage_out_keeps_order_and_bytes_of_the_rest() {
        let json = br#"{"z":1.50,"usage":{"a":1},"x_groq":{"id":"r","usage":{"b":2}},"a":[ 1 ]}"#;
        let expected = br#"{"z":1.50,"x_groq":{"id":"r"},"a":[ 1 ]}"#;
        assert_eq!(without_usage(json).unwrap(), expected);
        assert_eq!(without_usage(expected), None);
    }
}
