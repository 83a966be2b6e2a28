//! `make simulate`: runs seeds until one fails, or one seed with all that happens in it.

use std::process::ExitCode;

use pax_simulate::{Fault, Simulator};

fn main() -> ExitCode {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    let [start, count] = arguments[..] else { return ExitCode::FAILURE };
    let fault = match std::env::var("PAX_FAULT").as_deref() {
        Ok("double") => Fault::DoubleSettle,
        Ok("swap") => Fault::LostSwap,
        Ok("drop") => Fault::DroppedDebit,
        _ => Fault::None,
    };
    let simulator = Simulator::new(fault).expect("the built-in configuration");
    let mut all = pax_simulate::Tally::default();
    let (mut failures, mut shown) = (std::collections::BTreeMap::<String, (u64, u64)>::new(), 0);
    for seed in start..start + count {
        match simulator.run(seed) {
            Ok(tally) => {
                all.steps += tally.steps;
                all.calls += tally.calls;
                all.entries += tally.entries;
                all.conflicts += tally.conflicts;
                all.orphans += tally.orphans;
                all.doubted += tally.doubted;
            }
            Err(failure) => {
                if shown < 1 {
                    shown += 1;
                    for line in failure.trace.iter().rev().take(6000).rev() {
                        println!("{line}");
                    }
                }
                println!("{failure}");
                let key: String =
                    failure.invariant.chars().filter(|c| !c.is_ascii_digit()).take(40).collect();
                let e = failures.entry(key).or_default();
                e.0 += 1;
                e.1 = seed;
            }
        }
    }
    println!("{all:?} {failures:#?}");
    ExitCode::SUCCESS
}
