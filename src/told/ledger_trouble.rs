//! What becomes of a question to the ledger, and what the operator is told if it gets no answer: one line at
//! once, then one an interval for as long as it goes on, and one when the ledger answers again. All workers
//! of an Envoy meet the same trouble; one of them tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::base::clock::Tick;
use crate::call::config::Ledger;
use crate::memory::shared::SharedData;
use crate::told::rarely::{self, RarelyAmongAll, more};

/// How many characters of a stranger's words a line of Envoy's log quotes at most.
const QUOTED: usize = 200;

/// Through which of the ledger's clusters it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// `ledger.cluster`: debits, cards, accounts' standings.
    Main,
    /// `ledger.resolve_cluster`: whose token it is.
    Resolve,
}

impl Way {
    /// The cluster's name in Envoy's configuration.
    #[must_use]
    pub fn cluster(self, ledger: &Ledger) -> &str {
        match self {
            Self::Main => &ledger.cluster,
            Self::Resolve => &ledger.resolve_cluster,
        }
    }

    /// The key of the filter's configuration that names the cluster.
    fn key(self, ledger: &Ledger) -> &'static str {
        match self {
            Self::Resolve if ledger.resolve_cluster != ledger.cluster => "ledger.resolve_cluster",
            _ => "ledger.cluster",
        }
    }
}

/// An answer of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It did what it was asked: the answer's body.
    Done(Vec<u8>),
    /// It did not, for a reason that lies in the question.
    Refused(Refused),
}

impl Said {
    /// The answer to a question that the ledger has no reason to refuse.
    ///
    /// # Errors
    /// [`Trouble::Status`] if the ledger did refuse, [`Trouble::Unreadable`] if the answer is another than
    /// expected.
    pub fn done<T: DeserializeOwned>(self) -> Result<T, Trouble> {
        match self {
            Self::Done(body) => {
                serde_json::from_slice(&body).map_err(|problem| Trouble::Unreadable(problem.to_string()))
            }
            Self::Refused(refused) => Err(Trouble::Status(refused)),
        }
    }
}

/// Why the ledger did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// Its stable code.
    pub code: String,
    /// Its words.
    pub message: String,
}

/// Why a question got no answer of the ledger's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Envoy has no cluster of that name.
    UnknownCluster,
    /// No server answered: why, in Envoy's words.
    NoAnswer(String),
    /// The server that answered does not take the secret that Envoy sends: the status.
    Unauthorized(u16),
    /// The ledger itself cannot answer.
    Status(Refused),
    /// The server that answered is no ledger, or one that this filter does not understand: what it sent.
    Unreadable(String),
}

impl Trouble {
    /// The name of the trouble's kind, one of [`crate::told::metrics::REASONS`].
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::UnknownCluster => "unknown_cluster",
            Self::NoAnswer(_) => "no_answer",
            Self::Unauthorized(_) => "unauthorized",
            Self::Status(_) => "status",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCluster => f.write_str("Envoy has no such cluster"),
            Self::NoAnswer(why) => write!(f, "no answer ({why})"),
            Self::Unauthorized(status) => write!(f, "status {status}: the shared secret differs"),
            Self::Status(Refused { status, code, message }) => write!(f, "status {status} {code}: {message}"),
            Self::Unreadable(what) => write!(f, "no answer of a ledger's: {what}"),
        }
    }
}

/// The ledger's error, in the shape that all of its answers have.
#[derive(Deserialize)]
struct Error {
    error: Words,
}

#[derive(Deserialize)]
struct Words {
    code: String,
    #[serde(default)]
    message: String,
}

