//! What a check says: where, what happens if it stays, and what to write.

use super::at::At;
use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Calls would be unmetered, hang, fail or be lost, or a secret would be told.
    Error,
    /// It works, with a danger that the operator should know.
    Warning,
}

/// One thing that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The path in the file.
    pub path: String,
    /// What happens if it stays.
    pub what: String,
    /// What to write.
    pub write: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "{level}: {}\n    {}\n    write: {}", self.path, self.what, self.write)
    }
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub Vec<Finding>);

impl Findings {
    /// Calls would be unmetered, hang, fail or be lost, or a secret would be told.
    pub fn error(&mut self, place: &At<'_>, what: impl Into<String>, write: impl Into<String>) {
        self.add(Level::Error, place, what.into(), write.into());
    }

    /// It works, with a danger.
    pub fn warn(&mut self, place: &At<'_>, what: impl Into<String>, write: impl Into<String>) {
        self.add(Level::Warning, place, what.into(), write.into());
    }

    fn add(&mut self, level: Level, place: &At<'_>, what: String, write: String) {
        let path = if place.path.is_empty() { "(the whole file)".to_owned() } else { place.path.clone() };
        let finding = Finding { level, path, what, write };
        // Two listeners that share a filter's file share its mistakes: each is told once.
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }
}
