//! Secrets: the one that the ledger shares with Envoy, and the tokens of callers.

use std::path::Path;

use pax_gateway::base::digest::Digest;

use crate::error::Error;

/// The environment variable with the shared secret, if no file is named. It is never an argument, since `ps`
/// shows those.
pub const SECRET_ENV: &str = "PAX_LEDGER_SECRET";
/// The variable with the old secret, which is accepted too while some Envoys know only that one.
pub const SECRET_OLD_ENV: &str = "PAX_LEDGER_SECRET_OLD";
/// The variable with a secret that opens `/metrics` and nothing else: a collector of figures must not be able
/// to send debits.
pub const METRICS_SECRET_ENV: &str = "PAX_LEDGER_METRICS_SECRET";
/// The shortest shared secret.
pub const SECRET_MIN: usize = 16;
/// The shortest token.
pub const TOKEN_MIN: usize = 8;
/// The longest token: it must fit into a header that no proxy cuts.
pub const TOKEN_MAX: usize = 512;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 40 × log2(62) = 238 bits.
const TOKEN_RANDOM: usize = 40;
const TOKEN_ID_RANDOM: usize = 16;

/// The secret that both listeners demand, and the old one while it is rotated. Only hashes are kept.
#[derive(Clone, Copy, Debug)]
pub struct SharedSecret {
    current: Digest,
    old: Digest,
}

impl SharedSecret {
    /// A shared secret.
    ///
    /// # Errors
    /// If it is too short, or no header could carry it.
    pub fn new(secret: &str) -> Result<Self, Error> {
        if secret.len() < SECRET_MIN || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Operator(format!(
                "the shared secret must have at least {SECRET_MIN} visible ASCII characters; \
                 make one with `openssl rand -hex 32`"
            )));
        }
        let current = Digest::of(&[secret.as_bytes()]);
        Ok(Self { current, old: current })
    }

    /// The same, with an old secret that is accepted too.
    ///
    /// # Errors
    /// If the old one is too short, or no header could carry it.
    pub fn beside(self, old: &str) -> Result<Self, Error> {
        Ok(Self { old: Self::new(old)?.current, ..self })
    }

    /// The secret from a file, or else from the environment; with the old one from the environment, if there is
    /// one.
    ///
    /// # Errors
    /// If there is none, or it is not fit.
    pub fn find(file: Option<&Path>) -> Result<Self, Error> {
        let current = Self::find_current(file)?;
        match std::env::var(SECRET_OLD_ENV) {
            Ok(old) if !old.is_empty() => current.beside(&old),
            _ => Ok(current),
        }
    }

    /// The secret from the environment that opens `/metrics` alone, if there is one.
    ///
    /// # Errors
    /// If it is not fit.
    pub fn find_for_metrics() -> Result<Option<Self>, Error> {
        match std::env::var(METRICS_SECRET_ENV) {
            Ok(secret) if !secret.is_empty() => Self::new(&secret)
                .map(Some)
                .map_err(|error| Error::Operator(format!("{METRICS_SECRET_ENV}: {error}"))),
            _ => Ok(None),
        }
    }

    fn find_current(file: Option<&Path>) -> Result<Self, Error> {
        match (file, std::env::var(SECRET_ENV)) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file).map_err(|why| Error::Io {
                    doing: format!("reading the secret from {}", file.display()),
                    why,
                })?;
                Self::new(text.trim_end_matches(['\r', '\n']))
            }
            (None, Ok(secret)) => Self::new(&secret),
            (None, Err(_)) => Err(Error::Operator(format!(
                "the internal listener needs a shared secret: set {SECRET_ENV}, or name a file with --secret-file"
            ))),
        }
    }

    /// Whether this is the secret, or the old one. Takes the same time for every wrong one.
    #[must_use]
    pub fn is(&self, offered: &[u8]) -> bool {
        let offered = Digest::of(&[offered]);
        let differs = |from: &Digest| {
            let difference =
                from.0.iter().zip(offered.0).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
            std::hint::black_box(difference) != 0
        };
        let (current, old) = (differs(&self.current), differs(&self.old));
        !(current & old)
    }
}

/// A new token: `mtx-` and 40 characters from the system's random source.
///
/// # Errors
/// If that source fails.
pub fn new_token() -> Result<String, Error> {
    Ok(format!("mtx-{}", random(TOKEN_RANDOM)?))
}

/// A new token's id.
///
/// # Errors
/// If the system's random source fails.
pub fn new_token_id() -> Result<String, Error> {
    Ok(format!("tok_{}", random(TOKEN_ID_RANDOM)?))
}

/// What the ledger keeps of a token.
///
/// # Errors
/// If no header could carry the token, or it is easy to guess.
pub fn token_sha256(token: &str) -> Result<Digest, Error> {
    if !(TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Operator(format!(
            "a token has {TOKEN_MIN} to {TOKEN_MAX} visible ASCII characters; without --token a random one is made"
        )));
    }
    Ok(Digest::of(&[token.as_bytes()]))
}

fn random(length: usize) -> Result<String, Error> {
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::Operator(format!("the system's random source failed: {error}")))?;
        // 248 = 4 × 62. A larger byte would make the first characters likelier.
        let fair =
            bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| BASE62.get(usize::from(*byte % 62)));
        text.extend(fair.take(length - text.len()).map(|byte| char::from(*byte)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shared_secret_opens() {
        let secret = SharedSecret::new("0123456789abcdef").unwrap();
        assert!(secret.is(b"0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!secret.is(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn while_a_secret_is_rotated_the_old_one_opens_too() {
        let secret = SharedSecret::new("the-new-one-of-two").unwrap().beside("the-old-one-of-two").unwrap();
        assert!(secret.is(b"the-new-one-of-two") && secret.is(b"the-old-one-of-two"));
        assert!(!secret.is(b"") && !secret.is(b"the-odd-one-of-two"));
        assert!(SharedSecret::new("the-new-one-of-two").unwrap().beside("short").is_err());
    }

    #[test]
    fn secrets_and_tokens_that_are_not_fit_are_refused() {
        for secret in ["", "short", "0123456789 abcdef", "0123456789abcdé"] {
            assert!(SharedSecret::new(secret).is_err(), "{secret}");
        }
        for token in ["", "1234567", "1234 5678", &"x".repeat(513)] {
            assert!(token_sha256(token).is_err(), "{token}");
        }
        assert!(token_sha256("mtx-demo-free").is_ok());
    }

    #[test]
    fn tokens_are_long_random_and_of_every_character() {
        let tokens: Vec<_> = (0..100).map(|_| new_token().unwrap()).collect();
        assert!(tokens.iter().all(|token| token.len() == 44 && token.starts_with("mtx-")));
        assert!(tokens.iter().skip(1).all(|token| *token != tokens[0]));
        let seen: std::collections::BTreeSet<_> =
            tokens.iter().flat_map(|token| token[4..].bytes()).collect();
        assert_eq!(seen.len(), 62);
    }
}
