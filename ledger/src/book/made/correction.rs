//! Corrections: what an earlier entry moved is changed by an entry of its own. History stays as it is.

use pax_gateway::base::account::{Funding, Tier};
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;
use pax_gateway::dialect::usage::Mode;
use pax_gateway::price::card::{RateCard, RateTableVersion};
use serde::{Deserialize, Serialize};

use super::super::{Change, Value};
use super::negative;

/// What a correction repeats of the debit that it corrects, so that reports put both into one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Original {
    /// The tier at admission.
    pub tier: Tier,
    /// Whose key paid.
    pub funding: Funding,
    /// The token's id.
    pub token_id: String,
    /// The slot.
    pub slot: String,
    /// The route.
    pub mode: Mode,
    /// The model.
    pub model: String,
    /// Who served it.
    pub provider: String,
    /// The card that priced the call.
    pub rate_table_v: RateTableVersion,
    /// Its hash.
    pub card_sha256: Digest,
}

impl From<&Debit> for Original {
    fn from(debit: &Debit) -> Self {
        Self {
            tier: debit.tier,
            funding: debit.funding,
            token_id: debit.token_id.clone(),
            slot: debit.slot.clone(),
            mode: debit.mode,
            model: debit.model.clone(),
            provider: debit.provider.clone(),
            rate_table_v: debit.rate_table_v,
            card_sha256: debit.card_sha256,
        }
    }
}

/// What an earlier entry moved is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    pub(super) canon_v: u32,
    pub(super) kind: String,
    /// Its idempotency key.
    pub key: String,
    /// The account.
    pub account: String,
    /// What is corrected: an exchange's id, or a grant's key.
    pub corrects: String,
    /// What it repeats of the exchange's debit. None if a grant is corrected.
    pub debit: Option<Original>,
    /// The day of the corrected entry.
    pub utc_day: UtcDay,
    /// What the call cost, or what was granted, after all corrections before this one.
    pub was_pax: Pax,
    /// The same from now on.
    pub now_pax: Pax,
    /// The card under which the call was priced again, by its hash. None if an operator named the amount.
    pub repriced_under: Option<Digest>,
    /// The canonical bytes of the true debit, if it came after an estimate.
    pub better: Option<String>,
    /// When the ledger took it.
    pub occurred_at: Moment,
    /// Who corrected it.
    pub by: String,
    /// Why, in words.
    pub reason: String,
}

impl Correction {
    /// A correction of a debit.
    #[must_use]
    pub fn of_debit(key: &str, debit: &Debit, (was_pax, now_pax): (Pax, Pax), occurred_at: Moment) -> Self {
        let corrects = debit.exchange_id.to_string();
        let original = Some(Original::from(debit));
        Self::new((key, &debit.account, corrects), original, debit.utc_day, (was_pax, now_pax), occurred_at)
    }

    /// A correction of a grant.
    #[must_use]
    pub fn of_grant(
        key: &str,
        grant: &super::Grant,
        (was_pax, now_pax): (Pax, Pax),
        occurred_at: Moment,
    ) -> Self {
        let utc_day = grant.occurred_at.day();
        Self::new((key, &grant.account, grant.key.clone()), None, utc_day, (was_pax, now_pax), occurred_at)
    }

    fn new(
        (key, account, corrects): (&str, &str, String),
        debit: Option<Original>,
        utc_day: UtcDay,
        (was_pax, now_pax): (Pax, Pax),
        occurred_at: Moment,
    ) -> Self {
        Self {
            canon_v: 1,
            kind: "correction".to_owned(),
            key: key.to_owned(),
            account: account.to_owned(),
            corrects,
            debit,
            utc_day,
            was_pax,
            now_pax,
            repriced_under: None,
            better: None,
            occurred_at,
            by: String::new(),
            reason: String::new(),
        }
    }

    /// How much dearer the call has become; nothing if a grant is corrected.
    #[must_use]
    pub fn cost(&self) -> Pax {
        if self.debit.is_some() { self.difference() } else { Pax::ZERO }
    }

    /// How much the balance rises. A call on tier `free` or with the caller's own key moved no balance, and its
    /// correction moves none.
    #[must_use]
    pub fn balance(&self) -> Pax {
        match &self.debit {
            None => self.difference(),
            Some(Original { tier: Tier::Credit, funding: Funding::Platform, .. }) => {
                negative(self.difference())
            }
            Some(_) => Pax::ZERO,
        }
    }

    /// The key of the batch that made it, if a batch did: its own key ends with what it corrects.
    #[must_use]
    pub fn batch_key(&self) -> Option<&str> {
        self.key.strip_suffix(&self.corrects)?.strip_suffix('/')
    }

    /// What it does, as a plan has it.
    #[must_use]
    pub fn change(&self) -> Change {
        Change { corrects: self.corrects.clone(), was_pax: self.was_pax, now_pax: self.now_pax }
    }

    /// The better report that it embeds, if it embeds one.
    #[must_use]
    pub fn better_debit(&self) -> Option<Result<Debit, String>> {
        let read = |better: &String| Debit::from_canonical(better.as_bytes()).map_err(|bad| bad.to_string());
        self.better.as_ref().map(read)
    }

    fn difference(&self) -> Pax {
        // Neither is negative, so the difference is in range.
        self.now_pax.checked_sub(self.was_pax).unwrap_or_default()
    }

    /// The value of a column that it repeats of a debit, or of `corrects`.
    pub(super) fn column(&self, name: &str) -> Value {
        let text = |text: &str| Value::Text(text.to_owned());
        if name == "corrects" {
            return text(&self.corrects);
        }
        let Some(debit) = &self.debit else { return Value::Null };
        match name {
            "tier" => text(debit.tier.name()),
            "funding" => text(debit.funding.name()),
            "token_id" => text(&debit.token_id),
            "slot" => text(&debit.slot),
            "mode" => text(debit.mode.name()),
            "model" => text(&debit.model),
            "provider" => text(&debit.provider),
            "rate_table_v" => Value::Int(i64::from(debit.rate_table_v.0)),
            "card_sha256" => text(&debit.card_sha256.to_string()),
            _ => Value::Null,
        }
    }
}

/// The keys of corrections that embed a better report begin like this.
pub const BETTER: &str = "better/";

/// The key of the correction that embeds the better report on an exchange. A call has one at most.
#[must_use]
pub fn better_key(exchange: &str) -> String {
    format!("{BETTER}{exchange}")
}

/// What a call costs under another card.
///
/// # Errors
/// Why it has no price there.
pub fn repriced(debit: &Debit, card: &RateCard) -> Result<Pax, String> {
    let model = card.models.get(&debit.model).filter(|model| model.mode == debit.mode);
    let model = model.ok_or_else(|| {
        format!("rate card {} does not price {:?} on this route", card.version, debit.model)
    })?;
    let cost = debit.charge(model).map_err(|bad| bad.to_string())?;
    cost.ok_or_else(|| "what it would cost is more than an amount can be".to_owned())
}
