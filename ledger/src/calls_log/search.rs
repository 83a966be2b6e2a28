//! Looks a request up in logs: line by line, in bounded memory. Lines that are no calls are passed over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::Line;

/// The longest line that is read. A call's line has a path, a model and a message, each bounded: some 4 KiB at
/// most.
const LINE_MAX: usize = 64 * 1024;

/// A request that was found, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its line.
    pub line: Line,
    /// The log that has it.
    pub log: PathBuf,
}

/// A log that was looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Which one; `-` is standard input.
    pub log: PathBuf,
    /// How many lines were read, or why the log could not be read.
    pub lines: Result<u64, String>,
}

/// Looks for a request in logs, in their order, until one has it. After each log come the older ones that its
/// rotation left beside it. Also gives the logs that were looked into.
#[must_use]
pub fn search(logs: &[PathBuf], id: &str) -> (Option<Found>, Vec<Looked>) {
    let mut looked = Vec::with_capacity(logs.len());
    for log in logs.iter().flat_map(|log| std::iter::once(log.clone()).chain(older(log))) {
        let (found, lines) = match look(&log, id) {
            Ok((found, lines)) => (found, Ok(lines)),
            Err(why) => (None, Err(why.to_string())),
        };
        looked.push(Looked { log: log.clone(), lines });
        if let Some(line) = found {
            return (Some(Found { line, log }), looked);
        }
    }
    (None, looked)
}

/// FILE.1, FILE.2 and so on, up to the first that is missing.
fn older(log: &Path) -> impl Iterator<Item = PathBuf> {
    let log = log.to_owned();
    let numbered = (1_u32..).map(move |number| {
        let mut older = log.clone().into_os_string();
        older.push(format!(".{number}"));
        PathBuf::from(older)
    });
    numbered.take_while(|older| older.is_file())
}

fn look(log: &Path, id: &str) -> io::Result<(Option<Line>, u64)> {
    if log == Path::new("-") {
        return look_in(io::stdin().lock(), id);
    }
    look_in(BufReader::with_capacity(LINE_MAX, File::open(log)?), id)
}

/// The line of a request in a log, if it is there, and how many lines were read.
fn look_in(mut log: impl BufRead, id: &str) -> io::Result<(Option<Line>, u64)> {
    let mut line = Vec::new();
    let mut lines = 0_u64;
    let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
    loop {
        line.clear();
        if log.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok((None, lines));
        }
        lines = lines.saturating_add(1);
        if !line.ends_with(b"\n") && line.len() >= LINE_MAX {
            // No line of Envoy's log is that long, so its rest is skipped.
            skip_line(&mut log)?;
            continue;
        }
        // The id is searched first: to read each line as JSON would take many times as long.
        if line.windows(id.len()).any(|part| part == id.as_bytes())
            && let Some(read) = read(&line).filter(|read| read.is_of(id))
        {
            return Ok((Some(read), lines));
        }
    }
}

/// Reads a line, even if `docker compose logs` or the like has put a prefix in front of it.
fn read(line: &[u8]) -> Option<Line> {
    let begin = line.iter().position(|byte| *byte == b'{')?;
    Line::read(line.get(begin..)?)
}

fn skip_line(log: &mut impl BufRead) -> io::Result<()> {
    loop {
        let part = log.fill_buf()?;
        let end = part.iter().position(|byte| *byte == b'\n');
        let (length, is_over) = (part.len(), part.is_empty());
        log.consume(end.map_or(length, |end| end.saturating_add(1)));
        if end.is_some() || is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019abcde-0000-7000-8000-000000000001";

    fn line(id: &str, status: u16) -> String {
        format!("{{\"status\":{status},\"pax\":{{\"exchange_id\":\"{id}\",\"status\":{status}}}}}\n")
    }

    fn found(log: &str) -> (Option<u64>, u64) {
        let (line, lines) = look_in(BufReader::with_capacity(7, log.as_bytes()), ID).unwrap();
        (line.and_then(|line| line.whole("status")), lines)
    }

    #[test]
    fn a_request_is_found_among_torn_foreign_and_endless_lines() {
        let other = line("019abcde-0000-7000-8000-000000000002", 200);
        let ours = line(ID, 429);
        assert_eq!(found(&[&other[..], &ours, &other].concat()), (Some(429), 2));
        assert_eq!(found(&other), (None, 1));
        assert_eq!(found(""), (None, 0));
        // A line that was cut off by a kill, and what was written after it.
        assert_eq!(found(&[&ours[..ours.len() - 9], "\n", &ours].concat()), (Some(429), 2));
        assert_eq!(found(&ours[..ours.len() - 9]), (None, 1));
        // The id in another call's line, in a line of another program, and in a line that is no JSON.
        let named = other.replace("\"pax\":{", &format!("\"pax\":{{\"path\":\"/{ID}\","));
        assert_eq!(found(&[&named[..], &format!("[warning] {ID}\n"), &ours].concat()), (Some(429), 3));
        // As `docker compose logs` writes it, and without an end.
        assert_eq!(found(&format!("envoy-1  | {}", ours.trim_end())), (Some(429), 1));
        let endless = "x".repeat(3 * LINE_MAX + 5);
        assert_eq!(found(&[&endless[..], "\n", &ours].concat()), (Some(429), 2));
        assert_eq!(found(&endless), (None, 1));
        // A call's line at the end of a line that is too long is part of that line, and is not found.
        assert_eq!(found(&[&endless[..], &ours].concat()), (None, 1));
    }

    #[test]
    fn the_first_log_that_has_it_is_named_and_those_that_cannot_be_read() {
        let folder = std::env::temp_dir().join(format!("pax-search-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let [gone, new, older, oldest] =
            ["gone", "calls.log", "calls.log.1", "calls.log.3"].map(|name| folder.join(name));
        std::fs::write(&new, line("x", 1)).unwrap();
        std::fs::write(&older, [line("y", 1), line(ID, 429)].concat()).unwrap();
        // After a gap in the numbers no file counts as a rotated log.
        std::fs::write(&oldest, line("z", 1)).unwrap();
        let logs = [gone, new.clone(), oldest.clone()];
        let (found, looked) = search(&logs, ID);
        assert_eq!(found.unwrap().log, older);
        assert!(looked[0].lines.is_err() && looked[1].lines == Ok(1) && looked.len() == 3, "{looked:?}");
        assert_eq!(search(&logs, "z").0.unwrap().log, oldest);
        assert_eq!(search(&[new], "z").0, None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
