//! TLS from outside: who is let in, what is agreed on, and a certificate that changes.

use std::path::Path;
use std::sync::Arc;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::NetError;
use super::client::Client;
use super::fixture::{Authority, Running, eventually, soon};
use super::limits::Limits;
use super::serve_tests::{DRAIN, SHORT, converse, get, secure};
use super::tls::{Roots, client_config};

#[tokio::test]
async fn a_client_that_trusts_the_local_ca_is_served_on_one_connection() {
    let (authority, running) = secure(Limits::default()).await;
    let client = authority.client(running.address.unwrap());
    for _ in 0..3 {
        let (status, said) = get(&client, "/").await.unwrap();
        assert_eq!(status, StatusCode::OK);
        assert!(
            said.contains("public") && said.contains("tls=true HTTP/1.1"),
            "{said}"
        );
        assert!(said.contains("Some(\"localhost\")"), "{said}");
    }
    assert_eq!(running.counts().accepted, 1);
    assert_eq!(running.counts().handshake_failures, 0);
}

#[tokio::test]
async fn a_client_that_trusts_another_ca_or_asks_for_another_name_sends_nothing() {
    let (authority, running) = secure(Limits::default()).await;
    let strange = Authority::new(&[]).client(running.address.unwrap());
    assert!(matches!(
        get(&strange, "/").await,
        Err(NetError::Connect { .. })
    ));
    let url = format!("https://127.0.0.2:{}", running.address.unwrap().port());
    let misnamed = Client::https(&url, Roots::File(&authority.ca.ca_pem)).unwrap();
    assert!(matches!(
        get(&misnamed, "/").await,
        Err(NetError::Connect { .. })
    ));
    eventually("both failures", || running.counts().handshake_failures >= 1).await;
}

#[tokio::test]
async fn http2_is_spoken_where_alpn_says_so() {
    let (authority, running) = secure(Limits::default()).await;
    let mut config = client_config(Roots::File(&authority.ca.ca_pem)).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(running.address.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = made.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = soon("the answer", sender.send_request(request))
        .await
        .unwrap();
    let said = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&said).contains("HTTP/2.0"));
}

/// A TLS 1.2 hello that offers one cipher suite.
fn hello(suite: u16) -> Vec<u8> {
    let mut extensions = Vec::new();
    for (kind, content) in [
        (10_u16, &[0, 2, 0, 23][..]),    // supported groups: P-256
        (11, &[1, 0][..]),               // point formats: uncompressed
        (13, &[0, 4, 4, 3, 8, 4][..]),   // signatures: ECDSA P-256, RSA-PSS
        (0, b"\0\x0c\0\0\x09localhost"), // server name
    ] {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        extensions.extend(content);
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2]);
    body.extend(suite.to_be_bytes());
    body.extend([1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1];
    record.extend((length + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(length.to_be_bytes());
    record.extend(body);
    record
}

#[tokio::test]
async fn a_tls12_client_with_cbc_suites_only_is_refused_and_one_with_gcm_is_not() {
    let (_authority, running) = secure(Limits::default()).await;
    // ECDHE-ECDSA-AES128-CBC-SHA, its SHA-256 sister, RSA-AES128-CBC; then ECDHE-ECDSA-AES128-GCM.
    for (suite, good) in [
        (0xc009, false),
        (0xc023, false),
        (0x002f, false),
        (0xc02b, true),
    ] {
        let mut socket = TcpStream::connect(running.address.unwrap()).await.unwrap();
        socket.write_all(&hello(suite)).await.unwrap();
        let mut head = [0; 7];
        soon("an answer", socket.read_exact(&mut head))
            .await
            .unwrap();
        if good {
            assert_eq!((head[0], head[5]), (22, 2), "a server hello");
        } else {
            assert_eq!(
                (head[0], head[5], head[6]),
                (21, 2, 40),
                "alert: handshake failure"
            );
        }
    }
    eventually("the failures", || running.counts().handshake_failures >= 3).await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_the_living_one_stays() {
    let authority = Authority::new(&["old.example"]);
    let identity = authority.identity();
    let listener = authority.listener(&identity).await;
    let running = Running::start(listener, Limits::default(), DRAIN);
    let living = authority.client(running.address.unwrap());
    get(&living, "/").await.unwrap();
    let before = leaf(&authority, &running).await;
    authority.issue(&["new.example"]);
    assert!(identity.reload().unwrap());
    get(&living, "/").await.unwrap();
    let after = leaf(&authority, &running).await;
    assert_ne!(before, after);
    assert_eq!(
        running.counts().accepted,
        3,
        "the living client never connected again"
    );
}

async fn leaf(authority: &Authority, running: &Running) -> Vec<u8> {
    let config = client_config(Roots::File(&authority.ca.ca_pem)).unwrap();
    let tcp = TcpStream::connect(running.address.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_handshake_that_does_not_begin_is_closed() {
    let (_authority, running) = secure(Limits {
        tls_handshake: SHORT,
        ..Limits::default()
    })
    .await;
    assert_eq!(converse(&running, b"\x16\x03").await, "");
    eventually("the count", || running.counts().handshake_failures == 1).await;
    eventually("the seat", || running.counts().active == 0).await;
}

#[tokio::test]
async fn a_session_is_resumed_by_its_ticket() {
    let (authority, running) = secure(Limits::default()).await;
    let config = Arc::new(client_config(Roots::File(&authority.ca.ca_pem)).unwrap());
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let tcp = TcpStream::connect(running.address.unwrap()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::clone(&config));
        let mut stream = connector.connect(name, tcp).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut said = String::new();
        soon("the answer", stream.read_to_string(&mut said))
            .await
            .unwrap();
        kinds.push(stream.get_ref().1.handshake_kind());
    }
    assert_ne!(kinds[0], Some(rustls::HandshakeKind::Resumed));
    assert_eq!(kinds[1], Some(rustls::HandshakeKind::Resumed));
}

#[test]
fn a_client_needs_at_least_one_authority() {
    assert!(matches!(
        client_config(Roots::Pem(b"")),
        Err(NetError::Pem { .. })
    ));
    let missing = client_config(Roots::File(Path::new("/nowhere/ca.pem")));
    assert!(matches!(missing, Err(NetError::Read { .. })));
}
