//! The ledger on both databases in one run, by turns: one ledger on a SQLite file, one on PostgreSQL, and three on one
//! database of PostgreSQL. Each is the real service, and all is durable: PostgreSQL runs as it is installed, its own server
//! on the same disk. Every sample's entries are counted in the end, and proved.
//!
//! This program calls them, on the same cores. Debits are made before their sample begins; holds come at a steady rate, and
//! each waits from the moment when it was due.
//!
//! `make bench-ledger`; what it takes from the environment: `BENCH_ROUNDS` (5), and `PAX_BENCH_MS` for each sample of debits
//! (800; holds take three times as long).

use std::path::Path;
use std::time::Instant;

use pax_postgres::server::Server;

#[path = "../tests/suite/common/mod.rs"]
mod common;
#[path = "engines/loads.rs"]
mod loads;
mod shared;
#[path = "engines/subject.rs"]
mod subject;
#[path = "engines/table.rs"]
mod table;

use loads::{OfDebits, OfHolds};
use shared::{setting, sync_times};
use subject::{ACCOUNTS, Cpu, Subject};
use table::{Spread, count, line, marks, milliseconds, row, seconds};

/// How many debits are in a batch.
const SIZES: [u64; 3] = [1, 10, 100];
/// Six connections are two for each of three ledgers.
const CONNECTIONS: [usize; 2] = [1, 6];
/// All accounts, or one that is hot.
const WHOSE: [u64; 2] = [ACCOUNTS, 1];
/// How many batches show how many there should be.
const FIRST_BATCHES: u64 = 40;
/// How many of them a sample has at least.
const LEAST_BATCHES: u64 = 20;
/// Holds: of how many accounts, and how many a second.
const HOLDS: [(u64, u64); 3] = [(ACCOUNTS, 1_000), (ACCOUNTS, 250), (1, 1_000)];
/// How many times the disk is asked to sync before each sample.
const SYNCS: usize = 3;

/// Debits of one kind, with what was measured of each subject.
struct Debiting {
    connections: usize,
    accounts: u64,
    size: u64,
    samples: Vec<Vec<OfDebits>>,
    /// How many debits a second there were last.
    last: Vec<Option<u64>>,
}

/// Holds of so many accounts, so many a second, likewise.
struct Holding {
    accounts: u64,
    rate: u64,
    samples: Vec<Vec<OfHolds>>,
}

/// The measurement.
struct Bench<'a> {
    subjects: Vec<Subject<'a>>,
    /// How many debits of each were acknowledged.
    acknowledged: Vec<u64>,
    debiting: Vec<Debiting>,
    holding: Vec<Holding>,
    syncs_us: Vec<u64>,
}

impl<'a> Bench<'a> {
    fn new(subjects: Vec<Subject<'a>>) -> Self {
        let all = subjects.len();
        let mut debiting = Vec::new();
        for connections in CONNECTIONS {
            for accounts in WHOSE {
                let of = |size| {
                    let (samples, last) = (vec![Vec::new(); all], vec![None; all]);
                    Debiting { connections, accounts, size, samples, last }
                };
                debiting.extend(SIZES.map(of));
            }
        }
        let holding =
            HOLDS.map(|(accounts, rate)| Holding { accounts, rate, samples: vec![Vec::new(); all] }).into();
        Self { acknowledged: vec![0; all], subjects, debiting, holding, syncs_us: Vec::new() }
    }

    /// A sample of everything, which takes so long for debits. The round with number 0 is to warm up, and is forgotten.
    fn round(&mut self, number: usize, ms: u64) {
        let disk = self.subjects.iter().find_map(Subject::folder).unwrap().to_owned();
        // The one that comes first in this round comes last in the next.
        let all = self.subjects.len();
        let turns: Vec<usize> = (0..all).map(|turn| (turn + number) % all).collect();
        let mut syncs = Vec::new();
        for load in &mut self.debiting {
            for turn in turns.iter().copied() {
                let subject = &self.subjects[turn];
                // One connection uses one ledger.
                if load.connections < subject.ledgers.len() {
                    continue;
                }
                syncs.extend(sync_times(&disk, SYNCS));
                let mut send = |batches| {
                    let sample =
                        loads::debits(subject, load.connections, load.accounts, (load.size, batches));
                    self.acknowledged[turn] += sample.debits;
                    sample
                };
                let per_s = load.last[turn].unwrap_or_else(|| send(FIRST_BATCHES).per_s);
                let sample = send((per_s * ms / 1_000 / load.size).max(LEAST_BATCHES));
                load.last[turn] = Some(sample.per_s);
                if number > 0 {
                    load.samples[turn].push(sample);
                }
            }
        }
        for load in &mut self.holding {
            for turn in turns.iter().copied() {
                syncs.extend(sync_times(&disk, SYNCS));
                let holds = load.rate * 3 * ms / 1_000;
                let sample = loads::holds(&self.subjects[turn], load.accounts, (load.rate, holds));
                self.acknowledged[turn] += sample.debits;
                if number > 0 {
                    load.samples[turn].push(sample);
                }
            }
        }
        if number > 0 {
            self.syncs_us.extend(syncs.iter().map(|sync| u64::try_from(sync.as_micros()).unwrap()));
        }
    }

