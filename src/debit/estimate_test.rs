use super::*;

fn text(text: &str) -> TextBytes {
    let mut bytes = TextBytes::default();
    bytes.add(text.as_bytes());
    bytes
}

/// 40 ASCII bytes in the request and 8 in the answer, with the factors of a card that states none.
fn plain(side: Side) -> Bytes2 {
    Bytes2 {
        side,
        input_ascii_bytes: 40,
        input_other_bytes: 0,
        not_text: false,
        shares_window: false,
        output_ascii_bytes: 8,
        output_other_bytes: 0,
        bytes_per_token: 4,
        bytes_per_token_other: 3,
        unseen_after_s: 5,
        unseen_tokens_per_s: 40,
    }
}

const LIMITS: TokenLimits = TokenLimits { input: Tokens(1_000), output: Tokens(100) };

fn counts(from: &Bytes2, limits: TokenLimits, unseen_ms: Option<u64>) -> (u64, u64) {
    let usage = from.usage(limits, unseen_ms, &Usage::default());
    (usage.input.0, usage.output.0)
}

#[test]
fn text_is_counted_by_its_bytes_each_kind_rounded_up() {
    assert_eq!(text("héllo, 世界"), TextBytes { ascii: 6, other: 8 });
    let factors = Factors::default();
    for (words, tokens) in [("", 0), ("a", 1), ("abcde", 2), ("世", 1), ("世界", 2), ("é", 1), ("ab 世界", 3)]
    {
        assert_eq!(factors.tokens(text(words)), Tokens(tokens), "{words}");
    }
}

#[test]
fn silence_is_writing_after_a_while() {
    let factors = Factors::default();
    for (ms, tokens) in [(0, 0), (5_000, 0), (5_001, 1), (5_025, 1), (5_026, 2), (6_000, 40), (65_000, 2_400)]
    {
        assert_eq!(factors.unseen(ms), Tokens(tokens), "{ms}");
    }
    assert_eq!(Factors { unseen_tokens_per_s: 0, ..factors }.unseen(u64::MAX), Tokens::ZERO);
    assert_eq!(Factors { unseen_after_s: u64::MAX, ..factors }.unseen(u64::MAX), Tokens::ZERO);
}

#[test]
fn an_estimate_is_what_was_seen_and_may_have_been_written_up_to_the_limits() {
    let from = plain(Side::Both);
    assert_eq!(counts(&from, LIMITS, None), (10, 2));
    assert_eq!(counts(&from, LIMITS, Some(5_000)), (10, 2));
    assert_eq!(counts(&from, LIMITS, Some(6_000)), (10, 42));
    assert_eq!(counts(&from, LIMITS, Some(60_000)), (10, 100), "at most the reservation");
    let limits = TokenLimits { input: Tokens(9), ..LIMITS };
    assert_eq!(counts(&from, limits, None), (9, 2));
}

#[test]
fn a_limit_that_the_text_disproves_bounds_nothing() {
    let seen = |tokens: u64| Bytes2 { output_ascii_bytes: tokens * 4, ..plain(Side::Both) };
    assert_eq!(counts(&seen(216), LIMITS, Some(60_000)), (10, 100));
    assert_eq!(counts(&seen(217), LIMITS, Some(60_000)), (10, 217));
}

#[test]
fn parts_that_are_not_text_count_as_the_input_limit() {
    let pictures = Bytes2 { not_text: true, ..plain(Side::Both) };
    assert_eq!(counts(&pictures, LIMITS, None), (1_000, 2));
    // Input and output together are never above the window, which is the input's limit here.
    let shared = Bytes2 { shares_window: true, ..pictures };
    assert_eq!(counts(&shared, TokenLimits { output: Tokens(990), ..LIMITS }, None), (998, 2));
}

#[test]
fn one_side_may_be_estimated_and_the_other_as_reported() {
    let reported = Usage {
        input: Tokens(77),
        cached_input: Tokens(70),
        output: Tokens(33),
        reasoning_output: Tokens(30),
        ..Usage::default()
    };
    let counted = |side| plain(side).usage(LIMITS, None, &reported);
    let output = Usage { output: Tokens(2), reasoning_output: Tokens::ZERO, ..reported };
    assert_eq!(counted(Side::Output), output);
    let input = Usage { input: Tokens(10), cached_input: Tokens::ZERO, ..reported };
    assert_eq!(counted(Side::Input), input);
    assert_eq!(counted(Side::Both), Usage { input: Tokens(10), output: Tokens(2), ..Usage::default() });
}
