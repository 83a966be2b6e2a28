//! A JSON document as serde_json reads it: members in order, doubles included, every value with its own bytes.

use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Clone, Debug)]
pub enum Node {
    Null,
    Bool(bool),
    /// As it stands.
    Number(String),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// A value, and its bytes.
#[derive(Clone, Debug)]
pub struct Value {
    pub raw: String,
    pub node: Node,
}

/// None where serde_json does not read it: no JSON, or a lone surrogate in a string.
pub fn read(bytes: &[u8]) -> Option<Value> {
    let text = str::from_utf8(bytes).ok()?;
    value(serde_json::from_str(text).ok()?, 0)
}

fn value(raw: &RawValue, depth: usize) -> Option<Value> {
    let text = raw.get();
    let node = match text.as_bytes()[0] {
        // Deeper documents are none of an oracle's that calls itself.
        b'{' | b'[' if depth > 200 => return None,
        b'{' => {
            let members = serde_json::from_str::<Members>(text).ok()?.0;
            let read = members.into_iter().map(|(key, raw)| Some((key, value(raw, depth + 1)?)));
            Node::Object(read.collect::<Option<_>>()?)
        }
        b'[' => {
            let items = serde_json::from_str::<Vec<&RawValue>>(text).ok()?;
            Node::Array(items.into_iter().map(|raw| value(raw, depth + 1)).collect::<Option<_>>()?)
        }
        b'"' => Node::String(serde_json::from_str(text).ok()?),
        b't' => Node::Bool(true),
        b'f' => Node::Bool(false),
        b'n' => Node::Null,
        _ => Node::Number(text.to_owned()),
    };
    Some(Value { raw: text.to_owned(), node })
}

impl Value {
    pub fn members(&self) -> &[(String, Value)] {
        if let Node::Object(members) = &self.node { members } else { &[] }
    }

    pub fn items(&self) -> &[Value] {
        if let Node::Array(items) = &self.node { items } else { &[] }
    }

    /// The last member of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members().iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub fn is_null(&self) -> bool {
        matches!(self.node, Node::Null)
    }

    /// The text of a string or number.
    pub fn text(&self) -> Option<&str> {
        match &self.node {
            Node::Number(text) | Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// How many containers stand one in another.
    pub fn depth(&self) -> usize {
        match &self.node {
            Node::Array(items) => 1 + items.iter().map(Value::depth).max().unwrap_or(0),
            Node::Object(members) => 1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Whether any object in it, itself included, has a key twice.
    pub fn has_twice(&self) -> bool {
        let members = self.members();
        let twice = members
            .iter()
            .enumerate()
            .any(|(at, (key, _))| members[..at].iter().any(|(other, _)| other == key));
        twice
            || members.iter().any(|(_, value)| value.has_twice())
            || self.items().iter().any(Value::has_twice)
    }
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}
