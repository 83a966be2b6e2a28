//! What a field of a debit holds, for writers that do not know its type (canonical bytes, and the ledger's
//! columns), and for the reader of canonical bytes.

use crate::base::account::{Funding, Tier};
use crate::base::clock::{Moment, UtcDay};
use crate::base::digest::Digest;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::{Pax, Tokens};
use crate::base::text::AsText;
use crate::debit::canonical_reader::Reader;

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

    /// Reads the value from canonical bytes; none if they hold no such value.
    fn read(from: &mut Reader<'_>) -> Option<Self>
    where
        Self: Sized;

    /// The value of a field that a version lacks; none if every version has such fields.
    fn absent() -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

/// Implements [`Held`] for types: `TYPE, TYPE: VARIANT(|held| what the variant holds), |from| how it is read;`.
macro_rules! held {
    ($($($type:ty),+: $variant:ident(|$held:ident| $value:expr), |$from:ident| $read:expr;)+) => {$($(
        impl $crate::debit::field::Held for $type {
            fn value(&self) -> $crate::debit::field::Value<'_> {
                let $held = self;
                $crate::debit::field::Value::$variant($value)
            }

            fn read($from: &mut $crate::debit::canonical_reader::Reader<'_>) -> Option<Self> {
                $read
            }
        }
    )+)+};
}

held! {
    bool: Truth(|held| *held), |from| from.truth();
    u16, u32: Number(|held| u64::from(*held)), |from| from.number()?.try_into().ok();
    u64: Number(|held| *held), |from| from.number();
    Tier, Funding: Word(|held| held.name()), |from| from.word();
    String: Text(|held| held), |from| from.text().map(std::borrow::Cow::into_owned);
    ExchangeId, Digest, Moment, UtcDay: Exact(|held| held), |from| from.text()?.parse().ok();
    Pax: Amount(|held| *held), |from| from.text()?.parse().ok();
}

impl Held for Tokens {
    fn value(&self) -> Value<'_> {
        Value::Number(self.0)
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.number().map(Self)
    }

    fn absent() -> Option<Self> {
        Some(Self::ZERO)
    }
}

impl<T: Held> Held for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Held::value)
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        match from.exactly(b"null") {
            Some(()) => Some(None),
            None => T::read(from).map(Some),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

pub(crate) use held;
