//! `pax-drain`: Envoy's entrypoint, stop step and health check in a container.

use clap::{Args, Parser, Subcommand};
use pax_drain::{Drained, Gateway, Patience, Proceed, drain, http};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

/// How long Envoy may take to end after SIGTERM; then it is killed.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A clean stop of Envoy: calls in flight end, and every debit reaches the ledger, before the process does.
#[derive(Parser)]
#[command(name = "pax-drain", version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run Envoy and pass signals on; SIGTERM and SIGINT drain it first, a second one ends it at once
    Run {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        times: Times,
        /// Envoy and its arguments, with a --drain-time-s below --limit-s
        #[arg(last = true, required = true, value_name = "ENVOY")]
        command: Vec<OsString>,
    },
    /// Drain the Envoy that runs here, and leave it running: a stop step (Kubernetes' preStop) before SIGTERM
    Stop {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        times: Times,
    },
    /// Exit 0 where calls are served (GET /readyz), else 1 with the reason
    Ready {
        #[command(flatten)]
        place: Place,
    },
}

/// Where Envoy is, on loopback.
#[derive(Args)]
struct Place {
    /// The port that calls are served at
    #[arg(long, default_value_t = 10_000)]
    port: u16,
    /// The port of Envoy's admin interface
    #[arg(long, default_value_t = 10_001)]
    admin_port: u16,
}

#[derive(Args)]
struct Times {
    /// How long new calls are taken after /readyz has begun to fail: one interval of whoever probes it
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    probe_s: u64,
    /// How long the whole drain may take; what is left then is cut, and said
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    limit_s: u64,
}

impl Place {
    fn gateway(&self) -> Gateway {
        Gateway { port: self.port, admin_port: self.admin_port }
    }
}

impl Times {
    fn patience(&self) -> Patience {
        Patience { probe: Duration::from_secs(self.probe_s), limit: Duration::from_secs(self.limit_s) }
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Task::Run { place, times, command } => run(&place.gateway(), &times.patience(), command),
        Task::Stop { place, times } => Ok(stop(&place.gateway(), &times.patience())),
        Task::Ready { place } => Ok(ready(place.port)),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("pax-drain: {problem}");
        ExitCode::FAILURE
    })
}

fn stop(gateway: &Gateway, patience: &Patience) -> ExitCode {
    told(drain(gateway, patience, &mut || Proceed::On))
}

fn told(drained: Drained) -> ExitCode {
    eprintln!("pax-drain: {drained}");
    if drained == Drained::Quiet { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ready(port: u16) -> ExitCode {
    let why = match http::ask(port, "GET", "/readyz") {
        Ok(answer) if answer.status == 200 => return ExitCode::SUCCESS,
        Ok(answer) => format!("{}: {}", answer.status, answer.body.trim()),
        Err(error) => error.to_string(),
    };
    eprintln!("not ready: {why}");
    ExitCode::FAILURE
}

/// Envoy as a child of this process, until it ends or is to be stopped.
fn run(gateway: &Gateway, patience: &Patience, command: Vec<OsString>) -> Result<ExitCode, String> {
    let watched = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD]);
    let mut signals = watched.map_err(|error| format!("cannot watch for signals: {error}"))?;
    let mut envoy = start(command)?;
    loop {
        let came: Vec<i32> = signals.wait().collect();
        for signal in came {
            match signal {
                SIGCHLD => {}
                SIGTERM | SIGINT => return Ok(end(envoy, gateway, patience, &mut signals)),
                other => send(&mut envoy, other),
            }
        }
        if let Some(status) = envoy.try_wait().map_err(|error| format!("cannot wait for Envoy: {error}"))? {
            eprintln!("pax-drain: Envoy ended by itself ({status})");
            return Ok(code(status));
        }
    }
}

/// A child that the kernel ends when this process is gone, however it went.
fn start(command: Vec<OsString>) -> Result<Child, String> {
    let Some((program, arguments)) = command.split_first() else { return Err("run what?".to_owned()) };
    let mut command = Command::new(program);
    // A group of its own: a terminal's Ctrl-C reaches this process alone, which drains first.
    command.args(arguments).process_group(0);
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command.spawn().map_err(|error| format!("cannot start {}: {error}", program.to_string_lossy()))
}

/// Drains Envoy, then ends it.
fn end(mut envoy: Child, gateway: &Gateway, patience: &Patience, signals: &mut Signals) -> ExitCode {
    eprintln!("pax-drain: draining, {} s at most", patience.limit.as_secs());
    let drained = drain(gateway, patience, &mut || {
        let again = signals.pending().any(|signal| signal == SIGTERM || signal == SIGINT);
        let ended = !matches!(envoy.try_wait(), Ok(None));
        if again || ended { Proceed::Stop } else { Proceed::On }
    });
    let exit = told(drained);
    send(&mut envoy, SIGTERM);
    let deadline = Instant::now() + END_PATIENCE;
    while matches!(envoy.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            eprintln!("pax-drain: Envoy did not end by SIGTERM and is killed");
            // It may end at this moment: then there is nothing to kill.
            let _ = envoy.kill();
            let _ = envoy.wait();
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    exit
}

fn send(envoy: &mut Child, signal: i32) {
    // A child that has ended and was waited for has given its id back: another process may have it by now.
    let (Ok(None), Ok(id)) = (envoy.try_wait(), libc::pid_t::try_from(envoy.id())) else { return };
    // SAFETY: kill takes two numbers; the child runs, or is not waited for yet.
    unsafe { libc::kill(id, signal) };
}

/// Envoy's own exit status; if a signal ended it, the status that shells give for that. So what restarts
/// containers sees a failure.
fn code(status: ExitStatus) -> ExitCode {
    let number = status.code().or(status.signal().map(|signal| signal.saturating_add(128)));
    ExitCode::from(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(1))
}
