//! Copies a ledger into another database, from one snapshot: what only grows page by page, so that a copy that was broken
//! off goes on where it stopped; then, in one transaction, all that changes.
//!
//! Until that last transaction the copy has accounts that are switched off and no tokens, so nobody can call with it.

use pax_gateway::base::clock::Moment;

use super::reads::epoch;
use super::sql::{Arg, Ask, Engine, Row, Tx};
use super::{Began, Snapshot, Store, failed};
use crate::error::Error;

/// How many rows one statement inserts. SQLite's time for a statement grows with the square of its values.
const fn rows(engine: Engine) -> usize {
    match engine {
        Engine::Sqlite => 8,
        Engine::Postgres => 200,
    }
}
/// How many rows one transaction inserts.
const PAGE: u32 = 2_000;

/// What only grows: the table, and what its rows are ordered by.
const GROWING: [(&str, &str); 3] =
    [("credit_ledger", "rowid"), ("quarantine", "rowid"), ("operator_log", "seq")];
/// What is written whole, in this order, in the last transaction: accounts are there already.
const CHANGING: [&str; 6] = ["day_totals", "token_days", "lots", "holds", "tombstones", "leases"];

/// A table as the target has it: its columns, and which of them are whole numbers.
struct Table {
    name: &'static str,
    columns: Vec<(String, Kind)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Bytes,
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Entries of the source.
    pub entries: u64,
    /// Those that a run before this one had copied.
    pub before: u64,
    /// The epoch that began with the copy.
    pub epoch: u64,
}

impl Store {
    /// Copies all of a snapshot of another ledger into this one, which is empty or an unfinished copy of the same ledger.
    /// `tell` hears how many of the entries are here.
    ///
    /// # Errors
    /// If this is another ledger; if either store fails: then the same copy can be begun again, and goes on.
    pub async fn copy_from(
        &self,
        source: &mut Snapshot,
        now: Moment,
        tell: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Copied, Error> {
        let entries = count(&mut source.tx, "credit_ledger").await?;
        self.begin_copy(&mut source.tx).await?;
        let mut before = 0;
        for (name, order) in GROWING {
            let table = self.table(name).await?;
            let (mut place, had) = self.place(&mut source.tx, &table, order).await?;
            let mut done = had;
            if name == "credit_ledger" {
                before = had;
            }
            loop {
                let rows = page(&mut source.tx, &table, order, place).await?;
                let Some(last) = rows.last() else { break };
                place = last.try_get(table.columns.len()).map_err(reading())?;
                done += u64::try_from(rows.len()).unwrap_or(u64::MAX);
                let mut tx = self.writing().await?;
                insert(&mut tx, &table, &rows).await?;
                tx.commit().await.map_err(writing())?;
                if name == "credit_ledger" {
                    tell(done, entries);
                }
            }
        }
        let epoch = self.finish_copy(&mut source.tx, now).await?;
        Ok(Copied { entries, before, epoch })
    }

    /// Whether this is a copy that was broken off: it has accounts that no operator has made.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn is_unfinished_copy(&self) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM accounts WHERE created_at = 0 AND status = 'disabled' AND account_seq = 0)";
        Ask::new(sql).scalar(&self.pool).await.map_err(failed("looked at its accounts"))
    }

