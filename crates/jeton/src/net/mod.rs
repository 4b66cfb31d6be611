//! The doors: how bytes from outside become requests, and how jeton's own tools knock.
//!
//! One accept loop ([`serve`]) stands behind every listener: TLS over TCP, a unix socket whose peer
//! the kernel names, and plain TCP that is refused anywhere but on loopback. What a stranger may
//! cost is written down once, in [`limits::Limits`], and is checked before the first TLS byte.
//! Nothing in here knows what a token is, reads the clock of the wall, or the environment.
//!
//! - [`ca`]: the local authority of the first run, so that TLS is never an afterthought.
//! - [`tls`]: the certificate that is served, and how it is changed without closing a connection.
//! - [`listen`]: binding, with the rules on who may be reached in the clear.
//! - [`serve`]: accepting, the timers of a connection, and stopping without breaking a promise.
//! - [`express`]: the requests that are answered without hyper, and how a connection leaves that lane.
//! - [`client`]: the small client of the CLI, the demo and the tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

mod activity;
pub mod ca;
pub mod client;
mod converse;
pub mod express;
mod files;
pub mod limits;
pub mod listen;
mod names;
pub mod serve;
pub mod tls;
mod unix;

#[cfg(test)]
mod ca_tests;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod express_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod serve_tests;
#[cfg(test)]
mod timing_tests;
#[cfg(test)]
mod tls_tests;

pub use ca::{LocalCa, ensure_local_ca};
pub use client::Client;
pub use express::{Express, Whole};
pub use limits::{ConnCounts, ConnStats, Limits};
pub use listen::Listener;
pub use serve::{ConnInfo, Peer, Protocol, Server, StopSummary};
pub use tls::{Roots, TlsIdentity, client_config, server_config};

/// A boxed cause whose type is no concern of the caller.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a door could not be opened, or a knock was not answered.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A file could not be read.
    #[error("reading {} failed", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written, renamed or made durable.
    #[error("writing {} failed", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A PEM file is larger than any honest one.
    #[error("{} is larger than {bytes_max} bytes, the most that a PEM file may have", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The bound, in bytes.
        bytes_max: u64,
    },
    /// A private key can be read by others than its owner.
    #[error(
        "{} has mode {mode:04o}: a private key must not be open to group or others (chmod 600)",
        path.display()
    )]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A PEM file does not hold what it must.
    #[error("{} is not usable: {rule}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it must hold.
        rule: &'static str,
    },
    /// A certificate and its key do not fit each other, or the TLS library refuses one of them.
    #[error("the certificate in {} cannot be served", path.display())]
    Certificate {
        /// The certificate file.
        path: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// A name for the server certificate is neither a DNS name nor an IP address.
    #[error("server name {name:?} is neither a DNS name nor an IP address")]
    ServerName {
        /// The name as it was given.
        name: String,
    },
    /// More names than a server certificate may carry.
    #[error("{count} server names were given; at most {max} fit in the local certificate")]
    TooManyNames {
        /// How many were given.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// The time that was passed in cannot be written into a certificate.
    #[error("the time {now_unix_s} is outside of what a certificate can state")]
    Clock {
        /// Unix seconds.
        now_unix_s: i64,
    },
    /// A certificate could not be made.
    #[error("making {} failed", path.display())]
    Issue {
        /// The file that was to hold it.
        path: PathBuf,
        /// What the certificate library said.
        source: rcgen::Error,
    },
    /// The TLS library refused a configuration.
    #[error("setting up TLS failed")]
    Tls {
        /// What it said.
        #[source]
        source: rustls::Error,
    },
    /// Plain HTTP was asked for on an address that others can reach.
    #[error("plain HTTP on {address} is refused: only a loopback address may go without TLS")]
    PlainOffLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// A listener could not be bound.
    #[error("binding {address} failed")]
    Bind {
        /// The address or socket file.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody already listens on the socket file.
    #[error("socket {} is in use: another process listens on it", path.display())]
    SocketInUse {
        /// The socket file.
        path: PathBuf,
    },
    /// The path for the socket holds something that is not a socket; it is left alone.
    #[error("{} exists and is not a socket: it will not be replaced", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A file mode that would let nobody, or more than a mode can say, in.
    #[error("socket mode {mode:#o} is not a permission mode between 0001 and 0777")]
    SocketMode {
        /// The mode.
        mode: u32,
    },
    /// The base URL or path of a request breaks a rule.
    #[error("url {url:?} is refused: {rule}")]
    Url {
        /// The text as it was given.
        url: String,
        /// The rule.
        rule: &'static str,
    },
    /// The server could not be reached, or its certificate was refused. Nothing was sent: retryable.
    #[error("connecting to {target} failed")]
    Connect {
        /// The server.
        target: String,
        /// What the system or the TLS library said.
        source: Cause,
    },
    /// A request broke off after it may have been sent: whether it took effect is unknown.
    #[error("the exchange with {target} broke off; the request may have taken effect")]
    Exchange {
        /// The server.
        target: String,
        /// What the HTTP library said.
        source: Cause,
    },
    /// A request took longer than it was given: whether it took effect is unknown.
    #[error("{target} did not answer within {after:?}; the request may have taken effect")]
    TimedOut {
        /// The server.
        target: String,
        /// The bound.
        after: Duration,
    },
    /// An answer is longer than the client reads.
    #[error("the answer of {target} is longer than {bytes_max} bytes")]
    AnswerTooLarge {
        /// The server.
        target: String,
        /// The bound, in bytes.
        bytes_max: usize,
    },
}
