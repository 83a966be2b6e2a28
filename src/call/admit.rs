//! Admission: decides whether a call may go on, at which price, through which provider, and how much is
//! reserved for it.

use std::rc::Rc;
use std::sync::Arc;

use crate::base::account::{Account, Funding, Tier};
use crate::base::clock::Now;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::{Pax, Tokens};
use crate::base::refusal::refusals::{CostLess, Refusal};
use crate::base::refusal::request_error::RequestError;
use crate::base::stopwatch::Stopwatch;
use crate::base::text::AsText;
use crate::base::wire::{HoldReply, IDENTITY_HEADER};
use crate::call::config::{AdmittedBy, Config, Credits, Gateway, Provider, StreamUsage};
use crate::call::event::{AnswerHead, CREDITS_MARK, Forward};
use crate::call::usable::{Asker, Served};
use crate::debit::admission::Admission;
use crate::debit::bounds::{Bounds, input_text};
use crate::dialect::usage::Mode;
use crate::memory::cap_bytes::Daily;
use crate::price::card::{Model, RateCard};
use crate::price::rates::ServiceTier;
use crate::reading::answer::reported::Judge;
use crate::reading::answer::said::Asked;
use crate::reading::request::edits::{Rewrite, WrittenMaximum, WrittenTier, edited_length};
use crate::reading::request::head::Call;
use crate::reading::request::parsed::{AskedOption, Buys, Request};

/// An admitted call that is not settled yet.
#[derive(Debug)]
pub struct InFlight {
    /// The admission, which its debit will repeat.
    pub admission: Rc<Admission>,
    /// What is known of the account's means.
    pub known: Known,
    /// What the reader of the answer must know of the request.
    pub asked: Asked,
    /// Whether the model's provider takes callers' own keys.
    pub own_keys: bool,
    /// Measures how long the call takes, from the moment at which it is forwarded.
    pub watch: Stopwatch,
}

/// What is known of an account's means when its call goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// The account's daily cap; none if no cap holds for the account.
    pub cap: Option<Pax>,
    /// What the account had spent that day when the ledger made the hold; none for a call without a hold, of which shared
    /// data knows the day.
    spent: Option<Pax>,
    /// The account's balance when the ledger made the hold; none for a call without a hold on it.
    balance: Option<Pax>,
}

impl Known {
    /// What an answer's head tells of the account, after a call that cost this much. Other calls that ended while this one
    /// ran are not counted if the ledger admitted it.
    #[must_use]
    pub fn told(&self, daily: Option<Daily>, cost: Pax) -> Vec<(&'static str, String)> {
        let spent = || Some(self.spent?.checked_add(cost).unwrap_or(Pax::MAX));
        let daily = daily.or_else(|| Some(Daily { spent: spent()?, ..Daily::default() }));
        let mut told: Vec<_> = daily.zip(self.cap).into_iter().flat_map(daily_headers).collect();
        let left = self.balance.and_then(|balance| balance.checked_sub(cost));
        told.extend(left.map(|left| ("x-matrix-balance-pax", left.text())));
        told
    }
}

impl InFlight {
    /// What every answer to the call carries.
    #[must_use]
    pub fn answer_head(&self) -> AnswerHead {
        let add = vec![
            ("x-matrix-rate-table-version", self.admission.card.version.0.to_string()),
            ("x-matrix-exchange-id", self.admission.exchange_id.text()),
            // It replaces the provider's own id, which the entry keeps.
            ("x-request-id", self.admission.exchange_id.text()),
        ];
        AnswerHead { add, length_changes: self.asked.takes_out }
    }

    /// The refusal of a reservation that does not fit.
    #[must_use]
    pub fn exceeds(&self, daily: Daily) -> Refusal {
        let limit = self.known.cap.unwrap_or_default();
        Refusal::DailyCapExceeded {
            spent: daily.spent,
            reserved: daily.reserved,
            needed: self.admission.set_aside().unwrap_or_default(),
            limit,
            resets_at: self.admission.admitted_at.day().next().start(),
            own_keys: self.own_keys,
            less: self.cost_less(limit.checked_sub(daily.spent).unwrap_or_default()),
        }
    }

