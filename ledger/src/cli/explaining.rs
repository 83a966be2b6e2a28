//! One entry's bill, for operators and for the caller who disputes it.

use std::process::ExitCode;

use pax_gateway::exchange_id::ExchangeId;

use super::print;
use crate::cards;
use crate::error::Error;
use crate::explain::explain;
use crate::server::embedded_bundle;
use crate::store::{EntryFilter, Store};

pub(super) async fn run(store: &Store, exchange: ExchangeId) -> Result<ExitCode, Error> {
    let filter = EntryFilter { exchange: Some(exchange.to_string()), ..EntryFilter::default() };
    let entries = store.entries(&filter, None, 1).await?;
    let Some(entry) = entries.first() else {
        return Err(Error::Operator(format!(
            "there is no entry of exchange {exchange} here. Either the call was not charged (it was refused, or the provider \
             answered no 2xx), or its debit still waits in Envoy (metric pax_outbox_waiting: try again), or it is in \
             quarantine (`pax-ledger quarantine list`), or this is another gateway's ledger (--db)"
        )));
    };
    let built_in = embedded_bundle()?;
    let (bundle, _) = cards::gather(&built_in, &store.snapshot().await?.cards().await?);
    let bill = explain(entry, &bundle).map_err(|why| {
        Error::Operator(format!("the entry of exchange {exchange} cannot be read ({why}): run replay"))
    })?;
    print(&bill.text)?;
    Ok(if bill.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
