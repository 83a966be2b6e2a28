//! A provider's answer as it passes: which reader its bytes need, and what was in them.

use crate::base::text_bytes::TextBytes;
use crate::dialect::usage::Worth;
use crate::price::rates::ServiceTier;
use crate::reading::answer::document::{Choices, Document};
use crate::reading::answer::reported::{Judge, RawUsage};
use crate::reading::answer::stream::{Passed, Scanner};

/// Reads an answer of any kind. Its content type is a hint only: the first byte that tells the kind decides.
#[derive(Debug)]
pub struct Answer {
    reader: Reader,
    beginning: Beginning,
    asked: Asked,
    /// How many bytes came.
    bytes: u64,
}

#[derive(Debug)]
enum Reader {
    /// One JSON document.
    Json(Box<Document>),
    /// A stream of events.
    Stream(Box<Scanner>),
    /// Bytes that cannot be read, such as compressed ones.
    Opaque,
}

/// How far an answer has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// So many bytes of a byte order mark came.
    Mark(usize),
    /// Nothing but white space, after the mark if there is one.
    Blank,
    /// Its first telling byte came.
    Told,
}

const MARK: &[u8] = b"\xef\xbb\xbf";

impl Beginning {
    /// Finds the first byte that tells what the answer is, and its place.
    fn tell(&mut self, bytes: &[u8]) -> Option<(usize, u8)> {
        for (at, byte) in bytes.iter().enumerate() {
            *self = match (*self, *byte) {
                (Self::Told, _) => return None,
                (Self::Mark(read), byte) if MARK.get(read) == Some(&byte) => {
                    Self::Mark(read.saturating_add(1))
                }
                // Half a mark is no mark: after it, even white space is the byte that tells.
                (Self::Mark(0 | 3) | Self::Blank, b' ' | b'\t' | b'\r' | b'\n') => Self::Blank,
                (_, byte) => {
                    *self = Self::Told;
                    return Some((at, byte));
                }
            };
        }
        None
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The caller's `stream`.
    pub wants_stream: bool,
    /// Whether the provider sends the usage chunk only because the filter asked for it: then it is taken out.
    pub takes_out: bool,
    /// How usages are judged.
    pub judge: Judge,
}

/// What was in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The answer's `id`.
    pub id: Option<String>,
    /// The usage that counts.
    pub usage: RawUsage,
    /// What the model wrote, as far as could be seen.
    pub text: TextBytes,
    /// Whether it was nothing but an error.
    pub only_error: bool,
    /// Whether it could not be read to its end.
    pub unreadable: bool,
    /// The service tier in which it was served, if it tells one.
    pub service_tier: ServiceTier,
}

impl Answer {
    /// A reader for an answer with these headers.
    #[must_use]
    pub fn of(content_type: &[u8], content_encoding: &[u8], asked: Asked) -> Self {
        let is = |value: &[u8], start: &[u8]| {
            value.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
        };
        let is_encoded = !content_encoding.is_empty() && !content_encoding.eq_ignore_ascii_case(b"identity");
        let reader = match content_type {
            _ if is_encoded => Reader::Opaque,
            value if is(value, b"text/event-stream") => Reader::stream(asked),
            value if is(value, b"application/json") => Reader::json(asked),
            _ if asked.wants_stream => Reader::stream(asked),
            _ => Reader::json(asked),
        };
        Self { reader, beginning: Beginning::Mark(0), asked, bytes: 0 }
    }

