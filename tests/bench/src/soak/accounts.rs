//! A hundred thousand accounts in seconds. The ledger's commands and its store make each account in a transaction of its
//! own, each with a sync of the disk; here one transaction makes all of them.

use crate::BenchError;
use pax_gateway::base::account::Tier;
use pax_ledger::{book, secret};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::time::Duration;

/// An account's name.
pub fn name(account: u64) -> String {
    format!("soak-{account}")
}

/// Its token.
pub fn token(account: u64) -> String {
    format!("mtx-soak-{account}")
}

/// Every second account is free, so that its calls go through all of the gate.
fn tier(account: u64) -> Tier {
    if account.is_multiple_of(2) { Tier::Free } else { Tier::Credit }
}

/// Makes so many accounts, with a token each, in the database of a ledger that may be running.
///
/// # Errors
/// [`BenchError::Failed`] when the database takes no accounts.
pub async fn make(database: &Path, accounts: u64) -> Result<(), BenchError> {
    let failed = |error: sqlx::Error| BenchError::Failed(format!("cannot make the accounts: {error}"));
    let options = SqliteConnectOptions::new().filename(database).busy_timeout(Duration::from_secs(10));
    let mut shell = options.connect().await.map_err(failed)?;
    let mut all = shell.begin().await.map_err(failed)?;
    for account in 0..accounts {
        make_one(&mut all, account).await?;
    }
    all.commit().await.map_err(failed)?;
    shell.close().await.map_err(failed)
}

async fn make_one(shell: &mut SqliteConnection, account: u64) -> Result<(), BenchError> {
    let failed = |error: String| BenchError::Failed(format!("cannot make account {account}: {error}"));
    let now = i64::try_from(pax_ledger::now().ms()).unwrap_or(i64::MAX);
    let (name, token) = (name(account), token(account));
    let made = sqlx::query(
        "INSERT INTO accounts (name, tier, status, created_at, account_seq, head_hash, balance_picopax) \
         VALUES (?1, ?2, 'active', ?3, 0, ?4, 0)",
    );
    let made = made.bind(&name).bind(tier(account).name()).bind(now).bind(book::genesis(&name).to_string());
    made.execute(&mut *shell).await.map_err(|error| failed(error.to_string()))?;
    let token_id = secret::new_token_id().map_err(|error| failed(error.to_string()))?;
    let sha256 = secret::token_sha256(&token).map_err(|error| failed(error.to_string()))?;
    let added = sqlx::query(
        "INSERT INTO tokens (token_id, account, label, sha256, created_at) VALUES (?1, ?2, 'soak', ?3, ?4)",
    );
    let added = added.bind(token_id).bind(&name).bind(sha256.to_string()).bind(now);
    added.execute(shell).await.map_err(|error| failed(error.to_string()))?;
    Ok(())
}
