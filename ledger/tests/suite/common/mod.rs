//! What the integration tests share: a database of their own, the program as a child process, plain HTTP.
#![allow(dead_code, reason = "each benchmark uses its own part")]

pub mod debits;
pub mod granting;
pub mod several;
pub mod tampering;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::wire::{DebitReply, IDENTITY_HEADER};
use pax_gateway::debit::frozen::Debit;
use pax_ledger::book::{self, Act};
use pax_ledger::replay::{Difference, Report, replay};
use pax_ledger::store::{Location, Open, Store};
use pax_postgres::server::Server;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Row};

/// How long a test waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const SECRET: &str = "a-secret-of-the-tests";
/// The same, as Envoy puts it on.
pub const BEARER: &str = "Bearer a-secret-of-the-tests";

/// A folder that is gone with its value, and the database that belongs to it: a file in it, or, where the environment has
/// `PAX_TEST_DB=postgres`, a database of PostgreSQL.
pub struct Folder(pub PathBuf, Option<String>);

/// Whether the tests store in PostgreSQL.
pub fn on_postgres() -> bool {
    std::env::var("PAX_TEST_DB").is_ok_and(|engine| engine == "postgres")
}

impl Folder {
    pub fn new() -> Self {
        let postgres = on_postgres().then(|| Server::shared().database());
        Self::with(postgres)
    }

    /// A folder whose database is one of PostgreSQL, whatever the environment says.
    pub fn of_postgres() -> Self {
        Self::with(Some(Server::shared().database()))
    }

    /// A folder whose database is a file, likewise.
    pub fn of_file() -> Self {
        Self::with(None)
    }

    pub fn is_postgres(&self) -> bool {
        self.1.is_some()
    }

    /// A folder whose database is a copy of another one's, which nobody has open.
    pub fn copy_of(other: &Self) -> Self {
        let copy = Self::with(other.1.as_ref().map(|url| Server::shared().copy_of(url)));
        if other.1.is_none() {
            std::fs::copy(other.database(), copy.database()).unwrap();
        }
        copy
    }

    fn with(postgres: Option<String>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pax-ledger-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path, postgres)
    }

    /// The database, as `--db` takes it: a file's path, or a URL.
    pub fn database(&self) -> PathBuf {
        self.1.as_ref().map_or_else(|| self.0.join("ledger.db"), PathBuf::from)
    }

    pub fn location(&self) -> Location {
        Location::parse(self.database().to_str().unwrap()).unwrap()
    }

    pub async fn store(&self) -> Store {
        Store::open(&self.location(), Open::Create).await.unwrap().with_given_time()
    }

    /// Runs SQL past all our code. Gives the rows, each value as a text.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        if let Some(url) = &self.1 {
            let name = url.rsplit('/').next().unwrap();
            let sql = for_postgres(sql);
            let said = Server::shared().run(name, &format!("SET session_replication_role = replica; {sql}"));
            return said.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect();
        }
        let rows = sqlx::query(sql).fetch_all(&mut self.shell().await).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let text = |row: &SqliteRow, index| {
            let text: Result<Option<String>, _> = row.try_get_unchecked(index);
            text.unwrap().unwrap_or_default()
        };
        rows.iter().map(|row| (0..row.len()).map(|index| text(row, index)).collect()).collect()
    }

    /// A store with the accounts `free` and `credit`.
    pub async fn store_with_accounts(&self) -> Store {
        let store = self.store().await;
        assert!(store.create_account(&act(), "free", Tier::Free, None).await.unwrap().is_some());
        assert!(store.create_account(&act(), "credit", Tier::Credit, None).await.unwrap().is_some());
        store
    }

    /// A connection to a file past all our code, as the sqlite3 shell has one: no foreign keys.
    pub async fn shell(&self) -> SqliteConnection {
        assert!(self.1.is_none(), "this is a test of SQLite");
        SqliteConnectOptions::new().filename(self.database()).foreign_keys(false).connect().await.unwrap()
    }
}

