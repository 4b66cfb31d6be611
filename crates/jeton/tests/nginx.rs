//! The recipe `deploy/nginx/jeton.conf`, word for word but for addresses and paths, in a real nginx: between it and jeton
//! a tap that keeps what was asked, behind it an application that says what it was sent.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod common;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use common::Authority;
use jeton::{
    net::{Roots, client_config},
    serve,
};
use jeton_store::sqlite::Durability;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/nginx/jeton.conf");
const HOST: &str = "api.example.com";
const IDENTITY: [&str; 10] = [
    "jeton-subject",
    "jeton-subject-kind",
    "jeton-token",
    "jeton-class",
    "jeton-tenant",
    "jeton-scopes",
    "jeton-expires",
    "jeton-ledger-size",
    "jeton-credential-source",
    "jeton-request-id",
];

type Kept = Arc<Mutex<Vec<Vec<u8>>>>;

/// A head as it came over the wire: its first line, and names in lower case with values.
struct Head {
    first: String,
    fields: Vec<(String, String)>,
}

impl Head {
    fn read(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap().to_owned();
        let field = |l: &str| {
            let (name, value) = l.split_once(':').unwrap_or_else(|| panic!("{l}"));
            (name.to_lowercase(), value.trim().to_owned())
        };
        let fields = lines.filter(|l| !l.is_empty()).map(field).collect();
        Self { first, fields }
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let found = self.fields.iter().filter(|(n, _)| n == name);
        found.map(|(_, v)| v.as_str()).collect()
    }

    /// The only value of a name.
    #[track_caller]
    fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {} {:?}", self.first, self.fields);
        all[0]
    }
}

/// What nginx answered.
struct Answer {
    status: u16,
    head: Head,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {text}"))
    }

    /// The head that the application was sent.
    #[track_caller]
    fn seen(&self) -> Head {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        Head::read(self.json()["head"].as_str().unwrap())
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) -> &Self {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.json()["code"], code, "{text}");
        assert_eq!(self.json()["status"], status, "{text}");
        assert_eq!(self.head.one("content-type"), "application/problem+json");
        assert_eq!(self.head.one("cache-control"), "no-store");
        if self.status != 503 {
            assert!(self.head.one("jeton-request-id").starts_with("req_"));
        }
        for name in IDENTITY.iter().filter(|n| **n != "jeton-request-id") {
            assert!(self.head.all(name).is_empty(), "{name}");
        }
        self
    }
}

/// Reads up to the end of a head; what came after it is the start of the body.
async fn read_head(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).unwrap(), body));
        }
        if from.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// The protected application: answers each request with the head that it was sent; keeps what it was asked.
async fn application(kept: Kept) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let Some((head, mut body)) = read_head(&mut stream).await else {
                    return;
                };
                let parsed = Head::read(&head);
                let length = parsed
                    .all("content-length")
                    .first()
                    .map_or(0, |l| l.parse().unwrap());
                while body.len() < length && stream.read_buf(&mut body).await.unwrap() > 0 {}
                kept.lock().unwrap().push(head.clone().into_bytes());
                let own_no = parsed.first.contains("/documents/own-no");
                let status = if own_no { "403 Forbidden" } else { "200 OK" };
                let echo = json!({"head": head, "body_bytes": body.len()}).to_string();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{echo}",
                    echo.len()
                );
                stream.write_all(answer.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            });
        }
    });
    port
}

/// Passes connections on to jeton's socket and keeps what nginx said on each.
fn tap(at: &Path, jeton: PathBuf, kept: Kept) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(at).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let (jeton, kept) = (jeton.clone(), Arc::clone(&kept));
            let slot = {
                let mut all = kept.lock().unwrap();
                all.push(Vec::new());
                all.len() - 1
            };
            tokio::spawn(async move {
                let Ok(mut far) = UnixStream::connect(jeton).await else {
                    return;
                };
                let (mut near_read, mut near_write) = near.split();
                let (mut far_read, mut far_write) = far.split();
                let mut buffer = [0; 16 * 1024];
                let up = async {
                    while let Ok(n @ 1..) = near_read.read(&mut buffer).await {
                        kept.lock().unwrap()[slot].extend_from_slice(&buffer[..n]);
                        if far_write.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                };
                let down = tokio::io::copy(&mut far_read, &mut near_write);
                tokio::select! { () = up => {}, _ = down => {} }
            });
        }
    })
}

