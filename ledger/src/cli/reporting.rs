//! Prints reports, for operators.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::accounts::no_account;
use super::args::Reporting;
use super::entries::csv_printing;
use super::{csv_writer, print_table_of_numbers, printing};
use crate::error::Error;
use crate::explain::on_one_line;
use crate::listing::defused;
use crate::report::{Dimension, Line, report};
use crate::server::embedded_bundle;
use crate::store::{EntryFilter, Store};

/// The columns after the dimensions, as JSON and CSV have them.
const COUNTS: [&str; 9] = [
    "calls",
    "tokens_input",
    "tokens_cached_input",
    "tokens_output",
    "cost_pax",
    "cost_usd",
    "estimated_calls",
    "estimated_pax",
    "estimated_share",
];

/// How a report is written.
enum Writer<W: Write> {
    Table(Vec<Vec<String>>),
    Csv(Box<csv::Writer<W>>),
    Json(W),
}

pub(super) async fn run(store: &Store, options: Reporting) -> Result<ExitCode, Error> {
    let by = options.by;
    if let Some(twice) =
        by.iter().enumerate().find(|(index, it)| by.iter().take(*index).any(|other| other == *it))
    {
        let name = twice.1.name();
        return Err(Error::Operator(format!("--by names {name} twice; name each dimension once")));
    }
    let mut snapshot = store.snapshot().await?;
    if let Some(name) = &options.account
        && snapshot.account(name).await?.is_none()
    {
        return Err(no_account(name));
    }
    let (from, to) = options.time.moments()?;
    let filter = EntryFilter { account: options.account, from, to, ..EntryFilter::default() };
    let out = BufWriter::new(std::io::stdout().lock());
    let mut writer = match (options.csv, options.json) {
        (true, _) => Writer::Csv(Box::new(csv_writer(out))),
        (_, true) => Writer::Json(out),
        _ => Writer::Table(Vec::new()),
    };
    writer.begin(&by)?;
    let total = report(&mut snapshot, &*embedded_bundle()?, &by, &filter, &mut |line| {
        writer.line("group", &by, line)
    })
    .await?;
    writer.line("total", &by, &total)?;
    writer.end(by.len())?;
    Ok(ExitCode::SUCCESS)
}

impl<W: Write> Writer<W> {
    fn begin(&mut self, by: &[Dimension]) -> Result<(), Error> {
        let dimensions = by.iter().map(|dimension| dimension.name());
        match self {
            Self::Table(rows) => {
                let counts = ["calls", "input", "cached", "output", "cost_pax", "cost_usd", "estimated"];
                rows.push(
                    table_names(by.is_empty()).chain(dimensions).chain(counts).map(str::to_owned).collect(),
                );
                Ok(())
            }
            Self::Csv(csv) => {
                csv.write_record(["row"].into_iter().chain(dimensions).chain(COUNTS)).map_err(csv_printing)
            }
            Self::Json(_) => Ok(()),
        }
    }

    /// Writes one line. `row`: whether it is a group's line or the total's.
    fn line(&mut self, row: &str, by: &[Dimension], line: &Line) -> Result<(), Error> {
        // The total has no keys.
        let keys = by.iter().enumerate().map(|(index, _)| line.keys.get(index).cloned().flatten());
        match self {
            Self::Table(rows) => {
                let mut cells: Vec<String> =
                    keys.map(|key| key.map_or_else(|| "-".to_owned(), |key| on_one_line(&key))).collect();
                if row == "total" {
                    cells = by.iter().map(|_| String::new()).collect();
                    match cells.first_mut() {
                        Some(first) => "total".clone_into(first),
                        None => cells.push("total".to_owned()),
                    }
                }
                rows.push(cells.into_iter().chain(table_counts(line)).collect());
                Ok(())
            }
            Self::Csv(csv) => {
                let keys = keys.map(|key| defused(key.unwrap_or_default()));
                let counts = counts(line).map(|count| match count {
                    Value::Null => String::new(),
                    Value::String(text) => text,
                    other => other.to_string(),
                });
                csv.write_record([row.to_owned()].into_iter().chain(keys).chain(counts)).map_err(csv_printing)
            }
            Self::Json(out) => {
                let mut object = Map::new();
                object.insert("row".to_owned(), json!(row));
                for (dimension, key) in by.iter().zip(keys) {
                    object.insert(dimension.name().to_owned(), json!(key));
                }
                for (name, count) in COUNTS.into_iter().zip(counts(line)) {
                    object.insert(name.to_owned(), count);
                }
                super::print_json(out, &object)
            }
        }
    }

    fn end(self, dimensions: usize) -> Result<(), Error> {
        match self {
            Self::Table(rows) => print_table_of_numbers(&rows, dimensions.max(1)),
            Self::Csv(mut csv) => csv.flush().map_err(printing),
            Self::Json(mut out) => out.flush().map_err(printing),
        }
    }
}

/// If there is no dimension, a table gets a first column for the word `total`.
fn table_names(no_dimension: bool) -> impl Iterator<Item = &'static str> {
    no_dimension.then_some("").into_iter()
}

fn table_counts(line: &Line) -> [String; 7] {
    let counts = &line.counts;
    let share = counts
        .estimated_share()
        .map_or_else(|| "-".to_owned(), |share| format!("{}.{:02}%", share / 100, share % 100));
    [
        counts.calls.to_string(),
        counts.input.to_string(),
        counts.cached.to_string(),
        counts.output.to_string(),
        counts.cost.to_string(),
        line.dollars.map_or_else(|| "?".to_owned(), |dollars| dollars.to_string()),
        share,
    ]
}

/// The counts, in the order of [`COUNTS`]; amounts and shares as texts.
fn counts(line: &Line) -> [Value; 9] {
    let counts = &line.counts;
    let share = counts.estimated_share().map(|share| format!("{}.{:04}", share / 10_000, share % 10_000));
    [
        json!(counts.calls),
        whole(counts.input),
        whole(counts.cached),
        whole(counts.output),
        json!(counts.cost),
        json!(line.dollars.map(|dollars| dollars.to_string())),
        json!(counts.estimated_calls),
        json!(counts.estimated),
        json!(share),
    ]
}

/// A whole number; as a text if it has more than 64 bits, which other programs do not read as a number.
fn whole(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| json!(number.to_string()), |number| json!(number))
}
