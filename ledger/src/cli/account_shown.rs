//! Shows one account with all that an operator asks about it, as it is at one moment.

use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::pax::Pax;
use pax_gateway::price::card::RateTableVersion;
use serde::Serialize;

use super::accounts::{AccountJson, no_account, status_text};
use super::tokens::{TokenJson, state};
use super::{print, print_json};
use crate::book::Sum;
use crate::cards;
use crate::error::Error;
use crate::explain::{on_one_line, row};
use crate::now;
use crate::server::embedded_bundle;
use crate::store::{AccountRow, LastEntry, Store, TokenRow};

/// What an account may spend today and has spent, beside the columns of its row.
#[derive(Serialize)]
struct Today {
    utc_day: UtcDay,
    spent_today_pax: Sum,
    /// The cap that holds; null if the balance is the only limit.
    cap_today_pax: Option<Pax>,
    remaining_today_pax: Option<Pax>,
    resets_at: Moment,
    /// The card in force; null if none is.
    rate_table_v: Option<RateTableVersion>,
}

#[derive(Serialize)]
struct ShownJson<'a> {
    #[serde(flatten)]
    account: AccountJson<'a>,
    #[serde(flatten)]
    today: &'a Today,
    last_entry_recorded_at: Option<Moment>,
    last_exchange_id: Option<&'a str>,
    tokens: Vec<TokenJson<'a>>,
}

pub(super) async fn run(store: &Store, name: &str, json: bool) -> Result<(), Error> {
    let now = now();
    let built_in = embedded_bundle()?;
    let mut snapshot = store.snapshot().await?;
    let Some(account) = snapshot.account(name).await? else { return Err(no_account(name)) };
    let spent = snapshot.spent(name, now.day()).await?;
    let last = snapshot.last_entry(name).await?;
    let tokens = snapshot.tokens(name).await?;
    let (bundle, _) = cards::gather(&built_in, &snapshot.cards().await?);
    drop(snapshot);
    let card = bundle.in_force(now);
    let cap = match account.tier {
        Tier::Free => account.daily_cap.or(card.map(|card| card.free_tier.daily_cap)),
        Tier::Credit => None,
    };
    let today = Today {
        utc_day: now.day(),
        spent_today_pax: spent,
        cap_today_pax: cap,
        remaining_today_pax: cap
            .map(|cap| cap.checked_sub(spent.nearest()).unwrap_or_default().max(Pax::ZERO)),
        resets_at: now.day().next().start(),
        rate_table_v: card.map(|card| card.version),
    };
    if json {
        let shown = ShownJson {
            account: AccountJson::of(&account),
            today: &today,
            last_entry_recorded_at: last.as_ref().map(|last| last.recorded_at),
            last_exchange_id: last.as_ref().and_then(|last| last.exchange_id.as_deref()),
            tokens: tokens.iter().map(TokenJson::of).collect(),
        };
        return print_json(&mut std::io::stdout().lock(), &shown);
    }
    print(&text(&account, &today, last.as_ref(), &tokens))
}

fn text(account: &AccountRow, today: &Today, last: Option<&LastEntry>, tokens: &[TokenRow]) -> String {
    let mut lines = vec![
        format!("account {}", account.name),
        row("tier", account.tier.name()),
        row("status", status_text(account)),
        row("created", account.created_at),
    ];
    let whose = match (account.daily_cap, today.rate_table_v) {
        (Some(_), _) => "its own".to_owned(),
        (None, Some(version)) => format!("that of rate card {version}"),
        (None, None) => "no rate card is in force".to_owned(),
    };
    lines.push(row(
        "daily cap",
        match today.cap_today_pax {
            Some(cap) => format!("{cap} PAX a UTC day, {whose}"),
            None => "none: its balance is the limit".to_owned(),
        },
    ));
    let (spent, day) = (today.spent_today_pax, today.utc_day);
    let left = match today.remaining_today_pax {
        Some(left) => format!("; {left} PAX are left until {}", today.resets_at),
        None => String::new(),
    };
    lines.push(row("spent today", format!("{spent} PAX on {day}{left}")));
    let available = account.balance.minus(account.held);
    lines.push(row(
        "balance",
        format!("{} PAX; open calls hold {}, and {available} are available", account.balance, account.held),
    ));
    let entries = match last {
        Some(LastEntry { recorded_at, exchange_id }) => {
            let exchange = exchange_id.as_deref().map_or_else(String::new, |id| format!(" (exchange {id})"));
            format!("{}, the last one recorded at {recorded_at}{exchange}", account.account_seq)
        }
        None => "none".to_owned(),
    };
    lines.push(row("entries", entries));
    lines.push(row("chain's head", &account.head_hash));
    if tokens.is_empty() {
        lines.push(row(
            "tokens",
            format!("none: `pax-ledger token add {} --name LABEL` makes one", account.name),
        ));
    }
    for token in tokens {
        let (label, id, state) = (on_one_line(&token.label), &token.token_id, state(token));
        lines.push(row("token", format!("{id}  {state}  {label}")));
    }
    lines.join("\n")
}
