//! The accounts to play with, and their tokens. Those of README.md are public: they are made only if no call
//! with them costs money.

use crate::{Stack, StackError};

/// Their names, tiers, and public tokens.
const ACCOUNTS: [(&str, &str, &str); 2] =
    [("demo-free", "free", "mtx-demo-free"), ("demo-credit", "credit", "mtx-demo-credit")];

/// What an account of tier credit has to play with.
const CREDIT_PAX: &str = "100";

/// Which tokens the accounts get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// Those of README.md.
    Public,
    /// Random ones; the public ones do not work.
    Random,
}

/// An account to play with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoAccount {
    /// Its name.
    pub account: &'static str,
    /// A token of its own; none if a random one was made before, since only its hash is kept.
    pub token: Option<String>,
    /// Whether README.md's token, which worked until now, was revoked.
    pub revoked_public: bool,
}

/// Makes the accounts and tokens that are missing.
pub(crate) fn make_accounts(stack: &Stack, tokens: Tokens) -> Result<Vec<DemoAccount>, StackError> {
    ACCOUNTS.iter().map(|account| make_account(stack, account, tokens)).collect()
}

fn make_account(
    stack: &Stack,
    (name, tier, public): &(&'static str, &'static str, &'static str),
    tokens: Tokens,
) -> Result<DemoAccount, StackError> {
    // If an operator changed the tier, that was meant: the stack starts all the same, and the change stays.
    unless_refused(
        stack.ledger(["account", "create", name, "--tier", tier, "--if-missing"]),
        "exists already",
    )?;
    let mut made = DemoAccount { account: name, token: None, revoked_public: false };
    // Likewise if the operator has closed it: nothing is done to it any more.
    if stack.ledger(["account", "show", name, "--json"])?.contains(r#""status":"closed""#) {
        return Ok(made);
    }
    if *tier == "credit" {
        // With the same key it is granted once, however often the stack starts.
        let key = ["--key", "demo-credit", "--by", "pax-stack", "--reason", "credit to play with"];
        stack.ledger(["grant", *name, CREDIT_PAX, "--class", "promotion"].into_iter().chain(key))?;
    }
    match tokens {
        Tokens::Public => {
            // A token that was revoked is not made again either: then the account gets a random one.
            let add = ["token", "add", name, "--name", "demo", "--token", public, "--if-missing"];
            if unless_refused(stack.ledger(add), "exists already")?.is_some() {
                made.token = Some((*public).to_owned());
                return Ok(made);
            }
        }
        // An older ledger may have the public token, and every reader of README.md could spend the operator's
        // money with it.
        Tokens::Random => {
            let revoked =
                unless_refused(stack.ledger(["token", "revoke", "--token", public]), "no such token")?;
            made.revoked_public = revoked.is_some_and(|said| !said.contains("already"));
        }
    }
    let has_one = stack.ledger(["token", "list", name])?.lines().any(|line| line.contains(" active"));
    if !has_one {
        let token = stack.ledger(["token", "add", name, "--name", "demo"])?;
        made.token = Some(token.trim().to_owned());
    }
    Ok(made)
}

/// What the ledger's command line printed; none if it refused for that reason.
fn unless_refused(said: Result<String, StackError>, why: &str) -> Result<Option<String>, StackError> {
    match said {
        Err(StackError::Ledger { stderr, .. }) if stderr.contains(why) => Ok(None),
        other => other.map(Some),
    }
}
