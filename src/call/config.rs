//! Reads the filter's configuration: raw JSON to a [`Config`], with the path of every mistake.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::account::Tier;
use crate::base::clock::Moment;
use crate::base::refusal::unready::Unready;
use crate::base::strict_json::{self, Fields, Mistakes};
use crate::base::text::is_slot_name;
use crate::call::open_bodies::Shares;
use crate::dialect::provider::read_providers;
use crate::price::bundle::Bundle;
use crate::reading::request::hosts::Hosts;

pub use crate::dialect::provider::{Provider, StreamUsage};

/// The filter's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the ledger is.
    pub ledger: Ledger,
    /// The host names under which the filter answers.
    pub hosts: Hosts,
    /// How long what the ledger told of a token is believed.
    pub tokens: TokenTimes,
    /// The slot of a call that names none.
    pub default_slot: String,
    /// The providers by the name that rate cards use.
    pub providers: BTreeMap<String, Provider>,
    /// Limits in bytes.
    pub limits: Limits,
    /// How calls are admitted.
    pub gate: GateSettings,
    /// The ledger's public listener, which answers callers' requests for their balance and entries; none if
    /// they are not served.
    pub credits: Option<Credits>,
    /// The kill switch: no calls are taken.
    pub disabled: bool,
    /// The rate cards that the configuration brings; none if the built-in ones hold.
    pub rate_cards: Option<Bundle>,
}

/// Where it is decided that a call fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmittedBy {
    /// In Envoy's shared data, at once: a reservation against the daily cap. Envoys learn of each other's spending every
    /// few seconds.
    SharedData,
    /// By the ledger, with a hold for each call.
    Ledger,
}

/// How calls are admitted.
#[derive(Clone, Copy, Debug)]
pub struct GateSettings {
    /// Where calls of the free tier are admitted.
    pub free: AdmittedBy,
    /// Where calls of the credit tier are admitted. In shared data no limit holds for them: they are charged afterwards.
    pub credit: AdmittedBy,
    /// How often the ledger is asked for the standings of active accounts, in milliseconds.
    pub sync_ms: u64,
    /// The output's maximum that is written into a request that states none; none to reserve for the model's own.
    pub clamp_output_tokens: Option<u64>,
}

/// The ledger's public listener, as an Envoy cluster.
#[derive(Clone, Debug)]
pub struct Credits {
    /// The cluster, whose credential injector holds the shared secret.
    pub cluster: String,
    /// `:authority` of requests to it.
    pub authority: String,
}

/// The ledger service, as an Envoy cluster.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The cluster, whose credential injector holds the shared secret.
    pub cluster: String,
    /// `:authority` of callouts.
    pub authority: String,
    /// How long a callout may take.
    pub timeout_ms: u64,
    /// The cluster for questions about tokens. It is separate because strangers can cause many of them.
    pub resolve_cluster: String,
}

/// How long the answer to "whose token is this" is kept.
#[derive(Clone, Copy, Debug)]
pub struct TokenTimes {
    /// For a token that is an account's, in milliseconds: so long a disabled account or a revoked token may
    /// still call.
    pub ttl_ms: u64,
    /// For a token that is nobody's, in milliseconds.
    pub unknown_ttl_ms: u64,
}

/// Limits in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest request.
    pub request: u64,
    /// The largest JSON answer that is held back for its cost headers.
    pub held_answer: u64,
    /// The request bodies that one worker holds.
    pub open_bodies: Shares,
}

/// All that an exchange needs to know.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The configuration.
    pub config: Config,
    /// The rate cards.
    pub bundle: Rc<Bundle>,
}

impl GateSettings {
    /// Where calls of a tier are admitted.
    #[must_use]
    pub const fn admitted_by(&self, tier: Tier) -> AdmittedBy {
        match tier {
            Tier::Free => self.free,
            Tier::Credit => self.credit,
        }
    }

    /// Whether any tier's calls need holds.
    #[must_use]
    pub fn makes_holds(&self) -> bool {
        [self.free, self.credit].contains(&AdmittedBy::Ledger)
    }
}

