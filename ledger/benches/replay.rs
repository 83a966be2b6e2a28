//! What a replay costs: entries a second, CPU time for each, and the most memory that it takes. It first makes a ledger
//! of 30 days, through the writer, with the simulated clock of each day: calls of free and of credit accounts, a tenth of
//! them estimated, each credit call with a hold that its debit posts; grants of which some expire; corrections.
//!
//! `make bench-replay`; what it takes from the environment: `PAX_BENCH_ENTRIES` (1000000), `PAX_BENCH_ACCOUNTS` (1000),
//! `PAX_BENCH_LEDGER` (another build of `pax-ledger`, which replays the same file after this one), `PAX_BENCH_FILE`
//! (a database that an earlier run has left there, or that this one shall leave there), and `PAX_BENCH_COPY=1` (the ledger is
//! copied to PostgreSQL, and back into a file: `make bench-copy`).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{DebitOutcome, HoldOutcome, HoldRequest};
use pax_gateway::debit::frozen::{Debit, Ending};
use pax_ledger::book::made::GrantClass;
use pax_ledger::book::{Line, Received, hold::Hold};
use pax_ledger::store::{Amount, Corrects, NewGrant, NewToken, Store, ToCorrect, Writer};
use pax_postgres::server::Server;

#[path = "../tests/suite/common/mod.rs"]
mod common;
mod shared;

use common::debits::{DAY_0, DAY_MS, estimated, reported_as};
use common::granting::keyed;
use common::{Folder, program};
use shared::{cpu, setting};

const DAYS: u64 = 30;
/// How many calls share a moment, and a transaction.
const CALLS_AT_ONCE: u64 = 1_000;
/// One in so many calls is estimated.
const ESTIMATED: u64 = 10;

/// Calls to make: debits of a few usages, which are priced once, under other exchanges and accounts.
struct Calls {
    reported: Vec<Debit>,
    estimated: Debit,
    accounts: u64,
}

fn account(number: u64) -> String {
    format!("account-{number:06}")
}

/// Every other account has tier credit.
fn tier(number: u64) -> Tier {
    if number % 2 == 1 { Tier::Credit } else { Tier::Free }
}

impl Calls {
    fn new(accounts: u64) -> Self {
        let reported = (0..64).map(|number| {
            let (input, output) = (900 + 37 * number, 150 + 11 * number);
            let raw = format!(
                "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{},\
                 \"prompt_tokens_details\":{{\"cached_tokens\":{},\"audio_tokens\":0}},\"completion_tokens_details\":\
                 {{\"reasoning_tokens\":{},\"audio_tokens\":0}}}}",
                input + output,
                input / 3,
                output / 4
            );
            reported_as(0, "", Tier::Free, raw)
        });
        Self { reported: reported.collect(), estimated: estimated(0, "", Tier::Free), accounts }
    }

    /// The debit of call `number`, which occurs at a moment.
    fn debit(&self, number: u64, at: Moment) -> Debit {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let whose = (mixed >> 20) % self.accounts;
        let usage = usize::try_from(mixed >> 40).unwrap() % self.reported.len();
        let is_estimated = number.is_multiple_of(ESTIMATED);
        let mut debit = if is_estimated { self.estimated.clone() } else { self.reported[usage].clone() };
        let [a, b, c, d, e, f, g, h] = mixed.to_be_bytes();
        debit.exchange_id = ExchangeId::new(at, [a, b, c, d, e, f, g, h, a, b]);
        (debit.account, debit.tier) = (account(whose), tier(whose));
        debit.token_id = format!("tok_{whose:016x}");
        (debit.occurred_at, debit.settled_at, debit.utc_day) = (at, at.plus_ms(1_234), at.day());
        debit.response_id = Some(format!("chatcmpl-{number:024}"));
        debit.provider_request_id = Some(format!("req-{mixed:032x}"));
        debit.hold_id = (debit.tier == Tier::Credit).then(|| debit.exchange_id.to_string());
        debit
    }

