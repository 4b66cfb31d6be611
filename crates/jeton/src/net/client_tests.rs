//! The client against a real server, and against one that breaks its word.

use http::{HeaderMap, Method};
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::NetError;
use super::client::Client;
use super::fixture::{Authority, eventually, soon};
use super::limits::Limits;
use super::serve_tests::{SHORT, get, secure};
use super::tls::Roots;

#[tokio::test]
async fn a_client_connects_again_when_the_server_closed_the_kept_connection() {
    let idle = SHORT;
    let (authority, running) = secure(Limits {
        idle,
        ..Limits::default()
    })
    .await;
    let client = authority.client(running.address.unwrap());
    get(&client, "/").await.unwrap();
    eventually("the close", || running.counts().active == 0).await;
    get(&client, "/").await.unwrap();
    assert_eq!(running.counts().accepted, 2);
}

#[tokio::test]
async fn a_client_that_gives_up_says_that_the_request_may_have_taken_effect() {
    let (authority, mut running) = secure(Limits::default()).await;
    let client = authority
        .client(running.address.unwrap())
        .with_timeout(SHORT * 10);
    let given_up = get(&client, "/slow").await.unwrap_err();
    assert!(
        matches!(given_up, NetError::TimedOut { .. }),
        "{given_up:?}"
    );
    running.in_flight(1).await;
    // What was half done is not used again.
    get(&client, "/").await.unwrap();
    assert_eq!(running.counts().accepted, 2);
}

#[test]
fn a_client_takes_only_urls_that_it_can_keep_its_word_on() {
    let ca = Authority::new(&[]);
    let roots = Roots::File(&ca.ca.ca_pem);
    let bad = [
        "http://a",
        "https://",
        "https://a/b",
        "https://a?b",
        "https://u:p@a",
        "a",
        "https://a b",
    ];
    for url in bad {
        assert!(
            matches!(Client::https(url, roots), Err(NetError::Url { .. })),
            "{url}"
        );
    }
    for url in ["http://192.0.2.1", "http://localhost", "https://127.0.0.1"] {
        assert!(
            matches!(Client::plain(url), Err(NetError::Url { .. })),
            "{url}"
        );
    }
    assert!(Client::https("https://[::1]:8443/", roots).is_ok());
    assert!(Client::plain("http://[::1]:8080").is_ok());
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        assert!(socket.read(&mut buffer).await.unwrap() > 0);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await
            .unwrap();
        assert!(
            socket.read(&mut buffer).await.unwrap() > 0,
            "the second request"
        );
        drop(socket);
        listener
    });
    let client = Client::plain(&url).unwrap();
    assert_eq!(get(&client, "/").await.unwrap().1, "ok");
    let broken = get(&client, "/issue").await.unwrap_err();
    assert!(matches!(broken, NetError::Exchange { .. }), "{broken:?}");
    let listener = server.await.unwrap();
    let again = tokio::time::timeout(SHORT, listener.accept()).await;
    assert!(again.is_err(), "no second attempt");
}

#[tokio::test]
async fn an_answer_is_read_up_to_the_bound() {
    let (authority, running) = secure(Limits::default()).await;
    let client = authority.client(running.address.unwrap());
    let refused = get(&client, "/large").await.unwrap_err();
    assert!(
        matches!(refused, NetError::AnswerTooLarge { .. }),
        "{refused:?}"
    );
    get(&client, "/").await.unwrap();
}

#[tokio::test]
async fn only_a_path_can_be_asked_for() {
    let client = Client::plain("http://127.0.0.1:9").unwrap();
    for path in ["", "a", "*", "http://elsewhere/", "elsewhere:80", "/a b"] {
        let refused = client
            .send(Method::GET, path, HeaderMap::new(), Bytes::new())
            .await;
        assert!(
            matches!(refused, Err(NetError::Url { .. })),
            "{path:?}: {refused:?}"
        );
    }
    let refused = soon("the refusal", get(&client, "/?a=b")).await;
    assert!(matches!(refused, Err(NetError::Connect { .. })));
}
