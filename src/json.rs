//! A JSON reader that is pushed bytes, cut anywhere, and remembers no more than a key: requests and answers
//! are read by it as they pass, whatever their size.
//!
//! It accepts exactly RFC 8259 up to [`MAX_DEPTH`]; what it leaves to its [`Sink`] is meaning. Offsets count
//! from the first byte pushed.

/// How deep values may nest: what `serde_json` takes too.
pub const MAX_DEPTH: usize = 128;
/// How much of a key is kept; no key that matters is longer.
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

/// What a reader tells while it reads.
///
/// `depth` is the number of containers around the value: 0 for the outermost, 1 for its members.
pub trait Sink {
    /// A member's key, unescaped; only the first [`KEY_KEPT`] bytes of a longer one. `at` is its first quote.
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
    /// Offset of the byte that cannot be.
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
    Text(Text),
    Escape,
    /// `\u` with so many hexadecimal digits read, and their value.
    Hex(u8, u16),
    /// After a high surrogate: the low one's `\`, its `u`, or its digits.
    LowSlash,
    LowU,
    LowHex(u8, u16),
    Number(Number),
    /// Inside `true`, `false` or `null`: what is left of it.
    Literal(Kind, &'static [u8]),
    Failed(JsonError),
}

/// Inside a string: what may come next of a character of several bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    /// How many continuation bytes are missing.
    missing: u8,
    /// The range that the next of them must be in (Unicode, table 3-7: no overlong form, no surrogate).
    low: u8,
    high: u8,
}

const PLAIN: Text = Text { missing: 0, low: 0x80, high: 0xbf };

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

