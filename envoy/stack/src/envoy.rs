//! Envoy as a process: what it may write into its log, when it is up, and one more Envoy beside the stack's
//! own.

use crate::http::{self, Answer};
use crate::process::Process;

/// Components that write every header of a request into the log at `debug`, and with them tokens and keys.
const TALKATIVE: [&str; 3] = ["http", "http2", "router"];

/// An Envoy beside the stack's own ([`crate::Stack::another_envoy`]). Killed (SIGKILL) when dropped.
#[derive(Debug)]
pub struct Envoy {
    pub(crate) process: Process,
    pub(crate) gateway_port: u16,
    pub(crate) admin_port: u16,
}

impl Envoy {
    /// The gateway's port.
    pub fn gateway_port(&self) -> u16 {
        self.gateway_port
    }

    /// The port of its admin interface.
    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Envoy's arguments for a log level such as `info` or `warning,wasm:debug`. Whatever level is asked for,
/// components that would write tokens and keys do not get it.
pub(crate) fn log_arguments(log_level: &str) -> Vec<String> {
    let (level, components) = log_level.split_once(',').unwrap_or((log_level, ""));
    let mut kept: Vec<String> =
        components.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
    let is = |component: &str, name: &str| component.split(':').next() == Some(name);
    kept.retain(|component| !TALKATIVE.iter().any(|name| is(component, name)));
    if says_much(level)
        || components.split(',').any(|it| it.split_once(':').is_some_and(|(_, it)| says_much(it)))
    {
        kept.extend(TALKATIVE.iter().map(|name| format!("{name}:info")));
    }
    let mut arguments = vec!["--log-level".to_owned(), level.to_owned()];
    if !kept.is_empty() {
        arguments.extend(["--component-log-level".to_owned(), kept.join(",")]);
    }
    arguments
}

fn says_much(level: &str) -> bool {
    matches!(level, "debug" | "trace")
}

/// Whether Envoy is as it was told to be, by its answer to `GET /readyz`: ready, or under the kill switch.
pub(crate) fn is_up(answer: &Answer, gateway_port: u16) -> bool {
    // Without the filter Envoy answers `/readyz` with 503 in the same words, but only the filter answers
    // `/healthz` with this.
    let disabled = || {
        http::ask(gateway_port, "GET", "/healthz").is_ok_and(|it| it.body.contains(r#""status":"disabled""#))
    };
    answer.status == 200 || (answer.status == 503 && disabled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_debug_the_components_that_write_headers_stay_at_info() {
        let told = |level| log_arguments(level).join(" ");
        assert_eq!(told("info"), "--log-level info");
        assert_eq!(told("warning,wasm:info"), "--log-level warning --component-log-level wasm:info");
        let quiet = TALKATIVE.map(|name| format!("{name}:info")).join(",");
        assert_eq!(told("debug"), format!("--log-level debug --component-log-level {quiet}"));
        assert_eq!(
            told("warning,wasm:debug,http:trace"),
            format!("--log-level warning --component-log-level wasm:debug,{quiet}")
        );
    }
}
