//! One server, which ends with the test process that has started it.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::machine::{as_server, free_ports};

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server. Nobody else reaches it, since it listens on loopback, on a port that was free.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
    /// The server's parent, which stops it when its standard input ends.
    keeper: Child,
}

impl Server {
    /// The server that all tests of a process share. It does not wait for the disk.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["fsync=off", "max_connections=400"]))
    }

    /// Starts a server of one's own with these settings.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(settings: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let bin = programs();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("pax-postgres-{}-{number}", std::process::id()));
        let made = as_server("mkdir").arg(&folder).status().expect("mkdir runs");
        assert!(made.success(), "{} could not be made", folder.display());
        let data = folder.join("data");
        let init = as_server(bin.join("initdb"))
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(init.status.success(), "initdb: {}", String::from_utf8_lossy(&init.stderr));
        let [port] = free_ports(1)[..] else { panic!("a port is free") };
        let keeper = keep(&bin, &folder, port, settings);
        let server = Self { folder, bin, port, keeper };
        server.wait_until_ready();
        server
    }

    /// A new, empty database: its URL.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pax_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"));
        self.url(&name)
    }

    /// A copy of a database: its URL. Sessions that are connected to it are ended.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn copy_of(&self, url: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let of = url.rsplit('/').next().unwrap_or_default();
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{of}'");
        self.run("postgres", &end);
        let name = format!("{of}_copy_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE {of}"));
        self.url(&name)
    }

    /// The port on loopback on which it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database of this server.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL past all our code, as `psql` does. Gives what it prints.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let done = self.psql("postgres", database, sql);
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    /// How the server refuses SQL.
    ///
    /// # Panics
    /// If it does not.
    pub fn refuses(&self, database: &str, sql: &str) -> String {
        self.refuses_as("postgres", database, sql)
    }

    /// How the server refuses SQL of a role.
    ///
    /// # Panics
    /// If it does not.
    pub fn refuses_as(&self, role: &str, database: &str, sql: &str) -> String {
        let done = self.psql(role, database, sql);
        assert!(!done.status.success(), "{sql} was not refused");
        String::from_utf8_lossy(&done.stderr).into_owned()
    }

    /// Changes a setting while the server runs.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn set(&self, setting: &str, value: &str) {
        self.run("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"));
        self.run("postgres", "SELECT pg_reload_conf()");
    }

    /// Takes encrypted connections from now on, with this certificate and its key.
    ///
    /// # Panics
    /// If the server refuses them.
    pub fn use_tls(&self, certificate: &Path, key: &Path) {
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let text = std::fs::read(from).expect("it can be read");
            // The server reads a key only if it is its own, and nobody else can.
            let mut write = as_server("sh");
            let mut write = write
                .args(["-c", "umask 077 && cat >\"$0\""])
                .arg(self.folder.join("data").join(name))
                .stdin(Stdio::piped())
                .spawn()
                .expect("sh runs");
            let mut stdin = write.stdin.take().expect("it is piped");
            stdin.write_all(&text).expect("the shell reads it");
            drop(stdin);
            assert!(write.wait().is_ok_and(|status| status.success()), "{name} could not be written");
        }
        self.set("ssl", "on");
    }

    fn psql(&self, role: &str, database: &str, sql: &str) -> Output {
        Command::new(self.bin.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-U", role, "-p", &self.port.to_string(), "-d", database, "-c", sql])
            .output()
            .expect("psql runs")
    }

    /// The server's first process, whose children are all others.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let first = pid.lines().next().and_then(|line| line.trim().parse().ok());
        first.expect("the server wrote its process id")
    }

    /// Kills the server as a crash does, and starts it again.
    ///
    /// # Panics
    /// If it does not start.
    pub fn crash(&mut self, settings: &[&str]) {
        let _ = Command::new("kill").args(["-9", &self.pid().to_string()]).status();
        let _ = self.keeper.wait();
        std::thread::sleep(Duration::from_millis(300));
        let _ = std::fs::remove_file(self.folder.join("data/postmaster.pid"));
        self.keeper = keep(&self.bin, &self.folder, self.port, settings);
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        let began = Instant::now();
        let is_ready = || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
                && Command::new(self.bin.join("pg_isready"))
                    .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                    .status()
                    .is_ok_and(|status| status.success())
        };
        while !is_ready() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "PostgreSQL did not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts the server under a shell that stops it when this process is gone, however it went.
fn keep(bin: &Path, folder: &Path, port: u16, settings: &[&str]) -> Child {
    // A shell gives what it starts in the background no standard input, hence the third descriptor.
    let script = "exec 3<&0; \"$@\" >>\"$0/log\" 2>&1 3<&- & pid=$!; \
        (while read -r line <&3; do :; done; kill -INT $pid 2>/dev/null; sleep 5; kill -9 $pid 2>/dev/null) & \
        exec 3<&-; wait $pid";
    let mut command = as_server("sh");
    command.args(["-c", script]).arg(folder).arg(bin.join("postgres")).arg("-D").arg(folder.join("data"));
    command.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"]).arg(folder);
    for setting in settings {
        command.args(["-c", setting]);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server's shell runs")
}

/// Where the programs of the newest PostgreSQL of this machine are.
///
/// # Panics
/// If there is none; the Makefile installs it.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number =
        |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).unwrap_or(0);
    let newest = versions.map(|version| version.path()).max_by_key(number).map(|version| version.join("bin"));
    let found = newest.filter(|bin| bin.join("initdb").exists());
    found.expect("PostgreSQL is missing: `sh envoy/tools.sh postgres` installs Debian's")
}
