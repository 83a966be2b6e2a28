//! What a model's calls cost: what a usage is charged, line by line, and the most that a call can be charged.

use crate::base::pax::{Bill, Pax, Rate, Tokens};
use crate::dialect::usage::Usage;
use crate::price::card::Model;
use crate::price::rates::{
    BillLine, Charged, Dearest, INPUT_PARTS, OUTPUT_PARTS, Part, Prices, Rates, ServedTier, ServiceTier,
};

impl Model {
    /// What a usage is charged under the rules of `canon_v` 2; `tell` gets each line of the bill. If the sum
    /// of the lines is below the model's minimum, the amount is that minimum. None if the card does not price
    /// the service tier that is named, or if the cost leaves the range of [`Pax`].
    ///
    /// Parts are taken out of their whole one after the other, so that no token is charged twice. Cached
    /// input without a rate is plain input, and reasoning without one is plain output. Audio, images and
    /// one-hour cache writes without a rate cost the dearest rate of their side in any band, tier and part.
    /// Other cache writes without a rate cost it too if `writes_cost` is set: then the provider reports them
    /// in the way of providers that charge more for them than for input. And all tokens cost it if the call
    /// was served in a tier without a price.
    ///
    /// Cache writes for an hour are counted beside the other cache writes, not among them.
    pub fn charge(
        &self,
        usage: &Usage,
        writes_cost: bool,
        served: ServedTier<'_>,
        tell: &mut impl FnMut(BillLine),
    ) -> Option<Charged> {
        let prices = match served {
            ServedTier::Standard | ServedTier::Unpriced => &self.prices,
            ServedTier::Tier(name) => self.service_tiers.get(name)?,
        };
        let rates = prices.rates_of(usage.input);
        let all_at_dearest = served == ServedTier::Unpriced;
        let charging = Charging { rates, dearest: self.dearest_rates(), all_at_dearest, writes_cost };
        let charged = charging.charge(usage, tell)?;
        Some(Charged { cost: charged.cost.max(self.minimum.unwrap_or_default()), ..charged })
    }

    /// Whether a usage counts more of a part than of the whole that the part belongs to. Only parts that
    /// [`Self::charge`] charges apart are looked at.
    #[must_use]
    pub fn part_exceeds_whole(&self, usage: &Usage, writes_cost: bool) -> bool {
        let rates = &self.prices.rates;
        let exceeds = |parts: &[Part], whole: Tokens| {
            let apart = |part: Part| rates.of(part).is_some() || costs_apart(part, writes_cost);
            parts.iter().any(|part| apart(*part) && part.counted(usage) > whole)
        };
        exceeds(&INPUT_PARTS, usage.input) || exceeds(&OUTPUT_PARTS, usage.output)
    }

    /// The most that a call with at most this many tokens costs, whatever rule of the card applies. `asked`
    /// is the service tier that the call asks for. An amount that leaves the range of [`Pax`] is its largest.
    ///
    /// A provider may serve a call in the standard tier although the call asks for another, and in any tier
    /// if the call names none. If the provider does what the call does not ask for, such as serving it in a
    /// tier that the card does not price, the call may cost more.
    #[must_use]
    pub fn ceiling(&self, input: Tokens, output: Tokens, asked: &ServiceTier) -> Pax {
        self.most(asked, |prices| prices.ceiling(input, output, Rate::default()))
    }

    /// The same for a call whose input and output share the context window.
    #[must_use]
    pub fn window_ceiling(&self, asked: &ServiceTier) -> Pax {
        self.most(asked, |prices| prices.shared_ceiling(self.context_window, Rate::default()))
    }

    /// As [`Self::ceiling`], for a call that may have input that the model has no price for.
    #[must_use]
    pub fn unpriced_ceiling(&self, input: Tokens, output: Tokens, asked: &ServiceTier) -> Pax {
        self.most(asked, |prices| prices.ceiling(input, output, self.dearest_rates().input))
    }