    /// A transaction that may take long.
    async fn writing(&self) -> Result<Tx, Error> {
        let mut tx = self.pool.begin_to_write().await.map_err(writing())?;
        if tx.engine() == Engine::Postgres {
            for name in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
                Ask::new(format!("SET LOCAL {name} = 0")).run(&mut tx).await.map_err(writing())?;
            }
        }
        Ok(tx)
    }

    /// Sees to it that this is no other ledger, and makes the accounts and the cards, which entries refer to.
    async fn begin_copy(&self, source: &mut Tx) -> Result<(), Error> {
        let mut tx = self.writing().await?;
        let finished =
            count(&mut tx, "tokens").await? + count(&mut tx, "lots").await? + count(&mut tx, "holds").await?;
        let accounts = self.table("accounts").await?;
        let rows = all(source, &accounts).await?;
        let place = accounts.columns.iter().position(|(name, _)| name == "name").unwrap_or(0);
        let names: Vec<String> =
            rows.iter().map(|row| row.try_get(place)).collect::<Result<_, _>>().map_err(reading())?;
        let here: Vec<String> =
            Ask::new("SELECT name FROM accounts").scalars(&mut tx).await.map_err(reading())?;
        if finished > 0 || here.iter().any(|name| !names.contains(name)) {
            return Err(Error::Operator(
                "nothing is copied: the database to copy to is a ledger of its own; name an empty one"
                    .to_owned(),
            ));
        }
        // As they were before their first entry, and switched off.
        for name in names.iter().filter(|name| !here.contains(name)) {
            let account = Ask::new(
                "INSERT INTO accounts (name, tier, status, created_at, account_seq, head_hash, balance_picopax) \
                 VALUES (?1, 'free', 'disabled', 0, 0, ?2, 0)",
            );
            let account = account.bind(name).bind(crate::book::genesis(name).to_string());
            account.run(&mut tx).await.map_err(writing())?;
        }
        // A service that was started meanwhile has learned some.
        let cards = self.table("rate_cards").await?;
        insert(&mut tx, &cards, &all(source, &cards).await?).await?;
        tx.commit().await.map_err(writing())
    }

    /// Writes all that changes, in one transaction, which makes the copy a ledger, with an epoch above all of the source:
    /// without that, an Envoy could keep what it knows of the source's accounts. Gives the epoch.
    async fn finish_copy(&self, source: &mut Tx, now: Moment) -> Result<u64, Error> {
        let mut tx = self.writing().await?;
        let seen = self.table("quarantine_seen").await?;
        if count(&mut tx, seen.name).await? == 0 {
            insert(&mut tx, &seen, &all(source, &seen).await?).await?;
        }
        for name in CHANGING {
            let table = self.table(name).await?;
            Ask::new(format!("DELETE FROM {name}")).run(&mut tx).await.map_err(writing())?;
            insert(&mut tx, &table, &all(source, &table).await?).await?;
        }
        let tokens = self.table("tokens").await?;
        insert(&mut tx, &tokens, &all(source, &tokens).await?).await?;
        let accounts = self.table("accounts").await?;
        for row in all(source, &accounts).await? {
            let values = accounts.values(&row)?;
            let mut update = Ask::new("UPDATE accounts SET ");
            let mut name = Arg::Text(None);
            for (index, ((column, _), value)) in accounts.columns.iter().zip(values).enumerate() {
                if column == "name" {
                    name = value.clone();
                }
                update.push(if index == 0 { "" } else { ", " }).push(column).push(" = ").push_bind(value);
            }
            update.push(" WHERE name = ").push_bind(name);
            update.run(&mut tx).await.map_err(writing())?;
        }
        // The head goes from one row to the next, so it goes through all of them.
        let rows = Ask::new(
            "SELECT seq, row_hash, at FROM operator_log WHERE seq > (SELECT seq FROM operator_log_head) ORDER BY seq",
        );
        for row in rows.all(&mut tx).await.map_err(reading())? {
            let (seq, hash, at): (i64, String, i64) = (
                row.try_get(0).map_err(reading())?,
                row.try_get(1).map_err(reading())?,
                row.try_get(2).map_err(reading())?,
            );
            let head = Ask::new("UPDATE operator_log_head SET seq = ?1, row_hash = ?2, at = ?3");
            head.bind(seq).bind(hash).bind(at).run(&mut tx).await.map_err(writing())?;
        }
        let above = epoch::present(source).await.map_err(reading())?;
        let epoch = epoch::begin(&mut tx, Began::Restored, above, now).await.map_err(writing())?;
        tx.commit().await.map_err(writing())?;
        Ok(epoch)
    }

    /// The place in the source of the last row that is here, and how many rows are here.
    async fn place(&self, source: &mut Tx, table: &Table, order: &str) -> Result<(i64, u64), Error> {
        let (name, same) = match table.name {
            "credit_ledger" => ("credit_ledger", "entry_hash"),
            "quarantine" => ("quarantine", "sha256 || reason"),
            _ => ("operator_log", "row_hash"),
        };
        // Counting may take long.
        let mut own = self.writing().await?;
        let last = Ask::new(format!("SELECT {same} FROM {name} ORDER BY {order} DESC LIMIT 1"));
        let last: Option<String> = last.scalar_optional(&mut own).await.map_err(reading())?;
        let Some(last) = last else { return Ok((0, 0)) };
        let had: i64 =
            Ask::new(format!("SELECT count(*) FROM {name}")).scalar(&mut own).await.map_err(reading())?;
        let place = Ask::new(format!("SELECT {order} FROM {name} WHERE {same} = ?1")).bind(last);
        let place: Option<i64> = place.scalar_optional(&mut *source).await.map_err(reading())?;
        let until = Ask::new(format!("SELECT count(*) FROM {name} WHERE {order} <= ?1")).bind(place);
        let until: i64 = until.scalar(source).await.map_err(reading())?;
        match place {
            Some(place) if until == had => Ok((place, u64::try_from(had).unwrap_or(0))),
            _ => Err(Error::Operator(format!(
                "nothing is copied: table {name} of the database to copy to has rows that the other ledger lacks; name an \
                 empty database"
            ))),
        }
    }

    /// A table's columns, as this database has them, without the place that each database gives a row itself.
    async fn table(&self, name: &'static str) -> Result<Table, Error> {
        let sql = match self.pool.engine() {
            Engine::Sqlite => format!("SELECT name, type FROM pragma_table_info('{name}')"),
            Engine::Postgres => format!(
                "SELECT column_name::text, data_type::text FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND table_name = '{name}' ORDER BY ordinal_position"
            ),
        };
        let mut columns = Vec::new();
        for row in Ask::new(sql).all(&self.pool).await.map_err(reading())? {
            let (column, kind): (String, String) =
                (row.try_get(0).map_err(reading())?, row.try_get(1).map_err(reading())?);
            let kind = match kind.as_str() {
                "INTEGER" | "bigint" => Kind::Number,
                "BLOB" | "bytea" => Kind::Bytes,
                _ => Kind::Text,
            };
            if column != "rowid" {
                columns.push((column, kind));
            }
        }
        Ok(Table { name, columns })
    }
}

