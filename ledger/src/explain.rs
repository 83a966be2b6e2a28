//! One entry's bill, line by line: what a caller who disputes it, or whoever answers that caller, needs to make it again
//! with nothing but a pocket calculator.

use pax_gateway::account::Funding;
use pax_gateway::bundle::Bundle;
use pax_gateway::card::Model;
use pax_gateway::debit::{Debit, Ending, Flag, Provenance};
use pax_gateway::estimate::{Bytes1, Bytes2, EstimatedFrom, Side, TextBytes};
use pax_gateway::pax::Tokens;
use pax_gateway::price::{Line, Served};
use pax_gateway::usage::Mode;

use crate::store::StoredEntry;

/// The bill of an entry.
///
/// # Errors
/// Where its canonical bytes are no debit: the database was changed by hand, or they are of a version that this program
/// does not read.
pub fn explain(entry: &StoredEntry, bundle: &Bundle) -> Result<String, String> {
    let debit = Debit::from_canonical(&entry.canonical).map_err(|bad| bad.to_string())?;
    let card = bundle.by_sha256(&debit.card_sha256);
    let model = card.and_then(|card| card.models.get(&debit.model)).filter(|model| model.mode == debit.mode);
    let mut lines = call(&debit);
    lines.push(String::new());
    lines.extend(counts(&debit));
    lines.push(String::new());
    lines.extend(bill(&debit, model));
    lines.push(String::new());
    lines
        .push(format!("entry {} of account {}, hash {}", entry.account_seq, debit.account, entry.entry_hash));
    lines.push(match debit.prove(bundle) {
        Ok(()) => "counted and priced again from this entry alone: the same".to_owned(),
        Err(bad) => format!("DOES NOT PROVE ITSELF: {bad}"),
    });
    Ok(lines.join("\n"))
}

/// What was called, and how it went.
fn call(debit: &Debit) -> Vec<String> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let status =
        debit.upstream_status.map_or_else(|| "no status".to_owned(), |code| format!("status {code}"));
    let streamed = if debit.stream { ", streamed" } else { "" };
    let mut lines = vec![
        format!("exchange {} of account {}, token {}", debit.exchange_id, debit.account, debit.token_id),
        format!(
            "  model {} at {}, {}{streamed}, slot {}",
            debit.model,
            debit.provider,
            mode(debit.mode),
            debit.slot
        ),
        format!("  began {}, settled {}; counts on {}", debit.occurred_at, debit.settled_at, debit.utc_day),
        format!("  {status}, {}", ending(debit.ending)),
        format!(
            "  the provider's id of the answer: {}, of the request: {}",
            or_none(&debit.response_id),
            or_none(&debit.provider_request_id)
        ),
    ];
    if let Some(duration) = debit.duration_ms {
        let first = debit.first_byte_ms.map_or_else(|| "never".to_owned(), |ms| format!("after {ms} ms"));
        lines.push(format!("  first byte {first}, over after {duration} ms"));
    }
    lines.extend(debit.flags.iter().map(|flag| format!("  flag: {}", meaning(*flag))));
    lines
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Chat => "chat",
        Mode::Embeddings => "embeddings",
        Mode::Completions => "completions",
        Mode::Responses => "responses",
    }
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "the answer came to its end",
        Ending::Cut => "the answer broke off (caller or provider: version 1 does not say)",
        Ending::CallerGone => "the caller was gone before the answer's end",
        Ending::ProviderBrokeOff => "the provider broke the answer off",
        Ending::NoAnswer => "the caller was gone before the answer began",
        Ending::Orphaned => "the worker that had the call died; its end is not known",
        Ending::Lost => "the Envoy that had the call is gone; an operator charged its hold",
    }
}

fn meaning(flag: Flag) -> &'static str {
    match flag {
        Flag::CachedExceedsInput => {
            "cached_exceeds_input: more cached than input tokens were reported, billed as plain input"
        }
        Flag::UsageUnreadable => "usage_unreadable: the reported usage has no counts that can be read",
        Flag::UsageTooLarge => "usage_too_large: the reported usage is larger than an entry keeps",
        Flag::AnswerUnreadable => {
            "answer_unreadable: the answer could not be read, so its bytes are counted as text"
        }
        Flag::CostOutOfRange => "cost_out_of_range: what was reported costs more than can be",
        Flag::ServiceTierUnpriced => {
            "service_tier_unpriced: the provider names a service tier that the card does not price"
        }
        Flag::PartExceedsWhole => {
            "part_exceeds_whole: more of a part than of its whole was reported, billed as plain"
        }
        Flag::UsageZero => {
            "usage_zero: no tokens were reported of a side that had text, so that side is estimated"
        }
        Flag::UsageImpossible => {
            "usage_impossible: more tokens were reported than the card's limits allow, so that side is estimated"
        }
        Flag::PartUnpriced => {
            "part_unpriced: a part was reported that the card has no price for, billed at the dearest rate of its side"
        }
    }
}

