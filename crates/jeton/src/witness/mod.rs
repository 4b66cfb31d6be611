//! A witness: remembers the last head of each log, and cosigns the next only if it grew out of that one.
//!
//! It sees sizes, roots and proofs, no leaf and no token, so that anybody can run one for somebody else's log: a customer, an
//! auditor, a friend. Two things make it worth something: that it is not run by who runs the log, and that it never forgets.
//! The protocol is c2sp.org/tlog-witness; the rule itself is in `jeton-tlog`.
//!
//! - [`identity`]: its key and its memory, which belong together.
//! - [`state`]: one checkpoint at a time: look, decide, remember, answer.
//! - [`http`]: the few requests there are.

pub mod http;
pub mod identity;
pub mod state;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use jeton_tlog::{VerifierKey, WitnessKey};
use tokio::sync::watch;

use crate::{
    capability::Clock,
    config::Config,
    net::{ConnStats, Limits, Listener, Server},
    serve::listeners,
};

use self::{http::Door, identity::Identity, state::Witness};

/// What a witness is told.
pub struct Settings {
    /// Its doors and its directory: of the authority's configuration, `data_dir`, `listen`, `plain_listen`, `names`, `tls_cert`,
    /// `tls_key`, the bounds of connections and `drain_s` count here.
    pub config: Config,
    /// The name it signs under: by custom a URL without a scheme.
    pub name: String,
    /// The keys of the logs that it cosigns.
    pub logs: Vec<VerifierKey>,
}

/// A running witness.
pub struct Running {
    /// Where TLS listens.
    pub address: SocketAddr,
    /// Where plain HTTP listens, if it does.
    pub plain_address: Option<SocketAddr>,
    /// The CA that clients must trust, if it is the local one.
    pub ca_pem: Option<PathBuf>,
    /// Its public key.
    pub key: WitnessKey,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Starts a witness; returns when requests are taken.
///
/// # Errors
/// In words that say what to do.
pub async fn start(settings: Settings) -> anyhow::Result<Running> {
    let clock = Arc::new(Clock::start());
    let Settings { config, name, logs } = settings;
    let dir = config.data_dir.clone();
    let opening = tokio::task::spawn_blocking(move || Identity::open(&dir, &name));
    let identity = opening.await??;
    let key = identity.key.witness().clone();
    let witness = Arc::new(Witness::new(identity, logs, Arc::clone(&clock))?);
    let (stop, stopped) = watch::channel(false);
    let (listeners, ca_pem, reload) = listeners(&config, &clock, &stopped).await?;
    let address = listeners.first().and_then(Listener::local_address);
    let address = address.ok_or_else(|| anyhow::anyhow!("the TLS listener has no address"))?;
    let plain_address = listeners.iter().skip(1).find_map(Listener::local_address);
    let server = Server {
        limits: Limits {
            connections_max: config.connections_max,
            connections_per_ip_max: config.connections_per_ip_max,
            ..Limits::default()
        },
        stats: Arc::new(ConnStats::default()),
        drain: Duration::from_secs(config.drain_s),
    };
    let accepting = tokio::spawn(async move {
        let make = move |_conn| Door::new(Arc::clone(&witness));
        let summary = server.serve(listeners, make, stopped).await;
        let (finished, dropped) = (summary.finished, summary.dropped);
        tracing::info!(finished, dropped, "the doors are closed");
    });
    let timing = tokio::spawn(keep_time(clock, stop.subscribe()));
    let mut tasks = vec![accepting, timing];
    tasks.extend(reload);
    Ok(Running {
        address,
        plain_address,
        ca_pem,
        key,
        stop,
        tasks,
    })
}

/// Once a second the clock is slewed: what a witness says of time is part of what it signs.
async fn keep_time(clock: Arc<Clock>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => break,
        }
        if let Some(difference_ms) = clock.slew() {
            tracing::error!(difference_ms, "wall time has jumped; it is not followed");
        }
    }
}

impl Running {
    /// Stops: no new requests, those in flight finish.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task ended badly");
            }
        }
    }
}
