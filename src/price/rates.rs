//! What a model's tokens cost: rates, the bands of large inputs, and how a usage is divided among them.

use crate::base::pax::{Bill, Pax, Rate, Tokens};
use crate::dialect::usage::Usage;

/// The words of providers (OpenAI, Groq, Google) for the service tier that a card's plain prices are for.
/// `auto` is not among them: it names no tier.
const PLAIN_TIERS: [&str; 3] = ["default", "standard", "on_demand"];
/// In a request this word leaves the service tier to the provider. In an answer it tells nothing of the tier.
const AUTO: &str = "auto";

/// The service tier that a request asks for, or in which an answer was served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServiceTier {
    /// None is named, or `auto`: the provider decides.
    #[default]
    Auto,
    /// The standard one, which a card's plain prices are for.
    Plain,
    /// Another one, with its name.
    Named(String),
}

impl ServiceTier {
    /// The tier that this name means.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            AUTO => Self::Auto,
            name if PLAIN_TIERS.contains(&name) => Self::Plain,
            name => Self::Named(name.to_owned()),
        }
    }

    /// The tier that an answer means with this name. An empty name means none. The standard words may be in
    /// upper or lower case, because a tier that has no price costs the dearest one.
    #[must_use]
    pub fn served(name: &str) -> Self {
        let is = |word: &str| name.eq_ignore_ascii_case(word);
        match name {
            name if name.is_empty() || is(AUTO) => Self::Auto,
            _ if PLAIN_TIERS.into_iter().any(is) => Self::Plain,
            name => Self::Named(name.to_owned()),
        }
    }

    /// The name, if it is not the standard tier.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Auto | Self::Plain => None,
            Self::Named(name) => Some(name),
        }
    }
}

/// The rates of a model, in PAX per million tokens. [`crate::price::card::Model::charge`] tells what a part
/// of the input or the output costs if it has no rate of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Input for which there is no other rate.
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
    /// Output for which there is no other rate; zero for embeddings, which have none.
    pub output: Rate,
    /// Audio output.
    pub audio_output: Option<Rate>,
    /// Image output.
    pub image_output: Option<Rate>,
    /// Reasoning.
    pub reasoning_output: Option<Rate>,
}

/// The kinds of tokens that are charged apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Input that is none of the parts below, or that costs the same.
    Input,
    /// Input read from the provider's cache.
    CachedInput,
    /// Input written to the provider's cache.
    CacheWrite,
    /// Input written to the provider's cache for an hour.
    CacheWrite1h,
    /// Audio input.
    AudioInput,
    /// Image input.
    ImageInput,
    /// Output that is none of the parts below, or that costs the same.
    Output,
    /// Audio output.
    AudioOutput,
    /// Image output.
    ImageOutput,
    /// Reasoning.
    ReasoningOutput,
}

/// The parts of the input, in the order in which they are taken out of it. Audio and images come last: cached
/// audio is charged as cached.
pub const INPUT_PARTS: [Part; 5] =
    [Part::CachedInput, Part::CacheWrite, Part::CacheWrite1h, Part::AudioInput, Part::ImageInput];
/// The same for the output: reasoning in audio is charged as reasoning.
pub const OUTPUT_PARTS: [Part; 3] = [Part::ReasoningOutput, Part::AudioOutput, Part::ImageOutput];

impl Part {
    /// Its key in a card's `usd_per_mtok`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CachedInput => "cached_input",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::AudioInput => "audio_input",
            Self::ImageInput => "image_input",
            Self::Output => "output",
            Self::AudioOutput => "audio_output",
            Self::ImageOutput => "image_output",
            Self::ReasoningOutput => "reasoning_output",
        }
    }

    /// How much of this part a usage counts.
    #[must_use]
    pub const fn counted(self, usage: &Usage) -> Tokens {
        match self {
            Self::Input => usage.input,
            Self::CachedInput => usage.cached_input,
            Self::CacheWrite => usage.cache_write_input,
            Self::CacheWrite1h => usage.cache_write_1h_input,
            Self::AudioInput => usage.audio_input,
            Self::ImageInput => usage.image_input,
            Self::Output => usage.output,
            Self::AudioOutput => usage.audio_output,
            Self::ImageOutput => usage.image_output,
            Self::ReasoningOutput => usage.reasoning_output,
        }
    }
}

/// A line of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillLine {
    /// What was counted.
    pub part: Part,
    /// How much of it; never zero.
    pub tokens: Tokens,
    /// What a million of them cost.
    pub rate: Rate,
}

/// The service tier that a call was served in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedTier<'a> {
    /// The standard one.
    Standard,
    /// One that the card prices, with its name.
    Tier(&'a str),
    /// One that the card does not price.
    Unpriced,
}

/// What a usage is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The amount.
    pub cost: Pax,
    /// Whether tokens were charged at the dearest rate of their side because the model has no rate for them.
    pub part_unpriced: bool,
}

/// The dearest rate of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dearest {
    pub input: Rate,
    pub output: Rate,
}

impl Dearest {
    /// The dearer rate of both, for each side.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { input: self.input.max(other.input), output: self.output.max(other.output) }
    }

    fn bill(self, input: Tokens, output: Tokens) -> Bill {
        let mut bill = Bill::default();
        bill.add(input, self.input);
        bill.add(output, self.output);
        bill
    }
}

