//! The express lane alone: a service that echoes, requests in any pieces, and what makes a connection leave.

use std::time::Duration;

use hyper::body::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;

use super::activity::Begun;
use super::express::{Express, Left, Whole, serve};
use super::fixture::soon;
use super::limits::Limits;

struct Echo;

impl Express for Echo {
    const IS_EXPRESS: bool = true;

    fn express(&self, request: &Whole<'_>, out: &mut Vec<u8>) -> bool {
        if request.target != "/echo" {
            return false;
        }
        out.extend_from_slice(request.method.as_bytes());
        out.extend_from_slice(b"=");
        out.extend_from_slice(request.body);
        out.extend_from_slice(b";");
        true
    }
}

async fn lane(far: &mut DuplexStream, limits: &Limits, stop: watch::Receiver<bool>) -> Left {
    let begun = Begun::Head(tokio::time::Instant::now());
    serve(&Echo, far, (Bytes::new(), begun), limits, stop).await
}

/// What the lane answers to these pieces, what it leaves unanswered, and what it is doing then.
async fn conversed(pieces: &[&[u8]], limits: Limits, then_close: bool) -> (String, String, Left) {
    let (mut near, mut far) = duplex(1 << 20);
    let (_stop, stopping) = watch::channel(false);
    let serving = async move {
        let left = lane(&mut far, &limits, stopping).await;
        far.shutdown().await.ok();
        left
    };
    let talking = async move {
        for piece in pieces {
            // It may have left by now, and not read the rest.
            near.write_all(piece).await.ok();
            tokio::task::yield_now().await;
        }
        if then_close {
            near.shutdown().await.ok();
        }
        let mut said = String::new();
        near.read_to_string(&mut said).await.ok();
        said
    };
    let (left, said) = soon("the end", async { tokio::join!(serving, talking) }).await;
    let unanswered = match &left {
        Left::Ordinary { unanswered, .. } => String::from_utf8(unanswered.to_vec()).unwrap(),
        Left::Broken(_) | Left::Stalled => String::new(),
    };
    (said, unanswered, left)
}

