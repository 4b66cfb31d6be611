//! A check is answered alike in the express lane and by hyper: the same statuses, the same fields, the same bodies.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod common;

use common::Authority;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

/// One connection of our own, so that nothing between stands in the way of its bytes.
struct Wire(UnixStream);

impl Wire {
    async fn open(a: &Authority) -> Self {
        Self(
            UnixStream::connect(a.dir.path().join("jeton.sock"))
                .await
                .unwrap(),
        )
    }

    /// A connection that hyper has: the first request was none for the lane.
    async fn ordinary(a: &Authority) -> Self {
        let mut wire = Self::open(a).await;
        let (head, _) = wire.ask("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        wire
    }

    async fn ask(&mut self, request: &str) -> (String, Vec<u8>) {
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        loop {
            if let Some(at) = seen.windows(4).position(|w: &[u8]| w == b"\r\n\r\n") {
                let head = String::from_utf8(seen[..at].to_vec())
                    .unwrap()
                    .to_lowercase();
                let length = head.split("content-length: ").nth(1).unwrap();
                let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                if seen.len() == at + 4 + length {
                    let head = head.replace("http/1.1", "HTTP/1.1").replace(" ok", " OK");
                    return (head, seen.split_off(at + 4));
                }
            }
            let mut some = [0; 4096];
            let n = self.0.read(&mut some).await.unwrap();
            assert!(n > 0, "closed after {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&some[..n]);
        }
    }
}

/// What must be alike: all but the moment and the request's number.
fn comparable((head, body): (String, Vec<u8>)) -> (Vec<String>, Value) {
    let mut lines: Vec<String> = head.lines().map(str::to_owned).collect();
    let told = |line: &String| line.starts_with("date: ") && line.ends_with(" gmt");
    assert!(lines.iter().any(told), "{head}");
    lines.retain(|l| {
        !["date: ", "jeton-request-id: "]
            .iter()
            .any(|n| l.starts_with(n))
    });
    lines.sort();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    if let Some(id) = body.get_mut("request_id") {
        *id = json!("…");
    }
    (lines, body)
}

#[tokio::test]
async fn both_ways_answer_alike() {
    let a = Authority::start().await;
    a.api("docs", &["docs:read"]).await;
    let (user, _) = a
        .user("reader", json!([{"api": "docs", "scopes": ["docs:read"]}]))
        .await;
    let order = json!({"class": "key", "subject": user, "grants": [{"api": "docs", "scopes": ["docs:read"]}]});
    let good = a
        .order("POST", "/v1/tokens", order)
        .await
        .is(201)
        .text("/secret");
    let grants = json!([{"api": "jeton", "scopes": ["jeton:tokens:read"]}]);
    let (watcher, _) = a.user("watcher", grants.clone()).await;
    let order = json!({"class": "key", "subject": watcher, "grants": grants});
    let watcher = a
        .order("POST", "/v1/tokens", order)
        .await
        .is(201)
        .text("/secret");
    let (mut express, mut ordinary) = (Wire::open(&a).await, Wire::ordinary(&a).await);
    let admin = &a.admin;
    let typo = format!("{}x", &good[..good.len() - 1]);
    let asked =
        |token: &str| json!({"token": token, "api": "docs", "scopes": ["docs:read"]}).to_string();
    let bearer = format!("authorization: Bearer {admin}\r\n");
    let media = "content-type: application/json\r\n";
    let table = [
        (format!("{bearer}{media}"), asked(&good)),
        (format!("x-api-key: {admin}\r\n{media}"), asked(&good)),
        (format!("{bearer}{media}"), asked(&typo)),
        (format!("{bearer}{media}"), asked("nothing like a token")),
        (
            format!("{bearer}{media}"),
            json!({"token": good, "api": "docs", "scopes": ["docs:nope"]}).to_string(),
        ),
        (
            format!("{bearer}{media}"),
            json!({"token": good, "api": "nowhere"}).to_string(),
        ),
        (
            format!("{bearer}{media}"),
            json!({"token": good, "api": "docs", "more": 1}).to_string(),
        ),
        (format!("{bearer}{media}"), "{\"token\": ".to_owned()),
        (format!("{bearer}{media}"), String::new()),
        (
            format!("{bearer}content-type: text/plain\r\n"),
            asked(&good),
        ),
        (bearer.clone(), asked(&good)),
        (media.to_owned(), asked(&good)),
        (format!("{bearer}{bearer}{media}"), asked(&good)),
        (
            format!("{bearer}x-api-key: {admin}\r\n{media}"),
            asked(&good),
        ),
        (
            format!("authorization: Bearer {typo}\r\n{media}"),
            asked(&good),
        ),
        (
            format!("authorization: Bearer {good}\r\n{media}"),
            asked(&good),
        ),
        (
            format!("authorization: Bearer {watcher}\r\n{media}"),
            asked(&good),
        ),
        (format!("authorization: Digest x\r\n{media}"), asked(&good)),
        (
            format!("{bearer}{media}jeton-at-least: 100000\r\n"),
            asked(&good),
        ),
        (
            format!("{bearer}{media}jeton-at-least: many\r\n"),
            asked(&good),
        ),
        (
            format!("{bearer}{media}jeton-at-least: 1\r\n"),
            asked(&good),
        ),
        (
            format!("{bearer}{media}x-forwarded-for: 192.0.2.1\r\n"),
            asked(&good),
        ),
    ];
    let mut statuses = Vec::new();
    for (fields, body) in table {
        let request = format!(
            "POST /v1/check HTTP/1.1\r\nhost: a\r\n{fields}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let here = comparable(express.ask(&request).await);
        let there = comparable(ordinary.ask(&request).await);
        assert_eq!(here, there, "{fields}{body}");
        statuses.push(here.0.iter().find(|l| l.starts_with("HTTP/1.1")).unwrap()[9..12].to_owned());
    }
    statuses.sort();
    statuses.dedup();
    assert_eq!(
        statuses,
        ["200", "400", "401", "403", "412", "415", "422"],
        "the table reaches them all"
    );
    let wrong = "POST /v1/check?x=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    let (head, _) = express.ask(wrong).await;
    assert!(
        head.starts_with("HTTP/1.1 401"),
        "it goes on with hyper: {head}"
    );
    a.running.stop().await;
}

/// A question by `checker` on one token, as it goes over the wire.
fn question(checker: &str, token: &str) -> String {
    let body = json!({"token": token, "api": "docs", "scopes": ["docs:read"]}).to_string();
    format!(
        "POST /v1/check HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {checker}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn what_a_connection_remembers_of_its_asker_ends_with_the_pepper() {
    let a = Authority::start().await;
    a.api("docs", &["docs:read"]).await;
    let grants = json!([{"api": "jeton", "scopes": ["jeton:check"]}]);
    let (user, _) = a.user("asker", grants.clone()).await;
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let made = a.order("POST", "/v1/tokens", order).await.is(201);
    let (asker, id) = (made.text("/secret"), made.text("/token/id"));
    let asked = question(&asker, "nothing like a token");
    let mut kept = [Wire::open(&a).await, Wire::open(&a).await];
    let peppers = async |action: Value| {
        let path = format!("/v1/tenants/{}/peppers", a.tenant);
        a.call(&a.operator, "POST", &path, Some(&action)).await
    };
    let says = async |wire: &mut Wire, due: &str| {
        for _ in 0..4 {
            let (head, _) = wire.ask(&asked).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {due}")), "{head}");
        }
    };
    for wire in &mut kept {
        says(wire, "200").await;
    }
    // The pepper is rotated, and the first use on another connection hashes the token anew: whoever remembered it is not
    // refused for that.
    peppers(json!({"action": "rotate"})).await.is(200);
    let mut other = Wire::ordinary(&a).await;
    says(&mut other, "200").await;
    for wire in &mut kept {
        says(wire, "200").await;
    }
    // Once all that is in use was hashed anew, the older one may go.
    loop {
        a.call(&a.admin, "GET", "/v1/apis", None).await.is(200);
        let retired = peppers(json!({"action": "retire"})).await;
        if retired.status == 200 {
            break;
        }
        retired.refused(409, "state_conflict");
    }
    let mut kept = [Wire::open(&a).await, Wire::ordinary(&a).await];
    for wire in &mut kept {
        says(wire, "200").await;
    }
    // The old secret of a rotated token, found under the older pepper alone, is good for the overlap at every request.
    peppers(json!({"action": "rotate"})).await.is(200);
    let path = format!("/v1/tokens/{id}/rotate");
    a.order("POST", &path, json!({"overlap_s": 3600}))
        .await
        .is(200);
    for wire in &mut kept {
        says(wire, "200").await;
    }
    // What the retired pepper keyed is dead, on connections that knew it too.
    let abandon = json!({"action": "retire", "abandon": true});
    peppers(abandon).await.is(200);
    for wire in &mut kept {
        says(wire, "401").await;
    }
    a.running.stop().await;
}
