//! A debit's canonical bytes, written field by field: what `serde_json` makes of a [`Debit`], at a fifth of the
//! price. It was the dearest part of a call.
//!
//! The form itself is that of the golden file; that both ways give the same bytes is a test of this file.

use crate::account::{Funding, Tier};
use crate::debit::{Debit, Ending, Estimate, Flag, Kind, Provenance};
use crate::json_text::plain_run;
use crate::text::{AsText, hex, put_decimal};
use crate::usage::Mode;

/// More than most debits have.
const USUAL: usize = 1_536;

/// The canonical bytes.
pub(crate) fn write(debit: &Debit) -> Vec<u8> {
    // Every field by name, so that a new one cannot be forgotten here.
    let Debit {
        canon_v,
        kind,
        exchange_id,
        account,
        tier,
        token_id,
        funding,
        slot,
        intent_id,
        goal_id,
        mode,
        model,
        provider,
        stream,
        upstream_status,
        response_id,
        service_tier,
        ending,
        flags,
        provenance,
        usage_rules,
        usage,
        estimator,
        estimated_from,
        tokens_input,
        tokens_cached_input,
        tokens_cache_write_input,
        tokens_audio_input,
        tokens_output,
        tokens_audio_output,
        tokens_reasoning_output,
        cost_pax,
        rate_table_v,
        card_sha256,
        occurred_at,
        settled_at,
        utc_day,
    } = debit;
    let mut out = Out(Vec::with_capacity(USUAL));
    out.number("{\"canon_v\":", u64::from(*canon_v));
    out.word(
        ",\"kind\":",
        match kind {
            Kind::Debit => "debit",
        },
    );
    out.text(",\"exchange_id\":", exchange_id);
    out.string(",\"account\":", account);
    out.word(
        ",\"tier\":",
        match tier {
            Tier::Free => "free",
            Tier::Credit => "credit",
        },
    );
    out.string(",\"token_id\":", token_id);
    out.word(
        ",\"funding\":",
        match funding {
            Funding::Platform => "platform",
            Funding::Byo => "byo",
        },
    );
    out.string(",\"slot\":", slot);
    out.optional(",\"intent_id\":", intent_id.as_deref());
    out.optional(",\"goal_id\":", goal_id.as_deref());
    out.word(
        ",\"mode\":",
        match mode {
            Mode::Chat => "chat",
            Mode::Embeddings => "embeddings",
        },
    );
    out.string(",\"model\":", model);
    out.string(",\"provider\":", provider);
    out.raw(if *stream { ",\"stream\":true" } else { ",\"stream\":false" });
    match upstream_status {
        Some(status) => out.number(",\"upstream_status\":", u64::from(*status)),
        None => out.raw(",\"upstream_status\":null"),
    }
    out.optional(",\"response_id\":", response_id.as_deref());
    out.optional(",\"service_tier\":", service_tier.as_deref());
    out.word(
        ",\"ending\":",
        match ending {
            Ending::Complete => "complete",
            Ending::Cut => "cut",
            Ending::NoAnswer => "no_answer",
            Ending::Orphaned => "orphaned",
        },
    );
    out.flags(flags);
    out.word(
        ",\"provenance\":",
        match provenance {
            Provenance::Reported => "reported",
            Provenance::Estimated => "estimated",
        },
    );
    out.optional(",\"usage_rules\":", usage_rules.as_deref());
    out.optional(",\"usage\":", usage.as_deref());
    out.optional(",\"estimator\":", estimator.as_deref());
    out.estimate(estimated_from.as_ref());
    out.number(",\"tokens_input\":", tokens_input.0);
    out.number(",\"tokens_cached_input\":", tokens_cached_input.0);
    out.number(",\"tokens_cache_write_input\":", tokens_cache_write_input.0);
    out.number(",\"tokens_audio_input\":", tokens_audio_input.0);
    out.number(",\"tokens_output\":", tokens_output.0);
    out.number(",\"tokens_audio_output\":", tokens_audio_output.0);
    out.number(",\"tokens_reasoning_output\":", tokens_reasoning_output.0);
    out.text(",\"cost_pax\":", cost_pax);
    out.number(",\"rate_table_v\":", u64::from(rate_table_v.0));
    out.text(",\"card_sha256\":", card_sha256);
    out.text(",\"occurred_at\":", occurred_at);
    out.text(",\"settled_at\":", settled_at);
    out.text(",\"utc_day\":", utc_day);
    out.raw("}");
    out.0
}

struct Out(Vec<u8>);

