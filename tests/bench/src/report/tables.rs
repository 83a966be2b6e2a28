//! The tables, in Markdown.

use super::{REFERENCES, Report, Spread, marks, mib, micros, spread, times, unit};
use crate::ledger::{CONNECTIONS, Measured};
use crate::measure::{Sample, WORKLOADS};
use crate::variant::Variant;
use crate::work::Kind;
use std::fmt::Write as _;

/// The workload of the table of the whole: JSON at 32 connections.
const WHOLE: usize = 1;

impl Report {
    /// All tables.
    pub fn markdown(&self) -> String {
        [
            self.head(),
            self.costs(),
            self.whole(),
            ledger_table(&self.ledger),
            self.holds.table(),
            self.first_bytes(),
            self.otherwise(),
        ]
        .join("\n")
    }

    /// On what was measured, and first of all whether it was busy.
    fn head(&self) -> String {
        let busy = match self.busy.as_slice() {
            [] => String::new(),
            why => format!("**The host was busy, so do not keep these figures: {}.**\n\n", why.join("; ")),
        };
        format!("{busy}CPU: {}. Medians of {} rounds (least to most).\n", self.cpu, self.rounds)
    }

    fn costs(&self) -> String {
        let mut out = String::from(
            "| Envoy's CPU | connections | of | each | to bare Envoy | to the empty filter | marks |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        let cpu = |sample: &Sample| sample.cpu_ns_per_call;
        for (index, workload) in WORKLOADS.iter().enumerate() {
            let (parts, name) = unit(workload);
            for variant in &self.variants {
                let each = spread(self.of(index, *variant, cpu)).median / parts;
                let [bare, empty] = REFERENCES.map(|to| match *variant == to {
                    true => String::new(),
                    false => ratio(self.ratio(index, *variant, to, cpu)),
                });
                let empty = if *variant == Variant::Bare { String::new() } else { empty };
                let _ = writeln!(
                    out,
                    "| {name} | {} | {} | {} | {bare} | {empty} | {} |",
                    workload.connections,
                    variant.name(),
                    micros(each),
                    self.marks(index, workload, *variant)
                );
            }
        }
        out
    }

    fn whole(&self) -> String {
        let mut out = String::from(
            "| CPU per JSON call, 32 connections | Envoy | the ledger | both |\n| --- | --- | --- | --- |\n",
        );
        for variant in
            self.variants.iter().filter(|variant| variant.is_gateway() || **variant == Variant::Bare)
        {
            let median = |value: fn(&Sample) -> u64| spread(self.of(WHOLE, *variant, value)).median;
            let ledger = if variant.is_gateway() { median(|it| it.ledger_ns_per_call) } else { 0 };
            let envoy = median(|it| it.cpu_ns_per_call);
            let both = micros(envoy + ledger);
            let _ = writeln!(out, "| {} | {} | {} | {both} |", variant.name(), micros(envoy), micros(ledger));
        }
        out
    }

    fn first_bytes(&self) -> String {
        let mut out = String::from(
            "| First byte of the body | connections | of | after | to bare Envoy |\n| --- | --- | --- | --- | --- |\n",
        );
        let first = |sample: &Sample| sample.first_byte_ns;
        for (index, workload) in WORKLOADS.iter().enumerate() {
            let name = if workload.kind == Kind::Json { "JSON" } else { "stream" };
            for variant in &self.variants {
                let after = micros(spread(self.of(index, *variant, first)).median);
                let bare = match variant {
                    Variant::Bare => String::new(),
                    _ => times(self.ratio(index, *variant, Variant::Bare, first).median),
                };
                let (connections, of) = (workload.connections, variant.name());
                let _ = writeln!(out, "| {name} | {connections} | {of} | {after} | {bare} |");
            }
        }
        out
    }

    fn otherwise(&self) -> String {
        let mut out = String::from(
            "| Otherwise | CPU per second without a call | JSON calls per second, 32 connections | resident memory |\n\
             | --- | --- | --- | --- |\n",
        );
        for ((variant, idle), kib) in self.variants.iter().zip(&self.idle_ns_per_s).zip(&self.resident_kib) {
            let calls = spread(self.of(WHOLE, *variant, |sample| sample.calls_per_s)).median;
            let _ = writeln!(out, "| {} | {} | {calls} | {} |", variant.name(), micros(*idle), mib(*kib));
        }
        out
    }
}

/// A ratio with its least and its most.
fn ratio(it: Spread) -> String {
    let [least, most] = [it.least, it.most].map(times);
    format!("**{}** ({} to {})", times(it.median), least.trim_end_matches(" x"), most.trim_end_matches(" x"))
}

/// The table of the ledger alone.
pub fn ledger_table(ledger: &Measured) -> String {
    let mut out = format!(
        "The ledger on one core, a real file, {} connections; a sync of the disk (4 KiB appended, fdatasync) takes {}.\n\n\
         | debits in batches of | durable debits per second | the ledger's CPU per debit | marks |\n\
         | --- | --- | --- | --- |\n",
        CONNECTIONS,
        micros(ledger.sync_ns)
    );
    for batches in &ledger.batches {
        let marks = match batches.of {
            100 => {
                format!("{}; {}", marks::debits_per_s(batches.per_s), marks::debit_cpu(batches.cpu_ns))
            }
            _ => String::new(),
        };
        let _ =
            writeln!(out, "| {} | {} | {} | {marks} |", batches.of, batches.per_s, micros(batches.cpu_ns));
    }
    out
}
