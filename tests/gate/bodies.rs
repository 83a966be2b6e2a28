//! The bounds of open request bodies: of strangers, of one account, and in total; in a real Envoy, as its own
//! memory figures show.

use crate::OwnCase;
use crate::common::http::{Answer, Connection, chat, request};
use crate::common::world::{MODEL, TOKEN, World};
use crate::play::until;
use std::process::Command;
use std::time::Duration;

pub const CASES: &[OwnCase] = &[
    ("fifty strangers of 15 MiB fill no more of Envoy than strangers may", strangers),
    ("a hundred slow bodies of one account take its share of Envoy and nobody else's", one_account),
    ("fifty small bodies of one account are open at once, and all of them pass", small),
    ("a body in tiny pieces takes a few times its size, and arrives as it was sent", pieces),
    ("a large body is edited at its front or behind all of it, and arrives right to the byte", edited),
    ("under overload no call is let in, and the gateway still says that it lives", liveness),
];

const MIB: usize = 1024 * 1024;
/// The token of an account that is not [`TOKEN`]'s.
const OTHER: &str = "mtx-demo-free";

/// What Envoy has allocated, in MiB.
fn allocated(world: &World) -> u64 {
    // In chunks: what stands around the object is their sizes.
    let memory = world.stack.admin("/memory").unwrap();
    let bytes = memory.split("\"allocated\": \"").nth(1).and_then(|rest| rest.split('"').next());
    bytes.expect("a count").parse::<u64>().unwrap() / (1024 * 1024)
}

/// The head of a chat call whose body has so many bytes.
fn head(token: &str, bytes: usize) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    let length = bytes.to_string();
    let headers = [("authorization", bearer.as_bytes()), ("content-length", length.as_bytes())];
    request("POST", "/v1/chat/completions", &headers, None)
}

/// A chat call's body of so many bytes.
fn body(bytes: usize) -> Vec<u8> {
    let of = |text: &str| {
        format!(r#"{{"model":"{MODEL}","max_tokens":1,"messages":[{{"role":"user","content":"{text}"}}]}}"#)
    };
    // No two stretches of it are equal.
    let text: String = (0..bytes).map(|n| char::from(b'a' + u8::try_from(n * n % 26).unwrap())).collect();
    of(&text[..bytes - of("").len()]).into_bytes()
}

fn models(token: &str) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    request("GET", "/v1/models", &[("authorization", bearer.as_bytes())], None)
}

fn signal(world: &World, name: &str, signal: &str) {
    let (_, id) = world.stack.processes().into_iter().find(|(process, _)| *process == name).unwrap();
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

/// Sends what it can of `bytes`; who is refused meanwhile stops. Then its answer, if one came.
fn upload(port: u16, head: &[u8], bytes: &[u8]) -> Option<Answer> {
    let mut connection = Connection::open(port);
    connection.send(head);
    for piece in bytes.chunks(256 * 1024) {
        if connection.has_answer() {
            break;
        }
        connection.send(piece);
    }
    Some(connection.read()).filter(|answer| answer.status != 0)
}

fn strangers() {
    let world = World::start_with(|builder| {
        builder.change_filter_config(|config| {
            config["ledger"]["timeout_ms"] = 20_000.into();
            config["tokens"]["ttl_s"] = 3_600.into();
            // The ledger stands still, and could make no holds.
            config["gate"]["admission"]["credit"] = "shared_data".into();
        })
    });
    let port = world.stack.gateway_port();
    // Every worker knows one account.
    for _ in 0..8 {
        assert_eq!(world.connect().call(&chat(TOKEN, "{\"model\":\"x\"}")).status, 404);
        assert_eq!(world.connect().call(&models(TOKEN)).status, 200);
    }
    signal(&world, "ledger", "-STOP");
    let before = allocated(&world);
    let large = &body(15 * MIB);
    let most = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50)
            .map(|number| {
                // All but the end of it: nobody waits for the ledger with a whole body.
                let head = head(&format!("mtx-stranger-{number}"), large.len());
                let sent = &large[..large.len() - 1];
                scope.spawn(move || upload(port, &head, sent))
            })
            .collect();
        let mut most = 0;
        for _ in 0..40 {
            most = most.max(allocated(&world) - before);
            std::thread::sleep(Duration::from_millis(50));
        }
        // While strangers fill what they may, somebody who is known is served, with a body, too.
        let answer = world.chat(std::str::from_utf8(&body(MIB)).unwrap());
        assert_eq!(answer.status, 200, "{}", answer.text());
        signal(&world, "ledger", "-CONT");
        let answers: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        let mut refused = 0;
        for answer in answers {
            match answer.refusal().as_str() {
                "503 ledger_unavailable" => {
                    refused += 1;
                    assert!(answer.has_header("retry-after") && !answer.has_header("x-should-retry"));
                }
                "401 invalid_api_key" => {}
                other => panic!("{other}"),
            }
        }
        assert!(refused > 10, "{refused} of 50 were told to try again");
        most
    });
    println!("fifty strangers of 15 MiB: {before} MiB before, at most {most} MiB more");
    // 64 MiB, and for each connection what it has received and not yet handed on.
    assert!(most < 140, "Envoy has allocated {most} MiB more");
    // All of it was given back: a stranger's body is read again.
    let add = ["token", "add", "demo-credit", "--name", "cold", "--token", "mtx-cold"];
    world.stack.ledger(add).unwrap();
    let cold = body(MIB);
    let served =
        || world.connect().call(&chat("mtx-cold", std::str::from_utf8(&cold).unwrap())).status.to_string();
    until(Duration::from_secs(8), served, "200");
    world.settle();
    until(Duration::from_secs(5), || (allocated(&world) < before + 20).to_string(), "true");
}

