//! `make simulate`: runs seeds until one fails, or one seed with all that happens in it.
//!
//! `SEEDS` says how many (1,000), `FROM` the first (the clock says which, and it is printed); `SEED` runs one.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use pax_simulate::{Fault, Simulator, run_all};

/// How much of what happened before a failure is shown.
const TAIL: usize = 60;

/// A setting that is there and not empty.
fn setting(name: &str) -> Result<Option<u64>, String> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().map(Some).map_err(|_| format!("{name} must be a whole number, is {text:?}"))
        }
        _ => Ok(None),
    }
}

fn run() -> Result<bool, String> {
    if let Some(seed) = setting("SEED")? {
        let (tally, trace, broken) = Simulator::new(Fault::None)?.trace(seed);
        trace.iter().for_each(|line| println!("{line}"));
        match &broken {
            Some((step, invariant)) => println!("seed {seed} failed at step {step}: {invariant}"),
            None => println!("{tally}"),
        }
        return Ok(broken.is_none());
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (first, count) = (setting("FROM")?.unwrap_or(clock * 1_000), setting("SEEDS")?.unwrap_or(1_000));
    println!("{count} seeds from {first} on");
    match run_all(first, count, Fault::None) {
        Ok(tally) => println!("{tally}"),
        Err(failure) => {
            let tail = failure.trace.len().saturating_sub(TAIL);
            failure.trace.iter().skip(tail).for_each(|line| println!("{line}"));
            println!("{failure}");
            println!("all of it: make simulate SEED={}", failure.seed);
            return Ok(false);
        }
    }
    Ok(true)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
