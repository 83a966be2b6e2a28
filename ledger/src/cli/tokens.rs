//! The tokens of accounts, for operators.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use pax_gateway::base::clock::Moment;
use serde::Serialize;

use super::accounts::no_account;
use super::args::Token;
use super::{print, print_json, print_table, printing};
use crate::error::Error;
use crate::now;
use crate::secret::{new_token, new_token_id, token_sha256};
use crate::store::{NewToken, Store, TokenRow};

const LABEL_MAX: usize = 128;

pub(super) async fn run(store: &Store, command: Token) -> Result<ExitCode, Error> {
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
        Token::List { account, json } => list(store, account.as_deref(), json).await?,
        Token::Revoke { token_id, token } => revoke(store, token_id, token.as_deref()).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &Store, account: Option<&str>, json: bool) -> Result<(), Error> {
    if let Some(name) = account
        && store.account(name).await?.is_none()
    {
        return Err(no_account(name));
    }
    let tokens = store.tokens(account).await?;
    if json {
        let mut out = BufWriter::new(std::io::stdout().lock());
        for row in &tokens {
            print_json(&mut out, &TokenJson::of(row))?;
        }
        return out.flush().map_err(printing);
    }
    let mut table = vec![["token_id", "account", "label", "state"].map(str::to_owned)];
    for row in tokens {
        let state = state(&row);
        table.push([row.token_id, row.account, row.label, state]);
    }
    print_table(&table)
}

/// What is told of a token as JSON: never the token itself, nor its hash.
#[derive(Serialize)]
pub(super) struct TokenJson<'a> {
    token_id: &'a str,
    account: &'a str,
    label: &'a str,
    state: &'static str,
    created_at: Moment,
    expires_at: Option<Moment>,
    revoked_at: Option<Moment>,
}

impl<'a> TokenJson<'a> {
    pub(super) fn of(row: &'a TokenRow) -> Self {
        let state = match (row.revoked_at, row.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(expires)) if expires <= now() => "expired",
            (None, _) => "active",
        };
        let TokenRow { token_id, account, label, created_at, expires_at, revoked_at } = row;
        let (created_at, expires_at, revoked_at) = (*created_at, *expires_at, *revoked_at);
        Self { token_id, account, label, state, created_at, expires_at, revoked_at }
    }
}

async fn revoke(store: &Store, token_id: Option<String>, token: Option<&str>) -> Result<(), Error> {
    let row = match token {
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
    print(&format!("revoked{note} {token_id}; filters that know it go on until their caches expire"))
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
    // Only the token goes to standard output, for TOKEN=$(pax-ledger token add ...).
    print(&token)?;
    let _ = writeln!(std::io::stderr(), "token {token_id} of account {account}; {note}");
    Ok(())
}

fn is_usable(row: &TokenRow) -> bool {
    row.revoked_at.is_none() && row.expires_at.is_none_or(|expires| expires > now())
}

pub(super) fn state(row: &TokenRow) -> String {
    match (row.revoked_at, row.expires_at) {
        (Some(revoked), _) => format!("revoked {revoked}"),
        (None, Some(expires)) if expires <= now() => format!("expired {expires}"),
        (None, Some(expires)) => format!("active until {expires}"),
        (None, None) => "active".to_owned(),
    }
}
