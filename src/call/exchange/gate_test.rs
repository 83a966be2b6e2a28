//! The gate as an exchange sees it: whitelist, cap, own keys, models, credits, the kill switch.

use super::*;
use crate::base::pairs::Pairs;

fn free() -> Drive {
    let mut drive = Drive::new();
    drive.tier = Tier::Free;
    drive
}

/// A model that v1 lets the free tier call in the default slot.
pub(super) fn free_body() -> String {
    let bundle = gateway().bundle.clone();
    let model = bundle.in_force(now()).unwrap().free_tier.slots["default"][0].clone();
    format!(r#"{{"model":"{model}","max_tokens":50,"messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

#[test]
fn a_free_call_that_settles_says_where_the_day_stands() {
    let mut drive = free();
    drive.chat().resolved(Status::Active).body(&free_body());
    assert_eq!(drive.owed(), 1);
    drive.answer_head(200, "application/json");
    assert!(drive.exchange.answer_waits());
    drive.answer(&format!("{{{USAGE}}}"), true);
    assert!(!drive.exchange.answer_waits());
    assert_eq!(drive.header("x-matrix-daily-spent-pax"), Some("9.000000000000"));
    assert_eq!(drive.header("x-matrix-daily-remaining-pax"), Some("1.000000000000"));
    assert!(drive.header("x-matrix-cost-pax").is_some());
    assert_eq!(drive.owed(), 0);
}

#[test]
fn a_reservation_that_does_not_fit_is_refused_with_what_is_left() {
    let mut drive = free();
    drive.opens = Err(NotOpened::Exceeded(Daily { spent: "10".parse().unwrap(), ..DAILY }));
    drive.chat().resolved(Status::Active).body(&free_body());
    assert_eq!(drive.code(), "429 daily_cap_exceeded");
    let body: serde_json::Value = serde_json::from_slice(&drive.reply.as_ref().unwrap().body).unwrap();
    assert_eq!(body["error"]["spent_pax"], "10.000000000000");
    assert_eq!(body["error"]["limit_pax"], "10.000000000000");
    assert_eq!(body["error"]["resets_at"], "2026-06-02T00:00:00.000Z");
    let retry = ("x-should-retry", "false".to_owned());
    assert!(drive.reply.as_ref().unwrap().headers.contains(&retry));
    assert!(drive.exchange.request_waits() && drive.owed() == 0);
}

#[test]
fn a_call_that_does_not_fit_is_told_how_it_could_cost_less() {
    let unstated = free_body().replace(r#""max_tokens":50,"#, "");
    let embedding = r#"{"model":"nomic-ai/nomic-embed-text-v1.5","input":"Hello"}"#.to_owned();
    for (path, body, spent, says) in [
        ("/v1/chat/completions", free_body(), "9.5", "lower max_tokens"),
        ("/v1/chat/completions", unstated, "9.5", "state max_tokens (without it"),
        // The input alone costs more than is left, so no maximum helps.
        ("/v1/chat/completions", free_body(), "9.9999999999", "Send less input"),
        ("/v1/embeddings", embedding, "9.5", "send less input"),
    ] {
        let mut drive = free();
        drive.opens = Err(NotOpened::Exceeded(Daily { spent: spent.parse().unwrap(), ..DAILY }));
        drive.head_of(&[(":method", "POST"), (":path", path), ("authorization", "Bearer t")], false);
        drive.resolved(Status::Active).body(&body);
        assert_eq!(drive.code(), "429 daily_cap_exceeded", "{body}");
        let told = String::from_utf8(drive.reply.unwrap().body).unwrap();
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn a_body_without_room_is_refused_as_long_as_nothing_went_on() {
    let refused = |known: bool, full: Full| {
        let mut drive = Drive::new();
        drive.chat();
        if known {
            drive.resolved(Status::Active);
        }
        drive.step(Event::NoRoom(full));
        assert!(drive.exchange.request_waits() && drive.owed() == 0);
        // What comes later changes nothing.
        drive.resolved(Status::Active).body(&free_body());
        assert!(drive.forward.is_none() && drive.exchange.request_waits() && drive.owed() == 0);
        drive.code()
    };
    assert_eq!(refused(false, Full::Strangers), "503 ledger_unavailable");
    assert_eq!(refused(false, Full::All), "429 too_many_bytes_open");
    assert_eq!(refused(true, Full::Account), "429 too_many_bytes_open");
    assert_eq!(refused(true, Full::All), "429 too_many_bytes_open");
    let mut drive = Drive::forwarded(&hello());
    drive.step(Event::NoRoom(Full::Account));
    assert!(drive.reply.is_none() && drive.owed() == 1);
}

#[test]
fn the_ledger_is_asked_once_where_the_day_is_not_known() {
    let mut drive = free();
    drive.opens = Err(NotOpened::Unknown);
    drive.chat().resolved(Status::Active).body(&free_body());
    assert_eq!(drive.asked, [false, true], "anew, whatever is remembered");
    assert!(drive.exchange.request_waits());
    drive.opens = Ok(());
    drive.resolved(Status::Active);
    assert!(drive.forward.is_some() && !drive.exchange.request_waits() && drive.owed() == 1);

    let mut drive = free();
    drive.opens = Err(NotOpened::Unknown);
    drive.chat().resolved(Status::Active).body(&free_body()).resolved(Status::Active);
    assert_eq!(drive.code(), "503 ledger_unavailable", "it does not know either");
    let mut drive = free();
    drive.opens = Err(NotOpened::Unknown);
    drive.chat().resolved(Status::Active).body(&free_body()).resolved(Status::Disabled);
    assert_eq!(drive.code(), "403 account_disabled", "it was switched off meanwhile");
}

#[test]
fn an_answer_that_is_not_charged_gives_the_reservation_back() {
    let mut drive = free();
    drive.chat().resolved(Status::Active).body(&free_body());
    drive.answer_head(500, "application/json").answer("{}", true).step(Event::Closed(ClosedBy::Caller));
    assert_eq!((drive.owed(), drive.debits.len()), (0, 0));
    let mut drive = free();
    drive.chat().resolved(Status::Active).body(&free_body());
    drive
        .answer_head(200, "text/event-stream")
        .answer("data: {\"error\":{}}\n\n", true)
        .step(Event::Closed(ClosedBy::Caller));
    assert_eq!((drive.owed(), drive.debits.len()), (0, 0));
}

#[test]
fn the_free_tier_calls_what_is_on_its_slots_list() {
    let call = |headers: &[(&str, &str)], body: &str| {
        let mut drive = free();
        let all = [
            &[(":method", "POST"), (":path", "/v1/chat/completions"), ("authorization", "Bearer t")],
            headers,
        ];
        drive.head_of(&all.concat(), false).resolved(Status::Active).body(body);
        drive
    };
    let refused = call(&[("x-matrix-slot", "nobody-s")], &free_body());
    assert_eq!(refused.code(), "403 model_not_allowed");
    let text = String::from_utf8(refused.reply.unwrap().body).unwrap();
    assert!(text.contains("X-Matrix-BYO-API-Key") && text.contains("nobody-s"), "{text}");
    let unknown = free_body().replace("accounts/", "nowhere/");
    assert_eq!(call(&[], &unknown).code(), "404 model_not_found");
}

#[test]
fn a_call_with_a_key_of_ones_own_needs_no_list_and_no_cap_and_costs_nothing() {
    let config = CONFIG
        .replace(r#""stream_usage": "ask""#, r#""stream_usage": "ask", "model_patterns": ["nowhere/*"]"#);
    let gateway =
        Gateway { config: Config::parse(&config).unwrap(), bundle: Bundle::embedded().unwrap().into() };
    let mut drive = Drive { exchange: Exchange::new(Rc::new(gateway)), ..free() };
    let headers = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        ("authorization", "Bearer t"),
        ("x-matrix-byo-api-key", "sk-mine"),
    ];
    let body =
        r#"{"model":"nowhere/new","service_tier":"priority","messages":[{"role":"user","content":"Hello"}]}"#;
    drive.head_of(&headers, false).resolved(Status::Active).body(body);
    let forward = drive.forward.clone().unwrap();
    assert_eq!(forward.mark, "fireworks");
    assert!(forward.headers.contains(&("authorization".to_owned(), b"Bearer sk-mine".to_vec())));
    assert_eq!(apply(body.as_bytes(), &forward.edits), body.as_bytes());
    drive.answer_head(200, "application/json").answer(&format!("{{{USAGE}}}"), true);
    assert_eq!(drive.header("x-matrix-cost-pax"), Some("0.000000000000"));
    let debit = drive.debit();
    assert_eq!((debit.funding, debit.cost_pax), (Funding::Byo, Pax::ZERO));
    assert_eq!((debit.tokens_input.0, debit.tokens_output.0), (100_000, 30_000));
    assert!(!format!("{debit:?}").contains("sk-mine"));
}

#[test]
fn a_key_of_ones_own_is_no_way_to_a_provider_that_takes_none() {
    let config = CONFIG
        .replace(r#""own_keys": true"#, r#""own_keys": false"#)
        .replace(r#""stream_usage": "ask""#, r#""stream_usage": "ask", "model_patterns": ["nowhere/*"]"#);
    let gateway = Rc::new(Gateway {
        config: Config::parse(&config).unwrap(),
        bundle: Bundle::embedded().unwrap().into(),
    });
    let call = |headers: &[(&str, &str)], body: &str| {
        let mut drive = Drive { exchange: Exchange::new(Rc::clone(&gateway)), ..free() };
        let head = [(":method", "POST"), (":path", "/v1/chat/completions"), ("authorization", "Bearer t")];
        drive.head_of(&[&head, headers].concat(), false).resolved(Status::Active).body(body);
        assert!(drive.exchange.request_waits() == drive.forward.is_none() && drive.debits.is_empty());
        (drive.code(), drive.reply.map(|reply| String::from_utf8(reply.body).unwrap()).unwrap_or_default())
    };
    // A model of the free list, a priced model that is not on that list, and a model that only the provider
    // knows.
    let bodies = [free_body(), hello(), hello().replace(MODEL, "nowhere/new")];
    for body in &bodies {
        for headers in [
            &[("x-matrix-byo-api-key", "sk-any")][..],
            &[("x-matrix-byo-api-key", "true"), ("x-matrix-user-api-key", "sk-any")],
        ] {
            let (code, text) = call(headers, body);
            assert_eq!(code, "403 model_not_allowed", "{body}");
            assert!(text.contains("Leave out X-Matrix-BYO-API-Key") && !text.contains("sk-any"), "{text}");
        }
    }
    let (code, text) = call(&[("x-matrix-slot", "nobody-s")], &free_body());
    assert!(code == "403 model_not_allowed" && text.contains("takes no key of your own"), "{text}");
}

#[test]
fn a_caller_asks_for_its_models_and_the_ledger_for_its_credits() {
    let get = |path: &str, credits: &str, tier: Tier| {
        let config = CONFIG.replacen('{', &format!("{{{credits}"), 1);
        let gateway =
            Gateway { config: Config::parse(&config).unwrap(), bundle: Bundle::embedded().unwrap().into() };
        let mut drive = Drive { exchange: Exchange::new(Rc::new(gateway)), ..free() };
        drive.tier = tier;
        let head =
            [(":method", "GET"), (":path", path), ("authorization", "Bearer t"), ("x-pax-account", "other")];
        drive.head_of(&head, true).resolved(Status::Active);
        drive
    };
    const CREDITS: &str = r#""credits": {"cluster": "credits", "authority": "ledger"},"#;
    let list = |tier| -> serde_json::Value {
        serde_json::from_slice(&get("/v1/models", "", tier).reply.unwrap().body).unwrap()
    };
    let (free, all) = (list(Tier::Free), list(Tier::Credit));
    assert!(free["data"].as_array().unwrap().len() < all["data"].as_array().unwrap().len());
    assert_eq!(free["rate_table_v"], 1);
    assert_eq!(free["data"][0]["own_keys"], true);
    assert_eq!(free["data"][0]["object"], "model");
    assert!(free["data"][0]["pax_per_mtok"]["input"].is_string(), "never a float");

    assert_eq!(get("/v1/credits", "", Tier::Free).code(), "404 unknown_route", "not served here");
    let drive = get("/v1/credits/ledger?limit=5", CREDITS, Tier::Free);
    let forward = drive.forward.as_ref().unwrap();
    assert_eq!(forward.mark, crate::call::event::CREDITS_MARK);
    let names: Vec<&str> = forward.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [":method", ":path", ":authority", "x-pax-account"]);
    assert!(forward.headers.contains(&("x-pax-account".to_owned(), b"acme".to_vec())));
    assert!(forward.headers.contains(&(":path".to_owned(), b"/v1/credits/ledger?limit=5".to_vec())));
    assert!(!drive.exchange.request_waits() && drive.owed() == 0);
}

#[test]
fn under_the_kill_switch_it_lives_and_takes_no_calls() {
    let config = CONFIG.replacen('{', r#"{"disabled": true,"#, 1);
    let get = |method: &str, path: &str| {
        let gateway =
            Gateway { config: Config::parse(&config).unwrap(), bundle: Bundle::embedded().unwrap().into() };
        let mut drive = Drive { exchange: Exchange::new(Rc::new(gateway)), ..free() };
        drive.head_of(&[(":method", method), (":path", path), ("authorization", "Bearer t")], true);
        drive
    };
    assert_eq!(get("GET", "/healthz").reply.unwrap().body, br#"{"status":"disabled"}"#);
    for (method, path) in [("GET", "/readyz"), ("POST", "/v1/chat/completions"), ("GET", "/v1/models")] {
        let drive = get(method, path);
        assert_eq!(drive.code(), "503 gateway_disabled", "{path}");
        assert!(drive.reply.unwrap().headers.iter().any(|(name, _)| *name == "retry-after"));
    }
}

#[test]
fn readiness_is_refused_with_its_reason_and_liveness_is_not() {
    let cards = || Rc::new(Bundle::embedded().unwrap());
    let disabled = CONFIG.replacen('{', r#"{"disabled": true,"#, 1);
    let ask = |config: &str, bundle: Rc<Bundle>, path: &str, outbox_has_room: bool, ledger_answers: bool| {
        let gateway = Gateway { config: Config::parse(config).unwrap(), bundle };
        let mut drive = Drive { exchange: Exchange::new(Rc::new(gateway)), ..free() };
        let headers = [(":method", "GET"), (":path", path)];
        let (end, random) = (true, [0; 10]);
        drive.step(Event::Head {
            headers: &Pairs::of(&headers),
            end,
            random,
            outbox_has_room,
            ledger_answers,
        });
        drive
    };
    for (config, bundle, room, ledger, code, says) in [
        (disabled.as_str(), cards(), true, true, "503 gateway_disabled", "switched it off"),
        (CONFIG, cards(), true, false, "503 ledger_unavailable", "its ledger does not answer"),
        (CONFIG, cards(), false, true, "503 ledger_unavailable", "too many debits wait"),
        (CONFIG, Rc::default(), true, true, "503 gateway_disabled", "no rate card is in force"),
        (CONFIG, Rc::default(), false, false, "503 ledger_unavailable", "its ledger does not answer"),
    ] {
        let drive = ask(config, Rc::clone(&bundle), "/readyz", room, ledger);
        assert_eq!(drive.code(), code, "{says}");
        let reply = drive.reply.unwrap();
        assert!(String::from_utf8_lossy(&reply.body).contains(says), "{says}");
        assert!(reply.headers.iter().any(|(name, _)| *name == "retry-after"), "{says}");
        assert_eq!(ask(config, bundle, "/healthz", room, ledger).reply.unwrap().status, 200);
    }
    assert_eq!(ask(CONFIG, cards(), "/readyz", true, true).reply.unwrap().body, br#"{"status":"ok"}"#);
}

#[test]
fn a_provider_that_reports_unasked_is_not_asked() {
    let body = stream().replace(MODEL, "mistral-small-latest");
    let mut drive = Drive::new();
    drive.chat().resolved(Status::Active);
    let now = Now::at("2026-12-01T00:00:00Z".parse().unwrap());
    let opened = drive.exchange.step(now, Event::Body { bytes: body.as_bytes(), end: true });
    let [Effect::Open { admission, .. }] = opened.as_slice() else { panic!("{opened:?}") };
    let opened = drive.gate.open(admission);
    drive.effects(Event::Opened(opened));
    let forward = drive.forward.unwrap();
    assert_eq!((forward.mark.as_str(), forward.edits.len()), ("mistral", 0));
}
