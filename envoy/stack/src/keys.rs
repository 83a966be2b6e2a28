//! Which platform keys the environment has, for the operator who starts the gateway: names of providers and
//! variables, never a key or a part of one.

use crate::providers::{self, Provider};
use crate::{Layout, StackError};
use std::collections::BTreeMap;
use std::fmt;

/// The providers, by what they can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Those whose key is there, with the variable that has it.
    found: Vec<String>,
    /// Those without a key, which serve calls with callers' own keys only.
    own_keys_only: Vec<String>,
    /// Those without a key that take no callers' own keys: they serve no call.
    off: Vec<String>,
}

impl Keys {
    /// The keys that the environment has.
    ///
    /// # Errors
    /// [`StackError`] if `envoy/providers.json` cannot be read or has a mistake.
    pub fn read(layout: &Layout) -> Result<Self, StackError> {
        Ok(Self::of(&providers::read(layout)?))
    }

    fn of(providers: &BTreeMap<String, Provider>) -> Self {
        let mut keys = Self { found: Vec::new(), own_keys_only: Vec::new(), off: Vec::new() };
        for (name, provider) in providers {
            match (provider.has_key(), provider.conventions.own_keys) {
                (true, _) => keys.found.push(format!("{name} ({})", provider.key_env)),
                (false, true) => keys.own_keys_only.push(name.clone()),
                (false, false) => keys.off.push(name.clone()),
            }
        }
        keys
    }
}

/// A line for each group that has any.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            ("platform keys found", &self.found),
            ("no platform key, so for callers' own keys only", &self.own_keys_only),
            ("off, since they have no platform key and take no callers' own", &self.off),
        ];
        let lines: Vec<String> = groups
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {}", names.join(", ")))
            .collect();
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_is_in_one_line_and_no_key_is_in_any() {
        let provider = |name: &str, key_env: &str, own_keys: bool| {
            format!(
                r#""{name}": {{"authority": "a.ai", "base_path": "/v1", "key_env": "{key_env}", "stream_usage": "ask",
                    "stops_at": "model_maximum", "own_keys": {own_keys}}}"#
            )
        };
        // Every environment has a PATH.
        let all = [
            provider("a", "PATH", true),
            provider("b", "PAX_NOBODY_HAS_THIS", true),
            provider("c", "PATH", false),
            provider("d", "PAX_NOBODY_HAS_THIS", false),
            provider("e", "PAX_NOBODY_HAS_THIS", true),
        ];
        let told = Keys::of(&providers::parse(&format!("{{{}}}", all.join(","))).unwrap()).to_string();
        assert_eq!(
            told,
            "platform keys found: a (PATH), c (PATH)\n\
             no platform key, so for callers' own keys only: b, e\n\
             off, since they have no platform key and take no callers' own: d"
        );
        let path = std::env::var("PATH").unwrap();
        assert!(path.split(':').all(|part| part.is_empty() || !told.contains(part)), "{told}");
    }
}
