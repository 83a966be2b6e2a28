//! Reads entries: pages for `entries`, and the one snapshot that a replay reads from.

use std::sync::LazyLock;

use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::pax::Pax;

use super::columns::from_ms;
use crate::book::made::MADE_COLUMNS;
use crate::book::{COLUMNS, Lot, Sum};
use crate::error::Error;
use crate::store::acts::account;
use crate::store::sql::{Ask, Engine, On, Row, Tx, text, value};
use crate::store::{
    AccountRow, DayTotal, EntryFilter, LastEntry, Order, OwnEntry, OwnFilter, Store, StoredEntry, TokenDay,
    failed,
};

pub(in crate::store) static SELECT: LazyLock<String> = LazyLock::new(|| {
    let columns = [COLUMNS.as_slice(), &MADE_COLUMNS].concat().join(", ");
    format!(
        "SELECT rowid, {columns}, canonical, account_seq, prev_hash, entry_hash, recorded_at, hash_v, posting \
         FROM credit_ledger"
    )
});

impl Store {
    /// At most `limit` entries after `after`, in the order of recording.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn entries(
        &self,
        filter: &EntryFilter,
        after: Option<&StoredEntry>,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, Error> {
        entries(&self.pool, filter, after, limit).await
    }

    /// Begins to list all entries page by page. In a file entries come one after another and never change, so pages add up
    /// to what a single read would give, and a reader that pauses keeps no snapshot open. In PostgreSQL an entry may commit
    /// after one that has a later place, so all pages are of one snapshot.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self) -> Result<Listing, Error> {
        let snapshot = match self.pool.engine() {
            Engine::Sqlite => None,
            Engine::Postgres => Some(self.snapshot().await?),
        };
        Ok(Listing { store: self.clone(), snapshot })
    }

    /// At most `limit` of an account's own entries. Numbers are given once and in order. So an entry that is
    /// recorded between two pages comes at the end if the oldest are read first, and is on no later page if the
    /// newest are read first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn own_entries(
        &self,
        account: &str,
        filter: &OwnFilter,
        limit: u32,
    ) -> Result<Vec<OwnEntry>, Error> {
        let (beyond, order) = match filter.order {
            Order::NewestFirst => (" AND account_seq < ", " ORDER BY account_seq DESC"),
            Order::OldestFirst => (" AND account_seq > ", " ORDER BY account_seq"),
        };
        let sql = "SELECT account_seq, canonical FROM credit_ledger WHERE account = ";
        let mut query = Ask::new(sql);
        query.push_bind(account);
        if let Some(after) = filter.after {
            query.push(beyond).push_bind(after);
        }
        days(&mut query, filter.since, filter.until);
        query.push(order).push(" LIMIT ").push_bind(limit);
        let own = |row: &Row| -> Result<OwnEntry, sqlx::Error> {
            Ok(OwnEntry { account_seq: row.try_get(0)?, canonical: row.try_get(1)? })
        };
        let rows = query.all(&self.pool).await;
        rows.and_then(|rows| rows.iter().map(own).collect()).map_err(failed("listed an account's entries"))
    }

    /// A snapshot: everything read from it is of one moment, whatever is written meanwhile.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let tx = self.pool.begin_to_read().await.map_err(failed("began to read"))?;
        Ok(Snapshot { tx })
    }
}

/// A list of entries.
#[derive(Debug)]
pub struct Listing {
    store: Store,
    snapshot: Option<Snapshot>,
}

impl Listing {
    /// The next page of [`Store::entries`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn page(
        &mut self,
        filter: &EntryFilter,
        after: Option<&StoredEntry>,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, Error> {
        match &mut self.snapshot {
            Some(snapshot) => snapshot.entries(filter, after, limit).await,
            None => self.store.entries(filter, after, limit).await,
        }
    }
}

impl Snapshot {
    /// The same as [`Store::entries`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn entries(
        &mut self,
        filter: &EntryFilter,
        after: Option<&StoredEntry>,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, Error> {
        entries(&mut self.tx, filter, after, limit).await
    }
}

