//! The tokens of accounts, for operators.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use pax_gateway::base::clock::Moment;
use serde::Serialize;

use super::accounts::no_account;
use super::acting::{answer, done_before};
use super::args::{Acting, Token};
use super::{print, print_json, print_table, printing};
use crate::error::Error;
use crate::now;
use crate::secret::{new_token, new_token_id, token_sha256};
use crate::store::{Acted, NewToken, Store, TokenRow};

const LABEL_MAX: usize = 128;

pub(super) async fn run(store: &Store, command: Token) -> Result<ExitCode, Error> {
    match command {
        Token::Add { account, name, expires, token, if_missing, acting } => {
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
            let wanted = Wanted { account: &account, label: &name, expires_at: expires };
            add_token(store, wanted, token, if_missing, acting).await?;
        }
        Token::List { account, json } => list(store, account.as_deref(), json).await?,
        Token::Revoke { token_id, token, acting } => {
            revoke(store, token_id, token.as_deref(), acting).await?;
        }
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

async fn revoke(
    store: &Store,
    token_id: Option<String>,
    token: Option<&str>,
    acting: Acting,
) -> Result<(), Error> {
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
    let Some(acted) = store.revoke_token(&acting.act()?, &token_id).await? else {
        let hint = "`pax-ledger token list` shows the ids; the token itself is not one";
        return Err(Error::Operator(format!("there is no token with the id {token_id:?}; {hint}")));
    };
    answer(acted);
    print(&format!("revoked{note} {token_id}; filters that know it go on until their caches expire"))
}

/// The token that shall be made.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    account: &'a str,
    label: &'a str,
    expires_at: Option<Moment>,
}

async fn add_token(
    store: &Store,
    wanted: Wanted<'_>,
    given: Option<String>,
    if_missing: bool,
    acting: Acting,
) -> Result<(), Error> {
    let Wanted { account, label, expires_at } = wanted;
    let is_given = given.is_some();
    let token = match given {
        Some(token) => token,
        None => new_token()?,
    };
    let sha256 = token_sha256(&token)?;
    let is_there = |row: &TokenRow| if_missing && row.account == account && is_usable(row);
    // Scripts ask this at every start. If there is nothing to do, there is no key to print.
    if if_missing && let Some(row) = store.token_by_sha256(&sha256).await?.filter(is_there) {
        return print_token(&token, &row.token_id, account, "it exists already");
    }
    let new = NewToken { token_id: new_token_id()?, account, label, sha256, is_given, expires_at };
    match store.add_token(&acting.act()?, &new).await? {
        Some(Acted { reply: id, before: Some(before) }) if !is_given => Err(Error::Operator(format!(
            "{}: it made the token {id}, which was shown then and cannot be shown again. If nobody has it, \
             `pax-ledger token revoke {id}`, and make another one with another --key",
            done_before(&before)
        ))),
        Some(acted) => {
            let id = answer(acted);
            print_token(&token, &id, account, "its hash is stored, so it is shown only this once")
        }
        None => match store.token_by_sha256(&sha256).await? {
            Some(row) if is_there(&row) => print_token(&token, &row.token_id, account, "it exists already"),
            Some(row) if row.account == account => {
                let (id, state) = (&row.token_id, state(&row));
                Err(Error::Operator(format!("this token exists already as {id} of {account} ({state})")))
            }
            _ => Err(Error::Operator("this token is taken; use another one".to_owned())),
        },
    }
}

/// Only the token goes to standard output, for TOKEN=$(pax-ledger token add ...).
fn print_token(token: &str, token_id: &str, account: &str, note: &str) -> Result<(), Error> {
    print(token)?;
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
