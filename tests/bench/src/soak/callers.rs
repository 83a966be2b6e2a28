//! The callers of a soak, and what each of their calls was answered.

use super::accounts;
use crate::work::{self, Kind};
use crate::{BenchError, http};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any call here takes, except one that waits in a VM that died: nobody wakes it, and its caller leaves.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a caller waits after a call that was refused.
const PAUSE: Duration = Duration::from_millis(100);
/// One call in so many is a stream.
const STREAM_EVERY: u64 = 10;

/// How a call's answer came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// The call was never made.
    #[default]
    Never,
    /// With 200, to the last byte.
    Whole,
    /// Not, or not to its end: the connection closed, or Envoy answered in the filter's place.
    Cut,
    /// The gateway refused it.
    Refused,
}

/// What a caller knows of its call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// How it was answered.
    pub heard: Heard,
    /// Its exchange, if the answer named it.
    pub exchange: Option<u128>,
    /// What it cost, in picopax, if the answer's head said so.
    pub cost: Option<i64>,
    /// When it began and ended, in milliseconds of the soak.
    pub took_ms: [u32; 2],
}

/// What all callers share.
pub struct Plan {
    /// The gateway's port.
    pub port: u16,
    /// How many calls are made.
    pub calls: u64,
    /// By how many accounts.
    pub accounts: u64,
    /// The number of the next call.
    pub next: AtomicU64,
    /// While it is true nobody begins a call: the ledger has to catch up.
    pub hold: AtomicBool,
    /// When the soak began.
    pub begun: Instant,
}

impl Plan {
    /// Whose call it is.
    pub fn account(&self, number: u64) -> u64 {
        // A prime, so that every account has its turn, and neighbours are far apart.
        number.wrapping_mul(7_919).checked_rem(self.accounts).unwrap_or(0)
    }

    /// What is asked.
    pub fn kind(number: u64) -> Kind {
        if number % STREAM_EVERY == STREAM_EVERY - 1 { Kind::Burst } else { Kind::Json }
    }

    fn take(&self) -> Option<u64> {
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < self.calls)
    }

    /// Milliseconds since the soak began.
    pub fn now_ms(&self) -> u32 {
        u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}

/// What a caller has to tell at the end.
#[derive(Default)]
pub struct Told {
    /// Its calls, by their numbers.
    pub calls: Vec<(u64, Call)>,
    /// Refusals by status and code.
    pub refused: BTreeMap<String, u64>,
    /// How many of its calls the caller left.
    pub hung: u64,
    /// When each of its calls that made a worker trap began and ended.
    pub traps_ms: Vec<[u32; 2]>,
}

