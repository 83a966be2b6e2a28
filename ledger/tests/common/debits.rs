//! Debits to test with: real ones, which prove themselves under the built-in cards.

use pax_gateway::account::{Funding, Tier};
use pax_gateway::bundle::Bundle;
use pax_gateway::clock::Moment;
use pax_gateway::debit::{CANON_V, Debit, ESTIMATOR, Ending, Estimate, Kind, Provenance};
use pax_gateway::exchange_id::ExchangeId;
use pax_gateway::pax::{Pax, Tokens};
use pax_gateway::usage::{Mode, Rules, Usage};

pub const MODEL: &str = "accounts/fireworks/models/gpt-oss-120b";
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
    let mut debit = plain(n, account, tier);
    debit.usage_rules = Some(Rules::OpenAi1.name().to_owned());
    let reading = Rules::OpenAi1.read(raw.as_bytes(), Mode::Chat).unwrap();
    debit.usage = Some(raw);
    priced(debit, &reading.usage)
}

/// The same, estimated.
pub fn estimated(n: u64, account: &str, tier: Tier) -> Debit {
    let estimate = Estimate {
        input_bytes: 4_000 + n,
        output_bytes: 401,
        input_limit: Tokens(100_000),
        output_limit: Tokens(32_768),
    };
    let mut debit = plain(n, account, tier);
    debit.provenance = Provenance::Estimated;
    debit.ending = Ending::Cut;
    debit.estimator = Some(ESTIMATOR.to_owned());
    debit.estimated_from = Some(estimate);
    let bundle = Bundle::embedded().unwrap();
    let usage =
        estimate.usage(bundle.by_sha256(&debit.card_sha256).unwrap().models[MODEL].factors.bytes_per_token);
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

fn priced(mut debit: Debit, usage: &Usage) -> Debit {
    let bundle = Bundle::embedded().unwrap();
    let model = &bundle.by_sha256(&debit.card_sha256).unwrap().models[MODEL];
    debit.set_usage(usage);
    debit.cost_pax = model.price(usage, None).unwrap();
    debit.prove(&bundle).unwrap();
    debit
}

fn plain(n: u64, account: &str, tier: Tier) -> Debit {
    let bundle = Bundle::embedded().unwrap();
    let occurred_at = Moment::from_ms(DAY_0 + n);
    let card = bundle.in_force(occurred_at).unwrap();
    Debit {
        canon_v: CANON_V,
        kind: Kind::Debit,
        exchange_id: exchange(n),
        account: account.to_owned(),
        tier,
        token_id: "tok_0123456789abcdef".to_owned(),
        funding: Funding::Platform,
        slot: "default".to_owned(),
        intent_id: Some("intent-1".to_owned()),
        goal_id: None,
        mode: Mode::Chat,
        model: MODEL.to_owned(),
        provider: card.models[MODEL].provider.clone(),
        stream: false,
        upstream_status: Some(200),
        response_id: Some(format!("chatcmpl-{n}")),
        service_tier: None,
        ending: Ending::Complete,
        flags: Vec::new(),
        provenance: Provenance::Reported,
        usage_rules: None,
        usage: None,
        estimator: None,
        estimated_from: None,
        tokens_input: Tokens::ZERO,
        tokens_cached_input: Tokens::ZERO,
        tokens_cache_write_input: Tokens::ZERO,
        tokens_audio_input: Tokens::ZERO,
        tokens_output: Tokens::ZERO,
        tokens_audio_output: Tokens::ZERO,
        tokens_reasoning_output: Tokens::ZERO,
        cost_pax: Pax::ZERO,
        rate_table_v: card.version,
        card_sha256: card.sha256,
        occurred_at,
        settled_at: occurred_at.plus_ms(1_234),
        utc_day: occurred_at.day(),
    }
}
