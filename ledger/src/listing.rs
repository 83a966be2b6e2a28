//! Writes an entry as text: as the line of JSON or the row of CSV that `entries` prints for operators, and as
//! the JSON or the row of CSV that the account's owner gets.
//!
//! Values are copied from the canonical bytes to the letter. Only `usage` differs: it is the provider's own
//! JSON, not the text that holds it.

use std::borrow::Cow;
use std::sync::LazyLock;

use pax_gateway::base::clock::Moment;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::book::{self, Made};
use crate::store::{OwnEntry, StoredEntry};

/// The columns of a debit that its account's owner gets as CSV, in this order. The JSON has more.
pub const OWN_COLUMNS: [&str; 30] = [
    "account_seq",
    "exchange_id",
    "kind",
    "occurred_at",
    "settled_at",
    "utc_day",
    "model",
    "provider",
    "slot",
    "intent_id",
    "goal_id",
    "funding",
    "stream",
    "upstream_status",
    "ending",
    "provenance",
    "flags",
    "tokens_input",
    "tokens_cached_input",
    "tokens_cache_write_input",
    "tokens_cache_write_1h_input",
    "tokens_audio_input",
    "tokens_image_input",
    "tokens_output",
    "tokens_audio_output",
    "tokens_image_output",
    "tokens_reasoning_output",
    "cost_pax",
    "rate_table_v",
    "token_id",
];

/// What grants, corrections and expiries have besides: how much the balance rises, what is corrected, the key.
const MADE_CELLS: [&str; 3] = ["amount_pax", "corrects", "key"];

/// The columns of an entry that its account's owner gets as CSV.
pub static OWN_CSV_COLUMNS: LazyLock<Vec<&str>> =
    LazyLock::new(|| OWN_COLUMNS.into_iter().chain(MADE_CELLS).collect());

/// The columns of an entry that operators get as CSV: its account, the owner's columns, and its place in the
/// chain.
pub static OPERATOR_COLUMNS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let owners = OWN_CSV_COLUMNS.iter().copied();
    ["account", "tier"].into_iter().chain(owners).chain(["recorded_at", "entry_hash"]).collect()
});

/// What the JSON has beside these columns: the raw usage, what an estimate was made from, which of the card's
/// prices count, and the provider's own ids. With them the owner can make the bill again, and dispute it with
/// the provider. The id of a hold is only for operators.
const OWN_FACTORS: [&str; 17] = [
    "mode",
    "asked_model",
    "service_tier",
    "response_id",
    "provider_request_id",
    "card_sha256",
    "usage_rules",
    "usage",
    "n",
    "stated_maximum",
    "input_limit",
    "output_limit",
    "unseen_ms",
    "estimator",
    "estimated_from",
    "first_byte_ms",
    "duration_ms",
];

/// The entry as JSON, without a line's end.
///
/// # Errors
/// If its canonical bytes are no JSON object: the database was changed by hand.
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
        "\"account_seq\":{},\"prev_hash\":{},\"entry_hash\":{},\"recorded_at\":\"{recorded_at}\"",
        entry.account_seq,
        serde_json::to_string(&entry.prev_hash)?,
        serde_json::to_string(&entry.entry_hash)?,
    ));
    if let Some(posting) = &entry.posting {
        // As it was hashed.
        let posting: &RawValue = serde_json::from_str(posting)?;
        line.push_str(&format!(",\"hash_v\":{},\"posting\":{posting}", entry.hash_v));
    }
    line.push('}');
    Ok(line)
}

/// The entry as JSON for its account's owner.
///
/// # Errors
/// If its canonical bytes are no JSON object: the database was changed by hand.
pub fn own_json(entry: &OwnEntry) -> Result<Box<RawValue>, serde_json::Error> {
    let Fields(fields) = serde_json::from_slice(&entry.canonical)?;
    let mut text = format!("{{\"account_seq\":{}", entry.account_seq);
    if !is_debit(&fields) {
        // Its owner gets all of it but the operator's name; of a true debit that it embeds, what owners get of debits.
        for (name, value) in fields.iter().filter(|(name, _)| name != "by") {
            let embedded = if name == "better" { serde_json::from_str(value.get())? } else { None::<String> };
            let embedded = embedded.map(|better| {
                own_json(&OwnEntry { account_seq: entry.account_seq, canonical: better.into_bytes() })
            });
            let embedded = embedded.transpose()?;
            let value = embedded.as_deref().unwrap_or(value);
            text.push_str(&format!(",{}:{value}", serde_json::to_string(name)?));
        }
        text.push('}');
        return RawValue::from_string(text);
    }
    for name in OWN_COLUMNS.iter().skip(1).chain(&OWN_FACTORS) {
        let value = fields.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        let value = match value {
            Some(value) if *name == "usage" => usage(value),
            Some(value) => Cow::Borrowed(value.get()),
            None => Cow::Borrowed("null"),
        };
        text.push_str(&format!(",\"{name}\":{value}"));
    }
    text.push('}');
    RawValue::from_string(text)
}

/// The entry as cells for its account's owner, in the order of [`OWN_CSV_COLUMNS`].
///
/// # Errors
/// If its canonical bytes are no JSON object: the database was changed by hand.
pub fn own_cells(entry: &OwnEntry) -> Result<Vec<String>, serde_json::Error> {
    cells(OWN_CSV_COLUMNS.iter(), &entry.canonical, |name| {
        (name == "account_seq").then(|| entry.account_seq.to_string())
    })
}

