//! Accepting, speaking HTTP, and stopping.
//!
//! Every listener has one loop that only stops when told to: what the system refuses is counted and
//! tried again. A connection gets a seat before its first byte is read, then a protocol (by ALPN, or
//! by its first bytes where there is no TLS), then a service made for it by the caller's factory.

use std::convert::Infallible;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use super::Cause;
use super::converse::{Speech, converse};
use super::express::Express;
use super::limits::{ConnStats, Limits, Seats};
use super::listen::Listener;

/// How long to wait after the system could not accept; doubles with each time in a row.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The address of the connection: the client, or the last proxy before us.
    Tcp(SocketAddr),
    /// A process of this machine, as the kernel names it (`SO_PEERCRED`); none of it can be forged.
    Unix {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Process, at the time of the connect. It may have ended, and the number be another's.
        pid: Option<i32>,
    },
}

impl Peer {
    /// The address, without the disguise of an IPv4 address as IPv6; `None` on a unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Unix { .. } => None,
        }
    }
}

/// The version of HTTP that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What is known of a connection before its first request.
#[derive(Debug, Clone)]
pub struct ConnInfo {
    /// Counts the connections of this [`Server`] from 1: for logs.
    pub id: u64,
    /// The name of the listener.
    pub listener: Arc<str>,
    /// Who is at the other end.
    pub peer: Peer,
    /// Is it encrypted? A unix socket is not, and needs not be.
    pub tls: bool,
    /// The version of HTTP.
    pub protocol: Protocol,
    /// The name that the client asked for in its TLS handshake (SNI).
    pub server_name: Option<Box<str>>,
}

/// How the connections ended when the server was stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopSummary {
    /// Connections that were open at the stop and came to their end by themselves.
    pub finished: usize,
    /// Connections that were cut off at the deadline.
    pub dropped: usize,
}

/// The accept loops with their limits.
#[derive(Debug, Clone)]
pub struct Server {
    /// The bounds.
    pub limits: Limits,
    /// Where connections are counted.
    pub stats: Arc<ConnStats>,
    /// How long requests in flight may take after the stop.
    pub drain: Duration,
}

impl Server {
    /// Serves every listener until `stop` is true or its sender is gone, then drains.
    ///
    /// `make` is called once per connection. The service answers each request; it must bound what
    /// it reads of a body in size and time. A connection that spoke HTTP/1.0, or sent
    /// `Content-Length` beside `Transfer-Encoding`, is closed after the answer, so that no second
    /// message can hide in the first (RFC 9112 §6.1).
    ///
    /// At the stop the listeners are closed first, HTTP/2 peers are told, and requests in flight
    /// are finished until the deadline.
    pub async fn serve<F, S, B>(
        self,
        listeners: Vec<Listener>,
        make: F,
        stop: watch::Receiver<bool>,
    ) -> StopSummary
    where
        F: Fn(Arc<ConnInfo>) -> S + Send + Sync + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Express
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: Body<Data: Send> + Send + Unpin + 'static,
        B::Error: Into<Cause>,
    {
        let hall = Arc::new(Hall::new(self, make, stop));
        let mut doors = JoinSet::new();
        for listener in listeners {
            doors.spawn(Arc::clone(&hall).open(listener));
        }
        let mut summary = StopSummary::default();
        while let Some(door) = doors.join_next().await {
            let door = door.unwrap_or_default();
            summary.finished += door.finished;
            summary.dropped += door.dropped;
        }
        summary
    }
}

/// What all connections share.
pub(super) struct Hall<F> {
    pub(super) limits: Arc<Limits>,
    pub(super) stats: Arc<ConnStats>,
    pub(super) make: F,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) speech: Speech,
    seats: Arc<Seats>,
    drain: Duration,
    last_id: AtomicU64,
}

impl<F> Hall<F> {
    fn new(server: Server, make: F, stop: watch::Receiver<bool>) -> Self {
        Self {
            speech: Speech::new(&server.limits),
            seats: Seats::new(&server.limits, Arc::clone(&server.stats)),
            limits: Arc::new(server.limits),
            stats: server.stats,
            drain: server.drain,
            make,
            stop,
            last_id: AtomicU64::new(0),
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Accepts until the stop, then waits for what was accepted.
    async fn open<S, B>(self: Arc<Self>, listener: Listener) -> StopSummary
    where
        F: Fn(Arc<ConnInfo>) -> S + Send + Sync + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Express
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: Body<Data: Send> + Send + Unpin + 'static,
        B::Error: Into<Cause>,
    {
        let name = Arc::clone(listener.name());
        let mut connections = JoinSet::new();
        let mut pause = PAUSE_MIN;
        let mut stopping = pin!(stopped(self.stop.clone()));
        loop {
            let accepted = tokio::select! {
                () = &mut stopping => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    self.reap(&ended);
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(arrival) => {
                    pause = PAUSE_MIN;
                    // Without a seat the connection is closed here, before a byte of it is read.
                    if let Some(seat) = self.seats.take(arrival.address()) {
                        let guest = converse(Arc::clone(&self), Arc::clone(&name), arrival, seat);
                        connections.spawn(guest);
                    }
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    self.stats.count_accept_error();
                    if pause == PAUSE_MIN {
                        tracing::warn!(listener = %name, %error, "the system could not accept");
                    }
                    tokio::select! {
                        () = &mut stopping => break,
                        () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                    }
                }
            }
            while let Some(ended) = connections.try_join_next() {
                self.reap(&ended);
            }
        }
        // Closed before the wait: a balancer sees at once that it has to go elsewhere.
        drop(listener);
        self.drain(connections).await
    }

    async fn drain(&self, mut connections: JoinSet<()>) -> StopSummary {
        let deadline = Instant::now() + self.drain;
        let mut finished = 0;
        while let Ok(Some(ended)) = timeout_at(deadline, connections.join_next()).await {
            self.reap(&ended);
            finished += 1;
        }
        let dropped = connections.len();
        connections.shutdown().await;
        StopSummary { finished, dropped }
    }

    fn reap(&self, ended: &Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            self.stats.count_panicked();
            tracing::error!(%error, "a connection ended in a panic");
        }
    }
}

/// Resolves at the stop, or when nobody is left who could order it.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    stop.wait_for(|stopping| *stopping).await.ok();
}

/// Did the peer give up before we came to it? Then the next `accept` is as good as any.
fn is_of_the_peer(error: &Error) -> bool {
    let kind = error.kind();
    kind == ErrorKind::ConnectionAborted
        || kind == ErrorKind::ConnectionReset
        || kind == ErrorKind::Interrupted
}
