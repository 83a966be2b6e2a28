use super::*;

const ONE: &str = r#"{"p": {"authority": "api.p.ai", "base_path": "/v1", "key_env": "P_KEY", "stream_usage": "always",
    "usage_rules": "additional/1", "output_maximum": "max_completion_tokens", "stops_at": "model_maximum", "own_keys": true,
    "standard_tier": "default", "options": ["think"], "key_header": "x-api-key", "key_prefix": "",
    "model_patterns": ["p-*"], "source": "https://p.ai"}}"#;

fn config_of(providers: &str, upstream: &Upstream) -> Value {
    let plain = read_upstream(&Layout::find().unwrap()).unwrap();
    filter_config(&parse(providers).unwrap(), upstream, &plain, 1, &[])
}

#[test]
fn the_standin_stops_by_itself_and_is_sent_what_the_provider_is_that_it_plays() {
    let said = &config_of(ONE, &Upstream::Standin("127.0.0.1:8000".into()))["providers"]["p"];
    assert_eq!(
        json!([said["authority"], said["output_maximum"], said["stops_at"], said["options"]]),
        json!(["127.0.0.1:8000", "max_tokens", "model_maximum", ["think"]])
    );
}

#[test]
fn an_upstream_server_is_every_provider_and_is_spoken_to_as_a_plain_server() {
    let config = config_of(ONE, &Upstream::Server("127.0.0.1:8000".into()));
    let said = &config["providers"]["p"];
    assert_eq!(
        json!([said["authority"], said["base_path"], said["stream_usage"], said["usage_rules"]]),
        json!(["127.0.0.1:8000", "/v1", "ask", "openai/1"])
    );
    assert_eq!((&said["output_maximum"], &said["stops_at"]), (&json!("max_tokens"), &json!("context_end")));
    assert_eq!(said["credential"], json!({"header": "x-api-key", "prefix": ""}), "a caller's own key");
    assert_eq!((&said["standard_tier"], &said["model_patterns"]), (&Value::Null, &json!(["p-*"])));
}

#[test]
fn the_shipped_providers_charge_callers_own_keys_and_one_server_only_where_its_operator_says_so() {
    let providers = read(&Layout::find().unwrap()).unwrap();
    let plain = read_upstream(&Layout::find().unwrap()).unwrap();
    let config = |upstream: &Upstream| filter_config(&providers, upstream, &plain, 1, &[]);
    let takes = |config: &Value| -> Vec<bool> {
        let providers = config["providers"].as_object().unwrap().values();
        providers.map(|provider| provider["own_keys"].as_bool().unwrap()).collect()
    };
    assert_eq!(takes(&config(&Upstream::Providers)), [true; 7]);
    let mut config = config(&Upstream::Server("127.0.0.1:8000".into()));
    assert_eq!(takes(&config), [false; 7]);
    take_own_keys(&mut config);
    assert_eq!(takes(&config), [true; 7]);
}

#[test]
fn a_provider_keeps_its_own_conventions_over_tls() {
    let config = config_of(ONE, &Upstream::Providers);
    assert_eq!(
        config["providers"]["p"],
        json!({
            "cluster": "p", "authority": "api.p.ai", "base_path": "/v1", "stream_usage": "always",
            "usage_rules": "additional/1", "output_maximum": "max_completion_tokens",
            "stops_at": "model_maximum", "own_keys": true, "platform_funding": false,
            "standard_tier": "default", "options": ["think"],
            "credential": {"header": "x-api-key", "prefix": ""}, "model_patterns": ["p-*"],
        })
    );
}

#[test]
fn what_providers_json_leaves_out_is_the_filters_own_default() {
    let text = r#"{"p": {"authority": "a", "base_path": "/v1", "key_env": "K", "stream_usage": "ask",
        "stops_at": "context_end", "own_keys": true}}"#;
    let config = config_of(text, &Upstream::Providers);
    assert_eq!(
        config["providers"]["p"],
        json!({
            "cluster": "p", "authority": "a", "base_path": "/v1", "stream_usage": "ask",
            "usage_rules": "openai/1", "output_maximum": "max_tokens", "stops_at": "context_end",
            "own_keys": true, "platform_funding": false, "options": [],
            "credential": {"header": "authorization", "prefix": "Bearer "}, "model_patterns": [],
        })
    );
}

#[test]
fn a_providers_models_are_served_on_platform_funding_where_the_environment_has_its_key() {
    // Every environment has a PATH.
    let with_key = ONE.replace("P_KEY", "PATH");
    let server = Upstream::Server("127.0.0.1:8000".into());
    for (providers, upstream, is_served) in [
        (with_key.as_str(), &Upstream::Providers, true),
        (ONE, &Upstream::Providers, false),
        (ONE, &server, true),
        (ONE, &Upstream::Standin("127.0.0.1:8000".into()), true),
    ] {
        let served = &config_of(providers, upstream)["providers"]["p"]["platform_funding"];
        assert_eq!(served, is_served, "{upstream:?}");
    }
}

#[test]
fn every_provider_of_ours_names_where_its_conventions_are_documented() {
    let providers = read(&Layout::find().unwrap()).unwrap();
    assert!(providers.values().all(|provider| provider.conventions.source.starts_with("https://")));
}

#[test]
fn no_two_providers_of_ours_claim_the_same_models() {
    let providers = read(&Layout::find().unwrap()).unwrap();
    let starts: Vec<(&String, &str)> = providers
        .iter()
        .flat_map(|(name, provider)| provider.model_patterns.iter().map(move |pattern| (name, pattern)))
        .map(|(name, pattern)| {
            (name, pattern.strip_suffix('*').expect("a pattern of ours ends with its star"))
        })
        .collect();
    assert!(providers.values().all(|provider| !provider.model_patterns.is_empty()));
    for (name, start) in &starts {
        let other = starts.iter().find(|(other, begins)| other != name && begins.starts_with(start));
        assert_eq!(other, None, "{name}: {start}");
    }
}

#[test]
fn a_mistake_in_providers_json_is_named() {
    for (from, to, named) in [
        ("api.p.ai", "api.p.ai\\\" }", "p.authority"),
        ("/v1", "/v1/", "p.base_path"),
        ("P_KEY", "P KEY", "p.key_env"),
        ("\"p\"", "\"ledger\"", "ledger"),
        ("\"key_env\"", "\"key_envv\"", "key_env"),
        ("\"source\"", "\"sauce\"", "p.sauce"),
        ("model_maximum", "somewhere", "somewhere"),
        ("max_completion_tokens", "max_output", "max_output"),
        ("\"own_keys\": true,", "", "own_keys"),
        ("x-api-key", "X-API-Key", "p.key_header"),
    ] {
        let error = parse(&ONE.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn an_authority_is_a_host_and_maybe_a_port() {
    let split = |text| split_authority(text, 80);
    assert_eq!(split("localhost:11434"), Some(("localhost".into(), 11434)));
    assert_eq!(split("10.0.0.1"), Some(("10.0.0.1".into(), 80)));
    assert_eq!(split("[::1]:8000"), Some(("::1".into(), 8000)));
    for bad in ["", ":80", "host:", "host:0", "host:99999", "http://host", "a b:1", "[::1"] {
        assert_eq!(split(bad), None, "{bad}");
    }
}
