//! How the stack's processes are started, the first time and after a death.

use crate::{Stack, envoy};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

impl Stack {
    /// A ledger, on its ports and the database.
    pub(crate) fn ledger_command(&self, number: usize) -> Command {
        let mut command = Command::new(&self.layout.ledger);
        self.database.give_to(&mut command);
        command.arg("serve");
        if let Some(ledger) = self.ledgers.get(number) {
            command.args(["--internal".into(), format!("127.0.0.1:{}", ledger.internal_port)]);
            command.args(["--public".into(), format!("127.0.0.1:{}", ledger.public_port)]);
        }
        command.args(&self.ledger_args);
        command.env("PAX_LEDGER_SECRET", &self.secret);
        command
    }

    /// The stand-in, on a port that an earlier stand-in may have had.
    pub(crate) fn standin_command(&self, port: u16) -> Command {
        let mut command = Command::new(&self.layout.standin);
        let listen: [OsString; 2] = ["--listen".into(), format!("127.0.0.1:{port}").into()];
        command.args(listen).args(&self.standin_args);
        without_database(&mut command);
        command
    }

    /// Envoy, with a configuration.
    pub(crate) fn envoy_command(&self, config: &Path) -> Command {
        let mut command = Command::new(&self.layout.envoy);
        command.arg("--config-path").arg(config);
        command.args(["--concurrency".into(), self.concurrency.to_string()]);
        // Hot restart would share memory with another Envoy of this machine.
        command.arg("--disable-hot-restart");
        command.args(["--drain-time-s", "1", "--log-format", "%Y-%m-%dT%T.%e %l %n: %v"]);
        // So a reader need not wait ten seconds for a call's line, and a kill loses few lines.
        command.args(["--file-flush-interval-msec", "100"]);
        command.args(envoy::log_arguments(&self.log_level));
        command.env("PAX_LEDGER_SECRET", &self.secret);
        without_database(&mut command);
        command
    }
}

/// The database's password is the ledger's alone.
fn without_database(command: &mut Command) {
    command.env_remove("LEDGER_DB").env_remove("PAX_LEDGER_DB");
}
