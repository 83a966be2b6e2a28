//! Answers of providers, and a reading of them that knows nothing of the gateway's: whole bytes, `serde_json`.

use crate::common::prices::Counts;
use pax_gateway::dialect::usage::Mode;
use pax_gateway::price::card::RateCard;
use serde_json::Value;
use std::path::Path;

/// One answer, as its bytes are on the wire.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The name that the stand-in plays it by.
    pub name: String,
    pub stream: bool,
    pub mode: Mode,
    /// Whether the provider refuses to be asked for usage.
    pub refuses: bool,
    pub wire: Vec<u8>,
}

/// Every answer of the folders: `NAME.json`, `NAME.chunks.txt`, `NAME.sse`.
pub fn load(folders: &[std::path::PathBuf]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for folder in folders {
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        answers.extend(files.iter().filter_map(|path| read(path)));
    }
    assert!(answers.len() > 20, "the project's own answers are missing");
    answers
}

fn read(path: &Path) -> Option<Answer> {
    let file = path.file_name()?.to_str()?;
    let bytes = std::fs::read(path).unwrap();
    let (name, stream, wire) = if let Some(name) = file.strip_suffix(".chunks.txt") {
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty() && *line != "[DONE]");
        let events: String = lines.chain(["[DONE]"]).map(|line| format!("data: {line}\n\n")).collect();
        (name, true, events.into_bytes())
    } else if let Some(name) = file.strip_suffix(".sse") {
        (name, true, bytes)
    } else {
        (file.strip_suffix(".json")?, false, bytes)
    };
    let json: Value = serde_json::from_slice(&wire).unwrap_or_default();
    let mode = if json["object"] == "list" { Mode::Embeddings } else { Mode::Chat };
    let refuses = path.with_file_name(format!("{name}.refuses")).exists();
    Some(Answer { name: name.to_owned(), stream, mode, refuses, wire })
}

/// What an answer says.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    /// The usage that counts, as JSON.
    pub usage: Option<Value>,
    /// Whether there is nothing in it but an error.
    pub only_error: bool,
}

impl Answer {
    /// A model of the card that it can be an answer of, and that proves something: one with a cached rate.
    pub fn model(&self, card: &RateCard) -> String {
        let fits = |provider_fits: bool, has_cached_rate: bool| {
            provider_fits && (has_cached_rate || self.mode == Mode::Embeddings)
        };
        let mut models = card.models.iter().filter(|(_, model)| model.mode == self.mode);
        let found = models.find(|(_, model)| {
            fits((model.provider == "mistral") == self.refuses, model.prices.rates.cached_input.is_some())
        });
        found.expect("the card in force has a model for it").0.clone()
    }

    /// The request that it answers.
    pub fn request(&self, model: &str, asks_usage: bool) -> String {
        match (self.mode, self.stream, asks_usage) {
            (Mode::Embeddings, ..) => format!(r#"{{"input":"abc","model":"{model}"}}"#),
            (_, false, _) => {
                format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]}}"#)
            }
            (_, true, false) => format!(r#"{{"stream":true,"model":"{model}","messages":[]}}"#),
            (_, true, true) => format!(
                r#"{{"stream":true,"model":"{model}","stream_options":{{"include_usage":true}},"messages":[]}}"#
            ),
        }
    }

    /// The bytes of each event, with the empty line that ends it; a JSON answer is one.
    pub fn events(&self) -> Vec<&[u8]> {
        if !self.stream {
            return vec![&self.wire];
        }
        let (mut events, mut start, mut end) = (Vec::new(), 0, 0);
        for line in self.wire.split_inclusive(|byte| *byte == b'\n') {
            end += line.len();
            if line.trim_ascii().is_empty() {
                events.push(&self.wire[start..end]);
                start = end;
            }
        }
        if start < self.wire.len() {
            events.push(&self.wire[start..]);
        }
        events
    }

    /// The JSON of an event; null where it has none.
    fn json(&self, event: &[u8]) -> Value {
        let text = std::str::from_utf8(event).unwrap();
        if !self.stream {
            return serde_json::from_str(text).unwrap();
        }
        let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
        serde_json::from_str(&data.collect::<Vec<_>>().join("\n")).unwrap_or_default()
    }

    pub fn said(&self) -> Said {
        let documents: Vec<Value> = self.events().into_iter().map(|event| self.json(event)).collect();
        let usage = documents.iter().rev().find_map(usage);
        let has = |name: &str| documents.iter().any(|document| document[name].is_object());
        let has_choices = documents.iter().any(|it| it["choices"].is_array() || it["data"].is_array());
        Said { only_error: has("error") && !has_choices, usage: usage.cloned() }
    }

    /// The bytes without the chunk that only carries usage.
    pub fn without_usage_chunk(&self) -> Vec<u8> {
        let events = self.events();
        let kept = events.into_iter().filter(|event| {
            let json = self.json(event);
            let no_choices = json["choices"].as_array().is_none_or(Vec::is_empty);
            !(self.stream && no_choices && usage(&json).is_some())
        });
        kept.collect::<Vec<_>>().concat()
    }
}

fn usage(document: &Value) -> Option<&Value> {
    [&document["usage"], &document["x_groq"]["usage"]].into_iter().find(|usage| usage.is_object())
}

/// The counts of a usage as product.md reads them.
pub fn counts(usage: &Value) -> Counts {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let input = number(&usage["prompt_tokens"]);
    let beyond = number(&usage["total_tokens"]).saturating_sub(input);
    let cached = &usage["prompt_tokens_details"]["cached_tokens"];
    let cached = if cached.is_u64() { cached } else { &usage["prompt_cache_hit_tokens"] };
    let output = number(&usage["completion_tokens"]).max(beyond);
    Counts { input, cached: number(cached), output }
}
