//! The three listeners: ingest (mutual TLS), enrolment and console (server certificate only).
//!
//! Each has its own accept loop and its own limit of connections, so that a flood on one does not close the others.
//! A connection must finish TLS and send its first byte within a timeout; what fails is counted by peer address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use crate::auth::session::SessionRules;
use crate::config::Config;
use crate::exceptions::InForce;
use crate::fleet::renew::Followers;
use crate::fleet::swap::SwapError;
use crate::fleet::trust::{self, Entrance, Present};
use crate::fleet::{error_chain, watch as sensors};
use crate::ingest::Turns;
use crate::observe::{Observer, heartbeat, routes as observe_routes};
use crate::store::clocks::Clocks;
use crate::store::commit::Ledger;
use crate::store::expiring;
use crate::store::writer::Writer;
use crate::store::{Store, StoreError};
use crate::timing::data::DataError;
use crate::tls;
use crate::{clock, console, drill, fleet, ingest, retain};
use guard::{Activity, Addresses, Rates};

pub mod guard;

/// Head of a request.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Requests of one HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 16;
/// How long connections may take to end after a stop.
const GRACE: Duration = Duration::from_secs(3);
/// How long an accept loop rests when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often certificates that end are looked for.
const WARN_EVERY: Duration = Duration::from_secs(900);
/// How often sessions that lapsed are ended.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a start waits for a database that takes writes, and how often it looks.
const SERVER_WAIT: Duration = Duration::from_secs(60);
const SERVER_LOOK: Duration = Duration::from_millis(500);

/// What every handler of console and API gets; cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState {
    /// Where everything is.
    pub store: Store,
    /// What the collector runs with.
    pub config: Arc<Config>,
    /// What it shows, signs and trusts.
    pub trust: Present,
}

/// What ingest and enrolment get; cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Where everything is.
    pub store: Store,
    /// What the collector runs with.
    pub config: Arc<Config>,
    /// Makes certificates, signs acknowledgements.
    pub trust: Present,
    /// What agents go by.
    pub followers: Arc<Followers>,
    /// Commits.
    pub writer: Writer,
    /// Bounds the submissions in memory.
    pub turns: Arc<Turns>,
    /// Bounds what each agent delivers.
    pub rates: Arc<Rates>,
}

/// A collector that is bound to its addresses and not yet serving.
#[derive(Debug)]
pub struct Server {
    config: Config,
    exceptions: InForce,
    ingest: TcpListener,
    enroll: TcpListener,
    console: TcpListener,
    metrics: Option<TcpListener>,
}

/// Opens the store. Of servers, one may be ending, starting, or about to take over as we start: that is waited for.
async fn open(config: &Config, mut stop: watch::Receiver<bool>) -> Result<Store, StoreError> {
    let begun = Instant::now();
    loop {
        match Store::open(config.store()).await {
            Err(error) if error.is_lost() && begun.elapsed() < SERVER_WAIT => {
                tracing::warn!(error = error_chain(&error), "waiting for the database");
                let stopped = stop.wait_for(|stop| *stop);
                if tokio::time::timeout(SERVER_LOOK, stopped).await.is_ok() {
                    return Err(error);
                }
            }
            opened => return opened,
        }
    }
}

