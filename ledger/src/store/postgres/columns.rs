//! An entry's columns, as JSON.

use serde_json::{Map, Value as Json, json};

use crate::book::made::MADE_COLUMNS;
use crate::book::{COLUMNS, Entry, TooLarge, Value};

/// PostgreSQL keeps no text with this character.
pub(super) const NUL: char = '\0';

/// An entry's columns, as JSON. Tells why if PostgreSQL could not keep them.
pub(super) fn columns(entry: Entry<'_>) -> Result<Map<String, Json>, String> {
    let mut row = Map::new();
    let mut names = COLUMNS.iter().chain(&MADE_COLUMNS);
    entry
        .each_column(|value| {
            let Some(name) = names.next() else { return Ok(()) };
            let value = match value {
                Value::Null | Value::Alien => return Ok(()),
                Value::Int(number) => json!(number),
                Value::Text(text) if text.contains(NUL) => {
                    return Err(NotKept(format!(
                        "{name} has the character U+0000, which PostgreSQL cannot keep"
                    )));
                }
                Value::Text(text) => json!(text),
            };
            row.insert((*name).to_owned(), value);
            Ok(())
        })
        .map_err(|NotKept(why)| why)?;
    Ok(row)
}

struct NotKept(String);

impl From<TooLarge> for NotKept {
    fn from(number: TooLarge) -> Self {
        Self(number.to_string())
    }
}
