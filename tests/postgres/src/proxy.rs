//! A way to a server that can be cut, or fall silent, and that counts what is asked over it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How often one that is silent looks whether it still is.
const LOOK: Duration = Duration::from_millis(20);

/// Connections on their way to a server.
#[derive(Clone, Debug)]
pub struct Proxy {
    port: u16,
    way: Arc<Way>,
}

#[derive(Debug, Default)]
struct Way {
    open: Mutex<Vec<TcpStream>>,
    is_silent: AtomicBool,
    round_trips: AtomicU64,
}

impl Proxy {
    /// Goes to a port of loopback.
    ///
    /// # Panics
    /// If no port is free.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let proxy = Self { port: listener.local_addr().map_or(0, |at| at.port()), way: Arc::default() };
        let way = Arc::clone(&proxy.way);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) else {
                    continue;
                };
                way.join(&client, &server);
            }
        });
        proxy
    }

    /// The URL of a database, by this way.
    ///
    /// # Panics
    /// If it is no URL of a server on loopback.
    pub fn url(&self, url: &str) -> String {
        let (before, behind) = url.split_once("127.0.0.1:").expect("it is on loopback");
        let database = behind.split_once('/').expect("it names a database").1;
        format!("{before}127.0.0.1:{}/{database}", self.port)
    }

    /// Cuts all connections, as a network does that forgets them.
    pub fn cut(&self) {
        for stream in self.way.open().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Passes nothing on from now on, or passes on again what came meanwhile.
    pub fn silence(&self, is_silent: bool) {
        self.way.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// How often a client has waited for the server's answer so far.
    pub fn round_trips(&self) -> u64 {
        self.way.round_trips.load(Ordering::SeqCst)
    }
}

impl Way {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().expect("nobody panics here")
    }

    fn join(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        // What one of them asks has been answered when the other one's next bytes come.
        let is_asked = Arc::new(AtomicBool::new(false));
        for (from, to, is_client) in [(client, server, true), (server, client, false)] {
            let _ = from.set_nodelay(true);
            let (Ok(from), Ok(to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone()) else {
                return;
            };
            self.open().push(kept);
            let (way, is_asked) = (Arc::clone(self), Arc::clone(&is_asked));
            thread::spawn(move || way.pass((from, to), &is_asked, is_client));
        }
    }

    fn pass(&self, (mut from, mut to): (TcpStream, TcpStream), is_asked: &AtomicBool, is_client: bool) {
        let mut bytes = [0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            while self.is_silent.load(Ordering::SeqCst) {
                thread::sleep(LOOK);
            }
            if is_client {
                is_asked.store(true, Ordering::SeqCst);
            } else if is_asked.swap(false, Ordering::SeqCst) {
                self.round_trips.fetch_add(1, Ordering::SeqCst);
            }
            let Some(bytes) = bytes.get(..count) else { break };
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
