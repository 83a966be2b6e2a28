//! Rows, as either database gives them.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Decode, Postgres, Row as _, Sqlite, TypeInfo, ValueRef};

use crate::book::Value;

/// A value of a row.
#[derive(Clone, Debug)]
pub(in crate::store) enum Cell {
    Value(Value),
    Bytes(Vec<u8>),
}

/// A row. Its columns have names if the question has named them.
#[derive(Clone, Debug)]
pub(in crate::store) struct Row {
    cells: Vec<Cell>,
    names: Arc<[String]>,
}

/// Names of the columns, which all rows of an answer share.
pub(super) type Names = Option<Arc<[String]>>;

fn names<'a, C: Column + 'a>(known: &mut Names, columns: impl Iterator<Item = &'a C>) -> Arc<[String]> {
    Arc::clone(known.get_or_insert_with(|| columns.map(|column| column.name().to_owned()).collect()))
}

impl Row {
    pub(super) fn of_sqlite(row: &SqliteRow, known: &mut Names) -> Self {
        let cells = (0..row.len()).map(|index| sqlite_cell(row, index).unwrap_or(Cell::Value(Value::Alien)));
        Self { cells: cells.collect(), names: names(known, row.columns().iter()) }
    }

    pub(super) fn of_postgres(row: &PgRow, known: &mut Names) -> Self {
        let cells =
            (0..row.len()).map(|index| postgres_cell(row, index).unwrap_or(Cell::Value(Value::Alien)));
        Self { cells: cells.collect(), names: names(known, row.columns().iter()) }
    }

    /// The value of a column, by its place or its name.
    pub(in crate::store) fn try_get<T: FromCell>(&self, at: impl At) -> Result<T, sqlx::Error> {
        let index = at.index(self);
        let cell = index.and_then(|index| self.cells.get(index));
        cell.and_then(T::from_cell)
            .ok_or_else(|| sqlx::Error::Decode(format!("column {at:?} is not of its type").into()))
    }
}

fn sqlite_cell(row: &SqliteRow, index: usize) -> Option<Cell> {
    let raw = row.try_get_raw(index).ok()?;
    if raw.is_null() {
        return Some(Cell::Value(Value::Null));
    }
    let kind = raw.type_info().name().to_owned();
    match kind.as_str() {
        "INTEGER" => <i64 as Decode<Sqlite>>::decode(raw).ok().map(|number| Cell::Value(Value::Int(number))),
        "TEXT" => <String as Decode<Sqlite>>::decode(raw).ok().map(|text| Cell::Value(Value::Text(text))),
        "BLOB" => <Vec<u8> as Decode<Sqlite>>::decode(raw).ok().map(Cell::Bytes),
        _ => None,
    }
}

fn postgres_cell(row: &PgRow, index: usize) -> Option<Cell> {
    let raw = row.try_get_raw(index).ok()?;
    if raw.is_null() {
        return Some(Cell::Value(Value::Null));
    }
    let kind = raw.type_info().name().to_owned();
    let number = match kind.as_str() {
        "INT8" => <i64 as Decode<Postgres>>::decode(raw).ok()?,
        "INT4" => i64::from(<i32 as Decode<Postgres>>::decode(raw).ok()?),
        "BOOL" => i64::from(<bool as Decode<Postgres>>::decode(raw).ok()?),
        "TEXT" | "VARCHAR" | "NAME" => {
            return <String as Decode<Postgres>>::decode(raw).ok().map(|text| Cell::Value(Value::Text(text)));
        }
        "BYTEA" => return <Vec<u8> as Decode<Postgres>>::decode(raw).ok().map(Cell::Bytes),
        _ => return None,
    };
    Some(Cell::Value(Value::Int(number)))
}

/// Where a value is.
pub(in crate::store) trait At: std::fmt::Debug + Copy {
    /// Its place.
    fn index(self, row: &Row) -> Option<usize>;
}

impl At for usize {
    fn index(self, _: &Row) -> Option<usize> {
        Some(self)
    }
}

impl At for &str {
    fn index(self, row: &Row) -> Option<usize> {
        row.names.iter().position(|name| name == self)
    }
}

/// What a value can be read as.
pub(in crate::store) trait FromCell: Sized {
    fn from_cell(cell: &Cell) -> Option<Self>;
}

impl FromCell for i64 {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Value(Value::Int(number)) = cell { Some(*number) } else { None }
    }
}

impl FromCell for bool {
    fn from_cell(cell: &Cell) -> Option<Self> {
        i64::from_cell(cell).map(|number| number != 0)
    }
}

impl FromCell for String {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Value(Value::Text(text)) = cell { Some(text.clone()) } else { None }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Bytes(bytes) = cell { Some(bytes.clone()) } else { None }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if matches!(cell, Cell::Value(Value::Null)) { Some(None) } else { T::from_cell(cell).map(Some) }
    }
}

/// The value of a column, of whatever type.
pub(in crate::store) fn value(row: &Row, index: usize) -> Value {
    match row.cells.get(index) {
        Some(Cell::Value(value)) => value.clone(),
        Some(Cell::Bytes(_)) | None => Value::Alien,
    }
}

/// A text that may have been changed by hand.
pub(in crate::store) fn text(row: &Row, index: usize) -> String {
    match value(row, index) {
        Value::Text(text) => text,
        other => other.to_string(),
    }
}
