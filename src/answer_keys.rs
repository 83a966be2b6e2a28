//! The keys that matter in an answer, and which of its strings the model wrote.

use crate::choice_text::Field;

/// What stands at a level of an answer: a key that matters, or an element of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Name {
    #[default]
    Other,
    Element,
    Id,
    Tier,
    Usage,
    Groq,
    Choices,
    Error,
    Delta,
    Message,
    Content,
    Refusal,
    Reasoning,
    ReasoningContent,
    ReasoningDetails,
    Audio,
    Transcript,
    ToolCalls,
    FunctionCall,
    Function,
    Custom,
    Called,
    Arguments,
    Input,
    Text,
    Thinking,
    Summary,
    /// What says something of the text, or is none: roles, ids, signatures, pictures, quotations.
    Framing,
}

/// Words in the names of what is no text of the model's, whichever provider the name is of.
const FRAMING: [&[u8]; 16] = [
    b"annotation",
    b"audio",
    b"b64",
    b"citation",
    b"data",
    b"encrypted",
    b"extra",
    b"image",
    b"logprob",
    b"provider",
    b"search",
    b"signature",
    b"thinking_blocks",
    b"token",
    b"url",
    b"video",
];

/// The key at this depth.
pub(crate) fn name(depth: usize, key: &[u8]) -> Name {
    match (depth, key) {
        (1, b"id") => Name::Id,
        (1, b"service_tier") => Name::Tier,
        (1, b"x_groq") => Name::Groq,
        (1, b"choices" | b"data") => Name::Choices,
        (1, b"error") => Name::Error,
        (1..=3, b"usage") => Name::Usage,
        (3, b"delta") => Name::Delta,
        (3, b"message") => Name::Message,
        (3, b"text") => Name::Text,
        (4.., _) => inside(key),
        _ => Name::Other,
    }
}

/// A key inside of `delta` or `message`.
fn inside(key: &[u8]) -> Name {
    match key {
        b"role" => Name::Framing,
        b"content" => Name::Content,
        b"refusal" => Name::Refusal,
        b"reasoning" => Name::Reasoning,
        b"reasoning_content" => Name::ReasoningContent,
        b"reasoning_details" => Name::ReasoningDetails,
        b"audio" => Name::Audio,
        b"transcript" => Name::Transcript,
        b"tool_calls" => Name::ToolCalls,
        b"function_call" => Name::FunctionCall,
        b"function" => Name::Function,
        b"custom" => Name::Custom,
        b"name" => Name::Called,
        b"arguments" => Name::Arguments,
        b"input" => Name::Input,
        b"text" => Name::Text,
        b"thinking" => Name::Thinking,
        b"summary" => Name::Summary,
        b"type" | b"object" | b"index" | b"status" | b"channel" | b"phase" | b"model" | b"format" => {
            Name::Framing
        }
        _ if key.ends_with(b"id") || key.ends_with(b"_reason") => Name::Framing,
        _ if FRAMING.iter().any(|word| key.windows(word.len()).any(|part| part == *word)) => Name::Framing,
        _ => Name::Other,
    }
}

/// Which text a string is, by the way to it inside of its choice.
pub(crate) fn field(way: &[Name]) -> Field {
    match way {
        [Name::Text] => Field::Bare,
        [Name::Delta | Name::Message, said @ ..] => match said {
            [Name::Content | Name::Refusal]
            | [Name::Content, Name::Element, Name::Text | Name::Thinking | Name::Refusal]
            | [Name::Content, Name::Element, Name::Thinking, Name::Element, Name::Text]
            | [Name::Audio, Name::Transcript] => Field::Said,
            [Name::Reasoning] => Field::Reasoning,
            [Name::ReasoningContent] => Field::ReasoningContent,
            [Name::ReasoningDetails, Name::Element, Name::Text | Name::Summary] => Field::ReasoningDetails,
            [Name::ToolCalls, Name::Element, Name::Function, Name::Called]
            // Some providers give them as an object, and not as its text.
            | [Name::ToolCalls, Name::Element, Name::Function, Name::Arguments, ..]
            | [Name::ToolCalls, Name::Element, Name::Custom, Name::Called | Name::Input] => {
                Field::ToolCalls
            }
            [Name::FunctionCall, Name::Called] | [Name::FunctionCall, Name::Arguments, ..] => {
                Field::FunctionCall
            }
            // A delta that is a string, or a member that no list knows, whatever it is made of.
            [] => Field::Unknown,
            [Name::Other | Name::Text | Name::Thinking | Name::Summary, .., Name::Framing] => Field::NoText,
            [Name::Other | Name::Text | Name::Thinking | Name::Summary, ..] => Field::Unknown,
            _ => Field::NoText,
        },
        _ => Field::NoText,
    }
}
