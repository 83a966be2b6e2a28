//! Reads holds: lists for operators, and all of an account's for a replay.

use pax_gateway::base::pax::Pax;

use super::columns::{from_ms, read_tier};
use crate::error::Error;
use crate::store::sql::{Ask, Row, text};
use crate::store::{HOLD, HOLD_OF, HoldFilter, HoldRow, HoldState, Snapshot, Store, StoredHold, failed};

impl Store {
    /// At most `limit` holds that are open or have expired, the oldest first, after the exchange `after`: an exchange's id
    /// begins with its time.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn holds(&self, filter: &HoldFilter, after: &str, limit: u32) -> Result<Vec<HoldRow>, Error> {
        // Each state has an index of its own, and the empty texts keep SQLite from walking along all holds that have ended.
        let mut query = Ask::new("SELECT * FROM (");
        if !filter.expired_only {
            query.push(format!("{HOLD} WHERE state = 'open' AND made_at >= 0 UNION ALL "));
        }
        query.push(format!(
            "{HOLD} WHERE state <> 'open' AND state = 'expired') AS listed WHERE exchange_id || '' > "
        ));
        query.push_bind(after);
        if let Some(account) = &filter.account {
            query.push(" AND account || '' = ").push_bind(account);
        }
        query.push(" ORDER BY exchange_id || '' LIMIT ").push_bind(limit);
        let rows = query.all(&self.pool).await;
        rows.and_then(|rows| rows.iter().map(hold_row).collect()).map_err(failed("listed holds"))
    }

    /// The hold of an exchange.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn hold(&self, exchange: &str) -> Result<Option<HoldRow>, Error> {
        let row = Ask::new(HOLD_OF.as_str()).bind(exchange).optional(&self.pool).await;
        row.and_then(|row| row.map(|row| hold_row(&row)).transpose()).map_err(failed("looked up a hold"))
    }
}

impl Snapshot {
    /// At most `limit` holds of an account after the exchange `after`, whatever has become of them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn holds(
        &mut self,
        account: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<StoredHold>, Error> {
        let rows = Ask::new(
            "SELECT holds.exchange_id, holds.account, holds.token_id, holds.utc_day, holds.tier, held_picopax, lost, \
             state, credit_ledger.account, posting FROM holds \
             LEFT JOIN credit_ledger ON credit_ledger.exchange_id = holds.exchange_id \
             WHERE holds.account = ?1 AND holds.exchange_id > ?2 ORDER BY holds.exchange_id LIMIT ?3",
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = rows.bind(account).bind(after).bind(limit).all(&mut self.tx).await;
        let stored = |row: &Row| -> Result<StoredHold, sqlx::Error> {
            let entry: Option<String> = row.try_get(8)?;
            let posting = row.try_get(9)?;
            Ok(StoredHold {
                exchange_id: text(row, 0),
                account: text(row, 1),
                token_id: text(row, 2),
                utc_day: text(row, 3),
                tier: text(row, 4),
                held: Pax::from_picopax(row.try_get(5)?),
                lost: row.try_get(6)?,
                state: text(row, 7),
                entry: entry.map(|account| (account, posting)),
            })
        };
        rows.and_then(|rows| rows.iter().map(stored).collect()).map_err(failed("read holds"))
    }
}

fn hold_row(row: &Row) -> Result<HoldRow, sqlx::Error> {
    let unreadable = |what: &str| sqlx::Error::Decode(format!("{what:?} cannot be read").into());
    let (day, state): (String, String) = (row.try_get(3)?, row.try_get(9)?);
    Ok(HoldRow {
        exchange_id: row.try_get(0)?,
        account: row.try_get(1)?,
        token_id: row.try_get(2)?,
        utc_day: day.parse().map_err(|_| unreadable(&day))?,
        tier: read_tier(&row.try_get::<String>(4)?)?,
        held_pax: Pax::from_picopax(row.try_get(5)?),
        envoy: row.try_get(6)?,
        made_at: from_ms(row.try_get(7)?),
        lost: row.try_get(8)?,
        state: HoldState::of_name(&state).ok_or_else(|| unreadable(&state))?,
        ended_at: row.try_get::<Option<i64>>(10)?.map(from_ms),
    })
}