impl Server {
    /// Binds the three listeners. Port 0 lets the system choose; [`Server::config`] then says which.
    ///
    /// # Errors
    /// Names the address that cannot be used.
    pub async fn bind(mut config: Config, exceptions: InForce) -> Result<Self, ServeError> {
        let ingest = bind(&mut config.ingest).await?;
        let enroll = bind(&mut config.enroll).await?;
        let console = bind(&mut config.console).await?;
        let metrics = match &mut config.metrics {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        Ok(Self { config, exceptions, ingest, enroll, console, metrics })
    }

    /// The configuration with the addresses that are in use.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Serves until `stop` becomes true; then ends connections, commits what was taken, and closes the store. Calls
    /// `ready` once keys and store are in use.
    ///
    /// # Errors
    /// If keys or store cannot be used.
    pub async fn run(self, stop: watch::Receiver<bool>, ready: impl FnOnce()) -> Result<(), ServeError> {
        let config = Arc::new(self.config);
        let (present, looking) = trust::follow(Arc::clone(&config))?;
        let store = open(&config, stop.clone()).await?;
        let mut ticking = Clocks::load(&config, store.clone())?.start();
        let (writer, committing) = Writer::start(store.clone(), config.correlation, self.exceptions.clone());
        let watching = sensors::start(store.clone(), config.watch, config.correlation);
        let judge = self.exceptions.clone();
        let following = tokio::spawn(self.exceptions.follow(store.clone()));
        let looking = tokio::spawn(looking);
        let sweeping = tokio::spawn(sweep_people(store.clone(), config.accounts.session));
        let warning = tokio::spawn(warn_of_ends(store.clone(), present.clone(), Arc::clone(&config), judge));
        let keeping = retain::start(store.clone(), config.retention);
        let drilling = drill::start(store.clone());
        let intake = Intake {
            store: store.clone(),
            config: Arc::clone(&config),
            trust: present.clone(),
            followers: Arc::default(),
            writer: writer.clone(),
            turns: Arc::new(Turns::new()),
            rates: Arc::new(Rates::new(config.agent_rate)),
        };
        let observer =
            Observer::new(store.clone(), Arc::clone(&config), present.clone(), Arc::clone(writer.measures()));
        let mut observing = observe(&observer, &store, self.metrics, &stop);
        let console = console::router(AppState {
            store: store.clone(),
            config: Arc::clone(&config),
            trust: present.clone(),
        });
        let console = console.layer(axum::Extension(observer.clone()));
        let door = |name, entrance, router| Door::new(name, entrance, router, (&config, &present, &writer));
        let doors = [
            (self.ingest, door("ingest", Entrance::Mutual, ingest::router(intake.clone()))),
            (self.enroll, door("enroll", Entrance::ServerOnly, fleet::router(intake))),
            (self.console, door("console", Entrance::People, console)),
        ];
        drop(writer);
        let mut loops = JoinSet::new();
        for (listener, door) in doors {
            loops.spawn(door.serve(listener, stop.clone()));
        }
        ready();
        while loops.join_next().await.is_some() {}
        following.abort();
        watching.abort();
        ticking.abort_all();
        looking.abort();
        warning.abort();
        sweeping.abort();
        keeping.abort();
        drilling.abort();
        // The last handle of the writer is gone with the loops: it commits what is queued, and ends.
        if let Err(error) = committing.await {
            tracing::error!(%error, "the writer failed");
        }
        observing.shutdown().await;
        if let Err(error) = heartbeat::leave(&observer, &store).await {
            tracing::warn!(error = error_chain(&error), "cannot write down that this collector stops");
        }
        store.close().await;
        Ok(())
    }
}

/// What tells others how it is, until it is aborted.
fn observe(
    observer: &Observer,
    store: &Store,
    listener: Option<TcpListener>,
    stop: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(heartbeat::beat(observer.clone(), store.clone()));
    tasks.spawn(heartbeat::watchdog(observer.clone()));
    if let Some(listener) = listener {
        tasks.spawn(observe_routes::serve(listener, observer.clone(), stop.clone()));
    }
    tasks
}

/// Ends sessions that lapsed, and writes down what a minute had of failed sign-ins.
async fn sweep_people(store: Store, rules: SessionRules) {
    let mut look = tokio::time::interval(SWEEP_EVERY);
    loop {
        look.tick().await;
        let swept = async {
            store.end_lapsed_sessions(rules, clock::now()).await?;
            store.end_sign_in_minutes(clock::now()).await
        };
        if let Err(error) = swept.await {
            tracing::error!(error = error_chain(&error), "cannot end sessions and minutes of sign-ins");
        }
    }
}

/// Looks for certificates that end, now and every so often.
async fn warn_of_ends(store: Store, trust: Present, config: Arc<Config>, exceptions: InForce) {
    let mut look = tokio::time::interval(WARN_EVERY);
    loop {
        look.tick().await;
        let mut ledger = Ledger::new(clock::now(), config.correlation, exceptions.judge());
        match expiring::warn(&store, &mut ledger, &trust.get().own).await {
            Ok(0) => {}
            Ok(certificates) => {
                tracing::warn!(certificates, "certificates end and are not renewed: see the incidents");
            }
            Err(error) => {
                tracing::error!(error = error_chain(&error), "cannot look for certificates that end");
            }
        }
    }
}

async fn bind(address: &mut SocketAddr) -> Result<TcpListener, ServeError> {
    let failed = |cause| ServeError::Bind { address: *address, cause };
    let listener = TcpListener::bind(*address).await.map_err(failed)?;
    *address = listener.local_addr().map_err(failed)?;
    Ok(listener)
}

/// One listener's TLS, routes and limits.
#[derive(Clone)]
struct Door {
    name: &'static str,
    trust: Present,
    entrance: Entrance,
    router: Router,
    writer: Writer,
    handshake_timeout: Duration,
    idle_timeout: Duration,
    connections: Arc<Semaphore>,
    addresses: Addresses,
}

impl Door {
    fn new(
        name: &'static str,
        entrance: Entrance,
        router: Router,
        (config, trust, writer): (&Config, &Present, &Writer),
    ) -> Self {
        Self {
            name,
            trust: trust.clone(),
            entrance,
            router,
            writer: writer.clone(),
            handshake_timeout: config.handshake_timeout,
            idle_timeout: config.idle_timeout,
            connections: Arc::new(Semaphore::new(config.connections_max)),
            addresses: Addresses::new(config.connections_per_address),
        }
    }

