//! What a field of a debit holds, for writers that do not know its type: canonical bytes, and the ledger's columns.

use crate::base::account::{Funding, Tier};
use crate::base::clock::{Moment, UtcDay};
use crate::base::digest::Digest;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::{Pax, Tokens};
use crate::base::text::AsText;

/// What a field holds.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// Yes or no.
    Truth(bool),
    /// A whole number.
    Number(u64),
    /// A word that this program chose: JSON escapes no character of it.
    Word(&'static str),
    /// A text that somebody else chose.
    Text(&'a str),
    /// An id, a hash, a moment or a day, as its text: JSON escapes no character of it.
    Exact(&'a dyn AsText),
    /// An amount.
    Amount(Pax),
    /// A list or an object, as its text, which is JSON.
    Json(&'a dyn AsText),
}

/// A type that fields have.
pub(crate) trait Held {
    /// The value, for a writer that does not know the type.
    fn value(&self) -> Value<'_>;
}

/// Implements [`Held`] for types: `TYPE, TYPE: VARIANT(|held| what the variant holds);`.
macro_rules! held {
    ($($($type:ty),+: $variant:ident(|$held:ident| $value:expr);)+) => {$($(
        impl $crate::debit::field::Held for $type {
            fn value(&self) -> $crate::debit::field::Value<'_> {
                let $held = self;
                $crate::debit::field::Value::$variant($value)
            }
        }
    )+)+};
}

held! {
    bool: Truth(|held| *held);
    u16, u32: Number(|held| u64::from(*held));
    u64: Number(|held| *held);
    Tokens: Number(|held| held.0);
    Tier, Funding: Word(|held| held.name());
    String: Text(|held| held);
    ExchangeId, Digest, Moment, UtcDay: Exact(|held| held);
    Pax: Amount(|held| *held);
}

impl<T: Held> Held for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Held::value)
    }
}

pub(crate) use held;
