//! A JSON reader for requests and answers of any size: it takes their bytes as they pass, cut anywhere, and
//! remembers no more than a key.
//!
//! It accepts exactly RFC 8259 up to [`MAX_DEPTH`]. What the values mean is left to its [`Sink`]. Offsets
//! count from the first byte pushed.

use crate::base::json::text::{Text, plain_run};

/// How deep containers may be nested: one level more than `serde_json` allows when it builds values.
pub const MAX_DEPTH: usize = 128;
/// How many bytes of a key are kept; no key that matters is longer.
pub const KEY_KEPT: usize = 64;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `-1.5e3`
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// The receiver of what a reader reads.
///
/// `depth` is the number of containers around the value: 0 for the outermost, 1 for its members.
pub trait Sink {
    /// A member's key, unescaped; only the first [`KEY_KEPT`] bytes of a longer one. `at` is the offset of
    /// its first quote.
    fn key(&mut self, depth: usize, key: &[u8], at: u64);
    /// A value begins at offset `at`.
    fn begin(&mut self, depth: usize, kind: Kind, at: u64);
    /// A piece of the text of the string (unescaped) or number that has begun.
    fn piece(&mut self, bytes: &[u8]);
    /// The value that has begun ends before offset `end`.
    fn end(&mut self, depth: usize, kind: Kind, end: u64);
}

/// Where and why the bytes are not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Offset of the wrong byte.
    pub at: u64,
    /// What was wrong with it.
    pub what: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value must follow.
    Value,
    /// The first element of an array, or its end.
    ElementOrEnd,
    /// The first key of an object, or its end.
    KeyOrEnd,
    /// After a comma in an object.
    Key,
    Colon,
    /// After a value inside a container.
    CommaOrEnd,
    /// After the outermost value.
    Done,
    /// Inside a string.
    Text(Text),
    Number(Number),
    /// Inside `true`, `false` or `null`: what is left of it.
    Literal(Kind, &'static [u8]),
    Failed(JsonError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    ESign,
    Exponent,
}

/// The reader. It keeps its place between two pushes. After a mistake it reads no further.
#[derive(Debug)]
pub struct Reader {
    state: State,
    offset: u64,
    depth: usize,
    /// One bit for each level, the innermost one lowest: set for an object.
    objects: u128,
    key: [u8; KEY_KEPT],
    key_len: usize,
    key_at: u64,
    in_key: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            state: State::Value,
            offset: 0,
            depth: 0,
            objects: 0,
            key: [0; KEY_KEPT],
            key_len: 0,
            key_at: 0,
            in_key: false,
        }
    }
}

