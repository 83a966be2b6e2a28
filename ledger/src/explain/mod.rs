//! Writes one entry's bill, line by line, so that a caller who disputes it, or the operator who answers, can
//! make it again with a pocket calculator.

mod counts;
mod dollars;
mod price;
mod words;

use pax_gateway::base::text::steers_terminal;
use pax_gateway::debit::frozen::Debit;
use pax_gateway::price::bundle::Bundle;

use crate::book::{Entry, Posting, TooLarge, Value};
use crate::store::StoredEntry;

/// An entry's bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The print-out.
    pub text: String,
    /// The figures that come out differently when they are made again; empty if there are none.
    pub differences: Vec<String>,
}

/// The bill of an entry.
///
/// # Errors
/// If its canonical bytes are no debit: the database was changed by hand, or they are of a version that this
/// program does not read.
pub fn explain(entry: &StoredEntry, bundle: &Bundle) -> Result<Explained, String> {
    let debit = Debit::from_canonical(&entry.canonical).map_err(|bad| bad.to_string())?;
    let differences = differences(entry, &debit, bundle);
    let mut lines = call(&debit);
    lines.extend(posted(entry));
    lines.push(String::new());
    lines.extend(bill(&debit, bundle));
    lines.push(String::new());
    lines.extend(proof(entry, &debit, &differences));
    Ok(Explained { text: lines.join("\n"), differences })
}

/// What a debit counts, and what that costs.
pub(crate) fn bill(debit: &Debit, bundle: &Bundle) -> Vec<String> {
    let card = bundle.files().find(|(card, _)| card.sha256 == debit.card_sha256);
    let model = card.and_then(|(card, _)| card.models.get(&debit.model));
    let model = model.filter(|model| model.mode == debit.mode);
    let mut lines = counts::lines(debit, model);
    lines.push(String::new());
    lines.extend(price::lines(debit, card, model));
    lines
}

/// A line with its name in front.
pub(crate) fn row(name: &str, text: impl std::fmt::Display) -> String {
    format!("  {name:<16}  {text}")
}

/// A foreign text on one line. Callers and providers may send control characters, and a terminal obeys them.
pub(crate) fn on_one_line(text: &str) -> String {
    text.chars().map(|char| if steers_terminal(char) { ' ' } else { char }).collect()
}

/// What was called, and how it went.
fn call(debit: &Debit) -> Vec<String> {
    let streamed = if debit.stream { ", streamed" } else { "" };
    let (model, slot) = (on_one_line(&debit.model), on_one_line(&debit.slot));
    let mut lines = vec![
        format!("exchange {}", debit.exchange_id),
        row("account", format!("{}, token {}", debit.account, debit.token_id)),
        row("called", format!("{model}: {}{streamed}, slot {slot}", words::mode(debit.mode))),
    ];
    if let Some(asked) = &debit.asked_model {
        lines.push(row("asked for as", on_one_line(asked)));
    }
    let answers = debit.n.filter(|n| *n > 1).map(|n| format!("{n} answers"));
    let maximum = debit.stated_maximum.map(|most| format!("at most {most} tokens in each answer"));
    let asked: Vec<_> = answers.into_iter().chain(maximum).collect();
    if !asked.is_empty() {
        lines.push(row("asked for", asked.join(", ")));
    }
    let status = debit.upstream_status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    lines.push(row("served by", format!("{}, status {status}", debit.provider)));
    let ids = [("answer", &debit.response_id), ("request", &debit.provider_request_id)];
    let ids: Vec<_> = ids
        .into_iter()
        .filter_map(|(what, id)| Some(format!("{} of the {what}", on_one_line(id.as_deref()?))))
        .collect();
    if !ids.is_empty() {
        lines.push(row("provider's ids", ids.join(", ")));
    }
    if let Some(hold) = &debit.hold_id {
        lines.push(row("hold", hold));
    }
    lines.push(row("ended", words::ending(debit.ending)));
    let (began, settled) = (debit.occurred_at, debit.settled_at);
    lines.push(row("time", format!("began {began}, settled {settled}; counts on {} (UTC)", debit.utc_day)));
    if let Some(duration_ms) = debit.duration_ms {
        let first = debit.first_byte_ms;
        let first = first.map_or_else(|| "no byte came".to_owned(), |ms| format!("first byte after {ms} ms"));
        lines.push(row("took", format!("{duration_ms} ms, {first}")));
    }
    lines.extend(debit.flags.iter().map(|flag| {
        let (name, meaning) = words::flag(*flag);
        row("flag", format!("{name}: {meaning}"))
    }));
    lines
}

/// What the entry's posting says of the hold that it has posted.
fn posted(entry: &StoredEntry) -> Option<String> {
    let hold = Posting::read(entry.posting.as_deref()?).ok()?.hold?;
    let late = if hold.late { ", which had ended before this debit came" } else { "" };
    let overrun = if hold.overrun { "; the call cost more" } else { "" };
    Some(row("set aside", format!("{} PAX{late}{overrun}", hold.held_pax)))
}

/// The figures that come out differently when they are made again from the entry alone.
fn differences(entry: &StoredEntry, debit: &Debit, bundle: &Bundle) -> Vec<String> {
    let mut found = Vec::new();
    if let Err(bad) = debit.prove(bundle) {
        found.push(bad.to_string());
    }
    let hash = entry.hash();
    if hash.to_string() != entry.entry_hash {
        found.push(format!("its hash is {}, but what it holds makes {hash}", entry.entry_hash));
    }
    let mut kept = entry.columns.iter();
    let mut fits = true;
    let said = Entry::Debit(debit).each_column(|column| {
        fits &= kept.next().map(Value::borrowed) == Some(column);
        Ok::<_, TooLarge>(())
    });
    if said.is_err() || !fits || kept.next().is_some() {
        found.push("a column of its row differs from the debit that was recorded".to_owned());
    }
    found
}

fn proof(entry: &StoredEntry, debit: &Debit, differences: &[String]) -> Vec<String> {
    let Debit { canon_v, account, .. } = debit;
    let place = format!(
        "number {} of account {account}, version {canon_v}, hash {}",
        entry.account_seq, entry.entry_hash
    );
    let mut lines = vec!["proof".to_owned(), row("entry", place)];
    if differences.is_empty() {
        let again = "counted, priced and hashed again from this entry and its rate card: the same";
        lines.push(row("made again", again));
    } else {
        lines.push(row("made again", "DOES NOT PROVE ITSELF: `pax-ledger replay` checks the whole ledger"));
        lines.extend(differences.iter().map(|what| row("", on_one_line(what))));
    }
    lines
}
