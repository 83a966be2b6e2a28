//! What the gateway reads of an answer: one JSON document (a whole answer or one chunk of a stream), pushed in
//! pieces cut anywhere, in bounded memory.

use crate::answer_keys::{Name, field, name};
use crate::choice_text::{ChoiceText, Field};
use crate::json::{Kind, Reader, Sink};
use crate::reported::{At, Judge, RawUsage, Reported};
use crate::skeleton::{HOLES_MAX, Hole};
use crate::text_bytes::TextBytes;
use crate::usage::{RAW_MAX, Worth};
use crate::usage_fields::TIER_KEPT;

/// The longest response id that is kept.
const ID_MAX: usize = 128;

/// What a document's `choices` (or an embedding's `data`) are.
///
/// In order: a document that has both lists, or one of them twice, has choices where any of them has an element.
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
    /// The top-level `id`, where it is a string that an entry can keep.
    pub id: Option<String>,
    /// The usage that counts: the top-level one, else Groq's, else a choice's.
    pub usage: Reported,
    /// Whether the top-level one holds a count.
    pub has_usage: bool,
    /// `choices`, or `data`.
    pub choices: Choices,
    /// Whether there is an `error` other than `null`.
    pub error: bool,
    /// `service_tier`, where it is a string.
    pub service_tier: Option<String>,
    /// What the model wrote in the choices that came to their end.
    pub before: TextBytes,
    /// And in the one that is being read, or was read last.
    pub choice: ChoiceText,
}

impl Found {
    /// What the model wrote, once.
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
    /// A document whose usages are judged so.
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

    /// The strings whose text told nothing but its length, in order; none where there are too many, or where they are
    /// not all of one choice that says everything in one place.
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
    path: [Name; LEVELS],
    keeping: Keeping,
    /// Where the value being kept goes on, or begins.
    from: u64,
    kept: Vec<u8>,
    too_large: bool,
    /// Which text the value is that is being read.
    field: Field,
    /// Whether the choice has a `delta`.
    has_delta: bool,
    /// How many times a choice, and how many times a `delta` or `message`, began.
    choices: u32,
    sayings: u32,
    skips_id: bool,
    judge: Judge,
    /// Where the text begins of a string that is a hole.
    hole_from: Option<u64>,
    holes: [Hole; HOLES_MAX],
    /// How many there are, also of those that have no place.
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
    fn way(&self, depth: usize) -> &[Name] {
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

    /// At the end of a push: what of a value that goes on is in these bytes.
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

    /// A `delta` or a `message` begins. Of two, the last one counts, as for every JSON reader; and beside a delta, which
    /// says what is new, a message repeats all that was said so far (Perplexity).
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
            [Name::Usage] | [Name::Groq, Name::Usage] | [Name::Choices, Name::Element, Name::Usage] => {
                Keeping::Usage(depth)
            }
            [Name::Id] if kind == Kind::String && !self.place.skips_id => Keeping::Id,
            [Name::Tier] if kind == Kind::String => Keeping::Tier,
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
            [Name::Choices] if kind == Kind::Array => {
                self.found.choices = self.found.choices.max(Choices::Empty);
            }
            [Name::Choices, Name::Element] => self.next_choice(),
            [Name::Choices, Name::Element, said @ (Name::Delta | Name::Message)] if kind == Kind::Object => {
                let is_delta = *said == Name::Delta;
                self.say(is_delta);
            }
            [Name::Choices, Name::Element, inside @ ..] if kind == Kind::String => {
                // A message beside a delta repeats all that was said so far.
                let repeats = self.place.has_delta && inside.first() == Some(&Name::Message);
                self.place.field = if repeats { Field::NoText } else { field(inside) };
            }
            [Name::Error] => self.found.error |= kind != Kind::Null,
            _ => {}
        }
        let is_text = self.place.field != Field::NoText;
        let is_hole = is_text || (kind == Kind::String && self.way(depth) == [Name::Other]);
        self.place.hole_from = (is_hole && keeping == Keeping::Nothing).then_some(at.saturating_add(1));
        let inside = self.place.path.get_mut(depth.saturating_add(1));
        match (kind, inside) {
            (Kind::Array, Some(inside)) => *inside = Name::Element,
            (Kind::Object, Some(inside)) => *inside = Name::Other,
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
