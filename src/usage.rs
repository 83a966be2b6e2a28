//! Usage: the token counts that a provider reports, read from the raw `usage` object of an answer.
//!
//! [`Rules`] says how. A provider's configuration names its rules, and an entry those that counted it, so that a
//! replay counts it by the same ones: a set of rules never changes, others are added.

use crate::json::{Kind, Reader, Sink};
use crate::pax::Tokens;

/// The largest raw usage that is kept and read, in bytes. Real ones have a few hundred.
pub const RAW_MAX: usize = 4096;

/// What a call is priced by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input: what was read from a cache or written to one, audio and images included.
    pub input: Tokens,
    /// Of the input: read from the provider's cache.
    pub cached_input: Tokens,
    /// Of the input: written to the provider's cache.
    pub cache_write_input: Tokens,
    /// Of the input: written to the provider's cache for an hour, at the providers that have two lifetimes.
    pub cache_write_1h_input: Tokens,
    /// Of the input: audio.
    pub audio_input: Tokens,
    /// Of the input: images.
    pub image_input: Tokens,
    /// All output: reasoning, audio and images included.
    pub output: Tokens,
    /// Of the output: audio.
    pub audio_output: Tokens,
    /// Of the output: images.
    pub image_output: Tokens,
    /// Of the output: reasoning, as the provider says.
    pub reasoning_output: Tokens,
}

/// A usage, and what was odd about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The counts.
    pub usage: Usage,
    /// More cached than input: cannot be, so all of it counts as plain input.
    pub cached_exceeds_input: bool,
}

/// Which of the two metered calls: it decides whether an absent output count is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/embeddings`: no output, priced by input only.
    Embeddings,
}

/// A set of rules that read raw usage.
///
/// Under all of them a count is a whole number below 2⁶³, also as a string or with zeros after a point; what is
/// negative, fractional or larger is as good as absent, and absent is not zero. `cached`, `cache write` and `audio`
/// below are `prompt_tokens_details.cached_tokens`, `.cache_write_tokens` and `.audio_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// `openai/1`: the parts of the input stand inside `prompt_tokens`, as at OpenAI and most others.
    ///
    /// - input: `prompt_tokens`, else `total_tokens` − `completion_tokens`; for embeddings else `total_tokens`.
    /// - output: the larger of `completion_tokens` and `total_tokens` − input, since xAI leaves reasoning out of the
    ///   former. Embeddings have none unless one is stated.
    /// - cached: else DeepSeek's `prompt_cache_hit_tokens`. More than the input cannot be: then it counts as none.
    #[default]
    OpenAi1,
    /// `additional/1`: what was read from the cache or written to it stands beside `prompt_tokens`, as in usage that
    /// is Anthropic's by origin. (<https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching>: "total
    /// input tokens = `cache_read_input_tokens` + `cache_creation_input_tokens` + `input_tokens`".)
    ///
    /// - cached: `cache_read_input_tokens`, else cached; cache write: `cache_creation_input_tokens`, else cache write.
    /// - input: `prompt_tokens`, else `input_tokens`; plus cached, plus cache write.
    /// - output: `completion_tokens`, else `output_tokens`; or `total_tokens` − input where that is larger. Whether a
    ///   total includes the cached tokens is not said: what they can explain of it is taken for them and never for
    ///   output. So reasoning outside of completion is found in full only by a total that includes them; a provider
    ///   that leaves out both needs rules of its own.
    /// - Nothing is concluded from the total alone, for the same reason: a chat call needs input and output stated,
    ///   embeddings input.
    Additional1,
}

