//! Reads the figures of the database file for `/metrics`.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::admin::{from_ms, read_status, read_tier};
use super::epoch::present;
use super::{Store, failed};
use crate::book::Sum;
use crate::error::Error;
use crate::store::Figures;

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
        let sql = "SELECT tier, status, count(*), sum(account_seq) FROM accounts GROUP BY tier, status";
        let rows = sqlx::query(sql).fetch_all(&mut *snapshot.tx).await.map_err(&reading)?;
        let (mut accounts, mut entries) = (Vec::with_capacity(rows.len()), 0_i64);
        for row in &rows {
            let (of, has) = account_figures(row).map_err(&reading)?;
            accounts.push(of);
            entries = entries.saturating_add(has);
        }
        let last = sqlx::query_scalar("SELECT recorded_at FROM credit_ledger ORDER BY rowid DESC LIMIT 1");
        let last: Option<i64> = last.fetch_optional(&mut *snapshot.tx).await.map_err(&reading)?;
        let epoch = present(&mut *snapshot.tx).await.map_err(&reading)?;
        let quarantined = snapshot.quarantined().await?;
        // SQLite adds up in 64 bits, so the amounts are added up in two parts.
        let sql = "SELECT count(*), coalesce(sum(held_picopax / 1000000000), 0), \
             coalesce(sum(held_picopax % 1000000000), 0) FROM holds WHERE state = 'open'";
        let (open, above, below) =
            sqlx::query_as::<_, (i64, i64, i64)>(sql).fetch_one(&mut *snapshot.tx).await.map_err(&reading)?;
        let held = Sum::of_picopax(i128::from(above) * 1_000_000_000 + i128::from(below));
        let path = self.options.get_filename();
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Ok(Figures {
            accounts,
            entries,
            last_entry: last.map(from_ms),
            epoch,
            quarantined,
            holds: (open, held),
            database_bytes: size(path),
            log_bytes: size(log.as_ref()),
        })
    }
}

type OfAccounts = (pax_gateway::base::account::Tier, pax_gateway::base::account::Status, i64);

fn account_figures(row: &SqliteRow) -> Result<(OfAccounts, i64), sqlx::Error> {
    Ok(((read_tier(row.try_get(0)?)?, read_status(row.try_get(1)?)?, row.try_get(2)?), row.try_get(3)?))
}
