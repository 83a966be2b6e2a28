//! One variant under one load for a while, for a profiler to look at: `pax-bench profile gateway json 32 20`.

use crate::load::Load;
use crate::variant::{Running, Variant};
use crate::work::Kind;
use crate::{BenchError, cpu, prepare, upstream};
use std::time::{Duration, Instant};

const USAGE: &str = "pax-bench profile bare|empty|copy|gateway|credit|before|talc|no_template json|stream|burst CONNECTIONS SECONDS";

/// Reads the arguments after `profile`, and runs.
///
/// # Errors
/// [`BenchError`].
pub fn run(args: &[String]) -> Result<(), BenchError> {
    let usage = || BenchError::Failed(USAGE.into());
    let [variant, kind, connections, seconds] = args else { return Err(usage()) };
    let variant = Variant::ALL.into_iter().find(|it| it.key() == variant).ok_or_else(usage)?;
    let kind = match kind.as_str() {
        "json" => Kind::Json,
        "stream" => Kind::Stream,
        "burst" => Kind::Burst,
        _ => return Err(usage()),
    };
    let connections = connections.parse().map_err(|_| usage())?;
    let seconds = Duration::from_secs(seconds.parse().map_err(|_| usage())?);
    let (runtime, envoys) = prepare()?;
    runtime.block_on(async {
        let upstream = upstream::start(None).await?.to_string();
        let running = Running::start(variant, &upstream, envoys).await?;
        let mut load = Load::open(running.stack.gateway_port(), connections, kind).await?;
        // Until V8 has optimized what it will.
        load.run(connections * 200, &[kind]).await?;
        eprintln!("Envoy is process {}", running.envoy);
        let threads = cpu::thread_times_ns(running.envoy);
        let (start, before, mut calls) = (Instant::now(), running.cpu_ns()?, 0);
        while start.elapsed() < seconds {
            load.run(connections * 50, &[kind]).await?;
            calls += connections * 50;
            // The ledger has to keep up, or the gateway refuses calls.
            while running.waiting() > 4_096 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let each = (running.cpu_ns()? - before) / calls;
        println!("{}: {calls} calls, {each} ns of Envoy's CPU each", variant.name());
        for (name, time) in cpu::thread_times_ns(running.envoy) {
            let each = (time - threads.get(&name).copied().unwrap_or(0)) / calls;
            if each > 0 {
                println!("  {name}: {each} ns");
            }
        }
        Ok(())
    })
}
