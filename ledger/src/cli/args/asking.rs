//! What the commands that only read take: entries, reports, explanations, the operator log.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;

use crate::calls_log::words::{self, Words};
use crate::error::Error;
use crate::report::Dimension;
use crate::store::Order;

#[derive(Debug, Args)]
pub(in crate::cli) struct Entries {
    /// Only of this account
    #[arg(long)]
    pub(in crate::cli) account: Option<String>,
    /// Only of this exchange
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) exchange: Option<ExchangeId>,
    /// Only of this kind
    #[arg(long, value_enum)]
    pub(in crate::cli) kind: Option<KindName>,
    /// Only of this UTC day and later
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(in crate::cli) since: Option<UtcDay>,
    /// Only of this UTC day and earlier
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(in crate::cli) until: Option<UtcDay>,
    #[command(flatten)]
    pub(in crate::cli) time: Between,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) limit: Option<u64>,
    /// In the order in which they were recorded (asc), or the newest first (desc)
    #[arg(long, value_enum, default_value_t = OrderName::Asc)]
    pub(in crate::cli) order: OrderName,
    /// RFC 4180 with a header line; what a spreadsheet would take for a formula gets an apostrophe in front
    #[arg(long, conflicts_with = "json")]
    pub(in crate::cli) csv: bool,
    /// One JSON object per line, as without it
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KindName {
    /// What calls cost
    Debit,
    /// Credit that operators gave
    Grant,
    /// What was put right afterwards
    Correction,
    /// What was left of grants that were over
    Expiry,
    /// What closed accounts had left
    Payout,
}

impl KindName {
    /// The value of the column `kind`.
    pub(in crate::cli) const fn column(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Grant => "grant",
            Self::Correction => "correction",
            Self::Expiry => "expiry",
            Self::Payout => "payout",
        }
    }
}

/// When the calls began.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct Between {
    /// Only of calls that began at this time or later: RFC 3339 in UTC, or a UTC day, which is its first moment
    #[arg(long, value_name = "TIME|DAY")]
    from: Option<TimeOrDay>,
    /// Only of calls that began before this time: itself it is not included, nor is a day
    #[arg(long, value_name = "TIME|DAY")]
    to: Option<TimeOrDay>,
}

impl Between {
    /// From when on, and until when.
    pub(in crate::cli) fn moments(self) -> Result<(Option<Moment>, Option<Moment>), Error> {
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
pub(in crate::cli) enum OrderName {
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
pub(in crate::cli) struct Explain {
    /// `x-request-id` or `x-matrix-exchange-id` of the answer; or an error's code, to be told what it means
    #[arg(value_name = "ID|CODE")]
    pub(in crate::cli) asked: Asked,
    /// A calls log (envoy/README.md: The calls log), with FILE.1, FILE.2 and so on beside it; or - for standard input. May
    /// be given several times
    #[arg(long = "log", value_name = "FILE", env = "PAX_CALLS_LOG")]
    pub(in crate::cli) logs: Vec<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// What somebody wants explained.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum Asked {
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
pub(in crate::cli) struct Reporting {
    /// What to group by, in this order; without it there is the total alone
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DIMENSION,...")]
    pub(in crate::cli) by: Vec<Dimension>,
    /// Only of this account
    #[arg(long)]
    pub(in crate::cli) account: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) time: Between,
    /// RFC 4180 with a header line; what a spreadsheet would take for a formula gets an apostrophe in front
    #[arg(long, conflicts_with = "json")]
    pub(in crate::cli) csv: bool,
    /// One JSON object per line
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OperatorLog {
    /// Only what concerns this account: the account itself and its tokens
    #[arg(long)]
    pub(in crate::cli) account: Option<String>,
    /// Only of this UTC day and later
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(in crate::cli) since: Option<UtcDay>,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) limit: Option<u64>,
    /// One JSON object per line
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
