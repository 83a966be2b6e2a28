//! `pax-stack`: brings the gateway up in the foreground, or prints Envoy's configuration.

mod greet;

use clap::{Args, Parser, Subcommand};
use pax_stack::{
    CallsLog, Database, Drained, Keys, Layout, LedgerAt, Level, Place, Stack, StackError, Upstream, render,
};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long calls in flight and waiting debits may take when the stack is stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The metered gateway on this machine: Envoy with the filter, the ledger, and a provider.
#[derive(Parser)]
#[command(name = "pax-stack", version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start everything in the foreground; Ctrl-C stops all of it.
    Up(Up),
    /// Give the gateway that runs here the rate cards of ratecards/: no call is cut.
    Reload(Reload),
    /// Print the cards of ratecards/ as `rate_cards` of the filter's configuration, in JSON, once they have no mistake.
    RateCards,
    /// Say which platform keys of providers the environment has (never a key), and which providers are off.
    Keys,
    /// Print the configuration that Envoy would get.
    Render(Render),
    /// Say what is missing or fatal in an Envoy configuration of your own: exits 1 on any error, 2 where a file cannot be
    /// read.
    Check(Check),
}

/// Settings that both commands share.
#[derive(Args)]
struct Common {
    /// The gateway's port on 127.0.0.1; `up` takes a free one for 0.
    #[arg(long, env = "GATEWAY_PORT", default_value_t = 10_000)]
    port: u16,
    /// HOST:PORT of a plain-HTTP server that plays every provider (a local vLLM, Ollama or llama.cpp). Without
    /// it: the real providers when one of their keys is in the environment, else the stand-in.
    #[arg(long, env = "UPSTREAM", value_name = "HOST:PORT")]
    upstream: Option<String>,
    /// The stand-in plays every provider, whatever else is set.
    #[arg(long)]
    standin: bool,
    /// The one server that plays every provider charges callers' own keys itself (X-Matrix-BYO-API-Key). Never for a
    /// server that asks for no key: any string would make it free.
    #[arg(long, env = "UPSTREAM_OWN_KEYS", value_parser = clap::builder::FalseyValueParser::new())]
    own_keys: bool,
    /// Hosts that the gateway answers to beside its port on loopback, as clients name them (`gateway.example`,
    /// `envoy:10000`), or `*` alone for all: then a web page whose name resolves to the gateway's address can call it.
    #[arg(long = "host", env = "GATEWAY_HOSTS", value_name = "HOST[:PORT]", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Where a line per call goes, in JSON, without headers and bodies: a file, `-` for standard output, or `off`. Default:
    /// calls.log beside the other logs, and standard output in what `render` prints.
    #[arg(long, env = "CALLS_LOG", value_name = "FILE|-|off")]
    calls_log: Option<String>,
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    common: Common,
    /// Where the database (ledger.db) and the logs are kept.
    #[arg(long, env = "DATA_DIR", default_value = "data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Another database than that file: postgres://USER:PASSWORD@HOST:PORT/DATABASE. In the environment rather than here,
    /// where anybody on this machine can read it.
    #[arg(long, env = "LEDGER_DB", value_name = "URL", hide_env_values = true)]
    ledger_db: Option<String>,
    /// How many ledgers work on that database.
    #[arg(long, env = "LEDGERS", default_value_t = 1, value_name = "COUNT")]
    ledgers: u16,
    /// Envoy's worker threads.
    #[arg(long, env = "CONCURRENCY", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: u32,
    /// More arguments for the stand-in (`pax-standin --help`), after `--`.
    #[arg(last = true, value_name = "STANDIN_ARGS")]
    standin_args: Vec<std::ffi::OsString>,
}

#[derive(Args)]
struct Reload {
    /// The gateway's port on 127.0.0.1.
    #[arg(long, env = "GATEWAY_PORT", default_value_t = 10_000)]
    port: u16,
    /// Where its database and logs are.
    #[arg(long, env = "DATA_DIR", default_value = "data", value_name = "DIR")]
    data_dir: PathBuf,
}

