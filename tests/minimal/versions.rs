//! `envoy/minimal.yaml` as it is, on each version of Envoy.

use crate::common::http::Answer;
use crate::common::world::TOKEN;
use crate::envoy::{Envoy, free_port};
use crate::site::{PLATFORM_KEY, Site, ask, call, chat_body, root};
use serde_json::Value;
use std::path::PathBuf;

/// Versions that `envoy/minimal.yaml` works on. PyPI's 1.38 has no V8.
const VERSIONS: [&str; 3] = ["1.37.0", "1.39.3", "1.40.0"];

/// All of them, or with `PAX_TEST_ENVOYS=no` the one that everything else is tested with.
pub fn chosen() -> &'static [&'static str] {
    match std::env::var("PAX_TEST_ENVOYS").as_deref() {
        Ok("no") => &VERSIONS[2..],
        _ => &VERSIONS,
    }
}

fn binary(version: &str) -> PathBuf {
    if version == VERSIONS[2] {
        return Envoy::of_this_checkout();
    }
    let binary = root().join(format!(".tools/envoy-{version}/envoy/_bin/envoy"));
    let hint = "`sh envoy/tools.sh envoys` installs it; PAX_TEST_ENVOYS=no leaves it out";
    assert!(binary.is_file(), "there is no Envoy {version} in .tools: {hint}");
    binary
}

/// Calls of each kind, on an Envoy of that version.
pub fn serves(site: &Site, version: &str) {
    let port = free_port();
    let secret = site.world.stack.ledger_secret();
    let mut envoy = site.envoy(&binary(version), &site.minimal(port), port, secret);
    assert!(envoy.starts(), "{}", envoy.said());
    crate::mistakes::wait_a_while_for_readiness(port);
    let get = |path: &str, token: &str| ask(port, &call(port, path, token, &[], None)).expect("an answer");
    let post = |token: &str, more: &[(&str, &str)], body: &str| {
        ask(port, &call(port, "/v1/chat/completions", token, more, Some(body))).expect("an answer")
    };

    let models: Value = serde_json::from_slice(&get("/v1/models", TOKEN).body).unwrap();
    let models = models["data"].as_array().unwrap();
    assert!(models.len() > 10 && models.iter().all(|model| model["owned_by"] == "openai"), "{models:?}");

    let whole = post(TOKEN, &[], &chat_body(""));
    assert_eq!(whole.status, 200, "{}\n{}", whole.text(), envoy.said());
    let entry = site.entry_of(&whole);
    assert_eq!(entry["cost_pax"], whole.header("x-matrix-cost-pax"));
    let received = site.world.take_received().pop().unwrap();
    assert_eq!(received.header("authorization"), Some(format!("Bearer {PLATFORM_KEY}").as_str()));
    assert_eq!((received.path.as_str(), received.version.as_str()), ("/v1/chat/completions", "HTTP/2.0"));
    let told: Vec<&str> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(!told.iter().any(|name| name.starts_with("x-")), "the provider is told {told:?}");

    let streamed = post(TOKEN, &[], &chat_body(",\"stream\":true"));
    assert!(streamed.complete && streamed.text().ends_with("data: [DONE]\n\n"), "{}", streamed.text());
    assert_eq!(site.entry_of(&streamed)["stream"], true);

    let own = post(TOKEN, &[("x-matrix-byo-api-key", "sk-my-own")], &chat_body(""));
    assert_eq!((own.status, site.entry_of(&own)["cost_pax"].as_str()), (200, Some("0.000000000000")));
    let sent = site.world.take_received().pop().unwrap();
    assert_eq!(sent.header("authorization"), Some("Bearer sk-my-own"));

    let refused: Vec<Answer> = vec![
        post("mtx-nobodys", &[], &chat_body("")),
        post("mtx-demo-free", &[], &chat_body("")),
        post(TOKEN, &[], &"x".repeat(21 << 20)),
        get("/v2/nothing", TOKEN),
    ];
    let codes: Vec<String> = refused.iter().map(Answer::refusal).collect();
    assert_eq!(
        codes,
        ["401 invalid_api_key", "403 model_not_allowed", "413 request_too_large", "404 unknown_route"]
    );
    let credits = get("/v1/credits", TOKEN);
    assert!(credits.text().contains("\"account\":\"demo-credit\""), "{}", credits.text());
    assert_eq!(get("/readyz", TOKEN).status, 200);
    // A line for each call, and no secret in any.
    for id in
        [&whole, &streamed, &own].into_iter().chain(&refused).map(|answer| answer.header("x-request-id"))
    {
        assert!(id.len() == 36 && envoy.says(&format!("\"exchange_id\":\"{id}\"")), "{id}: {}", envoy.said());
    }
    let said = envoy.said();
    assert!(![TOKEN, PLATFORM_KEY, "sk-my-own", secret].iter().any(|it| said.contains(it)), "{said}");
    site.world.replay();
}

/// Who copies `minimal.yaml` gets its provider as the stack has it.
pub fn same_provider() {
    let read = |name: &str| std::fs::read_to_string(root().join("envoy").join(name)).unwrap();
    let providers: Value = serde_json::from_str(&read("providers.json")).unwrap();
    let text = read("minimal.yaml");
    let (_, json) = text.split_once("value: |\n").unwrap();
    let (json, _) = json.split_once("\n\n").unwrap();
    let config: Value = serde_json::from_str(json).unwrap();
    let (own, ours) = (&config["providers"]["openai"], &providers["openai"]);
    for (key, value) in own.as_object().unwrap() {
        assert!(
            key == "cluster" || *value == ours[key],
            "{key}: {value}, and in providers.json {}",
            ours[key]
        );
    }
    for key in ["standard_tier", "model_patterns", "output_maximum"] {
        assert!(own.get(key).is_some(), "{key}");
    }
}
