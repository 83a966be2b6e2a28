//! `pax-ledger health`: whether the service answers, without curl.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::Error;

/// How long each listener may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks both listeners.
///
/// # Errors
/// The first that does not answer as it should.
pub(super) fn check(internal: SocketAddr, public: SocketAddr) -> Result<(), Error> {
    for (name, address) in [("internal", internal), ("public", public)] {
        let status = ask(address).map_err(|why| Error::Io {
            doing: format!("asking the {name} listener at {address} how it is"),
            why,
        })?;
        if status != "200" {
            return Err(Error::Operator(format!("the {name} listener at {address} answers {status:?}")));
        }
    }
    Ok(())
}

/// The status of `GET /healthz`.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let status = head.strip_prefix(b"HTTP/1.1 ").unwrap_or_default();
    Ok(String::from_utf8_lossy(status).into_owned())
}
