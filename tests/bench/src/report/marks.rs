//! The project's marks: what the gateway may cost at most.

use super::{Report, micros, times};
use crate::measure::{Sample, Workload};
use crate::variant::Variant;
use crate::work::Kind;

/// A mark: so many thousandths of another variant's CPU at most.
struct Mark {
    kind: Kind,
    connections: u64,
    against: Variant,
    most: u64,
}

/// With a line for each call in the log.
const MARKS: [Mark; 3] = [
    Mark { kind: Kind::Json, connections: 32, against: Variant::Bare, most: 1_750 },
    Mark { kind: Kind::Json, connections: 32, against: Variant::Empty, most: 1_600 },
    Mark { kind: Kind::Stream, connections: 32, against: Variant::Bare, most: 1_150 },
];

/// The ledger's CPU for a debit in batches of 100, at most.
pub const DEBIT_NS_MOST: u64 = 15_000;
/// Debits that are durable after a second, in batches of 100, with the ledger on one core, at least.
pub const DEBITS_LEAST: u64 = 20_000;

impl Report {
    /// The marks of one workload, and how far off the gateway is; nothing for what no mark is set.
    pub(super) fn marks(&self, index: usize, workload: &Workload, variant: Variant) -> String {
        if !matches!(variant, Variant::Gateway | Variant::Credit) {
            return String::new();
        }
        let fits = |mark: &&Mark| mark.kind == workload.kind && mark.connections == workload.connections;
        let cpu = |sample: &Sample| sample.cpu_ns_per_call;
        let tell = |mark: &Mark| {
            let is = self.ratio(index, variant, mark.against, cpu).median;
            let against = if mark.against == Variant::Bare { "bare" } else { "empty" };
            format!("≤ {} {against}: {}", times(mark.most), at_most(is, mark.most, times))
        };
        MARKS.iter().filter(fits).map(tell).collect::<Vec<_>>().join("; ")
    }
}

/// Whether a value is at most that, and by how much it is or is not.
fn at_most(is: u64, most: u64, text: fn(u64) -> String) -> String {
    if is <= most {
        format!("met by {}", text(most - is))
    } else {
        format!("**missed by {}**", text(is - most))
    }
}

/// The mark of a debit's CPU time.
pub fn debit_cpu(is_ns: u64) -> String {
    format!("≤ {}: {}", micros(DEBIT_NS_MOST), at_most(is_ns, DEBIT_NS_MOST, micros))
}

/// The mark of durable debits a second.
pub fn debits_per_s(is: u64) -> String {
    let how = match is.checked_sub(DEBITS_LEAST) {
        Some(more) => format!("met by {more}"),
        None => format!("**missed by {}**", DEBITS_LEAST - is),
    };
    format!("≥ {DEBITS_LEAST}: {how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_by_how_much_it_is_missed() {
        assert_eq!(at_most(1_500, 1_600, times), "met by 0.10 x");
        assert_eq!(at_most(1_600, 1_600, times), "met by 0.00 x");
        assert_eq!(at_most(1_850, 1_600, times), "**missed by 0.25 x**");
        assert_eq!(debit_cpu(39_600), "≤ 15.0 µs: **missed by 24.6 µs**");
        assert_eq!(debits_per_s(20_000), "≥ 20000: met by 0");
        assert_eq!(debits_per_s(19_000), "≥ 20000: **missed by 1000**");
    }
}
