//! `pax-bench`: what the gateway costs. One Envoy worker on one core, callers, provider and ledger on another;
//! bare Envoy, an empty filter, one that copies bodies and the gateway in turn, in the same rounds, so that a
//! busy machine is busy for all of them. CPU is the Envoy process's own.
//!
//! Settings, by environment: `BENCH_ROUNDS` (7; at least 5 for numbers to keep), `BENCH_CALLS` (100000) for the
//! memory, `BENCH_ANYWAY=1` for a busy host, `BENCH_TRIES` (6) for how often a disturbed sample is taken,
//! `BENCH_BEFORE=FILE` for another module beside the present one, `BENCH_VARIANTS=1` for the gateway without some of
//! its parts. Prints Markdown, writes `dist/bench.json`. Exits non-zero when a call failed or was not recorded, and
//! when the host was busy.

mod cpu;
mod holds;
mod host;
mod http;
mod ledger;
mod load;
mod measure;
mod profile;
mod report;
mod soak;
mod upstream;
mod variant;
mod work;

use report::Report;
use std::process::ExitCode;
use variant::{Running, Variant};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A stack did not start, or its ledger does not agree.
    #[error(transparent)]
    Stack(#[from] pax_stack::StackError),
    /// The system refused something.
    #[error("cannot {what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A call failed, or something is not as it must be.
    #[error("{0}")]
    Failed(String),
}

