//! A stream of server-sent events, read as it passes, and the one event that may be taken out of it.
//!
//! If the filter made the provider report usage, the caller must not see the chunk that carries only the
//! usage. Every other byte passes as it came, as soon as it cannot be part of that chunk: at most one
//! incomplete event of [`HELD_MAX`] bytes waits.
//!
//! Events, lines and fields are those of the standard (WHATWG HTML, 9.2.6): lines end by LF, CRLF or CR,
//! `data` without a colon is an empty data line, and the data lines of an event are joined by line feeds. Two
//! rules go beyond it:
//!
//! - Some providers leave out the blank line between two events. So a data line begins another document if it
//!   comes after a whole JSON document, or after data that is no JSON. All of these documents are read. An
//!   event is taken out only if it is one document, with nothing but usage.
//! - The last event counts, and may be taken out, even if the stream ends without its blank line.

use crate::base::text_bytes::TextBytes;
use crate::dialect::usage::Worth;
use crate::reading::answer::document::{Choices, Document};
use crate::reading::answer::event_data::{EventData, length};
use crate::reading::answer::passing::Out;
pub use crate::reading::answer::passing::Passed;
use crate::reading::answer::reported::{Judge, Reported};
use crate::reading::answer::template::Template;

/// How many bytes of an event wait until it is known not to be the usage chunk. Real ones have under 1 KiB.
pub const HELD_MAX: usize = 16 * 1024;

/// What was in a stream, over all its events.
#[derive(Debug, Default)]
pub struct EventStream {
    /// The first `id`.
    pub id: Option<String>,
    /// The usage that counts: the last one, among those that are worth most.
    pub usage: Reported,
    /// What the model wrote. If the JSON of an event breaks, all bytes of that event count.
    pub text: TextBytes,
    /// Whether any event's JSON breaks.
    pub is_broken: bool,
    /// Whether any event was an answer's: it had choices, an error or a usage.
    pub is_answer: bool,
    /// Bytes of lines and events of an unknown kind. They count only if the stream has nothing of a known
    /// kind.
    pub foreign: u64,
    /// Whether any event had choices.
    pub has_choices: bool,
    /// Whether any event was an error.
    pub has_error: bool,
    /// The last `service_tier`: an earlier one may only repeat what was asked for.
    pub service_tier: Option<String>,
}

/// Where in a line the scanner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// At the stream's start, after so many bytes of a byte order mark.
    Mark(usize),
    /// At the line's first byte.
    #[default]
    Start,
    /// In the field's name: so many of its bytes were read.
    Name(&'static [u8], usize),
    /// After `data:`, where one space may follow.
    Colon,
    /// In the value of a `data` field; only white space of it was read.
    Blank,
    /// In the value of a `data` field, after something else than white space.
    Data,
    /// In a comment.
    Comment,
    /// In a field that is no data.
    Other,
    /// In a field that no event stream has.
    Foreign,
}

/// Whether the bytes of the event being read pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// They wait.
    Held,
    /// They pass.
    Open,
    /// A comment before an event passes; what comes after it waits.
    Comment,
}

/// A byte order mark may come before the first line, and is no part of it.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a stream, cut anywhere.
#[derive(Debug)]
pub struct Scanner {
    /// Whether the usage chunk is taken out.
    takes_out: bool,
    judge: Judge,
    line: Line,
    after_cr: bool,
    /// Whether a line feed that comes next is dropped: it ends the `\r\n` of an event that was taken out.
    drop_line_feed: bool,
    gate: Gate,
    held: Vec<u8>,
    document: Document,
    value: EventData,
    template: Template,
    /// What was found so far.
    pub stream: EventStream,
}

impl Scanner {
    /// A scanner that takes the usage chunk out, or lets everything pass.
    #[must_use]
    pub fn new(takes_out: bool, judge: Judge) -> Self {
        Self {
            takes_out,
            judge,
            line: Line::Mark(0),
            after_cr: false,
            drop_line_feed: false,
            gate: if takes_out { Gate::Held } else { Gate::Open },
            held: Vec::new(),
            document: Document::new(judge),
            value: EventData::default(),
            template: Template::default(),
            stream: EventStream::default(),
        }
    }

