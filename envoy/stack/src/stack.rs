//! Starting, watching and stopping the three processes.

use crate::process::{self, Process};
use crate::{Layout, Place, StackError, Upstream, http, ports, render};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a process may take until it answers. Envoy compiles the module first: seconds on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The filter's gauge of debits that the ledger has not acknowledged.
const OUTBOX_GAUGE: &str = "wasmcustom.pax_outbox_waiting";

/// The accounts of demo and tests: name, tier, token.
const DEMO_ACCOUNTS: [(&str, &str, &str); 2] =
    [("demo-free", "free", "mtx-demo-free"), ("demo-credit", "credit", "mtx-demo-credit")];

/// Settings of a stack, and how to start it. Made by [`Stack::builder`].
pub struct Builder {
    layout: Option<Layout>,
    gateway_port: Option<u16>,
    upstream: Option<Upstream>,
    standin_args: Vec<OsString>,
    data_dir: Option<PathBuf>,
    concurrency: u32,
    access_log: bool,
    log_level: String,
    change: Box<dyn FnOnce(&mut Value) + Send>,
    progress: Box<dyn Fn(&str) + Send>,
    cancelled: Arc<AtomicBool>,
}

impl Builder {
    /// Where the parts are. Default: [`Layout::find`].
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = Some(layout);
        self
    }

    /// The gateway's port. Default: a free one.
    #[must_use]
    pub fn gateway_port(mut self, port: u16) -> Self {
        self.gateway_port = Some(port);
        self
    }

    /// One plain-HTTP server, `host:port`, that plays every provider. Default: the stand-in is started.
    #[must_use]
    pub fn upstream(mut self, server: impl Into<String>) -> Self {
        self.upstream = Some(Upstream::Server(server.into()));
        self
    }

    /// The providers themselves, over TLS, with the keys that the environment has.
    #[must_use]
    pub fn real_providers(mut self) -> Self {
        self.upstream = Some(Upstream::Providers);
        self
    }

    /// More arguments for the stand-in.
    #[must_use]
    pub fn standin_args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.standin_args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Where the database (`ledger.db`) and the logs are kept. Default: a temporary folder.
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Envoy's worker threads. Default: 2.
    #[must_use]
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// A line per call (without headers) in Envoy's log.
    #[must_use]
    pub fn access_log(mut self, on: bool) -> Self {
        self.access_log = on;
        self
    }

    /// Envoy's log level, for example `info` or `warning,wasm:debug`. Default: `warning` with the filter's own
    /// lines from `info`.
    #[must_use]
    pub fn log_level(mut self, level: impl Into<String>) -> Self {
        self.log_level = level.into();
        self
    }

    /// Changes the filter's configuration before it is rendered; for tests.
    #[must_use]
    pub fn change_filter_config(mut self, change: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.change = Box::new(change);
        self
    }

    /// Is told what is being started.
    #[must_use]
    pub fn progress(mut self, tell: impl Fn(&str) + Send + 'static) -> Self {
        self.progress = Box::new(tell);
        self
    }

    /// Once true, starting ends with [`StackError::Cancelled`].
    #[must_use]
    pub fn cancel_when(mut self, cancelled: Arc<AtomicBool>) -> Self {
        self.cancelled = cancelled;
        self
    }

    /// Starts everything and returns once `/readyz` answers 200. Blocks for some seconds.
    ///
    /// # Errors
    /// [`StackError`] says what is missing, in use, mistaken, or which process did not come up and why.
    pub fn start(self) -> Result<Stack, StackError> {
        let layout = self.layout.map_or_else(Layout::find, Ok)?;
        layout.check(self.upstream.is_none())?;
        let gateway_port = match self.gateway_port {
            Some(port) => ports::check("127.0.0.1", port).map(|()| port)?,
            None => ports::free()?,
        };
        let (folder, data_dir) = Folder::make(self.data_dir, gateway_port)?;
        let mut stack = Stack {
            db: data_dir.join("ledger.db"),
            secret: ports::random_hex(32)?,
            admin_port: ports::free()?,
            ledger_internal_port: ports::free()?,
            ledger_public_port: ports::free()?,
            standin_port: None,
            gateway_port,
            upstream: Upstream::Providers,
            concurrency: self.concurrency.max(1),
            log_level: self.log_level,
            cancelled: self.cancelled,
            envoy: None,
            ledger: None,
            standin: None,
            layout,
            folder,
        };
        let tell = self.progress;
        stack.upstream = match self.upstream {
            Some(upstream) => upstream,
            None => {
                tell("starting the stand-in provider");
                stack.start_standin(&self.standin_args)?
            }
        };
        tell("starting the ledger");
        stack.make_demo_accounts()?;
        stack.start_ledger()?;
        tell("starting Envoy with the filter");
        let place = Place {
            gateway_address: "127.0.0.1".into(),
            gateway_port,
            admin_port: stack.admin_port,
            ledger_port: stack.ledger_internal_port,
            wasm: stack.layout.wasm.clone(),
            ca_file: None,
            access_log: self.access_log,
        };
        let config = render(&stack.layout, &place, &stack.upstream, self.change)?;
        let file = stack.config_file();
        std::fs::write(&file, config).map_err(StackError::io("write", &file))?;
        stack.start_envoy()?;
        Ok(stack)
    }
}