async fn entries(
    on: impl Into<On<'_>>,
    filter: &EntryFilter,
    after: Option<&StoredEntry>,
    limit: u32,
) -> Result<Vec<StoredEntry>, Error> {
    let mut query = Ask::new(SELECT.as_str());
    // One account is read along its chain: the order is the same, and it has an index.
    let place = if filter.account.is_some() { "account_seq" } else { "rowid" };
    let (beyond, order) = match filter.order {
        Order::OldestFirst => (">", ""),
        Order::NewestFirst => ("<", " DESC"),
    };
    query.push(" WHERE TRUE");
    if let Some(entry) = after {
        let last = if filter.account.is_some() { entry.account_seq } else { entry.position };
        query.push(format!(" AND {place} {beyond} ")).push_bind(last);
    }
    narrow(&mut query, filter);
    query.push(format!(" ORDER BY {place}{order} LIMIT ")).push_bind(limit);
    let rows = query.all(on).await.map_err(failed("listed entries"))?;
    Ok(rows.iter().map(stored_entry).collect())
}

/// Narrows a question to what a filter lets through, in any order.
pub(super) fn narrow(query: &mut Ask, filter: &EntryFilter) {
    if let Some(account) = &filter.account {
        query.push(" AND account = ").push_bind(account);
    }
    if let Some(exchange) = &filter.exchange {
        query.push(" AND (exchange_id = ").push_bind(exchange);
        // A correction is listed with the call that it corrects.
        query.push(" OR (tier IS NOT NULL AND corrects = ").push_bind(exchange).push("))");
    }
    if let Some(kind) = filter.kind {
        query.push(" AND kind = ").push_bind(kind);
    }
    days(query, filter.since, filter.until);
    // All texts of moments have one form and one length, so they sort as the moments do.
    if let Some(from) = filter.from {
        query.push(" AND occurred_at >= ").push_bind(from.to_string());
    }
    if let Some(to) = filter.to {
        query.push(" AND occurred_at < ").push_bind(to.to_string());
    }
}

/// Narrows a question to days. The texts of days sort as the days do.
fn days(query: &mut Ask, since: Option<UtcDay>, until: Option<UtcDay>) {
    if let Some(since) = since {
        query.push(" AND utc_day >= ").push_bind(since.to_string());
    }
    if let Some(until) = until {
        query.push(" AND utc_day <= ").push_bind(until.to_string());
    }
}

/// One moment of the store.
#[derive(Debug)]
pub struct Snapshot {
    pub(in crate::store) tx: Tx,
}

