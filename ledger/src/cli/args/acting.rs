//! What every command takes that changes something: the action's key, who does it, and why.

use clap::Args;

/// Each action is a row of the operator log.
#[derive(Debug, Args)]
pub(in crate::cli) struct Acting {
    /// The action's name, at most 128 printable ASCII characters: the same command with the same key is done once,
    /// however often it is sent. Without it a random one is made, and printed to standard error before anything is done
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) key: Option<String>,
    /// Who does it; without it the name of the Unix user
    #[arg(long, value_name = "NAME", env = "PAX_OPERATOR")]
    pub(in crate::cli) by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}
