//! The running stack: its processes, watched and stopped.

use crate::demo::DemoAccount;
use crate::folder::Folder;
use crate::ledgers::Ledger;
use crate::mend::Mending;
use crate::process::Process;
use crate::{
    Builder, CallsLog, Database, Envoy, Layout, StackError, TryIt, Upstream, envoy, http, ports, rate_cards,
};
use pax_drain::{Drained, Gateway, Patience, Proceed};
use serde_json::Value;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a process may take until it answers. Envoy compiles the module first: seconds on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The running stack. Dropping it kills every process.
pub struct Stack {
    // Dropped in this order: first what calls, then what is called.
    pub(crate) envoy: Option<Process>,
    pub(crate) ledgers: Vec<Ledger>,
    pub(crate) standin: Option<Process>,
    pub(crate) layout: Layout,
    pub(crate) database: Database,
    pub(crate) secret: String,
    pub(crate) gateway_port: u16,
    pub(crate) liveness_port: u16,
    pub(crate) admin_port: u16,
    pub(crate) standin_port: Option<u16>,
    pub(crate) upstream: Upstream,
    pub(crate) concurrency: u32,
    pub(crate) standin_args: Vec<OsString>,
    pub(crate) ledger_args: Vec<OsString>,
    pub(crate) mending: Mending,
    pub(crate) log_level: String,
    pub(crate) demo: Vec<DemoAccount>,
    pub(crate) calls_log: CallsLog,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) folder: Folder,
}

