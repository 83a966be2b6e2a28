//! Which database to use, and how to open it.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// How to open a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Make it if it is missing, and bring its schema up to date.
    Create,
    /// It must be there and be a ledger's; its schema is brought up to date.
    Upgrade,
    /// It must be there and up to date.
    Existing,
    /// Like `Existing`, and nothing is written.
    Read,
}

/// The database of `--db`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
}

impl Location {
    /// Reads a path, or a URL `sqlite:PATH` or `sqlite://PATH`.
    ///
    /// # Errors
    /// If it is empty or names another kind of database.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let path = match text.split_once(':') {
            Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
            Some((scheme @ ("postgres" | "postgresql"), _)) => {
                return Err(Error::Operator(format!(
                    "{scheme}: this ledger stores in SQLite only; give --db a file, such as ./data/ledger.db"
                )));
            }
            Some((scheme, rest)) if rest.starts_with("//") => {
                return Err(Error::Operator(format!(
                    "{scheme}: is no database of ours; give --db a file, such as ./data/ledger.db"
                )));
            }
            _ => text,
        };
        if path.is_empty() {
            return Err(Error::Operator(
                "--db is empty; give it a file, such as ./data/ledger.db".to_owned(),
            ));
        }
        if path.starts_with(":memory:") {
            return Err(Error::Operator("a ledger in memory would be lost; give --db a file".to_owned()));
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        let Self::Sqlite(path) = self;
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_by_path_or_url() {
        for (text, path) in [
            ("ledger.db", "ledger.db"),
            ("./data/ledger.db", "./data/ledger.db"),
            ("/var/lib/a:b.db", "/var/lib/a:b.db"),
            ("sqlite:ledger.db", "ledger.db"),
            ("sqlite://data/ledger.db", "data/ledger.db"),
            ("sqlite:///var/ledger.db", "/var/ledger.db"),
        ] {
            assert_eq!(Location::parse(text).unwrap().path(), Path::new(path), "{text}");
        }
        for text in ["", "sqlite:", "sqlite::memory:", ":memory:", "postgres://db/ledger", "mysql://db"] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }
}
