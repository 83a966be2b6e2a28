//! Whether this host is quiet enough for figures that can be kept.
//!
//! A busy host shows in four ways, each of which one host or another hides: bare Envoy takes more CPU for the same call,
//! since others empty its caches and, on the other thread of its core, take half of its units; its time differs from
//! sample to sample; other processes run; or the hypervisor takes time away.

use crate::measure::{self, Sample, WORKLOADS};
use crate::report::{micros, spread};
use crate::variant::{Running, Variant};
use crate::{BenchError, cpu};
use std::time::Instant;

/// Bare Envoy's CPU for a JSON call at 32 connections. On a quiet host of 2026 it takes about 30 µs.
const BARE_NS_MOST: u64 = 45_000;
/// By how many thousandths the dearest of bare Envoy's samples may exceed the median one.
const SPREAD_MOST: u64 = 200;
/// What others may use meanwhile, in thousandths of a core, in the median sample.
const OTHERS_MOST: u64 = 100;
/// What the hypervisor may take, in thousandths of a core.
const STOLEN_MOST: u64 = 20;
/// How many samples the first look takes; as many before them do not count.
const LOOKS: u64 = 4;

/// The workload that tells: JSON at 32 connections.
const TELLING: usize = 1;

/// What was seen of a host for a while.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Bare Envoy's CPU for each call of the telling workload, one for each sample.
    pub bare_ns: Vec<u64>,
    /// What others used in these samples, in thousandths of a core.
    pub others_thousandths: Vec<u64>,
    /// What the hypervisor took, in thousandths of a core.
    pub stolen_thousandths: u64,
}

impl Look {
    /// Of samples, and of what the hypervisor took since `start`.
    pub fn of(samples: &[Sample], start: &Start) -> Self {
        let tells = |it: &&Sample| it.workload == TELLING && it.variant == Variant::Bare;
        let bare: Vec<&Sample> = samples.iter().filter(tells).collect();
        Self {
            bare_ns: bare.iter().map(|it| it.cpu_ns_per_call).collect(),
            others_thousandths: bare.iter().map(|it| it.others_thousandths).collect(),
            stolen_thousandths: start.stolen_thousandths(),
        }
    }

    /// Why the host counts as busy; nothing if it is quiet.
    pub fn why_busy(&self) -> Vec<String> {
        let bare = spread(self.bare_ns.clone());
        let mut why = Vec::new();
        if bare.median > BARE_NS_MOST {
            why.push(format!(
                "bare Envoy takes {} of CPU for a JSON call at 32 connections (a quiet host about 30, at most {})",
                micros(bare.median),
                micros(BARE_NS_MOST)
            ));
        }
        let over = bare.most.saturating_sub(bare.median) * 1_000 / bare.median.max(1);
        if over > SPREAD_MOST {
            why.push(format!(
                "one of its samples takes {}, where the middle one takes {}",
                micros(bare.most),
                micros(bare.median)
            ));
        }
        let others = spread(self.others_thousandths.clone()).median;
        if others > OTHERS_MOST {
            why.push(format!("other processes use {others} thousandths of a core"));
        }
        if self.stolen_thousandths > STOLEN_MOST {
            why.push(format!("the hypervisor takes {} thousandths of a core", self.stolen_thousandths));
        }
        why
    }
}

/// A moment from which it is counted what the hypervisor takes.
pub struct Start {
    stolen_ns: u64,
    at: Instant,
}

impl Start {
    /// From now on.
    pub fn now() -> Self {
        Self { stolen_ns: cpu::stolen_ns(), at: Instant::now() }
    }

    fn stolen_thousandths(&self) -> u64 {
        let wall_ns = u64::try_from(self.at.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
        (cpu::stolen_ns() - self.stolen_ns) * 1_000 / wall_ns
    }
}

/// Looks at the host with nothing but bare Envoy on it.
///
/// # Errors
/// [`BenchError`] when a call fails.
pub async fn look(all: &[Running]) -> Result<Look, BenchError> {
    let (Some(bare), Some(workload)) = (all.first(), WORKLOADS.get(TELLING)) else {
        return Ok(Look::default());
    };
    let (mut start, mut samples) = (Start::now(), Vec::new());
    for taken in 0..LOOKS * 2 {
        if taken == LOOKS {
            samples.clear();
            start = Start::now();
        }
        samples.push(measure::sample(all, bare, workload, 0, TELLING).await?);
    }
    Ok(Look::of(&samples, &start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Look {
        Look {
            bare_ns: vec![30_000, 31_000, 32_000],
            others_thousandths: vec![5, 9, 40],
            stolen_thousandths: 0,
        }
    }

    #[test]
    fn a_host_is_busy_for_four_reasons() {
        let whys = |look: Look| look.why_busy();
        assert!(whys(quiet()).is_empty());
        for (look, told) in [
            (Look { bare_ns: vec![97_000, 98_000, 99_000], ..quiet() }, "98.0 µs"),
            (Look { bare_ns: vec![30_000, 31_000, 39_000], ..quiet() }, "39.0 µs"),
            (Look { others_thousandths: vec![300, 310, 5], ..quiet() }, "300 thousandths"),
            (Look { stolen_thousandths: 21, ..quiet() }, "hypervisor"),
        ] {
            let why = whys(look);
            assert!(why.len() == 1 && why[0].contains(told), "{why:?}");
        }
    }
}
