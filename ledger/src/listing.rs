//! An entry as one line of JSON: what `entries` prints.
//!
//! The fields are those of the canonical bytes, in their order and to the letter, but for `usage`: there the
//! provider's own JSON stands instead of the text that holds it. The ledger's own fields follow.

use std::borrow::Cow;

use pax_gateway::clock::Moment;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::store::StoredEntry;

/// The entry as JSON, without a line's end.
///
/// # Errors
/// Where its canonical bytes are no JSON object: the database was changed by hand.
pub fn json_line(entry: &StoredEntry) -> Result<String, serde_json::Error> {
    let Fields(fields) = serde_json::from_slice(&entry.canonical)?;
    let mut line = String::with_capacity(entry.canonical.len() + 256);
    line.push('{');
    for (key, value) in fields {
        let value = if key == "usage" { usage(value) } else { Cow::Borrowed(value.get()) };
        line.push_str(&format!("{}:{value},", serde_json::to_string(&key)?));
    }
    let recorded_at = Moment::from_ms(u64::try_from(entry.recorded_at).unwrap_or(0));
    line.push_str(&format!(
        "\"account_seq\":{},\"prev_hash\":{},\"entry_hash\":{},\"recorded_at\":\"{recorded_at}\"}}",
        entry.account_seq,
        serde_json::to_string(&entry.prev_hash)?,
        serde_json::to_string(&entry.entry_hash)?,
    ));
    Ok(line)
}

/// The raw usage as the JSON it is; as the text it was received as, where that is no JSON.
fn usage(value: &RawValue) -> Cow<'_, str> {
    let raw: Option<String> = serde_json::from_str(value.get()).ok();
    match raw {
        Some(raw) if serde_json::from_str::<&RawValue>(&raw).is_ok() => Cow::Owned(compact(&raw)),
        _ => Cow::Borrowed(value.get()),
    }
}

/// JSON without the white space between its tokens; every number and string as it was.
fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |char: &char| {
        let keep = in_string || !matches!(char, ' ' | '\t' | '\n' | '\r');
        match char {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && *char == '\\' && !escaped;
        keep
    };
    json.chars().filter(keep).collect()
}

/// The members of an object in their order, values untouched.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an entry's object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_only_where_it_means_nothing() {
        for (json, expected) in [
            ("{ \"a\" : 1.50 ,\n\t\"b\":[ 1 , 2 ] }", r#"{"a":1.50,"b":[1,2]}"#),
            (r#"{"a b":"c \" d \\", "e":1e3}"#, r#"{"a b":"c \" d \\","e":1e3}"#),
            (r#""\\" "#, r#""\\""#),
            (r#"{"a\\":" \\\" "}"#, r#"{"a\\":" \\\" "}"#),
            ("null", "null"),
        ] {
            assert_eq!(compact(json), expected);
        }
    }

    #[test]
    fn usage_is_json_with_its_numbers_as_received_and_a_text_where_it_is_not_json() {
        for (usage, expected) in [
            (r#""{\"n\": 12345678901234567890.10}""#, r#"{"n":12345678901234567890.10}"#),
            (r#""{broken""#, r#""{broken""#),
            ("null", "null"),
        ] {
            let canonical = format!("{{\"canon_v\":1,\"usage\":{usage},\"utc_day\":\"2026-11-23\"}}");
            let entry = StoredEntry {
                position: 1,
                columns: Vec::new(),
                canonical: canonical.into_bytes(),
                account_seq: 7,
                prev_hash: "p".to_owned(),
                entry_hash: "h".to_owned(),
                recorded_at: 0,
            };
            let line = json_line(&entry).unwrap();
            let expected = format!(
                "{{\"canon_v\":1,\"usage\":{expected},\"utc_day\":\"2026-11-23\",\"account_seq\":7,\
                 \"prev_hash\":\"p\",\"entry_hash\":\"h\",\"recorded_at\":\"1970-01-01T00:00:00.000Z\"}}"
            );
            assert_eq!(line, expected);
        }
    }
}