#[derive(Args)]
struct Render {
    #[command(flatten)]
    common: Common,
    /// The address that Envoy listens on (in a container 0.0.0.0, published on loopback).
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// The port at which `GET /healthz` is answered also under overload.
    #[arg(long, default_value_t = 10_005)]
    liveness_port: u16,
    /// Envoy's worker threads, which share the filter's limits.
    #[arg(long, env = "CONCURRENCY", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: u32,
    /// The port of Envoy's admin interface.
    #[arg(long, default_value_t = 10_001)]
    admin_port: u16,
    /// The ledger's host, as Envoy will reach it; those of several ledgers, with commas. A name with several addresses is a
    /// ledger at each.
    #[arg(long = "ledger-host", default_value = "127.0.0.1", value_name = "HOST", value_delimiter = ',')]
    ledger_hosts: Vec<String>,
    /// The port of the ledgers' internal listeners.
    #[arg(long, default_value_t = 10_002)]
    ledger_port: u16,
    /// The port of the ledgers' public listeners.
    #[arg(long, default_value_t = 10_004)]
    ledger_public_port: u16,
    /// The stand-in's port, for when it plays the providers.
    #[arg(long, default_value_t = 10_003)]
    standin_port: u16,
    /// The module, as Envoy will see it. Default: dist/pax_gateway.wasm of this checkout.
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// The file of the filter's configuration, as Envoy will see it: in a folder in which nothing else changes.
    #[arg(long, default_value = "/etc/pax/filter/filter.yaml", value_name = "FILE")]
    filter_file: PathBuf,
    /// Print the text of that file instead.
    #[arg(long)]
    filter: bool,
    /// The certificate authorities, as Envoy will see them. Default: this system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

#[derive(Args)]
struct Check {
    /// The bootstrap configuration, YAML or JSON, as it is given to `envoy -c`. Files that it names are looked for from
    /// here, as Envoy does.
    #[arg(long, value_name = "FILE")]
    envoy: PathBuf,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Task::Check(check) => return run_check(&check.envoy),
        Task::Up(up) => run_up(up),
        Task::Reload(reload) => run_reload(reload),
        Task::RateCards => {
            Layout::find().and_then(|layout| pax_stack::rate_cards(&layout)).map(|json| println!("{json}"))
        }
        Task::Keys => Layout::find().and_then(|layout| Keys::read(&layout)).map(|keys| println!("{keys}")),
        Task::Render(render) => run_render(render),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(StackError::Cancelled) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Common {
    /// `CALLS_LOG=` on make's line means the default.
    fn calls_log(&self) -> Option<CallsLog> {
        self.calls_log.as_deref().filter(|text| !text.trim().is_empty()).map(CallsLog::of)
    }

    /// `GATEWAY_HOSTS=` on make's line means none.
    fn hosts(&self) -> Vec<String> {
        let hosts = self.hosts.iter().map(|host| host.trim().to_owned());
        hosts.filter(|host| !host.is_empty()).collect()
    }
}

/// `UPSTREAM`, else the providers if the environment has a key of one of them, else None: the stand-in.
fn upstream(common: &Common, layout: &Layout) -> Result<Option<Upstream>, StackError> {
    if common.standin {
        return Ok(None);
    }
    // `UPSTREAM=` on make's line means none.
    match common.upstream.as_deref().map(str::trim) {
        Some(server) if !server.is_empty() => Ok(Some(Upstream::Server(server.to_string()))),
        _ => Ok(pax_stack::any_provider_key(layout)?.then_some(Upstream::Providers)),
    }
}

fn run_render(args: Render) -> Result<(), StackError> {
    let layout = Layout::find()?;
    let hosts = args.common.hosts();
    let (port, public_port) = (args.ledger_port, args.ledger_public_port);
    let ledgers = args.ledger_hosts.into_iter().map(|host| LedgerAt { host, port, public_port });
    let place = Place {
        hosts,
        gateway_address: args.address,
        gateway_port: args.common.port,
        liveness_port: args.liveness_port,
        admin_port: args.admin_port,
        ledgers: ledgers.collect(),
        wasm: args.wasm.unwrap_or_else(|| layout.wasm.clone()),
        filter: args.filter_file,
        ca_file: args.ca_file,
        calls_log: args.common.calls_log().unwrap_or(CallsLog::Stdout),
        workers: args.concurrency,
    };
    let standin = || Upstream::Standin(format!("127.0.0.1:{}", args.standin_port));
    let upstream = upstream(&args.common, &layout)?.unwrap_or_else(standin);
    let own_keys = args.common.own_keys && upstream != Upstream::Providers;
    let change = |filter: &mut serde_json::Value| {
        if own_keys {
            pax_stack::take_own_keys(filter);
        }
    };
    let rendered = render(&layout, &place, &upstream, change)?;
    print!("{}", if args.filter { rendered.filter } else { rendered.envoy });
    Ok(())
}

/// What was found goes to standard output.
fn run_check(file: &Path) -> ExitCode {
    let found = match pax_stack::check(file) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    for finding in &found {
        println!("{finding}");
    }
    let errors = found.iter().filter(|finding| finding.level == Level::Error).count();
    let warnings = found.len().saturating_sub(errors);
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    println!("{}: {}, {}", file.display(), count(errors, "error"), count(warnings, "warning"));
    if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run_reload(args: Reload) -> Result<(), StackError> {
    let run = args.data_dir.join("run").join(args.port.to_string());
    let reloaded = pax_stack::reload(&Layout::find()?, &run)?;
    println!("in use, from {}:", reloaded.file.display());
    for (version, from) in reloaded.cards {
        println!("  rate card {version}, in force from {from}");
    }
    Ok(())
}

fn run_up(args: Up) -> Result<(), StackError> {
    let layout = Layout::find()?;
    let stopping = Arc::new(AtomicBool::new(false));
    watch_signals(Arc::clone(&stopping))?;

    let mut builder = Stack::builder()
        .data_dir(args.data_dir)
        .ledgers(args.ledgers)
        .concurrency(args.concurrency)
        .standin_args(args.standin_args)
        .hosts(args.common.hosts())
        .cancel_when(Arc::clone(&stopping))
        .progress(|step| println!("· {step}"));
    // `LEDGER_DB=` on make's line means none.
    if let Some(url) = args.ledger_db.as_deref().map(str::trim).filter(|url| !url.is_empty()) {
        builder = builder.database(Database::of_url(url)?);
    }
    if let Some(log) = args.common.calls_log() {
        builder = builder.calls_log(log);
    }
    if args.common.own_keys {
        builder = builder.takes_own_keys();
    }
    // Also if this start has another upstream: the next start with the same ledger may have the providers.
    if !args.common.standin && pax_stack::any_provider_key(&layout)? {
        builder = builder.random_tokens();
    }
    if args.common.port != 0 {
        builder = builder.gateway_port(args.common.port);
    }
    let served = match upstream(&args.common, &layout)? {
        Some(Upstream::Server(server)) => {
            let served = format!("every provider is {server} (plain HTTP)");
            builder = builder.upstream(server);
            served
        }
        Some(Upstream::Providers) => {
            builder = builder.real_providers();
            format!("calls go to the real providers, over TLS\n{}", Keys::read(&layout)?)
        }
        None | Some(Upstream::Standin(_)) => {
            "every provider is the stand-in (set UPSTREAM=host:port or a provider's key for a real one)"
                .into()
        }
    };
    let mut stack = builder.layout(layout).start()?;
    greet::greet(&stack, &served)?;

    let mut end = Ok(());
    while !stopping.load(Ordering::Relaxed) && end.is_ok() {
        std::thread::sleep(Duration::from_millis(100));
        end = stack.mend(&mut |line| println!("· {line}"));
    }
    println!("\nstopping: waiting for calls in flight and for their debits");
    match stack.stop(STOP_PATIENCE) {
        Drained::Quiet => println!("stopped"),
        left => println!("stopped; {left}"),
    }
    end
}

/// The first signal asks for an orderly stop; the second ends this process, and the kernel its children.
fn watch_signals(stopping: Arc<AtomicBool>) -> Result<(), StackError> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let failed = |error| StackError::Config(format!("cannot watch for Ctrl-C: {error}"));
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if stopping.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}
