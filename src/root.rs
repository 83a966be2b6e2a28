//! The filter's root context, one per worker and configuration: reads the configuration, makes its cards known to the
//! ledger, and sends what is in the outbox. wasm32 only.

use std::rc::Rc;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};

use crate::clock::{Moment, Now, Tick};
use crate::config::Gateway;
use crate::doc::Mistakes;
use crate::host::{self, Buffer, Shared};
use crate::in_flight::{BEAT_MS, Open};
use crate::ledger_trouble::{Said, Trouble, Way};
use crate::metrics::{DEBIT_RESULTS, Metric, Value};
use crate::outbox::{self, Contents, Sender};
use crate::publish::Publishing;
use crate::rarely::Rarely;
use crate::vm::Vm;
use crate::waiting::Handle;
use crate::wire::{
    CARDS_PATH, DEBITS_PATH, DebitReplies, Outcome, STANDINGS_PATH, StandingAsk, StandingsReply,
    StandingsRequest,
};
use crate::worker::{IDLE_MS, TICK_MS, Worker};
use crate::{ask, cap, gate, vm};

const JSON: &str = "application/json";

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root { id, ..Root::default() }));
}}

#[derive(Default)]
struct Root {
    /// Its context, as Envoy knows it.
    id: u32,
    worker: Option<Rc<Worker>>,
    /// How far the outbox has come, and since when it is no further, where others should have sent what waits.
    stuck: Option<(u64, Tick)>,
    /// When its chores were last done.
    worked: Tick,
    /// What the outbox held when it was last looked into.
    outbox: Contents,
    tells_of_unsupported: Rarely,
    sender: Option<Sender>,
    /// The callout of the batch under way.
    sending: Option<u32>,
    /// The callout that asks where accounts stand, and which ones.
    syncing: Option<(u32, Vec<StandingAsk>)>,
    /// The callout that only asks whether the ledger answers.
    probing: Option<u32>,
    /// The cards of this configuration, until the ledger knows them: then they are the VM's.
    publishing: Option<Publishing>,
    /// The callout that makes them known.
    telling: Option<u32>,
    /// Why the ledger does not know them yet, as it was last told.
    untold: String,
    /// When those metrics were last set that nobody has to see at once.
    gauged: Tick,
}

const VERSION: Value = Value::Word(env!("CARGO_PKG_VERSION"));

/// Sets what is the same for all workers, from what they share: whoever sets it last says the same.
fn gauge(now: Moment) {
    let open = Open::of(&Shared);
    vm::tell(Metric::CallsInFlight, [], open.calls);
    vm::tell(Metric::Reserved, [], u64::try_from(open.reserved.picopax()).unwrap_or(0));
    let waited_ms = outbox::oldest(&Shared).map_or(0, |settled_at| now.since_ms(settled_at));
    vm::tell(Metric::OutboxOldest, [], waited_ms.checked_div(1_000).unwrap_or(0));
    let version = vm::with(|vm| Some(vm.bundle()?.in_force(now)?.version.0)).flatten();
    vm::tell(Metric::RateTableVersion, [], version.unwrap_or(0).into());
    vm::tell(Metric::BuildInfo, [VERSION], 1);
}

impl Root {
    fn configure(&mut self, text: &str) -> Result<(), Mistakes> {
        let Gateway { config, bundle } = Gateway::parse(text)?;
        let worker = Worker::new(config);
        // The debit of a stream that outlives the configuration before this one is sent from here.
        worker.serves.set(vm::with(|vm| vm.serves()).unwrap_or(false));
        self.worker = Some(Rc::new(worker));
        self.publishing = Some(Publishing::new(bundle));
        Ok(())
    }

    /// Says whether this root has something to send.
    fn look_into_outbox(&mut self) -> bool {
        let Some(worker) = &self.worker else { return false };
        self.outbox = Contents::of(&Shared);
        worker.room.set(self.outbox.has_room());
        vm::tell(Metric::OutboxWaiting, [], self.outbox.all());
        vm::tell(Metric::Unsupported, [], self.outbox.aside);
        if self.outbox.all() == 0 {
            self.stuck = None;
            return false;
        }
        if worker.serves.get() {
            return true;
        }
        // Those who make calls send what comes of them, on their own threads. Where none of them is left, and
        // the last one's lease is over, any root does.
        let now = host::tick();
        match self.stuck {
            Some((stuck_at, since)) if stuck_at == self.outbox.passed => {
                now.since_ms(since) >= outbox::LEASE_MS
            }
            _ => {
                self.stuck = Some((self.outbox.passed, now));
                false
            }
        }
    }