    /// The daily cap of the call's card, if its tier has one. The ledger knows whether the account has a cap of its own.
    #[must_use]
    pub fn card_cap(&self) -> Option<Pax> {
        let free = self.admission.account.tier == Tier::Free;
        free.then_some(self.admission.card.free_tier.daily_cap)
    }

    /// The ledger has made the hold.
    pub fn held(&mut self, reply: &HoldReply) {
        match self.admission.account.tier {
            Tier::Free => {
                self.known.spent = Some(reply.spent_pax);
                self.known.cap = reply.limit_pax.or(self.known.cap);
            }
            Tier::Credit => self.known.balance = Some(reply.balance_pax),
        }
    }

    /// The refusal of a hold that does not fit the daily cap.
    #[must_use]
    pub fn exceeds_at_ledger(&mut self, reply: &HoldReply) -> Refusal {
        self.known.cap = reply.limit_pax.or(self.known.cap);
        self.exceeds(Daily { spent: reply.spent_pax, reserved: reply.held_pax })
    }

    /// The refusal of a hold that does not fit what the balance has left.
    #[must_use]
    pub fn lacks_credit(&self, reply: &HoldReply) -> Refusal {
        let (balance, held) = (reply.balance_pax, reply.held_pax);
        Refusal::InsufficientCredit {
            balance,
            held,
            needed: self.admission.hold.unwrap_or_default(),
            own_keys: self.own_keys,
            less: self.cost_less(balance),
        }
    }

    /// How the call could cost less, so that it fits what the day has left.
    fn cost_less(&self, left: Pax) -> CostLess {
        let admission = &self.admission;
        let model = admission.card.models.get(&admission.model);
        let least = model.map(|model| model.ceiling(admission.input_limit, Tokens(1), &ServiceTier::Plain));
        // If the day is spent, no call fits, however small its input. The advice is then about the maximum, for
        // another day.
        let input_is_too_much = left > Pax::ZERO && least.is_some_and(|least| least > left);
        match admission.stated_maximum {
            _ if input_is_too_much || admission.mode == Mode::Embeddings => CostLess::SendLess,
            None => CostLess::StateMaximum,
            Some(_) => CostLess::LowerMaximum,
        }
    }
}