    /// Reads the next bytes and tells which pass.
    pub fn push(&mut self, bytes: &[u8]) -> Passed {
        let mut out = Out::of(bytes, self.held.is_empty());
        let mut at = 0usize;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.line == Line::Start && !self.after_cr && self.document.is_untouched() {
                if let Some(end) = self.pass_at_once(rest, at, &mut out) {
                    at = end;
                    continue;
                }
                out.line_at = Some(at);
            }
            let used = self.step(rest, at, &mut out);
            at = at.saturating_add(used).min(bytes.len());
            let waiting = self.held.len().saturating_add(at.saturating_sub(out.pending));
            if self.gate == Gate::Held && waiting > HELD_MAX {
                self.open(&mut out);
            }
        }
        if self.gate == Gate::Held {
            out.hold_up_to(at, &mut self.held);
        } else {
            out.pass_up_to(at);
        }
        out.finish()
    }

    /// Called at the start of a line, before any data of its event. If the event that begins here brings
    /// nothing new but text, it passes whole. Gives its end.
    fn pass_at_once(&mut self, rest: &[u8], at: usize, out: &mut Out<'_>) -> Option<usize> {
        let fit = self.template.fits(rest)?;
        let end = at.saturating_add(fit.length);
        self.stream.text = self.stream.text.plus(fit.text);
        self.drop_line_feed = false;
        if self.takes_out {
            out.release(&mut self.held);
            out.pass_up_to(end);
            self.gate = Gate::Held;
        }
        Some(end)
    }

    /// Whether any text of the model's was seen.
    #[must_use]
    pub fn has_text(&self) -> bool {
        !self.stream.text.is_empty() || !self.document.found.text().is_empty()
    }

    /// Tells the scanner that the stream is over; gives the bytes that waited and may pass.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut held = std::mem::take(&mut self.held);
        if let Line::Name(name, read) = std::mem::take(&mut self.line)
            && read < name.len()
        {
            self.foreign(name.get(..read).unwrap_or(name));
        }
        if self.end_of_event(None) {
            held.clear();
        }
        held
    }

    /// Reads one byte or a run of them at offset `at`; gives how many.
    fn step(&mut self, rest: &[u8], at: usize, out: &mut Out<'_>) -> usize {
        let Some(&byte) = rest.first() else { return 1 };
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            // The line feed of a `\r\n` goes the way of its carriage return.
            let end = at.saturating_add(1);
            if std::mem::take(&mut self.drop_line_feed) {
                out.drop_up_to(end, &mut self.held);
            } else if self.held.is_empty() && out.pending == at {
                out.pass_up_to(end);
            }
            return 1;
        }
        self.drop_line_feed = false;
        if let Line::Mark(read) = self.line {
            if MARK.get(read) == Some(&byte) {
                self.mark(read.saturating_add(1), at.saturating_add(1), out);
                return 1;
            }
            // Half a mark is text like any other.
            self.line = if read == 0 { Line::Start } else { Line::Foreign };
            self.foreign(MARK.get(..read).unwrap_or(MARK));
        }
        if byte == b'\r' || byte == b'\n' {
            self.after_cr = byte == b'\r';
            self.end_of_line(at.saturating_add(1), out);
            return 1;
        }
        match self.line {
            Line::Start => self.start_of_line(byte, at, out),
            Line::Name(name, read) => match name.get(read) {
                Some(next) if *next == byte => self.line = Line::Name(name, read.saturating_add(1)),
                None if byte == b':' => self.line = if name == DATA { Line::Colon } else { Line::Other },
                _ => {
                    self.line = Line::Foreign;
                    self.foreign(name.get(..read).unwrap_or(name));
                    return 0;
                }
            },
            Line::Colon if byte == b' ' => self.line = Line::Blank,
            Line::Colon | Line::Blank | Line::Data => return self.data(rest, out),
            Line::Foreign => {
                let length = run(rest);
                self.foreign(rest.get(..length).unwrap_or(rest));
                return length;
            }
            Line::Comment | Line::Other | Line::Mark(_) => return run(rest),
        }
        1
    }

    /// `read` bytes of a byte order mark were read. It is no part of an event: once it is whole it passes.
    fn mark(&mut self, read: usize, end: usize, out: &mut Out<'_>) {
        self.line = Line::Mark(read);
        if read == MARK.len() {
            self.line = Line::Start;
            out.release(&mut self.held);
            out.pass_up_to(end);
        }
    }

    fn start_of_line(&mut self, byte: u8, at: usize, out: &Out<'_>) {
        self.line = match byte {
            b'd' => Line::Name(DATA, 1),
            b'e' => Line::Name(b"event", 1),
            b'i' => Line::Name(b"id", 1),
            b'r' => Line::Name(b"retry", 1),
            b':' => {
                // A comment is no part of an event: if nothing waits before it, the comment does not wait.
                if self.gate == Gate::Held && self.held.is_empty() && out.pending == at {
                    self.gate = Gate::Comment;
                }
                Line::Comment
            }
            first => {
                self.foreign(&[first]);
                Line::Foreign
            }
        };
    }

    fn foreign(&mut self, bytes: &[u8]) {
        self.stream.foreign = self.stream.foreign.saturating_add(length(bytes));
    }

    /// Feeds a run of a data field's value to the document.
    fn data(&mut self, rest: &[u8], out: &mut Out<'_>) -> usize {
        let length = run(rest);
        let value = rest.get(..length).unwrap_or(rest);
        let is_blank = value.iter().all(|byte| matches!(byte, b' ' | b'\t'));
        let goes_on = self.line == Line::Data;
        let begins = !goes_on && !is_blank;
        self.line = if goes_on || begins { Line::Data } else { Line::Blank };
        // A new document on a new line: the provider left out the blank line.
        let another = begins && (self.document.is_whole() || self.document.is_broken());
        if another {
            self.take_document(None);
        }
        // Blanks before a line's first byte belong to no document yet.
        let blanks = value.iter().take_while(|byte| !goes_on && matches!(byte, b' ' | b'\t')).count();
        self.value.take(value.get(blanks..).unwrap_or(value));
        if !self.document.is_broken() {
            self.document.push(value);
        }
        let chunk_of_its_own = self.document.found.choices == Choices::Some;
        if self.gate == Gate::Held && (another || chunk_of_its_own || self.document.is_broken()) {
            self.open(out);
        }
        length
    }

    /// The event is not the usage chunk: its bytes that wait pass now, and the rest will.
    fn open(&mut self, out: &mut Out<'_>) {
        self.gate = Gate::Open;
        out.release(&mut self.held);
    }

    fn end_of_line(&mut self, end: usize, out: &mut Out<'_>) {
        match std::mem::take(&mut self.line) {
            Line::Start => {
                // A blank line ends the event.
                let event = out.line_at.and_then(|from| out.bytes.get(from..end));
                let usage_only = self.end_of_event(event);
                if self.takes_out {
                    if usage_only && self.gate == Gate::Held {
                        out.drop_up_to(end, &mut self.held);
                        self.drop_line_feed = true;
                    } else {
                        out.release(&mut self.held);
                        out.pass_up_to(end);
                    }
                    self.gate = Gate::Held;
                }
            }
            // A document may have several data lines, joined by line feeds.
            Line::Name(DATA, 4) | Line::Colon | Line::Blank | Line::Data => {
                self.document.push(b"\n");
            }
            Line::Name(name, read) if read < name.len() => self.foreign(name.get(..read).unwrap_or(name)),
            Line::Comment if self.gate == Gate::Comment => {
                out.pass_up_to(end);
                self.gate = Gate::Held;
            }
            _ => {}
        }
    }

    /// Takes the event's document into account; gives whether it was the usage chunk.
    fn end_of_event(&mut self, event: Option<&[u8]>) -> bool {
        if self.document.is_fresh() {
            return false;
        }
        self.take_document(event)
    }

    /// `event` has the bytes of the event, if all of them came at once.
    fn take_document(&mut self, event: Option<&[u8]>) -> bool {
        let mut document = std::mem::replace(&mut self.document, Document::new(self.judge));
        let whole = document.is_whole();
        let value = std::mem::take(&mut self.value);
        let broken = document.is_broken();
        let found = &mut document.found;
        let (has_choices, has_error) = (found.choices == Choices::Some, found.error);
        let usage_only = whole && found.has_usage && !has_choices && !has_error;
        let is_answer = found.choices != Choices::Absent || has_error || found.usage.worth > Worth::Nothing;
        self.stream.is_answer |= is_answer;
        self.stream.is_broken |= broken && value.is_object;
        if broken && value.is_object {
            self.stream.text = self.stream.text.plus(TextBytes::unread(value.bytes));
        } else if is_answer {
            self.stream.text = self.stream.text.plus(found.text());
        } else if (whole || broken) && !value.is_done() {
            self.stream.foreign = self.stream.foreign.saturating_add(value.bytes);
        }
        self.stream.has_choices |= has_choices;
        self.stream.has_error |= has_error;
        if let Some(tier) = found.service_tier.take() {
            self.stream.service_tier = Some(tier);
        }
        if self.stream.id.is_none() {
            self.stream.id = found.id.take();
        }
        let usage = std::mem::take(&mut found.usage);
        // If a later chunk differs from this one only in its text, nothing but that text is new.
        let is_text_only = whole && has_choices && !has_error && usage.worth == Worth::Nothing;
        match event.zip(document.holes()) {
            Some((event, holes)) if is_text_only => self.template.learn(event, holes),
            _ => self.template.forget(),
        }
        self.stream.usage.or_later(usage);
        if self.stream.id.is_some() {
            self.document.skip_id();
        }
        usage_only
    }
}

/// The name of the only field that matters.
const DATA: &[u8] = b"data";

/// How many bytes are left of the line.
fn run(bytes: &[u8]) -> usize {
    crate::base::json::text::line_run(bytes)
}

#[cfg(test)]
#[path = "stream_test.rs"]
mod tests;
