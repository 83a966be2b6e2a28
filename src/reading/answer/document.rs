//! Reads one JSON document of an answer (a whole answer or one chunk of a stream), pushed in pieces cut
//! anywhere, in bounded memory.

use crate::base::json::reader::{Kind, Reader, Sink};
use crate::base::text_bytes::TextBytes;
use crate::dialect::usage::{RAW_MAX, Worth};
use crate::dialect::usage_fields::TIER_KEPT;
use crate::reading::answer::choice_text::{ChoiceText, Field};
use crate::reading::answer::keys::{AnswerKey, field, name};
use crate::reading::answer::reported::{At, Judge, RawUsage, Reported};
use crate::reading::answer::template::{HOLES_MAX, Hole};

/// The longest response id that is kept.
const ID_MAX: usize = 128;

/// What a document's `choices` (or an embedding's `data`) are.
///
/// The variants are in order: a document that has both lists, or one of them twice, has choices if any of the
/// lists has an element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choices {
    /// Not there, or not yet.
    #[default]
    Absent,
    /// An empty list, so far.
    Empty,
    /// At least one.
    Some,
}

/// What was found in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The top-level `id`, if it is a string that an entry can keep.
    pub id: Option<String>,
    /// The usage that counts: the top-level one, else Groq's, else a choice's.
    pub usage: Reported,
    /// Whether the top-level usage holds a count.
    pub has_usage: bool,
    /// `choices`, or `data`.
    pub choices: Choices,
    /// Whether there is an `error` other than `null`.
    pub error: bool,
    /// `service_tier`, if it is a string.
    pub service_tier: Option<String>,
    /// What the model wrote in the choices that are read to their end.
    pub before: TextBytes,
    /// What it wrote in the choice that is being read, or was read last.
    pub choice: ChoiceText,
}

impl Found {
    /// What the model wrote, counted once.
    #[must_use]
    pub fn text(&self) -> TextBytes {
        self.before.plus(self.choice.once())
    }
}

/// Reads one document.
#[derive(Debug, Default)]
pub struct Document {
    json: Reader,
    place: Place,
    /// What was found so far.
    pub found: Found,
}

impl Document {
    /// A document whose usages are judged with `judge`.
    #[must_use]
    pub fn new(judge: Judge) -> Self {
        let mut document = Self::default();
        document.place.judge = judge;
        document
    }

    /// Reads the next bytes; false once they are not JSON.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let base = self.json.offset();
        let mut pass = Pass { place: &mut self.place, found: &mut self.found, bytes, base };
        let read = self.json.push(bytes, &mut pass).is_ok();
        pass.keep_rest();
        read
    }

    /// Whether the document came to its end and was JSON throughout.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.json.is_done()
    }

    /// Whether it cannot become whole any more.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.json.error().is_some()
    }

    /// Leaves `id` alone: a stream's first one is enough.
    pub fn skip_id(&mut self) {
        self.place.skips_id = true;
    }

    /// Whether nothing was read but white space.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.json.is_fresh()
    }

    /// Whether nothing was read at all.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.json.offset() == 0
    }

    /// The strings of which only the length matters, in order. None if there are too many, if the document
    /// has more than one choice, or if it has more than one `delta` or `message` in all.
    #[must_use]
    pub fn holes(&self) -> Option<&[Hole]> {
        if self.place.choices > 1 || self.place.sayings > 1 {
            return None;
        }
        self.place.holes.get(..self.place.holes_found)
    }
}

/// `choices[0].delta.content[0].thinking[0].text` has eight levels; one more tells what is inside of it from it.
const LEVELS: usize = 10;

/// Where in the document the reader is, and what it is keeping.
#[derive(Debug, Default)]
struct Place {
    path: [AnswerKey; LEVELS],
    keeping: Keeping,
    /// The offset from which the value is still to be kept.
    from: u64,
    kept: Vec<u8>,
    too_large: bool,
    /// The kind of the string that is being read.
    field: Field,
    /// Whether the choice has a `delta`.
    has_delta: bool,
    /// How many choices began, and how many members `delta` or `message`.
    choices: u32,
    sayings: u32,
    skips_id: bool,
    judge: Judge,
    /// Where the text of a string begins, if the string is a hole.
    hole_from: Option<u64>,
    holes: [Hole; HOLES_MAX],
    /// How many holes there are, including those for which `holes` has no room.
    holes_found: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Keeping {
    #[default]
    Nothing,
    Id,
    Tier,
    /// The usage at this depth.
    Usage(usize),
}

/// One push: the place, and the bytes that offsets point into.
struct Pass<'a> {
    place: &'a mut Place,
    found: &'a mut Found,
    bytes: &'a [u8],
    base: u64,
}

