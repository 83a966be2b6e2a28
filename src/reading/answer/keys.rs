//! The keys that matter in an answer, and which of its strings the model wrote.

use crate::reading::answer::choice_text::Field;

/// One level of the path in an answer: a key that matters, or an element of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AnswerKey {
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
    /// Something about the text, or no text at all: roles, ids, signatures, pictures, quotations.
    Framing,
}

/// If a key has one of these words in it, its value is no text of the model's, whichever provider sent it.
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
pub(crate) fn name(depth: usize, key: &[u8]) -> AnswerKey {
    match (depth, key) {
        (1, b"id") => AnswerKey::Id,
        (1, b"service_tier") => AnswerKey::Tier,
        (1, b"x_groq") => AnswerKey::Groq,
        (1, b"choices" | b"data") => AnswerKey::Choices,
        (1, b"error") => AnswerKey::Error,
        (1..=3, b"usage") => AnswerKey::Usage,
        (3, b"delta") => AnswerKey::Delta,
        (3, b"message") => AnswerKey::Message,
        (3, b"text") => AnswerKey::Text,
        (4.., _) => inside(key),
        _ => AnswerKey::Other,
    }
}

/// A key inside of `delta` or `message`.
fn inside(key: &[u8]) -> AnswerKey {
    match key {
        b"role" => AnswerKey::Framing,
        b"content" => AnswerKey::Content,
        b"refusal" => AnswerKey::Refusal,
        b"reasoning" => AnswerKey::Reasoning,
        b"reasoning_content" => AnswerKey::ReasoningContent,
        b"reasoning_details" => AnswerKey::ReasoningDetails,
        b"audio" => AnswerKey::Audio,
        b"transcript" => AnswerKey::Transcript,
        b"tool_calls" => AnswerKey::ToolCalls,
        b"function_call" => AnswerKey::FunctionCall,
        b"function" => AnswerKey::Function,
        b"custom" => AnswerKey::Custom,
        b"name" => AnswerKey::Called,
        b"arguments" => AnswerKey::Arguments,
        b"input" => AnswerKey::Input,
        b"text" => AnswerKey::Text,
        b"thinking" => AnswerKey::Thinking,
        b"summary" => AnswerKey::Summary,
        b"type" | b"object" | b"index" | b"status" | b"channel" | b"phase" | b"model" | b"format" => {
            AnswerKey::Framing
        }
        _ if key.ends_with(b"id") || key.ends_with(b"_reason") => AnswerKey::Framing,
        _ if FRAMING.iter().any(|word| key.windows(word.len()).any(|part| part == *word)) => {
            AnswerKey::Framing
        }
        _ => AnswerKey::Other,
    }
}

/// The kind of a string; `way` leads to it inside of its choice.
pub(crate) fn field(way: &[AnswerKey]) -> Field {
    match way {
        [AnswerKey::Text] => Field::Bare,
        [AnswerKey::Delta | AnswerKey::Message, said @ ..] => match said {
            [AnswerKey::Content | AnswerKey::Refusal]
            | [AnswerKey::Content, AnswerKey::Element, AnswerKey::Text | AnswerKey::Thinking | AnswerKey::Refusal]
            | [AnswerKey::Content, AnswerKey::Element, AnswerKey::Thinking, AnswerKey::Element, AnswerKey::Text]
            | [AnswerKey::Audio, AnswerKey::Transcript] => Field::Said,
            [AnswerKey::Reasoning] => Field::Reasoning,
            [AnswerKey::ReasoningContent] => Field::ReasoningContent,
            [AnswerKey::ReasoningDetails, AnswerKey::Element, AnswerKey::Text | AnswerKey::Summary] => Field::ReasoningDetails,
            [AnswerKey::ToolCalls, AnswerKey::Element, AnswerKey::Function, AnswerKey::Called]
            // Some providers give the arguments as an object, and not as the text of one.
            | [AnswerKey::ToolCalls, AnswerKey::Element, AnswerKey::Function, AnswerKey::Arguments, ..]
            | [AnswerKey::ToolCalls, AnswerKey::Element, AnswerKey::Custom, AnswerKey::Called | AnswerKey::Input] => {
                Field::ToolCalls
            }
            [AnswerKey::FunctionCall, AnswerKey::Called] | [AnswerKey::FunctionCall, AnswerKey::Arguments, ..] => {
                Field::FunctionCall
            }
            // A delta that is a string, or a member that no list knows, whatever it is made of.
            [] => Field::Unknown,
            [AnswerKey::Other | AnswerKey::Text | AnswerKey::Thinking | AnswerKey::Summary, .., AnswerKey::Framing] => Field::NoText,
            [AnswerKey::Other | AnswerKey::Text | AnswerKey::Thinking | AnswerKey::Summary, ..] => Field::Unknown,
            _ => Field::NoText,
        },
        _ => Field::NoText,
    }
}