impl BenchError {
    /// For `map_err`.
    pub fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((first, rest)) if first == "profile" => profile::run(rest),
        Some((first, [])) if first == "soak" => soak::run(),
        Some((first, [])) if first == "ledger" => run_ledger(),
        Some((first, [])) if first == "holds" => run_holds(),
        Some((other, _)) => Err(BenchError::Failed(format!(
            "{other:?} is unknown: there is `profile`, `ledger`, `holds`, `soak`, or nothing"
        ))),
        None => setting("BENCH_ROUNDS", 7).and_then(|rounds| run(rounds, setting("BENCH_CALLS", 100_000)?)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn setting(name: &str, default: u64) -> Result<u64, BenchError> {
    match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(text) if text.is_empty() => Ok(default),
        Ok(text) => match text.parse() {
            Ok(value) if value > 0 => Ok(value),
            _ => Err(BenchError::Failed(format!("{name} is a number from 1 on, not {text:?}"))),
        },
    }
}

/// Puts this process on one core, and says which one is Envoy's. Before anything is started: what is started stays
/// here too, until it is put elsewhere.
fn prepare() -> Result<(tokio::runtime::Runtime, usize), BenchError> {
    let cores = cpu::cores();
    let (ours, envoys) = match cores.as_slice() {
        [first, .., last] => (*last, *first),
        _ => return Err(BenchError::Failed("two cores are needed: one for Envoy, one for all else".into())),
    };
    cpu::pin_self(ours)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok((runtime.map_err(BenchError::system("start the callers"))?, envoys))
}

/// Whether a switch of the environment is on.
fn is_set(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
}

fn run(rounds: u64, calls: u64) -> Result<(), BenchError> {
    let (runtime, envoys) = prepare()?;
    let before = cpu::load_average();

    let report = runtime.block_on(async {
        let upstream = upstream::start(None).await?.to_string();
        let mut all = Vec::new();
        let mut busy = Vec::new();
        for variant in Variant::chosen() {
            eprintln!("· starting {}", variant.name());
            all.push(Running::start(variant, &upstream, envoys).await?);
            if variant == Variant::Bare {
                busy = refuse_busy(host::look(&all).await?.why_busy())?;
            }
        }
        let mut report = measure_all(&all, rounds, calls, before).await?;
        if report.busy.is_empty() {
            report.busy = busy;
        }
        drop(all);
        eprintln!("· the ledger alone");
        report.ledger = ledger::measure(envoys).await?;
        eprintln!("· what a hold adds");
        report.holds = holds::measure(envoys).await?;
        Ok::<_, BenchError>(report)
    })?;

    println!("{}", report.markdown());
    println!("{}", report.memory_line());
    println!("{}", report.others_line());
    let file = pax_stack::Layout::find()?.root.join("dist/bench.json");
    let text = format!("{:#}\n", report.json());
    std::fs::write(&file, text).map_err(BenchError::system("write dist/bench.json"))?;
    refuse_busy(report.busy).map(drop)
}

/// The table of the ledger alone, however busy the host is.
fn run_ledger() -> Result<(), BenchError> {
    let (runtime, core) = prepare()?;
    println!("{}", report::ledger_table(&runtime.block_on(ledger::measure(core))?));
    Ok(())
}

/// The table of what a hold adds, likewise.
fn run_holds() -> Result<(), BenchError> {
    let (runtime, core) = prepare()?;
    println!("CPU: {}.\n\n{}", cpu::model(), runtime.block_on(holds::measure(core))?.table());
    Ok(())
}

/// Goes on if the host is quiet, or if the caller of the benchmark wants figures of a busy one.
fn refuse_busy(why: Vec<String>) -> Result<Vec<String>, BenchError> {
    if why.is_empty() || is_set("BENCH_ANYWAY") {
        return Ok(why);
    }
    Err(BenchError::Failed(format!(
        "this host is busy: {}. Stop what else runs here, or measure all the same with BENCH_ANYWAY=1",
        why.join("; ")
    )))
}

async fn measure_all(all: &[Running], rounds: u64, calls: u64, before: String) -> Result<Report, BenchError> {
    let mut samples = Vec::new();
    let mut start = host::Start::now();
    // One round that does not count: caches, pools and V8's optimizer.
    for round in 0..=rounds {
        eprintln!(
            "· {}",
            if round == 0 { "warming up".into() } else { format!("round {round} of {rounds}") }
        );
        measure::round(all, round, &mut samples).await?;
        if round == 0 {
            start = host::Start::now();
        }
    }
    samples.retain(|sample| sample.round > 0);
    let busy = host::Look::of(&samples, &start).why_busy();
    let idle_ns_per_s = measure::idle(all).await?;
    let resident_kib = all.iter().map(|it| cpu::resident_kib(it.envoy)).collect::<Result<_, _>>()?;
    let gateway = all.iter().find(|it| it.variant == Variant::Gateway);
    let gateway = gateway.ok_or_else(|| BenchError::Failed("the gateway does not run".into()))?;
    eprintln!("· memory over {calls} calls");
    let memory = measure::memory(gateway, calls).await?;
    for metered in all.iter().filter(|it| it.variant.is_gateway()) {
        check_ledger(metered)?;
    }
    let load = [before, cpu::load_average()];
    let variants = all.iter().map(|it| it.variant).collect();
    let (cpu, ledger, holds) = (cpu::model(), ledger::Measured::default(), holds::Measured::default());
    Ok(Report {
        cpu,
        busy,
        variants,
        rounds,
        samples,
        idle_ns_per_s,
        resident_kib,
        memory,
        ledger,
        holds,
        load,
    })
}

/// Every call that came back is an entry, and the ledger proves every entry.
fn check_ledger(gateway: &Running) -> Result<(), BenchError> {
    let stat = |name: &str| gateway.stack.stat(name).unwrap_or(0);
    let answered = gateway.answered();
    let recorded = stat("wasmcustom.pax_debits_total;result=recorded");
    let replay = gateway.stack.ledger(["replay"])?;
    eprintln!("· {recorded} debits recorded; {}", replay.lines().last().unwrap_or_default());
    let odd = ["duplicate", "conflict", "rejected"]
        .map(|result| format!("wasmcustom.pax_debits_total;result={result}"));
    if recorded != answered || odd.iter().any(|name| stat(name) != 0) {
        return Err(BenchError::Failed(format!(
            "{answered} calls were answered, and {recorded} debits recorded: they should be as many"
        )));
    }
    Ok(())
}