/// Each writes a key, given with all of its punctuation, and a value.
impl Out {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, key: &str, number: u64) {
        self.raw(key);
        put_decimal(&mut self.0, number, 0);
    }

    /// A text of our own, which has nothing to escape.
    fn word(&mut self, key: &str, word: &str) {
        self.raw(key);
        self.raw("\"");
        self.raw(word);
        self.raw("\"");
    }

    /// The same of a value by its text: an id, an amount, a time.
    fn text(&mut self, key: &str, value: &impl AsText) {
        self.raw(key);
        self.raw("\"");
        value.put(&mut self.0);
        self.raw("\"");
    }

    fn string(&mut self, key: &str, string: &str) {
        self.raw(key);
        self.raw("\"");
        self.escaped(string.as_bytes());
        self.raw("\"");
    }

    fn optional(&mut self, key: &str, string: Option<&str>) {
        match string {
            Some(string) => self.string(key, string),
            None => {
                self.raw(key);
                self.raw("null");
            }
        }
    }

    fn flags(&mut self, flags: &[Flag]) {
        self.raw(",\"flags\":[");
        for (index, flag) in flags.iter().enumerate() {
            let before = if index == 0 { "" } else { "," };
            self.word(
                before,
                match flag {
                    Flag::CachedExceedsInput => "cached_exceeds_input",
                    Flag::UsageUnreadable => "usage_unreadable",
                    Flag::UsageTooLarge => "usage_too_large",
                    Flag::AnswerUnreadable => "answer_unreadable",
                    Flag::CostOutOfRange => "cost_out_of_range",
                    Flag::ServiceTierUnpriced => "service_tier_unpriced",
                    Flag::PartExceedsWhole => "part_exceeds_whole",
                },
            );
        }
        self.raw("]");
    }

    fn estimate(&mut self, estimate: Option<&Estimate>) {
        let Some(Estimate { input_bytes, output_bytes, input_limit, output_limit }) = estimate else {
            return self.raw(",\"estimated_from\":null");
        };
        self.number(",\"estimated_from\":{\"input_bytes\":", *input_bytes);
        self.number(",\"output_bytes\":", *output_bytes);
        self.number(",\"input_limit\":", input_limit.0);
        self.number(",\"output_limit\":", output_limit.0);
        self.raw("}");
    }

    /// The inside of a string: escaped is only what must be.
    fn escaped(&mut self, mut rest: &[u8]) {
        loop {
            let (plain, after) = rest.split_at_checked(plain_run(rest)).unwrap_or((rest, &[]));
            self.0.extend_from_slice(plain);
            let Some((&byte, after)) = after.split_first() else { return };
            match byte {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                b'\n' => self.raw("\\n"),
                b'\r' => self.raw("\\r"),
                b'\t' => self.raw("\\t"),
                0x08 => self.raw("\\b"),
                0x0c => self.raw("\\f"),
                0..0x20 => {
                    self.raw("\\u00");
                    self.0.extend_from_slice(&hex(byte));
                }
                _ => self.0.push(byte),
            }
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pax::Tokens;
    use proptest::prelude::*;

    /// The debits of the golden file: a reported and an estimated one.
    fn golden() -> Vec<Debit> {
        let text = include_str!("../tests/golden/debit_v1.json");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn check(debit: &Debit) {
        let (ours, theirs) = (write(debit), serde_json::to_vec(debit).unwrap());
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
        ];
        for mut debit in golden() {
            for (tier, funding) in [(Tier::Free, Funding::Platform), (Tier::Credit, Funding::Byo)] {
                for (mode, stream) in [(Mode::Chat, true), (Mode::Embeddings, false)] {
                    for ending in [Ending::Complete, Ending::Cut, Ending::NoAnswer, Ending::Orphaned] {
                        for provenance in [Provenance::Reported, Provenance::Estimated] {
                            debit = Debit { tier, funding, mode, stream, ending, provenance, ..debit };
                            check(&debit);
                        }
                    }
                }
            }
            for count in 0..=flags.len() {
                debit.flags = flags.iter().take(count).copied().collect();
                check(&debit);
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_in_it_the_bytes_are_those_of_serde_json(
            text in any::<String>(),
            optional in any::<Option<String>>(),
            (numbers, status) in (any::<[u64; 4]>(), any::<Option<u16>>()),
        ) {
            let [a, b, c, d] = numbers;
            for debit in golden() {
                check(&Debit {
                    account: text.clone(),
                    slot: text.clone(),
                    intent_id: optional.clone(),
                    usage: optional.clone(),
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
            let mut out = Out(Vec::new());
            out.string("", &text);
            prop_assert_eq!(out.0, serde_json::to_vec(&text).unwrap());
        }
    }
}
