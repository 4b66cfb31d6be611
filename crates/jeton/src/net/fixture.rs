//! What the tests of this room share: an authority, a running server, and waiting for a condition.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::{Service, service_fn};
use rustls::pki_types::UnixTime;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::ca::{LocalCa, ensure_local_ca};
use super::client::{ANSWER_BYTES_MAX, Client};
use super::express::Express;
use super::limits::{ConnCounts, ConnStats, Limits};
use super::listen::Listener;
use super::serve::{ConnInfo, Server, StopSummary};
use super::tls::{Roots, TlsIdentity, server_config};

/// Longer than anything that succeeds takes, even on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Awaits `future`, but not for ever.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A local authority in a directory of its own.
pub(super) struct Authority {
    pub(super) dir: TempDir,
    pub(super) ca: LocalCa,
}

impl Authority {
    pub(super) fn new(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = ensure(&dir, names);
        Self { dir, ca }
    }

    /// Issues a new server certificate, for other names than before.
    pub(super) fn issue(&self, names: &[&str]) {
        assert!(ensure(&self.dir, names).server_issued);
    }

    pub(super) fn identity(&self) -> Arc<TlsIdentity> {
        TlsIdentity::load(&self.ca.server_pem, &self.ca.server_key).unwrap()
    }

    pub(super) fn client(&self, address: SocketAddr) -> Client {
        let url = format!("https://localhost:{}", address.port());
        Client::https(&url, Roots::File(&self.ca.ca_pem)).unwrap()
    }

    pub(super) async fn listener(&self, identity: &Arc<TlsIdentity>) -> Listener {
        let config = server_config(Arc::clone(identity)).unwrap();
        Listener::tls("public", "127.0.0.1:0".parse().unwrap(), config)
            .await
            .unwrap()
    }
}

fn ensure(dir: &TempDir, names: &[&str]) -> LocalCa {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap();
    ensure_local_ca(dir.path(), &names, now).unwrap()
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// A service that leaves every request to hyper.
struct Ordinary<S>(S);

impl<S> Express for Ordinary<S> {}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Ordinary<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        self.0.call(request)
    }
}

/// A server that answers with who asked and how. It holds requests to `/slow` until released, answers
/// `/large` with more than the client reads, reads the body for `/read`, and falls over `/panic`.
pub(super) struct Running {
    pub(super) address: Option<SocketAddr>,
    pub(super) stats: Arc<ConnStats>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) release: watch::Sender<bool>,
    pub(super) slow: watch::Receiver<u32>,
    task: JoinHandle<StopSummary>,
}

impl Running {
    pub(super) fn start(listener: Listener, limits: Limits, drain: Duration) -> Self {
        let address = listener.local_address();
        let stats = Arc::new(ConnStats::default());
        let (stop, stopping) = watch::channel(false);
        let (release, released) = watch::channel(false);
        let (entered, slow) = watch::channel(0);
        let entered = Arc::new(entered);
        let make = move |info: Arc<ConnInfo>| {
            let (released, entered) = (released.clone(), Arc::clone(&entered));
            Ordinary(service_fn(move |request: Request<Incoming>| -> Answering {
                let (mut released, entered) = (released.clone(), Arc::clone(&entered));
                let said = format!(
                    "{} {:?} tls={} {:?} {:?}",
                    info.listener,
                    info.peer,
                    info.tls,
                    request.version(),
                    info.server_name
                );
                Box::pin(async move {
                    let (head, body) = request.into_parts();
                    if head.uri.path() == "/read" {
                        body.collect().await.ok();
                    }
                    if head.uri.path() == "/slow" {
                        entered.send_modify(|count| *count += 1);
                        released.wait_for(|released| *released).await.ok();
                    }
                    let answer = match head.uri.path() {
                        "/large" => Bytes::from(vec![b'x'; ANSWER_BYTES_MAX + 1]),
                        "/panic" => panic!("asked to"),
                        _ => Bytes::from(said),
                    };
                    Ok(Response::new(Full::new(answer)))
                })
            }))
        };
        let server = Server {
            limits,
            stats: Arc::clone(&stats),
            drain,
        };
        let task = tokio::spawn(server.serve(vec![listener], make, stopping));
        Self {
            address,
            stats,
            stop,
            release,
            slow,
            task,
        }
    }

    pub(super) fn counts(&self) -> ConnCounts {
        self.stats.counts()
    }

    /// Waits until `count` requests to `/slow` have reached the service.
    pub(super) async fn in_flight(&mut self, count: u32) {
        soon(
            "the slow request",
            self.slow.wait_for(|seen| *seen >= count),
        )
        .await
        .unwrap();
    }

    pub(super) async fn finish(self) -> StopSummary {
        self.stop.send_replace(true);
        soon("the stop", self.task).await.unwrap()
    }
}
