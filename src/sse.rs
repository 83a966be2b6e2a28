//! A stream of server-sent events, read as it passes, and the one event that may be taken out of it.
//!
//! Where the filter made the provider report usage, the chunk that only carries it is the filter's own doing
//! and the caller must not see it. Every other byte passes as it came, and as soon as it cannot be part of
//! that chunk: at most one incomplete event of [`HELD_MAX`] bytes waits.

use crate::document::{Choices, Document, RawUsage};

/// How much of an event waits until it is known not to be the usage chunk. Real ones have under 1 KiB.
pub const HELD_MAX: usize = 16 * 1024;

/// What a stream said, over all its events.
#[derive(Debug, Default)]
pub struct Stream {
    /// The first `id`.
    pub id: Option<String>,
    /// The last usage that was not `null`.
    pub usage: RawUsage,
    /// Bytes of text that the model wrote.
    pub text_bytes: u64,
    /// Whether any event had choices.
    pub has_choices: bool,
    /// Whether any event was an error.
    pub has_error: bool,
    /// Whether it was served by another tier than the one that is priced.
    pub other_tier: bool,
}

/// What becomes of the bytes pushed.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// They pass as they are.
    Same,
    /// These pass in their place.
    Instead(Vec<u8>),
}

/// Where in a line the scanner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// At its first byte.
    #[default]
    Start,
    /// In the field's name: so many bytes of `data` were read.
    Name(u8),
    /// After `data:`, where one space may follow.
    Colon,
    /// In the value of a `data` field.
    Data,
    /// In a comment.
    Comment,
    /// In a field that is no data.
    Other,
}

/// Whether the bytes of the event being read pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// They wait.
    Held,
    /// They pass.
    Open,
}

/// Reads a stream, cut anywhere.
#[derive(Debug)]
pub struct Scanner {
    /// Whether the usage chunk is taken out.
    takes_out: bool,
    line: Line,
    after_cr: bool,
    /// The line feed of a taken-out event's last `\r\n` goes with it.
    drop_line_feed: bool,
    gate: Gate,
    held: Vec<u8>,
    document: Document,
    /// Byte order mark: so many of its bytes may still come.
    bom_left: u8,
    /// What was found so far.
    pub stream: Stream,
}

impl Scanner {
    /// A scanner that takes the usage chunk out, or lets everything pass.
    #[must_use]
    pub fn new(takes_out: bool) -> Self {
        Self {
            takes_out,
            line: Line::Start,
            after_cr: false,
            drop_line_feed: false,
            gate: if takes_out { Gate::Held } else { Gate::Open },
            held: Vec::new(),
            document: Document::default(),
            bom_left: 3,
            stream: Stream::default(),
        }
    }