impl Gateway {
    /// Reads a configuration, with the rate cards that it has or that are built in.
    ///
    /// # Errors
    /// Every mistake, with its path.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let mut config = Config::parse(text)?;
        let bundle = match config.rate_cards.take() {
            Some(bundle) => bundle,
            None => Bundle::embedded()?,
        };
        Ok(Self { config, bundle: Rc::new(bundle) })
    }

    /// Why calls cannot be served at `now`; none if they can.
    #[must_use]
    pub fn unready(&self, now: Moment, outbox_has_room: bool, ledger_answers: bool) -> Option<Unready> {
        if self.config.disabled {
            Some(Unready::Disabled)
        } else if !ledger_answers {
            Some(Unready::LedgerSilent)
        } else if !outbox_has_room {
            Some(Unready::OutboxFull)
        } else {
            self.bundle.in_force(now).is_none().then_some(Unready::NoCard)
        }
    }
}

const MIB: u64 = 1024 * 1024;
/// How many workers are assumed to share the sums of `limits` if `workers` is not stated. Too many only make
/// each share small; too few would let all workers together hold more than the sums.
const WORKERS: u64 = 16;

impl Config {
    /// The provider whose id patterns match a model; if there are several, the first in the order of names.
    #[must_use]
    pub fn provider_of(&self, model: &str) -> Option<(&str, &Provider)> {
        let serves = self.providers.iter().find(|(_, provider)| provider.serves(model));
        serves.map(|(name, provider)| (name.as_str(), provider))
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// Every mistake, with its path.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut fields = Fields::of(strict_json::parse(text)?, "", &mut mistakes);
        let ledger = fields.object("ledger", &mut mistakes);
        let ledger = ledger.and_then(|fields| read_ledger(fields, &mut mistakes));
        let hosts = read_hosts(&mut fields, &mut mistakes);
        let tokens = read_section(&mut fields, "tokens", &mut mistakes, |fields, mistakes| {
            let ttl_s = fields.whole_or("ttl_s", 30, 1..=3_600, mistakes);
            let unknown_ttl_s = fields.whole_or("unknown_ttl_s", 5, 1..=3_600, mistakes);
            Some(TokenTimes {
                ttl_ms: ttl_s?.saturating_mul(1_000),
                unknown_ttl_ms: unknown_ttl_s?.saturating_mul(1_000),
            })
        });
        let default_slot = read_slot(&mut fields, &mut mistakes);
        let providers = fields.object("providers", &mut mistakes);
        let providers = providers.map(|fields| read_providers(fields, &mut mistakes));
        let workers = fields.whole_or("workers", WORKERS, 1..=1_024, &mut mistakes);
        let limits = read_section(&mut fields, "limits", &mut mistakes, |fields, mistakes| {
            let request = fields.whole_or("request_bytes", 20 * MIB, 1_024..=256 * MIB, mistakes);
            let held_answer = fields.whole_or("held_answer_bytes", MIB / 2, 0..=16 * MIB, mistakes);
            let open_bodies = read_open_bodies(fields, workers, request, mistakes);
            Some(Limits { request: request?, held_answer: held_answer?, open_bodies: open_bodies? })
        });
        let gate = read_section(&mut fields, "gate", &mut mistakes, read_gate);
        let credits = match fields.optional("credits") {
            Some(node) => read_credits(Fields::of(node, "credits", &mut mistakes), &mut mistakes).map(Some),
            None => Some(None),
        };
        let disabled = fields.flag_or("disabled", false, &mut mistakes);
        let rate_cards = match fields.optional("rate_cards") {
            Some(node) => Bundle::read(node, "rate_cards", &mut mistakes).map(Some),
            None => Some(None),
        };
        fields.finish(&mut mistakes);
        let config = (|| {
            Some(Self {
                ledger: ledger?,
                hosts: hosts?,
                tokens: tokens?,
                default_slot: default_slot?,
                providers: providers?,
                limits: limits?,
                gate: gate?,
                credits: credits?,
                disabled: disabled?,
                rate_cards: rate_cards?,
            })
        })();
        mistakes.or(config)
    }
}

/// Reads an object that may be absent. If it is, its defaults hold.
fn read_section<T>(
    fields: &mut Fields,
    key: &str,
    mistakes: &mut Mistakes,
    read: impl FnOnce(&mut Fields, &mut Mistakes) -> Option<T>,
) -> Option<T> {
    let node = fields.optional(key).unwrap_or(strict_json::Node::Object(Vec::new()));
    let mut section = Fields::of(node, &fields.path(key), mistakes);
    let value = read(&mut section, mistakes);
    section.finish(mistakes);
    value
}

