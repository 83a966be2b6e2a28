//! What the operator is told of providers that refuse the platform's key: a line at once, and then one an interval for as
//! long as it goes on, so that callers cannot fill the log.

use std::collections::BTreeMap;

use crate::base::clock::Tick;
use crate::told::rarely::{Rarely, more};

/// What one worker has told of it, by provider.
#[derive(Debug, Default)]
pub struct KeyRefusals {
    told: BTreeMap<String, Rarely>,
}

impl KeyRefusals {
    /// A provider refused the platform's key. Gives the line for Envoy's log if one is due: it names the
    /// provider and the status, and nothing of the answer, which may quote the key.
    pub fn tell(&mut self, now: Tick, provider: &str, status: u16) -> Option<String> {
        if !self.told.contains_key(provider) {
            self.told.insert(provider.to_owned(), Rarely::new());
        }
        let more = more(self.told.get_mut(provider)?.tell(now)?);
        Some(format!(
            "provider {provider:?} refuses the platform's key: status {status}{more}. Its calls are answered 502 \
             provider_refused_platform_key. Give Envoy a key that it takes for this model (a server that UPSTREAM names is \
             sent no key: start it without one)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_at_once_and_then_once_an_interval_for_each_provider() {
        let mut refusals = KeyRefusals::default();
        let mut tell = |ms: u64, provider: &str, status: u16| {
            refusals.tell(Tick::from_ms(1_000_000).plus_ms(ms), provider, status).unwrap_or_default()
        };
        let first = tell(0, "openai", 401);
        assert!(
            first.contains("\"openai\"") && first.contains("status 401") && !first.contains("more"),
            "{first}"
        );
        assert_eq!([tell(1, "openai", 401), tell(59_999, "openai", 403)], ["", ""]);
        assert!(tell(30_000, "groq", 403).contains("\"groq\""), "another provider is another matter");
        let next = tell(60_000, "openai", 403);
        assert!(next.contains("status 403") && next.contains("(2 more since"), "{next}");
        assert_eq!(tell(60_001, "openai", 403), "");
    }
}
