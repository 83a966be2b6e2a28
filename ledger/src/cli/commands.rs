//! Runs each command.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Account, Asked, Cards, Explain, Holds, Quarantine, Serve, Token};
use super::{
    Cli, Command, ShellName, accounts, acting, backing_up, cards, copying, crediting, entries, explaining,
    health, holds, operator_log, print, quarantine, recovering, replaying, reporting, tokens,
};
use crate::error::Error;
use crate::now;
use crate::secret::SharedSecret;
use crate::server::{Server, Settings};
use crate::store::{Location, Open, Store};

pub(super) async fn run(cli: Cli) -> Result<ExitCode, Error> {
    if let Command::Health(asked) = &cli.command {
        health::check(asked.internal, asked.public)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Completions { shell } = &cli.command {
        complete(*shell);
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Explain(Explain { asked: Asked::Code(words), json, .. }) = &cli.command {
        explaining::explain_code(words, *json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Copy { from, to } = &cli.command {
        return copying::run(&Location::parse(from)?, &Location::parse(to)?).await;
    }
    let Some(db) = cli.db else {
        return Err(Error::Operator("which database? Say --db FILE, or set PAX_LEDGER_DB".to_owned()));
    };
    let database = Location::parse(&db)?;
    let open = match &cli.command {
        Command::Serve(options) => return serve(database, options).await,
        Command::Restore { backup } => return restore(&database, backup).await,
        Command::Account(Account::Create { .. }) | Command::Migrate { .. } => Open::Create,
        Command::Account(Account::List { .. } | Account::Show { .. }) => Open::Read,
        Command::Token(Token::List { .. }) => Open::Read,
        Command::Quarantine(Quarantine::List { .. }) => Open::Read,
        Command::Holds(Holds::List { .. }) => Open::Read,
        Command::Holds(_) => Open::Existing,
        Command::Account(_) | Command::Token(_) | Command::Cards(Cards::Add { .. }) => Open::Existing,
        Command::Quarantine(Quarantine::Seen { .. }) => Open::Existing,
        Command::Cards(Cards::List { .. }) | Command::Entries(_) | Command::Report(_) => Open::Read,
        Command::Explain(_) | Command::OperatorLog(_) | Command::Replay => Open::Read,
        Command::Grant(_) | Command::Correct(_) => Open::Existing,
        // SQLite refuses the statement that copies the file to a connection that may only read.
        Command::Backup { .. } => Open::Existing,
        Command::Recover { .. } => Open::Existing,
        Command::Health(_) | Command::Completions { .. } | Command::Copy { .. } => {
            return Ok(ExitCode::SUCCESS);
        }
    };
    let store = Store::open(&database, open).await?;
    let done = match cli.command {
        Command::Account(command) => accounts::run(&store, command).await,
        Command::Grant(options) => crediting::grant(&store, options).await,
        Command::Correct(options) => crediting::correct(&store, options).await,
        Command::Holds(command) => holds::run(&store, command).await,
        Command::Token(command) => tokens::run(&store, command).await,
        Command::Cards(command) => cards::run(&store, command).await,
        Command::Entries(options) => entries::run(&store, options).await,
        Command::Recover { file } => recovering::run(&store, &file, &acting::operator()?).await,
        Command::Report(options) => reporting::run(&store, options).await,
        Command::Backup { file, no_verify } => backing_up::run(&store, &file, no_verify).await,
        Command::Explain(options) => explaining::run(&store, options).await,
        Command::Quarantine(command) => quarantine::run(&store, command).await,
        Command::OperatorLog(options) => operator_log::run(&store, options).await,
        Command::Replay => replaying::run(&store).await,
        Command::Migrate { grant_to } => migrated(&store, grant_to.as_deref()).await,
        Command::Serve(_)
        | Command::Health(_)
        | Command::Restore { .. }
        | Command::Completions { .. }
        | Command::Copy { .. } => Ok(ExitCode::SUCCESS),
    };
    store.close().await;
    done
}

/// The schema is up to date by now.
async fn migrated(store: &Store, grant_to: Option<&str>) -> Result<ExitCode, Error> {
    print("the schema is up to date")?;
    if let Some(role) = grant_to {
        store.grant_rights_to(role).await?;
        print(&format!("role {role} has the rights of the service, and no others"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(database: Location, options: &Serve) -> Result<ExitCode, Error> {
    let secret = SharedSecret::find(options.secret_file.as_deref())?;
    let metrics_secret = SharedSecret::find_for_metrics()?;
    let handler =
        |kind| signal(kind).map_err(|why| Error::Io { doing: "listening for signals".to_owned(), why });
    let (mut term, mut interrupt) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    let (internal, public) = (options.internal, options.public);
    let linger = Duration::from_secs(options.linger_s);
    let server = Server::bind(Settings {
        database,
        internal,
        public,
        secret,
        metrics_secret,
        linger,
        canon_v: options.canon_v,
    })
    .await?;
    print(&format!("listening internal={} public={}", server.internal_addr()?, server.public_addr()?))?;
    server
        .run(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await?;
    Ok(ExitCode::SUCCESS)
}

async fn restore(database: &Location, backup: &Path) -> Result<ExitCode, Error> {
    let restored = crate::store::restore(database, backup, now()).await?;
    let (shown, entries, epoch) = (database.to_string(), restored.entries, restored.epoch);
    print(&format!("restored {shown} from {}: {entries} entries, epoch {epoch}", backup.display()))?;
    let mut recover = String::new();
    if let Some(replaced) = &restored.replaced {
        let aside = replaced.path.display();
        let had = match replaced.entries {
            Some(entries) => format!("it has {entries} entries"),
            None => "it cannot be read".to_owned(),
        };
        print(&format!("the file that was there is now {aside}; {had}"))?;
        recover = format!("`pax-ledger recover {aside}` records again what the backup lacks, then ");
    }
    print(&format!("next: {recover}`pax-ledger replay`, then `pax-ledger serve`"))?;
    Ok(ExitCode::SUCCESS)
}

fn complete(shell: ShellName) {
    let shell = match shell {
        ShellName::Bash => clap_complete::Shell::Bash,
        ShellName::Zsh => clap_complete::Shell::Zsh,
        ShellName::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, &mut Cli::command(), "pax-ledger", &mut std::io::stdout());
}
