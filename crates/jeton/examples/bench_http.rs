//! `cargo xtask bench check` and `bench issue`: what jeton costs over HTTP and to the disk, beside bare servers and bare
//! commits in the same run.
//!
//! One program in several parts: it starts itself again as a server on core 0 and drives it from core 1, in slices that
//! alternate between jeton and a bare hyper server whose answer has the same size.

#![expect(
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measuring program: it reads clocks, and stops at the first surprise"
)]

#[path = "../../jeton-verify/examples/world/mod.rs"]
mod world;

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use jeton::{
    app::{Ctx, Words, found, issue, revoke},
    config::Config,
    net::{Client, Roots, TlsIdentity, client_config, server_config},
    node::start::Node,
    serve,
};
use jeton_core::{
    permit::{Conditions, Rights},
    policy::Lifetime,
    subject::SubjectId,
    token::{
        issue::{Asked, IssueOrder},
        record::Reason,
        text::{Class, Prefix},
    },
};
use jeton_store::sqlite::Durability;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 32;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).expect("pinning to a core");
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let quick = args.iter().any(|a| a == "--quick");
    match args.get(1).map(String::as_str) {
        Some("serve-jeton") => serve_jeton(Path::new(&args[2])),
        Some("serve-bare") => serve_bare(args[2].parse().unwrap(), Path::new(&args[3])),
        Some("check") => check(quick),
        Some("issue") => issue(quick),
        Some("load") => load(if quick { 1_000_000 } else { 10_000_000 }),
        _ => panic!("bench_http check|issue [--quick]"),
    }
}

fn runtime(threads: usize) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn config(dir: &Path) -> Config {
    Config {
        data_dir: dir.join("data"),
        listen: "127.0.0.1:0".into(),
        plain_listen: "127.0.0.1:0".into(),
        unix_socket: Some(dir.join("jeton.sock")),
        connections_per_ip_max: 2000,
        ..Config::default()
    }
}

/// Serves a prepared directory on core 0 until standard input ends.
fn serve_jeton(dir: &Path) {
    pin(0);
    runtime(1).block_on(async {
        let running = serve::start(&config(dir), Durability::Full)
            .await
            .expect("a start");
        println!(
            "{} {}",
            running.address,
            running.plain_address.expect("plain")
        );
        tokio::task::spawn_blocking(|| std::io::stdin().lines().count())
            .await
            .unwrap();
        std::process::exit(0);
    });
}

/// A bare hyper server on core 0: reads the body, answers so many bytes.
fn serve_bare(bytes: usize, tls: &Path) {
    pin(0);
    let body = Bytes::from(vec![b'x'; bytes]);
    let identity = TlsIdentity::load(&tls.join("server.pem"), &tls.join("server.key")).unwrap();
    let mut config = Arc::unwrap_or_clone(server_config(identity).unwrap());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    runtime(1).block_on(async {
        let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let secure = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!(
            "{} {}",
            secure.local_addr().unwrap(),
            plain.local_addr().unwrap()
        );
        let other = body.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = secure.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (acceptor, body) = (acceptor.clone(), other.clone());
                tokio::spawn(
                    async move { bare(acceptor.accept(stream).await.unwrap(), body).await },
                );
            }
        });
        tokio::spawn(async move {
            loop {
                let (stream, _) = plain.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(bare(stream, body.clone()));
            }
        });
        tokio::task::spawn_blocking(|| std::io::stdin().lines().count())
            .await
            .unwrap();
        std::process::exit(0);
    });
}

async fn bare<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, body: Bytes) {
    let service =
        hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let body = body.clone();
            async move {
                request.into_body().collect().await?;
                let answer = http::Response::builder()
                    .header("content-type", "application/json")
                    .header("cache-control", "no-store")
                    .body(Full::new(body))
                    .unwrap();
                Ok::<_, hyper::Error>(answer)
            }
        });
    let io = hyper_util::rt::TokioIo::new(stream);
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .await,
    );
}

struct Server {
    child: Child,
    secure: SocketAddr,
    plain: SocketAddr,
}