impl Rates {
    /// The rate of a part; none if it has none of its own.
    #[must_use]
    pub const fn of(&self, part: Part) -> Option<Rate> {
        match part {
            Part::Input => Some(self.input),
            Part::CachedInput => self.cached_input,
            Part::CacheWrite => self.cache_write,
            Part::CacheWrite1h => self.cache_write_1h,
            Part::AudioInput => self.audio_input,
            Part::ImageInput => self.image_input,
            Part::Output => Some(self.output),
            Part::AudioOutput => self.audio_output,
            Part::ImageOutput => self.image_output,
            Part::ReasoningOutput => self.reasoning_output,
        }
    }

    /// The parts of the input and of the output that `canon_v` 1 prices, in the order in which they are taken
    /// out.
    fn parts(&self, usage: &Usage) -> ([Portion; 3], [Portion; 2]) {
        let portion = |part: Part| Portion { tokens: part.counted(usage), rate: self.of(part) };
        let input = [Part::CachedInput, Part::CacheWrite, Part::AudioInput];
        let output = [Part::ReasoningOutput, Part::AudioOutput];
        (input.map(portion), output.map(portion))
    }

    fn bill(&self, usage: &Usage) -> Bill {
        let (input, output) = self.parts(usage);
        let mut bill = Bill::default();
        divide(&mut bill, usage.input, self.input, &input);
        divide(&mut bill, usage.output, self.output, &output);
        bill
    }

    /// The dearest rate that there is for a token of each side.
    fn dearest(&self) -> Dearest {
        let dearest = |plain: Rate, parts: &[Part]| {
            parts.iter().filter_map(|part| self.of(*part)).fold(plain, |a, b| a.max(b))
        };
        Dearest { input: dearest(self.input, &INPUT_PARTS), output: dearest(self.output, &OUTPUT_PARTS) }
    }
}

/// The tokens of a part of a whole, and their own rate if they have one.
#[derive(Clone, Copy)]
struct Portion {
    tokens: Tokens,
    rate: Option<Rate>,
}

impl Portion {
    /// Whether the part is more than its whole. That cannot be: such a count tells nothing, and counts as
    /// none.
    fn exceeds(&self, whole: Tokens) -> bool {
        self.rate.is_some() && self.tokens > whole
    }
}

/// Bills a whole. Each part that has a rate is billed at that rate, but only tokens that the parts before it
/// have left: so no token is charged twice. What is left in the end is billed at the plain rate.
fn divide(bill: &mut Bill, whole: Tokens, plain: Rate, parts: &[Portion]) {
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

/// The rates of calls with a large input. They hold for the whole call, not only for the tokens above the
/// bound.
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
    /// In ascending order of the bounds. A call is in the last band whose bound is below its input.
    pub bands: Vec<Band>,
}

impl Prices {
    /// The rates of a call with this much input, cached input included.
    #[must_use]
    pub fn rates_of(&self, input: Tokens) -> &Rates {
        let band = self.bands.iter().rev().find(|band| band.above_input < input);
        band.map_or(&self.rates, |band| &band.rates)
    }

    /// The dearest rate that there is for a token of each side, in any band.
    pub(crate) fn dearest(&self) -> Dearest {
        self.bands.iter().fold(self.rates.dearest(), |dearest, band| dearest.or(band.rates.dearest()))
    }

    /// What a usage costs under the rules of `canon_v` 1; none if that leaves the range of [`Pax`].
    #[must_use]
    pub fn price(&self, usage: &Usage) -> Option<Pax> {
        self.rates_of(usage.input).bill(usage).total()
    }

    /// The most that a call with at most this many tokens can cost: in the dearest of the bands that it can
    /// be in, each token at its dearest rate, input at no less than `floor`. None if that leaves the range of
    /// [`Pax`].
    pub(crate) fn ceiling(&self, input: Tokens, output: Tokens, floor: Rate) -> Option<Pax> {
        let mut most = Pax::ZERO;
        for dearest in self.dearest_reached(input) {
            let dearest = Dearest { input: dearest.input.max(floor), ..dearest };
            most = most.max(dearest.bill(input, output).total()?);
        }
        Some(most)
    }

    /// The most that a call can cost if its input and output together have at most this many tokens, however
    /// they are divided. Each token costs no less than `floor`. None if the sum leaves the range of [`Pax`].
    pub(crate) fn shared_ceiling(&self, tokens: Tokens, floor: Rate) -> Option<Pax> {
        let mut most = Pax::ZERO;
        for dearest in self.dearest_reached(tokens) {
            let either = Dearest { input: dearest.input.max(dearest.output).max(floor), ..dearest };
            most = most.max(either.bill(tokens, Tokens::ZERO).total()?);
        }
        Some(most)
    }

    /// The dearest rates of each band that a call with at most this much input can be in.
    fn dearest_reached(&self, input: Tokens) -> impl Iterator<Item = Dearest> {
        let reached = self.bands.iter().filter(move |band| band.above_input < input).map(|band| &band.rates);
        [&self.rates].into_iter().chain(reached).map(Rates::dearest)
    }

    /// Whether a usage counts more of a part than of the whole that the part belongs to. Only parts that
    /// `canon_v` 1 prices apart are looked at.
    #[must_use]
    pub fn part_exceeds_whole(&self, usage: &Usage) -> bool {
        let (input, output) = self.rates.parts(usage);
        input.iter().any(|part| part.exceeds(usage.input))
            || output.iter().any(|part| part.exceeds(usage.output))
    }
}

#[cfg(test)]
#[path = "rates_test.rs"]
mod tests;
