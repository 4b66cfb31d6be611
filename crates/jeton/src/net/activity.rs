//! What a connection is doing, and when that has lasted too long.
//!
//! hyper has one timer for both an idle connection and a slow head; here they are told apart. A
//! connection is *busy* while a request is with the service, *reading a head* from the first byte of
//! a request, and *idle* otherwise; [`Activity::due`] is the one place that knows what ends when.
//! The bytes are seen by [`Watched`], which wraps the socket; the requests by [`Exchange`].

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::limits::Limits;
use super::serve::Protocol;

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request did not come in time.
    Head,
    /// No request came.
    Idle,
    /// The peer does not take what is sent to it.
    Write,
    /// We have closed, and the peer has not.
    Farewell,
}

/// Bytes that a peer may still send after we have closed; they are thrown away.
const FAREWELL_BYTES_MAX: usize = 256 * 1024;
const SCRATCH_BYTES: usize = 4_096;

/// What a connection was doing when its [`Activity`] began.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begun {
    /// The head of a request is expected, or has come in part, since then.
    Head(Instant),
    /// It has been idle since then.
    Idle(Instant),
}

/// The state of one connection, shared by its socket, its requests and its timer.
pub(super) struct Activity {
    protocol: Protocol,
    limits: Arc<Limits>,
    state: Mutex<State>,
}

struct State {
    requests: u32,
    idle_since: Instant,
    head_since: Option<Instant>,
    write_blocked_since: Option<Instant>,
    closed_since: Option<Instant>,
}

impl Activity {
    /// A connection as it is when its timer begins.
    pub(super) fn new(protocol: Protocol, limits: Arc<Limits>, begun: Begun) -> Arc<Self> {
        let (idle_since, head_since) = match begun {
            Begun::Head(since) => (since, Some(since)),
            Begun::Idle(since) => (since, None),
        };
        let state = State {
            requests: 0,
            idle_since,
            head_since,
            write_blocked_since: None,
            closed_since: None,
        };
        Arc::new(Self {
            protocol,
            limits,
            state: Mutex::new(state),
        })
    }

    /// When the connection must end if nothing changes, and why. `None` while the service works.
    pub(super) fn due(&self) -> Option<(Instant, Overdue)> {
        let state = self.state.lock();
        if let Some(since) = state.closed_since {
            return Some((since + self.limits.farewell, Overdue::Farewell));
        }
        if let Some(since) = state.write_blocked_since {
            return Some((since + self.limits.write_stall, Overdue::Write));
        }
        if state.requests > 0 {
            return None;
        }
        if let Some(since) = state.head_since {
            return Some((since + self.limits.header_read, Overdue::Head));
        }
        Some((state.idle_since + self.limits.idle, Overdue::Idle))
    }

    /// A request has begun; it lasts until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        let mut state = self.state.lock();
        state.requests += 1;
        state.head_since = None;
        drop(state);
        Exchange(Arc::clone(self))
    }

    fn saw_bytes(&self) {
        // In HTTP/2 bytes between requests are pings and the like; there idle time alone counts.
        if self.protocol == Protocol::Http2 {
            return;
        }
        let mut state = self.state.lock();
        if state.requests == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    fn saw_write<T>(&self, written: &Poll<T>) {
        let mut state = self.state.lock();
        match written {
            Poll::Ready(_) => state.write_blocked_since = None,
            Poll::Pending if state.write_blocked_since.is_some() => {}
            Poll::Pending => state.write_blocked_since = Some(Instant::now()),
        }
    }
}

/// A request, from its head to the end of its answer.
pub(super) struct Exchange(Arc<Activity>);

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.requests = state.requests.saturating_sub(1);
        if state.requests == 0 {
            state.idle_since = Instant::now();
        }
    }
}

