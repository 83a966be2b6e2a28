//! A model server of the operator's own that asks for no key. If callers' own keys were taken there, a call
//! with any string as its key would be free.

use crate::OwnCase;
use crate::common::http::request;
use crate::common::world::{MODEL, TOKEN, World};
use serde_json::Value;

pub const CASES: &[OwnCase] =
    &[("a key of the caller's own is no way to a keyless server, whatever is in it", keyless)];

fn keyless() {
    // As `make up UPSTREAM=host:port` has it.
    let world = World::bare(|builder| builder.hosts(["gateway.test"]));
    world.stack.ledger(["account", "create", "thief", "--tier", "free", "--daily-cap", "0"]).unwrap();
    world.stack.ledger(["token", "add", "thief", "--name", "t", "--token", "mtx-thief"]).unwrap();
    let tricks: [&[(&str, &[u8])]; 8] = [
        &[("x-matrix-byo-api-key", b"x")],
        &[("x-matrix-byo-api-key", b"sk-of-mine")],
        &[("x-matrix-byo-api-key", b"true"), ("x-matrix-user-api-key", b"x")],
        &[("x-matrix-byo-api-key", b"1"), ("x-matrix-user-api-key", b"Bearer")],
        &[("x-matrix-byo-api-key", b"x"), ("x-matrix-slot", b"planner")],
        &[("x-matrix-byo-api-key", b"x"), ("x-matrix-own-keys", b"true")],
        &[("X-MATRIX-BYO-API-KEY", b"x"), ("accept", b"text/event-stream")],
        &[("x-matrix-byo-api-key", b"mtx-demo-credit")],
    ];
    // A free one, one that is priced and not free, an embedding, and two that only a provider's patterns know.
    let models = [
        ("/v1/chat/completions", "accounts/fireworks/models/gpt-oss-120b"),
        ("/v1/chat/completions", MODEL),
        ("/v1/chat/completions", "accounts/somebody/models/unpriced"),
        ("/v1/chat/completions", "gpt-of-tomorrow"),
        ("/v1/embeddings", "nomic-ai/nomic-embed-text-v1.5"),
        ("/v1/embeddings", "text-embedding-of-tomorrow"),
    ];
    for token in ["mtx-thief", TOKEN] {
        let bearer = format!("Bearer {token}");
        for more in tricks {
            for (path, model) in models {
                let mut headers: Vec<(&str, &[u8])> = vec![("authorization", bearer.as_bytes())];
                headers.extend(more);
                let body = format!(r#"{{"model":"{model}","messages":[],"input":"a"}}"#);
                let answer = world.connect().call(&request("POST", path, &headers, Some(body.as_bytes())));
                assert_eq!(answer.refusal(), "403 model_not_allowed", "{more:?} {model}: {}", answer.text());
                assert!(answer.text().contains("Leave out X-Matrix-BYO-API-Key"), "{}", answer.text());
                assert_eq!(answer.header("x-should-retry"), "false");
            }
        }
    }
    let bearer = format!("Bearer {TOKEN}");
    let list = request("GET", "/v1/models", &[("authorization", bearer.as_bytes())], None);
    let list: Value = serde_json::from_slice(&world.connect().call(&list).body).unwrap();
    let models = list["data"].as_array().unwrap();
    assert!(!models.is_empty() && models.iter().all(|model| model["own_keys"] == false), "{list}");
    assert!(world.take_received().is_empty(), "nothing reaches the server");
    // The cap of 0 still holds, and says nothing of keys that are not taken.
    let body = format!(r#"{{"model":"{}","messages":[]}}"#, "accounts/fireworks/models/gpt-oss-120b");
    let refused = world.connect().call(&crate::common::http::chat("mtx-thief", &body));
    assert_eq!(refused.refusal(), "429 daily_cap_exceeded");
    assert!(!refused.text().contains("BYO"), "{}", refused.text());
    world.settle();
    assert!(world.entries().is_empty() && world.take_received().is_empty());
}
