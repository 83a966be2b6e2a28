//! The ledgers of a stack: as many processes as its operator asks for, on one database.

use crate::mend::Deaths;
use crate::process::{self, Process};
use crate::{Database, LedgerAt, Stack, StackError, ports};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// More of them only wait for each other in the database.
pub(crate) const LEDGERS_MAX: u16 = 16;

/// One process of the ledger, its ports, and its deaths.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// None until it is started, and after a kill.
    pub process: Option<Process>,
    pub internal_port: u16,
    pub public_port: u16,
    pub deaths: Deaths,
}

impl Ledger {
    /// One that does not run, on free ports.
    ///
    /// # Errors
    /// [`StackError`] if there are none.
    pub fn new() -> Result<Self, StackError> {
        let (internal_port, public_port) = (ports::free()?, ports::free()?);
        Ok(Self { process: None, internal_port, public_port, deaths: Deaths::default() })
    }

    /// Where Envoy reaches it.
    pub fn at(&self) -> LedgerAt {
        LedgerAt { host: "127.0.0.1".into(), port: self.internal_port, public_port: self.public_port }
    }

    /// Whether its process runs.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }
}

/// Whether so many ledgers can work on a database.
///
/// # Errors
/// [`StackError::Config`] if not, with the reason.
pub(crate) fn check(count: u16, database: &Database) -> Result<(), StackError> {
    match (count, database) {
        (1, _) => Ok(()),
        (count, _) if count == 0 || count > LEDGERS_MAX => {
            Err(StackError::Config(format!("LEDGERS is a number from 1 to {LEDGERS_MAX}")))
        }
        (_, Database::Postgres(_)) => Ok(()),
        (_, Database::File(path)) => Err(StackError::Config(format!(
            "LEDGERS={count} needs PostgreSQL (LEDGER_DB=postgres://USER:PASSWORD@HOST:PORT/DATABASE): the ledger in {} is a \
             SQLite file, which one ledger alone serves",
            path.display()
        ))),
    }
}

impl Stack {
    /// The port of the first ledger's internal listener (resolve, debits).
    pub fn ledger_internal_port(&self) -> u16 {
        self.ledgers.first().map_or(0, |ledger| ledger.internal_port)
    }

    /// The port of the first ledger's public listener.
    pub fn ledger_public_port(&self) -> u16 {
        self.ledgers.first().map_or(0, |ledger| ledger.public_port)
    }

    /// The secret that Envoy and ledger share; made anew for each stack.
    pub fn ledger_secret(&self) -> &str {
        &self.secret
    }

    /// What `pax-ledger --db` takes: the database's file, or PostgreSQL's URL with its password.
    pub fn db(&self) -> &Path {
        self.database.argument()
    }

    /// The database, which can be shown.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Runs `pax-ledger --db DB ARGS...` and returns what it prints.
    ///
    /// # Errors
    /// [`StackError::Ledger`] if it exits non-zero, with its standard error.
    pub fn ledger<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Result<String, StackError> {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_os_string()).collect();
        let mut command = Command::new(&self.layout.ledger);
        self.database.give_to(&mut command);
        command.args(&args);
        let output = command.output().map_err(StackError::io("start", &self.layout.ledger))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(StackError::Ledger {
            command: args.join(OsStr::new(" ")).to_string_lossy().into_owned(),
            how: process::describe(output.status),
            stderr: self.database.redact(String::from_utf8_lossy(&output.stderr).trim()),
        })
    }

    /// Kills every ledger (SIGKILL): an outage. [`Stack::start_ledger`] ends it.
    pub fn kill_ledger(&mut self) {
        for ledger in &mut self.ledgers {
            ledger.process = None;
        }
    }

    /// Kills one of several ledgers (SIGKILL), which are numbered from 0.
    pub fn kill_one_ledger(&mut self, number: usize) {
        if let Some(ledger) = self.ledgers.get_mut(number) {
            ledger.process = None;
        }
    }

    /// From their next start on the ledgers are started with these arguments of `pax-ledger serve`, and no others beside the
    /// stack's own.
    pub fn set_ledger_args<I: IntoIterator<Item = S>, S: Into<OsString>>(&mut self, args: I) {
        self.ledger_args = args.into_iter().map(Into::into).collect();
    }

    /// Starts every ledger that does not run, on the same ports and the same database.
    ///
    /// # Errors
    /// [`StackError`] if one does not come up.
    pub fn start_ledger(&mut self) -> Result<(), StackError> {
        for number in 0..self.ledgers.len() {
            let Some(ledger) = self.ledgers.get_mut(number).filter(|ledger| ledger.process.is_none()) else {
                continue;
            };
            let ports = [ledger.internal_port, ledger.public_port];
            let mut process = Process::start("ledger", self.ledger_command(number), self.ledger_log(number))?;
            for port in ports {
                self.wait_until_ready(&mut process, port, "/healthz", |answer| answer.status == 200)?;
            }
            if let Some(ledger) = self.ledgers.get_mut(number) {
                ledger.process = Some(process);
            }
        }
        Ok(())
    }

    /// `ledger.log`, `ledger-2.log`, and so on.
    fn ledger_log(&self, number: usize) -> PathBuf {
        match number {
            0 => self.folder.log("ledger"),
            more => self.folder.log(&format!("ledger-{}", more + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_file_has_one_ledger_and_postgres_several() {
        let file = Database::File("data/ledger.db".into());
        let postgres = Database::of_url("postgres://pax:s3cret@db/ledger").unwrap();
        assert!(check(1, &file).is_ok() && check(1, &postgres).is_ok() && check(3, &postgres).is_ok());
        let error = check(3, &file).unwrap_err().to_string();
        assert!(error.contains("LEDGERS=3 needs PostgreSQL") && error.contains("data/ledger.db"), "{error}");
        assert!(check(0, &postgres).is_err() && check(LEDGERS_MAX + 1, &postgres).is_err());
    }

    #[test]
    fn each_of_the_ledgers_clusters_has_an_endpoint_for_each_ledger() {
        let at = |port: u16| LedgerAt { host: "127.0.0.1".into(), port, public_port: port + 1 };
        let place = crate::Place {
            gateway_address: "127.0.0.1".into(),
            gateway_port: 10_000,
            liveness_port: 10_005,
            admin_port: 10_001,
            ledgers: [11, 21, 31].map(at).into(),
            wasm: "/module.wasm".into(),
            filter: "/etc/pax/filter/filter.yaml".into(),
            ca_file: Some("/etc/ssl/certs/ca-certificates.crt".into()),
            hosts: Vec::new(),
            calls_log: crate::CallsLog::Off,
            workers: 2,
        };
        let upstream = crate::Upstream::Server("localhost:8000".into());
        let rendered = crate::render(&crate::Layout::find().unwrap(), &place, &upstream, |_| ()).unwrap();
        let envoy: serde_yaml_ng::Value = serde_yaml_ng::from_str(&rendered.envoy).unwrap();
        let clusters = envoy["static_resources"]["clusters"].as_sequence().unwrap();
        for (name, expected) in
            [("ledger", [11, 21, 31]), ("ledger_resolve", [11, 21, 31]), ("ledger_public", [12, 22, 32])]
        {
            let cluster = clusters.iter().find(|cluster| cluster["name"] == name).unwrap();
            let endpoints = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"];
            let port = |it: &serde_yaml_ng::Value| {
                it["endpoint"]["address"]["socket_address"]["port_value"].as_u64().unwrap()
            };
            let ports: Vec<u64> = endpoints.as_sequence().unwrap().iter().map(port).collect();
            assert_eq!(ports, expected, "{name}");
        }
    }
}
