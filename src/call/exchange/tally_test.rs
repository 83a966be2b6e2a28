//! How exchanges are counted in the metrics.

use super::story::tellings;
use super::*;
use crate::told::meter::{Meter, SERIES_MAX};
use crate::told::tally;
use crate::worker::fake::Metrics as Envoy;

const CALLS: &str = "pax_calls_total";

fn told(drive: &Drive, meter: &mut Meter, envoy: &Envoy) {
    let exchange = (drive.exchange.id(), drive.exchange.story());
    tally::tell(meter, envoy, exchange, &gateway(), now());
    meter.tell_counted(envoy);
}

/// Plays the exchange that has this name in the log's test, in an Envoy of its own.
fn after(name: &str) -> (Drive, Envoy) {
    let (_, happens, _, _) = tellings().into_iter().find(|(told, ..)| *told == name).unwrap();
    let (mut drive, envoy) = (Drive::new(), Envoy::default());
    happens(&mut drive);
    drive.step(Event::Closed(ClosedBy::Caller));
    told(&drive, &mut Meter::new(), &envoy);
    (drive, envoy)
}

/// The free tier's model.
const FREE_MODEL: &str = "accounts/fireworks/models/gpt-oss-120b";

fn labels(
    operation: &str,
    provider: &str,
    model: &str,
    slot: &str,
    tier: &str,
    funding: &str,
    outcome: &str,
) -> String {
    format!(
        ";gen_ai_operation_name={operation};gen_ai_provider_name={provider};gen_ai_request_model={model};slot={slot};\
         tier={tier};funding={funding};outcome={outcome}"
    )
}

#[test]
fn each_exchange_is_one_call_with_the_labels_that_are_known_of_it() {
    let platform = |outcome| labels("chat", "fireworks", MODEL, "default", "credit", "platform", outcome);
    for (name, expected) in [
        ("an answer", platform("answered")),
        ("a caller who hangs up in a stream", platform("caller_gone")),
        (
            "a caller who hangs up before its body came",
            labels("chat", "none", "none", "none", "credit", "none", "caller_gone"),
        ),
        ("an unknown model", labels("chat", "other", "other", "default", "credit", "platform", "refused")),
        ("a disabled account", labels("chat", "none", "none", "none", "credit", "none", "refused")),
        ("an unknown path", labels("none", "none", "none", "none", "none", "none", "refused")),
        (
            "a cap that it does not fit",
            labels("chat", "fireworks", FREE_MODEL, "default", "free", "platform", "refused"),
        ),
        ("a provider's own error", platform("provider_error")),
        ("a provider that cannot be reached", platform("provider_failed")),
        ("a held answer that breaks off", platform("provider_broke_off")),
        ("the list of models", labels("none", "none", "none", "none", "credit", "none", "local")),
    ] {
        let (_, envoy) = after(name);
        assert_eq!(envoy.series(CALLS), [expected.as_str()], "{name}");
        assert_eq!(envoy.sum(CALLS), 1, "{name}");
    }
}

#[test]
fn the_money_and_the_tokens_are_the_debits() {
    let (mut picopax, mut input, mut output, mut estimated) = (0, 0, 0, 0);
    let (mut meter, envoy) = (Meter::new(), Envoy::default());
    for (_, happens, _, _) in tellings() {
        let mut drive = Drive::new();
        happens(&mut drive);
        drive.step(Event::Closed(ClosedBy::Caller));
        told(&drive, &mut meter, &envoy);
        for debit in &drive.debits {
            picopax += u64::try_from(debit.cost_pax.picopax()).unwrap();
            input += debit.tokens_input.0;
            output += debit.tokens_output.0;
            estimated += u64::from(debit.provenance == Provenance::Estimated);
        }
    }
    assert!(picopax > 0 && input > 0 && output > 0 && estimated > 0);
    assert_eq!(envoy.sum("pax_charged_picopax_total"), picopax);
    assert_eq!(envoy.sum("gen_ai_client_token_usage_total"), input + output);
    let of = |provenance: &str| {
        format!(
            "pax_usage_total;gen_ai_provider_name=fireworks;gen_ai_request_model={MODEL};provenance={provenance}"
        )
    };
    assert_eq!(envoy.of(&of("estimated")), Some(estimated));
    assert_eq!(envoy.of(&of("reported")), Some(1));
}

#[test]
fn errors_are_counted_by_code_and_how_long_it_took_only_where_it_was_answered() {
    let (_, envoy) = after("a platform's key that is refused");
    let refused = ";gen_ai_provider_name=fireworks;error_type=provider_refused_platform_key";
    assert_eq!(envoy.series("pax_refusals_total"), [refused]);
    let (_, envoy) = after("a provider's own error");
    assert!(envoy.series("pax_refusals_total").is_empty(), "those are the provider's words");
    let lasted = "gen_ai_client_operation_duration_milliseconds";
    assert_eq!(after("an answer").1.series(lasted).len(), 1);
    assert!(after("a caller who hangs up in a stream").1.series(lasted).is_empty());
    let began = "gen_ai_client_operation_time_to_first_chunk_milliseconds";
    assert_eq!(after("a caller who hangs up in a stream").1.series(began).len(), 1);
    assert!(after("an answer").1.series(began).is_empty());
}

#[test]
fn a_probe_is_not_counted() {
    let (mut drive, envoy) = (Drive::new(), Envoy::default());
    drive.head_of(&[(":method", "GET"), (":path", "/healthz")], true);
    told(&drive, &mut Meter::new(), &envoy);
    assert_eq!(envoy.defined(), 0);
}

#[test]
fn ten_thousand_accounts_and_a_thousand_invented_names_make_no_series() {
    let (mut meter, envoy) = (Meter::new(), Envoy::default());
    let stories: Vec<(ExchangeId, Story)> = tellings()
        .into_iter()
        .map(|(_, happens, _, _)| {
            let mut drive = Drive::new();
            happens(&mut drive);
            drive.step(Event::Closed(ClosedBy::Caller));
            told(&drive, &mut meter, &envoy);
            (drive.exchange.id().unwrap(), drive.exchange.story().clone())
        })
        .collect();
    let (gateway, before) = (gateway(), (envoy.sum(CALLS), envoy.defined()));
    for number in 0..10_000 {
        let (id, story) = &stories[number % stories.len()];
        let mut story = story.clone();
        story.account = story.account.map(|account| {
            Arc::new(Account {
                account: format!("account-{number}"),
                token_id: format!("tok_{number}"),
                ..(*account).clone()
            })
        });
        if story.admission.is_none() && story.model.is_some() {
            story.model = Some(format!("invented;model={}", number % 1_000));
            story.slot = Some(format!("slot-{}", number % 1_000));
        }
        if let Some(told) = &mut story.told
            && told.message.is_empty()
        {
            told.code = format!("code-{number}");
        }
        tally::tell(&mut meter, &envoy, (Some(*id), &story), &gateway, now());
        meter.tell_counted(&envoy);
    }
    assert_eq!(envoy.sum(CALLS), before.0 + 10_000);
    // An invented slot counts as `other`, and so does an unknown code of Envoy's: however many there are, they
    // add few series.
    assert!(envoy.defined() <= before.1 + 4, "{} series were {}", envoy.defined(), before.1);
    assert!(envoy.defined() < SERIES_MAX);
}
