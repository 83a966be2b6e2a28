//! Debits to test with: real ones, which prove themselves under the built-in cards. Those of exchanges with an odd number
//! are of version 1, the others of version 2: ledgers hold both.

use pax_gateway::base::account::{Funding, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::{Pax, Tokens};
use pax_gateway::debit::estimate::{
    Bytes1, Bytes2, ESTIMATOR, ESTIMATOR_1, EstimatedFrom, Side, TokenLimits,
};
use pax_gateway::debit::frozen::{Debit, Ending, EntryKind, Provenance};
use pax_gateway::dialect::usage::{Mode, Rules, Usage};
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::rates::ServedTier;

pub const MODEL: &str = "accounts/fireworks/models/gpt-oss-120b";
/// The Envoy that asks for holds.
pub const ENVOY: &str = "00000000000000e1";
/// 2026-11-23T00:00:00Z
pub const DAY_0: u64 = 1_795_392_000_000;
pub const DAY_MS: u64 = 86_400_000;

/// The exchange number `n`.
pub fn exchange(n: u64) -> ExchangeId {
    let [_, _, _, _, _, _, a, b] = n.to_be_bytes();
    ExchangeId::new(Moment::from_ms(DAY_0 + n), [0, 0, 0, 0, 0, 0, 0, 0, a, b])
}

/// A debit of the exchange `n`, reported by the provider, on platform funding.
pub fn reported(n: u64, account: &str, tier: Tier) -> Debit {
    let raw = format!("{{\"prompt_tokens\": {}, \"completion_tokens\": {}}}", 1_000 + n, 20 + n);
    reported_as(n, account, tier, raw)
}

/// The same, with this raw usage.
pub fn reported_as(n: u64, account: &str, tier: Tier, raw: String) -> Debit {
    let mut debit = plain(n, account, tier);
    let rules = if debit.canon_v == 1 { Rules::OpenAi1 } else { Rules::OpenAi1.latest() };
    debit.usage_rules = Some(rules.name().to_owned());
    let reading = rules.read(raw.as_bytes(), Mode::Chat).unwrap();
    debit.usage = Some(raw);
    priced(debit, &reading.usage)
}

/// The version of the built-in card that is in force at a moment.
pub fn version_in_force(now: Moment) -> u32 {
    Bundle::embedded().unwrap().in_force(now).unwrap().version.0
}

/// The same as [`reported`], estimated.
pub fn estimated(n: u64, account: &str, tier: Tier) -> Debit {
    let mut debit = plain(n, account, tier);
    debit.provenance = Provenance::Estimated;
    let bundle = Bundle::embedded().unwrap();
    let factors = bundle.by_sha256(&debit.card_sha256).unwrap().models[MODEL].factors;
    let limits = TokenLimits { input: Tokens(100_000), output: Tokens(32_768) };
    let usage = if debit.canon_v == 1 {
        let from = Bytes1 {
            input_bytes: 4_000 + n,
            output_bytes: 401,
            input_limit: limits.input,
            output_limit: limits.output,
        };
        debit.ending = Ending::Cut;
        debit.estimator = Some(ESTIMATOR_1.to_owned());
        debit.estimated_from = Some(EstimatedFrom::Bytes1(from));
        from.usage(factors.bytes_per_token)
    } else {
        let from = Bytes2 {
            side: Side::Both,
            input_ascii_bytes: 4_000 + n,
            input_other_bytes: 0,
            not_text: false,
            shares_window: false,
            output_ascii_bytes: 401,
            output_other_bytes: 0,
            bytes_per_token: factors.bytes_per_token,
            bytes_per_token_other: factors.bytes_per_token_other,
            unseen_after_s: factors.unseen_after_s,
            unseen_tokens_per_s: factors.unseen_tokens_per_s,
        };
        debit.ending = Ending::CallerGone;
        debit.estimator = Some(ESTIMATOR.to_owned());
        debit.estimated_from = Some(EstimatedFrom::Bytes2(from));
        from.usage(limits, debit.unseen_ms, &Usage::default())
    };
    priced(debit, &usage)
}

/// The same, on the caller's own key.
pub fn byo(n: u64, account: &str, tier: Tier) -> Debit {
    let mut debit = reported(n, account, tier);
    debit.funding = Funding::Byo;
    debit.cost_pax = Pax::ZERO;
    debit
}

/// The debit on another day; 0 is the first.
pub fn on_day(mut debit: Debit, day: u64) -> Debit {
    debit.occurred_at = debit.occurred_at.plus_ms(day * DAY_MS);
    debit.settled_at = debit.settled_at.plus_ms(day * DAY_MS);
    debit.utc_day = debit.occurred_at.day();
    debit
}

/// The body of a hold.
pub fn hold_body(lost: &Debit, hold: &str, cap: &str, envoy: &str) -> Vec<u8> {
    let asked = format!("{{\"envoy\":\"{envoy}\",\"hold_pax\":\"{hold}\",\"card_cap_pax\":\"{cap}\"}}\n");
    [asked.as_bytes(), &lost.to_canonical()].concat()
}

fn priced(mut debit: Debit, usage: &Usage) -> Debit {
    let bundle = Bundle::embedded().unwrap();
    let model = &bundle.by_sha256(&debit.card_sha256).unwrap().models[MODEL];
    debit.set_usage(usage);
    debit.cost_pax = if debit.canon_v == 1 {
        model.price(usage, None).unwrap()
    } else {
        model.charge(usage, false, ServedTier::Standard, &mut |_| {}).unwrap().cost
    };
    debit.prove(&bundle).unwrap();
    debit
}

fn plain(n: u64, account: &str, tier: Tier) -> Debit {
    let bundle = Bundle::embedded().unwrap();
    let occurred_at = Moment::from_ms(DAY_0 + n);
    let card = bundle.in_force(occurred_at).unwrap();
    let is_1 = n % 2 == 1;
    let only_2 = |value: u64| (!is_1).then_some(value);
    Debit {
        canon_v: if is_1 { 1 } else { 2 },
        kind: EntryKind::Debit,
        exchange_id: exchange(n),
        account: account.to_owned(),
        tier,
        token_id: "tok_0123456789abcdef".to_owned(),
        funding: Funding::Platform,
        slot: "default".to_owned(),
        intent_id: Some("intent-1".to_owned()),
        goal_id: None,
        mode: Mode::Chat,
        asked_model: None,
        model: MODEL.to_owned(),
        provider: card.models[MODEL].provider.clone(),
        stream: false,
        upstream_status: Some(200),
        provider_request_id: (!is_1).then(|| format!("req-{n}")),
        response_id: Some(format!("chatcmpl-{n}")),
        hold_id: None,
        service_tier: None,
        ending: Ending::Complete,
        flags: Vec::new(),
        provenance: Provenance::Reported,
        usage_rules: None,
        usage: None,
        n: only_2(1),
        stated_maximum: None,
        input_limit: only_2(100_000).map(Tokens),
        output_limit: only_2(32_768).map(Tokens),
        unseen_ms: only_2(700),
        estimator: None,
        estimated_from: None,
        tokens_input: Tokens::ZERO,
        tokens_cached_input: Tokens::ZERO,
        tokens_cache_write_input: Tokens::ZERO,
        tokens_cache_write_1h_input: Tokens::ZERO,
        tokens_audio_input: Tokens::ZERO,
        tokens_image_input: Tokens::ZERO,
        tokens_output: Tokens::ZERO,
        tokens_audio_output: Tokens::ZERO,
        tokens_image_output: Tokens::ZERO,
        tokens_reasoning_output: Tokens::ZERO,
        cost_pax: Pax::ZERO,
        rate_table_v: card.version,
        card_sha256: card.sha256,
        occurred_at,
        settled_at: occurred_at.plus_ms(1_234),
        first_byte_ms: only_2(600),
        duration_ms: only_2(1_234),
        utc_day: occurred_at.day(),
    }
}
