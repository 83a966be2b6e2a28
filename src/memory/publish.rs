//! Cards become known to the ledger before they price a call: it must be able to prove every entry.
//!
//! Shared data holds which cards the ledger knows, for all workers of this Envoy and for VMs that start
//! later. A [`Publishing`] is one root context's bundle on its way to the ledger.

use std::borrow::Cow;
use std::rc::Rc;

use crate::base::clock::Tick;
use crate::base::digest::Digest;
use crate::base::wire::CardsRequest;
use crate::memory::shared::{self, SharedData};
use crate::price::bundle::Bundle;

/// The key of the known cards: lines of hashes in hexadecimal.
const KEY: &str = "pax/cards";
/// Cards are put into a question until it has so many bytes of them; the ledger takes four times that.
const ASK_BYTES: usize = 1024 * 1024;
/// The first wait after a failure; it doubles.
const WAIT_MS: u64 = 100;
const WAIT_MAX_MS: u64 = 5_000;

/// A bundle that the ledger is to know.
#[derive(Debug)]
pub struct Publishing {
    bundle: Rc<Bundle>,
    /// The cards of the question under way.
    asked: Vec<Digest>,
    /// When the ledger is asked next, and how long to wait if that fails too.
    not_before: Tick,
    wait_ms: u64,
}

impl Publishing {
    /// A bundle that the ledger was not asked about yet.
    #[must_use]
    pub fn new(bundle: Rc<Bundle>) -> Self {
        Self { bundle, asked: Vec::new(), not_before: Tick::default(), wait_ms: WAIT_MS }
    }

    /// The bundle.
    #[must_use]
    pub fn bundle(&self) -> &Rc<Bundle> {
        &self.bundle
    }

    /// Whether the ledger is known to have all of its cards.
    pub fn is_known(&self, shared: &impl SharedData) -> bool {
        let known = known(shared);
        self.bundle.cards().iter().all(|card| known.contains(&card.sha256))
    }

    /// What the ledger is to be told now, if it is time: the cards that it is not known to have.
    pub fn ask(&mut self, shared: &impl SharedData, now: Tick) -> Option<Vec<u8>> {
        if !self.asked.is_empty() || now < self.not_before {
            return None;
        }
        let (known, mut bytes, mut cards) = (known(shared), 0_usize, Vec::new());
        for (card, text) in self.bundle.files() {
            if bytes < ASK_BYTES && !known.contains(&card.sha256) {
                bytes = bytes.saturating_add(text.len());
                self.asked.push(card.sha256);
                cards.push(Cow::Borrowed(text.as_ref()));
            }
        }
        if cards.is_empty() {
            return None;
        }
        serde_json::to_vec(&CardsRequest { cards }).ok()
    }

    /// The ledger has the cards that it was told last.
    pub fn acknowledged(&mut self, shared: &impl SharedData) {
        let asked = std::mem::take(&mut self.asked);
        self.wait_ms = WAIT_MS;
        let _ = shared::update(shared, KEY, |value| {
            let mut known = read(value);
            let before = known.len();
            known.extend(asked.iter().filter(|card| !read(value).contains(card)));
            let lines: String = known.iter().map(|card| format!("{card}\n")).collect();
            ((known.len() > before).then(|| lines.into_bytes()), ())
        });
    }

    /// The ledger did not answer, or said no: it is told again later.
    pub fn failed(&mut self, now: Tick) {
        self.asked.clear();
        self.not_before = now.plus_ms(self.wait_ms);
        self.wait_ms = self.wait_ms.saturating_mul(2).min(WAIT_MAX_MS);
    }
}

/// The cards that the ledger is known to have.
fn known(shared: &impl SharedData) -> Vec<Digest> {
    shared.get(KEY).map(|(value, _)| read(&value)).unwrap_or_default()
}

fn read(value: &[u8]) -> Vec<Digest> {
    str::from_utf8(value).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::worker::fake::Map;

    fn asked(publishing: &mut Publishing, shared: &Map, ms: u64) -> Option<usize> {
        let body = publishing.ask(shared, Tick::from_ms(ms))?;
        Some(serde_json::from_slice::<CardsRequest>(&body).unwrap().cards.len())
    }

    #[test]
    fn a_bundle_is_known_once_the_ledger_said_so_and_then_to_every_root() {
        let shared = Map::default();
        let bundle = Rc::new(Bundle::embedded().unwrap());
        let mut publishing = Publishing::new(Rc::clone(&bundle));
        assert!(!publishing.is_known(&shared));
        assert_eq!(asked(&mut publishing, &shared, 0), Some(bundle.cards().len()));
        assert_eq!(asked(&mut publishing, &shared, 0), None, "one question at a time");
        assert!(!publishing.is_known(&shared), "a question is no answer");
        publishing.acknowledged(&shared);
        assert!(publishing.is_known(&shared));
        let mut another = Publishing::new(bundle);
        assert!(another.is_known(&shared));
        assert_eq!(asked(&mut another, &shared, 0), None, "nothing is left to be told");
    }

    #[test]
    fn only_new_cards_are_told_and_what_failed_is_told_again_after_a_growing_wait() {
        let shared = Map::default();
        let bundle = Bundle::embedded().unwrap();
        let (card, text) = bundle.files().next().unwrap();
        let mut first = Publishing::new(Rc::new(Bundle::of(vec![(card.clone(), text.clone())])));
        assert_eq!(asked(&mut first, &shared, 0), Some(1));
        first.acknowledged(&shared);
        let new = bundle.cards().len() - 1;
        let mut all = Publishing::new(Rc::new(bundle));
        let mut at = 0;
        for wait in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            assert_eq!(asked(&mut all, &shared, at), Some(new));
            all.failed(Tick::from_ms(at));
            assert_eq!(asked(&mut all, &shared, at + wait - 1), None);
            at += wait;
        }
        assert_eq!(asked(&mut all, &shared, at), Some(new));
        all.acknowledged(&shared);
        assert!(all.is_known(&shared));
    }
}
