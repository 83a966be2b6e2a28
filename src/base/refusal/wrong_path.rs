//! A path that the gateway does not serve, and what its caller is told: most often a base URL is wrong, or a
//! client speaks another API.

use std::fmt;

use crate::base::refusal::nearest::nearest;

/// How much of a path is looked at, in bytes.
const LOOKED_AT: usize = 256;
/// How many bytes of it the message repeats.
const TOLD: usize = 128;
/// What every path of the API begins with.
const V1: &str = "/v1";
/// The paths that the gateway serves, with their methods.
const ROUTES: [(&str, &str); 7] = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("GET", "/v1/credits"),
    ("GET", "/v1/credits/ledger"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
];
/// What callers of other APIs are told to do instead.
const CHAT: &str = "Call POST /v1/chat/completions (client.chat.completions.create of an OpenAI client)";
const EMBED: &str = "Call POST /v1/embeddings (client.embeddings.create of an OpenAI client)";
const LIST: &str = "Call GET /v1/models (client.models.list of an OpenAI client)";
const NOTHING: &str = "It serves POST /v1/chat/completions and POST /v1/embeddings";
/// APIs that clients try: how their paths begin after `/v1` (or without it), their names, and what to do
/// instead.
const NOT_SERVED: [(&str, &str, &str); 21] = [
    ("/responses", "OpenAI's Responses API", CHAT),
    ("/messages", "Anthropic's Messages API", CHAT),
    ("/completions", "OpenAI's older completions API", CHAT),
    ("/complete", "Anthropic's older completions API", CHAT),
    ("/api/chat", "Ollama's own API", CHAT),
    ("/api/generate", "Ollama's own API", CHAT),
    ("/api/embed", "Ollama's own API", EMBED),
    ("/api/embeddings", "Ollama's own API", EMBED),
    ("/api/tags", "Ollama's own API", LIST),
    ("/v1beta", "Google's Gemini API", CHAT),
    ("/assistants", "OpenAI's Assistants API", CHAT),
    ("/threads", "OpenAI's Assistants API", CHAT),
    ("/realtime", "OpenAI's Realtime API", CHAT),
    ("/images", "OpenAI's images API", NOTHING),
    ("/audio", "OpenAI's audio API", NOTHING),
    ("/files", "OpenAI's files API", NOTHING),
    ("/batches", "OpenAI's batch API", NOTHING),
    ("/moderations", "OpenAI's moderation API", NOTHING),
    ("/fine_tuning", "OpenAI's fine-tuning API", NOTHING),
    ("/vector_stores", "OpenAI's vector stores", NOTHING),
    ("/rerank", "a reranking API", NOTHING),
];

/// A path that the gateway does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongPath {
    /// The path without its query, escaped and cut.
    path: String,
    likely: Likely,
}

/// What its caller most likely meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likely {
    /// An API that is not served.
    NotServed { api: &'static str, instead: &'static str },
    /// The base URL lacks `/v1`. With it the path is this one.
    LacksV1(&'static str),
    /// The base URL has `/v1`, and the client adds it again. The path is this one.
    V1Twice(&'static str),
    /// A path that is nearly this one.
    Near { method: &'static str, path: &'static str },
    /// A path of the credits, which the operator has not configured.
    CreditsOff,
    /// It is not known.
    Unknown,
}

impl WrongPath {
    /// A wrong path. Its query does not matter.
    #[must_use]
    pub fn of(path: &[u8]) -> Self {
        Self { path: escaped(path), likely: Likely::of(path) }
    }

    /// A path of `/v1/credits`, if the ledger's public listener is not configured.
    #[must_use]
    pub fn of_credits(path: &[u8]) -> Self {
        Self { path: escaped(path), likely: Likely::CreditsOff }
    }
}

impl Likely {
    fn of(path: &[u8]) -> Self {
        let path = percent_decoded(path, LOOKED_AT).to_ascii_lowercase();
        let Ok(path) = std::str::from_utf8(&path) else { return Self::Unknown };
        let path = path.trim_end_matches('/');
        let (mut rest, mut v1s) = (path, 0u32);
        while let Some(after) = rest.strip_prefix(V1).filter(|after| after.starts_with('/')) {
            (rest, v1s) = (after, v1s.saturating_add(1));
        }
        let begins = |beginning: &str| {
            rest.strip_prefix(beginning).is_some_and(|after| after.is_empty() || after.starts_with('/'))
        };
        if let Some((_, api, instead)) = NOT_SERVED.iter().find(|(beginning, ..)| begins(beginning)) {
            return Self::NotServed { api, instead };
        }
        for (method, route) in ROUTES {
            let Some(tail) = route.strip_prefix(V1) else { continue };
            let is_it = rest == tail || (tail == "/models" && begins(tail));
            match v1s {
                0 if is_it => return Self::LacksV1(route),
                1 => {}
                _ if is_it => return Self::V1Twice(route),
                _ => {}
            }
            if path.ends_with(tail) {
                return Self::Near { method, path: route };
            }
        }
        let near = nearest(path, ROUTES.iter().map(|(_, route)| *route));
        let route = ROUTES.iter().find(|(_, route)| near.first() == Some(route));
        route.map_or(Self::Unknown, |(method, path)| Self::Near { method, path })
    }
}

/// What the caller is told.
impl fmt::Display for WrongPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.likely {
            Likely::NotServed { api, instead } => {
                write!(f, "{instead}: {path} is {api}, which this gateway does not serve.")
            }
            Likely::LacksV1(route) => write!(
                f,
                "Add /v1 to the end of the base URL: the call came to {path}, and the path is {route}."
            ),
            Likely::V1Twice(route) => write!(
                f,
                "Take /v1 off the end of the base URL, since the client adds it itself: the call came to {path}, and the path is {route}."
            ),
            Likely::Near { method, path: route } => write!(
                f,
                "Call {method} {route}, to the letter: there is no {path} here. The base URL of an OpenAI client is this gateway's address and /v1."
            ),
            Likely::CreditsOff => write!(
                f,
                "{path} is not served here: the gateway's operator serves it by \"credits\" in the filter's configuration."
            ),
            Likely::Unknown => write!(
                f,
                "There is no {path} here. The base URL of an OpenAI client is this gateway's address and /v1; the calls are POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models, GET /v1/credits and GET /v1/credits/ledger."
            ),
        }
    }
}

/// A path for a message: what is not plain is escaped, and what is long is cut.
fn escaped(path: &[u8]) -> String {
    let mut text = String::new();
    for byte in path.iter().take_while(|byte| **byte != b'?') {
        if text.len() >= TOLD {
            text.push_str("...");
            break;
        }
        match byte {
            b'"' | b'\\' | b'`' | b'<' | b'>' => text.push_str(&format!("%{byte:02X}")),
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// At most `most` bytes of a path, each `%XX` of it decoded to its byte.
#[must_use]
pub fn percent_decoded(path: &[u8], most: usize) -> Vec<u8> {
    let digit =
        |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::new();
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first().filter(|_| decoded.len() < most) {
        let escaped = (*byte == b'%').then(|| (digit(after.first()), digit(after.get(1))));
        match escaped {
            Some((Some(high), Some(low))) => {
                decoded.push((high << 4) | low);
                rest = after.get(2..).unwrap_or(&[]);
            }
            _ => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
#[path = "wrong_path_test.rs"]
mod tests;
