//! What the model wrote in one choice of an answer: which of its strings are text, and which say again what another
//! says. Providers put the same text under several names, and each must be counted once.

use crate::text_bytes::TextBytes;

/// How much of a text counts that stands under a name that no list here knows, for each choice. More than a stream's
/// chunk holds of text; little of a picture.
pub const UNKNOWN_MAX: u64 = 256;

/// Which string of a choice it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// The model did not write it, or it stands elsewhere too: roles, ids, signatures, pictures.
    #[default]
    NoText,
    /// `content`, its parts' text, `refusal`, `audio.transcript`: nothing says it twice.
    Said,
    /// `reasoning`.
    Reasoning,
    /// `reasoning_content`: at most providers that have both it is the same text.
    ReasoningContent,
    /// `reasoning_details[]`, whose plain text repeats the reasoning beside it.
    ReasoningDetails,
    /// Names and arguments in `tool_calls[]`.
    ToolCalls,
    /// Those of `function_call`, which older clients read in the place of the first of `tool_calls`.
    FunctionCall,
    /// `choices[].text`: all that legacy completions have; Together repeats `delta.content` there.
    Bare,
    /// A string of a name that is not known, beside those that are.
    Unknown,
}

/// The text of one choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChoiceText {
    said: TextBytes,
    reasoning: TextBytes,
    reasoning_content: TextBytes,
    reasoning_details: TextBytes,
    tool_calls: TextBytes,
    function_call: TextBytes,
    bare: TextBytes,
    unknown: TextBytes,
}

impl ChoiceText {
    /// Where a field's text is counted.
    #[inline]
    pub fn of(&mut self, field: Field) -> Option<&mut TextBytes> {
        Some(match field {
            Field::NoText => return None,
            Field::Said => &mut self.said,
            Field::Reasoning => &mut self.reasoning,
            Field::ReasoningContent => &mut self.reasoning_content,
            Field::ReasoningDetails => &mut self.reasoning_details,
            Field::ToolCalls => &mut self.tool_calls,
            Field::FunctionCall => &mut self.function_call,
            Field::Bare => &mut self.bare,
            Field::Unknown => &mut self.unknown,
        })
    }

    /// Forgets what `delta` or `message` said: another one takes its place.
    pub fn say_anew(&mut self) {
        *self = Self { bare: self.bare, ..Self::default() };
    }

    /// Its text, once.
    ///
    /// Text under an unknown name counts only where none under a known name does, and only up to [`UNKNOWN_MAX`] bytes:
    /// a provider with names of its own is not free where its stream is cut, and no picture becomes a novel.
    #[must_use]
    pub fn once(&self) -> TextBytes {
        let known = self.known();
        if known.is_empty() { self.unknown.at_most(UNKNOWN_MAX) } else { known }
    }

    /// The same without what stands under unknown names.
    #[must_use]
    pub fn known(&self) -> TextBytes {
        let reasoning = self.reasoning.or_longer(self.reasoning_content);
        let reasoning = if reasoning.is_empty() { self.reasoning_details } else { reasoning };
        let calls = self.tool_calls.or_longer(self.function_call);
        let said = self.said.plus(reasoning).plus(calls);
        if said.is_empty() { self.bare } else { said }
    }
}

#[cfg(test)]
#[path = "choice_text_test.rs"]
mod tests;
