//! What the machine has: programs, the server's user, ports; and a question by HTTP.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a node's Patroni may take to say what the node is.
const ANSWER: Duration = Duration::from_secs(2);

/// # Panics
/// If something is missing.
pub(crate) fn check_installed() {
    for program in
        [PathBuf::from("/usr/bin/etcd"), PathBuf::from("/usr/bin/patroni"), programs().join("initdb")]
    {
        let path = program.display();
        assert!(program.exists(), "{path} is missing: `sh envoy/tools.sh patroni` installs Debian's");
    }
}

/// Where PostgreSQL's programs are: a version that Debian's Patroni knows.
pub(crate) fn programs() -> PathBuf {
    PathBuf::from("/usr/lib/postgresql/15/bin")
}

/// A command in the role of the server, which refuses to run as root.
pub(crate) fn as_server(program: impl AsRef<OsStr>) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command.current_dir("/");
    command
}

/// A shell script in the role of the server, about a folder in which it does not work itself.
pub(crate) fn shell(script: &str, folder: &Path) -> Command {
    let mut command = as_server("sh");
    command.args(["-c", script]).env("FOLDER", folder).current_dir("/");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Ports of loopback that were free a moment ago. They are below those that the kernel gives to outgoing connections: one
/// of these must not have taken a node's port while the node is away.
///
/// # Panics
/// If there are not so many.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let from = 15_000 + std::process::id() as u16 % 10_000;
    // All are kept until the last is found, so that none is found twice.
    let free = (from..32_000).filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    let kept: Vec<TcpListener> = free.take(count).collect();
    assert_eq!(kept.len(), count, "too few ports are free");
    kept.iter().map(|listener| listener.local_addr().expect("it has an address").port()).collect()
}

/// The status and body of an answer of Patroni's REST API.
pub(crate) fn answer(port: u16, path: &str) -> Option<(u16, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
