//! `pax-bench soak`: very many calls of very many accounts through one Envoy whose workers trap again and again; at the
//! end every entry of the ledger is compared with what callers and provider have seen.
//!
//! Settings, by environment: `SOAK_CALLS` (1000000), `SOAK_ACCOUNTS` (100000), `SOAK_CONNECTIONS` (64),
//! `SOAK_TRAP_S` (10), `SOAK_TRAPS` (as many as there is time for). Prints a table; exits non-zero on any difference.

pub mod accounts;
mod audit;
mod callers;
mod outcome;

use crate::upstream::{self, Witness};
use crate::{BenchError, cpu, setting};
use audit::{Audit, Difference, Seen};
use callers::{Call, Plan, Told};
use outcome::Outcome;
use pax_gateway::memory::lanes::DEAD_MS;
use pax_stack::{CallsLog, Layout, Stack};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// While more debits than this wait for the ledger nobody begins a call. At many more the gateway refuses calls.
const WAITING_MOST: u64 = 2_048;
/// How often the memory and what waits for the ledger are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long after the last trap every call of the worker that died is charged, at the latest.
const SWEPT: Duration = Duration::from_millis(DEAD_MS + 5_000);
/// How often the entries are read again, [`SWEPT`] apart, while one is missing.
const TRIES: u32 = 3;

struct Settings {
    calls: u64,
    accounts: u64,
    connections: u64,
    trap_every: Duration,
    traps: u64,
}

/// Runs a soak with the settings of the environment.
///
/// # Errors
/// [`BenchError`] says what differs.
pub fn run() -> Result<(), BenchError> {
    let settings = Settings {
        calls: setting("SOAK_CALLS", 1_000_000)?,
        accounts: setting("SOAK_ACCOUNTS", 100_000)?,
        connections: setting("SOAK_CONNECTIONS", 64)?,
        trap_every: Duration::from_secs(setting("SOAK_TRAP_S", 10)?),
        traps: setting("SOAK_TRAPS", u64::MAX)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::system("start the callers"))?;
    runtime.block_on(soak(&settings))
}

async fn soak(settings: &Settings) -> Result<(), BenchError> {
    let witness = Witness::of(usize::try_from(settings.calls).unwrap_or(usize::MAX));
    let provider = upstream::start(Some(Arc::clone(&witness))).await?.to_string();
    eprintln!("· starting the gateway");
    let started = tokio::task::spawn_blocking(move || start(&provider)).await;
    let stack = Arc::new(started.map_err(|error| BenchError::Failed(error.to_string()))??);
    eprintln!("· making {} accounts", settings.accounts);
    accounts::make(stack.db(), settings.accounts).await?;

    let plan = Arc::new(Plan {
        port: stack.gateway_port(),
        calls: settings.calls,
        accounts: settings.accounts,
        next: AtomicU64::new(0),
        hold: AtomicBool::new(false),
        begun: Instant::now(),
    });
    let done = Arc::new(AtomicBool::new(false));
    let watch = tokio::task::spawn_blocking({
        let (stack, plan, done) = (Arc::clone(&stack), Arc::clone(&plan), Arc::clone(&done));
        move || watch(&stack, &plan, &done)
    });
    let told = call(settings, &plan).await;
    let took = plan.begun.elapsed();
    done.store(true, Ordering::Relaxed);
    let memory = watch.await.map_err(|error| BenchError::Failed(error.to_string()))??;
    let told = told?;
    let mut calls = vec![Call::default(); usize::try_from(settings.calls).unwrap_or(0)];
    for (number, call) in told.calls {
        if let Some(place) = usize::try_from(number).ok().and_then(|number| calls.get_mut(number)) {
            *place = call;
        }
    }
    let seen = Seen { plan: &plan, calls: &calls, traps_ms: &told.traps_ms, witness: &witness };
    let audit = audit(&stack, &seen).await?;
    eprintln!("· replaying");
    let replay = stack.ledger(["replay"]);
    let outcome = Outcome {
        seen: &seen,
        accounts: settings.accounts,
        connections: settings.connections,
        refused: &told.refused,
        hung: told.hung,
        took,
        memory: &memory,
        audit: &audit,
    };
    println!("{}", outcome.table(replay.is_ok()));
    for line in audit.told() {
        println!("{line}");
    }
    replay?;
    outcome.verdict()
}

