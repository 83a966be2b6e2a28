//! A debit's canonical bytes, written field by field: what `serde_json` makes of a [`Debit`], at a fifth of the
//! price. It was the dearest part of a call.
//!
//! The forms themselves are those of the golden files; that both ways give the same bytes is a test of this file.

use crate::account::{Funding, Tier};
use crate::debit::{Debit, Ending, Flag, Kind, Provenance};
use crate::estimate::{Bytes1, Bytes2, EstimatedFrom, Side};
use crate::json_text::plain_run;
use crate::pax::Tokens;
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
        asked_model,
        model,
        provider,
        stream,
        upstream_status,
        provider_request_id,
        response_id,
        hold_id,
        service_tier,
        ending,
        flags,
        provenance,
        usage_rules,
        usage,
        n,
        stated_maximum,
        input_limit,
        output_limit,
        unseen_ms,
        estimator,
        estimated_from,
        tokens_input,
        tokens_cached_input,
        tokens_cache_write_input,
        tokens_cache_write_1h_input,
        tokens_audio_input,
        tokens_image_input,
        tokens_output,
        tokens_audio_output,
        tokens_image_output,
        tokens_reasoning_output,
        cost_pax,
        rate_table_v,
        card_sha256,
        occurred_at,
        settled_at,
        first_byte_ms,
        duration_ms,
        utc_day,
    } = debit;
    // Version 1 lacks what version 2 has beside it.
    let is_2 = *canon_v != 1;
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
            Mode::Completions => "completions",
            Mode::Responses => "responses",
        },
    );
    if is_2 {
        out.optional(",\"asked_model\":", asked_model.as_deref());
    }
    out.string(",\"model\":", model);
    out.string(",\"provider\":", provider);
    out.truth(",\"stream\":", *stream);
    match upstream_status {
        Some(status) => out.number(",\"upstream_status\":", u64::from(*status)),
        None => out.raw(",\"upstream_status\":null"),
    }
    if is_2 {
        out.optional(",\"provider_request_id\":", provider_request_id.as_deref());
    }
    out.optional(",\"response_id\":", response_id.as_deref());
    if is_2 {
        out.optional(",\"hold_id\":", hold_id.as_deref());
    }
    out.optional(",\"service_tier\":", service_tier.as_deref());
    out.word(
        ",\"ending\":",
        match ending {
            Ending::Complete => "complete",
            Ending::Cut => "cut",
            Ending::CallerGone => "caller_gone",
            Ending::ProviderBrokeOff => "provider_broke_off",
            Ending::NoAnswer => "no_answer",
            Ending::Orphaned => "orphaned",
            Ending::Lost => "lost",
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
    if is_2 {
        out.maybe(",\"n\":", *n);
        out.maybe(",\"stated_maximum\":", count(stated_maximum));
        out.maybe(",\"input_limit\":", count(input_limit));
        out.maybe(",\"output_limit\":", count(output_limit));
        out.maybe(",\"unseen_ms\":", *unseen_ms);
    }
    out.optional(",\"estimator\":", estimator.as_deref());
    out.estimate(estimated_from.as_ref());
    out.number(",\"tokens_input\":", tokens_input.0);
    out.number(",\"tokens_cached_input\":", tokens_cached_input.0);
    out.number(",\"tokens_cache_write_input\":", tokens_cache_write_input.0);
    if is_2 {
        out.number(",\"tokens_cache_write_1h_input\":", tokens_cache_write_1h_input.0);
    }
    out.number(",\"tokens_audio_input\":", tokens_audio_input.0);
    if is_2 {
        out.number(",\"tokens_image_input\":", tokens_image_input.0);
    }
    out.number(",\"tokens_output\":", tokens_output.0);
    out.number(",\"tokens_audio_output\":", tokens_audio_output.0);
    if is_2 {
        out.number(",\"tokens_image_output\":", tokens_image_output.0);
    }
    out.number(",\"tokens_reasoning_output\":", tokens_reasoning_output.0);
    out.text(",\"cost_pax\":", cost_pax);
    out.number(",\"rate_table_v\":", u64::from(rate_table_v.0));
    out.text(",\"card_sha256\":", card_sha256);
    out.text(",\"occurred_at\":", occurred_at);
    out.text(",\"settled_at\":", settled_at);
    if is_2 {
        out.maybe(",\"first_byte_ms\":", *first_byte_ms);
        out.maybe(",\"duration_ms\":", *duration_ms);
    }
    out.text(",\"utc_day\":", utc_day);
    out.raw("}");
    out.0
}

fn count(tokens: &Option<Tokens>) -> Option<u64> {
    tokens.map(|tokens| tokens.0)
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

    fn truth(&mut self, key: &str, truth: bool) {
        self.raw(key);
        self.raw(if truth { "true" } else { "false" });
    }

    fn maybe(&mut self, key: &str, number: Option<u64>) {
        match number {
            Some(number) => self.number(key, number),
            None => {
                self.raw(key);
                self.raw("null");
            }
        }
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
            self.word(before, flag.name());
        }
        self.raw("]");
    }

    fn estimate(&mut self, from: Option<&EstimatedFrom>) {
        match from {
            None => self.raw(",\"estimated_from\":null"),
            Some(EstimatedFrom::Bytes1(from)) => self.bytes_1(from),
            Some(EstimatedFrom::Bytes2(from)) => self.bytes_2(from),
        }
    }

    fn bytes_1(&mut self, from: &Bytes1) {
        let Bytes1 { input_bytes, output_bytes, input_limit, output_limit } = from;
        self.number(",\"estimated_from\":{\"input_bytes\":", *input_bytes);
        self.number(",\"output_bytes\":", *output_bytes);
        self.number(",\"input_limit\":", input_limit.0);
        self.number(",\"output_limit\":", output_limit.0);
        self.raw("}");
    }

    fn bytes_2(&mut self, from: &Bytes2) {
        let Bytes2 {
            side,
            input_ascii_bytes,
            input_other_bytes,
            not_text,
            shares_window,
            output_ascii_bytes,
            output_other_bytes,
            bytes_per_token,
            bytes_per_token_other,
            unseen_after_s,
            unseen_tokens_per_s,
        } = from;
        self.word(
            ",\"estimated_from\":{\"side\":",
            match side {
                Side::Both => "both",
                Side::Input => "input",
                Side::Output => "output",
            },
        );
        self.number(",\"input_ascii_bytes\":", *input_ascii_bytes);
        self.number(",\"input_other_bytes\":", *input_other_bytes);
        self.truth(",\"not_text\":", *not_text);
        self.truth(",\"shares_window\":", *shares_window);
        self.number(",\"output_ascii_bytes\":", *output_ascii_bytes);
        self.number(",\"output_other_bytes\":", *output_other_bytes);
        self.number(",\"bytes_per_token\":", *bytes_per_token);
        self.number(",\"bytes_per_token_other\":", *bytes_per_token_other);
        self.number(",\"unseen_after_s\":", *unseen_after_s);
        self.number(",\"unseen_tokens_per_s\":", *unseen_tokens_per_s);
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

    /// The debits of the golden files, in version 2: `serde_json` writes the fields of that one.
    fn golden() -> Vec<Debit> {
        let texts =
            [include_str!("../tests/golden/debit_v1.json"), include_str!("../tests/golden/debit_v2.json")];
        let debits =
            texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap());
        debits.map(|debit: Debit| Debit { canon_v: 2, ..debit }).collect()
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
            let mut out = Out(Vec::new());
            out.string("", &text);
            prop_assert_eq!(out.0, serde_json::to_vec(&text).unwrap());
        }
    }
}
