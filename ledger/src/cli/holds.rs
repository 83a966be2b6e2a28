//! Holds, for operators.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use pax_gateway::debit::frozen::Debit;
use serde_json::json;

use super::acting::answer;
use super::args::Holds;
use super::{print, print_table, printing};
use crate::error::Error;
use crate::explain::on_one_line;
use crate::store::{HoldFilter, HoldRow, Store};

const PAGE_HOLDS: u32 = 500;

pub(super) async fn run(store: &Store, command: Holds) -> Result<ExitCode, Error> {
    match command {
        Holds::List { account, lapsed, json } => {
            let filter = HoldFilter { account, expired_only: lapsed };
            if json { list_json(store, &filter).await? } else { list(store, &filter).await? }
        }
        Holds::Void { exchange, acting } => {
            let ended = answer(store.void_hold(&acting.act()?, exchange).await?);
            print(&format!(
                "voided the hold of {exchange} for {} PAX of account {}: if its call's debit comes, it is charged",
                ended.amount_pax, ended.account
            ))?;
        }
        Holds::Charge { exchange, acting } => {
            let ended = answer(store.charge_hold(&acting.act()?, exchange).await?);
            print(&format!(
                "charged account {} {} PAX for the call {exchange}: if its true debit comes, it corrects that; `correct` \
                 changes it by hand",
                ended.account, ended.amount_pax
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &Store, filter: &HoldFilter) -> Result<(), Error> {
    let head = ["exchange", "account", "state", "held", "made_at", "envoy", "model", "charge"];
    let mut table = vec![head.map(str::to_owned)];
    each(store, filter, |row| {
        let lost = lost(&row);
        table.push([
            row.exchange_id,
            row.account,
            row.state.name().to_owned(),
            row.held_pax.to_string(),
            row.made_at.to_string(),
            row.envoy,
            lost.as_ref().map_or_else(|| "?".to_owned(), |debit| on_one_line(&debit.model)),
            lost.map_or_else(|| "?".to_owned(), |debit| debit.cost_pax.to_string()),
        ]);
        Ok(())
    })
    .await?;
    print_table(&table)
}

async fn list_json(store: &Store, filter: &HoldFilter) -> Result<(), Error> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    each(store, filter, |row| {
        let lost = lost(&row);
        let object = json!({
            "exchange_id": row.exchange_id,
            "account": row.account,
            "token_id": row.token_id,
            "utc_day": row.utc_day,
            "tier": row.tier,
            "state": row.state.name(),
            "held_pax": row.held_pax,
            "made_at": row.made_at,
            "ended_at": row.ended_at,
            "envoy": row.envoy,
            "model": lost.as_ref().map(|debit| &debit.model),
            "slot": lost.as_ref().map(|debit| &debit.slot),
            "rate_table_v": lost.as_ref().map(|debit| debit.rate_table_v),
            "charge_pax": lost.as_ref().map(|debit| debit.cost_pax),
        });
        writeln!(out, "{object}").map_err(printing)
    })
    .await?;
    out.flush().map_err(printing)
}

/// What the call is charged with if it is lost; none if that cannot be read.
fn lost(row: &HoldRow) -> Option<Debit> {
    Debit::from_canonical(row.lost.as_deref()?).ok()
}

async fn each(
    store: &Store,
    filter: &HoldFilter,
    mut show: impl FnMut(HoldRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = store.holds(filter, &after, PAGE_HOLDS).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.exchange_id);
        page.into_iter().try_for_each(&mut show)?;
    }
}
