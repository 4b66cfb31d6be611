//! Slow peers, idle peers, and peers that do not leave.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixture::{eventually, soon};
use super::limits::Limits;
use super::serve_tests::{DRAIN, SHORT, converse, plain, read_to_close};

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_closed_in_each_of_its_stages() {
    let running = plain(Limits {
        header_read: SHORT,
        ..Limits::default()
    })
    .await;
    for slow in ["", "PRI * HT", "GET / HTTP/1.1\r\nHost: a\r\nX: "] {
        assert_eq!(converse(&running, slow.as_bytes()).await, "", "{slow:?}");
    }
    assert_eq!(running.counts().timed_out, 3);
    // The second head of a connection is timed from its first byte, not from the first answer.
    let second = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut socket = TcpStream::connect(running.address.unwrap()).await.unwrap();
    socket.write_all(second).await.unwrap();
    let mut some = [0; 15];
    soon("the answer", socket.read_exact(&mut some))
        .await
        .unwrap();
    assert_eq!(&some, b"HTTP/1.1 200 OK");
    socket.write_all(b"GET ").await.unwrap();
    read_to_close(&mut socket).await;
    eventually("the count", || running.counts().timed_out == 4).await;
    eventually("the seats", || running.counts().active == 0).await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout_but_not_its_own() {
    let idle = Duration::from_millis(400);
    let running = plain(Limits {
        header_read: SHORT,
        idle,
        ..Limits::default()
    })
    .await;
    let mut socket = TcpStream::connect(running.address.unwrap()).await.unwrap();
    let started = tokio::time::Instant::now();
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(
        read_to_close(&mut socket)
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
    assert!(
        started.elapsed() >= idle,
        "closed after {:?}",
        started.elapsed()
    );
    assert_eq!(running.counts().timed_out, 0, "idleness is no offence");
}

#[tokio::test]
async fn a_service_that_takes_longer_than_every_timer_is_waited_for() {
    let limits = Limits {
        header_read: SHORT,
        idle: SHORT,
        ..Limits::default()
    };
    let mut running = plain(limits).await;
    let mut socket = TcpStream::connect(running.address.unwrap()).await.unwrap();
    socket
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    running.in_flight(1).await;
    let mut byte = [0];
    let early = tokio::time::timeout(SHORT * 4, socket.read(&mut byte)).await;
    assert!(early.is_err(), "neither closed nor answered");
    running.release.send(true).unwrap();
    assert!(
        read_to_close(&mut socket)
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let running = plain(Limits {
        write_stall: SHORT,
        ..Limits::default()
    })
    .await;
    let mut socket = TcpStream::connect(running.address.unwrap()).await.unwrap();
    socket
        .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    eventually("the end", || running.counts().timed_out == 1).await;
    eventually("the seat", || running.counts().active == 0).await;
}

#[tokio::test]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    let farewell = DRAIN * 6;
    let running = plain(Limits {
        farewell,
        ..Limits::default()
    })
    .await;
    let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    bytes.resize(200_000, b'x');
    let mut socket = TcpStream::connect(running.address.unwrap()).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    let said = read_to_close(&mut socket).await;
    assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
    // The server has closed its half only: what is sent now meets no reset.
    socket.write_all(b"x").await.unwrap();
    drop(socket);
    eventually("the seat", || running.counts().active == 0).await;
}

#[tokio::test]
async fn a_peer_that_never_closes_loses_its_seat() {
    let running = plain(Limits {
        farewell: SHORT,
        ..Limits::default()
    })
    .await;
    let mut socket = TcpStream::connect(running.address.unwrap()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(read_to_close(&mut socket).await.starts_with("HTTP/1.0 200"));
    eventually("the seat", || running.counts().active == 0).await;
    assert_eq!(running.counts().timed_out, 0);
    drop(socket);
}
