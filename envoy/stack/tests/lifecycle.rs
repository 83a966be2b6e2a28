//! The stack itself, with the real Envoy, filter and ledger. `make test` builds these first.

use pax_stack::{Layout, Place, Stack, Upstream, render};
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
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer mtx-demo-free\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
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
    assert!(stack.stop(Duration::from_secs(10)), "something was left waiting");
    for (name, id) in processes {
        assert!(!runs(id), "{name} still runs");
    }

    let again = Stack::builder().data_dir(&folder).start().unwrap();
    assert_eq!(again.ledger(["entries"]).unwrap().lines().count(), 1);
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
    // Port 9 (discard) is nobody's.
    let stack = Stack::builder().upstream("127.0.0.1:9").start().unwrap();
    let answer = chat(&stack);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains(r#""code":"upstream_unavailable""#), "{answer}");
    assert_eq!(stack.ledger(["entries"]).unwrap(), "");
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
        ledger_port: 10_002,
        ledger_public_port: 10_003,
        wasm: layout.wasm.clone(),
        filter: file.clone(),
        ca_file: None,
        access_log: true,
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
