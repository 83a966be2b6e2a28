//! The operator's command line.

mod commands;
mod explaining;
mod health;
mod quarantine;
mod replaying;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pax_gateway::account::Tier;
use pax_gateway::clock::{Moment, UtcDay};
use pax_gateway::exchange_id::ExchangeId;
use pax_gateway::pax::Pax;

use crate::error::Error;

/// The credit ledger behind the gateway: its service, its accounts and tokens, its entries.
#[derive(Debug, Parser)]
#[command(name = "pax-ledger", version)]
struct Cli {
    /// The database: a file, or sqlite:FILE
    #[arg(long, global = true, env = "PAX_LEDGER_DB", value_name = "URL_OR_PATH")]
    db: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve filters (resolve, debits) and callers; makes the database where it is missing
    #[command(
        after_help = "The shared secret comes from the environment variable PAX_LEDGER_SECRET or from \
        --secret-file; one in PAX_LEDGER_SECRET_OLD is taken too, while it is rotated. SIGTERM or Ctrl-C ends the service once what it has taken is durable."
    )]
    Serve(Serve),
    /// Ask a running service how it is; exits 0 where both listeners answer
    Health(Health),
    /// Create, list, disable and enable accounts, and set their daily caps
    #[command(subcommand)]
    Account(Account),
    /// Make, list and revoke the tokens of accounts
    #[command(subcommand)]
    Token(Token),
    /// Make rate cards known, and list those that are
    #[command(subcommand)]
    Cards(Cards),
    /// Print entries, one JSON object per line, in the order in which they were recorded
    Entries(Entries),
    /// Print one entry's bill, line by line, so that it can be made again by hand; exits 1 where it does not come out
    /// the same
    Explain {
        /// The exchange: `x-matrix-exchange-id` of the answer
        exchange: ExchangeId,
    },
    /// List what was sent and could not become an entry, and mark as seen what you have looked at
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Check every entry, chain, price, sum and trigger again; exits 1 where anything differs, or where a line in
    /// quarantine is not marked as seen
    Replay,
    /// Put a copy of a backup in the ledger's place; stop `serve` first
    #[command(
        after_help = "The backup stays as it is, and the file that was there is moved aside. A new epoch begins, by \
        which filters know that the numbers of the backup are true, though they are lower than those they know. What was \
        recorded after the backup is gone: the README says how to find it."
    )]
    Restore {
        /// A copy of the ledger's file that `.backup` of sqlite3 has made, or that was made while nothing had it open
        backup: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// Where filters call; port 0 takes a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9801")]
    internal: SocketAddr,
    /// Where callers' requests arrive through Envoy; port 0 takes a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9802")]
    public: SocketAddr,
    /// A file that holds the shared secret; without it, PAX_LEDGER_SECRET
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// After SIGTERM, go on for so long while filters still come: their Envoy may be stopped at the same time
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    linger_s: u64,
    /// The newest version of debits to read. With 1 filters write version 1 from the next resolve on, and keep what they
    /// have written in version 2: for filters that stay while the ledger goes back to a backup of an older program, which
    /// opens no newer file (README: Upgrading and rolling back)
    #[arg(long, value_name = "VERSION", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=2))]
    canon_v: u32,
}

#[derive(Debug, Args)]
struct Health {
    /// Where filters call
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9801")]
    internal: SocketAddr,
    /// Where callers' requests arrive
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9802")]
    public: SocketAddr,
}

