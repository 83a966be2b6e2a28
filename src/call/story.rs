//! What is told of an exchange when it is over: to the operator's log ([`crate::told::log_line`]) and to the
//! metrics. The state machine notes each fact here as soon as it is known. No decision depends on these notes.

use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;

use crate::base::account::{Account, Funding};
use crate::base::clock::Tick;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::Pax;
use crate::base::refusal::refusals::Refusal;
use crate::base::stopwatch::Lasted;
use crate::debit::admission::Admission;
use crate::debit::frozen::{Debit, Ending, Flag, Provenance};
use crate::dialect::usage::Usage;
use crate::memory::cap_bytes::Daily;

/// How much of a path or a model's name is kept, in bytes: callers choose both.
const NAME_MAX: usize = 256;
/// How much of a refusal's message is kept, in bytes.
const MESSAGE_MAX: usize = 1024;

/// The prefixes of our tokens and of providers' keys.
const KEYS: [&str; 5] = ["mtx-", "sk-", "gsk_", "fw_", "xai-"];
/// No key is shorter, in bytes.
const KEY_MIN: usize = 10;

/// How an exchange ended, as an operator counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The provider answered with 2xx, and the answer came to its end.
    Answered,
    /// The filter refused the call, or Envoy did before it was forwarded.
    Refused,
    /// The provider answered with another status, which was passed on.
    ProviderError,
    /// The provider gave no answer that could be passed on: it was not reached, or it refused the platform's
    /// key.
    ProviderFailed,
    /// The provider's answer broke off.
    ProviderBrokeOff,
    /// The caller left before the end.
    CallerGone,
    /// The gateway answered by itself: models, credits, health.
    Local,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::Refused,
        Self::ProviderError,
        Self::ProviderFailed,
        Self::ProviderBrokeOff,
        Self::CallerGone,
        Self::Local,
    ];

    /// Its name, in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::ProviderError => "provider_error",
            Self::ProviderFailed => "provider_failed",
            Self::ProviderBrokeOff => "provider_broke_off",
            Self::CallerGone => "caller_gone",
            Self::Local => "local",
        }
    }
}

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Complete => Self::Answered,
            Ending::ProviderBrokeOff | Ending::Cut => Self::ProviderBrokeOff,
            Ending::CallerGone | Ending::NoAnswer | Ending::Orphaned | Ending::Lost => Self::CallerGone,
        }
    }
}

/// What the caller was told in the place of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The refusal's code, or that of Envoy's own reply.
    pub code: String,
    /// The refusal's message; empty for Envoy's own reply, whose code is enough to find its message.
    pub message: String,
}

/// The numbers of a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Who counted the tokens.
    pub provenance: Provenance,
    /// What was odd.
    pub flags: Vec<Flag>,
    /// What was counted.
    pub usage: Usage,
    /// What it cost.
    pub cost: Pax,
    /// How long it took.
    pub lasted: Lasted,
}

/// One exchange, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// When its head came; none if the filter never saw one.
    pub began: Option<Tick>,
    /// Whether the request only asked whether the gateway lives. Nothing is told of such an exchange.
    pub probe: bool,
    /// The method.
    pub method: String,
    /// The path, without its query, which may hold secrets.
    pub path: String,
    /// Whose token it came with.
    pub account: Option<Arc<Account>>,
    /// The slot that it named.
    pub slot: Option<String>,
    /// The model that it asked for.
    pub model: Option<String>,
    /// Whose provider key would pay.
    pub funding: Option<Funding>,
    /// The admission.
    pub admission: Option<Rc<Admission>>,
    /// The account's daily cap.
    pub cap: Option<Pax>,
    /// The most that it could have cost, if that did not fit the cap.
    pub needed: Option<Pax>,
    /// The account's day, as it was last heard.
    pub daily: Option<Daily>,
    /// When it went to the provider.
    pub forwarded: Option<Tick>,
    /// When the provider's answer began.
    pub answered: Option<Tick>,
    /// The status that the caller got; none if the caller was gone.
    pub status: Option<u16>,
    /// The status of the provider's own answer.
    pub provider_status: Option<u16>,
    /// The provider's own id of the call.
    pub provider_request_id: Option<String>,
    /// What the caller was told in the place of an answer.
    pub told: Option<Told>,
    /// The numbers of its debit.
    pub settled: Option<Settled>,
    /// How it ended; none while it goes on.
    pub outcome: Option<Outcome>,
}

impl Story {
    /// The head came.
    pub fn begin(&mut self, now: Tick, method: &[u8], path: &[u8]) {
        self.began = Some(now);
        let bare = path.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        self.method = bounded(&lossy(method), 16).to_owned();
        self.path = masked(bounded(&lossy(bare), NAME_MAX));
    }

