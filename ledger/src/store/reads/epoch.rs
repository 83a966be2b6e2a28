//! The ledger's epochs. A higher epoch tells a filter that lower numbers come from a restored file, and are not
//! old news.

use pax_gateway::base::clock::Moment;

use super::columns::to_ms;
use crate::error::Error;
use crate::store::sql::{Ask, On, Turn, Tx};
use crate::store::{Began, Store, failed};

impl Store {
    /// The present epoch.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn epoch(&self) -> Result<u64, Error> {
        present(&self.pool).await.map_err(failed("read the ledger's epoch"))
    }

    /// Begins an epoch above all before it and above `above`, and gives it. It is the present moment in
    /// milliseconds, unless the clock was set back.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin_epoch(&self, because: Began, above: u64, now: Moment) -> Result<u64, Error> {
        let beginning = failed("began an epoch");
        let mut tx = self.pool.begin_to_write().await.map_err(&beginning)?;
        let epoch = begin(&mut tx, because, above, now).await.map_err(&beginning)?;
        tx.commit().await.map_err(&beginning)?;
        Ok(epoch)
    }
}

/// Begins an epoch in an open transaction, above this one and above all that are there.
pub(in crate::store) async fn begin(
    tx: &mut Tx,
    because: Began,
    above: u64,
    now: Moment,
) -> Result<u64, sqlx::Error> {
    let because = match because {
        Began::Served => "served",
        Began::Restored => "restored",
    };
    // Of two processes that begin an epoch at once, each gets its own.
    tx.in_turn(Turn::Epochs).await?;
    let epoch = Ask::new(format!(
        "INSERT INTO epochs (epoch, began_at, because) \
         SELECT {}(?1, ?2 + 1, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs)), ?1, ?3 RETURNING epoch",
        tx.engine().greatest()
    ));
    let above = i64::try_from(above).unwrap_or(i64::MAX - 1);
    let epoch = epoch.bind(to_ms(now)).bind(above).bind(because).scalar(tx).await?;
    Ok(epoch_of(Some(epoch)))
}

/// The present epoch.
pub(in crate::store) async fn present(from: impl Into<On<'_>>) -> Result<u64, sqlx::Error> {
    Ok(epoch_of(Ask::new("SELECT max(epoch) FROM epochs").scalar(from).await?))
}

/// The epoch of a column; 0 if somebody has emptied the table.
pub(in crate::store) fn epoch_of(column: Option<i64>) -> u64 {
    column.and_then(|epoch| u64::try_from(epoch).ok()).unwrap_or(0)
}
