//! From what was admitted and what was answered to the one debit, or to none.

use crate::base::account::Funding;
use crate::base::clock::Moment;
use crate::base::pax::{Pax, Tokens};
use crate::base::stopwatch::Lasted;
use crate::base::text::AsText;
use crate::debit::admission::{Admission, Answered};
use crate::debit::counting::{self, Counted};
use crate::debit::debiting_1;
use crate::debit::estimate::{ESTIMATOR, EstimatedFrom};
use crate::debit::frozen::{Debit, Ending, EntryKind, Flag, Provenance};
use crate::dialect::usage::Reading;
use crate::price::rates::{ServedTier, ServiceTier};
use crate::reading::answer::said::Said;

/// The debit of an exchange that the provider answered with 2xx, or might have answered so if the caller had
/// stayed. None if the answer was nothing but an error, or if the model has no price (which admission has
/// refused). The debit has the newest version that the ledger reads.
#[must_use]
pub fn debit_of(admission: &Admission, answered: Answered, now: Moment) -> Option<Debit> {
    let said = &answered.said;
    if said.only_error && !said.usage.is_reported() {
        return None;
    }
    if admission.priced().is_none() && admission.funding == Funding::Platform {
        return None;
    }
    let debit = Debit {
        stream: answered.stream,
        upstream_status: answered.status,
        response_id: said.id.clone(),
        settled_at: now.max(admission.admitted_at),
        ..undecided(admission)
    };
    if admission.account.canon_v == 1 {
        return Some(debiting_1::debit_of(admission, &answered, debit));
    }
    let Lasted { first_byte_ms, unseen_ms, duration_ms } = answered.lasted;
    let mut flags = Vec::new();
    let rules = admission.usage_rules.latest();
    let reading = counting::read(rules, admission.mode, said, &mut flags);
    let tier = tier(said, reading.as_ref(), admission, &mut flags);
    let unseen_ms = unseen_ms.filter(|_| admission.may_write_unseen());
    let counted = counting::count(admission, said, reading.as_ref(), unseen_ms, &mut flags);
    let served = match &tier {
        None => ServedTier::Standard,
        Some(_) if flags.contains(&Flag::ServiceTierUnpriced) => ServedTier::Unpriced,
        Some(name) => ServedTier::Tier(name),
    };
    let cost_pax = counting::charge(admission, &counted, served, &mut flags);
    flags.sort_unstable();
    flags.dedup();
    let Counted { usage, estimate, is_reported, .. } = counted;
    let mut debit = Debit {
        canon_v: 2,
        asked_model: admission.asked_model.clone(),
        provider_request_id: answered.provider_request_id,
        service_tier: tier,
        ending: answered.ending,
        flags,
        provenance: if estimate.is_none() { Provenance::Reported } else { Provenance::Estimated },
        usage_rules: is_reported.then(|| rules.name().to_owned()),
        usage: said.usage.text(),
        hold_id: admission.hold.map(|_| admission.exchange_id.text()),
        n: Some(admission.n),
        stated_maximum: admission.stated_maximum,
        input_limit: Some(admission.input_limit),
        output_limit: Some(admission.output_limit),
        unseen_ms,
        estimator: estimate.map(|_| ESTIMATOR.to_owned()),
        estimated_from: estimate.map(EstimatedFrom::Bytes2),
        cost_pax,
        first_byte_ms,
        duration_ms,
        ..debit
    };
    debit.set_usage(&usage);
    Some(debit)
}

/// The debit of a call of which nothing is known but that it was admitted: its input is charged. When it ended is not
/// known, so the debit has the time of its admission. `ending`: what became of it.
#[must_use]
pub fn debit_of_unknown(admission: &Admission, ending: Ending) -> Option<Debit> {
    let answered = Answered { ending, ..Answered::without_head(admission, Lasted::default()) };
    debit_of(admission, answered, admission.admitted_at)
}

/// A debit of the first version, with what the admission alone says.
fn undecided(admission: &Admission) -> Debit {
    Debit {
        canon_v: 1,
        kind: EntryKind::Debit,
        exchange_id: admission.exchange_id,
        account: admission.account.account.clone(),
        tier: admission.account.tier,
        token_id: admission.account.token_id.clone(),
        funding: admission.funding,
        slot: admission.slot.clone(),
        intent_id: admission.intent_id.clone(),
        goal_id: admission.goal_id.clone(),
        mode: admission.mode,
        asked_model: None,
        model: admission.model.clone(),
        provider: admission.provider.clone(),
        stream: admission.wants_stream,
        upstream_status: None,
        provider_request_id: None,
        response_id: None,
        hold_id: None,
        service_tier: None,
        ending: Ending::Complete,
        flags: Vec::new(),
        provenance: Provenance::Reported,
        usage_rules: None,
        usage: None,
        n: None,
        stated_maximum: None,
        input_limit: None,
        output_limit: None,
        unseen_ms: None,
        estimator: None,
        estimated_from: None,
        tokens_input: Tokens::ZERO,
        tokens_cached_input: Tokens::ZERO,
        tokens_cache_write_input: Tokens::ZERO,
        tokens_cache_write_1h_input: Tokens::ZERO,
        tokens_audio_input: Tokens::ZERO,
        tokens_image_input: Tokens::ZERO,
        tokens_output: Tokens::ZERO,
        tokens_audio_output: Tokens::ZERO,
        tokens_image_output: Tokens::ZERO,
        tokens_reasoning_output: Tokens::ZERO,
        cost_pax: Pax::ZERO,
        rate_table_v: admission.card.version,
        card_sha256: admission.card.sha256,
        occurred_at: admission.admitted_at,
        settled_at: admission.admitted_at,
        first_byte_ms: None,
        duration_ms: None,
        utc_day: admission.admitted_at.day(),
    }
}

/// The service tier that prices a call: the one that the provider says it served, which may be another than
/// the one that was asked for. It is flagged if the card does not price it. If the provider says nothing, it
/// is the one that was asked for.
fn tier(
    said: &Said,
    reading: Option<&Reading>,
    admission: &Admission,
    flags: &mut Vec<Flag>,
) -> Option<String> {
    let in_usage = || reading?.service_tier.as_deref().map(ServiceTier::served);
    let served = match &said.service_tier {
        ServiceTier::Auto => in_usage().unwrap_or_default(),
        said => said.clone(),
    };
    match served {
        ServiceTier::Plain => None,
        ServiceTier::Named(name) => {
            if !admission.priced().is_some_and(|model| model.service_tiers.contains_key(&name)) {
                flags.push(Flag::ServiceTierUnpriced);
            }
            Some(name)
        }
        ServiceTier::Auto => admission.service_tier.clone(),
    }
}

#[cfg(test)]
#[path = "debiting_test.rs"]
mod tests;
