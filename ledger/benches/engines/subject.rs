//! What is measured: ledgers on a database of either kind, with the CPU time of their processes.

use std::path::{Path, PathBuf};

use pax_gateway::base::account::Tier;
use pax_gateway::base::pax::Pax;
use pax_ledger::store::{Location, NewGrant, Open, Store};
use pax_postgres::server::Server;
use sqlx::Connection as _;

use crate::common::granting::keyed;
use crate::common::{Folder, Service, run, stdout};
use crate::shared::{Debits, account, make_accounts};

/// How many accounts there are. All have tier credit, a token, and a grant that lasts.
pub const ACCOUNTS: u64 = 1_000;
/// The clock's ticks in /proc/PID/stat, which all of Linux has a hundred of in a second.
const TICK_US: u64 = 10_000;

/// CPU time, user and system, in microseconds: of the ledgers, of PostgreSQL, and of this program, which calls them.
#[derive(Clone, Copy)]
pub struct Cpu {
    pub ledgers_us: u64,
    pub server_us: Option<u64>,
    pub caller_us: u64,
}

impl Cpu {
    /// What was used since then for so many of something, for 1,000 of it.
    pub fn for_1000(self, before: Self, count: u64) -> Self {
        let used = |after: u64, before: u64| after.saturating_sub(before) * 1_000 / count;
        Self {
            ledgers_us: used(self.ledgers_us, before.ledgers_us),
            server_us: self.server_us.zip(before.server_us).map(|(after, before)| used(after, before)),
            caller_us: used(self.caller_us, before.caller_us),
        }
    }
}

/// Where the entries are.
enum Database<'a> {
    File(Folder),
    Postgres(&'a Server, String),
}

/// Ledgers on one database.
pub struct Subject<'a> {
    pub name: &'static str,
    pub ledgers: Vec<Service>,
    pub debits: Debits,
    database: Database<'a>,
}

impl<'a> Subject<'a> {
    pub fn of_file(name: &'static str) -> Self {
        Self::start(name, Database::File(Folder::of_file()), 1)
    }

    pub fn of_postgres(name: &'static str, server: &'a Server, ledgers: usize) -> Self {
        Self::start(name, Database::Postgres(server, server.database()), ledgers)
    }

    fn start(name: &'static str, database: Database<'a>, ledgers: usize) -> Self {
        let path = database.path();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let location = Location::parse(path.to_str().unwrap()).unwrap();
            let store = Store::open(&location, Open::Create).await.unwrap();
            for statement in make_accounts(ACCOUNTS, Tier::Credit) {
                database.change(&statement).await;
            }
            for number in 0..ACCOUNTS {
                let act = keyed(&format!("grant-{number}-of-bench"), pax_ledger::now());
                let amount = Pax::from_picopax(100_000_000_000_000_000);
                store.grant(&act, &NewGrant::goodwill(&account(number), amount)).await.unwrap();
            }
            store.close().await;
        });
        let ledgers = (0..ledgers).map(|_| Service::start(&path)).collect();
        Self { name, ledgers, debits: Debits::new(Tier::Credit), database }
    }

    /// The CPU time so far of all processes that take part.
    pub fn cpu(&self) -> Cpu {
        Cpu {
            ledgers_us: self.ledgers.iter().map(|ledger| stat(ledger.child.id()).unwrap().own_us).sum(),
            server_us: self.server_us(),
            caller_us: stat(std::process::id()).unwrap().own_us,
        }
    }

    /// The CPU time of PostgreSQL's processes so far, ended ones too; none if the database is a file.
    fn server_us(&self) -> Option<u64> {
        let Database::Postgres(server, _) = &self.database else { return None };
        let first = server.pid();
        let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some(pid)
        });
        let children = numbers.filter_map(stat).filter(|stat| stat.parent == first);
        let of_first = stat(first).unwrap();
        Some(of_first.own_us + of_first.ended_us + children.map(|child| child.own_us).sum::<u64>())
    }

    /// Checks, once the ledgers have stopped, that so many debits are kept and no hold is open, and that a replay finds
    /// nothing.
    pub fn prove(&mut self, acknowledged: u64) {
        self.ledgers.clear();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for (what, sql, is) in [
            ("debits", "SELECT count(*) FROM credit_ledger WHERE kind = 'debit'", acknowledged),
            ("open holds", "SELECT count(*) FROM holds WHERE state = 'open'", 0),
        ] {
            assert_eq!(runtime.block_on(self.database.count(sql)), is, "{}: {what}", self.name);
        }
        let replay = run(&self.database.path(), &["replay"]);
        assert!(replay.status.success(), "{}: {}", self.name, stdout(&replay));
    }

    /// The folder of the file, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.database {
            Database::File(folder) => Some(&folder.0),
            Database::Postgres(..) => None,
        }
    }
}

impl Database<'_> {
    /// As `--db` takes it.
    fn path(&self) -> PathBuf {
        match self {
            Self::File(folder) => folder.database(),
            Self::Postgres(_, url) => PathBuf::from(url),
        }
    }

    /// Runs SQL that changes rows.
    async fn change(&self, sql: &str) {
        match self {
            Self::File(folder) => {
                let mut shell = folder.shell().await;
                sqlx::query(sql).execute(&mut shell).await.unwrap();
                shell.close().await.unwrap();
            }
            Self::Postgres(server, url) => drop(server.run(name_in(url), sql)),
        }
    }

    /// Runs SQL that gives one number.
    async fn count(&self, sql: &str) -> u64 {
        match self {
            Self::File(folder) => {
                let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut folder.shell().await).await.unwrap();
                u64::try_from(count).unwrap()
            }
            Self::Postgres(server, url) => server.run(name_in(url), sql).parse().unwrap(),
        }
    }
}

fn name_in(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// What /proc/PID/stat says of a process.
struct Stat {
    parent: u32,
    /// Its CPU time, user and system.
    own_us: u64,
    /// That of its children that have ended.
    ended_us: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may have spaces. After it come the state, the parent, and as the 12th to 15th the times.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let us = |from: usize| -> Option<u64> {
        let ticks = fields.get(from..from + 2)?.iter().map(|ticks| ticks.parse::<u64>());
        Some(ticks.sum::<Result<u64, _>>().ok()? * TICK_US)
    };
    Some(Stat { parent: fields.get(1)?.parse().ok()?, own_us: us(11)?, ended_us: us(13)? })
}