/// One Envoy with two workers, whose module traps when a call asks for it.
fn start(provider: &str) -> Result<Stack, BenchError> {
    let mut layout = Layout::find()?;
    layout.wasm = layout.root.join("dist/test/pax_gateway_faults.wasm");
    if !layout.wasm.is_file() {
        let module = layout.wasm.display();
        return Err(BenchError::Failed(format!("there is no {module}: `sh envoy/wasm.sh faults` builds it")));
    }
    let builder = Stack::builder().layout(layout).standin_at(provider).hosts(["gateway.test"]).concurrency(2);
    // The free half is admitted by holds, which their caps bound; nobody grants the other half its credit.
    let builder = builder.change_filter_config(|config| {
        config["gate"]["admission"]["free"] = "ledger".into();
        config["gate"]["admission"]["credit"] = "shared_data".into();
    });
    Ok(builder.calls_log(CallsLog::Off).start()?)
}

/// All calls, and a trap from time to time; what everybody saw.
async fn call(settings: &Settings, plan: &Arc<Plan>) -> Result<Told, BenchError> {
    let trapping = callers::keep_trapping(Arc::clone(plan), settings.trap_every, settings.traps);
    let mut tasks = vec![tokio::spawn(trapping)];
    for _ in 0..settings.connections {
        tasks.push(tokio::spawn(callers::keep_calling(Arc::clone(plan))));
    }
    let mut all = Told::default();
    for task in tasks {
        let told = task.await.map_err(|error| BenchError::Failed(error.to_string()))??;
        all.calls.extend(told.calls);
        all.traps_ms.extend(told.traps_ms);
        all.hung += told.hung;
        for (what, count) in told.refused {
            *all.refused.entry(what).or_default() += count;
        }
    }
    Ok(all)
}

/// Holds the callers back while the ledger is behind, and looks at Envoy's memory: how many calls were made, and how many
/// KiB were resident then.
fn watch(stack: &Stack, plan: &Plan, done: &AtomicBool) -> Result<Vec<(u64, u64)>, BenchError> {
    let envoy = stack.processes().into_iter().find(|(name, _)| *name == "Envoy");
    let (_, envoy) = envoy.ok_or_else(|| BenchError::Failed("Envoy does not run".into()))?;
    let mut memory = vec![(0, cpu::resident_kib(envoy)?)];
    let mut told = Instant::now();
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        let waiting = stack.stat("wasmcustom.pax_outbox_waiting").unwrap_or(0);
        plan.hold.store(waiting > WAITING_MOST, Ordering::Relaxed);
        let made = plan.next.load(Ordering::Relaxed).min(plan.calls);
        memory.push((made, cpu::resident_kib(envoy)?));
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            eprintln!("· {made} of {} calls; {waiting} debits wait", plan.calls);
        }
    }
    Ok(memory)
}

/// Compares once everything must be recorded.
async fn audit(stack: &Stack, seen: &Seen<'_>) -> Result<Audit, BenchError> {
    let program = Layout::find()?.ledger;
    let trapped_ms = seen.traps_ms.iter().map(|[_, ended]| *ended).max().unwrap_or(0);
    let swept = seen.plan.begun + Duration::from_millis(trapped_ms.into()) + SWEPT;
    for tried in 1.. {
        tokio::time::sleep_until((swept + SWEPT * (tried - 1)).into()).await;
        let ledgers_last = Instant::now() + SWEPT * 4;
        while stack.stat("wasmcustom.pax_outbox_waiting").unwrap_or(0) > 0 && Instant::now() < ledgers_last {
            tokio::time::sleep(LOOK).await;
        }
        eprintln!("· comparing the entries");
        let audit = audit::of_database(seen, &program, stack.db())?;
        if tried == TRIES || audit.count(Difference::Missing) == 0 {
            return Ok(audit);
        }
    }
    Err(BenchError::Failed("the entries were not compared".into()))
}
