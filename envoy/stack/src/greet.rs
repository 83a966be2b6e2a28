//! What `pax-stack up` tells its operator once calls are served.

use pax_gateway::base::account::Tier;
use pax_stack::{Database, DemoAccount, Stack, StackError};

/// Says that calls are served, and how to make one.
pub(crate) fn greet(stack: &Stack, served: &str) -> Result<(), StackError> {
    let url = stack.url();
    for line in served.lines() {
        println!("· {line}");
    }
    println!("· {}, logs in {}", ledger_of(stack), stack.run_dir().display());
    for demo in stack.demo_accounts().iter().filter(|demo| demo.revoked_public) {
        println!("· the public token of {} is REVOKED: with it anybody could spend your money", demo.account);
    }
    println!("· liveness, also under overload: http://127.0.0.1:{}/healthz", stack.liveness_port());
    println!("ready {url}");
    println!();
    for demo in stack.demo_accounts() {
        match &demo.token {
            Some(token) => println!("token of {}: {token}", demo.account),
            None => println!(
                "token of {}: as printed when it was made (a new one: dist/pax-ledger --db {} token add {} --name NAME)",
                demo.account,
                match stack.database() {
                    Database::File(path) => path.display().to_string(),
                    Database::Postgres(_) => "\"$LEDGER_DB\"".to_owned(),
                },
                demo.account
            ),
        }
    }
    println!();
    try_it(stack)
}

/// The database, without its password, and how many ledgers work on it.
fn ledger_of(stack: &Stack) -> String {
    let running = stack.processes().iter().filter(|(name, _)| *name == "ledger").count();
    match running {
        1 => format!("ledger {}", stack.database()),
        several => format!("{several} ledgers on {}", stack.database()),
    }
}

/// The command of a call that can be served, with the token of an account that may make it.
fn try_it(stack: &Stack) -> Result<(), StackError> {
    let Some(call) = stack.try_it()? else {
        println!(
            "No model can be called without a key of the caller's own: the providers whose keys were found have none in \
             the rate card in force."
        );
        return Ok(());
    };
    match call.tier {
        Tier::Free => println!("Try it (Ctrl-C here stops everything):"),
        Tier::Credit => println!(
            "Try it as demo-credit, which may call every model that is served here. demo-free may call none: the free \
             tier's list of the rate card has none of these providers'. (Ctrl-C here stops everything.)"
        ),
    }
    let may_call = |demo: &&DemoAccount| call.tier == Tier::Free || demo.account == "demo-credit";
    let token = stack.demo_accounts().iter().filter(may_call).find_map(|demo| demo.token.as_deref());
    println!(
        "  curl {}/v1/chat/completions -H 'Authorization: Bearer {}' \\",
        stack.url(),
        token.unwrap_or("TOKEN")
    );
    println!("    -H 'Content-Type: application/json' \\");
    println!(
        "    -d '{{\"model\":\"{}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Say hello\"}}]}}'",
        call.model
    );
    Ok(())
}
