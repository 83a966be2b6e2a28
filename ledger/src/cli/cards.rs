//! The rate cards that the ledger knows, for operators.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use pax_gateway::base::clock::Moment;
use pax_gateway::price::card::RateCard;
use serde::Serialize;

use super::acting::answer;
use super::args::Cards;
use super::{print, print_json, print_table, printing};
use crate::error::Error;
use crate::store::Store;

pub(super) async fn run(store: &Store, command: Cards) -> Result<ExitCode, Error> {
    match command {
        Cards::Add { files, acting } => {
            let mut texts = Vec::new();
            for file in &files {
                let text = std::fs::read_to_string(file);
                texts.push(
                    text.map_err(|why| Error::Io { doing: format!("reading {}", file.display()), why })?,
                );
            }
            let read: Vec<&str> = texts.iter().map(String::as_str).collect();
            let new = answer(crate::cards::add(store, &acting.act()?, &read).await?);
            let known = read.len() - new;
            print(&format!("learned {new} rate cards; {known} of these were known"))?;
        }
        Cards::List { json } => list(store, json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A card as JSON. The values of its file are null if this program cannot read it.
#[derive(Serialize)]
struct CardJson<'a> {
    rate_table_v: i64,
    effective_from: Option<Moment>,
    learned_at: Moment,
    sha256: &'a str,
    reason: Option<&'a str>,
}

async fn list(store: &Store, json: bool) -> Result<(), Error> {
    let cards = store.cards().await?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let head = ["version", "effective_from", "learned_at", "sha256", "reason"];
    let mut table = vec![head.map(str::to_owned)];
    for stored in &cards {
        let card = RateCard::parse(&stored.text).ok();
        let line = CardJson {
            rate_table_v: stored.version,
            effective_from: card.as_ref().map(|card| card.effective_from),
            learned_at: stored.learned_at,
            sha256: &stored.sha256,
            reason: card.as_ref().map(|card| card.reason.as_str()),
        };
        if json {
            print_json(&mut out, &line)?;
            continue;
        }
        table.push([
            line.rate_table_v.to_string(),
            line.effective_from.map_or_else(|| "?".to_owned(), |from| from.to_string()),
            line.learned_at.to_string(),
            line.sha256.to_owned(),
            line.reason.unwrap_or("cannot be read by this program").to_owned(),
        ]);
    }
    if json { out.flush().map_err(printing) } else { print_table(&table) }
}