/// Where the counts come from.
fn counts(debit: &Debit) -> Vec<String> {
    let mut lines = Vec::new();
    match (debit.provenance, &debit.estimated_from) {
        (Provenance::Reported, _) => lines.push(format!(
            "counts: reported by the provider, read by the rules {}",
            debit.usage_rules.as_deref().unwrap_or("unknown")
        )),
        (Provenance::Estimated, from) => {
            let what = match from {
                Some(EstimatedFrom::Bytes2(Bytes2 { side: Side::Input, .. })) => "the input is estimated",
                Some(EstimatedFrom::Bytes2(Bytes2 { side: Side::Output, .. })) => "the output is estimated",
                _ => "estimated",
            };
            lines.push(format!("counts: {what} by {}", debit.estimator.as_deref().unwrap_or("unknown")));
        }
    }
    if let Some(raw) = &debit.usage {
        lines.push(format!("  as the provider said: {raw}"));
    }
    match &debit.estimated_from {
        Some(EstimatedFrom::Bytes1(from)) => lines.extend(bytes_1(from)),
        Some(EstimatedFrom::Bytes2(from)) => lines.extend(bytes_2(debit, from)),
        None => {}
    }
    lines.push(format!("  input {} tokens, output {} tokens", debit.tokens_input, debit.tokens_output));
    lines
}

fn bytes_1(from: &Bytes1) -> [String; 2] {
    let Bytes1 { input_bytes, output_bytes, input_limit, output_limit } = from;
    [
        format!("  input: {input_bytes} bytes of text, by the card's bytes per token, at most {input_limit}"),
        format!("  output: {output_bytes} bytes of text seen, by the same, at most {output_limit}"),
    ]
}

fn bytes_2(debit: &Debit, from: &Bytes2) -> Vec<String> {
    let factors = from.factors();
    let limit = |limit: Option<Tokens>| limit.unwrap_or_default();
    let text = |ascii: u64, other: u64| {
        let tokens = factors.tokens(TextBytes { ascii, other });
        format!(
            "{ascii} ASCII bytes ÷ {} and {other} other bytes ÷ {}, each rounded up: {tokens} tokens",
            factors.bytes_per_token, factors.bytes_per_token_other
        )
    };
    let mut lines = Vec::new();
    if from.side != Side::Output {
        let input = if from.not_text {
            "parts that are not text: the limit".to_owned()
        } else {
            text(from.input_ascii_bytes, from.input_other_bytes)
        };
        let less =
            if from.not_text && from.shares_window { ", less the output, which shares it" } else { "" };
        lines.push(format!("  input: {input}, at most {}{less}", limit(debit.input_limit)));
    }
    if from.side != Side::Input {
        let seen = text(from.output_ascii_bytes, from.output_other_bytes);
        lines.push(format!("  output seen: {seen}"));
        if let Some(unseen_ms) = debit.unseen_ms {
            lines.push(format!(
                "  output that may have been written unseen: {unseen_ms} ms until the first text or the end, less {} s in \
                 line, × {} tokens a second, rounded up: {} tokens",
                factors.unseen_after_s,
                factors.unseen_tokens_per_s,
                factors.unseen(unseen_ms)
            ));
        }
        let most = limit(debit.output_limit);
        let disproved = debit.tokens_output > most;
        let bound = if disproved { "which the text disproves" } else { "all answers together" };
        lines.push(format!("  output: the sum, at most {most}, {bound}"));
    }
    lines
}

/// What the counts cost.
fn bill(debit: &Debit, model: Option<&Model>) -> Vec<String> {
    let card = format!("rate card {} (sha256 {})", debit.rate_table_v, debit.card_sha256);
    if debit.funding == Funding::Byo {
        return vec![format!("bill: 0 PAX under {card}: the caller's own key paid the provider")];
    }
    let Some(model) = model else {
        return vec![format!("bill: {} PAX under {card}, which this ledger does not know", debit.cost_pax)];
    };
    let tier = match debit.served(model) {
        Ok(Served::Standard) => "standard prices".to_owned(),
        Ok(Served::Tier(name)) => format!("prices of the service tier {name}"),
        Ok(Served::Unpriced) => format!(
            "the dearest prices, since the service tier {} has none",
            debit.service_tier.as_deref().unwrap_or_default()
        ),
        Err(bad) => bad.to_string(),
    };
    let mut lines = vec![format!("bill under {card}, {tier}, in PAX per million tokens")];
    let items = debit.lines(model).unwrap_or_default();
    lines.extend(items.iter().map(line));
    let sum: u128 = items.iter().map(femtopax).sum();
    lines.push(format!("  sum {}", fifteen_decimals(sum)));
    if let Some(minimum) = model.minimum {
        lines.push(format!("  no call costs less than {minimum}"));
    }
    lines.push(format!("  rounded once, half up, to 12 decimals: {} PAX", debit.cost_pax));
    lines
}

fn line(line: &Line) -> String {
    let Line { part, tokens, rate } = line;
    format!("  {:<16} {tokens:>12} × {rate} ÷ 1000000 = {}", part.name(), fifteen_decimals(femtopax(line)))
}

/// Thousandths of a picopax: a rate has 9 decimals and is for a million tokens, so this is exact.
fn femtopax(line: &Line) -> u128 {
    u128::from(line.tokens.0).saturating_mul(u128::from(line.rate.nanopax()))
}

fn fifteen_decimals(femtopax: u128) -> String {
    const ONE: u128 = 1_000_000_000_000_000;
    format!("{}.{:015}", femtopax / ONE, femtopax % ONE)
}
