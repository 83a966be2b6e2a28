//! Reads a document that an operator wrote (a rate card, the configuration), and gives the path of every
//! mistake.
//!
//! Reading goes on after a mistake, so that one run names them all. An unknown key is a mistake, and so is a
//! key that occurs twice. A number with a fraction or an exponent is kept apart from whole numbers: nothing
//! here ever holds a float.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};

/// A JSON value. An object's members are in order, and one key may occur twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number from 0.
    Whole(u64),
    /// Any other number: no field of a card or a configuration takes one.
    OtherNumber,
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// An object, members in the order of the file.
    Object(Vec<(String, Node)>),
}

impl Node {
    fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Whole(_) | Self::OtherNumber => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// One mistake: where it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The path of the value, such as `models.gpt-oss-120b.usd_per_mtok.input`.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { self.what.fmt(f) } else { write!(f, "{}: {}", self.path, self.what) }
    }
}

/// All mistakes of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// Adds one more.
    pub fn add(&mut self, path: &str, what: impl Into<String>) {
        self.0.push(Mistake { path: path.to_owned(), what: what.into() });
    }

    /// The value, if there was no mistake.
    ///
    /// # Errors
    /// All mistakes. Also if there is no value: then one of the mistakes tells why.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Parses a document.
///
/// # Errors
/// One mistake, with line and column, if the text is not JSON.
pub fn parse(text: &str) -> Result<Node, Mistakes> {
    serde_json::from_str(text).map_err(|error| {
        let mut mistakes = Mistakes::default();
        mistakes.add("", format!("is not JSON: {error}"));
        mistakes
    })
}

/// The members of an object, taken out one by one. [`Fields::finish`] reports those that are left.
pub struct Fields {
    path: String,
    members: Vec<(String, Node)>,
    /// Whether the value was an object. If it was none, its members are not reported as missing.
    is_object: bool,
    /// The keys that were asked for: the mistake about an unknown key lists them.
    asked: Vec<String>,
}

impl Fields {
    /// The members of `node`. If it is no object, there are none, and a mistake is added.
    pub fn of(node: Node, path: &str, mistakes: &mut Mistakes) -> Self {
        let (all, is_object) = match node {
            Node::Object(members) => (members, true),
            other => {
                mistakes.add(path, format!("must be an object, is {}", other.what()));
                (Vec::new(), false)
            }
        };
        let mut members: Vec<(String, Node)> = Vec::new();
        for (key, node) in all {
            if members.iter().any(|(other, _)| *other == key) {
                mistakes.add(&join(path, &key), "stands twice: keep one");
            } else {
                members.push((key, node));
            }
        }
        Self { path: path.to_owned(), members, is_object, asked: Vec::new() }
    }

    /// The path of a member.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Takes a member that may be absent.
    pub fn optional(&mut self, key: &str) -> Option<Node> {
        self.asked.push(key.to_owned());
        let place = self.members.iter().position(|(name, _)| name == key)?;
        Some(self.members.remove(place).1)
    }

