//! A whole authority for programs that test it from outside: a tenant with things to work on, one JSON line that
//! says where it is and with which tokens, and an end when standard input closes.
//!
//! `serve_for_tests DIRECTORY`: the directory must be empty or absent; it gets the data, and the served description as
//! `openapi.json`. For tests only: it prints secrets.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "for tests: it stops at the first surprise"
)]

use std::{io::Read as _, path::PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use jeton::{
    config::Config,
    net::{Client, Roots},
    serve,
};
use jeton_store::sqlite::Durability;
use serde_json::{Value, json};

struct Caller {
    client: Client,
    token: String,
}

impl Caller {
    /// Sends an order that must succeed.
    async fn order(&self, method: Method, path: &str, body: Value) -> Value {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if !self.token.is_empty() {
            let bearer = format!("Bearer {}", self.token);
            let bearer = HeaderValue::from_str(&bearer).expect("a token");
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let body = Bytes::from(body.to_string());
        let answer = self.client.send(method, path, headers, body).await;
        let (status, _, bytes) = answer.expect("an answer");
        let text = String::from_utf8_lossy(&bytes);
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_slice(&bytes).expect("JSON")
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = PathBuf::from(std::env::args().nth(1).expect("a directory"));
    let config = Config {
        data_dir: dir.join("data"),
        listen: "127.0.0.1:0".to_owned(),
        connections_per_ip_max: 4096,
        ..Config::default()
    };
    let running = serve::start(&config, Durability::Full).await?;
    let ca = running.ca_pem.clone().expect("the local CA");
    let url = format!("https://{}", running.address);
    let caller = |token: String| {
        let client = Client::https(&url, Roots::File(&ca)).expect("a client");
        Caller { client, token }
    };
    let (secret, _) = running.setup.as_ref().expect("a setup secret");
    let setup = json!({"secret": secret.expose_secret()});
    let nobody = caller(String::new());
    let operator = nobody.order(Method::POST, "/v1/setup", setup).await;
    let system = text(&operator["tenant"]);
    let operator = caller(text(&operator["secret"]));
    let order = json!({"prefix": "acme"});
    let tenant = operator.order(Method::POST, "/v1/tenants", order).await;
    let admin = caller(text(&tenant["secret"]));
    let spare = json!({"prefix": "spare"});
    let spare = operator.order(Method::POST, "/v1/tenants", spare).await;
    let world = furnish(&admin).await;
    let (path, none) = ("/openapi.json", Bytes::new());
    let described = nobody
        .client
        .send(Method::GET, path, HeaderMap::new(), none);
    std::fs::write(dir.join("openapi.json"), described.await?.2)?;
    println!(
        "{}",
        json!({
            "url": url, "ca": ca, "operator": operator.token, "admin": admin.token,
            "admin_app": tenant["app"], "admin_token": tenant["token"], "tenant": tenant["tenant"], "system": system,
            "spare_tenant": spare["tenant"], "world": world,
        })
    );
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await??;
    running.stop().await;
    Ok(())
}

/// One of each thing, so that there is something to find.
async fn furnish(admin: &Caller) -> Value {
    let post = Method::POST;
    let order = json!({
        "name": "docs", "audience": "https://docs.example.test",
        "scopes": [{"name": "read", "description": "Read documents.", "default": true}, {"name": "write"}],
    });
    let api = admin.order(post.clone(), "/v1/apis", order).await;
    let path = format!("/v1/apis/{}/routes", text(&api["id"]));
    let routes = json!({
        "hosts": ["docs.example.test"],
        "routes": [{"method": "GET", "path": "/documents/*", "scopes": ["read"]}],
    });
    admin.order(Method::PUT, &path, routes).await;
    let grants = json!([{"api": "docs", "scopes": ["read", "write"]}]);
    let order = json!({"name": "editor", "permit": {"grants": grants}});
    let role = admin.order(post.clone(), "/v1/roles", order).await;
    let order = json!({"roles": ["editor"], "name": "Ada", "metadata": {"team": "one"}});
    let user = admin.order(post.clone(), "/v1/users", order).await;
    let order = json!({"sponsor": user["id"], "permit": {"grants": grants}, "name": "bot"});
    let app = admin.order(post.clone(), "/v1/apps", order).await;
    let order = json!({"class": "key", "subject": user["id"], "grants": grants});
    let token = admin.order(post.clone(), "/v1/tokens", order.clone()).await;
    let found = admin.order(post.clone(), "/v1/tokens", order.clone()).await;
    let shown = admin.order(post.clone(), "/v1/tokens", order).await;
    let own = json!([{"api": "jeton", "scopes": ["jeton:tokens:own"]}]);
    let order =
        json!({"name": "self-service", "permit": {"grants": own, "give": {"grants": grants}}});
    admin.order(post.clone(), "/v1/roles", order).await;
    let order = json!({"roles": ["self-service"]});
    let holder = admin.order(post.clone(), "/v1/users", order).await;
    let order = json!({"class": "pat", "subject": holder["id"], "grants": own});
    let rotated = admin.order(post, "/v1/tokens", order).await;
    json!({
        "api": api["id"], "role": role["id"], "user": user["id"], "app": app["id"],
        "token": token["token"]["id"], "found": found["secret"], "shown": shown["secret"],
        "rotated": rotated["secret"],
    })
}
