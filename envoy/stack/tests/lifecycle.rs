//! The stack itself, with the real Envoy, filter and ledger. `make test` builds these first.

use pax_stack::{CallsLog, Drained, Layout, LedgerAt, Place, Stack, Upstream, render};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

const BODY: &str =
    r#"{"model":"accounts/fireworks/models/gpt-oss-120b","messages":[{"role":"user","content":"hello"}]}"#;

/// Status line, headers and body of one chat call.
fn chat(stack: &Stack) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", stack.gateway_port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer mtx-demo-free\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        stack.gateway_port(),
        BODY.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn runs(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn an_orderly_stop_leaves_every_debit_in_the_ledger_and_no_process() {
    let folder = std::env::temp_dir().join(format!("pax-stack-lifecycle-{}", std::process::id()));
    let stack = Stack::builder().data_dir(&folder).start().unwrap();
    let processes = stack.processes();
    assert_eq!(
        processes.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["Envoy", "ledger", "stand-in provider"]
    );
    let answer = chat(&stack);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(stack.stop(Duration::from_secs(10)), Drained::Quiet);
    for (name, id) in processes {
        assert!(!runs(id), "{name} still runs");
    }

    let again = Stack::builder().data_dir(&folder).start().unwrap();
    assert_eq!(again.ledger(["entries", "--kind", "debit"]).unwrap().lines().count(), 1);
    drop(again);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_process_that_dies_is_named() {
    let mut stack = Stack::builder().start().unwrap();
    stack.check().unwrap();
    let ledger = stack.processes().into_iter().find(|(name, _)| *name == "ledger").unwrap().1;
    assert!(Command::new("kill").args(["-9", &ledger.to_string()]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = loop {
        match stack.check() {
            Err(error) => break error.to_string(),
            Ok(()) => assert!(Instant::now() < deadline, "nobody noticed"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(error.contains("ledger was ended by signal 9"), "{error}");
}

#[test]
fn a_provider_that_is_down_is_a_503_in_the_openai_shape_and_costs_nothing() {
    // Nothing listens on port 9 (discard).
    let stack = Stack::builder().upstream("127.0.0.1:9").start().unwrap();
    let answer = chat(&stack);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains(r#""code":"upstream_unavailable""#), "{answer}");
    assert_eq!(stack.ledger(["entries", "--kind", "debit"]).unwrap(), "");
}

#[test]
fn envoy_accepts_the_configuration_for_the_real_providers() {
    let layout = Layout::find().unwrap();
    let file = std::env::temp_dir().join(format!("pax-stack-validate-{}.yaml", std::process::id()));
    let place = Place {
        gateway_address: "127.0.0.1".into(),
        gateway_port: 10_000,
        admin_port: 10_001,
        liveness_port: 10_005,
        workers: 2,
        ledgers: (1..4)
            .map(|number| LedgerAt { host: format!("ledger-{number}"), port: 10_002, public_port: 10_003 })
            .collect(),
        wasm: layout.wasm.clone(),
        filter: file.clone(),
        ca_file: None,
        hosts: Vec::new(),
        calls_log: CallsLog::Stdout,
    };
    let config = render(&layout, &place, &Upstream::Providers, |_| ()).unwrap().envoy;
    std::fs::write(&file, config).unwrap();
    let output = Command::new(&layout.envoy)
        .args(["--mode", "validate", "--log-level", "error", "--config-path"])
        .arg(&file)
        .env("PAX_LEDGER_SECRET", "any")
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The states of an account's tokens, as `pax-ledger token list` shows them.
fn token_states(stack: &Stack, account: &str) -> Vec<String> {
    let list = stack.ledger(["token", "list", account]).unwrap();
    let state =
        |line: &str| if line.contains(" active") { "active".to_owned() } else { "revoked".to_owned() };
    list.lines().skip(1).map(state).collect()
}

#[test]
fn beside_real_keys_no_public_token_works_and_a_random_one_is_told_once() {
    let folder = std::env::temp_dir().join(format!("pax-stack-tokens-{}", std::process::id()));
    let start = |random: bool| {
        let builder = Stack::builder().data_dir(&folder);
        if random { builder.random_tokens() } else { builder }.start().unwrap()
    };
    // An older ledger, with the public tokens.
    let stack = start(false);
    let told: Vec<_> = stack.demo_accounts().iter().map(|demo| demo.token.clone().unwrap()).collect();
    assert_eq!(told, ["mtx-demo-free", "mtx-demo-credit"]);
    assert!(chat(&stack).starts_with("HTTP/1.1 200"));
    drop(stack);

    let stack = start(true);
    for demo in stack.demo_accounts() {
        let token = demo.token.as_deref().unwrap();
        assert!(
            demo.revoked_public && !token.starts_with("mtx-demo") && token.len() > 30,
            "{}",
            demo.account
        );
        assert_eq!(token_states(&stack, demo.account), ["revoked", "active"]);
        let log = std::fs::read_to_string(stack.run_dir().join("envoy.log")).unwrap();
        assert!(!log.contains(token), "a token is in the log");
    }
    let refused = chat(&stack);
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    drop(stack);

    // The next starts make no more tokens, and do not bring the public ones back.
    for random in [true, false] {
        let stack = start(random);
        for demo in stack.demo_accounts() {
            assert!(demo.token.is_none() && !demo.revoked_public, "{demo:?}");
            assert_eq!(token_states(&stack, demo.account), ["revoked", "active"]);
        }
        assert!(chat(&stack).starts_with("HTTP/1.1 401"));
        drop(stack);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// What `pax-stack up` prints until it is ready and told its tokens, with these settings.
fn printed_by_up(settings: &[(&str, &str)], arguments: &[&str], folder: &std::path::Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pax-stack"));
    command.args(["up", "--port", "0", "--data-dir"]).arg(folder).args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.ends_with("_API_KEY") || name == "UPSTREAM") {
        command.env_remove(name);
    }
    command.env("PAX_ROOT", Layout::find().unwrap().root).envs(settings.iter().copied());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(child.stdout.as_mut().unwrap())) {
        lines.push(line.unwrap());
        if lines.last().unwrap().contains("curl") {
            break;
        }
    }
    // Its processes die with it, and an orderly stop is tested elsewhere.
    child.kill().unwrap();
    child.wait().unwrap();
    lines.join("\n")
}

#[test]
fn make_up_shows_the_public_tokens_only_where_no_providers_key_is_set() {
    let folder = std::env::temp_dir().join(format!("pax-stack-up-{}", std::process::id()));
    for (settings, arguments, public) in [
        (&[("OPENAI_API_KEY", "")][..], &[][..], true),
        (&[("OPENAI_API_KEY", "sk-real")], &["--standin"], true),
        (&[("GROQ_API_KEY", "sk-real")], &["--upstream", "127.0.0.1:9"], false),
        (&[("OPENAI_API_KEY", "sk-real")], &[], false),
    ] {
        let printed = printed_by_up(settings, arguments, &folder);
        assert_eq!(printed.contains("mtx-demo-free"), public, "{settings:?} {arguments:?}: {printed}");
        assert!(printed.contains("token of demo-credit: ") && !printed.contains("sk-real"), "{printed}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
