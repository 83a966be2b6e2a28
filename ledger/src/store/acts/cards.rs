//! Stores rate cards. They are learned once, and read to price entries again.

use pax_gateway::base::clock::Moment;
use serde_json::{Value as Json, json};

use super::operator_log::{Begun, Done};
use crate::book::{About, Act};
use crate::error::Error;
use crate::store::sql::{Ask, On, Row, Turn, Tx, text};
use crate::store::{Acted, NewCard, OtherCard, Snapshot, Store, StoredCard, failed, from_ms, to_ms};

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
        let mut tx = self.pool.begin_to_write().await.map_err(&learning)?;
        let learned = insert(&mut tx, cards, now).await?;
        if learned.is_ok() {
            tx.commit().await.map_err(&learning)?;
        }
        Ok(learned.map(|new| new.len()))
    }

    /// Does the same for an operator. If all cards are known, that makes no row of the operator log, since no card is
    /// ever forgotten.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the act's key was used for another request; if the store fails.
    pub async fn add_cards(
        &self,
        act: &Act,
        cards: &[NewCard<'_>],
    ) -> Result<Result<Acted<usize>, OtherCard>, Error> {
        let hashes: Vec<_> = cards.iter().map(|card| card.sha256).collect();
        let mut acting = match self.begin_act(act, "cards_add", &json!({"sha256": hashes})).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(Ok(acted)),
        };
        let new = match insert(&mut acting.tx, cards, acting.at).await? {
            Ok(new) if new.is_empty() => return Ok(Ok(Acted::new(0))),
            Ok(new) => new,
            Err(other) => return Ok(Err(other)),
        };
        let count = new.len();
        let card = |card: NewCard<'_>| json!({"sha256": card.sha256, "version": card.version});
        let after = json!({"cards": new.into_iter().map(card).collect::<Vec<_>>()});
        let done = Done { about: About::Event("cards"), account: None, before: Json::Null, after };
        acting.finish(done, count).await.map(Ok)
    }

    /// How many cards are known. The number never falls.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn card_count(&self) -> Result<i64, Error> {
        let count = Ask::new("SELECT count(*) FROM rate_cards");
        count.scalar(&self.pool).await.map_err(failed("counted rate cards"))
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
        cards(&mut self.tx).await
    }
}

/// Inserts the cards that are not known, and gives these; stops at one whose version belongs to another card.
async fn insert<'a>(
    tx: &mut Tx,
    cards: &[NewCard<'a>],
    now: Moment,
) -> Result<Result<Vec<NewCard<'a>>, OtherCard>, Error> {
    let learning = failed("learned rate cards");
    let mut new = Vec::new();
    tx.in_turn(Turn::Cards).await.map_err(&learning)?;
    for card in cards {
        let version = i64::from(card.version.0);
        let sha256 = card.sha256.to_string();
        let known = Ask::new("SELECT sha256 FROM rate_cards WHERE version = ?1").bind(version);
        let known: Option<String> = known.scalar_optional(&mut *tx).await.map_err(&learning)?;
        match known {
            Some(known) if known == sha256 => continue,
            Some(known) => return Ok(Err(OtherCard { version: card.version, known })),
            None => {}
        }
        let sql = "INSERT INTO rate_cards (sha256, version, text, learned_at) VALUES (?1, ?2, ?3, ?4)";
        let insert = Ask::new(sql).bind(sha256).bind(version).bind(card.text).bind(to_ms(now));
        insert.run(&mut *tx).await.map_err(&learning)?;
        new.push(*card);
    }
    Ok(Ok(new))
}

async fn cards(from: impl Into<On<'_>>) -> Result<Vec<StoredCard>, Error> {
    let rows = Ask::new(CARDS).all(from).await.map_err(failed("read rate cards"))?;
    Ok(rows.iter().map(stored_card).collect())
}

fn stored_card(row: &Row) -> StoredCard {
    StoredCard {
        sha256: text(row, 0),
        version: row.try_get(1).unwrap_or_default(),
        text: text(row, 2),
        learned_at: from_ms(row.try_get(3).unwrap_or_default()),
    }
}
