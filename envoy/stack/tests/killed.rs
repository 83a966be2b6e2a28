//! `pax-stack up` whose children are killed beneath it, while callers call.

#[path = "../../../tests/common/load.rs"]
mod load;

use load::{Load, one_of_each};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Of the free tier, which needs no holds: it is served while the ledger is away.
const TOKEN: &str = "mtx-demo-free";

/// A running `pax-stack up` with a folder of its own. Killed when dropped.
struct Up {
    folder: PathBuf,
    program: Child,
    gateway: SocketAddr,
}

impl Up {
    fn start(name: &str, change: impl Fn(&mut Command)) -> Self {
        let folder = std::env::temp_dir().join(format!("pax-killed-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pax-stack"));
        command.args(["up", "--standin", "--port", "0", "--data-dir"]).arg(folder.join("data"));
        command.args(["--", "--pace-ms", "5"]);
        change(&mut command);
        let log = std::fs::File::create(folder.join("up.log")).unwrap();
        let program =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut up = Self { folder, program, gateway: SocketAddr::from(([127, 0, 0, 1], 0)) };
        up.wait("it is ready", Duration::from_secs(60), |up| up.said().contains("\nready "));
        let said = up.said();
        let url = said.lines().find_map(|line| line.strip_prefix("ready http://")).unwrap();
        up.gateway = url.parse().unwrap();
        up
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("up.log")).unwrap()
    }

    fn wait(&self, what: &str, patience: Duration, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + patience;
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}: not within {patience:?}; it said\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The process id of the child that runs a program.
    fn child(&self, program: &str) -> Option<u32> {
        let parent = self.program.id().to_string();
        std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            // `id (name) state parent ...`
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
            let mut fields = rest.split(' ');
            (name == program && fields.next() != Some("Z") && fields.next() == Some(&parent)).then_some(id)
        })
    }

    fn kill(&self, program: &str) {
        self.wait(&format!("{program} runs"), Duration::from_secs(10), |up| up.child(program).is_some());
        send("-KILL", self.child(program).unwrap());
    }

    /// The exchanges of all entries of calls; each must have one.
    fn entries(&self) -> BTreeSet<String> {
        let ledger = pax_stack::Layout::find().unwrap().ledger;
        let db = self.folder.join("data/ledger.db");
        let output =
            Command::new(ledger).arg("--db").arg(db).args(["entries", "--kind", "debit"]).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let id = |line: &str| {
            line.split_once(r#""exchange_id":""#).unwrap().1.split('"').next().unwrap().to_owned()
        };
        let ids: Vec<String> = lines.lines().map(id).collect();
        let unique: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(ids.len(), unique.len(), "an exchange has two entries");
        unique
    }

    /// SIGTERM, and what its exit status is.
    fn stop(&mut self) -> Option<i32> {
        send("-TERM", self.program.id());
        self.program.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn send(signal: &str, id: u32) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

#[test]
fn a_ledger_that_is_killed_under_load_is_started_again_and_nothing_is_lost() {
    let mut up = Up::start("ledger", |_| ());
    let load = Load::start(up.gateway, TOKEN, 12);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(700));
        up.kill("pax-ledger");
    }
    std::thread::sleep(Duration::from_millis(700));
    // The ledger is killed once more, and the stack is stopped while the ledger is away.
    up.kill("pax-ledger");
    assert_eq!(up.stop(), Some(0), "{}", up.said());
    let seen = load.stop();
    println!("ledger killed four times: {seen}");
    assert!(seen.answered.len() > 100, "few calls are no test: {seen}");
    assert!(seen.was_stopped_cleanly(12), "{seen}");
    assert_eq!(up.entries(), seen.owed());
    let said = up.said();
    assert!(said.matches("ledger was ended by signal 9; it is started again in").count() >= 3, "{said}");
    assert!(said.ends_with("stopped\n"), "{said}");
}

