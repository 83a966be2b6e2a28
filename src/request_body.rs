//! What a request body means, value by value: the keys that matter, where they stand, and what is wrong.

use crate::json::{Kind, Sink};
use crate::request::{RequestError, Span, StreamOptions};
use crate::usage::Mode;

/// No model id is longer.
const MODEL_MAX: usize = 256;

/// The keys that matter, wherever they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    /// Any other key.
    #[default]
    Other,
    /// An element of an array.
    Element,
    Model,
    Stream,
    StreamOptions,
    IncludeUsage,
    MaxTokens,
    MaxCompletionTokens,
    N,
    ServiceTier,
    Messages,
    Content,
    Type,
    Text,
    Input,
    Tools,
    Modalities,
    /// A key whose mere presence, unless `null`, buys something that no card prices.
    Hosted(&'static str),
}

/// Top-level keys that matter, in their exact spelling.
const TOP: &[(&str, Name)] = &[
    ("model", Name::Model),
    ("stream", Name::Stream),
    ("stream_options", Name::StreamOptions),
    ("max_tokens", Name::MaxTokens),
    ("max_completion_tokens", Name::MaxCompletionTokens),
    ("n", Name::N),
    ("service_tier", Name::ServiceTier),
    ("messages", Name::Messages),
    ("input", Name::Input),
    ("tools", Name::Tools),
    ("modalities", Name::Modalities),
    ("audio", Name::Hosted("audio")),
    ("web_search_options", Name::Hosted("web_search_options")),
    ("search_parameters", Name::Hosted("search_parameters")),
    ("search_settings", Name::Hosted("search_settings")),
    ("enable_search", Name::Hosted("enable_search")),
    ("plugins", Name::Hosted("plugins")),
];
const IN_STREAM_OPTIONS: &[(&str, Name)] = &[("include_usage", Name::IncludeUsage)];
const IN_TOOL: &[(&str, Name)] = &[("type", Name::Type)];
const IN_MESSAGE: &[(&str, Name)] = &[("content", Name::Content)];
const IN_PART: &[(&str, Name)] = &[("type", Name::Type), ("text", Name::Text), ("refusal", Name::Text)];

/// How deep the reader knows where it is: `messages[0].content[0].type` has five levels.
const LEVELS: usize = 6;
const DEEPEST: usize = LEVELS - 1;

/// What has been read of a body so far.
#[derive(Debug)]
pub(crate) struct Body {
    mode: Mode,
    pub(crate) error: Option<RequestError>,
    pub(crate) is_object: bool,
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
    pub(crate) model: Vec<u8>,
    pub(crate) model_span: Span,
    pub(crate) stream: bool,
    pub(crate) stream_options: StreamOptions,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) max_completion_tokens: Option<u64>,
    pub(crate) n: Option<u64>,
    pub(crate) text_bytes: u64,
    pub(crate) given_tokens: u64,
    pub(crate) not_text: bool,
    /// Whether the part or tool being read has said its type.
    typed: bool,
}

impl Body {
    pub(crate) fn new(mode: Mode) -> Self {
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

    /// The keys that matter in the object whose members stand at `depth`.
    fn table(&self, depth: usize) -> &'static [(&'static str, Name)] {
        match (depth, self.way(depth.saturating_sub(1))) {
            (1, _) => TOP,
            (2, [Name::StreamOptions]) => IN_STREAM_OPTIONS,
            (3, [Name::Tools, Name::Element]) => IN_TOOL,
            (3, [Name::Messages, Name::Element]) => IN_MESSAGE,
            (5, [Name::Messages, Name::Element, Name::Content, Name::Element]) => IN_PART,
            _ => &[],
        }
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
            ([Name::Hosted(key)], _) => {
                let key = *key;
                // `enable_search: false` buys nothing.
                if kind != Kind::False {
                    self.refuse(RequestError::Unpriced { key });
                }
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
            (Name::MaxTokens, _) => self.max_tokens = self.count("max_tokens", kind),
            (Name::MaxCompletionTokens, _) => {
                self.max_completion_tokens = self.count("max_completion_tokens", kind);
            }
            (Name::N, _) => self.n = self.count("n", kind),
            (Name::ServiceTier, Kind::Null) => {}
            // What the provider does where the caller says nothing is what the card prices.
            (Name::ServiceTier, Kind::String) if matches!(self.value.as_slice(), b"auto" | b"default") => {}
            (Name::ServiceTier, _) => self.refuse(RequestError::Unpriced { key: "service_tier" }),
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

    /// A tool must say that it is a function: any other is hosted by the provider and billed apart.
    fn tool_type(&mut self, kind: Kind) {
        self.typed = true;
        if kind != Kind::String || !matches!(self.value.as_slice(), b"function" | b"custom") {
            self.refuse(RequestError::Unpriced { key: "tools" });
        }
    }

    fn part_type(&mut self, kind: Kind) {
        self.typed = true;
        match (kind, self.value.as_slice()) {
            (Kind::String, b"text" | b"refusal") => {}
            (Kind::String, b"input_audio" | b"audio_url") => {
                self.refuse(RequestError::Unpriced { key: "messages" });
            }
            _ => self.not_text = true,
        }
    }

    fn modality(&mut self, kind: Kind) {
        if kind != Kind::String || self.value.as_slice() != b"text" {
            self.refuse(RequestError::Unpriced { key: "modalities" });
        }
    }
}

impl Sink for Body {
    fn key(&mut self, depth: usize, key: &[u8], _: u64) {
        if let (2, [Name::StreamOptions], StreamOptions::Without { empty, .. }) =
            (depth, self.path.get(1..2).unwrap_or(&[]), &mut self.stream_options)
        {
            *empty = false;
        }
        let mut name = Name::Other;
        for ((exact, found), bit) in self.table(depth).iter().zip(0u32..) {
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
            [Name::Modalities, Name::Element] => self.modality(kind),
            [Name::Tools, Name::Element, Name::Type] => self.tool_type(kind),
            [Name::Tools, Name::Element] if !self.typed || kind != Kind::Object => {
                self.refuse(RequestError::Unpriced { key: "tools" });
            }
            [Name::Messages, Name::Element, Name::Content, Name::Element, Name::Type] => self.part_type(kind),
            [Name::Messages, Name::Element, Name::Content, Name::Element] => {
                self.not_text |= !self.typed && kind == Kind::Object;
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

/// Whether a provider that folds case could read `key` as `exact` (lowercase ASCII). Go's `encoding/json`
/// folds the long s and the Kelvin sign too.
fn folds_to(key: &[u8], exact: &[u8]) -> bool {
    let mut rest = key;
    for expected in exact {
        rest = match (rest, expected) {
            ([first, rest @ ..], _) if first.to_ascii_lowercase() == *expected => rest,
            ([0xc5, 0xbf, rest @ ..], b's') | ([0xe2, 0x84, 0xaa, rest @ ..], b'k') => rest,
            _ => return false,
        };
    }
    rest.is_empty()
}
