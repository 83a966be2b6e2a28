//! What can go wrong with a stack, said so that the reader knows what to do next.

use std::path::PathBuf;

/// Why the stack could not be started, or is no longer whole.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A file that the stack is made of is missing.
    #[error("{what} not found at {path}: {hint}")]
    Missing {
        /// What it is.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What makes it.
        hint: &'static str,
    },
    /// A file or folder could not be read, written or made.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// The verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting or a configuration file has a mistake.
    #[error("{0}")]
    Config(String),
    /// Another process listens on the gateway's port.
    #[error(
        "port {port} of {address} is in use: stop what listens there, or choose another, \
         for example GATEWAY_PORT={}", .port.saturating_add(1)
    )]
    PortInUse {
        /// The address that was to be bound.
        address: String,
        /// The port.
        port: u16,
    },
    /// A process ended that should run; the end of its log is part of the message.
    #[error("{name} {how}. The end of its log ({log}):\n{tail}")]
    Died {
        /// Which one.
        name: String,
        /// With what status.
        how: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A process did not become ready in time.
    #[error("{name} was not ready within {seconds} s ({last}). The end of its log ({log}):\n{tail}")]
    NotReady {
        /// Which one.
        name: String,
        /// How long was waited.
        seconds: u64,
        /// What it last answered.
        last: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A command of `pax-ledger` failed.
    #[error("`pax-ledger {command}` failed ({how}): {stderr}")]
    Ledger {
        /// Its arguments.
        command: String,
        /// Its exit status.
        how: String,
        /// What it said.
        stderr: String,
    },
    /// The caller asked to stop while the stack was being started.
    #[error("stopped while starting")]
    Cancelled,
}

impl StackError {
    /// For `map_err` on a file operation.
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| StackError::Io { doing, path, source }
    }
}