/// The headers that tell the caller of the account's day: what is spent, this call included, and what is left
/// of the cap. What other calls have reserved does not count as spent.
pub fn daily_headers((daily, cap): (Daily, Pax)) -> [(&'static str, String); 2] {
    let left = cap.checked_sub(daily.spent).unwrap_or_default().max(Pax::ZERO);
    [("x-matrix-daily-spent-pax", daily.spent.text()), ("x-matrix-daily-remaining-pax", left.text())]
}

/// How a caller's request for its own balance or entries goes to the ledger: of its head only the path and the
/// headers that pass, and with them the account's name.
#[must_use]
pub fn to_the_ledger(credits: &Credits, call: &Call, account: &Account) -> Forward {
    let mut headers = vec![
        (":method".to_owned(), b"GET".to_vec()),
        (":path".to_owned(), call.path.clone()),
        (":authority".to_owned(), credits.authority.clone().into_bytes()),
    ];
    headers.extend(call.passed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    headers.push((IDENTITY_HEADER.to_owned(), account.account.clone().into_bytes()));
    Forward { mark: CREDITS_MARK.to_owned(), headers, edits: Vec::new(), content_length: None }
}

/// How much an account may spend on a day under a card; none if no cap holds for the account.
#[must_use]
pub fn daily_cap(account: &Account, card: &RateCard) -> Option<Pax> {
    match account.tier {
        Tier::Free => Some(account.daily_cap_pax.unwrap_or(card.free_tier.daily_cap)),
        Tier::Credit => None,
    }
}

/// The caller, with all that decides which models it may use.
#[must_use]
pub fn asker<'a>(config: &'a Config, card: &'a RateCard, call: &'a Call, account: &'a Account) -> Asker<'a> {
    let slot = call.slot.as_deref().unwrap_or(&config.default_slot);
    Asker { config, card, account, slot, funding: call.funding() }
}

/// Lets a call through to the gate, or refuses it: finds the card in force, the model's price and its provider,
/// what the call could cost, and how the request goes upstream.
///
/// # Errors
/// [`Refusal::GatewayDisabled`], those of [`Asker::find`], and [`RequestError::Unpriced`].
pub fn admit(
    gateway: &Gateway,
    exchange_id: ExchangeId,
    now: Now,
    (call, mode): (&Call, Mode),
    account: &Arc<Account>,
    request: Request,
) -> Result<(InFlight, Forward), Refusal> {
    let config = &gateway.config;
    let card = gateway.bundle.in_force(now.wall).ok_or(Refusal::GatewayDisabled)?;
    let asker = asker(config, card, call, account);
    let Asker { slot, funding, .. } = asker;
    let served = asker.find(&request.model, mode)?;
    if funding == Funding::Platform {
        check_options(&request, &served)?;
    }
    let streams = request.stream && mode == Mode::Chat;
    let bounds = bounds(&request, &served, funding, config);
    let service_tier = written_tier(&request, served.provider, funding, mode);
    let rewrite = rewrite(&served, bounds.maximum, service_tier, streams);
    let edits = request.edits(&rewrite);
    let asked = upstream_tier(&request, rewrite.service_tier.as_ref());
    let cap = daily_cap(account, card).filter(|_| funding == Funding::Platform);
    let ceiling =
        served.model.filter(|_| funding == Funding::Platform).map(|model| bounds.ceiling(model, asked));
    let by_ledger = config.gate.admitted_by(account.tier) == AdmittedBy::Ledger;
    let usage_rules = served.provider.usage_rules;
    let asked_for = Asked {
        wants_stream: streams,
        takes_out: rewrite.asks_usage && !request.asks_usage(),
        judge: Judge { rules: usage_rules.latest(), mode, one_answer: request.n == 1 },
    };
    let forward = Forward {
        mark: served.name.to_owned(),
        headers: upstream_headers(served.provider, call, mode),
        content_length: Some(edited_length(request.body_bytes, &edits)),
        edits,
    };
    let admission = Admission {
        exchange_id,
        admitted_at: now.wall,
        account: Arc::clone(account),
        funding,
        slot: slot.to_owned(),
        intent_id: call.intent_id.clone(),
        goal_id: call.goal_id.clone(),
        mode,
        wants_stream: streams,
        card: Arc::clone(card),
        provider: served.name.to_owned(),
        n: request.n,
        stated_maximum: stated_maximum(&request, served.provider, funding),
        input: input_text(&request, served.model),
        not_text: request.not_text,
        shares_window: bounds.shares_window,
        input_limit: bounds.input,
        output_limit: bounds.output,
        service_tier: priced_tier(&request, served.model),
        asked_model: None,
        model: request.model,
        reservation: cap.and(ceiling).filter(|_| !by_ledger),
        hold: ceiling.filter(|_| by_ledger),
        usage_rules,
    };
    let known = Known { cap, ..Known::default() };
    let (watch, own_keys) = (Stopwatch::start(now.tick), served.provider.own_keys);
    Ok((InFlight { admission: Rc::new(admission), known, asked: asked_for, own_keys, watch }, forward))
}

/// What is written into the body.
fn rewrite<'a>(
    served: &'a Served<'_>,
    maximum: Option<WrittenMaximum>,
    service_tier: Option<WrittenTier<'a>>,
    streams: bool,
) -> Rewrite<'a> {
    Rewrite {
        upstream_model: served.model.and_then(|model| model.upstream_model.as_deref()),
        asks_usage: streams && served.provider.stream_usage == StreamUsage::Ask,
        maximum,
        service_tier,
    }
}

/// What the call can cost at most.
fn bounds(request: &Request, served: &Served<'_>, funding: Funding, config: &Config) -> Bounds {
    match (funding, served.model) {
        (Funding::Platform, Some(model)) => {
            Bounds::of(request, model, served.provider, config.gate.clamp_output_tokens)
        }
        (_, model) => Bounds::of_own_key(request, model, served.provider),
    }
}

/// The service tier that the provider is asked for.
fn upstream_tier<'a>(request: &'a Request, written: Option<&WrittenTier<'_>>) -> &'a ServiceTier {
    match written {
        Some(WrittenTier::Standard(_)) => &ServiceTier::Plain,
        Some(WrittenTier::TakenOut) => &ServiceTier::Auto,
        None => &request.service_tier,
    }
}

