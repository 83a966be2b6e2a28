//! What a model's tokens cost: rates, the bands of large inputs, and how a usage is divided among them.

use crate::base::pax::{Bill, Pax, Rate, Tokens};
use crate::dialect::usage::Usage;

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

    /// What an answer says by this name: an empty one says nothing, and providers' standard words are taken in any case of
    /// letters, because a tier that has no price costs the dearest one.
    #[must_use]
    pub fn served(name: &str) -> Self {
        let is = |word: &str| name.eq_ignore_ascii_case(word);
        match name {
            name if name.is_empty() || is(AUTO) => Self::Auto,
            _ if PLAIN_TIERS.into_iter().any(is) => Self::Plain,
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

/// The rates of a model, in PAX per million tokens. What a part of the input or the output costs that has no rate of its
/// own, [`crate::price::card::Model::charge`] says.
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

/// What tokens are charged as.
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

/// The parts of the input in the order in which they are taken out of it. Audio and images come last: cached audio is
/// cached.
pub const INPUT_PARTS: [Part; 5] =
    [Part::CachedInput, Part::CacheWrite, Part::CacheWrite1h, Part::AudioInput, Part::ImageInput];
/// The same of the output: audio that reasons is reasoning.
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

    /// How much of it a usage counts.
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
    /// How much of it; never none.
    pub tokens: Tokens,
    /// What a million of them cost.
    pub rate: Rate,
}

/// The service tier that a call was served in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedTier<'a> {
    /// The standard one.
    Standard,
    /// One that the card prices, by its name.
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
    /// The dearest of both, side by side.
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
    /// The rate of a part; nothing where it has none of its own.
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

    /// The parts that `canon_v` 1 prices, of the input and of the output, in the order in which they are taken out.
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

/// So many tokens of a whole, and their own rate if they have one.
#[derive(Clone, Copy)]
struct Portion {
    tokens: Tokens,
    rate: Option<Rate>,
}

impl Portion {
    /// More of it than of its whole cannot be: then the count says nothing, and counts as none.
    fn exceeds(&self, whole: Tokens) -> bool {
        self.rate.is_some() && self.tokens > whole
    }
}

/// Bills a whole: each part that has a rate at that, out of what the parts before it have left, so that no token is
/// charged twice; and what is left in the end at the plain rate.
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

    /// The dearest rate that there is for a token of each side, in any band.
    pub(crate) fn dearest(&self) -> Dearest {
        self.bands.iter().fold(self.rates.dearest(), |dearest, band| dearest.or(band.rates.dearest()))
    }

    /// What a usage costs as `canon_v` 1 has it; nothing where that leaves the range of [`Pax`].
    #[must_use]
    pub fn price(&self, usage: &Usage) -> Option<Pax> {
        self.rates_of(usage.input).bill(usage).total()
    }

    /// The most that a call with at most so many tokens can cost: in the dearest of the bands that it can be in, each
    /// token at its dearest rate, input at no less than `floor`. Nothing where that leaves the range of [`Pax`].
    pub(crate) fn ceiling(&self, input: Tokens, output: Tokens, floor: Rate) -> Option<Pax> {
        let mut most = Pax::ZERO;
        for dearest in self.dearest_reached(input) {
            let dearest = Dearest { input: dearest.input.max(floor), ..dearest };
            most = most.max(dearest.bill(input, output).total()?);
        }
        Some(most)
    }

    /// The most that a call with at most so many tokens can cost, input and output together, however they are divided,
    /// each at no less than `floor`. Nothing where that leaves the range of [`Pax`].
    pub(crate) fn shared_ceiling(&self, tokens: Tokens, floor: Rate) -> Option<Pax> {
        let mut most = Pax::ZERO;
        for dearest in self.dearest_reached(tokens) {
            let either = Dearest { input: dearest.input.max(dearest.output).max(floor), ..dearest };
            most = most.max(either.bill(tokens, Tokens::ZERO).total()?);
        }
        Some(most)
    }

    /// The dearest rates in each band that a call with so much input can be in.
    fn dearest_reached(&self, input: Tokens) -> impl Iterator<Item = Dearest> {
        let reached = self.bands.iter().filter(move |band| band.above_input < input).map(|band| &band.rates);
        [&self.rates].into_iter().chain(reached).map(Rates::dearest)
    }

    /// Whether a usage counts more of a part that `canon_v` 1 prices apart than of the whole that it is a part of.
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
