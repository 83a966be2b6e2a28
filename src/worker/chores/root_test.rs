#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::rc::Rc;

use super::*;
use crate::base::clock::Now;
use crate::base::wire::{CARDS_PATH, DEBITS_PATH, RESOLVE_PATH, STANDINGS_PATH};
use crate::price::bundle::Bundle;
use crate::worker::driver::Stream;
use crate::worker::fake::calls::{
    self, answer, chat, chat_head, config, forwarded, gateway, hello, is_forwarded, now, refusal, served,
    serving, told,
};
use crate::worker::fake::{Call, Ended, Native};

fn unconfigured() -> Native {
    let native = Native::new(Rc::default(), now());
    calls::open_accounts(&native);
    native
}

fn pace(native: &Native) -> Option<u32> {
    native.state.tick_ms.get()
}

#[test]
fn every_mistake_of_a_configuration_is_told_and_counted_once_and_no_stream_begins() {
    let mut native = unconfigured();
    let mistaken = config(|config| {
        config["hosts"] = 7.into();
        config["extra"] = 1.into();
    });
    assert!(!native.configure_by(&mistaken));
    let lines = told(&native, Level::Error);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("configuration: hosts: ") && lines[1].starts_with("configuration: extra: "));
    assert_eq!(native.state.metrics.sum("pax_configurations_rejected_total"), 1);
    let root = Root::new(7, native.vm().clone());
    assert!(root.begin_stream(&native.proxy(), 8).is_none());
    // It does nothing else either.
    native.tick_after(1_000);
    native.end_root(0);
    assert!(native.around.questions.borrow().is_empty() && pace(&native).is_none());
    assert!(native.configure_by(&config(|_| ())), "{:?}", native.told());
}

#[test]
fn a_host_without_random_bytes_or_ticks_is_of_no_use_and_it_is_told() {
    let mut native = unconfigured();
    native.around.has_random.set(false);
    assert!(!native.configure(gateway()));
    assert_eq!(told(&native, Level::Error), ["the host gives no random bytes: wasi random_get is needed"]);
    native.around.has_random.set(true);
    native.state.failing.replace(vec!["set_tick_period"]);
    assert!(!native.configure(gateway()));
    let lines = told(&native, Level::Error);
    assert_eq!(lines, ["the host gives no ticks, so nothing would reach the ledger"]);
}

