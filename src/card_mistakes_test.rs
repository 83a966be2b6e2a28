//! Cards with mistakes, and every word that an operator reads about them.

use super::{CARD, mistakes};
use crate::card::RateCard;

/// What stands left of `→` becomes what stands right of it; the mistakes of that card follow.
const TABLE: &str = r#"
"reason" → "note": "", "reason"
note: is unknown here; known are: rate_table_v, effective_from, reason, pax_usd, free_tier, models

"reason" → "pax_usd": "11.43", "reason"
pax_usd: stands twice: keep one

"slots": { → "daily_cap_pax": "1", "slots": {
free_tier.daily_cap_pax: stands twice: keep one

"models": { → "models": {"gpt": {"provider": "fireworks", "mode": "embeddings", "context_window": 1, "usd_per_mtok": {"input": "1"}},
models.gpt: stands twice: keep one

"input": "0.15", → "input": "0.15", "input": "0.15",
models.gpt.usd_per_mtok.input: stands twice: keep one

"rate_table_v": 2, →
rate_table_v: is missing

_v": 2 → _v": 0
rate_table_v: must be from 1 to 4294967295, is 0

_v": 2 → _v": 4294967296
rate_table_v: must be from 1 to 4294967295, is 4294967296

_v": 2 → _v": "2"
rate_table_v: must be a whole number, is a string

_v": 2 → _v": null
rate_table_v: must be a whole number, is null

_v": 2 → _v": 2.0
rate_table_v: must be a whole number from 1 to 4294967295, written in digits only

_v": 2 → _v": -2
rate_table_v: must be a whole number from 1 to 4294967295, written in digits only

00:00:00Z → 00:00:00+01:00
effective_from: must be a UTC time such as "2026-11-23T00:00:00Z"

T00:00:00Z →
effective_from: must be a UTC time such as "2026-11-23T00:00:00Z"

2026-11-23T → 2026-02-29T
effective_from: must be a UTC time such as "2026-11-23T00:00:00Z"

"2026-11-23T00:00:00Z" → 1795392000
effective_from: must be a string, is a number: write it in double quotes

"prices of November" → ""
reason: must not be empty

"prices of November" → ["why"]
reason: must be a string, is a list

, "pax_usd": "11.43" →
pax_usd: is missing

"11.43" → 11.43
pax_usd: must be a string, is a number: write it in double quotes

"11.43" → 11
pax_usd: must be a string, is a number: write it in double quotes

"11.43" → "0"
pax_usd: must be above 0 and at most 1000000000 US dollars

"11.43" → "-11.43"
pax_usd: must be above 0 and at most 1000000000 US dollars

"11.43" → "1000000001"
pax_usd: must be above 0 and at most 1000000000 US dollars

"11.43" → "$11.43"
pax_usd: must be a plain decimal such as "0.15", without an exponent

"11.43" → "11,43"
pax_usd: must be a plain decimal such as "0.15", without an exponent

"11.43" → "0.000000000001"
models.gpt.usd_per_mtok.input: makes a rate above 18 billion PAX: are it and pax_usd dollars?
models.gpt.usd_per_mtok.output: makes a rate above 18 billion PAX: are it and pax_usd dollars?
models.embed.usd_per_mtok: makes the largest possible call cost more than 9 million PAX: are these dollars?

{"daily_cap_pax": "10", "slots": {"default": ["gpt", "embed"]}} → null
free_tier: must be an object, is null

"daily_cap_pax": "10", →
free_tier.daily_cap_pax: is missing

"10" → 10
free_tier.daily_cap_pax: must be a string, is a number: write it in double quotes

"10" → "-1"
free_tier.daily_cap_pax: must not be negative; "0" blocks the free tier

"10" → "1e1"
free_tier.daily_cap_pax: must be a plain decimal such as "0.15", without an exponent

"10" → "9223373"
free_tier.daily_cap_pax: must be from 0 (which blocks) to 9 million PAX

"slots": { → "slot": {}, "slots": {
free_tier.slot: is unknown here; known are: daily_cap_pax, slots

{"default": ["gpt", "embed"]} → []
free_tier.slots: must be an object, is a list

["gpt", "embed"] → "gpt"
free_tier.slots.default: must be a list of model ids

"default": [ → "Default": [
free_tier.slots.Default: is no slot name: use at most 64 of a-z, 0-9, '-' and '_'

"default": [ → "": [
free_tier.slots."": is no slot name: use at most 64 of a-z, 0-9, '-' and '_'

"default": [ → "a\nb": [
free_tier.slots."a\nb": is no slot name: use at most 64 of a-z, 0-9, '-' and '_'

"default": [ → "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssX": [
free_tier.slots.ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssX: is no slot name: use at most 64 of a-z, 0-9, '-' and '_'

["gpt", → [5,
free_tier.slots.default[0]: must be a string, is a number: write it in double quotes

"embed"] → "gpt"]
free_tier.slots.default[1]: "gpt" stands twice: keep one

"embed"] → "gtp"]
free_tier.slots.default: "gtp" has no price in this card: add it to models, or take it out here

"embed": { → "": {
models."": is no model id: use 1 to 256 bytes of printable characters
free_tier.slots.default: "embed" has no price in this card: add it to models, or take it out here

"embed": { → "a\tb": {
models."a\tb": is no model id: use 1 to 256 bytes of printable characters
free_tier.slots.default: "embed" has no price in this card: add it to models, or take it out here

"models": { → "models": {"x": "0.15",
models.x: must be an object, is a string

"models": { → "models": [], "reprice": {
models: must be an object, is a list
reprice: is unknown here; known are: rate_table_v, effective_from, reason, pax_usd, free_tier, models
free_tier.slots.default: "gpt" has no price in this card: add it to models, or take it out here
free_tier.slots.default: "embed" has no price in this card: add it to models, or take it out here

"provider": "nomic", →
models.embed.provider: is missing

"fireworks" → true
models.gpt.provider: must be a string, is a boolean

"fireworks" → "fireworks", "upstream_model": ""
models.gpt.upstream_model: must not be empty

"fireworks" → "fireworks", "upstream_model": "a\nb"
models.gpt.upstream_model: must have at most 256 bytes and no control characters

"mode": "chat", →
models.gpt.mode: is missing

"chat" → "Chat"
models.gpt.mode: must be "chat" or "embeddings", is "Chat"

"chat" → "embeddings"
models.gpt.usd_per_mtok.output: is unknown here; known are: input, cached_input
models.gpt.max_output_tokens: is unknown here; known are: provider, mode, upstream_model, context_window, bytes_per_token, bytes_per_token_other, usd_per_mtok, bands, usd_per_request_minimum, service_tiers

131072 → 0
models.gpt.context_window: must be from 1 to 1000000000, is 0

131072 → 1000000001
models.gpt.context_window: must be from 1 to 1000000000, is 1000000001

131072 → 131072e0
models.gpt.context_window: must be a whole number from 1 to 1000000000, written in digits only

"max_output_tokens": 32768, →
models.gpt.max_output_tokens: is missing

8192 → 8192, "bytes_per_token": 65
models.embed.bytes_per_token: must be from 1 to 64, is 65

8192 → 8192, "bytes_per_token_other": 0
models.embed.bytes_per_token_other: must be from 1 to 64, is 0

8192 → 8192, "hidden_reasoning": true
models.embed.hidden_reasoning: is unknown here; known are: provider, mode, upstream_model, context_window, bytes_per_token, bytes_per_token_other, usd_per_mtok, bands, usd_per_request_minimum, service_tiers

8192 → 8192, "unseen_tokens_per_s": 0
models.embed.unseen_tokens_per_s: is unknown here; known are: provider, mode, upstream_model, context_window, bytes_per_token, bytes_per_token_other, usd_per_mtok, bands, usd_per_request_minimum, service_tiers

32768, → 32768, "hidden_reasoning": "true",
models.gpt.hidden_reasoning: must be true or false, is a string

32768, → 32768, "hidden_reasoning": null,
models.gpt.hidden_reasoning: must be true or false, is null

32768, → 32768, "unseen_after_s": 86401,
models.gpt.unseen_after_s: must be from 0 to 86400, is 86401

32768, → 32768, "unseen_after_s": -1,
models.gpt.unseen_after_s: must be a whole number from 0 to 86400, written in digits only

32768, → 32768, "unseen_tokens_per_s": 100001,
models.gpt.unseen_tokens_per_s: must be from 0 to 100000, is 100001

32768, → 32768, "unseen_tokens_per_s": "40",
models.gpt.unseen_tokens_per_s: must be a whole number, is a string

32768, → 32768, "unseen_tokens_per_s": 0.5,
models.gpt.unseen_tokens_per_s: must be a whole number from 0 to 100000, written in digits only

32768, → 32768, "max_tokens": 1,
models.gpt.max_tokens: is unknown here; known are: provider, mode, upstream_model, context_window, max_output_tokens, bytes_per_token, bytes_per_token_other, hidden_reasoning, unseen_after_s, unseen_tokens_per_s, usd_per_mtok, bands, usd_per_request_minimum, service_tiers

, "usd_per_mtok": {"input": "0.008"} →
models.embed.usd_per_mtok: is missing

{"input": "0.008"} → "0.008"
models.embed.usd_per_mtok: must be an object, is a string

"input": "0.15", →
models.gpt.usd_per_mtok.input: is missing

, "output": "0.60" →
models.gpt.usd_per_mtok.output: is missing

"0.008" → "0.008", "output": "1"
models.embed.usd_per_mtok.output: is unknown here; known are: input, cached_input

"0.60" → "0.60", "audio": "1"
models.gpt.usd_per_mtok.audio: is unknown here; known are: input, cached_input, output, cache_write, cache_write_1h, audio_input, image_input, audio_output, image_output, reasoning_output

"0.15" → 0.15
models.gpt.usd_per_mtok.input: must be a string, is a number: write it in double quotes

"0.15" → 1
models.gpt.usd_per_mtok.input: must be a string, is a number: write it in double quotes

"0.15" → null
models.gpt.usd_per_mtok.input: must be a string, is null

"0.15" → ""
models.gpt.usd_per_mtok.input: must not be empty

"0.15" → "-0.15"
models.gpt.usd_per_mtok.input: must be above 0 and at most 1000000000 US dollars

"0.15" → "0.000"
models.gpt.usd_per_mtok.input: must be above 0 and at most 1000000000 US dollars

"0.15" → "1.5e-1"
models.gpt.usd_per_mtok.input: must be a plain decimal such as "0.15", without an exponent

"0.15" → " 0.15"
models.gpt.usd_per_mtok.input: must be a plain decimal such as "0.15", without an exponent

"0.15" → "0.1500000000000"
models.gpt.usd_per_mtok.input: must have at most 12 decimals

"0.15" → "1000000001"
models.gpt.usd_per_mtok.input: must be above 0 and at most 1000000000 US dollars

"0.15" → "1000000000"
models.gpt.usd_per_mtok: makes the largest possible call cost more than 9 million PAX: are these dollars?

"0.008" → "0.000000005"
models.embed.usd_per_mtok.input: is so little that its rate would be 0 PAX: is it per million tokens?

"0.015" → "0.150000000001"
models.gpt.usd_per_mtok.cached_input: must not be above the price of input

"0.015" → "0"
models.gpt.usd_per_mtok.cached_input: must be above 0 and at most 1000000000 US dollars

"0.015" → "0.015", "cache_write": "0"
models.gpt.usd_per_mtok.cache_write: must be above 0 and at most 1000000000 US dollars

"0.015" → "0.015", "audio_input": 100
models.gpt.usd_per_mtok.audio_input: must be a string, is a number: write it in double quotes

"0.60" → "0.60", "audio_output": "-200"
models.gpt.usd_per_mtok.audio_output: must be above 0 and at most 1000000000 US dollars

"0.015" → "0.015", "cache_write_1h": "0"
models.gpt.usd_per_mtok.cache_write_1h: must be above 0 and at most 1000000000 US dollars

"0.015" → "0.015", "image_input": 3
models.gpt.usd_per_mtok.image_input: must be a string, is a number: write it in double quotes

"0.60" → "0.60", "image_output": "-30"
models.gpt.usd_per_mtok.image_output: must be above 0 and at most 1000000000 US dollars

"0.60" → "0.60", "cache_write_1h": "1000000000"
models.gpt.usd_per_mtok: makes the largest possible call cost more than 9 million PAX: are these dollars?

"0.60"} → "0.60", "image_output": "30"}, "service_tiers": {"flex": {"usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}}
models.gpt.service_tiers.flex.usd_per_mtok.image_output: is missing: a band or a service tier states every price that the model states

"0.008" → "0.008", "image_input": "1"
models.embed.usd_per_mtok.image_input: is unknown here; known are: input, cached_input

"0.60" → "0.60", "reasoning_output": "1e0"
models.gpt.usd_per_mtok.reasoning_output: must be a plain decimal such as "0.15", without an exponent

"0.60" → "0.60", "cache_write": "1000000000"
models.gpt.usd_per_mtok: makes the largest possible call cost more than 9 million PAX: are these dollars?

"0.008" → "0.008", "reasoning_output": "1"
models.embed.usd_per_mtok.reasoning_output: is unknown here; known are: input, cached_input

"0.008" → "0.008", "audio_input": "1"
models.embed.usd_per_mtok.audio_input: is unknown here; known are: input, cached_input

"0.60"} → "0.60"}, "bands": {"above_input_tokens": 128000}
models.gpt.bands: must be a list of bands, by ascending above_input_tokens

"0.60"} → "0.60"}, "bands": [128000]
models.gpt.bands[0]: must be an object, is a number

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 128000}]
models.gpt.bands[0].usd_per_mtok: is missing

"0.60"} → "0.60"}, "bands": [{"usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}]
models.gpt.bands[0].above_input_tokens: is missing

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 0, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}]
models.gpt.bands[0].above_input_tokens: must be from 1 to 1000000000, is 0

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": "128000", "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}]
models.gpt.bands[0].above_input_tokens: must be a whole number, is a string

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 131072, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}]
models.gpt.bands[0].above_input_tokens: is never passed: the context window has 131072 tokens

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}, {"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}]
models.gpt.bands[1].above_input_tokens: must be above that of the band before, 7, is 7

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}, {"above_input_tokens": 6, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}]
models.gpt.bands[1].above_input_tokens: must be above that of the band before, 7, is 6

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "cached_input": "0.31", "output": "0.9"}}]
models.gpt.bands[0].usd_per_mtok.cached_input: must not be above the price of input

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "output": "0.9"}}]
models.gpt.bands[0].usd_per_mtok.cached_input: is missing: a band or a service tier states every price that the model states

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03"}}]
models.gpt.bands[0].usd_per_mtok.output: is missing

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9", "cache_write": "0.4"}}]
models.gpt.bands[0].usd_per_mtok.cache_write: is not among the model's own prices: state it in its usd_per_mtok too

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 7, "up_to": 9, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}]
models.gpt.bands[0].up_to: is unknown here; known are: above_input_tokens, usd_per_mtok

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "1000000000", "cached_input": "0.03", "output": "0.9"}}]
models.gpt.usd_per_mtok: makes the largest possible call cost more than 9 million PAX: are these dollars?

