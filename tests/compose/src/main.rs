//! `make compose-test`: what operators and accidents do to the compose stack, under load. After each step the ledger's
//! entries are compared with what callers were answered, and the table says what they saw.

#[path = "../../common/load.rs"]
mod load;
mod stack;
mod upgrade;

use load::{Load, Tally, one_of_each};
use stack::{Stack, wait};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const TOKEN: &str = "mtx-demo-credit";
const CALLERS: usize = 8;

/// What was compared so far.
#[derive(Default)]
struct Report {
    owed: BTreeSet<String>,
    lost: usize,
    doubled: usize,
    rows: Vec<String>,
}

impl Report {
    /// Compares all entries with all answers so far, once the last debits have come.
    fn compare(&mut self, stack: &Stack, what: &str, seen: &Tally) {
        self.owed.extend(seen.owed());
        let mut found = stack.entries();
        for _ in 0..50 {
            if found.0.len() >= self.owed.len() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
            found = stack.entries();
        }
        let (entries, doubled) = found;
        let lost = self.owed.difference(&entries).count();
        // A caller that was cut off before the answer's head cannot name its exchange; its provider may have answered.
        let unnamed = entries.difference(&self.owed).count();
        let row = format!("{what}: {seen}; {} entries, {lost} lost, {doubled} doubled", entries.len());
        println!("{row}");
        assert!(unnamed <= seen.unanswered, "{unnamed} entries are nobody's answer: {row}");
        self.owed = entries;
        self.lost += lost;
        self.doubled += doubled;
        self.rows.push(row);
    }

    /// Something happens while callers call, and they go on for a while.
    fn under_load(&mut self, stack: &Stack, what: &str, happens: impl FnOnce(&Stack)) {
        let load = Load::start(stack.gateway(), TOKEN, CALLERS);
        std::thread::sleep(Duration::from_secs(1));
        happens(stack);
        stack.wait_until_healthy();
        std::thread::sleep(Duration::from_secs(1));
        let seen = load.stop();
        assert!(seen.answered.len() > 50, "few calls are no test: {what}: {seen}");
        self.compare(stack, what, &seen);
    }
}

fn main() -> ExitCode {
    let mut report = Report::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut stack = Stack::copy(root);
    refused_without_settings(&stack);
    stack.script(&[]);
    stack.compose(&["build"]);
    upgrade::from_the_version_before(&stack, &mut report);
    calls_of_each_kind(&stack, &mut report);
    killed(&stack, &mut report);
    killed_under_load(&stack, &mut report);
    changed(&stack, &mut report);
    stopped(&stack, &mut report);
    beside_real_keys(&mut stack);
    println!(
        "\n{} lost, {} doubled ({} entries compared, {} steps)",
        report.lost,
        report.doubled,
        report.owed.len(),
        report.rows.len()
    );
    if report.lost + report.doubled == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refused_without_settings(stack: &Stack) {
    let refused = stack.try_compose(&["up", "-d"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("make compose"), "{said}");
}

fn calls_of_each_kind(stack: &Stack, report: &mut Report) {
    report.compare(stack, "up, healthy, one call of each kind", &one_of_each(stack.gateway(), TOKEN));
    assert_eq!(stack.get("/readyz"), 200);
    // The ledger is nobody's but Envoy's.
    let networks =
        |service| stack.inspect(service, "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}");
    assert_eq!(networks("ledger"), stack.volume());
    assert!(!networks("standin").contains(&stack.volume()) && networks("envoy").contains(&stack.volume()));
    for service in ["ledger", "envoy", "standin"] {
        let format = "{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.HostConfig.RestartPolicy.Name}}";
        assert_eq!(stack.inspect(service, format), "true pax unless-stopped", "{service}");
    }
}

fn killed(stack: &Stack, report: &mut Report) {
    report.under_load(stack, "the ledger killed", |stack| {
        stack.kill("ledger");
        std::thread::sleep(Duration::from_secs(2));
    });
    report.under_load(stack, "the stand-in killed", |stack| {
        stack.kill("standin");
        std::thread::sleep(Duration::from_secs(2));
    });
    // With nothing in flight and every debit acknowledged there is nothing to lose.
    for (what, kill) in [
        ("Envoy killed at rest", Stack::kill_envoy_process as fn(&Stack)),
        ("its entrypoint killed at rest", |stack| stack.kill("envoy")),
    ] {
        kill(stack);
        let load = Load::start(stack.gateway(), TOKEN, CALLERS);
        wait("calls are served again", || stack.get("/readyz") == 200);
        std::thread::sleep(Duration::from_secs(1));
        report.compare(stack, what, &load.stop());
        stack.wait_until_healthy();
    }
}

/// What only a killed Envoy can lose: calls in flight, and debits that the ledger has not acknowledged.
fn killed_under_load(stack: &Stack, report: &mut Report) {
    let load = Load::start(stack.gateway(), TOKEN, CALLERS);
    std::thread::sleep(Duration::from_secs(1));
    stack.kill_envoy_process();
    wait("calls are served again", || stack.get("/readyz") == 200);
    let seen = load.stop();
    stack.wait_until_healthy();
    // Whatever is not there after so many ticks never comes.
    std::thread::sleep(Duration::from_secs(3));
    let (entries, doubled) = stack.entries();
    let lost = seen.owed().difference(&entries).count();
    println!(
        "Envoy killed under load: {seen}; {lost} in its memory and lost, as it is said, {doubled} doubled"
    );
    assert!(lost + doubled <= seen.answered.len() / 10, "{lost} lost, {doubled} doubled");
    report.doubled += doubled;
    report.owed = entries;
}

fn changed(stack: &Stack, report: &mut Report) {
    let free = stack.ledger(&["token", "list", "demo-free"]);
    let id = free.lines().nth(1).and_then(|line| line.split(' ').next()).unwrap();
    stack.ledger(&["token", "revoke", id]);
    report.under_load(stack, "a demo token revoked, all recreated", |stack| {
        stack.compose(&["up", "-d", "--force-recreate"]);
    });
    let refused = one_of_each(stack.gateway(), "mtx-demo-free");
    assert_eq!(refused.refused.get("401 invalid_api_key"), Some(&3), "{refused}");
    report.under_load(stack, "the secret rotated", |stack| {
        stack.script(&["rotate"]);
        stack.compose(&["up", "-d"]);
    });
}

fn stopped(stack: &Stack, report: &mut Report) {
    let load = Load::start(stack.gateway(), TOKEN, CALLERS);
    std::thread::sleep(Duration::from_secs(1));
    stack.compose(&["down"]);
    let seen = load.stop();
    stack.up();
    report.compare(stack, "down under load, and up", &seen);
    println!("{}", stack.ledger(&["replay"]).trim());
}

/// With a real provider's key there is no stand-in, and no token of the README works.
fn beside_real_keys(stack: &mut Stack) {
    stack.set("FIREWORKS_API_KEY", "sk-not-a-real-key");
    stack.compose(&["up", "-d", "--force-recreate"]);
    wait("Envoy refuses to have both", || {
        let logs = stack.compose(&["logs", "--tail", "5", "envoy"]);
        logs.contains("the stand-in provider and keys of real ones ( FIREWORKS_API_KEY ) exclude each other")
    });
    stack.set("COMPOSE_PROFILES", "");
    stack.up();
    let refused = one_of_each(stack.gateway(), TOKEN);
    assert_eq!(refused.refused.get("401 invalid_api_key"), Some(&3), "{refused}");
    println!("beside a real provider's key: no stand-in, and the demo's tokens are refused");
}
