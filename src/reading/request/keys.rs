//! The keys of a request body that matter, in which objects they matter, and which other spellings a provider
//! could read as one of them.

/// The keys that matter, of all objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RequestKey {
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
    /// `image_url` of a part: its picture.
    Picture,
    /// The address of a picture, or the picture itself as a `data:` address.
    Url,
    File,
    FileData,
    /// Sound, film, or data of another kind.
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

/// vLLM's and SGLang's: the template's variables can do anything to a prompt, but these two only switch
/// thinking on and off.
static TEMPLATE: Shape =
    Shape { key: "chat_template_kwargs", members: &["enable_thinking", "thinking"], flags: true };
/// DeepSeek's, GLM's, Kimi's.
static THINKING: Shape = Shape { key: "thinking", members: &["type"], flags: false };
/// OpenRouter's.
static REASONING: Shape =
    Shape { key: "reasoning", members: &["effort", "exclude", "enabled"], flags: false };
/// OpenRouter's.
static USAGE: Shape = Shape { key: "usage", members: &["include"], flags: false };
/// Every provider's. `include_obfuscation` pads chunks with random characters, which are no tokens.
pub(crate) const STREAM_OPTIONS: &[&str] = &["include_usage", "include_obfuscation"];

/// Top-level keys that matter, in their exact spelling.
const TOP: &[(&str, RequestKey)] = &[
    ("model", RequestKey::Model),
    ("stream", RequestKey::Stream),
    ("stream_options", RequestKey::StreamOptions),
    ("max_tokens", RequestKey::MaxTokens),
    ("max_completion_tokens", RequestKey::MaxCompletionTokens),
    ("n", RequestKey::N),
    ("service_tier", RequestKey::ServiceTier),
    ("prompt_cache_retention", RequestKey::CacheRetention),
    ("messages", RequestKey::Messages),
    ("input", RequestKey::Input),
    ("tools", RequestKey::Tools),
    ("modalities", RequestKey::Modalities),
    ("audio", RequestKey::Audio),
    ("chat_template_kwargs", RequestKey::Shaped(&TEMPLATE)),
    ("thinking", RequestKey::Shaped(&THINKING)),
    ("reasoning", RequestKey::Shaped(&REASONING)),
    ("usage", RequestKey::Shaped(&USAGE)),
    ("cache_control", RequestKey::CacheControl),
];
const IN_STREAM_OPTIONS: &[(&str, RequestKey)] = &[("include_usage", RequestKey::IncludeUsage)];
const IN_TOOL: &[(&str, RequestKey)] = &[
    ("type", RequestKey::Type),
    ("function", RequestKey::Function),
    ("custom", RequestKey::Custom),
    ("cache_control", RequestKey::CacheControl),
];
const IN_MESSAGE: &[(&str, RequestKey)] = &[
    ("content", RequestKey::Content),
    ("audio", RequestKey::SaidAudio),
    ("cache_control", RequestKey::CacheControl),
];
const IN_PART: &[(&str, RequestKey)] = &[
    ("type", RequestKey::Type),
    ("text", RequestKey::Text),
    ("refusal", RequestKey::Text),
    ("thinking", RequestKey::Text),
    ("image_url", RequestKey::Picture),
    ("file", RequestKey::File),
    ("cache_control", RequestKey::CacheControl),
    ("video_url", RequestKey::Media),
    ("audio_url", RequestKey::Media),
    ("input_audio", RequestKey::Media),
    ("image", RequestKey::Media),
    ("image_embeds", RequestKey::Media),
    ("image_pil", RequestKey::Media),
    ("audio_embeds", RequestKey::Media),
];
const IN_PICTURE: &[(&str, RequestKey)] = &[("url", RequestKey::Url)];
const IN_FILE: &[(&str, RequestKey)] = &[("file_data", RequestKey::FileData)];
const IN_CACHE_CONTROL: &[(&str, RequestKey)] = &[("ttl", RequestKey::Ttl)];

/// The keys that matter in the object that `way` leads to, whose members are at `depth`.
pub(crate) fn table(depth: usize, way: &[RequestKey]) -> &'static [(&'static str, RequestKey)] {
    match (depth, way) {
        (1, _) => TOP,
        (2, [RequestKey::StreamOptions]) => IN_STREAM_OPTIONS,
        (3, [RequestKey::Tools, RequestKey::Element]) => IN_TOOL,
        (3, [RequestKey::Messages, RequestKey::Element]) => IN_MESSAGE,
        (5, [RequestKey::Messages, RequestKey::Element, RequestKey::Content, RequestKey::Element]) => IN_PART,
        (6, [.., RequestKey::Content, RequestKey::Element, RequestKey::Picture]) => IN_PICTURE,
        (6, [.., RequestKey::Content, RequestKey::Element, RequestKey::File]) => IN_FILE,
        (2 | 4 | 6, [.., RequestKey::CacheControl]) => IN_CACHE_CONTROL,
        _ => &[],
    }
}

/// Whether the text of the value at this place is kept until it ends.
pub(crate) fn keeps(way: &[RequestKey]) -> bool {
    matches!(
        way,
        [RequestKey::Model | RequestKey::MaxTokens | RequestKey::MaxCompletionTokens | RequestKey::N]
            | [RequestKey::ServiceTier | RequestKey::CacheRetention]
            | [RequestKey::Modalities, RequestKey::Element]
            | [.., RequestKey::CacheControl, RequestKey::Ttl]
            | [RequestKey::Tools, RequestKey::Element, RequestKey::Type]
            | [_, _, RequestKey::Content, RequestKey::Element, RequestKey::Type | RequestKey::Picture]
            | [_, _, RequestKey::Content, RequestKey::Element, RequestKey::Picture, RequestKey::Url]
            | [_, _, RequestKey::Content, RequestKey::Element, RequestKey::File, RequestKey::FileData]
    )
}

/// Whether a string at this place is text that a model reads. The picture of an image part is not.
pub(crate) fn is_text(way: &[RequestKey]) -> bool {
    match way {
        [
            RequestKey::Messages,
            RequestKey::Element,
            RequestKey::Content,
            RequestKey::Element,
            inside @ ..,
        ] => {
            matches!(inside, [] | [RequestKey::Text, ..])
        }
        [RequestKey::Messages | RequestKey::Input | RequestKey::Tools, ..] => true,
        [RequestKey::Other, ..] => true,
        _ => false,
    }
}

/// Whether a provider that folds case could read `key` as `exact` (lowercase ASCII). Go's `encoding/json`
/// folds the long s and the Kelvin sign too.
pub(crate) fn folds_to(key: &[u8], exact: &[u8]) -> bool {
    // No spelling is shorter, and most keys differ in their first letter: for those this one comparison is
    // enough.
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
