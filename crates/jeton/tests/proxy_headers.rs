//! The forward-auth door itself: who may ask, which of a proxy's headers count, what an answer says and what it never says.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod common;

use common::{Authority, Said, send};
use jeton::{net::Client, serve};
use jeton_store::sqlite::Durability;
use serde_json::{Value, json};

const HOST: &str = "api.example.com";
const IDENTITY: [&str; 9] = [
    "jeton-subject",
    "jeton-subject-kind",
    "jeton-token",
    "jeton-class",
    "jeton-tenant",
    "jeton-scopes",
    "jeton-expires",
    "jeton-ledger-size",
    "jeton-credential-source",
];

struct World {
    a: Authority,
    /// Over the unix socket.
    near: Client,
    user: String,
    /// The id of the API.
    api: String,
}

type Lines<'a> = Vec<(&'a str, &'a str)>;

/// What a proxy says of `GET /documents/7`.
fn forwarded() -> Lines<'static> {
    vec![
        ("x-forwarded-host", HOST),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/documents/7"),
    ]
}

fn routes() -> Value {
    json!({"hosts": [HOST], "routes": [
        {"method": "GET", "path": "/documents/*", "scopes": ["read"]},
        {"path": "/admin", "scopes": ["admin"]},
    ]})
}

impl World {
    async fn start() -> Self {
        let a = Authority::start().await;
        let api = a.api("documents", &["read", "admin"]).await;
        a.order("PUT", &format!("/v1/apis/{api}/routes"), routes())
            .await
            .is(200);
        let grants = json!([{"api": "documents", "scopes": ["read"]}]);
        let (user, _) = a.user("reader", grants).await;
        let near = Client::unix(&a.dir.path().join("jeton.sock"));
        Self { a, near, user, api }
    }

    /// The same authority, with these networks as trusted proxies.
    async fn trusting(self, networks: &[&str]) -> Self {
        let Self { a, user, api, .. } = self;
        a.running.stop().await;
        let mut config = common::config(a.dir.path());
        config.trusted_proxies = networks.iter().map(|n| n.parse().unwrap()).collect();
        let running = serve::start(&config, Durability::Full).await.unwrap();
        let client = common::client(&running);
        let near = Client::unix(&a.dir.path().join("jeton.sock"));
        let a = Authority {
            running,
            client,
            ..a
        };
        Self { a, near, user, api }
    }

    /// A key of the user that may read, with more terms: its id and `Bearer` with its text.
    async fn key(&self, more: Value) -> (String, String) {
        let grants = json!([{"api": "documents", "scopes": ["read"]}]);
        let mut order = json!({"class": "key", "subject": self.user, "grants": grants});
        let more = more.as_object().cloned().unwrap_or_default();
        order.as_object_mut().unwrap().extend(more);
        let (id, secret) = self.a.issue(order).await;
        (id, format!("Bearer {secret}"))
    }

    /// Sets the query parameter that may carry a credential, and the same routes as before.
    async fn parameter(&self, name: &str) -> Said {
        let mut order = routes();
        order["query_parameter"] = name.into();
        let path = format!("/v1/apis/{}/routes", self.api);
        self.a.order("PUT", &path, order).await
    }

    /// Asks over the unix socket about a path with a query.
    async fn query(&self, query: &str, more: Lines<'_>) -> Said {
        let uri = format!("/documents/7?{query}");
        let mut lines = forwarded();
        lines.retain(|(n, _)| *n != "x-forwarded-uri");
        lines.push(("x-forwarded-uri", &uri));
        lines.extend(more);
        send(&self.near, "GET", "/check", &lines, None).await
    }

    /// Asks over the unix socket as a plain proxy does, with a token.
    async fn near(&self, bearer: &str, lines: Lines<'_>) -> Said {
        let mut lines = lines;
        lines.push(("authorization", bearer));
        send(&self.near, "GET", "/check", &lines, None).await
    }
}