    /// Ticks quickly while something waits, here or at another worker's, and slowly when nothing does.
    fn set_pace(&mut self) {
        let (Some(worker), Some(sender)) = (&self.worker, &self.sender) else { return };
        // What is aside is tried again after seconds: a slow tick is soon enough.
        let quick = (worker.serves.get() && self.outbox.waiting > 0)
            || self.starts()
            || worker.watching.is_refusing();
        if worker.ticks_quickly.get() && !quick {
            // Whoever has the next debit must not wait for a root that looks once a second.
            sender.release(&Shared);
        }
        worker.tick_quickly(quick);
    }

    /// Sends the next batch, one debit a line.
    fn send(&mut self) {
        let (Some(worker), Some(sender)) = (&self.worker, &mut self.sender) else { return };
        let now = host::tick();
        let Some(batch) = sender.next_batch(&Shared, now) else { return };
        let mut body =
            Vec::with_capacity(batch.iter().map(|debit| debit.canonical.len().saturating_add(1)).sum());
        for debit in batch {
            body.extend_from_slice(&debit.canonical);
            body.push(b'\n');
        }
        let gateway = worker.gateway();
        let ledger = &gateway.config.ledger;
        let to = (ledger, Way::Main);
        self.sending = worker.callouts.post(now, to, DEBITS_PATH, "application/x-ndjson", &body);
        if self.sending.is_none() {
            sender.failed(now);
        }
    }

    /// What the ledger said of the batch under way: all of it, or it is sent again.
    fn take_replies(&mut self, answer: (usize, usize)) {
        let (Some(worker), Some(sender)) = (&self.worker, &mut self.sender) else { return };
        let gateway = worker.gateway();
        let from = (&gateway.config.ledger, Way::Main);
        let expected = sender.in_flight().len();
        let replies = worker.callouts.answer(host::tick(), from, answer, |said| {
            let replies: DebitReplies = said.done()?;
            match replies.results.len() {
                answers if answers == expected => Ok(replies),
                answers => Err(Trouble::Unreadable(format!("{answers} answers to {expected} debits"))),
            }
        });
        match replies {
            Ok(replies) => {
                for reply in &replies.results {
                    if matches!(reply.outcome, Outcome::Conflict | Outcome::Rejected) {
                        let why = reply.message.as_deref().unwrap_or("no reason given");
                        error!("the ledger quarantined the debit of {}: {why}", reply.exchange_id);
                    }
                }
                for (outcome, word) in DEBIT_RESULTS {
                    let of = replies.results.iter().filter(|reply| reply.outcome == outcome).count();
                    if of > 0 {
                        vm::tell(Metric::Debits, [Value::Word(word)], u64::try_from(of).unwrap_or(0));
                    }
                }
                gate::acknowledged(&Shared, sender.in_flight(), &replies.results);
                let outcomes: Vec<Outcome> = replies.results.iter().map(|reply| reply.outcome).collect();
                let unread = sender.answered(&Shared, &outcomes, host::tick);
                if unread > 0 && self.tells_of_unsupported.tell(host::tick()).is_some() {
                    warn!(
                        "the ledger does not read the version of {unread} debits that it got just now: they wait, and are \
                         sent again. Upgrade the ledger before its Envoys"
                    );
                }
            }
            // They are sent again.
            Err(_) => {
                sender.failed(host::tick());
            }
        }
    }
}

impl Root {
    /// Asks where active accounts stand, once an interval.
    fn sync(&mut self, now: Now) {
        let Some(worker) = &self.worker else { return };
        if self.syncing.is_some() {
            return;
        }
        let gateway = worker.gateway();
        let (interval_ms, ttl_ms) = (gateway.config.gate.sync_ms, gateway.config.tokens.ttl_ms);
        let asks = vm::with(|vm| match vm.active() {
            active if active.due(now.tick, interval_ms, worker.tick_ms().into()) => active.next(now, ttl_ms),
            _ => Vec::new(),
        });
        let Some(asks) = asks.filter(|asks| !asks.is_empty()) else { return };
        let ledger = &gateway.config.ledger;
        let body = serde_json::to_vec(&StandingsRequest { asks: asks.clone() }).unwrap_or_default();
        let to = (ledger, Way::Main);
        let callout = worker.callouts.post(now.tick, to, STANDINGS_PATH, JSON, &body);
        self.syncing = callout.map(|callout| (callout, asks));
    }

