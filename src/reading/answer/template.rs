//! What the chunks of a stream have in common. Most chunks of a stream are the same but for the text that the
//! model wrote: the first of them is read byte by byte and learned, and each later one is compared with it.
//! If only that text differs, the chunk means what the first one meant, and only the length of its text is
//! read.

use crate::base::json::text::{Text, line_run, plain_run};
use crate::base::text_bytes::TextBytes;
use crate::reading::answer::choice_text::{ChoiceText, Field};

/// No chunk with more strings is learned.
pub const HOLES_MAX: usize = 8;
/// No chunk with more bytes than this is learned; the text in its strings does not count.
const FIXED_MAX: usize = 2_048;
/// After this many chunks in a row that do not fit the one learned before, no more are learned: the chunks of
/// this stream have little in common.
const MISSES_MAX: u8 = 16;

/// A string in a document of which only the length matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hole {
    /// Where its text begins, after the quote.
    pub from: usize,
    /// Where its text ends, before the quote.
    pub to: usize,
    /// The kind of the string.
    pub field: Field,
}

/// What was learned of a stream's chunks.
#[derive(Debug, Default)]
pub struct Template {
    /// An event without the text in its holes; empty if none is known.
    fixed: Vec<u8>,
    /// Where in `fixed` each hole is, and the kind of its string.
    holes: [(usize, Field); HOLES_MAX],
    count: usize,
    misses: u8,
}

/// An event that is the learned one with other text in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Its length, blank line included.
    pub length: usize,
    /// What the model wrote in it.
    pub text: TextBytes,
}

impl Template {
    /// Learns an event: `data:`, one document on one line, and a blank line. `holes` are those of the
    /// document, in order.
    pub fn learn(&mut self, event: &[u8], holes: &[Hole]) {
        self.forget();
        if cfg!(feature = "bench-no-template") {
            return;
        }
        self.misses = self.misses.saturating_add(1);
        if self.misses <= MISSES_MAX && self.take(event, holes).is_none() {
            self.forget();
        }
    }

    fn take(&mut self, event: &[u8], holes: &[Hole]) -> Option<()> {
        let line = event.strip_suffix(b"\n\n")?;
        let value = line.strip_prefix(b"data:")?;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let texts =
            holes.iter().fold(0usize, |all, hole| all.saturating_add(hole.to.saturating_sub(hole.from)));
        // This comes before anything is copied: an event may be as long as it likes.
        let is_long = event.len().saturating_sub(texts) > FIXED_MAX;
        if is_long || holes.len() > HOLES_MAX || line_run(line) < line.len() {
            return None;
        }
        let begin = line.len().saturating_sub(value.len());
        let mut from = 0;
        for (hole, place) in holes.iter().zip(&mut self.holes) {
            self.fixed.extend_from_slice(event.get(from..begin.saturating_add(hole.from))?);
            *place = (self.fixed.len(), hole.field);
            from = begin.saturating_add(hole.to);
        }
        self.fixed.extend_from_slice(event.get(from..)?);
        self.count = holes.len();
        Some(())
    }

    /// Forgets what was learned: the next event is compared with nothing.
    pub fn forget(&mut self) {
        self.fixed.clear();
    }

    /// The event at the start of these bytes, if it is whole and fits.
    pub fn fits(&mut self, bytes: &[u8]) -> Option<Fit> {
        if self.fixed.is_empty() {
            return None;
        }
        let (mut rest, mut from, mut choice) = (bytes, 0, ChoiceText::default());
        for (at, field) in self.holes.get(..self.count)? {
            rest = after(rest, self.fixed.get(from..*at)?)?;
            let (length, said) = text(rest)?;
            rest = rest.get(length..)?;
            from = *at;
            if let Some(text) = choice.of(*field) {
                *text = text.plus(said);
            }
        }
        rest = after(rest, self.fixed.get(from..)?)?;
        self.misses = 0;
        Some(Fit { length: bytes.len().saturating_sub(rest.len()), text: choice.once() })
    }
}

/// What comes after `start`, if the bytes begin with it.
fn after<'a>(bytes: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(start.len())?;
    let ((heads, head), (starts, start)) = (head.as_chunks::<8>(), start.as_chunks::<8>());
    // In wasm32 slices are compared byte by byte. Comparing words is faster.
    let same = heads.iter().zip(starts).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && head.iter().zip(start).all(|(a, b)| a == b);
    same.then_some(rest)
}

/// The text of a string up to its quote: how many bytes it takes, and how many it has when unescaped. None if
/// there is no such string here.
fn text(bytes: &[u8]) -> Option<(usize, TextBytes)> {
    let (mut at, mut said, mut state) = (0usize, TextBytes::default(), Text::Plain);
    loop {
        if state == Text::Plain {
            let run = plain_run(bytes.get(at..)?);
            at = at.saturating_add(run);
            // All of a run is ASCII.
            said = said.plus(TextBytes::unread(u64::try_from(run).unwrap_or(u64::MAX)));
        }
        let byte = *bytes.get(at)?;
        match state.step(byte, &mut |out| said.add(out)).ok()? {
            Some(next) => state = next,
            None => return Some((at, said)),
        }
        at = at.saturating_add(1);
    }
}

#[cfg(test)]
#[path = "template_test.rs"]
mod tests;
