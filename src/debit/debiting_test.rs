#![allow(clippy::unwrap_used, clippy::unreachable)]

use std::sync::Arc;

use super::*;
use crate::base::account::{Account, Status, Tier};
use crate::base::exchange_id::ExchangeId;
use crate::base::text_bytes::TextBytes;
use crate::debit::estimate::Side;
use crate::dialect::usage::{Mode, Rules};
use crate::price::bundle::Bundle;
use crate::price::card::RateCard;
use crate::reading::answer::reported::RawUsage;

const MODEL: &str = "accounts/fireworks/models/gpt-oss-20b";

fn card() -> Arc<RateCard> {
    Arc::clone(Bundle::embedded().unwrap().cards().first().unwrap())
}

fn admission() -> Admission {
    let account = Account {
        account: "acme".to_owned(),
        tier: Tier::Free,
        status: Status::Active,
        token_id: "tok_1".to_owned(),
        daily_cap_pax: None,
        canon_v: 2,
    };
    Admission {
        exchange_id: ExchangeId::new(Moment::from_ms(1), [1; 10]),
        admitted_at: "2026-06-01T23:59:59.999Z".parse().unwrap(),
        account: Arc::new(account),
        funding: Funding::Platform,
        slot: "default".to_owned(),
        intent_id: Some("intent".to_owned()),
        goal_id: None,
        mode: Mode::Chat,
        wants_stream: true,
        provider: "fireworks".to_owned(),
        reservation: None,
        hold: None,
        card: card(),
        model: MODEL.to_owned(),
        usage_rules: Rules::OpenAi1,
        service_tier: None,
        n: 1,
        stated_maximum: None,
        input: TextBytes { ascii: 400, other: 0 },
        not_text: false,
        shares_window: false,
        asked_model: None,
        input_limit: Tokens(90),
        output_limit: Tokens(50),
    }
}

fn answered(said: Said) -> Answered {
    Answered {
        status: Some(200),
        ending: Ending::Complete,
        said,
        ..Answered::without_head(&admission(), Lasted::default())
    }
}

fn settled_as(admission: &Admission, said: Said, lasted: Lasted) -> Debit {
    let answered = Answered { lasted, ..answered(said) };
    let debit = debit_of(admission, answered, "2026-06-02T00:10:00Z".parse().unwrap()).unwrap();
    debit.prove(&Bundle::embedded().unwrap()).unwrap();
    // Every debit can be read again from its canonical bytes.
    assert_eq!(Debit::from_canonical(&debit.to_canonical()).unwrap(), debit);
    debit
}

fn settled(usage: RawUsage, text_bytes: u64, unreadable: bool) -> Debit {
    let text = TextBytes { ascii: text_bytes, other: 0 };
    settled_as(&admission(), Said { usage, text, unreadable, ..Said::default() }, Lasted::default())
}

fn reported(raw: &str) -> RawUsage {
    RawUsage::Value(raw.as_bytes().to_vec())
}

