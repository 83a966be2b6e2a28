//! The writer's connection and its statements.
//!
//! The rest of the store uses `sqlx`, which passes each statement to a thread of the connection and waits for
//! its answer. A debit takes five statements, and passing them took longer than all else that it costs. So the
//! writer calls SQLite where it is, through `rusqlite`. Both link the same SQLite.

use std::path::Path;
use std::sync::LazyLock;

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::text::AsText;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use super::BUSY;
use crate::book::made::MADE_COLUMNS;
use crate::book::{COLUMNS, Entry, Link, Lot, Lots, Page, Rejected, Sum, TooLarge, Value};
use crate::store::desk::{Found, Opened, WhichLots};
use crate::store::{epoch_of, from_ms, to_ms};

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let columns = [COLUMNS.as_slice(), &MADE_COLUMNS].concat();
    let places = vec!["?"; columns.len() + 7].join(", ");
    let columns = columns.join(", ");
    format!(
        "INSERT INTO credit_ledger \
         ({columns}, canonical, account_seq, prev_hash, entry_hash, recorded_at, posting, hash_v) VALUES ({places})"
    )
});

/// The version of an entry's hash that is written.
const HASH_V: i64 = 2;

/// Connects to a database that is there, to write. Each commit is durable on return.
pub(super) fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // All that a transaction prepares stays prepared.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A column's value, to be bound.
fn as_sql(value: Value<&str>) -> ValueRef<'_> {
    match value {
        Value::Null | Value::Alien => ValueRef::Null,
        Value::Int(number) => ValueRef::Integer(number),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
    }
}

/// Whether a statement broke a constraint or was refused by a trigger: then the statement is at fault, not the
/// database.
pub(super) fn is_refused(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// Why a value was not bound.
struct NotBound(rusqlite::Error);

impl From<TooLarge> for NotBound {
    fn from(number: TooLarge) -> Self {
        Self(rusqlite::Error::ToSqlConversionFailure(number.into()))
    }
}

impl From<NotBound> for rusqlite::Error {
    fn from(not_bound: NotBound) -> Self {
        not_bound.0
    }
}

/// What a transaction of debits asks of the database. The connection keeps the statements prepared.
pub(super) struct Statements<'a> {
    epoch: CachedStatement<'a>,
    find: CachedStatement<'a>,
    open: CachedStatement<'a>,
    spent: CachedStatement<'a>,
    spent_with: CachedStatement<'a>,
    lots: CachedStatement<'a>,
    save_lot: CachedStatement<'a>,
    save_token: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    save_head: CachedStatement<'a>,
    save_day: CachedStatement<'a>,
    quarantine: CachedStatement<'a>,
    /// For what is asked seldom, and for holds.
    pub(super) connection: &'a Connection,
}

