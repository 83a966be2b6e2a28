//! Entries, for operators: page by page, so that memory does not grow with them.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use super::accounts::no_account;
use super::args::{Entries, KindName};
use super::{csv_writer, printing};
use crate::error::Error;
use crate::listing::{self, OPERATOR_COLUMNS};
use crate::store::{EntryFilter, Store, StoredEntry};

const PAGE_ENTRIES: u32 = 500;

pub(super) async fn run(store: &Store, options: Entries) -> Result<ExitCode, Error> {
    if let Some(name) = &options.account
        && store.account(name).await?.is_none()
    {
        return Err(no_account(name));
    }
    let (from, to) = options.time.moments()?;
    let filter = EntryFilter {
        account: options.account,
        exchange: options.exchange.map(|id| id.to_string()),
        kind: options.kind.map(KindName::column),
        since: options.since,
        until: options.until,
        from,
        to,
        order: options.order.into(),
    };
    let out = BufWriter::new(std::io::stdout().lock());
    let limit = options.limit.unwrap_or(u64::MAX);
    if options.csv {
        let mut out = csv_writer(out);
        out.write_record(OPERATOR_COLUMNS.iter()).map_err(csv_printing)?;
        each(store, &filter, limit, |entry| {
            let cells = listing::operator_cells(entry).map_err(|error| unreadable(entry, &error))?;
            out.write_record(cells).map_err(csv_printing)
        })
        .await?;
        out.flush().map_err(printing)?;
    } else {
        let mut out = out;
        each(store, &filter, limit, |entry| {
            let line = listing::json_line(entry).map_err(|error| unreadable(entry, &error))?;
            writeln!(out, "{line}").map_err(printing)
        })
        .await?;
        out.flush().map_err(printing)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn each(
    store: &Store,
    filter: &EntryFilter,
    limit: u64,
    mut tell: impl FnMut(&StoredEntry) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut left = limit;
    let mut list = store.list().await?;
    let mut last: Option<StoredEntry> = None;
    while left > 0 {
        let wanted = u32::try_from(left).map_or(PAGE_ENTRIES, |left| left.min(PAGE_ENTRIES));
        let page = list.page(filter, last.as_ref(), wanted).await?;
        for entry in &page {
            tell(entry)?;
            left = left.saturating_sub(1);
        }
        last = match page.into_iter().last() {
            Some(entry) => Some(entry),
            None => break,
        };
    }
    Ok(())
}

fn unreadable(entry: &StoredEntry, error: &serde_json::Error) -> Error {
    let number = entry.account_seq;
    Error::Operator(format!("entry number {number} of an account is unreadable ({error}): run replay"))
}

pub(super) fn csv_printing(error: csv::Error) -> Error {
    printing(std::io::Error::from(error))
}
