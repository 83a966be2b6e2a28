//! Accounts, for operators.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use serde::Serialize;

use super::acting::answer;
use super::args::{Account, Acting, Cap, CapAmount};
use super::{account_shown, print, print_json, print_table, printing};
use crate::book::Sum;
use crate::error::Error;
use crate::store::{AccountRow, Closed, Store};

const NAME_MAX: usize = 128;

pub(super) async fn run(store: &Store, command: Account) -> Result<ExitCode, Error> {
    match command {
        Account::Create { name, tier, daily_cap, if_missing, acting } => {
            check_name(&name)?;
            let wanted = Wanted { tier: tier.into(), daily_cap: daily_cap.map(|CapAmount(cap)| cap) };
            create_account(store, &name, wanted, if_missing, acting).await?;
        }
        Account::Cap { name, cap: Cap(cap), acting } => set_daily_cap(store, &name, cap, acting).await?,
        Account::List { json } => list_accounts(store, json).await?,
        Account::Show { name, json } => account_shown::run(store, &name, json).await?,
        Account::Tier { name, tier, acting } => set_tier(store, &name, tier.into(), acting).await?,
        Account::Disable { name, acting } => set_status(store, &name, Status::Disabled, acting).await?,
        Account::Enable { name, acting } => set_status(store, &name, Status::Active, acting).await?,
        Account::Close { name, acting } => close(store, &name, acting).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What an account that is created shall have.
#[derive(Clone, Copy)]
struct Wanted {
    tier: Tier,
    daily_cap: Option<Pax>,
}

impl Wanted {
    /// Whether an account has it. The cap need not be the same if none was asked for.
    fn is_met(self, row: &AccountRow) -> bool {
        row.closed.is_none()
            && row.tier == self.tier
            && (self.daily_cap.is_none() || row.daily_cap == self.daily_cap)
    }
}

async fn create_account(
    store: &Store,
    name: &str,
    wanted: Wanted,
    if_missing: bool,
    acting: Acting,
) -> Result<(), Error> {
    let Wanted { tier, daily_cap } = wanted;
    if daily_cap.is_some() && tier == Tier::Credit {
        return Err(no_cap_on_credit());
    }
    let cap = daily_cap.map_or_else(String::new, |cap| format!(", daily cap {cap} PAX"));
    let exists = format!("account {name} exists already (tier {}{cap})", tier.name());
    // Scripts ask this at every start. If there is nothing to do, there is no key to print.
    if if_missing && store.account(name).await?.is_some_and(|row| wanted.is_met(&row)) {
        return print(&exists);
    }
    if let Some(acted) = store.create_account(&acting.act()?, name, tier, daily_cap).await? {
        answer(acted);
        return print(&format!("created account {name} (tier {}{cap})", tier.name()));
    }
    let existing = store.account(name).await?;
    // Another process may have created it meanwhile.
    if if_missing && existing.as_ref().is_some_and(|row| wanted.is_met(row)) {
        return print(&exists);
    }
    let is_closed = existing.as_ref().is_some_and(|row| row.closed.is_some());
    let existing = existing.map(|row| row.tier);
    let hint = match (if_missing, existing == Some(tier)) {
        _ if is_closed => "it is closed, and its name is never used again: choose another one".to_owned(),
        (false, _) => "--if-missing lets that pass".to_owned(),
        (true, false) => "its tier is another one".to_owned(),
        (true, true) => format!("its daily cap is another one, which `pax-ledger account cap {name}` sets"),
    };
    let tier = existing.map_or("unknown", Tier::name);
    Err(Error::Operator(format!("account {name} exists already, with tier {tier}; {hint}")))
}

async fn set_daily_cap(
    store: &Store,
    name: &str,
    daily_cap: Option<Pax>,
    acting: Acting,
) -> Result<(), Error> {
    let Some(account) = store.account(name).await? else { return Err(no_account(name)) };
    if daily_cap.is_some() && account.tier == Tier::Credit {
        return Err(no_cap_on_credit());
    }
    // If its tier changes this moment, the cap is kept for the day on which it is free again.
    let acted = store.set_daily_cap(&acting.act()?, name, daily_cap).await?;
    answer(acted.ok_or_else(|| no_account(name))?);
    let cap = daily_cap.map_or_else(|| "the rate card's".to_owned(), |cap| format!("{cap} PAX"));
    print(&format!(
        "the daily cap of account {name} is {cap}; filters that know it go on until their caches expire"
    ))
}

async fn list_accounts(store: &Store, json: bool) -> Result<(), Error> {
    let accounts = store.accounts().await?;
    if json {
        let mut out = BufWriter::new(std::io::stdout().lock());
        for row in &accounts {
            print_json(&mut out, &AccountJson::of(row))?;
        }
        return out.flush().map_err(printing);
    }
    let head = ["name", "tier", "status", "entries", "balance_pax", "daily_cap_pax"];
    let mut table = vec![head.map(str::to_owned)];
    for row in accounts {
        let cap = match (row.tier, row.daily_cap) {
            (_, Some(cap)) => cap.to_string(),
            (Tier::Free, None) => "default".to_owned(),
            (Tier::Credit, None) => "-".to_owned(),
        };
        let (tier, status) = (row.tier.name().to_owned(), status_text(&row).to_owned());
        let (entries, balance) = (row.account_seq.to_string(), row.balance.to_string());
        table.push([row.name, tier, status, entries, balance, cap]);
    }
    print_table(&table)
}

/// An account as JSON, in `account list` and at the head of `account show`.
#[derive(Serialize)]
pub(super) struct AccountJson<'a> {
    account: &'a str,
    tier: Tier,
    status: &'static str,
    created_at: Moment,
    closed_at: Option<Moment>,
    entries: i64,
    head_hash: &'a str,
    balance_pax: Sum,
    /// What open holds set aside from the balance.
    held_pax: Pax,
    /// The account's own cap; null if the rate card's holds, and for tier `credit`.
    daily_cap_pax: Option<Pax>,
}

impl<'a> AccountJson<'a> {
    pub(super) fn of(row: &'a AccountRow) -> Self {
        Self {
            account: &row.name,
            tier: row.tier,
            status: status_text(row),
            created_at: row.created_at,
            closed_at: row.closed.as_ref().map(|(at, _)| *at),
            entries: row.account_seq,
            head_hash: &row.head_hash,
            balance_pax: row.balance,
            held_pax: row.held,
            daily_cap_pax: row.daily_cap,
        }
    }
}

async fn set_tier(store: &Store, name: &str, tier: Tier, acting: Acting) -> Result<(), Error> {
    let acted = store.set_tier(&acting.act()?, name, tier).await?;
    answer(acted.ok_or_else(|| no_account(name))?);
    print(&format!(
        "account {name} has tier {}; filters that know it go on until their caches expire",
        tier.name()
    ))
}

async fn set_status(store: &Store, name: &str, status: Status, acting: Acting) -> Result<(), Error> {
    let acted = store.set_status(&acting.act()?, name, status).await?;
    answer(acted.ok_or_else(|| no_account(name))?);
    let (done, note) = match status {
        Status::Active => ("enabled", ""),
        Status::Disabled => ("disabled", "; filters that know it go on until their caches expire"),
    };
    print(&format!("{done} account {name}{note}"))
}

async fn close(store: &Store, name: &str, acting: Acting) -> Result<(), Error> {
    let acted = store.close_account(&acting.act()?, name).await?;
    let Closed { paid_out_pax, balance_pax, held_pax } = answer(acted.ok_or_else(|| no_account(name))?);
    let left = match (held_pax > Pax::ZERO, balance_pax < Pax::ZERO) {
        (true, _) => format!(
            "open calls hold {held_pax} of its {balance_pax} PAX; what they leave is paid out by an entry when the last of \
             them ends"
        ),
        (false, true) => format!("nothing was left to pay out: its balance is {balance_pax} PAX"),
        (false, false) => format!("paid out {paid_out_pax} PAX"),
    };
    print(&format!("closed account {name}: {left}"))
}

/// An account's status in a word.
pub(super) fn status_text(row: &AccountRow) -> &'static str {
    match (&row.closed, row.status) {
        (Some(_), _) => "closed",
        (None, Status::Active) => "active",
        (None, Status::Disabled) => "disabled",
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@:+|".contains(&byte);
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::Operator(format!("an account's name has 1 to {NAME_MAX} letters, digits and -_.@:+|")))
}

pub(super) fn no_account(name: &str) -> Error {
    Error::Operator(format!("there is no account {name:?}; `pax-ledger account list` shows all"))
}

fn no_cap_on_credit() -> Error {
    Error::Operator(
        "tier credit has no daily cap: its balance is the limit. Leave the cap out, or say `default`"
            .to_owned(),
    )
}
