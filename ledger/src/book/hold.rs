//! Holds: what may be set aside for a call before it goes to its provider, and what it draws on.

use pax_gateway::base::account::{Funding, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{HoldOutcome, HoldReply, HoldRequest};
use pax_gateway::debit::frozen::Ending;

use super::{Received, Sum, read};

/// A hold is refused if its exchange began longer ago, or later, than this by the ledger's clock. What is kept of ended
/// holds and of voids is kept far longer ([`ENDED_KEPT_MS`]), so a hold for which something was forgotten is refused.
pub const CLOCKS_DIFFER_MS: u64 = 60 * 60 * 1_000;
/// How long an ended hold and a tombstone are kept.
pub const ENDED_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long an expired hold is kept, so that an operator may charge it.
pub const EXPIRED_KEPT_MS: u64 = 31 * ENDED_KEPT_MS;
/// The longest life of a hold, even if its Envoy renews its lease.
pub const LONGEST_LIFE_MS: u64 = 24 * 60 * 60 * 1_000;

/// A hold that a filter asks for.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The Envoy that asks, how much, and the card's cap.
    pub asked: HoldRequest,
    /// The debit of the call if it is lost: it names the exchange, the account, the token, the tier and the day.
    pub lost: Received,
}

impl Hold {
    /// Reads the two lines of a hold.
    ///
    /// # Errors
    /// Why it is no hold, for the operator.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let body = body.strip_suffix(b"\n").unwrap_or(body);
        let mut lines = body.splitn(2, |byte| *byte == b'\n');
        let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
            return Err("a hold has two lines: what is asked, and the debit of the lost call".to_owned());
        };
        let asked: HoldRequest =
            serde_json::from_slice(first).map_err(|why| format!("its first line cannot be read: {why}"))?;
        let lost = read(second)
            .map_err(|rejected| format!("its second line, the debit of the lost call: {}", rejected.why))?;
        let debit = &lost.debit;
        let is_own = |id: &String| *id == debit.exchange_id.to_string();
        let wrong = if !is_envoy(&asked.envoy) {
            "`envoy` must be 16 hex digits in lowercase"
        } else if asked.hold_pax < Pax::ZERO {
            "`hold_pax` is negative"
        } else if asked.card_cap_pax.is_some_and(|cap| cap < Pax::ZERO) {
            "`card_cap_pax` is negative"
        } else if debit.ending != Ending::Lost {
            "the ending of the lost call's debit is not `lost`"
        } else if !debit.hold_id.as_ref().is_some_and(is_own) {
            "the `hold_id` of the lost call's debit is not its exchange"
        } else if debit.funding != Funding::Platform {
            "nothing is held for a call with the caller's own key"
        } else if debit.tier == Tier::Free && asked.card_cap_pax.is_none() {
            "a hold on tier free names the daily cap of its card, `card_cap_pax`"
        } else {
            return Ok(Self { asked, lost });
        };
        Err(wrong.to_owned())
    }

    /// Whether its exchange began at about this moment.
    #[must_use]
    pub fn is_timely(&self, now: Moment) -> bool {
        let began = self.lost.debit.exchange_id.began();
        began.since_ms(now).max(now.since_ms(began)) <= CLOCKS_DIFFER_MS
    }
}

/// Whether a text names an Envoy.
#[must_use]
pub fn is_envoy(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a hold has to fit into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Whether the account may call.
    pub is_active: bool,
    /// Whether the token is the account's, and neither revoked nor over.
    pub is_token_good: bool,
    /// The balance.
    pub balance: Sum,
    /// What open holds of tier credit set aside from it.
    pub held: Pax,
    /// What was spent on the call's day.
    pub spent: Sum,
    /// What open holds of that day set aside.
    pub day_held: Pax,
    /// The account's own daily cap.
    pub daily_cap: Option<Pax>,
}

impl Room {
    /// Decides about a hold of an amount on a tier. The first thing that is in its way is answered.
    #[must_use]
    pub fn decide(&self, tier: Tier, hold: Pax, card_cap: Option<Pax>) -> HoldReply {
        let limit_pax = (tier == Tier::Free).then(|| self.daily_cap.or(card_cap)).flatten();
        let held = if tier == Tier::Credit { self.held } else { self.day_held };
        let with_it = held.checked_add(hold);
        let fits = match (tier, limit_pax) {
            (Tier::Credit, _) => with_it.is_some_and(|held| Sum::from(held) <= self.balance),
            // A cap of zero blocks even what costs nothing.
            (Tier::Free, Some(limit)) => {
                let within = with_it.is_some_and(|held| self.spent.plus(held) <= Sum::from(limit));
                within && limit > Pax::ZERO
            }
            (Tier::Free, None) => false,
        };
        let outcome = if !self.is_active {
            HoldOutcome::AccountDisabled
        } else if !self.is_token_good {
            HoldOutcome::UnknownToken
        } else if fits {
            HoldOutcome::Held
        } else if tier == Tier::Credit {
            HoldOutcome::InsufficientCredit
        } else {
            HoldOutcome::DailyCapExceeded
        };
        let held_pax = if outcome == HoldOutcome::Held { with_it.unwrap_or(held) } else { held };
        HoldReply {
            balance_pax: self.balance.nearest(),
            held_pax,
            spent_pax: self.spent.nearest(),
            limit_pax,
            ..answer(outcome)
        }
    }
}

/// An answer without figures.
#[must_use]
pub fn answer(outcome: HoldOutcome) -> HoldReply {
    HoldReply {
        outcome,
        balance_pax: Pax::ZERO,
        held_pax: Pax::ZERO,
        spent_pax: Pax::ZERO,
        limit_pax: None,
        message: None,
    }
}

/// The answer to what is no hold that the ledger can make.
#[must_use]
pub fn rejected(why: impl Into<String>) -> HoldReply {
    HoldReply { message: Some(why.into()), ..answer(HoldOutcome::Rejected) }
}

#[cfg(test)]
#[path = "hold_test.rs"]
mod tests;
