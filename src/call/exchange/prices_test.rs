//! What a call may buy, and at which prices: the state machine with the card of the golden bills.

use super::*;
use crate::base::digest::Digest;
use crate::base::pax::Tokens;
use crate::debit::frozen::Flag;
use crate::price::rates::ServiceTier;

const CARD: &str = include_str!("../../../tests/golden/bills_card.json");
const USAGE: &str = r#""usage":{"prompt_tokens":1000,"completion_tokens":500}"#;
/// (1 000 × 0.174978128 + 500 × 0.699912511) ÷ 10⁶, in the standard tier.
const PLAIN: &str = "0.000524934384";
/// (1 000 × 0.087489064 + 500 × 0.349956255) ÷ 10⁶, half up.
const FLEX: &str = "0.000262467192";
/// (1 000 × 0.306211724 + 500 × 1.224846894) ÷ 10⁶.
const PRIORITY: &str = "0.000918635171";

fn bundle() -> Bundle {
    let lock = format!("{}  v1.json", Digest::of(&[CARD.as_bytes()]));
    Bundle::load(&[("v1.json", CARD)], &lock).unwrap()
}

fn drive(tier: Tier) -> Drive {
    drive_with(tier, "")
}

/// With more members in the provider's entry of the configuration.
fn drive_with(tier: Tier, more: &str) -> Drive {
    let config = CONFIG.replace("\"fireworks\": {", &format!("\"p\": {{{more}"));
    let gateway = Gateway { config: Config::parse(&config).unwrap(), bundle: Rc::new(bundle()) };
    Drive { exchange: Exchange::new(Rc::new(gateway)), tier, ..Drive::new() }
}

/// A call of a model, with more members in its body.
fn body(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}"{more},"messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

fn called(body: &str) -> Drive {
    let mut drive = drive(Tier::Credit);
    drive.chat().resolved(Status::Active).body(body);
    drive
}

/// The code and the parameter of the refusal, or `ok`.
fn told(body: &str) -> String {
    let drive = called(body);
    let Some(reply) = &drive.reply else { return "ok".to_owned() };
    let said: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    format!("{} {}", said["error"]["code"].as_str().unwrap(), said["error"]["param"].as_str().unwrap())
}

