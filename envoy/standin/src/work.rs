//! How much a chat request makes the provider that is played generate.

use serde_json::{Map, Value};

use crate::plays::{Bound, Plays, Unknown};
use crate::usage::Members;

/// Why the provider that is played refuses a request: a status, a code, the field, and a sentence.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) field: String,
    pub(crate) message: String,
}

/// What the model is like, whoever serves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    /// Prompt and answer together, in tokens.
    pub(crate) context_tokens: u64,
    /// The longest answer of a model whose provider has a maximum for it.
    pub(crate) model_tokens: u64,
    /// After how many tokens it ends by itself; `None` for never.
    pub(crate) ends_after_tokens: Option<u64>,
}

/// What is generated for one request.
#[derive(Debug, PartialEq)]
pub(crate) struct Work {
    /// Output tokens of each answer.
    pub(crate) tokens: u64,
    /// Whether the answers were cut at the most that there may be.
    pub(crate) cut: bool,
    /// How many answers.
    pub(crate) choices: u64,
    /// The service tier that the answer names.
    pub(crate) tier: Option<String>,
}

/// The request as this provider understands it: its keys, of two equal ones the last. `None` where it is not a JSON
/// object.
pub(crate) fn understand(body: &[u8], plays: &Plays) -> Option<Value> {
    let members = Members::read(body)?;
    let mut understood = Map::new();
    for (key, value) in members.iter() {
        let key = if plays.folds_case { fold(key) } else { key.to_owned() };
        understood.insert(key, serde_json::from_str(value.get()).ok()?);
    }
    Some(Value::Object(understood))
}

/// Case folding as Go's `encoding/json` has it: two letters beyond ASCII fold to ASCII ones.
fn fold(key: &str) -> String {
    key.chars()
        .map(|letter| if letter == '\u{17f}' { 's' } else { letter })
        .flat_map(char::to_lowercase)
        .collect()
}

impl Work {
    /// Reads an understood request whose prompt has so many tokens.
    pub(crate) fn of(request: &Value, prompt: u64, plays: &Plays, model: Model) -> Result<Self, Refused> {
        check(request, plays)?;
        let at_most = match plays.bound {
            Bound::Model => model.model_tokens,
            Bound::Context => model.context_tokens.saturating_sub(prompt),
            Bound::Contexts(times) => model.context_tokens.saturating_mul(times),
        };
        let at_most = stated(request, plays.maximum)?.map_or(at_most, |stated| stated.min(at_most));
        let by_itself =
            plays.lengthens.iter().fold(model.ends_after_tokens, |ends, key| match &request[key] {
                Value::Bool(true) => None,
                least => ends.map(|ends| ends.max(least.as_u64().unwrap_or(0))),
            });
        let choices = stated(request, plays.choices)?.unwrap_or(1);
        if choices == 0 || choices > plays.most_choices {
            let message = format!("between 1 and {} answers can be asked for", plays.most_choices);
            return Err(Refused { status: 400, field: plays.choices[0].to_owned(), message });
        }
        let cut = by_itself.is_none_or(|ends| ends > at_most);
        let tokens = by_itself.filter(|_| !cut).unwrap_or(at_most);
        Ok(Self { tokens, cut, choices, tier: tier(request, plays)? })
    }
}

/// The first of these fields that is stated; a negative number is more than any other, as at llama.cpp and Ollama.
fn stated(request: &Value, fields: &[&str]) -> Result<Option<u64>, Refused> {
    let Some(field) = fields.iter().find(|field| !request[**field].is_null()) else { return Ok(None) };
    let value = &request[*field];
    match (value.as_u64(), value.as_i64()) {
        (Some(number), _) => Ok(Some(number)),
        (None, Some(_negative)) => Ok(Some(u64::MAX)),
        (None, None) => {
            let message = format!("{field} must be a whole number");
            Err(Refused { status: 400, field: (*field).to_owned(), message })
        }
    }
}

/// The tier that is asked for where the provider has it, otherwise its standard one.
fn tier(request: &Value, plays: &Plays) -> Result<Option<String>, Refused> {
    let asked = request["service_tier"].as_str();
    if let Some(asked) = asked.filter(|asked| plays.strict_tiers && !plays.tiers.contains(asked)) {
        let message = format!("service_tier {asked:?} is none of {}", plays.tiers.join(", "));
        return Err(Refused { status: 400, field: "service_tier".to_owned(), message });
    }
    let known = asked.filter(|asked| *asked != "auto" && plays.tiers.contains(asked));
    Ok(known.or(plays.tiers.first().copied()).map(str::to_owned))
}

/// Refuses what this provider refuses, whatever it says.
fn check(request: &Value, plays: &Plays) -> Result<(), Refused> {
    let keys = request.as_object().into_iter().flat_map(Map::keys);
    if let Unknown::Refused { status, known } = plays.unknown
        && let Some(key) = keys.into_iter().find(|key| !known.split(' ').any(|known| known == *key))
    {
        let message = format!("{} does not know the property {key}", plays.name);
        return Err(Refused { status, field: key.clone(), message });
    }
    for path in plays.refuses {
        if path.split('.').try_fold(request, |value, key| value.get(key)).is_some() {
            let message = format!("{} refuses {path}", plays.name);
            return Err(Refused { status: 422, field: (*path).to_owned(), message });
        }
    }
    let states = |field: &str| !request[field].is_null();
    if plays.one_maximum && plays.maximum.iter().filter(|field| states(field)).count() > 1 {
        let message = format!("only one of {} may be stated", plays.maximum.join(", "));
        return Err(Refused { status: 400, field: "max_tokens".to_owned(), message });
    }
    let model = request["model"].as_str().unwrap_or_default();
    if states("max_tokens") && plays.no_max_tokens.iter().any(|start| model.starts_with(start)) {
        let message = "max_tokens is not supported with this model: use max_completion_tokens".to_owned();
        return Err(Refused { status: 400, field: "max_tokens".to_owned(), message });
    }
    Ok(())
}

#[cfg(test)]
#[path = "work_test.rs"]
mod tests;
