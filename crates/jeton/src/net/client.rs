//! A small client for the CLI, the demo and the tests: one server, one connection kept.
//!
//! It trusts the authorities that it was given and no others, follows no redirect, and sends a
//! request a second time only if the first surely never left: a token that was issued twice
//! because of a lost answer would be one too many.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::tls::{Roots, client_config};
use super::{Cause, NetError};

/// The most bytes of an answer's body that are read: 16 MiB.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long [`Client::send`] waits unless [`Client::with_timeout`] says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server. Requests at the same time use a connection each; one is kept.
pub struct Client {
    route: Route,
    target: String,
    authority: HeaderValue,
    timeout: Duration,
    answer_bytes_max: usize,
    kept: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

enum Route {
    Https {
        host: String,
        port: u16,
        name: ServerName<'static>,
        connector: TlsConnector,
    },
    Plain {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl Client {
    /// A client of `https://host[:port]` that trusts `roots` alone.
    ///
    /// # Errors
    /// [`NetError::Url`] if the URL has another scheme, a path, or no host; those of
    /// [`client_config`].
    pub fn https(base_url: &str, roots: Roots<'_>) -> Result<Self, NetError> {
        let (host, port, authority) = base(base_url, "https", 443)?;
        let name = ServerName::try_from(host.clone())
            .map_err(|_| url_error(base_url, "the host is neither a DNS name nor an address"))?;
        let mut config = client_config(roots)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self::new(
            Route::Https {
                host,
                port,
                name,
                connector,
            },
            base_url,
            authority,
        ))
    }

    /// A client of `http://` on a loopback address, which must be written as an address.
    ///
    /// # Errors
    /// [`NetError::Url`], also for any other address and for names, `localhost` included: a name
    /// leads where the resolver says.
    pub fn plain(base_url: &str) -> Result<Self, NetError> {
        let (host, port, authority) = base(base_url, "http", 80)?;
        if !host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
        {
            return Err(url_error(
                base_url,
                "only a loopback address may be spoken to without TLS",
            ));
        }
        Ok(Self::new(Route::Plain { host, port }, base_url, authority))
    }

    /// A client of the server behind a unix socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        let target = path.display().to_string();
        Self::new(
            Route::Unix(path.to_owned()),
            &target,
            HeaderValue::from_static("localhost"),
        )
    }

    fn new(route: Route, target: &str, authority: HeaderValue) -> Self {
        let target = target.to_owned();
        Self {
            route,
            target,
            authority,
            timeout: TIMEOUT,
            answer_bytes_max: ANSWER_BYTES_MAX,
            kept: Mutex::new(None),
        }
    }

    /// Sets how long [`Client::send`] waits, from the connect to the last byte of the answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how much of an answer's body is read, where all that may come is known to be short.
    #[must_use]
    pub fn with_answer_bytes_max(mut self, bytes_max: usize) -> Self {
        self.answer_bytes_max = bytes_max;
        self
    }

    /// Sends a request and reads the whole answer, of at most [`ANSWER_BYTES_MAX`] bytes or what
    /// [`Client::with_answer_bytes_max`] says.
    ///
    /// `path` begins with `/` and may have a query. `Host` is set here; `Content-Length` too.
    ///
    /// # Errors
    /// [`NetError::Connect`]: nothing was sent. [`NetError::Exchange`], [`NetError::TimedOut`],
    /// [`NetError::AnswerTooLarge`]: the request may have taken effect.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), NetError> {
        let uri = Uri::try_from(path).map_err(|_| url_error(path, "the path does not parse"))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.send_request(request, self.timeout).await
    }

