//! The service behind every listener: the hot ways first, by hand, then the router of the management API.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use ipnet::IpNet;
use jeton_core::{id::ID_TEXT_LEN, refusal::Refusal};
use tower::ServiceExt as _;

use crate::{
    capability,
    http::{
        caller::Arrival,
        check,
        error::{Problem, ProblemView},
        extract::{self, Fields},
        forward,
        metrics::Metrics,
        setup::Setup,
        tokens::Replays,
    },
    net::{ConnInfo, Express, Whole},
    node::{observe::Observer, start::Node},
};

/// Everything that the doors share.
pub struct Doors {
    /// The node.
    pub node: Arc<Node>,
    /// Where checks tell what they saw.
    pub observer: Observer,
    /// Counters.
    pub metrics: Metrics,
    /// What the rolling audit has seen.
    pub audit: Arc<crate::jobs::audit::Seen>,
    /// Proxies whose word on addresses counts, and who may ask at the forward-auth door.
    pub trusted: Vec<IpNet>,
    /// The setup secret, while there is one.
    pub setup: Setup,
    /// Answers of the last minutes, to repeat to whoever lost them.
    pub replays: Replays,
    /// The node no longer takes new requests.
    pub stopping: std::sync::atomic::AtomicBool,
    /// Connection counters.
    pub conns: Arc<crate::net::ConnStats>,
    /// Whether anybody may read the log's tiles.
    pub tiles_public: bool,
    /// The witnesses, where a policy wants some.
    pub quorum: Option<Arc<crate::node::quorum::Quorum>>,
}

impl Doors {
    /// `Jeton-At-Least: N`: this node must have seen so much of the ledger.
    ///
    /// # Errors
    /// [`Refusal::LedgerBehind`] if it has not; [`Refusal::FieldInvalid`] for what is not a number.
    pub fn node_at_least<F: Fields + ?Sized>(&self, headers: &F) -> Result<(), Problem> {
        let Some(value) = headers.values("jeton-at-least").next() else {
            return Ok(());
        };
        let text = core::str::from_utf8(value).ok();
        let wanted: Option<u64> = text.and_then(|t| t.parse().ok());
        match wanted {
            None => Err(jeton_core::refusal::Blame::field(
                Refusal::FieldInvalid,
                "Jeton-At-Least",
                "a ledger size: a whole number",
            )
            .into()),
            Some(size) if size > self.node.verifier.size() => Err(Refusal::LedgerBehind.into()),
            Some(_) => Ok(()),
        }
    }
}

/// The body of an answer: prepared bytes, or whatever the router made.
pub type AnswerBody = Either<Full<Bytes>, Body>;
/// An answer.
pub type Answer = Response<AnswerBody>;

/// A service for one connection.
pub struct Door {
    doors: Arc<Doors>,
    router: Router,
    conn: Arc<ConnInfo>,
    memo: Arc<check::Memo>,
}

impl Door {
    /// The service of a connection.
    #[must_use]
    pub fn new(doors: Arc<Doors>, router: Router, conn: Arc<ConnInfo>) -> Self {
        Self {
            doors,
            router,
            conn,
            memo: Arc::default(),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (doors, conn) = (Arc::clone(&self.doors), Arc::clone(&self.conn));
        let path = request.uri().path();
        if path == check::PATH && request.method() == Method::POST {
            return {
                let memo = Arc::clone(&self.memo);
                Box::pin(async move { Ok(check::one(&doors, &conn, &memo, request).await) })
            };
        }
        if path == "/v1/check/batch" && request.method() == Method::POST {
            return Box::pin(async move { Ok(check::batch(&doors, &conn, request).await) });
        }
        if path == "/check" || path == "/check/nginx" {
            return Box::pin(async move { Ok(forward::answer(&doors, &conn, &request)) });
        }
        let router = self.router.clone();
        Box::pin(async move { Ok(routed(&doors, conn, router, request).await) })
    }
}

impl Express for Door {
    const IS_EXPRESS: bool = true;