    /// What was asked and not answered is asked again in the next round.
    fn take_standings(&mut self, asks: &[StandingAsk], answer: (usize, usize)) {
        let Some(worker) = &self.worker else { return };
        let (now, gateway) = (host::tick(), worker.gateway());
        let from = (&gateway.config.ledger, Way::Main);
        let Ok(reply) = worker.callouts.answer(now, from, answer, Said::done::<StandingsReply>) else {
            return;
        };
        for (ask, standing) in asks.iter().zip(&reply.standings) {
            if let Some(standing) = standing {
                cap::learn(&Shared, &ask.account, standing, now);
            }
        }
    }
}

impl Root {
    /// Whether the ledger has still to be heard before calls are served.
    fn starts(&self) -> bool {
        self.publishing.is_some() || !vm::with(|vm| vm.probe().knows()).unwrap_or(true)
    }

    /// Asks the ledger, now and then, whether it answers: where nobody stands, so that only the secret and the database
    /// are tried.
    fn probe(&mut self, now: Tick) {
        let Some(worker) = &self.worker else { return };
        if self.probing.is_some() || !vm::with(|vm| vm.probe().ask(now)).unwrap_or(false) {
            return;
        }
        let gateway = worker.gateway();
        let body = serde_json::to_vec(&StandingsRequest { asks: Vec::new() }).unwrap_or_default();
        let to = (&gateway.config.ledger, Way::Main);
        self.probing = worker.callouts.post(now, to, STANDINGS_PATH, JSON, &body);
        if self.probing.is_none() {
            let _ = vm::with(|vm| vm.probe().answered(false));
        }
    }

    fn take_probe(&mut self, answer: (usize, usize)) {
        let Some(worker) = &self.worker else { return };
        let (now, gateway) = (host::tick(), worker.gateway());
        let from = (&gateway.config.ledger, Way::Main);
        let answers = worker.callouts.answer(now, from, answer, Said::done::<StandingsReply>).is_ok();
        let _ = vm::with(|vm| vm.probe().answered(answers));
    }

    /// Once the ledger knows this configuration's cards, whoever told it, new calls of this VM are priced by them.
    fn take_up_cards(&mut self) {
        let Some(publishing) = self.publishing.take_if(|publishing| publishing.is_known(&Shared)) else {
            return;
        };
        let bundle = publishing.bundle();
        let cards = vm::with(|vm| vm.adopt(bundle)).unwrap_or(0);
        let versions: Vec<String> = bundle.cards().iter().map(|card| format!("v{}", card.version)).collect();
        info!("configured with rate cards {}", versions.join(", "));
        if self.worker.as_ref().is_some_and(|worker| worker.gateway().config.disabled) {
            warn!(
                "the kill switch is on (\"disabled\": true in the filter's configuration): every call is answered 503"
            );
        }
        vm::tell(Metric::RateCards, [], u64::try_from(cards).unwrap_or(0));
    }

    /// Makes the cards known to the ledger, where they are not.
    fn tell_of_cards(&mut self, now: Tick) {
        self.take_up_cards();
        let (Some(worker), Some(publishing)) = (&self.worker, &mut self.publishing) else { return };
        let Some(body) = publishing.ask(&Shared, now) else { return };
        let gateway = worker.gateway();
        let to = (&gateway.config.ledger, Way::Main);
        self.telling = worker.callouts.post(now, to, CARDS_PATH, JSON, &body);
        if self.telling.is_none() {
            publishing.failed(now);
        }
    }

