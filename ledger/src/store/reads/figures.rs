//! Reads the figures of the database file for `/metrics`.

use super::columns::{from_ms, read_status, read_tier};
use super::epoch::present;
use crate::book::Sum;
use crate::error::Error;
use crate::store::sql::{Ask, Pool, Row};
use crate::store::{Figures, Store, failed};

impl Store {
    /// The figures of the file, all of one moment except its size.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn figures(&self) -> Result<Figures, Error> {
        let reading = failed("read its figures");
        let mut snapshot = self.snapshot().await?;
        // Each account's row has the number of its entries, so the time of this query does not grow with the
        // entries.
        let sql = "SELECT tier, status, count(*), CAST(sum(account_seq) AS BIGINT) FROM accounts GROUP BY tier, status";
        let rows = Ask::new(sql).all(&mut snapshot.tx).await.map_err(&reading)?;
        let (mut accounts, mut entries) = (Vec::with_capacity(rows.len()), 0_i64);
        for row in &rows {
            let (of, has) = account_figures(row).map_err(&reading)?;
            accounts.push(of);
            entries = entries.saturating_add(has);
        }
        let last = Ask::new("SELECT recorded_at FROM credit_ledger ORDER BY rowid DESC LIMIT 1");
        let last: Option<i64> = last.scalar_optional(&mut snapshot.tx).await.map_err(&reading)?;
        let epoch = present(&mut snapshot.tx).await.map_err(&reading)?;
        let quarantined = snapshot.quarantined().await?;
        // SQLite adds up in 64 bits, so the amounts are added up in two parts.
        let sql = "SELECT count(*), CAST(coalesce(sum(held_picopax / 1000000000), 0) AS BIGINT), \
             CAST(coalesce(sum(held_picopax % 1000000000), 0) AS BIGINT) FROM holds WHERE state = 'open'";
        let row = Ask::new(sql).one(&mut snapshot.tx).await.map_err(&reading)?;
        let number = |place: usize| row.try_get::<i64>(place).map_err(&reading);
        let (open, above, below) = (number(0)?, number(1)?, number(2)?);
        let held = Sum::of_picopax(i128::from(above) * 1_000_000_000 + i128::from(below));
        let (database_bytes, log_bytes) = match &self.pool {
            Pool::Sqlite(pool) => crate::store::sqlite::sizes(pool),
            Pool::Postgres(_) => {
                let size = Ask::new("SELECT pg_database_size(current_database())")
                    .scalar::<i64>(&mut snapshot.tx)
                    .await;
                (u64::try_from(size.map_err(&reading)?).unwrap_or(0), 0)
            }
        };
        Ok(Figures {
            accounts,
            entries,
            last_entry: last.map(from_ms),
            epoch,
            quarantined,
            holds: (open, held),
            database_bytes,
            log_bytes,
        })
    }
}

type OfAccounts = (pax_gateway::base::account::Tier, pax_gateway::base::account::Status, i64);

fn account_figures(row: &Row) -> Result<(OfAccounts, i64), sqlx::Error> {
    Ok((
        (read_tier(&row.try_get::<String>(0)?)?, read_status(&row.try_get::<String>(1)?)?, row.try_get(2)?),
        row.try_get(3)?,
    ))
}