    /// The hold of a call.
    fn hold(&self, call: &Debit) -> Hold {
        let mut lost = self.estimated.clone();
        lost.ending = Ending::Lost;
        (lost.exchange_id, lost.hold_id) = (call.exchange_id, call.hold_id.clone());
        (lost.account, lost.tier, lost.token_id) = (call.account.clone(), call.tier, call.token_id.clone());
        (lost.occurred_at, lost.settled_at, lost.utc_day) = (call.occurred_at, call.settled_at, call.utc_day);
        let hold_pax = Pax::from_picopax(10_000_000_000);
        let asked = HoldRequest { envoy: "00000000000000e1".to_owned(), hold_pax, card_cap_pax: None };
        Hold { asked, lost: Received { canonical: lost.to_canonical(), debit: lost } }
    }
}

/// Makes the ledger.
async fn make(store: &Store, entries: u64, accounts: u64) {
    let begin = Moment::from_ms(DAY_0);
    for number in 0..accounts {
        let (name, key) = (account(number), |what: &str| keyed(&format!("{what}-{number}-of-bench"), begin));
        assert!(store.create_account(&key("account"), &name, tier(number), None).await.unwrap().is_some());
        let token = NewToken {
            token_id: format!("tok_{number:016x}"),
            account: &name,
            label: "bench",
            sha256: Digest::of(&[name.as_bytes()]),
            is_given: true,
            expires_at: None,
        };
        assert!(store.add_token(&key("token"), &token).await.unwrap().is_some());
        if tier(number) == Tier::Credit {
            grant(store, number, "first", begin, None).await;
        }
    }
    let (calls, mut writer) = (Calls::new(accounts), store.writer());
    let groups = entries / CALLS_AT_ONCE;
    let mut today = begin.day();
    for group in 0..groups {
        let now = begin.plus_ms(DAYS * DAY_MS / groups * group);
        if now.day() != today {
            today = now.day();
            upkeep(store, &mut writer, &calls, (group, now)).await;
        }
        record(&mut writer, &calls, group, now).await;
    }
    writer.close().await;
}

async fn grant(store: &Store, number: u64, what: &str, now: Moment, expires_at: Option<Moment>) {
    let asked = NewGrant {
        account: account(number),
        amount_pax: Pax::from_picopax(1_000_000_000_000_000),
        class: GrantClass::Goodwill,
        expires_at,
        paid: None,
        reference: None,
    };
    store.grant(&keyed(&format!("grant-{what}-{number}-of-bench"), now), &asked).await.unwrap();
}

/// What happens once a day: grants that expire in a week, corrections of calls of the group before, expiries; old holds
/// are forgotten.
async fn upkeep(store: &Store, writer: &mut Writer, calls: &Calls, (group, now): (u64, Moment)) {
    for number in (1..calls.accounts).step_by(20) {
        grant(store, number, &group.to_string(), now, Some(now.plus_ms(7 * DAY_MS))).await;
    }
    let before = Moment::from_ms(DAY_0).plus_ms(now.ms().saturating_sub(DAY_0) / group * (group - 1));
    for number in ((group - 1) * CALLS_AT_ONCE..group * CALLS_AT_ONCE).step_by(50) {
        let exchange = calls.debit(number, before).exchange_id.to_string();
        let asked = ToCorrect { what: Corrects::Call(exchange.clone()), amount: Amount::To(Pax::ZERO) };
        store.correct(&keyed(&format!("correction-of-{exchange}"), now), &asked).await.unwrap();
    }
    writer.expire(now).await.unwrap();
    while writer.prune(now).await.unwrap() > 0 {}
}

