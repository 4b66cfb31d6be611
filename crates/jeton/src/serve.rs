//! A whole authority: node, doors, listeners, and what runs beside them. Started by `serve`, the demo and the tests.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use jeton_core::secret::Secret;
use jeton_store::sqlite::Durability;
use tokio::sync::watch;

use crate::{
    capability::Clock,
    config::Config,
    http::{
        door::{Door, Doors},
        metrics::Metrics,
        routes,
        setup::Setup,
        tokens::Replays,
    },
    jobs,
    net::{ConnStats, Limits, Listener, Server, TlsIdentity, ensure_local_ca, server_config},
    node::{
        disk::{self, FREE_PERCENT_MIN},
        observe,
        quorum::Quorum,
        start::{self, Node, Place, Publication},
    },
};

/// A running authority.
pub struct Running {
    /// What its doors share.
    pub doors: Arc<Doors>,
    /// Where TLS listens.
    pub address: SocketAddr,
    /// Where plain HTTP listens, if it does.
    pub plain_address: Option<SocketAddr>,
    /// The CA that clients must trust, if it is the local one.
    pub ca_pem: Option<PathBuf>,
    /// The setup secret, if nobody has redeemed one, and the file that holds it.
    pub setup: Option<(Secret, PathBuf)>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Starts everything; returns when requests are taken.
///
/// # Errors
/// In words that say what to do.
pub async fn start(config: &Config, durability: Durability) -> anyhow::Result<Running> {
    begin(config, durability, Publication::On).await
}

/// Starts everything but the publication of heads: to measure what that costs.
///
/// # Errors
/// As [`start`].
pub async fn danger_start_unpublished(config: &Config) -> anyhow::Result<Running> {
    begin(config, Durability::Full, Publication::DangerOff).await
}

async fn begin(
    config: &Config,
    durability: Durability,
    publication: Publication,
) -> anyhow::Result<Running> {
    let clock = Arc::new(Clock::start());
    let place = Place {
        dir: config.data_dir.clone(),
        kek: config.kek(),
        origin: config.origin.clone(),
        durability,
        ballast_bytes: config.ballast_mib << 20,
        publication,
    };
    let opening = Arc::clone(&clock);
    let node = tokio::task::spawn_blocking(move || start::start(&place, opening)).await??;
    let node = Arc::new(node);
    let quorum = witnesses(config, &node).await?;
    tracing::info!(
        events = node.verifier.size(),
        from_snapshot = node.started.from_snapshot,
        replayed = node.started.replayed,
        took_ms = node.started.took_ms,
        "the ledger is loaded"
    );
    let (stop, stopped) = watch::channel(false);
    let (observer, observing) = observe::start(node.writer.clone(), stopped.clone());
    let conns = Arc::new(ConnStats::default());
    let doors = Arc::new(Doors {
        node: Arc::clone(&node),
        observer,
        metrics: Metrics::default(),
        audit: Arc::default(),
        trusted: config.trusted_proxies.clone(),
        setup: Setup::default(),
        replays: Replays::default(),
        stopping: false.into(),
        conns: Arc::clone(&conns),
        tiles_public: config.tiles == "public",
        quorum: quorum.clone(),
    });
    let setup = offer_setup(&doors, config)?;
    let (listeners, ca_pem, reload) = listeners(config, &clock, &stopped).await?;
    let address = listeners.first().and_then(Listener::local_address);
    let address = address.ok_or_else(|| anyhow::anyhow!("the TLS listener has no address"))?;
    let plain_address = listeners.iter().skip(1).find_map(Listener::local_address);
    let limits = Limits {
        connections_max: config.connections_max,
        connections_per_ip_max: config.connections_per_ip_max,
        per_ip_exempt: config.trusted_proxies.clone(),
        ..Limits::default()
    };
    let server = Server {
        limits,
        stats: conns,
        drain: Duration::from_secs(config.drain_s),
    };
    let router = routes::router(&doors);
    let served = Arc::clone(&doors);
    let accepting = tokio::spawn(async move {
        let make = move |conn| Door::new(Arc::clone(&served), router.clone(), conn);
        let summary = server.serve(listeners, make, stopped).await;
        tracing::info!(
            finished = summary.finished,
            dropped = summary.dropped,
            "the doors are closed"
        );
    });
    let keeping = tokio::spawn(housekeeping(
        Arc::clone(&doors),
        config.ballast_mib << 20,
        stop.subscribe(),
    ));
    let sweeping = tokio::spawn(jobs::idle::run(Arc::clone(&node), stop.subscribe()));
    let publishing = tokio::spawn(jobs::publish::run(
        Arc::clone(&node),
        quorum.clone(),
        stop.subscribe(),
    ));
    let reminding = jobs::publish::remind(Arc::clone(&node), quorum.clone(), stop.subscribe());
    let reminding = tokio::spawn(reminding);
    let snapshots = tokio::spawn(jobs::snapshot::run(Arc::clone(&node), stop.subscribe()));
    let mut tasks = vec![
        accepting, keeping, observing, publishing, reminding, sweeping, snapshots,
    ];
    tasks.extend(reload);
    if config.audit == "rolling" {
        let seen = Arc::clone(&doors.audit);
        let auditing = jobs::audit::run(node, seen, stop.subscribe());
        tasks.push(tokio::spawn(auditing));
    }
    Ok(Running {
        doors,
        address,
        plain_address,
        ca_pem,
        setup,
        stop,
        tasks,
    })
}

/// How long a start waits for what witnesses remember.
const MEMORY_PATIENCE: Duration = Duration::from_secs(3);

/// The witnesses of the configuration. They are asked what they remember before anything is allowed, and what they are is
/// written into the ledger.
async fn witnesses(config: &Config, node: &Arc<Node>) -> anyhow::Result<Option<Arc<Quorum>>> {
    let ca = config.witness_ca.as_deref();
    let read = config.witness_policy.as_deref();
    let quorum = read.map(|path| Quorum::read(path, ca)).transpose()?;
    let quorum = quorum.map(Arc::new);
    if let Some(quorum) = &quorum {
        quorum.is_of(node)?;
        if let Some(more) = quorum.remember(node, MEMORY_PATIENCE).await {
            node.gate.close(more.why, Some(more.mark));
        }
    }
    let shown = jobs::publish::newest(node, quorum.as_ref()).await;
    if let (Some(shown), Some(_)) = (&shown, &quorum) {
        node.verifier.with_index(|index| index.witness(shown.size));
    }
    node.published.send_replace(shown);
    if !node.gate.is_closed() {
        let followed = jobs::publish::follow(node, quorum.as_deref()).await;
        followed
            .map_err(|blame| anyhow::anyhow!("the witness policy is not written: {blame:?}"))?;
    }
    Ok(quorum)
}

/// Whether somebody has redeemed a setup secret.
fn operated(node: &Node) -> bool {
    node.verifier.directory().log().is_operated()
}

/// Offers a setup secret while the deployment has no operator.
fn offer_setup(doors: &Doors, config: &Config) -> anyhow::Result<Option<(Secret, PathBuf)>> {
    let file = config.data_dir.join("setup-secret");
    if operated(&doors.node) {
        drop(std::fs::remove_file(&file));
        return Ok(None);
    }
    let secret = doors.setup.offer(file.clone(), doors.node.clock.time())?;
    Ok(Some((secret, file)))
}

/// Bound doors, the local CA if there is one, and the task that watches the certificate.
pub(crate) type Opened = (
    Vec<Listener>,
    Option<PathBuf>,
    Option<tokio::task::JoinHandle<()>>,
);

/// Binds the doors that the configuration names; the first is the one with TLS.
pub(crate) async fn listeners(
    config: &Config,
    clock: &Clock,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<Opened> {
    let (cert, key, ca_pem) = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone(), None),
        (None, None) => {
            let now = i64::from(clock.time().seconds());
            let dir = config.data_dir.join("tls");
            let ca = ensure_local_ca(&dir, &config.names, now)?;
            (ca.server_pem, ca.server_key, Some(ca.ca_pem))
        }
        _ => anyhow::bail!("tls_cert and tls_key must be set together"),
    };
    let identity = TlsIdentity::load(&cert, &key)?;
    let reload = identity.spawn_reload(Duration::from_secs(5), stopped.clone());
    let address: SocketAddr = config.listen.parse()?;
    let mut listeners = vec![Listener::tls("tls", address, server_config(identity)?).await?];
    if let Some(path) = &config.unix_socket {
        let mode = u32::from_str_radix(&config.unix_mode, 8)?;
        listeners.push(Listener::unix("unix", path, mode).await?);
    }
    if !config.plain_listen.is_empty() {
        listeners.push(Listener::plain("plain", config.plain_listen.parse()?).await?);
    }
    Ok((listeners, ca_pem, Some(reload)))
}

