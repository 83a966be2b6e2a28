//! The bundle: every card ever published, each locked by its hash, and which of them is in force at a moment.

use std::sync::Arc;

use crate::base::clock::Moment;
use crate::base::digest::Digest;
use crate::base::strict_json::{self, Fields, Mistakes};
use crate::price::card::RateCard;
use crate::price::card_file;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/bundle.rs"));
}

/// Published cards in ascending order of version; none is missing.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    cards: Vec<Arc<RateCard>>,
    /// The texts of the cards' files, in the order of [`Bundle::cards`]: the ledger is told these.
    texts: Vec<Arc<str>>,
}

impl Bundle {
    /// A bundle without a card: under it no call is taken.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The bundle that was built into this program.
    ///
    /// # Errors
    /// Every mistake in it. `make test` finds them before a module is released.
    pub fn embedded() -> Result<Self, Mistakes> {
        Self::load(embedded::FILES, embedded::LOCK)
    }

    /// Reads cards (file name and text) and the lock (`sha256sum` lines).
    ///
    /// # Errors
    /// Every mistake of every card; a card that is not locked, or differs from the locked one; a locked card
    /// that is missing; a gap between versions.
    pub fn load(files: &[(&str, &str)], lock: &str) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let locked = read_lock(lock, &mut mistakes);
        let mut cards = Vec::new();
        for (name, text) in files {
            match RateCard::parse(text) {
                Ok(card) => {
                    check_card(name, &card, &locked, &mut mistakes);
                    cards.push((Arc::new(card), Arc::from(*text)));
                }
                Err(found) => {
                    for mistake in found.0 {
                        let path =
                            [*name, &mistake.path].join(if mistake.path.is_empty() { "" } else { ": " });
                        mistakes.add(&path, mistake.what);
                    }
                }
            }
        }
        for (name, _) in &locked {
            if !files.iter().any(|(file, _)| file == name) {
                mistakes.add(name, "is locked but missing; a published card stays in the bundle for ever");
            }
        }
        cards.sort_by_key(|(card, _): &(Arc<RateCard>, Arc<str>)| card.version);
        for ((card, _), expected) in cards.iter().zip(1..) {
            if card.version.0 != expected && mistakes.0.is_empty() {
                mistakes.add("", format!("version {expected} is missing: versions follow each other from 1"));
            }
        }
        if cards.is_empty() {
            mistakes.add("", "the bundle has no card");
        }
        mistakes.or(Some(Self::of(cards)))
    }

    /// Reads a bundle from the filter's configuration: the text of each file, byte for byte, under its name,
    /// and the text of LOCK. Every card that was built in is published, so it must be there, equal to the
    /// byte.
    pub fn read(node: strict_json::Node, path: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let mut fields = Fields::of(node, path, mistakes);
        let files = fields.object("files", mistakes);
        let lock = fields.text("lock", mistakes);
        fields.finish(mistakes);
        let files: Vec<_> = files?
            .rest()
            .map(|(name, path, node)| Some((name, strict_json::text(node, &path, mistakes)?)))
            .collect();
        let files: Vec<(String, String)> = files.into_iter().collect::<Option<_>>()?;
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let built_in = match Self::embedded() {
            Ok(built_in) => built_in,
            Err(found) => {
                mistakes.0.extend(found.0);
                return None;
            }
        };
        match Self::load(&files, &lock?).and_then(|bundle| bundle.and_keeps(&built_in)) {
            Ok(bundle) => Some(bundle),
            Err(found) => {
                for mistake in found.0 {
                    let path = [path, &mistake.path].join(if mistake.path.is_empty() { "" } else { "." });
                    mistakes.add(&path, mistake.what);
                }
                None
            }
        }
    }

    /// This bundle, if it has every card of an earlier one.
    fn and_keeps(self, earlier: &Self) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        for card in earlier.cards() {
            if self.by_sha256(&card.sha256).is_none() {
                let name = card_file::name_of(card.version.0);
                let what = "is not the card that is built into the filter; a published card never changes and stays in \
                            the bundle for ever";
                mistakes.add(&name, what);
            }
        }
        mistakes.or(Some(self))
    }

    /// A bundle of cards and their files' texts, whatever their versions are: for the ledger, which looks
    /// cards up with their hash.
    #[must_use]
    pub fn of(mut cards: Vec<(Arc<RateCard>, Arc<str>)>) -> Self {
        cards.sort_by_key(|(card, _)| card.version);
        let (cards, texts) = cards.into_iter().unzip();
        Self { cards, texts }
    }

    /// All cards with their files' texts, in ascending order of version.
    pub fn files(&self) -> impl Iterator<Item = (&Arc<RateCard>, &Arc<str>)> {
        self.cards.iter().zip(&self.texts)
    }

    /// The card with the highest version whose `effective_from` is not after `now`; none if no card has
    /// begun.
    #[must_use]
    pub fn in_force(&self, now: Moment) -> Option<&Arc<RateCard>> {
        self.cards.iter().rev().find(|card| card.effective_from <= now)
    }

    /// The card with this hash.
    #[must_use]
    pub fn by_sha256(&self, sha256: &Digest) -> Option<&Arc<RateCard>> {
        self.cards.iter().find(|card| card.sha256 == *sha256)
    }

    /// All cards, in ascending order of version.
    #[must_use]
    pub fn cards(&self) -> &[Arc<RateCard>] {
        &self.cards
    }
}

fn read_lock<'a>(lock: &'a str, mistakes: &mut Mistakes) -> Vec<(&'a str, Digest)> {
    let mut locked = Vec::new();
    for (line, number) in lock.lines().zip(1..) {
        let entry = line.split_once("  ").and_then(|(hash, name)| Some((name, hash.parse().ok()?)));
        match entry {
            Some((name, _)) if locked.iter().any(|(other, _)| *other == name) => {
                mistakes.add(&format!("LOCK:{number}"), format!("{name} is locked twice"));
            }
            Some(entry) => locked.push(entry),
            None => {
                mistakes.add(&format!("LOCK:{number}"), "must be a line of sha256sum: hash, two spaces, name")
            }
        }
    }
    locked
}

fn check_card(name: &str, card: &RateCard, locked: &[(&str, Digest)], mistakes: &mut Mistakes) {
    let right = card_file::name_of(card.version.0);
    if name != right {
        mistakes.add(name, format!("has rate_table_v {}, so its name must be {right}", card.version));
    }
    match locked.iter().find(|(file, _)| *file == name) {
        Some((_, hash)) if *hash == card.sha256 => {}
        Some(_) => mistakes.add(
            name,
            "differs from its hash in LOCK: a published card never changes; restore it and make the change a new version",
        ),
        None => mistakes.add(name, "is not locked: `pax-ratecard publish` locks it, once it is final"),
    }
}

#[cfg(test)]
#[path = "bundle_test.rs"]
mod tests;