    /// The model that is asked for, and whose key would pay.
    pub fn asks_for(&mut self, model: &str, funding: Funding) {
        self.model = Some(masked(bounded(model, NAME_MAX)));
        self.funding = Some(funding);
    }

    /// The filter refuses the call: before it reached the provider, or in the place of the provider's answer.
    pub fn refuse(&mut self, refusal: &Refusal, outcome: Outcome) {
        if let Refusal::DailyCapExceeded { spent, reserved, needed, limit, .. } = refusal {
            self.daily = Some(Daily { spent: *spent, reserved: *reserved });
            self.needed = Some(*needed);
            self.cap = Some(*limit);
        }
        let message = masked(bounded(&refusal.message(), MESSAGE_MAX));
        self.status = Some(refusal.status());
        self.told = Some(Told { code: refusal.code().to_owned(), message });
        self.outcome = Some(outcome);
    }

    /// The gateway answers by itself, with this status if it is known yet.
    pub fn reply_locally(&mut self, status: Option<u16>) {
        self.status = status;
        self.outcome = Some(Outcome::Local);
    }

    /// Envoy answered by itself: before the call was forwarded, or in the provider's place.
    pub fn envoy_replied(&mut self, status: u16, code: &str, outcome: Outcome) {
        self.status = Some(status);
        self.told = Some(Told { code: bounded(code, 64).to_owned(), message: String::new() });
        self.outcome = Some(outcome);
    }

    /// The provider broke off while the head of its answer was held. Envoy answered by itself, with a reply
    /// from envoy/local-replies.json, and did not ask the filter.
    pub fn replied_in_place_of_held(&mut self) {
        self.envoy_replied(502, "upstream_cut", Outcome::ProviderBrokeOff);
    }

    /// The ledger or Envoy, not the filter, answers a route that is not metered.
    pub fn another_answers(&mut self, status: u16, envoys_code: Option<&str>) {
        if self.outcome == Some(Outcome::Local) {
            match envoys_code {
                Some(code) => self.envoy_replied(status, code, Outcome::Refused),
                None => self.status = Some(status),
            }
        }
    }

    /// The provider's answer began.
    pub fn provider_answered(&mut self, now: Tick, status: u16, request_id: Option<&str>) {
        self.answered = Some(now);
        self.status = Some(status);
        self.provider_status = Some(status);
        self.provider_request_id = request_id.map(str::to_owned);
    }

    /// The call is settled by this debit; or released without one, if the answer was nothing but an error.
    pub fn settle(&mut self, ending: Ending, lasted: Lasted, debit: Option<&Debit>) {
        self.outcome = Some(match (ending, debit) {
            (Ending::Complete, None) => Outcome::ProviderError,
            _ => ending.into(),
        });
        self.settled = debit.map(|debit| Settled {
            stream: debit.stream,
            provenance: debit.provenance,
            flags: debit.flags.clone(),
            usage: debit.usage(),
            cost: debit.cost_pax,
            lasted,
        });
    }

    /// Notes the account's day, after the debit was put into the outbox.
    pub fn hears(&mut self, daily: Option<Daily>) {
        self.daily = daily.or(self.daily);
    }

    /// How the exchange ended. If no end was noted, its caller left.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome.unwrap_or(Outcome::CallerGone)
    }

    /// What is left of the day's cap, as the answer's `x-matrix-daily-remaining-pax` has it.
    #[must_use]
    pub fn left(&self) -> Option<Pax> {
        let (cap, daily) = self.cap.zip(self.daily)?;
        Some(cap.checked_sub(daily.spent).unwrap_or_default().max(Pax::ZERO))
    }

    /// The exchange of which the story is to be told; none if it is not to be told.
    #[must_use]
    pub fn is_told(&self, id: Option<ExchangeId>) -> Option<ExchangeId> {
        id.filter(|_| self.began.is_some() && !self.probe)
    }
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    // What is longer is cut off later anyway, so it need not be decoded here.
    String::from_utf8_lossy(bytes.get(..bytes.len().min(NAME_MAX)).unwrap_or_default())
}

/// Keeps secrets out of the log if a caller puts a token or a provider's key where a name belongs: what begins
/// like one of them is cut down to its first letters.
fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, kind)) = KEYS.iter().filter_map(|kind| Some((rest.find(kind)?, kind))).min() {
        let (before, key) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let inside = before.ends_with(|before: char| before.is_ascii_alphanumeric());
        let after = key.find(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '-' | '_')));
        let (key, after) = key.split_at_checked(after.unwrap_or(key.len())).unwrap_or((key, ""));
        masked.push_str(before);
        match inside || key.len() < KEY_MIN {
            true => masked.push_str(key),
            false => masked.extend([kind, "..."]),
        }
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// The beginning of the text, at most `bytes` long, cut between two characters.
fn bounded(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
