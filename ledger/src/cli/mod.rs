//! The operator's command line.

mod account_shown;
mod accounts;
mod acting;
mod args;
mod backing_up;
mod cards;
mod commands;
mod copying;
mod crediting;
mod entries;
mod explaining;
mod health;
mod holds;
mod operator_log;
mod progress;
mod quarantine;
mod recovering;
mod replaying;
mod reporting;
mod repricing;
mod tokens;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use self::args::{
    Account, Cards, Correct, Entries, Explain, GrantOf, Health, Holds, OperatorLog, Quarantine, Reporting,
    Serve, Token,
};
use crate::error::Error;

/// The credit ledger behind the gateway: its service, its accounts and tokens, its entries.
#[derive(Debug, Parser)]
#[command(name = "pax-ledger", version)]
struct Cli {
    /// The database: a file, sqlite:FILE, or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, global = true, env = "PAX_LEDGER_DB", value_name = "URL_OR_PATH")]
    db: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve filters (resolve, debits) and callers; makes the database where it is missing
    #[command(
        after_help = "The shared secret comes from the environment variable PAX_LEDGER_SECRET or from \
        --secret-file; one in PAX_LEDGER_SECRET_OLD is taken too, while it is rotated. SIGTERM or Ctrl-C ends the service once what it has taken is durable."
    )]
    Serve(Serve),
    /// Ask a running service how it is; exits 0 where both listeners answer
    Health(Health),
    /// Create, list, show, disable and enable accounts, and set their daily caps
    #[command(subcommand)]
    Account(Account),
    /// Give an account credit, which calls on tier credit spend
    #[command(
        after_help = "What is left of a grant is its lot. Calls spend the lot that ends first. A grant pays a balance below \
        zero first. It is an entry of the account's chain; `correct --grant KEY --to PAX` changes it, or takes it back."
    )]
    Grant(GrantOf),
    /// Correct what a call cost, or what was granted, by an entry of its own; history stays as it is
    #[command(
        after_help = "A wrong rate card is put right by `correct --reprice-as RIGHT --card WRONG --dry-run`, which prints a \
        plan, and then the same with --plan, --key and --reason instead of --dry-run."
    )]
    Correct(Correct),
    /// List what is set aside for calls, and end the holds of calls that nobody reports
    #[command(subcommand)]
    Holds(Holds),
    /// Make, list and revoke the tokens of accounts
    #[command(subcommand)]
    Token(Token),
    /// Make rate cards known, and list those that are
    #[command(subcommand)]
    Cards(Cards),
    /// Print entries, one JSON object per line or as CSV, in the order in which they were recorded
    Entries(Entries),
    /// Add up entries by any of their dimensions, with the total as the last line; all of one moment
    #[command(
        after_help = "A call counts when it began (`occurred_at`, whose UTC date is its day). Dollars are what the PAX of \
        each entry are worth by its own rate card, exactly; they are missing where a card is not known. What was estimated \
        is a share of the cost."
    )]
    Report(Reporting),
    /// Say what became of a request. With an entry: its bill, line by line, so that it can be made again by hand; exits 1
    /// where it does not come out the same. Without one, from its line in the calls log: why it was refused or not
    /// charged, and what to do; exits 1 where it stands in neither
    #[command(
        after_help = "Logs are looked into in their order, until one has the request. Containers write the calls log to standard \
        output: docker compose logs --no-log-prefix envoy | docker compose exec -T ledger pax-ledger explain ID --log -"
    )]
    Explain(Explain),
    /// List what was sent and could not become an entry, and mark as seen what you have looked at
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// List what operators did, the newest first: when, who, what, to what, why, and under which key
    OperatorLog(OperatorLog),
    /// Check every entry, chain, price, sum, trigger and operator's action again; exits 1 where anything differs, or where a line in
    /// quarantine is not marked as seen
    Replay,
    /// Copy a ledger into another database, of either kind, and prove that both are the same; stop `serve` first
    #[command(
        after_help = "FROM and TO are as --db: a file, or postgres://USER:PASSWORD@HOST/DATABASE. TO is empty, or a copy that was \
        broken off: then it goes on. Until the copy is whole its accounts are switched off and it has no tokens. Afterwards both \
        ledgers are replayed, and their chains' heads compared; exits 1 where anything differs."
    )]
    Copy {
        /// The ledger
        from: String,
        /// Where it is copied to
        to: String,
    },
    /// Bring the database's schema up to date, which `serve` does too if its role may
    Migrate {
        /// PostgreSQL: give this role the rights of `serve`, which may add to what only grows, and change nothing there
        #[arg(long, value_name = "ROLE")]
        grant_to: Option<String>,
    },
    /// Copy the ledger to a file, as it is at one moment, while `serve` goes on; the copy is replayed
    #[command(
        after_help = "The file must not be there yet. It can be read by its owner alone, and it is there under its name only \
        when it is whole and on the disk. Exits 1 where the copy does not replay: it is kept, since the ledger may be no better."
    )]
    Backup {
        /// Where the copy goes
        file: PathBuf,
        /// Do not replay the copy
        #[arg(long)]
        no_verify: bool,
    },
    /// Put a copy of a backup in the ledger's place; stop `serve` first
    #[command(
        after_help = "The backup stays as it is, and the file that was there is moved aside. A new epoch begins, by \
        which filters know that the numbers of the backup are true, though they are lower than those they know. What was \
        recorded after the backup is gone: `recover` brings it back from the file that was moved aside."
    )]
    Restore {
        /// What `backup` has made, or a copy of the ledger's file that was made while nothing had it open
        backup: PathBuf,
    },
    /// Record again what another ledger's file has and this one lacks: after a restore, from the file that was moved aside.
    /// What is here already stays as it is. Run it before `serve`, which takes credit that is over out of balances
    Recover {
        /// The other file
        file: PathBuf,
    },
    /// Print what a shell needs to complete this program's commands and options
    #[command(
        after_help = "bash: pax-ledger completions bash >~/.local/share/bash-completion/completions/pax-ledger\nzsh: \
        pax-ledger completions zsh >DIR/_pax-ledger, with DIR in $fpath\nfish: pax-ledger completions fish \
        >~/.config/fish/completions/pax-ledger.fish"
    )]
    Completions {
        /// The shell
        shell: ShellName,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
}

