#![allow(clippy::unwrap_used)]
use super::*;
use crate::account::{Funding, Tier};
use crate::debit::{Debit, Ending, Flag, Provenance};
use crate::pax::Tokens;
use crate::usage::Mode;
use proptest::prelude::*;

/// The debits of the golden files, in version 2: `serde_json` writes the fields of that one.
fn golden() -> Vec<Debit> {
    let texts =
        [include_str!("../tests/golden/debit_v1.json"), include_str!("../tests/golden/debit_v2.json")];
    let debits = texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap());
    debits.map(|debit: Debit| Debit { canon_v: 2, ..debit }).collect()
}

fn check(debit: &Debit) {
    let (ours, theirs) = (debit.to_canonical(), serde_json::to_vec(debit).unwrap());
    assert_eq!(String::from_utf8(ours).unwrap(), String::from_utf8(theirs).unwrap());
}

#[test]
fn every_word_is_the_one_that_serde_writes() {
    let flags = [
        Flag::CachedExceedsInput,
        Flag::UsageUnreadable,
        Flag::UsageTooLarge,
        Flag::AnswerUnreadable,
        Flag::CostOutOfRange,
        Flag::ServiceTierUnpriced,
        Flag::PartExceedsWhole,
        Flag::UsageZero,
        Flag::UsageImpossible,
        Flag::PartUnpriced,
    ];
    let endings = [
        Ending::Complete,
        Ending::Cut,
        Ending::CallerGone,
        Ending::ProviderBrokeOff,
        Ending::NoAnswer,
        Ending::Orphaned,
        Ending::Lost,
    ];
    for debit in golden() {
        for (tier, funding) in [(Tier::Free, Funding::Platform), (Tier::Credit, Funding::Byo)] {
            check(&Debit { tier, funding, stream: funding == Funding::Byo, ..debit.clone() });
        }
        for mode in [Mode::Chat, Mode::Embeddings, Mode::Completions, Mode::Responses] {
            check(&Debit { mode, ..debit.clone() });
        }
        for ending in endings {
            check(&Debit { ending, ..debit.clone() });
        }
        for provenance in [Provenance::Reported, Provenance::Estimated] {
            check(&Debit { provenance, ..debit.clone() });
        }
        for count in 0..=flags.len() {
            check(&Debit { flags: flags.iter().take(count).copied().collect(), ..debit.clone() });
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_in_it_the_bytes_are_those_of_serde_json(
        text in any::<String>(),
        optional in any::<Option<String>>(),
        (numbers, maybe, status) in (any::<[u64; 4]>(), any::<Option<u64>>(), any::<Option<u16>>()),
    ) {
        let [a, b, c, d] = numbers;
        for debit in golden() {
            check(&Debit {
                account: text.clone(),
                slot: text.clone(),
                intent_id: optional.clone(),
                usage: optional.clone(),
                asked_model: optional.clone(),
                provider_request_id: optional.clone(),
                hold_id: optional.clone(),
                n: maybe,
                stated_maximum: maybe.map(Tokens),
                input_limit: maybe.map(Tokens),
                output_limit: maybe.map(Tokens),
                unseen_ms: maybe,
                first_byte_ms: maybe,
                duration_ms: maybe,
                tokens_cache_write_1h_input: Tokens(b),
                tokens_image_input: Tokens(c),
                tokens_image_output: Tokens(d),
                response_id: Some(text.clone()),
                upstream_status: status,
                tokens_input: Tokens(a),
                tokens_output: Tokens(b),
                cost_pax: crate::pax::Pax::from_picopax(i64::from_le_bytes(c.to_le_bytes())),
                occurred_at: crate::clock::Moment::from_ms(d),
                settled_at: crate::clock::Moment::from_ms(c),
                utc_day: crate::clock::Moment::from_ms(a).day(),
                ..debit
            });
        }
    }

    #[test]
    fn every_byte_of_a_string_is_escaped_as_serde_json_does(bytes in prop::collection::vec(0u8..0x80, 0..40)) {
        let text = String::from_utf8(bytes).unwrap();
        let mut ours = Vec::new();
        put_value(&mut ours, Value::Text(&text));
        prop_assert_eq!(ours, serde_json::to_vec(&text).unwrap());
    }
}