    fn print(&self) {
        let names: Vec<String> = self.subjects.iter().map(|subject| subject.name.to_owned()).collect();
        let head = |what: &str| {
            println!("\n{}", line([what.to_owned()].into_iter().chain(names.iter().cloned())));
            println!("{}", line(vec!["---".to_owned(); names.len() + 1]));
        };
        head("durable debits a second");
        for load in &self.debiting {
            println!("{}", row(&load.what(), &load.samples, |it| Some(it.per_s), count));
        }
        head("CPU time for 1,000 debits");
        for load in self.debiting.iter().filter(|load| load.accounts > 1) {
            cpu_rows(&load.what(), &load.samples, |it| it.cpu);
        }
        for load in &self.holding {
            head(&format!("{}: {} holds due a second", accounts(load.accounts), count(load.rate)));
            println!("{}", row("a hold's wait, p50", &load.samples, |it| Some(it.median_us), milliseconds));
            println!("{}", row("p99", &load.samples, |it| Some(it.p99_us), milliseconds));
            println!("{}", row("holds made a second", &load.samples, |it| Some(it.holds_per_s), count));
            println!(
                "{}",
                row("durable debits a second beside them", &load.samples, |it| Some(it.debits_per_s), count)
            );
            cpu_rows("CPU time for 1,000 calls (a hold and a debit)", &load.samples, |it| it.cpu);
        }
        println!(
            "\nA hold waits from the moment when it was due. Where clearly fewer were made a second than were due, the ledger \
             fell behind, and waits grew for as long as the sample took."
        );
        head("mark");
        let debits = |connections| {
            let fits = |load: &&Debiting| {
                load.connections == connections && load.accounts == ACCOUNTS && load.size == 100
            };
            &self.debiting.iter().find(fits).unwrap().samples
        };
        for mark in marks(debits(CONNECTIONS[0]), debits(CONNECTIONS[1]), &self.holding[0].samples) {
            println!("{mark}");
        }
    }
}

impl Debiting {
    fn what(&self) -> String {
        let connections = if self.connections == 1 { "connection" } else { "connections" };
        format!("{} {connections}, {}, batches of {}", self.connections, accounts(self.accounts), self.size)
    }
}

fn accounts(number: u64) -> String {
    if number == 1 { "one hot account".to_owned() } else { format!("{} accounts", count(number)) }
}

/// Rows of the CPU time of each party.
fn cpu_rows<T>(what: &str, samples: &[Vec<T>], cpu: impl Fn(&T) -> Cpu) {
    println!("{}", row(&format!("{what}: the ledger"), samples, |it| Some(cpu(it).ledgers_us), seconds));
    println!("{}", row("PostgreSQL", samples, |it| cpu(it).server_us, seconds));
    println!("{}", row("the caller, this program", samples, |it| Some(cpu(it).caller_us), seconds));
}

/// The CPU's name, how many of it there are, and the load averages, as the system has them.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let mut models = cpus.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = models.next().map_or("a CPU of an unknown name", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ");
    format!("{model}, {cores} cores, load averages {load} before the run")
}

/// The file system that a folder is on.
///
/// # Panics
/// If it is in memory, where nothing is durable.
fn file_system(folder: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let folder = folder.canonicalize().unwrap();
    let (_, kind) = mounts.filter(|(at, _)| folder.starts_with(at)).max_by_key(|(at, _)| at.len()).unwrap();
    assert_ne!(kind, "tmpfs", "{} is in memory: set TMPDIR to a folder on a disk", folder.display());
    kind.to_owned()
}

fn main() {
    let began = Instant::now();
    let (rounds, ms) = (setting("BENCH_ROUNDS", 5), setting("PAX_BENCH_MS", 800));
    let file_system = file_system(&std::env::temp_dir());
    println!("{}", machine());
    let server = Server::start(&[]);
    let shown = |name: &str| format!("{name} {}", server.run("postgres", &format!("SHOW {name}")));
    let settings = ["server_version", "fsync", "synchronous_commit"].map(shown).join(", ");
    println!(
        "PostgreSQL ({settings}) and SQLite's file on one {file_system}; the caller shares the cores with them"
    );
    let mut bench = Bench::new(vec![
        Subject::of_file("SQLite"),
        Subject::of_postgres("PostgreSQL", &server, 1),
        Subject::of_postgres("PostgreSQL, three ledgers", &server, 3),
    ]);
    for round in 0..=usize::try_from(rounds).unwrap() {
        eprintln!(
            "{} s: {}",
            began.elapsed().as_secs(),
            if round == 0 { "warm-up" } else { "the next round" }
        );
        bench.round(round, if round == 0 { ms / 3 } else { ms });
    }
    let syncs = Spread::of(bench.syncs_us.clone()).unwrap();
    println!(
        "a write and sync of 4 KiB takes there {}, measured before each sample; {rounds} rounds, medians (least to most)",
        syncs.text(milliseconds)
    );
    bench.print();
    let measured = began.elapsed();
    for (subject, acknowledged) in bench.subjects.iter_mut().zip(&bench.acknowledged) {
        subject.prove(*acknowledged);
    }
    let entries = count(bench.acknowledged.iter().sum());
    println!("\nAll {entries} debits that were acknowledged are there, and are proved by a replay.");
    println!("It took {} s, and the proof {} s.", measured.as_secs(), (began.elapsed() - measured).as_secs());
}
