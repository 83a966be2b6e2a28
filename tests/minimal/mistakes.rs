//! `envoy/minimal.yaml` with one thing wrong: what `pax-stack check` says of it, and what happens in a real Envoy.

use crate::common::http::Answer;
use crate::common::world::TOKEN;
use crate::envoy::{Envoy, free_port};
use crate::site::{PLATFORM_KEY, Site, ask, call, chat_body};
use pax_standin::Behaviour;
use serde::Deserialize;
use serde_yaml_ng::Value;
use std::time::{Duration, Instant};

/// A line of `mistakes.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mistake {
    /// What is wrong, in words.
    pub name: String,
    /// Texts of `minimal.yaml` and what they become.
    #[serde(default)]
    edit: Vec<(String, String)>,
    /// Whether the filter is in a file of its own, which Envoy discovers.
    #[serde(default)]
    discovered: bool,
    /// Whether Envoy has another secret in its environment than the ledger.
    #[serde(default)]
    wrong_secret: bool,
    /// How `pax-stack check` names it: level, end of the path, and how the sentence begins. Empty if a file cannot tell.
    check: Vec<String>,
    /// Envoy does not come to serve.
    #[serde(default)]
    refuses_to_start: bool,
    /// Which call is made.
    #[serde(default)]
    call: Call,
    /// Its answer: `200`, or status and code of a refusal, or `hangs`.
    #[serde(default)]
    answer: String,
    /// What Envoy's log then says.
    #[serde(default)]
    log: Vec<String>,
    /// What else is observed.
    #[serde(default)]
    seen: Option<Seen>,
    /// If calls are served all the same: the danger, in words.
    #[serde(default)]
    danger: String,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Call {
    /// A chat call.
    #[default]
    Chat,
    /// One of a body of 1.5 MB.
    Large,
    /// One whose provider answers after two seconds.
    Slow,
    /// One whose provider answers 500.
    Failing,
    /// One with an answer of 400 kB.
    LongAnswer,
    /// One with a provider key of the caller's own.
    OwnKey,
    /// The caller's own credits.
    Credits,
    /// A path that only somebody's own route serves, without a token.
    Direct,
}

/// What is to be seen beside the answer.
#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Seen {
    /// The provider was sent the call three times.
    SentThreeTimes,
    /// The provider got the platform's key with the caller's own call.
    PlatformKey,
    /// The platform's key is in Envoy's log.
    KeyInLog,
    /// The provider was called, and there is no entry.
    Unmetered,
}

/// The table.
pub fn all() -> Vec<Mistake> {
    serde_yaml_ng::from_str(include_str!("mistakes.yaml")).unwrap()
}

pub fn judge(site: &Site, mistake: &Mistake) {
    let port = free_port();
    let mut text = site.minimal(port);
    for (from, to) in &mistake.edit {
        let (from, to) = (site.filled(from), site.filled(to));
        assert_eq!(text.matches(&from).count(), 1, "{from:?} is to be there once");
        text = text.replace(&from, &to);
    }
    if mistake.discovered {
        text = discover(site, &text);
    }
    check(site, mistake, &text);
    let secret = if mistake.wrong_secret {
        "another-secret-another-secret-00"
    } else {
        site.world.stack.ledger_secret()
    };
    let mut envoy = site.envoy(&Envoy::of_this_checkout(), &text, port, secret);
    let started = envoy.starts();
    assert_eq!(started, !mistake.refuses_to_start, "{}", envoy.said());
    if started {
        wait_a_while_for_readiness(port);
        make_call(site, mistake, port, &envoy);
    }
    for line in &mistake.log {
        assert!(envoy.says(line), "{line:?} is not in the log:\n{}", envoy.said());
    }
    let speaks = mistake.refuses_to_start || mistake.answer != "200" || !mistake.danger.is_empty();
    assert!(speaks && !(mistake.refuses_to_start && mistake.log.is_empty()), "nobody would notice");
}

