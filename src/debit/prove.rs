//! The proof of a debit: its counts and its price are worked out again from what it carries.

use crate::base::account::Funding;
use crate::base::pax::{Pax, Tokens};
use crate::debit::estimate::{Bytes2, ESTIMATOR, ESTIMATOR_1, EstimatedFrom, Side, TokenLimits};
use crate::debit::frozen::{BadDebit, Debit, Flag, Provenance};
use crate::dialect::usage::{Reading, Rules, Usage};
use crate::price::bundle::Bundle;
use crate::price::card::{Model, bytes_per_token};
use crate::price::rates::{BillLine, Part, ServedTier};

impl Debit {
    /// Proves the debit from what it carries: counts the raw usage (or the estimate) again and prices it
    /// again under its own card.
    ///
    /// # Errors
    /// The first thing that does not come out the same, in words for the operator.
    pub fn prove(&self, bundle: &Bundle) -> Result<(), BadDebit> {
        let wrong = |what: String| Err(BadDebit(what));
        let Some(card) = bundle.by_sha256(&self.card_sha256) else {
            return wrong(format!("its card {} is not in the bundle", self.card_sha256));
        };
        if card.version != self.rate_table_v {
            return wrong(format!(
                "rate_table_v is {}, but its card is version {}",
                self.rate_table_v, card.version
            ));
        }
        // The card need only have been in force already: a later version may be dated back, and older entries
        // stay right.
        if card.effective_from > self.occurred_at {
            return wrong(format!("it occurred before its card was in force, at {}", card.effective_from));
        }
        if self.utc_day != self.occurred_at.day() {
            return wrong(format!("utc_day is {}, but it occurred at {}", self.utc_day, self.occurred_at));
        }
        let model = card.models.get(&self.model).filter(|model| model.mode == self.mode);
        // With a key of its own a caller may call models that the card does not price, of any provider.
        if self.funding == Funding::Platform && model.is_none_or(|model| model.provider != self.provider) {
            return wrong(format!(
                "its card does not price model {:?} for this route and provider",
                self.model
            ));
        }
        let reading = self.reading();
        let counted = self.count(model, reading.as_ref())?;
        if counted != self.usage() {
            return wrong(format!("counted again, its tokens are {counted:?}, not {:?}", self.usage()));
        }
        let cost = match self.funding {
            Funding::Platform => {
                let writes_cost = reading.is_some_and(|reading| reading.writes_cost);
                self.price(model, &counted, writes_cost)?
            }
            Funding::Byo => Some(Pax::ZERO),
        };
        match cost {
            Some(cost) if cost == self.cost_pax => Ok(()),
            Some(cost) => wrong(format!("priced again, it costs {cost}, not {}", self.cost_pax)),
            None => wrong("priced again, its cost is out of range".to_owned()),
        }
    }

    /// What the counts cost under the rules of the debit's version.
    fn price(
        &self,
        model: Option<&Model>,
        counted: &Usage,
        writes_cost: bool,
    ) -> Result<Option<Pax>, BadDebit> {
        let Some(model) = model else { return Ok(None) };
        if self.canon_v == 1 {
            self.served(model)?;
            return Ok(model.price(counted, self.service_tier.as_deref()));
        }
        self.charge_if(model, writes_cost)
    }

    /// What its counts cost at a model's prices, as version 2 charges; nothing if that leaves the range of
    /// [`Pax`].
    ///
    /// # Errors
    /// If the debit names a service tier that the model has no prices for, and no flag says so.
    pub fn charge(&self, model: &Model) -> Result<Option<Pax>, BadDebit> {
        self.charge_if(model, self.writes_cost())
    }

    fn charge_if(&self, model: &Model, writes_cost: bool) -> Result<Option<Pax>, BadDebit> {
        let served = self.served(model)?;
        let charged = model.charge(&self.usage(), writes_cost, served, &mut |_| {});
        Ok(charged.map(|charged| charged.cost))
    }