"0.60"} → "0.60"}, "usd_per_request_minimum": "-0.01"
models.gpt.usd_per_request_minimum: must be above 0 and at most 1000000000 US dollars

"0.60"} → "0.60"}, "usd_per_request_minimum": "0"
models.gpt.usd_per_request_minimum: must be above 0 and at most 1000000000 US dollars

"0.60"} → "0.60"}, "usd_per_request_minimum": 0.01
models.gpt.usd_per_request_minimum: must be a string, is a number: write it in double quotes

"0.60"} → "0.60"}, "usd_per_request_minimum": "0.000000000005"
models.gpt.usd_per_request_minimum: is so little that it would be 0 PAX: leave it out

"0.60"} → "0.60"}, "usd_per_request_minimum": "1000000000"
models.gpt.usd_per_request_minimum: is more than 9 million PAX: are it and pax_usd dollars?

"0.60"} → "0.60"}, "service_tiers": ["flex"]
models.gpt.service_tiers: must be an object, is a list

"0.60"} → "0.60"}, "service_tiers": {"default": {"usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}}
models.gpt.service_tiers.default: is what the model's own prices are for: take it out here

"0.60"} → "0.60"}, "service_tiers": {"auto": {"usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}}
models.gpt.service_tiers.auto: is what the model's own prices are for: take it out here

"0.60"} → "0.60"}, "service_tiers": {"Flex": {"usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}}
models.gpt.service_tiers.Flex: is no service tier: use at most 64 of a-z, 0-9, '-' and '_'

"0.60"} → "0.60"}, "service_tiers": {"flex": "0.5"}
models.gpt.service_tiers.flex: must be an object, is a string