#[test]
fn an_envoy_that_is_killed_is_started_again_and_what_the_ledger_had_taken_is_there() {
    let mut up = Up::start("envoy", |_| ());
    let before = one_of_each(up.gateway, TOKEN);
    assert_eq!(before.answered.len(), 3, "{before}");
    up.wait("the entries are there", Duration::from_secs(10), |up| up.entries().len() == 3);
    // With nothing in flight and nothing to be acknowledged nothing is lost.
    std::thread::sleep(Duration::from_millis(300));
    up.kill("envoy");
    let load = Load::start(up.gateway, TOKEN, 8);
    std::thread::sleep(Duration::from_secs(1));
    up.wait("calls are served", Duration::from_secs(30), |up| one_answered(up.gateway));
    std::thread::sleep(Duration::from_millis(500));
    // The stack is stopped while callers still call.
    let waited = up.entries().len();
    assert_eq!(up.stop(), Some(0), "{}", up.said());
    let seen = load.stop();
    println!("Envoy killed: {seen}");
    assert!(seen.unconnected > 0 && seen.answered.len() > 10, "{seen}");
    let entries = up.entries();
    assert!(entries.len() >= waited && before.owed().is_subset(&entries));
    let missing: Vec<_> = seen.owed().difference(&entries).cloned().collect();
    assert!(missing.is_empty() && seen.cut.is_empty(), "{missing:?} {seen}");
    assert!(
        up.said().contains("Envoy was ended by signal 9; it is started again in 100 ms"),
        "{}",
        up.said()
    );
}

fn one_answered(gateway: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let Ok(mut socket) = std::net::TcpStream::connect(gateway) else { return false };
    let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = socket.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).is_ok() && answer == *b"HTTP/1.1 200"
}

