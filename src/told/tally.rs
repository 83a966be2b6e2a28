//! What an exchange counts for in the metrics, once it is over: its story ([`crate::call::story`]) becomes series
//! ([`crate::told::metrics`]).

use crate::base::account::{Funding, Tier};
use crate::base::clock::Moment;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::{Pax, Tokens};
use crate::base::refusal::codes::{CODES, ENVOYS_CODES};
use crate::call::config::Gateway;
use crate::call::story::{Outcome, Story};
use crate::debit::frozen::{Debit, Flag, Provenance};
use crate::dialect::usage::{Mode, Usage};
use crate::price::card::RateCard;
use crate::reading::request::head::{Route, Wanted};
use crate::told::meter::{Meter, MetricsPort};
use crate::told::metrics::{Metric, Series, Value};

/// The outcome of a call whose VM died: its end was not seen.
const ORPHANED: &str = "orphaned";

/// A call's values for the labels that several metrics share.
struct Of {
    operation: Value,
    provider: Value,
    model: Value,
    slot: Value,
    tier: Value,
    funding: Value,
}

/// Counts an exchange that is over.
pub fn tell(
    meter: &mut Meter,
    port: &impl MetricsPort,
    (id, story): (Option<ExchangeId>, &Story),
    gateway: &Gateway,
    now: Moment,
) {
    if story.is_told(id).is_none() {
        return;
    }
    let of = Of::story(meter, story, gateway, now);
    let mut counted = Counted { meter, port, of: &of };
    counted.call(story.outcome().name());
    if let Some(told) = &story.told {
        let code = CODES.iter().chain(&ENVOYS_CODES).find(|code| **code == told.code);
        counted.refusal(code.map_or(Value::Other, |code| Value::Word(code)));
    }
    if let Some(settled) = &story.settled {
        counted.charge(settled.cost);
        counted.usage(&settled.usage, settled.provenance, &settled.flags);
        if settled.stream
            && let Some(first_byte_ms) = settled.lasted.first_byte_ms
        {
            counted.lasted(Metric::FirstChunk, first_byte_ms);
        }
        if story.outcome() == Outcome::Answered
            && let Some(duration_ms) = settled.lasted.duration_ms
        {
            counted.lasted(Metric::Duration, duration_ms);
        }
    }
}

/// Counts a call whose VM died, and that is charged by this debit under this card.
pub fn tell_orphan(meter: &mut Meter, port: &impl MetricsPort, debit: &Debit, card: Option<&RateCard>) {
    let of = Of::debit(meter, debit, card);
    let mut counted = Counted { meter, port, of: &of };
    counted.call(ORPHANED);
    counted.charge(debit.cost_pax);
    counted.usage(&debit.usage(), debit.provenance, &debit.flags);
}

impl Of {
    fn story(meter: &mut Meter, story: &Story, gateway: &Gateway, now: Moment) -> Self {
        let config = &gateway.config;
        let admission = story.admission.as_deref();
        let card = admission.map(|it| &it.card).or_else(|| gateway.bundle.in_force(now));
        let asked = admission.map(|it| it.model.as_str()).or(story.model.as_deref());
        let priced = asked.and_then(|model| card?.models.get_key_value(model));
        let provider =
            admission.map(|it| it.provider.as_str()).or(priced.map(|(_, it)| it.provider.as_str()));
        let known_provider = provider.and_then(|name| config.providers.get_key_value(name));
        // A caller that asked for a model and named no slot has the default slot.
        let slot = admission.map(|it| it.slot.as_str()).or(story.slot.as_deref());
        let slot = slot.or(asked.map(|_| config.default_slot.as_str()));
        let is_known = |slot: &str| {
            slot == config.default_slot || card.is_some_and(|card| card.free_tier.slots.contains_key(slot))
        };
        Self {
            operation: operation(admission.map(|it| it.mode).or_else(|| mode_of(story))),
            provider: match (known_provider, asked) {
                (Some((name, _)), _) => meter.name(name),
                (None, Some(_)) => Value::Other,
                (None, None) => Value::None,
            },
            model: named(meter, asked, |_| priced.is_some()),
            slot: named(meter, slot, is_known),
            tier: story.account.as_deref().map_or(Value::None, |account| tier(account.tier)),
            funding: story.funding.map_or(Value::None, funding),
        }
    }

