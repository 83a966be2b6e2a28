//! A real Envoy with a configuration of its own, of any version.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The module is compiled first: seconds on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A running Envoy. Killed when dropped, or when this process is gone.
pub struct Envoy {
    child: Child,
    log: PathBuf,
    port: u16,
}

impl Envoy {
    /// The one that everything else here is tested with.
    pub fn of_this_checkout() -> PathBuf {
        pax_stack::Layout::find().unwrap().envoy
    }

    /// Starts one; `port` is a listener's.
    pub fn start(binary: &Path, config: &str, folder: &Path, port: u16, env: &[(&str, &str)]) -> Self {
        let file = folder.join(format!("{port}.yaml"));
        std::fs::write(&file, config).unwrap();
        let log = folder.join(format!("{port}.log"));
        let out = File::create(&log).unwrap();
        // The kernel kills it if this process dies.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(binary).arg("-c").arg(file);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]);
        command.args(["--component-log-level", "wasm:info", "--file-flush-interval-msec", "100"]);
        command.envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        Self { child: command.spawn().expect("setpriv, of util-linux"), log, port }
    }

    /// What it has written so far: its log, and its access log.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits until it has written that; false after ten seconds.
    pub fn says(&self, text: &str) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.said().contains(text) {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Whether it came to listen; false if it ended by itself.
    pub fn starts(&mut self) -> bool {
        let deadline = Instant::now() + START_PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            assert!(Instant::now() < deadline, "Envoy neither listens nor ends: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub fn wait_until_it_listens(mut self) -> Self {
        assert!(self.starts(), "{}", self.said());
        self
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
