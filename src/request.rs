//! The request: what the gateway knows of one, and the two things it may rewrite.

use crate::json::JsonError;
use crate::price::ServiceTier;
use crate::provider::OutputMaximum;

/// Bytes of the body, from `start` up to `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte.
    pub end: u64,
}

/// What a request says of `stream_options`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamOptions {
    /// Nothing.
    #[default]
    Absent,
    /// `null`, there.
    Null(Span),
    /// An object without `include_usage`; `inside` is the place after its brace.
    Without {
        /// Offset after the opening brace.
        inside: u64,
        /// Whether it has no members at all.
        empty: bool,
    },
    /// An object with `include_usage`, whose value stands there.
    With {
        /// The value as a boolean; `null` counts as false.
        include_usage: bool,
        /// Where the value stands.
        value: Span,
    },
}

/// Where a request says `null` for its output's maximum, which is as good as saying nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NullMaxima {
    /// The `null` of `max_tokens`.
    pub max_tokens: Option<Span>,
    /// The `null` of `max_completion_tokens`.
    pub max_completion_tokens: Option<Span>,
}

/// What is written into a request, beside what its caller said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite<'a> {
    /// The provider's name for the model.
    pub upstream_model: Option<&'a str>,
    /// Whether a stream is to report usage.
    pub asks_usage: bool,
    /// An output's maximum, where the caller stated none.
    pub max_output: Option<(OutputMaximum, u64)>,
}

/// What the gateway knows of a request whose body it has read to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The public model id.
    pub model: String,
    /// Where its value stands, quotes included.
    pub model_span: Span,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// What it says of usage in the stream.
    pub stream_options: StreamOptions,
    /// The larger of `max_tokens` and `max_completion_tokens`.
    pub stated_max_output: Option<u64>,
    /// Where it says `null` for one of them.
    pub null_maxima: NullMaxima,
    /// The service tier that it asks for.
    pub service_tier: ServiceTier,
    /// Its options that change the provider's price, each once, in the order of the body. A model that does not
    /// price one of them is refused.
    pub options: Vec<PricedOption>,
    /// How many answers are wanted.
    pub n: u64,
    /// Bytes of text in it: what an estimate counts.
    pub text_bytes: u64,
    /// Tokens that an embeddings request gives as numbers.
    pub given_tokens: u64,
    /// Whether any part of a message is not text.
    pub not_text: bool,
    /// The body's length.
    pub body_bytes: u64,
}

/// An option that changes the provider's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PricedOption {
    /// The top-level key where it stands.
    pub key: &'static str,
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
    /// What no card can price: hosted tools, pictures made.
    Other,
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Not JSON, or not to the end.
    NotJson(JsonError),
    /// Not an object.
    NotAnObject,
    /// A key that matters stands twice.
    Twice(&'static str),
    /// A key is another spelling of one that matters.
    Spelling(&'static str),
    /// A value has the wrong type.
    WrongType {
        /// Which key.
        key: &'static str,
        /// What it must be.
        must_be: &'static str,
    },
    /// No `model`, or an empty one.
    MissingModel,
    /// An option that changes the provider's price, and that the card does not price.
    Unpriced {
        /// Which key.
        key: &'static str,
    },
}

/// A replacement of a span of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty to insert.
    pub span: Span,
    /// By what.
    pub with: Vec<u8>,
}

impl Request {
    /// The edits that a rewrite makes of the body; in order.
    #[must_use]
    pub fn edits(&self, rewrite: &Rewrite<'_>) -> Vec<Edit> {
        let mut edits = Vec::new();
        if let Some(name) = rewrite.upstream_model {
            let with = serde_json::to_vec(name).unwrap_or_default();
            edits.push(Edit { span: self.model_span, with });
        }
        if rewrite.asks_usage {
            edits.extend(self.usage_edit());
        }
        if let Some((field, tokens)) = rewrite.max_output.filter(|_| self.stated_max_output.is_none()) {
            edits.push(self.maximum_edit(field, tokens));
        }
        edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
        edits
    }

    /// A `null` gives way: beside it the key would stand twice.
    fn maximum_edit(&self, field: OutputMaximum, tokens: u64) -> Edit {
        let key = field.name();
        let null = match field {
            OutputMaximum::MaxTokens => self.null_maxima.max_tokens,
            OutputMaximum::MaxCompletionTokens => self.null_maxima.max_completion_tokens,
        };
        let after_model = Span { start: self.model_span.end, end: self.model_span.end };
        match null {
            Some(span) => Edit { span, with: tokens.to_string().into_bytes() },
            None => Edit { span: after_model, with: format!(",\"{key}\":{tokens}").into_bytes() },
        }
    }

    /// Whether a stream's caller asked for usage.
    #[must_use]
    pub fn asks_usage(&self) -> bool {
        matches!(self.stream_options, StreamOptions::With { include_usage: true, .. })
    }

    fn usage_edit(&self) -> Option<Edit> {
        let (span, with): (Span, &[u8]) = match self.stream_options {
            StreamOptions::Absent => {
                let after_model = Span { start: self.model_span.end, end: self.model_span.end };
                (after_model, br#","stream_options":{"include_usage":true}"#)
            }
            StreamOptions::Null(span) => (span, br#"{"include_usage":true}"#),
            StreamOptions::Without { inside, empty } => {
                let first = Span { start: inside, end: inside };
                (first, if empty { br#""include_usage":true"# } else { br#""include_usage":true,"# })
            }
            StreamOptions::With { include_usage: true, .. } => return None,
            StreamOptions::With { value, .. } => (value, b"true"),
        };
        Some(Edit { span, with: with.to_vec() })
    }
}

/// The length of a body of `length` bytes after its edits.
#[must_use]
pub fn edited_length(length: u64, edits: &[Edit]) -> u64 {
    edits.iter().fold(length, |length, edit| {
        let removed = edit.span.end.saturating_sub(edit.span.start);
        let added = u64::try_from(edit.with.len()).unwrap_or(u64::MAX);
        length.saturating_sub(removed).saturating_add(added)
    })
}

/// The body with its edits made, as the pieces that it consists of; edits must be in order and not overlap.
/// Nothing is copied: a body may be large.
pub fn pieces<'a>(body: &'a [u8], edits: &'a [Edit]) -> impl Iterator<Item = &'a [u8]> {
    let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    let mut done = 0;
    let edited = edits.iter().flat_map(move |edit| {
        let kept = body.get(done..index(edit.span.start)).unwrap_or(&[]);
        done = index(edit.span.end);
        [kept, edit.with.as_slice()]
    });
    let last = edits.last().map_or(0, |edit| index(edit.span.end));
    edited.chain([body.get(last..).unwrap_or(&[])])
}

/// The body with its edits made, in one piece.
#[must_use]
pub fn apply(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    pieces(body, edits).collect::<Vec<_>>().concat()
}
