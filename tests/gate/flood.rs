//! Thousands of unknown tokens, and crowds with one token: how often the ledger is asked, and which callers
//! wait.
//!
//! A proxy in front of the ledger makes its answers about tokens slow, and leaves all other answers quick.

use crate::OwnCase;
use crate::common::http::{Answer, Connection, chat, request};
use crate::common::world::{MODEL, TOKEN, World};
use pax_gateway::base::wire::RESOLVE_PATH;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub const CASES: &[OwnCase] = &[
    ("a flood of unknown tokens keeps no debit waiting, and no caller who is known", flood),
    ("a thousand streams with one new token are one question per worker, whoever hangs up", crowd),
];

/// Between Envoy and the ledger: each question whose token it is waits first.
struct Slow {
    delay_ms: AtomicU64,
    resolves: AtomicUsize,
}

impl Slow {
    /// A proxy to the ledger's port, and its own.
    fn start(ledger: u16) -> (Arc<Self>, u16) {
        let slow = Arc::new(Self { delay_ms: AtomicU64::new(0), resolves: AtomicUsize::new(0) });
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::clone(&slow);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let slow = Arc::clone(&shared);
                let small = std::thread::Builder::new().stack_size(128 * 1024);
                small.spawn(move || slow.pass(socket, ledger)).unwrap();
            }
        });
        (slow, port)
    }

    /// One connection, one exchange after another; it ends when either side does.
    fn pass(&self, mut envoy: TcpStream, ledger: u16) -> Option<()> {
        let mut ledger = TcpStream::connect(("127.0.0.1", ledger)).ok()?;
        envoy.set_nodelay(true).ok()?;
        ledger.set_nodelay(true).ok()?;
        loop {
            let request = message(&mut envoy)?;
            if request.windows(RESOLVE_PATH.len()).any(|window| window == RESOLVE_PATH.as_bytes()) {
                self.resolves.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed)));
            }
            ledger.write_all(&request).ok()?;
            envoy.write_all(&message(&mut ledger)?).ok()?;
        }
    }
}

/// A message with a `content-length`, or in chunks.
fn message(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let whole = match length {
                Some(length) => bytes.len() >= end + 4 + length.trim().parse::<usize>().ok()?,
                None if head.contains("transfer-encoding") => bytes.ends_with(b"0\r\n\r\n"),
                None => true,
            };
            if whole {
                return Some(bytes);
            }
        }
        match socket.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

fn slow_world(ttl_s: u64) -> (World, Arc<Slow>) {
    let (tell, told) = std::sync::mpsc::channel();
    let world = World::start_with(|builder| {
        let builder = builder.change_filter_config(move |config| config["tokens"]["ttl_s"] = ttl_s.into());
        builder.change_envoy_config(move |text| {
            // The ledger's port, wherever it is reached for callouts.
            let cluster = text.split("- name: ledger\n").nth(1).expect("the ledger's cluster");
            let port = cluster.split("port_value: ").nth(1).expect("its port");
            let port = port.split(' ').next().expect("its port").to_owned();
            let (slow, proxy) = Slow::start(port.parse().unwrap());
            tell.send(slow).unwrap();
            Ok(text.replace(&format!("port_value: {port} "), &format!("port_value: {proxy} ")))
        })
    });
    (world, told.recv().unwrap())
}

fn models(token: &str) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    request("GET", "/v1/models", &[("authorization", bearer.as_bytes())], None)
}

fn said(answer: &Answer) -> String {
    if answer.status == 200 { "200".to_owned() } else { answer.refusal() }
}

fn flood() {
    let (world, slow) = slow_world(1);
    let port = world.stack.gateway_port();
    let call = chat(TOKEN, &format!(r#"{{"model":"{MODEL}","messages":[]}}"#));
    for _ in 0..8 {
        assert_eq!(said(&world.connect().call(&call)), "200");
    }
    slow.delay_ms.store(700, Ordering::Relaxed);
    let stop = Arc::new(AtomicBool::new(false));
    // 4,000 streams that each come with one unknown token after another.
    let strangers: Vec<_> = (0..8)
        .map(|thread| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut connections: Vec<_> = (0..500).map(|_| Connection::open(port)).collect();
                let (mut round, mut told) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    for (number, connection) in connections.iter_mut().enumerate() {
                        connection.send(&models(&format!("mtx-nobody-{thread}-{round}-{number}")));
                    }
                    for connection in &mut connections {
                        let answer = said(&connection.read());
                        let fits =
                            ["401 invalid_api_key", "503 ledger_unavailable"].contains(&answer.as_str());
                        assert!(fits, "{answer}");
                        told += 1;
                    }
                    round += 1;
                }
                told
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(1_000));
    let (mut slowest_debit, mut slowest_call) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..12 {
        let begun = Instant::now();
        let answer = world.connect().call(&call);
        assert_eq!(said(&answer), "200", "to a caller who is known");
        slowest_call = slowest_call.max(begun.elapsed());
        let begun = Instant::now();
        world.entry(&answer.header("x-matrix-exchange-id"));
        slowest_debit = slowest_debit.max(begun.elapsed());
        std::thread::sleep(Duration::from_millis(150));
    }
    stop.store(true, Ordering::Relaxed);
    let told: usize = strangers.into_iter().map(|thread| thread.join().unwrap()).sum();
    println!("{told} strangers told; a debit took {slowest_debit:?}, a call {slowest_call:?} at most");
    assert!(told > 3_000, "{told}");
    assert!(slowest_debit < Duration::from_millis(1_500), "{slowest_debit:?}");
    // A known token is asked about anew each second, before strangers: one question's time.
    assert!(slowest_call < Duration::from_millis(1_900), "{slowest_call:?}");
    slow.delay_ms.store(0, Ordering::Relaxed);
    world.settle();
    world.replay();
}

fn crowd() {
    let (world, slow) = slow_world(3_600);
    for (token, expected) in [("mtx-crowd", "200"), ("mtx-nobody", "401 invalid_api_key")] {
        if expected == "200" {
            let add = ["token", "add", "demo-credit", "--name", token, "--token", token];
            world.stack.ledger(add).unwrap();
        }
        slow.delay_ms.store(800, Ordering::Relaxed);
        let before = slow.resolves.load(Ordering::Relaxed);
        // The first of each worker ask; they are gone before there is an answer.
        let mut first: Vec<_> = (0..8).map(|_| world.connect()).collect();
        first.iter_mut().for_each(|connection| connection.send(&models(token)));
        std::thread::sleep(Duration::from_millis(200));
        let mut others: Vec<_> = (0..1_000).map(|_| world.connect()).collect();
        others.iter_mut().for_each(|connection| connection.send(&models(token)));
        drop(first);
        for connection in &mut others {
            assert_eq!(said(&connection.read()), expected);
        }
        let asked = slow.resolves.load(Ordering::Relaxed) - before;
        assert!(asked <= 2, "two workers have asked {asked} times");
    }
}