    /// As [`Client::send`], with a timeout of its own.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_request(
        &self,
        mut request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), NetError> {
        let uri = request.uri();
        if uri.scheme().is_some() || uri.authority().is_some() || !uri.path().starts_with('/') {
            return Err(url_error(
                &uri.to_string(),
                "a request names a path that begins with /",
            ));
        }
        request
            .headers_mut()
            .insert(header::HOST, self.authority.clone());
        // Dropping the exchange closes its connection: what is half read is never used again.
        match tokio::time::timeout(timeout, self.exchange(request.map(Full::new))).await {
            Ok(answer) => answer,
            Err(_) => Err(NetError::TimedOut {
                target: self.target.clone(),
                after: timeout,
            }),
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), NetError> {
        let (response, sender) = self.deliver(request).await?;
        let (head, body) = response.into_parts();
        let bytes_max = self.answer_bytes_max;
        let body = match Limited::new(body, bytes_max).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(cause) if cause.is::<LengthLimitError>() => {
                let target = self.target.clone();
                return Err(NetError::AnswerTooLarge { target, bytes_max });
            }
            Err(cause) => return Err(self.broken(cause)),
        };
        *self.kept.lock() = Some(sender);
        Ok((head.status, head.headers, body))
    }

    /// Sends on the kept connection, or on a new one if the kept one did not take the request.
    async fn deliver(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, SendRequest<Full<Bytes>>), NetError> {
        let mut request = request;
        let kept = self.kept.lock().take();
        if let Some(mut sender) = kept
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message() {
                    // It is handed back only if none of it was written.
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(error.into_error())),
                },
            }
        }
        let mut sender = self
            .connect()
            .await
            .map_err(|source| self.unreachable(source))?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok((response, sender)),
            Err(mut error) => match error.take_message() {
                Some(_unsent) => Err(self.unreachable(error.into_error().into())),
                None => Err(self.broken(error.into_error())),
            },
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Cause> {
        match &self.route {
            Route::Https {
                host,
                port,
                name,
                connector,
            } => {
                let tcp = TcpStream::connect((host.as_str(), *port)).await?;
                tcp.set_nodelay(true)?;
                speak(connector.connect(name.clone(), tcp).await?).await
            }
            Route::Plain { host, port } => {
                let tcp = TcpStream::connect((host.as_str(), *port)).await?;
                tcp.set_nodelay(true)?;
                speak(tcp).await
            }
            Route::Unix(path) => speak(UnixStream::connect(path).await?).await,
        }
    }

    fn broken(&self, source: impl Into<Cause>) -> NetError {
        NetError::Exchange {
            target: self.target.clone(),
            source: source.into(),
        }
    }

    fn unreachable(&self, source: Cause) -> NetError {
        NetError::Connect {
            target: self.target.clone(),
            source,
        }
    }
}

async fn speak<T>(stream: T) -> Result<SendRequest<Full<Bytes>>, Cause>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends when the sender is dropped or the server closes; its error reaches the sender.
    tokio::spawn(connection);
    Ok(sender)
}

/// Host without brackets, port, and what goes into the `Host` header.
fn base(
    url: &str,
    scheme: &str,
    default_port: u16,
) -> Result<(String, u16, HeaderValue), NetError> {
    let uri = Uri::try_from(url).map_err(|_| url_error(url, "it does not parse"))?;
    if uri.scheme_str() != Some(scheme) {
        let rule = if scheme == "https" {
            "it must begin with https://"
        } else {
            "it must begin with http://"
        };
        return Err(url_error(url, rule));
    }
    if !matches!(
        uri.path_and_query().map(http::uri::PathAndQuery::as_str),
        None | Some("/")
    ) {
        return Err(url_error(
            url,
            "it must end with the host or port, without a path",
        ));
    }
    let authority = uri
        .authority()
        .ok_or_else(|| url_error(url, "it must name a host"))?;
    if authority.as_str().contains('@') {
        return Err(url_error(url, "it must not hold a user or password"));
    }
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let value = HeaderValue::from_str(authority.as_str())
        .map_err(|_| url_error(url, "it must name a host"))?;
    Ok((host, authority.port_u16().unwrap_or(default_port), value))
}

fn url_error(url: &str, rule: &'static str) -> NetError {
    NetError::Url {
        url: url.to_owned(),
        rule,
    }
}
