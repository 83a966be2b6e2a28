//! A provider's answer as it passes: which reader its bytes need, and what they said in the end.

use crate::document::{Choices, Document};
use crate::estimate::TextBytes;
use crate::price::ServiceTier;
use crate::reported::{Judge, RawUsage};
use crate::sse::{Passed, Scanner};

/// Reads an answer of any kind.
#[derive(Debug)]
pub enum Answer {
    /// One JSON document.
    Json(Box<Document>),
    /// A stream of events.
    Stream(Box<Scanner>),
    /// Bytes that cannot be read, such as compressed ones; how many came.
    Opaque(u64),
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The caller's `stream`.
    pub wants_stream: bool,
    /// Whether the usage chunk is the filter's doing, so that it is taken out.
    pub takes_out: bool,
    /// How usages are judged.
    pub judge: Judge,
}

/// What an answer said.
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
    /// The service tier that it says it was served in, as far as it says.
    pub service_tier: ServiceTier,
}

impl Answer {
    /// A reader for an answer with these headers.
    #[must_use]
    pub fn of(content_type: &[u8], content_encoding: &[u8], asked: Asked) -> Self {
        let Asked { wants_stream, takes_out, judge } = asked;
        let is = |value: &[u8], start: &[u8]| {
            value.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
        };
        if !content_encoding.is_empty() && !content_encoding.eq_ignore_ascii_case(b"identity") {
            return Self::Opaque(0);
        }
        let streams = match content_type {
            value if is(value, b"text/event-stream") => true,
            value if is(value, b"application/json") => false,
            _ => wants_stream,
        };
        if streams {
            Self::Stream(Box::new(Scanner::new(takes_out, judge)))
        } else {
            Self::Json(Box::new(Document::new(judge)))
        }
    }

    /// Whether the answer is a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Whether any text that the model wrote was there.
    #[must_use]
    pub fn has_text(&self) -> bool {
        match self {
            Self::Json(document) => document.found.text().all() > 0,
            Self::Stream(scanner) => scanner.stream.text.all() > 0,
            Self::Opaque(count) => *count > 0,
        }
    }

    /// Reads the next bytes and says which pass.
    pub fn push(&mut self, bytes: &[u8]) -> Passed {
        match self {
            Self::Json(document) => {
                document.push(bytes);
                Passed::Same
            }
            Self::Stream(scanner) => scanner.push(bytes),
            Self::Opaque(count) => {
                *count = count.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                Passed::Same
            }
        }
    }

    /// Says that no more bytes come; gives those that waited and pass now.
    pub fn finish(&mut self) -> Vec<u8> {
        match self {
            Self::Stream(scanner) => scanner.finish(),
            Self::Json(_) | Self::Opaque(_) => Vec::new(),
        }
    }

    /// What the answer said, as far as it was read.
    #[must_use]
    pub fn said(self) -> Said {
        match self {
            Self::Json(mut document) => Said {
                id: document.found.id.take(),
                usage: document.found.usage.raw.clone(),
                text: document.found.text(),
                only_error: document.found.error && document.found.choices != Choices::Some,
                unreadable: document.is_broken(),
                service_tier: tier(document.found.service_tier.as_deref()),
            },
            Self::Stream(mut scanner) => {
                // An event in which the stream was cut off says what was read of it.
                scanner.finish();
                let stream = scanner.stream;
                Said {
                    id: stream.id,
                    usage: stream.usage.raw,
                    text: stream.text,
                    only_error: stream.has_error && !stream.has_choices,
                    unreadable: false,
                    service_tier: tier(stream.service_tier.as_deref()),
                }
            }
            // Compressed text: its bytes are the best guess at its length that there is.
            Self::Opaque(count) => {
                Said { text: TextBytes::unread(count), unreadable: true, ..Said::default() }
            }
        }
    }
}

fn tier(name: Option<&str>) -> ServiceTier {
    name.map(ServiceTier::of).unwrap_or_default()
}