/// The entry as cells for operators, in the order of [`OPERATOR_COLUMNS`].
///
/// # Errors
/// If its canonical bytes are no JSON object: the database was changed by hand.
pub fn operator_cells(entry: &StoredEntry) -> Result<Vec<String>, serde_json::Error> {
    cells(OPERATOR_COLUMNS.iter(), &entry.canonical, |name| match name {
        "account_seq" => Some(entry.account_seq.to_string()),
        "recorded_at" => Some(Moment::from_ms(u64::try_from(entry.recorded_at).unwrap_or(0)).to_string()),
        "entry_hash" => Some(defused(entry.entry_hash.clone())),
        _ => None,
    })
}

/// The columns of an entry as cells. `of_the_row` has the columns that are not in the canonical bytes.
fn cells<'a>(
    columns: impl Iterator<Item = &'a &'static str>,
    canonical: &[u8],
    of_the_row: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, serde_json::Error> {
    let Fields(fields) = serde_json::from_slice(canonical)?;
    if let Some(made) = (!is_debit(&fields)).then(|| Made::read(canonical).ok()).flatten() {
        let cells = columns.map(|name| of_the_row(name).unwrap_or_else(|| made_cell(&made, name)));
        return Ok(cells.collect());
    }
    let of_canonical = |name: &str| match fields.iter().find(|(key, _)| key == name) {
        None => Ok(String::new()),
        // An amount is a number, even with a minus sign in front, so it gets no apostrophe.
        Some((_, value)) if name == "cost_pax" => serde_json::from_str(value.get()),
        Some((_, value)) => cell(value),
    };
    columns.map(|name| of_the_row(name).map_or_else(|| of_canonical(name), Ok)).collect()
}

/// Whether these are the fields of a debit.
fn is_debit(fields: &[(String, &RawValue)]) -> bool {
    fields.iter().all(|(name, value)| name != "kind" || value.get() == "\"debit\"")
}

/// A column of a grant, a correction or an expiry as a cell.
fn made_cell(made: &Made, name: &str) -> String {
    match name {
        "cost_pax" => made.cost().to_string(),
        "amount_pax" => made.amount().to_string(),
        "key" => defused(made.key().to_owned()),
        name => match made.column(name) {
            book::Value::Int(number) => number.to_string(),
            book::Value::Text(text) => defused(text),
            book::Value::Null | book::Value::Alien => String::new(),
        },
    }
}

/// A value as a cell: a list's members with a space between them, and an empty cell for null.
fn cell(value: &RawValue) -> Result<String, serde_json::Error> {
    Ok(match serde_json::from_str(value.get())? {
        Value::Null => String::new(),
        Value::String(text) => defused(text),
        Value::Array(members) => {
            let members = members
                .iter()
                .map(|member| member.as_str().map_or_else(|| member.to_string(), str::to_owned));
            defused(members.collect::<Vec<_>>().join(" "))
        }
        // A number, `true` or `false`, as it was written.
        _ => value.get().to_owned(),
    })
}

/// A text that no spreadsheet takes for a formula. Labels and model names are chosen by one person, and the
/// file may be opened by another.
pub(crate) fn defused(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

/// The raw usage as JSON; if it is no JSON, as the text that was received.
fn usage(value: &RawValue) -> Cow<'_, str> {
    let raw: Option<String> = serde_json::from_str(value.get()).ok();
    match raw {
        Some(raw) if serde_json::from_str::<&RawValue>(&raw).is_ok() => Cow::Owned(compact(&raw)),
        _ => Cow::Borrowed(value.get()),
    }
}

/// JSON without the white space between its tokens. Every number and string stays as it was.
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

/// The members of an object in their order, with untouched values.
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
    fn no_text_of_a_cell_begins_a_formula_and_numbers_stay_numbers() {
        for (json, expected) in [
            ("null", ""),
            ("true", "true"),
            ("-5", "-5"),
            ("12345678901234567890", "12345678901234567890"),
            ("[]", ""),
            (r#"["a","b"]"#, "a b"),
            (r#""""#, ""),
            (r#""a=1""#, "a=1"),
            (r#"" =1""#, " =1"),
            (r#""=1+1""#, "'=1+1"),
            (r#""+1""#, "'+1"),
            (r#""-1""#, "'-1"),
            (r#""@a""#, "'@a"),
            (r#""\t=1""#, "'\t=1"),
            (r#""\r=1""#, "'\r=1"),
            (r#""'=1""#, "'=1"),
        ] {
            assert_eq!(cell(&RawValue::from_string(json.to_owned()).unwrap()).unwrap(), expected, "{json}");
        }
        let canonical = br#"{"cost_pax":"-0.500000000000","slot":"-0.5"}"#.to_vec();
        let cells = own_cells(&OwnEntry { account_seq: 3, canonical }).unwrap();
        let named = |name| &cells[OWN_COLUMNS.iter().position(|column| *column == name).unwrap()];
        assert_eq!(
            [named("account_seq"), named("cost_pax"), named("slot")],
            ["3", "-0.500000000000", "'-0.5"]
        );
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
                hash_v: 1,
                posting: None,
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
