//! Usage: the token counts that a provider reports, read from the raw `usage` object of an answer.
//!
//! [`Rules`] tell how to read it. A provider's configuration names its rules, and an entry names the rules
//! that counted it, so that a replay counts with the same ones. A set of rules never changes; new sets are
//! added.

use crate::base::pax::Tokens;

/// The largest raw usage that is kept and read, in bytes. Real ones have a few hundred.
pub const RAW_MAX: usize = 4096;

/// The counts that a call is priced with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input, including what was read from a cache or written to one, audio and images.
    pub input: Tokens,
    /// Of the input: read from the provider's cache.
    pub cached_input: Tokens,
    /// Of the input: written to the provider's cache.
    pub cache_write_input: Tokens,
    /// Of the input: written to the provider's cache for an hour, if the provider has two lifetimes.
    pub cache_write_1h_input: Tokens,
    /// Of the input: audio.
    pub audio_input: Tokens,
    /// Of the input: images.
    pub image_input: Tokens,
    /// All output, including reasoning, audio and images.
    pub output: Tokens,
    /// Of the output: audio.
    pub audio_output: Tokens,
    /// Of the output: images.
    pub image_output: Tokens,
    /// Of the output: reasoning, as the provider reports it.
    pub reasoning_output: Tokens,
}

/// The counts of a raw usage, and what else in it matters for the price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The counts.
    pub usage: Usage,
    /// Whether it counts more cached input than input. That cannot be, so all input counts as plain input.
    pub cached_exceeds_input: bool,
    /// `service_tier`: the tier in which the call was served. The first set of each family of rules reads
    /// neither this nor the fields below.
    pub service_tier: Option<String>,
    /// Whether writes to the cache are stated in Anthropic's way: there they always cost more than input.
    pub writes_cost: bool,
    /// Whether `server_tool_use` counts anything: tools that the provider ran and bills apart.
    pub server_tools: bool,
}

/// What a raw usage is worth. Of two usages the one that is worth more counts. If they are worth the same,
/// the last one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// It holds no count, so it is no usage.
    #[default]
    Nothing,
    /// It has more bytes than are kept, so that nobody could count it again.
    TooLarge,
    /// It holds counts, but not those of the call.
    Unreadable,
    /// It has the counts of the call.
    Readable,
}

/// The kind of a metered call. It decides whether an absent output count is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/embeddings`: no output, priced by input only.
    Embeddings,
    /// `/v1/completions`: no route yet, but the second form of a debit has a name for it.
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
/// Under all of them a count is a whole number below 2⁶³; it may be a string, or have zeros after a point. A
/// number that is negative, fractional or larger counts as absent, and absent is not zero. Below, `cached` is
/// `prompt_tokens_details.cached_tokens`, `cache write` is its `.cache_write_tokens`, and `audio` its
/// `.audio_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// `openai/1`: `prompt_tokens` includes all parts of the input, as at OpenAI and most others.
    ///
    /// - input: `prompt_tokens`, else `total_tokens` − `completion_tokens`, else (for embeddings only)
    ///   `total_tokens`.
    /// - output: the larger of `completion_tokens` and `total_tokens` − input, because xAI leaves reasoning
    ///   out of the former. Embeddings have none unless one is stated.
    /// - cached: `cached`, else DeepSeek's `prompt_cache_hit_tokens`. If that is more than the input, which
    ///   cannot be, it counts as none.
    #[default]
    OpenAi1,
    /// `additional/1`: `prompt_tokens` does not include what was read from the cache or written to it, as in
    /// usage that is Anthropic's by origin.
    /// (<https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching>: "total input tokens =
    /// `cache_read_input_tokens` + `cache_creation_input_tokens` + `input_tokens`".)
    ///
    /// - cached: `cache_read_input_tokens`, else `cached`; cache write: `cache_creation_input_tokens`, else
    ///   `cache write`.
    /// - input: `prompt_tokens`, else `input_tokens`; plus cached, plus cache write.
    /// - output: `completion_tokens`, else `output_tokens`; or `total_tokens` − input if that is larger. A
    ///   provider does not tell whether its total includes the cached tokens. So as much of the total as can
    ///   be cached tokens is taken for them, and never for output. Reasoning outside of `completion_tokens`
    ///   is therefore found in full only if the total includes the cached tokens. A provider that leaves out
    ///   both, the reasoning there and the cached tokens in the total, needs rules of its own.
    /// - For the same reason nothing is concluded from the total alone: a chat call must state input and
    ///   output, an embeddings call its input.
    Additional1,
    /// `openai/2`: as `openai/1`, and:
    ///
    /// - cached: if there is none yet, Moonshot's `cached_tokens`, which is outside of
    ///   `prompt_tokens_details`.
    /// - cache write: all of it is `cache_creation_input_tokens`, else
    ///   `prompt_tokens_details.cache_write_tokens`, else `cache_creation.ephemeral_5m_input_tokens` +
    ///   `.ephemeral_1h_input_tokens`. What was written for an hour is counted apart.
    /// - images: `prompt_tokens_details.image_tokens`, `completion_tokens_details.image_tokens`.
    /// - `service_tier` and `server_tool_use`.
    OpenAi2,
    /// `additional/2`: as `additional/1`, with the same additions.
    Additional2,
}

impl Rules {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OpenAi1, Self::Additional1, Self::OpenAi2, Self::Additional2];

    /// The first set of the same family, which counts for a debit in its first form.
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

    /// Its name in configurations and entries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi1 => "openai/1",
            Self::Additional1 => "additional/1",
            Self::OpenAi2 => "openai/2",
            Self::Additional2 => "additional/2",
        }
    }

    /// The rules with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rules| rules.name() == name)
    }
}

#[cfg(test)]
#[path = "usage_test.rs"]
mod tests;
