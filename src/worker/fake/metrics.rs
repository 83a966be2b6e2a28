//! A fake of Envoy's metrics, for tests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::told::meter::MetricsPort;
use crate::told::metrics::MetricKind;

/// Metrics, kept under their names. Each VM has its own numbers for them; the values belong to Envoy, and
/// outlive a VM.
#[derive(Debug, Default)]
pub struct Metrics {
    names: RefCell<Vec<String>>,
    values: Rc<RefCell<BTreeMap<String, u64>>>,
    refuses: bool,
    asked: Cell<usize>,
}

impl Metrics {
    /// Metrics of an Envoy that refuses every definition.
    #[must_use]
    pub fn refusing() -> Self {
        Self { refuses: true, ..Self::default() }
    }

    /// The metrics of another VM of the same Envoy.
    #[must_use]
    pub fn of_another_vm(&self) -> Self {
        Self { values: Rc::clone(&self.values), refuses: self.refuses, ..Self::default() }
    }

    /// The value of the metric of that name.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<u64> {
        self.values.borrow().get(name).copied()
    }

    /// The sum of a metric's series.
    #[must_use]
    pub fn sum(&self, metric: &str) -> u64 {
        let of = |name: &String| name.split(';').next() == Some(metric);
        self.values.borrow().iter().filter(|(name, _)| of(name)).map(|(_, value)| value).sum()
    }

    /// The names of a metric's series, without the metric's own.
    #[must_use]
    pub fn series(&self, metric: &str) -> Vec<String> {
        let rest = |name: &'_ str| -> Option<usize> {
            let rest = name.strip_prefix(metric)?;
            rest.starts_with(';').then_some(metric.len())
        };
        self.values.borrow().keys().filter_map(|name| Some(name.get(rest(name)?..)?.to_owned())).collect()
    }

    /// The name of the metric that Envoy knows by this number.
    #[must_use]
    pub fn name(&self, id: u32) -> String {
        self.names.borrow()[usize::try_from(id).unwrap()].clone()
    }

    /// How many are defined.
    #[must_use]
    pub fn defined(&self) -> usize {
        self.names.borrow().len()
    }

    /// How often the filter asked to define one.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.get()
    }
}

impl MetricsPort for Metrics {
    fn define(&self, _: MetricKind, name: &str) -> Option<u32> {
        self.asked.set(self.asked.get() + 1);
        let mut names = self.names.borrow_mut();
        assert!(!names.iter().any(|known| known == name), "{name} is defined twice");
        if self.refuses {
            return None;
        }
        names.push(name.to_owned());
        u32::try_from(names.len() - 1).ok()
    }

    fn add(&self, id: u32, by: u64) {
        self.change(id, |value| *value += by);
    }

    fn record(&self, id: u32, value: u64) {
        self.change(id, |known| *known = value);
    }
}

impl Metrics {
    fn change(&self, id: u32, with: impl FnOnce(&mut u64)) {
        let (names, mut values) = (self.names.borrow(), self.values.borrow_mut());
        let name = &names[usize::try_from(id).unwrap()];
        match values.get_mut(name) {
            Some(value) => with(value),
            None => with(values.entry(name.clone()).or_default()),
        }
    }
}
