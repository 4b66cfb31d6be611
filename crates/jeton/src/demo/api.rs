//! The example API: knows nothing of tokens. It asks jeton about every call, and does as it is told.

use std::{
    convert::Infallible, future::Future, net::SocketAddr, path::Path, pin::Pin, sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::Service};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::talk::Talk;
use crate::{
    http::extract,
    net::{ConnInfo, ConnStats, Express, Limits, Listener, Server, TlsIdentity, server_config},
};

/// The running example.
pub(super) struct Example {
    /// Where it listens.
    pub(super) address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

struct Asking {
    jeton: Talk,
    /// What the API itself shows to jeton: may check, and no more.
    token: String,
    /// Its name in jeton.
    name: String,
}

struct Door {
    asking: Arc<Asking>,
    conn: Arc<ConnInfo>,
}

impl Example {
    /// Starts an API named `name` that asks jeton with `token`.
    pub(super) async fn start(
        name: &str,
        jeton: Talk,
        token: String,
        tls: &Path,
    ) -> anyhow::Result<Self> {
        let identity = TlsIdentity::load(&tls.join("server.pem"), &tls.join("server.key"))?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::tls("example", any, server_config(identity)?).await?;
        let address = listener.local_address();
        let address = address.ok_or_else(|| anyhow::anyhow!("the example has no address"))?;
        let (stop, stopped) = watch::channel(false);
        let asking = Arc::new(Asking {
            jeton,
            token,
            name: name.to_owned(),
        });
        let server = Server {
            limits: Limits::default(),
            stats: Arc::new(ConnStats::default()),
            drain: Duration::from_secs(2),
        };
        let task = tokio::spawn(async move {
            let make = move |conn| Door {
                asking: Arc::clone(&asking),
                conn,
            };
            let summary = server.serve(vec![listener], make, stopped).await;
            tracing::debug!(finished = summary.finished, "the example API is closed");
        });
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Stops it.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        drop(self.task.await);
    }
}

impl Express for Door {}

impl Service<Request<Incoming>> for Door {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (asking, conn) = (Arc::clone(&self.asking), Arc::clone(&self.conn));
        Box::pin(async move { Ok(asking.answer(&conn, &request).await) })
    }
}

impl Asking {
    async fn answer(&self, conn: &ConnInfo, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match self.verdict(conn, request).await {
            Err(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({"error": "jeton cannot be asked"}),
            ),
            Ok(verdict) if verdict.get("allowed") == Some(&Value::Bool(true)) => {
                let you = verdict.get("subject").cloned().unwrap_or_default();
                let did = format!("{} {}", request.method(), request.uri().path());
                (StatusCode::OK, json!({"did": did, "you": you}))
            }
            Ok(verdict) => {
                let status = verdict.get("status").and_then(Value::as_u64);
                let status = status.and_then(|s| u16::try_from(s).ok());
                let status = status.and_then(|s| StatusCode::from_u16(s).ok());
                (status.unwrap_or(StatusCode::UNAUTHORIZED), verdict)
            }
        };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(s) = body.get("retry_after_s").and_then(Value::as_u64) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(s));
        }
        response
    }

    async fn verdict(&self, conn: &ConnInfo, request: &Request<Incoming>) -> anyhow::Result<Value> {
        let presented = extract::credential(request.headers());
        let question = json!({
            "token": presented.as_deref().unwrap_or_default(),
            "api": self.name,
            "method": request.method().as_str(),
            "path": request.uri().path(),
            "address": conn.peer.ip(),
        });
        let said = self
            .jeton
            .say(
                Method::POST,
                "/v1/check",
                Some(&self.token),
                Some(&question),
            )
            .await?;
        // A question that jeton refuses is a path that the API does not have.
        if !said.status.is_success() {
            return Ok(json!({"allowed": false, "status": 404, "code": said.text("code")}));
        }
        Ok(said.body)
    }
}
