//! How fast models write, as a ledger's reported entries show it, against what a card says may be written unseen.

use std::collections::BTreeMap;

use pax_gateway::price::card::RateCard;
use serde::Deserialize;

use crate::Failed;
use crate::check::{Finding, Level, at_path};
use crate::folder::{CardFile, Folder};

/// The first version of a debit that says how long a call took.
const TIMED: u32 = 2;

/// What is read of an entry, as `pax-ledger entries` prints it.
#[derive(Deserialize)]
struct Entry {
    canon_v: u32,
    kind: String,
    #[serde(default)]
    provenance: Option<String>,
    #[serde(default)]
    model: String,
    #[serde(default)]
    tokens_output: u64,
    #[serde(default)]
    duration_ms: Option<u64>,
}

impl Entry {
    /// Thousandths of a token that it wrote a second; nothing if it does not say how long that took.
    fn speed(&self) -> Option<u128> {
        let is_timed = self.canon_v >= TIMED && self.kind == "debit";
        let is_reported = self.provenance.as_deref() == Some("reported") && self.tokens_output > 0;
        let thousandths = u128::from(self.tokens_output) * 1_000_000;
        thousandths.checked_div(u128::from(self.duration_ms?)).filter(|_| is_timed && is_reported)
    }
}

/// The speeds of each model's reported calls, in thousandths of a token a second.
type Speeds = BTreeMap<String, Vec<u128>>;

/// Models for which the last card states less than half of what their reported calls wrote in a second: the
/// charge for silence is then too low. A stated speed of 0 switches that charge off, and is meant.
///
/// # Errors
/// If a line is no entry.
pub fn slow(folder: &Folder, entries: &str) -> Result<Vec<Finding>, Failed> {
    let speeds = read(entries)?;
    let Some(card) = folder.cards.last() else { return Ok(Vec::new()) };
    // The mistakes of such a card are named elsewhere.
    let Ok(parsed) = RateCard::parse(&card.text) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (id, mut seen) in speeds {
        let Some(model) = parsed.models.get(&id) else { continue };
        let stated = model.factors.unseen_tokens_per_s;
        let median = median(&mut seen);
        if stated > 0 && u128::from(stated) * 2_000 < median {
            found.push(warning(card, &id, stated, median, seen.len()));
        }
    }
    Ok(found)
}

fn read(entries: &str) -> Result<Speeds, Failed> {
    let mut speeds = Speeds::new();
    for (index, line) in entries.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let entry: Entry = serde_json::from_str(line).map_err(|why| {
            Failed(format!(
                "line {} of the entries is none ({why}): pass what `pax-ledger entries` prints",
                index + 1
            ))
        })?;
        if let Some(speed) = entry.speed() {
            speeds.entry(entry.model).or_default().push(speed);
        }
    }
    Ok(speeds)
}

/// The middle one, or the mean of the two in the middle.
fn median(seen: &mut [u128]) -> u128 {
    seen.sort_unstable();
    let middle = |index: usize| seen.get(index).copied().unwrap_or_default();
    (middle(seen.len() / 2) + middle(seen.len().saturating_sub(1) / 2)) / 2
}

fn warning(card: &CardFile, id: &str, stated: u64, median: u128, calls: usize) -> Finding {
    let model = pax_gateway::base::strict_json::join("models", id);
    let path = format!("{model}.unseen_tokens_per_s");
    let wrote = median / 1_000;
    let calls = if calls == 1 { "1 reported call".to_owned() } else { format!("{calls} reported calls") };
    let what = format!(
        "is {stated}, under half of the {wrote} tokens a second (median) of {calls}: the next card should say about {wrote}"
    );
    at_path(Level::Warning, card, &path, what)
}
