//! The express lane: HTTP/1.1 requests that lie whole in a connection's buffer and are answered at once, without hyper.
//!
//! hyper is right about every message there is, and takes longer for it than a check takes. So a connection begins here. As
//! long as each request is one that the service answers from memory, and its framing leaves nothing to think about (one
//! `Content-Length`, no `Transfer-Encoding`, nothing about the connection), it stays. For anything else the connection goes
//! to hyper for good, with every byte that was not answered: another path, a strange header, a body in pieces that do not
//! come, the end of the peer's half, an idle peer, the stop. There is no error in this lane and no second opinion on what a
//! request is: what is not plainly one of its own is none.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::activity::Begun;
use super::limits::Limits;
use super::serve::stopped;

/// The most header fields of a request in this lane.
const HEADERS_MAX: usize = 24;
/// The largest head and body together, in bytes.
const WHOLE_BYTES_MAX: usize = 16 * 1024;
/// Room for what one read brings, in bytes.
const READ_BYTES: usize = 8 * 1024;
/// A request that has come in more pieces than this leaves: each piece is looked at from the start, and hyper knows better.
const PIECES_MAX: u32 = 8;
/// After so many rounds others have their turn, and the stop is looked for, whatever the peer has sent meanwhile.
const ROUNDS_MAX: u32 = 16;
/// A buffer that a burst made larger than this is given back when the connection waits, in bytes.
const BUFFER_KEPT_BYTES: usize = 4 * 1024;
/// Answers to pipelined requests are sent at the latest when they are so long, in bytes.
const ANSWERS_BYTES: usize = 32 * 1024;

/// A request of which every byte is there.
pub struct Whole<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its target: a path, with a query if there is one.
    pub target: &'a str,
    /// Its header fields.
    pub headers: &'a [httparse::Header<'a>],
    /// Its body.
    pub body: &'a [u8],
}

/// A service that can answer some requests at once. One that has none implements it with nothing.
pub trait Express {
    /// Whether it ever does: otherwise connections go to hyper at once.
    const IS_EXPRESS: bool = false;

    /// Appends a whole HTTP/1.1 message to `out` that leaves the connection open. `false`: this is none of its requests, and
    /// nothing was done.
    fn express(&self, _request: &Whole<'_>, _out: &mut Vec<u8>) -> bool {
        false
    }
}

/// A connection that leaves the lane.
pub(super) enum Left {
    /// It is over.
    Broken(io::Error),
    /// The peer does not take its answers.
    Stalled,
    /// hyper goes on with it.
    Ordinary {
        /// What was read and not answered.
        unanswered: Bytes,
        /// What the connection is doing.
        begun: Begun,
    },
}

/// Serves a connection for as long as the lane suits it.
pub(super) async fn serve<S: Express, T: AsyncRead + AsyncWrite + Unpin>(
    service: &S,
    socket: &mut T,
    (peeked, begun): (Bytes, Begun),
    limits: &Limits,
    stop: watch::Receiver<bool>,
) -> Left {
    if !S::IS_EXPRESS {
        return Left::Ordinary {
            unanswered: peeked,
            begun,
        };
    }
    let mut waiting = Waiting {
        begun,
        answered: false,
    };
    let (mut pieces, mut rounds) = (0, 0);
    let mut input = Vec::from(peeked);
    let mut out = Vec::with_capacity(1024);
    let mut stopping = pin!(stopped(stop.clone()));
    let mut alarm = pin!(sleep_until(Instant::now() + limits.header_read));
    loop {
        rounds += 1;
        if rounds == ROUNDS_MAX {
            rounds = 0;
            if *stop.borrow() {
                return waiting.leave(input);
            }
            tokio::task::yield_now().await;
        }
        let Answered { bytes, next } = answer_all(service, &input, &mut out);
        input.drain(..bytes);
        pieces = if bytes > 0 { 0 } else { pieces + 1 };
        if !out.is_empty() {
            match send(socket, &out, limits).await {
                Ok(true) => {}
                Ok(false) => return Left::Stalled,
                Err(error) => return Left::Broken(error),
            }
            out.clear();
            waiting.answered = true;
        }
        match next {
            Next::Answer => continue,
            Next::Read if pieces <= PIECES_MAX => {}
            Next::Leave | Next::Read => return waiting.leave(input),
        }
        if input.is_empty() {
            give_back(&mut input);
            give_back(&mut out);
        }
        let pauses = (stopping.as_mut(), alarm.as_mut());
        match more(socket, &mut input, &mut waiting, limits, pauses).await {
            Some(Ok(bytes)) if bytes > 0 => {}
            Some(Err(error)) => return Left::Broken(error),
            Some(Ok(_)) | None => return waiting.leave(input),
        }
    }
}

/// Reads what comes; `None` at the stop, or when what the connection is doing has lasted too long.
async fn more<T: AsyncRead + Unpin>(
    socket: &mut T,
    input: &mut Vec<u8>,
    waiting: &mut Waiting,
    limits: &Limits,
    (mut stopping, mut alarm): (Pin<&mut impl Future<Output = ()>>, Pin<&mut Sleep>),
) -> Option<io::Result<usize>> {
    std::future::poll_fn(|cx| {
        loop {
            if let Poll::Ready(read) = poll_read(socket, cx, input) {
                return Poll::Ready(Some(read));
            }
            if stopping.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            // Looked at only when the alarm rings or a request has come in part.
            if !input.is_empty() {
                let due = waiting.due(true, limits);
                if due < alarm.deadline() {
                    alarm.as_mut().reset(due);
                }
            }
            ready!(alarm.as_mut().poll(cx));
            let due = waiting.due(!input.is_empty(), limits);
            if due <= Instant::now() {
                return Poll::Ready(None);
            }
            alarm.as_mut().reset(due);
        }
    })
    .await
}

