//! What each command takes.

mod acting;
mod asking;
mod crediting;
mod holds;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;

pub(super) use acting::Acting;
pub(super) use asking::{Asked, Entries, Explain, KindName, OperatorLog, Reporting};
pub(super) use crediting::{Amount, Correct, GrantOf, Many, NewAmount};
pub(super) use holds::Holds;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where filters call; port 0 takes a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9801")]
    pub(super) internal: SocketAddr,
    /// Where callers' requests arrive through Envoy; port 0 takes a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9802")]
    pub(super) public: SocketAddr,
    /// A file that holds the shared secret; without it, PAX_LEDGER_SECRET
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
    /// After SIGTERM, go on for so long while filters still come: their Envoy may be stopped at the same time
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(super) linger_s: u64,
    /// The newest version of debits to read. With 1 filters write version 1 from the next resolve on, and keep what they
    /// have written in version 2: for filters that stay while the ledger goes back to a backup of an older program, which
    /// opens no newer file (README: Upgrading and rolling back)
    #[arg(long, value_name = "VERSION", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub(super) canon_v: u32,
}

#[derive(Debug, Args)]
pub(super) struct Health {
    /// Where filters call
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9801")]
    pub(super) internal: SocketAddr,
    /// Where callers' requests arrive
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9802")]
    pub(super) public: SocketAddr,
}

#[derive(Debug, Subcommand)]
pub(super) enum Account {
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
        #[command(flatten)]
        acting: Acting,
    },
    /// Set what an account of tier free may spend in a UTC day
    Cap {
        /// Its name
        name: String,
        /// A decimal number of PAX (0 blocks), or `default` for what the rate card says
        #[arg(value_name = "PAX|default", allow_negative_numbers = true)]
        cap: Cap,
        #[command(flatten)]
        acting: Acting,
    },
    /// List all accounts: name, tier, status, entries, balance and daily cap in PAX
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show one account: what it may spend today and has spent, its balance, its chain's head, its tokens
    Show {
        /// Its name
        name: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Move an account to another tier
    Tier {
        /// Its name
        name: String,
        /// What it may do from now on
        tier: TierName,
        #[command(flatten)]
        acting: Acting,
    },
    /// Refuse an account's calls from now on
    #[command(visible_alias = "freeze")]
    Disable {
        /// Its name
        name: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// Allow a disabled account's calls again
    #[command(visible_alias = "unfreeze")]
    Enable {
        /// Its name
        name: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// Close an account for good: no call, no grant and no token any more. What is left of its balance is paid out by an
    /// entry, once its open calls have ended. Its name is never used again
    #[command(mut_arg("reason", |reason| reason.required(true)))]
    Close {
        /// Its name
        name: String,
        #[command(flatten)]
        acting: Acting,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
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
        #[command(flatten)]
        acting: Acting,
    },
    /// List tokens: id, account, label, state; never the token
    List {
        /// Only of this account
        account: Option<String>,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token, for good
    Revoke {
        /// Its id, as `token list` shows it
        #[arg(required_unless_present = "token")]
        token_id: Option<String>,
        /// The token itself, where it is known to everybody anyway (that of a demo)
        #[arg(long, value_name = "VALUE", conflicts_with = "token_id")]
        token: Option<String>,
        #[command(flatten)]
        acting: Acting,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Cards {
    /// Learn published cards, for ever: all of them, or none
    Add {
        /// Their files, such as ratecards/v3.json
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the cards: version, when it takes force, when it was learned, SHA-256, reason
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Quarantine {
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
    /// Mark lines as seen, for good; those that are marked already stay as they are. The reason says what became of each
    /// call
    #[command(mut_arg("reason", |reason| reason.required(true)))]
    Seen {
        /// Their numbers, as `quarantine list` shows them
        #[arg(required_unless_present = "all", value_name = "NUMBER")]
        numbers: Vec<i64>,
        /// All that are there now
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
        #[command(flatten)]
        acting: Acting,
    },
}

/// A daily cap as an operator writes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct CapAmount(pub(super) Pax);

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
pub(super) struct Cap(pub(super) Option<Pax>);

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
pub(super) enum TierName {
    /// The free tier's models, up to a daily cap
    Free,
    /// Any priced model; its balance may fall below zero
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
