//! Every question to the ledger goes out and comes back here, so that none fails unheard. wasm32 only.

use std::cell::RefCell;

use log::{error, info, warn};

use crate::clock::Tick;
use crate::config::Ledger;
use crate::host::{self, Buffer, Map, Shared};
use crate::ledger_trouble::{self, Line, Said, Trouble, Troubles, Way};
use crate::metrics::{Metric, Value};
use crate::vm;

/// One worker's questions to its ledger.
#[derive(Debug)]
pub struct Callouts {
    troubles: RefCell<Troubles>,
}

impl Callouts {
    /// A worker's that has asked nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { troubles: RefCell::default() }
    }

    /// Sends a POST to the ledger; its answer comes by the token. None where it could not be sent, which was told.
    pub fn post(
        &self,
        now: Tick,
        (ledger, way): (&Ledger, Way),
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Option<u32> {
        match host::post(way.cluster(ledger), ledger, path, content_type, body) {
            Ok(callout) => Some(callout),
            Err(trouble) => {
                self.failed(now, ledger, way, &trouble);
                None
            }
        }
    }

    /// What came of a callout that has ended. `take` reads it for whoever asked.
    ///
    /// # Errors
    /// The [`Trouble`] where it is no answer to the question, which was told.
    pub fn answer<T>(
        &self,
        now: Tick,
        (ledger, way): (&Ledger, Way),
        (num_headers, body_size): (usize, usize),
        take: impl FnOnce(Said) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        // A callout that failed has no headers at all (envoy#26485).
        let status = if num_headers > 0 { host::header(Map::Callout, ":status") } else { None };
        let status = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
        let answer = ledger_trouble::read(status, host::buffer(Buffer::Callout, 0, body_size)).and_then(take);
        match &answer {
            Ok(_) => self.say(|troubles| troubles.answered(&Shared, now, (ledger, way))),
            Err(trouble) => self.failed(now, ledger, way, trouble),
        }
        answer
    }

    fn failed(&self, now: Tick, ledger: &Ledger, way: Way, trouble: &Trouble) {
        vm::tell(Metric::CalloutsFailed, [Value::Word(trouble.kind())], 1);
        self.say(|troubles| troubles.failed(&Shared, now, (ledger, way), trouble));
    }

    fn say(&self, what: impl FnOnce(&mut Troubles) -> Option<Line>) {
        let Ok(mut troubles) = self.troubles.try_borrow_mut() else { return };
        match what(&mut troubles) {
            Some(Line::Error(line)) => error!("{line}"),
            Some(Line::Warning(line)) => warn!("{line}"),
            Some(Line::Note(line)) => info!("{line}"),
            None => {}
        }
    }
}
