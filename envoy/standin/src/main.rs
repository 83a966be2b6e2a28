//! `pax-standin`: the stand-in provider as a program.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pax_standin::{Behaviour, Options, Standin};
use tracing_subscriber::EnvFilter;

/// A stand-in LLM provider: plays recorded answers in OpenAI's dialect, and misbehaves when told to.
///
/// Serves POST .../chat/completions, POST .../embeddings and GET .../models under any prefix, over HTTP/1.1
/// and HTTP/2 without TLS. Without --answer it echoes the requested model in OpenAI's shape, and gives one
/// embedding per input item. Prints `listening on HOST:PORT` when ready; logs go to stderr (RUST_LOG sets how
/// much).
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Arguments {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Folders of answers: NAME.json, NAME.chunks.txt (one payload per line), NAME.sse (raw stream)
    #[arg(long, value_name = "DIR", num_args = 1..)]
    answers: Vec<PathBuf>,

    /// The answer to play by default, by its NAME in a folder
    #[arg(long, value_name = "NAME")]
    answer: Option<String>,

    /// The provider to play: which request fields count, which are refused, how long the built-in answer is
    #[arg(long, value_name = "NAME")]
    plays: Option<String>,

    /// Tokens of prompt and answer together, for a provider that runs on to the end of its context
    #[arg(long, value_name = "N", requires = "plays")]
    context_tokens: Option<u64>,

    /// Milliseconds between two writes of a body (a stream is written event by event)
    #[arg(long, value_name = "N")]
    pace_ms: Option<u64>,

    /// Write bodies in pieces of so many bytes, each flushed on its own
    #[arg(long, value_name = "N")]
    bytes_per_write: Option<usize>,
}

const AFTER_HELP: &str = r#"Told to misbehave (loopback only; GET shows, DELETE resets, an unknown field is an error):
  curl -X PUT http://HOST:PORT/_standin/behaviour -d '{"status":503,"times":1}'
  fields: answer plays context_tokens model_tokens ends_after_tokens asks_for_key status body headers trailers content_type content_length waits delay_ms first_byte_delay_ms pace_ms
          write_bytes cut_after_bytes cut_before_head stall_after_bytes no_usage always_usage gzip times
What it was sent:  curl http://HOST:PORT/_standin/requests     (DELETE forgets)
What it can play:  curl http://HOST:PORT/_standin/answers     and whom: /_standin/plays"#;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let behaviour = Behaviour {
        answer: arguments.answer,
        plays: arguments.plays,
        context_tokens: arguments.context_tokens,
        pace_ms: arguments.pace_ms,
        write_bytes: arguments.bytes_per_write.map(|bytes| vec![bytes]),
        ..Behaviour::default()
    };
    match Standin::start(Options { listen: arguments.listen, answers: arguments.answers, behaviour }) {
        Ok(standin) => {
            // A reader that went away is no reason to stop serving.
            let _ = writeln!(std::io::stdout(), "listening on {}", standin.addr);
            end_when_told();
            standin.wait();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("pax-standin: {error}");
            ExitCode::FAILURE
        }
    }
}

/// SIGTERM and Ctrl-C end the program at once. Without a handler, process 1 of a container does not notice them.
fn end_when_told() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    match signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) {
        Ok(mut signals) => {
            std::thread::spawn(move || {
                if signals.forever().next().is_some() {
                    std::process::exit(0);
                }
            });
        }
        Err(error) => tracing::warn!(%error, "signals cannot be watched"),
    }
}
