//! From samples to the tables (`tables`), the marks in them (`marks`) and the JSON file. Ratios are whole thousandths:
//! nothing here needs a float.

mod marks;
mod tables;

use crate::measure::{Memory, Sample, WORKLOADS, Workload};
use crate::variant::Variant;
use crate::work::{CHUNKS, Kind};
use crate::{holds, ledger};
use serde_json::{Value, json};

pub use tables::ledger_table;

/// Everything that was measured.
pub struct Report {
    /// The CPU's name.
    pub cpu: String,
    /// Why the host counts as busy; nothing if it was quiet.
    pub busy: Vec<String>,
    /// What was measured, in the order of the tables.
    pub variants: Vec<Variant>,
    /// How many rounds.
    pub rounds: u64,
    /// Each round's.
    pub samples: Vec<Sample>,
    /// CPU nanoseconds per idle second, in the order of the variants.
    pub idle_ns_per_s: Vec<u64>,
    /// Resident after all rounds, in KiB, in the order of the variants.
    pub resident_kib: Vec<u64>,
    /// The gateway's over many calls.
    pub memory: Memory,
    /// The ledger's.
    pub ledger: ledger::Measured,
    /// What a hold adds.
    pub holds: holds::Measured,
    /// The load averages before and after.
    pub load: [String; 2],
}

/// What every variant is compared with.
const REFERENCES: [Variant; 2] = [Variant::Bare, Variant::Empty];

/// What is looked at in a sample.
type Measure = fn(&Sample) -> u64;

/// A median, and the least and the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The value in the middle.
    pub median: u64,
    /// The least one.
    pub least: u64,
    /// The greatest one.
    pub most: u64,
}

/// The spread of values; all zero of none.
pub fn spread(mut values: Vec<u64>) -> Spread {
    values.sort_unstable();
    let at = |index: usize| values.get(index).copied().unwrap_or(0);
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    Spread {
        median: u64::midpoint(at(lower), at(upper)),
        least: at(0),
        most: at(values.len().saturating_sub(1)),
    }
}

fn times(thousandths: u64) -> String {
    let hundredths = (thousandths + 5) / 10;
    format!("{}.{:02} x", hundredths / 100, hundredths % 100)
}

/// A time, for people.
pub fn micros(nanoseconds: u64) -> String {
    let tenths = (nanoseconds + 50) / 100;
    format!("{}.{} µs", tenths / 10, tenths % 10)
}