impl Snapshot {
    /// The first name after `after` that any table has as an account's, even if no such account exists.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn next_account(&mut self, after: Option<&str>) -> Result<Option<String>, Error> {
        let is_after = if after.is_some() { ">" } else { ">=" };
        let sql = format!(
            "SELECT min(name) FROM (SELECT min(name) AS name FROM accounts WHERE name {is_after} ?1 \
             UNION ALL SELECT min(account) FROM credit_ledger WHERE account {is_after} ?1 \
             UNION ALL SELECT min(account) FROM day_totals WHERE account {is_after} ?1 \
             UNION ALL SELECT min(account) FROM token_days WHERE account {is_after} ?1 \
             UNION ALL SELECT min(account) FROM lots WHERE account {is_after} ?1 \
             UNION ALL SELECT min(account) FROM holds WHERE account {is_after} ?1) AS names"
        );
        let name = Ask::new(&sql).bind(after.unwrap_or_default()).scalar(&mut self.tx);
        name.await.map_err(failed("looked for accounts"))
    }

    /// An account.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn account(&mut self, name: &str) -> Result<Option<AccountRow>, Error> {
        account(&mut self.tx, name).await
    }

    /// An account's day totals as stored.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn day_totals(&mut self, account: &str) -> Result<Vec<DayTotal>, Error> {
        let rows = Ask::new(
            "SELECT utc_day, spent_carry, spent_picopax, held_picopax FROM day_totals WHERE account = ?1 \
             ORDER BY utc_day",
        );
        let total = |row: &Row| -> Result<DayTotal, sqlx::Error> {
            Ok(DayTotal {
                utc_day: row.try_get(0)?,
                spent: Sum::of_columns(row.try_get(1)?, row.try_get(2)?),
                held: Pax::from_picopax(row.try_get(3)?),
            })
        };
        let rows = rows.bind(account).all(&mut self.tx).await;
        rows.and_then(|rows| rows.iter().map(total).collect()).map_err(failed("read day totals"))
    }

    /// The days of an account's tokens as stored.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn token_days(&mut self, account: &str) -> Result<Vec<TokenDay>, Error> {
        let rows = Ask::new(
            "SELECT token_id, utc_day, spent_carry, spent_picopax, held_picopax FROM token_days WHERE account = ?1 \
             ORDER BY token_id, utc_day",
        );
        let day = |row: &Row| -> Result<TokenDay, sqlx::Error> {
            Ok(TokenDay {
                token_id: row.try_get(0)?,
                utc_day: row.try_get(1)?,
                spent: Sum::of_columns(row.try_get(2)?, row.try_get(3)?),
                held: Pax::from_picopax(row.try_get(4)?),
            })
        };
        let rows = rows.bind(account).all(&mut self.tx).await;
        rows.and_then(|rows| rows.iter().map(day).collect()).map_err(failed("read tokens' days"))
    }

    /// An account's lots as stored.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn lots(&mut self, account: &str) -> Result<Vec<Lot>, Error> {
        let rows = Ask::new(
            "SELECT entry_key, account_seq, amount_picopax, rest_picopax, expires_at FROM lots WHERE account = ?1 \
             ORDER BY account_seq",
        );
        let lot = |row: &Row| -> Result<Lot, sqlx::Error> {
            Ok(Lot {
                key: row.try_get(0)?,
                account_seq: row.try_get(1)?,
                amount: Pax::from_picopax(row.try_get(2)?),
                rest: Pax::from_picopax(row.try_get(3)?),
                expires_at: row.try_get::<Option<i64>>(4)?.map(from_ms),
            })
        };
        let rows = rows.bind(account).all(&mut self.tx).await;
        rows.and_then(|rows| rows.iter().map(lot).collect()).map_err(failed("read lots"))
    }

    /// What an account's entries of a day cost on platform funding.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn spent(&mut self, account: &str, utc_day: UtcDay) -> Result<Sum, Error> {
        let spent =
            Ask::new("SELECT spent_carry, spent_picopax FROM day_totals WHERE account = ?1 AND utc_day = ?2");
        let spent = spent.bind(account).bind(utc_day.to_string()).optional(&mut self.tx).await;
        let sum = |row: Row| Ok(Sum::of_columns(row.try_get(0)?, row.try_get(1)?));
        let spent = spent.and_then(|row| row.map(sum).transpose()).map_err(failed("read a day's total"))?;
        Ok(spent.unwrap_or(Sum::ZERO))
    }

    /// An account's last entry.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn last_entry(&mut self, account: &str) -> Result<Option<LastEntry>, Error> {
        let last = Ask::new(
            "SELECT recorded_at, exchange_id FROM credit_ledger WHERE account = ?1 \
             ORDER BY account_seq DESC LIMIT 1",
        );
        let entry = |row: Row| -> Result<LastEntry, sqlx::Error> {
            Ok(LastEntry { recorded_at: from_ms(row.try_get(0)?), exchange_id: row.try_get(1)? })
        };
        let last = last.bind(account).optional(&mut self.tx).await;
        last.and_then(|row| row.map(entry).transpose()).map_err(failed("read an entry"))
    }

    /// The place of the last entry in the order of recording; 0 if there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn last_place(&mut self) -> Result<i64, Error> {
        let last = Ask::new("SELECT coalesce(max(rowid), 0) FROM credit_ledger");
        last.scalar(&mut self.tx).await.map_err(failed("looked for the last entry"))
    }

    /// How many entries there are. The rows themselves are counted, not an index.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn entry_count(&mut self) -> Result<i64, Error> {
        let count =
            Ask::new(format!("SELECT count(*) FROM credit_ledger {}", self.tx.engine().not_indexed()));
        count.scalar(&mut self.tx).await.map_err(failed("counted entries"))
    }
}

fn stored_entry(row: &Row) -> StoredEntry {
    let last = COLUMNS.len() + MADE_COLUMNS.len();
    StoredEntry {
        position: row.try_get(0).unwrap_or_default(),
        columns: (1..=last).map(|index| value(row, index)).collect(),
        canonical: row.try_get(last + 1).unwrap_or_default(),
        account_seq: row.try_get(last + 2).unwrap_or_default(),
        prev_hash: text(row, last + 3),
        entry_hash: text(row, last + 4),
        recorded_at: row.try_get(last + 5).unwrap_or_default(),
        hash_v: row.try_get(last + 6).unwrap_or_default(),
        posting: row.try_get(last + 7).unwrap_or_default(),
    }
}
