//! What operators did, for operators: the newest first, page by page.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use pax_gateway::base::clock::{Moment, UtcDay};
use serde_json::{Map, Value as Json};

use super::accounts::no_account;
use super::args::OperatorLog;
use super::{print_json, print_table, printing};
use crate::book::{OPERATOR_COLUMNS, StoredRow, Value, differing};
use crate::error::Error;
use crate::explain::on_one_line;
use crate::store::{OperatorFilter, Store};

const PAGE_ROWS: u32 = 500;
/// The columns that are JSON.
const JSON: [&str; 3] = ["before", "after", "reply"];

pub(super) async fn run(store: &Store, options: OperatorLog) -> Result<ExitCode, Error> {
    if let Some(name) = &options.account
        && store.account(name).await?.is_none()
    {
        return Err(no_account(name));
    }
    let filter = OperatorFilter { account: options.account, since: options.since.map(UtcDay::start) };
    let limit = options.limit.unwrap_or(u64::MAX);
    if options.json {
        let mut out = BufWriter::new(std::io::stdout().lock());
        each(store, &filter, limit, |row| print_json(&mut out, &as_json(row))).await?;
        out.flush().map_err(printing)?;
    } else {
        let head = ["seq", "at", "by", "action", "subject", "key", "reason", "change"];
        let mut table = vec![head.map(str::to_owned)];
        each(store, &filter, limit, |row| {
            table.push(cells(row));
            Ok(())
        })
        .await?;
        print_table(&table)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn each(
    store: &Store,
    filter: &OperatorFilter,
    limit: u64,
    mut tell: impl FnMut(&StoredRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut left, mut before) = (limit, i64::MAX);
    while left > 0 {
        let wanted = u32::try_from(left).map_or(PAGE_ROWS, |left| left.min(PAGE_ROWS));
        let page = store.operator_rows(filter, before, wanted).await?;
        let Some(last) = page.last() else { break };
        before = last.seq;
        for row in &page {
            tell(row)?;
            left = left.saturating_sub(1);
        }
    }
    Ok(())
}

/// A row as JSON: its number, its columns, its hashes.
fn as_json(row: &StoredRow) -> Json {
    let mut object = Map::new();
    object.insert("seq".to_owned(), row.seq.into());
    for (name, value) in OPERATOR_COLUMNS.iter().zip(&row.columns) {
        let value = match (*name, value) {
            ("at", Value::Int(ms)) => at(*ms).to_string().into(),
            (_, Value::Int(number)) => (*number).into(),
            (name, Value::Text(text)) if JSON.contains(&name) => json(text),
            (_, Value::Text(text)) => text.as_str().into(),
            (_, Value::Null | Value::Alien) => Json::Null,
        };
        object.insert((*name).to_owned(), value);
    }
    object.insert("prev_hash".to_owned(), row.prev_hash.as_str().into());
    object.insert("row_hash".to_owned(), row.row_hash.as_str().into());
    Json::Object(object)
}

fn cells(row: &StoredRow) -> [String; 8] {
    let text = |name| row.text(name).map_or_else(|| "-".to_owned(), on_one_line);
    let moment = match row.column("at") {
        Some(Value::Int(ms)) => at(*ms).to_string(),
        _ => "?".to_owned(),
    };
    [
        row.seq.to_string(),
        moment,
        text("by"),
        text("action"),
        text("subject"),
        text("key"),
        text("reason"),
        change(row),
    ]
}

/// What the action changed of a state that was there before; all that is there after it, if there was nothing.
fn change(row: &StoredRow) -> String {
    let after = json(row.text("after").unwrap_or("null"));
    let Some(before) = row.text("before") else {
        return on_one_line(&after.to_string());
    };
    let before = json(before);
    let fields = differing(&before, &after);
    let fields: Vec<String> = fields.iter().map(|(name, was, is)| format!("{name} {was} -> {is}")).collect();
    if fields.is_empty() { "none".to_owned() } else { on_one_line(&fields.join(", ")) }
}

/// JSON; a text that was changed by hand and is none is shown as a text.
fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|_| Json::from(text))
}

fn at(ms: i64) -> Moment {
    Moment::from_ms(u64::try_from(ms).unwrap_or(0))
}
