//! Reads a request body as it arrives, cut anywhere, and never keeps it: what matters are a few keys, their
//! places and their values.
//!
//! What the gateway reads must be what the provider reads, so a key that matters may stand once, in its exact
//! spelling; a second one, or one that only case folding makes equal, is refused.

use crate::json::{Kind, Reader, Sink};
use crate::refusal::Refusal;
use crate::request::{Buys, NullMaxima, Request, RequestError, Span, StreamOptions};
use crate::request_keys::{Name, folds_to, table};
use crate::request_options::Options;
use crate::usage::Mode;

/// No model id is longer.
const MODEL_MAX: usize = 256;

/// How deep the reader knows where it is: `messages[0].content[0].type` has five levels.
const LEVELS: usize = 6;
const DEEPEST: usize = LEVELS - 1;

/// Reads a request body, cut anywhere.
#[derive(Debug)]
pub struct RequestReader {
    json: Reader,
    body: Reading,
}

impl RequestReader {
    /// A reader for one body.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self { json: Reader::default(), body: Reading::new(mode) }
    }

    /// Reads the next bytes. A mistake is told by [`RequestReader::finish`].
    pub fn push(&mut self, bytes: &[u8]) {
        // The reader remembers its mistake: a later push does nothing, and finish tells it.
        let _ = self.json.push(bytes, &mut self.body);
    }

    /// How many bytes were read; a body that is wrong is counted up to its mistake.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.json.offset()
    }

    /// Says that the body is complete.
    ///
    /// # Errors
    /// Why the body is refused: the first mistake in the order of its bytes.
    pub fn finish(mut self) -> Result<Request, RequestError> {
        let read = self.json.finish(&mut self.body);
        if let Some(error) = self.body.error {
            return Err(error);
        }
        read.map_err(RequestError::NotJson)?;
        let body = self.body;
        if !body.is_object {
            return Err(RequestError::NotAnObject);
        }
        let model = String::from_utf8(body.model).unwrap_or_default();
        if model.is_empty() {
            return Err(RequestError::MissingModel);
        }
        Ok(Request {
            model,
            model_span: body.model_span,
            stream: body.stream,
            stream_options: body.stream_options,
            stated_max_output: body.max_tokens.max(body.max_completion_tokens),
            null_maxima: body.null_maxima,
            service_tier: body.options.tier,
            options: body.options.bought,
            n: body.n.unwrap_or(1),
            text_bytes: body.text_bytes,
            given_tokens: body.given_tokens,
            not_text: body.not_text,
            body_bytes: self.json.offset(),
        })
    }
}

/// A body that comes, or has come.
#[derive(Debug)]
pub enum Body {
    /// It comes.
    Coming(Box<RequestReader>),
    /// It has come; what it says, or why it is refused.
    Complete(Box<Result<Request, RequestError>>),
}

impl Body {
    /// A body of which nothing has come yet; `end` where there is none.
    #[must_use]
    pub fn new(mode: Mode, end: bool) -> Self {
        let reader = RequestReader::new(mode);
        match end {
            true => Self::Complete(Box::new(reader.finish())),
            false => Self::Coming(Box::new(reader)),
        }
    }

    /// Reads more of it.
    ///
    /// # Errors
    /// [`Refusal::RequestTooLarge`] beyond `limit_bytes`.
    pub fn read(self, bytes: &[u8], end: bool, limit_bytes: u64) -> Result<Self, Refusal> {
        let Self::Coming(mut reader) = self else { return Ok(self) };
        reader.push(bytes);
        if reader.received() > limit_bytes {
            return Err(Refusal::RequestTooLarge { limit_bytes });
        }
        Ok(if end { Self::Complete(Box::new(reader.finish())) } else { Self::Coming(reader) })
    }
}

/// What has been read of a body so far.
#[derive(Debug)]
struct Reading {
    mode: Mode,
    error: Option<RequestError>,
    is_object: bool,
    /// What stands at each level: the key of the object, or [`Name::Element`].
    path: [Name; LEVELS],
    /// The keys that matter seen in the object at each level, one bit for each of its table.
    seen: [u32; LEVELS],
    begun: u64,
    /// The text of the value being read, where it matters, up to one byte more than can be right.
    value: Vec<u8>,
    keeping: bool,
    /// Whether the value being read is text that an estimate counts.
    counting: bool,
    model: Vec<u8>,
    model_span: Span,
    stream: bool,
    stream_options: StreamOptions,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    null_maxima: NullMaxima,
    options: Options,
    n: Option<u64>,
    text_bytes: u64,
    given_tokens: u64,
    not_text: bool,
    /// Whether the part or tool being read has said its type.
    typed: bool,
}

