#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::worker::fake::Metrics as Envoy;

#[test]
fn a_series_is_defined_once_and_counters_add_where_others_are_set() {
    let (mut meter, envoy) = (Meter::new(), Envoy::default());
    for amount in [1, 2, 3] {
        meter.tell_of(&envoy, Metric::Debits, [Value::Word("recorded")], amount);
        meter.tell_of(&envoy, Metric::OutboxWaiting, [], amount);
    }
    assert_eq!(envoy.of("pax_debits_total;result=recorded"), Some(6));
    assert_eq!(envoy.of("pax_outbox_waiting"), Some(3));
    assert_eq!((envoy.defined(), meter.defined()), (2, 2));
}

#[test]
fn what_calls_count_is_told_once_as_a_sum() {
    let (mut meter, envoy) = (Meter::new(), Envoy::default());
    let usage = |word| Series::new(Metric::Usage, [Value::Other, Value::Other, Value::Word(word)]);
    for (word, by) in [("reported", 1), ("estimated", 5), ("reported", 2), ("reported", 0)] {
        meter.count(&envoy, usage(word), by);
    }
    assert_eq!(envoy.sum("pax_usage_total"), 0);
    for _ in 0..2 {
        meter.tell_counted(&envoy);
        assert_eq!(envoy.sum("pax_usage_total"), 8);
    }
    meter.count(&envoy, usage("reported"), 4);
    meter.tell_counted(&envoy);
    assert_eq!((envoy.sum("pax_usage_total"), envoy.defined()), (12, 2));

    let (mut meter, envoy) = (Meter::new(), Envoy::refusing());
    meter.count(&envoy, usage("reported"), 1);
    meter.tell_counted(&envoy);
    assert_eq!(envoy.sum("pax_usage_total"), 0);
}

#[test]
fn one_that_envoy_does_not_define_is_not_asked_for_again() {
    let (mut meter, envoy) = (Meter::new(), Envoy::refusing());
    for _ in 0..3 {
        meter.tell_of(&envoy, Metric::RateCards, [], 1);
    }
    assert_eq!((envoy.asked(), envoy.defined()), (1, 0));
}

#[test]
fn beyond_the_bound_names_are_other_and_nothing_is_lost() {
    let (mut meter, envoy) = (Meter::new(), Envoy::default());
    for number in 0..100_000u32 {
        // More names than are known, and more series of those than are defined.
        let slot = meter.name(&format!("slot-{}", number % 7));
        let model = meter.name(&format!("model-{}", number % 5_000));
        let values = [Value::Word("fireworks"), model, slot, Value::Word("free")];
        meter.tell_of(&envoy, Metric::Charged, values, 1);
        let values = [Value::Word("fireworks"), model, Value::Word("reported")];
        meter.count(&envoy, Series::new(Metric::Usage, values), 1);
    }
    meter.tell_counted(&envoy);
    assert!(envoy.defined() <= SERIES_MAX + 8, "{}", envoy.defined());
    assert_eq!((envoy.sum("pax_charged_picopax_total"), envoy.sum("pax_usage_total")), (100_000, 100_000));
    let other =
        "pax_usage_total;gen_ai_provider_name=fireworks;gen_ai_request_model=other;provenance=reported";
    assert!(envoy.of(other).unwrap() > 0);
}

#[test]
fn what_has_few_series_is_there_before_it_happens() {
    let (mut meter, envoy) = (Meter::new(), Envoy::default());
    meter.define(&envoy);
    meter.define(&envoy);
    let plain = Metric::ALL.iter().filter(|metric| metric.about().labels.is_empty()).count();
    assert_eq!(envoy.defined(), plain + 6 + 5);
    meter.tell_of(&envoy, Metric::Debits, [Value::Word("recorded")], 1);
    assert_eq!(envoy.defined(), plain + 6 + 5);
}
