//! The ledger alone: the real `pax-ledger` on a real file, pinned to one core, and debits that come in batches over HTTP as
//! Envoy's workers send them.

use crate::report::spread;
use crate::soak::accounts;
use crate::{BenchError, cpu, http};
use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::DEBITS_PATH;
use pax_gateway::debit::frozen::Debit;
use pax_stack::Layout;
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How many connections send, each with one batch at a time.
pub const CONNECTIONS: u64 = 4;
/// How many debits come in one request, and how many in one sample.
const BATCHES: [(u64, u64); 3] = [(1, 1_000), (10, 8_000), (100, 20_000)];
/// How many accounts they are of.
pub const ACCOUNTS: u64 = 1_000;
/// How many samples of each, one after another in turn.
const SAMPLES: u64 = 3;
/// How many syncs of the disk are timed.
const SYNCS: u64 = 200;
const SECRET: &str = "the-secret-of-the-benchmark";

/// Debits in batches of one size.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// How many debits a batch has.
    pub of: u64,
    /// How many were acknowledged per second, which the ledger does once they are durable.
    pub per_s: u64,
    /// The ledger's CPU time for each.
    pub cpu_ns: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// How long the disk takes to sync a small append, the median.
    pub sync_ns: u64,
    /// By the batches' size.
    pub batches: Vec<Batches>,
}

impl Measured {
    /// For the JSON file.
    pub fn json(&self) -> Value {
        let batch = |it: &Batches| json!({"batches_of": it.of, "debits_per_s": it.per_s, "cpu_ns_per_debit": it.cpu_ns});
        json!({"sync_ns": self.sync_ns, "batches": self.batches.iter().map(batch).collect::<Vec<_>>()})
    }
}

/// Measures, with the ledger on that core.
///
/// # Errors
/// [`BenchError`] when a debit is not recorded.
pub async fn measure(core: usize) -> Result<Measured, BenchError> {
    let layout = Layout::find()?;
    let debit = golden(&layout.root)?;
    // Not in the folder for temporary files, which may be in memory.
    let folder = Folder(layout.root.join(format!("dist/bench/ledger-{}", std::process::id())));
    let ledger = Ledger::start(&layout.ledger, folder, core).await?;
    let mut syncs = sync_ns(&ledger.folder.0)?;
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        senders.push(Sender::open(ledger.port).await?);
    }
    let (mut next, mut samples) = (0, Vec::new());
    // The first of each does not count.
    for sample in 0..=SAMPLES {
        for (of, debits) in BATCHES {
            let took = ledger.sample(&debit, &mut senders, &mut next, of, debits).await?;
            if sample > 0 {
                samples.push(took);
            }
        }
    }
    syncs.extend(sync_ns(&ledger.folder.0)?);
    let median = |of: u64, value: fn(&Batches) -> u64| {
        spread(samples.iter().filter(|it| it.of == of).map(value).collect()).median
    };
    let batches = BATCHES.map(|(of, _)| Batches {
        of,
        per_s: median(of, |it| it.per_s),
        cpu_ns: median(of, |it| it.cpu_ns),
    });
    Ok(Measured { sync_ns: spread(syncs).median, batches: batches.to_vec() })
}

/// The debit that all are made from.
///
/// # Errors
/// [`BenchError`] if it is not there.
pub fn golden(root: &Path) -> Result<Debit, BenchError> {
    let golden = std::fs::read_to_string(root.join("tests/golden/debit_v2.json"));
    let golden = golden.map_err(BenchError::system("read tests/golden/debit_v2.json"))?;
    Debit::from_canonical(golden.lines().next().unwrap_or_default().as_bytes())
        .map_err(|error| BenchError::Failed(format!("tests/golden/debit_v2.json is no debit: {error}")))
}

/// How long syncs of a small append take here.
fn sync_ns(folder: &Path) -> Result<Vec<u64>, BenchError> {
    let failed = || BenchError::system("sync a file");
    let mut file = std::fs::File::create(folder.join("sync")).map_err(failed())?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[b'x'; 4_096]).map_err(failed())?;
        let start = Instant::now();
        file.sync_data().map_err(failed())?;
        times.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(times)
}

