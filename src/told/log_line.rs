//! The filter's part of an exchange's line in the operator's log: one JSON object on one line, which Envoy's
//! access log puts into its own ([envoy/README.md](../../envoy/README.md#the-calls-log) has the keys). Every
//! line has every key, so that tools which make tables of logs need not guess. Of the headers it has only the
//! method and the path, and of a body only the model's name: no token, no key, no prompt.

use serde::Serialize;

use crate::base::account::{Funding, Tier};
use crate::base::clock::Tick;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::{Pax, Tokens};
use crate::base::text::steers_terminal;
use crate::call::story::{Outcome, Story};
use crate::debit::frozen::{Flag, Provenance};
use crate::price::card::RateTableVersion;

/// The version of the line's form.
pub const VERSION: u32 = 1;

/// The keys, in their order.
#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    exchange_id: ExchangeId,
    method: &'a str,
    path: &'a str,
    status: Option<u16>,
    outcome: Outcome,
    code: Option<&'a str>,
    message: Option<&'a str>,
    account: Option<&'a str>,
    tier: Option<Tier>,
    token_id: Option<&'a str>,
    slot: Option<&'a str>,
    model: Option<&'a str>,
    model_served: Option<&'a str>,
    provider: Option<&'a str>,
    funding: Option<Funding>,
    stream: Option<bool>,
    provider_status: Option<u16>,
    provider_request_id: Option<&'a str>,
    rate_table_v: Option<RateTableVersion>,
    provenance: Option<Provenance>,
    flags: &'a [Flag],
    input_tokens: Option<Tokens>,
    cached_tokens: Option<Tokens>,
    output_tokens: Option<Tokens>,
    cost_pax: Option<Pax>,
    reserved_pax: Option<Pax>,
    needed_pax: Option<Pax>,
    in_flight_pax: Option<Pax>,
    spent_pax: Option<Pax>,
    limit_pax: Option<Pax>,
    left_pax: Option<Pax>,
    forwarded_ms: Option<u64>,
    first_byte_ms: Option<u64>,
    duration_ms: Option<u64>,
}

/// The line of an exchange that ended at `now`, without a line break. None if there is nothing to tell:
/// nothing came of the exchange, or a prober only asked whether the gateway lives.
#[must_use]
pub fn write(id: Option<ExchangeId>, story: &Story, now: Tick) -> Option<String> {
    let exchange_id = story.is_told(id)?;
    let since = |tick: Option<Tick>| Some(tick?.since_ms(story.began?));
    let (admission, settled) = (story.admission.as_deref(), story.settled.as_ref());
    let served = admission.map(|admission| {
        let upstream = admission.priced().and_then(|model| model.upstream_model.as_deref());
        upstream.unwrap_or(&admission.model)
    });
    let told = |text: &'_ str| !text.is_empty();
    let line = Line {
        v: VERSION,
        exchange_id,
        method: &story.method,
        path: &story.path,
        status: story.status,
        outcome: story.outcome(),
        code: story.told.as_ref().map(|it| it.code.as_str()).filter(|it| told(it)),
        message: story.told.as_ref().map(|it| it.message.as_str()).filter(|it| told(it)),
        account: story.account.as_deref().map(|it| it.account.as_str()),
        tier: story.account.as_deref().map(|it| it.tier),
        token_id: story.account.as_deref().map(|it| it.token_id.as_str()),
        slot: admission.map(|it| it.slot.as_str()).or(story.slot.as_deref()),
        model: story.model.as_deref(),
        model_served: served,
        provider: admission.map(|it| it.provider.as_str()),
        funding: story.funding,
        stream: settled.map(|it| it.stream).or(admission.map(|it| it.wants_stream)),
        provider_status: story.provider_status,
        provider_request_id: story.provider_request_id.as_deref(),
        rate_table_v: admission.map(|it| it.card.version),
        provenance: settled.map(|it| it.provenance),
        flags: settled.map(|it| it.flags.as_slice()).unwrap_or_default(),
        input_tokens: settled.map(|it| it.usage.input),
        cached_tokens: settled.map(|it| it.usage.cached_input),
        output_tokens: settled.map(|it| it.usage.output),
        cost_pax: settled.map(|it| it.cost),
        reserved_pax: admission.and_then(|it| it.set_aside()).filter(|_| story.forwarded.is_some()),
        needed_pax: story.needed.or(admission.and_then(|it| it.set_aside())),
        in_flight_pax: story.daily.map(|it| it.reserved),
        spent_pax: story.daily.map(|it| it.spent),
        limit_pax: story.cap,
        left_pax: story.left(),
        forwarded_ms: since(story.forwarded),
        first_byte_ms: since(story.answered),
        duration_ms: since(Some(now)),
    };
    serde_json::to_string(&line).ok().map(escaped)
}

/// Characters that would steer the reader's terminal are written as their numbers. JSON itself escapes only
/// those below a space.
fn escaped(line: String) -> String {
    if line.is_ascii() && !line.contains('\u{7f}') {
        return line;
    }
    let mut escaped = String::with_capacity(line.len());
    for char in line.chars() {
        match steers_terminal(char) {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(char))),
            false => escaped.push(char),
        }
    }
    escaped
}
