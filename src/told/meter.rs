//! Envoy's numbers for the series of metrics. Envoy gives a series a number when it is defined, and a new one
//! each time that it is defined again. So a VM keeps the numbers, and makes a series' name once.

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
    ids: BTreeMap<Series, Option<u32>>,
}

impl Meter {
    /// None are defined yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { names: Names::new(), ids: BTreeMap::new() }
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
                    self.id(port, Series::new(metric, []));
                }
                _ => {}
            }
        }
    }

    fn define_one(&mut self, port: &impl MetricsPort, metric: Metric, word: &'static str) {
        self.id(port, Series::new(metric, [Value::Word(word)]));
    }

    /// Counts a series on, sets it, or adds a value to it, according to its kind.
    pub fn tell(&mut self, port: &impl MetricsPort, series: Series, amount: u64) {
        let Some(id) = self.id(port, series) else { return };
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

    /// The names that it knows.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// How many series it has defined.
    #[must_use]
    pub fn defined(&self) -> usize {
        self.ids.len()
    }

    fn id(&mut self, port: &impl MetricsPort, mut series: Series) -> Option<u32> {
        if let Some(id) = self.ids.get(&series) {
            return *id;
        }
        if self.ids.len() >= SERIES_MAX {
            series = series.without_names();
            if let Some(id) = self.ids.get(&series) {
                return *id;
            }
        }
        let id = port.define(series.kind(), &series.name(&self.names));
        self.ids.insert(series, id);
        id
    }
}

#[cfg(test)]
#[path = "meter_test.rs"]
mod tests;