fn post(body: &str, more: &str) -> String {
    let length = body.len();
    format!("POST /echo HTTP/1.1\r\nHost: a\r\n{more}Content-Length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn what_is_not_plainly_its_own_leaves_with_every_byte() {
    let table = [
        post("x", "Transfer-Encoding: chunked\r\n"),
        post("x", "Content-Length: 1\r\n"),
        post("x", "Content-Length: 7\r\n"),
        post("x", "Connection: close\r\n"),
        post("x", "Connection: keep-alive, upgrade\r\n"),
        post("x", "Expect: 100-continue\r\n"),
        post("x", "Upgrade: h2c\r\n"),
        post("x", "TE: trailers\r\n"),
        post("x", "").replace("HTTP/1.1", "HTTP/1.0"),
        post("x", "").replace("/echo", "/other"),
        post("x", "").replace("Length: 1", "Length: +1"),
        post("x", "").replace("Length: 1", "Length: 0x1"),
        post("x", "").replace("Length: 1", "Length: 000001"),
        post("x", "").replace("Length: 1", "Length: 99999"),
        post("x", "").replace("Length: 1", "Length: 1, 1"),
        post("x", "").replace("Host: a", "Host a"),
        post("x", &"A: b\r\n".repeat(24)),
        "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "\x16\x03\x01".to_owned(),
    ];
    for odd in table {
        let first = post("before", "");
        let both = format!("{first}{odd}");
        let limits = Limits::default();
        let (said, unanswered, _) = conversed(&[both.as_bytes()], limits, false).await;
        assert_eq!((said.as_str(), unanswered), ("POST=before;", odd));
    }
}

#[tokio::test]
async fn plain_fields_and_keep_alive_stay() {
    let fields = "Connection: Keep-Alive\r\nAccept: */*\r\nUser-Agent: x\r\n";
    let whole = post("x", fields) + &post("", "");
    let (said, unanswered, _) = conversed(&[whole.as_bytes()], Limits::default(), true).await;
    assert_eq!((said.as_str(), unanswered.as_str()), ("POST=x;POST=;", ""));
}

#[tokio::test]
async fn a_request_in_part_leaves_when_its_time_is_over_and_tells_since_when() {
    let limits = Limits {
        header_read: Duration::from_millis(50),
        ..Limits::default()
    };
    let whole = post("0123456789", "");
    for cut in [1, whole.len() - 12, whole.len() - 1] {
        let part = &whole.as_bytes()[..cut];
        let (said, unanswered, left) = conversed(&[part], limits.clone(), false).await;
        assert_eq!((said.as_str(), unanswered.as_bytes()), ("", part));
        let Left::Ordinary {
            begun: Begun::Head(since),
            ..
        } = left
        else {
            panic!("it waits for a head");
        };
        assert!(since.elapsed() >= limits.header_read);
    }
}

#[tokio::test]
async fn a_request_in_many_pieces_leaves_with_all_of_them() {
    let whole = post("x", "");
    let bytes: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
    let (said, unanswered, _) = conversed(&bytes, Limits::default(), false).await;
    assert_eq!(said, "");
    assert!(
        unanswered.len() < whole.len() && whole.starts_with(&unanswered),
        "{unanswered:?}"
    );
    let (said, _, _) = conversed(
        &[&whole.as_bytes()[..9], &whole.as_bytes()[9..]],
        Limits::default(),
        true,
    )
    .await;
    assert_eq!(said, "POST=x;");
}

#[tokio::test]
async fn an_idle_connection_leaves_as_idle_and_a_stop_is_heard() {
    let limits = Limits {
        header_read: Duration::from_millis(20),
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let whole = post("x", "");
    let (said, unanswered, left) = conversed(&[whole.as_bytes()], limits.clone(), false).await;
    assert_eq!((said.as_str(), unanswered.as_str()), ("POST=x;", ""));
    let Left::Ordinary {
        begun: Begun::Idle(since),
        ..
    } = left
    else {
        panic!("it is idle");
    };
    assert!(since.elapsed() >= limits.idle);
    let (mut near, mut far): (DuplexStream, DuplexStream) = duplex(1024);
    near.write_all(whole.as_bytes()).await.unwrap();
    let (stop, stopping) = watch::channel(false);
    let limits = Limits::default();
    let serving = lane(&mut far, &limits, stopping);
    let stopped = async {
        let mut answer = [0; 7];
        near.read_exact(&mut answer).await.unwrap();
        stop.send_replace(true);
        answer
    };
    let (left, answer) = soon("the stop", async { tokio::join!(serving, stopped) }).await;
    assert_eq!(&answer, b"POST=x;");
    assert!(matches!(left, Left::Ordinary { .. }));
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_is_stalled() {
    let limits = Limits {
        write_stall: Duration::from_millis(50),
        ..Limits::default()
    };
    let (mut near, mut far) = duplex(512);
    let (_stop, stopping) = watch::channel(false);
    let many = post(&"x".repeat(400), "").repeat(3);
    let writing = async {
        near.write_all(many.as_bytes()).await.ok();
    };
    let serving = lane(&mut far, &limits, stopping);
    let (left, ()) = soon("the stall", async { tokio::join!(serving, writing) }).await;
    assert!(matches!(left, Left::Stalled));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// In whatever pieces requests come, and however many at once: each is answered, in order, and what is left is left.
    #[test]
    fn pieces_do_not_matter(
        bodies in prop::collection::vec("[a-z]{0,40}", 1..6),
        cuts in prop::collection::vec(1usize..60, 0..7),
        last in prop::sample::select(vec!["", "GET /other HTTP/1.1\r\n\r\n", "\r\n\r\nG@"]),
    ) {
        let whole: String = bodies.iter().map(|b| post(b, "")).chain([last.to_owned()]).collect();
        let (mut pieces, mut rest) = (Vec::new(), whole.as_bytes());
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (said, unanswered, _) = runtime.block_on(conversed(&pieces, Limits::default(), true));
        let due: String = bodies.iter().map(|b| format!("POST={b};")).collect();
        prop_assert_eq!(said, due);
        prop_assert!(last.starts_with(&unanswered), "{unanswered:?}");
    }
}
