//! Where the parts of the stack are: the checkout, the binaries, the module, Envoy.

use crate::StackError;
use std::path::{Path, PathBuf};

/// The files that a stack is made of. Each has an environment variable that overrides it.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The checkout (or a copy of its `envoy/`, `dist/` and `.tools/`). `PAX_ROOT`.
    pub root: PathBuf,
    /// Envoy 1.40. `PAX_ENVOY`, else `.tools/envoy`.
    pub envoy: PathBuf,
    /// The filter's module. `PAX_WASM`, else `dist/pax_gateway.wasm`.
    pub wasm: PathBuf,
    /// The ledger service. `PAX_LEDGER_BIN`, else `dist/pax-ledger`.
    pub ledger: PathBuf,
    /// The stand-in provider. `PAX_STANDIN_BIN`, else `dist/pax-standin`.
    pub standin: PathBuf,
}

impl Layout {
    /// Finds the checkout: `PAX_ROOT`, else the current folder or one above it, else where this was compiled.
    ///
    /// # Errors
    /// [`StackError::Missing`] if none of them holds `envoy/envoy.yaml`.
    pub fn find() -> Result<Self, StackError> {
        let root = match std::env::var_os("PAX_ROOT") {
            Some(root) => PathBuf::from(root),
            None => find_root()?,
        };
        Ok(Self::at(root))
    }

    /// The layout of the checkout at `root`, with the environment's overrides.
    pub fn at(root: PathBuf) -> Self {
        let part = |variable: &str, default: &str| match std::env::var_os(variable) {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            _ => root.join(default),
        };
        Self {
            envoy: part("PAX_ENVOY", ".tools/envoy"),
            wasm: part("PAX_WASM", "dist/pax_gateway.wasm"),
            ledger: part("PAX_LEDGER_BIN", "dist/pax-ledger"),
            standin: part("PAX_STANDIN_BIN", "dist/pax-standin"),
            root,
        }
    }

    /// A file of `envoy/`.
    ///
    /// # Errors
    /// [`StackError::Io`] if it cannot be read.
    pub(crate) fn read(&self, name: &str) -> Result<String, StackError> {
        let path = self.root.join("envoy").join(name);
        std::fs::read_to_string(&path).map_err(StackError::io("read", &path))
    }

    /// Checks that what will be started is there.
    pub(crate) fn check(&self, with_standin: bool) -> Result<(), StackError> {
        let found = |what, path: &Path, hint| match path.is_file() {
            true => Ok(()),
            false => Err(StackError::Missing { what, path: path.to_path_buf(), hint }),
        };
        found("Envoy", &self.envoy, "`make tools` installs it, or name one with PAX_ENVOY")?;
        found("the filter's module", &self.wasm, "`make wasm` builds it")?;
        found("the ledger service", &self.ledger, "`make binaries` builds it")?;
        if with_standin {
            found("the stand-in provider", &self.standin, "`make binaries` builds it")?;
        }
        Ok(())
    }
}

fn find_root() -> Result<PathBuf, StackError> {
    let is_root = |path: &Path| path.join("envoy/envoy.yaml").is_file();
    let here = std::env::current_dir().map_err(StackError::io("find", Path::new(".")))?;
    if let Some(root) = here.ancestors().find(|path| is_root(path)) {
        return Ok(root.to_path_buf());
    }
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf);
    match compiled {
        Some(root) if is_root(&root) => Ok(root),
        _ => Err(StackError::Missing {
            what: "envoy/envoy.yaml",
            path: here,
            hint: "run this in the checkout, or name it with PAX_ROOT",
        }),
    }
}
