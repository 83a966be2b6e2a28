//! The fields of a request body, read while it passes: the JSON reader tells keys and values, and this keeps
//! what matters.

use crate::base::json::reader::{Kind, Sink};
use crate::base::refusal::request_error::RequestError;
use crate::base::text_bytes::TextBytes;
use crate::dialect::usage::Mode;
use crate::reading::request::asked_options::{Options, PartKind, PartSaid};
use crate::reading::request::keys::{self, RequestKey, folds_to, table};
use crate::reading::request::parsed::{Buys, Member, Request, Span, StreamOptions};

/// No model id is longer.
const MODEL_MAX: usize = 256;

/// No provider gives more answers to one call. What is reserved grows with them.
const N_MAX: u64 = 128;

/// How many levels of its path the reader knows: `messages[0].content[0].image_url.url` has six levels.
const LEVELS: usize = 7;
const DEEPEST: usize = LEVELS - 1;

/// What has been read of a body so far.
#[derive(Debug)]
pub(crate) struct BodyFields {
    mode: Mode,
    error: Option<RequestError>,
    /// Offset after the opening brace of the outermost object; none if the body is no object.
    inside: Option<u64>,
    /// The path to the value: at each level a key of an object, or [`RequestKey::Element`].
    path: [RequestKey; LEVELS],
    /// For the object at each level, which keys that matter were seen: one bit for each key of its table.
    seen: [u32; LEVELS],
    begun: u64,
    /// The text of the value being read, if it matters, up to one byte more than can be right.
    value: Vec<u8>,
    keeping: bool,
    /// Whether the value being read is text that an estimate counts.
    counting: bool,
    model: Vec<u8>,
    model_span: Span,
    stream: bool,
    stream_options: StreamOptions,
    /// The top-level member that is being read, or was read last.
    member: Member,
    max_tokens: Option<Member>,
    max_completion_tokens: Option<Member>,
    service_tier: Option<Member>,
    options: Options,
    n: Option<u64>,
    text: TextBytes,
    given_tokens: u64,
    not_text: bool,
    caches: bool,
    /// What was read so far of the current part or tool.
    said: PartSaid,
}