    /// Reads the next bytes and says which pass.
    pub fn push(&mut self, bytes: &[u8]) -> Passed {
        let mut out = Out { passed: Vec::new(), same: self.held.is_empty(), bytes, pending: 0 };
        let mut at = 0usize;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let used = self.step(rest, at, &mut out).max(1);
            at = at.saturating_add(used).min(bytes.len());
        }
        if self.gate == Gate::Open {
            out.pass_up_to(at);
        } else {
            out.hold_up_to(at, &mut self.held);
        }
        out.finish()
    }

    /// Says that the stream came to its end; gives the bytes that waited and may pass.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut held = std::mem::take(&mut self.held);
        if self.end_of_event() {
            held.clear();
        }
        held
    }

    /// Reads one byte or a run of them at offset `at`; says how many.
    fn step(&mut self, rest: &[u8], at: usize, out: &mut Out<'_>) -> usize {
        let Some(&byte) = rest.first() else { return 1 };
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            // The second half of a line's end goes where its first half went.
            let end = at.saturating_add(1);
            if std::mem::take(&mut self.drop_line_feed) {
                out.drop_up_to(end, &mut self.held);
            } else if self.held.is_empty() && out.pending == at {
                out.pass_up_to(end);
            }
            return 1;
        }
        self.drop_line_feed = false;
        if byte == b'\r' || byte == b'\n' {
            self.after_cr = byte == b'\r';
            self.end_of_line(at.saturating_add(1), out);
            return 1;
        }
        match self.line {
            Line::Start => self.start_of_line(byte, at, out),
            Line::Name(read) => {
                self.line = match (read, byte) {
                    (1, b'a') => Line::Name(2),
                    (2, b't') => Line::Name(3),
                    (3, b'a') => Line::Name(4),
                    (4, b':') => Line::Colon,
                    _ => Line::Other,
                }
            }
            Line::Colon if byte == b' ' => self.line = Line::Data,
            Line::Colon | Line::Data => {
                self.line = Line::Data;
                return self.data(rest, at, out);
            }
            Line::Comment | Line::Other => return run(rest),
        }
        1
    }

    fn start_of_line(&mut self, byte: u8, at: usize, out: &mut Out<'_>) {
        // A byte order mark may stand before the first line (EF BB BF).
        if self.bom_left > 0 {
            let expected = match self.bom_left {
                3 => 0xef,
                2 => 0xbb,
                _ => 0xbf,
            };
            self.bom_left = if byte == expected { self.bom_left.saturating_sub(1) } else { 0 };
            if byte == expected {
                return;
            }
        }
        self.line = match byte {
            b'd' => {
                // A provider that leaves out the blank line: a new document on a new line.
                if self.document.is_whole() || self.document.is_broken() {
                    self.take_document();
                }
                Line::Name(1)
            }
            b':' => {
                // A comment is no part of an event: where nothing waits before it, it does not wait.
                if self.gate == Gate::Held && self.held.is_empty() && out.pending == at {
                    self.gate = Gate::Open;
                }
                Line::Comment
            }
            _ => Line::Other,
        };
    }

    /// Feeds a run of a data field's value to the document.
    fn data(&mut self, rest: &[u8], at: usize, out: &mut Out<'_>) -> usize {
        let length = run(rest);
        let value = rest.get(..length).unwrap_or(rest);
        if !self.document.is_broken() {
            self.document.push(value);
        }
        if self.gate == Gate::Held {
            let waiting =
                self.held.len().saturating_add(at.saturating_add(length).saturating_sub(out.pending));
            let chunk_of_its_own = self.document.found.choices == Choices::Some;
            if chunk_of_its_own || self.document.is_broken() || waiting > HELD_MAX {
                self.gate = Gate::Open;
                out.release(&mut self.held);
            }
        }
        length
    }

    fn end_of_line(&mut self, end: usize, out: &mut Out<'_>) {
        match std::mem::take(&mut self.line) {
            Line::Start => {
                // A blank line ends the event.
                let usage_only = self.end_of_event();
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
            // A document may stand on several data lines, joined by line feeds.
            Line::Data | Line::Colon => {
                self.document.push(b"\n");
            }
            Line::Comment if self.takes_out && self.gate == Gate::Open && self.document.is_fresh() => {
                out.pass_up_to(end);
                self.gate = Gate::Held;
            }
            _ => {}
        }
    }

    /// Takes the event's document into account; says whether it was the usage chunk.
    fn end_of_event(&mut self) -> bool {
        if self.document.is_fresh() {
            return false;
        }
        self.take_document()
    }

    fn take_document(&mut self) -> bool {
        let mut document = std::mem::take(&mut self.document);
        let whole = document.is_whole();
        let found = &mut document.found;
        let usage_only = whole && found.usage.is_reported() && found.choices != Choices::Some && !found.error;
        self.stream.text_bytes = self.stream.text_bytes.saturating_add(found.text_bytes);
        self.stream.has_choices |= found.choices == Choices::Some;
        self.stream.has_error |= found.error;
        self.stream.other_tier |= found.other_tier;
        if self.stream.id.is_none() {
            self.stream.id = found.id.take();
        }
        let usage = found.take_usage();
        if usage.is_reported() {
            self.stream.usage = usage;
        }
        if self.stream.id.is_some() {
            self.document.skip_id();
        }
        usage_only
    }
}

/// How many bytes are left of the line.
fn run(bytes: &[u8]) -> usize {
    crate::json_text::line_run(bytes)
}

/// The bytes that pass: the same ones for as long as nothing was held or dropped.
struct Out<'a> {
    passed: Vec<u8>,
    same: bool,
    bytes: &'a [u8],
    /// Up to here the bytes were passed, held or dropped.
    pending: usize,
}

impl Out<'_> {
    /// From here on the bytes that pass are not the ones that came.
    fn differ(&mut self) {
        if std::mem::take(&mut self.same) {
            self.passed.extend_from_slice(self.bytes.get(..self.pending).unwrap_or(&[]));
        }
    }

    fn pass_up_to(&mut self, end: usize) {
        if !self.same {
            self.passed.extend_from_slice(self.bytes.get(self.pending..end).unwrap_or(&[]));
        }
        self.pending = end;
    }

    /// What waited passes before anything else does.
    fn release(&mut self, held: &mut Vec<u8>) {
        if !held.is_empty() {
            self.differ();
            self.passed.append(held);
        }
    }

    fn hold_up_to(&mut self, end: usize, held: &mut Vec<u8>) {
        if end > self.pending {
            self.differ();
            held.extend_from_slice(self.bytes.get(self.pending..end).unwrap_or(&[]));
            self.pending = end;
        }
    }

    fn drop_up_to(&mut self, end: usize, held: &mut Vec<u8>) {
        self.differ();
        held.clear();
        self.pending = end;
    }

    fn finish(self) -> Passed {
        if self.same { Passed::Same } else { Passed::Instead(self.passed) }
    }
}

#[cfg(test)]
#[path = "sse_test.rs"]
mod tests;
