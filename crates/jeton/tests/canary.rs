//! Promise 5: a stolen database, replica, backup or log holds no usable token. Marked secrets go through every door of the
//! real binary, also where they do not belong, with everything logged at trace level; then every byte that it left anywhere
//! is searched for them.
//!
//! `JETON_TOKENS=10000` is the full form (the gate `canary`); `JETON_CONTROL=1` puts one secret into the log: it must fail.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "helpers of a test"
)]

mod common;
#[path = "canary/search.rs"]
mod search;
#[path = "canary/server.rs"]
mod server;

use std::{fs, io::Write as _, path::Path};

use bytes::Bytes;
use common::{Said, send};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt as _, Full};
use jeton::net::Client;
use search::{Wanted, files};
use serde_json::{Value, json};
use server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[expect(
    clippy::disallowed_methods,
    reason = "the gate tells the test what to do"
)]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What was planted, and what was answered where no secret belongs.
#[derive(Default)]
struct Heap {
    secrets: Vec<String>,
    answers: Vec<u8>,
    refused: u64,
}

impl Heap {
    /// Keeps an answer that must not show a secret.
    fn keep(&mut self, said: &Said) {
        self.answers
            .extend_from_slice(format!("{:?}\n", said.headers).as_bytes());
        self.answers.extend_from_slice(&said.bytes);
        self.answers.push(b'\n');
        self.refused += u64::from(said.status.is_client_error());
    }

    fn plant(&mut self, said: &Said) -> String {
        let secret = said.text("/secret");
        self.secrets.push(secret.clone());
        secret
    }
}

async fn ask(client: &Client, token: &str, method: &str, path: &str, body: Option<&Value>) -> Said {
    let bearer = format!("Bearer {token}");
    send(client, method, path, &[("authorization", &bearer)], body).await
}

/// Sets up a tenant: the admin's and the operator's token, and the setup secret.
async fn set_up(server: &Server, heap: &mut Heap) -> (String, String, String) {
    let file = server.dir.join("data/setup-secret");
    let setup = fs::read_to_string(&file).unwrap().trim().to_owned();
    let client = &server.client;
    let said = send(
        client,
        "POST",
        "/v1/setup",
        &[],
        Some(&json!({"secret": setup})),
    )
    .await
    .is(201);
    let operator = heap.plant(&said);
    assert!(
        !file.exists(),
        "the setup secret's file stays after it was spent"
    );
    let again = send(
        client,
        "POST",
        "/v1/setup",
        &[],
        Some(&json!({"secret": setup})),
    )
    .await;
    again.refused(401, "setup_spent");
    heap.keep(&again);
    let said = ask(
        client,
        &operator,
        "POST",
        "/v1/tenants",
        Some(&json!({"prefix": "acme"})),
    )
    .await
    .is(201);
    let admin = heap.plant(&said);
    let order = json!({"name": "docs", "audience": "urn:docs",
        "scopes": [{"name": "read", "default": true}, {"name": "write"}]});
    ask(client, &admin, "POST", "/v1/apis", Some(&order))
        .await
        .is(201);
    let api = ask(client, &admin, "GET", "/v1/apis", None).await.is(200);
    let api = api.text("/items/0/id");
    let routes = json!({"hosts": ["docs.test"], "query_parameter": "api_key",
        "routes": [{"path": "/**", "scopes": ["read"]}]});
    ask(
        client,
        &admin,
        "PUT",
        &format!("/v1/apis/{api}/routes"),
        Some(&routes),
    )
    .await
    .is(200);
    (operator, admin, setup)
}