/// What an answer says. `status`: none if no head of an answer came.
///
/// # Errors
/// The [`Trouble`] if it is no answer to the question.
pub fn read(status: Option<u16>, body: Vec<u8>) -> Result<Said, Trouble> {
    let Some(status) = status else { return Err(Trouble::NoAnswer("none came in time".to_owned())) };
    if (200..300).contains(&status) {
        return Ok(Said::Done(body));
    }
    // Also if a proxy on the way says so.
    if matches!(status, 401 | 403) {
        return Err(Trouble::Unauthorized(status));
    }
    match serde_json::from_slice::<Error>(&body) {
        Ok(Error { error: Words { code, message } }) => {
            let refused = Refused { status, code, message };
            if status < 500 { Ok(Said::Refused(refused)) } else { Err(Trouble::Status(refused)) }
        }
        // If Envoy reaches no server, it answers the callout itself, in plain words.
        Err(_) if matches!(status, 503 | 504) => Err(Trouble::NoAnswer(quoted(&body))),
        Err(_) => Err(Trouble::Unreadable(format!("status {status}, and no reason in JSON"))),
    }
}

/// Somebody else's words on one line, and not too many.
fn quoted(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    words.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A line for Envoy's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It does not pass by itself.
    Error(String),
    /// It may pass by itself.
    Warning(String),
    /// It has passed.
    Note(String),
}

/// What one worker has met on the way to its ledger.
#[derive(Debug, Default)]
pub struct Troubles {
    met: BTreeMap<(Way, &'static str), RarelyAmongAll>,
    /// The ways that worked the last time.
    work: BTreeSet<Way>,
}

impl Troubles {
    /// A question got no answer. Gives the line if one is due.
    pub fn failed(
        &mut self,
        shared: &impl SharedData,
        now: Tick,
        (ledger, way): (&Ledger, Way),
        trouble: &Trouble,
    ) -> Option<Line> {
        self.work.remove(&way);
        let (key, cluster) = (way.key(ledger), way.cluster(ledger));
        let met = self.met.entry((way, trouble.kind())).or_default();
        let again = met.tell(shared, &format!("{}/{key}", trouble.kind()), cluster, now)?;
        rarely::begins(shared, key, now);
        Some(line(key, cluster, trouble, &more(again)))
    }

    /// A question was answered. Gives the line if this ends a trouble that was told of.
    pub fn answered(
        &mut self,
        shared: &impl SharedData,
        now: Tick,
        (ledger, way): (&Ledger, Way),
    ) -> Option<Line> {
        if !self.work.insert(way) {
            return None;
        }
        let (key, cluster) = (way.key(ledger), way.cluster(ledger));
        let since = rarely::ends(shared, key)?;
        let seconds = now.since_ms(since).div_ceil(1_000);
        Some(Line::Note(format!(
            "the ledger answers again at cluster {cluster:?} ({key}), {seconds} s after it was first said that it does not"
        )))
    }
}

fn line(key: &str, cluster: &str, trouble: &Trouble, more: &str) -> Line {
    match trouble {
        Trouble::UnknownCluster => Line::Error(format!(
            "{key}: Envoy has no such cluster: {cluster:?}{more}. The ledger cannot be asked, so calls are refused with 503 \
             ledger_unavailable. Name a cluster of Envoy's configuration in {key}, or add this one to its clusters"
        )),
        Trouble::NoAnswer(why) => Line::Warning(format!(
            "the ledger does not answer at cluster {cluster:?} ({key}): {why}{more}. Debits wait, and calls whose token is \
             not remembered are refused with 503 ledger_unavailable. Is pax-ledger running, and is the cluster's address \
             that of its internal listener?"
        )),
        Trouble::Unauthorized(status) => Line::Error(format!(
            "the ledger refuses the secret that Envoy sends by cluster {cluster:?} ({key}): status {status}{more}. The \
             cluster's credential_injector must send what the ledger has in its own PAX_LEDGER_SECRET. Envoy reads its \
             environment when it starts"
        )),
        Trouble::Status(Refused { status, code, .. }) => Line::Warning(format!(
            "the ledger cannot answer at cluster {cluster:?} ({key}): status {status} {code}{more}. The ledger's own log \
             says why"
        )),
        Trouble::Unreadable(what) => Line::Error(format!(
            "who answers at cluster {cluster:?} ({key}) is no ledger that this filter understands: {what}{more}. The \
             cluster's address must be that of pax-ledger's internal listener, and the ledger as new as the filter"
        )),
    }
}

#[cfg(test)]
#[path = "ledger_trouble_test.rs"]
mod tests;