impl Rules {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::OpenAi1, Self::Additional1];

    /// The name that configurations and entries know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi1 => "openai/1",
            Self::Additional1 => "additional/1",
        }
    }

    /// The rules of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rules| rules.name() == name)
    }

    /// Reads the raw `usage` object. Nothing where it is no object or lacks the counts of the call.
    ///
    /// ```
    /// use pax_gateway::pax::Tokens;
    /// use pax_gateway::usage::{Mode, Rules};
    /// // xAI leaves reasoning out of completion_tokens; the total tells.
    /// let raw = br#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":334}"#;
    /// let reading = Rules::OpenAi1.read(raw, Mode::Chat);
    /// assert_eq!(reading.map(|r| r.usage.output), Some(Tokens(322)));
    /// ```
    #[must_use]
    pub fn read(self, raw: &[u8], mode: Mode) -> Option<Reading> {
        let mut fields = Fields::default();
        let mut reader = Reader::default();
        reader.push(raw, &mut fields).ok()?;
        reader.finish(&mut fields).ok()?;
        match self {
            Self::OpenAi1 => fields.inside(mode),
            Self::Additional1 => fields.additional(mode),
        }
    }
}

#[derive(Clone, Copy, Default)]
enum Name {
    #[default]
    Other,
    Prompt,
    Completion,
    Total,
    Input,
    Output,
    CacheHit,
    CacheRead,
    CacheCreation,
    PromptDetails,
    CompletionDetails,
    Cached,
    CacheWrite,
    Audio,
    Reasoning,
}

/// What was read so far.
#[derive(Default)]
struct Fields {
    outer: Name,
    inner: Name,
    digits: Digits,
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    cache_hit: Option<u64>,
    cache_read: Option<u64>,
    cache_creation: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    audio_input: Option<u64>,
    audio_output: Option<u64>,
    reasoning: Option<u64>,
}

impl Fields {
    /// `openai/1`.
    fn inside(&self, mode: Mode) -> Option<Reading> {
        let (prompt, completion) = match (mode, self.prompt, self.completion, self.total) {
            (_, Some(prompt), Some(completion), _) => (prompt, completion),
            (_, None, Some(completion), Some(total)) => (total.checked_sub(completion)?, completion),
            (Mode::Chat, Some(prompt), None, Some(total)) => (prompt, total.checked_sub(prompt)?),
            (Mode::Embeddings, Some(input), None, _) | (Mode::Embeddings, None, None, Some(input)) => {
                (input, 0)
            }
            _ => return None,
        };
        let output = completion.max(self.total.unwrap_or(0).saturating_sub(prompt));
        let cached = self.cached.or(self.cache_hit).unwrap_or(0);
        let cached_exceeds_input = cached > prompt;
        let cached = if cached_exceeds_input { 0 } else { cached };
        let usage = self.usage(prompt, cached, self.cache_write.unwrap_or(0), output);
        Some(Reading { usage, cached_exceeds_input })
    }

    /// `additional/1`.
    fn additional(&self, mode: Mode) -> Option<Reading> {
        let prompt = self.prompt.or(self.input)?;
        let completion = match (mode, self.completion.or(self.output)) {
            (_, Some(completion)) => completion,
            (Mode::Embeddings, None) => 0,
            (Mode::Chat, None) => return None,
        };
        let cached = self.cache_read.or(self.cached).unwrap_or(0);
        let cache_write = self.cache_creation.or(self.cache_write).unwrap_or(0);
        let input = prompt.checked_add(cached)?.checked_add(cache_write)?;
        if i64::try_from(input).is_err() {
            return None;
        }
        let output = completion.max(self.total.unwrap_or(0).saturating_sub(input));
        let usage = self.usage(input, cached, cache_write, output);
        Some(Reading { usage, cached_exceeds_input: false })
    }

    fn usage(&self, input: u64, cached: u64, cache_write: u64, output: u64) -> Usage {
        Usage {
            input: Tokens(input),
            cached_input: Tokens(cached),
            cache_write_input: Tokens(cache_write),
            audio_input: Tokens(self.audio_input.unwrap_or(0)),
            output: Tokens(output),
            audio_output: Tokens(self.audio_output.unwrap_or(0)),
            reasoning_output: Tokens(self.reasoning.unwrap_or(0)),
            ..Usage::default()
        }
    }

