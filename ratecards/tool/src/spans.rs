//! A JSON text with the place of every value in it.
//!
//! The gateway's reader names a mistake by its path; an editor wants the line. And a card that is edited must
//! keep every other byte. Both need the place of a value. `serde_json` has parsed the text before this reader
//! gets it, so this reader only finds places and never judges.

use std::ops::Range;

use pax_gateway::base::strict_json;

/// A value and its bytes.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its place in the text, quotes and braces included.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `null`, a boolean or a number, as it is written.
    Plain(String),
    /// A string, without quotes and escapes.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object, members in the order of the text, doubles included.
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its key, without escapes.
    pub key: String,
    /// Where the key begins.
    pub at: usize,
    /// Its value.
    pub value: Value,
}

impl Value {
    /// The members of an object; none if it is no object.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        if let Kind::Object(members) = &self.kind { members } else { &[] }
    }

    /// The values of a list; none if it is no list.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        if let Kind::List(items) = &self.kind { items } else { &[] }
    }

    /// A member's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.members().iter().find(|member| member.key == key).map(|member| &member.value)
    }

    /// A string's text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// What is neither text, list nor object, as it is written.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        if let Kind::Plain(text) = &self.kind { Some(text) } else { None }
    }

    /// A whole number.
    #[must_use]
    pub fn whole(&self) -> Option<u64> {
        self.plain()?.parse().ok()
    }
}

/// Reads a text; nothing if it is no JSON.
#[must_use]
pub fn read(text: &str) -> Option<Value> {
    // serde_json judges, and bounds the depth for the reader below.
    serde_json::from_str::<&serde_json::value::RawValue>(text).ok()?;
    let mut reader = Reader { text, at: 0 };
    reader.value()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn value(&mut self) -> Option<Value> {
        let first = self.peek()?;
        let start = self.at;
        let kind = match first {
            b'{' => self.object()?,
            b'[' => self.list()?,
            b'"' => Kind::Text(self.string()?),
            _ => {
                let rest = self.text.get(start..)?;
                let len = rest.find(|c: char| c.is_ascii_whitespace() || ",]}".contains(c));
                self.at = start + len.unwrap_or(rest.len());
                Kind::Plain(self.text.get(start..self.at)?.to_owned())
            }
        };
        Some(Value { span: start..self.at, kind })
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            match bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn list(&mut self) -> Option<Kind> {
        let mut items = Vec::new();
        self.at += 1;
        while self.peek()? != b']' {
            if self.peek()? == b',' {
                self.at += 1;
            }
            items.push(self.value()?);
        }
        self.at += 1;
        Some(Kind::List(items))
    }

    fn object(&mut self) -> Option<Kind> {
        let mut members = Vec::new();
        self.at += 1;
        while self.peek()? != b'}' {
            if self.peek()? == b',' {
                self.at += 1;
            }
            self.peek()?;
            let at = self.at;
            let key = self.string()?;
            self.peek()?;
            self.at += 1;
            members.push(Member { key, at, value: self.value()? });
        }
        self.at += 1;
        Some(Kind::Object(members))
    }
}

/// The line of a place, from 1.
#[must_use]
pub fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The places in a document, found under the paths that mistakes name.
#[derive(Debug, Default)]
pub struct Places {
    /// Each path, and where its key or item begins.
    known: Vec<(String, usize)>,
    /// Strings in lists: the list's path, the text, its place.
    listed: Vec<(String, String, usize)>,
}

impl Places {
    /// The places of a text; none if it is no JSON.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut places = Self::default();
        if let Some(value) = read(text) {
            places.known.push((String::new(), value.span.start));
            places.walk("", &value);
        }
        places
    }

    fn walk(&mut self, path: &str, value: &Value) {
        for member in value.members() {
            let path = strict_json::join(path, &member.key);
            self.known.push((path.clone(), member.at));
            self.walk(&path, &member.value);
        }
        for (index, item) in value.items().iter().enumerate() {
            if let Some(text) = item.text() {
                self.listed.push((path.to_owned(), text.to_owned(), item.span.start));
            }
            let path = format!("{path}[{index}]");
            self.known.push((path.clone(), item.span.start));
            self.walk(&path, item);
        }
    }

    /// The place of a mistake: its value; the second of two equal keys; the item of a list that the mistake
    /// quotes; the object in which something is missing.
    #[must_use]
    pub fn find(&self, path: &str, what: &str) -> usize {
        let listed = self.listed.iter().find(|(list, text, _)| {
            list == path && what.strip_prefix(&format!("{text:?}")).is_some_and(|rest| rest.starts_with(' '))
        });
        if let Some((_, _, at)) = listed {
            return *at;
        }
        let mut exact = self.known.iter().filter(|(known, _)| known == path).map(|(_, at)| *at);
        let (first, second) = (exact.next(), exact.next());
        if what.starts_with("stands twice") && second.is_some() {
            return second.unwrap_or_default();
        }
        if let Some(first) = first {
            return first;
        }
        let holds = |known: &str| {
            path.strip_prefix(known)
                .is_some_and(|rest| known.is_empty() || rest.starts_with('.') || rest.starts_with('['))
        };
        let nearest =
            self.known.iter().filter(|(known, _)| holds(known)).max_by_key(|(known, _)| known.len());
        nearest.map_or(0, |(_, at)| *at)
    }
}