/// A connection that only waits does not keep what its busiest moment took.
fn give_back(buffer: &mut Vec<u8>) {
    if buffer.capacity() > BUFFER_KEPT_BYTES {
        *buffer = Vec::new();
    }
}

/// What the lane waits for, and since when.
///
/// A connection that works pays for no clock: an answer only leaves a mark, and the alarm, when it rings, finds the mark and
/// begins anew. So an idle connection leaves after once to twice [`Limits::idle`].
struct Waiting {
    begun: Begun,
    answered: bool,
}

impl Waiting {
    /// What the connection is doing. The first part of a request starts its clock, and more of it buys no time.
    fn now(&mut self, partial: bool) -> Begun {
        if self.answered {
            self.answered = false;
            self.begun = Begun::Idle(Instant::now());
        }
        if let (true, Begun::Idle(_)) = (partial, &self.begun) {
            self.begun = Begun::Head(Instant::now());
        }
        self.begun
    }

    /// To hyper, with what was not answered and the clock as it stands.
    fn leave(mut self, input: Vec<u8>) -> Left {
        Left::Ordinary {
            begun: self.now(!input.is_empty()),
            unanswered: input.into(),
        }
    }

    /// When that has lasted too long.
    fn due(&mut self, partial: bool, limits: &Limits) -> Instant {
        match self.now(partial) {
            Begun::Head(since) => since + limits.header_read,
            Begun::Idle(since) => since + limits.idle,
        }
    }
}

struct Answered {
    /// How much of the input was answered.
    bytes: usize,
    next: Next,
}

enum Next {
    /// There may be more whole requests.
    Answer,
    /// There is no whole request.
    Read,
    /// There is something that is none of the lane's.
    Leave,
}

/// Answers what lies whole at the start of the input.
fn answer_all<S: Express>(service: &S, input: &[u8], out: &mut Vec<u8>) -> Answered {
    let mut bytes = 0;
    loop {
        if out.len() >= ANSWERS_BYTES {
            return Answered {
                bytes,
                next: Next::Answer,
            };
        }
        let rest = input.get(bytes..).unwrap_or_default();
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let next = match whole(rest, &mut fields) {
            Framed::Whole(request, len) if service.express(&request, out) => {
                bytes += len;
                continue;
            }
            Framed::Partial if rest.len() < WHOLE_BYTES_MAX => Next::Read,
            Framed::Whole(..) | Framed::Partial | Framed::Other => Next::Leave,
        };
        return Answered { bytes, next };
    }
}

enum Framed<'a> {
    Whole(Whole<'a>, usize),
    Partial,
    Other,
}

/// Looks for a whole request whose framing is beyond doubt.
fn whole<'a>(
    input: &'a [u8],
    fields: &'a mut [MaybeUninit<httparse::Header<'a>>; HEADERS_MAX],
) -> Framed<'a> {
    if input.is_empty() {
        return Framed::Partial;
    }
    let mut request = httparse::Request::new(&mut []);
    let head = match request.parse_with_uninit_headers(input, fields) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Framed::Partial,
        Err(_) => return Framed::Other,
    };
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version)
    else {
        return Framed::Other;
    };
    let headers: &[httparse::Header<'_>] = request.headers;
    let Some(length) = body_length(headers) else {
        return Framed::Other;
    };
    let end = head.saturating_add(length);
    if end > WHOLE_BYTES_MAX {
        return Framed::Other;
    }
    match input.get(head..end) {
        None => Framed::Partial,
        Some(body) => {
            let request = Whole {
                method,
                target,
                headers,
                body,
            };
            Framed::Whole(request, end)
        }
    }
}

/// The length of the body, where exactly one field speaks of the message's framing, and none of the connection but to keep it.
fn body_length(headers: &[httparse::Header<'_>]) -> Option<usize> {
    let mut length = None;
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let digits = header.value;
            let plain = (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
            let told = core::str::from_utf8(digits).ok().filter(|_| plain)?;
            if length.replace(told.parse().ok()?).is_some() {
                return None;
            }
        } else if is("connection") {
            if !header.value.eq_ignore_ascii_case(b"keep-alive") {
                return None;
            }
        } else if ["transfer-encoding", "expect", "upgrade", "te", "trailer"]
            .iter()
            .any(|name| is(name))
        {
            return None;
        }
    }
    length
}

/// Reads what is there, up to [`READ_BYTES`].
fn poll_read<T: AsyncRead + Unpin>(
    socket: &mut T,
    cx: &mut std::task::Context<'_>,
    input: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let mut room = [MaybeUninit::uninit(); READ_BYTES];
    let mut buffer = ReadBuf::uninit(&mut room);
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    input.extend_from_slice(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Sends answers; `false` if the peer does not take them in time.
async fn send<T: AsyncWrite + Unpin>(
    socket: &mut T,
    out: &[u8],
    limits: &Limits,
) -> io::Result<bool> {
    let mut sending = pin!(async {
        socket.write_all(out).await?;
        socket.flush().await
    });
    // Nearly always the kernel takes it all, and no timer is needed.
    let first = std::future::poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(sent) => sent.map(|()| true),
        Poll::Pending => match timeout(limits.write_stall, sending).await {
            Ok(sent) => sent.map(|()| true),
            Err(_) => Ok(false),
        },
    }
}
