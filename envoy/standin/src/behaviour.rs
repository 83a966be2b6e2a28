//! How the stand-in answers: well by default, badly when told to.

use std::collections::BTreeMap;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::plays;

/// What the next answers look like. Every field is optional; a default value is a well-behaved provider.
///
/// The same names are the JSON of `PUT /_standin/behaviour`. Unknown names are refused, so that a misspelt
/// misbehaviour does not pass for a good answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// The answer to play, by its name in the answers' folders. It applies where its kind fits: a chat answer
    /// to `/chat/completions`, an embedding to `/embeddings`; the other route keeps its built-in answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The provider to play, by its name in `GET /_standin/plays`: which request fields are honoured, which are
    /// refused, and how long the built-in answer is. It never ends by itself then, but at the most that this
    /// provider would generate. Without it, of all fields `max_tokens` alone is honoured, and the answer is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plays: Option<String>,
    /// How many tokens prompt and answer may have together, for a provider that runs on to the end of its context.
    /// Default: 4096.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// The longest answer of a provider that has a maximum for its model. Default: 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_tokens: Option<u64>,
    /// After how many tokens the built-in answer ends by itself, unless the request says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_after_tokens: Option<u64>,
    /// Answer 401 to a call without a key, if the provider that is played serves nobody without one.
    #[serde(skip_serializing_if = "is_false")]
    pub asks_for_key: bool,
    /// HTTP status, 200 to 599. From 400 up, and without a `body`, the answer is an error in OpenAI's shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The body to send as it is, instead of an answer. Its `content_type` is `application/json` unless
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Response headers to add; one that the stand-in sets itself is replaced. Characters U+0080 to U+00FF
    /// stand for one byte each, so that a header that is not UTF-8 can be sent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Trailers to send after a complete body (HTTP/2; over HTTP/1.1 only to a client that sends `te:
    /// trailers`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub trailers: BTreeMap<String, String>,
    /// `content-type` of the answer, instead of the fitting one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Answer nobody until another behaviour is told.
    #[serde(skip_serializing_if = "is_false")]
    pub waits: bool,
    /// Milliseconds from the whole request to the answer's head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Milliseconds from the answer's head to its first body byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_delay_ms: Option<u64>,
    /// Milliseconds between two writes of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace_ms: Option<u64>,
    /// Sizes in bytes of successive writes, cycled; each is flushed as an HTTP chunk (or DATA frame) of its
    /// own. Without it a stream is written event by event, anything else at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_bytes: Option<Vec<usize>>,
    /// Close the connection (HTTP/2: reset the stream) after so many body bytes, without ending the message.
    /// 0 cuts between head and body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_after_bytes: Option<usize>,
    /// Close the connection (HTTP/2: reset the stream) instead of sending a head.
    #[serde(skip_serializing_if = "is_false")]
    pub cut_before_head: bool,
    /// Send nothing more after so many body bytes, and keep the connection open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_after_bytes: Option<usize>,
    /// Leave every `usage` (and Groq's `x_groq.usage`) out of the answer.
    #[serde(skip_serializing_if = "is_false")]
    pub no_usage: bool,
    /// Compress the body with gzip, whether or not the request accepts it.
    #[serde(skip_serializing_if = "is_false")]
    pub gzip: bool,
    /// Keep a stream's usage-only last chunk even when the request did not ask for it.
    #[serde(skip_serializing_if = "is_false")]
    pub always_usage: bool,
    /// Whether to send `content-length`. Default: not for streams, yes for anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_length: Option<bool>,
    /// For so many requests; after them the default behaviour is back. Without it: until changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A behaviour that cannot be played; each names the field to change.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum BehaviourError {
    /// Not JSON, an unknown field or a wrong type; the text names it.
    #[error("the behaviour is not understood: {0}")]
    Json(String),
    /// No folder has an answer of this name.
    #[error("answer: no answer is called {name:?}; there are: {known}")]
    UnknownAnswer {
        /// The name that was asked for.
        name: String,
        /// The names there are, comma-separated.
        known: String,
    },
    /// A field's value, or a combination of fields, that makes no sense.
    #[error("{field}: {problem}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

impl Behaviour {
    /// Reads the JSON of the control API; strict.
    pub fn from_json(json: &[u8]) -> Result<Self, BehaviourError> {
        let behaviour: Self =
            serde_json::from_slice(json).map_err(|error| BehaviourError::Json(error.to_string()))?;
        behaviour.check()?;
        Ok(behaviour)
    }

