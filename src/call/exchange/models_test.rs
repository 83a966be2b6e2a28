//! What an exchange answers about models: the caller's list, one model of it, and the refusal of any other
//! model.

use super::*;
use serde_json::Value;

const LISTED: &str = "accounts/fireworks/models/gpt-oss-120b";

/// The answer to a GET. If `keyless`, the platform has no key for Fireworks.
fn get(tier: Tier, keyless: bool, path: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let drive = drive(tier, keyless, &[&[(":method", "GET"), (":path", path)], more].concat());
    let reply = drive.reply.unwrap();
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

fn drive(tier: Tier, keyless: bool, head: &[(&str, &str)]) -> Drive {
    let mut drive = fresh(keyless);
    drive.tier = tier;
    drive.head_of(&[&[("authorization", "Bearer t")], head].concat(), true).resolved(Status::Active);
    drive
}

fn fresh(keyless: bool) -> Drive {
    let config = match keyless {
        true => CONFIG.replacen(r#""own_keys": true"#, r#""own_keys": true, "platform_funding": false"#, 1),
        false => CONFIG.to_owned(),
    };
    let gateway =
        Gateway { config: Config::parse(&config).unwrap(), bundle: Bundle::embedded().unwrap().into() };
    Drive { exchange: Exchange::new(Rc::new(gateway)), ..Drive::new() }
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect()
}

#[test]
fn one_model_of_the_list_is_told_as_the_list_has_it() {
    let (_, list) = get(Tier::Credit, false, "/v1/models", &[]);
    for model in list["data"].as_array().unwrap() {
        let id = model["id"].as_str().unwrap();
        for path in [id.to_owned(), id.replace('/', "%2F"), format!("{}?x=y", id.replace('/', "%2f"))] {
            let told = get(Tier::Credit, false, &format!("/v1/models/{path}"), &[]);
            assert_eq!(told, (200, model.clone()), "{path}");
        }
    }
}

#[test]
fn another_model_is_refused_as_a_call_of_it_would_be() {
    let (status, told) = get(Tier::Credit, false, "/v1/models/gpt-oss-120b", &[]);
    assert_eq!((status, told["error"]["code"].as_str()), (404, Some("model_not_found")));
    assert!(told["error"]["message"].as_str().unwrap().starts_with(&format!("Did you mean \"{LISTED}\"")));
    let (status, told) =
        get(Tier::Free, false, "/v1/models/accounts%2Ffireworks%2Fmodels%2Fgpt-oss-20b", &[]);
    assert_eq!((status, told["error"]["code"].as_str()), (403, Some("model_not_allowed")));
    let long = format!("/v1/models/{}", "x/".repeat(30 * 1024));
    let (status, told) = get(Tier::Credit, false, &long, &[]);
    assert_eq!(status, 404);
    assert!(told.to_string().len() < 600, "{}", told.to_string().len());
}

#[test]
fn without_a_key_of_the_platforms_a_provider_serves_callers_own_keys_only() {
    let own_key = [("x-matrix-byo-api-key", "sk-mine")];
    for tier in [Tier::Free, Tier::Credit] {
        let (_, with) = get(tier, false, "/v1/models", &[]);
        assert!(ids(&with).contains(&LISTED));
        let (_, without) = get(tier, true, "/v1/models", &[]);
        assert!(!without.to_string().contains("fireworks"), "{without}");
        let (_, own) = get(tier, true, "/v1/models", &own_key);
        assert!(ids(&own).contains(&LISTED) && own["daily_cap_pax"].is_null(), "{own}");
        assert_eq!(get(tier, true, &format!("/v1/models/{LISTED}"), &own_key).0, 200);
        let (status, told) = get(tier, true, &format!("/v1/models/{LISTED}"), &[]);
        assert_eq!((status, told["error"]["code"].as_str()), (403, Some("model_not_allowed")));
        assert!(told["error"]["message"].as_str().unwrap().contains("X-Matrix-BYO-API-Key"), "{told}");
    }
    let call = |more: &[(&str, &str)]| {
        let head = [(":method", "POST"), (":path", "/v1/chat/completions"), ("authorization", "Bearer t")];
        let mut drive = fresh(true);
        let body = hello().replace(MODEL, LISTED);
        drive.head_of(&[&head, more].concat(), false).resolved(Status::Active).body(&body);
        drive
    };
    let refused = call(&[]);
    assert_eq!(refused.code(), "403 model_not_allowed");
    assert!(refused.forward.is_none() && refused.owed() == 0, "it does not go upstream to be a 502");
    assert!(call(&own_key).forward.is_some());
}

#[test]
fn the_slot_of_a_caller_decides_also_which_names_it_is_told() {
    let near = |slot: &str| {
        let (_, told) = get(Tier::Free, false, "/v1/models/gpt-oss-120b", &[("x-matrix-slot", slot)]);
        told["error"]["message"].as_str().unwrap().to_owned()
    };
    assert!(near("default").starts_with(&format!("Did you mean \"{LISTED}\"?")));
    assert!(near("nobody-s").starts_with("Take one of GET /v1/models:"), "{}", near("nobody-s"));
}

#[test]
fn an_unknown_path_is_told_with_its_path() {
    for (method, path, says) in [
        ("POST", "/v1/responses?stream=true", "/v1/responses is OpenAI's Responses API"),
        ("POST", "/v1/messages", "/v1/messages is Anthropic's Messages API"),
        ("POST", "/chat/completions", "Add /v1 to the end of the base URL"),
        ("GET", "/v1/credits?a=b", "/v1/credits is not served here"),
    ] {
        let mut drive = Drive::new();
        drive.head_of(&[(":method", method), (":path", path), ("authorization", "Bearer t")], true);
        assert_eq!(drive.code(), "404 unknown_route");
        let body = String::from_utf8(drive.reply.unwrap().body).unwrap();
        assert!(body.contains(says) && !body.contains('?'), "{body}");
    }
}
