//! The doors from outside: real sockets, real handshakes.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::NetError;
use super::client::Client;
use super::fixture::{Authority, Running, eventually, soon};
use super::limits::Limits;
use super::listen::Listener;
use super::serve::StopSummary;

pub(super) const DRAIN: Duration = Duration::from_secs(10);
pub(super) const SHORT: Duration = Duration::from_millis(60);

pub(super) async fn secure(limits: Limits) -> (Authority, Running) {
    let authority = Authority::new(&[]);
    let listener = authority.listener(&authority.identity()).await;
    (authority, Running::start(listener, limits, DRAIN))
}

pub(super) async fn plain(limits: Limits) -> Running {
    let listener = Listener::plain("plain", "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    Running::start(listener, limits, DRAIN)
}

async fn on_unix() -> (TempDir, PathBuf, Running) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jeton.sock");
    let listener = Listener::unix("local", &path, 0o600).await.unwrap();
    (
        dir,
        path,
        Running::start(listener, Limits::default(), DRAIN),
    )
}

pub(super) async fn get(client: &Client, path: &str) -> Result<(StatusCode, String), NetError> {
    let answer = client
        .send(Method::GET, path, HeaderMap::new(), Bytes::new())
        .await;
    answer.map(|(status, _, body)| (status, String::from_utf8(body.to_vec()).unwrap()))
}

pub(super) async fn converse(running: &Running, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(running.address.unwrap()).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    read_to_close(&mut socket).await
}

