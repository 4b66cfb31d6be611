//! Talking to an authority over HTTPS, as any client would.

use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jeton::{
    config::Config,
    net::{Client, Roots},
    serve::Running,
};
use serde_json::{Value, json};

/// The API that the workload's tokens are for, and the scope that they have there.
pub(crate) const API: &str = "docs";

/// The configuration of an authority in `data`.
pub(crate) fn config(data: &Path) -> Config {
    Config {
        data_dir: data.to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        connections_per_ip_max: 1024,
        ..Config::default()
    }
}

/// One connection.
pub(crate) struct Talk(Client);

impl Talk {
    pub(crate) fn to(running: &Running) -> anyhow::Result<Self> {
        let ca = running.ca_pem.as_ref().context("there is no local CA")?;
        let url = format!("https://{}", running.address);
        Ok(Self(Client::https(&url, Roots::File(ca))?))
    }

    /// Sends an order. `Err`: no answer came.
    pub(crate) async fn say(
        &self,
        token: Option<&str>,
        path: &str,
        order: &Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
            headers.insert(header::AUTHORIZATION, value);
        }
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let body = Bytes::from(order.to_string());
        let (status, _, body) = self.0.send(Method::POST, path, headers, body).await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Sends an order that must succeed.
    pub(crate) async fn order(
        &self,
        token: Option<&str>,
        path: &str,
        order: &Value,
    ) -> anyhow::Result<Value> {
        let (status, body) = self.say(token, path, order).await?;
        anyhow::ensure!(status.is_success(), "{path} answered {status}: {body}");
        Ok(body)
    }
}

/// A text in an answer, by JSON pointer.
pub(crate) fn text(body: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = body.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .with_context(|| format!("no {pointer} in {body}"))
}

/// What surrounds a workload.
#[derive(Clone)]
pub(crate) struct Frame {
    /// The operator's credential.
    pub(crate) operator: String,
    /// The tenant admin's.
    pub(crate) admin: String,
    /// Who owns the tokens.
    pub(crate) user: String,
}

impl Frame {
    /// Redeems the setup secret and founds a tenant with an API, a role and a user. `note` hears of each credential as soon
    /// as it is acknowledged.
    pub(crate) async fn found(
        running: &Running,
        talk: &Talk,
        note: impl Fn(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let (secret, _) = running.setup.as_ref().context("there is no setup secret")?;
        let setup = json!({"secret": secret.expose_secret()});
        let said = talk.order(None, "/v1/setup", &setup).await?;
        let operator = text(&said, "/secret")?;
        note(&operator)?;
        let order = json!({"prefix": "acme"});
        let said = talk.order(Some(&operator), "/v1/tenants", &order).await?;
        let admin = text(&said, "/secret")?;
        note(&admin)?;
        let grants = json!([{"api": API, "scopes": ["read"]}]);
        let orders = [
            (
                "/v1/apis",
                json!({"name": API, "audience": "https://docs.example.test", "scopes": [{"name": "read"}]}),
            ),
            (
                "/v1/roles",
                json!({"name": "reader", "permit": {"grants": grants}}),
            ),
        ];
        for (path, order) in &orders {
            talk.order(Some(&admin), path, order).await?;
        }
        let order = json!({"roles": ["reader"]});
        let said = talk.order(Some(&admin), "/v1/users", &order).await?;
        let user = text(&said, "/id")?;
        Ok(Self {
            operator,
            admin,
            user,
        })
    }

    /// The order of one more token.
    pub(crate) fn issue(&self) -> Value {
        let grants = json!([{"api": API, "scopes": ["read"]}]);
        json!({"class": "key", "subject": self.user, "grants": grants})
    }
}
