//! A cluster that survives the loss of its primary: two or three PostgreSQL under Patroni, which decides by etcd who is
//! primary. `patroni/node.yml` has the settings, and docs/patroni.md what operators are told of them.

pub mod node;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::machine::{self, answer, as_server, free_ports, shell};
use node::Places;

/// How long a new cluster may take until all its nodes have the primary's data.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(100);
const USER: &str = "pax";
const PASSWORD: &str = "ledger-password";

/// How a script names the processes that work in a folder below this one. No other process is ever touched.
const BELOW: &str = r#"below() { find /proc -mindepth 2 -maxdepth 2 -name cwd -lname "$FOLDER/$1" -printf '%h\n' 2>/dev/null | tr -dc '0-9\n'; }
"#;
/// Waits for the end of its input, which is that of the test, however that ended; then ends the cluster's processes and
/// removes its folder. Patroni goes first, so that it does not start PostgreSQL again, which gives back its shared memory.
const KEEPER: &str = r#"trap '' INT TERM HUP; while read -r line; do :; done
kill -KILL $(below '*/run'); tries=0
while pids=$(below '*') && [ "$pids" ]; do
    if [ $tries -lt 50 ]; then kill -QUIT $pids; kill -CONT $pids; else kill -KILL $pids; fi; sleep 0.1; tries=$((tries + 1))
done
rm -rf "$FOLDER""#;
/// Ends every process of a node at once. That one of them has ended by itself meanwhile is no failure.
const KILLER: &str = r#"while pids=$(below '*') && [ "$pids" ]; do kill -KILL $pids || :; done"#;
/// Sends a signal to every process of a node, likewise.
const SIGNALLER: &str = r#"kill -$SIGNAL $(below '*') || :"#;

/// A cluster of its own etcd and nodes, on ports of loopback that were free.
#[derive(Debug)]
pub struct Patroni {
    folder: PathBuf,
    nodes: Vec<Node>,
    etcd: Child,
    keeper: Child,
    /// Its end tells the keeper that the test is over.
    alive: Option<ChildStdin>,
}

#[derive(Debug)]
struct Node {
    /// Its folder, which is no process's but this node's.
    folder: PathBuf,
    postgres: u16,
    rest: u16,
    patroni: Option<Child>,
}

