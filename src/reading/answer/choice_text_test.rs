use super::*;

fn text(of: &[(Field, &str)]) -> (u64, u64) {
    let mut choice = ChoiceText::default();
    for (field, said) in of {
        if let Some(text) = choice.of(*field) {
            text.add(said.as_bytes());
        }
    }
    let once = choice.once();
    (once.ascii, once.other)
}

#[test]
fn what_is_said_under_two_names_counts_once() {
    use Field::{
        Bare, FunctionCall, NoText, Reasoning, ReasoningContent, ReasoningDetails, Said, ToolCalls, Unknown,
    };
    for (of, expected) in [
        (&[(Said, "four"), (NoText, "assistant")][..], (4, 0)),
        (&[(Said, "four"), (Bare, "four")], (4, 0)),
        (&[(Bare, "four"), (Said, "")], (4, 0)),
        (&[(Reasoning, "four"), (ReasoningContent, "four"), (Said, "x")], (5, 0)),
        (&[(Reasoning, "a longer one"), (ReasoningContent, "four")], (12, 0)),
        (&[(Reasoning, "four"), (ReasoningContent, "\u{e4}\u{e4}\u{e4}")], (0, 6)),
        (&[(Reasoning, "four"), (ReasoningDetails, "four")], (4, 0)),
        (&[(ReasoningDetails, "four"), (Said, "x")], (5, 0)),
        (&[(ToolCalls, "f{}"), (FunctionCall, "f{}")], (3, 0)),
        (&[(FunctionCall, "f{}")], (3, 0)),
        (&[(Unknown, "four"), (Said, "x")], (1, 0)),
        (&[(Unknown, "four"), (Bare, "xy")], (2, 0)),
        (&[(Unknown, "four"), (Said, "")], (4, 0)),
        (&[(Unknown, &"x".repeat(9_000))], (UNKNOWN_MAX, 0)),
    ] {
        assert_eq!(text(of), expected, "{of:?}");
    }
}

#[test]
fn a_delta_takes_the_place_of_a_message_and_not_of_the_text_beside_both() {
    let mut choice = ChoiceText::default();
    for (field, said) in [(Field::Said, "message"), (Field::Bare, "text")] {
        if let Some(text) = choice.of(field) {
            text.add(said.as_bytes());
        }
    }
    choice.say_anew();
    assert_eq!(choice.once(), TextBytes { ascii: 4, other: 0 });
}
