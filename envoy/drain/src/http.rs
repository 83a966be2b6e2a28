//! As much of HTTP as it takes to ask a process on loopback how it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A status and a body of at most 64 KiB.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// The value of a counter or gauge of the Envoy with that admin port, None if Envoy has none of that name.
pub fn stat(admin_port: u16, name: &str) -> Option<u64> {
    let pattern = name.replace('.', "\\.");
    let answer = ask(admin_port, "GET", &format!("/stats?filter=^{pattern}$")).ok()?;
    // The answer is chunked; the one line that matters has the name and the number.
    let line = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
    line.trim().parse().ok()
}

/// One request on a connection of its own.
///
/// # Errors
/// If no server answers within two seconds, or if it does not answer in HTTP.
pub fn ask(port: u16, method: &str, path: &str) -> std::io::Result<Answer> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let wait = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    let length = if method == "POST" { "content-length: 0\r\n" } else { "" };
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{length}connection: close\r\n\r\n")?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 8192]);
    // This does not read to the connection's end: a server may wait until this side closes it first.
    while !is_complete(&bytes) && bytes.len() < 65_536 {
        match stream.read(&mut piece)? {
            0 => break,
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_string());
    match (status, body) {
        (Some(status), Some(body)) => Ok(Answer { status, body }),
        _ => Err(std::io::Error::other("the answer is not HTTP")),
    }
}

/// Whether an answer that says its length, or comes in chunks, has come whole.
fn is_complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    match head.split_once("content-length:").and_then(|(_, rest)| rest.lines().next()) {
        Some(length) => length.trim().parse().is_ok_and(|length: usize| body.len() >= length),
        None => head.contains("transfer-encoding: chunked") && body.ends_with("\r\n0\r\n\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    #[test]
    fn an_answer_is_complete_at_its_length_or_its_last_chunk() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for text in [whole, chunked] {
            assert!(is_complete(text.as_bytes()));
            (0..text.len()).for_each(|cut| assert!(!is_complete(&text.as_bytes()[..cut]), "{cut}"));
        }
        assert!(!is_complete(b"HTTP/1.1 200 OK\r\n\r\nto the connection's end"));
    }
}
