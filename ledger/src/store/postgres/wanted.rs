//! What a transaction asks for: it is read, under the accounts' locks, before anything is decided.

use std::collections::BTreeSet;

use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::debit::frozen::Debit;

use crate::book::Line;
use crate::book::hold::Hold;
use crate::book::made::better_key;
use crate::store::Corrects;

/// The keys of rows.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Wanted {
    /// Accounts, which are locked; of each come the lots of which something is left.
    pub(super) accounts: BTreeSet<String>,
    pub(super) days: BTreeSet<(String, UtcDay)>,
    pub(super) token_days: BTreeSet<(String, String, UtcDay)>,
    /// Accounts of which all lots are read.
    pub(super) all_lots: BTreeSet<String>,
    /// Exchanges: their holds, entries and tombstones.
    pub(super) exchanges: BTreeSet<String>,
    pub(super) tokens: BTreeSet<String>,
    pub(super) envoys: BTreeSet<String>,
    /// Keys of entries.
    pub(super) keys: BTreeSet<String>,
    /// Calls and grants of which the last correction is read.
    pub(super) corrected: BTreeSet<(bool, String)>,
}

impl Wanted {
    /// What a line of a batch needs.
    pub(in crate::store) fn line(&mut self, line: &Line) {
        match line {
            Line::Debit(received) => self.debit(&received.debit),
            Line::Void(void) => {
                self.account(&void.account);
                self.exchange(&void.void);
            }
            Line::Needless(_) | Line::Rejected(_) => {}
        }
    }

    /// What a hold needs.
    pub(in crate::store) fn hold(&mut self, hold: &Hold) {
        self.debit(&hold.lost.debit);
        self.tokens.insert(hold.lost.debit.token_id.clone());
        self.envoy(&hold.asked.envoy);
    }

    /// What an entry of a call needs.
    pub(in crate::store) fn debit(&mut self, debit: &Debit) {
        self.account(&debit.account);
        self.days.insert((debit.account.clone(), debit.utc_day));
        self.token_days.insert((debit.account.clone(), debit.token_id.clone(), debit.utc_day));
        self.exchange(&debit.exchange_id);
    }

    /// An account.
    pub(in crate::store) fn account(&mut self, account: &str) {
        self.accounts.insert(account.to_owned());
    }

    /// An exchange.
    pub(in crate::store) fn exchange(&mut self, exchange: &ExchangeId) {
        self.exchanges.insert(exchange.to_string());
    }

    /// An Envoy's lease.
    pub(in crate::store) fn envoy(&mut self, envoy: &str) {
        self.envoys.insert(envoy.to_owned());
    }

    /// What is to be corrected.
    pub(in crate::store) fn corrected(&mut self, what: &Corrects) {
        match what {
            Corrects::Call(exchange) => {
                self.exchanges.insert(exchange.clone());
                self.keys.insert(better_key(exchange));
            }
            Corrects::Grant(key) => {
                self.keys.insert(key.clone());
            }
        }
        self.corrected.insert((matches!(what, Corrects::Call(_)), what.name().to_owned()));
    }

    /// Adds what another one wants.
    pub(super) fn join(&mut self, other: Self) {
        self.accounts.extend(other.accounts);
        self.days.extend(other.days);
        self.token_days.extend(other.token_days);
        self.all_lots.extend(other.all_lots);
        self.exchanges.extend(other.exchanges);
        self.tokens.extend(other.tokens);
        self.envoys.extend(other.envoys);
        self.keys.extend(other.keys);
        self.corrected.extend(other.corrected);
    }
}