impl Table {
    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn values(&self, row: &Row) -> Result<Vec<Arg>, Error> {
        let value = |(index, (_, kind)): (usize, &(String, Kind))| match kind {
            Kind::Number => row.try_get(index).map(Arg::Int),
            Kind::Text => row.try_get(index).map(Arg::Text),
            Kind::Bytes => row.try_get(index).map(Arg::Bytes),
        };
        self.columns.iter().enumerate().map(value).collect::<Result<_, _>>().map_err(reading())
    }
}

fn reading() -> impl Fn(sqlx::Error) -> Error {
    failed("read what is to be copied")
}

fn writing() -> impl Fn(sqlx::Error) -> Error {
    failed("wrote a copy")
}

async fn count(tx: &mut Tx, table: &str) -> Result<u64, Error> {
    let count: i64 = Ask::new(format!("SELECT count(*) FROM {table}")).scalar(tx).await.map_err(reading())?;
    Ok(u64::try_from(count).unwrap_or(0))
}

async fn all(source: &mut Tx, table: &Table) -> Result<Vec<Row>, Error> {
    Ask::new(format!("SELECT {} FROM {}", table.names(), table.name)).all(source).await.map_err(reading())
}

/// Rows after a place, with their places behind their columns.
async fn page(source: &mut Tx, table: &Table, order: &str, after: i64) -> Result<Vec<Row>, Error> {
    let sql = format!(
        "SELECT {}, {order} FROM {} WHERE {order} > ?1 ORDER BY {order} LIMIT ?2",
        table.names(),
        table.name
    );
    Ask::new(sql).bind(after).bind(PAGE).all(source).await.map_err(reading())
}

async fn insert(tx: &mut Tx, table: &Table, rows: &[Row]) -> Result<(), Error> {
    // SQLite keeps rows of hash version 1 from coming in any more, except these.
    let guard = "credit_ledger_no_older_program";
    let is_kept = tx.engine() == Engine::Sqlite && table.name == "credit_ledger";
    let mut made = String::new();
    if is_kept {
        let sql = Ask::new("SELECT sql FROM sqlite_master WHERE name = ?1").bind(guard);
        made = sql.scalar(&mut *tx).await.map_err(writing())?;
        Ask::new(format!("DROP TRIGGER {guard}")).run(&mut *tx).await.map_err(writing())?;
    }
    for rows in rows.chunks(self::rows(tx.engine())) {
        let mut insert = Ask::new(format!("INSERT INTO {} ({}) VALUES ", table.name, table.names()));
        for (number, row) in rows.iter().enumerate() {
            insert.push(if number == 0 { "(" } else { ", (" });
            for (index, value) in table.values(row)?.into_iter().enumerate() {
                insert.push(if index == 0 { "" } else { ", " }).push_bind(value);
            }
            insert.push(")");
        }
        if table.name == "rate_cards" {
            insert.push(" ON CONFLICT (sha256) DO NOTHING");
        }
        insert.run(&mut *tx).await.map_err(writing())?;
    }
    if is_kept {
        Ask::new(made).run(&mut *tx).await.map_err(writing())?;
    }
    Ok(())
}
