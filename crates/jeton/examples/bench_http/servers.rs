//! The two servers that are compared, each a process of its own on core 0.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use jeton::{
    config::Config,
    net::{TlsIdentity, server_config},
    serve,
};
use jeton_store::sqlite::Durability;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{pin, runtime};

/// A configuration with all doors open.
pub fn config(dir: &Path) -> Config {
    Config {
        data_dir: dir.join("data"),
        listen: "127.0.0.1:0".into(),
        plain_listen: "127.0.0.1:0".into(),
        unix_socket: Some(dir.join("jeton.sock")),
        connections_per_ip_max: 2000,
        ..Config::default()
    }
}

/// Serves a prepared directory on core 0 until standard input ends, with the rolling audit or without.
pub fn jeton(dir: &Path, audit: &str) {
    pin(0);
    runtime(1).block_on(async {
        let config = Config {
            audit: audit.to_owned(),
            ..config(dir)
        };
        let running = serve::start(&config, Durability::Full)
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
pub fn bare(bytes: usize, tls: &Path, socket: &Path) {
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
        let local = tokio::net::UnixListener::bind(socket).unwrap();
        let same = body.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = local.accept().await.unwrap();
                tokio::spawn(answer(stream, same.clone()));
            }
        });
        let other = body.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = secure.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (acceptor, body) = (acceptor.clone(), other.clone());
                tokio::spawn(
                    async move { answer(acceptor.accept(stream).await.unwrap(), body).await },
                );
            }
        });
        tokio::spawn(async move {
            loop {
                let (stream, _) = plain.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(answer(stream, body.clone()));
            }
        });
        tokio::task::spawn_blocking(|| std::io::stdin().lines().count())
            .await
            .unwrap();
        std::process::exit(0);
    });
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, body: Bytes) {
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

/// A server in a process of its own.
pub struct Server {
    child: Child,
    pub secure: SocketAddr,
    pub plain: SocketAddr,
}

impl Server {
    /// Starts this program again, as a server.
    pub fn spawn(args: &[&str]) -> Self {
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

impl Server {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The processor time that it has taken so far, its kernel work included: in nanoseconds from the scheduler, so that a
    /// short slice is not rounded away.
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let taken = tasks.map(|task| {
            let stat =
                std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
            stat.split(' ')
                .next()
                .and_then(|ns| ns.parse().ok())
                .unwrap_or(0)
        });
        Duration::from_nanos(taken.sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
