//! Explains what became of one request, for operators whom a caller asks about it.

use std::process::ExitCode;

use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::debit::frozen::Debit;
use serde_json::{Value, json};

use super::args::{Asked, Explain};
use super::{print, print_json};
use crate::book::Made;
use crate::calls_log::words::Words;
use crate::calls_log::{Found, Looked, print_out, print_out_beside_entry, print_out_code, search, tell};
use crate::cards::gather;
use crate::error::Error;
use crate::explain::{Explained, bill, explain, on_one_line, row};
use crate::listing;
use crate::server::embedded_bundle;
use crate::store::{EntryFilter, QuarantinedLine, Store, StoredCard, StoredEntry};

/// How many corrections of a call are shown, and the call itself.
const CORRECTIONS_SHOWN: u32 = 101;

pub(super) async fn run(store: &Store, options: Explain) -> Result<ExitCode, Error> {
    let Explain { asked, logs, json } = options;
    let (id, exchange) = match asked {
        Asked::Exchange(exchange) => (exchange.to_string(), Some(exchange)),
        Asked::Request(id) => (String::from_utf8_lossy(&id).into_owned(), None),
        Asked::Code(words) => {
            explain_code(words, json)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let filter = EntryFilter { exchange: Some(id.clone()), ..EntryFilter::default() };
    // The call's entry, and then its corrections.
    let mut snapshot = store.snapshot().await?;
    let entries = snapshot.entries(&filter, None, CORRECTIONS_SHOWN).await?;
    let quarantined = snapshot.quarantined_of(&id).await?;
    let cards = snapshot.cards().await?;
    drop(snapshot);
    let (found, looked) = search(&logs, &id);
    if !entries.is_empty() {
        return explain_entry((&id, &entries), &cards, found.as_ref(), json);
    }
    let Some(found) = found else { return Err(in_neither(&id, exchange, quarantined.as_ref(), &looked)) };
    let told = tell(&found.line, quarantined.as_ref());
    if !json {
        print(&print_out(&id, &found, &told))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (why, what_to_do) = (told.why.join(" "), told.what_to_do);
    explained(
        &id,
        json!({"call": found.line.value(), "found_in": found.log, "why": why, "what_to_do": what_to_do}),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn explain_entry(
    (id, entries): (&str, &[StoredEntry]),
    cards: &[StoredCard],
    found: Option<&Found>,
    json: bool,
) -> Result<ExitCode, Error> {
    let Some((entry, corrections)) = entries.split_first() else { return Ok(ExitCode::SUCCESS) };
    let built_in = embedded_bundle()?;
    let (bundle, _) = gather(&built_in, cards);
    let unreadable = |why: String| {
        Error::Operator(format!("the entry of exchange {id} cannot be read ({why}): run replay"))
    };
    let Explained { text, differences } = explain(entry, &bundle).map_err(unreadable)?;
    let better = corrections.iter().find_map(better);
    let code = if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if !json {
        print(&text)?;
        let corrections: Vec<_> = corrections.iter().map(correction).collect();
        if !corrections.is_empty() {
            print(&format!("\ncorrected since\n{}", corrections.join("\n")))?;
        }
        if let Some((number, better)) = &better {
            print(&format!("\nthe true debit, in entry {number}\n\n{}", bill(better, &bundle).join("\n")))?;
        }
        if let Some(found) = found {
            print(&format!("\n{}", print_out_beside_entry(found)))?;
        }
        return Ok(code);
    }
    let shown = |entry: &StoredEntry| -> Result<Value, Error> {
        let line = listing::json_line(entry).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_str(&line).map_err(|error| unreadable(error.to_string()))
    };
    let corrections: Vec<Value> = corrections.iter().map(shown).collect::<Result<_, _>>()?;
    explained(
        id,
        json!({
            "entry": shown(entry)?,
            "corrections": corrections,
            "bill": text.lines().collect::<Vec<_>>(),
            "differences": differences,
            "call": found.map(|found| found.line.value()),
            "found_in": found.map(|found| &found.log),
        }),
    )?;
    Ok(code)
}

/// The true debit of a call that was charged by an estimate, and the number of the correction that embeds it.
fn better(entry: &StoredEntry) -> Option<(i64, Debit)> {
    let Ok(Made::Correction(correction)) = Made::read(&entry.canonical) else { return None };
    Some((entry.account_seq, correction.better_debit()?.ok()?))
}

/// A correction on one line.
fn correction(entry: &StoredEntry) -> String {
    let (at, text) = match Made::read(&entry.canonical) {
        Ok(Made::Correction(it)) => {
            let (was, now, reason) = (it.was_pax, it.now_pax, on_one_line(&it.reason));
            (
                it.occurred_at.to_string(),
                format!("from {was} to {now} PAX by {}: {reason}", on_one_line(&it.by)),
            )
        }
        _ => ("?".to_owned(), "it cannot be read: run replay".to_owned()),
    };
    row(&format!("entry {}", entry.account_seq), format!("{at}, {text}"))
}

/// Prints an object that always has every key; what is not known is null.
fn explained(id: &str, known: Value) -> Result<(), Error> {
    let mut object = json!({
        "exchange_id": id, "entry": null, "corrections": [], "bill": null, "differences": [], "call": null, "found_in": null,
        "why": null, "what_to_do": [],
    });
    if let (Some(all), Value::Object(known)) = (object.as_object_mut(), known) {
        all.extend(known);
    }
    print_json(&mut std::io::stdout().lock(), &object)
}

pub(super) fn explain_code(words: &Words, json: bool) -> Result<(), Error> {
    let Words { code, why, what_to_do } = words;
    if json {
        let object = json!({"code": code, "why": why, "what_to_do": what_to_do});
        return print_json(&mut std::io::stdout().lock(), &object);
    }
    print(&print_out_code(words))
}

fn in_neither(
    id: &str,
    exchange: Option<ExchangeId>,
    quarantined: Option<&QuarantinedLine>,
    looked: &[Looked],
) -> Error {
    let mut text = format!("there is no entry of exchange {id} here");
    if let Some(QuarantinedLine { number, reason, message, .. }) = quarantined {
        text.push_str(&format!(
            ", but number {number} in quarantine names it ({reason}: {}): `pax-ledger quarantine list --json --bytes` shows it",
            crate::explain::on_one_line(message)
        ));
    }
    if looked.is_empty() {
        text.push_str(
            ". Either the call was not charged (it was refused, or the provider answered no 2xx): the calls log says why, name it \
             with --log FILE or PAX_CALLS_LOG. Or its debit still waits in Envoy (metric pax_outbox_waiting: try again), or this \
             is another gateway's ledger (--db)",
        );
        return Error::Operator(text);
    }
    text.push_str(", and no line of it in");
    for (Looked { log, lines }, index) in looked.iter().zip(0..) {
        let before = if index == 0 { " " } else { ", " };
        match lines {
            Ok(lines) => text.push_str(&format!("{before}{} ({lines} lines)", log.display())),
            Err(why) => text.push_str(&format!("{before}{} (cannot be read: {why})", log.display())),
        }
    }
    if let Some(exchange) = exchange {
        text.push_str(&format!(
            ". By its id the call began at {}: give --log the log of that time, such as calls.log.1, and of every Envoy that may \
             have had it. Envoy writes its lines after a moment: 10 s where --file-flush-interval-msec does not say otherwise",
            began(exchange)
        ));
    }
    Error::Operator(text)
}

/// When an exchange began: a UUIDv7 begins with its milliseconds since 1970.
fn began(exchange: ExchangeId) -> Moment {
    let digits: String = exchange.to_string().chars().filter(|digit| *digit != '-').take(12).collect();
    Moment::from_ms(u64::from_str_radix(&digits, 16).unwrap_or(0))
}
