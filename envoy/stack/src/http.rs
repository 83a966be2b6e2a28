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