impl<'a> Statements<'a> {
    pub(super) fn prepare(connection: &'a Connection) -> Result<Self, rusqlite::Error> {
        let prepare = |sql| connection.prepare_cached(sql);
        Ok(Self {
            epoch: prepare("SELECT max(epoch) FROM epochs")?,
            find: prepare("SELECT canonical, account_seq FROM credit_ledger WHERE exchange_id = ?1")?,
            open: prepare(
                "SELECT account_seq, head_hash, balance_carry, balance_picopax, spent_carry, spent_picopax, \
                 recorded_at, accounts.held_picopax, close_key FROM accounts \
                 LEFT JOIN day_totals ON day_totals.account = accounts.name AND utc_day = ?2 WHERE name = ?1",
            )?,
            spent: prepare(
                "SELECT spent_carry, spent_picopax FROM day_totals WHERE account = ?1 AND utc_day = ?2",
            )?,
            spent_with: prepare(
                "SELECT spent_carry, spent_picopax FROM token_days \
                 WHERE account = ?1 AND token_id = ?2 AND utc_day = ?3",
            )?,
            lots: prepare(
                "SELECT entry_key, account_seq, amount_picopax, rest_picopax, expires_at FROM lots \
                 WHERE account = ?1 AND (?2 OR rest_picopax > 0)",
            )?,
            save_lot: prepare(
                "INSERT INTO lots (entry_key, account, account_seq, amount_picopax, rest_picopax, expires_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (entry_key) DO UPDATE \
                 SET amount_picopax = excluded.amount_picopax, rest_picopax = excluded.rest_picopax",
            )?,
            save_token: prepare(
                "INSERT INTO token_days (account, token_id, utc_day, spent_carry, spent_picopax) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (account, token_id, utc_day) DO UPDATE \
                 SET spent_carry = excluded.spent_carry, spent_picopax = excluded.spent_picopax",
            )?,
            insert: prepare(&INSERT)?,
            save_head: prepare(
                "UPDATE accounts SET account_seq = ?2, head_hash = ?3, balance_carry = ?4, balance_picopax = ?5, \
                 recorded_at = ?6 WHERE name = ?1",
            )?,
            save_day: prepare(
                "INSERT INTO day_totals (account, utc_day, spent_carry, spent_picopax) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (account, utc_day) DO UPDATE \
                 SET spent_carry = excluded.spent_carry, spent_picopax = excluded.spent_picopax",
            )?,
            quarantine: prepare(
                "INSERT INTO quarantine (exchange_id, reason, message, bytes, received_at, sha256) \
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
                 WHERE NOT EXISTS (SELECT 1 FROM quarantine WHERE sha256 = ?6 AND reason = ?2)",
            )?,
            connection,
        })
    }

    /// The present epoch.
    pub(super) fn epoch(&mut self) -> Result<u64, rusqlite::Error> {
        self.epoch.query_row([], |row| row.get(0)).map(epoch_of)
    }