impl Reader {
    /// Whether the outermost value is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether nothing but white space was read yet.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.state == State::Value && self.depth == 0
    }

    /// The mistake that stopped the reader, if any.
    #[must_use]
    pub fn error(&self) -> Option<JsonError> {
        match self.state {
            State::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// [`JsonError`] at the first wrong byte, and again at every later call.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), JsonError> {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            match self.state {
                State::Text(Text::Plain) => {
                    // Most bytes of most bodies are plain text: a run of it is taken at once.
                    let (run, after) = rest.split_at_checked(plain_run(rest)).unwrap_or((rest, &[]));
                    // A key that comes in one piece with its colon need not be kept.
                    if let (true, 0, ..=KEY_KEPT, [b'"', b':', after @ ..]) =
                        (self.in_key, self.key_len, run.len(), after)
                    {
                        self.in_key = false;
                        self.state = State::Value;
                        sink.key(self.depth, run, self.key_at);
                        self.advance(run.len().saturating_add(2));
                        rest = after;
                        continue;
                    }
                    if !run.is_empty() {
                        self.text(run, sink);
                        self.advance(run.len());
                    }
                    rest = after;
                    match after.split_first() {
                        // And most runs end with the string.
                        Some((b'"', after)) => {
                            self.end_string(sink);
                            self.advance(1);
                            rest = after;
                            continue;
                        }
                        Some((&byte, _)) => self.string(Text::Plain, byte, sink),
                        None => continue,
                    }
                }
                State::Text(text) => self.string(text, byte, sink),
                State::Number(Number::Whole) if byte.is_ascii_digit() => {
                    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let (run, after) = rest.split_at_checked(digits).unwrap_or((rest, &[]));
                    sink.piece(run);
                    self.advance(run.len());
                    rest = after;
                    continue;
                }
                State::Number(number) => {
                    if self.number(number, byte, sink) {
                        continue; // the byte is not part of the number: read it again
                    }
                }
                State::Literal(kind, left) => self.literal(kind, left, byte, sink),
                State::Failed(error) => return Err(error),
                _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {}
                _ => self.structure(byte, sink),
            }
            if let State::Failed(error) = self.state {
                return Err(error);
            }
            self.advance(1);
            rest = rest.get(1..).unwrap_or_default();
        }
        self.error().map_or(Ok(()), Err)
    }

    /// Tells the reader that no more bytes come: a number at the outermost level ends only here.
    ///
    /// # Errors
    /// [`JsonError`] if the value is not complete, or was wrong before.
    pub fn finish(&mut self, sink: &mut impl Sink) -> Result<(), JsonError> {
        if let State::Number(number) = self.state
            && self.depth == 0
        {
            self.end_number(number, sink);
        }
        match self.state {
            State::Done => Ok(()),
            State::Failed(error) => Err(error),
            _ => {
                self.fail("the JSON ends early");
                self.error().map_or(Ok(()), Err)
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.offset = self.offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn fail(&mut self, what: &'static str) {
        self.state = State::Failed(JsonError { at: self.offset, what });
    }

    fn structure(&mut self, byte: u8, sink: &mut impl Sink) {
        match (self.state, byte) {
            (State::KeyOrEnd | State::Key, b'"') => {
                self.in_key = true;
                self.key_len = 0;
                self.key_at = self.offset;
                self.state = State::Text(Text::Plain);
            }
            (State::KeyOrEnd, b'}') | (State::ElementOrEnd, b']') => self.close(sink),
            (State::CommaOrEnd, b'}') if self.in_object() => self.close(sink),
            (State::CommaOrEnd, b']') if !self.in_object() => self.close(sink),
            (State::CommaOrEnd, b',') => {
                self.state = if self.in_object() { State::Key } else { State::Value };
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::Value | State::ElementOrEnd, _) => self.begin(byte, sink),
            (State::Done, _) => self.fail("bytes follow the JSON value"),
            (State::KeyOrEnd | State::Key, _) => self.fail("a key in double quotes is missing"),
            (State::Colon, _) => self.fail("a colon is missing"),
            _ => self.fail("a comma or a closing bracket is missing"),
        }
    }

    fn begin(&mut self, byte: u8, sink: &mut impl Sink) {
        let (kind, next) = match byte {
            b'{' => (Kind::Object, State::KeyOrEnd),
            b'[' => (Kind::Array, State::ElementOrEnd),
            b'"' => (Kind::String, State::Text(Text::Plain)),
            b'-' => (Kind::Number, State::Number(Number::Minus)),
            b'0' => (Kind::Number, State::Number(Number::Zero)),
            b'1'..=b'9' => (Kind::Number, State::Number(Number::Whole)),
            b't' => (Kind::True, State::Literal(Kind::True, b"rue")),
            b'f' => (Kind::False, State::Literal(Kind::False, b"alse")),
            b'n' => (Kind::Null, State::Literal(Kind::Null, b"ull")),
            _ => return self.fail("a value is missing"),
        };
        let container = matches!(kind, Kind::Object | Kind::Array);
        if container && self.depth >= MAX_DEPTH {
            return self.fail("the JSON is nested too deep");
        }
        sink.begin(self.depth, kind, self.offset);
        match kind {
            Kind::Number => sink.piece(&[byte]),
            Kind::Object | Kind::Array => {
                self.objects = self.objects << 1 | u128::from(kind == Kind::Object);
                self.depth = self.depth.saturating_add(1);
            }
            _ => {}
        }
        self.in_key = false;
        self.state = next;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 != 0
    }

    fn close(&mut self, sink: &mut impl Sink) {
        let kind = if self.in_object() { Kind::Object } else { Kind::Array };
        self.objects >>= 1;
        self.depth = self.depth.saturating_sub(1);
        self.ended(kind, self.offset.saturating_add(1), sink);
    }

    fn ended(&mut self, kind: Kind, end: u64, sink: &mut impl Sink) {
        self.state = if self.depth == 0 { State::Done } else { State::CommaOrEnd };
        sink.end(self.depth, kind, end);
    }

    fn text(&mut self, run: &[u8], sink: &mut impl Sink) {
        if !self.in_key {
            return sink.piece(run);
        }
        let places = self.key.get_mut(self.key_len..).unwrap_or_default();
        for (place, byte) in places.iter_mut().zip(run) {
            *place = *byte;
        }
        self.key_len = self.key_len.saturating_add(run.len());
    }

    /// Takes one byte of a string.
    #[inline]
    fn string(&mut self, text: Text, byte: u8, sink: &mut impl Sink) {
        match text.step(byte, &mut |bytes| self.text(bytes, sink)) {
            Ok(Some(next)) => self.state = State::Text(next),
            Ok(None) => self.end_string(sink),
            Err(what) => self.fail(what),
        }
    }

    fn end_string(&mut self, sink: &mut impl Sink) {
        if self.in_key {
            self.in_key = false;
            self.state = State::Colon;
            let key = self.key.get(..self.key_len).unwrap_or(&self.key);
            sink.key(self.depth, key, self.key_at);
        } else {
            self.ended(Kind::String, self.offset.saturating_add(1), sink);
        }
    }

    /// Takes one byte of a number; true if the byte is not part of it.
    fn number(&mut self, number: Number, byte: u8, sink: &mut impl Sink) -> bool {
        use Number::{E, ESign, Exponent, Fraction, Minus, Point, Whole, Zero};
        let next = match (number, byte) {
            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') | (Whole, b'0'..=b'9') => Whole,
            (Zero | Whole, b'.') => Point,
            (Zero | Whole | Fraction, b'e' | b'E') => E,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (E, b'+' | b'-') => ESign,
            (E | ESign | Exponent, b'0'..=b'9') => Exponent,
            _ => {
                self.end_number(number, sink);
                return !matches!(self.state, State::Failed(_));
            }
        };
        sink.piece(&[byte]);
        self.state = State::Number(next);
        false
    }

    fn end_number(&mut self, number: Number, sink: &mut impl Sink) {
        use Number::{Exponent, Fraction, Whole, Zero};
        if matches!(number, Zero | Whole | Fraction | Exponent) {
            self.ended(Kind::Number, self.offset, sink);
        } else {
            self.fail("a number is not complete");
        }
    }

    fn literal(&mut self, kind: Kind, left: &'static [u8], byte: u8, sink: &mut impl Sink) {
        match left.split_first() {
            Some((&expected, rest)) if expected == byte => {
                if rest.is_empty() {
                    self.ended(kind, self.offset.saturating_add(1), sink);
                } else {
                    self.state = State::Literal(kind, rest);
                }
            }
            _ => self.fail("a value is neither true, false, null, a number nor a string"),
        }
    }
}

#[cfg(test)]
#[path = "reader_test.rs"]
mod tests;