pub(super) async fn read_to_close(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset is a close, too; what came before it counts.
    while soon("the close", socket.read_buf(&mut all))
        .await
        .is_ok_and(|read| read > 0)
    {}
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn heads_beyond_the_bounds_are_answered_431() {
    let running = plain(Limits::default()).await;
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(16 * 1024)
    );
    assert!(
        converse(&running, long.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    let many = |count| format!("GET / HTTP/1.0\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert!(
        converse(&running, many(65).as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    assert!(
        converse(&running, many(64).as_bytes())
            .await
            .starts_with("HTTP/1.0 200")
    );
}

#[tokio::test]
async fn nothing_is_read_after_an_http10_request_or_one_with_two_lengths() {
    const HIDDEN: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    const CHUNKED: &str = "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    let running = plain(Limits::default()).await;
    for (first, answers) in [
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
            1,
        ),
        (format!("{CHUNKED}Content-Length: 3\r\n\r\n0\r\n\r\n"), 1),
        (
            CHUNKED.replace("Transfer", "Content-Length: 3\r\nTransfer") + "\r\n0\r\n\r\n",
            1,
        ),
        // The controls, with one length or none.
        (format!("{CHUNKED}\r\n0\r\n\r\n"), 2),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 2),
    ] {
        let said = converse(&running, format!("{first}{HIDDEN}").as_bytes()).await;
        assert_eq!(
            said.matches(" 200 OK\r\n").count(),
            answers,
            "{first:?}: {said}"
        );
        assert!(said.contains("connection: close"), "{first:?}: {said}");
    }
}

#[tokio::test]
async fn the_connection_beyond_the_share_of_an_address_is_closed_before_it_speaks() {
    let running = plain(Limits {
        connections_per_ip_max: 2,
        ..Limits::default()
    })
    .await;
    let address = running.address.unwrap();
    let first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    eventually("two seats", || running.counts().active == 2).await;
    assert_eq!(converse(&running, b"").await, "");
    assert_eq!(running.counts().refused_per_ip, 1);
    drop(first);
    eventually("a free seat", || running.counts().active == 1).await;
    let said = converse(&running, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.0 200"), "{said}");
}

#[tokio::test]
async fn a_unix_peer_is_named_by_the_kernel() {
    let (_dir, path, running) = on_unix().await;
    let (_, said) = get(&Client::unix(&path), "/").await.unwrap();
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let pid = std::process::id();
    let named = format!("local Unix {{ uid: {uid}, gid: {gid}, pid: Some({pid}) }} tls=false");
    assert!(said.starts_with(&named), "{said}");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    running.finish().await;
    assert!(!path.exists(), "the socket file goes with its listener");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_spoken_on_a_unix_socket() {
    let (_dir, path, running) = on_unix().await;
    let io = TokioIo::new(UnixStream::connect(&path).await.unwrap());
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = made.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://localhost/")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = soon("the answer", sender.send_request(request))
        .await
        .unwrap();
    let said = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&said).contains("HTTP/2.0"));
    assert_eq!(
        running.finish().await,
        StopSummary {
            finished: 1,
            dropped: 0
        }
    );
    soon("the goodbye", connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_accepts_nothing_more() {
    let (authority, mut running) = secure(Limits::default()).await;
    let address = running.address.unwrap();
    let client = Arc::new(authority.client(address));
    let asking = tokio::spawn({
        let client = Arc::clone(&client);
        async move { get(&client, "/slow").await }
    });
    running.in_flight(1).await;
    let idle = authority.client(address);
    get(&idle, "/").await.unwrap();
    running.stop.send(true).unwrap();
    eventually("the idle one to be closed", || running.counts().active == 1).await;
    let refused = authority.client(address);
    let outcome = get(&refused, "/").await;
    assert!(
        matches!(outcome, Err(NetError::Connect { .. })),
        "{outcome:?}"
    );
    running.release.send(true).unwrap();
    let (status, _) = soon("the answer", asking).await.unwrap().unwrap();
    assert_eq!(status, StatusCode::OK);
    let summary = running.finish().await;
    assert_eq!(summary.dropped, 0);
    assert!(summary.finished >= 1, "{summary:?}");
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_its_deadline() {
    let listener = Listener::plain("plain", "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let mut running = Running::start(listener, Limits::default(), SHORT);
    let mut socket = TcpStream::connect(running.address.unwrap()).await.unwrap();
    socket
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    running.in_flight(1).await;
    let stats = Arc::clone(&running.stats);
    assert_eq!(
        running.finish().await,
        StopSummary {
            finished: 0,
            dropped: 1
        }
    );
    assert_eq!(stats.counts().active, 0, "the seat comes back even so");
    assert_eq!(read_to_close(&mut socket).await, "");
}

#[tokio::test]
async fn a_panic_of_the_service_ends_one_connection_and_is_counted() {
    let running = plain(Limits::default()).await;
    assert_eq!(
        converse(&running, b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await,
        ""
    );
    eventually("the count", || running.counts().panicked == 1).await;
    assert_eq!(running.counts().active, 0);
    let said = converse(&running, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.0 200"), "{said}");
}

/// Runs itself again in a process that may have few descriptors, so that no other test wants.
#[test]
fn the_loop_outlives_the_want_of_descriptors() {
    const FEW: u64 = 40;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if limit != Some(FEW) {
        let (_, module) = module_path!().split_once("::").unwrap();
        let status = Command::new("sh")
            .args([
                "-c",
                &format!("ulimit -n {FEW} && exec \"$0\" --exact \"$1\""),
            ])
            .arg(std::env::current_exe().unwrap())
            .arg(format!(
                "{module}::the_loop_outlives_the_want_of_descriptors"
            ))
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let running = plain(Limits::default()).await;
        let address = running.address.unwrap();
        // The loop has no turn before every descriptor is taken.
        let mut held = Vec::new();
        while let Ok(socket) = std::net::TcpStream::connect(address) {
            held.push(socket);
        }
        eventually("the failure", || running.counts().accept_errors > 0).await;
        drop(held);
        eventually("descriptors", || running.counts().active == 0).await;
        let said = converse(&running, b"GET / HTTP/1.0\r\n\r\n").await;
        assert!(said.starts_with("HTTP/1.0 200"), "{said}");
    });
}