impl Pass<'_> {
    fn way(&self, depth: usize) -> &[AnswerKey] {
        self.place.path.get(1..=depth).unwrap_or(&[])
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = RAW_MAX.saturating_sub(self.place.kept.len());
        self.place.too_large |= bytes.len() > room;
        self.place.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Keeps the raw bytes from `place.from` up to `end`.
    fn keep_up_to(&mut self, end: u64) {
        let index = |offset: u64| usize::try_from(offset.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let raw = self.bytes.get(index(self.place.from)..index(end)).unwrap_or(&[]);
        self.keep(raw);
        self.place.from = end;
    }

    /// Called at the end of a push: keeps what these bytes have of a value that goes on.
    fn keep_rest(&mut self) {
        if matches!(self.place.keeping, Keeping::Usage(_)) {
            let end = self.base.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX));
            self.keep_up_to(end);
        }
    }

    fn next_choice(&mut self) {
        self.found.choices = Choices::Some;
        self.found.before = self.found.text();
        self.found.choice = ChoiceText::default();
        self.place.choices = self.place.choices.saturating_add(1);
        self.place.has_delta = false;
    }

    /// A `delta` or a `message` begins. Of two, the last one counts, as for every JSON reader. A `message`
    /// beside a `delta` does not count: the `delta` has the new text, and the `message` repeats all text so
    /// far (Perplexity).
    fn say(&mut self, is_delta: bool) {
        self.place.sayings = self.place.sayings.saturating_add(1);
        if is_delta || !self.place.has_delta {
            self.found.choice.say_anew();
        }
        self.place.has_delta |= is_delta;
    }

    fn end_hole(&mut self, from: u64, to: u64) {
        let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(place) = self.place.holes.get_mut(self.place.holes_found) {
            *place = Hole { from: index(from), to: index(to), field: self.place.field };
        }
        self.place.holes_found = self.place.holes_found.saturating_add(1);
    }

    fn end_usage(&mut self, depth: usize, end: u64) {
        self.keep_up_to(end);
        let kept = std::mem::take(&mut self.place.kept);
        self.place.keeping = Keeping::Nothing;
        let raw = if self.place.too_large { RawUsage::TooLarge } else { RawUsage::Value(kept) };
        let at = match depth {
            1 => At::Top,
            2 => At::Groq,
            _ => At::Choice,
        };
        let usage = Reported::of(raw, at, self.place.judge);
        self.found.has_usage |= at == At::Top && usage.worth >= Worth::Unreadable;
        self.found.usage.or_beside(usage);
    }
}

impl Sink for Pass<'_> {
    fn key(&mut self, depth: usize, key: &[u8], _: u64) {
        if let Some(place) = self.place.path.get_mut(depth) {
            *place = name(depth, key);
        }
    }

    fn begin(&mut self, depth: usize, kind: Kind, at: u64) {
        let keeping = match self.way(depth) {
            _ if self.place.keeping != Keeping::Nothing => self.place.keeping,
            [AnswerKey::Usage]
            | [AnswerKey::Groq, AnswerKey::Usage]
            | [AnswerKey::Choices, AnswerKey::Element, AnswerKey::Usage] => Keeping::Usage(depth),
            [AnswerKey::Id] if kind == Kind::String && !self.place.skips_id => Keeping::Id,
            [AnswerKey::Tier] if kind == Kind::String => Keeping::Tier,
            _ => Keeping::Nothing,
        };
        if keeping != self.place.keeping {
            self.place.keeping = keeping;
            self.place.from = at;
            self.place.kept.clear();
            self.place.too_large = false;
        }
        self.place.field = Field::NoText;
        match self.way(depth.min(LEVELS.saturating_sub(1))) {
            [AnswerKey::Choices] if kind == Kind::Array => {
                self.found.choices = self.found.choices.max(Choices::Empty);
            }
            [AnswerKey::Choices, AnswerKey::Element] => self.next_choice(),
            [AnswerKey::Choices, AnswerKey::Element, said @ (AnswerKey::Delta | AnswerKey::Message)]
                if kind == Kind::Object =>
            {
                let is_delta = *said == AnswerKey::Delta;
                self.say(is_delta);
            }
            [AnswerKey::Choices, AnswerKey::Element, inside @ ..] if kind == Kind::String => {
                // A message beside a delta repeats all text so far.
                let repeats = self.place.has_delta && inside.first() == Some(&AnswerKey::Message);
                self.place.field = if repeats { Field::NoText } else { field(inside) };
            }
            [AnswerKey::Error] => self.found.error |= kind != Kind::Null,
            _ => {}
        }
        let is_text = self.place.field != Field::NoText;
        let is_hole = is_text || (kind == Kind::String && self.way(depth) == [AnswerKey::Other]);
        self.place.hole_from = (is_hole && keeping == Keeping::Nothing).then_some(at.saturating_add(1));
        let inside = self.place.path.get_mut(depth.saturating_add(1));
        match (kind, inside) {
            (Kind::Array, Some(inside)) => *inside = AnswerKey::Element,
            (Kind::Object, Some(inside)) => *inside = AnswerKey::Other,
            _ => {}
        }
    }

    fn piece(&mut self, bytes: &[u8]) {
        if let Some(text) = self.found.choice.of(self.place.field) {
            text.add(bytes);
        }
        if matches!(self.place.keeping, Keeping::Id | Keeping::Tier) {
            self.keep(bytes);
        }
    }

    fn end(&mut self, depth: usize, _: Kind, end: u64) {
        if let Some(from) = self.place.hole_from.take() {
            self.end_hole(from, end.saturating_sub(1));
        }
        match self.place.keeping {
            Keeping::Usage(kept_depth) if kept_depth == depth => self.end_usage(depth, end),
            Keeping::Id => {
                self.place.keeping = Keeping::Nothing;
                let id = std::mem::take(&mut self.place.kept);
                // Azure's first chunk has an empty one.
                let fits = !self.place.too_large && (1..=ID_MAX).contains(&id.len());
                self.found.id = String::from_utf8(id).ok().filter(|_| fits);
            }
            Keeping::Tier => {
                self.place.keeping = Keeping::Nothing;
                let name = self.place.kept.get(..TIER_KEPT).unwrap_or(&self.place.kept);
                self.found.service_tier = Some(String::from_utf8_lossy(name).into_owned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "document_test.rs"]
mod tests;
