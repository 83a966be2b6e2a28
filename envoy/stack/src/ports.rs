//! Free loopback ports.

use crate::StackError;
use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Mutex;

/// Below the range that the kernel takes for outgoing connections, so that none of them takes a port between
/// its choice and its use.
const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

/// The ports that this process has given out. None is given out twice, so that stacks of parallel tests do
/// not meet.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A loopback port on which nothing listens.
///
/// # Errors
/// [`StackError::Config`] if a thousand random ones were all taken.
pub(crate) fn free() -> Result<u16, StackError> {
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for _ in 0..1000 {
        let port = FIRST + random_u16()? % COUNT;
        if !taken.contains(&port) && check("127.0.0.1", port).is_ok() {
            taken.insert(port);
            return Ok(port);
        }
    }
    Err(StackError::Config("no free port on 127.0.0.1: a thousand random ones are in use".into()))
}

/// Whether a port can be bound. Envoy itself would not tell: its workers share a port (`SO_REUSEPORT`), and a
/// second Envoy would quietly share it too.
///
/// # Errors
/// [`StackError::PortInUse`].
pub(crate) fn check(address: &str, port: u16) -> Result<(), StackError> {
    match TcpListener::bind((address, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(StackError::PortInUse { address: address.to_string(), port })
        }
        Err(error) => Err(StackError::Config(format!("cannot listen on {address}:{port}: {error}"))),
    }
}

/// Random bytes that cannot be guessed, as hex.
///
/// # Errors
/// [`StackError::Io`] if the system has none.
pub(crate) fn random_hex(bytes: usize) -> Result<String, StackError> {
    let mut buffer = vec![0u8; bytes];
    fill(&mut buffer)?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random_u16() -> Result<u16, StackError> {
    let mut buffer = [0u8; 2];
    fill(&mut buffer)?;
    Ok(u16::from_le_bytes(buffer))
}

fn fill(buffer: &mut [u8]) -> Result<(), StackError> {
    let path = std::path::Path::new("/dev/urandom");
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(buffer))
        .map_err(StackError::io("read", path))
}
