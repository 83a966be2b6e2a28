//! The `pax-ledger` program. Everything is in the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    pax_ledger::cli::main().await
}
