//! Envoy's numbers for the series of metrics. Envoy gives a series a number when it is defined, and a new one
//! each time that it is defined again. So a VM keeps the numbers, and makes a series' name once.
//!
//! What calls count is summed up here, and Envoy is told the sums at each tick of a root context: a call makes no
//! host call for its counters. A VM that traps takes with it what it has counted since its last tick.

use std::collections::BTreeMap;

use crate::told::metrics::{DEBIT_RESULTS, Metric, MetricKind, Names, REASONS, Series, Value};

/// How many series a VM defines; what comes after them is counted as `other`, since Envoy keeps every series
/// for as long as it runs.
pub const SERIES_MAX: usize = 4_096;

/// Envoy's metrics.
pub trait MetricsPort {
    /// Defines a metric; none if Envoy does not allow it.
    fn define(&self, kind: MetricKind, name: &str) -> Option<u32>;
    /// Counts on.
    fn add(&self, id: u32, by: u64);
    /// Sets a gauge, or adds a value to a histogram.
    fn record(&self, id: u32, value: u64);
}

/// A VM's metrics.
#[derive(Debug, Default)]
pub struct Meter {
    names: Names,
    /// Each series' place among `defined`.
    places: BTreeMap<Series, usize>,
    defined: Vec<Defined>,
    /// The places of the counters of which Envoy has not been told all.
    untold: Vec<usize>,
}

/// A series that was defined.
#[derive(Debug)]
struct Defined {
    /// Envoy's number for it; none if Envoy refused it.
    id: Option<u32>,
    /// What was counted since Envoy was last told.
    untold: u64,
}

impl Meter {
    /// None are defined yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { names: Names::new(), places: BTreeMap::new(), defined: Vec::new(), untold: Vec::new() }
    }

    /// A label's value for a text of a card or of the configuration, never for a text that only a caller has.
    pub fn name(&mut self, known: &str) -> Value {
        self.names.value(known)
    }

    /// Defines the series that every VM has, so that each is there, at zero, before something happens for the first time.
    pub fn define(&mut self, port: &impl MetricsPort) {
        for metric in Metric::ALL {
            match metric {
                Metric::Debits => {
                    DEBIT_RESULTS.iter().for_each(|(_, word)| self.define_one(port, metric, word))
                }
                Metric::CalloutsFailed => REASONS.iter().for_each(|word| self.define_one(port, metric, word)),
                _ if metric.about().labels.is_empty() => {
                    self.place(port, Series::new(metric, []));
                }
                _ => {}
            }
        }
    }

    fn define_one(&mut self, port: &impl MetricsPort, metric: Metric, word: &'static str) {
        self.place(port, Series::new(metric, [Value::Word(word)]));
    }

    /// Counts a series on, sets it, or adds a value to it, according to its kind.
    pub fn tell(&mut self, port: &impl MetricsPort, series: Series, amount: u64) {
        let place = self.place(port, series);
        let Some(id) = self.defined.get(place).and_then(|defined| defined.id) else { return };
        match series.kind() {
            MetricKind::Counter => port.add(id, amount),
            MetricKind::Gauge | MetricKind::Histogram => port.record(id, amount),
        }
    }

    /// The same for the series of a metric with these values of its labels.
    pub fn tell_of<const N: usize>(
        &mut self,
        port: &impl MetricsPort,
        metric: Metric,
        values: [Value; N],
        amount: u64,
    ) {
        self.tell(port, Series::new(metric, values), amount);
    }

    /// Counts a counter's series on; Envoy is told by [`Meter::tell_counted`].
    pub fn count(&mut self, port: &impl MetricsPort, series: Series, by: u64) {
        let place = self.place(port, series);
        let Some(defined) = self.defined.get_mut(place) else { return };
        if defined.untold == 0 && by > 0 {
            self.untold.push(place);
        }
        defined.untold = defined.untold.saturating_add(by);
    }

    /// Tells Envoy what was counted since it was last told.
    pub fn tell_counted(&mut self, port: &impl MetricsPort) {
        for place in self.untold.drain(..) {
            let Some(defined) = self.defined.get_mut(place) else { continue };
            let counted = std::mem::take(&mut defined.untold);
            if let Some(id) = defined.id {
                port.add(id, counted);
            }
        }
    }

    /// The names that it knows.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// How many series it has defined.
    #[must_use]
    pub fn defined(&self) -> usize {
        self.defined.len()
    }

    /// A series' place among those that are defined. Defines it if it is new.
    fn place(&mut self, port: &impl MetricsPort, mut series: Series) -> usize {
        if let Some(place) = self.places.get(&series) {
            return *place;
        }
        let place = self.defined.len();
        if place >= SERIES_MAX {
            series = series.without_names();
            if let Some(place) = self.places.get(&series) {
                return *place;
            }
        }
        let id = port.define(series.kind(), &series.name(&self.names));
        self.defined.push(Defined { id, untold: 0 });
        self.places.insert(series, place);
        place
    }
}

#[cfg(test)]
#[path = "meter_test.rs"]
mod tests;
