//! What the gateway knows of a request.

use crate::base::text_bytes::TextBytes;
use crate::dialect::provider::OutputMaximum;
use crate::price::rates::ServiceTier;

/// Bytes of the body, from `start` up to `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte.
    pub end: u64,
}

/// The `stream_options` of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamOptions {
    /// It has none.
    #[default]
    Absent,
    /// `null`, at this place.
    Null(Span),
    /// An object without `include_usage`.
    Without {
        /// Offset after the opening brace.
        inside: u64,
        /// Whether it has no members at all.
        empty: bool,
    },
    /// An object with `include_usage`.
    With {
        /// The value as a boolean; `null` counts as false.
        include_usage: bool,
        /// The place of the value.
        value: Span,
    },
}

/// A member of the body's outermost object that the gateway may change, rename or take out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Offset of its key's first quote.
    pub key_at: u64,
    /// The place of its value.
    pub value: Span,
    /// Offset after the member before it, or after the opening brace if it is the first.
    pub previous_end: u64,
    /// Offset of the key after it; none if it is the last.
    pub next_key_at: Option<u64>,
    /// Its value as a number; none for `null`.
    pub number: Option<u64>,
}

/// What the gateway knows of a request whose body it has read to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The public model id.
    pub model: String,
    /// The place of the model's value, quotes included.
    pub model_span: Span,
    /// Offset after the opening brace of the body's outermost object.
    pub inside: u64,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// What it asks for about usage in the stream.
    pub stream_options: StreamOptions,
    /// The member `max_tokens`; a `null` states nothing.
    pub max_tokens: Option<Member>,
    /// The member `max_completion_tokens`, likewise.
    pub max_completion_tokens: Option<Member>,
    /// The service tier that it asks for.
    pub service_tier: ServiceTier,
    /// The member `service_tier`.
    pub service_tier_at: Option<Member>,
    /// Its options that not every provider is sent, each once, in the order of the body. On platform funding
    /// a call is refused if the model does not price one of them, or if its provider is not sent it.
    pub options: Vec<AskedOption>,
    /// How many answers are wanted.
    pub n: u64,
    /// The text in it, which estimates count.
    pub text: TextBytes,
    /// Tokens that an embeddings request gives as numbers.
    pub given_tokens: u64,
    /// Whether any part of a message is not text.
    pub not_text: bool,
    /// Whether it marks something for the provider's cache (`cache_control`).
    pub caches: bool,
    /// The body's length.
    pub body_bytes: u64,
}

/// An option that not every provider is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedOption {
    /// Its name as an operator writes it: `thinking`, `thinking.budget_tokens`.
    pub name: String,
    /// What it buys.
    pub buys: Buys,
}

/// What an option buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buys {
    /// Audio is read.
    AudioInput,
    /// Audio is spoken.
    AudioOutput,
    /// [`Request::service_tier`].
    ServiceTier,
    /// Pictures are made.
    ImageOutput,
    /// Input is written to the provider's cache for an hour.
    CacheWrite1h,
    /// What is written to the provider's cache stays for longer than an hour, at a price that no card has.
    LongCacheWrite,
    /// Something that no card can price, such as hosted tools.
    Other,
    /// Whatever the provider takes it for: the operator decides whether it is sent.
    Provider,
}

impl Request {
    /// The request's member with this field's name.
    #[must_use]
    pub fn maximum(&self, field: OutputMaximum) -> Option<&Member> {
        match field {
            OutputMaximum::MaxTokens => self.max_tokens.as_ref(),
            OutputMaximum::MaxCompletionTokens => self.max_completion_tokens.as_ref(),
        }
    }

    /// The output's maximum that the caller states to a provider that reads this field: the value of the
    /// field, or else the value of the other field, which is then moved to this one.
    #[must_use]
    pub fn stated_maximum(&self, field: OutputMaximum) -> Option<u64> {
        let stated = |field| self.maximum(field).and_then(|member| member.number);
        stated(field).or_else(|| stated(field.other()))
    }

    /// Whether a stream's caller asked for usage.
    #[must_use]
    pub fn asks_usage(&self) -> bool {
        matches!(self.stream_options, StreamOptions::With { include_usage: true, .. })
    }
}
