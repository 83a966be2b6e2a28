//! A provider, and the conventions it follows: all that differs from one to the next is declared here.

use std::collections::BTreeMap;

use crate::base::strict_json::{self, Fields, Mistakes, Node};
use crate::dialect::options::may_be_listed;
use crate::dialect::usage::Rules;

/// The longest pattern of model ids, in bytes: the longest model id of a request.
const PATTERN_MAX: usize = 256;

/// A provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Envoy's cluster.
    pub cluster: String,
    /// `:authority` of calls.
    pub authority: String,
    /// What comes before `/chat/completions` in its paths.
    pub base_path: String,
    /// How it reports usage in a stream.
    pub stream_usage: StreamUsage,
    /// How its raw usage is read.
    pub usage_rules: Rules,
    /// The field of a request in which it reads the output maximum. A maximum in another field does not
    /// count.
    pub output_maximum: OutputMaximum,
    /// Where it stops if it is told no maximum.
    pub stops_at: StopsAt,
    /// Its word for the standard service tier, which is written into requests; none if it has none.
    pub standard_tier: Option<String>,
    /// The options that it may be sent on platform funding beside those that every provider is sent
    /// ([`crate::reading::request::parsed::AskedOption::name`]).
    pub options: Vec<String>,
    /// How a caller's own key is sent.
    pub credential: Credential,
    /// Whether it takes callers' own keys. Only a provider that charges the key itself may: a server of the
    /// operator's own that asks for no key would be free to everybody.
    pub own_keys: bool,
    /// Whether its models are served on platform funding. Not if Envoy has no key of the platform's for it:
    /// the provider would refuse every such call.
    pub platform_funding: bool,
    /// Patterns of the ids of models that it serves though no card prices them; see [`Provider::serves`].
    pub model_patterns: Vec<String>,
}

/// How a provider reports usage in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// When asked by `stream_options.include_usage`.
    Ask,
    /// Always; some answer 422 to the option.
    Always,
}

/// The field of a request that states the most output tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputMaximum {
    /// `max_tokens`, which nearly all providers understand.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: OpenAI's reasoning models refuse the older name, and Mistral refuses this
    /// one.
    MaxCompletionTokens,
}

/// Where a provider stops writing if it is told no maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopsAt {
    /// By itself, at the model's own maximum, which is on the rate card.
    ModelMaximum,
    /// At the end of the context, like the servers that people run themselves.
    ContextEnd,
}

impl OutputMaximum {
    /// The other field.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::MaxTokens => Self::MaxCompletionTokens,
            Self::MaxCompletionTokens => Self::MaxTokens,
        }
    }

    /// The field's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// The header that carries a key: `HEADER: PREFIX KEY`, the space being part of the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its name, in lower case.
    pub header: String,
    /// What comes before the key; may be empty.
    pub prefix: String,
}

impl Default for Credential {
    fn default() -> Self {
        Self { header: "authorization".to_owned(), prefix: "Bearer ".to_owned() }
    }
}

impl Provider {
    /// Whether one of its patterns fits the id of a model. The `*` of a pattern fits any text, also an empty
    /// one.
    #[must_use]
    pub fn serves(&self, model: &str) -> bool {
        self.model_patterns.iter().any(|pattern| match pattern.split_once('*') {
            Some((start, end)) => model.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
            None => pattern == model,
        })
    }
}

/// Reads the object of all providers, in which each is under its name.
pub(crate) fn read_providers(fields: Fields, mistakes: &mut Mistakes) -> BTreeMap<String, Provider> {
    let mut providers = BTreeMap::new();
    for (name, path, node) in fields.rest() {
        if let Some(provider) = read_provider(Fields::of(node, &path, mistakes), mistakes) {
            providers.insert(name, provider);
        }
    }
    providers
}

fn read_provider(mut fields: Fields, mistakes: &mut Mistakes) -> Option<Provider> {
    let cluster = fields.text("cluster", mistakes);
    let authority = fields.text("authority", mistakes);
    let base_path = fields.text("base_path", mistakes).filter(|base| {
        let fits = base.starts_with('/') && !base.ends_with('/');
        if !fits {
            mistakes
                .add(&fields.path("base_path"), "must begin with '/' and not end with it, such as \"/v1\"");
        }
        fits
    });
    let stream_usage = fields.text("stream_usage", mistakes);
    let known = [("ask", StreamUsage::Ask), ("always", StreamUsage::Always)];
    let stream_usage = stream_usage.and_then(|text| one_of(&fields, "stream_usage", &text, &known, mistakes));
    let usage_rules = one_of_or(&mut fields, "usage_rules", &Rules::ALL.map(|r| (r.name(), r)), mistakes);
    let known = [OutputMaximum::MaxTokens, OutputMaximum::MaxCompletionTokens].map(|m| (m.name(), m));
    let output_maximum = one_of_or(&mut fields, "output_maximum", &known, mistakes);
    let stops_at = fields.text("stops_at", mistakes);
    let known = [("model_maximum", StopsAt::ModelMaximum), ("context_end", StopsAt::ContextEnd)];
    let stops_at = stops_at.and_then(|text| one_of(&fields, "stops_at", &text, &known, mistakes));
    let standard_tier = fields.optional_text("standard_tier", mistakes).filter(|word| {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let fits = word.len() <= 32 && word.bytes().all(plain);
        if !fits {
            mistakes.add(&fields.path("standard_tier"), "must be at most 32 of a-z, 0-9, '-' and '_'");
        }
        fits
    });
    let options = match fields.optional("options") {
        Some(node) => read_options(node, &fields.path("options"), mistakes),
        None => Vec::new(),
    };
    let credential = match fields.optional("credential") {
        Some(node) => read_credential(Fields::of(node, &fields.path("credential"), mistakes), mistakes),
        None => Some(Credential::default()),
    };
    let own_keys = fields.flag("own_keys", mistakes);
    let platform_funding = fields.flag_or("platform_funding", true, mistakes);
    let model_patterns = match fields.optional("model_patterns") {
        Some(node) => read_patterns(node, &fields.path("model_patterns"), mistakes),
        None => Vec::new(),
    };
    fields.finish(mistakes);
    Some(Provider {
        cluster: cluster?,
        authority: authority?,
        base_path: base_path?,
        stream_usage: stream_usage?,
        usage_rules: usage_rules?,
        output_maximum: output_maximum?,
        stops_at: stops_at?,
        standard_tier,
        options,
        credential: credential?,
        own_keys: own_keys?,
        platform_funding: platform_funding?,
        model_patterns,
    })
}

