//! Usage: the token counts that a provider reports, read from the raw `usage` object of an answer.
//!
//! [`Rules`] says how. A provider's configuration names its rules, and an entry those that counted it, so that a
//! replay counts it by the same ones: a set of rules never changes, others are added.

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

/// A usage, and what else it says that matters for its price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The counts.
    pub usage: Usage,
    /// More cached than input: cannot be, so all of it counts as plain input.
    pub cached_exceeds_input: bool,
    /// `service_tier`: in which tier the call was served. Not read by a first set of rules, as all that follows.
    pub service_tier: Option<String>,
    /// Whether writes to the cache are stated as Anthropic does, where they always cost more than input.
    pub writes_cost: bool,
    /// Whether `server_tool_use` counts anything: tools that the provider ran and bills apart.
    pub server_tools: bool,
}

/// What a raw usage is worth. Of two the worthier one counts, and of two alike the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// It holds no count: it is none.
    #[default]
    Nothing,
    /// It has more bytes than are kept, so that nobody could count it again.
    TooLarge,
    /// It holds counts, and not those of the call.
    Unreadable,
    /// It says what the call took.
    Readable,
}

/// Which of the metered calls: it decides whether an absent output count is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/embeddings`: no output, priced by input only.
    Embeddings,
    /// `/v1/completions`: no route yet, but the second form of a debit can say it.
    Completions,
    /// `/v1/responses`, likewise.
    Responses,
}

impl Mode {
    /// Its name on entries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::Completions => "completions",
            Self::Responses => "responses",
        }
    }

    /// The path of its calls.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
        }
    }
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
    /// `openai/2`: as `openai/1`, and:
    ///
    /// - cached: else Moonshot's `cached_tokens`, which stands beside the others.
    /// - cache write: `cache_creation_input_tokens`, else `prompt_tokens_details.cache_write_tokens`, is the whole; else
    ///   it is `cache_creation.ephemeral_5m_input_tokens` + `.ephemeral_1h_input_tokens`. The latter is counted apart.
    /// - images: `prompt_tokens_details.image_tokens`, `completion_tokens_details.image_tokens`.
    /// - `service_tier` and `server_tool_use`.
    OpenAi2,
    /// `additional/2`: as `additional/1`, with the same additions.
    Additional2,
}

impl Rules {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OpenAi1, Self::Additional1, Self::OpenAi2, Self::Additional2];

    /// The first set of the same family, which counts a debit's first form.
    #[must_use]
    pub const fn first(self) -> Self {
        match self {
            Self::OpenAi1 | Self::OpenAi2 => Self::OpenAi1,
            Self::Additional1 | Self::Additional2 => Self::Additional1,
        }
    }

    /// The latest set of the same family.
    #[must_use]
    pub const fn latest(self) -> Self {
        match self {
            Self::OpenAi1 | Self::OpenAi2 => Self::OpenAi2,
            Self::Additional1 | Self::Additional2 => Self::Additional2,
        }
    }

    /// The name that configurations and entries know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi1 => "openai/1",
            Self::Additional1 => "additional/1",
            Self::OpenAi2 => "openai/2",
            Self::Additional2 => "additional/2",
        }
    }

    /// The rules of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rules| rules.name() == name)
    }
}

#[cfg(test)]
#[path = "usage_test.rs"]
mod tests;