impl Server {
    fn spawn(args: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut parts = line
            .split_whitespace()
            .map(|a| a.parse().expect("an address"));
        let (secure, plain) = (parts.next().unwrap(), parts.next().unwrap());
        Self {
            child,
            secure,
            plain,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// A place with a tenant, an API, a checker and so many live tokens.
struct Place {
    dir: tempfile::TempDir,
    checker: String,
    texts: Vec<String>,
}

async fn prepare(tokens: usize) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let running = serve::start(&config(dir.path()), Durability::Full)
        .await
        .unwrap();
    let (node, ctx) = founded(&running).await;
    let call = |path: &'static str, token: String, body: Value| {
        let client = Client::https(
            &format!("https://{}", running.address),
            Roots::File(running.ca_pem.as_deref().unwrap()),
        )
        .unwrap();
        async move {
            let mut headers = http::HeaderMap::new();
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
            headers.insert("content-type", "application/json".parse().unwrap());
            let sent = client.send(
                http::Method::POST,
                path,
                headers,
                Bytes::from(body.to_string()),
            );
            let (status, _, body) = sent.await.unwrap();
            assert!(status.is_success(), "{path} {status} {body:?}");
            serde_json::from_slice::<Value>(&body).unwrap()
        }
    };
    let admin = ctx.1;
    let scopes = json!([{"name": "docs:read"}, {"name": "docs:write"}]);
    let api = json!({"name": "docs", "audience": "urn:docs", "scopes": scopes});
    call("/v1/apis", admin.clone(), api).await;
    let grants = json!([{"api": "docs", "scopes": ["docs:read"]}]);
    call(
        "/v1/roles",
        admin.clone(),
        json!({"name": "reader", "permit": {"grants": grants}}),
    )
    .await;
    let user = call("/v1/users", admin.clone(), json!({"roles": ["reader"]})).await;
    let user: SubjectId = SubjectId::parse(user["id"].as_str().unwrap()).unwrap();
    let may = json!({"grants": [{"api": "jeton", "scopes": ["jeton:check"]}]});
    let app = call(
        "/v1/apps",
        admin.clone(),
        json!({"sponsor": user.to_string(), "permit": may}),
    )
    .await;
    let order = json!({"class": "svc", "subject": app["id"], "grants": may["grants"]});
    let checker = call("/v1/tokens", admin, order).await["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let texts = issue_many(&node, &ctx.0, user, tokens).await;
    running.stop().await;
    Place {
        dir,
        checker,
        texts,
    }
}

async fn founded(running: &serve::Running) -> (Arc<Node>, (Ctx, String)) {
    let node = Arc::clone(&running.doors.node);
    let operator = found::operator(&node, None).await.unwrap();
    let ctx = |admin: &found::Admin| Ctx {
        node: Arc::clone(&node),
        tenant: admin.tenant,
        token: admin.issued.token,
        address: None,
        request_id: "bench".into(),
        request: None,
    };
    let prefix = Prefix::parse(b"acme").unwrap();
    let admin = found::tenant(&ctx(&operator), prefix, Words::default())
        .await
        .unwrap();
    let secret = admin.secret.expose_secret().to_owned();
    let ctx = ctx(&admin);
    (node, (ctx, secret))
}

fn order(subject: SubjectId) -> IssueOrder {
    IssueOrder {
        class: Class::Key,
        subject,
        asked: Asked::Inherit,
        give: None,
        conditions: Conditions::default(),
        lifetime: Lifetime::Default,
        limit: None,
    }
}

async fn issue_many(_: &Arc<Node>, ctx: &Ctx, user: SubjectId, tokens: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(tokens);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..512 {
        let ctx = ctx.clone();
        let share = tokens / 512;
        tasks.spawn(async move {
            let mut out = Vec::with_capacity(share);
            for _ in 0..share {
                let made = issue::issue_token(&ctx, order(user), Words::default()).await;
                out.push(made.unwrap().1.unwrap().expose_secret().to_owned());
            }
            out
        });
    }
    while let Some(some) = tasks.join_next().await {
        texts.extend(some.unwrap());
    }
    texts
}

/// How a connection is made.
#[derive(Clone)]
enum Via {
    Plain(SocketAddr),
    Secure(SocketAddr, tokio_rustls::TlsConnector),
    Unix(PathBuf),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Via {
    async fn connect(&self) -> Box<dyn Stream> {
        match self {
            Self::Plain(address) => {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                Box::new(stream)
            }
            Self::Secure(address, connector) => {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let name = ServerName::try_from("127.0.0.1").unwrap();
                Box::new(connector.connect(name, stream).await.unwrap())
            }
            Self::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await.unwrap()),
        }
    }
}

/// One request and its whole answer: the bytes of the answer.
async fn exchange(stream: &mut Box<dyn Stream>, request: &[u8], buffer: &mut Vec<u8>) -> usize {
    stream.write_all(request).await.unwrap();
    buffer.clear();
    loop {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.unwrap();
        assert!(
            n > 0,
            "the server closed: {}",
            String::from_utf8_lossy(buffer)
        );
        buffer.extend_from_slice(&some[..n]);
        let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&buffer[..end]).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 20"),
            "{}",
            String::from_utf8_lossy(buffer)
        );
        let lower = head.to_ascii_lowercase();
        let length = lower
            .split("content-length: ")
            .nth(1)
            .and_then(|r| r.split("\r\n").next());
        let length: usize = length.map_or(0, |l| l.trim().parse().unwrap());
        if buffer.len() >= end + 4 + length {
            return length;
        }
    }
}

