//! The filter's metrics, all of them: one table, which docs/metrics.md repeats and `envoy/envoy.yaml` unpacks.
//!
//! An Envoy metric of a filter has a name and no labels, so the labels are packed into the name, and `stats_tags` of Envoy's
//! bootstrap cut them out of it again. Metrics never expire: a label's values come from the rate cards, the configuration
//! and this code, never from a caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::wire::DebitOutcome;

/// Kinds of metrics, as the proxy-wasm ABI numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MetricKind {
    /// Only goes up.
    Counter = 0,
    /// Is what it is.
    Gauge = 1,
    /// How often values lay between bounds that `envoy/envoy.yaml` states.
    Histogram = 2,
}

/// What a metric is broken down by. Those of OpenTelemetry's conventions for generative AI have its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// `gen_ai.operation.name`: `chat`, `embeddings`.
    Operation,
    /// `gen_ai.provider.name`: the provider by its name in the configuration.
    Provider,
    /// `gen_ai.request.model`: the model by its id in the rate card.
    Model,
    /// `gen_ai.token.type`: `input`, `output`.
    TokenType,
    /// `error.type`: the stable code of an error that the gateway answers by itself.
    ErrorType,
    /// The slot, if the configuration or a rate card names it.
    Slot,
    /// The account's tier.
    Tier,
    /// Whose provider key pays.
    Funding,
    /// How a call ended.
    Outcome,
    /// What part of the tokens.
    Part,
    /// Where the token counts come from.
    Provenance,
    /// What was odd.
    Flag,
    /// What the ledger made of a debit.
    Result,
    /// Why the ledger gave no answer.
    Reason,
    /// The program's version.
    Version,
}

impl Label {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Operation,
        Self::Provider,
        Self::Model,
        Self::TokenType,
        Self::ErrorType,
        Self::Slot,
        Self::Tier,
        Self::Funding,
        Self::Outcome,
        Self::Part,
        Self::Provenance,
        Self::Flag,
        Self::Result,
        Self::Reason,
        Self::Version,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operation => "gen_ai_operation_name",
            Self::Provider => "gen_ai_provider_name",
            Self::Model => "gen_ai_request_model",
            Self::TokenType => "gen_ai_token_type",
            Self::ErrorType => "error_type",
            Self::Slot => "slot",
            Self::Tier => "tier",
            Self::Funding => "funding",
            Self::Outcome => "outcome",
            Self::Part => "part",
            Self::Provenance => "provenance",
            Self::Flag => "flag",
            Self::Result => "result",
            Self::Reason => "reason",
            Self::Version => "version",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Calls, by how they ended.
    Calls,
    /// Errors that the gateway answered by itself.
    Refusals,
    /// Tokens.
    Tokens,
    /// Tokens that are part of others.
    TokenParts,
    /// Money.
    Charged,
    /// Calls, by where their token counts come from.
    Usage,
    /// What was odd.
    Flags,
    /// How long a call took at its provider.
    Duration,
    /// How long a stream took to begin.
    FirstChunk,
    /// Calls that providers have now.
    CallsInFlight,
    /// Money that is reserved for these calls.
    Reserved,
    /// Debits that the ledger has not acknowledged.
    OutboxWaiting,
    /// How long the oldest of them has waited.
    OutboxOldest,
    /// Of them: debits that the ledger does not read yet.
    Unsupported,
    /// What the ledger made of debits.
    Debits,
    /// Questions to the ledger that got no answer.
    CalloutsFailed,
    /// Configurations with mistakes.
    ConfigurationsRejected,
    /// How many rate cards there are.
    RateCards,
    /// Configurations whose cards the ledger refused.
    RateCardsRefused,
    /// The version of the rate card in force.
    RateTableVersion,
    /// Which version of the filter this is.
    BuildInfo,
}

/// What a metric is.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name in `/stats/prometheus`. In `/stats`, `wasmcustom.` comes before it and its labels come after
    /// it.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its labels. The last label never has a name from a card or a configuration as its value: a name may
    /// end in dots, and Envoy drops dots at the end of a metric.
    pub labels: &'static [Label],
}

/// The most labels that a metric has.
pub const LABELS_MAX: usize = 7;

