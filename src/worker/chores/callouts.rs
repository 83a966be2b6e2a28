//! Sends every question to the ledger and reads every answer, so that no failure goes unreported.

use std::cell::RefCell;

use crate::base::clock::Tick;
use crate::base::wire::HOLDS_PATH;
use crate::call::config::Ledger;
use crate::told::ledger_trouble::{self, Line, Said, Trouble, Troubles, Way};
use crate::told::metrics::{Metric, Value};
use crate::worker::host::{Buffer, HeaderMap, Host, HostStatus, Level, Post};
use crate::worker::vm::SharedVm;

/// How long a call waits for its hold at most, however long the operator lets other questions wait.
const HOLD_DEADLINE_MS: u64 = 2_000;

/// A callout that has ended, as the proxy tells its root: what of the answer can be read now.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The callout's number.
    pub callout: u32,
    /// How many headers the answer has; none if no answer came.
    pub headers: usize,
    /// How many bytes its body has.
    pub bytes: usize,
}

/// One worker's questions to its ledger.
#[derive(Debug)]
pub struct Callouts {
    vm: SharedVm,
    troubles: RefCell<Troubles>,
}

impl Callouts {
    /// The questions of a worker that has asked nothing yet.
    #[must_use]
    pub fn new(vm: SharedVm) -> Self {
        Self { vm, troubles: RefCell::default() }
    }

    /// Sends a POST to the ledger; its answer comes under the number that this gives. None if it could not be
    /// sent; then the operator was told.
    pub fn post(
        &self,
        host: &impl Host,
        now: Tick,
        (ledger, way): (&Ledger, Way),
        (path, content_type): (&str, &str),
        body: &[u8],
    ) -> Option<u32> {
        let post = Post {
            cluster: way.cluster(ledger),
            authority: &ledger.authority,
            path,
            content_type,
            body,
            timeout_ms: match path {
                HOLDS_PATH => ledger.timeout_ms.min(HOLD_DEADLINE_MS),
                _ => ledger.timeout_ms,
            },
        };
        match host.post(&post) {
            Ok(callout) => Some(callout),
            Err(status) => {
                // An unknown cluster is the only thing that Envoy can find wrong with these arguments.
                let trouble = match status {
                    HostStatus::BAD_ARGUMENT => Trouble::UnknownCluster,
                    _ => Trouble::NoAnswer(
                        "Envoy has no host for it, or too many questions under way".to_owned(),
                    ),
                };
                self.failed(host, now, ledger, way, &trouble);
                None
            }
        }
    }

    /// Reads the answer of a callout that has ended. `take` turns the answer into what the chore asked for.
    ///
    /// # Errors
    /// The [`Trouble`], if this is no answer to the question; then the operator was told.
    pub fn answer<T>(
        &self,
        host: &impl Host,
        now: Tick,
        (ledger, way): (&Ledger, Way),
        ended: Ended,
        take: impl FnOnce(Said) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        // A callout that failed has no headers at all (envoy#26485).
        let status = if ended.headers > 0 { host.header(HeaderMap::Callout, ":status") } else { None };
        let status = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
        let body = host.buffer(Buffer::Callout, 0, ended.bytes);
        let answer = ledger_trouble::read(status, body).and_then(take);
        match &answer {
            Ok(_) => self.say(host, |troubles| troubles.answered(host, now, (ledger, way))),
            Err(trouble) => self.failed(host, now, ledger, way, trouble),
        }
        answer
    }

    fn failed(&self, host: &impl Host, now: Tick, ledger: &Ledger, way: Way, trouble: &Trouble) {
        self.vm.tell(host, Metric::CalloutsFailed, [Value::Word(trouble.kind())], 1);
        self.say(host, |troubles| troubles.failed(host, now, (ledger, way), trouble));
    }

    fn say(&self, host: &impl Host, what: impl FnOnce(&mut Troubles) -> Option<Line>) {
        let Ok(mut troubles) = self.troubles.try_borrow_mut() else { return };
        match what(&mut troubles) {
            Some(Line::Error(line)) => host.log(Level::Error, &line),
            Some(Line::Warning(line)) => host.log(Level::Warn, &line),
            Some(Line::Note(line)) => host.log(Level::Info, &line),
            None => {}
        }
    }
}