    async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            let slot = Arc::clone(&self.connections).acquire_owned();
            let accepted = tokio::select! {
                () = stopped(&mut stop) => break,
                Some(_) = connections.join_next() => continue,
                accepted = async { (slot.await, listener.accept().await) } => accepted,
            };
            match accepted {
                (Ok(slot), Ok((stream, from))) => {
                    let Some(visit) = self.addresses.enter(from.ip()) else {
                        let detail = "this address has as many connections as it may have";
                        self.writer.reject(&from.ip().to_string(), "connections", detail);
                        continue;
                    };
                    let door = self.clone();
                    let stop = stop.clone();
                    connections.spawn(async move {
                        door.connection(stream, from, stop).await;
                        drop((slot, visit));
                    });
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                (Err(_), Ok(_)) => break,
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            connections.shutdown().await;
        }
    }

    async fn connection(&self, stream: TcpStream, from: SocketAddr, stop: watch::Receiver<bool>) {
        let _open = self.writer.measures().connection(self.name);
        let peer = from.ip().to_string();
        let tls = TlsAcceptor::from(self.trust.get().tls(self.entrance));
        let opened = tokio::time::timeout(self.handshake_timeout, async {
            stream.set_nodelay(true)?;
            let mut stream = tls.accept(stream).await?;
            // In TLS 1.3 a client's certificate is judged after its side is done; its first byte proves that it stays.
            let silent = stream.fill_buf().await?.is_empty();
            std::io::Result::Ok((stream, silent))
        });
        match opened.await {
            Ok(Ok((_, true))) => {}
            Ok(Ok((stream, false))) => self.http(stream, from, stop).await,
            Ok(Err(error)) => self.writer.reject(&peer, "tls", &error_chain(&error)),
            Err(_) => self.writer.reject(&peer, "tls", "the handshake took too long"),
        }
    }

    async fn http(&self, stream: TlsStream<TcpStream>, from: SocketAddr, mut stop: watch::Receiver<bool>) {
        let peer = tls::peer_of(stream.get_ref().1);
        let person = tls::person_of(stream.get_ref().1);
        let router = self.router.clone();
        let activity = Arc::new(Activity::new());
        let requests = Arc::clone(&activity);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let running = requests.begin();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(from));
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            if let Some(person) = person {
                request.extensions_mut().insert(person);
            }
            let answer = router.clone().oneshot(request);
            async move {
                let answer = answer.await;
                drop(running);
                answer
            }
        });
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let builder = auto::Builder::new(TokioExecutor::new());
        let mut builder = if h2 { builder.http2_only() } else { builder.http1_only() };
        builder.http1().timer(TokioTimer::new()).header_read_timeout(KEEP_ALIVE).max_buf_size(HEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = idle(&activity, self.idle_timeout) => {
                connection.as_mut().graceful_shutdown();
                // One that does not even answer to that is dropped.
                match tokio::time::timeout(GRACE, connection).await {
                    Ok(outcome) => outcome,
                    Err(_) => return self.writer.reject(&from.ip().to_string(), "http", "nothing came in time"),
                }
            }
        };
        if let Err(error) = outcome {
            let text = error_chain(&*error);
            // A peer that goes away does nothing wrong; one that does not speak HTTP, or abuses it, does.
            if !is_of_network(&*error) {
                self.writer.reject(&from.ip().to_string(), "http", &text);
            }
            tracing::debug!(error = text, "a connection ended");
        }
    }
}

/// Returns when there was no request for so long.
async fn idle(activity: &Activity, limit: Duration) {
    loop {
        match limit.checked_sub(activity.idle()) {
            // Not too often, whatever the clock's grain.
            Some(left) if left > Duration::ZERO => tokio::time::sleep(left.max(ACCEPT_PAUSE)).await,
            Some(_) | None => return,
        }
    }
}

/// Whether the connection failed below HTTP.
fn is_of_network(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.is::<std::io::Error>() || error.downcast_ref().is_some_and(hyper::Error::is_incomplete_message)
    })
}

/// Returns when the collector must stop; a sender that is gone says so too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The guard of the value must not live across an await of the caller.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Why the collector does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Certificates and keys of the listeners, the CA, the key for acknowledgements.
    #[error("the collector's certificates and keys cannot be used")]
    Keys {
        /// Why.
        #[from]
        cause: SwapError,
    },
    /// The store.
    #[error("the store cannot be used")]
    Store {
        /// Why.
        #[from]
        cause: StoreError,
    },
    /// Calendars, limits, what must be reported, contacts.
    #[error("the data that the clocks go by cannot be used")]
    Data {
        /// Why.
        #[from]
        cause: DataError,
    },
}

#[cfg(test)]
mod tests;
