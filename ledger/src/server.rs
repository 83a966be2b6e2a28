//! The service: two listeners, one recorder, and an orderly end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use pax_gateway::price::bundle::Bundle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::internal::{self, Internal};
use crate::api::public::{self, Public};
use crate::cards::Cards;
use crate::error::Error;
use crate::linger::Heard;
use crate::metrics::Metrics;
use crate::recorder::Recorder;
use crate::secret::SharedSecret;
use crate::store::{Began, Location, Open, Store};

/// How long connections may take to end after the service is asked to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What a service needs to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database. It is made if it is missing.
    pub database: Location,
    /// Where filters call; port 0 takes a free one.
    pub internal: SocketAddr,
    /// Where callers' requests arrive; port 0 takes a free one.
    pub public: SocketAddr,
    /// The secret that Envoy must know, on both listeners.
    pub secret: SharedSecret,
    /// A second secret for `/metrics`, which opens nothing else.
    pub metrics_secret: Option<SharedSecret>,
    /// How long the service goes on after it is asked to stop, while filters are heard.
    pub linger: Duration,
    /// The newest version of a debit that the service reads.
    pub canon_v: u32,
}

/// A service that has its database and its ports, and does not answer yet.
#[derive(Debug)]
pub struct Server {
    store: Store,
    internal: TcpListener,
    public: TcpListener,
    secret: SharedSecret,
    metrics_secret: Option<SharedSecret>,
    linger: Duration,
    canon_v: u32,
    cards: Arc<Cards>,
}

/// How long the database may take to keep a new epoch: longer than a file that another process writes says so itself.
const EPOCH: Duration = Duration::from_secs(12);

impl Server {
    /// Opens the database, takes the ports and begins an epoch.
    ///
    /// # Errors
    /// If either fails, or the built-in rate cards have a mistake or are not those of the database.
    pub async fn bind(settings: Settings) -> Result<Self, Error> {
        let store = Store::open(&settings.database, Open::Create).await?;
        if store.is_unfinished_copy().await? {
            return Err(Error::Operator(format!(
                "{} is a copy that was broken off: finish it with `pax-ledger copy FROM TO`, which goes on where it stopped",
                settings.database
            )));
        }
        let cards = Cards::open(store.clone()).await?;
        let internal = listen(settings.internal, "internal").await?;
        let public = listen(settings.public, "public").await?;
        let Settings { secret, metrics_secret, linger, canon_v, .. } = settings;
        // The operator may have copied a backup into the place of the file whose numbers filters know.
        let begun = store.begin_epoch(Began::Served, 0, crate::now());
        let epoch = tokio::time::timeout(EPOCH, begun).await.map_err(|_| {
            Error::Operator(format!(
                "{} did not confirm within {} s that this ledger begins: if it has a synchronous standby, that is away; bring \
                 one back, and start again",
                settings.database,
                EPOCH.as_secs()
            ))
        })??;
        tracing::info!(epoch, "began an epoch");
        Ok(Self { store, internal, public, secret, metrics_secret, linger, canon_v, cards })
    }

    /// The internal listener's address.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn internal_addr(&self) -> Result<SocketAddr, Error> {
        local_addr(&self.internal)
    }

    /// The public listener's address.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn public_addr(&self) -> Result<SocketAddr, Error> {
        local_addr(&self.public)
    }

    /// Serves until `stop` is done and then, at most for the time to linger, until no filter is heard any more.
    /// After that it takes no new connection, answers the requests that it has taken, and closes the database.
    ///
    /// # Errors
    /// If a listener fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let cards = self.cards;
        let metrics = Arc::new(Metrics::new());
        let public = Public::new(self.store.clone(), Arc::clone(&cards), self.secret, Arc::clone(&metrics));
        let (recorder, recording) =
            Recorder::start(self.store.writer(), Arc::clone(&cards), Arc::clone(&metrics));
        let (heard, linger) = (Heard::default(), self.linger);
        let internal = Internal {
            store: self.store.clone(),
            cards,
            recorder,
            secret: self.secret,
            canon_v: self.canon_v,
            heard: heard.clone(),
            metrics,
            metrics_secret: self.metrics_secret,
        };
        let stop = async move {
            stop.await;
            heard.silence(linger).await;
        };
        let (stopping, stopped) = watch::channel(false);
        let mut serving = [
            serve(self.internal, internal::routes(internal), stopped.clone()),
            serve(self.public, public::routes(public), stopped),
        ];
        let [internal, public] = &mut serving;
        let early = tokio::select! {
            () = stop => None,
            ended = internal => Some(ended),
            ended = public => Some(ended),
        };
        let outcome = match early {
            None => Ok(()),
            Some(ended) => Err(ended.map_err(std::io::Error::other).and_then(|served| served).err()),
        };
        tracing::info!("stopping");
        let _ = stopping.send(true);
        let deadline = tokio::time::Instant::now() + GRACE;
        for mut task in serving {
            if !task.is_finished() && tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                tracing::warn!("a connection outlasted {GRACE:?} and is cut");
                task.abort();
            }
        }
        recording.finish().await;
        self.store.close().await;
        outcome.map_err(|why| Error::Io {
            doing: "a listener ended".to_owned(),
            why: why.unwrap_or_else(|| std::io::Error::other("for no reason given")),
        })
    }
}

/// The built-in rate cards.
///
/// # Errors
/// Every mistake in them.
pub fn embedded_bundle() -> Result<Arc<Bundle>, Error> {
    let bundle = Bundle::embedded();
    bundle.map(Arc::new).map_err(|mistakes| Error::Operator(format!("the built-in rate cards: {mistakes}")))
}

fn serve(
    listener: TcpListener,
    routes: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<Result<(), std::io::Error>> {
    tokio::spawn(async move {
        let stop = async move {
            // If the sender is dropped, that means stop, too.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        axum::serve(listener, routes).with_graceful_shutdown(stop).await
    })
}

async fn listen(address: SocketAddr, name: &str) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|why| Error::Io { doing: format!("listening on {address} (--{name})"), why })
}

fn local_addr(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener
        .local_addr()
        .map_err(|why| Error::Io { doing: "asking for a listener's address".to_owned(), why })
}
