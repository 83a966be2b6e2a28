//! A request as it arrives: what its head asks for, and its body as far as it has come.

use crate::base::clock::Now;
use crate::base::pairs::Pairs;
use crate::base::refusal::refusals::Refusal;
use crate::base::refusal::wrong_path::WrongPath;
use crate::call::config::Gateway;
use crate::call::open_bodies::Full;
use crate::call::story::Story;
use crate::reading::request::body::Body;
use crate::reading::request::head::{Call, Route, Wanted};

/// A request that is no probe.
#[derive(Debug)]
pub struct Arriving {
    /// The call, as its head asks for it.
    pub call: Box<Call>,
    /// Its body.
    pub body: Body,
}

/// What comes of a request's head, if that is not refused.
#[derive(Debug)]
pub enum Arrival {
    /// Somebody only asks whether the gateway lives; it answers this at once.
    Probe(&'static [u8]),
    /// A call. The ledger must tell whose token it came with.
    Call(Arriving),
}

/// A request's head, and what the gateway knew of its ledger when it came.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// All headers, `:method` and `:path` among them, names in lowercase.
    pub headers: &'a Pairs,
    /// Whether no body follows.
    pub end: bool,
    /// Whether the outbox has room for one more debit.
    pub outbox_has_room: bool,
    /// Whether the ledger answers, as far as this worker knows.
    pub ledger_answers: bool,
}

impl<'a> RequestHead<'a> {
    /// A header's value, empty if there is none.
    fn value(&self, wanted: &str) -> &'a [u8] {
        self.headers.get(wanted).unwrap_or_default()
    }
}

impl Arriving {
    /// Reads the head: which route it names, and with which token it came.
    ///
    /// # Errors
    /// The refusal, if the head alone is reason enough: then the token is not looked up.
    pub fn head(
        gateway: &Gateway,
        now: Now,
        head: RequestHead<'_>,
        story: &mut Story,
    ) -> Result<Arrival, Refusal> {
        const OK: &[u8] = br#"{"status":"ok"}"#;
        let config = &gateway.config;
        let (method, path) = (head.value(":method"), head.value(":path"));
        let route = Route::of(method, path);
        // A probe may come under any host name, because its answer tells nothing of any account.
        let is_probe = matches!(route, Ok(Route::Healthz | Route::Readyz));
        story.begin(now.tick, method, path);
        story.probe = is_probe;
        if !is_probe && !config.hosts.has_host_of(head.headers) {
            return Err(Refusal::UnknownHost);
        }
        let wanted = match route? {
            Route::Healthz if config.disabled => return Ok(Arrival::Probe(br#"{"status":"disabled"}"#)),
            Route::Healthz => return Ok(Arrival::Probe(OK)),
            Route::Readyz => {
                let unready = gateway.unready(now.wall, head.outbox_has_room, head.ledger_answers);
                return unready.map_or(Ok(Arrival::Probe(OK)), |why| Err(Refusal::NotReady(why)));
            }
            Route::Wanted(Wanted::Credits) if config.credits.is_none() => {
                return Err(Refusal::UnknownRoute(WrongPath::of_credits(path)));
            }
            Route::Wanted(_) if config.disabled => return Err(Refusal::GatewayDisabled),
            Route::Wanted(wanted) => wanted,
        };
        let call = Box::new(Call::read(wanted, config.limits.request, head.headers.iter())?);
        // If the outbox has reached its bound, new calls are refused, so that no debit is ever dropped.
        if matches!(wanted, Wanted::Metered(_)) && !head.outbox_has_room {
            return Err(Refusal::LedgerUnavailable);
        }
        Ok(Arrival::Call(Self { call, body: Body::new(wanted.mode(), head.end) }))
    }

    /// Reads more of the body.
    ///
    /// # Errors
    /// [`Refusal::RequestTooLarge`] beyond `limit_bytes`.
    pub fn read(self, bytes: &[u8], end: bool, limit_bytes: u64) -> Result<Self, Refusal> {
        Ok(Self { body: self.body.read(bytes, end, limit_bytes)?, ..self })
    }

    /// Whether more of the body is still to come.
    #[must_use]
    pub const fn reads_body(&self) -> bool {
        matches!(self.body, Body::Coming(_))
    }
}

/// The refusal of a request whose body has no room.
impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        match full {
            Full::Strangers => Self::TooManyStrangers,
            Full::Account => Self::TooManyBytesOpen { own: true },
            Full::All => Self::TooManyBytesOpen { own: false },
        }
    }
}
