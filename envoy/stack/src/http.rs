//! As much of HTTP as it takes to ask a process on loopback how it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A status and a body of at most 64 KiB.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: String,
}

/// The value of a counter or gauge of the Envoy with that admin port, None where there is none of that name.
pub(crate) fn stat(admin_port: u16, name: &str) -> Option<u64> {
    let pattern = name.replace('.', "\\.");
    let answer = ask(admin_port, "GET", &format!("/stats?filter=^{pattern}$")).ok()?;
    // The answer is chunked; the one line that matters has the name and the number.
    let line = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
    line.trim().parse().ok()
}

/// One request on a connection of its own.
///
/// # Errors
/// When nobody answers within two seconds, or not in HTTP.
pub(crate) fn ask(port: u16, method: &str, path: &str) -> std::io::Result<Answer> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let wait = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    let length = if method == "POST" { "content-length: 0\r\n" } else { "" };
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{length}connection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(65_536).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_string());
    match (status, body) {
        (Some(status), Some(body)) => Ok(Answer { status, body }),
        _ => Err(std::io::Error::other("the answer is not HTTP")),
    }
}
