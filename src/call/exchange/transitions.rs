//! The transitions of an exchange that depend on more than its state and the event: on what the account may do,
//! on the gate's answer, or on the provider's answer.

use std::sync::Arc;

use super::{Effects, Exchange, Next, State};
use crate::base::account::Account;
use crate::base::clock::Now;
use crate::base::exchange_id::ExchangeId;
use crate::base::refusal::refusals::Refusal;
use crate::base::refusal::wrong_path::WrongPath;
use crate::base::wire::HoldReply;
use crate::call::admit::{admit, asker, to_the_ledger};
use crate::call::answering::Answering;
use crate::call::arriving::{Arrival, Arriving, RequestHead};
use crate::call::event::{Effect, NoHold, Reply};
use crate::call::models;
use crate::call::opening::{Holding, Opening, OpeningStep};
use crate::call::story::Outcome;
use crate::memory::gate::{NotOpened, Owed};
use crate::memory::token_cache::Resolution;
use crate::reading::answer::status::Verdict;
use crate::reading::request::body::Body;
use crate::reading::request::head::{Call, Wanted};

impl Exchange {
    /// The request's head came.
    pub(super) fn arrived(&mut self, now: Now, id: ExchangeId, head: RequestHead<'_>) -> Next {
        self.id = Some(id);
        match Arriving::head(&self.gateway, now, head, &mut self.story) {
            Ok(Arrival::Probe(body)) => self.reply(body.to_vec()),
            Ok(Arrival::Call(arriving)) => {
                let token = arriving.call.token;
                let resolve = Effect::Resolve { token, utc_day: now.wall.day(), fresh: false };
                (State::Resolving(arriving), vec![resolve])
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// The ledger or the cache has answered whose token the request came with.
    pub(super) fn resolved(&mut self, now: Now, arriving: Arriving, resolution: Resolution) -> Next {
        let call = &arriving.call;
        if let Resolution::Account(account) = &resolution {
            self.story.account = Some(Arc::clone(account));
        }
        self.story.slot.clone_from(&call.slot);
        let account = match resolution.active() {
            Ok(account) => account,
            Err(refusal) => return self.refuse(&refusal),
        };
        match (call.wanted, &self.gateway.config.credits) {
            (Wanted::Metered(_), _) => self.admit_when_complete(now, arriving, account),
            (Wanted::Models | Wanted::Model, _) => match self.models(now, call, &account) {
                Ok(body) => self.reply(body),
                Err(refusal) => self.refuse(&refusal),
            },
            (Wanted::Credits, Some(credits)) => {
                self.story.reply_locally(None);
                let forward = to_the_ledger(credits, call, &account);
                (State::AtLedger, vec![Effect::Forward(Box::new(forward))])
            }
            (Wanted::Credits, None) => {
                let path = WrongPath::of_credits(&call.path);
                self.refuse(&Refusal::UnknownRoute(path))
            }
        }
    }

    fn models(&self, now: Now, call: &Call, account: &Account) -> Result<Vec<u8>, Refusal> {
        let card = self.gateway.bundle.in_force(now.wall).ok_or(Refusal::GatewayDisabled)?;
        let asker = asker(&self.gateway.config, card, call, account);
        match call.wanted {
            Wanted::Model => models::one(asker, &call.model),
            Wanted::Models | Wanted::Metered(_) | Wanted::Credits => Ok(models::list(asker)),
        }
    }

    /// The account is known, and perhaps all of the body.
    pub(super) fn admit_when_complete(
        &mut self,
        now: Now,
        arriving: Arriving,
        account: Arc<Account>,
    ) -> Next {
        let Arriving { call, body } = arriving;
        let request = match body {
            Body::Coming(_) => {
                return (State::Reading(Arriving { call, body }, account), Vec::new());
            }
            Body::Complete(request) => *request,
        };
        let mode = call.wanted.mode();
        let admitted = request.map_err(Refusal::Body).and_then(|request| {
            let id = self.id.ok_or(Refusal::GatewayDisabled)?;
            self.story.asks_for(&request.model, call.funding());
            admit(&self.gateway, id, now, (&call, mode), &account, request)
        });
        match admitted {
            Ok((in_flight, forward)) => self.open(Opening::new(in_flight, forward, call.token)),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// The gate is asked to open the call.
    pub(super) fn open(&mut self, opening: Opening) -> Next {
        let open = opening.open(&mut self.story);
        (State::Opening(opening), vec![open])
    }

    /// The gate has opened the call, or told why not.
    pub(super) fn opened(&mut self, now: Now, opening: Opening, opened: Result<Owed, NotOpened>) -> Next {
        match opened {
            Ok(owed)
                if opening.in_flight().admission.hold.is_some()
                    && opening.waits_for() != OpeningStep::GoingOn =>
            {
                let (holding, hold) = opening.holds(owed);
                (State::Holding(holding), vec![hold])
            }
            Ok(owed) => {
                let (forwarded, forward) = opening.opened(now, owed, &mut self.story);
                (State::Forwarded(forwarded), vec![forward])
            }
            Err(NotOpened::Exceeded(daily)) => self.refuse(&opening.in_flight().exceeds(daily)),
            // Shared data has lost the account's day, or it is another day: the ledger is asked for it. It is
            // asked only once.
            Err(NotOpened::Unknown) if opening.waits_for() == OpeningStep::Reserving => {
                let (opening, resolve) = opening.asks_again();
                (State::Opening(opening), vec![resolve])
            }
            Err(NotOpened::Unknown | NotOpened::Busy) => self.refuse(&Refusal::LedgerUnavailable),
        }
    }

    /// The ledger has answered to the call's hold.
    pub(super) fn held(&mut self, holding: Holding, answer: Result<HoldReply, NoHold>) -> Next {
        match holding.answered(answer) {
            Ok((opening, goes_on)) => (State::Opening(opening), vec![goes_on]),
            Err((refusal, release)) => self.give_up(release, &refusal),
        }
    }

    /// The request is refused, though its record is written.
    pub(super) fn give_up(&mut self, release: Effect, refusal: &Refusal) -> Next {
        let (state, refused) = self.refuse(refusal);
        (state, [release].into_iter().chain(refused).collect())
    }

    /// The head of the provider's answer came, and no body follows if `end`.
    pub(super) fn answered(&mut self, now: Now, mut answering: Answering, end: bool) -> Next {
        match answering.verdict() {
            Verdict::Served if end => self.ended(now, answering, Vec::new()),
            Verdict::Served => {
                let effects = answering.begins();
                (State::Answering(answering), effects)
            }
            Verdict::PassedOn => {
                self.story.outcome.get_or_insert(Outcome::ProviderError);
                (State::Over, answering.pass_on())
            }
            Verdict::KeyRefused => {
                let told = answering.key_refused();
                self.replace_answer(vec![told], answering, &Refusal::ProviderRefusedPlatformKey)
            }
            Verdict::NoAnswer => self.replace_answer(Vec::new(), answering, &Refusal::UpstreamFailed),
        }
    }

    /// The answer came to its end. `effects` are those of its last bytes, and go first.
    pub(super) fn ended(&mut self, now: Now, answering: Answering, mut effects: Effects) -> Next {
        let (settling, settled) = answering.ended(now, &mut self.story);
        effects.extend(settled);
        (settling.map_or(State::Over, State::Settling), effects)
    }

    /// Puts a refusal in the place of the provider's answer. Nothing is charged.
    fn replace_answer(&mut self, mut effects: Effects, answering: Answering, refusal: &Refusal) -> Next {
        self.story.refuse(refusal, Outcome::ProviderFailed);
        effects.extend([Effect::Release(answering.put_aside()), self.refusal(refusal)]);
        (State::Replaced, effects)
    }

    /// The request is refused.
    pub(super) fn refuse(&mut self, refusal: &Refusal) -> Next {
        self.story.refuse(refusal, Outcome::Refused);
        (State::Replied, vec![self.refusal(refusal)])
    }

    /// An answer to a request that was not forwarded is Envoy's own refusal, such as 413 or 408. It passes.
    pub(super) fn envoy_refused(&mut self, status: u16, envoys_code: Option<&str>) -> Next {
        self.story.envoy_replied(status, envoys_code.unwrap_or_default(), Outcome::Refused);
        (State::Replied, Vec::new())
    }

    /// The request is answered here.
    pub(super) fn reply(&mut self, body: Vec<u8>) -> Next {
        self.story.reply_locally(Some(200));
        let headers = self.request_id().into_iter().collect();
        (State::Replied, vec![Effect::Reply(Reply { status: 200, headers, body })])
    }

    fn refusal(&self, refusal: &Refusal) -> Effect {
        let mut headers: Vec<_> =
            refusal.headers().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        headers.extend(self.id.map(|id| ("x-matrix-exchange-id", id.to_string())));
        headers.extend(self.request_id());
        Effect::Reply(Reply { status: refusal.status(), headers, body: refusal.body() })
    }
}