/// Runs the program. It exits with 0 if all is well, 1 if something failed or a replay found a difference, and
/// 2 if the command line is wrong.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    match commands::run(cli).await {
        Ok(code) => code,
        // As in `pax-ledger entries | head`: the reader has all that it wanted.
        Err(Error::Io { why, .. }) if why.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pax-ledger: {error}");
            ExitCode::FAILURE
        }
    }
}

fn printing(why: std::io::Error) -> Error {
    Error::Io { doing: "printing".to_owned(), why }
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(printing)
}

/// Prints one JSON object on a line of its own.
fn print_json(to: &mut impl Write, value: &impl Serialize) -> Result<(), Error> {
    let line = serde_json::to_string(value).map_err(std::io::Error::other).map_err(printing)?;
    writeln!(to, "{line}").map_err(printing)
}

/// Prints rows as a table; the cells of the columns from `numbers` on are aligned to the right.
fn print_table_of_numbers(rows: &[impl AsRef<[String]>], numbers: usize) -> Result<(), Error> {
    let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.as_ref().get(index));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.as_ref().iter().zip(&widths).enumerate().map(|(index, (cell, width))| {
            if index < numbers { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    print(&lines.collect::<Vec<_>>().join("\n"))
}

fn print_table(rows: &[impl AsRef<[String]>]) -> Result<(), Error> {
    print_table_of_numbers(rows, usize::MAX)
}

/// Writes CSV as the public listener does.
fn csv_writer<W: Write>(to: W) -> csv::Writer<W> {
    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(to)
}