#[test]
fn a_call_that_began_yesterday_settles_on_yesterday() {
    let debit = settled(reported(r#"{"prompt_tokens":1,"completion_tokens":2}"#), 0, false);
    assert_eq!(debit.utc_day.to_string(), "2026-06-01");
    assert_eq!(debit.settled_at.to_string(), "2026-06-02T00:10:00.000Z");
    assert_eq!((debit.tier, debit.intent_id.as_deref()), (Tier::Free, Some("intent")));
}

#[test]
fn an_estimate_is_at_most_what_was_reserved() {
    let debit = settled(RawUsage::Absent, 400, false);
    assert_eq!((debit.tokens_input, debit.tokens_output), (Tokens(90), Tokens(50)));
    assert_eq!((debit.input_limit, debit.output_limit), (Some(Tokens(90)), Some(Tokens(50))));
    assert_eq!(debit.flags, []);
    let debit = settled(RawUsage::Absent, 7, false);
    assert_eq!((debit.tokens_input, debit.tokens_output), (Tokens(90), Tokens(2)));
    let debit = settled(RawUsage::Absent, 10_000, false);
    assert_eq!(debit.tokens_output, Tokens(2_500), "50 tokens are no 10,000 bytes: the maximum was not kept");
    assert_eq!(debit.estimator.as_deref(), Some("bytes/2"));
}

#[test]
fn what_was_odd_is_flagged() {
    let flags = |usage, unreadable| settled(usage, 0, unreadable).flags;
    let cached = r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":6}}"#;
    assert_eq!(flags(reported(cached), false), [Flag::CachedExceedsInput]);
    assert_eq!(flags(reported("{}"), false), [Flag::UsageUnreadable]);
    assert_eq!(flags(RawUsage::TooLarge, false), [Flag::UsageTooLarge]);
    assert_eq!(flags(RawUsage::Absent, true), [Flag::AnswerUnreadable]);
    let said = Said { service_tier: ServiceTier::of("flex"), ..Said::default() };
    let debit = settled_as(&admission(), said, Lasted::default());
    assert_eq!((debit.flags, debit.service_tier.as_deref()), (vec![Flag::ServiceTierUnpriced], Some("flex")));
}

/// What becomes of a reported usage: its flags, which side is estimated, and the counts.
fn doubted(raw: &str, text_bytes: u64) -> (Vec<Flag>, Option<Side>, u64, u64) {
    let debit = settled(reported(raw), text_bytes, false);
    assert_eq!(debit.usage.as_deref(), Some(raw), "the raw usage is kept all the same");
    let side = debit.estimated_from.map(|from| match from {
        EstimatedFrom::Bytes2(from) => from.side,
        EstimatedFrom::Bytes1(_) => unreachable!(),
    });
    assert_eq!(debit.usage_rules.is_some(), side != Some(Side::Both));
    assert_eq!(debit.provenance == Provenance::Reported, side.is_none());
    (debit.flags, side, debit.tokens_input.0, debit.tokens_output.0)
}

#[test]
fn a_side_that_cannot_be_is_estimated_and_the_other_stays_as_reported() {
    // The card: a window of 131,072 tokens and answers of at most 32,768.
    let most = r#"{"prompt_tokens":131072,"completion_tokens":32768}"#;
    assert_eq!(doubted(most, 40), (vec![], None, 131_072, 32_768));
    let output = r#"{"prompt_tokens":1000,"completion_tokens":32769}"#;
    assert_eq!(doubted(output, 40), (vec![Flag::UsageImpossible], Some(Side::Output), 1_000, 10));
    let input = r#"{"prompt_tokens":131073,"completion_tokens":7}"#;
    assert_eq!(doubted(input, 40), (vec![Flag::UsageImpossible], Some(Side::Input), 90, 7));
    let both = r#"{"prompt_tokens":95000000000000,"completion_tokens":95000000000000}"#;
    assert_eq!(doubted(both, 40), (vec![Flag::UsageImpossible], Some(Side::Both), 90, 10));
    // Usage above the reservation is charged in full: only the card's limits say what can be.
    let overrun = r#"{"prompt_tokens":91,"completion_tokens":51}"#;
    assert_eq!(doubted(overrun, 40), (vec![], None, 91, 51));
}

#[test]
fn a_count_of_zero_beside_text_is_estimated() {
    let zero = vec![Flag::UsageZero];
    assert_eq!(
        doubted(r#"{"prompt_tokens":0,"completion_tokens":0}"#, 40),
        (zero.clone(), Some(Side::Both), 90, 10)
    );
    assert_eq!(
        doubted(r#"{"prompt_tokens":12,"completion_tokens":0}"#, 40),
        (zero.clone(), Some(Side::Output), 12, 10)
    );
    assert_eq!(doubted(r#"{"prompt_tokens":0,"completion_tokens":5}"#, 40), (zero, Some(Side::Input), 90, 5));
    // The answer had no text, and none is counted.
    assert_eq!(doubted(r#"{"prompt_tokens":12,"completion_tokens":0}"#, 0), (vec![], None, 12, 0));
}

#[test]
fn what_may_have_been_written_unseen_is_estimated_only_where_it_can_be() {
    let lasted = Lasted { unseen_ms: Some(6_000), duration_ms: Some(9_000), first_byte_ms: None };
    let of = |admission: &Admission| {
        let debit = settled_as(admission, Said::default(), lasted);
        (debit.unseen_ms, debit.tokens_output, debit.duration_ms)
    };
    let stream = admission();
    assert_eq!(of(&stream), (None, Tokens(0), Some(9_000)), "this model shows what it writes");
    let whole = Admission { wants_stream: false, ..stream };
    assert_eq!(of(&whole), (Some(6_000), Tokens(40), Some(9_000)), "one second of writing");
}

#[test]
fn parts_that_are_not_text_count_as_the_inputs_limit() {
    let pictures = Admission { not_text: true, input_limit: Tokens(131_072), ..admission() };
    assert_eq!(settled_as(&pictures, Said::default(), Lasted::default()).tokens_input, Tokens(131_072));
}

#[test]
fn a_ledger_that_reads_only_the_first_version_gets_that() {
    let account = Account { canon_v: 1, ..(*admission().account).clone() };
    let first = Admission { account: Arc::new(account), wants_stream: false, ..admission() };
    let text = TextBytes { ascii: 6, other: 3 };
    let lasted = Lasted { unseen_ms: Some(60_000), ..Lasted::default() };
    let debit = settled_as(&first, Said { text, ..Said::default() }, lasted);
    assert_eq!((debit.canon_v, debit.estimator.as_deref()), (1, Some("bytes/1")));
    assert_eq!((debit.tokens_input, debit.tokens_output), (Tokens(90), Tokens(3)));
    let usage = reported(r#"{"prompt_tokens":9,"completion_tokens":4}"#);
    let debit = settled_as(&first, Said { usage, text, ..Said::default() }, lasted);
    assert_eq!((debit.canon_v, debit.usage_rules.as_deref()), (1, Some("openai/1")));
    let usage = reported(r#"{"prompt_tokens":95000000000000,"completion_tokens":4}"#);
    let debit = settled_as(&first, Said { usage, text, ..Said::default() }, lasted);
    assert_eq!((debit.flags, debit.tokens_input), (vec![Flag::CostOutOfRange], Tokens(90)));
    for (ending, word) in [(Ending::CallerGone, Ending::Cut), (Ending::ProviderBrokeOff, Ending::Cut)] {
        let answered = Answered { ending, ..answered(Said::default()) };
        let debit = debit_of(&first, answered, Moment::from_ms(0)).unwrap();
        assert_eq!(debit.ending, word);
        assert_eq!(Debit::from_canonical(&debit.to_canonical()).unwrap(), debit);
    }
}

#[test]
fn nothing_but_an_error_costs_nothing() {
    let said = Said { only_error: true, ..Said::default() };
    assert_eq!(debit_of(&admission(), answered(said), Moment::from_ms(0)), None);
    let usage = reported(r#"{"prompt_tokens":1,"completion_tokens":2}"#);
    let said = Said { only_error: true, usage, ..Said::default() };
    let debit = debit_of(&admission(), answered(said), Moment::from_ms(0));
    assert!(debit.is_some(), "what was counted is billed");
}

#[path = "debiting/table_test.rs"]
mod table;