/// Requests a second through kept connections, in slices.
struct Drive {
    streams: Vec<Box<dyn Stream>>,
    requests: Arc<Vec<Vec<u8>>>,
    next: usize,
}

impl Drive {
    async fn new(via: &Via, requests: &Arc<Vec<Vec<u8>>>) -> Self {
        let mut streams = Vec::new();
        for _ in 0..CONNECTIONS {
            streams.push(via.connect().await);
        }
        Self {
            streams,
            requests: Arc::clone(requests),
            next: 0,
        }
    }

    /// Each request once: what only the first use of a token costs is not what is measured.
    async fn once_each(&mut self) {
        let mut tasks = tokio::task::JoinSet::new();
        let share = self.requests.len().div_ceil(CONNECTIONS);
        for (n, mut stream) in self.streams.drain(..).enumerate() {
            let requests = Arc::clone(&self.requests);
            tasks.spawn_local(async move {
                let mut buffer = Vec::with_capacity(4096);
                for request in requests.iter().skip(n * share).take(share) {
                    exchange(&mut stream, request, &mut buffer).await;
                }
                stream
            });
        }
        while let Some(stream) = tasks.join_next().await {
            self.streams.push(stream.unwrap());
        }
    }

    async fn slice(&mut self, length: Duration) -> f64 {
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for mut stream in self.streams.drain(..) {
            let requests = Arc::clone(&self.requests);
            self.next = self.next.wrapping_add(7919);
            let mut at = self.next;
            tasks.spawn_local(async move {
                let (mut count, mut buffer) = (0u64, Vec::with_capacity(4096));
                while start.elapsed() < length {
                    at = (at + 104_729) % requests.len();
                    exchange(&mut stream, &requests[at], &mut buffer).await;
                    count += 1;
                }
                (stream, count)
            });
        }
        let mut all = 0;
        while let Some(done) = tasks.join_next().await {
            let (stream, count) = done.unwrap();
            self.streams.push(stream);
            all += count;
        }
        all as f64 / start.elapsed().as_secs_f64()
    }
}

fn check(quick: bool) {
    let tokens = if quick { 1 << 17 } else { 1 << 20 };
    let place = runtime(2).block_on(prepare(tokens));
    eprintln!("prepared {} tokens", place.texts.len());
    pin(1);
    let local = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let set = tokio::task::LocalSet::new();
    let out = set.block_on(&local, compare(&place, quick));
    println!("{out}");
}