/// The running stack. Dropping it kills every process.
pub struct Stack {
    // Dropped in this order: first what calls, then what is called.
    envoy: Option<Process>,
    ledger: Option<Process>,
    standin: Option<Process>,
    layout: Layout,
    db: PathBuf,
    secret: String,
    gateway_port: u16,
    admin_port: u16,
    ledger_internal_port: u16,
    ledger_public_port: u16,
    standin_port: Option<u16>,
    upstream: Upstream,
    concurrency: u32,
    log_level: String,
    cancelled: Arc<AtomicBool>,
    folder: Folder,
}

impl Stack {
    /// A stack with the defaults of a test: free ports, a temporary folder, the stand-in as every provider.
    pub fn builder() -> Builder {
        Builder {
            layout: None,
            gateway_port: None,
            upstream: None,
            standin_args: Vec::new(),
            data_dir: None,
            concurrency: 2,
            access_log: false,
            log_level: "warning,wasm:info".into(),
            change: Box::new(|_| ()),
            progress: Box::new(|_| ()),
            cancelled: Arc::default(),
        }
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway_port)
    }

    /// The gateway's port.
    pub fn gateway_port(&self) -> u16 {
        self.gateway_port
    }

    /// The port of Envoy's admin interface.
    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// The port of the ledger's internal listener (resolve, debits).
    pub fn ledger_internal_port(&self) -> u16 {
        self.ledger_internal_port
    }

    /// The port of the ledger's public listener.
    pub fn ledger_public_port(&self) -> u16 {
        self.ledger_public_port
    }

    /// The stand-in's port, where the stack started one.
    pub fn standin_port(&self) -> Option<u16> {
        self.standin_port
    }

    /// The secret that Envoy and ledger share; made anew for each stack.
    pub fn ledger_secret(&self) -> &str {
        &self.secret
    }

    /// The database file.
    pub fn db(&self) -> &Path {
        &self.db
    }

    /// The folder of the logs (`envoy.log`, `ledger.log`, `standin.log`) and of Envoy's configuration.
    pub fn run_dir(&self) -> &Path {
        &self.folder.run
    }

    /// Runs `pax-ledger --db DB ARGS...` and returns what it prints.
    ///
    /// # Errors
    /// [`StackError::Ledger`] when it exits non-zero, with its standard error.
    pub fn ledger<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Result<String, StackError> {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_os_string()).collect();
        let mut command = Command::new(&self.layout.ledger);
        command.arg("--db").arg(&self.db).args(&args);
        let output = command.output().map_err(StackError::io("start", &self.layout.ledger))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(StackError::Ledger {
            command: args.join(OsStr::new(" ")).to_string_lossy().into_owned(),
            how: process::describe(output.status),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_string(),
        })
    }

    /// The body of Envoy's admin answer to `GET path`.
    ///
    /// # Errors
    /// [`StackError::Config`] when Envoy does not answer 200.
    pub fn admin(&self, path: &str) -> Result<String, StackError> {
        match http::ask(self.admin_port, "GET", path) {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            other => Err(StackError::Config(format!("Envoy's admin interface answered {other:?} to {path}"))),
        }
    }

    /// The value of a counter or gauge of Envoy, None where there is none of that name.
    pub fn stat(&self, name: &str) -> Option<u64> {
        let pattern = name.replace('.', "\\.");
        let body = self.admin(&format!("/stats?filter=^{pattern}$")).ok()?;
        // The answer is chunked; the one line that matters has the name and the number.
        let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
        line.trim().parse().ok()
    }

    /// Whether everything that was started still runs.
    ///
    /// # Errors
    /// [`StackError::Died`] names the first that does not, with the end of its log.
    pub fn check(&mut self) -> Result<(), StackError> {
        for process in [&mut self.envoy, &mut self.ledger, &mut self.standin].into_iter().flatten() {
            process.check()?;
        }
        Ok(())
    }

    /// The processes that run, with their ids.
    pub fn processes(&self) -> Vec<(&'static str, u32)> {
        let all = [&self.envoy, &self.ledger, &self.standin];
        all.into_iter().flatten().map(|process| (process.name, process.id())).collect()
    }

    /// Kills the ledger (SIGKILL): an outage. [`Stack::start_ledger`] ends it.
    pub fn kill_ledger(&mut self) {
        self.ledger = None;
    }

    /// Starts the ledger, on the same ports and the same database.
    ///
    /// # Errors
    /// [`StackError`] when it does not come up.
    pub fn start_ledger(&mut self) -> Result<(), StackError> {
        let mut command = Command::new(&self.layout.ledger);
        command.arg("--db").arg(&self.db).arg("serve");
        command.args(["--internal".into(), format!("127.0.0.1:{}", self.ledger_internal_port)]);
        command.args(["--public".into(), format!("127.0.0.1:{}", self.ledger_public_port)]);
        command.env("PAX_LEDGER_SECRET", &self.secret);
        let mut process = Process::start("ledger", command, self.folder.log("ledger"))?;
        for port in [self.ledger_internal_port, self.ledger_public_port] {
            self.wait_until_ready(&mut process, port, "/healthz", |status| status == 200)?;
        }
        self.ledger = Some(process);
        Ok(())
    }

    /// Kills Envoy (SIGKILL), and with it whatever was in flight.
    pub fn kill_envoy(&mut self) {
        self.envoy = None;
    }

    /// Starts Envoy with the configuration in [`Stack::run_dir`].
    ///
    /// # Errors
    /// [`StackError`] when `/readyz` does not come to answer 200.
    pub fn start_envoy(&mut self) -> Result<(), StackError> {
        let mut command = Command::new(&self.layout.envoy);
        command.arg("--config-path").arg(self.config_file());
        command.args(["--concurrency".into(), self.concurrency.to_string()]);
        // Hot restart would share memory with another Envoy of this machine.
        command.arg("--disable-hot-restart");
        command.args(["--drain-time-s", "2", "--log-format", "%Y-%m-%dT%T.%e %l %n: %v"]);
        let (level, components) = self.log_level.split_once(',').unwrap_or((&self.log_level, ""));
        command.args(["--log-level", level]);
        if !components.is_empty() {
            command.args(["--component-log-level", components]);
        }
        command.env("PAX_LEDGER_SECRET", &self.secret);
        let mut process = Process::start("Envoy", command, self.folder.log("envoy"))?;
        self.wait_until_ready(&mut process, self.gateway_port, "/readyz", |status| status == 200)?;
        self.envoy = Some(process);
        Ok(())
    }

    /// Takes no new calls and waits, at most `patience`, until no call is in flight and no debit waits.
    /// True when that came to be.
    pub fn drain(&mut self, patience: Duration) -> bool {
        let Some(envoy) = self.envoy.as_mut() else { return true };
        if envoy.ended().is_some() {
            return false;
        }
        // A load balancer sees the first, callers the second. An error means that Envoy is beyond asking, which
        // the loop below sees too.
        let _ = http::ask(self.admin_port, "POST", "/healthcheck/fail");
        let _ = http::ask(self.admin_port, "POST", "/drain_listeners");
        let deadline = Instant::now() + patience;
        loop {
            if self.stat("http.gateway.downstream_rq_active") == Some(0) {
                match self.stat(OUTBOX_GAUGE) {
                    Some(0) => return true,
                    Some(_) => {}
                    // A filter that does not count them: time for a few of its ticks.
                    None => {
                        std::thread::sleep(patience.min(Duration::from_millis(500)));
                        return true;
                    }
                }
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// An orderly stop: [`Stack::drain`], then SIGTERM to Envoy, the ledger and the stand-in, in this order.
    /// Nothing runs when it returns, after `patience` plus a few seconds at the latest. True when no call was
    /// cut and no debit was left waiting.
    pub fn stop(mut self, patience: Duration) -> bool {
        let drained = self.drain(patience);
        for process in [&mut self.envoy, &mut self.ledger, &mut self.standin] {
            if let Some(mut process) = process.take() {
                process.stop(Duration::from_secs(2));
            }
        }
        drained
    }

    fn config_file(&self) -> PathBuf {
        self.folder.run.join("envoy.yaml")
    }

    fn start_standin(&mut self, args: &[OsString]) -> Result<Upstream, StackError> {
        let port = ports::free()?;
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(&self.layout.standin);
        command.arg("--listen").arg(&address).args(args);
        let mut process = Process::start("stand-in provider", command, self.folder.log("standin"))?;
        // Whatever it answers: it listens.
        self.wait_until_ready(&mut process, port, "/healthz", |_| true)?;
        self.standin = Some(process);
        self.standin_port = Some(port);
        Ok(Upstream::Server(address))
    }

    fn make_demo_accounts(&self) -> Result<(), StackError> {
        for (name, tier, token) in DEMO_ACCOUNTS {
            let create = ["account", "create", name, "--tier", tier, "--if-missing"];
            let add = ["token", "add", name, "--name", "demo", "--token", token, "--if-missing"];
            for outcome in [self.ledger(create), self.ledger(add)] {
                match outcome {
                    // An operator who revoked the token or changed the tier meant it: that is no reason not to
                    // start, nor to undo it.
                    Err(StackError::Ledger { stderr, .. }) if stderr.contains("exists already") => {}
                    other => drop(other?),
                }
            }
        }
        Ok(())
    }

    fn wait_until_ready(
        &self,
        process: &mut Process,
        port: u16,
        path: &str,
        ready: impl Fn(u16) -> bool,
    ) -> Result<(), StackError> {
        let deadline = Instant::now() + START_PATIENCE;
        let mut last = String::new();
        while Instant::now() < deadline {
            process.check()?;
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(StackError::Cancelled);
            }
            last.clear();
            // Writing to a String cannot fail.
            let _ = match http::ask(port, "GET", path) {
                Ok(answer) if ready(answer.status) => return Ok(()),
                Ok(answer) => write!(last, "{path} answers {}: {}", answer.status, answer.body.trim()),
                Err(error) => write!(last, "{path}: {error}"),
            };
            std::thread::sleep(Duration::from_millis(30));
        }
        Err(StackError::NotReady {
            name: process.name.to_string(),
            seconds: START_PATIENCE.as_secs(),
            last,
            log: process.log.clone(),
            tail: process::tail(&process.log),
        })
    }
}

/// Where a stack keeps its files.
struct Folder {
    run: PathBuf,
    /// Removed at the end, unless a test is failing: then the logs are what one wants to read.
    temporary: Option<PathBuf>,
}

impl Folder {
    /// The folder, and the folder of the database.
    fn make(data_dir: Option<PathBuf>, port: u16) -> Result<(Self, PathBuf), StackError> {
        let name = format!("pax-stack-{}", ports::random_hex(6)?);
        let temporary = data_dir.is_none().then(|| std::env::temp_dir().join(name));
        let data = data_dir.or_else(|| temporary.clone()).unwrap_or_default();
        let run = data.join("run").join(port.to_string());
        make_private(&run)?;
        let data = std::path::absolute(&data).map_err(StackError::io("find", &data))?;
        let run = data.join("run").join(port.to_string());
        let folder = Self { run, temporary };
        for log in ["envoy", "ledger", "standin"] {
            // Logs of an earlier start would be shown as this one's.
            let _ = std::fs::remove_file(folder.log(log));
        }
        Ok((folder, data))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.run.join(format!("{name}.log"))
    }
}

/// Makes a folder that nobody else can look into: the database is in it.
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