/// A running nginx; ends with the test.
struct Nginx {
    program: PathBuf,
    conf: PathBuf,
    port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let stopped = nginx(&self.program, &self.conf)
            .args(["-s", "stop"])
            .status();
        assert!(stopped.is_ok_and(|s| s.success()), "nginx was not stopped");
    }
}

fn nginx(program: &Path, conf: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("-c")
        .arg(conf)
        .stderr(std::process::Stdio::null());
    command
}

/// The binary; `None` where `cargo xtask test` has said that there is none.
fn program() -> Option<PathBuf> {
    let missing = jeton::capability::environment("JETON_TEST_MISSING").unwrap_or_default();
    let dirs = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];
    let found = dirs
        .iter()
        .map(|d| Path::new(d).join("nginx"))
        .find(|p| p.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: no nginx on this machine; the recipe of deploy/nginx is not tested");
        let told = missing.split(',').any(|m| m == "nginx");
        assert!(
            told,
            "nginx is missing, and nobody said so: run `cargo xtask test`"
        );
    }
    found
}

/// The recipe with its lines for an API that takes credentials in the query.
fn with_query(recipe: &str) -> String {
    let plain = "proxy_pass http://application;";
    for line in [plain, "#QUERY proxy_pass http://application$jeton_target;"] {
        assert!(recipe.contains(line), "the recipe no longer has {line}");
    }
    recipe.replace(plain, "").replace("#QUERY ", "")
}

/// Starts nginx with the recipe. The command returns when the port listens.
fn start_nginx(program: PathBuf, dir: &Path, application: u16, edit: fn(&str) -> String) -> Nginx {
    for _ in 0..10 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let path = |p: &str| dir.join(p).display().to_string();
        let mut recipe = edit(&std::fs::read_to_string(RECIPE).unwrap());
        for (from, to) in [
            ("/run/jeton/jeton.sock", path("tap.sock")),
            ("127.0.0.1:9000", format!("127.0.0.1:{application}")),
            ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
            (
                "/etc/nginx/tls/api.example.com.pem",
                path("data/tls/server.pem"),
            ),
            (
                "/etc/nginx/tls/api.example.com.key",
                path("data/tls/server.key"),
            ),
            ("/var/log/nginx/api.example.com.log", path("access.log")),
        ] {
            assert!(recipe.contains(from), "the recipe no longer has {from}");
            recipe = recipe.replace(from, &to);
        }
        std::fs::write(dir.join("jeton.conf"), recipe).unwrap();
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|p| format!("{p}_temp_path {};\n", path(p)))
            .concat();
        let around = format!(
            "user root;\npid {};\nerror_log {} info;\nworker_processes 1;\nevents {{}}\n\
             http {{\naccess_log off;\n{places}include {};\n}}\n",
            path("nginx.pid"),
            path("error.log"),
            path("jeton.conf"),
        );
        let conf = dir.join("nginx.conf");
        std::fs::write(&conf, around).unwrap();
        if nginx(&program, &conf).status().unwrap().success() {
            return Nginx {
                program,
                conf,
                port,
            };
        }
    }
    let log = std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
    panic!("nginx does not start: {log}");
}

/// Sends bytes over TLS and reads the answer to its end.
async fn raw(port: u16, ca: &Path, request: &str) -> Answer {
    let config = client_config(Roots::File(ca)).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = HOST.try_into().unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let (head, mut body) = read_head(&mut stream).await.expect("an answer");
    stream.read_to_end(&mut body).await.ok();
    let head = Head::read(&head);
    let status = head.first.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body }
}

/// A `GET` with these lines besides `Host` and `Connection`.
fn get(target: &str, lines: &[&str]) -> String {
    let mut text = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n");
    if !lines.iter().any(|l| l.starts_with("Connection:")) {
        text.push_str("Connection: close\r\n");
    }
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    format!("{text}\r\n")
}

