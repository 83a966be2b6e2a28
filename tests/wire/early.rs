//! A provider that answers before it has read the request: a socket of our own, for no HTTP server does it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does once it has read a request's head.
#[derive(Clone, Debug)]
pub struct Early {
    /// The bytes that it sends.
    pub answer: String,
    pub then: Then,
}

#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// It reads no more and keeps the connection open.
    StopReading,
    /// It sends no more, and reads to the end.
    StopWriting,
    /// It closes the connection with bytes unread, which resets it.
    Reset,
}

pub struct EarlyProvider {
    pub port: u16,
    plays: Arc<Mutex<Option<Early>>>,
}

impl EarlyProvider {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let plays: Arc<Mutex<Option<Early>>> = Arc::default();
        let next = Arc::clone(&plays);
        // It ends with the process: nothing waits for it.
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let play = next.lock().unwrap().clone();
                std::thread::spawn(move || play.map(|play| answer(socket, &play)));
            }
        });
        Self { port, plays }
    }

    pub fn play(&self, early: Option<Early>) {
        *self.plays.lock().unwrap() = early;
    }
}

fn answer(mut socket: TcpStream, play: &Early) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    if socket.write_all(play.answer.as_bytes()).is_err() {
        return;
    }
    match play.then {
        Then::StopReading => std::thread::sleep(Duration::from_secs(20)),
        Then::StopWriting => {
            let _ = socket.shutdown(Shutdown::Write);
            let _ = std::io::copy(&mut socket, &mut std::io::sink());
        }
        // What was sent has time to leave.
        Then::Reset => std::thread::sleep(Duration::from_millis(200)),
    }
}