    /// Whether the exchange has an entry, and whether that has these bytes.
    pub(super) fn find(
        &mut self,
        exchange_id: &ExchangeId,
        canonical: &[u8],
    ) -> Result<Found, rusqlite::Error> {
        let found = |row: &Row<'_>| {
            let (same, account_seq) = (row.get_ref(0)?.as_blob()? == canonical, row.get(1)?);
            Ok(if same { Found::Same { account_seq } } else { Found::Other { account_seq } })
        };
        let found = self.find.query_row([exchange_id.text()], found).optional()?;
        Ok(found.unwrap_or(Found::Nothing))
    }

    /// An account's page, with the total of a day.
    pub(super) fn open(&mut self, account: &str, day: UtcDay) -> Result<Opened, rusqlite::Error> {
        let read = |row: &Row<'_>| {
            let Some(head) = row.get_ref(1)?.as_str().ok().and_then(|head| head.parse::<Digest>().ok())
            else {
                return Ok(Opened::Damaged);
            };
            let balance = Sum::of_columns(row.get(2)?, row.get(3)?);
            let (account_seq, recorded_at) = (row.get(0)?, from_ms(row.get(6)?));
            let held = Pax::from_picopax(row.get(7)?);
            let mut page = Page { account_seq, head, recorded_at, balance, held, ..Page::empty(account) };
            if let (Some(carry), Some(picopax)) = (row.get(4)?, row.get(5)?) {
                page.days.insert(day, Sum::of_columns(carry, picopax));
            }
            Ok(Opened::Page(Box::new(page), row.get(8)?))
        };
        Ok(self.open.query_row([account, &day.text()], read).optional()?.unwrap_or(Opened::Nothing))
    }

    /// What an account's entries of a day cost on platform funding; none if there are none.
    pub(super) fn spent(&mut self, account: &str, day: UtcDay) -> Result<Option<Sum>, rusqlite::Error> {
        let sum = |row: &Row<'_>| Ok(Sum::of_columns(row.get(0)?, row.get(1)?));
        self.spent.query_row([account, &day.text()], sum).optional()
    }

    /// What was spent with a token on a day; none if nothing was.
    pub(super) fn spent_with(
        &mut self,
        account: &str,
        token_id: &str,
        day: UtcDay,
    ) -> Result<Option<Sum>, rusqlite::Error> {
        let sum = |row: &Row<'_>| Ok(Sum::of_columns(row.get(0)?, row.get(1)?));
        self.spent_with.query_row([account, token_id, &day.text()], sum).optional()
    }

    /// An account's lots.
    pub(super) fn lots(&mut self, account: &str, which: WhichLots) -> Result<Lots, rusqlite::Error> {
        let lot = |row: &Row<'_>| {
            Ok(Lot {
                key: row.get(0)?,
                account_seq: row.get(1)?,
                amount: Pax::from_picopax(row.get(2)?),
                rest: Pax::from_picopax(row.get(3)?),
                expires_at: row.get::<_, Option<i64>>(4)?.map(from_ms),
            })
        };
        let lots = self.lots.query_map(params![account, which == WhichLots::All], lot)?;
        Ok(Lots::of(lots.collect::<Result<_, _>>()?))
    }

    /// Adds an entry.
    pub(super) fn insert(
        &mut self,
        entry: Entry<'_>,
        canonical: &[u8],
        link: &Link,
    ) -> Result<(), rusqlite::Error> {
        let insert = &mut self.insert;
        let mut place = 0;
        let mut bind = |value: ValueRef<'_>| {
            place += 1;
            insert.raw_bind_parameter(place, ToSqlOutput::Borrowed(value)).map_err(NotBound)
        };
        entry.each_column(|column| bind(as_sql(column)))?;
        bind(ValueRef::Blob(canonical))?;
        bind(ValueRef::Integer(link.account_seq))?;
        bind(ValueRef::Text(link.prev_hash.text().as_bytes()))?;
        bind(ValueRef::Text(link.entry_hash.text().as_bytes()))?;
        bind(ValueRef::Integer(to_ms(link.recorded_at)))?;
        bind(ValueRef::Text(link.posting.as_bytes()))?;
        bind(ValueRef::Integer(HASH_V))?;
        self.insert.raw_execute()?;
        Ok(())
    }

    /// Writes an account's head and sums.
    pub(super) fn save(&mut self, account: &str, page: &Page) -> Result<(), rusqlite::Error> {
        let (carry, picopax) = page.balance.columns();
        let recorded_at = to_ms(page.recorded_at);
        let head = page.head.text();
        self.save_head.execute(params![account, page.account_seq, head, carry, picopax, recorded_at])?;
        for (day, spent) in &page.days {
            let (carry, picopax) = spent.columns();
            self.save_day.execute(params![account, day.text(), carry, picopax])?;
        }
        for ((token_id, day), spent) in &page.tokens {
            let (carry, picopax) = spent.columns();
            self.save_token.execute(params![account, token_id, day.text(), carry, picopax])?;
        }
        Ok(())
    }

    /// Writes the lots that a page has.
    pub(super) fn save_lots(&mut self, page: &Page) -> Result<(), rusqlite::Error> {
        for lot in page.lots.iter() {
            let (amount, rest) = (lot.amount.picopax(), lot.rest.picopax());
            let expires_at = lot.expires_at.map(to_ms);
            self.save_lot.execute(params![
                lot.key,
                page.account,
                lot.account_seq,
                amount,
                rest,
                expires_at
            ])?;
        }
        Ok(())
    }

    /// Keeps a line in quarantine, unless it is there already.
    pub(super) fn quarantine(
        &mut self,
        line: &Rejected,
        exchange_id: Option<&str>,
        reason: &str,
        now: Moment,
    ) -> Result<(), rusqlite::Error> {
        let sha256 = line.sha256.text();
        self.quarantine.execute(params![exchange_id, reason, line.why, line.bytes, to_ms(now), sha256])?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "statements_test.rs"]
mod tests;
