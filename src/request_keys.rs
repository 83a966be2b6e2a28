//! The keys of a request body that matter, where they matter, and what else could be read as one.

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
    /// `prompt_cache_retention`.
    CacheRetention,
    Messages,
    Content,
    Type,
    /// Text of a part, whatever the part calls it.
    Text,
    /// What a picture's part says of its picture.
    Picture,
    /// The address of a picture, or the picture itself as a `data:` address.
    Url,
    File,
    FileData,
    /// Sound, film, or data of a kind of its own.
    Media,
    Input,
    Tools,
    /// `function` of a tool.
    Function,
    /// `custom` of a tool.
    Custom,
    CacheControl,
    Ttl,
    Modalities,
    Audio,
    /// `audio` of a message.
    SaidAudio,
    /// An object of which only some members are known.
    Shaped(&'static Shape),
}

/// An object of which only some members are known to change neither the price nor the bounds of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Its top-level key.
    pub key: &'static str,
    /// The members that it may have.
    pub members: &'static [&'static str],
    /// Whether they must be true or false.
    pub flags: bool,
}

/// vLLM's and SGLang's: the template's variables can do anything to a prompt, these two switch thinking on and off.
static TEMPLATE: Shape =
    Shape { key: "chat_template_kwargs", members: &["enable_thinking", "thinking"], flags: true };
/// DeepSeek's, GLM's, Kimi's.
static THINKING: Shape = Shape { key: "thinking", members: &["type"], flags: false };
/// OpenRouter's.
static REASONING: Shape =
    Shape { key: "reasoning", members: &["effort", "exclude", "enabled"], flags: false };
/// OpenRouter's.
static USAGE: Shape = Shape { key: "usage", members: &["include"], flags: false };
/// Everybody's. `include_obfuscation` pads chunks with random characters, which are no tokens.
pub(crate) const STREAM_OPTIONS: &[&str] = &["include_usage", "include_obfuscation"];

/// Top-level keys that matter, in their exact spelling.
const TOP: &[(&str, Name)] = &[
    ("model", Name::Model),
    ("stream", Name::Stream),
    ("stream_options", Name::StreamOptions),
    ("max_tokens", Name::MaxTokens),
    ("max_completion_tokens", Name::MaxCompletionTokens),
    ("n", Name::N),
    ("service_tier", Name::ServiceTier),
    ("prompt_cache_retention", Name::CacheRetention),
    ("messages", Name::Messages),
    ("input", Name::Input),
    ("tools", Name::Tools),
    ("modalities", Name::Modalities),
    ("audio", Name::Audio),
    ("chat_template_kwargs", Name::Shaped(&TEMPLATE)),
    ("thinking", Name::Shaped(&THINKING)),
    ("reasoning", Name::Shaped(&REASONING)),
    ("usage", Name::Shaped(&USAGE)),
    ("cache_control", Name::CacheControl),
];
const IN_STREAM_OPTIONS: &[(&str, Name)] = &[("include_usage", Name::IncludeUsage)];
const IN_TOOL: &[(&str, Name)] = &[
    ("type", Name::Type),
    ("function", Name::Function),
    ("custom", Name::Custom),
    ("cache_control", Name::CacheControl),
];
const IN_MESSAGE: &[(&str, Name)] =
    &[("content", Name::Content), ("audio", Name::SaidAudio), ("cache_control", Name::CacheControl)];
const IN_PART: &[(&str, Name)] = &[
    ("type", Name::Type),
    ("text", Name::Text),
    ("refusal", Name::Text),
    ("thinking", Name::Text),
    ("image_url", Name::Picture),
    ("file", Name::File),
    ("cache_control", Name::CacheControl),
    ("video_url", Name::Media),
    ("audio_url", Name::Media),
    ("input_audio", Name::Media),
    ("image", Name::Media),
    ("image_embeds", Name::Media),
    ("image_pil", Name::Media),
    ("audio_embeds", Name::Media),
];
const IN_PICTURE: &[(&str, Name)] = &[("url", Name::Url)];
const IN_FILE: &[(&str, Name)] = &[("file_data", Name::FileData)];
const IN_CACHE_CONTROL: &[(&str, Name)] = &[("ttl", Name::Ttl)];

/// The keys that matter in the object whose members stand at `depth`, reached on this way.
pub(crate) fn table(depth: usize, way: &[Name]) -> &'static [(&'static str, Name)] {
    match (depth, way) {
        (1, _) => TOP,
        (2, [Name::StreamOptions]) => IN_STREAM_OPTIONS,
        (3, [Name::Tools, Name::Element]) => IN_TOOL,
        (3, [Name::Messages, Name::Element]) => IN_MESSAGE,
        (5, [Name::Messages, Name::Element, Name::Content, Name::Element]) => IN_PART,
        (6, [.., Name::Content, Name::Element, Name::Picture]) => IN_PICTURE,
        (6, [.., Name::Content, Name::Element, Name::File]) => IN_FILE,
        (2 | 4 | 6, [.., Name::CacheControl]) => IN_CACHE_CONTROL,
        _ => &[],
    }
}

/// Whether the text of the value at this place is kept until it ends.
pub(crate) fn keeps(way: &[Name]) -> bool {
    matches!(
        way,
        [Name::Model | Name::MaxTokens | Name::MaxCompletionTokens | Name::N]
            | [Name::ServiceTier | Name::CacheRetention]
            | [Name::Modalities, Name::Element]
            | [.., Name::CacheControl, Name::Ttl]
            | [Name::Tools, Name::Element, Name::Type]
            | [_, _, Name::Content, Name::Element, Name::Type | Name::Picture]
            | [_, _, Name::Content, Name::Element, Name::Picture, Name::Url]
            | [_, _, Name::Content, Name::Element, Name::File, Name::FileData]
    )
}

/// Whether a string at this place is text that a model reads. The picture of an image part is not.
pub(crate) fn is_text(way: &[Name]) -> bool {
    match way {
        [Name::Messages, Name::Element, Name::Content, Name::Element, inside @ ..] => {
            matches!(inside, [] | [Name::Text, ..])
        }
        [Name::Messages | Name::Input | Name::Tools, ..] => true,
        [Name::Other, ..] => true,
        _ => false,
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