/// A folder that is gone with its value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The service. Killed with its value.
struct Ledger {
    child: Child,
    port: u16,
    folder: Folder,
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ledger {
    async fn start(program: &Path, folder: Folder, core: usize) -> Result<Self, BenchError> {
        let failed = || BenchError::system("start the ledger");
        std::fs::create_dir_all(&folder.0).map_err(failed())?;
        let database = folder.0.join("ledger.db");
        let [port, public] = [free_port()?, free_port()?];
        let mut command = Command::new(program);
        command.arg("--db").arg(&database).arg("serve").env("PAX_LEDGER_SECRET", SECRET);
        command.args([
            "--internal",
            &format!("127.0.0.1:{port}"),
            "--public",
            &format!("127.0.0.1:{public}"),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: one system call, which allocates nothing: the ledger ends with the thread that started it.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let child = command.spawn().map_err(failed())?;
        let ledger = Self { child, port, folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if Instant::now() > deadline {
                return Err(BenchError::Failed("the ledger does not come up".into()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        accounts::make(&database, ACCOUNTS).await?;
        cpu::pin_process(ledger.child.id(), core)?;
        Ok(ledger)
    }

    /// Sends so many debits in batches of that size.
    async fn sample(
        &self,
        debit: &Debit,
        senders: &mut Vec<Sender>,
        next: &mut u64,
        of: u64,
        debits: u64,
    ) -> Result<Batches, BenchError> {
        let each = debits / of / CONNECTIONS;
        let mut loads = Vec::new();
        for _ in 0..CONNECTIONS {
            let batch = |_| {
                *next += of;
                request(debit, SECRET, *next - of..*next)
            };
            loads.push((0..each).map(batch).collect::<Vec<_>>());
        }
        let (start, before) = (Instant::now(), cpu::time_ns(self.child.id())?);
        let mut tasks = Vec::new();
        for (sender, load) in senders.drain(..).zip(loads) {
            tasks.push(tokio::spawn(sender.send_all(load, of)));
        }
        for task in tasks {
            senders.push(task.await.map_err(|error| BenchError::Failed(error.to_string()))??);
        }
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        let sent = each * CONNECTIONS * of;
        let cpu_ns = (cpu::time_ns(self.child.id())? - before) / sent;
        Ok(Batches { of, per_s: sent * 1_000_000 / micros, cpu_ns })
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, BenchError> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(BenchError::system("find a free port"))?.port())
}

/// A batch of debits, each of an exchange of its own, as a request.
pub fn request(debit: &Debit, secret: &str, numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in numbers {
        let mut debit = debit.clone();
        let account = number.wrapping_mul(7_919) % ACCOUNTS;
        debit.exchange_id = exchange(debit.occurred_at, number);
        debit.account = accounts::name(account);
        debit.tier = if account.is_multiple_of(2) { Tier::Free } else { Tier::Credit };
        lines.extend(debit.to_canonical());
        lines.push(b'\n');
    }
    let head = format!(
        "POST {DEBITS_PATH} HTTP/1.1\r\nhost: ledger\r\nauthorization: Bearer {secret}\r\ncontent-length: {}\r\n\r\n",
        lines.len()
    );
    [head.into_bytes(), lines].concat()
}

fn exchange(at: Moment, number: u64) -> ExchangeId {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    ExchangeId::new(at, [0, 0, a, b, c, d, e, f, g, h])
}

/// A kept connection to the ledger.
pub struct Sender {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Sender {
    /// Connects.
    ///
    /// # Errors
    /// [`BenchError`] if it cannot.
    pub async fn open(port: u16) -> Result<Self, BenchError> {
        let failed = || BenchError::system("connect to the ledger");
        let socket = TcpStream::connect(("127.0.0.1", port)).await.map_err(failed())?;
        socket.set_nodelay(true).map_err(failed())?;
        Ok(Self { socket, buffer: Vec::new() })
    }

    /// One batch after another; each of its debits must become an entry.
    ///
    /// # Errors
    /// [`BenchError`] if one does not.
    pub async fn send_all(mut self, load: Vec<Vec<u8>>, of: u64) -> Result<Self, BenchError> {
        let recorded = |answer: &[u8]| answer.windows(10).filter(|window| *window == b"\"recorded\"").count();
        for request in load {
            self.buffer.clear();
            self.socket.write_all(&request).await.map_err(BenchError::system("send debits"))?;
            loop {
                let head = http::head(&self.buffer);
                if head.is_some_and(|head| self.buffer.len() >= head.bytes + head.length.unwrap_or(0)) {
                    break;
                }
                let read = self.socket.read_buf(&mut self.buffer).await;
                if read.map_err(BenchError::system("read the ledger's answer"))? == 0 {
                    return Err(BenchError::Failed("the ledger closed a connection".into()));
                }
            }
            if u64::try_from(recorded(&self.buffer)).ok() != Some(of) {
                let text = String::from_utf8_lossy(&self.buffer);
                return Err(BenchError::Failed(format!("a debit was not recorded:\n{text}")));
            }
        }
        Ok(self)
    }
}
