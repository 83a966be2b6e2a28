//! The text that the model wrote in one choice of an answer. Providers put the same text under several names,
//! and each text must be counted once: this file knows which strings are text, and which only repeat another
//! one.

use crate::base::text_bytes::TextBytes;

/// How many bytes of text under an unknown name count at most, for each choice. A stream's chunk has less
/// text than this, and a picture has far more.
pub const UNKNOWN_MAX: u64 = 256;

/// The kind of a string in a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// The model did not write it, or another string has it too: roles, ids, signatures, pictures.
    #[default]
    NoText,
    /// `content`, its parts' text, `refusal`, `audio.transcript`: no other string repeats it.
    Said,
    /// `reasoning`.
    Reasoning,
    /// `reasoning_content`: most providers that have both put the same text in both.
    ReasoningContent,
    /// `reasoning_details[]`, whose plain text repeats the reasoning beside it.
    ReasoningDetails,
    /// Names and arguments in `tool_calls[]`.
    ToolCalls,
    /// Those of `function_call`, which older clients read instead of the first of `tool_calls`.
    FunctionCall,
    /// `choices[].text`: the only text of legacy completions; Together repeats `delta.content` there.
    Bare,
    /// A string whose name no list here knows.
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
    /// The count to which a field's text is added.
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

    /// The text of the choice, counted once.
    ///
    /// Text under an unknown name counts only if there is none under a known name, and only up to
    /// [`UNKNOWN_MAX`] bytes. So a stream that is cut is not free because its provider has names of its own,
    /// and a picture is not charged as a long text.
    #[must_use]
    pub fn once(&self) -> TextBytes {
        let known = self.known();
        if known.is_empty() { self.unknown.at_most(UNKNOWN_MAX) } else { known }
    }

    /// The same without text under unknown names.
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
