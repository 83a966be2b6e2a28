//! Writes an entry as columns: every field of the debit, as a database can query it.

use std::sync::LazyLock;

use pax_gateway::base::text::AsText;
use pax_gateway::debit::canonical::Field;
use pax_gateway::debit::field;
use pax_gateway::debit::frozen::Debit;

/// The fields in the order of their columns: those of version 1 in its order, then what each later version added.
static FIELDS: LazyLock<Vec<&Field<Debit>>> = LazyLock::new(|| {
    let mut fields: Vec<_> = Debit::FIELDS.iter().collect();
    fields.sort_by_key(|field| field.since);
    fields
});

/// The columns that repeat a field of the debit. Only `cost_picopax` has another name than its field, because
/// its unit differs.
pub static COLUMNS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let name = |field: &&Field<Debit>| if field.name == "cost_pax" { "cost_picopax" } else { field.name };
    FIELDS.iter().map(name).collect()
});

/// The value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number; false is 0, true is 1.
    Int(i64),
    /// A text.
    Text(String),
    /// A value of a type that the ledger never writes: it is read only from a file that was changed by hand.
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

/// The debit's columns, in the order of [`COLUMNS`]. Lists and objects (`flags`, `estimated_from`) are JSON;
/// fields that the debit's version lacks are NULL.
///
/// # Errors
/// The number that is too large for a column.
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

/// JSON with the keys of its objects in alphabetical order, as these columns have always had them. A number in
/// it (in an estimate) is part of a text, so it need not fit a column.
fn sorted(json: &dyn AsText) -> Result<String, String> {
    let json: serde_json::Value = serde_json::from_str(&json.text()).map_err(|error| error.to_string())?;
    Ok(json.to_string())
}