    /// Whether the answer is a stream, as far as is known.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.reader, Reader::Stream(_))
    }

    /// Whether any text of the model's was seen. If the bytes cannot be read, whether any byte came.
    #[must_use]
    pub fn has_text(&self) -> bool {
        match &self.reader {
            Reader::Json(document) => document.is_broken() || !document.found.text().is_empty(),
            Reader::Stream(scanner) => scanner.has_text(),
            Reader::Opaque => self.bytes > 0,
        }
    }

    /// Reads the next bytes and tells which pass.
    pub fn push(&mut self, bytes: &[u8]) -> Passed {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let told = self.beginning.tell(bytes);
        match (&mut self.reader, told) {
            (Reader::Opaque, _) => Passed::Same,
            (Reader::Stream(scanner), Some((at, b'{' | b'['))) => {
                let (blank, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
                let passed = scanner.push(blank);
                let waited = [scanner.finish().as_slice(), rest].concat();
                self.reader = Reader::json(self.asked);
                self.reader.push(rest);
                passed.replacing(blank, &waited).map_or(Passed::Same, Passed::Instead)
            }
            // The blank lines before the stream have passed, and mean nothing.
            (Reader::Json(_), Some((at, b':' | b'd' | b'e' | b'i' | b'r'))) => {
                let (blank, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
                self.reader = Reader::stream(self.asked);
                match self.reader.push(rest) {
                    Passed::Same => Passed::Same,
                    Passed::Instead(passed) => Passed::Instead([blank, &passed].concat()),
                }
            }
            // A byte order mark is no part of the JSON after it.
            (Reader::Json(_), _) if self.beginning != Beginning::Told => Passed::Same,
            (Reader::Json(_), Some((at, _))) => self.reader.push(bytes.get(at..).unwrap_or(bytes)),
            (reader, _) => reader.push(bytes),
        }
    }

    /// Tells the reader that no more bytes come; gives those that waited and pass now.
    pub fn finish(&mut self) -> Vec<u8> {
        match &mut self.reader {
            Reader::Stream(scanner) => scanner.finish(),
            Reader::Json(_) | Reader::Opaque => Vec::new(),
        }
    }

    /// What was in the answer, as far as it was read. If it cannot be read, all its bytes count.
    #[must_use]
    pub fn said(self) -> Said {
        let all = TextBytes::unread(self.bytes);
        match self.reader {
            Reader::Json(document) => {
                let (is_broken, is_whole) = (document.is_broken(), document.is_whole());
                let found = document.found;
                let is_answer =
                    found.choices != Choices::Absent || found.error || found.usage.worth > Worth::Nothing;
                let unreadable = is_broken || (is_whole && !is_answer);
                Said {
                    text: if unreadable { all } else { found.text() },
                    id: found.id,
                    usage: found.usage.raw,
                    only_error: found.error && found.choices != Choices::Some && !is_broken,
                    unreadable,
                    service_tier: tier(found.service_tier.as_deref()),
                }
            }
            Reader::Stream(mut scanner) => {
                // If the stream was cut off within an event, what was read of that event counts.
                scanner.finish();
                let stream = scanner.stream;
                let says_nothing = stream.is_answer || self.beginning != Beginning::Told;
                let foreign = if says_nothing { 0 } else { stream.foreign };
                Said {
                    id: stream.id,
                    usage: stream.usage.raw,
                    text: stream.text.plus(TextBytes::unread(foreign)),
                    only_error: stream.has_error && !stream.has_choices && !stream.is_broken,
                    unreadable: stream.is_broken || foreign > 0,
                    service_tier: tier(stream.service_tier.as_deref()),
                }
            }
            Reader::Opaque => Said { text: all, unreadable: true, ..Said::default() },
        }
    }
}

impl Reader {
    fn json(asked: Asked) -> Self {
        Self::Json(Box::new(Document::new(asked.judge)))
    }

    fn stream(asked: Asked) -> Self {
        Self::Stream(Box::new(Scanner::new(asked.takes_out, asked.judge)))
    }

    fn push(&mut self, bytes: &[u8]) -> Passed {
        match self {
            Self::Stream(scanner) => return scanner.push(bytes),
            Self::Json(document) => drop(document.push(bytes)),
            Self::Opaque => {}
        }
        Passed::Same
    }
}

fn tier(name: Option<&str>) -> ServiceTier {
    name.map(ServiceTier::served).unwrap_or_default()
}

#[cfg(test)]
#[path = "said_test.rs"]
mod tests;
