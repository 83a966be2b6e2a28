//! Logs that are kept from one start to the next and do not grow without end.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// How large a log may become: then it becomes NAME.log.1, and the one before that is gone.
pub(crate) const LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// Moves a log's text to NAME.log.1 once it is larger than `limit_bytes`. The file stays, since a process goes on writing
/// to its end; a line that comes between the copy and the cut is lost.
///
/// # Errors
/// If the copy cannot be made: then nothing is cut.
pub(crate) fn rotate(log: &Path, limit_bytes: u64) -> std::io::Result<()> {
    if log.metadata().map_or(0, |meta| meta.len()) <= limit_bytes {
        return Ok(());
    }
    let mut older = log.as_os_str().to_owned();
    older.push(".1");
    std::fs::copy(log, PathBuf::from(older))?;
    OpenOptions::new().write(true).open(log)?.set_len(0)
}

/// Renames NAME.log to NAME.log.1, that to NAME.log.2, and so on; at most `kept` older ones are kept. Its
/// writer must be told to open the file again.
///
/// # Errors
/// If one cannot be renamed: then the newest is where it was.
pub(crate) fn shift(log: &Path, kept: u32) -> std::io::Result<()> {
    let older = |number: u32| match number {
        0 => log.to_path_buf(),
        _ => PathBuf::from(format!("{}.{number}", log.display())),
    };
    for number in (0..kept).rev().filter(|number| older(*number).exists()) {
        std::fs::rename(older(number), older(number + 1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_that_is_too_large_becomes_the_older_one_and_its_writer_goes_on() {
        let folder = std::env::temp_dir().join(format!("pax-logs-{}", crate::ports::random_hex(4).unwrap()));
        std::fs::create_dir(&folder).unwrap();
        let (log, older) = (folder.join("envoy.log"), folder.join("envoy.log.1"));
        rotate(&log, 10).unwrap();
        let mut writer = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        writer.write_all(b"0123456789").unwrap();
        rotate(&log, 10).unwrap();
        assert!(!older.exists(), "it is not too large yet");
        writer.write_all(b"x").unwrap();
        rotate(&log, 10).unwrap();
        writer.write_all(b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&older).unwrap(), "0123456789x");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "new");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn older_logs_move_on_and_the_oldest_is_gone() {
        let folder = std::env::temp_dir().join(format!("pax-shift-{}", crate::ports::random_hex(4).unwrap()));
        std::fs::create_dir(&folder).unwrap();
        let log = folder.join("calls.log");
        for text in ["a", "b", "c", "d"] {
            std::fs::write(&log, text).unwrap();
            shift(&log, 2).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        assert_eq!(read("calls.log"), None);
        assert_eq!(read("calls.log.1").as_deref(), Some("d"));
        assert_eq!(read("calls.log.2").as_deref(), Some("c"));
        assert_eq!(read("calls.log.3"), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
