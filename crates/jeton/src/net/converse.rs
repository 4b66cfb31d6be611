//! One connection: its handshake, its protocol, its requests, and its timer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use http::{HeaderValue, Request, Response, Version, header};
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Cause;
use super::activity::{Activity, Answer, Begun, Overdue, Watched};
use super::express::{self, Express, Left};
use super::limits::{Limits, Seat};
use super::listen::Arrival;
use super::serve::{ConnInfo, Hall, Peer, Protocol, stopped};

/// What an HTTP/2 client with prior knowledge sends first (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for a typical first request, so that looking at its first bytes costs no second read.
const PEEK_BYTES: usize = 4_096;
/// The most that is read ahead of, or written ahead to, an HTTP/1 peer, in bytes.
const H1_BUFFER_BYTES: usize = 64 * 1024;
/// HTTP/2 flow control: bytes of request body per stream, and per connection, that may be under way.
const H2_WINDOW_BYTES: (u32, u32) = (64 * 1024, 1024 * 1024);

/// The two protocols with our limits.
pub(super) struct Speech {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Speech {
    pub(super) fn new(limits: &Limits) -> Self {
        let header_bytes_max = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // The timer below tells a slow head from an idle connection; hyper's does not.
            .header_read_timeout(None)
            .half_close(false)
            .max_headers(limits.headers_max)
            .max_header_size(header_bytes_max)
            .max_buf_size(header_bytes_max.max(H1_BUFFER_BYTES))
            // With it hyper 1.12 loses an answer that closes while more input waits, each 431 too.
            .pipeline_flush(false);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.h2_streams_max)
            .max_pending_accept_reset_streams(limits.h2_pending_resets_max)
            .max_local_error_reset_streams(limits.h2_error_resets_max)
            .max_header_list_size(limits.header_bytes_max)
            .max_send_buf_size(limits.h2_send_buffer_bytes_max)
            .initial_stream_window_size(H2_WINDOW_BYTES.0)
            .initial_connection_window_size(H2_WINDOW_BYTES.1)
            .keep_alive_interval(limits.h2_ping)
            .keep_alive_timeout(limits.h2_ping_answer);
        Self { http1, http2 }
    }
}

/// Serves one connection to its end. The seat is held until then.
pub(super) async fn converse<F, S, B>(
    hall: Arc<Hall<F>>,
    listener: Arc<str>,
    arrival: Arrival,
    _seat: Seat,
) where
    F: Fn(Arc<ConnInfo>) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Express
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send> + Send + Unpin + 'static,
    B::Error: Into<Cause>,
{
    let info = |peer, tls, protocol, server_name| {
        let (id, listener) = (hall.next_id(), Arc::clone(&listener));
        Arc::new(ConnInfo {
            id,
            listener,
            peer,
            tls,
            protocol,
            server_name,
        })
    };
    match arrival {
        Arrival::Tls(tcp, address, acceptor) => {
            let Some(stream) = shake_hands(&hall, tcp, &acceptor).await else {
                return;
            };
            let session = stream.get_ref().1;
            let protocol = match session.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                Some(_) | None => Protocol::Http1,
            };
            let server_name = session.server_name().map(Box::from);
            let info = info(Peer::Tcp(address), true, protocol, server_name);
            let begun = Begun::Head(Instant::now());
            speak(&hall, info, stream, (Bytes::new(), begun)).await;
        }
        Arrival::Plain(mut tcp, address) => {
            tcp.set_nodelay(true).ok();
            let begun = Begun::Head(Instant::now());
            let Some((protocol, peeked)) = peek(&hall, &mut tcp).await else {
                return;
            };
            speak(
                &hall,
                info(Peer::Tcp(address), false, protocol, None),
                tcp,
                (peeked, begun),
            )
            .await;
        }
        Arrival::Unix(mut unix) => {
            // Whom the kernel cannot name is not served: the service may decide by the user.
            let Ok(credentials) = unix.peer_cred() else {
                return;
            };
            let (uid, gid, pid) = (credentials.uid(), credentials.gid(), credentials.pid());
            let begun = Begun::Head(Instant::now());
            let Some((protocol, peeked)) = peek(&hall, &mut unix).await else {
                return;
            };
            let info = info(Peer::Unix { uid, gid, pid }, false, protocol, None);
            speak(&hall, info, unix, (peeked, begun)).await;
        }
    }
}

async fn shake_hands<F>(
    hall: &Hall<F>,
    tcp: TcpStream,
    acceptor: &TlsAcceptor,
) -> Option<TlsStream<TcpStream>> {
    tcp.set_nodelay(true).ok();
    let shaken = tokio::select! {
        () = stopped(hall.stop.clone()) => return None,
        shaken = timeout(hall.limits.tls_handshake, acceptor.accept(tcp)) => shaken,
    };
    let cause = match shaken {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error.to_string(),
        Err(elapsed) => elapsed.to_string(),
    };
    hall.stats.count_handshake_failure();
    tracing::debug!(cause, "a TLS handshake failed");
    None
}

