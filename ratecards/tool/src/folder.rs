//! The folder of the cards: every `vN.json`, and LOCK.
//!
//! A card whose hash is in LOCK is published. The last card, if it is not published yet, is the draft.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use pax_gateway::base::digest::Digest;
use pax_gateway::price::card_file::{LOCK, is_card, version_of};

use crate::Failed;

/// The folder as it was read.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Its cards, by version; those whose name has none come first.
    pub cards: Vec<CardFile>,
    /// The text of LOCK.
    pub lock: String,
}

/// A card's file.
#[derive(Clone, Debug)]
pub struct CardFile {
    /// Its name, such as `v2.json`.
    pub name: String,
    /// The version in its name, if the name has one.
    pub version: Option<u32>,
    /// Its text.
    pub text: String,
}

impl Folder {
    /// Reads the folder.
    ///
    /// # Errors
    /// If the folder, a card or LOCK cannot be read. What the cards say is not checked.
    pub fn read(path: &Path) -> Result<Self, Failed> {
        let shown = path.display();
        let mut cards = Vec::new();
        let entries = fs::read_dir(path).map_err(|why| {
            Failed(format!("{shown}: {why}; name the folder of the rate cards (or set PAX_RATECARDS)"))
        })?;
        for entry in entries {
            let entry = entry.map_err(|why| Failed::at(path.display(), why))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_card(&name) {
                let text = fs::read_to_string(entry.path())
                    .map_err(|why| Failed::at(entry.path().display(), why))?;
                cards.push(CardFile { version: version_of(&name), name, text });
            }
        }
        cards.sort_by(|a, b| (a.version, &a.name).cmp(&(b.version, &b.name)));
        let lock = match fs::read_to_string(path.join(LOCK)) {
            Ok(lock) => lock,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(why) => return Err(Failed::at(path.join(LOCK).display(), why)),
        };
        Ok(Self { path: path.to_owned(), cards, lock })
    }

    /// The line of LOCK that names a file, from 1.
    #[must_use]
    pub fn lock_line(&self, name: &str) -> Option<usize> {
        let named =
            self.lock.lines().position(|line| line.split_once("  ").is_some_and(|(_, file)| file == name));
        named.map(|index| index + 1)
    }

    /// Whether LOCK names a file.
    #[must_use]
    pub fn is_locked(&self, name: &str) -> bool {
        self.lock_line(name).is_some()
    }

    /// The last card, if it is not published yet.
    #[must_use]
    pub fn draft(&self) -> Option<&CardFile> {
        self.cards.last().filter(|card| card.version.is_some() && !self.is_locked(&card.name))
    }

    /// A card under the name that an operator gives it: `v2`, `2` or `v2.json`.
    ///
    /// # Errors
    /// If there is no such card; says which there are.
    pub fn card(&self, called: &str) -> Result<&CardFile, Failed> {
        let number = called.strip_suffix(".json").unwrap_or(called);
        let number = number.strip_prefix('v').unwrap_or(number);
        let found = self.cards.iter().find(|card| card.name == format!("v{number}.json"));
        found.ok_or_else(|| {
            let names: Vec<&str> =
                self.cards.iter().map(|card| card.name.trim_end_matches(".json")).collect();
            Failed(format!("there is no card {called}; there are {}", names.join(", ")))
        })
    }

    /// Writes a file of the folder so that a reader sees the old one or the new one, never a part.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failed> {
        let path = self.path.join(name);
        let new = self.path.join(format!(".{name}.new"));
        let write = || {
            let mut file = fs::File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(|why| Failed::at(path.display(), why))
    }
}

/// The line that locks a card, as `sha256sum` writes it.
#[must_use]
pub fn lock_entry(card: &CardFile) -> String {
    format!("{}  {}\n", Digest::of(&[card.text.as_bytes()]), card.name)
}
