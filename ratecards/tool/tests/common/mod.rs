//! What the tests share: folders of cards, the program, golden files.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder that goes away with the test.
pub struct Temp(pub PathBuf);

impl Temp {
    /// A new one with a name of its own.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pax-ratecard-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// One with the cards and LOCK of another folder.
    pub fn of_cards(name: &str, from: &Path) -> Self {
        let temp = Self::new(name);
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, temp.0.join(path.file_name().unwrap())).unwrap();
            }
        }
        temp
    }

    /// A file's text.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// Runs the program on it: whether it said yes, and what it said.
    pub fn run(&self, args: &[&str]) -> (bool, String) {
        self.run_at(args, &["--now", "2026-11-24T00:00:00Z"])
    }

    /// The same at another time.
    fn run_at(&self, args: &[&str], now: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_pax-ratecard"))
            .args(args)
            .args(now)
            .env("PAX_RATECARDS", &self.0)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    }

    /// Runs it; it must say yes.
    pub fn ok(&self, args: &[&str]) -> String {
        let (ok, said) = self.run(args);
        assert!(ok, "{args:?}: {said}");
        said
    }

    /// Runs it; it must say no.
    pub fn fails(&self, args: &[&str]) -> String {
        let (ok, said) = self.run(args);
        assert!(!ok, "{args:?}: {said}");
        said
    }

    /// Runs it at another time; it must say yes.
    pub fn ok_at(&self, args: &[&str], now: &[&str]) -> String {
        let (ok, said) = self.run_at(args, now);
        assert!(ok, "{args:?}: {said}");
        said
    }

    /// Runs it at another time; it must say no.
    pub fn fails_at(&self, args: &[&str], now: &[&str]) -> String {
        let (ok, said) = self.run_at(args, now);
        assert!(!ok, "{args:?}: {said}");
        said
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file or folder of the tests.
pub fn tests(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The repository's own cards.
pub fn published() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it.
pub fn golden(name: &str, said: &str) {
    let path = tests("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, said).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(said == expected, "{name} is not as its golden file; it is:\n{said}");
}