#[derive(Debug, Subcommand)]
enum Account {
    /// Create an account; makes the database where it is missing
    Create {
        /// Its name: letters, digits and -_.@:+|
        name: String,
        /// What it may do
        #[arg(long)]
        tier: TierName,
        /// What it may spend in a UTC day, instead of the rate card's default; 0 blocks it (tier free)
        #[arg(long, value_name = "PAX", allow_negative_numbers = true)]
        daily_cap: Option<CapAmount>,
        /// Succeed where it exists already with this tier
        #[arg(long)]
        if_missing: bool,
    },
    /// Set what an account of tier free may spend in a UTC day
    Cap {
        /// Its name
        name: String,
        /// A decimal number of PAX (0 blocks), or `default` for what the rate card says
        #[arg(value_name = "PAX|default", allow_negative_numbers = true)]
        cap: Cap,
    },
    /// List all accounts: name, tier, status, entries, balance and daily cap in PAX
    List,
    /// Refuse an account's calls from now on
    Disable {
        /// Its name
        name: String,
    },
    /// Allow a disabled account's calls again
    Enable {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Make a token and print it, this once: only its hash is stored
    Add {
        /// Whose it is
        account: String,
        /// What you call it
        #[arg(long, value_name = "LABEL")]
        name: String,
        /// When it ceases to work, in UTC
        #[arg(long, value_name = "RFC3339")]
        expires: Option<Moment>,
        /// This token instead of a random one (for demos and tests)
        #[arg(long, value_name = "VALUE")]
        token: Option<String>,
        /// Succeed where this very token works for the account already
        #[arg(long, requires = "token")]
        if_missing: bool,
    },
    /// List tokens: id, account, label, state; never the token
    List {
        /// Only of this account
        account: Option<String>,
    },
    /// Revoke a token, for good
    Revoke {
        /// Its id, as `token list` shows it
        #[arg(required_unless_present = "token")]
        token_id: Option<String>,
        /// The token itself, where it is known to everybody anyway (that of a demo)
        #[arg(long, value_name = "VALUE", conflicts_with = "token_id")]
        token: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum Cards {
    /// Learn published cards, for ever: all of them, or none
    Add {
        /// Their files, such as ratecards/v3.json
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the cards: version, when it takes force, when it was learned, SHA-256, reason
    List,
}

#[derive(Debug, Subcommand)]
enum Quarantine {
    /// List the lines: number, when they came, why they are here, exchange, message, SHA-256, who has seen them and when
    List {
        /// Only those that nobody has marked as seen
        #[arg(long)]
        unseen: bool,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
        /// Their bytes too, as text, or in hexadecimal where they are none
        #[arg(long, requires = "json")]
        bytes: bool,
    },
    /// Mark lines as seen, for good; those that are marked already stay as they are
    Seen {
        /// Their numbers, as `quarantine list` shows them
        #[arg(required_unless_present = "all", value_name = "NUMBER")]
        numbers: Vec<i64>,
        /// All that are there now
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
        /// Who has seen them
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why they may rest: what became of each call
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Args)]
struct Entries {
    /// Only of this account
    #[arg(long)]
    account: Option<String>,
    /// Only of this exchange
    #[arg(long, value_name = "ID")]
    exchange: Option<ExchangeId>,
    /// Only of this UTC day and later
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<UtcDay>,
    /// Only of this UTC day and earlier
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<UtcDay>,
}

/// A daily cap as an operator writes it.
#[derive(Clone, Copy, Debug)]
struct CapAmount(Pax);

impl FromStr for CapAmount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(cap) if cap >= Pax::ZERO => Ok(Self(cap)),
            Ok(_) => Err("must not be negative; 0 blocks the account".to_owned()),
            Err(error) => Err(format!("{error}; an amount of PAX such as 2.5, where 0 blocks the account")),
        }
    }
}

/// A daily cap of the account's own, or the rate card's.
#[derive(Clone, Copy, Debug)]
struct Cap(Option<Pax>);

impl FromStr for Cap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|CapAmount(cap)| Self(Some(cap)))
            .map_err(|error| format!("{error}, or `default` for the rate card's"))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TierName {
    /// The free tier's models, up to a daily cap
    Free,
    /// Any priced model, without a limit: it has no balance yet
    Credit,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Free => Self::Free,
            TierName::Credit => Self::Credit,
        }
    }
}

/// Runs the program: 0 where all is well, 1 where something failed or a replay found a difference, 2 where the
/// command line is wrong.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    match commands::run(cli).await {
        Ok(code) => code,
        // `pax-ledger entries | head`: whoever read has what they wanted.
        Err(Error::Io { why, .. }) if why.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pax-ledger: {error}");
            ExitCode::FAILURE
        }
    }
}

fn printing(why: std::io::Error) -> Error {
    Error::Io { doing: "printing".to_owned(), why }
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(printing)
}

fn print_table<const N: usize>(rows: &[[String; N]]) -> Result<(), Error> {
    let width =
        |index: usize| rows.iter().filter_map(|row| row.get(index)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    print(&lines.collect::<Vec<_>>().join("\n"))
}
