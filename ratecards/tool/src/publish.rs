//! Publishing the draft, and what the operator must agree to before.
//!
//! If a correction begins before a card that is published already, that card would never come into force. So
//! publishing the correction publishes the later card once more, behind the correction, in the same step.

use pax_gateway::base::clock::Moment;
use pax_gateway::price::card::RateCard;
use pax_gateway::price::card_file::LOCK;

use crate::Failed;
use crate::check::{self, Checked, Level, Rules, with_line};
use crate::decimal::{change, dollars, per_cent};
use crate::draft::{parse, renumbered};
use crate::folder::{CardFile, Folder, lock_entry};
use crate::order::{self, Dated};

/// What the operator said about publishing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent {
    /// A card may be in force from the past on.
    pub now_in_force: bool,
    /// `pax_usd` may change.
    pub revalue_balances: bool,
    /// Warnings are known.
    pub despite_warnings: bool,
    /// Cards that begin later than this one need not come into force.
    pub drop_later: bool,
}

/// What publishing did.
#[derive(Clone, Debug)]
pub struct Published {
    /// The card.
    pub card: CardFile,
    /// When it takes force.
    pub effective_from: Moment,
    /// Cards that begin later, published again behind it: the new name and the one before.
    pub again: Vec<(String, String)>,
    /// What a changed `pax_usd` does.
    pub revaluation: Option<String>,
    /// What the check found besides.
    pub checked: Checked,
}

/// Locks the draft.
///
/// # Errors
/// If there is no draft, something is wrong with the folder, or a consent is missing. Nothing is written
/// then.
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
    let Some(new) = bundle.cards().last() else { return Err(Failed("there is no card".to_owned())) };
    if new.effective_from <= rules.now && !consent.now_in_force {
        return Err(Failed(format!(
            "{}: effective_from {} is in the past: gateways that load it late would price by the card before it \
             until then. Set a later time, or say --now-in-force",
            card.name, new.effective_from
        )));
    }
    let dated = order::dated(folder);
    let (_, older) = dated.split_last().ok_or_else(|| Failed("there is no card".to_owned()))?;
    let before = order::in_force(older, new.effective_from).map(|before| parse(before.card)).transpose()?;
    let revaluation = before.and_then(|before| revaluation(&before, new));
    if let Some(what) = revaluation.as_ref().filter(|_| !consent.revalue_balances) {
        return Err(Failed(format!("{what}\nnothing was published; --revalue-balances is your consent")));
    }
    let effective_from = new.effective_from;
    let overtaken = if consent.drop_later { Vec::new() } else { order::overtaken(&dated) };
    let again = again(&card, new.version.0, &overtaken)?;
    let mut lock = with_line(&folder.lock, &lock_entry(&card));
    for (card, _) in &again {
        folder.write(&card.name, &card.text)?;
        lock = with_line(&lock, &lock_entry(card));
    }
    // All at once: no reader of the folder finds the correction without the cards that it overtakes.
    folder.write(LOCK, &lock)?;
    let again = again.into_iter().map(|(card, of)| (card.name, of)).collect();
    Ok(Published { card, effective_from, again, revaluation, checked })
}

/// The cards that a draft overtakes, under versions behind it: each text as it was published, with its own time.
fn again(draft: &CardFile, version: u32, overtaken: &[Dated<'_>]) -> Result<Vec<(CardFile, String)>, Failed> {
    let mut cards = Vec::new();
    for (card, version) in overtaken.iter().map(|dated| dated.card).zip(version.saturating_add(1)..) {
        let reason =
            format!("{} ({} again, behind {})", parse(card)?.reason, stem(&card.name), stem(&draft.name));
        cards.push((renumbered(card, version, None, &reason)?, card.name.clone()));
    }
    Ok(cards)
}

fn stem(name: &str) -> &str {
    name.trim_end_matches(".json")
}

/// What another `pax_usd` does to everybody; nothing if it is the same.
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
