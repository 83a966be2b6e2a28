//! Reads a request body as it arrives, cut anywhere. Only a few keys, their places and their values are kept,
//! and never the body.
//!
//! The gateway must read what the provider reads. So a key that matters may occur once, in its exact
//! spelling. A second one is refused, and so is one that differs in case only.

use crate::base::json::reader::Reader;
use crate::base::refusal::refusals::Refusal;
use crate::base::refusal::request_error::RequestError;
use crate::dialect::usage::Mode;
use crate::reading::request::body_fields::BodyFields;
use crate::reading::request::parsed::Request;

/// Reads a request body, cut anywhere.
#[derive(Debug)]
pub struct RequestReader {
    json: Reader,
    body: BodyFields,
}

impl RequestReader {
    /// A reader for one body.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self { json: Reader::default(), body: BodyFields::new(mode) }
    }

    /// Reads the next bytes. [`RequestReader::finish`] tells their mistakes.
    pub fn push(&mut self, bytes: &[u8]) {
        // The reader remembers its mistake: a later push does nothing, and finish tells it.
        let _ = self.json.push(bytes, &mut self.body);
    }

    /// How many bytes were read; a body that is wrong is counted up to its mistake.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.json.offset()
    }

    /// Tells the reader that the body is complete.
    ///
    /// # Errors
    /// Why the body is refused: the first mistake in the order of its bytes.
    pub fn finish(mut self) -> Result<Request, RequestError> {
        let read = self.json.finish(&mut self.body);
        if let Some(error) = self.body.error() {
            return Err(error);
        }
        read.map_err(RequestError::NotJson)?;
        self.body.finish(self.json.offset())
    }
}

/// A body that is coming, or has come.
#[derive(Debug)]
pub enum Body {
    /// It is coming.
    Coming(Box<RequestReader>),
    /// It has come: the request that it makes, or why it is refused.
    Complete(Box<Result<Request, RequestError>>),
}

impl Body {
    /// A body of which nothing has come yet; `end` if there is none.
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

#[cfg(test)]
#[path = "body_test.rs"]
mod tests;
