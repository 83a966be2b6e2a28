//! The command line.

mod commands;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use pax_gateway::base::clock::{Moment, UtcDay};

use crate::Failed;
use crate::markup::Percent;

/// Rate cards: check them, start, compare and publish the next, take prices from a list.
#[derive(Debug, Parser)]
#[command(name = "pax-ratecard", version)]
struct Cli {
    /// The folder of the rate cards
    #[arg(long, global = true, env = "PAX_RATECARDS", value_name = "DIR", default_value = "ratecards")]
    dir: PathBuf,
    /// This time instead of the clock's (for tests)
    #[arg(long, global = true, hide = true, value_name = "RFC3339")]
    now: Option<Moment>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name every mistake of every card, with its file, line and path; exits 1 where there is one
    Check(Check),
    /// Start the next version from the last one
    New(New),
    /// Show what one card changes against another: for whom, in dollars, PAX and per cent
    Diff(Diff),
    /// Lock the draft: it never changes from then on
    Publish(Publish),
    /// Take prices from a list into the draft
    #[command(subcommand)]
    Import(Import),
    /// Print what completes this program's commands in a shell, such as
    /// `pax-ratecard completions bash >/etc/bash_completion.d/pax-ratecard`
    Completions {
        /// Whose
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct Against {
    /// The gateway's providers; without it, envoy/providers.json beside the folder, where that is
    #[arg(long, value_name = "FILE")]
    providers: Option<PathBuf>,
    /// The LOCK of what was published already, such as the main branch's: nothing of it may be gone
    #[arg(long, value_name = "LOCK")]
    published: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Check {
    /// The folder (as --dir)
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    against: Against,
    /// Also warn where reported entries show that a model writes far faster than the last card says: what
    /// `pax-ledger entries` prints
    #[arg(long, value_name = "FILE")]
    entries: Option<PathBuf>,
    /// Exit 1 for warnings too
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
struct New {
    /// Why prices change, in one line; a mark-up says so by itself
    #[arg(long, value_name = "TEXT", required_unless_present = "markup")]
    reason: Option<String>,
    /// When it takes force, such as 2027-01-01T00:00:00Z; the first UTC midnight that is a whole day away, if none is said
    #[arg(long, value_name = "RFC3339")]
    effective: Option<String>,
    /// The card to start from: the last one, or the one in force at that time, if none is said. A rollback starts from an
    /// older one
    #[arg(long, value_name = "vN")]
    from: Option<String>,
    /// Raise every price by so many per cent, or lower it: 10%, -2.5%
    #[arg(long, value_name = "PER_CENT", allow_hyphen_values = true)]
    markup: Option<Percent>,
    /// Mark up only models of these providers
    #[arg(long = "provider", value_name = "NAME", num_args = 1.., requires = "markup")]
    providers: Vec<String>,
    /// Mark up only models whose id, in the card or at the provider, fits (* is any text, ? one character)
    #[arg(long = "model", value_name = "GLOB", num_args = 1.., requires = "markup")]
    models: Vec<String>,
}

#[derive(Debug, Args)]
struct Diff {
    /// The card before
    #[arg(value_name = "vA")]
    from: String,
    /// The card after
    #[arg(value_name = "vB")]
    to: String,
    /// Tables for a pull request
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// For programs
    #[arg(long)]
    json: bool,
    /// Also reprice the entries of this ledger under vB
    #[arg(long, value_name = "DB")]
    against_ledger: Option<String>,
    /// Only entries of this UTC day and later
    #[arg(long, value_name = "YYYY-MM-DD", requires = "against_ledger")]
    since: Option<UtcDay>,
    /// Only entries of this UTC day and earlier
    #[arg(long, value_name = "YYYY-MM-DD", requires = "against_ledger")]
    until: Option<UtcDay>,
}

#[derive(Debug, Args)]
struct Publish {
    /// The draft's version
    #[arg(value_name = "vN")]
    card: Option<String>,
    #[command(flatten)]
    against: Against,
    /// Publish although it is in force from a moment in the past on
    #[arg(long)]
    now_in_force: bool,
    /// Publish although pax_usd changes, which changes what every balance is worth
    #[arg(long)]
    revalue_balances: bool,
    /// Publish although the check warns
    #[arg(long)]
    despite_warnings: bool,
    /// Do not publish again, behind it, the cards that begin later: they never come into force
    #[arg(long)]
    drop_later: bool,
}

#[derive(Debug, Subcommand)]
enum Import {
    /// From LiteLLM's model_prices_and_context_window.json
    Litellm(Litellm),
}

#[derive(Debug, Args)]
struct Litellm {
    /// The list
    file: PathBuf,
    /// Whose models, by the gateway's name: fireworks, together, openai, deepseek, groq, mistral, xai ...
    #[arg(long = "provider", value_name = "NAME", required = true, num_args = 1..)]
    providers: Vec<String>,
    /// Only models whose id, in the card, at the provider or in the list, fits (* is any text, ? one character)
    #[arg(long = "model", value_name = "GLOB", num_args = 1..)]
    models: Vec<String>,
    /// The card to change: the draft, if none is said
    #[arg(long, value_name = "vN.json")]
    into: Option<String>,
    /// Take a zero for a part (cached input, cache writes ...) as not priced apart
    #[arg(long)]
    allow_zero: bool,
    /// Take models whose price has more to it than a card can say, where the gateway refuses every call that would incur
    /// that, or charges not less than the provider; says of each what is left unpriced
    #[arg(long)]
    leave_unpriced: bool,
    /// Take models although they have this field, which changes the price and no card can express: you know that no
    /// call through the gateway incurs it
    #[arg(long = "ignore", value_name = "FIELD", num_args = 1..)]
    ignored: Vec<String>,
    /// Show, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the program: 0 where all is well, 1 where something is wrong, 2 where the command line is.
#[must_use]
pub fn main() -> ExitCode {
    match commands::run(Cli::parse()) {
        Ok(code) => code,
        Err(Failed(why)) => {
            let _ = writeln!(std::io::stderr(), "pax-ratecard: {why}");
            ExitCode::FAILURE
        }
    }
}
