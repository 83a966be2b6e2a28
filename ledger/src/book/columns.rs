//! An entry as columns: every field of the debit, as a database can query it.

use std::sync::LazyLock;

use pax_gateway::canonical::Field;
use pax_gateway::debit::Debit;
use pax_gateway::field;
use pax_gateway::text::AsText;

/// The fields in the order of their columns: those of version 1 in its order, then what each later version added.
static FIELDS: LazyLock<Vec<&Field<Debit>>> = LazyLock::new(|| {
    let mut fields: Vec<_> = Debit::FIELDS.iter().collect();
    fields.sort_by_key(|field| field.since);
    fields
});

/// The columns that repeat a field of the debit. Only `cost_picopax` is named otherwise than its field, because its unit
/// is another.
pub static COLUMNS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let name = |field: &&Field<Debit>| if field.name == "cost_pax" { "cost_picopax" } else { field.name };
    FIELDS.iter().map(name).collect()
});

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
/// Which number is too large for a column.
pub fn columns(debit: &Debit) -> Result<Vec<Value>, String> {
    FIELDS.iter().map(|field| column(debit, field)).collect()
}

fn column(debit: &Debit, field: &Field<Debit>) -> Result<Value, String> {
    if !debit.has(field) {
        return Ok(Value::Null);
    }
    Ok(match (field.value)(debit) {
        field::Value::Null => Value::Null,
        field::Value::Truth(truth) => Value::Int(i64::from(truth)),
        field::Value::Number(number) => {
            let whole = i64::try_from(number).map(Value::Int);
            whole.map_err(|_| format!("{} is {number}, more than a ledger can hold", field.name))?
        }
        field::Value::Word(word) => Value::Text(word.to_owned()),
        field::Value::Text(text) => Value::Text(text.to_owned()),
        field::Value::Exact(exact) => Value::Text(exact.text()),
        field::Value::Amount(amount) => Value::Int(amount.picopax()),
        field::Value::Json(json) => Value::Text(sorted(json)?),
    })
}

/// JSON with the keys of its objects in the alphabet's order, as these columns have always had them. A number in it (of
/// an estimate) is part of a text, so it need not fit a column.
fn sorted(json: &dyn AsText) -> Result<String, String> {
    let json: serde_json::Value = serde_json::from_str(&json.text()).map_err(|error| error.to_string())?;
    Ok(json.to_string())
}