impl BodyFields {
    /// Nothing is read yet.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            error: None,
            inside: None,
            path: [RequestKey::Other; LEVELS],
            seen: [0; LEVELS],
            begun: 0,
            value: Vec::new(),
            keeping: false,
            counting: false,
            model: Vec::new(),
            model_span: Span::default(),
            stream: false,
            stream_options: StreamOptions::Absent,
            member: Member::default(),
            max_tokens: None,
            max_completion_tokens: None,
            service_tier: None,
            options: Options::default(),
            n: None,
            text: TextBytes::default(),
            given_tokens: 0,
            not_text: false,
            caches: false,
            said: PartSaid::default(),
        }
    }

    /// The first mistake, if there is one.
    pub fn error(&mut self) -> Option<RequestError> {
        self.error.take()
    }

    /// The request that the whole body makes. The body has `body_bytes` bytes.
    pub fn finish(mut self, body_bytes: u64) -> Result<Request, RequestError> {
        if self.n > Some(1) {
            self.options.several_answers();
        }
        let inside = self.inside.ok_or(RequestError::NotAnObject)?;
        let model = String::from_utf8(self.model).unwrap_or_default();
        if model.is_empty() {
            return Err(RequestError::MissingModel);
        }
        Ok(Request {
            model,
            model_span: self.model_span,
            inside,
            stream: self.stream,
            stream_options: self.stream_options,
            max_tokens: self.max_tokens,
            max_completion_tokens: self.max_completion_tokens,
            service_tier: self.options.tier,
            service_tier_at: self.service_tier,
            options: self.options.asked,
            n: self.n.unwrap_or(1),
            text: self.text,
            given_tokens: self.given_tokens,
            not_text: self.not_text,
            caches: self.caches,
            body_bytes,
        })
    }

    /// The way to the value at `depth`, as far as it is known.
    fn way(&self, depth: usize) -> &[RequestKey] {
        self.path.get(1..=depth).unwrap_or(&[])
    }

    fn refuse(&mut self, error: RequestError) {
        self.error.get_or_insert(error);
    }

    fn wrong_type(&mut self, key: &'static str, must_be: &'static str) {
        self.refuse(RequestError::WrongType { key, must_be });
    }

    fn top_begin(&mut self, kind: Kind, at: u64) {
        match (self.way(1), kind) {
            (_, Kind::Null) => {}
            ([RequestKey::StreamOptions], Kind::Object) => {
                self.stream_options = StreamOptions::Without { inside: at.saturating_add(1), empty: true };
            }
            ([RequestKey::StreamOptions], _) => self.wrong_type("stream_options", "an object"),
            ([RequestKey::Messages | RequestKey::Tools | RequestKey::Modalities], Kind::Array) => {}
            ([RequestKey::Messages], _) => self.wrong_type("messages", "a list"),
            ([RequestKey::Tools], _) => self.wrong_type("tools", "a list"),
            ([RequestKey::Modalities], _) => self.wrong_type("modalities", "a list"),
            // If it is no object, it could ask for what its members must not ask for.
            ([RequestKey::Shaped(shape)], kind) if kind != Kind::Object => {
                self.options.ask(shape.key, Buys::Other)
            }
            _ => {}
        }
    }

    /// Notes what a value below the top level is, if that matters before the value ends.
    fn inner_begin(&mut self, depth: usize, kind: Kind) {
        match (self.way(depth), kind) {
            ([RequestKey::Messages, RequestKey::Element, RequestKey::Content], Kind::Object) => {
                self.options.ask("messages.content", Buys::Other);
            }
            ([_, _, RequestKey::Content, RequestKey::Element, name], kind) if kind != Kind::Null => {
                match name {
                    RequestKey::Picture | RequestKey::File => self.said.picture = true,
                    RequestKey::Media => self.said.media = true,
                    _ => {}
                }
            }
            ([RequestKey::Tools, RequestKey::Element, RequestKey::Function], kind) if kind != Kind::Null => {
                self.said.function = true;
            }
            ([RequestKey::Tools, RequestKey::Element, RequestKey::Custom], kind) if kind != Kind::Null => {
                self.said.custom = true;
            }
            _ => {}
        }
    }

    fn top_end(&mut self, name: RequestKey, kind: Kind, span: Span) {
        self.member.value = span;
        match (name, kind) {
            (RequestKey::Model, Kind::String) if self.value.len() <= MODEL_MAX => {
                self.model = std::mem::take(&mut self.value);
                self.model_span = span;
            }
            (RequestKey::Model, Kind::Null) => {}
            (RequestKey::Model, _) => self.wrong_type("model", "a string of at most 256 bytes"),
            (RequestKey::Stream, Kind::True) => self.stream = true,
            (RequestKey::Stream, Kind::False | Kind::Null) => {}
            (RequestKey::Stream, _) => self.wrong_type("stream", "true or false"),
            (RequestKey::StreamOptions, Kind::Null) => self.stream_options = StreamOptions::Null(span),
            (RequestKey::MaxTokens, _) => {
                let number = self.count("max_tokens", kind);
                self.max_tokens = Some(Member { number, ..self.member });
            }
            (RequestKey::MaxCompletionTokens, _) => {
                let number = self.count("max_completion_tokens", kind);
                self.max_completion_tokens = Some(Member { number, ..self.member });
            }
            (RequestKey::N, _) => {
                self.n = self.count("n", kind);
                if self.n > Some(N_MAX) {
                    self.wrong_type("n", "a whole number from 1 to 128");
                }
            }
            (RequestKey::ServiceTier, Kind::Null | Kind::String) => {
                self.service_tier = Some(self.member);
                if kind == Kind::String {
                    self.options.tier(&self.value);
                }
            }
            (RequestKey::CacheRetention, _) => self.options.cache_retention(kind, &self.value),
            (RequestKey::ServiceTier, _) => self.wrong_type("service_tier", "a string"),
            _ => {}
        }
    }

    /// A top-level key begins at `at`: the member before it is over.
    fn next_member(&mut self, at: u64) {
        let last = self.member.key_at;
        for member in [&mut self.max_tokens, &mut self.max_completion_tokens, &mut self.service_tier]
            .into_iter()
            .flatten()
        {
            if member.key_at == last && member.next_key_at.is_none() {
                member.next_key_at = Some(at);
            }
        }
        let previous_end = self.member.value.end;
        self.member = Member { key_at: at, previous_end, ..Member::default() };
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

    /// A tool ends. Its type must have named a function of the caller's own: any other tool is the
    /// provider's, and is billed apart.
    fn tool_end(&mut self, kind: Kind) {
        let both = self.said.function && self.said.custom;
        if !self.said.its_type || kind != Kind::Object || both {
            self.options.ask("tools", Buys::Other);
        }
    }

    fn part_end(&mut self, depth: usize, kind: Kind) {
        match self.path.get(5..=depth).unwrap_or(&[]) {
            [RequestKey::Type] => {
                let part = self.options.part(kind, &self.value);
                self.said.part = Some(part);
                self.not_text |= part != PartKind::Text;
            }
            [RequestKey::Picture] | [RequestKey::Picture, RequestKey::Url] if kind == Kind::String => {
                self.options.picture(&self.value);
            }
            [RequestKey::File, RequestKey::FileData] if kind == Kind::String => {
                self.options.file(&self.value)
            }
            // Some servers guess from a part's members what it is: if it has no type, and even if its type
            // tells otherwise.
            [] if kind == Kind::Object && self.said.hides() => {
                self.options.ask("messages.content", Buys::Other);
                self.not_text = true;
            }
            _ => {}
        }
    }
}