struct World {
    a: Authority,
    ca: PathBuf,
    nginx: Nginx,
    /// What nginx said to jeton, by connection.
    asked: Kept,
    /// What reached the application.
    reached: Kept,
    tap: tokio::task::JoinHandle<()>,
    user: String,
}

impl World {
    async fn start(program: PathBuf) -> Self {
        Self::edited(program, str::to_owned, Value::Null).await
    }

    /// With an edited recipe, for an API with this query parameter.
    async fn edited(program: PathBuf, edit: fn(&str) -> String, parameter: Value) -> Self {
        let a = Authority::start().await;
        a.running.stop().await;
        // Its certificate must name the host too.
        let mut config = common::config(a.dir.path());
        config.names = vec![HOST.to_owned()];
        std::fs::remove_dir_all(a.dir.path().join("data/tls")).unwrap();
        let running = serve::start(&config, Durability::Full).await.unwrap();
        let client = common::client(&running);
        let a = Authority {
            running,
            client,
            ..a
        };
        let api = a.api("documents", &["read", "write", "admin"]).await;
        let routes = json!({"hosts": [HOST], "routes": [
            {"method": "GET", "path": "/documents/*", "scopes": ["read"]},
            {"method": "POST", "path": "/documents", "scopes": ["write"]},
            {"path": "/admin", "scopes": ["admin"]},
            {"path": "/admin/**", "scopes": ["admin"]},
            {"method": "GET", "path": "/**", "scopes": ["read"]},
        ], "query_parameter": parameter});
        a.order("PUT", &format!("/v1/apis/{api}/routes"), routes)
            .await
            .is(200);
        let grants = json!([{"api": "documents", "scopes": ["read", "write"]}]);
        let (user, _) = a.user("reader", grants).await;
        let (asked, reached) = (Kept::default(), Kept::default());
        let dir = a.dir.path();
        let tap = tap(
            &dir.join("tap.sock"),
            dir.join("jeton.sock"),
            Arc::clone(&asked),
        );
        let port = application(Arc::clone(&reached)).await;
        let nginx = start_nginx(program, dir, port, edit);
        let ca = a.running.ca_pem.clone().unwrap();
        Self {
            a,
            ca,
            nginx,
            asked,
            reached,
            tap,
            user,
        }
    }

    async fn token(&self, scopes: &[&str]) -> (String, String) {
        let grants = json!([{"api": "documents", "scopes": scopes}]);
        self.a
            .issue(json!({"class": "key", "subject": self.user, "grants": grants}))
            .await
    }

    async fn raw(&self, request: &str) -> Answer {
        raw(self.nginx.port, &self.ca, request).await
    }

    async fn get(&self, target: &str, lines: &[&str]) -> Answer {
        self.raw(&get(target, lines)).await
    }

    fn reached(&self) -> usize {
        self.reached.lock().unwrap().len()
    }

    /// Everything that nginx said to jeton so far.
    fn asked(&self) -> String {
        let all = self.asked.lock().unwrap().concat();
        String::from_utf8(all).unwrap()
    }