/// Which protocol the peer speaks, with what was read to find out; `None` if it said too little.
async fn peek<F, T>(hall: &Hall<F>, socket: &mut T) -> Option<(Protocol, Bytes)>
where
    T: AsyncRead + Unpin,
{
    let peeked = tokio::select! {
        () = stopped(hall.stop.clone()) => return None,
        peeked = timeout(hall.limits.header_read, first_bytes(socket)) => peeked,
    };
    let Ok(first) = peeked else {
        hall.stats.count_timed_out();
        return None;
    };
    first.ok()
}

async fn first_bytes<T: AsyncRead + Unpin>(socket: &mut T) -> Result<(Protocol, Bytes), Error> {
    let mut bytes = Vec::with_capacity(PEEK_BYTES);
    loop {
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        if bytes.starts_with(H2_PREFACE) {
            return Ok((Protocol::Http2, bytes.into()));
        }
        if !H2_PREFACE.starts_with(&bytes) {
            return Ok((Protocol::Http1, bytes.into()));
        }
    }
}

/// Speaks HTTP on a socket until either side has had enough.
async fn speak<F, S, B, T>(
    hall: &Hall<F>,
    info: Arc<ConnInfo>,
    mut socket: T,
    (peeked, begun): (Bytes, Begun),
) where
    F: Fn(Arc<ConnInfo>) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Express
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send> + Send + Unpin + 'static,
    B::Error: Into<Cause>,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let id = info.id;
    let protocol = info.protocol;
    let service = (hall.make)(info);
    let (peeked, begun) = match protocol {
        Protocol::Http2 => (peeked, begun),
        Protocol::Http1 => {
            let stop = hall.stop.clone();
            match express::serve(&service, &mut socket, (peeked, begun), &hall.limits, stop).await {
                Left::Ordinary { unanswered, begun } => (unanswered, begun),
                Left::Broken(error) => {
                    return tracing::debug!(id, %error, "a connection broke off");
                }
                Left::Stalled => {
                    hall.stats.count_timed_out();
                    return tracing::debug!(id, "a connection was too slow");
                }
            }
        }
    };
    let activity = Activity::new(protocol, Arc::clone(&hall.limits), begun);
    let socket = TokioIo::new(Watched::new(socket, peeked, Arc::clone(&activity)));
    let begun = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let exchange = begun.begin();
        // HTTP/1.0 is never kept alive: two messages of it are told apart by custom, not by rule.
        let closes = request.version() < Version::HTTP_11;
        let answer = service.call(request);
        async move {
            let Ok(mut response) = answer.await;
            if closes {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, exchange)))
        }
    });
    let ending = match protocol {
        Protocol::Http1 => {
            drive(
                hall,
                &activity,
                hall.speech.http1.serve_connection(socket, service),
            )
            .await
        }
        Protocol::Http2 => {
            drive(
                hall,
                &activity,
                hall.speech.http2.serve_connection(socket, service),
            )
            .await
        }
    };
    match ending {
        Ending::Closed | Ending::Overdue(Overdue::Idle | Overdue::Farewell) => {}
        Ending::Overdue(why) => {
            hall.stats.count_timed_out();
            tracing::debug!(id, ?why, "a connection was too slow");
        }
        Ending::Broken(cause) => tracing::debug!(id, cause, "a connection broke off"),
    }
}

enum Ending {
    Closed,
    Broken(String),
    Overdue(Overdue),
}

/// Runs a connection with its timer, and tells it of the stop.
///
/// The alarm is never later than what is due, and is set forward only when it rings: a connection
/// that works pays nothing for it. Ends of HTTP/2 requests happen in other tasks and do not wake
/// this one; they only ever make `due` later than `idle` from the last ring.
async fn drive<F, C>(hall: &Hall<F>, activity: &Activity, connection: C) -> Ending
where
    C: GracefulConnection<Error: Into<Cause>>,
{
    let mut connection = pin!(connection);
    let mut stopping = pin!(stopped(hall.stop.clone()));
    let mut alarm = pin!(sleep_until(Instant::now() + hall.limits.header_read));
    let mut told = false;
    let mut farewell = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                let broken = |error: C::Error| Ending::Broken(error.into().to_string());
                return Poll::Ready(end.map_or_else(broken, |()| Ending::Closed));
            }
            if !told && stopping.as_mut().poll(cx).is_ready() {
                told = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            // A request that crossed our farewell is still answered: `due` is then `None`.
            let due = activity.due().map(|due| farewell.unwrap_or(due));
            if let Some((at, _)) = due
                && at < alarm.deadline()
            {
                alarm.as_mut().reset(at);
            }
            ready!(alarm.as_mut().poll(cx));
            let now = Instant::now();
            match due {
                Some((at, Overdue::Idle)) if at <= now && farewell.is_none() => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                    farewell = Some((now + hall.limits.farewell, Overdue::Farewell));
                }
                Some((at, why)) if at <= now => return Poll::Ready(Ending::Overdue(why)),
                Some((at, _)) => alarm.as_mut().reset(at),
                None => alarm.as_mut().reset(now + hall.limits.idle),
            }
        }
    })
    .await
}
