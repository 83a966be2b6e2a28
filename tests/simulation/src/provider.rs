//! What callers ask and what providers answer.

use std::collections::VecDeque;

use crate::random::Random;

/// Two models of the default slot's whitelist, and one that is not on it.
const MODELS: [&str; 2] =
    ["accounts/fireworks/models/gpt-oss-120b", "accounts/fireworks/models/deepseek-v4-flash"];
const NOT_FREE: &str = "accounts/fireworks/models/gpt-oss-20b";

/// The secret that comes with an account's token: nobody else ever sees it.
pub(crate) fn secret(token: &str) -> String {
    format!("secret-{token}")
}

/// A caller's own key at its provider.
pub(crate) const OWN_KEY: &str = "sk-own-secret-key";
/// What all of these hold, and no name of anything else.
pub(crate) const SECRET: &str = "secret-";

/// What happens next to a stream.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// More of the request's body; whether it is the last.
    Body(Vec<u8>, bool),
    /// The answer's head: status, content type, whether it is all.
    AnswerHead(u16, &'static str, bool),
    /// More of the answer's body; whether it is the last.
    AnswerBody(Vec<u8>, bool),
    /// Nothing more.
    Close,
}

/// What a caller asks.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) body: Vec<u8>,
    pub(crate) streams: bool,
    pub(crate) max_tokens: u64,
}

impl Ask {
    pub(crate) fn random(random: &Random) -> Self {
        let model = if random.chance(1, 30) { NOT_FREE } else { *random.pick(&MODELS) };
        let length = usize::try_from(random.between(5, 400)).unwrap_or(5);
        Self::new(model, random.chance(1, 2), random.between(20, 400), length)
    }

    /// A call that costs little.
    pub(crate) fn small() -> Self {
        Self::new(MODELS[0], false, 10, 5)
    }

    fn new(model: &str, streams: bool, max_tokens: u64, length: usize) -> Self {
        let text = "x".repeat(length);
        let body = format!(
            r#"{{"model":"{model}","stream":{streams},"max_tokens":{max_tokens},"messages":[{{"role":"user","content":"{text}"}}]}}"#
        );
        Self { body: body.into_bytes(), streams, max_tokens }
    }

    /// The body, whole or in two pieces.
    pub(crate) fn pieces(&self, random: &Random) -> VecDeque<Act> {
        if random.chance(1, 3) {
            let (first, second) = self.body.split_at(self.body.len() / 2);
            return [Act::Body(first.to_vec(), false), Act::Body(second.to_vec(), true)].into();
        }
        [Act::Body(self.body.clone(), true)].into()
    }

    /// What the provider makes of it: never more tokens than were reserved.
    pub(crate) fn answer(&self, random: &Random) -> VecDeque<Act> {
        let bytes = u64::try_from(self.body.len()).unwrap_or(0);
        let (input, output) = (random.between(1, bytes + 1_024), random.between(0, self.max_tokens));
        let usage = format!(r#""usage":{{"prompt_tokens":{input},"completion_tokens":{output}}}"#);
        let type_of = if self.streams { "text/event-stream" } else { "application/json" };
        let head = |status| Act::AnswerHead(status, type_of, false);
        let part = |text: &str| Act::AnswerBody(text.as_bytes().to_vec(), false);
        let end = |text: &str| Act::AnswerBody(text.as_bytes().to_vec(), true);
        let chunk = "data: {\"id\":\"a\",\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n";
        let last = format!("data: {{\"id\":\"a\",\"choices\":[],{usage}}}\n\n");
        match (random.below(20), self.streams) {
            (0, _) => [Act::AnswerHead(*random.pick(&[400, 429, 500, 503]), "application/json", true)].into(),
            (1, _) => [head(*random.pick(&[400, 500])), end("{\"error\":{}}")].into(),
            (2, _) => [Act::AnswerHead(200, type_of, true)].into(),
            // It never answers; the caller hangs up one day.
            (3, _) => [Act::Close].into(),
            (4, true) => [head(200), part(chunk), part(chunk), Act::Close].into(),
            (5, true) => [head(200), part(chunk), part("data: {\"id\":"), Act::Close].into(),
            (6, true) => [head(200), end("data: {\"error\":{\"message\":\"no\"}}\n\n")].into(),
            (7, true) => [head(200), part(chunk), end("data: [DONE]\n\n")].into(),
            (_, true) => [head(200), part(chunk), part(&last), end("data: [DONE]\n\n")].into(),
            (4, false) => [head(200), part("{\"id\":\"a\",\"choices\":[{\"mess"), Act::Close].into(),
            // The provider broke off while its answer was held: Envoy answers in its place.
            (5, false) => [head(200), part("{\"id\":"), Act::AnswerHead(502, "text/plain", false)].into(),
            (6, false) => {
                [head(200), end("{\"id\":\"a\",\"choices\":[{\"message\":{\"content\":\"hello\"}}]}")].into()
            }
            (_, false) => {
                let body = format!("{{\"id\":\"a\",\"choices\":[{{}}],{usage}}}");
                let (first, second) = body.split_at(body.len() / 2);
                [head(200), part(first), end(second)].into()
            }
        }
    }
}