fn request(checker: &str, text: &str) -> Vec<u8> {
    let body =
        json!({"token": text, "api": "docs", "scopes": ["docs:read"], "address": "192.0.2.7"})
            .to_string();
    format!(
        "POST /v1/check HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {checker}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn compare(place: &Place, quick: bool) -> Value {
    let data = place.dir.path().join("data");
    let jeton = Server::spawn(&["serve-jeton", place.dir.path().to_str().unwrap()]);
    let requests: Arc<Vec<Vec<u8>>> = Arc::new(
        place
            .texts
            .iter()
            .map(|t| request(&place.checker, t))
            .collect(),
    );
    let ca = data.join("tls/ca.pem");
    let mut config = client_config(Roots::File(&ca)).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut probe = Via::Plain(jeton.plain).connect().await;
    let size = exchange(&mut probe, &requests[0], &mut Vec::new()).await;
    let tls = data.join("tls");
    let bare = Server::spawn(&["serve-bare", &size.to_string(), tls.to_str().unwrap()]);
    let ways = [
        ("jeton_http", Via::Plain(jeton.plain)),
        ("bare_http", Via::Plain(bare.plain)),
        ("jeton_https", Via::Secure(jeton.secure, connector.clone())),
        ("bare_https", Via::Secure(bare.secure, connector)),
        ("jeton_unix", Via::Unix(place.dir.path().join("jeton.sock"))),
    ];
    let mut drives = Vec::new();
    for (_, via) in &ways {
        drives.push(Drive::new(via, &requests).await);
    }
    drives[0].once_each().await;
    let (rounds, length) = if quick { (5, 300) } else { (15, 500) };
    let mut rates = vec![Vec::new(); ways.len()];
    for round in 0..=rounds {
        for (drive, rates) in drives.iter_mut().zip(&mut rates) {
            let rate = drive.slice(Duration::from_millis(length)).await;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let ratio = |a: usize, b: usize| {
        let pairs = rates[a].iter().zip(&rates[b]).map(|(a, b)| a / b);
        (median(pairs.collect()) * 1000.0).round() / 1000.0
    };
    let mut out = json!({
        "tokens": place.texts.len(), "answer_bytes": size,
        "http_ratio_1m": ratio(0, 1), "https_ratio_1m": ratio(2, 3), "unix_ratio_1m": ratio(4, 1),
    });
    for ((name, _), rates) in ways.iter().zip(&rates) {
        out[format!("{name}_per_s")] = json!(median(rates.clone()).round());
    }
    out
}

/// Seconds to load so many tokens from a snapshot.
fn load(tokens: u64) {
    use jeton::node::{
        keyring::{Kek, Keyring},
        snapshot,
    };
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(
        &dir.path().join("keyring"),
        &Kek::File(dir.path().join("kek")),
    )
    .unwrap();
    let now = jeton_core::time::Time::from_seconds(1_900_000_000);
    let path = dir.path().join("snapshot");
    {
        let verifier = world::verifier(tokens, now);
        snapshot::write(&path, &keyring, &verifier, &[]).unwrap();
    }
    let start = Instant::now();
    let loaded = snapshot::read(&path, &keyring).expect("a snapshot that is believed");
    let took = start.elapsed().as_secs_f64();
    assert_eq!(u64::from(loaded.index.len()), tokens);
    let bytes = loaded.index.bytes() as f64 / tokens as f64;
    println!(
        "{}",
        json!({"loaded": tokens, "load_s": (took * 100.0).round() / 100.0, "loaded_bytes_per_token": bytes.round()})
    );
}

fn issue(quick: bool) {
    let seconds = if quick { 3 } else { 10 };
    let out = runtime(2).block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let running = serve::start(&config(dir.path()), Durability::Full)
            .await
            .unwrap();
        let (node, (ctx, admin)) = founded(&running).await;
        let user = {
            let directory = node.verifier.directory();
            directory
                .subjects_after(ctx.tenant, None)
                .next()
                .unwrap()
                .id
        };
        let plain = IssueOrder {
            asked: Asked::Rights(Rights::NONE),
            ..order(user)
        };
        let commits = bare_commits(dir.path(), 200);
        let mut single = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            issue::issue_token(&ctx, plain.clone(), Words::default())
                .await
                .unwrap();
            single.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        let in_process = submitters(&ctx, &plain, seconds).await;
        let https = https_submitters(&running, &admin, user, seconds).await;
        let after = bare_commits(dir.path(), 200);
        let commit_ms = median(commits.into_iter().chain(after).collect());
        let out = json!({
            "in_process_per_s_256": in_process.round(), "https_per_s_256": https.round(),
            "single_ms_p50": (median(single) * 1000.0).round() / 1000.0,
            "commit_ms_p50": (commit_ms * 1000.0).round() / 1000.0,
            "times_single_commits": (in_process * commit_ms / 1000.0 * 10.0).round() / 10.0,
        });
        running.stop().await;
        out
    });
    println!("{out}");
}

/// One row a commit, durably, on the same disk: milliseconds each.
fn bare_commits(dir: &Path, count: usize) -> Vec<f64> {
    let db = rusqlite::Connection::open(dir.join("bare.db")).unwrap();
    db.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b BLOB)")
        .unwrap();
    let mut insert = db.prepare("INSERT INTO t (b) VALUES (?1)").unwrap();
    let row = [7u8; 256];
    let mut one = || {
        let start = Instant::now();
        insert.execute([row]).unwrap();
        start.elapsed().as_secs_f64() * 1000.0
    };
    (0..count).map(|_| one()).collect()
}

