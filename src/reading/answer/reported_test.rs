use super::*;

const CHAT: Judge = Judge { rules: Rules::OpenAi2, mode: Mode::Chat, one_answer: true };

fn good(prompt: u64, at: At) -> Reported {
    Reported::of(
        RawUsage::Value(format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":2}}"#).into_bytes()),
        at,
        CHAT,
    )
}

#[test]
fn the_last_usage_that_can_be_read_counts_and_a_choices_only_without_another() {
    let bad = Reported::of(RawUsage::Value(br#"{"prompt_tokens":5}"#.to_vec()), At::Top, CHAT);
    let large = Reported::of(RawUsage::TooLarge, At::Top, CHAT);
    let none = Reported::of(RawUsage::Value(b"{}".to_vec()), At::Top, CHAT);
    assert_eq!(none, Reported::default());
    for (usages, expected) in [
        (
            vec![good(1, At::Top), good(2, At::Top), none.clone(), bad.clone(), large.clone()],
            good(2, At::Top),
        ),
        (vec![large.clone(), bad.clone(), large.clone()], bad.clone()),
        (vec![none, large.clone()], large.clone()),
        (vec![bad, good(1, At::Choice)], good(1, At::Choice)),
        (vec![good(1, At::Top), good(2, At::Groq)], good(2, At::Groq)),
        (vec![good(1, At::Top), good(2, At::Choice)], good(1, At::Top)),
        (vec![good(1, At::Choice), good(2, At::Choice)], good(2, At::Choice)),
        (vec![good(1, At::Choice), good(2, At::Top)], good(2, At::Top)),
    ] {
        let mut counts = Reported::default();
        usages.into_iter().for_each(|usage| counts.or_later(usage));
        assert_eq!(counts, expected);
    }
}

#[test]
fn whether_a_usage_can_be_read_is_a_question_to_the_calls_rules() {
    let raw = RawUsage::Value(br#"{"input_tokens":5,"output_tokens":6}"#.to_vec());
    let additional = Judge { rules: Rules::Additional2, ..CHAT };
    assert_eq!(Reported::of(raw.clone(), At::Top, CHAT).worth, Worth::Unreadable);
    assert_eq!(Reported::of(raw, At::Top, additional).worth, Worth::Readable);
}

use crate::dialect::usage::{Mode, Rules, Worth};
