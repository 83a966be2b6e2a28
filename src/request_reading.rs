//! What is read of a request body while it passes: the reader tells keys and values, and this keeps what matters.

use crate::json::{Kind, Sink};
use crate::request::{Buys, Member, Request, Span, StreamOptions};
use crate::request_error::RequestError;
use crate::request_keys::{self, Name, folds_to, table};
use crate::request_options::{Options, PartKind, Said};
use crate::text_bytes::TextBytes;
use crate::usage::Mode;

/// No model id is longer.
const MODEL_MAX: usize = 256;

/// More answers to one call than these no provider gives; and what is reserved grows with them.
const N_MAX: u64 = 128;

/// How deep the reader knows where it is: `messages[0].content[0].image_url.url` has six levels.
const LEVELS: usize = 7;
const DEEPEST: usize = LEVELS - 1;

/// What has been read of a body so far.
#[derive(Debug)]
pub(crate) struct Reading {
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
    /// What the part or tool being read has said so far.
    said: Said,
}

impl Reading {
    /// Nothing is read yet.
    pub fn new(mode: Mode) -> Self {
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
            said: Said::default(),
        }
    }

    /// The first mistake, if there is one.
    pub fn error(&mut self) -> Option<RequestError> {
        self.error.take()
    }

    /// What the whole body says, which has so many bytes.
    pub fn finish(mut self, body_bytes: u64) -> Result<Request, RequestError> {
        if self.n > Some(1) {
            self.options.several_answers();
        }
        if !self.is_object {
            return Err(RequestError::NotAnObject);
        }
        let model = String::from_utf8(self.model).unwrap_or_default();
        if model.is_empty() {
            return Err(RequestError::MissingModel);
        }
        Ok(Request {
            model,
            model_span: self.model_span,
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
    fn way(&self, depth: usize) -> &[Name] {
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
            ([Name::StreamOptions], Kind::Object) => {
                self.stream_options = StreamOptions::Without { inside: at.saturating_add(1), empty: true };
            }
            ([Name::StreamOptions], _) => self.wrong_type("stream_options", "an object"),
            ([Name::Messages | Name::Tools | Name::Modalities], Kind::Array) => {}
            ([Name::Messages], _) => self.wrong_type("messages", "a list"),
            ([Name::Tools], _) => self.wrong_type("tools", "a list"),
            ([Name::Modalities], _) => self.wrong_type("modalities", "a list"),
            // As something else than an object it could say what its members are not allowed to.
            ([Name::Shaped(shape)], kind) if kind != Kind::Object => self.options.ask(shape.key, Buys::Other),
            _ => {}
        }
    }

    /// What a value below the top level is, where that matters before it ends.
    fn inner_begin(&mut self, depth: usize, kind: Kind) {
        match (self.way(depth), kind) {
            ([Name::Messages, Name::Element, Name::Content], Kind::Object) => {
                self.options.ask("messages.content", Buys::Other);
            }
            ([_, _, Name::Content, Name::Element, name], kind) if kind != Kind::Null => match name {
                Name::Picture | Name::File => self.said.picture = true,
                Name::Media => self.said.media = true,
                _ => {}
            },
            ([Name::Tools, Name::Element, Name::Function], kind) if kind != Kind::Null => {
                self.said.function = true;
            }
            ([Name::Tools, Name::Element, Name::Custom], kind) if kind != Kind::Null => {
                self.said.custom = true;
            }
            _ => {}
        }
    }

    fn top_end(&mut self, name: Name, kind: Kind, span: Span) {
        self.member.value = span;
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
            (Name::MaxTokens, _) => {
                let number = self.count("max_tokens", kind);
                self.max_tokens = Some(Member { number, ..self.member });
            }
            (Name::MaxCompletionTokens, _) => {
                let number = self.count("max_completion_tokens", kind);
                self.max_completion_tokens = Some(Member { number, ..self.member });
            }
            (Name::N, _) => {
                self.n = self.count("n", kind);
                if self.n > Some(N_MAX) {
                    self.wrong_type("n", "a whole number from 1 to 128");
                }
            }
            (Name::ServiceTier, Kind::Null | Kind::String) => {
                self.service_tier = Some(self.member);
                if kind == Kind::String {
                    self.options.tier(&self.value);
                }
            }
            (Name::CacheRetention, _) => self.options.cache_retention(kind, &self.value),
            (Name::ServiceTier, _) => self.wrong_type("service_tier", "a string"),
            _ => {}
        }
    }

    /// A top-level key: the member before it is over, and this is where its successor begins.
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

    /// A tool that ends must have said that it is a function of the caller's own: any other is the provider's, and is
    /// billed apart.
    fn tool_end(&mut self, kind: Kind) {
        let both = self.said.function && self.said.custom;
        if !self.said.its_type || kind != Kind::Object || both {
            self.options.ask("tools", Buys::Other);
        }
    }

    fn part_end(&mut self, depth: usize, kind: Kind) {
        match self.path.get(5..=depth).unwrap_or(&[]) {
            [Name::Type] => {
                let part = self.options.part(kind, &self.value);
                self.said.part = Some(part);
                self.not_text |= part != PartKind::Text;
            }
            [Name::Picture] | [Name::Picture, Name::Url] if kind == Kind::String => {
                self.options.picture(&self.value);
            }
            [Name::File, Name::FileData] if kind == Kind::String => self.options.file(&self.value),
            // Some servers guess from its members what a part is that does not say it, or although it says otherwise.
            [] if kind == Kind::Object && self.said.hides() => {
                self.options.ask("messages.content", Buys::Other);
                self.not_text = true;
            }
            _ => {}
        }
    }
}

