//! A stand-in LLM provider: a real HTTP server, in OpenAI's dialect, that plays answers from folders byte for
//! byte and misbehaves when told to. Speaks HTTP/1.1 and HTTP/2 without TLS (prior knowledge).
//!
//! It is a provider for the demo (`pax-standin`) and for tests, which start it in their own process:
//!
//! ```
//! use pax_standin::{Behaviour, Options, Standin};
//!
//! let answers = vec![pax_standin::own_answers()];
//! let standin = Standin::start(Options { answers, ..Options::default() })?;
//! standin.set_behaviour(Behaviour { cut_after_bytes: Some(100), ..Behaviour::answer("openai-chat") })?;
//! println!("POST http://{}/v1/chat/completions", standin.addr);
//! assert!(standin.received().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `reply` decides what to answer (`answers` from folders, `builtin` without; how much, says `work` by the table of
//! `plays`), `play` how it goes onto the
//! wire, `serve` is the server and its control API.

mod answers;
mod behaviour;
mod builtin;
mod play;
mod plays;
mod received;
mod reply;
mod serve;
mod sse;
mod usage;
mod work;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use answers::AnswersError;
pub use behaviour::{Behaviour, BehaviourError};
pub use received::Received;

/// How to start. The default: a free loopback port, built-in answers, as fast as it goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Folders of answers. A name may be in one of them only.
    pub answers: Vec<PathBuf>,
    /// What [`Standin::reset`] returns to. Its `answer`, `plays`, `context_tokens`, `pace_ms` and `write_bytes` also hold for every
    /// other behaviour that does not state its own.
    pub behaviour: Behaviour,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 0).into(), answers: Vec::new(), behaviour: Behaviour::default() }
    }
}

/// Why the stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The answers' folders.
    #[error(transparent)]
    Answers(#[from] AnswersError),
    /// The default behaviour.
    #[error(transparent)]
    Behaviour(#[from] BehaviourError),
    /// The address cannot be listened on, or the operating system refused a thread or a poller.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// The address that was asked for.
        listen: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A running stand-in, on a thread of its own: start it from tests with or without an async runtime. Dropping
/// it closes every connection and frees the port.
#[derive(Debug)]
pub struct Standin {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<serve::State>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Standin {
    /// Loads the answers and listens; when this returns, requests are served.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let listen = options.listen;
        let listen_error = |source| StartError::Listen { listen, source };
        let answers = answers::Answers::load(&options.answers)?;
        let state = Arc::new(serve::State::new(answers, options.behaviour)?);
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let served = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("pax-standin".to_owned())
            .spawn(move || run(listen, served, stopped, &ready))
            .map_err(listen_error)?;
        let gone = || Err(std::io::Error::other("its thread ended"));
        let addr = is_ready.recv().unwrap_or_else(|_| gone()).map_err(listen_error)?;
        Ok(Self { addr, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Replaces the behaviour, from the next request on.
    pub fn set_behaviour(&self, behaviour: Behaviour) -> Result<(), BehaviourError> {
        self.state.set(behaviour)
    }

    /// The behaviour of the next request.
    pub fn behaviour(&self) -> Behaviour {
        self.state.behaviour()
    }

    /// Back to the behaviour that it was started with.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// The last requests (at most 1000, and 256 MiB of bodies), oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.state.received()
    }

    /// How many requests came since they were last forgotten: [`Standin::received`] has the last of them.
    pub fn received_count(&self) -> usize {
        self.state.received_count()
    }

    /// Forgets what was received.
    pub fn clear_received(&self) {
        self.state.clear_received();
    }

    /// The names of the loaded answers, sorted.
    pub fn answer_names(&self) -> Vec<String> {
        self.state.answers.names().map(str::to_owned).collect()
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // It ends only by a panic, which has told its own story.
            let _ = thread.join();
        }
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The server's thread. The runtime is made and dropped in here, because neither may happen inside another
/// one.
fn run(
    listen: SocketAddr,
    state: Arc<serve::State>,
    stopped: oneshot::Receiver<Infallible>,
    ready: &mpsc::Sender<std::io::Result<SocketAddr>>,
) {
    let started = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let listener = runtime.block_on(tokio::net::TcpListener::bind(listen))?;
        let addr = listener.local_addr()?;
        Ok((runtime, listener, addr))
    });
    match started {
        Ok((runtime, listener, addr)) => {
            // Nobody waits for the word when the starter is gone, and then `stopped` is told as well.
            let _ = ready.send(Ok(addr));
            runtime.block_on(serve::run(listener, state, stopped));
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// The project's own answers, where this package was built.
pub fn own_answers() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("answers")
}
