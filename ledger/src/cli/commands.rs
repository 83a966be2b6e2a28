//! What each command does.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use pax_gateway::account::{Status, Tier};
use pax_gateway::card::RateCard;
use pax_gateway::clock::Moment;
use pax_gateway::pax::Pax;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Account, Cap, CapAmount, Cards, Cli, Command, Entries, Quarantine, Serve, Token, explaining, health,
    quarantine, replaying,
};
use super::{print, print_table, printing};
use crate::error::Error;
use crate::secret::{SharedSecret, new_token, new_token_id, token_sha256};
use crate::server::{Server, Settings};
use crate::store::{EntryFilter, Location, NewToken, Open, Store, StoredEntry, TokenRow};
use crate::{listing, now};

const NAME_MAX: usize = 128;
const LABEL_MAX: usize = 128;
const PAGE_ENTRIES: u32 = 500;

pub(super) async fn run(cli: Cli) -> Result<ExitCode, Error> {
    if let Command::Health(asked) = &cli.command {
        health::check(asked.internal, asked.public)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(db) = cli.db else {
        return Err(Error::Operator("which database? Say --db FILE, or set PAX_LEDGER_DB".to_owned()));
    };
    let database = Location::parse(&db)?;
    let open = match &cli.command {
        Command::Serve(options) => return serve(database, options).await,
        Command::Restore { backup } => return restore(&database, backup).await,
        Command::Account(Account::Create { .. }) => Open::Create,
        Command::Account(Account::List) | Command::Token(Token::List { .. }) => Open::Read,
        Command::Quarantine(Quarantine::List { .. }) => Open::Read,
        Command::Account(_) | Command::Token(_) | Command::Cards(Cards::Add { .. }) => Open::Existing,
        Command::Quarantine(Quarantine::Seen { .. }) => Open::Existing,
        Command::Cards(Cards::List) | Command::Entries(_) | Command::Explain { .. } | Command::Replay => {
            Open::Read
        }
        Command::Health(_) => return Ok(ExitCode::SUCCESS),
    };
    let store = Store::open(&database, open).await?;
    let done = match cli.command {
        Command::Account(command) => account(&store, command).await,
        Command::Token(command) => token(&store, command).await,
        Command::Cards(command) => cards(&store, command).await,
        Command::Entries(options) => entries(&store, options).await,
        Command::Explain { exchange } => explaining::run(&store, exchange).await,
        Command::Quarantine(command) => quarantine::run(&store, command).await,
        Command::Replay => replaying::run(&store).await,
        Command::Serve(_) | Command::Health(_) | Command::Restore { .. } => Ok(ExitCode::SUCCESS),
    };
    store.close().await;
    done
}

async fn serve(database: Location, options: &Serve) -> Result<ExitCode, Error> {
    let secret = SharedSecret::find(options.secret_file.as_deref())?;
    let handler =
        |kind| signal(kind).map_err(|why| Error::Io { doing: "listening for signals".to_owned(), why });
    let (mut term, mut interrupt) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    let (internal, public) = (options.internal, options.public);
    let linger = Duration::from_secs(options.linger_s);
    let server =
        Server::bind(Settings { database, internal, public, secret, linger, canon_v: options.canon_v })
            .await?;
    print(&format!("listening internal={} public={}", server.internal_addr()?, server.public_addr()?))?;
    server
        .run(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await?;
    Ok(ExitCode::SUCCESS)
}

async fn restore(database: &Location, backup: &Path) -> Result<ExitCode, Error> {
    let restored = crate::store::restore(database, backup, now()).await?;
    let (shown, entries, epoch) = (database.path().display(), restored.entries, restored.epoch);
    print(&format!("restored {shown} from {}: {entries} entries, epoch {epoch}", backup.display()))?;
    if let Some(replaced) = &restored.replaced {
        let had = match replaced.entries {
            Some(entries) => format!("it has {entries} entries"),
            None => "it cannot be read".to_owned(),
        };
        print(&format!("the file that was there is now {}; {had}", replaced.path.display()))?;
    }
    print(
        "next: `pax-ledger replay`, then `pax-ledger serve`; README.md says how to find entries that are lost",
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn account(store: &Store, command: Account) -> Result<ExitCode, Error> {
    match command {
        Account::Create { name, tier, daily_cap, if_missing } => {
            check_name(&name)?;
            let cap = daily_cap.map(|CapAmount(cap)| cap);
            create_account(store, &name, tier.into(), cap, if_missing).await?;
        }
        Account::Cap { name, cap: Cap(cap) } => set_daily_cap(store, &name, cap).await?,
        Account::List => list_accounts(store).await?,
        Account::Disable { name } => set_status(store, &name, Status::Disabled).await?,
        Account::Enable { name } => set_status(store, &name, Status::Active).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create_account(
    store: &Store,
    name: &str,
    tier: Tier,
    daily_cap: Option<Pax>,
    if_missing: bool,
) -> Result<(), Error> {
    if daily_cap.is_some() && tier == Tier::Credit {
        return Err(no_cap_on_credit());
    }
    let cap = daily_cap.map_or_else(String::new, |cap| format!(", daily cap {cap} PAX"));
    if store.create_account(name, tier, daily_cap, now()).await? {
        return print(&format!("created account {name} (tier {}{cap})", tier_text(tier)));
    }
    let existing = store.account(name).await?;
    let same_cap = daily_cap.is_none() || existing.as_ref().is_some_and(|row| row.daily_cap == daily_cap);
    let existing = existing.map(|row| row.tier);
    if if_missing && existing == Some(tier) && same_cap {
        return print(&format!("account {name} exists already (tier {}{cap})", tier_text(tier)));
    }
    let hint = match (if_missing, existing == Some(tier)) {
        (false, _) => "--if-missing lets that pass".to_owned(),
        (true, false) => "its tier is another one".to_owned(),
        (true, true) => format!("its daily cap is another one, which `pax-ledger account cap {name}` sets"),
    };
    let tier = existing.map_or("unknown", tier_text);
    Err(Error::Operator(format!("account {name} exists already, with tier {tier}; {hint}")))
}

async fn set_daily_cap(store: &Store, name: &str, daily_cap: Option<Pax>) -> Result<(), Error> {
    let Some(account) = store.account(name).await? else { return Err(no_account(name)) };
    if daily_cap.is_some() && account.tier == Tier::Credit {
        return Err(no_cap_on_credit());
    }
    // Accounts are never deleted and tiers never change: what was found is still there.
    store.set_daily_cap(name, daily_cap).await?;
    let cap = daily_cap.map_or_else(|| "the rate card's".to_owned(), |cap| format!("{cap} PAX"));
    print(&format!(
        "the daily cap of account {name} is {cap}; filters that know it go on until their caches expire"
    ))
}

async fn list_accounts(store: &Store) -> Result<(), Error> {
    let head = ["name", "tier", "status", "entries", "balance_pax", "daily_cap_pax"];
    let mut table = vec![head.map(str::to_owned)];
    for row in store.accounts().await? {
        let status = if row.status == Status::Active { "active" } else { "disabled" };
        let cap = match (row.tier, row.daily_cap) {
            (_, Some(cap)) => cap.to_string(),
            (Tier::Free, None) => "default".to_owned(),
            (Tier::Credit, None) => "-".to_owned(),
        };
        let tier = tier_text(row.tier).to_owned();
        let (entries, balance) = (row.account_seq.to_string(), row.balance.to_string());
        table.push([row.name, tier, status.to_owned(), entries, balance, cap]);
    }
    print_table(&table)
}

async fn set_status(store: &Store, name: &str, status: Status) -> Result<(), Error> {
    if !store.set_status(name, status).await? {
        return Err(no_account(name));
    }
    let (done, note) = match status {
        Status::Active => ("enabled", ""),
        Status::Disabled => ("disabled", "; filters that know it go on until their caches expire"),
    };
    print(&format!("{done} account {name}{note}"))
}

async fn token(store: &Store, command: Token) -> Result<ExitCode, Error> {
    match command {
        Token::Add { account, name, expires, token, if_missing } => {
            if name.is_empty() || name.len() > LABEL_MAX || name.chars().any(char::is_control) {
                return Err(Error::Operator(format!(
                    "--name must have 1 to {LABEL_MAX} printable characters"
                )));
            }
            if expires.is_some_and(|expires| expires <= now()) {
                return Err(Error::Operator("--expires is in the past".to_owned()));
            }
            if store.account(&account).await?.is_none() {
                return Err(no_account(&account));
            }
            add_token(store, &account, &name, expires, token, if_missing).await?;
        }
        Token::List { account } => {
            if let Some(name) = &account
                && store.account(name).await?.is_none()
            {
                return Err(no_account(name));
            }
            let mut table = vec![["token_id", "account", "label", "state"].map(str::to_owned)];
            for row in store.tokens(account.as_deref()).await? {
                let state = state(&row);
                table.push([row.token_id, row.account, row.label, state]);
            }
            print_table(&table)?;
        }
        Token::Revoke { token_id, token } => {
            let row = match &token {
                Some(token) => store.token_by_sha256(&token_sha256(token)?).await?,
                None => None,
            };
            let none = || Error::Operator("there is no such token".to_owned());
            let (token_id, note) = match (token_id, row) {
                (Some(token_id), _) => (token_id, ""),
                (None, Some(row)) if row.revoked_at.is_some() => (row.token_id, " already"),
                (None, row) => (row.ok_or_else(none)?.token_id, ""),
            };
            if !store.revoke_token(&token_id, now()).await? {
                let hint = "`pax-ledger token list` shows the ids; the token itself is not one";
                return Err(Error::Operator(format!("there is no token with the id {token_id:?}; {hint}")));
            }
            print(&format!(
                "revoked{note} {token_id}; filters that know it go on until their caches expire"
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add_token(
    store: &Store,
    account: &str,
    label: &str,
    expires_at: Option<Moment>,
    given: Option<String>,
    if_missing: bool,
) -> Result<(), Error> {
    let token = match given {
        Some(token) => token,
        None => new_token()?,
    };
    let sha256 = token_sha256(&token)?;
    let token_id = new_token_id()?;
    let new = NewToken { token_id: token_id.clone(), account, label, sha256, expires_at };
    let (token_id, note) = if store.add_token(&new, now()).await? {
        (token_id, "its hash is stored, so it is shown only this once")
    } else {
        match store.token_by_sha256(&sha256).await? {
            Some(row) if if_missing && row.account == account && is_usable(&row) => {
                (row.token_id, "it exists already")
            }
            Some(row) if row.account == account => {
                let (id, state) = (&row.token_id, state(&row));
                return Err(Error::Operator(format!(
                    "this token exists already as {id} of {account} ({state})"
                )));
            }
            _ => return Err(Error::Operator("this token is taken; use another one".to_owned())),
        }
    };
    // The token alone on standard output, for TOKEN=$(pax-ledger token add ...).
    print(&token)?;
    let _ = writeln!(std::io::stderr(), "token {token_id} of account {account}; {note}");
    Ok(())
}

async fn cards(store: &Store, command: Cards) -> Result<ExitCode, Error> {
    match command {
        Cards::Add { files } => {
            let mut texts = Vec::new();
            for file in &files {
                let text = std::fs::read_to_string(file);
                texts.push(
                    text.map_err(|why| Error::Io { doing: format!("reading {}", file.display()), why })?,
                );
            }
            let read: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (hashes, new) = crate::cards::learn(store, &read).await?;
            let known = hashes.len() - new;
            print(&format!("learned {new} rate cards; {known} of these were known"))?;
        }
        Cards::List => {
            let head = ["version", "effective_from", "learned_at", "sha256", "reason"];
            let mut table = vec![head.map(str::to_owned)];
            for stored in store.cards().await? {
                let (from, reason) = match RateCard::parse(&stored.text) {
                    Ok(card) => (card.effective_from.to_string(), card.reason),
                    Err(_) => ("?".to_owned(), "cannot be read by this program".to_owned()),
                };
                table.push([
                    stored.version.to_string(),
                    from,
                    stored.learned_at.to_string(),
                    stored.sha256,
                    reason,
                ]);
            }
            print_table(&table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn entries(store: &Store, options: Entries) -> Result<ExitCode, Error> {
    if let Some(name) = &options.account
        && store.account(name).await?.is_none()
    {
        return Err(no_account(name));
    }
    let filter = EntryFilter {
        account: options.account,
        exchange: options.exchange.map(|id| id.to_string()),
        since: options.since,
        until: options.until,
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut last: Option<StoredEntry> = None;
    loop {
        let page = store.entries(&filter, last.as_ref(), PAGE_ENTRIES).await?;
        for entry in &page {
            let line = listing::json_line(entry).map_err(|error| {
                let number = entry.account_seq;
                Error::Operator(format!(
                    "entry number {number} of an account is unreadable ({error}): run replay"
                ))
            })?;
            writeln!(out, "{line}").map_err(printing)?;
        }
        last = match page.into_iter().last() {
            Some(entry) => Some(entry),
            None => break,
        };
    }
    out.flush().map_err(printing)?;
    Ok(ExitCode::SUCCESS)
}

fn is_usable(row: &TokenRow) -> bool {
    row.revoked_at.is_none() && row.expires_at.is_none_or(|expires| expires > now())
}

fn state(row: &TokenRow) -> String {
    match (row.revoked_at, row.expires_at) {
        (Some(revoked), _) => format!("revoked {revoked}"),
        (None, Some(expires)) if expires <= now() => format!("expired {expires}"),
        (None, Some(expires)) => format!("active until {expires}"),
        (None, None) => "active".to_owned(),
    }
}

fn tier_text(tier: Tier) -> &'static str {
    match tier {
        Tier::Free => "free",
        Tier::Credit => "credit",
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@:+|".contains(&byte);
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::Operator(format!("an account's name has 1 to {NAME_MAX} letters, digits and -_.@:+|")))
}

fn no_account(name: &str) -> Error {
    Error::Operator(format!("there is no account {name:?}; `pax-ledger account list` shows all"))
}

fn no_cap_on_credit() -> Error {
    Error::Operator(
        "tier credit has no daily cap: its balance is its limit; leave the cap out, or say `default`"
            .to_owned(),
    )
}