    /// As [`Self::window_ceiling`], for a call that may have input that the model has no price for.
    #[must_use]
    pub fn unpriced_window_ceiling(&self, asked: &ServiceTier) -> Pax {
        self.most(asked, |prices| prices.shared_ceiling(self.context_window, self.dearest_rates().input))
    }

    fn most(&self, asked: &ServiceTier, ceiling: impl Fn(&Prices) -> Option<Pax>) -> Pax {
        let may_serve = |name: &str| match asked {
            ServiceTier::Auto => true,
            ServiceTier::Plain => false,
            ServiceTier::Named(asked) => name == asked,
        };
        let tiers = self.service_tiers.iter().filter(|(name, _)| may_serve(name)).map(|(_, prices)| prices);
        let ceilings = [&self.prices].into_iter().chain(tiers).map(ceiling);
        let most = ceilings.map(|ceiling| ceiling.unwrap_or(Pax::MAX)).max();
        most.unwrap_or(Pax::MAX).max(self.minimum.unwrap_or_default())
    }

    /// The dearest rate of each side in any band and tier.
    fn dearest_rates(&self) -> Dearest {
        let tiers = self.service_tiers.values();
        tiers.fold(self.prices.dearest(), |dearest, tier| dearest.or(tier.dearest()))
    }
}

/// Whether providers charge a part apart, so that a missing rate is a gap in the card. Cached input is never
/// dearer than other input. Reasoning costs what output costs if a card does not price it apart.
const fn costs_apart(part: Part, writes_cost: bool) -> bool {
    match part {
        Part::Input | Part::CachedInput | Part::Output | Part::ReasoningOutput => false,
        Part::CacheWrite => writes_cost,
        Part::CacheWrite1h | Part::AudioInput | Part::ImageInput | Part::AudioOutput | Part::ImageOutput => {
            true
        }
    }
}

/// How a usage is charged.
#[derive(Clone, Copy)]
struct Charging<'a> {
    /// The rates of the call.
    rates: &'a Rates,
    /// What tokens without a rate cost.
    dearest: Dearest,
    /// Whether all tokens cost that.
    all_at_dearest: bool,
    /// Whether writing to the cache costs more than reading the input.
    writes_cost: bool,
}

impl Charging<'_> {
    /// Charges a usage; `tell` gets each line of the bill. None if the sum leaves the range of [`Pax`].
    fn charge(self, usage: &Usage, tell: &mut impl FnMut(BillLine)) -> Option<Charged> {
        let mut bill = Bill::default();
        let mut part_unpriced = false;
        for (plain, plain_rate, dearest, parts) in [
            (Part::Input, self.rates.input, self.dearest.input, &INPUT_PARTS[..]),
            (Part::Output, self.rates.output, self.dearest.output, &OUTPUT_PARTS[..]),
        ] {
            let mut add = |part: Part, tokens: Tokens, rate: Rate| {
                let rate = if self.all_at_dearest { dearest } else { rate };
                if tokens > Tokens::ZERO {
                    bill.add(tokens, rate);
                    tell(BillLine { part, tokens, rate });
                }
            };
            let whole = plain.counted(usage);
            let mut left = whole;
            for part in parts.iter().copied() {
                let counted = part.counted(usage);
                let own = self.rates.of(part);
                // A part cannot be more than its whole: such a count tells nothing, and counts as none.
                if counted > whole || own.is_none() && !costs_apart(part, self.writes_cost) {
                    continue;
                }
                let tokens = counted.min(left);
                left = left.saturating_sub(tokens);
                part_unpriced |= own.is_none() && tokens > Tokens::ZERO;
                add(part, tokens, own.unwrap_or(dearest));
            }
            add(plain, left, plain_rate);
        }
        Some(Charged { cost: bill.total()?, part_unpriced })
    }
}

#[cfg(test)]
#[path = "charge_test.rs"]
mod tests;