#[test]
fn a_ledger_that_cannot_be_mended_ends_the_stack_after_a_drain() {
    let real = pax_stack::Layout::find().unwrap().ledger;
    let broken = std::env::temp_dir().join(format!("pax-killed-flag-{}", std::process::id()));
    let wrapper = broken.with_extension("sh");
    write_program(
        &wrapper,
        &format!("[ ! -e {} ] || exit 3\nexec {} \"$@\"", broken.display(), real.display()),
    );
    let mut up = Up::start("broken", |command| {
        command.env("PAX_LEDGER_BIN", &wrapper);
    });
    let seen = one_of_each(up.gateway, TOKEN);
    up.wait("the entries are there", Duration::from_secs(10), |up| up.entries().len() == 3);
    std::fs::write(&broken, "").unwrap();
    up.kill("pax-ledger");
    let status = up.program.wait().unwrap();
    let said = up.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("error: ledger exited with status 3"), "{said}");
    assert_eq!(said.matches("it is started again in").count(), 5, "{said}");
    assert!(said.contains("stopping: waiting for calls in flight"), "{said}");
    assert_eq!(up.entries(), seen.owed());
    for file in [broken, wrapper] {
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_ledger_is_waited_for_as_long_as_debits_wait_for_it() {
    let real = pax_stack::Layout::find().unwrap().ledger;
    let broken = std::env::temp_dir().join(format!("pax-killed-waits-flag-{}", std::process::id()));
    let wrapper = broken.with_extension("sh");
    write_program(
        &wrapper,
        &format!("[ ! -e {} ] || exit 3\nexec {} \"$@\"", broken.display(), real.display()),
    );
    let mut up = Up::start("waits", |command| {
        command.env("PAX_LEDGER_BIN", &wrapper);
    });
    let mut owed = one_of_each(up.gateway, TOKEN).owed();
    std::fs::write(&broken, "").unwrap();
    up.kill("pax-ledger");
    // The token is remembered, so that calls are served, and their debits wait.
    let while_away = one_of_each(up.gateway, TOKEN);
    assert_eq!(while_away.answered.len(), 3, "{while_away}");
    owed.extend(while_away.owed());
    up.wait("more deaths than end a stack", Duration::from_secs(30), |up| {
        up.said().matches("it is started again in").count() > 7
    });
    assert!(up.said().contains("debits wait for the ledger in Envoy's memory"), "{}", up.said());
    std::fs::remove_file(&broken).unwrap();
    up.wait("the entries are there", Duration::from_secs(20), |up| up.entries() == owed);
    assert_eq!(up.stop(), Some(0), "{}", up.said());
    std::fs::remove_file(wrapper).unwrap();
}

/// A stack of three ledgers on one database, which are started by a program of ours: it fails as long as a file is there.
fn three_ledgers(broken: &Path) -> (pax_stack::Stack, PathBuf) {
    let mut layout = pax_stack::Layout::find().unwrap();
    let wrapper = broken.with_extension("sh");
    let text = format!("[ ! -e {} ] || exit 3\nexec {} \"$@\"", broken.display(), layout.ledger.display());
    write_program(&wrapper, &text);
    layout.ledger.clone_from(&wrapper);
    let url = pax_postgres::server::Server::shared().database();
    let database = pax_stack::Database::of_url(&url).unwrap();
    let builder = pax_stack::Stack::builder().layout(layout).ledgers(3).database(database);
    (builder.start().unwrap(), wrapper)
}

#[test]
fn each_of_several_ledgers_is_started_again_and_one_that_cannot_be_does_not_end_the_stack() {
    let broken = std::env::temp_dir().join(format!("pax-killed-several-flag-{}", std::process::id()));
    let (mut stack, wrapper) = three_ledgers(&broken);
    let ledgers = |stack: &pax_stack::Stack| -> Vec<u32> {
        let all = stack.processes().into_iter().filter(|(name, _)| *name == "ledger");
        all.map(|(_, id)| id).collect()
    };
    let mut said = Vec::new();
    let mut mend = |stack: &mut pax_stack::Stack, seconds: u64, done: &dyn Fn(&pax_stack::Stack) -> bool| {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !done(stack) && Instant::now() < deadline {
            stack.mend(&mut |line| said.push(line.to_owned())).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let first = ledgers(&stack);
    assert_eq!(first.len(), 3);
    send("-KILL", first[1]);
    send("-KILL", first[2]);
    mend(&mut stack, 10, &|stack| {
        ledgers(stack).iter().zip(&first).filter(|(now, then)| now != then).count() == 2
    });
    let second = ledgers(&stack);
    assert!(second[0] == first[0] && second[1] != first[1] && second[2] != first[2], "{first:?} {second:?}");
    // Longer than six deaths in a row take.
    std::fs::write(&broken, "").unwrap();
    send("-KILL", second[2]);
    mend(&mut stack, 14, &|_| false);
    let gateway = SocketAddr::from(([127, 0, 0, 1], stack.gateway_port()));
    assert_eq!(one_of_each(gateway, TOKEN).answered.len(), 3);
    assert!(said.iter().filter(|line| line.contains("ledger-3.log")).count() > 6, "{said:#?}");
    for file in [broken, wrapper] {
        std::fs::remove_file(file).unwrap();
    }
}

/// What `pax-stack up` says with these settings when it does not start.
fn refused(name: &str, settings: &[(&str, &str)]) -> String {
    let folder = std::env::temp_dir().join(format!("pax-killed-{name}-{}", std::process::id()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_pax-stack"));
    command.args(["up", "--standin", "--port", "0", "--data-dir"]).arg(&folder);
    let output = command.envs(settings.iter().copied()).output().unwrap();
    assert!(!output.status.success());
    let _ = std::fs::remove_dir_all(folder);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_database_that_cannot_be_used_is_refused_and_its_password_is_not_shown() {
    let said = refused("sqlite", &[("LEDGERS", "3")]);
    assert!(said.contains("error: LEDGERS=3 needs PostgreSQL"), "{said}");
    let said =
        refused("none", &[("LEDGERS", "0"), ("LEDGER_DB", "postgres://pax:s3cret@127.0.0.1:9/ledger")]);
    assert!(said.contains("error: LEDGERS is a number from 1 to 16") && !said.contains("s3cret"), "{said}");
    let said = refused("url", &[("LEDGER_DB", "pax:s3cret@127.0.0.1:9/ledger")]);
    assert!(
        said.contains("error: LEDGER_DB is no URL of a PostgreSQL database") && !said.contains("s3cret"),
        "{said}"
    );
    // Nothing listens on port 9 (discard).
    let said =
        refused("away", &[("LEDGER_DB", "postgres://pax:s3cret@127.0.0.1:9/ledger"), ("LEDGERS", "3")]);
    assert!(said.contains("error: `pax-ledger account create") && !said.contains("s3cret"), "{said}");
    let help = Command::new(env!("CARGO_BIN_EXE_pax-stack"))
        .args(["up", "--help"])
        .env("LEDGER_DB", "postgres://pax:s3cret@127.0.0.1:9/ledger")
        .output()
        .unwrap();
    assert!(help.status.success() && !String::from_utf8_lossy(&help.stdout).contains("s3cret"));
}

fn write_program(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn logs_of_an_earlier_start_are_kept() {
    let folder = std::env::temp_dir().join(format!("pax-killed-logs-{}", std::process::id()));
    let start = || pax_stack::Stack::builder().data_dir(&folder).start().unwrap();
    let port = start().gateway_port();
    let again = pax_stack::Stack::builder().data_dir(&folder).gateway_port(port).start().unwrap();
    let log = std::fs::read_to_string(again.run_dir().join("ledger.log")).unwrap();
    assert_eq!(log.matches("listening internal=").count(), 2, "{log}");
    drop(again);
    std::fs::remove_dir_all(folder).unwrap();
}