/// The debit of a call that asks for the service tier `asked`, and whose answer names the tier `said`.
fn debit(asked: &str, said: &str) -> Debit {
    let mut drive = called(&body("tiered", asked));
    drive.answer_head(200, "application/json");
    drive.answer(&format!(r#"{{"choices":[{{"message":{{"content":"Hi"}}}}]{said},{USAGE}}}"#), true);
    let debit = drive.debits.remove(0);
    debit.prove(&bundle()).unwrap();
    debit
}

#[test]
fn what_a_model_does_not_price_is_refused_and_what_it_prices_is_let_through() {
    let heard = |model: &str| {
        format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":[{{"type":"input_audio","input_audio":{{}}}}]}}]}}"#
        )
    };
    let said = |model: &str| {
        format!(r#"{{"model":"{model}","messages":[{{"role":"assistant","audio":{{"id":"a"}}}}]}}"#)
    };
    let spoken = r#","modalities":["text","audio"],"audio":{"voice":"x"}"#;
    let cached = |model: &str, ttl: &str| {
        let part = format!(r#"{{"type":"text","text":"x","cache_control":{{"ttl":"{ttl}"}}}}"#);
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":[{part}]}}]}}"#)
    };
    for (body, expected) in [
        (heard("plain"), "unpriced_option messages"),
        (heard("spoken"), "ok"),
        (said("plain"), "unpriced_option messages"),
        (said("spoken"), "ok"),
        (said("plain").replace("{\"id\":\"a\"}", "null"), "ok"),
        (body("plain", spoken), "unpriced_option modalities"),
        (body("plain", r#","audio":{}"#), "unpriced_option audio"),
        (body("spoken", spoken), "ok"),
        (body("spoken", r#","modalities":["audio","image"]"#), "unpriced_option modalities"),
        (body("spoken", r#","modalities":["image"]"#), "unpriced_option modalities"),
        (body("all", r#","modalities":["text","image"]"#), "ok"),
        (body("all", r#","modalities":["audio","image"]"#), "ok"),
        (body("all", r#","modalities":["video"]"#), "unpriced_option modalities"),
        (cached("written", "1h"), "unpriced_option cache_control"),
        (cached("written", "5m"), "ok"),
        (cached("plain", "5m"), "ok"),
        (cached("all", "1h"), "ok"),
        (cached("all", "24h"), "unpriced_option cache_control"),
        (body("all", r#","cache_control":{"ttl":"1h"}"#), "unpriced_option cache_control"),
        (body("written", r#","prompt_cache_retention":"24h""#), "unpriced_option prompt_cache_retention"),
        (
            body("written", r#","prompt_cache_retention":["in_memory"]"#),
            "unpriced_option prompt_cache_retention",
        ),
        (body("written", r#","prompt_cache_retention":"in_memory""#), "ok"),
        (body("written", r#","prompt_cache_retention":null"#), "ok"),
        (body("plain", r#","prompt_cache_retention":"24h""#), "ok"),
        (body("all", r#","prompt_cache_options":{"ttl":"24h"}"#), "unpriced_option prompt_cache_options"),
        (body("plain", r#","service_tier":"flex""#), "unpriced_option service_tier"),
        (body("tiered", r#","service_tier":"flex""#), "ok"),
        (body("tiered", r#","service_tier":"Flex""#), "unpriced_option service_tier"),
        (body("tiered", r#","service_tier":"scale""#), "unpriced_option service_tier"),
        (body("tiered", r#","service_tier":7"#), "invalid_json service_tier"),
        (body("all", r#","service_tier":"auto""#), "ok"),
        (body("all", r#","service_tier":"flex""#), "unpriced_option service_tier"),
        (body("all", r#","web_search_options":{}"#), "unpriced_option web_search_options"),
        (body("all", r#","tools":[{"type":"web_search"}]"#), "unpriced_option tools"),
        (body("all", r#","tools":[{"type":"browser_search"}]"#), "unpriced_option tools"),
        (body("all", r#","tools":[{"type":"code_interpreter","container":{}}]"#), "unpriced_option tools"),
        (body("all", r#","tools":[{"type":"file_search"}]"#), "unpriced_option tools"),
        (body("tiered", r#","service_tier":"flex","audio":{},"plugins":[]"#), "unpriced_option audio"),
    ] {
        assert_eq!(told(&body), expected, "{body}");
    }
}

#[test]
fn the_tier_that_served_a_call_prices_it() {
    let asks = |tier: &str| format!(r#","service_tier":"{tier}""#);
    let unpriced = [Flag::ServiceTierUnpriced].as_slice();
    for (asked, said, tier, cost, flags) in [
        ("", "", None, PLAIN, [].as_slice()),
        ("", "default", None, PLAIN, &[]),
        ("", "priority", Some("priority"), PRIORITY, &[]),
        ("auto", "flex", Some("flex"), FLEX, &[]),
        ("auto", "scale", Some("scale"), PRIORITY, unpriced),
        ("default", "", None, PLAIN, &[]),
        ("on_demand", "", None, PLAIN, &[]),
        ("standard", "", None, PLAIN, &[]),
        ("flex", "", Some("flex"), FLEX, &[]),
        ("flex", "flex", Some("flex"), FLEX, &[]),
        ("flex", "auto", Some("flex"), FLEX, &[]),
        ("flex", "default", None, PLAIN, &[]),
        ("priority", "standard", None, PLAIN, &[]),
        ("priority", "scale", Some("scale"), PRIORITY, unpriced),
    ] {
        let ask = if asked.is_empty() { String::new() } else { asks(asked) };
        let say = if said.is_empty() { String::new() } else { asks(said) };
        let debit = debit(&ask, &say);
        assert_eq!(
            (debit.service_tier.as_deref(), debit.cost_pax.to_string().as_str(), debit.flags.as_slice()),
            (tier, cost, flags),
            "asked {asked:?}, served {said:?}"
        );
    }
}

#[test]
fn a_provider_is_asked_for_the_standard_tier_in_its_own_word() {
    let upstream = |more: &str, asked: &str| {
        let body = body("tiered", asked);
        let mut drive = drive_with(Tier::Credit, more);
        drive.chat().resolved(Status::Active).body(&body);
        let forward = drive.forward.expect("not refused");
        let sent: serde_json::Value =
            serde_json::from_slice(&crate::reading::request::edits::apply(body.as_bytes(), &forward.edits))
                .unwrap();
        sent.get("service_tier").cloned()
    };
    let word = r#""standard_tier": "on_demand", "#;
    for asked in ["", r#","service_tier":null"#, r#","service_tier":"auto""#, r#","service_tier":"default""#]
    {
        assert_eq!(upstream(word, asked), Some("on_demand".into()), "{asked}");
        assert_eq!(upstream("", asked), None, "{asked}");
    }
    for more in [word, ""] {
        assert_eq!(upstream(more, r#","service_tier":"flex""#), Some("flex".into()), "as it was asked for");
    }
}

#[test]
fn of_a_stream_the_last_tier_counts() {
    let mut drive = called(&body("tiered", r#","stream":true,"service_tier":"priority""#));
    drive.answer_head(200, "text/event-stream");
    for tier in ["priority", "default"] {
        let chunk =
            format!(r#"{{"id":"r","service_tier":"{tier}","choices":[{{"delta":{{"content":"x"}}}}]}}"#);
        drive.answer(&format!("data: {chunk}\n\n"), false);
    }
    drive.answer(&format!("data: {{\"service_tier\":null,\"choices\":[],{USAGE}}}\n\n"), true);
    assert_eq!(
        (&drive.debits[0].service_tier, drive.debits[0].cost_pax.to_string().as_str()),
        (&None, PLAIN)
    );
}

#[test]
fn an_estimate_is_priced_by_the_tier_that_was_asked_for() {
    let mut drive = called(&body("tiered", r#","service_tier":"priority""#));
    drive.step(Event::Closed(ClosedBy::Caller));
    let debit = &drive.debits[0];
    assert_eq!((debit.provenance, debit.service_tier.as_deref()), (Provenance::Estimated, Some("priority")));
    // So many tokens × 0.306211724, in femtopax; half up to picopax.
    let expected = debit.tokens_input.0 * 306_211_724;
    assert_eq!(u64::try_from(debit.cost_pax.picopax()).unwrap(), (expected + 500) / 1_000);
    debit.prove(&bundle()).unwrap();
}

#[test]
fn a_debit_is_proved_by_the_tier_that_it_names() {
    let flex = debit(r#","service_tier":"flex""#, "");
    for (tier, says) in
        [(None, "priced again"), (Some("priority"), "priced again"), (Some("scale"), "does not price")]
    {
        let other = Debit { service_tier: tier.map(str::to_owned), ..flex.clone() };
        let why = other.prove(&bundle()).unwrap_err().to_string();
        assert!(why.contains(says), "{tier:?}: {why}");
    }
}

#[test]
fn a_part_that_is_more_than_its_whole_is_flagged() {
    let mut drive = called(&body("thinks", ""));
    drive.answer_head(200, "application/json");
    let details = r#""completion_tokens_details":{"reasoning_tokens":21}"#;
    drive.answer(&format!(r#"{{"usage":{{"prompt_tokens":10,"completion_tokens":20,{details}}}}}"#), true);
    assert_eq!(drive.debits[0].flags, [Flag::PartExceedsWhole]);
    assert_eq!(drive.debits[0].cost_pax.to_string(), "0.000002449694", "the golden bill's");
}

#[test]
fn a_reservation_covers_whatever_may_serve_the_call() {
    let card = bundle().cards()[0].clone();
    let reserved = |more: &str, body: &str| {
        let mut drive = drive_with(Tier::Free, more);
        drive.chat().resolved(Status::Active);
        let effects = drive.exchange.step(Now::at(now()), Event::Body { bytes: body.as_bytes(), end: true });
        let admission = effects.into_iter().find_map(|effect| match effect {
            Effect::Open { admission, .. } => Some(admission),
            _ => None,
        });
        admission.expect("not refused").reservation.unwrap()
    };
    let tiered = &card.models["tiered"];
    for (more, asked) in [
        ("", "auto"),
        (r#","service_tier":null"#, "auto"),
        (r#","service_tier":"auto""#, "auto"),
        // This provider has no word for the standard tier, so no tier is sent to it.
        (r#","service_tier":"default""#, "auto"),
        (r#","service_tier":"flex""#, "flex"),
        (r#","service_tier":"priority""#, "priority"),
    ] {
        let body = body("tiered", &format!(r#","max_tokens":7{more}"#));
        let ceiling =
            |asked| tiered.ceiling(Tokens(body.len() as u64 + 1_024), Tokens(7), &ServiceTier::of(asked));
        assert_eq!(reserved("", &body), ceiling(asked), "{more}");
        // A provider that has a word for it gets that word.
        let told = if asked == "auto" { "default" } else { asked };
        assert_eq!(reserved(r#""standard_tier": "usual", "#, &body), ceiling(told), "{more}");
    }
    let output = Tokens(7);
    let picture = r#"{"type":"image_url","image_url":{"url":"https://x/y.png"}}"#;
    let kept = r#"{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}"#;
    for (part, whole_window) in [(picture, true), (kept, false)] {
        for (model, priced) in [("tiered", false), ("all", true)] {
            let body = format!(r#"{{"model":"{model}","max_tokens":7,"messages":[{{"content":[{part}]}}]}}"#);
            let model = &card.models[model];
            let limit = if whole_window { model.context_window } else { Tokens(body.len() as u64 + 1_024) };
            let told = reserved(r#""standard_tier": "usual", "#, &body);
            let plain = model.ceiling(limit, output, &ServiceTier::Plain);
            let dearest = model.unpriced_ceiling(limit, output, &ServiceTier::Plain);
            assert!(priced || dearest > plain);
            let expected = if priced { plain } else { dearest };
            assert_eq!(told, expected, "the provider may count what has no price: {body}");
        }
    }
    let spoken = &card.models["spoken"];
    for part in [r#""content":[{"type":"input_audio"}]"#, r#""audio":{"id":"a"}"#] {
        let body = format!(r#"{{"model":"spoken","max_tokens":7,"messages":[{{{part}}}]}}"#);
        let all = spoken.ceiling(spoken.context_window, Tokens(7), &ServiceTier::Plain);
        assert_eq!(reserved("", &body), all, "the tokens of audio cannot be told from its bytes");
    }
}

#[test]
fn the_list_of_models_says_all_that_has_a_price() {
    let mut drive = drive(Tier::Credit);
    let head = [(":method", "GET"), (":path", "/v1/models"), ("authorization", "Bearer t")];
    drive.head_of(&head, true).resolved(Status::Active);
    let list: serde_json::Value = serde_json::from_slice(&drive.reply.as_ref().unwrap().body).unwrap();
    let of =
        |id: &str| list["data"].as_array().unwrap().iter().find(|item| item["id"] == id).unwrap().clone();
    let all = of("all");
    assert_eq!(
        all["pax_per_mtok"],
        serde_json::json!({
            "input": "0.218722660", "cached_input": "0.021872266", "cache_write": "0.273403325",
            "cache_write_1h": "0.437445319", "audio_input": "3.499562555", "image_input": "0.349956255",
            "output": "0.874890639", "audio_output": "6.999125109", "image_output": "2.624671916",
            "reasoning_output": "1.049868766"
        })
    );
    assert_eq!(all["bands"][0]["above_input_tokens"], 200_000);
    assert_eq!(all["bands"][0]["pax_per_mtok"]["input"], "0.437445319");
    assert_eq!(all["pax_per_request_minimum"], "0.000874890639");
    assert_eq!(all["service_tiers"]["priority"]["bands"][0]["pax_per_mtok"]["output"], "2.624671916");
    let plain = of("plain");
    assert_eq!(plain["pax_per_mtok"], serde_json::json!({"input": "0.017497813", "output": "0.034995626"}));
    for absent in ["bands", "pax_per_request_minimum", "service_tiers"] {
        assert_eq!(plain.get(absent), None, "{absent}");
    }
}

#[test]
fn no_number_of_a_callers_makes_an_entry_that_a_ledger_cannot_hold() {
    for stated in ["9223372036854775808", "18446744073709551615"] {
        let body = hello().replacen('{', &format!("{{\"max_tokens\":{stated},"), 1);
        let mut drive = Drive::forwarded(&body);
        drive.answer_head(200, "application/json").answer(&format!("{{\"choices\":[{{}}],{USAGE}}}"), true);
        let debit: serde_json::Value = serde_json::from_slice(&drive.debit().to_canonical()).unwrap();
        let numbers = debit.as_object().unwrap().iter().filter(|(_, value)| value.is_number());
        for (name, number) in numbers {
            assert!(number.as_i64().is_some(), "{name} is {number}: no column of a ledger holds it");
        }
    }
}