impl Sink for Reading {
    fn key(&mut self, depth: usize, key: &[u8], at: u64) {
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
        if depth == 1 {
            self.next_member(at);
        }
        if let Some(way) = self.path.get(1..depth) {
            self.options.key(self.mode, way, key);
        }
        if depth > 1 && self.way(1) == [Name::Tools] {
            self.text.add(key);
        }
    }

    fn begin(&mut self, depth: usize, kind: Kind, at: u64) {
        self.begun = at;
        self.value.clear();
        self.keeping = request_keys::keeps(self.way(depth));
        self.counting = kind == Kind::String && request_keys::is_text(self.way(depth.min(DEEPEST)));
        self.options.value(kind);
        self.caches |= kind != Kind::Null && matches!(self.way(depth), [.., Name::CacheControl]);
        // A picture to embed, say, costs what nobody can tell from its bytes.
        if kind == Kind::Object && self.mode == Mode::Embeddings && self.way(1) == [Name::Input] {
            self.options.ask("input", Buys::Other);
        }
        match depth {
            0 => {
                self.is_object = kind == Kind::Object;
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
                *place = if kind == Kind::Array { Name::Element } else { Name::Other };
            }
            if matches!(self.way(depth), [Name::Tools, Name::Element] | [Name::Messages, _, Name::Content, _])
            {
                self.said = Said::default();
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
            [Name::StreamOptions, Name::IncludeUsage] => match kind {
                Kind::True | Kind::False | Kind::Null => {
                    let include_usage = kind == Kind::True;
                    self.stream_options = StreamOptions::With { include_usage, value: span };
                }
                _ => self.wrong_type("stream_options.include_usage", "true or false"),
            },
            [Name::Modalities, Name::Element] => self.options.modality(kind, &self.value),
            [Name::Tools, Name::Element, Name::Type] => {
                self.said.its_type = true;
                if kind != Kind::String || !matches!(self.value.as_slice(), b"function" | b"custom") {
                    self.options.ask("tools", Buys::Other);
                }
            }
            [.., Name::CacheControl, Name::Ttl] => self.options.cache_life(kind, &self.value),
            [Name::Tools, Name::Element] => self.tool_end(kind),
            [Name::Messages, Name::Element, Name::Content, Name::Element, ..] => self.part_end(depth, kind),
            // What an assistant said earlier, by its id: the model hears it again.
            [Name::Messages, Name::Element, Name::SaidAudio] if kind != Kind::Null => {
                self.options.ask("messages.audio", Buys::AudioInput);
                self.not_text = true;
            }
            [Name::Input, ..] if kind == Kind::Number && self.mode == Mode::Embeddings => {
                self.given_tokens = self.given_tokens.saturating_add(1);
            }
            _ => {}
        }
    }
}
