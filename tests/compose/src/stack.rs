//! A compose project of its own in a copy of this checkout, asked and driven by the commands that operators use.

use pax_drain::http;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// How long anything may take to come up.
const PATIENCE: Duration = Duration::from_secs(90);

/// A project. Removed with its volume when dropped.
pub struct Stack {
    folder: PathBuf,
    name: String,
    port: u16,
    settings: Vec<(String, String)>,
}

impl Stack {
    /// A copy of the checkout's files as they are now, with what is built of them, and no `.env`.
    pub fn copy(root: &Path) -> Self {
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("pax-compose-{id}"));
        std::fs::create_dir_all(folder.join("dist")).unwrap();
        let copy = "git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -c | tar -x -C \"$0\"
            cp dist/pax-* dist/pax_gateway.wasm \"$0/dist/\"";
        run(Command::new("sh").args(["-ec", copy]).arg(&folder).current_dir(root));
        // Nobody else's while the engine publishes it: the kernel gives it out no more until it is bound.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, name: format!("paxtest{id}"), port, settings: Vec::new() }
    }

    pub fn gateway(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn volume(&self) -> String {
        format!("{}_ledger", self.name)
    }

    /// Environment of compose from now on, before `.env`.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// `envoy/compose.sh` with these arguments.
    pub fn script(&self, arguments: &[&str]) {
        run(Command::new("sh").arg("envoy/compose.sh").args(arguments).current_dir(&self.folder));
    }

    /// A compose command, whatever comes of it.
    pub fn try_compose(&self, arguments: &[&str]) -> Output {
        let program = std::env::var("PAX_COMPOSE").unwrap_or_else(|_| "docker compose".to_owned());
        let mut words = program.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(arguments).current_dir(&self.folder);
        command.env("COMPOSE_PROJECT_NAME", &self.name).env("GATEWAY_PORT", self.port.to_string());
        command.env("PAX_PARTS", "dist").env("PAX_IMAGE", "pax-gateway-test");
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    }

    /// One that must succeed; what it prints.
    pub fn compose(&self, arguments: &[&str]) -> String {
        checked(&format!("compose {}", arguments.join(" ")), self.try_compose(arguments))
    }

    /// `up -d`, and until it is healthy.
    pub fn up(&self) {
        self.compose(&["up", "-d"]);
        self.wait_until_healthy();
    }

    pub fn wait_until_healthy(&self) {
        wait("ledger and Envoy are healthy", || {
            ["ledger", "envoy"]
                .iter()
                .all(|service| self.inspect(service, "{{.State.Health.Status}}") == "healthy")
        });
    }

    /// What the engine says of a service's container; empty where there is none.
    pub fn inspect(&self, service: &str, format: &str) -> String {
        let id = self.container(service);
        if id.is_empty() {
            return String::new();
        }
        let output = Command::new("docker").args(["inspect", "--format", format, &id]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn container(&self, service: &str) -> String {
        let output = self.try_compose(&["ps", "-q", service]);
        String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned()
    }

    /// A command of the ledger, in its container.
    pub fn ledger(&self, arguments: &[&str]) -> String {
        self.compose(&[&["exec", "-T", "ledger", "pax-ledger"], arguments].concat())
    }

    /// The exchanges of all entries of calls, and how many of them have more than one.
    pub fn entries(&self) -> (BTreeSet<String>, usize) {
        let lines = self.ledger(&["entries", "--kind", "debit"]);
        let id = |line: &str| {
            line.split_once(r#""exchange_id":""#).unwrap().1.split('"').next().unwrap().to_owned()
        };
        let ids: Vec<String> = lines.lines().map(id).collect();
        let unique: BTreeSet<String> = ids.iter().cloned().collect();
        let doubled = ids.len() - unique.len();
        (unique, doubled)
    }

    /// SIGKILL from the host, to the first process of a service's container: the engine sees a crash and not a stop.
    pub fn kill(&self, service: &str) {
        run(Command::new("kill").args(["-KILL", &self.inspect(service, "{{.State.Pid}}")]));
    }

    /// The same to Envoy itself, below its entrypoint.
    pub fn kill_envoy_process(&self) {
        let parent = self.inspect("envoy", "{{.State.Pid}}");
        run(Command::new("pkill").args(["-KILL", "-x", "envoy", "-P", &parent]));
    }

    /// The status of `GET path` at the gateway.
    pub fn get(&self, path: &str) -> u16 {
        http::ask(self.port, "GET", path).map_or(0, |answer| answer.status)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", String::from_utf8_lossy(&self.try_compose(&["logs", "--tail", "30"]).stdout));
        }
        // With its profile, or the stand-in would stay.
        self.set("COMPOSE_PROFILES", "standin");
        let _ = self.try_compose(&["down", "--volumes", "--timeout", "1"]);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits, and fails where it takes too long.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A command that must succeed; what it prints.
pub fn run(command: &mut Command) -> String {
    let shown = format!("{command:?}");
    checked(&shown, command.output().unwrap())
}

fn checked(what: &str, output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
