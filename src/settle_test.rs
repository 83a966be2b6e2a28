#![allow(clippy::unwrap_used)]

use super::*;
use crate::account::{Status, Tier};
use crate::bundle::Bundle;
use crate::usage::Mode;

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
        card: card(),
        model: MODEL.to_owned(),
        usage_rules: Rules::OpenAi1,
        service_tier: None,
        input_bytes: 400,
        input_limit: Tokens(90),
        output_limit: Tokens(50),
    }
}

fn settled(usage: RawUsage, text_bytes: u64, unreadable: bool) -> Debit {
    let text = crate::estimate::TextBytes::unread(text_bytes);
    let said = Said { usage, text, unreadable, ..Said::default() };
    let answered = Answered { status: Some(200), stream: true, complete: true, said, ..Answered::default() };
    let debit = settle(&admission(), answered, "2026-06-02T00:10:00Z".parse().unwrap()).unwrap();
    debit.prove(&Bundle::embedded().unwrap()).unwrap();
    debit
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
    assert_eq!(debit.flags, []);
    let debit = settled(RawUsage::Absent, 7, false);
    assert_eq!((debit.tokens_input, debit.tokens_output), (Tokens(90), Tokens(2)));
    let debit = settled(RawUsage::Absent, 10_000, false);
    assert_eq!(debit.tokens_output, Tokens(2_500), "50 tokens are no 10,000 bytes: the maximum was not kept");
    assert_eq!(debit.estimator.as_deref(), Some("bytes/1"));
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
    let answered = Answered { status: Some(200), stream: false, complete: true, said, ..Answered::default() };
    let debit = settle(&admission(), answered, Moment::from_ms(0)).unwrap();
    assert_eq!(debit.flags, [Flag::ServiceTierUnpriced]);
    let huge = r#"{"prompt_tokens":9223372036854775807,"completion_tokens":9223372036854775807}"#;
    let debit = settled(reported(huge), 4, false);
    assert_eq!((debit.flags, debit.provenance), (vec![Flag::CostOutOfRange], Provenance::Estimated));
    assert_eq!(debit.usage.as_deref(), Some(huge), "the raw usage is kept all the same");
    assert_eq!(debit.tokens_output, Tokens(1));
}

#[test]
fn nothing_but_an_error_costs_nothing() {
    let said = Said { only_error: true, ..Said::default() };
    let answered = Answered { status: Some(200), stream: true, complete: true, said, ..Answered::default() };
    assert_eq!(settle(&admission(), answered, Moment::from_ms(0)), None);
    let usage = reported(r#"{"prompt_tokens":1,"completion_tokens":2}"#);
    let said = Said { only_error: true, usage, ..Said::default() };
    let answered = Answered { status: Some(200), stream: true, complete: true, said, ..Answered::default() };
    assert!(settle(&admission(), answered, Moment::from_ms(0)).is_some(), "what was counted is billed");
}
