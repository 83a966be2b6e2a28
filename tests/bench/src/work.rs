//! What is asked and what is answered: bytes that are the same for every variant.

use std::fmt::Write as _;
use std::time::Duration;

/// How many chunks with text a stream has.
pub const CHUNKS: u64 = 50;
/// The time from one chunk to the next.
pub const PACE: Duration = Duration::from_millis(2);

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole JSON answer of about 650 bytes.
    Json,
    /// A stream of [`CHUNKS`] chunks, one every [`PACE`].
    Stream,
    /// The same, as fast as it goes.
    Burst,
}

const MODEL: &str = "accounts/fireworks/models/gpt-oss-120b";
const QUESTION: &str =
    "Why does a kettle sing before it boils, and stop singing when it does? Two sentences.";
const ANSWER: &str = "Small bubbles of steam form at the hot bottom and collapse in the cooler water above, and \
                      their collapse is the singing you hear. Once all of the water is near boiling they no longer \
                      collapse but rise whole, and the song gives way to a rolling bubble.";

/// What a header line of the request says which kind of answer is meant; the gateway does not pass it on, so
/// the provider tells by the body and by the path.
pub fn request(kind: Kind, token: &str) -> Vec<u8> {
    written(kind, token, "", "")
}

/// The same with a number of the caller's own, and perhaps with one more header line. The provider reads the number in
/// the body, and the ledger's entry has it as its intent.
pub fn numbered_request(kind: Kind, token: &str, number: u64, line: &str) -> Vec<u8> {
    let lines = format!("x-matrix-intent-id: {number}\r\n{line}");
    written(kind, token, &lines, &format!(",\"seed\":{number}"))
}

/// The number in the body of such a request.
pub fn number(body: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"seed\":";
    let at = body.windows(KEY.len()).position(|window| window == KEY)?;
    let rest = body.get(at + KEY.len()..)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
}

fn written(kind: Kind, token: &str, lines: &str, options: &str) -> Vec<u8> {
    let stream = match kind {
        Kind::Json => "",
        Kind::Stream => ",\"stream\":true",
        // The provider looks at the user.
        Kind::Burst => ",\"stream\":true,\"user\":\"burst\"",
    };
    let body = format!(
        "{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"system\",\"content\":\"You answer briefly.\"}},\
         {{\"role\":\"user\",\"content\":\"{QUESTION}\"}}],\"temperature\":0.2,\"max_tokens\":200{options}{stream}}}"
    );
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway.test\r\naccept: application/json\r\n\
         user-agent: pax-bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         {lines}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// The kind of a request's body, and whether its stream is to report usage.
pub fn kind(body: &[u8]) -> (Kind, bool) {
    let has = |needle: &[u8]| body.windows(needle.len()).any(|window| window == needle);
    let kind = match has(b"\"stream\":true") {
        false => Kind::Json,
        true if has(b"\"user\":\"burst\"") => Kind::Burst,
        true => Kind::Stream,
    };
    (kind, has(b"\"include_usage\":true"))
}

/// What a provider's answer has besides type and length.
pub const ANSWER_HEADERS: &str = "date: Mon, 23 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\ncache-control: no-cache\r\n\
                                  x-request-id: 4a6cbd5e9f0b4a1f8d2e\r\nx-ratelimit-limit-requests: 6000\r\n\
                                  x-ratelimit-remaining-requests: 5999\r\n";

/// The whole JSON answer.
pub fn json() -> Vec<u8> {
    format!(
        "{{\"id\":\"chatcmpl-bench0001\",\"object\":\"chat.completion\",\"created\":1795400001,\"model\":\"{MODEL}\",\
         \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{ANSWER}\"}},\
         \"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":42,\"completion_tokens\":61,\
         \"total_tokens\":103,\"prompt_tokens_details\":{{\"cached_tokens\":16}}}}}}"
    )
    .into_bytes()
}

/// The events of a stream with text.
pub fn events() -> Vec<Vec<u8>> {
    let words: Vec<&str> = ANSWER.split(' ').collect();
    let event = |(index, word): (u64, &&str)| {
        let finish = if index + 1 == CHUNKS { "\"stop\"" } else { "null" };
        let mut event =
            String::from("data: {\"id\":\"chatcmpl-bench0002\",\"object\":\"chat.completion.chunk\",");
        let _ = write!(
            event,
            "\"created\":1795400002,\"model\":\"{MODEL}\",\"choices\":[{{\"index\":0,\"delta\":\
             {{\"content\":\" {word}\"}},\"finish_reason\":{finish}}}]}}\n\n"
        );
        event.into_bytes()
    };
    (0..CHUNKS).zip(words.iter().cycle()).map(event).collect()
}

/// The chunk that a provider sends when it is asked for usage.
pub fn usage_event() -> Vec<u8> {
    format!(
        "data: {{\"id\":\"chatcmpl-bench0002\",\"object\":\"chat.completion.chunk\",\"created\":1795400002,\
         \"model\":\"{MODEL}\",\"choices\":[],\"usage\":{{\"prompt_tokens\":42,\"completion_tokens\":50,\
         \"total_tokens\":92,\"prompt_tokens_details\":{{\"cached_tokens\":16}}}}}}\n\n"
    )
    .into_bytes()
}

/// The end of a stream.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// What the caller must get, byte for byte: nobody here asks for usage.
pub fn expected(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Json => json(),
        Kind::Stream | Kind::Burst => [events().concat(), DONE.to_vec()].concat(),
    }
}