/// The body of an answer, which ends the exchange when it does.
pub(super) struct Answer<B> {
    body: B,
    _exchange: Exchange,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, exchange: Exchange) -> Self {
        Self {
            body,
            _exchange: exchange,
        }
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that tells its [`Activity`] of what passes, and gives back bytes that were peeked at.
pub(super) struct Watched<T> {
    socket: T,
    peeked: Bytes,
    activity: Arc<Activity>,
    /// Bytes thrown away since our half was closed.
    farewell_bytes: Option<usize>,
}

impl<T> Watched<T> {
    pub(super) fn new(socket: T, peeked: Bytes, activity: Arc<Activity>) -> Self {
        Self {
            socket,
            peeked,
            activity,
            farewell_bytes: None,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.peeked.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        } else {
            let take = self.peeked.len().min(buffer.remaining());
            buffer.put_slice(&self.peeked.split_to(take));
        }
        if buffer.filled().len() > before {
            self.activity.saw_bytes();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.activity.saw_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.activity.saw_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.activity.saw_write(&flushed);
        flushed
    }

    /// Closes our half, then waits for the peer's (until [`Activity::due`] says that it is enough).
    ///
    /// A socket that is dropped with unread bytes makes the kernel send a reset, which takes the
    /// answer out of the peer's hands: a client that is still sending would never see its 413
    /// (RFC 9112 §9.6).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.farewell_bytes.is_none() {
            let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
            self.activity.saw_write(&shut);
            ready!(shut)?;
            if self.activity.protocol == Protocol::Http2 {
                return Poll::Ready(Ok(()));
            }
            self.activity.state.lock().closed_since = Some(Instant::now());
            self.farewell_bytes = Some(0);
        }
        let mut scratch = [MaybeUninit::uninit(); SCRATCH_BYTES];
        loop {
            let mut buffer = ReadBuf::uninit(&mut scratch);
            let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
            let seen = self.farewell_bytes.unwrap_or(0) + buffer.filled().len();
            if read.is_err() || buffer.filled().is_empty() || seen > FAREWELL_BYTES_MAX {
                return Poll::Ready(Ok(()));
            }
            self.farewell_bytes = Some(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn due(activity: &Activity) -> Option<Overdue> {
        activity.due().map(|(_, why)| why)
    }

    #[tokio::test]
    async fn a_connection_is_reading_then_busy_then_idle_then_reading() {
        let now = Instant::now();
        let activity = Activity::new(Protocol::Http1, Arc::default(), Begun::Head(now));
        assert_eq!(
            activity.due(),
            Some((now + Duration::from_secs(5), Overdue::Head))
        );
        let first = activity.begin();
        let second = activity.begin();
        assert_eq!(due(&activity), None);
        drop(first);
        assert_eq!(due(&activity), None);
        drop(second);
        assert_eq!(due(&activity), Some(Overdue::Idle));
        activity.saw_bytes();
        assert_eq!(due(&activity), Some(Overdue::Head));
        let started = activity.due();
        activity.saw_bytes();
        assert_eq!(activity.due(), started, "more bytes of a head buy no time");
    }

    #[tokio::test]
    async fn pings_do_not_keep_an_http2_connection_nor_end_it() {
        let activity = Activity::new(Protocol::Http2, Arc::default(), Begun::Head(Instant::now()));
        drop(activity.begin());
        let idle = activity.due();
        activity.saw_bytes();
        assert_eq!(activity.due(), idle);
    }

    #[tokio::test]
    async fn a_write_that_is_not_taken_counts_even_while_busy() {
        let activity = Activity::new(Protocol::Http1, Arc::default(), Begun::Head(Instant::now()));
        let _exchange = activity.begin();
        activity.saw_write(&Poll::<()>::Pending);
        assert_eq!(due(&activity), Some(Overdue::Write));
        activity.saw_write(&Poll::Ready(()));
        assert_eq!(due(&activity), None);
    }

    #[tokio::test]
    async fn peeked_bytes_come_first_in_pieces_of_any_size() {
        use tokio::io::AsyncReadExt;
        let activity = Activity::new(Protocol::Http1, Arc::default(), Begun::Head(Instant::now()));
        let peeked = Bytes::from_static(b"GET /");
        let mut watched = Watched::new(&b" HTTP/1.1"[..], peeked, activity);
        let mut small = [0; 3];
        watched.read_exact(&mut small).await.unwrap();
        let mut rest = String::new();
        watched.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&small, rest.as_str()), (b"GET", " / HTTP/1.1"));
    }
}
