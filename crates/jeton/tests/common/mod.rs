//! A whole authority for a test: its own directory, its own port, a tenant with an admin, and a client that speaks JSON.

#![expect(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jeton::{
    config::Config,
    jobs::audit::{Means, round},
    net::{Client, Roots},
    node::{
        audit::{self, Reach},
        keyring::Kek,
    },
    serve::{self, Running},
};
use jeton_store::{fsck::Finding, sqlite::Durability};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// An authority with one tenant, `acme`.
pub struct Authority {
    /// Where it lives; gone when the test ends.
    pub dir: tempfile::TempDir,
    /// It.
    pub running: Running,
    /// A client of it.
    pub client: Client,
    /// The operator's token.
    pub operator: String,
    /// The token of the tenant's admin.
    pub admin: String,
    /// The id of the tenant's admin application.
    pub admin_app: String,
    /// The id of the tenant.
    pub tenant: String,
}

/// An answer.
#[derive(Debug)]
pub struct Said {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, `null` if it is not JSON.
    pub body: Value,
    /// Its body as it came.
    pub bytes: Bytes,
}

impl Said {
    /// A text in the body, by JSON pointer.
    pub fn text(&self, pointer: &str) -> String {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found
            .unwrap_or_else(|| panic!("no {pointer} in {}", self.body))
            .to_owned()
    }

    /// Asserts status and refusal.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(
            self.body.get("code").and_then(Value::as_str),
            Some(code),
            "{}",
            self.body
        );
        self
    }

    /// Asserts the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }
}

/// The configuration of a test's authority.
pub fn config(dir: &Path) -> Config {
    Config {
        data_dir: dir.join("data"),
        listen: "127.0.0.1:0".to_owned(),
        unix_socket: Some(dir.join("jeton.sock")),
        ..Config::default()
    }
}

/// A client of a running authority.
pub fn client(running: &Running) -> Client {
    let ca: PathBuf = running.ca_pem.clone().expect("the local CA");
    Client::https(&format!("https://{}", running.address), Roots::File(&ca)).expect("a client")
}

/// Sends a request.
pub async fn send(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Said {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a header name");
        map.append(name, HeaderValue::from_str(value).expect("a header value"));
    }
    if body.is_some() {
        map.entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
    }
    let bytes = body.map(|b| Bytes::from(b.to_string())).unwrap_or_default();
    let method: Method = method.parse().expect("a method");
    let answer = client
        .send(method, path, map, bytes)
        .await
        .expect("an answer");
    let (status, headers, bytes) = answer;
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Said {
        status,
        headers,
        body,
        bytes,
    }
}

impl Authority {
    /// A fresh one.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let running = serve::start(&config(dir.path()), Durability::Full)
            .await
            .expect("a start");
        let client = client(&running);
        let (secret, _) = running.setup.as_ref().expect("a setup secret");
        let setup = json!({"secret": secret.expose_secret()});
        let said = send(&client, "POST", "/v1/setup", &[], Some(&setup))
            .await
            .is(201);
        let operator = said.text("/secret");
        let bearer = format!("Bearer {operator}");
        let order = json!({"prefix": "acme"});
        let authorization = [("authorization", bearer.as_str())];
        let said = send(&client, "POST", "/v1/tenants", &authorization, Some(&order))
            .await
            .is(201);
        let (admin, admin_app, tenant) = (
            said.text("/secret"),
            said.text("/app"),
            said.text("/tenant"),
        );
        Self {
            dir,
            running,
            client,
            operator,
            admin,
            admin_app,
            tenant,
        }
    }

    /// Stops it and starts it again on the same directory.
    pub async fn restart(self) -> Self {
        let config = config(self.dir.path());
        self.restart_as(&config, || ()).await
    }

    /// Stops it, does something to its directory, and starts it again with a configuration.
    pub async fn restart_as(self, config: &Config, between: impl FnOnce()) -> Self {
        self.running.stop().await;
        between();
        let running = serve::start(config, Durability::Full)
            .await
            .expect("a start");
        let client = client(&running);
        Self {
            running,
            client,
            ..self
        }
    }

    /// Nothing is found by `jeton audit` beside it, nor by a round of its own audit.
    pub async fn is_sound(&self) {
        assert_eq!(self.found().await, (Vec::new(), Vec::new()));
    }

    /// What `jeton audit` finds beside it, and a round of its own audit.
    pub async fn found(&self) -> (Vec<Finding>, Vec<Finding>) {
        let node = Arc::clone(&self.running.doors.node);
        let (dir, runtime) = (self.dir.path().join("data"), Handle::current());
        let looked = tokio::task::spawn_blocking(move || {
            let kek = Kek::File(dir.join("kek"));
            let audited = audit::audit(&dir, &kek, None, Reach::Outside(Vec::new())).unwrap();
            let means = Means {
                node: &node,
                runtime: &runtime,
                rest: &|_| true,
                found: &|_| {},
            };
            let round = round(&means).unwrap().unwrap();
            (audited.report.findings, round.findings)
        });
        looked.await.unwrap()
    }

    /// Sends a request with a token.
    pub async fn call(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Said {
        let bearer = format!("Bearer {token}");
        send(
            &self.client,
            method,
            path,
            &[("authorization", bearer.as_str())],
            body,
        )
        .await
    }

    /// Sends an order as the tenant's admin.
    pub async fn order(&self, method: &str, path: &str, body: Value) -> Said {
        self.call(&self.admin, method, path, Some(&body)).await
    }

    /// Founds another tenant: its admin's token.
    pub async fn tenant(&self, prefix: &str) -> Said {
        let order = json!({"prefix": prefix});
        self.call(&self.operator, "POST", "/v1/tenants", Some(&order))
            .await
            .is(201)
    }

    /// Defines an API with these scopes: its id.
    pub async fn api(&self, name: &str, scopes: &[&str]) -> String {
        let scopes: Vec<Value> = scopes.iter().map(|s| json!({"name": s})).collect();
        let audience = format!("https://{name}.example.test");
        let order = json!({"name": name, "audience": audience, "scopes": scopes});
        self.order("POST", "/v1/apis", order)
            .await
            .is(201)
            .text("/id")
    }

    /// Registers a user with a role of these grants: user and role.
    pub async fn user(&self, role: &str, grants: Value) -> (String, String) {
        let order = json!({"name": role, "permit": {"grants": grants}});
        let role_id = self
            .order("POST", "/v1/roles", order)
            .await
            .is(201)
            .text("/id");
        let order = json!({"roles": [role]});
        (
            self.order("POST", "/v1/users", order)
                .await
                .is(201)
                .text("/id"),
            role_id,
        )
    }

    /// Issues a token as the admin: id and secret.
    pub async fn issue(&self, order: Value) -> (String, String) {
        let said = self.order("POST", "/v1/tokens", order).await.is(201);
        (said.text("/token/id"), said.text("/secret"))
    }

    /// Asks about a token at an API with scopes, as the admin.
    pub async fn check(&self, token: &str, api: &str, scopes: &[&str]) -> Value {
        let question = json!({"token": token, "api": api, "scopes": scopes});
        self.order("POST", "/v1/check", question).await.is(200).body
    }
}