impl Patroni {
    /// Starts a cluster with this many nodes, and waits until all standbys stream from the primary and one of them is
    /// synchronous. It has a database `pax`; its user, who is in the URL, may create others.
    ///
    /// In strict synchronous mode two nodes stop writing when one of them is lost; of three, one may be lost.
    ///
    /// # Panics
    /// If it does not come up, or what it needs is not installed.
    pub fn start(nodes: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        machine::check_installed();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("pax-patroni-{}-{number}", std::process::id()));
        let made = as_server("mkdir")
            .args(["-p", "-m", "700"])
            .arg(folder.join("etcd"))
            .status()
            .expect("mkdir runs");
        assert!(made.success(), "{} could not be made", folder.display());
        let mut keeper =
            shell(&format!("{BELOW}{KEEPER}"), &folder).stdin(Stdio::piped()).spawn().expect("a shell runs");
        let alive = keeper.stdin.take();
        let ports = free_ports(2 + 2 * nodes);
        let (etcd_ports, node_ports) = ports.split_at(2);
        let etcd = start_etcd(&folder, etcd_ports);
        let node = |(index, ports): (usize, &[u16])| Node {
            folder: folder.join(format!("node{index}")),
            postgres: ports[0],
            rest: ports[1],
            patroni: None,
        };
        let nodes = node_ports.chunks(2).enumerate().map(node).collect();
        let mut cluster = Self { folder, nodes, etcd, keeper, alive };
        for index in 0..cluster.nodes.len() {
            cluster.configure(index, etcd_ports[0]);
            cluster.start_again(index);
        }
        let began = Instant::now();
        let (primary, _) = cluster.wait_for_primary_and_sync_standby(PATIENCE);
        for standby in (0..cluster.nodes.len()).filter(|node| *node != primary) {
            cluster.wait_until_streaming(standby, PATIENCE.saturating_sub(began.elapsed()));
        }
        cluster
    }

    /// The URL of a database: it names all nodes, in their order, whoever is primary.
    pub fn url(&self, database: &str) -> String {
        let hosts: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.postgres)).collect();
        format!("postgres://{USER}:{PASSWORD}@{}/{database}", hosts.join(","))
    }

    /// Runs SQL on the primary, past all our code, as `psql` does. Gives what it prints.
    ///
    /// # Panics
    /// If that fails.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let url = format!("{}?target_session_attrs=read-write", self.url(database));
        let done = Command::new(machine::programs().join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"])
            .args(["-d", &url, "-c", sql])
            .output()
            .expect("psql runs");
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    /// The node that is primary and has the lease, if one has.
    pub fn primary(&self) -> Option<usize> {
        (0..self.nodes.len()).find(|node| self.is(*node, "/primary"))
    }

    /// A node that would be promoted without losing anything, if there is one.
    pub fn sync_standby(&self) -> Option<usize> {
        (0..self.nodes.len()).find(|node| self.is(*node, "/sync"))
    }

    /// Kills the primary as a lost machine is gone: PostgreSQL with all its processes, and its Patroni. Gives which it was.
    ///
    /// # Panics
    /// If there is none.
    pub fn kill_primary(&mut self) -> usize {
        let primary = self.primary().unwrap_or_else(|| self.fail("there is no primary to kill"));
        self.kill(primary);
        primary
    }

    /// Kills a node in the same way.
    ///
    /// # Panics
    /// If no shell runs.
    pub fn kill(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let done = shell(&format!("{BELOW}{KILLER}"), &node.folder).status().expect("a shell runs");
        assert!(done.success(), "a node could not be killed");
        if let Some(mut patroni) = node.patroni.take() {
            let _ = patroni.wait();
        }
    }

    /// Stops all processes of a node where they are: a machine that hangs. Its connections stay, and nothing answers.
    ///
    /// # Panics
    /// If no shell runs.
    pub fn freeze(&self, node: usize) {
        self.signal(node, "STOP");
    }

    /// Lets a frozen node go on, which knows nothing of the time that has passed.
    ///
    /// # Panics
    /// If no shell runs.
    pub fn thaw(&self, node: usize) {
        self.signal(node, "CONT");
    }

    /// Starts a killed node's Patroni, as a machine does that boots. Patroni does the rest, which takes a while.
    ///
    /// # Panics
    /// If it runs already, or does not start.
    pub fn start_again(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        assert!(node.patroni.is_none(), "this node was not killed");
        // Somebody else's child is there until that process has heard of its end, and would pass for a running server.
        let pid = std::fs::read_to_string(node.folder.join("data/postmaster.pid")).unwrap_or_default();
        let stat = Path::new("/proc").join(pid.lines().next().unwrap_or("none").trim()).join("stat");
        let began = Instant::now();
        while std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")) {
            assert!(began.elapsed() < PATIENCE, "nobody waits for a killed server's end");
            sleep(LOOK);
        }
        let log = append(&node.folder.with_extension("log"));
        let mut command = as_server("patroni");
        command.arg(node.folder.with_extension("yml")).current_dir(node.folder.join("run"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file handle")).stderr(log);
        node.patroni = Some(command.spawn().expect("patroni runs"));
    }

    /// Waits until there are a primary and a synchronous standby: which they are.
    ///
    /// # Panics
    /// If that takes longer, with the end of each node's log.
    pub fn wait_for_primary_and_sync_standby(&self, limit: Duration) -> (usize, usize) {
        self.wait(limit, "no primary with a synchronous standby", || self.primary().zip(self.sync_standby()))
    }

    /// Waits until a node gets the primary's changes as they are made.
    ///
    /// # Panics
    /// If that takes longer, with the end of each node's log.
    pub fn wait_until_streaming(&self, node: usize, limit: Duration) {
        let name = node_name(node);
        let streams = || {
            let (_, told) = self.ask(self.primary()?, "/patroni")?;
            let told: serde_json::Value = serde_json::from_str(&told).ok()?;
            let standbys = told["replication"].as_array()?;
            let is_it =
                |of: &&serde_json::Value| of["application_name"] == name && of["state"] == "streaming";
            standbys.iter().find(is_it).map(|_| ())
        };
        self.wait(limit, &format!("{name} does not stream"), streams);
    }

    fn wait<T>(&self, limit: Duration, otherwise: &str, look: impl Fn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            match look() {
                Some(found) => return found,
                None if began.elapsed() > limit => self.fail(otherwise),
                None => sleep(LOOK),
            }
        }
    }

    fn is(&self, node: usize, path: &str) -> bool {
        self.ask(node, path).is_some_and(|(status, _)| status == 200)
    }

    /// What a node's Patroni answers, if it runs.
    fn ask(&self, node: usize, path: &str) -> Option<(u16, String)> {
        let node = &self.nodes[node];
        node.patroni.as_ref().and_then(|_| answer(node.rest, path))
    }

    fn signal(&self, node: usize, signal: &str) {
        let done = shell(&format!("{BELOW}{SIGNALLER}"), &self.nodes[node].folder)
            .env("SIGNAL", signal)
            .status()
            .expect("a shell runs");
        assert!(done.success(), "a node got no SIG{signal}");
    }

    fn configure(&self, index: usize, etcd: u16) {
        let node = &self.nodes[index];
        let run = node.folder.join("run");
        let made = as_server("mkdir").arg("-p").arg(&run).status().expect("mkdir runs");
        assert!(made.success(), "{} could not be made", run.display());
        let post_init = node.folder.with_extension("sh");
        let places = Places {
            name: &node_name(index),
            rest: &format!("127.0.0.1:{}", node.rest),
            postgres: &format!("127.0.0.1:{}", node.postgres),
            etcd: &format!("127.0.0.1:{etcd}"),
            network: "127.0.0.1/32",
            data: &node.folder.join("data"),
            sockets: &run,
            pgpass: &run.join("pgpass"),
            programs: &machine::programs(),
            post_init: &format!("/bin/sh {}", post_init.display()),
        };
        std::fs::write(node.folder.with_extension("yml"), places.node_yml()).expect("a file is written");
        std::fs::write(post_init, node::post_init(PASSWORD)).expect("a file is written");
    }

    fn fail(&self, why: &str) -> ! {
        let mut logs = String::new();
        for node in &self.nodes {
            let log = std::fs::read_to_string(node.folder.with_extension("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(25)..].join("\n  ");
            logs.push_str(&format!("\n{}:\n  {end}", node.folder.display()));
        }
        panic!("{why}{logs}");
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.keeper.wait();
        let _ = self.etcd.wait();
        for patroni in self.nodes.iter_mut().filter_map(|node| node.patroni.as_mut()) {
            let _ = patroni.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn node_name(index: usize) -> String {
    format!("node{index}")
}

fn append(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("a log is written")
}

/// One etcd: that etcd itself survives the loss of a machine is its own business, and tested by others.
fn start_etcd(folder: &Path, ports: &[u16]) -> Child {
    let clients = format!("http://127.0.0.1:{}", ports[0]);
    let peers = format!("http://127.0.0.1:{}", ports[1]);
    let log = append(&folder.join("etcd.log"));
    let mut command = as_server("etcd");
    command.args(["--name", "etcd0", "--data-dir", "data", "--logger", "zap", "--log-level", "warn"]);
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--initial-cluster", &format!("etcd0={peers}")]).current_dir(folder.join("etcd"));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file handle")).stderr(log);
    command.spawn().expect("etcd runs")
}
