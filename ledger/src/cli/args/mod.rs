//! What each command takes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;

use crate::calls_log::words::{self, Words};
use crate::error::Error;
use crate::report::Dimension;
use crate::store::Order;

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
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Cards {
    /// Learn published cards, for ever: all of them, or none
    Add {
        /// Their files, such as ratecards/v3.json
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
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
pub(super) struct Entries {
    /// Only of this account
    #[arg(long)]
    pub(super) account: Option<String>,
    /// Only of this exchange
    #[arg(long, value_name = "ID")]
    pub(super) exchange: Option<ExchangeId>,
    /// Only of this UTC day and later
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(super) since: Option<UtcDay>,
    /// Only of this UTC day and earlier
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(super) until: Option<UtcDay>,
    #[command(flatten)]
    pub(super) time: Between,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    /// In the order in which they were recorded (asc), or the newest first (desc)
    #[arg(long, value_enum, default_value_t = OrderName::Asc)]
    pub(super) order: OrderName,
    /// RFC 4180 with a header line; what a spreadsheet would take for a formula gets an apostrophe in front
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
    /// One JSON object per line, as without it
    #[arg(long)]
    pub(super) json: bool,
}

/// When the calls began.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Between {
    /// Only of calls that began at this time or later: RFC 3339 in UTC, or a UTC day, which is its first moment
    #[arg(long, value_name = "TIME|DAY")]
    from: Option<TimeOrDay>,
    /// Only of calls that began before this time: itself it is not included, nor is a day
    #[arg(long, value_name = "TIME|DAY")]
    to: Option<TimeOrDay>,
}

impl Between {
    /// From when on, and until when.
    pub(super) fn moments(self) -> Result<(Option<Moment>, Option<Moment>), Error> {
        let (from, to) = (self.from.map(|it| it.0), self.to.map(|it| it.0));
        match from.zip(to) {
            Some((from, to)) if from >= to => Err(Error::Operator(format!(
                "--to {to} is not after --from {from}; --to itself is not included: a whole day is --from DAY --to THE-NEXT"
            ))),
            _ => Ok((from, to)),
        }
    }
}

/// A time, or a UTC day, which is its first moment.
#[derive(Clone, Copy, Debug)]
struct TimeOrDay(Moment);

impl FromStr for TimeOrDay {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = text.parse().or_else(|_| text.parse().map(UtcDay::start));
        moment
            .map(Self)
            .map_err(|_| "must be a UTC time such as 2026-11-23T14:00:00Z, or a UTC day such as 2026-11-23")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OrderName {
    /// Oldest first
    Asc,
    /// Newest first
    Desc,
}

impl From<OrderName> for Order {
    fn from(name: OrderName) -> Self {
        match name {
            OrderName::Asc => Self::OldestFirst,
            OrderName::Desc => Self::NewestFirst,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// `x-request-id` or `x-matrix-exchange-id` of the answer; or an error's code, to be told what it means
    #[arg(value_name = "ID|CODE")]
    pub(super) asked: Asked,
    /// A calls log (envoy/README.md: The calls log), with FILE.1, FILE.2 and so on beside it; or - for standard input. May
    /// be given several times
    #[arg(long = "log", value_name = "FILE", env = "PAX_CALLS_LOG")]
    pub(super) logs: Vec<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// What somebody wants explained.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// An exchange.
    Exchange(ExchangeId),
    /// A request that the filter never saw: Envoy gave it an id.
    Request([u8; ID_LENGTH]),
    /// A code.
    Code(&'static Words),
}

/// The length of a UUID's text.
const ID_LENGTH: usize = 36;

impl FromStr for Asked {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(exchange) = text.parse() {
            return Ok(Self::Exchange(exchange));
        }
        if let Some(words) = words::of(text) {
            return Ok(Self::Code(words));
        }
        let is_id = |id: &[u8; ID_LENGTH]| id.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
        let id = <[u8; ID_LENGTH]>::try_from(text.as_bytes()).ok().filter(is_id);
        id.map(Self::Request).ok_or("must be the id of a request, such as 019abcde-0000-7000-8000-000000000001, or an error's code, such as daily_cap_exceeded")
    }
}

#[derive(Debug, Args)]
pub(super) struct Reporting {
    /// What to group by, in this order; without it there is the total alone
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DIMENSION,...")]
    pub(super) by: Vec<Dimension>,
    /// Only of this account
    #[arg(long)]
    pub(super) account: Option<String>,
    #[command(flatten)]
    pub(super) time: Between,
    /// RFC 4180 with a header line; what a spreadsheet would take for a formula gets an apostrophe in front
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
    /// One JSON object per line
    #[arg(long)]
    pub(super) json: bool,
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
