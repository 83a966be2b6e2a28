//! Writes an entry as columns: every field of the debit, as a database can query it.

use std::sync::LazyLock;

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

/// The value of a column: its text is owned if it was read from a store, and borrowed if it is to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<Text = String> {
    /// NULL.
    Null,
    /// A whole number; false is 0, true is 1.
    Int(i64),
    /// A text.
    Text(Text),
    /// A value of a type that the ledger never writes: it is read only from a file that was changed by hand.
    Alien,
}

impl Value {
    /// The value, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Value<&str> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text),
            Self::Alien => Value::Alien,
        }
    }
}

impl<Text: std::fmt::Debug> std::fmt::Display for Value<Text> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("empty"),
            Self::Int(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Alien => f.write_str("unreadable"),
        }
    }
}

/// Gives `each` the debit's columns, in the order of [`COLUMNS`]. Lists and objects (`flags`, `estimated_from`)
/// are JSON; fields that the debit's version lacks are NULL.
///
/// # Errors
/// The number that is too large for a column; the error of `each`.
pub fn each_column<E: From<TooLarge>>(
    debit: &Debit,
    mut each: impl FnMut(Value<&str>) -> Result<(), E>,
) -> Result<(), E> {
    // One buffer for all texts that have to be written: an entry has some ten.
    let mut text = Vec::with_capacity(128);
    for field in FIELDS.iter() {
        text.clear();
        each(column(debit, field, &mut text)?)?;
    }
    Ok(())
}

/// The debit's columns, in the order of [`COLUMNS`], as a store would give them back.
///
/// # Errors
/// The number that is too large for a column.
pub fn columns(debit: &Debit) -> Result<Vec<Value>, TooLarge> {
    let mut columns = Vec::with_capacity(FIELDS.len());
    each_column(debit, |value| {
        columns.push(match value {
            Value::Null => Value::Null,
            Value::Int(number) => Value::Int(number),
            Value::Text(text) => Value::Text(text.to_owned()),
            Value::Alien => Value::Alien,
        });
        Ok::<_, TooLarge>(())
    })?;
    Ok(columns)
}

/// Whether every number of the debit fits its column.
///
/// # Errors
/// The number that is too large.
pub fn fits(debit: &Debit) -> Result<(), TooLarge> {
    for field in FIELDS.iter() {
        if let field::Value::Number(number) = (field.value)(debit) {
            whole(field, number)?;
        }
    }
    Ok(())
}

/// A number that is too large for its column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {number}, more than a ledger can hold")]
pub struct TooLarge {
    /// The debit's field.
    pub field: &'static str,
    /// What it holds.
    pub number: u64,
}

fn whole(field: &Field<Debit>, number: u64) -> Result<i64, TooLarge> {
    i64::try_from(number).map_err(|_| TooLarge { field: field.name, number })
}

/// The value of a column. `text` is empty, and holds the value if that has to be written.
fn column<'a>(
    debit: &'a Debit,
    field: &Field<Debit>,
    text: &'a mut Vec<u8>,
) -> Result<Value<&'a str>, TooLarge> {
    if !debit.has(field) {
        return Ok(Value::Null);
    }
    Ok(match (field.value)(debit) {
        field::Value::Null => Value::Null,
        field::Value::Truth(truth) => Value::Int(i64::from(truth)),
        field::Value::Number(number) => Value::Int(whole(field, number)?),
        field::Value::Word(word) => Value::Text(word),
        field::Value::Text(text) => Value::Text(text),
        field::Value::Exact(exact) => {
            exact.put(text);
            Value::Text(as_text(text))
        }
        field::Value::Amount(amount) => Value::Int(amount.picopax()),
        field::Value::Json(json) => {
            json.put(text);
            // A list has no keys to be sorted.
            if text.first() != Some(&b'[') {
                *text = sorted(text).into_bytes();
            }
            Value::Text(as_text(text))
        }
    })
}

/// What was written a moment ago, all of it text.
fn as_text(written: &[u8]) -> &str {
    str::from_utf8(written).unwrap_or_default()
}

/// JSON with the keys of its objects in alphabetical order, as these columns have always had them. A number in
/// it (in an estimate) is part of a text, so it need not fit a column. The bytes were written a moment ago, so they
/// are JSON.
fn sorted(json: &[u8]) -> String {
    serde_json::from_slice(json).map(|json: serde_json::Value| json.to_string()).unwrap_or_default()
}