impl Reading {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            error: None,
            is_object: false,
            path: [Name::Other; LEVELS],
            seen: [0; LEVELS],
            begun: 0,
            value: Vec::new(),
            keeping: false,
            counting: false,
            model: Vec::new(),
            model_span: Span::default(),
            stream: false,
            stream_options: StreamOptions::Absent,
            max_tokens: None,
            max_completion_tokens: None,
            null_maxima: NullMaxima::default(),
            options: Options::default(),
            n: None,
            text_bytes: 0,
            given_tokens: 0,
            not_text: false,
            typed: false,
        }
    }

    /// The way to the value at `depth`, as far as it is known.
    fn way(&self, depth: usize) -> &[Name] {
        self.path.get(1..=depth).unwrap_or(&[])
    }

    fn refuse(&mut self, error: RequestError) {
        self.error.get_or_insert(error);
    }

    fn wrong_type(&mut self, key: &'static str, must_be: &'static str) {
        self.refuse(RequestError::WrongType { key, must_be });
    }

    /// Whether the text of the value at this place is kept until it ends.
    fn keeps(way: &[Name]) -> bool {
        matches!(
            way,
            [Name::Model | Name::MaxTokens | Name::MaxCompletionTokens | Name::N | Name::ServiceTier]
                | [Name::Modalities, Name::Element]
                | [Name::Tools, Name::Element, Name::Type]
                | [Name::Messages, Name::Element, Name::Content, Name::Element, Name::Type]
        )
    }

    /// Whether a string at this place is text that a model reads. The picture of an image part is not.
    fn is_text(way: &[Name]) -> bool {
        match way {
            [Name::Messages, Name::Element, Name::Content, Name::Element, inside @ ..] => {
                matches!(inside, [] | [Name::Text])
            }
            [Name::Messages | Name::Input | Name::Tools, ..] => true,
            [Name::Other, ..] => true,
            _ => false,
        }
    }

    fn top_begin(&mut self, kind: Kind, at: u64) {
        match (self.way(1), kind) {
            (_, Kind::Null) => {}
            // `enable_search: false` buys nothing.
            ([Name::Hosted(_, _)], Kind::False) => {}
            ([Name::Hosted(key, buys)], _) => {
                let (key, buys) = (*key, *buys);
                self.options.buys(key, buys);
            }
            ([Name::StreamOptions], Kind::Object) => {
                self.stream_options = StreamOptions::Without { inside: at.saturating_add(1), empty: true };
            }
            ([Name::StreamOptions], _) => self.wrong_type("stream_options", "an object"),
            ([Name::Messages], Kind::Array) | ([Name::Tools], Kind::Array) => {}
            ([Name::Messages], _) => self.wrong_type("messages", "a list"),
            ([Name::Tools], _) => self.wrong_type("tools", "a list"),
            ([Name::Modalities], Kind::Array) => {}
            ([Name::Modalities], _) => self.wrong_type("modalities", "a list"),
            _ => {}
        }
    }

    fn top_end(&mut self, name: Name, kind: Kind, span: Span) {
        match (name, kind) {
            (Name::Model, Kind::String) if self.value.len() <= MODEL_MAX => {
                self.model = std::mem::take(&mut self.value);
                self.model_span = span;
            }
            (Name::Model, Kind::Null) => {}
            (Name::Model, _) => self.wrong_type("model", "a string of at most 256 bytes"),
            (Name::Stream, Kind::True) => self.stream = true,
            (Name::Stream, Kind::False | Kind::Null) => {}
            (Name::Stream, _) => self.wrong_type("stream", "true or false"),
            (Name::StreamOptions, Kind::Null) => self.stream_options = StreamOptions::Null(span),
            (Name::MaxTokens, Kind::Null) => self.null_maxima.max_tokens = Some(span),
            (Name::MaxCompletionTokens, Kind::Null) => {
                self.null_maxima.max_completion_tokens = Some(span);
            }
            (Name::MaxTokens, _) => self.max_tokens = self.count("max_tokens", kind),
            (Name::MaxCompletionTokens, _) => {
                self.max_completion_tokens = self.count("max_completion_tokens", kind);
            }
            (Name::N, _) => self.n = self.count("n", kind),
            (Name::ServiceTier, Kind::Null) => {}
            (Name::ServiceTier, Kind::String) => self.options.tier(&self.value),
            (Name::ServiceTier, _) => self.wrong_type("service_tier", "a string"),
            _ => {}
        }
    }

    fn count(&mut self, key: &'static str, kind: Kind) -> Option<u64> {
        let text = std::str::from_utf8(&self.value).ok();
        let count = text.and_then(|text| text.parse().ok()).filter(|count| *count > 0);
        match (kind, count) {
            (Kind::Null, _) => None,
            (Kind::Number, Some(count)) => Some(count),
            _ => {
                self.wrong_type(key, "a whole number above 0");
                None
            }
        }
    }

    fn part_type(&mut self, kind: Kind) {
        self.typed = true;
        match (kind, self.value.as_slice()) {
            (Kind::String, b"text" | b"refusal") => {}
            (Kind::String, b"input_audio" | b"audio_url") => {
                self.options.buys("messages", Buys::AudioInput);
                self.not_text = true;
            }
            _ => self.not_text = true,
        }
    }
}