/// PostgreSQL turns bytes into a text, and back, in other words than SQLite.
fn for_postgres(sql: &str) -> String {
    let mut sql = sql.replace("CAST(replace(", "convert_to(replace(").replace(" AS BLOB)", ", 'UTF8')");
    for column in ["canonical", "lost"] {
        sql = sql.replace(&format!("CAST({column} AS TEXT)"), &format!("convert_from({column}, 'UTF8')"));
    }
    sql
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The folder of SQLite's migrations.
pub fn sqlite_migrations() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite"))
}

/// An operator's act under a key of its own, with a reason.
pub fn act() -> Act {
    act_at(pax_ledger::now())
}

pub fn act_at(now: Moment) -> Act {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // With another last digit it is no key of another act.
    let key = format!("{}-{}-0", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Act::new(key, "ops".to_owned(), Some("a test".to_owned()), now).unwrap()
}

pub fn bytes(debit: &Debit) -> Vec<u8> {
    debit.to_canonical()
}

/// Records lines in one transaction.
pub async fn record(store: &Store, lines: &[Vec<u8>]) -> Vec<DebitReply> {
    let lines: Vec<_> = lines.iter().map(|line| book::Line::read(line)).collect();
    let mut writer = store.writer();
    let replies = writer.record(&lines.into(), pax_ledger::now()).await.unwrap();
    writer.close().await;
    replies
}

/// Replays, and hands back all differences.
pub async fn replayed(store: &Store) -> (Report, Vec<Difference>) {
    let bundle = pax_ledger::server::embedded_bundle().unwrap();
    let mut found = Vec::new();
    let mut snapshot = store.snapshot().await.unwrap();
    let report =
        replay(&mut snapshot, &bundle, &mut |difference| found.push(difference.clone())).await.unwrap();
    assert_eq!(report.differences, u64::try_from(found.len()).unwrap());
    (report, found)
}

/// The program.
pub fn program(database: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pax-ledger"));
    command.env("PAX_LEDGER_DB", database).env("PAX_LEDGER_SECRET", SECRET).env("RUST_LOG", "off");
    command
}

/// Runs the program to its end.
pub fn run(database: &Path, arguments: &[&str]) -> Output {
    program(database).args(arguments).stdin(Stdio::null()).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The service as a child process; killed with its value.
pub struct Service {
    pub child: Child,
    pub internal: SocketAddr,
    pub public: SocketAddr,
}

impl Service {
    pub fn start(database: &Path) -> Self {
        Self::start_as(program(database))
    }

    pub fn start_as(program: Command) -> Self {
        Self::start_with(program, &[])
    }

    pub fn start_with(mut program: Command, more: &[&str]) -> Self {
        let mut child = program
            .args(["serve", "--internal", "127.0.0.1:0", "--public", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let rest = line.trim_end().strip_prefix("listening internal=").unwrap();
        let (internal, public) = rest.split_once(" public=").unwrap();
        Self { child, internal: internal.parse().unwrap(), public: public.parse().unwrap() }
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// The values of a header, one after another.
    pub fn header(&self, name: &str) -> String {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let values = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.collect::<Vec<_>>().join(" | ")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An HTTP/1.1 request over a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    ask_within(PATIENCE, address, method, (path, headers, body))
}

/// The same. If there is no answer for so long, its status is 0.
pub fn ask_within(
    limit: Duration,
    address: SocketAddr,
    method: &str,
    (path, headers, body): (&str, &[(&str, &str)], &[u8]),
) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(limit)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: ledger\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses by the head may not read the body.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.get(9..12).unwrap_or_default().parse().unwrap_or(0);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// The same with the shared secret, if any: status and body.
pub fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    secret: Option<&str>,
    body: &[u8],
) -> (u16, String) {
    let bearer = secret.map(|secret| format!("Bearer {secret}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let answer = ask(address, method, path, &headers, body);
    (answer.status, answer.body)
}

/// A service over a store with the accounts `free` and `credit`; the store writes beside it.
pub fn serve(folder: &Folder) -> (tokio::runtime::Runtime, Store, Service) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(folder.store_with_accounts());
    let service = Service::start(&folder.database());
    (runtime, store, service)
}

/// Asks as Envoy and the filter do.
pub fn get(service: &Service, account: &str, path: &str) -> Answer {
    get_as(service, path, &[("authorization", BEARER), (IDENTITY_HEADER, account)])
}

pub fn get_as(service: &Service, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(service.public, "GET", path, headers, b"")
}