    async fn stop(self) {
        drop(self.nginx);
        self.a.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_sees_who_it_is_and_nothing_that_a_client_made_up() {
    let Some(program) = program() else { return };
    let w = World::start(program).await;
    let (id, secret) = w.token(&["read"]).await;
    let bearer = format!("Authorization: Bearer {secret}");
    let mut forged: Vec<String> = IDENTITY.iter().map(|n| format!("{n}: evil")).collect();
    forged.extend(
        IDENTITY
            .iter()
            .map(|n| format!("{}: evil", n.replace('-', "_"))),
    );
    forged.extend(
        IDENTITY
            .iter()
            .map(|n| format!("{}: evil", n.to_uppercase())),
    );
    forged.extend(
        [
            "Jeton-Status: evil",
            "Jeton-Refusal: evil",
            "X-Forwarded-For: 6.6.6.6, evil",
            "X-Forwarded-Proto: evil",
            "X-Forwarded-Host: evil",
            "X-Forwarded-Uri: /evil",
            "X-Forwarded-Method: EVIL",
            "X_Forwarded_Uri: /evil",
            "Forwarded: for=evil",
            "X-HTTP-Method-Override: EVIL",
            "X-HTTP-Method: EVIL",
            "X-Method-Override: EVIL",
            "X-Original-URL: /evil",
            "X-Rewrite-URL: /evil",
        ]
        .map(str::to_owned),
    );
    let hop = format!(
        "Connection: close, {}, X-Forwarded-For",
        IDENTITY.join(", ")
    );
    for extra in [
        vec![],
        forged.clone(),
        vec![hop.clone()],
        [forged, vec![hop]].concat(),
    ] {
        let mut lines: Vec<&str> = vec![&bearer, "X-Mine: passes"];
        lines.extend(extra.iter().map(String::as_str));
        let answer = w.get("/documents/7?a=b", &lines).await;
        let seen = answer.seen();
        assert_eq!(seen.first, "GET /documents/7?a=b HTTP/1.1");
        assert_eq!(seen.one("jeton-subject"), w.user);
        assert_eq!(seen.one("jeton-subject-kind"), "user");
        assert_eq!(seen.one("jeton-token"), id);
        assert_eq!(seen.one("jeton-class"), "key");
        assert_eq!(seen.one("jeton-tenant"), w.a.tenant);
        assert_eq!(seen.one("jeton-scopes"), "read");
        assert!(seen.one("jeton-expires").ends_with('Z'));
        assert!(seen.one("jeton-ledger-size").parse::<u64>().unwrap() > 0);
        assert_eq!(seen.one("jeton-credential-source"), "header");
        assert!(seen.one("jeton-request-id").starts_with("req_"));
        assert_eq!(seen.one("host"), HOST);
        assert_eq!(seen.one("x-forwarded-for"), "127.0.0.1");
        assert_eq!(seen.one("x-forwarded-host"), HOST);
        assert_eq!(seen.one("x-forwarded-proto"), "https");
        assert_eq!(seen.one("x-mine"), "passes");
        assert!(seen.all("connection").is_empty());
        assert!(
            seen.all("authorization").is_empty(),
            "the secret ends at nginx"
        );
        for (name, value) in &seen.fields {
            assert!(!name.contains('_'), "{name}");
            assert!(!value.to_lowercase().contains("evil"), "{name}: {value}");
        }
        assert_eq!(
            answer.head.one("jeton-request-id"),
            seen.one("jeton-request-id")
        );
        assert!(answer.head.all("sunset").is_empty());
    }
    // The API key's header works as well, and ends at nginx as well.
    let key = format!("X-API-Key: {secret}");
    let seen = w.get("/documents/7", &[&key]).await.seen();
    assert!(seen.all("x-api-key").is_empty());
    // A permanent token has no end: the header is gone, and a client's own with it.
    let policy = json!({"lifetime_default_s": 3600, "lifetime_max_s": 3600, "permanent": true, "overlap_max_s": 0});
    w.a.order("PUT", "/v1/policies/key", policy).await.is(200);
    let grants = json!([{"api": "documents", "scopes": ["read"]}]);
    // A near end is told to the client.
    let (_, brief) = w.token(&["read"]).await;
    let bearer = format!("Authorization: Bearer {brief}");
    let answer = w.get("/documents/7", &[&bearer]).await;
    assert!(answer.head.one("sunset").ends_with(" GMT"));
    let order = json!({"class": "key", "subject": w.user, "grants": grants, "permanent": true});
    let (_, forever) = w.a.issue(order).await;
    let bearer = format!("Authorization: Bearer {forever}");
    let seen = w
        .get(
            "/documents/7",
            &[&bearer, "Jeton-Expires: 2999-01-01T00:00:00Z"],
        )
        .await
        .seen();
    assert!(seen.all("jeton-expires").is_empty());
    w.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_no_has_its_status_and_reaches_nobody() {
    let Some(program) = program() else { return };
    let w = World::start(program).await;
    let (id, secret) = w.token(&["read"]).await;
    let bearer = format!("Authorization: Bearer {secret}");
    let missing = w.get("/documents/7", &[]).await;
    missing.refused(401, "credential_missing");
    assert_eq!(
        missing.head.one("www-authenticate"),
        "Bearer realm=\"jeton\""
    );
    let unknown = w
        .get("/documents/7", &["Authorization: Bearer acme_key_nonsense"])
        .await;
    unknown.refused(401, "token_unknown");
    assert!(
        unknown
            .head
            .one("www-authenticate")
            .contains("error=\"invalid_token\"")
    );
    let lacking = w.get("/admin", &[&bearer]).await;
    lacking.refused(403, "scope_missing");
    assert_eq!(
        lacking.head.one("www-authenticate"),
        "Bearer realm=\"jeton\", error=\"insufficient_scope\", scope=\"admin\""
    );
    let post = |lines: &str| {
        format!(
            "POST /nowhere HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{lines}Content-Length: 0\r\n\r\n"
        )
    };
    let nowhere = w.raw(&post(&format!("{bearer}\r\n"))).await;
    nowhere.refused(403, "route_unknown");
    assert!(nowhere.head.all("www-authenticate").is_empty());
    for two in [
        vec![bearer.as_str(), bearer.as_str()],
        vec![bearer.as_str(), "X-API-Key: x"],
        vec!["X-API-Key: x", "X-API-Key: y"],
    ] {
        let answer = w.get("/documents/7", &two).await;
        // nginx itself refuses two of some headers, in some of its versions.
        assert_eq!(answer.status, 400);
    }
    // One use an hour: the second is one too many.
    let grants = json!([{"api": "documents", "scopes": ["read"]}]);
    let limit = json!({"count": 1, "window_s": 3600});
    let order = json!({"class": "key", "subject": w.user, "grants": grants, "limit": limit});
    let (_, limited) = w.a.issue(order).await;
    let limited = format!("Authorization: Bearer {limited}");
    let reached = w.reached();
    let first = w.get("/documents/7", &[&limited]).await;
    first.seen();
    assert_eq!(first.head.one("ratelimit-policy"), "\"token\";q=1;w=3600");
    assert!(first.head.one("ratelimit").starts_with("\"token\";r=0;"));
    assert_eq!(w.reached(), reached + 1);
    let second = w.get("/documents/7", &[&limited]).await;
    second.refused(429, "limit_exceeded");
    assert!((1..=3600).contains(&second.head.one("retry-after").parse::<u32>().unwrap()));
    assert_eq!(second.head.one("ratelimit-policy"), "\"token\";q=1;w=3600");
    assert!(second.head.one("ratelimit").starts_with("\"token\";r=0;"));
    assert!(second.head.all("www-authenticate").is_empty());
    // A revocation holds from the next request on.
    w.get("/documents/7", &[&bearer]).await.seen();
    let path = format!("/v1/tokens/{id}/revoke");
    w.a.order("POST", &path, json!({"reason": "leaked"}))
        .await
        .is(200);
    let revoked = w.get("/documents/7", &[&bearer]).await;
    revoked.refused(401, "token_revoked");
    assert!(revoked.head.one("www-authenticate").contains("revoked"));
    assert_eq!(w.reached(), reached + 2);
    w.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_checked_is_what_the_application_is_asked() {
    let Some(program) = program() else { return };
    let w = World::start(program).await;
    let (_, secret) = w.token(&["read", "write"]).await;
    let bearer = format!("Authorization: Bearer {secret}");
    // Each of these is `/admin` to some server, and something else to another; `/**` would have let it pass.
    for trick in [
        "/documents/..%2fadmin",
        "/documents/..%2Fadmin",
        "/documents/../admin",
        "/documents/./../admin",
        "/documents/%2e%2e/admin",
        "/documents/%2E%2E/admin",
        "/documents/.%2e/admin",
        "/documents/..%5cadmin",
        "/documents/..\\admin",
        "/documents/..;/admin",
        "/admin;x=1",
        "/admin%3Bx",
        "//admin",
        "/documents//../admin",
        "/%61dmin",
        "/%2561dmin",
        "/documents/..%252fadmin",
        "/admin/",
        "/admin/.",
        "/admin%2f",
        "/admin%00",
        "/admin%0a",
        "/%2fadmin",
        "/documents/%c3%a9",
        "/admin#/../documents/7",
        "/admin",
        "/admin?/documents/7",
    ] {
        let answer = w.get(trick, &[&bearer]).await;
        assert!(
            matches!(answer.status, 400 | 403),
            "{trick}: {}",
            answer.status
        );
    }
    assert_eq!(w.reached(), 0);
    for (plain, seen) in [
        ("/documents/caf%C3%A9", ""),
        ("/other/a%20b?x=%2e%2e/", ""),
        ("/ADMIN", ""),
    ] {
        // Names in other letters are other names: an application that folds case must say so in its routes.
        let first = w.get(plain, &[&bearer]).await.seen().first;
        assert_eq!(
            first,
            format!("GET {plain}{seen} HTTP/1.1"),
            "byte for byte"
        );
    }
    // A request line with a whole URL: its host must be ours, and its path is what counts.
    let whole = |url: &str, host: &str| {
        format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{bearer}\r\n\r\n")
    };
    let url = format!("https://{HOST}/documents/7");
    assert_eq!(
        w.raw(&whole(&url, HOST)).await.seen().first,
        "GET /documents/7 HTTP/1.1"
    );
    let url = format!("https://{HOST}/admin");
    w.raw(&whole(&url, HOST))
        .await
        .refused(403, "scope_missing");
    let reached = w.reached();
    for host in ["evil.example", "other.example.com", "127.0.0.1", ""] {
        let answer = w.raw(&whole("/documents/7", host)).await;
        assert!(
            matches!(answer.status, 400 | 421),
            "{host}: {}",
            answer.status
        );
    }
    let answer = w
        .raw(&whole("https://evil.example/documents/7", HOST))
        .await;
    assert!(matches!(answer.status, 400 | 421), "{}", answer.status);
    assert_eq!(w.reached(), reached);
    // What a client says of its own request is not asked for.
    let lines = [
        bearer.as_str(),
        "X-Forwarded-Uri: /documents/7",
        "X-Forwarded-Uri: /documents/8",
        "X-Forwarded-Method: GET",
        "X-Forwarded-Host: other.example.com",
    ];
    w.get("/admin", &lines).await.refused(403, "scope_missing");
    let inside = w.get("/_jeton_check", &[&bearer]).await;
    assert_eq!(
        inside.status, 404,
        "its location is not the client's to ask"
    );
    assert_eq!(w.reached(), reached);
    w.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_goes_to_the_application_alone_and_connections_are_kept() {
    let Some(program) = program() else { return };
    let w = World::start(program).await;
    let (_, secret) = w.token(&["read", "write"]).await;
    let bearer = format!("Authorization: Bearer {secret}");
    let head = format!(
        "POST /documents HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nCookie: sid=private\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-Proto: gopher\r\n{bearer}\r\n"
    );
    let sized = format!("{head}Content-Length: 11\r\n\r\nBODY-MARKER");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\nb\r\nBODY-MARKER\r\n0\r\n\r\n");
    for request in [sized, chunked] {
        let answer = w.raw(&request).await;
        answer.seen();
        assert_eq!(answer.json()["body_bytes"], 11);
    }
    let asked = w.asked();
    assert!(!asked.contains("BODY-MARKER"), "{asked}");
    assert!(!asked.contains("private"), "{asked}");
    let heads: Vec<Head> = asked.split_inclusive("\r\n\r\n").map(Head::read).collect();
    assert_eq!(heads.len(), 2);
    for head in &heads {
        assert_eq!(head.first, "GET /check/nginx HTTP/1.1");
        assert_eq!(head.one("x-forwarded-method"), "POST");
        assert_eq!(head.one("x-forwarded-uri"), "/documents");
        assert_eq!(head.one("x-forwarded-host"), HOST);
        assert_eq!(head.one("x-forwarded-for"), "127.0.0.1");
        assert_eq!(head.one("x-forwarded-proto"), "https");
        assert_eq!(head.one("host"), HOST);
        assert!(head.all("forwarded").is_empty());
        assert!(head.all("content-length").is_empty() && head.all("transfer-encoding").is_empty());
    }
    for _ in 0..20 {
        w.get("/documents/7", &[&bearer]).await.seen();
    }
    assert_eq!(w.asked.lock().unwrap().len(), 1, "one connection to jeton");
    // A no of the application's own is its own.
    let own = w.get("/documents/own-no", &[&bearer]).await;
    assert_eq!(own.status, 403);
    assert!(own.json()["head"].is_string());
    w.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_jeton_nobody_passes() {
    let Some(program) = program() else { return };
    let w = World::start(program).await;
    let (_, secret) = w.token(&["read"]).await;
    let bearer = format!("Authorization: Bearer {secret}");
    w.get("/documents/7", &[&bearer]).await.seen();
    let World {
        a,
        ca,
        nginx,
        reached,
        tap,
        ..
    } = w;
    a.running.stop().await;
    let ask = |line: &str| {
        let request = get("/documents/7", &[line]);
        let (port, ca) = (nginx.port, ca.clone());
        async move { raw(port, &ca, &request).await }
    };
    // Behind the tap there is nobody; then jeton is back; then not even the socket is there.
    for line in [bearer.as_str(), "X-Mine: 1"] {
        let answer = ask(line).await;
        answer.refused(503, "unavailable");
        assert_eq!(answer.head.one("retry-after"), "1");
    }
    let config = common::config(a.dir.path());
    let running = serve::start(&config, Durability::Full).await.unwrap();
    ask(&bearer).await.seen();
    running.stop().await;
    tap.abort();
    assert!(tap.await.is_err());
    std::fs::remove_file(a.dir.path().join("tap.sock")).unwrap();
    ask(&bearer).await.refused(503, "unavailable");
    assert_eq!(reached.lock().unwrap().len(), 2);
    drop(nginx);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_in_the_query_ends_at_nginx() {
    let Some(program) = program() else { return };
    let w = World::edited(program, with_query, "api_key".into()).await;
    let (id, secret) = w.token(&["read"]).await;
    for (target, passed) in [
        ("/documents/7?api_key=*", "/documents/7"),
        ("/documents/7?api_key=*&a=b", "/documents/7?a=b"),
        ("/documents/7?a=b&api_key=*", "/documents/7?a=b"),
        ("/documents/7?a=b&api_key=*&c=d", "/documents/7?a=b&c=d"),
        (
            "/documents/7?a=?&api_key=*&c=?&&%zz",
            "/documents/7?a=?&c=?&&%zz",
        ),
        (
            "/documents/7?my_api_key=x&api_key=*",
            "/documents/7?my_api_key=x",
        ),
        ("/documents/7?&api_key=*", "/documents/7?"),
        (
            "/caf%C3%A9/a%20b?api_key=*&x=%C3%A9+%26",
            "/caf%C3%A9/a%20b?x=%C3%A9+%26",
        ),
    ] {
        let answer = w.get(&target.replace('*', &secret), &[]).await;
        let seen = answer.seen();
        assert_eq!(seen.first, format!("GET {passed} HTTP/1.1"));
        assert_eq!(seen.one("jeton-token"), id);
        assert_eq!(seen.one("jeton-credential-source"), "query");
    }
    let bearer = format!("Authorization: Bearer {secret}");
    for target in ["/documents/7", "/documents/7?a=b&my_api_key=%zz&api_keys"] {
        let seen = w.get(target, &[&bearer]).await.seen();
        assert_eq!(seen.first, format!("GET {target} HTTP/1.1"));
        assert_eq!(seen.one("jeton-credential-source"), "header");
    }
    let reached = w.reached();
    let one = format!("/documents/7?api_key={secret}");
    w.get(&one, &[&bearer])
        .await
        .refused(400, "credential_ambiguous");
    let twice = format!("{one}&api_key={secret}");
    w.get(&twice, &[])
        .await
        .refused(400, "credential_ambiguous");
    let disguised = format!("/documents/7?api%5Fkey={secret}");
    w.get(&disguised, &[])
        .await
        .refused(400, "credential_ambiguous");
    w.get("/documents/7?a=b", &[])
        .await
        .refused(401, "credential_missing");
    assert_eq!(w.reached(), reached);
    let sent = w.reached.lock().unwrap().concat();
    assert!(!String::from_utf8(sent).unwrap().contains(&secret));
    let log = std::fs::read_to_string(w.a.dir.path().join("access.log")).unwrap();
    assert!(log.contains("GET /documents/7 HTTP/1.1"), "{log}");
    assert!(!log.contains(&secret), "{log}");
    w.stop().await;
}
