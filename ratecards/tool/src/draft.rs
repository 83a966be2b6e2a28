//! Starting the next card, and publishing it.

use std::ops::Range;

use pax_gateway::card::RateCard;
use pax_gateway::clock::Moment;

use crate::Failed;
use crate::check::{self, Checked, Level, Rules, with_line};
use crate::decimal::{change, dollars, per_cent};
use crate::folder::{CardFile, Folder, lock_entry};
use crate::spans;

/// The next version from a card: its text with another version, time and reason, and every other byte the same.
///
/// # Errors
/// Where a draft exists, a card has a mistake, or the time is before the last card's.
pub fn start(folder: &Folder, from: Option<&str>, reason: &str, effective: &str) -> Result<CardFile, Failed> {
    if let Some(draft) = folder.draft() {
        let name = &draft.name;
        return Err(Failed(format!(
            "{name} is a draft already: publish it, or delete the file, and start again"
        )));
    }
    let moment: Moment =
        effective.parse().map_err(|error| Failed(format!("--effective {effective:?} {error}")))?;
    if reason.trim().is_empty() {
        return Err(Failed("--reason is empty: say in one line why prices change".to_owned()));
    }
    let Some(last) = folder.cards.last() else {
        return Err(Failed(format!("{} has no card to start from", folder.path.display())));
    };
    let parsed = parse(last)?;
    if moment < parsed.effective_from {
        return Err(Failed(format!(
            "--effective {effective} is before {} is in force, at {}: versions follow each other in time too",
            last.name, parsed.effective_from
        )));
    }
    let source = from.map_or(Ok(last), |called| folder.card(called))?;
    parse(source)?;
    let version =
        parsed.version.0.checked_add(1).ok_or_else(|| Failed("there is no further version".to_owned()))?;
    let text = spans::read(&source.text);
    let mut edits = Edits::default();
    for (key, new) in [
        ("rate_table_v", version.to_string()),
        ("effective_from", quoted(effective)),
        ("reason", quoted(reason.trim())),
    ] {
        let value = text.as_ref().and_then(|text| text.get(key));
        let value = value.ok_or_else(|| Failed(format!("{} has no {key}", source.name)))?;
        edits.replace(value.span.clone(), new);
    }
    let text = edits.apply(&source.text);
    let card = CardFile { name: format!("v{version}.json"), version: Some(version), text };
    parse(&card)?;
    Ok(card)
}

/// A text as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// Reads a card.
///
/// # Errors
/// Its mistakes.
pub fn parse(card: &CardFile) -> Result<RateCard, Failed> {
    RateCard::parse(&card.text).map_err(|mistakes| {
        Failed(format!("{} has mistakes (`pax-ratecard check` says where):\n{mistakes}", card.name))
    })
}

/// Changes to a text, made at once.
#[derive(Debug, Default)]
pub struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Puts another text in the place of a range; an empty range is where it is put in.
    pub fn replace(&mut self, span: Range<usize>, new: String) {
        self.0.push((span, new));
    }

    /// The changed text.
    #[must_use]
    pub fn apply(mut self, text: &str) -> String {
        // From the end, so that earlier places stay; of two insertions at one place the first given stands first.
        self.0.reverse();
        self.0.sort_by_key(|(span, _)| std::cmp::Reverse((span.start, span.end)));
        let mut text = text.to_owned();
        for (span, new) in self.0 {
            text.replace_range(span, &new);
        }
        text
    }
}

/// What the operator said about publishing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent {
    /// A card may be in force from the past on.
    pub now_in_force: bool,
    /// `pax_usd` may change.
    pub revalue_balances: bool,
    /// Warnings are known.
    pub despite_warnings: bool,
}

/// What publishing did.
#[derive(Clone, Debug)]
pub struct Published {
    /// The card.
    pub card: CardFile,
    /// When it takes force.
    pub effective_from: Moment,
    /// What a changed `pax_usd` does.
    pub revaluation: Option<String>,
    /// What the check found beside.
    pub checked: Checked,
}

/// Locks the draft.
///
/// # Errors
/// Where there is none, something is wrong with the folder, or a consent is missing. Nothing is written then.
pub fn publish(
    folder: &Folder,
    called: Option<&str>,
    consent: Consent,
    rules: &Rules,
) -> Result<Published, Failed> {
    let card = match called.map(|called| folder.card(called)).transpose()?.or(folder.draft()) {
        Some(card) if folder.is_locked(&card.name) => {
            let name = &card.name;
            return Err(Failed(format!(
                "{name} is published: it never changes. `pax-ratecard new` starts the next"
            )));
        }
        Some(card) => card.clone(),
        None => return Err(Failed("there is no draft: `pax-ratecard new` starts one".to_owned())),
    };
    let checked = check::check(folder, rules);
    let list = |level: Level| -> String {
        let of_level = checked.findings.iter().filter(|finding| finding.level == level);
        of_level.map(|finding| format!("{finding}\n")).collect()
    };
    let Some(bundle) = &checked.bundle else {
        return Err(Failed(format!("{}nothing was published", list(Level::Mistake))));
    };
    if checked.count(Level::Warning) > 0 && !consent.despite_warnings {
        let what = "nothing was published; --despite-warnings does it where they are right";
        return Err(Failed(format!("{}{what}", list(Level::Warning))));
    }
    let cards = bundle.cards();
    let Some(new) = cards.last() else { return Err(Failed("there is no card".to_owned())) };
    if new.effective_from <= rules.now && !consent.now_in_force {
        return Err(Failed(format!(
            "{}: effective_from {} is in the past: gateways that load it late would price by the card before it \
             until then. Set a later time, or say --now-in-force",
            card.name, new.effective_from
        )));
    }
    let before = cards.len().checked_sub(2).and_then(|index| cards.get(index));
    let revaluation = before.and_then(|before| revaluation(before, new));
    if let Some(what) = revaluation.as_ref().filter(|_| !consent.revalue_balances) {
        return Err(Failed(format!("{what}\nnothing was published; --revalue-balances is your consent")));
    }
    let effective_from = new.effective_from;
    folder.write("LOCK", &with_line(&folder.lock, &lock_entry(&card)))?;
    Ok(Published { card, effective_from, revaluation, checked })
}

/// What another `pax_usd` does to everybody; nothing where it is the same.
#[must_use]
pub fn revaluation(old: &RateCard, new: &RateCard) -> Option<String> {
    let units = |card: &RateCard| i128::try_from(card.pax_usd.picodollars()).unwrap_or(i128::MAX);
    let (before, after) = (units(old), units(new));
    if before == after {
        return None;
    }
    let worth = change(before, after).map_or_else(String::new, per_cent);
    let prices = change(after, before).map_or_else(String::new, per_cent);
    Some(format!(
        "pax_usd changes from {} to {} US dollars ({worth}). Every balance and every daily cap keeps its number of \
         PAX, and is worth {worth} in what it buys; a price that stays in dollars changes by {prices} in PAX. Entries \
         keep the card that priced them. To keep what customers can buy, grant or correct their balances",
        dollars(old.pax_usd),
        dollars(new.pax_usd)
    ))
}
