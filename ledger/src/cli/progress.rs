//! How far a long command has come: one line on standard error, if that is a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const WIDTH: u64 = 30;
/// How often the line is written again, at most.
const EVERY: Duration = Duration::from_millis(100);

/// A line that is written again and again.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
    /// When the line was last written.
    last: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), last: None }
    }

    /// Shows how much is done.
    pub(super) fn show(&mut self, done: u64, of: u64) {
        if self.is_shown && self.last.is_none_or(|last| last.elapsed() >= EVERY) {
            self.last = Some(Instant::now());
            let _ = write!(std::io::stderr(), "\r{}", line(done, of));
        }
    }

    /// Takes the line away, before anything else is written.
    pub(super) fn clear(&mut self) {
        if self.last.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// The bar, then the counts.
fn line(done: u64, of: u64) -> String {
    let filled = (u128::from(done.min(of)) * u128::from(WIDTH)).checked_div(u128::from(of)).unwrap_or(0);
    let bar: String = (0..u128::from(WIDTH)).map(|place| if place < filled { '#' } else { '.' }).collect();
    format!("[{bar}] {done} of {of} entries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_its_part_and_never_fuller_than_full() {
        assert_eq!(line(0, 0), format!("[{}] 0 of 0 entries", ".".repeat(30)));
        assert_eq!(line(50, 100), format!("[{}{}] 50 of 100 entries", "#".repeat(15), ".".repeat(15)));
        assert_eq!(line(u64::MAX, 2), format!("[{}] {} of 2 entries", "#".repeat(30), u64::MAX));
    }
}