/// The life of many tokens, each used as tokens are.
async fn live(server: &Server, heap: &mut Heap, admin: &str, many: usize) -> Vec<String> {
    let client = &server.client;
    let permit = json!({"grants": [{"api": "docs", "scopes": ["read", "write"]},
        {"api": "jeton", "scopes": ["jeton:tokens:own", "jeton:check"]}]});
    let order = json!({"name": "reader", "permit": permit});
    ask(client, admin, "POST", "/v1/roles", Some(&order))
        .await
        .is(201);
    let order = json!({"roles": ["reader"], "name": "canarymarker00000000000000000001"});
    let user = ask(client, admin, "POST", "/v1/users", Some(&order))
        .await
        .is(201)
        .text("/id");
    let grants = &permit["grants"];
    let mut current = Vec::new();
    for n in 0..many {
        let order = json!({"class": if n % 3 == 0 { "pat" } else { "key" }, "subject": user, "grants": grants});
        let bearer = format!("Bearer {admin}");
        let once = format!("order-{n}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("idempotency-key", once.as_str()),
        ];
        let said = send(client, "POST", "/v1/tokens", &headers, Some(&order))
            .await
            .is(201);
        let (id, mut secret) = (said.text("/token/id"), heap.plant(&said));
        if n % 10 == 0 {
            // The answer again, then another secret for the same token.
            let again = send(client, "POST", "/v1/tokens", &headers, Some(&order))
                .await
                .is(201);
            assert_eq!(again.text("/secret"), secret);
            let said = ask(
                client,
                &secret,
                "POST",
                "/v1/whoami/rotate",
                Some(&json!({})),
            )
            .await
            .is(200);
            secret = heap.plant(&said);
            let path = format!("/v1/tokens/{id}/rotate");
            let said = ask(client, admin, "POST", &path, Some(&json!({"overlap_s": 0})))
                .await
                .is(200);
            secret.clone_from(&heap.plant(&said));
        }
        let question = json!({"token": secret, "api": "docs", "scopes": ["read"]});
        let said = ask(client, admin, "POST", "/v1/check", Some(&question))
            .await
            .is(200);
        assert_eq!(said.body["allowed"], true);
        heap.keep(&said);
        if n % 7 == 0 {
            uses(server, heap, admin, &id, &secret).await;
        }
        if n % 5 == 0 {
            let path = format!("/v1/tokens/{id}/revoke");
            heap.keep(
                &ask(
                    client,
                    admin,
                    "POST",
                    &path,
                    Some(&json!({"reason": "leaked"})),
                )
                .await
                .is(200),
            );
            heap.keep(
                &ask(client, &secret, "GET", "/v1/whoami", None)
                    .await
                    .is(401),
            );
        } else {
            current.push(secret);
        }
    }
    current
}

/// Every right use of a token.
async fn uses(server: &Server, heap: &mut Heap, admin: &str, id: &str, secret: &str) {
    let client = &server.client;
    heap.keep(&ask(client, secret, "GET", "/v1/whoami", None).await.is(200));
    let basic = data_encoding::BASE64.encode(format!("user:{secret}").as_bytes());
    let basic = format!("Basic {basic}");
    heap.keep(
        &send(
            client,
            "GET",
            "/v1/whoami",
            &[("authorization", &basic)],
            None,
        )
        .await
        .is(200),
    );
    heap.keep(
        &send(client, "GET", "/v1/whoami", &[("x-api-key", secret)], None)
            .await
            .is(200),
    );
    let shown = json!({"token": secret});
    heap.keep(
        &ask(client, admin, "POST", "/v1/tokens/find", Some(&shown))
            .await
            .is(200),
    );
    heap.keep(
        &ask(client, admin, "GET", &format!("/v1/tokens/{id}"), None)
            .await
            .is(200),
    );
    heap.keep(
        &ask(
            client,
            admin,
            "GET",
            &format!("/v1/events?token={id}"),
            None,
        )
        .await
        .is(200),
    );
    let batch =
        json!({"checks": [{"token": secret, "api": "docs"}, {"token": secret, "api": "nothing"}]});
    heap.keep(&ask(client, admin, "POST", "/v1/check/batch", Some(&batch)).await);
    let proxy = Client::unix(&server.socket);
    let bearer = format!("Bearer {secret}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-forwarded-host", "docs.test"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/a/b?c=d"),
    ];
    heap.keep(&send(&proxy, "GET", "/check", &headers, None).await.is(204));
    // In the query, and in the query and the header, over either protocol.
    let uri = format!("/a/b?c=d&api_key={secret}");
    let mut in_query = headers;
    in_query[3].1 = &uri;
    for (lines, status) in [(&in_query[1..], 204), (&in_query[..], 400)] {
        let said = send(&proxy, "GET", "/check", lines, None).await;
        heap.keep(&said.is(status));
        let said = http2(&server.socket, "GET", "/check", lines, "").await;
        heap.keep(&said.is(status));
    }
    heap.keep(
        &http2(&server.socket, "GET", "/v1/whoami", &headers[..1], "")
            .await
            .is(200),
    );
}