/// Once a second: the clock is slewed, the disk's room watched, and a setup secret offered anew.
async fn housekeeping(doors: Arc<Doors>, ballast_bytes: u64, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let ballast = disk::Ballast::at(doors.node.dir.join("ballast"), ballast_bytes);
    let ballast = Arc::new(ballast);
    let mut watching: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => break,
        }
        if let Some(difference_ms) = doors.node.clock.slew() {
            tracing::error!(difference_ms, "wall time has jumped; it is not followed");
        }
        // A disk that hangs, or a ballast that is being filled, must hold up neither the clock nor a check.
        if watching
            .as_ref()
            .is_none_or(tokio::task::JoinHandle::is_finished)
        {
            let (doors, ballast) = (Arc::clone(&doors), Arc::clone(&ballast));
            watching = Some(tokio::task::spawn_blocking(move || {
                watch_room(&doors.node, &ballast);
                keep_setup(&doors);
            }));
        }
    }
    // When the directory is given up, nobody may work on it any more.
    if let Some(watching) = watching
        && let Err(error) = watching.await
    {
        tracing::error!(%error, "watching the disk ended badly");
    }
}

/// Offers another setup secret when the hour of one has passed; the log has its place and nothing else.
fn keep_setup(doors: &Doors) {
    if !doors.setup.waits() {
        return;
    }
    // Somebody was the operator before the last one was written: it would be refused, but need not lie there.
    if operated(&doors.node) {
        doors.setup.spend();
        return;
    }
    match doors.setup.renew(doors.node.clock.time()) {
        Ok(None) => {}
        Ok(Some(file)) => {
            let file = file.display();
            tracing::info!(%file, "nobody redeemed the setup secret within its hour: there is another one");
        }
        Err(error) => tracing::error!(%error, "a setup secret cannot be offered anew"),
    }
}

/// Looks at the disk and works on the ballast: for a thread that may block.
fn watch_room(node: &Node, ballast: &disk::Ballast) {
    let Some((percent, bytes)) = disk::free(&node.dir) else {
        return;
    };
    let full = &node.writer.shared().full;
    let scarce = percent < FREE_PERCENT_MIN && bytes < 20 * ballast.bytes();
    if scarce && !full.swap(true, Relaxed) {
        tracing::error!(
            percent,
            bytes,
            "the disk is nearly full: issuing stops, revocation goes on"
        );
    }
    // Room came back: take the ballast again first, so that the next shortage finds it.
    if !scarce && bytes > 2 * ballast.bytes() && full.load(Relaxed) && ballast.take() {
        full.store(false, Relaxed);
        tracing::info!(percent, "there is room again: issuing goes on");
    }
}

impl Running {
    /// Stops: no new requests, those in flight finish, what queued is stored, a snapshot is kept.
    pub async fn stop(self) {
        self.doors.stopping.store(true, Relaxed);
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task ended badly");
            }
        }
        let node = Arc::clone(&self.doors.node);
        if let Err(error) = tokio::task::spawn_blocking(move || node.stop()).await {
            tracing::error!(%error, "the node did not stop well");
        }
    }
}
