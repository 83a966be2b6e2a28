//! What `envoy/minimal.yaml` needs around it: the ledger, and a provider behind TLS. Only ports, files and the provider's
//! address are replaced in its text.

use crate::common::http::{Answer, Connection, request};
use crate::common::world::World;
use crate::envoy::{Envoy, free_port};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The platform's key that Envoy puts on.
pub const PLATFORM_KEY: &str = "sk-the-platforms-key";
/// The model of most calls.
pub const MODEL: &str = "gpt-4o-mini";
/// Beyond it a call hangs.
const PATIENCE: Duration = Duration::from_secs(6);

/// The name that `minimal.yaml` calls its provider by.
const PROVIDER: &str = "api.openai.com";

/// A ledger and a provider, and a folder for files.
pub struct Site {
    /// The ledger and the stand-in, of a stack whose own Envoy is not looked at.
    pub world: World,
    pub folder: PathBuf,
    /// TLS in front of the stand-in.
    front_port: u16,
    _front: Envoy,
}

impl Site {
    pub fn start() -> Self {
        let world = World::start();
        let folder = world.stack.run_dir().join("minimal");
        std::fs::create_dir_all(&folder).unwrap();
        certify(&folder);
        let front_port = free_port();
        let front = include_str!("front.yaml")
            .replace("FRONT_PORT", &front_port.to_string())
            .replace("STANDIN_PORT", &world.standin.addr.port().to_string())
            .replace("FOLDER", &folder.to_string_lossy());
        let front = Envoy::start(&Envoy::of_this_checkout(), &front, &folder, front_port, &[]);
        Self { world, folder, front_port, _front: front.wait_until_it_listens() }
    }

    /// `envoy/minimal.yaml` as an operator edits it, for the gateway's port.
    pub fn minimal(&self, port: u16) -> String {
        let mut text = std::fs::read_to_string(root().join("envoy/minimal.yaml")).unwrap();
        let stack = &self.world.stack;
        for (from, to) in [
            ("/etc/pax/pax_gateway.wasm".to_owned(), self.filled("MODULE")),
            ("10000".to_owned(), port.to_string()),
            ("port_value: 10001".to_owned(), format!("port_value: {}", free_port())),
            ("port_value: 10002".to_owned(), format!("port_value: {}", stack.ledger_internal_port())),
            ("port_value: 10004".to_owned(), format!("port_value: {}", stack.ledger_public_port())),
            (
                format!("address: {PROVIDER}, port_value: 443"),
                format!("address: 127.0.0.1, port_value: {}", self.front_port),
            ),
            ("/etc/ssl/certs/ca-certificates.crt".to_owned(), self.filled("CERT")),
        ] {
            assert!(text.contains(&from), "envoy/minimal.yaml has no {from:?} any more");
            text = text.replace(&from, &to);
        }
        text
    }

    /// A text with the paths of files in the place of `MODULE` and `CERT`.
    pub fn filled(&self, text: &str) -> String {
        let module = root().join("dist/pax_gateway.wasm");
        let cert = self.folder.join("cert.pem");
        text.replace("MODULE", &module.to_string_lossy()).replace("CERT", &cert.to_string_lossy())
    }

    /// An Envoy with that configuration and the two secrets in its environment.
    pub fn envoy(&self, binary: &Path, text: &str, port: u16, secret: &str) -> Envoy {
        let env = [("PAX_LEDGER_SECRET", secret), ("OPENAI_API_KEY", PLATFORM_KEY)];
        Envoy::start(binary, text, &self.folder, port, &env)
    }

    /// Waits until an exchange has its one entry.
    pub fn entry_of(&self, answer: &Answer) -> serde_json::Value {
        self.world.entry(&answer.header("x-matrix-exchange-id"))
    }
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A certificate for the provider's name that is its own authority.
fn certify(folder: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder);
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]);
    openssl.args(["-subj", "/CN=test", "-addext", &format!("subjectAltName=DNS:{PROVIDER}")]);
    openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]);
    let done = openssl.output().expect("openssl, which ca-certificates brings");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A request as a caller of that gateway sends it.
pub fn call(port: u16, path: &str, token: &str, more: &[(&str, &str)], body: Option<&str>) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    let mut headers =
        vec![("authorization", bearer.as_bytes()), ("content-type", b"application/json".as_slice())];
    headers.extend(more.iter().map(|(name, value)| (*name, value.as_bytes())));
    let method = if body.is_some() { "POST" } else { "GET" };
    let bytes = request(method, path, &headers, body.map(str::as_bytes));
    let host = format!("host: 127.0.0.1:{port}\r\n");
    let (head, rest) = bytes.split_at(bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2);
    let rest = &rest[rest.windows(2).position(|two| two == b"\r\n").unwrap() + 2..];
    [head, host.as_bytes(), rest].concat()
}

/// The answer to a request on a connection of its own; none if it hangs.
pub fn ask(port: u16, request: &[u8]) -> Option<Answer> {
    let mut connection = Connection::open(port);
    connection.send(request);
    let deadline = Instant::now() + PATIENCE;
    while !connection.has_answer() {
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(connection.read())
}

/// The body of a chat call.
pub fn chat_body(more: &str) -> String {
    format!(
        "{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Say hello\"}}],\"max_tokens\":16{more}}}"
    )
}
