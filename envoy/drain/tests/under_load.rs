//! `pax-drain` as a real Envoy's entrypoint, stop step and health check, while callers call.

#[path = "../../../tests/common/load.rs"]
mod load;

use load::Load;
use pax_drain::http;
use pax_stack::{Layout, Stack};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pax-drain");

/// A stack whose Envoy is a child of `pax-drain run`. Killed when dropped.
struct Drained {
    stack: Stack,
    program: Option<Child>,
}

impl Drained {
    fn start(times: &[&str]) -> Self {
        let mut stack = Stack::builder().standin_args(["--pace-ms", "15"]).start().unwrap();
        stack.kill_envoy();
        let mut command = Command::new(PROGRAM);
        command.arg("run").args(ports(&stack)).args(times).arg("--");
        command
            .arg(Layout::find().unwrap().envoy)
            .arg("--config-path")
            .arg(stack.run_dir().join("envoy.yaml"));
        command.args([
            "--disable-hot-restart",
            "--concurrency",
            "2",
            "--drain-time-s",
            "1",
            "--log-level",
            "error",
        ]);
        command.env("PAX_LEDGER_SECRET", stack.ledger_secret()).stdin(Stdio::null());
        let program = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let started = Self { stack, program: Some(program) };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !started.ready().status.success() {
            assert!(Instant::now() < deadline, "{:?}", started.ready());
            std::thread::sleep(Duration::from_millis(50));
        }
        started
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.stack.gateway_port()))
    }

    fn load(&self) -> Load {
        let load = Load::start(self.address(), "mtx-demo-credit", 20);
        std::thread::sleep(Duration::from_millis(1500));
        load
    }

    fn ready(&self) -> Output {
        Command::new(PROGRAM).arg("ready").args(ports(&self.stack)).output().unwrap()
    }

    fn terminate(&self) {
        let id = self.program.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Its exit status and what it said.
    fn end(&mut self) -> Output {
        self.program.take().unwrap().wait_with_output().unwrap()
    }

    fn entries(&self) -> BTreeSet<String> {
        let lines = self.stack.ledger(["entries", "--kind", "debit"]).unwrap();
        let ids: Vec<String> = lines
            .lines()
            .map(|line| {
                line.split_once(r#""exchange_id":""#).unwrap().1.split('"').next().unwrap().to_owned()
            })
            .collect();
        let unique: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(ids.len(), unique.len(), "an exchange has two entries");
        unique
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if let Some(mut program) = self.program.take() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

fn ports(stack: &Stack) -> [String; 4] {
    let (port, admin) = (stack.gateway_port().to_string(), stack.admin_port().to_string());
    ["--port".into(), port, "--admin-port".into(), admin]
}

#[test]
fn at_sigterm_under_load_no_call_is_cut_and_every_answer_has_its_entry() {
    let mut gateway = Drained::start(&["--probe-s", "1", "--limit-s", "20"]);
    let load = gateway.load();
    gateway.terminate();
    // For the probe's interval and the drain time calls are still taken, and probes fail.
    std::thread::sleep(Duration::from_millis(500));
    let ready = gateway.ready();
    let told = String::from_utf8_lossy(&ready.stderr).into_owned();
    assert!(!ready.status.success() && told.contains("503") && told.contains("draining"), "{told}");
    let ended = gateway.end();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("drained: no call in flight"), "{said}");
    let seen = load.stop();
    println!("{seen}");
    assert!(seen.answered.len() > 100, "few calls are no test: {seen}");
    assert!(seen.was_stopped_cleanly(20), "{seen}");
    assert_eq!(gateway.entries(), seen.owed());
}

#[test]
fn what_is_left_at_the_limit_is_said_with_its_counts() {
    let mut gateway = Drained::start(&["--probe-s", "0", "--limit-s", "3"]);
    // Debits wait, since their ledger is away for good. The caller's token is known.
    let before = load::one_of_each(gateway.address(), "mtx-demo-free");
    assert_eq!(before.answered.len(), 3, "{before}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while gateway.entries().len() < 3 || gateway.stack.stat("wasmcustom.pax_outbox_waiting") != Some(0) {
        assert!(Instant::now() < deadline, "the first calls are not recorded");
        std::thread::sleep(Duration::from_millis(50));
    }
    gateway.stack.kill_ledger();
    let seen = load::one_of_each(gateway.address(), "mtx-demo-free");
    assert_eq!(seen.answered.len(), 3, "{seen}");
    gateway.terminate();
    let ended = gateway.end();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("NOT drained: 0 calls in flight are cut, 3 debits are not in the ledger"),
        "{said}"
    );
}

#[test]
fn a_stop_step_drains_and_leaves_the_end_to_whoever_asked_for_it() {
    let mut gateway = Drained::start(&["--probe-s", "30", "--limit-s", "60"]);
    let load = gateway.load();
    let stop = ["stop", "--probe-s", "0", "--limit-s", "20"];
    let stopped = Command::new(PROGRAM).args(stop).args(ports(&gateway.stack)).output().unwrap();
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    assert_eq!(http::stat(gateway.stack.admin_port(), "http.gateway.downstream_rq_active"), Some(0));
    // The drain that follows has nothing left to wait for, not even a probe.
    let begun = Instant::now();
    gateway.terminate();
    assert!(gateway.end().status.success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let seen = load.stop();
    assert!(seen.was_stopped_cleanly(20), "{seen}");
    assert_eq!(gateway.entries(), seen.owed());
}

#[test]
fn an_envoy_that_ends_by_itself_ends_its_entrypoint_with_its_own_status() {
    let failing = ["run", "--", "sh", "-c", "exit 7"];
    assert_eq!(Command::new(PROGRAM).args(failing).output().unwrap().status.code(), Some(7));
    let killed = ["run", "--", "sh", "-c", "kill -9 $$"];
    assert_eq!(Command::new(PROGRAM).args(killed).output().unwrap().status.code(), Some(137));
    let missing = Command::new(PROGRAM).args(["run", "--", "/nowhere/envoy"]).output().unwrap();
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot start /nowhere/envoy"));
    // Nothing listens on port 9 (discard).
    let nobody = ["stop", "--port", "9", "--admin-port", "9", "--limit-s", "1"];
    let stopped = Command::new(PROGRAM).args(nobody).output().unwrap();
    assert!(String::from_utf8_lossy(&stopped.stderr).contains("there is no Envoy"), "{stopped:?}");
}