/// 256 submitters: three issue, the fourth issues and revokes.
async fn submitters(ctx: &Ctx, order: &IssueOrder, seconds: u64) -> f64 {
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..256 {
        let (ctx, order, stop, done) = (
            ctx.clone(),
            order.clone(),
            Arc::clone(&stop),
            Arc::clone(&done),
        );
        tasks.spawn(async move {
            while !stop.load(Relaxed) {
                let made = issue::issue_token(&ctx, order.clone(), Words::default())
                    .await
                    .unwrap();
                done.fetch_add(1, Relaxed);
                if n % 4 == 0
                    && let jeton::app::Outcome::Fresh(issued) = made.0.outcome
                {
                    let change = revoke::Change::Revoke(Reason::Unneeded);
                    revoke::set_state(&ctx, issued.token, change, Words::default())
                        .await
                        .unwrap();
                    done.fetch_add(1, Relaxed);
                }
            }
        });
    }
    drop(tokio::time::timeout(Duration::from_secs(seconds), std::future::pending::<()>()).await);
    let rate = done.load(Relaxed) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Relaxed);
    tasks.join_all().await;
    rate
}

async fn https_submitters(
    running: &serve::Running,
    admin: &str,
    user: SubjectId,
    seconds: u64,
) -> f64 {
    let ca = running.ca_pem.clone().unwrap();
    let mut config = client_config(Roots::File(&ca)).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let via = Via::Secure(running.address, connector);
    let body = json!({"class": "key", "subject": user.to_string(), "grants": []}).to_string();
    let request = format!(
        "POST /v1/tokens HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {admin}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes();
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut tasks = tokio::task::JoinSet::new();
    let start = Instant::now();
    for _ in 0..256 {
        let (via, request, stop, done) = (
            via.clone(),
            request.clone(),
            Arc::clone(&stop),
            Arc::clone(&done),
        );
        tasks.spawn(async move {
            let (mut stream, mut buffer) = (via.connect().await, Vec::new());
            while !stop.load(Relaxed) {
                exchange(&mut stream, &request, &mut buffer).await;
                done.fetch_add(1, Relaxed);
            }
        });
    }
    drop(tokio::time::timeout(Duration::from_secs(seconds), std::future::pending::<()>()).await);
    let rate = done.load(Relaxed) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Relaxed);
    tasks.join_all().await;
    rate
}