impl Sink for BodyFields {
    fn key(&mut self, depth: usize, key: &[u8], at: u64) {
        if let (2, [RequestKey::StreamOptions], StreamOptions::Without { empty, .. }) =
            (depth, self.path.get(1..2).unwrap_or(&[]), &mut self.stream_options)
        {
            *empty = false;
        }
        let mut name = RequestKey::Other;
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
        if depth == 1 {
            self.next_member(at);
        }
        if let Some(way) = self.path.get(1..depth) {
            self.options.key(self.mode, way, key);
        }
        if depth > 1 && self.way(1) == [RequestKey::Tools] {
            self.text.add(key);
        }
    }

    fn begin(&mut self, depth: usize, kind: Kind, at: u64) {
        self.begun = at;
        self.value.clear();
        self.keeping = keys::keeps(self.way(depth));
        self.counting = kind == Kind::String && keys::is_text(self.way(depth.min(DEEPEST)));
        self.options.value(kind);
        self.caches |= kind != Kind::Null && matches!(self.way(depth), [.., RequestKey::CacheControl]);
        // Nobody can tell from the bytes of an object, such as a picture, what it costs to embed.
        if kind == Kind::Object && self.mode == Mode::Embeddings && self.way(1) == [RequestKey::Input] {
            self.options.ask("input", Buys::Other);
        }
        match depth {
            0 => {
                self.inside = (kind == Kind::Object).then_some(at.saturating_add(1));
                self.member.value.end = at.saturating_add(1);
            }
            1 => self.top_begin(kind, at),
            _ => self.inner_begin(depth, kind),
        }
        if kind == Kind::Object || kind == Kind::Array {
            let inside = depth.saturating_add(1);
            if let Some(seen) = self.seen.get_mut(inside) {
                *seen = 0;
            }
            if let Some(place) = self.path.get_mut(inside) {
                *place = if kind == Kind::Array { RequestKey::Element } else { RequestKey::Other };
            }
            if matches!(
                self.way(depth),
                [RequestKey::Tools, RequestKey::Element] | [RequestKey::Messages, _, RequestKey::Content, _]
            ) {
                self.said = PartSaid::default();
            }
        }
    }

    fn piece(&mut self, bytes: &[u8]) {
        if self.counting {
            self.text.add(bytes);
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
            [RequestKey::StreamOptions, RequestKey::IncludeUsage] => match kind {
                Kind::True | Kind::False | Kind::Null => {
                    let include_usage = kind == Kind::True;
                    self.stream_options = StreamOptions::With { include_usage, value: span };
                }
                _ => self.wrong_type("stream_options.include_usage", "true or false"),
            },
            [RequestKey::Modalities, RequestKey::Element] => self.options.modality(kind, &self.value),
            [RequestKey::Tools, RequestKey::Element, RequestKey::Type] => {
                self.said.its_type = true;
                if kind != Kind::String || !matches!(self.value.as_slice(), b"function" | b"custom") {
                    self.options.ask("tools", Buys::Other);
                }
            }
            [.., RequestKey::CacheControl, RequestKey::Ttl] => self.options.cache_life(kind, &self.value),
            [RequestKey::Tools, RequestKey::Element] => self.tool_end(kind),
            [RequestKey::Messages, RequestKey::Element, RequestKey::Content, RequestKey::Element, ..] => {
                self.part_end(depth, kind)
            }
            // The id of audio that the assistant said earlier: the model hears it again.
            [RequestKey::Messages, RequestKey::Element, RequestKey::SaidAudio] if kind != Kind::Null => {
                self.options.ask("messages.audio", Buys::AudioInput);
                self.not_text = true;
            }
            [RequestKey::Input, ..] if kind == Kind::Number && self.mode == Mode::Embeddings => {
                self.given_tokens = self.given_tokens.saturating_add(1);
            }
            _ => {}
        }
    }
}