    /// The bill, line by line, in the order in which it is added up; nothing for a call with the caller's own
    /// key, which costs nothing. The bill is that of the debit's counts, even if they do not add up to the
    /// cost that it states.
    ///
    /// # Errors
    /// If the debit names a service tier that its card does not price, and no flag says so.
    pub fn lines(&self, model: &Model) -> Result<Vec<BillLine>, BadDebit> {
        let mut lines = Vec::new();
        if self.funding == Funding::Platform {
            let mut usage = self.usage();
            // Version 1 charged a part without a rate of its own as plain input or output. All bands and
            // service tiers of a model have rates for the same parts, so the model's own rates tell which
            // parts have none.
            if self.canon_v == 1 {
                let if_priced = |part: Part, tokens: Tokens| {
                    if model.prices.rates.of(part).is_some() { tokens } else { Tokens::ZERO }
                };
                usage.audio_input = if_priced(Part::AudioInput, usage.audio_input);
                usage.audio_output = if_priced(Part::AudioOutput, usage.audio_output);
            }
            model.charge(&usage, self.writes_cost(), self.served(model)?, &mut |line| lines.push(line));
        }
        Ok(lines)
    }

    /// Which of the card's prices the debit is charged at.
    ///
    /// # Errors
    /// If that is a service tier that the card does not price, and no flag of the debit says so.
    pub fn served(&self, model: &Model) -> Result<ServedTier<'_>, BadDebit> {
        let Some(name) = self.service_tier.as_deref() else { return Ok(ServedTier::Standard) };
        let is_priced = model.service_tiers.contains_key(name);
        let is_flagged = self.canon_v != 1 && self.flags.contains(&Flag::ServiceTierUnpriced);
        match (is_priced, is_flagged) {
            (true, _) => Ok(ServedTier::Tier(name)),
            (false, true) => Ok(ServedTier::Unpriced),
            (false, false) => Err(BadDebit(format!(
                "its card does not price service tier {name:?} of model {:?}",
                self.model
            ))),
        }
    }

    fn reading(&self) -> Option<Reading> {
        let rules = self.usage_rules.as_deref().and_then(Rules::named)?;
        rules.read(self.usage.as_deref()?.as_bytes(), self.mode)
    }

    fn writes_cost(&self) -> bool {
        self.reading().is_some_and(|reading| reading.writes_cost)
    }

    /// The counts, made again. `reading` is that of its raw usage.
    fn count(&self, model: Option<&Model>, reading: Option<&Reading>) -> Result<Usage, BadDebit> {
        let estimator = self.estimator.as_deref();
        match (self.canon_v, self.provenance, &self.estimated_from, estimator) {
            (_, Provenance::Reported, None, None) if self.usage_rules.is_some() && self.usage.is_some() => {
                self.known_rules()?;
                let usage = reading.map(|reading| reading.usage);
                usage.ok_or_else(|| BadDebit("its raw usage cannot be read".to_owned()))
            }
            (1, Provenance::Estimated, Some(EstimatedFrom::Bytes1(from)), Some(ESTIMATOR_1)) => {
                Ok(from.usage(bytes_per_token(model)))
            }
            (2, Provenance::Estimated, Some(EstimatedFrom::Bytes2(from)), Some(ESTIMATOR)) => {
                self.estimate_again(from, reading)
            }
            _ => Err(BadDebit(MISFIT.to_owned())),
        }
    }

    fn known_rules(&self) -> Result<(), BadDebit> {
        let known = self.usage_rules.as_deref().and_then(Rules::named).is_some();
        if known { Ok(()) } else { Err(BadDebit(MISFIT.to_owned())) }
    }

    fn estimate_again(&self, from: &Bytes2, reading: Option<&Reading>) -> Result<Usage, BadDebit> {
        let (Some(input), Some(output)) = (self.input_limit, self.output_limit) else {
            return Err(BadDebit("its limits are missing".to_owned()));
        };
        let reported = match from.side {
            Side::Both => Some(Usage::default()),
            Side::Input | Side::Output => reading.map(|reading| reading.usage),
        };
        let reported = reported.ok_or_else(|| BadDebit("its raw usage cannot be read".to_owned()))?;
        Ok(from.usage(TokenLimits { input, output }, self.unseen_ms, &reported))
    }
}

const MISFIT: &str = "its provenance does not fit its usage and estimate";
