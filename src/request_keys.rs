//! The keys of a request body that matter, where they matter, and what else could be read as one.

use crate::request::Buys;

/// The keys that matter, wherever they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Name {
    /// Any other key.
    #[default]
    Other,
    /// An element of an array.
    Element,
    Model,
    Stream,
    StreamOptions,
    IncludeUsage,
    MaxTokens,
    MaxCompletionTokens,
    N,
    ServiceTier,
    Messages,
    Content,
    Type,
    Text,
    Input,
    Tools,
    Modalities,
    /// `audio` of a message.
    SaidAudio,
    /// A key whose mere presence, unless `null`, buys something that changes the price.
    Hosted(&'static str, Buys),
}

/// Top-level keys that matter, in their exact spelling.
const TOP: &[(&str, Name)] = &[
    ("model", Name::Model),
    ("stream", Name::Stream),
    ("stream_options", Name::StreamOptions),
    ("max_tokens", Name::MaxTokens),
    ("max_completion_tokens", Name::MaxCompletionTokens),
    ("n", Name::N),
    ("service_tier", Name::ServiceTier),
    ("messages", Name::Messages),
    ("input", Name::Input),
    ("tools", Name::Tools),
    ("modalities", Name::Modalities),
    ("audio", Name::Hosted("audio", Buys::AudioOutput)),
    ("web_search_options", Name::Hosted("web_search_options", Buys::Other)),
    ("search_parameters", Name::Hosted("search_parameters", Buys::Other)),
    ("search_settings", Name::Hosted("search_settings", Buys::Other)),
    ("enable_search", Name::Hosted("enable_search", Buys::Other)),
    ("plugins", Name::Hosted("plugins", Buys::Other)),
    // OpenRouter serves one of these where it does not serve `model`.
    ("models", Name::Hosted("models", Buys::Other)),
    // xAI answers with an id and works later: its usage comes by a route that is not served here.
    ("deferred", Name::Hosted("deferred", Buys::Other)),
];
const IN_STREAM_OPTIONS: &[(&str, Name)] = &[("include_usage", Name::IncludeUsage)];
const IN_TOOL: &[(&str, Name)] = &[("type", Name::Type)];
const IN_MESSAGE: &[(&str, Name)] = &[("content", Name::Content), ("audio", Name::SaidAudio)];
const IN_PART: &[(&str, Name)] = &[("type", Name::Type), ("text", Name::Text), ("refusal", Name::Text)];

/// The keys that matter in the object whose members stand at `depth`, reached on this way.
pub(crate) fn table(depth: usize, way: &[Name]) -> &'static [(&'static str, Name)] {
    match (depth, way) {
        (1, _) => TOP,
        (2, [Name::StreamOptions]) => IN_STREAM_OPTIONS,
        (3, [Name::Tools, Name::Element]) => IN_TOOL,
        (3, [Name::Messages, Name::Element]) => IN_MESSAGE,
        (5, [Name::Messages, Name::Element, Name::Content, Name::Element]) => IN_PART,
        _ => &[],
    }
}

/// Whether a provider that folds case could read `key` as `exact` (lowercase ASCII). Go's `encoding/json`
/// folds the long s and the Kelvin sign too.
pub(crate) fn folds_to(key: &[u8], exact: &[u8]) -> bool {
    // No spelling is shorter, and most keys differ in their first letter: that is all that is looked at of them.
    let starts = |(first, expected): (&u8, &u8)| *first >= 0x80 || first.to_ascii_lowercase() == *expected;
    if key.len() < exact.len() || !key.first().zip(exact.first()).is_some_and(starts) {
        return false;
    }
    let mut rest = key;
    for expected in exact {
        rest = match (rest, expected) {
            ([first, rest @ ..], _) if first.to_ascii_lowercase() == *expected => rest,
            ([0xc5, 0xbf, rest @ ..], b's') | ([0xe2, 0x84, 0xaa, rest @ ..], b'k') => rest,
            _ => return false,
        };
    }
    rest.is_empty()
}
