//! Which of the cards is in force when, and which ones a later version overtakes.
//!
//! The highest version that has begun is in force. So if a correction begins before a card that is published
//! already, the correction would be in force for ever, since the other card has the lower version. That other
//! card is *overtaken*: its prices come into force only if they are published again, under a version above
//! the correction's.

use pax_gateway::base::clock::Moment;
use pax_gateway::price::card::RateCard;

use crate::folder::{CardFile, Folder};

/// A card that can be read, and when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Dated<'a> {
    /// Its file.
    pub card: &'a CardFile,
    /// Its `effective_from`.
    pub begins: Moment,
}

/// The cards of a folder that can be read, by version.
#[must_use]
pub fn dated(folder: &Folder) -> Vec<Dated<'_>> {
    let read = folder.cards.iter().filter_map(|card| Some((card, RateCard::parse(&card.text).ok()?)));
    read.map(|(card, parsed)| Dated { card, begins: parsed.effective_from }).collect()
}

/// The card that is in force at a moment: the highest version that has begun.
#[must_use]
pub fn in_force<'a>(cards: &[Dated<'a>], now: Moment) -> Option<Dated<'a>> {
    cards.iter().rfind(|card| card.begins <= now).copied()
}

/// The cards that never come into force because the last card begins before them.
#[must_use]
pub fn overtaken<'a>(cards: &[Dated<'a>]) -> Vec<Dated<'a>> {
    let Some((last, before)) = cards.split_last() else { return Vec::new() };
    let has_turn = |card: &&Dated<'_>| {
        in_force(before, card.begins).is_some_and(|in_force| in_force.card.name == card.card.name)
    };
    before.iter().filter(|card| card.begins > last.begins).filter(has_turn).copied().collect()
}
