//! An entry as columns: every field of the debit, as a database can query it.

use pax_gateway::debit::Debit;
use serde_json::Value as Json;

/// The columns that repeat a field of the debit: those of version 1 in its order, then what version 2 has beside them.
/// Only `cost_picopax` is named otherwise than its field, because its unit is another.
pub const COLUMNS: [&str; 50] = [
    "canon_v",
    "kind",
    "exchange_id",
    "account",
    "tier",
    "token_id",
    "funding",
    "slot",
    "intent_id",
    "goal_id",
    "mode",
    "model",
    "provider",
    "stream",
    "upstream_status",
    "response_id",
    "service_tier",
    "ending",
    "flags",
    "provenance",
    "usage_rules",
    "usage",
    "estimator",
    "estimated_from",
    "tokens_input",
    "tokens_cached_input",
    "tokens_cache_write_input",
    "tokens_audio_input",
    "tokens_output",
    "tokens_audio_output",
    "tokens_reasoning_output",
    "cost_picopax",
    "rate_table_v",
    "card_sha256",
    "occurred_at",
    "settled_at",
    "utc_day",
    "asked_model",
    "provider_request_id",
    "hold_id",
    "n",
    "stated_maximum",
    "input_limit",
    "output_limit",
    "unseen_ms",
    "tokens_cache_write_1h_input",
    "tokens_image_input",
    "tokens_image_output",
    "first_byte_ms",
    "duration_ms",
];

/// What stands in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number; a truth value is 0 or 1.
    Int(i64),
    /// A text.
    Text(String),
    /// Something that no column of ours holds: only ever read, from a file that was changed by hand.
    Alien,
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("empty"),
            Self::Int(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Alien => f.write_str("unreadable"),
        }
    }
}

/// The debit's columns, in the order of [`COLUMNS`]. Lists and objects (`flags`, `estimated_from`) are JSON; what the
/// debit's version lacks is NULL.
///
/// # Errors
/// Which number is too large for a column, or which field is missing.
pub fn columns(debit: &Debit) -> Result<Vec<Value>, String> {
    let json = serde_json::from_slice(&debit.to_canonical()).map_err(|error| error.to_string())?;
    COLUMNS.iter().map(|name| column(debit, &json, name)).collect()
}

fn column(debit: &Debit, json: &Json, name: &str) -> Result<Value, String> {
    if name == "cost_picopax" {
        return Ok(Value::Int(debit.cost_pax.picopax()));
    }
    match json.get(name) {
        None | Some(Json::Null) => Ok(Value::Null),
        Some(Json::Bool(truth)) => Ok(Value::Int(i64::from(*truth))),
        Some(Json::Number(number)) => {
            let whole = number.as_i64().map(Value::Int);
            whole.ok_or_else(|| format!("{name} is {number}, more than a ledger can hold"))
        }
        Some(Json::String(text)) => Ok(Value::Text(text.clone())),
        Some(other) => {
            // A number inside (of an estimate) is compared as text, so it need not fit a column.
            Ok(Value::Text(other.to_string()))
        }
    }
}
