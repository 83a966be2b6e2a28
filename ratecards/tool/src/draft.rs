//! Starting the next card.

use std::ops::Range;

use pax_gateway::base::clock::Moment;
use pax_gateway::price::card::RateCard;
use pax_gateway::price::card_file::name_of;

use crate::Failed;
use crate::folder::{CardFile, Folder};
use crate::markup::{Marked, Markup};
use crate::order::{self, Dated};
use crate::spans;

const DAY_MS: u64 = 86_400_000;

/// What the operator said of the next card.
#[derive(Clone, Debug, Default)]
pub struct Next {
    /// Why prices change.
    pub reason: Option<String>,
    /// When it begins, as it is written into the card.
    pub effective: Option<String>,
    /// The card to start from.
    pub from: Option<String>,
    /// By how much its prices are raised.
    pub markup: Option<Markup>,
}

/// A draft that was started.
#[derive(Clone, Debug)]
pub struct Started {
    /// The draft.
    pub card: CardFile,
    /// When it begins.
    pub begins: Moment,
    /// The name of the card that it is a copy of.
    pub source: String,
    /// The name of the card that is in force when it begins: what it is to be compared with.
    pub replaces: Option<String>,
    /// Published cards that begin later: publishing the draft publishes them again behind it.
    pub later: Vec<String>,
    /// What a mark-up did, and whether the source's own reason speaks of one.
    pub marked: Option<(Marked, bool)>,
}

/// The next version from a card: its text with another version, time and reason, its prices raised if a
/// mark-up is asked for, and every other byte the same. It starts from the last card, or from the one in
/// force if the last card begins later than the new one.
///
/// # Errors
/// If a draft exists already, a card has a mistake, the time is before that of a card that has begun, or a
/// mark-up fits no model.
pub fn start(folder: &Folder, next: &Next, now: Moment) -> Result<Started, Failed> {
    if let Some(draft) = folder.draft() {
        let name = &draft.name;
        return Err(Failed(format!(
            "{name} is a draft already: publish it, or delete the file, and start again"
        )));
    }
    let Some(last) = folder.cards.last() else {
        return Err(Failed(format!("{} has no card to start from", folder.path.display())));
    };
    let parsed = parse(last)?;
    let cards = order::dated(folder);
    let effective = match &next.effective {
        Some(effective) => effective.clone(),
        None if parsed.effective_from > now => {
            return Err(Failed(format!(
                "{} is published and begins later, at {}: say with --effective when the new card begins",
                last.name, parsed.effective_from
            )));
        }
        // A whole day in which every gateway can load the card.
        None => format!("{}T00:00:00Z", now.plus_ms(DAY_MS).day().next()),
    };
    let begins: Moment =
        effective.parse().map_err(|error| Failed(format!("--effective {effective:?} {error}")))?;
    if let Some(begun) = order::in_force(&cards, now).filter(|begun| begins < begun.begins) {
        return Err(Failed(format!(
            "--effective {effective} is before {} took force, at {}: what was called since keeps its price; choose a \
             time from now on",
            begun.card.name, begun.begins
        )));
    }
    let replaces = order::in_force(&cards, begins).map(|card| card.card);
    let source = match &next.from {
        Some(called) => folder.card(called)?,
        None => replaces.unwrap_or(last),
    };
    let version =
        parsed.version.0.checked_add(1).ok_or_else(|| Failed("there is no further version".to_owned()))?;
    let reason = reason(next, parse(source)?.version.0)?;
    let mut card = renumbered(source, version, Some(&effective), &reason)?;
    let mut marked = None;
    if let Some(markup) = &next.markup {
        let (text, done) = markup.apply(&card.text)?;
        let again = parse(source)?.reason.contains("mark-up of ");
        (card.text, marked) = (text, Some((done, again)));
        parse(&card)?;
    }
    let with_it: Vec<Dated<'_>> = cards.iter().copied().chain([Dated { card: &card, begins }]).collect();
    let later = order::overtaken(&with_it).iter().map(|later| later.card.name.clone()).collect();
    let (source, replaces) = (source.name.clone(), replaces.map(|card| card.name.clone()));
    Ok(Started { card, begins, source, replaces, later, marked })
}

/// What the draft's `reason` says: the operator's words, and the mark-up.
fn reason(next: &Next, source: u32) -> Result<String, Failed> {
    let said = next.reason.as_deref().map(str::trim);
    let marked = next.markup.as_ref().map(|markup| markup.said(source));
    match (said, marked) {
        (Some(""), _) => Err(Failed("--reason is empty: say in one line why prices change".to_owned())),
        (Some(said), Some(marked)) => Ok(format!("{said} ({marked})")),
        (Some(said), None) => Ok(said.to_owned()),
        (None, Some(marked)) => Ok(marked),
        (None, None) => Err(Failed("say with --reason in one line why prices change".to_owned())),
    }
}

/// A card's text under another version and reason, and another time if one is given; every other byte is the same.
pub(crate) fn renumbered(
    source: &CardFile,
    version: u32,
    effective: Option<&str>,
    reason: &str,
) -> Result<CardFile, Failed> {
    let text = spans::read(&source.text);
    let mut edits = Edits::default();
    for (key, new) in [
        ("rate_table_v", Some(version.to_string())),
        ("effective_from", effective.map(quoted)),
        ("reason", Some(quoted(reason))),
    ] {
        let value = text.as_ref().and_then(|text| text.get(key));
        let value = value.ok_or_else(|| Failed(format!("{} has no {key}", source.name)))?;
        if let Some(new) = new {
            edits.replace(value.span.clone(), new);
        }
    }
    let text = edits.apply(&source.text);
    let card = CardFile { name: name_of(version), version: Some(version), text };
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
    /// Puts another text in the place of a range; if the range is empty, the text is inserted there.
    pub fn replace(&mut self, span: Range<usize>, new: String) {
        self.0.push((span, new));
    }

    /// The changed text.
    #[must_use]
    pub fn apply(mut self, text: &str) -> String {
        // From the end, so that earlier places stay; of two insertions at one place the one that was given
        // first comes first.
        self.0.reverse();
        self.0.sort_by_key(|(span, _)| std::cmp::Reverse((span.start, span.end)));
        let mut text = text.to_owned();
        for (span, new) in self.0 {
            text.replace_range(span, &new);
        }
        text
    }
}