/// Refused: with this code, and without a word on the subject.
#[track_caller]
fn refused(said: &Said, status: u16, code: &str) {
    assert_eq!(said.status.as_u16(), status, "{:?}", said.headers);
    assert_eq!(said.headers["jeton-refusal"], code);
    assert!(said.bytes.is_empty(), "an answer here has no body");
    let may_say = [
        "jeton-refusal",
        "jeton-request-id",
        "jeton-status",
        "cache-control",
        "www-authenticate",
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "content-length",
        "date",
    ];
    for name in said.headers.keys() {
        assert!(may_say.contains(&name.as_str()), "{name} on a refusal");
    }
}

#[track_caller]
fn allowed(said: &Said) {
    assert_eq!(said.status.as_u16(), 204, "{:?}", said.headers);
    assert!(said.bytes.is_empty());
    for name in IDENTITY {
        assert_eq!(said.headers.get_all(name).iter().count(), 1, "{name}");
    }
    assert_eq!(said.headers["cache-control"], "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_no_proxy_of_ours_learns_nothing() {
    let w = World::start().await;
    let (_, bearer) = w.key(json!({})).await;
    let words = |said: &Said| {
        let pairs = said.headers.iter();
        let told = pairs.filter(|(n, _)| !matches!(n.as_str(), "jeton-request-id" | "date"));
        let told = told.map(|(n, v)| format!("{n}: {v:?}"));
        (said.status, told.collect::<Vec<_>>())
    };
    let mut answers = Vec::new();
    for token in [bearer.as_str(), "Bearer acme_key_nonsense", "Basic !"] {
        for path in ["/check", "/check/nginx"] {
            let mut lines = forwarded();
            lines.extend([("authorization", token), ("x-forwarded-for", "127.0.0.1")]);
            let said = send(&w.a.client, "GET", path, &lines, None).await;
            refused(&said, 403, "route_unknown");
            answers.push(words(&said));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // The same question over the unix socket.
    allowed(&w.near(&bearer, forwarded()).await);
    // Another network is not this one.
    let w = w.trusting(&["10.0.0.0/8", "2001:db8::/32"]).await;
    let mut lines = forwarded();
    lines.push(("authorization", &bearer));
    let said = send(&w.a.client, "GET", "/check", &lines, None).await;
    refused(&said, 403, "route_unknown");
    let w = w.trusting(&["127.0.0.0/8"]).await;
    allowed(&send(&w.a.client, "GET", "/check", &lines, None).await);
    allowed(&send(&w.a.client, "GET", "/check/nginx", &lines, None).await);
    w.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_carries_every_identity_header_and_no_body() {
    let w = World::start().await;
    let policy = json!({"lifetime_default_s": 3600, "lifetime_max_s": 3600, "permanent": true, "overlap_max_s": 0});
    w.a.order("PUT", "/v1/policies/key", policy).await.is(200);
    let limit = json!({"count": 5, "window_s": 60});
    for more in [
        json!({}),
        json!({"permanent": true}),
        json!({"limit": limit}),
    ] {
        let (id, bearer) = w.key(more.clone()).await;
        // What the client made up comes to jeton as well, and is not what it answers.
        let mut lines = forwarded();
        lines.extend(IDENTITY.map(|name| (name, "evil")));
        let said = w.near(&bearer, lines).await;
        allowed(&said);
        assert_eq!(said.headers["jeton-subject"], w.user.as_str());
        assert_eq!(said.headers["jeton-subject-kind"], "user");
        assert_eq!(said.headers["jeton-token"], id.as_str());
        assert_eq!(said.headers["jeton-class"], "key");
        assert_eq!(said.headers["jeton-tenant"], w.a.tenant.as_str());
        assert_eq!(said.headers["jeton-scopes"], "read");
        assert_eq!(said.headers["jeton-credential-source"], "header");
        let permanent = more.get("permanent").is_some();
        assert_eq!(said.headers["jeton-expires"].is_empty(), permanent);
        let limited = more.get("limit").is_some();
        assert_eq!(said.headers.contains_key("ratelimit-policy"), limited);
    }
    w.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_address_is_read_from_the_right() {
    let w = World::start().await;
    let networks = json!({"conditions": {"networks": ["203.0.113.0/24"]}});
    let (_, bearer) = w.key(networks).await;
    let told = |fields: &[&'static str]| {
        let mut lines = forwarded();
        lines.extend(fields.iter().map(|f| ("x-forwarded-for", *f)));
        lines
    };
    // On the unix socket: the last one is the proxy's word, all before it are the client's.
    for good in [
        &["203.0.113.7"][..],
        &["6.6.6.6, 203.0.113.7"],
        &["6.6.6.6", "203.0.113.7"],
        &["nonsense, ::ffff:203.0.113.7"],
    ] {
        allowed(&w.near(&bearer, told(good)).await);
    }
    for bad in [
        &[][..],
        &[""],
        &["203.0.113.7, 6.6.6.6"],
        &["203.0.113.7", "6.6.6.6"],
        &["203.0.113.7, nonsense"],
        &["203.0.113.7,"],
        &["203.0.113.7:80"],
        &["127.0.0.1"],
    ] {
        refused(&w.near(&bearer, told(bad)).await, 403, "address_refused");
    }
    // From a trusted proxy: through its like, up to the first stranger.
    let w = w.trusting(&["127.0.0.0/8", "10.0.0.0/8"]).await;
    let ask = async |fields: &[&'static str]| {
        let mut lines = told(fields);
        lines.push(("authorization", &bearer));
        send(&w.a.client, "GET", "/check", &lines, None).await
    };
    for good in [
        &["203.0.113.7"][..],
        &["203.0.113.7, 10.1.2.3"],
        &["6.6.6.6, 203.0.113.7, 10.1.2.3, ::ffff:10.1.2.4"],
    ] {
        allowed(&ask(good).await);
    }
    for bad in [
        &[][..],
        &["203.0.113.7, 6.6.6.6, 10.1.2.3"],
        &["203.0.113.7, nonsense, 10.1.2.3"],
    ] {
        refused(&ask(bad).await, 403, "address_refused");
    }
    w.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_a_clients_word_is_refused() {
    let w = World::start().await;
    let (_, bearer) = w.key(json!({})).await;
    for (name, value) in forwarded() {
        // Twice, even if both say the same; or not at all.
        for second in [value, "/admin"] {
            let mut lines = forwarded();
            lines.push((name, second));
            refused(&w.near(&bearer, lines).await, 403, "route_unknown");
        }
        let mut lines = forwarded();
        lines.retain(|(n, _)| *n != name);
        refused(&w.near(&bearer, lines).await, 403, "route_unknown");
    }
    for name in [
        "x_forwarded_uri",
        "x_forwarded-uri",
        "x-forwarded_host",
        "x_forwarded_for",
        "x_forwarded_proto",
        "x_api_key",
        "jeton_subject",
        "jeton_subject-kind",
        "jeton-subject_kind",
        "jeton_anything",
    ] {
        let mut lines = forwarded();
        lines.push((name, "x"));
        refused(&w.near(&bearer, lines).await, 403, "route_unknown");
    }
    let mut lines = forwarded();
    lines.push(("some_thing_else", "x"));
    allowed(&w.near(&bearer, lines).await);
    // Two credentials: the application may read the other one.
    for name in ["authorization", "x-api-key"] {
        let mut lines = forwarded();
        lines.push((name, &bearer));
        let said = w.near(&bearer, lines).await;
        refused(&said, 400, "credential_ambiguous");
    }
    for (name, value) in [
        ("x-forwarded-host", "other.example.com"),
        ("x-forwarded-host", "api.example.com.evil.example"),
        ("x-forwarded-host", "api.example.com:8443"),
        ("x-forwarded-method", "get"),
        ("x-forwarded-method", "POST"),
        ("x-forwarded-uri", "documents/7"),
        ("x-forwarded-uri", "/documents/7/8"),
        ("x-forwarded-uri", "/documents/%2e%2e"),
        ("x-forwarded-uri", "https://api.example.com/documents/7"),
        ("x-forwarded-uri", "?/documents/7"),
    ] {
        let mut lines = forwarded();
        lines.retain(|(n, _)| *n != name);
        lines.push((name, value));
        refused(&w.near(&bearer, lines).await, 403, "route_unknown");
    }
    let mut lines = forwarded();
    lines.retain(|(n, _)| *n != "x-forwarded-host");
    lines.push(("x-forwarded-host", "API.Example.COM"));
    allowed(&w.near(&bearer, lines).await);
    w.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_has_its_status_in_both_dialects_and_names_nobody() {
    let w = World::start().await;
    let (_, good) = w.key(json!({})).await;
    let (revoked, revoked_bearer) = w.key(json!({})).await;
    let path = format!("/v1/tokens/{revoked}/revoke");
    w.a.order("POST", &path, json!({})).await.is(200);
    let (suspended, suspended_bearer) = w.key(json!({})).await;
    let path = format!("/v1/tokens/{suspended}/suspend");
    w.a.order("POST", &path, json!({})).await.is(200);
    let limit = json!({"limit": {"count": 1, "window_s": 3600}});
    let (_, limited) = w.key(limit).await;
    allowed(&w.near(&limited, forwarded()).await);
    let foreign = w.a.tenant("other").await.text("/secret");
    let foreign = format!("Bearer {foreign}");
    let admin: Lines<'_> = vec![
        ("x-forwarded-host", HOST),
        ("x-forwarded-method", "DELETE"),
        ("x-forwarded-uri", "/admin"),
    ];
    let twice = format!("{good}, {good}");
    let cases = [
        ("", forwarded(), "credential_missing", 401, 401),
        ("Bearer x", forwarded(), "token_unknown", 401, 401),
        (twice.as_str(), forwarded(), "token_unknown", 401, 401),
        (foreign.as_str(), forwarded(), "token_unknown", 401, 401),
        (
            revoked_bearer.as_str(),
            forwarded(),
            "token_revoked",
            401,
            401,
        ),
        (
            suspended_bearer.as_str(),
            forwarded(),
            "token_suspended",
            401,
            401,
        ),
        (good.as_str(), admin, "scope_missing", 403, 403),
        (good.as_str(), vec![], "route_unknown", 403, 403),
        (limited.as_str(), forwarded(), "limit_exceeded", 429, 403),
    ];
    for (bearer, lines, code, plain, nginx) in cases {
        for (path, status) in [("/check", plain), ("/check/nginx", nginx)] {
            let mut lines = lines.clone();
            if !bearer.is_empty() {
                lines.push(("authorization", bearer));
            }
            let said = send(&w.near, "GET", path, &lines, None).await;
            refused(&said, status, code);
            assert_eq!(said.headers["jeton-status"], plain.to_string().as_str());
            let challenged = said.headers.contains_key("www-authenticate");
            assert_eq!(
                challenged,
                status == 401 || code == "scope_missing",
                "{code}"
            );
            let limited = code == "limit_exceeded";
            for name in ["retry-after", "ratelimit", "ratelimit-policy"] {
                assert_eq!(said.headers.contains_key(name), limited, "{code} {name}");
            }
            let all = format!("{:?}", said.headers);
            for id in [&w.user, &w.a.tenant, &revoked, &suspended] {
                assert!(!all.contains(id.as_str()), "{code}: {all}");
            }
        }
    }
    // Two credentials are nobody's fault but the client's: 400, for which nginx has no word.
    let mut lines = forwarded();
    lines.extend([("authorization", good.as_str()), ("x-api-key", "x")]);
    let said = send(&w.near, "GET", "/check/nginx", &lines, None).await;
    refused(&said, 401, "credential_ambiguous");
    assert_eq!(said.headers["jeton-status"], "400");
    w.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_carries_a_credential_only_where_the_api_opted_in() {
    let w = World::start().await;
    let (id, bearer) = w.key(json!({})).await;
    let secret = bearer.strip_prefix("Bearer ").unwrap();
    let one = format!("api_key={secret}");
    let header: Lines<'_> = vec![("authorization", &bearer)];
    // Not opted in: as if the parameter were not there.
    for query in [one.clone(), format!("{one}&{one}"), "api_key".to_owned()] {
        refused(&w.query(&query, vec![]).await, 401, "credential_missing");
        let said = w.query(&query, header.clone()).await;
        allowed(&said);
        assert_eq!(said.headers["jeton-credential-source"], "header");
    }
    for bad in ["", "1key", "api key", "api[key]", &"a".repeat(33)] {
        let said = w.parameter(bad).await;
        said.refused(422, "field_invalid");
        assert_eq!(said.body["field"], "query_parameter", "{bad}");
    }
    let said = w.parameter("api_key").await.is(200);
    assert_eq!(said.body["query_parameter"], "api_key");
    let said = w.a.call(&w.a.admin, "GET", "/v1/events", None).await;
    assert_eq!(said.text("/items/0/event"), "api.routes_set");
    assert_eq!(said.text("/items/0/detail/query_parameter"), "api_key");
    // What is set survives a start.
    let w = w.trusting(&[]).await;
    for query in [
        one.clone(),
        format!("a=1&{one}&b=2"),
        format!("api_key=%{:02x}{}", secret.as_bytes()[0], &secret[1..]),
    ] {
        let said = w.query(&query, vec![]).await;
        allowed(&said);
        assert_eq!(said.headers["jeton-token"], id.as_str());
        assert_eq!(said.headers["jeton-credential-source"], "query");
    }
    let said = w.query("a=1", header.clone()).await;
    allowed(&said);
    assert_eq!(said.headers["jeton-credential-source"], "header");
    for (query, more, status, code) in [
        ("a=1", vec![], 401, "credential_missing"),
        ("api_key=", vec![], 401, "token_unknown"),
        ("api_key=nonsense", vec![], 401, "token_unknown"),
        (&format!("{one}x"), vec![], 401, "token_unknown"),
        (&format!("{one}%"), vec![], 401, "token_unknown"),
        (&format!("{one}+"), vec![], 401, "token_unknown"),
        (&format!("{one}&{one}"), vec![], 400, "credential_ambiguous"),
        (
            &format!("api%5Fkey={secret}"),
            vec![],
            400,
            "credential_ambiguous",
        ),
        (&one, header.clone(), 400, "credential_ambiguous"),
        (
            &one,
            vec![("x-api-key", secret)],
            400,
            "credential_ambiguous",
        ),
        ("api_key", header.clone(), 400, "credential_ambiguous"),
    ] {
        let said = w.query(query, more).await;
        refused(&said, status, code);
        assert!(!format!("{:?}", said.headers).contains(secret));
    }
    let metrics = w.a.call(&w.a.operator, "GET", "/metrics", None).await;
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    for (source, due) in [("header", 1), ("query", 7)] {
        let line = format!("jeton_forward_credentials_total{{source=\"{source}\"}} {due}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    // An import says nothing of it, nor of hosts; routes without it end it.
    let path = format!("/v1/apis/{}/import", w.api);
    let needs = |scope: &str| json!({"get": {"security": [{"o": [scope]}]}});
    let paths = json!({"/documents/{id}": needs("read"), "/admin": needs("admin")});
    let description = json!({"openapi": "3.1.0", "paths": paths});
    let said =
        w.a.order("POST", &path, json!({"openapi": description}))
            .await
            .is(200);
    assert_eq!(said.body["hosts"], json!([HOST]));
    assert_eq!(said.body["query_parameter"], "api_key");
    allowed(&w.query(&one, vec![]).await);
    let path = format!("/v1/apis/{}/routes", w.api);
    let said = w.a.order("PUT", &path, routes()).await.is(200);
    assert_eq!(said.body.get("query_parameter"), None);
    refused(&w.query(&one, vec![]).await, 401, "credential_missing");
    w.a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jetons_own_api_reads_no_credential_from_a_query() {
    let w = World::start().await;
    w.parameter("api_key").await.is(200);
    let admin = &w.a.admin;
    let bearer = format!("Bearer {admin}");
    for path in [
        "/v1/whoami",
        "/v1/tokens",
        "/v1/apis",
        "/v1/users",
        "/metrics",
    ] {
        for name in ["api_key", "access_token", "token", "key"] {
            let path = format!("{path}?{name}={admin}");
            for client in [&w.a.client, &w.near] {
                let lines = [
                    ("host", HOST),
                    ("x-forwarded-host", HOST),
                    ("x-forwarded-uri", &path),
                ];
                let said = send(client, "GET", &path, &lines, None).await;
                said.refused(401, "credential_missing");
            }
        }
    }
    // Nor does it stand in the way of one in a header.
    let path = format!("/v1/whoami?api_key={admin}");
    let lines = [("authorization", bearer.as_str())];
    send(&w.a.client, "GET", &path, &lines, None).await.is(200);
    w.a.running.stop().await;
}

/// When `Sunset` says that a credential ends.
fn sunset(said: &Said) -> Option<String> {
    let date = said.headers.get("sunset")?.to_str().unwrap();
    assert!(date.ends_with(" GMT"), "{date}");
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    Some(parser.parse_timestamp(date).unwrap().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_near_is_announced() {
    let w = World::start().await;
    let day = 86_400;
    let policy = json!({"lifetime_default_s": day, "lifetime_max_s": 90 * day, "permanent": true, "overlap_max_s": day});
    w.a.order("PUT", "/v1/policies/key", policy).await.is(200);
    let ask = async |bearer: &str| {
        let said = w.near(bearer, forwarded()).await;
        allowed(&said);
        let secret = bearer.strip_prefix("Bearer ").unwrap();
        let whoami = w.a.call(secret, "GET", "/v1/whoami", None).await.is(200);
        assert_eq!(sunset(&said), sunset(&whoami));
        let shown = whoami.body["token"].get("expires_at");
        let expires = shown.map_or("", |at| at.as_str().unwrap());
        assert_eq!(said.headers["jeton-expires"], expires);
        (sunset(&said), expires.to_owned())
    };
    for (more, near) in [
        (json!({"lifetime_s": 60}), true),
        (json!({"lifetime_s": 29 * day}), true),
        (json!({"lifetime_s": 31 * day}), false),
        (json!({"permanent": true}), false),
    ] {
        let (_, bearer) = w.key(more.clone()).await;
        let (told, expires) = ask(&bearer).await;
        assert_eq!(told, near.then_some(expires), "{more}");
    }
    // A secret that was replaced ends with its overlap; the younger one with the token.
    let (id, old) = w.key(json!({"lifetime_s": 60 * day})).await;
    let path = format!("/v1/tokens/{id}/rotate");
    let said =
        w.a.order("POST", &path, json!({"overlap_s": 3600}))
            .await
            .is(200);
    let young = format!("Bearer {}", said.text("/secret"));
    assert_eq!(ask(&old).await.0, Some(said.text("/token/overlap_until")));
    assert_eq!(ask(&young).await.0, None);
    // Nobody else's answer has one.
    let said = w.a.call(&w.a.admin, "GET", "/v1/tokens", None).await;
    assert_eq!(sunset(&said), None);
    w.a.running.stop().await;
}