/// Records a group of calls.
async fn record(writer: &mut Writer, calls: &Calls, group: u64, now: Moment) {
    let numbers = group * CALLS_AT_ONCE..(group + 1) * CALLS_AT_ONCE;
    let debits: Vec<Debit> = numbers.map(|number| calls.debit(number, now)).collect();
    let holds = debits.iter().filter(|debit| debit.hold_id.is_some()).map(|debit| calls.hold(debit));
    let (holds, mut made) = (Arc::new(holds.collect::<Vec<_>>()), 0);
    while made < holds.len() {
        let replies = writer.hold(&holds, made, now).await.unwrap();
        assert!(replies.iter().all(|reply| reply.outcome == HoldOutcome::Held), "{replies:?}");
        made += replies.len();
    }
    let lines: Vec<Line> = debits.iter().map(|debit| Line::read(&debit.to_canonical())).collect();
    let replies = writer.record(&lines.into(), now).await.unwrap();
    assert!(replies.iter().all(|reply| reply.outcome == DebitOutcome::Recorded), "{replies:?}");
}

/// What a process has used so far: CPU time of its threads that still run, and the most memory in KiB.
fn used(child: &Child) -> Option<(Duration, u64)> {
    let pid = child.id();
    let cpu = cpu(pid)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib = most.trim().trim_end_matches(" kB").parse().ok()?;
    Some((cpu, kib))
}

/// What a command has printed, and what it took.
struct Took {
    said: String,
    time: Duration,
    cpu: Duration,
    kib: u64,
}

fn measured(command: &mut Command) -> Took {
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut cpu, mut kib) = (Duration::ZERO, 0);
    while child.try_wait().unwrap().is_none() {
        if let Some((so_far, most)) = used(&child) {
            (cpu, kib) = (cpu.max(so_far), kib.max(most));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let time = began.elapsed();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    Took { said, time, cpu, kib }
}

/// Replays by a program, and prints what that took.
#[allow(clippy::float_arithmetic, reason = "figures for people")]
fn replay(name: &str, mut command: Command) {
    let Took { said, time, cpu, kib } = measured(command.arg("replay"));
    let entries: f64 = said.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap();
    println!(
        "{name:<12} {entries:>9} entries {:>8.0} entries/s {:>8.0} entries/CPU-s {:>8.1} s {:>8.1} MiB at most",
        entries / time.as_secs_f64(),
        entries / cpu.as_secs_f64(),
        time.as_secs_f64(),
        kib as f64 / 1_024.0
    );
}

/// Copies a ledger, which proves both, and prints what that took and what the program says of it.
fn copy(from: &Path, to: &Path) {
    let Took { said, time, kib, .. } = measured(program(from).arg("copy").args([from, to]));
    println!(
        "copied and proved in {} s, with {} MiB at most: {}",
        time.as_secs(),
        kib / 1_024,
        said.trim_end()
    );
}

fn main() {
    let (entries, accounts) = (setting("PAX_BENCH_ENTRIES", 1_000_000), setting("PAX_BENCH_ACCOUNTS", 1_000));
    let folder = Folder::of_file();
    let kept = std::env::var_os("PAX_BENCH_FILE").map(PathBuf::from);
    let file: &Path = &kept.unwrap_or_else(|| folder.database());
    if !file.exists() {
        let began = Instant::now();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let location = pax_ledger::store::Location::Sqlite(file.to_owned());
            let store = Store::open(&location, pax_ledger::store::Open::Create).await.unwrap();
            make(&store, entries, accounts).await;
            store.close().await;
        });
        println!("made a ledger of {accounts} accounts in {} s", began.elapsed().as_secs());
    }
    replay("this build", program(file));
    if let Some(other) = std::env::var_os("PAX_BENCH_LEDGER") {
        let mut command = Command::new(other);
        command.env("PAX_LEDGER_DB", file).env("RUST_LOG", "off");
        replay("the other", command);
    }
    if setting("PAX_BENCH_COPY", 0) == 1 {
        let server = Server::start(&[]);
        let (postgres, back) = (PathBuf::from(server.database()), folder.0.join("back.db"));
        copy(file, &postgres);
        replay("PostgreSQL", program(&postgres));
        copy(&postgres, &back);
        replay("copied back", program(&back));
    }
}