/// One of the known words.
fn one_of<T: Copy>(
    fields: &Fields,
    key: &str,
    text: &str,
    known: &[(&str, T)],
    mistakes: &mut Mistakes,
) -> Option<T> {
    let found = known.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let words: Vec<String> = known.iter().map(|(word, _)| format!("{word:?}")).collect();
        mistakes.add(&fields.path(key), format!("must be {}, is {text:?}", words.join(" or ")));
    }
    found.map(|(_, value)| *value)
}

/// One of the known words, or the default if it is absent.
fn one_of_or<T: Copy + Default>(
    fields: &mut Fields,
    key: &str,
    known: &[(&str, T)],
    mistakes: &mut Mistakes,
) -> Option<T> {
    let Some(node) = fields.optional(key) else { return Some(T::default()) };
    let text = strict_json::text(node, &fields.path(key), mistakes)?;
    one_of(fields, key, &text, known, mistakes)
}

fn read_credential(mut fields: Fields, mistakes: &mut Mistakes) -> Option<Credential> {
    let default = Credential::default();
    let header = match fields.optional("header") {
        Some(node) => strict_json::text(node, &fields.path("header"), mistakes),
        None => Some(default.header),
    };
    let header = header.filter(|header| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        // A header that frames the request or names its target must not carry a key.
        let taken = matches!(header.as_str(), "host" | "content-length" | "transfer-encoding" | "connection");
        let fits = header.len() <= 64 && header.bytes().all(plain) && !taken;
        if !fits {
            mistakes.add(&fields.path("header"), "must be a header's name of a-z, 0-9 and '-'");
        }
        fits
    });
    let prefix = match fields.optional("prefix") {
        // Empty for a provider that takes the bare key.
        Some(Node::Text(text)) if text.is_empty() => Some(text),
        Some(node) => strict_json::text(node, &fields.path("prefix"), mistakes),
        None => Some(default.prefix),
    };
    let prefix = prefix.filter(|prefix| {
        let fits = prefix.len() <= 64 && prefix.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !fits {
            mistakes.add(&fields.path("prefix"), "must be at most 64 printable ASCII characters");
        }
        fits
    });
    fields.finish(mistakes);
    Some(Credential { header: header?, prefix: prefix? })
}

fn read_options(node: Node, path: &str, mistakes: &mut Mistakes) -> Vec<String> {
    let Node::List(nodes) = node else {
        mistakes.add(path, "must be a list of names of request options, such as [\"think\"]");
        return Vec::new();
    };
    let mut options: Vec<String> = Vec::new();
    for (index, node) in nodes.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(name) = strict_json::text(node, &path, mistakes) else { continue };
        match may_be_listed(&name) {
            Err(why) => mistakes.add(&path, format!("{name:?} {why}")),
            Ok(()) if options.contains(&name) => {
                mistakes.add(&path, format!("{name:?} stands twice: keep one"))
            }
            Ok(()) => options.push(name),
        }
    }
    options
}

fn read_patterns(node: Node, path: &str, mistakes: &mut Mistakes) -> Vec<String> {
    let Node::List(nodes) = node else {
        mistakes.add(path, "must be a list of patterns of model ids, such as [\"gpt-*\"]");
        return Vec::new();
    };
    let mut patterns: Vec<String> = Vec::new();
    for (index, node) in nodes.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(pattern) = strict_json::text(node, &path, mistakes) else { continue };
        if pattern.matches('*').count() > 1 {
            mistakes.add(&path, "must have at most one '*'");
        } else if pattern.len() > PATTERN_MAX || pattern.chars().any(|c| c.is_control() || c == ' ') {
            mistakes.add(&path, format!("must be at most {PATTERN_MAX} bytes without spaces"));
        } else if patterns.contains(&pattern) {
            mistakes.add(&path, format!("{pattern:?} stands twice: keep one"));
        } else {
            patterns.push(pattern);
        }
    }
    patterns
}

#[cfg(test)]
#[path = "provider_test.rs"]
mod tests;
