//! The calls log: Envoy writes one line for each call, a JSON object. The filter gives Envoy its content.

use crate::render::{Values, fill, quoted};
use crate::{Layout, StackError, logs};
use std::path::{Path, PathBuf};

/// How large it may become; then it becomes `calls.log.1`, and so on.
const LIMIT_BYTES: u64 = 64 * 1024 * 1024;
/// How many older ones are kept.
const KEPT: u32 = 8;

/// Where Envoy writes a line per call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallsLog {
    /// To this file, at its end.
    File(PathBuf),
    /// To its standard output: containers' logs are collected there.
    Stdout,
    /// Nowhere.
    Off,
}

impl CallsLog {
    /// From a setting's text: a file's path, `-` for standard output, `off`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text.trim() {
            "-" => Self::Stdout,
            "off" => Self::Off,
            path => Self::File(path.into()),
        }
    }

    /// The `access_log` block of the connection manager.
    pub(crate) fn render(&self, layout: &Layout) -> Result<String, StackError> {
        let (logger, kind, path) = match self {
            Self::Off => return Ok(String::new()),
            Self::Stdout => ("stdout", "stream.v3.StdoutAccessLog", String::new()),
            Self::File(file) => {
                ("file", "file.v3.FileAccessLog", format!("path: {}\n", quoted(&file.to_string_lossy())))
            }
        };
        let values = Values::from([
            ("LOGGER", logger.to_owned()),
            ("LOGGER_TYPE", kind.to_owned()),
            ("LOGGER_PATH", path),
        ]);
        let name = "fragments/access-log.yaml";
        fill(name, &layout.read(name)?, &values)
    }
}

/// Moves the log away if it is too large; says whether it did. Envoy writes to the moved file until it is told to open its logs
/// again, so no line is lost.
///
/// # Errors
/// If a file cannot be renamed.
pub(crate) fn move_away(log: &Path) -> std::io::Result<bool> {
    if log.metadata().map_or(0, |meta| meta.len()) <= LIMIT_BYTES {
        return Ok(false);
    }
    logs::shift(log, KEPT).map(|()| true)
}
