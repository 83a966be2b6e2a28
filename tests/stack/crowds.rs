//! Many callers at once.

use crate::Case;
use crate::common::http::{Connection, chat};
use crate::common::prices::reprice;
use crate::common::world::{MODEL, TOKEN, World};
use pax_standin::Behaviour;
use std::collections::BTreeSet;

pub const CASES: &[Case] = &[
    ("fifty streams at once are each passed and debited for themselves", fifty_streams),
    ("many tokens at once are each debited to their own account", many_tokens),
];

fn fifty_streams(world: &mut World) {
    let before = world.entries().len();
    world.behave(Behaviour {
        write_bytes: Some(vec![5, 1, 40, 3]),
        pace_ms: Some(1),
        ..Behaviour::default()
    });
    let port = world.stack.gateway_port();
    let calls: Vec<_> = (0..50u64)
        .map(|number| {
            std::thread::spawn(move || {
                let text = "x".repeat(usize::try_from(number).unwrap() * 40);
                let body = format!(
                    r#"{{"model":"{MODEL}","stream":true,"messages":[{{"role":"user","content":"{text}"}}]}}"#
                );
                let messages = format!(r#"[{{"role":"user","content":"{text}"}}]"#).len();
                let answer = Connection::open(port).call(&chat(TOKEN, &body));
                (answer, u64::try_from(messages.div_ceil(4)).unwrap())
            })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for call in calls {
        let (answer, tokens_input) = call.join().unwrap();
        assert!(answer.status == 200 && answer.complete, "{}", answer.text());
        assert!(answer.text().ends_with("data: [DONE]\n\n") && !answer.text().contains("\"choices\":[]"));
        let entry = world.entry(&answer.header("x-matrix-exchange-id"));
        assert_eq!(entry["tokens_input"], tokens_input, "the tokens of another call");
        assert_eq!(entry["cost_pax"], reprice(&entry).as_str());
        ids.insert(answer.header("x-matrix-exchange-id"));
    }
    assert_eq!((ids.len(), world.entries().len()), (50, before + 50));
}

fn many_tokens(world: &mut World) {
    let ledger = |args: &[&str]| world.stack.ledger(args).unwrap_or_else(|error| panic!("{error}"));
    let accounts: Vec<String> = (0..4).map(|number| format!("crowd-{number}")).collect();
    for account in &accounts {
        ledger(&["account", "create", account, "--tier", "credit"]);
        ledger(&["grant", account, "1000", "--class", "purchase", "--reason", "crowds"]);
    }
    let port = world.stack.gateway_port();
    let mut calls = Vec::new();
    for number in 0..32 {
        let account = accounts[number % 4].clone();
        let token = format!("mtx-crowd-{number}");
        ledger(&["token", "add", &account, "--name", &token, "--token", &token]);
        calls.push(std::thread::spawn(move || {
            let body = format!(r#"{{"model":"{MODEL}","messages":[]}}"#);
            let mut connection = Connection::open(port);
            let ids: Vec<String> = (0..3)
                .map(|_| {
                    let answer = connection.call(&chat(&token, &body));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answer.header("x-matrix-exchange-id")
                })
                .collect();
            (account, ids)
        }));
    }
    let mut tokens = BTreeSet::new();
    for call in calls {
        let (account, ids) = call.join().unwrap();
        for id in ids {
            let entry = world.entry(&id);
            assert_eq!(entry["account"], account.as_str());
            tokens.insert(entry["token_id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(tokens.len(), 32, "a token's calls stand under its own id");
}