#[test]
fn a_wall_clock_that_somebody_sets_is_seen_by_new_calls_within_a_second_and_changes_no_duration() {
    const DAY_MS: u64 = 86_400_000;
    let mut native = serving();
    let admitted_at = |native: &Native, call: u32| {
        let look =
            |stream: &Stream| stream.exchange().story().admission.as_ref().map(|it| it.admitted_at).unwrap();
        native.state.handle(call).unwrap().look(look).unwrap()
    };
    let set = |native: &Native, wall: Moment| {
        let tick = native.around.clock.get().tick;
        native.around.clock.set(Now { wall, tick });
    };
    forwarded(&mut native, "tok-credit", &hello());
    let noon = native.around.clock.get();
    for wall in [noon.wall.plus_ms(3 * DAY_MS), Moment::from_ms(noon.wall.ms() - DAY_MS)] {
        set(&native, wall);
        let call = chat(&native, "tok-credit", &hello());
        assert_ne!(admitted_at(&native, call).day(), wall.day(), "no root has looked yet");
        native.tick_after(1_000);
        native.ledger_answers();
        let call = forwarded(&mut native, "tok-credit", &hello());
        assert_eq!(admitted_at(&native, call), wall.plus_ms(1_000));
        native.tick_after(2_000);
        answer(&native, call, "application/json", r#"{"choices":[{}]}"#);
        let line = calls::line(&native.proxy().close(call).unwrap());
        assert_eq!(line["duration_ms"], 2_000);
    }
}

#[test]
fn a_root_ticks_as_soon_as_there_is_something_for_it_to_do() {
    let mut native = unconfigured();
    assert!(native.configure(gateway()));
    assert_eq!(pace(&native), Some(20), "the ledger has still to be heard");
    assert!(
        native.around.questions.borrow().is_empty(),
        "what a root that only tries a configuration asks is lost"
    );
    native.tick();
    assert!(native.asks(CARDS_PATH) && native.asks(STANDINGS_PATH));
    native.ledger_answers();
    native.tick_after(20);
    assert_eq!(pace(&native), Some(1_000), "nothing waits");
    let call = chat(&native, "tok-credit", &hello());
    assert_eq!(pace(&native), Some(1), "a question is to be sent");
    native.tick_after(1);
    assert_eq!(pace(&native), Some(20), "its answer is waited for");
    native.ledger_answers();
    assert_eq!(pace(&native), Some(1_000));
    answer(&native, call, "application/json", "{}");
    assert_eq!(pace(&native), Some(20), "a debit waits");
    native.tick_after(20);
    assert!(native.asks(DEBITS_PATH) && pace(&native) == Some(20));
    native.ledger_answers();
    native.tick_after(20);
    assert_eq!(pace(&native), Some(1_000));
    native.state.failing.replace(vec!["set_tick_period"]);
    chat_head(&native, "tok-other");
    assert_eq!(told(&native, Level::Error), ["Envoy did not let the filter set the time between two ticks"]);
}

#[test]
fn a_tick_that_came_early_for_a_question_is_not_one_for_the_outbox() {
    let mut native = serving();
    served(&mut native, "tok-credit");
    native.tick_after(20);
    native.ledger_answers();
    served(&mut native, "tok-credit");
    chat_head(&native, "tok-free");
    native.tick_after(9);
    assert!(native.asks(RESOLVE_PATH) && !native.asks(DEBITS_PATH));
    native.tick_after(1);
    assert!(native.asks(DEBITS_PATH));
}

#[test]
fn what_the_cells_hold_is_measured_at_each_tick() {
    let mut native = serving();
    let open = forwarded(&mut native, "tok-free", &hello());
    native.tick_after(20);
    let metrics = &native.state.metrics;
    assert_eq!(metrics.of("pax_calls_in_flight"), Some(1));
    assert!(metrics.of("pax_reserved_picopax").unwrap() > 0);
    assert_eq!(metrics.of("pax_outbox_oldest_seconds"), Some(0));
    answer(&native, open, "application/json", "{}");
    native.tick_after(20);
    let metrics = &native.state.metrics;
    assert_eq!((metrics.of("pax_calls_in_flight"), metrics.of("pax_outbox_waiting")), (Some(0), Some(1)));
    native.tick_after(3_000);
    let metrics = &native.state.metrics;
    assert_eq!(metrics.of("pax_outbox_oldest_seconds"), Some(3));
    assert_eq!(metrics.of("pax_outbox_waiting"), Some(1));
    assert_eq!((metrics.of("pax_rate_table_version"), metrics.sum("pax_build_info")), (Some(1), 1));
    native.ledger_answers();
    native.tick_after(20);
    assert_eq!(native.state.metrics.of("pax_outbox_waiting"), Some(0));
}

#[test]
fn a_callout_that_nobody_asked_for_changes_nothing() {
    let mut native = serving();
    let question = crate::worker::fake::Question {
        callout: 4_000_000,
        root: 0,
        cluster: String::new(),
        path: String::new(),
        body: Vec::new(),
    };
    native.answer(&question, Ended::with(200, "{}"));
    assert!(native.told().is_empty());
    forwarded(&mut native, "tok-credit", &hello());
}

#[test]
fn what_calls_counted_is_told_at_the_next_tick_or_at_the_roots_end() {
    let mut native = serving();
    let counted = |native: &Native| native.state.metrics.sum("pax_calls_total");
    for told in 0..3 {
        served(&mut native, "tok-credit");
        assert_eq!(counted(&native), told);
        // Also by a tick that comes too early for the debits.
        native.tick();
        assert_eq!(counted(&native), told + 1);
    }
    served(&mut native, "tok-credit");
    native.end_root(0);
    assert_eq!(counted(&native), 4);
}

#[test]
fn a_stream_keeps_the_gateway_it_began_with_and_the_next_has_the_new_one() {
    let mut native = serving();
    let old = forwarded(&mut native, "tok-credit", &hello());
    let waiting = chat_head(&native, "tok-credit");
    assert!(native.configure_by(&config(|config| config["disabled"] = true.into())));
    let lines = told(&native, Level::Warn);
    assert!(lines.len() == 1 && lines[0].starts_with("the kill switch is on"), "{lines:?}");
    native.proxy().request_body(waiting, hello().as_bytes(), true);
    assert!(is_forwarded(&native, waiting), "it began before");
    let new = chat_head(&native, "tok-credit");
    assert_eq!(refusal(&native, new), "503 gateway_disabled");
    answer(&native, old, "application/json", "{}");
    answer(&native, waiting, "application/json", "{}");
    native.settle();
    assert_eq!(native.ledger.borrow().debits().len(), 2);
}

#[test]
fn the_debit_of_an_old_roots_stream_is_sent_by_the_new_root_once_the_old_one_has_ended() {
    let mut native = serving();
    let old = forwarded(&mut native, "tok-credit", &hello());
    assert!(native.configure(gateway()));
    native.settle();
    answer(&native, old, "application/json", "{}");
    native.end_root(0);
    native.tick_after(1_000);
    assert_eq!(native.question(DEBITS_PATH).root, 1, "no stream of its own has begun");
}

#[test]
fn a_root_that_ends_with_a_batch_under_way_lets_the_next_root_send_it_again_at_once() {
    let mut native = serving();
    served(&mut native, "tok-credit");
    native.tick_after(20);
    let lost = native.question(DEBITS_PATH);
    assert!(native.configure(gateway()));
    native.tick_after(20);
    assert!(!native.asks(DEBITS_PATH), "one batch at a time");
    native.end_root(0);
    assert_eq!(native.state.metrics.sum("pax_build_info"), 0);
    native.tick_after(1_000);
    let again = native.question(DEBITS_PATH);
    assert_eq!((again.root, &again.body), (1, &lost.body));
    native.answer(&lost, Ended::none());
    let ended = native.ledger.borrow_mut().answer(&again.path, &again.body);
    native.answer(&again, ended);
    native.settle();
    assert!(!native.asks(DEBITS_PATH));
    assert_eq!(native.ledger.borrow().debits().len(), 1);
}

#[test]
fn a_root_that_cannot_reach_its_ledger_keeps_no_debit_from_the_next_root() {
    use crate::worker::host::HostStatus;
    let mut native = serving();
    served(&mut native, "tok-credit");
    native.around.refuses.set(Some(HostStatus::BAD_ARGUMENT));
    native.tick_after(20);
    native.around.refuses.set(None);
    assert!(native.configure(gateway()));
    native.tick_after(20);
    assert_eq!(native.question(DEBITS_PATH).root, 1, "it does not wait as the one that failed does");
}

#[test]
fn of_a_crowd_that_waits_for_one_answer_a_few_are_woken_in_one_callback_and_the_rest_at_once_after_it() {
    let mut native = calls::serving_by(|config| {
        config["limits"]["unknown_caller_bytes"] = 16_777_216.into();
    });
    let crowd: Vec<u32> = (0..70).map(|_| chat(&native, "tok-credit", &hello())).collect();
    native.tick();
    assert_eq!(native.around.questions.borrow().len(), 1, "one question for all of them");
    native.ledger_answers();
    let woken = |native: &Native| crowd.iter().filter(|call| is_forwarded(native, **call)).count();
    assert_eq!((woken(&native), pace(&native)), (32, Some(1)));
    native.tick_after(1);
    assert_eq!((woken(&native), pace(&native)), (64, Some(1)));
    native.tick_after(1);
    assert_eq!(woken(&native), 70);
}

#[test]
fn after_it_woke_streams_a_root_acts_for_itself_again() {
    let mut native = serving();
    chat(&native, "tok-credit", &hello());
    native.tick();
    native.state.calls.replace(Some(Vec::new()));
    native.ledger_answers();
    let calls = native.state.calls.take().unwrap();
    let acts = calls.iter().filter(|Call(name, _)| *name == "set_effective_context").collect::<Vec<_>>();
    assert_eq!(acts.len(), 2);
    assert_eq!(acts[1].1, "1", "the root's context");
    let resumed = calls.iter().position(|Call(name, _)| *name == "continue_stream");
    let root = calls.iter().position(|call| call == acts[1]);
    assert!(resumed < root, "{calls:?}");
}

#[test]
fn a_context_that_envoy_does_not_know_is_told_of() {
    let mut native = serving();
    chat(&native, "tok-credit", &hello());
    native.tick();
    native.state.failing.replace(vec!["set_effective_context"]);
    native.ledger_answers();
    let lines = told(&native, Level::Error);
    assert_eq!(
        lines,
        [
            "Envoy does not know a stream that waits",
            "Envoy does not know the root context that asks the ledger"
        ]
    );
    native.state.failing.replace(Vec::new());
    chat_head(&native, "tok-credit");
    native.state.failing.replace(vec!["set_effective_context"]);
    let mut other = native.beside();
    assert!(other.configure(gateway()));
    other.settle();
    chat_head(&other, "tok-credit");
    other.state.failing.replace(vec!["set_effective_context"]);
    other.tick_after(20);
    assert!(
        told(&other, Level::Error)
            .contains(&"Envoy does not know the root context that watches over bodies".to_owned())
    );
}

#[test]
fn nobody_waits_for_an_answer_that_envoy_forgets_to_bring() {
    let mut native = serving();
    let asked = chat(&native, "tok-credit", &hello());
    native.tick();
    native.tick_after(2_999);
    assert_eq!(refusal(&native, asked), "", "Envoy itself ends a question after two seconds");
    native.tick_after(1);
    assert_eq!(refusal(&native, asked), "503 ledger_unavailable");
}

#[test]
fn a_question_that_could_not_be_sent_is_answered_at_once() {
    use crate::worker::host::HostStatus;
    let mut native = serving();
    for (status, what, kind) in [
        (HostStatus::BAD_ARGUMENT, "Envoy has no such cluster: \"ledger_resolve\"", "unknown_cluster"),
        (HostStatus(10), "Envoy has no host for it", "no_answer"),
    ] {
        native.around.refuses.set(Some(status));
        let call = chat(&native, "tok-credit", &hello());
        native.tick();
        assert_eq!(refusal(&native, call), "503 ledger_unavailable");
        let lines: Vec<String> = native.told().into_iter().map(|(_, line)| line).collect();
        assert!(lines.len() == 1 && lines[0].contains(what), "{lines:?}");
        let failed = native.state.metrics.series("pax_callouts_failed_total");
        assert!(failed.iter().any(|series| series.contains(kind)), "{failed:?}");
    }
    native.around.refuses.set(None);
    forwarded(&mut native, "tok-credit", &hello());
    let lines = told(&native, Level::Info);
    assert!(lines.len() == 1 && lines[0].starts_with("the ledger answers again"), "{lines:?}");
}

#[test]
fn what_is_remembered_of_the_ledger_and_the_cards_belongs_to_the_vm() {
    let mut native = serving();
    let larger = native.vm().with(|vm| vm.bundle().cloned()).flatten().unwrap();
    let first = larger.files().next().map(|(card, text)| (card.clone(), text.clone())).unwrap();
    let smaller = Gateway { config: gateway().config, bundle: Rc::new(Bundle::of(vec![first])) };
    assert!(native.configure(smaller));
    assert_eq!(pace(&native), Some(1_000), "it knows that the ledger answers, and has those cards");
    let cards = native.vm().with(|vm| vm.bundle().map(|bundle| bundle.cards().len())).flatten();
    assert_eq!(cards, Some(larger.cards().len()), "a card never goes again");
    assert_eq!(native.state.metrics.of("pax_rate_cards"), Some(u64::try_from(larger.cards().len()).unwrap()));
}