impl Metric {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Calls,
        Self::Refusals,
        Self::Tokens,
        Self::TokenParts,
        Self::Charged,
        Self::Usage,
        Self::Flags,
        Self::Duration,
        Self::FirstChunk,
        Self::CallsInFlight,
        Self::Reserved,
        Self::OutboxWaiting,
        Self::OutboxOldest,
        Self::Unsupported,
        Self::Debits,
        Self::CalloutsFailed,
        Self::ConfigurationsRejected,
        Self::RateCards,
        Self::RateCardsRefused,
        Self::RateTableVersion,
        Self::BuildInfo,
    ];

    /// What it is.
    #[must_use]
    pub const fn about(self) -> About {
        use Label::{
            ErrorType, Flag, Funding, Model, Operation, Outcome, Part, Provenance, Provider, Reason, Result,
            Slot, Tier, TokenType, Version,
        };
        use MetricKind::{Counter, Gauge, Histogram};
        const OF_A_MODEL: &[Label] = &[Provider, Model, Operation];
        let (name, kind, labels): (_, _, &[Label]) = match self {
            Self::Calls => {
                ("pax_calls_total", Counter, &[Operation, Provider, Model, Slot, Tier, Funding, Outcome])
            }
            Self::Refusals => ("pax_refusals_total", Counter, &[Provider, ErrorType]),
            Self::Tokens => {
                ("gen_ai_client_token_usage_total", Counter, &[Provider, Model, Operation, TokenType])
            }
            Self::TokenParts => ("pax_token_parts_total", Counter, &[Provider, Model, Part]),
            Self::Charged => ("pax_charged_picopax_total", Counter, &[Provider, Model, Slot, Tier]),
            Self::Usage => ("pax_usage_total", Counter, &[Provider, Model, Provenance]),
            Self::Flags => ("pax_flags_total", Counter, &[Provider, Model, Flag]),
            Self::Duration => ("gen_ai_client_operation_duration_milliseconds", Histogram, OF_A_MODEL),
            Self::FirstChunk => {
                ("gen_ai_client_operation_time_to_first_chunk_milliseconds", Histogram, OF_A_MODEL)
            }
            Self::CallsInFlight => ("pax_calls_in_flight", Gauge, &[]),
            Self::Reserved => ("pax_reserved_picopax", Gauge, &[]),
            Self::OutboxWaiting => ("pax_outbox_waiting", Gauge, &[]),
            Self::OutboxOldest => ("pax_outbox_oldest_seconds", Gauge, &[]),
            Self::Unsupported => ("pax_debits_unsupported", Gauge, &[]),
            Self::Debits => ("pax_debits_total", Counter, &[Result]),
            Self::CalloutsFailed => ("pax_callouts_failed_total", Counter, &[Reason]),
            Self::ConfigurationsRejected => ("pax_configurations_rejected_total", Counter, &[]),
            Self::RateCards => ("pax_rate_cards", Gauge, &[]),
            Self::RateCardsRefused => ("pax_rate_cards_refused_total", Counter, &[]),
            Self::RateTableVersion => ("pax_rate_table_version", Gauge, &[]),
            Self::BuildInfo => ("pax_build_info", Gauge, &[Version]),
        };
        About { name, kind, labels }
    }
}

/// What the ledger makes of debits and voids that it reads, as `result` names it.
pub const DEBIT_RESULTS: [(DebitOutcome, &str); 6] = [
    (DebitOutcome::Recorded, "recorded"),
    (DebitOutcome::Duplicate, "duplicate"),
    (DebitOutcome::Superseded, "superseded"),
    (DebitOutcome::Conflict, "conflict"),
    (DebitOutcome::Rejected, "rejected"),
    (DebitOutcome::Voided, "voided"),
];
/// Why the ledger gave no answer, as `reason` names it.
pub const REASONS: [&str; 5] = ["unknown_cluster", "no_answer", "unauthorized", "status", "unreadable"];

/// A label's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// There is none: `none`.
    None,
    /// There is one that neither a card nor the configuration names, or there are too many: `other`.
    Other,
    /// A word of this code's.
    Word(&'static str),
    /// A name of a card's or the configuration's ([`Names`]).
    Name(u16),
}

/// How many names of cards and configurations a VM knows; what comes after them is `other`.
const NAMES_MAX: u16 = 2_048;

/// The names of cards and configurations that became values of labels.
#[derive(Debug, Default)]
pub struct Names {
    ids: BTreeMap<Arc<str>, u16>,
    texts: Vec<Arc<str>>,
}

impl Names {
    /// None are known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { ids: BTreeMap::new(), texts: Vec::new() }
    }

    /// A name's text.
    #[must_use]
    pub fn text(&self, id: u16) -> &str {
        self.texts.get(usize::from(id)).map_or("other", |text| text)
    }

    /// The value of a name. Never of one that only a caller has.
    pub fn value(&mut self, name: &str) -> Value {
        if let Some(id) = self.ids.get(name) {
            return Value::Name(*id);
        }
        let Some(id) = u16::try_from(self.texts.len()).ok().filter(|id| *id < NAMES_MAX) else {
            return Value::Other;
        };
        let text: Arc<str> = name.into();
        self.texts.push(Arc::clone(&text));
        self.ids.insert(text, id);
        Value::Name(id)
    }
}

/// One metric with one value of each of its labels: one series in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    metric: Metric,
    values: [Value; LABELS_MAX],
}

impl Series {
    /// A metric's series with these values of its labels, in their order.
    #[must_use]
    pub fn new<const N: usize>(metric: Metric, values: [Value; N]) -> Self {
        let mut all = [Value::None; LABELS_MAX];
        all.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        Self { metric, values: all }
    }

    /// Its metric's kind.
    #[must_use]
    pub const fn kind(&self) -> MetricKind {
        self.metric.about().kind
    }

    /// The series that is counted instead of this one if there are too many.
    #[must_use]
    pub fn without_names(mut self) -> Self {
        for value in &mut self.values {
            if matches!(value, Value::Name(_)) {
                *value = Value::Other;
            }
        }
        self
    }

    /// The name under which Envoy knows it.
    #[must_use]
    pub fn name(&self, names: &Names) -> String {
        let About { name, labels, .. } = self.metric.about();
        let mut packed = name.to_owned();
        for (label, value) in labels.iter().zip(&self.values) {
            packed.push(';');
            packed.push_str(label.name());
            packed.push('=');
            match value {
                Value::None => packed.push_str("none"),
                Value::Other => packed.push_str("other"),
                Value::Word(word) => packed.push_str(word),
                Value::Name(id) => pack(names.text(*id), &mut packed),
            }
        }
        packed
    }
}

/// Writes a name so that no other label can begin within it: a character that could end a value, or is no
/// printable ASCII, becomes a code such as `%3B`.
fn pack(name: &str, to: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or('0');
    for byte in name.bytes() {
        match byte {
            b';' | b'=' | b'%' | b'"' | b'\\' => to.extend(['%', digit(byte >> 4), digit(byte & 15)]),
            _ if byte.is_ascii_graphic() => to.push(char::from(byte)),
            _ => to.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
