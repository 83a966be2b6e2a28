//! The `pax-ratecard` program. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    pax_ratecard::cli::main()
}