fn small_envoy() -> World {
    World::start_with(|builder| {
        let builder = builder.change_envoy_config(|text| Ok(text.replace("2147483648", "629145600")));
        builder.change_filter_config(|config| {
            config["limits"]["open_bytes_per_account"] = (64 * MIB).into();
            config["limits"]["open_bytes"] = (220 * MIB).into();
            config["limits"]["request_bytes"] = (10 * MIB).into();
        })
    })
}

fn one_account() {
    let world = small_envoy();
    let port = world.stack.gateway_port();
    for token in [TOKEN, OTHER] {
        assert_eq!(world.connect().call(&models(token)).status, 200);
    }
    let before = allocated(&world);
    let body = body(9 * MIB);
    let mut connections: Vec<Connection> = (0..100).map(|_| Connection::open(port)).collect();
    connections.iter_mut().for_each(|connection| connection.send(&head(TOKEN, body.len())));
    let (mut most, mut refused, mut last) = (0, 0, String::new());
    for piece in body[..8 * MIB].chunks(MIB) {
        for connection in &mut connections {
            if !connection.has_answer() {
                connection.send(piece);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
        most = most.max(allocated(&world) - before);
        last = said(&world.connect().call(&chat(OTHER, "{\"model\":\"nobody\"}")));
        assert_eq!(last, "404 model_not_found", "to another account, while Envoy has {most} MiB more");
    }
    for connection in &mut connections {
        if connection.has_answer() {
            let answer = connection.read();
            if answer.status != 0 {
                assert_eq!(answer.refusal(), "429 too_many_bytes_open");
                assert!(answer.has_header("retry-after") && !answer.has_header("x-should-retry"));
                refused += 1;
            }
        }
    }
    println!("a hundred slow bodies of 8 MiB: at most {most} MiB more, {refused} refused, {last}");
    assert!(refused > 50 && most < 160, "{refused} refused, {most} MiB");
    drop(connections);
    // Those that were cut give back what they held.
    let whole = || said(&world.connect().call(&[head(TOKEN, body.len()), body.clone()].concat()));
    until(Duration::from_secs(5), whole, "200");
    world.settle();
}

fn said(answer: &Answer) -> String {
    if answer.status == 200 { "200".to_owned() } else { answer.refusal() }
}

fn small() {
    let world = small_envoy();
    let body = body(60_000);
    let mut connections: Vec<Connection> = (0..50).map(|_| world.connect()).collect();
    connections.iter_mut().for_each(|connection| connection.send(&head(TOKEN, body.len())));
    for piece in body[..40_000].chunks(1_400) {
        connections.iter_mut().for_each(|connection| connection.send(piece));
        std::thread::sleep(Duration::from_millis(2));
    }
    connections.iter_mut().for_each(|connection| connection.send(&body[40_000..]));
    for connection in &mut connections {
        assert_eq!(said(&connection.read()), "200");
    }
    world.settle();
}

fn pieces() {
    let world = World::start();
    assert_eq!(world.connect().call(&models(TOKEN)).status, 200);
    let before = allocated(&world);
    let body = body(MIB);
    let mut connections: Vec<Connection> = (0..16).map(|_| world.connect()).collect();
    connections.iter_mut().for_each(|connection| connection.send(&head(TOKEN, body.len())));
    let mut most = 0;
    let (all_but_the_end, end) = body.split_at(body.len() - 100);
    for (number, piece) in all_but_the_end.chunks(600).enumerate() {
        connections.iter_mut().for_each(|connection| connection.send(piece));
        // Envoy reads each piece by itself.
        std::thread::sleep(Duration::from_millis(1));
        if number % 200 == 199 {
            most = most.max(allocated(&world) - before);
        }
    }
    println!("16 bodies of 1 MiB in pieces of 600 bytes: at most {most} MiB more");
    assert!(most < 16 * 5, "{most} MiB");
    for connection in &mut connections {
        connection.send(end);
        assert_eq!(said(&connection.read()), "200");
    }
    let received = world.take_received();
    assert_eq!(received.len(), connections.len());
    assert!(
        received.iter().all(|it| it.body.as_bytes() == body),
        "a body arrived otherwise than it was sent"
    );
    world.settle();
}

/// Ends a body of 15 MiB with these members, after all that is large in it.
fn edited_body(model: &str, members: &str) -> String {
    let text = String::from_utf8(body(15 * MIB)).unwrap();
    let (_, messages) = text.split_once("\"messages\":").unwrap();
    format!("{{\"messages\":{},\"model\":\"{model}\"{members}}}", messages.strip_suffix('}').unwrap())
}

fn edited() {
    let world = World::start();
    let usage = r#""stream_options":{"include_usage":true}"#;
    // A member is added in front; or one that comes last is edited.
    let added = edited_body(MODEL, r#","stream":true"#);
    let last = edited_body(MODEL, r#","stream":true,"stream_options":{"include_usage":false}"#);
    for (sent, expected) in
        [(&added, added.replacen('{', &format!("{{{usage},"), 1)), (&last, last.replace("false", "true"))]
    {
        let chunked =
            [("authorization", format!("Bearer {TOKEN}")), ("transfer-encoding", "chunked".to_owned())];
        let chunked: Vec<(&str, &[u8])> =
            chunked.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        let pieces: Vec<u8> = sent.as_bytes().chunks(100_000).flat_map(chunk).collect();
        let chunked =
            [request("POST", "/v1/chat/completions", &chunked, None), pieces, b"0\r\n\r\n".to_vec()].concat();
        for bytes in [[head(TOKEN, sent.len()), sent.as_bytes().to_vec()].concat(), chunked] {
            let mut connection = world.connect();
            connection.send(&bytes);
            assert_eq!(said(&connection.read()), "200");
            let received = world.take_received();
            assert!(received.len() == 1 && received[0].body == expected, "the body arrived otherwise");
        }
    }
    world.settle();
}

fn liveness() {
    let world = World::start_with(|builder| {
        let builder = builder.change_envoy_config(|text| Ok(text.replace("2147483648", "188743680")));
        builder.change_filter_config(|config| {
            config["limits"]["open_bytes_per_account"] = (512 * MIB).into();
        })
    });
    let live = |bytes: &[u8]| Connection::open(world.stack.liveness_port()).call(bytes);
    let healthz = request("GET", "/healthz", &[], None);
    let alive = |answer: &Answer| answer.status == 200 && answer.text() == r#"{"status":"ok"}"#;
    assert!(alive(&live(&healthz)));
    // Calls whose answers do not come keep their bodies in Envoy.
    world.behave(pax_standin::Behaviour { delay_ms: Some(60_000), ..Default::default() });
    let body = body(15 * MIB);
    let mut connections: Vec<Connection> = Vec::new();
    let overloaded = || world.connect().call(&healthz).refusal();
    for _ in 0..16 {
        if overloaded() == "503 overloaded" {
            break;
        }
        let mut connection = world.connect();
        connection.send(&[head(TOKEN, body.len()), body.clone()].concat());
        connections.push(connection);
        std::thread::sleep(Duration::from_millis(300));
    }
    until(Duration::from_secs(3), overloaded, "503 overloaded");
    assert_eq!(world.connect().call(&models(TOKEN)).refusal(), "503 overloaded");
    for _ in 0..20 {
        let answer = live(&healthz);
        assert!(alive(&answer), "{} {}", answer.status, answer.text());
    }
    // It answers nothing else: nobody calls past the overload manager.
    world.take_received();
    for other in [chat(TOKEN, "{}"), models(TOKEN), request("GET", "/v1/../healthz", &[], None)] {
        assert_eq!(live(&other).status, 404);
    }
    assert_eq!(live(&request("POST", "/healthz", &[], Some(b"{}"))).status, 405);
    assert!(world.take_received().is_empty());
    drop(connections);
    world.standin.reset();
    until(Duration::from_secs(10), || said(&world.connect().call(&models(TOKEN))), "200");
}
