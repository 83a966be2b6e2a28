//! Usage: the token counts that a provider reports, read from the raw `usage` object of an answer.
//!
//! One set of rules, [`RULES`], reads all shapes of OpenAI-compatible providers seen so far. An entry names
//! the rules that counted it, so that a replay counts it by the same ones: these never change, others are added.

use crate::json::{Kind, Reader, Sink};
use crate::pax::Tokens;

/// The rules of [`read`], as entries name them.
pub const RULES: &str = "openai/1";
/// The largest raw usage that is kept and read, in bytes. Real ones have a few hundred.
pub const RAW_MAX: usize = 4096;

/// What a call is priced by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input, as the provider counted it: cached and audio included.
    pub input: Tokens,
    /// Of the input: read from the provider's cache.
    pub cached_input: Tokens,
    /// Of the input: written to the provider's cache.
    pub cache_write_input: Tokens,
    /// Of the input: audio.
    pub audio_input: Tokens,
    /// All output: reasoning and audio included.
    pub output: Tokens,
    /// Of the output: audio.
    pub audio_output: Tokens,
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

/// Reads the raw `usage` object. Nothing where it is no object or lacks the counts of the call: absent is not
/// zero, and a count that is negative, fractional or beyond 2⁶³ is as good as absent.
///
/// ```
/// use pax_gateway::pax::Tokens;
/// use pax_gateway::usage::{Mode, read};
/// // xAI leaves reasoning out of completion_tokens; the total tells.
/// let reading = read(br#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":334}"#, Mode::Chat);
/// assert_eq!(reading.map(|r| r.usage.output), Some(Tokens(322)));
/// ```
#[must_use]
pub fn read(raw: &[u8], mode: Mode) -> Option<Reading> {
    let mut fields = Fields::default();
    let mut reader = Reader::default();
    reader.push(raw, &mut fields).ok()?;
    reader.finish(&mut fields).ok()?;
    fields.reading(mode)
}

#[derive(Clone, Copy, Default)]
enum Name {
    #[default]
    Other,
    Prompt,
    Completion,
    Total,
    CacheHit,
    PromptDetails,
    CompletionDetails,
    Cached,
    CacheWrite,
    Audio,
    Reasoning,
}

/// The count that is being read: its text so far.
#[derive(Default)]
struct Fields {
    outer: Name,
    inner: Name,
    digits: Digits,
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cache_hit: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    audio_input: Option<u64>,
    audio_output: Option<u64>,
    reasoning: Option<u64>,
}

impl Fields {
    fn reading(&self, mode: Mode) -> Option<Reading> {
        let (prompt, completion) = match (mode, self.prompt, self.completion, self.total) {
            (_, Some(prompt), Some(completion), _) => (prompt, completion),
            (_, None, Some(completion), Some(total)) => (total.checked_sub(completion)?, completion),
            (Mode::Chat, Some(prompt), None, Some(total)) => (prompt, total.checked_sub(prompt)?),
            (Mode::Embeddings, Some(input), None, _) | (Mode::Embeddings, None, None, Some(input)) => {
                (input, 0)
            }
            _ => return None,
        };
        let beyond_prompt = self.total.and_then(|total| total.checked_sub(prompt)).unwrap_or(0);
        let cached = self.cached.or(self.cache_hit).unwrap_or(0);
        let cached_exceeds_input = cached > prompt;
        let usage = Usage {
            input: Tokens(prompt),
            cached_input: Tokens(if cached_exceeds_input { 0 } else { cached }),
            cache_write_input: Tokens(self.cache_write.unwrap_or(0)),
            audio_input: Tokens(self.audio_input.unwrap_or(0)),
            output: Tokens(completion.max(beyond_prompt)),
            audio_output: Tokens(self.audio_output.unwrap_or(0)),
            reasoning_output: Tokens(self.reasoning.unwrap_or(0)),
        };
        Some(Reading { usage, cached_exceeds_input })
    }

    fn place(&mut self, depth: usize) -> Option<&mut Option<u64>> {
        match (depth, self.outer, self.inner) {
            (1, Name::Prompt, _) => Some(&mut self.prompt),
            (1, Name::Completion, _) => Some(&mut self.completion),
            (1, Name::Total, _) => Some(&mut self.total),
            (1, Name::CacheHit, _) => Some(&mut self.cache_hit),
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
            b"prompt_cache_hit_tokens" => Name::CacheHit,
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
