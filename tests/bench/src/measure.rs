//! Rounds: every variant in turn, every workload, one sample each.

use crate::load::Load;
use crate::variant::{Running, Variant};
use crate::work::Kind;
use crate::{BenchError, cpu};
use std::time::{Duration, Instant};

/// How long after a slot's last call its CPU time is read: the gateway sends its debits after its calls.
const SETTLE: Duration = Duration::from_millis(80);

/// A kind of call at a number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What is called.
    pub kind: Kind,
    /// How many callers there are.
    pub connections: u64,
    /// How many calls one sample has.
    pub calls: u64,
}

/// The workloads, in the order of the table. About a second each.
pub const WORKLOADS: [Workload; 4] = [
    Workload { kind: Kind::Json, connections: 1, calls: 3_000 },
    Workload { kind: Kind::Json, connections: 32, calls: 6_000 },
    Workload { kind: Kind::Stream, connections: 1, calls: 16 },
    Workload { kind: Kind::Stream, connections: 32, calls: 256 },
];

/// One variant, one workload, one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Which round, from 0.
    pub round: u64,
    /// Which of [`WORKLOADS`].
    pub workload: usize,
    /// Of what.
    pub variant: Variant,
    /// Envoy's CPU time per call.
    pub cpu_ns_per_call: u64,
    /// The CPU time of the variant's ledger per call.
    pub ledger_ns_per_call: u64,
    /// The median time to the first byte of the answer's body.
    pub first_byte_ns: u64,
    /// Calls answered per second.
    pub calls_per_s: u64,
    /// What others used of the machine meanwhile, in thousandths of one core.
    pub others_thousandths: u64,
}

/// A sample in which others used more of the machine than this, in thousandths of one core, is taken again.
const OTHERS_MOST: u64 = 100;
/// So often at most, if `BENCH_TRIES` does not say how often; then the quietest one counts.
const TRIES: u64 = 6;

/// One round: for each workload every variant, beginning with another one each time.
///
/// # Errors
/// [`BenchError`] when a call fails.
pub async fn round(all: &[Running], round: u64, samples: &mut Vec<Sample>) -> Result<(), BenchError> {
    let first = usize::try_from(round).unwrap_or(0).checked_rem(all.len()).unwrap_or(0);
    let (late, early) = all.split_at(first);
    for (index, workload) in WORKLOADS.iter().enumerate() {
        for running in early.iter().chain(late) {
            samples.push(quiet_sample(all, running, workload, round, index).await?);
        }
    }
    Ok(())
}

async fn quiet_sample(
    all: &[Running],
    running: &Running,
    workload: &Workload,
    round: u64,
    index: usize,
) -> Result<Sample, BenchError> {
    let mut quietest: Option<Sample> = None;
    for _ in 0..crate::setting("BENCH_TRIES", TRIES)? {
        let it = sample(all, running, workload, round, index).await?;
        if quietest.is_none_or(|best| it.others_thousandths < best.others_thousandths) {
            quietest = Some(it);
        }
        if it.others_thousandths <= OTHERS_MOST {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    quietest.ok_or_else(|| BenchError::Failed("no sample was taken".into()))
}

/// The CPU time of everything that belongs to the benchmark, in nanoseconds.
fn ours_ns(all: &[Running]) -> Result<u64, BenchError> {
    let stacks = all.iter().flat_map(|running| running.stack.processes());
    stacks.map(|(_, pid)| pid).chain([std::process::id()]).map(cpu::time_ns).sum()
}

/// One sample, however busy the machine is.
///
/// # Errors
/// [`BenchError`] when a call fails.
pub async fn sample(
    all: &[Running],
    running: &Running,
    workload: &Workload,
    round: u64,
    index: usize,
) -> Result<Sample, BenchError> {
    let port = running.stack.gateway_port();
    let mut load = Load::open(port, workload.connections, workload.kind).await?;
    tokio::time::sleep(SETTLE).await;
    let (machine, ours, start) = (cpu::machine_ns(), ours_ns(all)?, Instant::now());
    let before = running.cpu_ns()?;
    let ledger_before = cpu::time_ns(running.ledger)?;
    let run = load.run(workload.calls, &[workload.kind]).await?;
    tokio::time::sleep(SETTLE).await;
    let mut after = running.cpu_ns()?;
    // Asking costs CPU time of its own, so it counts only where the ledger is behind.
    while running.waiting() > 0 {
        tokio::time::sleep(SETTLE).await;
        after = running.cpu_ns()?;
    }
    let others = (cpu::machine_ns() - machine).saturating_sub(ours_ns(all)? - ours);
    let wall_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
    let middle = run.first_byte_ns.len() / 2;
    let micros = u64::try_from(run.wall.as_micros()).unwrap_or(u64::MAX).max(1);
    Ok(Sample {
        round,
        workload: index,
        variant: running.variant,
        cpu_ns_per_call: (after - before) / workload.calls,
        ledger_ns_per_call: (cpu::time_ns(running.ledger)? - ledger_before) / workload.calls,
        first_byte_ns: run.first_byte_ns.get(middle).copied().unwrap_or(0),
        calls_per_s: workload.calls * 1_000_000 / micros,
        others_thousandths: others * 1_000 / wall_ns,
    })
}

/// Envoy's CPU time per second in which nobody calls, in nanoseconds, of each variant.
///
/// # Errors
/// [`BenchError::System`] when one is gone.
pub async fn idle(all: &[Running]) -> Result<Vec<u64>, BenchError> {
    const TIME: Duration = Duration::from_secs(4);
    let read = || all.iter().map(Running::cpu_ns).collect::<Result<Vec<u64>, BenchError>>();
    let before = read()?;
    tokio::time::sleep(TIME).await;
    let after = read()?;
    Ok(before.iter().zip(after).map(|(before, after)| (after - before) / TIME.as_secs()).collect())
}

/// Memory over many calls.
pub struct Memory {
    /// How many calls were made and how much was resident then, in KiB.
    pub samples: Vec<(u64, u64)>,
    /// How long it took.
    pub wall: Duration,
}

/// Makes that many calls at 32 connections, one in ten a stream, and looks at the memory as it goes.
///
/// # Errors
/// [`BenchError`] when a call fails.
pub async fn memory(gateway: &Running, calls: u64) -> Result<Memory, BenchError> {
    /// Fewer than wait at most for the ledger before the gateway refuses calls.
    const PIECE: u64 = 10_000;
    const KINDS: [Kind; 10] = {
        let mut kinds = [Kind::Json; 10];
        kinds[9] = Kind::Burst;
        kinds
    };
    let piece = PIECE.min(calls / 20).max(1);
    let mut load = Load::open(gateway.stack.gateway_port(), 32, Kind::Json).await?;
    let start = Instant::now();
    let mut samples = vec![(0, cpu::resident_kib(gateway.envoy)?)];
    let mut made = 0;
    while made < calls {
        load.run(piece, &KINDS).await?;
        made += piece;
        while gateway.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        samples.push((made, cpu::resident_kib(gateway.envoy)?));
    }
    Ok(Memory { samples, wall: start.elapsed() })
}