    fn place(&mut self, depth: usize) -> Option<&mut Option<u64>> {
        match (depth, self.outer, self.inner) {
            (1, Name::Prompt, _) => Some(&mut self.prompt),
            (1, Name::Completion, _) => Some(&mut self.completion),
            (1, Name::Total, _) => Some(&mut self.total),
            (1, Name::Input, _) => Some(&mut self.input),
            (1, Name::Output, _) => Some(&mut self.output),
            (1, Name::CacheHit, _) => Some(&mut self.cache_hit),
            (1, Name::CacheRead, _) => Some(&mut self.cache_read),
            (1, Name::CacheCreation, _) => Some(&mut self.cache_creation),
            (2, Name::PromptDetails, Name::Cached) => Some(&mut self.cached),
            (2, Name::PromptDetails, Name::CacheWrite) => Some(&mut self.cache_write),
            (2, Name::PromptDetails, Name::Audio) => Some(&mut self.audio_input),
            (2, Name::CompletionDetails, Name::Audio) => Some(&mut self.audio_output),
            (2, Name::CompletionDetails, Name::Reasoning) => Some(&mut self.reasoning),
            _ => None,
        }
    }
}

impl Sink for Fields {
    fn key(&mut self, depth: usize, key: &[u8], _: u64) {
        let name = match key {
            b"prompt_tokens" => Name::Prompt,
            b"completion_tokens" => Name::Completion,
            b"total_tokens" => Name::Total,
            b"input_tokens" => Name::Input,
            b"output_tokens" => Name::Output,
            b"prompt_cache_hit_tokens" => Name::CacheHit,
            b"cache_read_input_tokens" => Name::CacheRead,
            b"cache_creation_input_tokens" => Name::CacheCreation,
            b"prompt_tokens_details" => Name::PromptDetails,
            b"completion_tokens_details" => Name::CompletionDetails,
            b"cached_tokens" => Name::Cached,
            b"cache_write_tokens" => Name::CacheWrite,
            b"audio_tokens" => Name::Audio,
            b"reasoning_tokens" => Name::Reasoning,
            _ => Name::Other,
        };
        match depth {
            1 => self.outer = name,
            2 => self.inner = name,
            _ => {}
        }
    }

    fn begin(&mut self, depth: usize, kind: Kind, _: u64) {
        self.digits = Digits::default();
        // What stands in a list has no key: not the one of an object before it.
        if depth == 1 && matches!(kind, Kind::Object | Kind::Array) {
            self.inner = Name::Other;
        }
    }

    fn piece(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.digits.push(*byte));
    }

    fn end(&mut self, depth: usize, kind: Kind, _: u64) {
        let count = match kind {
            Kind::Number | Kind::String => self.digits.count(),
            _ => None,
        };
        if let Some(place) = self.place(depth) {
            // A key that stands twice: the last one counts, as for every JSON reader.
            *place = count;
        }
    }
}

/// A whole number, digit by digit; `12.0` is one too, as providers whose numbers are all floats write it.
#[derive(Default)]
enum Digits {
    #[default]
    Empty,
    Whole(u64),
    Point(u64),
    Zeros(u64),
    No,
}

impl Digits {
    fn push(&mut self, byte: u8) {
        *self = match (&*self, byte) {
            (Self::Empty, b'0'..=b'9') => Self::Whole(u64::from(byte.wrapping_sub(b'0'))),
            (Self::Whole(value), b'0'..=b'9') => value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(byte.wrapping_sub(b'0'))))
                .map_or(Self::No, Self::Whole),
            (Self::Whole(value), b'.') => Self::Point(*value),
            (Self::Point(value) | Self::Zeros(value), b'0') => Self::Zeros(*value),
            _ => Self::No,
        };
    }

    fn count(&self) -> Option<u64> {
        match self {
            Self::Whole(value) | Self::Zeros(value) => i64::try_from(*value).is_ok().then_some(*value),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "usage_test.rs"]
mod tests;
