//! A fuzzer over everything that reads or rewrites bytes of strangers: no panic, the same answer wherever the bytes
//! are cut, and what serde_json says of the whole. It runs anywhere, in this process, on stable Rust.
//!
//! `make test` runs it for five seconds and over the corpus; `make fuzz MINUTES=10` for longer. `SEED=n` makes the same
//! cases again, and `CASE=file` runs one. A file's extension says what reads it (see [`Kind`]); those in `corpus/` are
//! also what mutations begin from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

mod answer_check;
mod json_check;
mod make;
mod options_check;
mod pairs_check;
mod random;
mod request_check;
mod stream_check;
mod tree;
mod usage_check;
mod words;

use pax_gateway::dialect::usage::Mode;
use random::Random;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

/// What reads a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any JSON: `json::Reader`.
    Json,
    /// A chat request: the request reader and the rewriter.
    Chat,
    /// An embeddings request.
    Embeddings,
    /// A whole answer, or a chunk.
    Document,
    /// A raw usage.
    Usage,
    /// A stream of events.
    Stream,
    /// A header map, as Envoy hands it over.
    Pairs,
}

const KINDS: [(Kind, &str); 7] = [
    (Kind::Json, "json"),
    (Kind::Chat, "chat"),
    (Kind::Embeddings, "embeddings"),
    (Kind::Document, "document"),
    (Kind::Usage, "usage"),
    (Kind::Stream, "stream"),
    (Kind::Pairs, "pairs"),
];

/// How bytes are cut: decided by the bytes themselves, so that a case is its bytes.
pub struct Pieces {
    everywhere: bool,
}

impl Pieces {
    /// Byte by byte, some cuts in several pieces, and in a replay every cut in two.
    pub fn of<'a>(&self, bytes: &'a [u8]) -> Vec<Vec<&'a [u8]>> {
        let mut cuts = vec![bytes.chunks(1).collect()];
        let seed =
            bytes.iter().fold(7, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        let mut random = Random::new(seed);
        for _ in 0..3 {
            let mut places = vec![0, bytes.len()];
            places.extend((0..=random.below(4)).map(|_| random.below(bytes.len() + 1)));
            places.sort_unstable();
            cuts.push(places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect());
        }
        if self.everywhere {
            cuts.extend((0..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]));
        }
        cuts
    }
}

/// Says what differs.
pub fn equal<T: PartialEq + Debug>(what: &str, told: &T, expected: &T) -> Result<(), String> {
    if told == expected {
        Ok(())
    } else {
        Err(format!("{what}:\n  is        {told:?}\n  should be {expected:?}"))
    }
}

/// Whether the bytes are a JSON text; a lone surrogate is one to both.
pub fn serde_json_accepts(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

fn check(kind: Kind, bytes: &[u8], pieces: &Pieces) -> Result<(), String> {
    let checked = catch_unwind(AssertUnwindSafe(|| match kind {
        Kind::Json => json_check::check(bytes, pieces),
        Kind::Chat => request_check::check(bytes, Mode::Chat, pieces),
        Kind::Embeddings => request_check::check(bytes, Mode::Embeddings, pieces),
        Kind::Document => answer_check::document(bytes, pieces),
        Kind::Usage => usage_check::usage(bytes),
        Kind::Stream => stream_check::check(bytes, pieces),
        Kind::Pairs => pairs_check::check(bytes),
    }));
    checked.unwrap_or_else(|_| Err("a panic".to_owned()))
}

/// The case in a file.
fn case(file: &Path) -> Option<(Kind, Vec<u8>)> {
    let extension = file.extension()?.to_str()?;
    let (kind, _) = KINDS.iter().find(|(_, name)| *name == extension)?;
    Some((*kind, std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))))
}

fn corpus() -> Vec<(PathBuf, Kind, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().filter_map(|file| case(&file).map(|(kind, bytes)| (file, kind, bytes))).collect()
}