    /// Plays the named answer; otherwise well-behaved.
    pub fn answer(name: &str) -> Self {
        Self { answer: Some(name.to_owned()), ..Self::default() }
    }

    /// Plays the named provider; otherwise well-behaved.
    pub fn plays(name: &str) -> Self {
        Self { plays: Some(name.to_owned()), ..Self::default() }
    }

    /// Answers with this status and, from 400 up, an error in OpenAI's shape.
    pub fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// Everything that can be checked without knowing the answers.
    pub(crate) fn check(&self) -> Result<(), BehaviourError> {
        let wrong = |field, problem: &str| Err(BehaviourError::Field { field, problem: problem.to_owned() });
        if self.status.is_some_and(|status| !(200..600).contains(&status)) {
            return wrong("status", "must be between 200 and 599");
        }
        if self.write_bytes.as_ref().is_some_and(|sizes| sizes.is_empty() || sizes.contains(&0)) {
            return wrong("write_bytes", "must list at least one size, and none of 0");
        }
        if self.times == Some(0) {
            return wrong("times", "must be at least 1; leave it out for a behaviour that stays");
        }
        if self.cut_after_bytes.is_some() && self.stall_after_bytes.is_some() {
            return wrong("stall_after_bytes", "an answer is either cut or stalled, not both");
        }
        if self.body.is_some() && (self.answer.is_some() || self.no_usage || self.always_usage) {
            return wrong("body", "is sent as it is: answer, no_usage and always_usage cannot apply");
        }
        if let Some(name) = self.plays.as_deref().filter(|name| plays::find(name).is_none()) {
            return wrong("plays", &format!("nobody is called {name:?}; there are: {}", plays::names()));
        }
        if self.asks_for_key && self.plays.is_none() {
            return wrong("asks_for_key", "says who asks: give plays too");
        }
        header_map("headers", &self.headers)?;
        header_map("trailers", &self.trailers)?;
        if let Some(value) = &self.content_type {
            header_value("content_type", value)?;
        }
        Ok(())
    }
}

/// The headers of a checked map. `field` is only for the error's text.
pub(crate) fn header_map(
    field: &'static str,
    map: &BTreeMap<String, String>,
) -> Result<HeaderMap, BehaviourError> {
    let mut headers = HeaderMap::new();
    for (name, value) in map {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| BehaviourError::Field {
            field,
            problem: format!("{name:?} is not a header's name"),
        })?;
        headers.insert(name, header_value(field, value)?);
    }
    Ok(headers)
}

/// One header value; a character up to U+00FF is one byte.
pub(crate) fn header_value(field: &'static str, value: &str) -> Result<HeaderValue, BehaviourError> {
    let problem = || BehaviourError::Field { field, problem: format!("{value:?} is not a header's value") };
    let bytes: Result<Vec<u8>, _> = value.chars().map(u8::try_from).collect();
    HeaderValue::from_bytes(&bytes.map_err(|_| problem())?).map_err(|_| problem())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_an_error_that_names_it() {
        let error = Behaviour::from_json(br#"{"stauts":503}"#).unwrap_err();
        assert!(error.to_string().contains("`stauts`"), "{error}");
    }

    #[test]
    fn what_cannot_be_played_is_refused_by_field() {
        for (json, field) in [
            (r#"{"status":99}"#, "status"),
            (r#"{"write_bytes":[]}"#, "write_bytes"),
            (r#"{"write_bytes":[3,0]}"#, "write_bytes"),
            (r#"{"times":0}"#, "times"),
            (r#"{"plays":"nobody"}"#, "plays"),
            (r#"{"asks_for_key":true}"#, "asks_for_key"),
            (r#"{"cut_after_bytes":1,"stall_after_bytes":1}"#, "stall_after_bytes"),
            (r#"{"body":"x","no_usage":true}"#, "body"),
            (r#"{"headers":{"a b":"c"}}"#, "headers"),
            (r#"{"headers":{"a":"\u0100"}}"#, "headers"),
            (r#"{"content_type":"\n"}"#, "content_type"),
        ] {
            let error = Behaviour::from_json(json.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{field}: ")), "{json}: {error}");
        }
    }

    #[test]
    fn a_behaviour_survives_its_own_json() {
        let behaviour = Behaviour { pace_ms: Some(5), times: Some(2), gzip: true, ..Behaviour::answer("a") };
        let json = serde_json::to_vec(&behaviour).unwrap();
        assert_eq!(Behaviour::from_json(&json).unwrap(), behaviour);
    }
}
