//! The rate cards that the ledger knows: the built-in ones, and those that were published to it before a filter
//! used them.
//!
//! A card is known under the hash of its file, for ever. Two cards of one version are a mistake: the second one
//! is refused, whether it is built in, added or published.

use std::sync::Arc;

use pax_gateway::base::digest::Digest;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::RateCard;
use tokio::sync::watch;

use crate::book::Act;
use crate::error::Error;
use crate::server::embedded_bundle;
use crate::store::{Acted, NewCard, OtherCard, Store, StoredCard};

/// The cards of a running service.
#[derive(Debug)]
pub struct Cards {
    store: Store,
    built_in: Arc<Bundle>,
    /// All known cards, and how many of them were in the store.
    known: watch::Sender<(i64, Arc<Bundle>)>,
}

impl Cards {
    /// The cards of a store. The store learns the built-in ones.
    ///
    /// # Errors
    /// If the store fails, or knows another card of a version that is built in.
    pub async fn open(store: Store) -> Result<Arc<Self>, Error> {
        let built_in = embedded_bundle()?;
        let texts: Vec<&str> = built_in.files().map(|(_, text)| text.as_ref()).collect();
        learn(&store, &texts).await.map_err(|error| match error {
            Error::Conflict(why) => Error::Operator(format!("the rate cards built into this program: {why}")),
            other => other,
        })?;
        let known = watch::Sender::new((0, Arc::clone(&built_in)));
        let cards = Arc::new(Self { store, built_in, known });
        cards.current().await?;
        Ok(cards)
    }

    /// All cards that are known now, including those that another process has added.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn current(&self) -> Result<Arc<Bundle>, Error> {
        let count = self.store.card_count().await?;
        let (known, bundle) = self.known.borrow().clone();
        if known == count {
            return Ok(bundle);
        }
        let (bundle, mistakes) = gather(&self.built_in, &self.store.cards().await?);
        for mistake in mistakes {
            tracing::error!("{mistake}");
        }
        let bundle = Arc::new(bundle);
        self.known.send_replace((count, Arc::clone(&bundle)));
        Ok(bundle)
    }

    /// The known cards. If a wanted card is missing, reads the store again.
    pub async fn with(&self, mut wanted: impl Iterator<Item = Digest>) -> Arc<Bundle> {
        let known = Arc::clone(&self.known.borrow().1);
        if wanted.all(|sha256| known.by_sha256(&sha256).is_some()) {
            return known;
        }
        match self.current().await {
            Ok(bundle) => bundle,
            Err(error) => {
                tracing::error!(%error, "could not look for a rate card");
                known
            }
        }
    }

    /// Learns cards from the texts of their files: all of them, or none. Gives their hashes.
    ///
    /// # Errors
    /// Every mistake of the texts; [`Error::Conflict`] if a version belongs to another card; if the store
    /// fails.
    pub async fn learn(&self, texts: &[&str]) -> Result<Vec<Digest>, Error> {
        let learned = learn(&self.store, texts).await;
        if let Err(error @ Error::Conflict(_)) = &learned {
            tracing::error!(%error, "a filter has another rate card of a known version");
        }
        let (hashes, new) = learned?;
        if new > 0 {
            tracing::info!("learned {new} rate cards");
            self.current().await?;
        }
        Ok(hashes)
    }
}

/// Reads cards and stores the new ones: all of them, or none if there is an error. Gives all hashes, and how
/// many cards were new.
///
/// # Errors
/// Every mistake of the texts; [`Error::Conflict`] if a version belongs to another card; if the store fails.
pub async fn learn(store: &Store, texts: &[&str]) -> Result<(Vec<Digest>, usize), Error> {
    let cards = read(texts)?;
    let new = new_cards(&cards, texts);
    let count = store.learn_cards(&new, crate::now()).await?.map_err(taken)?;
    Ok((new.iter().map(|card| card.sha256).collect(), count))
}

/// Does the same for an operator. Gives how many cards were new.
///
/// # Errors
/// Those of [`learn`]; [`Error::Conflict`] also if the act's key was used for another request.
pub async fn add(store: &Store, act: &Act, texts: &[&str]) -> Result<Acted<usize>, Error> {
    store.add_cards(act, &new_cards(&read(texts)?, texts)).await?.map_err(taken)
}

fn read(texts: &[&str]) -> Result<Vec<RateCard>, Error> {
    let (mut cards, mut mistakes) = (Vec::new(), Vec::new());
    for (text, number) in texts.iter().zip(1..) {
        match RateCard::parse(text) {
            Ok(card) => cards.push(card),
            Err(found) => mistakes.extend(found.0.iter().map(|mistake| format!("card {number}: {mistake}"))),
        }
    }
    if mistakes.is_empty() { Ok(cards) } else { Err(Error::BadRequest(mistakes.join("\n"))) }
}

fn new_cards<'a>(cards: &[RateCard], texts: &[&'a str]) -> Vec<NewCard<'a>> {
    let new =
        |(card, text): (&RateCard, &&'a str)| NewCard { sha256: card.sha256, version: card.version, text };
    cards.iter().zip(texts).map(new).collect()
}

fn taken(other: OtherCard) -> Error {
    Error::Conflict(format!(
        "version {} belongs to the card with sha256 {}, and a published card never changes: restore it, and make \
         the change a new version",
        other.version, other.known
    ))
}

/// The built-in cards and the stored cards, and what is wrong with the stored ones.
#[must_use]
pub fn gather(built_in: &Bundle, stored: &[StoredCard]) -> (Bundle, Vec<String>) {
    let mut cards: Vec<(Arc<RateCard>, Arc<str>)> =
        built_in.files().map(|(card, text)| (Arc::clone(card), Arc::clone(text))).collect();
    let mut mistakes = Vec::new();
    for StoredCard { sha256, version, text, .. } in stored {
        let named = format!("rate card {version} (sha256 {sha256})");
        match RateCard::parse(text) {
            Ok(card) if card.sha256.to_string() != *sha256 || i64::from(card.version.0) != *version => {
                let (sha256, version) = (card.sha256, card.version);
                mistakes.push(format!("{named}: its text is that of version {version} with sha256 {sha256}"));
            }
            Ok(card) => {
                if cards.iter().all(|(other, _)| other.sha256 != card.sha256) {
                    cards.push((Arc::new(card), Arc::from(text.as_str())));
                }
            }
            Err(bad) => mistakes.push(format!("{named} cannot be read by this program: {bad}")),
        }
    }
    (Bundle::of(cards), mistakes)
}
