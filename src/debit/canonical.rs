//! Canonical bytes: JSON with its fields in a fixed order. The bytes are those that `serde_json` makes of the
//! same struct, at a fifth of the time: `serde_json` was the dearest part of a call. Writing them cannot
//! fail.
//!
//! A macro makes a table of the fields from the struct itself, and the order is that of this table. The
//! ledger's columns come from the same table, so that each field is listed once. The golden files show the
//! forms.

use crate::base::json::text::plain_run;
use crate::base::text::{AsText as _, hex, put_decimal};
use crate::debit::field::Value;

/// More bytes than most debits have.
pub(crate) const USUAL: usize = 1_536;

/// One field of a struct: of a debit, or of what an estimate was made from.
#[derive(Clone, Copy, Debug)]
pub struct Field<Struct> {
    /// Its name.
    pub name: &'static str,
    /// The first version of a debit's canonical form that has it.
    pub since: u32,
    /// What it holds.
    pub value: fn(&Struct) -> Value<'_>,
    /// Writes a comma, its name and what it holds, as in an object of JSON.
    pub(crate) put: fn(&Struct, &mut Vec<u8>),
}

/// Makes a struct with public fields, and the table of them. The number before each field is the first version of a
/// debit's canonical form that has it.
macro_rules! with_table_of_fields {
    (
        $(#[$of_the_struct:meta])*
        pub struct $struct:ident {
            $($(#[$of_the_field:meta])* $since:literal $name:ident: $type:ty,)+
        }
    ) => {
        $(#[$of_the_struct])*
        pub struct $struct {
            $(
                $(#[$of_the_field])*
                #[doc = concat!("\nSince version ", $since, ".")]
                pub $name: $type,
            )+
        }

        impl $struct {
            /// Every field, in the canonical order.
            pub const FIELDS: &[$crate::debit::canonical::Field<Self>] = &[$($crate::debit::canonical::Field {
                name: stringify!($name),
                since: $since,
                value: |of| $crate::debit::field::Held::value(&of.$name),
                put: |of, to| {
                    to.extend_from_slice(concat!(",\"", stringify!($name), "\":").as_bytes());
                    $crate::debit::canonical::put_value(to, $crate::debit::field::Held::value(&of.$name));
                },
            },)+];

            /// Reads the fields of a version in the canonical order, without the closing brace; none if other
            /// bytes come.
            pub(crate) fn read(
                from: &mut $crate::debit::canonical_reader::Reader<'_>,
                canon_v: u32,
            ) -> Option<Self> {
                Some(Self {$($name: if $since <= canon_v {
                    from.name(concat!("\"", stringify!($name), "\":").as_bytes())?;
                    $crate::debit::field::Held::read(from)?
                } else {
                    $crate::debit::field::Held::absent()?
                },)+})
            }
        }
    };
}

pub(crate) use with_table_of_fields;

/// Writes an object with these fields at the end of what is there.
pub(crate) fn put<'a, T: 'static>(to: &mut Vec<u8>, fields: impl IntoIterator<Item = &'a Field<T>>, of: &T) {
    let start = to.len();
    for field in fields {
        (field.put)(of, to);
    }
    // No field comes before the first one, so the brace takes the place of its comma.
    if let Some(comma) = to.get_mut(start) {
        *comma = b'{';
    }
    to.push(b'}');
}

/// Writes a value as JSON. Inlined, so that the code of each field keeps only the branch for its own kind of
/// value.
#[inline(always)]
pub(crate) fn put_value(to: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => to.extend_from_slice(b"null"),
        Value::Truth(true) => to.extend_from_slice(b"true"),
        Value::Truth(false) => to.extend_from_slice(b"false"),
        Value::Number(number) => put_decimal(to, number, 0),
        Value::Word(word) => quoted(to, |to| to.extend_from_slice(word.as_bytes())),
        Value::Text(text) => quoted(to, |to| put_escaped(to, text.as_bytes())),
        Value::Exact(exact) => quoted(to, |to| exact.put(to)),
        Value::Amount(amount) => quoted(to, |to| amount.put(to)),
        Value::Json(json) => json.put(to),
    }
}

fn quoted(to: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    to.push(b'"');
    put(to);
    to.push(b'"');
}

/// Escapes only what must be.
fn put_escaped(to: &mut Vec<u8>, mut rest: &[u8]) {
    // If the plain run reaches the end of the text, there is nothing to escape any more.
    while let Some((plain, [byte, after @ ..])) = rest.split_at_checked(plain_run(rest)) {
        to.extend_from_slice(plain);
        match byte {
            b'"' => to.extend_from_slice(b"\\\""),
            b'\\' => to.extend_from_slice(b"\\\\"),
            b'\n' => to.extend_from_slice(b"\\n"),
            b'\r' => to.extend_from_slice(b"\\r"),
            b'\t' => to.extend_from_slice(b"\\t"),
            0x08 => to.extend_from_slice(b"\\b"),
            0x0c => to.extend_from_slice(b"\\f"),
            0..0x20 => {
                to.extend_from_slice(b"\\u00");
                to.extend_from_slice(&hex(*byte));
            }
            // Part of a character that is not ASCII.
            _ => to.push(*byte),
        }
        rest = after;
    }
    to.extend_from_slice(rest);
}

#[cfg(test)]
#[path = "canonical_test.rs"]
mod tests;