impl Sink for Reading {
    fn key(&mut self, depth: usize, key: &[u8], _: u64) {
        if let (2, [Name::StreamOptions], StreamOptions::Without { empty, .. }) =
            (depth, self.path.get(1..2).unwrap_or(&[]), &mut self.stream_options)
        {
            *empty = false;
        }
        let mut name = Name::Other;
        for ((exact, found), bit) in table(depth, self.way(depth.saturating_sub(1))).iter().zip(0u32..) {
            if !folds_to(key, exact.as_bytes()) {
                continue;
            }
            name = *found;
            if key != exact.as_bytes() {
                self.refuse(RequestError::Spelling(exact));
            }
            let bit = 1u32.checked_shl(bit).unwrap_or(0);
            if let Some(seen) = self.seen.get_mut(depth) {
                let twice = *seen & bit != 0;
                *seen |= bit;
                if twice {
                    self.refuse(RequestError::Twice(exact));
                }
            }
        }
        if let Some(place) = self.path.get_mut(depth) {
            *place = name;
        }
        if depth > 1 && self.way(1) == [Name::Tools] {
            self.text_bytes = self.text_bytes.saturating_add(length(key));
        }
    }

    fn begin(&mut self, depth: usize, kind: Kind, at: u64) {
        self.begun = at;
        self.value.clear();
        self.keeping = Self::keeps(self.way(depth));
        self.counting = kind == Kind::String && Self::is_text(self.way(depth.min(DEEPEST)));
        match depth {
            0 => self.is_object = kind == Kind::Object,
            1 => self.top_begin(kind, at),
            _ => {}
        }
        if kind == Kind::Object || kind == Kind::Array {
            let inside = depth.saturating_add(1);
            if let Some(seen) = self.seen.get_mut(inside) {
                *seen = 0;
            }
            if let Some(place) = self.path.get_mut(inside) {
                *place = if kind == Kind::Array { Name::Element } else { Name::Other };
            }
            if matches!(self.way(depth), [Name::Tools, Name::Element] | [Name::Messages, _, Name::Content, _])
            {
                self.typed = false;
            }
        }
    }

    fn piece(&mut self, bytes: &[u8]) {
        if self.counting {
            self.text_bytes = self.text_bytes.saturating_add(length(bytes));
        }
        if self.keeping {
            let room = MODEL_MAX.saturating_add(1).saturating_sub(self.value.len());
            self.value.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    fn end(&mut self, depth: usize, kind: Kind, end: u64) {
        let span = Span { start: self.begun, end };
        match self.path.get(1..=depth).unwrap_or(&[]) {
            [name] => self.top_end(*name, kind, span),
            [Name::StreamOptions, Name::IncludeUsage] => match kind {
                Kind::True | Kind::False | Kind::Null => {
                    let include_usage = kind == Kind::True;
                    self.stream_options = StreamOptions::With { include_usage, value: span };
                }
                _ => self.wrong_type("stream_options.include_usage", "true or false"),
            },
            [Name::Modalities, Name::Element] => self.options.modality(kind, &self.value),
            [Name::Tools, Name::Element, Name::Type] => {
                self.typed = true;
                self.options.tool(kind, &self.value);
            }
            [Name::Tools, Name::Element] if !self.typed || kind != Kind::Object => {
                self.options.buys("tools", Buys::Other);
            }
            [Name::Messages, Name::Element, Name::Content, Name::Element, Name::Type] => self.part_type(kind),
            [Name::Messages, Name::Element, Name::Content, Name::Element] => {
                self.not_text |= !self.typed && kind == Kind::Object;
            }
            // What an assistant said earlier, by its id: the model hears it again.
            [Name::Messages, Name::Element, Name::SaidAudio] if kind != Kind::Null => {
                self.options.buys("messages", Buys::AudioInput);
                self.not_text = true;
            }
            [Name::Input, ..] if kind == Kind::Number && self.mode == Mode::Embeddings => {
                self.given_tokens = self.given_tokens.saturating_add(1);
            }
            _ => {}
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "request_body_test.rs"]
mod tests;