/// Moves the filter into a file of its own.
fn discover(site: &Site, text: &str) -> String {
    let whole: Value = serde_yaml_ng::from_str(text).unwrap();
    let manager =
        &whole["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let filter = manager["http_filters"].as_sequence().unwrap().iter().find(|it| it["name"] == "pax_gateway");
    let filter = serde_json::to_string(&filter.unwrap()["typed_config"]).unwrap();
    let file = site.folder.join("filter.yaml");
    let kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    let resource = format!("{{ \"@type\": {kind}, name: pax_gateway, typed_config: {filter} }}");
    std::fs::write(&file, format!("resources: [{resource}]\n")).unwrap();
    let inline = "typed_config:\n                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n                      config: *pax_gateway\n";
    let source =
        format!("{{ resource_api_version: V3, path_config_source: {{ path: {} }} }}", file.display());
    let types = "[type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]";
    let discovery = format!("config_discovery: {{ config_source: {source}, type_urls: {types} }}\n");
    assert_eq!(text.matches(inline).count(), 1);
    text.replace(inline, &discovery)
}

/// A call within the first moment would find a filter that waits for the ledger; one with a mistake may wait for ever.
pub fn wait_a_while_for_readiness(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(3);
    let probe = call(port, "/readyz", "", &[], None);
    while ask(port, &probe).is_some_and(|answer| answer.status != 200) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What `pax-stack check` finds, beside what it finds in every copy.
fn check(site: &Site, mistake: &Mistake, text: &str) {
    let file = site.folder.join("checked.yaml");
    std::fs::write(&file, text).unwrap();
    let found = pax_stack::check(&file).unwrap();
    let line = |it: &pax_stack::Finding| format!("{:?} {}: {}", it.level, it.path, it.what);
    let found: Vec<String> =
        found.iter().map(line).filter(|it| !it.contains(" overload_manager: ")).collect();
    let is_there = |wanted: &String| {
        let (level, rest) = wanted.split_once(' ').unwrap();
        found.iter().any(|it| it.starts_with(level) && it.contains(rest))
    };
    assert!(
        found.len() == mistake.check.len() && mistake.check.iter().all(is_there),
        "found {found:#?}, expected {:#?}",
        mistake.check
    );
}

fn make_call(site: &Site, mistake: &Mistake, port: u16, envoy: &Envoy) {
    let entries = site.world.entries().len();
    let mut behaviour = Behaviour::default();
    let (mut path, mut token, mut more, mut body) =
        ("/v1/chat/completions", TOKEN, vec![], Some(chat_body("")));
    match mistake.call {
        Call::Chat => {}
        Call::Large => body = Some(chat_body(&format!(",\"user\":\"{}\"", "x".repeat(1_500_000)))),
        Call::Slow => behaviour.delay_ms = Some(2_000),
        Call::Failing => behaviour.status = Some(500),
        Call::LongAnswer => behaviour.body = Some(long_answer()),
        Call::OwnKey => more.push(("x-matrix-byo-api-key", "sk-my-own")),
        Call::Credits => (path, body) = ("/v1/credits", None),
        Call::Direct => (path, token) = ("/direct", "nobody"),
    }
    site.world.behave(behaviour);
    let answer = ask(port, &call(port, path, token, &more, body.as_deref()));
    let told = match &answer {
        None => "hangs".to_owned(),
        Some(answer) if answer.status == 200 => "200".to_owned(),
        Some(answer) => answer.refusal(),
    };
    assert_eq!(told, mistake.answer, "{}", envoy.said());
    look(site, mistake, answer.as_ref(), envoy, entries);
}

fn look(site: &Site, mistake: &Mistake, answer: Option<&Answer>, envoy: &Envoy, entries: usize) {
    let received = site.world.take_received();
    match mistake.seen {
        Some(Seen::SentThreeTimes) => assert_eq!(received.len(), 3),
        Some(Seen::PlatformKey) => {
            let key = received.last().and_then(|it| it.header("authorization"));
            assert_eq!(key, Some(format!("Bearer {PLATFORM_KEY}").as_str()));
        }
        Some(Seen::KeyInLog) => assert!(envoy.says(PLATFORM_KEY), "{}", envoy.said()),
        Some(Seen::Unmetered) => {
            assert_eq!(received.len(), 1);
            std::thread::sleep(Duration::from_secs(1));
            assert_eq!(site.world.entries().len(), entries);
        }
        None => {}
    }
    // Whatever else is wrong, a call that is answered is metered.
    if mistake.seen != Some(Seen::Unmetered)
        && let Some(answer) = answer.filter(|it| it.status == 200 && mistake.call != Call::Credits)
    {
        site.entry_of(answer);
    }
}

fn long_answer() -> String {
    let text = "x".repeat(400_000);
    format!(
        "{{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":6,\"total_tokens\":11}}}}"
    )
}