    /// Takes a member that must be there.
    pub fn required(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<Node> {
        let node = self.optional(key);
        if node.is_none() && self.is_object {
            mistakes.add(&self.path(key), "is missing");
        }
        node
    }

    /// Takes an object that must be there.
    pub fn object(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<Fields> {
        let node = self.required(key, mistakes)?;
        Some(Fields::of(node, &self.path(key), mistakes))
    }

    /// Takes a string that must be there and not be empty.
    pub fn text(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<String> {
        let node = self.required(key, mistakes)?;
        text(node, &self.path(key), mistakes)
    }

    /// Takes a string that may be absent.
    pub fn optional_text(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<String> {
        let node = self.optional(key)?;
        text(node, &self.path(key), mistakes)
    }

    /// Takes a whole number within `range` that must be there.
    pub fn whole(
        &mut self,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
        mistakes: &mut Mistakes,
    ) -> Option<u64> {
        let node = self.required(key, mistakes)?;
        whole(node, &self.path(key), range, mistakes)
    }

    /// Takes a whole number within `range`, or the default if it is absent.
    pub fn whole_or(
        &mut self,
        key: &str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
        mistakes: &mut Mistakes,
    ) -> Option<u64> {
        match self.optional(key) {
            Some(node) => whole(node, &self.path(key), range, mistakes),
            None => Some(default),
        }
    }

    /// Takes a string and has `T` read it.
    pub fn parsed<T>(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: fmt::Display,
    {
        let node = self.required(key, mistakes)?;
        parsed(node, &self.path(key), mistakes)
    }

    /// Takes `true` or `false`, which must be there.
    pub fn flag(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<bool> {
        let node = self.required(key, mistakes)?;
        flag(node, &self.path(key), mistakes)
    }

    /// Takes `true` or `false`, or the default if it is absent.
    pub fn flag_or(&mut self, key: &str, default: bool, mistakes: &mut Mistakes) -> Option<bool> {
        match self.optional(key) {
            Some(node) => flag(node, &self.path(key), mistakes),
            None => Some(default),
        }
    }

    /// Takes all members that are left, in the order of the file: key, path and value of each.
    pub fn rest(self) -> impl Iterator<Item = (String, String, Node)> {
        let path = self.path;
        self.members.into_iter().map(move |(key, node)| {
            let path = join(&path, &key);
            (key, path, node)
        })
    }

    /// Reports every member that is left.
    pub fn finish(self, mistakes: &mut Mistakes) {
        for (key, _) in &self.members {
            let known = self.asked.join(", ");
            mistakes.add(&join(&self.path, key), format!("is unknown here; known are: {known}"));
        }
    }
}

/// The path of a member of the object at `path`.
#[must_use]
pub fn join(path: &str, key: &str) -> String {
    // A key that would be invisible, or would break the line, is quoted.
    let quoted = key.is_empty() || key.chars().any(char::is_control);
    let key = if quoted { format!("{key:?}") } else { key.to_owned() };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A string that is not empty.
pub fn text(node: Node, path: &str, mistakes: &mut Mistakes) -> Option<String> {
    match node {
        Node::Text(text) if !text.is_empty() => return Some(text),
        Node::Text(_) => mistakes.add(path, "must not be empty"),
        other @ (Node::Whole(_) | Node::OtherNumber) => {
            mistakes.add(path, format!("must be a string, is {}: write it in double quotes", other.what()));
        }
        other => mistakes.add(path, format!("must be a string, is {}", other.what())),
    }
    None
}

/// A string that `T` reads. Money is a string on purpose: a JSON number would pass through a float somewhere.
pub fn parsed<T>(node: Node, path: &str, mistakes: &mut Mistakes) -> Option<T>
where
    T: std::str::FromStr,
    T::Err: fmt::Display,
{
    match text(node, path, mistakes)?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            mistakes.add(path, T::Err::to_string(&error));
            None
        }
    }
}

fn flag(node: Node, path: &str, mistakes: &mut Mistakes) -> Option<bool> {
    match node {
        Node::Bool(flag) => Some(flag),
        other => {
            mistakes.add(path, format!("must be true or false, is {}", other.what()));
            None
        }
    }
}

/// A whole number within `range`.
pub fn whole(
    node: Node,
    path: &str,
    range: std::ops::RangeInclusive<u64>,
    mistakes: &mut Mistakes,
) -> Option<u64> {
    let (first, last) = (range.start(), range.end());
    match node {
        Node::Whole(value) if range.contains(&value) => return Some(value),
        Node::Whole(value) => mistakes.add(path, format!("must be from {first} to {last}, is {value}")),
        Node::OtherNumber => {
            let what = format!("must be a whole number from {first} to {last}, written in digits only");
            mistakes.add(path, what);
        }
        other => mistakes.add(path, format!("must be a whole number, is {}", other.what())),
    }
    None
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(u64::try_from(value).map_or(Node::OtherNumber, Node::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = access.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
#[path = "strict_json_test.rs"]
mod tests;