    fn take_cards_reply(&mut self, answer: (usize, usize)) {
        let (Some(worker), Some(publishing)) = (&self.worker, &mut self.publishing) else { return };
        let (now, gateway) = (host::tick(), worker.gateway());
        let from = (&gateway.config.ledger, Way::Main);
        let why = match worker.callouts.answer(now, from, answer, Ok) {
            Ok(Said::Done(_)) => {
                publishing.acknowledged(&Shared);
                return self.tell_of_cards(now);
            }
            // A ledger that is away comes back; one that says no will say it again.
            Ok(Said::Refused(refused)) => {
                let why = Trouble::Status(refused).to_string();
                if why != self.untold {
                    vm::tell(Metric::RateCardsRefused, [], 1);
                    error!(
                        "the ledger refuses this configuration's rate cards, so the cards before them stay: {why}"
                    );
                }
                why
            }
            Err(trouble) => {
                let why = trouble.to_string();
                if why != self.untold {
                    warn!("the ledger does not know this configuration's rate cards yet: {why}");
                }
                why
            }
        };
        publishing.failed(now);
        self.untold = why;
    }
}

impl Context for Root {
    /// Another configuration took over, and this one's last stream has ended.
    fn on_done(&mut self) -> bool {
        if let Some(sender) = self.sender.take() {
            sender.retire(&Shared);
        }
        // Whoever is left of this version says so again within a second.
        vm::tell(Metric::BuildInfo, [VERSION], 0);
        true
    }

    fn on_http_call_response(&mut self, callout: u32, num_headers: usize, body_size: usize, _: usize) {
        let answer = (num_headers, body_size);
        if let Some(worker) = &self.worker
            && ask::take_answer(worker, self.id, callout, answer)
        {
            return;
        }
        if let Some((_, asks)) = self.syncing.take_if(|(expected, _)| *expected == callout) {
            self.take_standings(&asks, answer);
        }
        if self.probing.take_if(|expected| *expected == callout).is_some() {
            self.take_probe(answer);
        }
        if self.telling.take_if(|expected| *expected == callout).is_some() {
            self.take_cards_reply(answer);
        }
        if self.sending.take_if(|expected| *expected == callout).is_some() {
            self.take_replies(answer);
            // A full batch is followed by the next at once; what else came meanwhile waits for the tick. A batch
            // costs Envoy as much as a call does, so one for every few debits would be the dearest part of them.
            if self.sender.as_ref().is_some_and(Sender::has_more) {
                self.send();
            }
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = host::buffer(Buffer::Configuration, 0, size);
        let text = String::from_utf8_lossy(&bytes);
        #[cfg(feature = "test-faults")]
        let text = crate::faults::configure(&text);
        vm::define_metrics();
        if let Err(mistakes) = self.configure(&text) {
            vm::tell(Metric::ConfigurationsRejected, [], 1);
            for mistake in mistakes.0 {
                error!("configuration: {mistake}");
            }
            return false;
        }
        let Ok(id) = host::random() else {
            error!("the host gives no random bytes: wasi random_get is needed");
            return false;
        };
        self.sender = Some(Sender::new(u64::from_le_bytes(id)));
        self.look_into_outbox();
        if host::tick_every(IDLE_MS).is_err() {
            error!("the host gives no ticks, so nothing would reach the ledger");
            return false;
        }
        self.take_up_cards();
        if let Some(worker) = self.worker.as_ref().filter(|_| self.starts()) {
            // From a tick: what the root that only tries a configuration asks is never answered.
            worker.tick_quickly(true);
        }
        true
    }

    fn on_tick(&mut self) {
        let now = host::now();
        if let Some(worker) = &self.worker {
            ask::ask(worker, self.id, now);
            worker.watching.look(now, self.id);
        }
        // A tick that came early for a question to the ledger is not one for small batches of debits.
        if now.tick.since_ms(self.worked) < u64::from(TICK_MS / 2) {
            return;
        }
        self.worked = now.tick;
        if self.look_into_outbox() {
            self.send();
        }
        self.tell_of_cards(now.tick);
        self.probe(now.tick);
        let _ = vm::with(|vm| vm.tick(now.tick));
        if now.tick.since_ms(self.gauged) >= BEAT_MS {
            self.gauged = now.tick;
            gauge(now.wall);
        }
        self.set_pace();
        self.sync(now);
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        let worker = Rc::clone(self.worker.as_ref()?);
        worker.serves.set(true);
        if let Some(bundle) = vm::with(Vm::begin_stream).flatten() {
            worker.use_cards(&bundle);
        }
        Some(Box::new(Handle::new(worker, context)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
