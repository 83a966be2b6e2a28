//! Requests that state a small maximum and try to get a large output for it. The stand-in honours every option
//! that DeepSeek, Together, vLLM, llama.cpp, Ollama and OpenRouter honour, and never ends by itself.
//!
//! Each attempt is refused, or costs no more than was reserved for it, so an account never spends more than its
//! cap. (`cargo test --test gate -- --nocapture` prints what each attempt came to.)

use crate::OwnCase;
use crate::common::http::chat;
use crate::common::world::World;
use crate::play::{Caller, MODEL, error, reservation, sum};
use pax_standin::Behaviour;
use rust_decimal::Decimal;

pub const CASES: &[OwnCase] = &[
    ("nobody gets more than was reserved from a server that runs on to the context's end", || {
        abuse("context_end", "max_tokens", &["vllm", "llamacpp", "ollama"]);
    }),
    ("nobody gets more than was reserved from a provider that reads max_tokens only", || {
        abuse("model_maximum", "max_tokens", &["deepseek", "together"]);
    }),
    ("nobody gets more than was reserved from a provider that reads max_completion_tokens first", || {
        abuse("model_maximum", "max_completion_tokens", &["openrouter", "openai", "groq"]);
    }),
];

/// What a caller writes beside model and messages, to get more than the few tokens that it states.
const ATTEMPTS: &[&str] = &[
    r#""max_tokens":5"#,
    r#""max_completion_tokens":5"#,
    r#""max_tokens":5,"max_completion_tokens":9000"#,
    r#""max_completion_tokens":9000,"max_tokens":5"#,
    r#""max_tokens":9000,"max_completion_tokens":5"#,
    r#""max_tokens":null,"max_completion_tokens":5"#,
    r#""max_tokens":5,"max_completion_tokens":null"#,
    r#""max_tokens":5,"n_predict":9000"#,
    r#""n_predict":9000,"max_completion_tokens":5"#,
    r#""max_tokens":5,"n_predict":-1"#,
    r#""max_tokens":5,"N_PREDICT":9000"#,
    r#""max_tokens":5,"num_predict":9000,"options":{"num_predict":9000}"#,
    r#""max_tokens":5,"max_new_tokens":9000,"max_output_tokens":9000,"max_gen_len":9000"#,
    r#""max_tokens":5,"MAX_TOKENS":9000"#,
    r#""Max_Tokens":9000,"max_tokens":5"#,
    r#""max_tokens":5,"max_to\u006bens":9000"#,
    r#""max_tokens":5,"max_to\u212aens":9000"#,
    r#""max_tokens":5,"max_tokens":9000"#,
    r#""max_tokens":5,"min_tokens":9000"#,
    r#""max_tokens":5,"ignore_eos":true"#,
    r#""max_tokens":5,"n_cmpl":4"#,
    r#""max_tokens":5,"best_of":20"#,
    r#""max_tokens":5,"use_beam_search":true,"best_of":16"#,
    r#""max_tokens":5,"n":4"#,
    r#""max_tokens":5,"n":null,"n_cmpl":4"#,
    r#""max_tokens":5,"extra_body":{"max_tokens":9000}"#,
    r#""max_tokens":5,"chat_template_kwargs":{"max_tokens":9000}"#,
    r#""max_tokens":5,"model":"accounts/fireworks/models/dearer""#,
    r#""max_tokens":5,"models":["accounts/fireworks/models/dearer"]"#,
    r#""max_tokens":5,"provider":{"order":["dearer"]},"route":"fallback""#,
    r#""max_tokens":5,"thinking":{"type":"enabled","budget_tokens":9000}"#,
    r#""max_tokens":5,"reasoning":{"max_tokens":9000}"#,
    r#""max_tokens":5,"prediction":{"type":"content","content":"x"}"#,
    r#""max_tokens":5,"tools":[{"type":"function","function":{"name":"f"},"google_search":{}}]"#,
    r#""max_tokens":5,"tools":[{"type":"web_search"}]"#,
    r#""max_tokens":5,"plugins":[{"id":"web"}]"#,
    r#""max_tokens":-1"#,
    r#""max_tokens":1e5"#,
    r#""max_tokens":0"#,
    r#""max_tokens":"5""#,
    r#""max_tokens":99999999999999999999"#,
    r#""max_tokens":18446744073709551615,"n":128"#,
    r#""max_tokens":5,"service_tier":"priority""#,
];

fn abuse(stops_at: &'static str, field: &'static str, played: &[&str]) {
    let world = World::start_with(|builder| {
        builder.change_filter_config(move |config| {
            config["providers"]["fireworks"]["stops_at"] = stops_at.into();
            config["providers"]["fireworks"]["output_maximum"] = field.into();
        })
    });
    // An account for each attempt, with room for a short answer of each provider, and for nothing of what is asked for
    // beside it.
    let most = reservation(40);
    let cap = most * Decimal::from(played.len());
    let account = |number: usize| Caller::new(&world, &format!("thief-{number}"), Some(cap));
    let callers: Vec<Caller> = (0..ATTEMPTS.len()).map(account).collect();
    for name in played {
        let behaviour = Behaviour { context_tokens: Some(20_000), ..Behaviour::plays(name) };
        world.behave(Behaviour { model_tokens: Some(10_000), ..behaviour });
        let call = |caller: &Caller, more: &str| {
            let body =
                format!(r#"{{"model":"{MODEL}",{more},"messages":[{{"role":"user","content":"Hi"}}]}}"#);
            world.connect().call(&chat(&caller.token, &body))
        };
        for (attempt, caller) in ATTEMPTS.iter().zip(&callers) {
            let answer = call(caller, attempt);
            let (said, cost) = match answer.status {
                200 => ("200".to_owned(), answer.header("x-matrix-cost-pax").parse().unwrap()),
                _ => (answer.refusal(), Decimal::ZERO),
            };
            println!("{name:10} {attempt:90} {said:24} {cost} of {most}");
            assert!(cost <= most, "{name}: {attempt} got {cost} where {most} can be reserved");
        }
        // An honest call is served, in whichever field it states its maximum.
        for (attempt, caller) in ATTEMPTS.iter().zip(&callers).take(2) {
            let answer = call(caller, attempt);
            assert_eq!(answer.status, 200, "{name}: {attempt}: {}", answer.text());
        }
    }
    world.settle();
    for (attempt, caller) in ATTEMPTS.iter().zip(&callers) {
        let spent = sum(&caller.entries(&world));
        assert!(spent <= cap, "{attempt} got {spent} of a cap of {cap}");
    }
    let caller = Caller::new(&world, "named", Some(cap));
    let body = format!(r#"{{"model":"{MODEL}","n_predict":9000,"best_of":2,"messages":[]}}"#);
    let refused = error(&world.connect().call(&chat(&caller.token, &body)));
    let message = refused["message"].as_str().unwrap();
    for named in ["\"n_predict\"", "\"best_of\"", "providers.fireworks.options"] {
        assert!(message.contains(named), "{named} is not in {message}");
    }
    world.replay();
}