    fn express(&self, request: &Whole<'_>, out: &mut Vec<u8>) -> bool {
        let ours = request.target == check::PATH && request.method == Method::POST.as_str();
        if ours {
            check::express(&self.doors, &self.conn, &self.memo, request, out);
        }
        ours
    }
}

async fn routed(
    doors: &Doors,
    conn: Arc<ConnInfo>,
    router: Router,
    mut request: Request<Incoming>,
) -> Answer {
    let since = capability::stopwatch();
    let arrival = arrival(doors, conn, request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let smuggled = extract::underscored(request.headers());
    request.extensions_mut().insert(arrival.clone());
    let response = if smuggled {
        axum::response::IntoResponse::into_response(Problem::of(Refusal::CredentialAmbiguous))
    } else {
        let answered = router.oneshot(request.map(Body::new)).await;
        answered.unwrap_or_else(|never| match never {})
    };
    let (mut parts, body) = response.into_parts();
    let problem = parts.extensions.remove::<Box<ProblemView>>();
    let code = problem.as_ref().map(|p| p.code.clone());
    let body = match problem {
        None => Either::Right(body),
        Some(mut view) => {
            view.request_id = Some(arrival.request_id.clone());
            // The router counted the body that this one replaces.
            parts.headers.remove(header::CONTENT_LENGTH);
            Either::Left(Full::from(serde_json::to_vec(&view).unwrap_or_default()))
        }
    };
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id) {
        parts.headers.insert("jeton-request-id", id);
    }
    guard(&mut parts.headers);
    let status = parts.status.as_u16();
    doors.metrics.request(status, since());
    tracing::info!(
        request_id = arrival.request_id,
        method = shown_method(&method),
        path = shown_path(&path),
        status,
        code,
        took_us = u64::try_from(since().as_micros()).unwrap_or(0),
        "request"
    );
    Response::from_parts(parts, body)
}

/// A method as the log may show it: any word can stand in its place, a secret too.
fn shown_method(method: &Method) -> &str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    if known.contains(method) {
        method.as_str()
    } else {
        "other"
    }
}

/// A path as the log may show it: ids and short plain words; a secret that somebody put there is left out.
fn shown_path(path: &str) -> String {
    let plain = |segment: &str| {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        let id = segment.len() == ID_TEXT_LEN && segment.as_bytes().get(3) == Some(&b'_');
        segment.bytes().all(word) && (id || segment.len() <= 24)
    };
    let segments = path.split('/').map(|s| if plain(s) { s } else { "…" });
    segments.collect::<Vec<_>>().join("/")
}

/// Headers that every answer carries.
fn guard(headers: &mut HeaderMap) {
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let own = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(own);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// What the door knows of a request.
#[must_use]
pub fn arrival(doors: &Doors, conn: Arc<ConnInfo>, headers: &HeaderMap) -> Arrival {
    let address = extract::client_address(&conn.peer, headers, &doors.trusted);
    Arrival {
        request_id: request_id(),
        address,
        conn,
    }
}

/// An id for a request: unique in the deployment, and of no meaning.
#[must_use]
pub fn request_id() -> String {
    static PROCESS: OnceLock<[u8; 8]> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let process = PROCESS.get_or_init(capability::draw);
    let n = NEXT.fetch_add(1, Relaxed);
    format!("req_{}{n:06x}", data_encoding::HEXLOWER.encode(process))
}

/// A prepared answer in JSON.
#[must_use]
pub fn json(status: http::StatusCode, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A problem as an answer, where the router is not asked.
#[must_use]
pub fn problem(problem: Problem) -> Answer {
    let (parts, body) = problem_parts(problem);
    Response::from_parts(parts, Either::Left(Full::from(body)))
}

/// A problem as a whole HTTP/1.1 message, where not even hyper is asked.
pub fn problem_whole(problem: Problem, date: &str, out: &mut Vec<u8>) {
    let (parts, body) = problem_parts(problem);
    let mut put = |pieces: &[&[u8]]| {
        for piece in pieces {
            out.extend_from_slice(piece);
        }
    };
    let reason = parts.status.canonical_reason().unwrap_or_default();
    put(&[
        b"HTTP/1.1 ",
        parts.status.as_str().as_bytes(),
        b" ",
        reason.as_bytes(),
        b"\r\n",
    ]);
    for (name, value) in &parts.headers {
        put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    let length = body.len().to_string();
    put(&[
        b"content-length: ",
        length.as_bytes(),
        b"\r\ndate: ",
        date.as_bytes(),
        b"\r\n\r\n",
        &body,
    ]);
}

fn problem_parts(problem: Problem) -> (http::response::Parts, Vec<u8>) {
    let id = request_id();
    let response = axum::response::IntoResponse::into_response(problem);
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let view = parts.extensions.remove::<Box<ProblemView>>();
    let body = view.map(|mut view| {
        view.request_id = Some(id.clone());
        serde_json::to_vec(&view).unwrap_or_default()
    });
    if let Ok(id) = HeaderValue::from_str(&id) {
        parts.headers.insert("jeton-request-id", id);
    }
    guard(&mut parts.headers);
    (parts, body.unwrap_or_default())
}
