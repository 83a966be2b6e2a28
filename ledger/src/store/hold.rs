//! Holds, as they are kept.

use std::sync::LazyLock;

use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::pax::Pax;
use serde::{Deserialize, Serialize};

/// The question whose rows are [`HoldRow`]s.
pub(super) const HOLD: &str = "SELECT exchange_id, account, token_id, utc_day, tier, held_picopax, envoy, made_at, lost, state, \
     ended_at FROM holds";

/// The same, of one exchange.
pub(super) static HOLD_OF: LazyLock<String> = LazyLock::new(|| format!("{HOLD} WHERE exchange_id = ?1"));

/// What has become of a hold that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// It sets its amount aside.
    Open,
    /// The call's debit has come.
    Posted,
    /// The call ended without a charge.
    Voided,
    /// Its Envoy is gone, or it grew too old. Nobody was charged.
    Expired,
    /// An operator has charged the call.
    Charged,
}

impl HoldState {
    const ALL: [Self; 5] = [Self::Open, Self::Posted, Self::Voided, Self::Expired, Self::Charged];

    /// Its name in the column.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Posted => "posted",
            Self::Voided => "voided",
            Self::Expired => "expired",
            Self::Charged => "charged",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A hold that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// The exchange.
    pub exchange_id: String,
    /// Its account.
    pub account: String,
    /// Its token.
    pub token_id: String,
    /// The day of its admission.
    pub utc_day: UtcDay,
    /// The tier at its admission.
    pub tier: Tier,
    /// How much was set aside.
    pub held_pax: Pax,
    /// The Envoy that asked.
    pub envoy: String,
    /// When it was made.
    pub made_at: Moment,
    /// The canonical debit of the call if it is lost. None once nobody can need it.
    pub lost: Option<Vec<u8>>,
    /// What has become of it.
    pub state: HoldState,
    /// When it ended. None if it is open.
    pub ended_at: Option<Moment>,
}

impl HoldRow {
    /// How much it still sets aside from the account's balance.
    #[must_use]
    pub fn from_balance(&self) -> Pax {
        if self.state == HoldState::Open && self.tier == Tier::Credit { self.held_pax } else { Pax::ZERO }
    }
}

/// What came of a hold that an operator has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldEnded {
    /// Its account.
    pub account: String,
    /// What it set aside, if it was voided; what its call was charged, if it was charged.
    pub amount_pax: Pax,
}

/// Which holds to list.
#[derive(Clone, Debug, Default)]
pub struct HoldFilter {
    /// Only of this account.
    pub account: Option<String>,
    /// Only those that have expired, which an operator may charge; if not, those that are open too.
    pub expired_only: bool,
}

/// A hold as it was read from the store, with the entry of its exchange. It is not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHold {
    /// The exchange.
    pub exchange_id: String,
    /// Its account.
    pub account: String,
    /// Its token.
    pub token_id: String,
    /// The day of its admission.
    pub utc_day: String,
    /// The tier at its admission.
    pub tier: String,
    /// How much was set aside.
    pub held: Pax,
    /// The canonical debit of the call if it is lost.
    pub lost: Option<Vec<u8>>,
    /// What has become of it.
    pub state: String,
    /// The account and the posting of the exchange's entry. None if it has no entry.
    pub entry: Option<(String, Option<String>)>,
}
