//! Settings of a stack, and starting it.

use crate::demo::{self, Tokens};
use crate::folder::Folder;
use crate::ledgers::{self, Ledger};
use crate::mend::Mending;
use crate::{CallsLog, Database, Layout, Place, Stack, StackError, Upstream, ports, providers, render};
use serde_json::Value;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Settings of a stack, and how to start it. Made by [`Stack::builder`].
pub struct Builder {
    layout: Option<Layout>,
    gateway_port: Option<u16>,
    upstream: Option<Upstream>,
    standin_args: Vec<OsString>,
    data_dir: Option<PathBuf>,
    database: Option<Database>,
    ledgers: u16,
    hosts: Vec<String>,
    own_keys: bool,
    tokens: Tokens,
    concurrency: u32,
    calls_log: Option<CallsLog>,
    log_level: String,
    change: Box<dyn FnOnce(&mut Value) + Send>,
    change_envoy: Box<dyn FnOnce(String) -> Result<String, StackError> + Send>,
    progress: Box<dyn Fn(&str) + Send>,
    cancelled: Arc<AtomicBool>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            layout: None,
            gateway_port: None,
            upstream: None,
            standin_args: Vec::new(),
            data_dir: None,
            database: None,
            ledgers: 1,
            hosts: Vec::new(),
            own_keys: false,
            tokens: Tokens::Public,
            concurrency: 2,
            calls_log: None,
            log_level: "warning,wasm:info".into(),
            change: Box::new(|_| ()),
            change_envoy: Box::new(Ok),
            progress: Box::new(|_| ()),
            cancelled: Arc::default(),
        }
    }
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

    /// A stand-in that runs already, at `host:port`: it stops writing by itself, as the providers that it
    /// plays do.
    #[must_use]
    pub fn standin_at(mut self, server: impl Into<String>) -> Self {
        self.upstream = Some(Upstream::Standin(server.into()));
        self
    }

    /// The providers themselves, over TLS, with the keys that the environment has: so the demo accounts' tokens are
    /// random.
    #[must_use]
    pub fn real_providers(mut self) -> Self {
        self.upstream = Some(Upstream::Providers);
        self.random_tokens()
    }

    /// The demo accounts get random tokens, and the public ones of README.md stop working: for an operator
    /// with something behind the gateway that costs money, now or perhaps at the next start. Default: the
    /// public ones.
    #[must_use]
    pub fn random_tokens(mut self) -> Self {
        self.tokens = Tokens::Random;
        self
    }

    /// The one server that plays every provider charges callers' own keys itself, or plays a server that does
    /// (the stand-in of demo and tests, at which no call costs anything). Default: it takes no such keys,
    /// since a keyless server would be free to every caller that sends any string as a key.
    #[must_use]
    pub fn takes_own_keys(mut self) -> Self {
        self.own_keys = true;
        self
    }

    /// More hosts that the gateway answers to than its port on loopback: see [`Place::hosts`].
    #[must_use]
    pub fn hosts<I: IntoIterator<Item = S>, S: Into<String>>(mut self, hosts: I) -> Self {
        self.hosts.extend(hosts.into_iter().map(Into::into));
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

    /// The ledger's database. Default: `ledger.db` in the folder of [`Builder::data_dir`].
    #[must_use]
    pub fn database(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// How many ledgers work on the database, 1 unless it is PostgreSQL's. Default: 1.
    #[must_use]
    pub fn ledgers(mut self, count: u16) -> Self {
        self.ledgers = count;
        self
    }

    /// Envoy's worker threads. Default: 2.
    #[must_use]
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Where Envoy writes a line per call. Default: `calls.log` in the folder of the logs.
    #[must_use]
    pub fn calls_log(mut self, log: CallsLog) -> Self {
        self.calls_log = Some(log);
        self
    }

    /// Envoy's log level, for example `info` or `warning,wasm:debug`. Default: `warning` with the filter's own
    /// lines from `info`. Components that would write callers' tokens and keys stay at `info`.
    #[must_use]
    pub fn log_level(mut self, level: impl Into<String>) -> Self {
        self.log_level = level.into();
        self
    }

    /// Changes the filter's configuration before it is rendered, after the changes that were given earlier;
    /// for tests.
    #[must_use]
    pub fn change_filter_config(mut self, change: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        let before = self.change;
        self.change = Box::new(move |config| {
            before(config);
            change(config);
        });
        self
    }

    /// Changes Envoy's whole configuration after it was rendered; for benchmarks, which compare this Envoy with one
    /// that differs in one thing. `GET /readyz` must still come to answer 200.
    #[must_use]
    pub fn change_envoy_config(
        mut self,
        change: impl FnOnce(String) -> Result<String, StackError> + Send + 'static,
    ) -> Self {
        self.change_envoy = Box::new(change);
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

    /// Starts everything and returns once `/readyz` answers 200, or the gateway says that it is switched off. Blocks
    /// for some seconds.
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
        let database = self.database.unwrap_or_else(|| Database::File(data_dir.join("ledger.db")));
        ledgers::check(self.ledgers, &database)?;
        let calls_log = self.calls_log.unwrap_or_else(|| CallsLog::File(folder.log("calls")));
        let mut stack = Stack {
            calls_log,
            database,
            secret: ports::random_hex(32)?,
            liveness_port: ports::free()?,
            admin_port: ports::free()?,
            standin_port: None,
            gateway_port,
            upstream: Upstream::Providers,
            concurrency: self.concurrency.max(1),
            standin_args: self.standin_args,
            ledger_args: Vec::new(),
            mending: Mending::default(),
            log_level: self.log_level,
            demo: Vec::new(),
            cancelled: self.cancelled,
            envoy: None,
            ledgers: (0..self.ledgers).map(|_| Ledger::new()).collect::<Result<_, _>>()?,
            standin: None,
            layout,
            folder,
        };
        let tell = self.progress;
        stack.upstream = match self.upstream {
            Some(upstream) => upstream,
            None => {
                tell("starting the stand-in provider");
                stack.start_standin()?
            }
        };
        tell(if self.ledgers == 1 { "starting the ledger" } else { "starting the ledgers" });
        stack.demo = demo::make_accounts(&stack, self.tokens)?;
        stack.start_ledger()?;
        tell("starting Envoy with the filter");
        let own_keys = self.own_keys && stack.upstream != Upstream::Providers;
        let change = |filter: &mut Value| {
            if own_keys {
                providers::take_own_keys(filter);
            }
            (self.change)(filter);
        };
        write_configuration(&stack, self.hosts, change, self.change_envoy)?;
        stack.start_envoy()?;
        Ok(stack)
    }
}

/// Renders what Envoy reads and puts it into the stack's run folder.
fn write_configuration(
    stack: &Stack,
    hosts: Vec<String>,
    change: impl FnOnce(&mut Value),
    change_envoy: impl FnOnce(String) -> Result<String, StackError>,
) -> Result<(), StackError> {
    let place = Place {
        gateway_address: "127.0.0.1".into(),
        gateway_port: stack.gateway_port,
        liveness_port: stack.liveness_port,
        admin_port: stack.admin_port,
        ledgers: stack.ledgers.iter().map(Ledger::at).collect(),
        wasm: stack.layout.wasm.clone(),
        filter: stack.filter_file(),
        ca_file: None,
        hosts,
        calls_log: stack.calls_log.clone(),
        workers: stack.concurrency,
    };
    let rendered = render(&stack.layout, &place, &stack.upstream, change)?;
    for (file, text) in [
        (stack.config_file(), change_envoy(rendered.envoy)?),
        (stack.filter_file(), rendered.filter),
        // For `pax-stack reload`, which asks Envoy how it went.
        (stack.run_dir().join("admin"), stack.admin_port.to_string()),
    ] {
        std::fs::write(&file, text).map_err(StackError::io("write", &file))?;
    }
    Ok(())
}
