//! A place in a configuration of Envoy's: its path, and what is there. Everything is read as Envoy reads it: a field
//! by its name in snake_case or in lowerCamelCase, a number also in a string, a duration as `1.5s`.

use serde_yaml_ng::Value;

/// A place in a file.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    /// Such as `static_resources.listeners[0].address`; of a file that the bootstrap names, with that file in front.
    pub path: String,
    value: Option<&'a Value>,
}

impl<'a> At<'a> {
    /// The whole of a file; `path` comes before every path in it.
    pub fn root(path: &str, value: &'a Value) -> Self {
        Self { path: path.to_owned(), value: Some(value) }
    }

    /// A field of a message.
    pub fn field(&self, name: &str) -> Self {
        let value = self.value.and_then(|value| value.get(name).or_else(|| value.get(camel_case(name))));
        let value = value.filter(|value| !value.is_null());
        let path = match (self.path.as_str(), name.contains(['.', '@'])) {
            (path, true) => format!("{path}[{name:?}]"),
            ("", false) => name.to_owned(),
            (path, false) if path.ends_with(": ") => format!("{path}{name}"),
            (path, false) => format!("{path}.{name}"),
        };
        Self { path, value }
    }

    /// A field of a field, and so on: names separated by `/`.
    pub fn down(&self, names: &str) -> Self {
        names.split('/').fold(self.clone(), |place, name| place.field(name))
    }

    /// A place within a text that is a document of its own.
    pub fn inside(&self, path: &str) -> Self {
        Self { path: format!("{}: {path}", self.path), value: None }
    }

    /// The items of a list; none if it is no list.
    pub fn items(&self) -> Vec<Self> {
        let items = self.value.and_then(Value::as_sequence).into_iter().flatten().enumerate();
        items.map(|(n, value)| Self { path: format!("{}[{n}]", self.path), value: Some(value) }).collect()
    }

    /// The members of a map, with their names.
    pub fn members(&self) -> Vec<(&'a str, Self)> {
        let members = self.value.and_then(Value::as_mapping).into_iter().flatten();
        members.filter_map(|(name, _)| Some((name.as_str()?, self.field(name.as_str()?)))).collect()
    }

    /// Whether anything is there.
    pub fn exists(&self) -> bool {
        self.value.is_some()
    }

    /// A string.
    pub fn text(&self) -> Option<&'a str> {
        self.value.and_then(Value::as_str)
    }

    /// Whether it is this string.
    pub fn is(&self, text: &str) -> bool {
        self.text() == Some(text)
    }

    /// Whether it is true; what is absent is false, as in Envoy.
    pub fn is_true(&self) -> bool {
        self.value.and_then(Value::as_bool) == Some(true) || self.is("true")
    }

    /// A number that is not negative.
    pub fn number(&self) -> Option<u64> {
        self.value.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
    }

    /// A duration in milliseconds.
    pub fn milliseconds(&self) -> Option<u64> {
        let (whole, fraction) = match self.text()?.strip_suffix('s')? {
            text if text.contains('.') => text.split_once('.')?,
            text => (text, "0"),
        };
        let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(thousandths)
    }

    /// Whether it is an `Any` whose type's name ends with this one.
    pub fn has_type(&self, name: &str) -> bool {
        let full = self.field("@type").text().unwrap_or_default();
        full.ends_with(name) && full[..full.len() - name.len()].ends_with(['.', '/'])
    }

    /// Whether both have the same content.
    pub fn same_as(&self, other: &Self) -> bool {
        self.value == other.value
    }

    /// Every member of every map in it, at whatever depth, with its name.
    pub fn all_members(&self) -> Vec<(&'a str, Self)> {
        let deeper = |place: &Self| place.all_members();
        let own = self.members();
        let mut all: Vec<_> = own.iter().flat_map(|(_, place)| deeper(place)).collect();
        all.extend(self.items().iter().flat_map(deeper));
        all.extend(own);
        all
    }

    /// Every string in it, with its place.
    pub fn all_texts(&self) -> Vec<(Self, &'a str)> {
        if let Some(text) = self.text() {
            return vec![(self.clone(), text)];
        }
        let members = self.members().into_iter().map(|(_, place)| place);
        members.chain(self.items()).flat_map(|place| place.all_texts()).collect()
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_either_name_and_has_the_path_of_the_file() {
        let file: Value = serde_yaml_ng::from_str(
            r#"{"staticResources": {"clusters": [{"connect_timeout": "0.25s"}, {"typedOptions": {"a.b": {"@type": "x/y.Z"}}}]}}"#,
        )
        .unwrap();
        let clusters = At::root("", &file).down("static_resources/clusters").items();
        assert_eq!(clusters[0].field("connect_timeout").milliseconds(), Some(250));
        let options = clusters[1].down("typed_options/a.b");
        assert_eq!(options.path, "static_resources.clusters[1].typed_options[\"a.b\"]");
        assert!(options.has_type("y.Z") && options.has_type("Z") && !options.has_type(".Z"));
        assert!(!clusters[0].down("no/such").exists());
    }
}