/// Runs one file, cut everywhere.
fn replay(file: &Path) -> ExitCode {
    let (kind, bytes) = case(file).unwrap_or_else(|| panic!("{}: no such case", file.display()));
    match check(kind, &bytes, &Pieces { everywhere: true }) {
        Ok(()) => {
            println!("{}: nothing found", file.display());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("{}: {problem}", file.display());
            ExitCode::FAILURE
        }
    }
}

/// Takes out what is not needed for a problem to show.
fn shrink(kind: Kind, mut bytes: Vec<u8>) -> Vec<u8> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let pieces = Pieces { everywhere: true };
    let mut width = bytes.len() / 2;
    while width > 0 && Instant::now() < deadline {
        let mut at = 0;
        while at + width <= bytes.len() {
            let fewer = [&bytes[..at], &bytes[at + width..]].concat();
            if check(kind, &fewer, &pieces).is_err() { bytes = fewer } else { at += width }
        }
        width /= 2;
    }
    bytes
}

/// Makes cases until the time is over or one fails; false where one did.
fn fuzz(seconds: u64, seed: u64, corpus: &[(PathBuf, Kind, Vec<u8>)]) -> bool {
    let mut random = Random::new(seed);
    let begun = Instant::now();
    let (mut executions, mut told) = ([0u64; KINDS.len()], 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let place = random.below(KINDS.len());
        let (kind, name) = KINDS[place];
        let seeds: Vec<&Vec<u8>> =
            corpus.iter().filter(|(_, other, _)| *other == kind).map(|(_, _, bytes)| bytes).collect();
        let bytes = if seeds.is_empty() || !random.once_in(4) {
            make::make(&mut random, kind)
        } else {
            let mut bytes = seeds[random.below(seeds.len())].clone();
            make::mutate(&mut random, &mut bytes);
            bytes
        };
        executions[place] += 1;
        if let Err(problem) = check(kind, &bytes, &Pieces { everywhere: false }) {
            println!("seed {seed}, execution {}: {problem}", executions.iter().sum::<u64>());
            let bytes = shrink(kind, bytes);
            let file = std::env::temp_dir().join(format!("pax-fuzz-{seed}.{name}"));
            std::fs::write(&file, &bytes).unwrap();
            println!(
                "smaller: {}\n  {}",
                bytes.escape_ascii(),
                check(kind, &bytes, &Pieces { everywhere: true }).unwrap_err()
            );
            println!("again: make fuzz CASE={}", file.display());
            return false;
        }
        let minutes = begun.elapsed().as_secs() / 60;
        if minutes > told {
            told = minutes;
            println!("{minutes} min: {} executions", executions.iter().sum::<u64>());
        }
    }
    let all: u64 = executions.iter().sum();
    let kinds: Vec<String> =
        KINDS.iter().zip(executions).map(|((_, name), count)| format!("{name} {count}")).collect();
    let each_second = u128::from(all) * 1000 / begun.elapsed().as_millis().max(1);
    println!(
        "seed {seed}: {all} executions in {seconds} s, {each_second} a second ({}): nothing found",
        kinds.join(", ")
    );
    true
}

fn main() -> ExitCode {
    let setting = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let number = |name: &str| {
        setting(name)
            .map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}: {text:?} is no whole number")))
    };
    if let Some(file) = setting("PAX_FUZZ_CASE") {
        return replay(Path::new(&file));
    }
    let corpus = corpus();
    let known = corpus.iter().map(|(file, ..)| replay(file)).all(|code| code == ExitCode::SUCCESS);
    let minutes = number("PAX_FUZZ_MINUTES");
    // A test says the same every time: only who asks for minutes gets new cases by the clock.
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let clock = clock.as_secs() * 1000 + u64::from(clock.subsec_millis());
    let seed = number("PAX_FUZZ_SEED").unwrap_or(if minutes.is_some() { clock } else { 1 });
    let seconds = minutes.map_or(5, |minutes| minutes * 60);
    if known && fuzz(seconds, seed, &corpus) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
