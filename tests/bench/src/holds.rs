//! What a hold adds to a call: the same call by a free account, which is admitted in shared data, and by a credit account,
//! for which the ledger makes a hold first. By turns, alone and beside debits of other Envoys.

use crate::ledger::{Sender, golden, request};
use crate::load::Load;
use crate::report::{micros, spread};
use crate::soak::accounts;
use crate::variant::{Running, Variant};
use crate::work::Kind;
use crate::{BenchError, cpu, upstream};
use pax_gateway::debit::frozen::Debit;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many calls of each kind, in blocks by turns; the first block of each does not count.
const BLOCKS: u64 = 20;
const BLOCK_CALLS: u64 = 100;
/// The debits beside them: so many in a request, and how often one is sent.
const BESIDE: u64 = 10;
const EVERY: Duration = Duration::from_millis(10);
/// What a hold may add to the first byte of the answer, beside a thousand debits a second.
const MEDIAN_NS_MOST: u64 = 3_000_000;
const LAST_NS_MOST: u64 = 8_000_000;

/// The calls of one kind of account under one condition.
#[derive(Clone, Debug)]
struct Row {
    variant: Variant,
    is_beside: bool,
    /// To the first byte of the answer's body, sorted.
    first_byte_ns: Vec<u64>,
    envoy_ns: u64,
    ledger_ns: u64,
    /// How many debits came to the ledger beside these calls, and for how long.
    beside: (u64, Duration),
}

impl Row {
    /// The time that so many thousandths of the calls did not exceed.
    fn quantile(&self, thousandths: usize) -> u64 {
        let last = self.first_byte_ns.len().saturating_sub(1);
        self.first_byte_ns.get(last * thousandths / 1_000).copied().unwrap_or(0)
    }

    fn per_call(&self, ns: u64) -> u64 {
        ns / u64::try_from(self.first_byte_ns.len()).unwrap_or(1).max(1)
    }

    fn beside_per_s(&self) -> u64 {
        let (debits, took) = self.beside;
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        debits * 1_000 / ms
    }
}

/// What was measured: free and credit accounts alone, then beside debits.
#[derive(Clone, Debug, Default)]
pub struct Measured(Vec<Row>);

/// Measures, with Envoys on that core.
///
/// # Errors
/// [`BenchError`] when a call fails or a debit is not recorded.
pub async fn measure(core: usize) -> Result<Measured, BenchError> {
    let upstream = upstream::start(None).await?.to_string();
    let debit = golden(&pax_stack::Layout::find()?.root)?;
    let mut all = Vec::new();
    for variant in [Variant::Gateway, Variant::Credit] {
        let running = Running::start(variant, &upstream, core).await?;
        accounts::make(running.stack.db(), crate::ledger::ACCOUNTS).await?;
        let load = Load::open(running.stack.gateway_port(), 1, Kind::Json).await?;
        all.push((running, load, 0));
    }
    let mut rows = Vec::new();
    for is_beside in [false, true] {
        let empty = |variant| Row {
            variant,
            is_beside,
            first_byte_ns: Vec::new(),
            envoy_ns: 0,
            ledger_ns: 0,
            beside: (0, Duration::ZERO),
        };
        let mut of = [empty(Variant::Gateway), empty(Variant::Credit)];
        for block in 0..=BLOCKS {
            for ((running, load, next), row) in all.iter_mut().zip(&mut of) {
                let mut ignored = empty(row.variant);
                let row = if block == 0 { &mut ignored } else { row };
                one_block(running, load, (&debit, next), row).await?;
            }
        }
        of.iter_mut().for_each(|row| row.first_byte_ns.sort_unstable());
        rows.extend(of);
    }
    for (running, ..) in &all {
        // The ledger proves all of it.
        running.stack.ledger(["replay"])?;
    }
    Ok(Measured(rows))
}

