//! What grants and corrections take.

use clap::Args;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::pax::Pax;
use pax_gateway::price::card::RateTableVersion;

use super::Acting;
use crate::book::PlanId;
use crate::book::made::{GrantClass, Paid};
use crate::error::Error;

#[derive(Debug, Args)]
pub(in crate::cli) struct GrantOf {
    /// Whom
    #[arg(required_unless_present = "to_zero")]
    pub(in crate::cli) account: Option<String>,
    /// How much, a decimal number of PAX, at most 1000000
    #[arg(value_name = "PAX", allow_negative_numbers = true, required_unless_present = "to_zero")]
    pub(in crate::cli) amount: Option<Amount>,
    /// Why, for reports
    #[arg(long, required_unless_present = "to_zero")]
    pub(in crate::cli) class: Option<GrantClass>,
    /// When what is left of it ends, in UTC; without it, never
    #[arg(long, value_name = "RFC3339")]
    pub(in crate::cli) expires: Option<Moment>,
    /// What was paid for it, such as 12.50EUR
    #[arg(long, value_name = "PRICE")]
    pub(in crate::cli) paid: Option<Paid>,
    /// What it is called elsewhere: an invoice, an order
    #[arg(long, value_name = "TEXT", value_parser = reference)]
    pub(in crate::cli) reference: Option<String>,
    /// Grant every account whose balance is below zero what it lacks, as goodwill; the keys are KEY/ACCOUNT
    #[arg(long, requires_all = ["all", "key"], conflicts_with_all = ["account", "amount", "class", "expires", "paid", "reference"])]
    pub(in crate::cli) to_zero: bool,
    /// All accounts; with --to-zero
    #[arg(long, requires = "to_zero")]
    pub(in crate::cli) all: bool,
    /// Only list what would be granted; with --to-zero
    #[arg(long, requires = "to_zero")]
    pub(in crate::cli) dry_run: bool,
    #[command(flatten)]
    pub(in crate::cli) acting: Acting,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Correct {
    /// A call, by its exchange's id; with --grant a grant, by its key
    #[arg(value_name = "EXCHANGE|KEY", required_unless_present = "card")]
    pub(in crate::cli) what: Option<String>,
    /// What is named is a grant's key
    #[arg(long)]
    pub(in crate::cli) grant: bool,
    #[command(flatten)]
    pub(in crate::cli) amount: AskedAmount,
    #[command(flatten)]
    pub(in crate::cli) many: Many,
    #[command(flatten)]
    pub(in crate::cli) acting: Acting,
}

/// Which calls are priced again all at once.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many calls at once, with --reprice-as")]
pub(in crate::cli) struct Many {
    /// All calls that the rate card of this version has priced
    #[arg(long, value_name = "VERSION", requires = "reprice_as", conflicts_with_all = ["what", "grant", "to"])]
    pub(in crate::cli) card: Option<u32>,
    /// Only calls of this account
    #[arg(long, value_name = "NAME", requires = "card")]
    pub(in crate::cli) account: Option<String>,
    /// Only calls of this model
    #[arg(long, value_name = "ID", requires = "card")]
    pub(in crate::cli) model: Option<String>,
    /// Only calls of this UTC day and later
    #[arg(long, value_name = "YYYY-MM-DD", requires = "card")]
    pub(in crate::cli) since: Option<UtcDay>,
    /// Only calls of this UTC day and earlier
    #[arg(long, value_name = "YYYY-MM-DD", requires = "card")]
    pub(in crate::cli) until: Option<UtcDay>,
    /// Only print the plan: how many calls, what they cost before and after, and the plan's name. With --plan and the --key
    /// of a run that was interrupted, how far that has come
    #[arg(long, requires = "card")]
    pub(in crate::cli) dry_run: bool,
    /// Do what this plan says, as --dry-run has named it. If it is interrupted, the same command does the rest
    #[arg(long, value_name = "PLAN", requires_all = ["card", "key"])]
    pub(in crate::cli) plan: Option<PlanId>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct AskedAmount {
    /// What the call is to cost, or the grant to be: a decimal number of PAX
    #[arg(long, value_name = "PAX", allow_negative_numbers = true)]
    to: Option<Amount>,
    /// What the call costs under the rate card of this version
    #[arg(long, value_name = "VERSION")]
    reprice_as: Option<u32>,
}

/// The amount that is asked for.
pub(in crate::cli) enum NewAmount {
    To(Pax),
    RepriceAs(RateTableVersion),
}

impl AskedAmount {
    pub(in crate::cli) fn which(&self) -> Result<NewAmount, Error> {
        match (self.to, self.reprice_as) {
            (Some(Amount(to)), None) => Ok(NewAmount::To(to)),
            (None, Some(version)) => Ok(NewAmount::RepriceAs(RateTableVersion(version))),
            _ => Err(Error::Operator("say either --to PAX or --reprice-as VERSION".to_owned())),
        }
    }
}

/// A decimal number of PAX.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Amount(pub(in crate::cli) Pax);

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|why| format!("{why}"))
    }
}

fn reference(text: &str) -> Result<String, String> {
    let fits = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("1 to 256 printable characters".to_owned()) }
}