/// Checks the options of a call that the platform pays for: each must be priced by the card, or be one that the
/// provider may be sent.
fn check_options(request: &Request, served: &Served<'_>) -> Result<(), Refusal> {
    let passes = |option: &AskedOption| match (option.buys, served.model) {
        (Buys::AudioInput, Some(model)) => model.prices.rates.audio_input.is_some(),
        (Buys::AudioOutput, Some(model)) => model.prices.rates.audio_output.is_some(),
        (Buys::ImageOutput, Some(model)) => model.prices.rates.image_output.is_some(),
        (Buys::CacheWrite1h, Some(model)) => model.prices.rates.cache_write_1h.is_some(),
        // If the card has no price for cache writes, to keep them longer costs nothing either.
        (Buys::LongCacheWrite, Some(model)) => model.prices.rates.cache_write.is_none(),
        (Buys::ServiceTier, model) => priced_tier(request, model).is_some(),
        (Buys::Provider, _) => served.provider.options.contains(&option.name),
        (Buys::Other, _) | (_, None) => false,
    };
    let refused = request.options.iter().filter(|option| !passes(option));
    let names: Vec<String> = refused.map(|option| option.name.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Refusal::Body(RequestError::Unpriced { names, provider: served.name.to_owned() }))
}

/// The service tier that a request asks for, if the card prices it.
fn priced_tier(request: &Request, model: Option<&Model>) -> Option<String> {
    let (name, _) = model?.service_tiers.get_key_value(request.service_tier.name()?)?;
    Some(name.clone())
}

/// The largest maximum that an entry states.
const MOST_STATED: u64 = i64::MAX.unsigned_abs();

/// The caller's maximum, as the provider will read it. If the caller's own key pays, no maximum is moved to
/// another field: a maximum in a field that this provider does not read counts as not stated.
fn stated_maximum(request: &Request, provider: &Provider, funding: Funding) -> Option<Tokens> {
    let field = provider.output_maximum;
    let stated = match funding {
        Funding::Platform => request.stated_maximum(field),
        Funding::Byo => request.maximum(field).and_then(|member| member.number),
    };
    // A larger number does not fit a column of the ledger, which would refuse the entry. No provider's maximum
    // comes near.
    stated.map(|tokens| Tokens(tokens.min(MOST_STATED)))
}

/// What is written in the place of the request's service tier. A call on platform funding that asks for no
/// other tier must be served in the standard one. If its request named none, the provider would use the
/// settings of the platform's project there.
fn written_tier<'a>(
    request: &Request,
    provider: &'a Provider,
    funding: Funding,
    mode: Mode,
) -> Option<WrittenTier<'a>> {
    let standard = mode == Mode::Chat && request.service_tier.name().is_none();
    (standard && funding == Funding::Platform)
        .then(|| provider.standard_tier.as_deref().map_or(WrittenTier::TakenOut, WrittenTier::Standard))
}

/// The headers that a provider gets: an allow-list, so nothing else of the caller's head reaches it. Envoy puts
/// the platform's key on; the caller's own key is put on here. The answer is asked for uncompressed so that the
/// filter can read it.
fn upstream_headers(provider: &Provider, call: &Call, mode: Mode) -> Vec<(String, Vec<u8>)> {
    let route = match mode {
        Mode::Chat => "/chat/completions",
        Mode::Embeddings => "/embeddings",
        Mode::Completions => "/completions",
        Mode::Responses => "/responses",
    };
    let path = [provider.base_path.as_str(), route].concat();
    let mut headers = vec![
        (":method".to_owned(), b"POST".to_vec()),
        (":path".to_owned(), path.into_bytes()),
        (":authority".to_owned(), provider.authority.clone().into_bytes()),
        ("content-type".to_owned(), b"application/json".to_vec()),
        ("accept-encoding".to_owned(), b"identity".to_vec()),
    ];
    headers.extend(call.passed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    if let Some(key) = &call.own_key {
        let value = [provider.credential.prefix.as_bytes(), key.reveal()].concat();
        headers.push((provider.credential.header.clone(), value));
    }
    headers
}