/// Each worker's share of the configured sums. A share for callers whose tokens are known must hold at least
/// two of the largest requests: a smaller one would refuse such a request for ever.
fn read_open_bodies(
    fields: &mut Fields,
    workers: Option<u64>,
    request: Option<u64>,
    mistakes: &mut Mistakes,
) -> Option<Shares> {
    const SUMS: std::ops::RangeInclusive<u64> = 65_536..=1024 * 1024 * MIB;
    let strangers = fields.whole_or("unknown_caller_bytes", 64 * MIB, SUMS, mistakes);
    let account = fields.whole_or("open_bytes_per_account", 192 * MIB, SUMS, mistakes);
    let all = fields.whole_or("open_bytes", 768 * MIB, SUMS, mistakes);
    let share = |sum: u64| sum.checked_div(workers?);
    let known = |sum: u64| Some(share(sum)?.max(request?.saturating_mul(2)));
    Some(Shares { strangers: share(strangers?)?, account: known(account?)?, all: known(all?)? })
}

fn read_gate(fields: &mut Fields, mistakes: &mut Mistakes) -> Option<GateSettings> {
    const CLAMP: &str = "clamp_output_tokens";
    let sync_s = fields.whole_or("sync_s", 5, 1..=60, mistakes);
    let clamps = match fields.optional_text("when_unbounded", mistakes).as_deref() {
        None | Some("reserve_limit") => false,
        Some("clamp") => true,
        Some(other) => {
            let what = format!("must be \"reserve_limit\" or \"clamp\", is {other:?}");
            mistakes.add(&fields.path("when_unbounded"), what);
            return None;
        }
    };
    let clamp_output_tokens = match clamps {
        true => Some(fields.whole(CLAMP, 1..=1_000_000_000, mistakes)?),
        false if fields.optional(CLAMP).is_some() => {
            mistakes.add(&fields.path(CLAMP), "stands without \"when_unbounded\": \"clamp\"");
            None
        }
        false => None,
    };
    let admission = read_section(fields, "admission", mistakes, |fields, mistakes| {
        let free = read_admitted_by(fields, "free", AdmittedBy::SharedData, mistakes);
        let credit = read_admitted_by(fields, "credit", AdmittedBy::Ledger, mistakes);
        Some((free?, credit?))
    });
    let (free, credit) = admission?;
    Some(GateSettings { free, credit, sync_ms: sync_s?.saturating_mul(1_000), clamp_output_tokens })
}

fn read_admitted_by(
    fields: &mut Fields,
    tier: &str,
    default: AdmittedBy,
    mistakes: &mut Mistakes,
) -> Option<AdmittedBy> {
    match fields.optional_text(tier, mistakes).as_deref() {
        None => Some(default),
        Some("shared_data") => Some(AdmittedBy::SharedData),
        Some("ledger") => Some(AdmittedBy::Ledger),
        Some(other) => {
            let what = format!("must be \"shared_data\" or \"ledger\", is {other:?}");
            mistakes.add(&fields.path(tier), what);
            None
        }
    }
}

fn read_credits(mut fields: Fields, mistakes: &mut Mistakes) -> Option<Credits> {
    let cluster = fields.text("cluster", mistakes);
    let authority = fields.text("authority", mistakes);
    fields.finish(mistakes);
    Some(Credits { cluster: cluster?, authority: authority? })
}

fn read_ledger(mut fields: Fields, mistakes: &mut Mistakes) -> Option<Ledger> {
    let cluster = fields.text("cluster", mistakes);
    let authority = fields.text("authority", mistakes);
    let timeout_ms = fields.whole_or("timeout_ms", 2_000, 10..=60_000, mistakes);
    let resolve_cluster = fields.optional_text("resolve_cluster", mistakes);
    fields.finish(mistakes);
    let cluster = cluster?;
    let resolve_cluster = resolve_cluster.unwrap_or_else(|| cluster.clone());
    Some(Ledger { cluster, authority: authority?, timeout_ms: timeout_ms?, resolve_cluster })
}

fn read_hosts(fields: &mut Fields, mistakes: &mut Mistakes) -> Option<Hosts> {
    let node = fields.required("hosts", mistakes)?;
    Hosts::read(node, "hosts", mistakes)
}

fn read_slot(fields: &mut Fields, mistakes: &mut Mistakes) -> Option<String> {
    let slot = match fields.optional("default_slot") {
        Some(node) => strict_json::text(node, "default_slot", mistakes)?,
        None => "default".to_owned(),
    };
    if !is_slot_name(&slot) {
        mistakes.add("default_slot", "must be at most 64 of a-z, 0-9, '-' and '_'");
    }
    Some(slot)
}

#[cfg(test)]
#[path = "config_test.rs"]
mod tests;
