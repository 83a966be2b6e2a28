//! A page of an account's chain, for a replay: it reads every entry there is, so the page is read without a copy of each
//! value of its own, into buffers that the next page uses again.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use futures_util::TryStreamExt;
use pax_gateway::base::digest::Digest;
use rusqlite::types::ValueRef;
use rusqlite::{Row, params};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, TypeInfo, ValueRef as _};

use super::entries::{SELECT, Snapshot};
use crate::book::made::MADE_COLUMNS;
use crate::book::{self, COLUMNS, Value};
use crate::error::Error;
use crate::store::sql::Tx;
use crate::store::{failed, sqlite};

static OF_CHAIN: LazyLock<String> = LazyLock::new(|| {
    format!("{} WHERE account = ?1 AND account_seq > ?2 ORDER BY account_seq LIMIT ?3", *SELECT)
});

/// Entries that follow one another in an account's chain.
#[derive(Debug, Default)]
pub struct ChainPage {
    /// The texts of all columns, one after another.
    texts: String,
    /// The canonical bytes of all entries, one after another.
    canonical: Vec<u8>,
    /// The columns of all entries. A text is a place in `texts`.
    cells: Vec<Value<Range<usize>>>,
    /// Where each entry's canonical bytes are.
    entries: Vec<Range<usize>>,
}

/// An entry of a page. It is not checked yet.
#[derive(Clone, Copy, Debug)]
pub struct ChainEntry<'a> {
    texts: &'a str,
    /// All values that were read, in the order of [`SELECT`].
    cells: &'a [Value<Range<usize>>],
    /// Its canonical bytes.
    pub canonical: &'a [u8],
    /// Its number in the account.
    pub account_seq: i64,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_at: i64,
    /// The version of its hash.
    pub hash_v: i64,
    /// Its posting's line, which entries of hash version 1 lack.
    pub posting: Option<&'a str>,
}

impl Snapshot {
    /// Reads at most `limit` entries of an account after the number `after`, in the order of numbers, in place of what
    /// the page had.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn chain_page(
        &mut self,
        (account, after): (&str, i64),
        limit: usize,
        page: &mut ChainPage,
    ) -> Result<(), Error> {
        page.clear();
        match &mut self.tx {
            Tx::Sqlite(tx) => {
                let read = sqlite::with_rusqlite(tx, |connection| {
                    let mut select = connection.prepare(&OF_CHAIN)?;
                    let mut rows = select.query(params![account, after, limit])?;
                    while let Some(row) = rows.next()? {
                        page.add(row)?;
                    }
                    Ok(())
                });
                read.await
            }
            Tx::Postgres(tx) => {
                let reading = failed("read an account's chain");
                let sql = OF_CHAIN.replace('?', "$");
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let mut rows = sqlx::query(&sql).bind(account).bind(after).bind(limit).fetch(&mut **tx);
                while let Some(row) = rows.try_next().await.map_err(&reading)? {
                    page.add_of_postgres(&row).map_err(&reading)?;
                }
                Ok(())
            }
        }
    }
}

impl ChainPage {
    /// The entries, in the order of their numbers.
    pub fn entries(&self) -> impl Iterator<Item = ChainEntry<'_>> {
        let cells = self.cells.chunks_exact(width());
        cells.zip(&self.entries).map(|(cells, canonical)| self.entry(cells, canonical))
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn clear(&mut self) {
        self.texts.clear();
        self.canonical.clear();
        self.cells.clear();
        self.entries.clear();
    }

    fn add(&mut self, row: &Row<'_>) -> Result<(), rusqlite::Error> {
        let begins = self.canonical.len();
        for index in 0..width() {
            let cell = match row.get_ref(index)? {
                ValueRef::Blob(bytes) | ValueRef::Text(bytes) if index == canonical_at() => {
                    self.canonical.extend_from_slice(bytes);
                    Value::Null
                }
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Text(text) => str::from_utf8(text).map_or(Value::Alien, |text| {
                    let begins = self.texts.len();
                    self.texts.push_str(text);
                    Value::Text(begins..self.texts.len())
                }),
                ValueRef::Real(_) | ValueRef::Blob(_) => Value::Alien,
            };
            self.cells.push(cell);
        }
        self.entries.push(begins..self.canonical.len());
        Ok(())
    }

