//! How much of a provider's answer reaches the caller: a refusal of the platform's own key, a protocol that the
//! caller did not ask for, interim answers, and headers that name the operator's account at the provider.

use crate::OwnCase;
use crate::common::http::{Answer, chat, request};
use crate::common::providers::{move_provider, speak_http2};
use crate::common::world::{TOKEN, World};
use crate::raw::{Http2, Plays, Raw};

pub const CASES: &[OwnCase] = &[
    (
        "a provider that refuses the platform's key is a 502 of ours, and one that refuses the caller's is told",
        key,
    ),
    ("a protocol that nobody asked for and interim answers do not reach the caller", interim),
    ("headers and trailers that say who the operator is at its provider do not reach the caller", leaks),
];

/// The model of the provider that speaks HTTP/1.1, and of the one that speaks HTTP/2.
const OVER_HTTP1: &str = "mistral-small-latest";
const OVER_HTTP2: &str = "qwen/qwen3.8-27b";
/// The providers' counters of refusals of the platform's key.
const KEY_REFUSED: [&str; 2] = [
    "wasmcustom.pax_refusals_total;gen_ai_provider_name=mistral;error_type=provider_refused_platform_key",
    "wasmcustom.pax_refusals_total;gen_ai_provider_name=groq;error_type=provider_refused_platform_key",
];

struct Providers {
    world: World,
    http1: Raw,
    http2: Http2,
}

impl Providers {
    fn start() -> Self {
        let (http1, http2) = (Raw::start(), Http2::start());
        let ports = (http1.port, http2.port);
        let world = World::start_with(|builder| {
            builder.change_envoy_config(move |config| {
                let config = move_provider(&config, "mistral", ports.0);
                Ok(speak_http2(&move_provider(&config, "groq", ports.1), "groq"))
            })
        });
        Self { world, http1, http2 }
    }