    fn debit(meter: &mut Meter, debit: &Debit, card: Option<&RateCard>) -> Self {
        let priced = card.and_then(|card| card.models.get(&debit.model));
        let serves = |provider: &str| priced.is_some_and(|model| model.provider == provider);
        let has_slot = |slot: &str| card.is_some_and(|card| card.free_tier.slots.contains_key(slot));
        Self {
            operation: operation(Some(debit.mode)),
            provider: named(meter, Some(&debit.provider), serves),
            model: named(meter, Some(&debit.model), |_| priced.is_some()),
            slot: named(meter, Some(&debit.slot), has_slot),
            tier: tier(debit.tier),
            funding: funding(debit.funding),
        }
    }
}

/// The value of a label: the name if a card or the configuration knows it.
fn named(meter: &mut Meter, name: Option<&str>, is_known: impl FnOnce(&str) -> bool) -> Value {
    match name {
        Some(name) if is_known(name) => meter.name(name),
        Some(_) => Value::Other,
        None => Value::None,
    }
}

/// Which of the metered calls a path is.
fn mode_of(story: &Story) -> Option<Mode> {
    match Route::of(b"POST", story.path.as_bytes()) {
        Ok(Route::Wanted(Wanted::Metered(mode))) => Some(mode),
        _ => None,
    }
}

fn operation(mode: Option<Mode>) -> Value {
    match mode {
        Some(Mode::Chat) => Value::Word("chat"),
        Some(Mode::Embeddings) => Value::Word("embeddings"),
        Some(Mode::Completions) => Value::Word("text_completion"),
        Some(Mode::Responses) => Value::Word("generate_content"),
        None => Value::None,
    }
}

fn tier(tier: Tier) -> Value {
    Value::Word(match tier {
        Tier::Free => "free",
        Tier::Credit => "credit",
    })
}

fn funding(funding: Funding) -> Value {
    Value::Word(match funding {
        Funding::Platform => "platform",
        Funding::Byo => "byo",
    })
}

/// Counts for one call.
struct Counted<'a, P> {
    meter: &'a mut Meter,
    port: &'a P,
    of: &'a Of,
}

impl<P: MetricsPort> Counted<'_, P> {
    fn add<const N: usize>(&mut self, metric: Metric, values: [Value; N], by: u64) {
        self.meter.count(self.port, Series::new(metric, values), by);
    }

    fn call(&mut self, outcome: &'static str) {
        let Of { operation, provider, model, slot, tier, funding } = *self.of;
        let outcome = Value::Word(outcome);
        self.add(Metric::Calls, [operation, provider, model, slot, tier, funding, outcome], 1);
    }

    fn refusal(&mut self, code: Value) {
        self.add(Metric::Refusals, [self.of.provider, code], 1);
    }

    fn charge(&mut self, cost: Pax) {
        let Of { provider, model, slot, tier, .. } = *self.of;
        // A cost is never below zero.
        let picopax = u64::try_from(cost.picopax()).unwrap_or(0);
        if picopax > 0 {
            self.add(Metric::Charged, [provider, model, slot, tier], picopax);
        }
    }

    fn usage(&mut self, usage: &Usage, provenance: Provenance, flags: &[Flag]) {
        let Of { operation, provider, model, .. } = *self.of;
        let counted = match provenance {
            Provenance::Reported => "reported",
            Provenance::Estimated => "estimated",
        };
        self.add(Metric::Usage, [provider, model, Value::Word(counted)], 1);
        for (word, Tokens(tokens)) in [("input", usage.input), ("output", usage.output)] {
            if tokens > 0 {
                self.add(Metric::Tokens, [provider, model, operation, Value::Word(word)], tokens);
            }
        }
        let parts = [
            ("cached_input", usage.cached_input),
            ("cache_write_input", usage.cache_write_input),
            ("audio_input", usage.audio_input),
            ("image_input", usage.image_input),
            ("audio_output", usage.audio_output),
            ("image_output", usage.image_output),
            ("reasoning_output", usage.reasoning_output),
        ];
        for (word, Tokens(tokens)) in parts {
            if tokens > 0 {
                self.add(Metric::TokenParts, [provider, model, Value::Word(word)], tokens);
            }
        }
        for odd in flags {
            self.add(Metric::Flags, [provider, model, Value::Word(odd.name())], 1);
        }
    }

    fn lasted(&mut self, metric: Metric, ms: u64) {
        let Of { operation, provider, model, .. } = *self.of;
        self.meter.tell_of(self.port, metric, [provider, model, operation], ms);
    }
}