"0.60"} → "0.60"}, "service_tiers": {"flex": {}}
models.gpt.service_tiers.flex.usd_per_mtok: is missing

"0.60"} → "0.60"}, "service_tiers": {"flex": {"factor": "0.5", "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}}
models.gpt.service_tiers.flex.factor: is unknown here; known are: usd_per_mtok, bands

"0.60"} → "0.60"}, "service_tiers": {"flex": {"usd_per_mtok": {"input": "0.3", "output": "0.9", "audio": "1"}}}
models.gpt.service_tiers.flex.usd_per_mtok.cached_input: is missing: a band or a service tier states every price that the model states
models.gpt.service_tiers.flex.usd_per_mtok.audio: is unknown here; known are: input, cached_input, output, cache_write, cache_write_1h, audio_input, image_input, audio_output, image_output, reasoning_output

"0.60"} → "0.60"}, "service_tiers": {"flex": {"usd_per_mtok": {"input": "0.3", "cached_input": "0.4", "output": "0.9"}}}
models.gpt.service_tiers.flex.usd_per_mtok.cached_input: must not be above the price of input

"0.60"} → "0.60"}, "service_tiers": {"flex": {"usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}, "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0"}}]}}
models.gpt.service_tiers.flex.bands[0].usd_per_mtok.output: must be above 0 and at most 1000000000 US dollars

"0.60"} → "0.60"}, "bands": [{"above_input_tokens": 7, "usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}], "service_tiers": {"flex": {"usd_per_mtok": {"input": "0.3", "cached_input": "0.03", "output": "0.9"}}}
models.gpt.service_tiers.flex.bands: is missing: the model has bands; write [] if this tier costs the same for any input
"#;

#[test]
fn each_mistake_is_named_with_its_path_and_what_to_do() {
    let (mut cards, mut wrong) = (0, String::new());
    for block in TABLE.trim_matches('\n').split("\n\n") {
        let (change, expected) = block.split_once('\n').unwrap();
        let (from, to) = change.split_once(" →").unwrap();
        let said = mistakes(&[(from, to.trim_start())]);
        if said != expected {
            wrong.push_str(&format!("{change}\n{said}\n\n"));
        }
        cards += 1;
    }
    assert!(wrong.is_empty(), "said otherwise:\n{wrong}");
    assert!(cards > 105);
}

#[test]
fn all_mistakes_are_named_at_once() {
    let many = mistakes(&[
        ("_v\": 2", "_v\": 0"),
        ("00:00:00Z", "00:00:00+01:00"),
        ("\"11.43\"", "11.43"),
        ("\"10\"", "\"ten\""),
        ("\"embed\"]", "\"gtp\"]"),
        ("\"chat\"", "\"audio\""),
        ("131072", "0"),
        ("\"0.15\"", "0.15"),
        ("\"0.015\"", "\"-1\""),
        ("\"0.60\"", "\"0,60\""),
        ("\"0.008\"", "\"0\", \"per_request\": \"1\""),
    ]);
    let expected = r#"rate_table_v: must be from 1 to 4294967295, is 0
effective_from: must be a UTC time such as "2026-11-23T00:00:00Z"
pax_usd: must be a string, is a number: write it in double quotes
free_tier.daily_cap_pax: must be a plain decimal such as "0.15", without an exponent
models.gpt.mode: must be "chat" or "embeddings", is "audio"
models.gpt.context_window: must be from 1 to 1000000000, is 0
models.gpt.usd_per_mtok.input: must be a string, is a number: write it in double quotes
models.gpt.usd_per_mtok.cached_input: must be above 0 and at most 1000000000 US dollars
models.gpt.usd_per_mtok.output: must be a plain decimal such as "0.15", without an exponent
models.embed.usd_per_mtok.input: must be above 0 and at most 1000000000 US dollars
models.embed.usd_per_mtok.per_request: is unknown here; known are: input, cached_input
free_tier.slots.default: "gtp" has no price in this card: add it to models, or take it out here"#;
    assert_eq!(many, expected);
}

#[test]
fn a_text_that_is_no_card_is_said_to_be_that_and_no_more() {
    let card = CARD.trim_end();
    for (text, what) in [
        ("[]", "must be an object, is a list"),
        ("\"v1.json\"", "must be an object, is a string"),
        ("", "is not JSON: EOF while parsing a value at line 1 column 0"),
        ("\u{feff}{}", "is not JSON: expected value at line 1 column 1"),
        (card.strip_suffix("}").unwrap(), "is not JSON: EOF while parsing an object at line 11 column 0"),
        (&format!("{card}\n{card}"), "is not JSON: trailing characters at line 12 column 1"),
        (&card.replacen('2', "02", 1), "is not JSON: invalid number at line 2 column 20"),
        (&card.replacen("11", "\\u11", 1), "is not JSON: invalid escape at line 2 column 51"),
    ] {
        assert_eq!(RateCard::parse(text).unwrap_err().to_string(), what);
    }
}

#[test]
fn a_member_under_another_name_is_unknown_and_missed() {
    for key in [
        "rate_table_v",
        "effective_from",
        "reason",
        "pax_usd",
        "free_tier",
        "models",
        "daily_cap_pax",
        "slots",
    ] {
        let said = mistakes(&[(&format!("\"{key}\":"), "\"renamed\":")]);
        assert!(
            said.contains("renamed: is unknown here") && said.contains(&format!("{key}: is missing")),
            "{said}"
        );
    }
}

#[test]
fn an_id_may_have_256_bytes() {
    for (len, expected) in
        [(256, "none"), (257, "is no model id: use 1 to 256 bytes of printable characters")]
    {
        let id = "m".repeat(len);
        let model =
            r#"{"provider": "x", "mode": "embeddings", "context_window": 1, "usd_per_mtok": {"input": "1"}}"#;
        let said = mistakes(&[("\"models\": {", &format!("\"models\": {{\"{id}\": {model}, "))]);
        assert_eq!(said.trim_start_matches(&format!("models.{id}: ")), expected);
    }
}
