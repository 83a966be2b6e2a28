//! The recorded bodies.

use pax_gateway::dialect::usage::Mode;
use serde_json::Value;
use std::path::Path;

/// Bodies with an option of one provider's own, which that provider alone must take: `NAME`, its providers.
const OWN_OPTIONS: &[(&str, &[&str])] = &[("openai-python-thinking", &["deepseek"])];

/// One request body of one client.
#[derive(Clone)]
pub struct Body {
    /// `CLIENT-CASE`.
    pub name: String,
    /// As the client sent it.
    pub text: String,
    /// The model that it asks for.
    pub model: String,
    /// By which route it came.
    pub mode: Mode,
}

impl Body {
    /// The route that it is for.
    pub fn path(&self) -> &'static str {
        match self.mode {
            Mode::Chat => "/v1/chat/completions",
            _ => "/v1/embeddings",
        }
    }

    /// The same for another model.
    pub fn for_model(&self, model: &str) -> String {
        let (own, other) = (format!(r#""model":"{}""#, self.model), format!(r#""model":"{model}""#));
        assert!(self.text.contains(&own), "{}: no compact {own}", self.name);
        self.text.replacen(&own, &other, 1)
    }

    /// Whether a provider has to take it.
    pub fn is_for(&self, provider: &str) -> bool {
        let own = OWN_OPTIONS.iter().find(|(name, _)| *name == self.name);
        own.is_none_or(|(_, providers)| providers.contains(&provider))
    }
}

/// All of them, by name.
pub fn load() -> Vec<Body> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut bodies: Vec<Body> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let body: Value = serde_json::from_str(&text).unwrap();
            let mode = if body["messages"].is_array() { Mode::Chat } else { Mode::Embeddings };
            assert!(mode == Mode::Chat || !body["input"].is_null(), "{}", path.display());
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Body { name, model: body["model"].as_str().unwrap().to_owned(), text, mode }
        })
        .collect();
    bodies.sort_by(|a, b| a.name.cmp(&b.name));
    for (name, _) in OWN_OPTIONS {
        assert!(bodies.iter().any(|body| body.name == *name), "no body is called {name}");
    }
    bodies
}
