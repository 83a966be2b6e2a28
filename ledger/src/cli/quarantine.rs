//! The quarantine, for operators.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::acting::answer;
use super::args::Acting;
use super::{Quarantine, print, print_table, printing};
use crate::error::Error;
use crate::explain::on_one_line;
use crate::store::{Marked, QuarantinedLine, Store};

const PAGE_LINES: u32 = 500;

pub(super) async fn run(store: &Store, command: Quarantine) -> Result<ExitCode, Error> {
    match command {
        Quarantine::List { unseen, json: true, bytes } => list_json(store, unseen, bytes).await?,
        Quarantine::List { unseen, .. } => list(store, unseen).await?,
        Quarantine::Seen { numbers, all, acting } => {
            let numbers = if all { None } else { Some(numbers.as_slice()) };
            mark(store, numbers, acting).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &Store, unseen: bool) -> Result<(), Error> {
    let head = ["number", "received_at", "reason", "exchange", "message", "sha256", "seen"];
    let mut table = vec![head.map(str::to_owned)];
    each(store, unseen, false, |line| {
        table.push([
            line.number.to_string(),
            line.received_at.to_string(),
            line.reason,
            line.exchange_id.unwrap_or_else(|| "-".to_owned()),
            // A message may contain text that a stranger sent.
            on_one_line(&line.message),
            line.sha256,
            line.seen.map_or_else(|| "-".to_owned(), |seen| format!("{} by {}", seen.at, seen.by)),
        ]);
        Ok(())
    })
    .await?;
    print_table(&table)
}

async fn list_json(store: &Store, unseen: bool, bytes: bool) -> Result<(), Error> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    each(store, unseen, bytes, |line| writeln!(out, "{}", as_json(line)).map_err(printing)).await?;
    out.flush().map_err(printing)
}

fn as_json(line: QuarantinedLine) -> Value {
    let seen = line.seen.map(|seen| json!({"at": seen.at, "by": seen.by, "reason": seen.because}));
    let mut object = json!({
        "number": line.number,
        "received_at": line.received_at,
        "reason": line.reason,
        "exchange_id": line.exchange_id,
        "message": line.message,
        "sha256": line.sha256,
        "seen": seen,
    });
    if let (Some(bytes), Some(fields)) = (line.bytes, object.as_object_mut()) {
        let (name, text) = match String::from_utf8(bytes) {
            Ok(text) => ("bytes", text),
            Err(none) => ("bytes_hex", none.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()),
        };
        fields.insert(name.to_owned(), Value::String(text));
    }
    object
}

/// Goes through the quarantine page by page.
async fn each(
    store: &Store,
    unseen: bool,
    bytes: bool,
    mut tell: impl FnMut(QuarantinedLine) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = i64::MIN;
    loop {
        let page = store.quarantine(after, PAGE_LINES, bytes).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.number;
        for line in page.into_iter().filter(|line| !unseen || line.seen.is_none()) {
            tell(line)?;
        }
    }
}

async fn mark(store: &Store, numbers: Option<&[i64]>, acting: Acting) -> Result<(), Error> {
    match store.mark_seen(&acting.act()?, numbers).await?.map(answer) {
        Ok(Marked { new, known: 0 }) => print(&format!("marked {new} as seen")),
        Ok(Marked { new, known }) => print(&format!("marked {new} as seen; {known} of these were already")),
        Err(number) => Err(Error::Operator(format!(
            "nothing is marked: there is no number {number} in quarantine; `pax-ledger quarantine list` shows the numbers"
        ))),
    }
}
