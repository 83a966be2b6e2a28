//! What the commands on holds take.

use clap::Subcommand;
use pax_gateway::base::exchange_id::ExchangeId;

use super::Acting;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Holds {
    /// List the holds that are open or have expired, the oldest first: exchange, account, state, amount, since when, Envoy,
    /// model, what `charge` would charge
    List {
        /// Only of this account
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        /// Only those that have expired: their Envoy is gone, and nobody was charged for their calls
        #[arg(long)]
        lapsed: bool,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// End a hold without a charge; of one that has expired, take it off the list. If the call's debit comes all the same,
    /// it is charged
    Void {
        /// The exchange
        exchange: ExchangeId,
        #[command(flatten)]
        acting: Acting,
    },
    /// Charge the call of a hold that has expired, by an estimate of its input. If its true debit comes later, that corrects
    /// the charge
    Charge {
        /// The exchange
        exchange: ExchangeId,
        #[command(flatten)]
        acting: Acting,
    },
}
