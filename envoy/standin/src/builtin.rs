//! The answers that need no folder: they echo the request, in OpenAI's shapes.
//!
//! Counts are made up but follow the request, so that a reader can check them: one prompt token per four
//! bytes of `messages` or `input` as JSON, rounded up; one completion token per piece of text. How many pieces there
//! are is decided by [`Work`].

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::sse;
use crate::work::Work;

const ID: &str = "chatcmpl-standin-0001";
/// 2026-11-23T00:00:00Z: fixed, so that the same request gets the same bytes.
const CREATED: u64 = 1_795_392_000;
/// Length of a built-in embedding where the request states none.
const DIMENSIONS: u64 = 8;
/// The longest embedding anyone may ask for.
const MAX_DIMENSIONS: u64 = 8192;

/// The members of an answer in the order in which OpenAI writes them.
#[derive(Serialize)]
struct Completion<'a> {
    id: &'static str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice>,
    /// Absent, null or the counts: three different things in a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct Choice {
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Message>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Option<()>>,
}

impl Message {
    fn assistant(content: String) -> Self {
        Self { role: Some("assistant"), content: Some(content), refusal: Some(None) }
    }
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<u64>,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Default, Serialize)]
struct PromptDetails {
    cached_tokens: u8,
    audio_tokens: u8,
}

#[derive(Default, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u8,
    audio_tokens: u8,
    accepted_prediction_tokens: u8,
    rejected_prediction_tokens: u8,
}

#[derive(Serialize)]
struct Embeddings<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Value,
}

/// What a chat request says, as far as the stand-in listens.
pub(crate) struct ChatRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) prompt_tokens: u64,
    pub(crate) work: &'a Work,
}

impl ChatRequest<'_> {
    /// The words of the answer, and why it ends.
    fn pieces(&self) -> (impl Iterator<Item = String>, &'static str) {
        let text = greeting(self.model);
        let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
        let more = (1_u64..).map(|number| format!(" {number}"));
        let tokens = usize::try_from(self.work.tokens).unwrap_or(usize::MAX);
        (words.into_iter().chain(more).take(tokens), if self.work.cut { "length" } else { "stop" })
    }

    fn usage(&self) -> Usage {
        let completion_tokens = self.work.tokens.saturating_mul(self.work.choices);
        Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: Some(completion_tokens),
            total_tokens: self.prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: Some(PromptDetails::default()),
            completion_tokens_details: Some(CompletionDetails::default()),
        }
    }

    fn completion(&self, object: &'static str, choices: Vec<Choice>, usage: Option<Option<Usage>>) -> Bytes {
        to_bytes(&Completion {
            id: ID,
            object,
            created: CREATED,
            model: self.model,
            choices,
            usage,
            service_tier: self.work.tier.as_deref(),
            system_fingerprint: "fp_standin",
        })
    }

    /// The whole answer.
    pub(crate) fn json(&self) -> Bytes {
        let choice = |index| {
            let (pieces, finish_reason) = self.pieces();
            let message = Some(Message::assistant(pieces.collect()));
            Choice { index, message, delta: None, logprobs: None, finish_reason: Some(finish_reason) }
        };
        let choices = (0..self.work.choices).map(choice).collect();
        self.completion("chat.completion", choices, Some(Some(self.usage())))
    }

    /// The stream's events: the usage-only chunk, and `"usage":null` before it, only `with_usage`.
    pub(crate) fn events(&self, with_usage: bool) -> Vec<Bytes> {
        let part = |index, delta: Message, finish_reason: Option<&'static str>| {
            let choice = Choice { index, message: None, delta: Some(delta), logprobs: None, finish_reason };
            let usage = with_usage.then_some(None);
            sse::event(&self.completion("chat.completion.chunk", vec![choice], usage))
        };
        let mut events = Vec::new();
        for index in 0..self.work.choices {
            let (pieces, finish_reason) = self.pieces();
            events.push(part(index, Message::assistant(String::new()), None));
            let words = pieces.map(|piece| Message { content: Some(piece), ..Message::default() });
            events.extend(words.map(|delta| part(index, delta, None)));
            events.push(part(index, Message::default(), Some(finish_reason)));
        }
        if with_usage {
            let usage = Some(Some(self.usage()));
            events.push(sse::event(&self.completion("chat.completion.chunk", Vec::new(), usage)));
        }
        events.push(sse::event(b"[DONE]"));
        events
    }
}

fn greeting(model: &str) -> String {
    format!("Hello from the stand-in provider, which plays {model}. Nothing was thought.")
}

/// How long the answer is of a model that ends by itself.
pub(crate) fn greeting_tokens(model: &str) -> u64 {
    greeting(model).split_inclusive(' ').map(|_| 1).sum()
}

/// An embedding per input item: `dimensions` numbers, as `encoding_format` asks.
pub(crate) fn embeddings(model: &str, request: &Value) -> Bytes {
    let items = match &request["input"] {
        // An array of numbers is one text's tokens.
        Value::Array(items) if !items.iter().all(Value::is_number) => items.len(),
        _ => 1,
    };
    let dimensions = request["dimensions"].as_u64().unwrap_or(DIMENSIONS).min(MAX_DIMENSIONS);
    let in_base64 = request["encoding_format"] == "base64";
    let embedding =
        |index| Embedding { object: "embedding", index, embedding: vector(index, dimensions, in_base64) };
    let prompt_tokens = tokens(&request["input"]);
    let usage = Usage {
        prompt_tokens,
        completion_tokens: None,
        total_tokens: prompt_tokens,
        prompt_tokens_details: None,
        completion_tokens_details: None,
    };
    to_bytes(&Embeddings { object: "list", data: (0..items).map(embedding).collect(), model, usage })
}

/// Numbers that differ by item and place, and are the same for the same request.
fn vector(item: usize, dimensions: u64, in_base64: bool) -> Value {
    let item = u64::try_from(item).unwrap_or(u64::MAX);
    let number = |place: u64| {
        let digits = item.wrapping_mul(7919).wrapping_add(place.wrapping_mul(104_729)) % 100_000;
        let sign = if place % 3 == 1 { "-" } else { "" };
        format!("{sign}0.0{digits:05}")
    };
    if in_base64 {
        let single = |place| number(place).parse::<f32>().unwrap_or_default().to_le_bytes();
        let bytes: Vec<u8> = (0..dimensions).flat_map(single).collect();
        return Value::String(base64(&bytes));
    }
    Value::Array(
        (0..dimensions).map(|place| json!(number(place).parse::<f64>().unwrap_or_default())).collect(),
    )
}

/// One token per four bytes of JSON, rounded up.
pub(crate) fn tokens(value: &Value) -> u64 {
    u64::try_from(value.to_string().len().div_ceil(4)).unwrap_or(u64::MAX)
}

fn to_bytes(answer: &impl Serialize) -> Bytes {
    // These structs have no map with odd keys: writing them into memory cannot fail.
    serde_json::to_vec(answer).unwrap_or_default().into()
}

/// RFC 4648, padded: for one field of one answer, not worth a dependency.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 3];
        padded[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn there_is_one_embedding_per_input_item() {
        for (input, items) in
            [(json!("a"), 1), (json!(["a", "b", "c"]), 3), (json!([1, 2, 3]), 1), (json!([[1, 2], [3]]), 2)]
        {
            let answer: Value =
                serde_json::from_slice(&embeddings("m", &json!({"input": input, "dimensions": 3}))).unwrap();
            assert_eq!(answer["data"].as_array().unwrap().len(), items, "{input}");
            assert_eq!(answer["data"][0]["embedding"].as_array().unwrap().len(), 3);
        }
    }
}
