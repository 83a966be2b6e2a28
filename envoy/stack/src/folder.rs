//! The folder of a stack: its logs, Envoy's configuration, and the database if no other place was given for
//! it.

use crate::{StackError, ports};
use std::path::{Path, PathBuf};

/// Where a stack keeps its files.
pub(crate) struct Folder {
    pub run: PathBuf,
    /// Removed at the end, unless a test is failing: then the logs are what one wants to read.
    temporary: Option<PathBuf>,
}

impl Folder {
    /// The folder, and the folder of the database.
    ///
    /// # Errors
    /// [`StackError::Io`] if it cannot be made.
    pub fn make(data_dir: Option<PathBuf>, port: u16) -> Result<(Self, PathBuf), StackError> {
        let name = format!("pax-stack-{}", ports::random_hex(6)?);
        let temporary = data_dir.is_none().then(|| std::env::temp_dir().join(name));
        let data = data_dir.or_else(|| temporary.clone()).unwrap_or_default();
        let run = data.join("run").join(port.to_string());
        make_private(&run)?;
        let data = std::path::absolute(&data).map_err(StackError::io("find", &data))?;
        let run = data.join("run").join(port.to_string());
        let folder = Self { run, temporary };
        make_private(&run_filter(&folder.run).0)?;
        Ok((folder, data))
    }

    /// The file of the filter's configuration.
    pub fn filter(&self) -> PathBuf {
        run_filter(&self.run).1
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.run.join(format!("{name}.log"))
    }
}

/// In a run folder, the folder that Envoy watches for the filter's configuration, and the file in it.
pub(crate) fn run_filter(run: &Path) -> (PathBuf, PathBuf) {
    let folder = run.join("filter");
    (folder.clone(), folder.join("filter.yaml"))
}

/// Makes a folder that no other user can look into: the database is in it.
fn make_private(dir: &Path) -> Result<(), StackError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(StackError::io("make", dir))
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(dir) = self.temporary.take() {
            match std::thread::panicking() {
                true => eprintln!("the logs of the stack are kept in {}", self.run.display()),
                false => drop(std::fs::remove_dir_all(dir)),
            }
        }
    }
}