async fn one_block(
    running: &Running,
    load: &mut Load,
    (debit, next): (&Debit, &mut u64),
    row: &mut Row,
) -> Result<(), BenchError> {
    let stop = Arc::new(AtomicBool::new(false));
    let others = match row.is_beside {
        true => Some(tokio::spawn(send(
            running.stack.ledger_internal_port(),
            running.stack.ledger_secret().to_owned(),
            debit.clone(),
            *next,
            Arc::clone(&stop),
        ))),
        false => None,
    };
    let began = Instant::now();
    let (envoy, ledger) = (running.cpu_ns()?, cpu::time_ns(running.ledger)?);
    let run = load.run(BLOCK_CALLS, &[Kind::Json]).await?;
    row.envoy_ns += running.cpu_ns()? - envoy;
    row.ledger_ns += cpu::time_ns(running.ledger)? - ledger;
    row.first_byte_ns.extend(run.first_byte_ns);
    stop.store(true, Ordering::Relaxed);
    if let Some(others) = others {
        let sent = others.await.map_err(|error| BenchError::Failed(error.to_string()))??;
        *next += sent;
        row.beside = (row.beside.0 + sent, row.beside.1 + began.elapsed());
    }
    Ok(())
}

/// Sends debits as other Envoys would, until it is told to stop. Gives how many.
async fn send(
    port: u16,
    secret: String,
    debit: Debit,
    first: u64,
    stop: Arc<AtomicBool>,
) -> Result<u64, BenchError> {
    let mut sender = Sender::open(port).await?;
    let (began, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let batch = request(&debit, &secret, first + sent..first + sent + BESIDE);
        sender = sender.send_all(vec![batch], BESIDE).await?;
        sent += BESIDE;
        let due = EVERY * u32::try_from(sent / BESIDE).unwrap_or(u32::MAX);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    }
    Ok(sent)
}

impl Measured {
    /// The table.
    pub fn table(&self) -> String {
        let mut out = String::from(
            "What a hold adds to a JSON call, one connection:\n\n\
             | debits beside it, a second | account | first byte p50 | p99 | Envoy's CPU per call | the ledger's |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        for row in &self.0 {
            // The ledger's CPU is that of the debits beside the calls, too.
            let ledger = if row.is_beside { String::new() } else { micros(row.per_call(row.ledger_ns)) };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {ledger} |",
                row.beside_per_s(),
                row.variant.name(),
                micros(row.quantile(500)),
                micros(row.quantile(990)),
                micros(row.per_call(row.envoy_ns)),
            );
        }
        let _ = writeln!(out, "\nA hold adds {}.", self.added());
        out
    }

    /// What a hold adds, beside the marks.
    fn added(&self) -> String {
        let told = self.0.chunks_exact(2).map(|pair| {
            let [free, credit] = pair else { return String::new() };
            let adds = |thousandths| credit.quantile(thousandths).saturating_sub(free.quantile(thousandths));
            let (median, last) = (adds(500), adds(990));
            let mark = |is: u64, most: u64| if is <= most { "met" } else { "**missed**" };
            match credit.is_beside {
                false => format!("{} at p50 and {} at p99 alone", micros(median), micros(last)),
                true => format!(
                    "{} (≤ {}: {}) and {} (≤ {}: {}) beside debits",
                    micros(median),
                    micros(MEDIAN_NS_MOST),
                    mark(median, MEDIAN_NS_MOST),
                    micros(last),
                    micros(LAST_NS_MOST),
                    mark(last, LAST_NS_MOST)
                ),
            }
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// For the JSON file.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "account": row.variant.key(),
                "debits_beside_per_s": row.beside_per_s(),
                "first_byte_ns": {"p50": row.quantile(500), "p99": row.quantile(990), "most": spread(row.first_byte_ns.clone()).most},
                "envoy_cpu_ns_per_call": row.per_call(row.envoy_ns),
                "calls": row.first_byte_ns.len(),
            })
        };
        self.0.iter().map(row).collect()
    }
}
