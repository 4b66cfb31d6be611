//! The few requests that a witness answers (c2sp.org/tlog-witness, "HTTP Interface").

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use jeton_core::refusal::Refusal;
use jeton_store::StoreError;
use jeton_tlog::{ADD_CHECKPOINT_BYTES_MAX, WitnessRefusal};

use super::state::{AddError, Witness};
use crate::{http::extract::read_body, net::Express};

/// The type of the body that tells the last size, as the specification names it.
pub const SIZE_TYPE: &str = "text/x.tlog.size";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

type Answer = Response<Full<Bytes>>;

/// A service for one connection.
pub struct Door {
    witness: Arc<Witness>,
}

impl Door {
    /// The service of a connection.
    #[must_use]
    pub const fn new(witness: Arc<Witness>) -> Self {
        Self { witness }
    }
}

impl Express for Door {}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let witness = Arc::clone(&self.witness);
        Box::pin(async move { Ok(answer(witness, request).await) })
    }
}

async fn answer(witness: Arc<Witness>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path();
    let (method, posts) = (request.method(), path == "/add-checkpoint");
    if posts && method == Method::POST {
        return add(witness, request).await;
    }
    let allowed = if posts { Method::POST } else { Method::GET };
    if *method != allowed {
        let words = text(StatusCode::METHOD_NOT_ALLOWED, "not this method\n");
        return with(words, header::ALLOW, allowed.as_str());
    }
    match path {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/vkey" => text(StatusCode::OK, format!("{}\n", witness.key().witness())),
        _ => match origin_hash(path) {
            Some(hash) => latest(&witness, &hash),
            None => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        },
    }
}

/// `/<lower-case hex of SHA-256(origin)>/checkpoint`.
fn origin_hash(path: &str) -> Option<[u8; 32]> {
    let hex = path.strip_prefix('/')?.strip_suffix("/checkpoint")?;
    let hash = HEXLOWER.decode(hex.as_bytes()).ok()?;
    hash.try_into().ok()
}

fn latest(witness: &Witness, hash: &[u8; 32]) -> Answer {
    match witness.latest(hash) {
        Some(note) => {
            let body = text(StatusCode::OK, note);
            with(body, header::CACHE_CONTROL, "no-cache")
        }
        None => text(StatusCode::NOT_FOUND, "never cosigned\n"),
    }
}

async fn add(witness: Arc<Witness>, request: Request<Incoming>) -> Answer {
    let body = match read_body(request.into_body(), ADD_CHECKPOINT_BYTES_MAX).await {
        Ok(body) => body,
        Err(Refusal::BodyTooLarge) => {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "at most 16384 bytes\n");
        }
        Err(_) => return text(StatusCode::BAD_REQUEST, "the body did not come\n"),
    };
    // It waits for the disk. A caller that goes away does not stop it halfway: it runs to its end.
    let added = tokio::task::spawn_blocking(move || witness.add(&body)).await;
    match added {
        Ok(Ok(line)) => text(StatusCode::OK, line),
        Ok(Err(error)) => refused(&error),
        Err(error) => unavailable(&error),
    }
}

/// The status of each no, as the specification has them.
fn refused(error: &AddError) -> Answer {
    let refusal = match error {
        AddError::Request(why) => return text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        AddError::Refused(refusal) => refusal,
        AddError::Store(store @ StoreError::Disk { .. }) => fatal(store),
        AddError::Store(_) | AddError::Sign(_) | AddError::Note(_) => return unavailable(error),
    };
    let status = match refusal {
        WitnessRefusal::Malformed(_) | WitnessRefusal::Shrunk { .. } => StatusCode::BAD_REQUEST,
        WitnessRefusal::UnknownLog { .. } => StatusCode::NOT_FOUND,
        WitnessRefusal::NotSigned(_) => StatusCode::FORBIDDEN,
        WitnessRefusal::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY,
        WitnessRefusal::Conflict { size } => {
            let body = text(StatusCode::CONFLICT, format!("{size}\n"));
            return with(body, header::CONTENT_TYPE, SIZE_TYPE);
        }
    };
    text(status, format!("{refusal}\n"))
}

/// Whether the disk holds what was signed is not known any more: only a new start can tell.
fn fatal(error: &StoreError) -> ! {
    let cause = core::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, cause, "the witness cannot go on: the process ends and must start anew");
    std::process::abort();
}

fn unavailable(error: &dyn core::error::Error) -> Answer {
    let cause = error.source().map(ToString::to_string);
    tracing::error!(%error, cause, "a request cannot be answered");
    text(StatusCode::SERVICE_UNAVAILABLE, "not now\n")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    with(answer, header::CONTENT_TYPE, TEXT_TYPE)
}

fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