/// One call after another until all are made.
///
/// # Errors
/// [`BenchError::Failed`] when a call is answered with other bytes than the provider's.
pub async fn keep_calling(plan: Arc<Plan>) -> Result<Told, BenchError> {
    let (mut told, mut connection) = (Told::default(), None);
    loop {
        while plan.hold.load(Ordering::Relaxed) {
            tokio::time::sleep(PAUSE / 4).await;
        }
        let Some(number) = plan.take() else { return Ok(told) };
        let call = call(&plan, number, "", &mut connection, &mut told).await?;
        if call.heard != Heard::Whole {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Has a worker trap every so often, at most so many times, by a call of its own each time, until all calls are made.
///
/// # Errors
/// As for [`keep_calling`].
pub async fn keep_trapping(plan: Arc<Plan>, every: Duration, most: u64) -> Result<Told, BenchError> {
    let mut told = Told::default();
    let mut due = tokio::time::Instant::now() + every;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    while told.traps_ms.len() < most && plan.next.load(Ordering::Relaxed) < plan.calls {
        tokio::time::sleep(PAUSE).await;
        if tokio::time::Instant::now() < due {
            continue;
        }
        let Some(number) = plan.take() else { break };
        // A connection of its own, so that every worker has its turn.
        let call = call(&plan, number, "x-pax-fault: trap-on-answer\r\n", &mut None, &mut told).await?;
        if call.heard == Heard::Cut {
            told.traps_ms.push(call.took_ms);
            due += every;
        }
    }
    Ok(told)
}

/// One call, on the connection if there is one.
async fn call(
    plan: &Plan,
    number: u64,
    line: &str,
    connection: &mut Option<TcpStream>,
    told: &mut Told,
) -> Result<Call, BenchError> {
    let began = plan.now_ms();
    let request =
        work::numbered_request(Plan::kind(number), &accounts::token(plan.account(number)), number, line);
    let mut answer = Answer::default();
    let asked = ask(plan.port, &request, connection, &mut answer);
    if tokio::time::timeout(PATIENCE, asked).await.is_err() {
        told.hung += 1;
    }
    let mut call = read(number, &answer, told)?;
    call.took_ms = [began, plan.now_ms()];
    if call.heard == Heard::Cut {
        *connection = None;
    }
    told.calls.push((number, call));
    Ok(call)
}

/// What came back.
#[derive(Default)]
struct Answer {
    bytes: Vec<u8>,
    head: Option<http::Head>,
    body: Vec<u8>,
    is_whole: bool,
}

/// Sends a request and reads until the answer ends or the connection does.
async fn ask(port: u16, request: &[u8], connection: &mut Option<TcpStream>, answer: &mut Answer) {
    let mut socket = match connection.take() {
        Some(socket) => socket,
        None => match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(socket) => socket,
            Err(_) => return,
        },
    };
    let _ = socket.set_nodelay(true);
    if socket.write_all(request).await.is_err() {
        return;
    }
    let mut chunked: Option<http::Chunked> = None;
    loop {
        answer.head = answer.head.or_else(|| http::head(&answer.bytes));
        if let Some(head) = answer.head {
            let is_whole = match head.length {
                Some(length) => answer.bytes.len() >= head.bytes + length,
                None => {
                    let new = || http::Chunked { used: head.bytes, ..http::Chunked::default() };
                    chunked.get_or_insert_with(new).read(&answer.bytes)
                }
            };
            if is_whole {
                answer.body = match chunked {
                    Some(chunked) => chunked.body,
                    None => answer.bytes.get(head.bytes..).unwrap_or_default().to_vec(),
                };
                answer.is_whole = true;
                *connection = Some(socket);
                return;
            }
        }
        match socket.read_buf(&mut answer.bytes).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
    }
}

/// Codes of answers that Envoy gives by itself when a call has already left the filter's hands.
const OF_ENVOY: [&str; 5] =
    ["upstream_cut", "upstream_unavailable", "upstream_timeout", "upstream_failed", "gateway_error"];

fn read(number: u64, answer: &Answer, told: &mut Told) -> Result<Call, BenchError> {
    let Some(head) = answer.head else { return Ok(Call { heard: Heard::Cut, ..Call::default() }) };
    let text = String::from_utf8_lossy(answer.bytes.get(..head.bytes).unwrap_or_default());
    let header = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let exchange = header("x-matrix-exchange-id").and_then(exchange);
    let cost = header("x-matrix-cost-pax").and_then(picopax);
    let mut call = Call { heard: Heard::Cut, exchange, cost, ..Call::default() };
    if head.status == 200 {
        if answer.is_whole {
            call.heard = Heard::Whole;
            let expected = work::expected(Plan::kind(number));
            if answer.body != expected || call.exchange.is_none() {
                let text = String::from_utf8_lossy(&answer.bytes);
                return Err(BenchError::Failed(format!("call {number} got another answer:\n{text}")));
            }
        }
        return Ok(call);
    }
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let code =
        body.split_once("\"code\":\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or("no code");
    *told.refused.entry(format!("{} {code}", head.status)).or_default() += 1;
    if answer.is_whole && code != "no code" && !OF_ENVOY.contains(&code) {
        call.heard = Heard::Refused;
    }
    Ok(call)
}

/// An exchange's id as a number.
pub fn exchange(text: &str) -> Option<u128> {
    u128::from_str_radix(&text.replace('-', ""), 16).ok()
}

/// An amount of PAX in picopax.
pub fn picopax(text: &str) -> Option<i64> {
    text.parse().ok().map(pax_gateway::base::pax::Pax::picopax)
}
