//! What a model's tokens cost: rates, the bands of large inputs, and how a usage is divided among them.

use crate::pax::{Bill, Pax, Rate, Tokens};
use crate::usage::Usage;

/// What providers call the service tier that a card's plain prices are for (OpenAI, Groq, Google).
/// `auto` is not among them: it names none.
const PLAIN_TIERS: [&str; 3] = ["default", "standard", "on_demand"];
/// What leaves the service tier to the provider, in a request, and says nothing of it in an answer.
const AUTO: &str = "auto";

/// What is said of a service tier, by a request that asks for one or an answer that was served in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServiceTier {
    /// Nothing, or `auto`: the provider decides.
    #[default]
    Auto,
    /// The standard one, which a card's plain prices are for.
    Plain,
    /// Another, by its name.
    Named(String),
}

impl ServiceTier {
    /// What this name says.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            AUTO => Self::Auto,
            name if PLAIN_TIERS.contains(&name) => Self::Plain,
            name => Self::Named(name.to_owned()),
        }
    }

    /// The name, where it is not the plain one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Auto | Self::Plain => None,
            Self::Named(name) => Some(name),
        }
    }
}

/// The rates of a model, in PAX per million tokens. A part of the input or the output that has no rate of its own
/// costs what the rest of it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Input that no other rate is for.
    pub input: Rate,
    /// Input read from the provider's cache.
    pub cached_input: Option<Rate>,
    /// Input written to the provider's cache.
    pub cache_write: Option<Rate>,
    /// Input written to the provider's cache for an hour.
    pub cache_write_1h: Option<Rate>,
    /// Audio input.
    pub audio_input: Option<Rate>,
    /// Image input.
    pub image_input: Option<Rate>,
    /// Output that no other rate is for; zero for embeddings, which have none.
    pub output: Rate,
    /// Audio output.
    pub audio_output: Option<Rate>,
    /// Image output.
    pub image_output: Option<Rate>,
    /// Reasoning.
    pub reasoning_output: Option<Rate>,
}

impl Rates {
    /// The parts of the input, and of the output, in the order in which they are taken out of it. Audio comes last:
    /// cached audio is cached, and audio that reasons is reasoning.
    fn parts(&self, usage: &Usage) -> ([Part; 3], [Part; 2]) {
        let part = |tokens, rate| Part { tokens, rate };
        let input = [
            part(usage.cached_input, self.cached_input),
            part(usage.cache_write_input, self.cache_write),
            part(usage.audio_input, self.audio_input),
        ];
        let output = [
            part(usage.reasoning_output, self.reasoning_output),
            part(usage.audio_output, self.audio_output),
        ];
        (input, output)
    }

    fn bill(&self, usage: &Usage) -> Bill {
        let (input, output) = self.parts(usage);
        let mut bill = Bill::default();
        divide(&mut bill, usage.input, self.input, &input);
        divide(&mut bill, usage.output, self.output, &output);
        bill
    }

    /// Each token at the dearest rate that there is for it.
    fn dearest(&self, input: Tokens, output: Tokens) -> Bill {
        let dearest =
            |plain: Rate, parts: &[Option<Rate>]| parts.iter().flatten().fold(plain, |a, b| a.max(*b));
        let mut bill = Bill::default();
        bill.add(input, dearest(self.input, &[self.cached_input, self.cache_write, self.audio_input]));
        bill.add(output, dearest(self.output, &[self.audio_output, self.reasoning_output]));
        bill
    }
}

/// So many tokens of a whole, and their own rate if they have one.
#[derive(Clone, Copy)]
struct Part {
    tokens: Tokens,
    rate: Option<Rate>,
}

impl Part {
    /// More of it than of its whole cannot be: then the count says nothing, and counts as none.
    fn exceeds(&self, whole: Tokens) -> bool {
        self.rate.is_some() && self.tokens > whole
    }
}

/// Bills a whole: each part that has a rate at that, out of what the parts before it have left, so that no token is
/// charged twice; and what is left in the end at the plain rate.
fn divide(bill: &mut Bill, whole: Tokens, plain: Rate, parts: &[Part]) {
    let mut left = whole;
    for part in parts.iter().filter(|part| !part.exceeds(whole)) {
        if let Some(rate) = part.rate {
            let tokens = part.tokens.min(left);
            left = left.saturating_sub(tokens);
            bill.add(tokens, rate);
        }
    }
    bill.add(left, plain);
}

/// The rates of calls with a large input: those of the whole call, not of the tokens above the bound only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// A call with more input tokens than these is in the band.
    pub above_input: Tokens,
    /// What it costs.
    pub rates: Rates,
}

/// What calls in one service tier cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// The rates of a call that is in no band.
    pub rates: Rates,
    /// By ascending bound; the last one that a call is above is the one that it is in.
    pub bands: Vec<Band>,
}

impl Prices {
    /// The rates of a call with so much input, cached input included.
    #[must_use]
    pub fn rates_of(&self, input: Tokens) -> &Rates {
        let band = self.bands.iter().rev().find(|band| band.above_input < input);
        band.map_or(&self.rates, |band| &band.rates)
    }

    /// What a usage costs; nothing where that leaves the range of [`Pax`].
    #[must_use]
    pub fn price(&self, usage: &Usage) -> Option<Pax> {
        self.rates_of(usage.input).bill(usage).total()
    }

    /// The most that a call with at most so many tokens can cost: in the dearest of the bands that it can be in, each
    /// token at its dearest rate. Nothing where that leaves the range of [`Pax`].
    #[must_use]
    pub fn ceiling(&self, input: Tokens, output: Tokens) -> Option<Pax> {
        let reached = self.bands.iter().filter(|band| band.above_input < input).map(|band| &band.rates);
        let mut most = self.rates.dearest(input, output).total()?;
        for rates in reached {
            most = most.max(rates.dearest(input, output).total()?);
        }
        Some(most)
    }

    /// The most that a call with at most so many tokens can cost, input and output together, however they are divided.
    /// Nothing where that leaves the range of [`Pax`].
    #[must_use]
    pub fn shared_ceiling(&self, tokens: Tokens) -> Option<Pax> {
        let reached = self.bands.iter().filter(|band| band.above_input < tokens).map(|band| &band.rates);
        let mut most = Pax::ZERO;
        for rates in [&self.rates].into_iter().chain(reached) {
            let (input, output) = (rates.dearest(tokens, Tokens::ZERO), rates.dearest(Tokens::ZERO, tokens));
            most = most.max(input.total()?).max(output.total()?);
        }
        Some(most)
    }

    /// Whether a usage counts more of a part that has its own rate than of the whole that it is a part of.
    #[must_use]
    pub fn part_exceeds_whole(&self, usage: &Usage) -> bool {
        let (input, output) = self.rates.parts(usage);
        input.iter().any(|part| part.exceeds(usage.input))
            || output.iter().any(|part| part.exceeds(usage.output))
    }
}

#[cfg(test)]
#[path = "price_test.rs"]
mod tests;
