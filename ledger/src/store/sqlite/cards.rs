//! Stores rate cards. They are learned once, and read to price entries again.

use pax_gateway::base::clock::Moment;
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Executor, Row};

use super::admin::{from_ms, to_ms};
use super::{Snapshot, Store, failed, text};
use crate::error::Error;
use crate::store::{NewCard, OtherCard, StoredCard};

const CARDS: &str = "SELECT sha256, version, text, learned_at FROM rate_cards ORDER BY version";

impl Store {
    /// Learns cards: all of them, or none if the version of one belongs to another card. Known cards stay as
    /// they are. Gives how many are new.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn learn_cards(
        &self,
        cards: &[NewCard<'_>],
        now: Moment,
    ) -> Result<Result<usize, OtherCard>, Error> {
        let learning = failed("learned rate cards");
        // Immediate, so that of two processes that learn at once, the second reads what the first has written.
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(&learning)?;
        let mut new = 0;
        for card in cards {
            let version = i64::from(card.version.0);
            let sha256 = card.sha256.to_string();
            let known = sqlx::query_scalar("SELECT sha256 FROM rate_cards WHERE version = ?1").bind(version);
            let known: Option<String> = known.fetch_optional(&mut *tx).await.map_err(&learning)?;
            match known {
                Some(known) if known == sha256 => continue,
                Some(known) => return Ok(Err(OtherCard { version: card.version, known })),
                None => {}
            }
            let sql = "INSERT INTO rate_cards (sha256, version, text, learned_at) VALUES (?1, ?2, ?3, ?4)";
            let insert = sqlx::query(sql).bind(sha256).bind(version).bind(card.text).bind(to_ms(now));
            insert.execute(&mut *tx).await.map_err(&learning)?;
            new += 1;
        }
        tx.commit().await.map_err(&learning)?;
        Ok(Ok(new))
    }

    /// How many cards are known. The number never falls.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn card_count(&self) -> Result<i64, Error> {
        let count = sqlx::query_scalar("SELECT count(*) FROM rate_cards");
        count.fetch_one(&self.pool).await.map_err(failed("counted rate cards"))
    }

    /// All cards, in the order of their versions.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn cards(&self) -> Result<Vec<StoredCard>, Error> {
        cards(&self.pool).await
    }
}

impl Snapshot {
    /// All cards, in the order of their versions.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn cards(&mut self) -> Result<Vec<StoredCard>, Error> {
        cards(&mut *self.tx).await
    }
}

async fn cards<'a>(from: impl Executor<'a, Database = Sqlite>) -> Result<Vec<StoredCard>, Error> {
    let rows = sqlx::query(CARDS).fetch_all(from).await.map_err(failed("read rate cards"))?;
    Ok(rows.iter().map(stored_card).collect())
}

fn stored_card(row: &SqliteRow) -> StoredCard {
    StoredCard {
        sha256: text(row, 0),
        version: row.try_get(1).unwrap_or_default(),
        text: text(row, 2),
        learned_at: from_ms(row.try_get(3).unwrap_or_default()),
    }
}
