//! The debit in version 1, for a ledger that does not read a later version yet. It is counted with `bytes/1`
//! and with the first set of the provider's usage rules, since ledgers of that time prove it with those.

use crate::base::account::Funding;
use crate::base::pax::Pax;
use crate::debit::admission::{Admission, Answered};
use crate::debit::bounds::estimated_output_limit;
use crate::debit::counting;
use crate::debit::estimate::{Bytes1, ESTIMATOR_1, EstimatedFrom};
use crate::debit::frozen::{Debit, Ending, Flag, Provenance};
use crate::dialect::usage::Usage;
use crate::price::card::bytes_per_token;
use crate::price::rates::ServiceTier;

/// Counts and charges; `debit` holds what the admission says.
pub(crate) fn debit_of(admission: &Admission, answered: &Answered, debit: Debit) -> Debit {
    let said = &answered.said;
    let mut flags = Vec::new();
    let model = admission.priced();
    let is_priced = |name: &str| model.is_some_and(|model| model.service_tiers.contains_key(name));
    let service_tier = match &said.service_tier {
        ServiceTier::Plain => None,
        ServiceTier::Named(name) if is_priced(name) => Some(name.clone()),
        ServiceTier::Named(_) => {
            flags.push(Flag::ServiceTierUnpriced);
            admission.service_tier.clone()
        }
        ServiceTier::Auto => admission.service_tier.clone(),
    };
    let price = |usage: &Usage| match (admission.funding, model) {
        (Funding::Byo, _) => Some(Pax::ZERO),
        (Funding::Platform, model) => model.and_then(|model| model.price(usage, service_tier.as_deref())),
    };
    let rules = admission.usage_rules.first();
    let reading = counting::read(rules, admission.mode, said, &mut flags);
    // This version has no flag for a usage that cannot be: such a usage is treated as one whose cost is out
    // of range.
    let can_be = |usage: &Usage| counting::impossible(admission, model, usage) == (false, false);
    let cost = reading.as_ref().filter(|reading| can_be(&reading.usage)).and_then(|r| price(&r.usage));
    let ending = match answered.ending {
        Ending::CallerGone | Ending::ProviderBrokeOff => Ending::Cut,
        other => other,
    };
    let mut debit = Debit { ending, usage: said.usage.text(), ..debit };
    if let (Some(reading), Some(cost_pax)) = (&reading, cost) {
        if reading.cached_exceeds_input {
            flags.push(Flag::CachedExceedsInput);
        }
        if model.is_some_and(|model| model.prices.part_exceeds_whole(&reading.usage)) {
            flags.push(Flag::PartExceedsWhole);
        }
        debit.usage_rules = Some(rules.name().to_owned());
        debit.set_usage(&reading.usage);
        debit.cost_pax = cost_pax;
    } else {
        if reading.is_some() {
            flags.push(Flag::CostOutOfRange);
        }
        let bytes_per_token = bytes_per_token(model);
        let text_bytes = said.text.all();
        let from = Bytes1 {
            input_bytes: admission.input.all(),
            output_bytes: text_bytes,
            input_limit: admission.input_limit,
            output_limit: estimated_output_limit(admission.output_limit, text_bytes, bytes_per_token),
        };
        let usage = from.usage(bytes_per_token);
        debit.provenance = Provenance::Estimated;
        debit.estimator = Some(ESTIMATOR_1.to_owned());
        debit.estimated_from = Some(EstimatedFrom::Bytes1(from));
        debit.set_usage(&usage);
        debit.cost_pax = price(&usage).unwrap_or(Pax::MAX);
    }
    flags.sort_unstable();
    debit.flags = flags;
    debit.service_tier = service_tier;
    debit
}