    /// The call after it on the same connection is served, so nothing of the provider's came in between.
    fn call(&self, model: &str, stream: bool, own_key: bool) -> Answer {
        let body = format!(
            r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#
        );
        let bearer = format!("Bearer {TOKEN}");
        let mut headers: Vec<(&str, &[u8])> = vec![("authorization", bearer.as_bytes())];
        headers.extend(own_key.then_some(("x-matrix-byo-api-key", b"sk-own".as_slice())));
        let mut connection = self.world.connect();
        let answer =
            connection.call(&request("POST", "/v1/chat/completions", &headers, Some(body.as_bytes())));
        let next = format!(r#"{{"model":"{}","messages":[]}}"#, crate::common::world::MODEL);
        if answer.complete && answer.header("connection") != "close" {
            assert_eq!(connection.call(&chat(TOKEN, &next)).status, 200, "the next call on the connection");
        }
        answer
    }

    /// How many entries there are but those of the calls that come after.
    fn charged(&self) -> usize {
        self.world.settle();
        let own = crate::common::world::MODEL;
        self.world.entries().iter().filter(|entry| entry["model"] != own).count()
    }

    /// What nobody may see of a provider's answer.
    fn refused(&self, answer: &Answer, expected: &str, text: &str) {
        assert_eq!(answer.refusal(), expected, "{}", answer.fields_text());
        assert!(answer.complete && answer.header("x-should-retry") == "false", "{}", answer.fields_text());
        assert!(answer.has_header("x-matrix-exchange-id"), "{}", answer.fields_text());
        let all = [answer.fields_text(), answer.text()].concat();
        assert!(!all.contains(text), "{all}");
    }
}

/// An answer with that status, whose body goes on to come after its head.
fn slowly(status: u16) -> [String; 4] {
    let head = format!(
        "HTTP/1.1 {status} No\r\nwww-authenticate: Bearer realm=\"secret-realm\"\r\ncontent-type: application/json\r\n\
         x-secret: 1\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let end = [chunk("0 secret\"}}"), "0\r\n\r\n".to_owned()].concat();
    [head, chunk(r#"{"error":{"message":"secret key sk-platform"#), chunk(&"secret ".repeat(3_000)), end]
}

fn key() {
    let all = Providers::start();
    let refused = "502 provider_refused_platform_key";
    for status in [401, 403] {
        for stream in [false, true] {
            let pieces = slowly(status);
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            // Slowly, at once, and without a body.
            let none =
                format!("HTTP/1.1 {status} No\r\nwww-authenticate: secret\r\ncontent-length: 0\r\n\r\n");
            for pieces in [pieces.clone(), vec![&pieces.concat()], vec![&none]] {
                all.http1.answers(&pieces);
                all.refused(&all.call(OVER_HTTP1, stream, false), refused, "secret");
            }
            let plays = Plays {
                status,
                headers: vec![("www-authenticate", "secret-realm"), ("content-type", "text/event-stream")],
                pieces: vec!["data: secret", " sk-platform\n\n"],
                trailers: vec![("x-after", "secret")],
            };
            all.http2.answers(plays.clone());
            all.refused(&all.call(OVER_HTTP2, stream, false), refused, "secret");
            all.http2.answers(Plays { pieces: Vec::new(), ..plays.clone() });
            all.refused(&all.call(OVER_HTTP2, stream, false), refused, "secret");
            // With a key of the caller's own it is the caller's to know, to the byte.
            all.http1.answers(&pieces);
            all.http2.answers(plays);
            for model in [OVER_HTTP1, OVER_HTTP2] {
                let told = all.call(model, stream, true);
                assert_eq!(told.status, status, "{}", told.text());
                assert!(told.has_header("www-authenticate") && told.text().contains("secret"), "{told:?}");
            }
        }
    }
    assert_eq!(all.charged(), 0);
    let counted = || KEY_REFUSED.map(|name| all.world.stack.stat(name));
    assert_eq!(counted(), [Some(12), Some(8)], "each is counted");
    let log = std::fs::read_to_string(all.world.stack.run_dir().join("envoy.log")).unwrap();
    for provider in ["mistral", "groq"] {
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains("platform's key") && line.contains(provider)).collect();
        // Two workers, each of which says it once.
        assert!((1..=2).contains(&lines.len()) && lines[0].contains("status 401"), "{provider}: {lines:?}");
    }
    assert!(!log.contains("secret") && !log.contains("sk-"), "{log}");
    // Any other status is the provider's own word.
    for status in [400, 402, 404, 407, 429, 500, 503] {
        all.http1.answers(&[&format!("HTTP/1.1 {status} No\r\ncontent-length: 6\r\n\r\nsecret")]);
        let told = all.call(OVER_HTTP1, false, false);
        assert_eq!((told.status, told.text().as_str()), (status, "secret"));
    }
    assert_eq!((all.charged(), counted()), (0, [Some(12), Some(8)]));
    all.world.replay();
}

fn interim() {
    let providers = Providers::start();
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let plain = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    let good = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 66\r\n\r\n\
                {\"choices\":[{}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}";
    for own_key in [false, true] {
        for (name, pieces) in [
            ("an upgrade", vec![switch, "secret\r\n"]),
            (
                "an upgrade and bytes at once",
                vec!["HTTP/1.1 101 S\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nsecret"],
            ),
            ("no upgrade", vec![plain, "secret"]),
            ("an upgrade and an answer", vec![switch, good]),
            ("a length", vec!["HTTP/1.1 101 S\r\ncontent-length: 6\r\n\r\nsecret"]),
        ] {
            providers.http1.answers(&pieces);
            let answer = providers.call(OVER_HTTP1, false, own_key);
            assert_eq!(answer.interim, [0_u16; 0], "{name}: {}", answer.fields_text());
            // Of some Envoy itself says that they are no HTTP.
            assert_eq!(answer.refusal(), "502 upstream_failed", "{name}: {}", answer.fields_text());
            let all = [answer.fields_text(), answer.text()].concat();
            assert!(answer.complete && !all.contains("secret"), "{name}: {all}");
            // The next call on the connection is none of that provider's business.
            assert_eq!(providers.http1.received().matches("POST ").count(), 1, "{name}");
        }
    }
    assert_eq!(providers.charged(), 0);
    // Interim answers are Envoy's to hear, and no end of the call.
    for hint in ["100 Continue", "102 Processing", "103 Early Hints"] {
        let hint = format!("HTTP/1.1 {hint}\r\nset-cookie: secret\r\nlink: </secret>\r\n\r\n");
        providers.http1.answers(&[&hint, &hint, good]);
        let answer = providers.call(OVER_HTTP1, false, false);
        assert_eq!((answer.status, &answer.interim), (200, &vec![]), "{hint}: {}", answer.fields_text());
        assert!(!answer.fields_text().contains("secret"), "{}", answer.fields_text());
    }
    assert_eq!(providers.charged(), 3);
    providers.world.replay();
}

fn leaks() {
    let all = Providers::start();
    let names = [
        "x-api-key",
        "api-key",
        "authorization",
        "proxy-authorization",
        "set-cookie",
        "x-matrix-cost-pax-x",
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
        "x-org-id",
        "x-account-id",
    ];
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (*name, "secret")).collect();
    let kept = [("x-ratelimit-remaining-tokens", "99"), ("openai-processing-ms", "12"), ("retry-after", "7")];
    for (status, stream) in [(200, false), (200, true), (400, false), (429, true)] {
        let mut plays = Plays { status, trailers: headers.clone(), ..Plays::default() };
        plays.headers.extend(headers.iter().chain(&kept));
        plays.trailers.push(("x-after", "kept"));
        all.http2.answers(plays);
        let answer = all.call(OVER_HTTP2, stream, false);
        assert_eq!(answer.status, status);
        for (name, value) in kept {
            assert_eq!(answer.header(name), value, "{}", answer.fields_text());
        }
        let told = answer.fields_text();
        assert!(!told.contains("secret"), "{told}");
    }
    all.world.settle();
    all.world.replay();
}
