//! The answers of a folder: what is played, byte for byte.
//!
//! | file | what |
//! | --- | --- |
//! | `NAME.json` | a whole answer; an embedding where its top level has `"object":"list"` |
//! | `NAME.chunks.txt` | a stream, one payload per line; served as `data: LINE\n\n`, closed by `data: [DONE]\n\n` |
//! | `NAME.sse` | a stream's raw bytes |
//! | `NAME.refuses` | request fields, one dotted path per line, that this provider answers with 422 |
//!
//! Other files are ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use crate::{sse, usage};

/// Why the answers could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    /// A folder or file that cannot be read.
    #[error("cannot read {path}: {source}; give --answers a folder of answers")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Two files that would be the same answer in the same form.
    #[error("{second} is the answer {name:?} in the same form as another file; rename one of them")]
    Twice {
        /// The answer's name.
        name: String,
        /// The file that came second.
        second: PathBuf,
    },
}

/// One answer, in the forms that its files give it.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) json: Option<Bytes>,
    /// The stream's events, in order, as they go onto the wire.
    pub(crate) events: Option<Vec<Bytes>>,
    /// Request fields, as paths, that the provider refuses with 422.
    pub(crate) refuses: Option<Vec<Vec<String>>>,
    pub(crate) is_embedding: bool,
    pub(crate) model: Option<String>,
}

/// All answers by name.
#[derive(Debug, Default)]
pub(crate) struct Answers(BTreeMap<String, Answer>);

/// The little that is read of an answer.
#[derive(Default, Deserialize)]
struct Head {
    object: Option<String>,
    model: Option<String>,
}

impl Answers {
    pub(crate) fn load(folders: &[PathBuf]) -> Result<Self, AnswersError> {
        let mut answers = Self::default();
        for folder in folders {
            let read_error = |source| AnswersError::Read { path: folder.clone(), source };
            for entry in std::fs::read_dir(folder).map_err(read_error)? {
                answers.add(&entry.map_err(read_error)?.path())?;
            }
        }
        // Rules alone are not an answer.
        answers.0.retain(|_, answer| answer.json.is_some() || answer.events.is_some());
        Ok(answers)
    }

    fn add(&mut self, path: &Path) -> Result<(), AnswersError> {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let form = [".chunks.txt", ".json", ".sse", ".refuses"].into_iter().find(|form| file.ends_with(form));
        let Some((form, name)) = form.and_then(|form| Some((form, file.strip_suffix(form)?))) else {
            return Ok(());
        };
        let raw: Bytes = std::fs::read(path)
            .map_err(|source| AnswersError::Read { path: path.to_owned(), source })?
            .into();
        let answer = self.0.entry(name.to_owned()).or_default();
        let taken = match form {
            ".json" => {
                let head: Head = serde_json::from_slice(&raw).unwrap_or_default();
                answer.is_embedding = head.object.as_deref() == Some("list");
                answer.model = head.model.or(answer.model.take());
                answer.json.replace(raw).is_some()
            }
            ".refuses" => answer.refuses.replace(paths(&raw)).is_some(),
            _ => {
                let events = if form == ".sse" { sse::split(&raw) } else { chunk_events(&raw) };
                let first = events.first().and_then(|event| sse::data(event)).unwrap_or_default();
                let head: Head = serde_json::from_slice(&first).unwrap_or_default();
                answer.model = answer.model.take().or(head.model);
                answer.events.replace(events).is_some()
            }
        };
        if taken {
            return Err(AnswersError::Twice { name: name.to_owned(), second: path.to_owned() });
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Answer> {
        self.0.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The models that the answers name, each once, in order.
    pub(crate) fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = self.0.values().filter_map(|answer| answer.model.as_deref()).collect();
        models.sort_unstable();
        models.dedup();
        models
    }
}

/// `data: LINE\n\n` for each line, and the `[DONE]` that closes a stream.
fn chunk_events(raw: &[u8]) -> Vec<Bytes> {
    let lines = raw.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut events: Vec<Bytes> =
        lines.filter(|line| !line.is_empty() && *line != b"[DONE]").map(sse::event).collect();
    events.push(sse::event(b"[DONE]"));
    events
}

fn paths(raw: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(raw);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('.').map(str::to_owned).collect()).collect()
}

/// The stream as a provider would send it to a request that did not ask for usage: without the usage-only
/// chunk that ends it, if one does.
pub(crate) fn without_usage_chunk(mut events: Vec<Bytes>) -> Vec<Bytes> {
    let last = events.iter().rposition(|event| sse::data(event).is_some_and(|data| data != b"[DONE]"));
    if let Some(last) = last
        && sse::data(&events[last]).is_some_and(|data| usage::is_usage_only(&data))
    {
        events.remove(last);
    }
    events
}

/// The stream of a provider that never reports usage.
pub(crate) fn without_any_usage(events: Vec<Bytes>) -> Vec<Bytes> {
    let keep = |event: Bytes| {
        let Some(data) = sse::data(&event) else { return Some(event) };
        if usage::is_usage_only(&data) {
            return None;
        }
        Some(usage::without_usage(&data).map_or(event, |json| sse::event(&json)))
    };
    events.into_iter().filter_map(keep).collect()
}
