//! Embeds the rate-card bundle: every `ratecards/v*.json` and `ratecards/LOCK`, so that adding a card is
//! adding a file.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

#[allow(dead_code, reason = "the build asks for less than others")]
#[path = "src/card_file.rs"]
mod card_file;

use card_file::{LOCK, is_card};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("ratecards");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_card(&name) {
            names.push(name);
        }
    }
    names.sort();
    let mut code = String::from("/// The cards by file name.\npub const FILES: &[(&str, &str)] = &[\n");
    for name in &names {
        writeln!(code, "    ({name:?}, include_str!({:?})),", folder.join(name))?;
    }
    let lock = folder.join(LOCK);
    writeln!(code, "];\n/// Their locked hashes.\npub const LOCK: &str = include_str!({lock:?});")?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("bundle.rs"), code)?;
    Ok(())
}