/// The reader. It knows its place between two pushes; a mistake is final.
#[derive(Debug)]
pub struct Reader {
    state: State,
    offset: u64,
    depth: usize,
    /// One bit a level: set for an object.
    objects: u128,
    key: [u8; KEY_KEPT],
    key_len: usize,
    key_at: u64,
    in_key: bool,
    high_surrogate: u16,
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
            high_surrogate: 0,
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
    /// [`JsonError`] at the first byte that cannot be; again at every later call.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), JsonError> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            match self.state {
                State::Text(PLAIN) => {
                    let plain = plain_run(rest);
                    if plain > 0 {
                        let (run, after) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
                        self.text(run, sink);
                        self.advance(plain);
                        rest = after;
                        continue;
                    }
                    self.special(byte, sink);
                }
                State::Text(text) => self.continuation(text, byte, sink),
                State::Escape => self.escape(byte, sink),
                State::Hex(..) | State::LowSlash | State::LowU | State::LowHex(..) => {
                    self.unicode(byte, sink);
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
            rest = after;
        }
        Ok(())
    }

    /// Says that no more bytes come: a number at the outermost level ends only here.
    ///
    /// # Errors
    /// [`JsonError`] where the value is not complete, or was wrong before.
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
                self.state = State::Text(PLAIN);
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
            b'"' => (Kind::String, State::Text(PLAIN)),
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
            Kind::Object => {
                self.objects |= self.level_bit(self.depth);
                self.depth = self.depth.saturating_add(1);
            }
            Kind::Array => {
                self.objects &= !self.level_bit(self.depth);
                self.depth = self.depth.saturating_add(1);
            }
            _ => {}
        }
        self.in_key = false;
        self.state = next;
    }

    fn level_bit(&self, level: usize) -> u128 {
        u32::try_from(level).ok().and_then(|level| 1u128.checked_shl(level)).unwrap_or(0)
    }

    fn in_object(&self) -> bool {
        self.objects & self.level_bit(self.depth.saturating_sub(1)) != 0
    }

    fn close(&mut self, sink: &mut impl Sink) {
        let kind = if self.in_object() { Kind::Object } else { Kind::Array };
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
        for &byte in run {
            if let Some(place) = self.key.get_mut(self.key_len) {
                *place = byte;
            }
            self.key_len = self.key_len.saturating_add(1);
        }
    }

    /// A byte of a string that is not plain ASCII: the end, an escape, or the start of a longer character.
    fn special(&mut self, byte: u8, sink: &mut impl Sink) {
        let longer = |missing, low, high| State::Text(Text { missing, low, high });
        self.state = match byte {
            b'"' => return self.end_string(sink),
            b'\\' => State::Escape,
            0xc2..=0xdf => longer(1, 0x80, 0xbf),
            0xe0 => longer(2, 0xa0, 0xbf),
            0xed => longer(2, 0x80, 0x9f),
            0xe1..=0xef => longer(2, 0x80, 0xbf),
            0xf0 => longer(3, 0x90, 0xbf),
            0xf1..=0xf3 => longer(3, 0x80, 0xbf),
            0xf4 => longer(3, 0x80, 0x8f),
            0x80.. => return self.fail("a string is not UTF-8"),
            _ => return self.fail("a control character stands in a string unescaped"),
        };
        if byte != b'\\' {
            self.text(&[byte], sink);
        }
    }

    fn continuation(&mut self, text: Text, byte: u8, sink: &mut impl Sink) {
        if byte < text.low || byte > text.high {
            return self.fail("a string is not UTF-8");
        }
        self.text(&[byte], sink);
        self.state = State::Text(Text { missing: text.missing.saturating_sub(1), ..PLAIN });
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

    fn escape(&mut self, byte: u8, sink: &mut impl Sink) {
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.state = State::Hex(0, 0);
                return;
            }
            _ => return self.fail("a string has an unknown escape"),
        };
        self.text(&[plain], sink);
        self.state = State::Text(PLAIN);
    }

    fn unicode(&mut self, byte: u8, sink: &mut impl Sink) {
        match self.state {
            // A high surrogate without its low one is not a character; like JavaScript and Python we take
            // it, as U+FFFD, because clients that cut a text in the middle of an emoji send it.
            State::LowSlash if byte == b'\\' => self.state = State::LowU,
            State::LowSlash => {
                self.character(char::REPLACEMENT_CHARACTER, sink);
                self.state = State::Text(PLAIN);
                match plain_run(&[byte]) {
                    0 => self.special(byte, sink),
                    _ => self.text(&[byte], sink),
                }
            }
            State::LowU if byte == b'u' => self.state = State::LowHex(0, 0),
            State::LowU => {
                self.character(char::REPLACEMENT_CHARACTER, sink);
                self.escape(byte, sink);
            }
            State::Hex(digits, value) | State::LowHex(digits, value) => {
                let low = matches!(self.state, State::LowHex(..));
                let Some(digit) = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok())
                else {
                    return self.fail("a \\u escape needs four hexadecimal digits");
                };
                let value = value.wrapping_shl(4) | digit;
                match (digits, low) {
                    (3, true) => self.low_surrogate(value, sink),
                    (3, false) => self.code_unit(value, sink),
                    (_, true) => self.state = State::LowHex(digits.saturating_add(1), value),
                    (_, false) => self.state = State::Hex(digits.saturating_add(1), value),
                }
            }
            _ => {}
        }
    }

    fn code_unit(&mut self, unit: u16, sink: &mut impl Sink) {
        if (0xd800..0xdc00).contains(&unit) {
            self.high_surrogate = unit;
            self.state = State::LowSlash;
        } else {
            let character = char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
            self.character(character, sink);
            self.state = State::Text(PLAIN);
        }
    }

    fn low_surrogate(&mut self, unit: u16, sink: &mut impl Sink) {
        match char::decode_utf16([self.high_surrogate, unit]).next() {
            Some(Ok(character)) => {
                self.character(character, sink);
                self.state = State::Text(PLAIN);
            }
            // No pair: the first stands alone, the second is looked at anew.
            _ => {
                self.character(char::REPLACEMENT_CHARACTER, sink);
                self.code_unit(unit, sink);
            }
        }
    }

    fn character(&mut self, character: char, sink: &mut impl Sink) {
        let mut bytes = [0; 4];
        self.text(character.encode_utf8(&mut bytes).as_bytes(), sink);
    }

    /// Takes one byte of a number; true where the byte is not part of it.
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

/// How many bytes from the start are plain text of a string: ASCII, no quote, no backslash, no control.
fn plain_run(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let plain_words = words.iter().take_while(|word| is_plain(u64::from_le_bytes(**word))).count();
    let skipped = plain_words.saturating_mul(8);
    let tail = bytes.get(skipped..).unwrap_or(&[]);
    let plain = |byte: &&u8| (0x20..0x80).contains(*byte) && **byte != b'"' && **byte != b'\\';
    skipped.saturating_add(tail.iter().take_while(plain).count())
}

/// Whether all eight bytes are plain: the usual zero-byte trick, once for each kind of special byte. It may
/// say no where the answer is yes, never the other way round.
fn is_plain(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let has_zero = |w: u64| w.wrapping_sub(ONES) & !w & TOPS;
    let quote = has_zero(word ^ ONES.wrapping_mul(0x22));
    let backslash = has_zero(word ^ ONES.wrapping_mul(0x5c));
    let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word & TOPS;
    (quote | backslash | control | (word & TOPS)) == 0
}

#[cfg(test)]
#[path = "json_test.rs"]
mod tests;