impl Stack {
    /// A stack with the defaults of a test: free ports, a temporary folder, the stand-in as every provider.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway_port)
    }

    /// The gateway's port.
    pub fn gateway_port(&self) -> u16 {
        self.gateway_port
    }

    /// The port at which `GET /healthz` is answered also under overload.
    pub fn liveness_port(&self) -> u16 {
        self.liveness_port
    }

    /// The port of Envoy's admin interface.
    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// The stand-in's port, if the stack started one.
    pub fn standin_port(&self) -> Option<u16> {
        self.standin_port
    }

    /// The accounts to play with.
    pub fn demo_accounts(&self) -> &[DemoAccount] {
        &self.demo
    }

    /// Where Envoy writes a line per call.
    pub fn calls_log(&self) -> &CallsLog {
        &self.calls_log
    }

    /// The folder of the logs (`calls.log`, `envoy.log`, `ledger.log`, `ledger-2.log`, `standin.log`) and of Envoy's configuration.
    pub fn run_dir(&self) -> &Path {
        &self.folder.run
    }

    /// The body of Envoy's admin answer to `GET path`.
    ///
    /// # Errors
    /// [`StackError::Config`] if Envoy does not answer 200.
    pub fn admin(&self, path: &str) -> Result<String, StackError> {
        match http::ask(self.admin_port, "GET", path) {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            other => Err(StackError::Config(format!("Envoy's admin interface answered {other:?} to {path}"))),
        }
    }

    /// Has Envoy open its logs again, after they were moved away.
    ///
    /// # Errors
    /// [`StackError::Config`] if Envoy does not do it.
    pub fn reopen_logs(&self) -> Result<(), StackError> {
        match http::ask(self.admin_port, "POST", "/reopen_logs") {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(StackError::Config(format!("Envoy did not open its logs again: {other:?}"))),
        }
    }

    /// The value of a counter or gauge of Envoy, None if Envoy has none of that name.
    pub fn stat(&self, name: &str) -> Option<u64> {
        http::stat(self.admin_port, name)
    }

    /// The file of the filter's configuration, in a folder of its own: Envoy watches the folder, and would
    /// read the file again at every line that is logged beside it.
    pub fn filter_file(&self) -> PathBuf {
        self.folder.filter()
    }

    /// A call that this gateway can serve as it was started; None if every model needs a key of the caller's own.
    ///
    /// # Errors
    /// [`StackError`] if the filter's configuration cannot be read.
    pub fn try_it(&self) -> Result<Option<TryIt>, StackError> {
        let file = self.filter_file();
        TryIt::of(&std::fs::read_to_string(&file).map_err(StackError::io("read", &file))?)
    }

    /// Changes the filter's configuration while Envoy runs, through its file. Envoy takes the new
    /// configuration, or keeps the one that it has.
    ///
    /// # Errors
    /// [`StackError::Io`] if the file cannot be read or replaced.
    pub fn change_filter(&self, change: impl FnOnce(&mut Value)) -> Result<(), StackError> {
        let file = self.filter_file();
        let text = std::fs::read_to_string(&file).map_err(StackError::io("read", &file))?;
        rate_cards::replace(&file, &rate_cards::change_filter(&text, change)?)
    }

    /// Whether everything that was started still runs.
    ///
    /// # Errors
    /// [`StackError::Died`] names the first that does not, with the end of its log.
    pub fn check(&mut self) -> Result<(), StackError> {
        let ledgers = self.ledgers.iter_mut().map(|ledger| &mut ledger.process);
        for process in [&mut self.envoy].into_iter().chain(ledgers).chain([&mut self.standin]).flatten() {
            process.check()?;
        }
        Ok(())
    }

    /// The processes that run, with their ids.
    pub fn processes(&self) -> Vec<(&'static str, u32)> {
        let ledgers = self.ledgers.iter().map(|ledger| &ledger.process);
        let all = [&self.envoy].into_iter().chain(ledgers).chain([&self.standin]);
        all.flatten().map(|process| (process.name, process.id())).collect()
    }

    /// Kills Envoy (SIGKILL), and with it all calls in flight.
    pub fn kill_envoy(&mut self) {
        self.envoy = None;
    }

    /// Starts Envoy with the configuration in [`Stack::run_dir`].
    ///
    /// # Errors
    /// [`StackError`] if it does not come up.
    pub fn start_envoy(&mut self) -> Result<(), StackError> {
        self.envoy = Some(self.run_envoy(&self.config_file(), self.gateway_port, "envoy")?);
        Ok(())
    }

    /// One more Envoy on the same ledger and the same providers, with the configuration that `change` makes
    /// out of the first one's. It has ports of its own, and its log and its configuration beside the first
    /// one's.
    ///
    /// # Errors
    /// [`StackError`] if it does not come up.
    pub fn another_envoy(&self, change: impl Fn(String) -> String) -> Result<Envoy, StackError> {
        let (gateway_port, admin_port) = (ports::free()?, ports::free()?);
        let liveness_port = ports::free()?;
        let name = format!("envoy-{gateway_port}");
        // The filter's configuration is discovered, so it has a folder of its own to be watched.
        let (filter, folder) = (self.filter_file(), self.folder.run.join(&name));
        let (own_filter, file) = (folder.join("filter.yaml"), self.folder.run.join(format!("{name}.yaml")));
        let quoted = |path: &Path| Value::from(path.to_string_lossy()).to_string();
        let mut moved = vec![
            (format!("port_value: {} ", self.gateway_port), format!("port_value: {gateway_port} ")),
            (format!("port_value: {} ", self.liveness_port), format!("port_value: {liveness_port} ")),
            (format!("port_value: {} ", self.admin_port), format!("port_value: {admin_port} ")),
            (quoted(&filter), quoted(&own_filter)),
            (quoted(&self.folder.log("calls")), quoted(&self.folder.log(&format!("calls-{gateway_port}")))),
            // In the text of the filter's configuration: the hosts that it answers to.
            (format!(":{}\\\"", self.gateway_port), format!(":{gateway_port}\\\"")),
        ];
        moved.extend(filter.parent().map(|watched| (quoted(watched), quoted(&folder))));
        std::fs::create_dir_all(&folder).map_err(StackError::io("make", &folder))?;
        for (from, to) in [(&filter, &own_filter), (&self.config_file(), &file)] {
            let text = std::fs::read_to_string(from).map_err(StackError::io("read", from))?;
            let text = moved.iter().fold(text, |text, (from, to)| text.replace(from, to));
            std::fs::write(to, change(text)).map_err(StackError::io("write", to))?;
        }
        let process = self.run_envoy(&file, gateway_port, &name)?;
        Ok(Envoy { process, gateway_port, admin_port })
    }

    fn run_envoy(&self, config: &Path, gateway_port: u16, log: &str) -> Result<Process, StackError> {
        let mut process = Process::start("Envoy", self.envoy_command(config), self.folder.log(log))?;
        self.wait_until_ready(&mut process, gateway_port, "/readyz", |answer| {
            envoy::is_up(answer, gateway_port)
        })?;
        Ok(process)
    }

    /// Takes no new calls and waits, at most `patience`, until no call is in flight and no debit waits.
    pub fn drain(&mut self, patience: Duration) -> Drained {
        let Some(envoy) = self.envoy.as_mut() else { return Drained::Quiet };
        if envoy.ended().is_some() {
            return Drained::Gone;
        }
        let gateway = Gateway { port: self.gateway_port, admin_port: self.admin_port };
        // No load balancer probes this gateway before it sends calls.
        let patience = Patience { probe: Duration::ZERO, limit: patience };
        pax_drain::drain(&gateway, &patience, &mut || {
            // A ledger that is killed now is started again, since it must still take the debits that wait.
            self.mend_for_drain();
            let gone = self.envoy.as_mut().is_none_or(|envoy| envoy.ended().is_some());
            if gone { Proceed::Stop } else { Proceed::On }
        })
    }

    /// An orderly stop: [`Stack::drain`], then SIGTERM to Envoy, the ledgers and the stand-in, in this order.
    /// Nothing runs when it returns, after `patience` plus a few seconds at the latest.
    pub fn stop(mut self, patience: Duration) -> Drained {
        let drained = self.drain(patience);
        let ledgers = self.ledgers.iter_mut().map(|ledger| &mut ledger.process);
        for process in [&mut self.envoy].into_iter().chain(ledgers).chain([&mut self.standin]) {
            if let Some(mut process) = process.take() {
                process.stop(Duration::from_secs(2));
            }
        }
        drained
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.run.join("envoy.yaml")
    }

    pub(crate) fn start_standin(&mut self) -> Result<Upstream, StackError> {
        let port = ports::free()?;
        let command = self.standin_command(port);
        let mut process = Process::start("stand-in provider", command, self.folder.log("standin"))?;
        // Any answer will do: it shows that the stand-in listens.
        self.wait_until_ready(&mut process, port, "/healthz", |_| true)?;
        self.standin = Some(process);
        self.standin_port = Some(port);
        Ok(Upstream::Standin(format!("127.0.0.1:{port}")))
    }

    pub(crate) fn wait_until_ready(
        &self,
        process: &mut Process,
        port: u16,
        path: &str,
        ready: impl Fn(&http::Answer) -> bool,
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
                Ok(answer) if ready(&answer) => return Ok(()),
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
            tail: process.tail(),
        })
    }
}