/// One request over HTTP/2 by prior knowledge: another parser, another table of headers, other log lines.
async fn http2(
    socket: &Path,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Said {
    let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    let running = tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    drop(sender);
    running.await.unwrap().unwrap();
    Said {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        bytes,
    }
}

/// Every wrong place: what is put there must not come back, nor stay.
async fn misplace(server: &Server, heap: &mut Heap, admin: &str, secret: &str) {
    let client = &server.client;
    let orders: Vec<(&str, &str)> = vec![
        ("POST", "/v1/tokens"),
        ("POST", "/v1/tokens/find"),
        ("POST", "/v1/tokens/cut-off"),
        ("POST", "/v1/users"),
        ("POST", "/v1/apps"),
        ("POST", "/v1/roles"),
        ("POST", "/v1/apis"),
        ("PUT", "/v1/policies/key"),
        ("POST", "/v1/check"),
        ("POST", "/v1/check/batch"),
        ("POST", "/v1/setup"),
        ("POST", "/v1/revoke"),
        ("POST", "/v1/whoami/rotate"),
    ];
    for (method, path) in orders {
        for body in bodies(secret) {
            let said = raw(client, admin, method, path, &[], body).await;
            assert!(
                said.status.is_client_error(),
                "{method} {path}: {}",
                said.body
            );
            heap.keep(&said);
        }
    }
    for (method, path, body) in fields(secret) {
        let said = ask(client, admin, method, path, Some(&body)).await;
        assert!(
            said.status.is_client_error() || path == "/v1/check",
            "{path} {body}: {}",
            said.body
        );
        heap.keep(&said);
    }
    for path in paths(secret) {
        for method in ["GET", "POST", "DELETE"] {
            heap.keep(&raw(client, admin, method, &path, &[], Vec::new()).await);
            heap.keep(&http2(&server.socket, method, &path, &[], "").await);
        }
    }
    for (name, value) in headers(secret) {
        heap.keep(
            &raw(
                client,
                admin,
                "GET",
                "/v1/roles",
                &[(name, &value)],
                Vec::new(),
            )
            .await,
        );
        let order = br#"{"class":"key","subject":"usr_"}"#.to_vec();
        heap.keep(
            &raw(
                client,
                admin,
                "POST",
                "/v1/tokens",
                &[(name, &value)],
                order,
            )
            .await,
        );
        heap.keep(&http2(&server.socket, "GET", "/v1/roles", &[(name, &value)], "").await);
        let proxy = Client::unix(&server.socket);
        heap.keep(
            &raw(
                &proxy,
                admin,
                "GET",
                "/check",
                &[(name, &value)],
                Vec::new(),
            )
            .await,
        );
    }
    // Where a name of jeton's own belongs.
    heap.keep(&raw(client, admin, secret, "/v1/tokens", &[], Vec::new()).await);
    for request in [
        format!("GET /{secret} HTTP/9.9\r\n\r\n"),
        format!("{secret}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{secret}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: x\r\nx: \0{secret}\r\n\r\n"),
        format!("POST /v1/revoke HTTP/1.1\r\nhost: x\r\ncontent-length: {secret}\r\n\r\n"),
        format!(
            "POST /v1/revoke HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{secret}\r\n"
        ),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{secret}{secret}{secret}"),
    ] {
        let mut stream = tokio::net::UnixStream::connect(&server.socket)
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        // Whether it answers or hangs up: what it says is kept.
        drop(stream.read_to_end(&mut heap.answers).await);
    }
    // By possession anybody can end it: the answer is the same whatever it was.
    heap.keep(
        &send(
            client,
            "POST",
            "/v1/revoke",
            &[],
            Some(&json!({"token": secret})),
        )
        .await
        .is(200),
    );
}

fn bodies(secret: &str) -> Vec<Vec<u8>> {
    let long = format!(r#"{{"token":"{secret}","x":"{}"}}"#, "y".repeat(2 << 20));
    [
        format!(r#"{{"{secret}":1}}"#),
        format!(r#"{{"token":{{"{secret}":1}},"api":{{"{secret}":1}},"secret":{{"{secret}":2}}}}"#),
        format!(r#"{{"permit":{{"{secret}":1}},"name":"x","sponsor":"x","audience":"urn:x","scopes":[{{"{secret}":1}}]}}"#),
        format!(r#"{{"class":"key","subject":"x","conditions":{{"{secret}":1}},"checks":[{{"{secret}":1}}]}}"#),
        format!(r#"{{"lifetime_s":"{secret}","reason":["{secret}"],"roles":"{secret}","lifetime_max_s":"{secret}"}}"#),
        format!(r#"{{"overlap_s":"{secret}","everything":"{secret}","permanent":"{secret}","limit":"{secret}"}}"#),
        format!(r#"{{"token":["{secret}"],"secret":["{secret}"],"checks":"{secret}","class":["{secret}"]}}"#),
        format!(r#"{{"token":"{secret}"{secret}}}"#),
        format!(r#"{{"token":"{secret}"#),
        format!(r#"["{secret}", {{"{secret}":"{secret}"}}]"#),
        format!("\"{secret}\""),
        secret.to_owned(),
        format!("{}{secret}", "[".repeat(40)),
        long,
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}

/// Right types, but a secret where a name or an id belongs.
fn fields(secret: &str) -> Vec<(&'static str, &'static str, Value)> {
    let grant = |api: &str, scope: &str, resource: &str| json!({"grants": [{"api": api, "scopes": [scope], "resources": [resource]}]});
    let order = |more: Value| {
        let mut order = json!({"class": "key", "subject": "usr_06hhgq2g01r010000000000000"});
        order
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        order
    };
    vec![
        (
            "POST",
            "/v1/tokens",
            json!({"class": secret, "subject": "x"}),
        ),
        (
            "POST",
            "/v1/tokens",
            json!({"class": "key", "subject": secret}),
        ),
        ("POST", "/v1/tokens", order(grant(secret, "read", "**"))),
        ("POST", "/v1/tokens", order(grant("docs", secret, "**"))),
        (
            "POST",
            "/v1/tokens",
            order(grant("docs", "read", &format!("{secret}*"))),
        ),
        (
            "POST",
            "/v1/tokens",
            order(json!({"conditions": {"networks": [secret]}})),
        ),
        (
            "POST",
            "/v1/tokens",
            order(json!({"conditions": {"methods": [secret]}})),
        ),
        (
            "POST",
            "/v1/tokens",
            order(json!({"conditions": {"paths": [format!("{secret}*x")]}})),
        ),
        ("POST", "/v1/tokens", order(json!({"expires_at": secret}))),
        ("POST", "/v1/tokens/cut-off", json!({"subject": secret})),
        (
            "POST",
            "/v1/tokens/cut-off",
            json!({"everything": true, "reason": secret}),
        ),
        ("POST", "/v1/users", json!({"roles": [secret]})),
        ("POST", "/v1/apps", json!({"sponsor": secret, "permit": {}})),
        ("POST", "/v1/roles", json!({"name": secret, "permit": {}})),
        (
            "POST",
            "/v1/apis",
            json!({"name": secret, "audience": "urn:x"}),
        ),
        ("POST", "/v1/apis", json!({"name": "x", "audience": secret})),
        ("POST", "/v1/setup", json!({"secret": secret})),
        ("POST", "/v1/check", json!({"token": secret, "api": secret})),
        (
            "POST",
            "/v1/check",
            json!({"token": secret, "api": "docs", "scopes": [secret]}),
        ),
        (
            "POST",
            "/v1/check",
            json!({"token": secret, "api": "docs", "resource": secret,
            "method": secret, "path": format!("/{secret}")}),
        ),
        (
            "POST",
            "/v1/check",
            json!({"token": secret, "api": "docs", "scopes": ["read"],
            "address": secret}),
        ),
    ]
}

fn paths(secret: &str) -> Vec<String> {
    vec![
        format!("/{secret}"),
        format!("/v1/{secret}"),
        format!("/v1/tokens/{secret}"),
        format!("/v1/tokens/{secret}/revoke"),
        format!("/v1/users/{secret}"),
        format!("/v1/policies/{secret}"),
        format!("/v1/tenants/{secret}/{secret}"),
        format!("/refusals/{secret}"),
        format!("/v1/tokens/tok_{}", secret.rsplit('_').next().unwrap()),
        format!(
            "/v1/tokens/tok_{}",
            &secret.rsplit('_').next().unwrap().to_lowercase()[..26]
        ),
        format!("/v1/tokens?cursor={secret}"),
        format!("/v1/tokens?subject={secret}"),
        format!("/v1/tokens?limit={secret}"),
        format!("/v1/tokens?{secret}=1"),
        format!("/v1/tokens?{secret}"),
        format!("/v1/events?token={secret}"),
        format!("/v1/users?cursor={secret}&{secret}={secret}"),
        format!("/healthz?access_token={secret}"),
        format!("/check?access_token={secret}"),
        format!("/check?api_key={secret}"),
        format!("/v1/whoami?api_key={secret}"),
        format!("/v1/check?token={secret}"),
    ]
}

fn headers(secret: &str) -> Vec<(&'static str, String)> {
    let bearer = |t: &str| format!("Bearer {t}");
    vec![
        ("user-agent", secret.to_owned()),
        ("referer", format!("https://x.test/?t={secret}")),
        ("cookie", format!("session={secret}")),
        ("x-request-id", secret.to_owned()),
        ("traceparent", secret.to_owned()),
        ("x-forwarded-for", secret.to_owned()),
        ("x-forwarded-host", secret.to_owned()),
        ("x-forwarded-uri", format!("/{secret}?{secret}")),
        ("x-forwarded-method", secret.to_owned()),
        ("idempotency-key", secret.to_owned()),
        ("idempotency-key", format!("{secret} {secret}")),
        ("jeton-at-least", secret.to_owned()),
        ("content-type", format!("application/{secret}")),
        ("content-encoding", secret.to_owned()),
        ("accept", secret.to_owned()),
        ("expect", secret.to_owned()),
        ("dpop", secret.to_owned()),
        ("x_api_key", secret.to_owned()),
        ("x-api-key", secret.to_owned()),
        ("authorization", secret.to_owned()),
        ("authorization", format!("Token {secret}")),
        ("authorization", format!("DPoP {secret}")),
        ("authorization", format!("Basic {secret}")),
        ("authorization", bearer(&format!("{secret}x"))),
        ("authorization", bearer(&secret[..secret.len() - 1])),
    ]
}

/// Sends any bytes.
#[expect(clippy::too_many_arguments, reason = "a request is all of these")]
async fn raw(
    client: &Client,
    token: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Said {
    let mut map = HeaderMap::new();
    if !headers
        .iter()
        .any(|(n, _)| matches!(*n, "authorization" | "x-api-key"))
    {
        map.insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    if !map.contains_key("content-type") {
        map.insert("content-type", HeaderValue::from_static("application/json"));
    }
    let method: Method = method.parse().unwrap();
    let sent = client.send(method, path, map, Bytes::from(body)).await;
    // A body that is too large may be cut off in the middle: then there is no answer to look at.
    let (status, headers, bytes) = sent.unwrap_or((
        http::StatusCode::PAYLOAD_TOO_LARGE,
        HeaderMap::new(),
        Bytes::new(),
    ));
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Said {
        status,
        headers,
        body,
        bytes,
    }
}

/// What may be read by those who may read: it must not hold a secret either.
async fn read_everything(server: &Server, heap: &mut Heap, admin: &str, operator: &str) {
    let client = &server.client;
    for token in [admin, operator] {
        for path in [
            "/metrics",
            "/openapi.json",
            "/v1/roles",
            "/v1/apis",
            "/v1/policies",
            "/v1/tenants",
        ] {
            heap.keep(&ask(client, token, "GET", path, None).await);
        }
        for list in ["/v1/tokens", "/v1/users", "/v1/apps", "/v1/events"] {
            let mut path = format!("{list}?limit=200");
            loop {
                let said = ask(client, token, "GET", &path, None).await.is(200);
                heap.keep(&said);
                let Some(next) = said.body["next"].as_str() else {
                    break;
                };
                path = format!("{list}?limit=200&cursor={next}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_anywhere_but_in_the_answer_that_shows_it() {
    let many = told("JETON_TOKENS")
        .and_then(|n| n.parse().ok())
        .unwrap_or(100);
    let control = told("JETON_CONTROL").as_deref() == Some("1");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), 1).await;
    let mut heap = Heap::default();
    let (operator, admin, setup) = set_up(&server, &mut heap).await;
    let mut current = live(&server, &mut heap, &admin, many).await;
    let misplaced = current.split_off(current.len() - 3);
    for secret in &misplaced {
        misplace(&server, &mut heap, &admin, secret).await;
    }
    read_everything(&server, &mut heap, &admin, &operator).await;

    let mut wanted = Wanted::default();
    for secret in &heap.secrets {
        wanted.token(secret);
    }
    wanted.text(&setup, 0);
    let kek = fs::read_to_string(dir.path().join("kek/key")).unwrap();
    wanted.raw(
        &data_encoding::HEXLOWER
            .decode(kek.trim().as_bytes())
            .unwrap(),
    );

    let mut found: Vec<String> = wanted.found(&server.proc());
    found.extend(
        wanted
            .found(&heap.answers)
            .iter()
            .map(|s| format!("in an answer: {s}")),
    );
    // While it runs: the write-ahead log is not yet folded into the database.
    let mut bytes = look(&wanted, &server.dir.join("data"), &mut found);
    let (log, out) = server.stop().await;
    if control {
        let mut log = fs::OpenOptions::new().append(true).open(&log).unwrap();
        writeln!(log, "presented {}", misplaced[0]).unwrap();
    }
    bytes += look(&wanted, &dir.path().join("data"), &mut found);
    bytes += look(&wanted, &dir.path().join("log"), &mut found);
    let lines = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .filter(|l| l.contains("TRACE"))
        .count();
    println!(
        "canary: {{\"secrets\":{},\"bytes_searched\":{bytes},\"trace_lines\":{lines},\"refused\":{},\"hits\":{}}}",
        heap.secrets.len(),
        heap.refused,
        found.len()
    );
    found.sort();
    found.dedup();
    assert!(
        found.is_empty(),
        "{} hits:\n{}",
        found.len(),
        found[..found.len().min(20)].join("\n")
    );

    // The search searches: what belongs into the store is found there, and the log is at trace level.
    let mut marker = Wanted::default();
    marker.text("canarymarker00000000000000000001", 0);
    let mut seen = Vec::new();
    look(&marker, &dir.path().join("data"), &mut seen);
    assert!(
        !seen.is_empty(),
        "a name is not found in the data directory"
    );
    assert!(lines > 1000, "{lines} trace lines in {}", log.display());
    assert!(heap.refused > 500, "{}", heap.refused);
    drop(out);

    thieves(dir.path(), &current, &admin).await;
}

fn look(wanted: &Wanted, dir: &Path, found: &mut Vec<String>) -> u64 {
    let mut bytes = 0;
    for path in files(dir) {
        bytes += fs::metadata(&path).map_or(0, |m| m.len());
        let told = |s: String| format!("{}: {s}", path.display());
        found.extend(wanted.found_in(&path).into_iter().map(told));
    }
    bytes
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let to = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&path, &to).unwrap();
    }
}

/// A stolen data directory starts nowhere without its key; with it, it is the authority.
async fn thieves(dir: &Path, current: &[String], admin: &str) {
    let stolen = tempfile::tempdir().unwrap();
    copy(&dir.join("data"), &stolen.path().join("data"));
    let said = server::must_not_start(stolen.path()).await;
    assert!(said.contains("key"), "{said}");
    assert!(
        !stolen.path().join("kek/key").exists(),
        "a key was made for a keyring that has one"
    );
    // Nor with a key of the thief's own.
    fs::create_dir_all(stolen.path().join("kek")).unwrap();
    let own = stolen.path().join("kek/key");
    fs::write(&own, "07".repeat(32)).unwrap();
    fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let said = server::must_not_start(stolen.path()).await;
    assert!(said.contains("does not open"), "{said}");
    // Nor without the keyring: another one does not fit the ledger.
    fs::remove_file(stolen.path().join("data/keyring")).unwrap();
    let said = server::must_not_start(stolen.path()).await;
    assert!(said.contains("key"), "{said}");
    // With its key the same bytes start, and know the tokens: it was the key that was missing.
    let digests = digests(&stolen.path().join("data/ledger.db"));
    let server = Server::start(dir, 2).await;
    for secret in current.iter().take(5) {
        ask(&server.client, secret, "GET", "/v1/whoami", None)
            .await
            .is(200);
    }
    digests_authenticate_nothing(&server, admin, &digests).await;
    server.stop().await;
}

/// The digests of all tokens in a stolen database.
fn digests(db: &Path) -> Vec<[u8; 32]> {
    use jeton_core::event::{Event, Record};
    use jeton_store::{Continue, Reader as _, sqlite::SqliteReader};
    let mut reader = SqliteReader::open(db).unwrap();
    let mut out = Vec::new();
    let read = reader.events(0, &mut |stored| {
        let (_, bytes) = stored.opening.unwrap();
        let record: Record = minicbor::decode(&bytes).unwrap();
        if let Event::TokenIssued { digest, .. } | Event::TokenRotated { digest, .. } = record.event
        {
            out.push(*digest.bytes());
        }
        Ok(Continue::Yes)
    });
    read.unwrap();
    out
}

/// What is kept in place of a token opens nothing, however it is written.
async fn digests_authenticate_nothing(server: &Server, admin: &str, digests: &[[u8; 32]]) {
    use jeton_core::token::text::{Class, Prefix, TextDraw, mint};
    assert!(digests.len() > 50);
    for digest in digests.iter().take(40) {
        let mut draw = [0; 64];
        draw[..32].copy_from_slice(digest);
        draw[32..].copy_from_slice(digest);
        let shaped = mint(Prefix::parse(b"acme").unwrap(), Class::Key, &TextDraw(draw));
        let shaped = shaped
            .map(|s| s.expose_secret().to_owned())
            .unwrap_or_default();
        for text in [
            data_encoding::HEXLOWER.encode(digest),
            data_encoding::BASE64.encode(digest),
            data_encoding::BASE64URL_NOPAD.encode(digest),
            shaped,
        ] {
            let question = json!({"token": text, "api": "docs"});
            let said = ask(&server.client, admin, "POST", "/v1/check", Some(&question)).await;
            assert_eq!(said.body["code"], "token_unknown");
        }
    }
}
