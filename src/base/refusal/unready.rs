//! Why no calls can be served, as `/readyz` tells it.

/// Why no calls can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// The kill switch.
    Disabled,
    /// The ledger did not answer the last question, or was not asked yet.
    LedgerSilent,
    /// So many debits wait for the ledger that there is no room for the debit of another call.
    OutboxFull,
    /// No rate card is in force, or the ledger does not know it yet.
    NoCard,
}

impl Unready {
    /// The words that a probe gets.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Disabled => "The gateway takes no calls: its operator has switched it off (`disabled`).",
            Self::LedgerSilent => {
                "The gateway takes no calls: its ledger does not answer, or refuses the gateway's secret."
            }
            Self::OutboxFull => {
                "The gateway takes no calls: too many debits wait for its ledger. Look at why that does not take them."
            }
            Self::NoCard => {
                "The gateway takes no calls: no rate card is in force that its ledger knows. Envoy's log says why."
            }
        }
    }
}
