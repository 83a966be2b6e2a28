//! The order of steps in which nothing is lost: new calls stay away, listeners close, calls end, debits are
//! acknowledged.

use crate::http;
use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// The filter's gauge of debits that the ledger has not acknowledged.
pub const OUTBOX_GAUGE: &str = "wasmcustom.pax_outbox_waiting";
/// Envoy's gauge of calls in flight, named after the `stat_prefix` in envoy.yaml.
const CALLS_GAUGE: &str = "http.gateway.downstream_rq_active";
/// The filter's gauge of calls that a provider has. It counts those of a worker that has died, too, until another worker
/// has charged them; for Envoy they are over.
const RECORDS_GAUGE: &str = "wasmcustom.pax_calls_in_flight";
/// How long nothing must be left before the drain is over. The filter sets its gauges at its ticks, at least once a
/// second: so they may be 0 for a moment between the end of a call and the count of its debit.
const QUIET: Duration = Duration::from_millis(1_500);
/// How often Envoy is asked.
const PAUSE: Duration = Duration::from_millis(25);

/// An Envoy on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Gateway {
    /// The port that calls are served at.
    pub port: u16,
    /// The port of its admin interface.
    pub admin_port: u16,
}

/// How long a drain waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long the listeners stay open after `/readyz` has begun to fail: one interval of the probes, since
    /// new calls are sent until a probe fails.
    pub probe: Duration,
    /// How long the whole may take.
    pub limit: Duration,
}

/// Whether a drain under way goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proceed {
    /// It does.
    On,
    /// Its owner wants the end now.
    Stop,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing is in flight and nothing waits: the process can be ended.
    Quiet,
    /// Something was left when the limit passed, or when its owner wanted the end. The end of the process
    /// cuts and loses this much; None if Envoy did not say.
    Left {
        /// Calls in flight.
        calls: Option<u64>,
        /// Debits that the ledger has not acknowledged.
        debits: Option<u64>,
        /// Whether new calls were still taken.
        open: bool,
    },
    /// Nothing answers at the admin interface: there is no Envoy to be drained.
    Gone,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        match self {
            Self::Quiet => f.write_str("drained: no call in flight, every debit acknowledged"),
            Self::Gone => f.write_str("there is no Envoy to be drained: its admin interface does not answer"),
            Self::Left { calls, debits, open } => {
                let (calls, debits) = (count(*calls), count(*debits));
                write!(
                    f,
                    "NOT drained: {calls} calls in flight are cut, {debits} debits are not in the ledger"
                )?;
                if *open {
                    f.write_str(
                        "; the port is still open (is Envoy's --drain-time-s longer than the limit?)",
                    )?;
                }
                Ok(())
            }
        }
    }
}

/// What is left of an Envoy's work.
struct Look {
    calls: Option<u64>,
    debits: Option<u64>,
    open: bool,
}

impl Look {
    fn at(gateway: &Gateway) -> Self {
        let calls = http::stat(gateway.admin_port, CALLS_GAUGE);
        // An Envoy without the filter has no such gauges, and no debits.
        let gauge = |name| http::stat(gateway.admin_port, name).unwrap_or(0);
        let debits = calls.map(|calls| {
            let of_dead_workers = gauge(RECORDS_GAUGE).saturating_sub(calls);
            gauge(OUTBOX_GAUGE).saturating_add(of_dead_workers)
        });
        Self { calls, debits, open: is_open(gateway.port) }
    }

    fn is_quiet(&self) -> bool {
        self.calls == Some(0) && self.debits == Some(0) && !self.open
    }
}

/// Has Envoy take no new calls and waits until no call is in flight and no debit waits. `watch` is asked
/// again and again meanwhile whether to go on.
///
/// Envoy's `--drain-time-s` says how long its listeners stay open for connections that are on their way; a drain takes
/// that long, at least.
pub fn drain(gateway: &Gateway, patience: &Patience, watch: &mut dyn FnMut() -> Proceed) -> Drained {
    let begun = Instant::now();
    // If the port is closed already, an earlier stop step did this, and only the wait is left.
    if is_open(gateway.port) {
        if is_refused(&http::ask(gateway.admin_port, "POST", "/healthcheck/fail")) {
            return Drained::Gone;
        }
        while begun.elapsed() < patience.probe.min(patience.limit) && watch() == Proceed::On {
            std::thread::sleep(PAUSE);
        }
        // Without `graceful` the listeners close at once, and connections that wait to be accepted are reset.
        let _ = http::ask(gateway.admin_port, "POST", "/drain_listeners?graceful");
    }
    let mut quiet_since = None;
    loop {
        let look = Look::at(gateway);
        let now = Instant::now();
        match (look.is_quiet(), quiet_since) {
            (true, Some(since)) if now.duration_since(since) >= QUIET => return Drained::Quiet,
            (true, since) => quiet_since = since.or(Some(now)),
            (false, _) => quiet_since = None,
        }
        if watch() == Proceed::Stop || begun.elapsed() > patience.limit {
            if look.calls.is_none() && is_refused(&http::ask(gateway.admin_port, "GET", "/ready")) {
                return Drained::Gone;
            }
            return Drained::Left { calls: look.calls, debits: look.debits, open: look.open };
        }
        std::thread::sleep(PAUSE);
    }
}

fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn is_refused<T>(asked: &std::io::Result<T>) -> bool {
    matches!(asked, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}