/// An amount of memory, for people.
pub fn mib(kib: u64) -> String {
    let tenths = kib * 10 / 1024;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// What one call is divided by, and what the table calls it.
fn unit(workload: &Workload) -> (u64, &'static str) {
    match workload.kind {
        Kind::Json => (1, "JSON, per call"),
        Kind::Stream | Kind::Burst => (CHUNKS, "stream, per chunk"),
    }
}

impl Report {
    fn of(&self, workload: usize, variant: Variant, value: Measure) -> Vec<u64> {
        let fits = |sample: &&Sample| sample.workload == workload && sample.variant == variant;
        self.samples.iter().filter(fits).map(value).collect()
    }

    /// Round by round one variant's value in thousandths of another's.
    fn ratio(&self, workload: usize, of: Variant, to: Variant, value: Measure) -> Spread {
        let of = self.of(workload, of, value);
        let to = self.of(workload, to, value);
        spread(of.iter().zip(to).map(|(of, to)| of * 1_000 / to.max(1)).collect())
    }

    /// What the memory did: at the start, half-way and at the end of the many calls.
    pub fn memory_line(&self) -> String {
        let samples = &self.memory.samples;
        let at = |index: usize| samples.get(index).copied().unwrap_or_default();
        let (start, half, end) = (at(0), at(samples.len() / 2), at(samples.len().saturating_sub(1)));
        let grown = end.1.saturating_sub(half.1);
        // A hundredth is what an allocator does by itself.
        let verdict = if grown * 100 <= half.1 { "flat" } else { "GROWING" };
        format!(
            "memory over {} calls: {} before, {} after {}, {} at the end: {verdict}",
            end.0,
            mib(start.1),
            mib(half.1),
            half.0,
            mib(end.1)
        )
    }

    /// What others used of the machine: the median of all samples, and the most.
    pub fn others_line(&self) -> String {
        let others = spread(self.samples.iter().map(|sample| sample.others_thousandths).collect());
        format!(
            "others used {} thousandths of a core in the middle sample, {} in the worst; load average before and \
             after: {} / {}",
            others.median, others.most, self.load[0], self.load[1]
        )
    }

    /// All of it, every sample too.
    pub fn json(&self) -> Value {
        let sample = |sample: &Sample| {
            let workload = WORKLOADS.get(sample.workload);
            json!({
                "round": sample.round,
                "workload": workload.map(|it| if it.kind == Kind::Json { "json" } else { "stream" }),
                "connections": workload.map(|it| it.connections),
                "variant": sample.variant.key(),
                "cpu_ns_per_call": sample.cpu_ns_per_call,
                "ledger_cpu_ns_per_call": sample.ledger_ns_per_call,
                "first_byte_ns": sample.first_byte_ns,
                "calls_per_s": sample.calls_per_s,
                "others_thousandths": sample.others_thousandths,
            })
        };
        let by_variant = |values: &[u64]| -> Value {
            self.variants.iter().zip(values).map(|(variant, value)| (variant.key(), *value)).collect()
        };
        json!({
            "cpu": self.cpu,
            "busy": self.busy,
            "ledger": self.ledger.json(),
            "holds": self.holds.json(),
            "rounds": self.rounds,
            "chunks_per_stream": CHUNKS,
            "load_average_before": self.load[0],
            "load_average_after": self.load[1],
            "ratios_thousandths": self.ratios(),
            "idle_cpu_ns_per_s": by_variant(&self.idle_ns_per_s),
            "resident_kib": by_variant(&self.resident_kib),
            "memory": {
                "calls_and_resident_kib": self.memory.samples,
                "wall_ms": u64::try_from(self.memory.wall.as_millis()).unwrap_or(u64::MAX),
            },
            "samples": self.samples.iter().map(sample).collect::<Vec<Value>>(),
        })
    }

    fn ratios(&self) -> Vec<Value> {
        let measures: [(&str, Measure); 2] =
            [("cpu", |sample| sample.cpu_ns_per_call), ("first_byte", |sample| sample.first_byte_ns)];
        let mut all = Vec::new();
        for (index, workload) in WORKLOADS.iter().enumerate() {
            for (measure, value) in measures {
                let others = self.variants.iter().filter(|variant| **variant != Variant::Bare);
                for (of, to) in others.flat_map(|of| REFERENCES.map(|to| (*of, to))) {
                    let it = self.ratio(index, of, to, value);
                    all.push(json!({
                        "workload": if workload.kind == Kind::Json { "json" } else { "stream" },
                        "connections": workload.connections,
                        "measure": measure,
                        "of": of.key(), "to": to.key(),
                        "median": it.median, "least": it.least, "most": it.most,
                    }));
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(spread(vec![5, 1, 9]), Spread { median: 5, least: 1, most: 9 });
        assert_eq!(spread(vec![4, 1, 9, 6]), Spread { median: 5, least: 1, most: 9 });
    }

    #[test]
    fn a_ratio_is_of_the_same_round() {
        let sample = |round, variant, cpu_ns_per_call| Sample {
            round,
            workload: 0,
            variant,
            cpu_ns_per_call,
            ledger_ns_per_call: 0,
            first_byte_ns: 1,
            calls_per_s: 1,
            others_thousandths: 0,
        };
        // A machine that was twice as slow in the second round: the ratio does not see it.
        let report = Report {
            cpu: String::new(),
            busy: Vec::new(),
            variants: vec![Variant::Bare, Variant::Gateway],
            ledger: ledger::Measured::default(),
            holds: holds::Measured::default(),
            rounds: 2,
            samples: vec![
                sample(0, Variant::Bare, 100),
                sample(0, Variant::Gateway, 150),
                sample(1, Variant::Gateway, 300),
                sample(1, Variant::Bare, 200),
            ],
            idle_ns_per_s: vec![],
            resident_kib: vec![],
            memory: Memory { samples: vec![], wall: std::time::Duration::ZERO },
            load: [String::new(), String::new()],
        };
        let ratio = report.ratio(0, Variant::Gateway, Variant::Bare, |sample| sample.cpu_ns_per_call);
        assert_eq!(ratio, Spread { median: 1_500, least: 1_500, most: 1_500 });
        assert_eq!(times(1_345), "1.35 x");
        assert_eq!(times(1_344), "1.34 x");
    }
}