    fn add_of_postgres(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let begins = self.canonical.len();
        for index in 0..width() {
            let raw = row.try_get_raw(index)?;
            let cell = if raw.is_null() {
                Value::Null
            } else {
                match raw.type_info().name() {
                    "BYTEA" if index == canonical_at() => {
                        self.canonical
                            .extend_from_slice(<&[u8] as Decode<Postgres>>::decode(raw).map_err(decoding)?);
                        Value::Null
                    }
                    "INT8" => <i64 as Decode<Postgres>>::decode(raw).map_or(Value::Alien, Value::Int),
                    "TEXT" => <&str as Decode<Postgres>>::decode(raw).map_or(Value::Alien, |text| {
                        let begins = self.texts.len();
                        self.texts.push_str(text);
                        Value::Text(begins..self.texts.len())
                    }),
                    _ => Value::Alien,
                }
            };
            self.cells.push(cell);
        }
        self.entries.push(begins..self.canonical.len());
        Ok(())
    }

    fn entry<'a>(&'a self, cells: &'a [Value<Range<usize>>], canonical: &Range<usize>) -> ChainEntry<'a> {
        let empty = ChainEntry {
            texts: &self.texts,
            cells,
            canonical: self.canonical.get(canonical.clone()).unwrap_or_default(),
            account_seq: 0,
            recorded_at: 0,
            hash_v: 0,
            posting: None,
        };
        let number = |place| match empty.cell(place) {
            Value::Int(number) => number,
            _ => 0,
        };
        let posting = match empty.cell(canonical_at() + 6) {
            Value::Text(text) => Some(text),
            _ => None,
        };
        let [account_seq, recorded_at, hash_v] = [1, 4, 5].map(|after| number(canonical_at() + after));
        ChainEntry { account_seq, recorded_at, hash_v, posting, ..empty }
    }
}

fn decoding(error: sqlx::error::BoxDynError) -> sqlx::Error {
    sqlx::Error::Decode(error)
}

/// The place of the canonical bytes among the values of a row: after its position and its columns.
fn canonical_at() -> usize {
    1 + COLUMNS.len() + MADE_COLUMNS.len()
}

/// How many values a row has: those up to the canonical bytes, and six more.
fn width() -> usize {
    canonical_at() + 7
}

impl<'a> ChainEntry<'a> {
    fn cell(&self, index: usize) -> Value<&'a str> {
        match self.cells.get(index) {
            None | Some(Value::Null) => Value::Null,
            Some(Value::Int(number)) => Value::Int(*number),
            Some(Value::Text(place)) => self.texts.get(place.clone()).map_or(Value::Alien, Value::Text),
            Some(Value::Alien) => Value::Alien,
        }
    }

    /// The values of [`COLUMNS`], then of [`MADE_COLUMNS`].
    pub fn columns(&self) -> impl Iterator<Item = Value<&'a str>> {
        let entry = *self;
        (1..canonical_at()).map(move |index| entry.cell(index))
    }

    /// The hash of the entry before.
    #[must_use]
    pub fn prev_hash(&self) -> Cow<'a, str> {
        self.text(canonical_at() + 2)
    }

    /// Its own hash.
    #[must_use]
    pub fn entry_hash(&self) -> Cow<'a, str> {
        self.text(canonical_at() + 3)
    }

    /// The hash that its columns make.
    #[must_use]
    pub fn hash(&self) -> Digest {
        let (prev, seq, at) = (self.prev_hash(), self.account_seq, self.recorded_at);
        match self.posting {
            Some(posting) => book::entry_hash_2(&prev, seq, at, posting, self.canonical),
            None => book::entry_hash(&prev, seq, at, self.canonical),
        }
    }

    /// A column that should be a text, but may have been changed by hand.
    fn text(&self, index: usize) -> Cow<'a, str> {
        match self.cell(index) {
            Value::Text(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        }
    }
}
