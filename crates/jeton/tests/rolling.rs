//! The rolling audit: finds what was changed behind the node, and nothing else, however busy the node is.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends at the first surprise"
)]

mod common;
#[path = "rolling/round.rs"]
mod going;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use common::Authority;
use going::go_round;
use jeton::serve;
use jeton_core::id::TokenId;
use jeton_store::{fsck::Finding, sqlite::Durability};
use serde_json::json;

/// An authority whose own rolling audit does not run, with some tokens: their ids, oldest first.
async fn with_tokens(many: usize) -> (Authority, Vec<String>, String) {
    let authority = Authority::start().await;
    let Authority { dir, running, .. } = authority;
    running.stop().await;
    let mut config = common::config(dir.path());
    config.audit = "off".to_owned();
    let running = serve::start(&config, Durability::Full).await.unwrap();
    let client = common::client(&running);
    let authority = Authority {
        dir,
        running,
        client,
        ..authority
    };
    authority.api("docs", &["read", "write"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read", "write"]}]);
    let (user, _) = authority.user("reader", grants).await;
    let mut tokens = Vec::new();
    for n in 0..many {
        let id = issue(&authority, &user).await;
        if n % 3 == 1 {
            authority
                .order("POST", &format!("/v1/tokens/{id}/rotate"), json!({}))
                .await
                .is(200);
        }
        if n % 4 == 2 {
            authority
                .order("POST", &format!("/v1/tokens/{id}/revoke"), json!({}))
                .await
                .is(200);
        }
        tokens.push(id);
    }
    (authority, tokens, user)
}

async fn issue(authority: &Authority, user: &str) -> String {
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let order = json!({"class": "key", "subject": user, "grants": grants});
    authority.issue(order).await.0
}

fn edit(authority: &Authority, sql: &str) {
    let path = authority.dir.path().join("data/ledger.db");
    let db = rusqlite::Connection::open(path).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    db.execute_batch(sql)
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

fn hex(id: &str) -> String {
    let id: TokenId = id.parse().unwrap();
    data_encoding::HEXLOWER.encode(id.bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_behind_the_node_is_found_and_none_is_invented() {
    let (authority, tokens, _) = with_tokens(20).await;
    let sound = go_round(&authority).await;
    assert_eq!(sound.findings, []);
    assert_eq!(sound.events, authority.running.doors.node.verifier.size());
    let last = sound.events - 1;
    let (one, other) = (hex(&tokens[0]), hex(&tokens[4]));
    let body = "(SELECT body FROM token WHERE id = x'%')".replace('%', &hex(&tokens[1]));
    // What is done, and the table, row and field that must be named.
    let edits = [
        (format!("UPDATE token SET state = 2 WHERE id = x'{one}'"), "token", tokens[0].clone(), "state"),
        (format!("UPDATE token SET expires = NULL WHERE id = x'{one}'"), "token", tokens[0].clone(), "expires"),
        (format!("UPDATE token SET subject = zeroblob(16) WHERE id = x'{one}'"), "token", tokens[0].clone(), "owner"),
        (format!("UPDATE token SET event = event + 1 WHERE id = x'{one}'"), "token", tokens[0].clone(), "event"),
        (format!("UPDATE token SET event = 1000000 WHERE id = x'{one}'"), "token", tokens[0].clone(), "event"),
        (format!("UPDATE token SET body = {body} WHERE id = x'{one}'"), "token", tokens[0].clone(), "generation"),
        (format!("UPDATE token SET tenant = zeroblob(16) WHERE id = x'{one}'"), "token", tokens[0].clone(), "tenant"),
        (format!("UPDATE token SET tenant = x'00' WHERE id = x'{one}'"), "token", tokens[0].clone(), "tenant"),
        (format!("DELETE FROM token WHERE id = x'{one}'"), "token", tokens[0].clone(), ""),
        (format!("INSERT INTO token SELECT tenant, zeroblob(16), event, subject, class, state, expires, body FROM token WHERE id = x'{one}'"),
            "token", TokenId::from_bytes([0; 16]).to_string(), ""),
        (format!("UPDATE token SET body = (SELECT body FROM token WHERE id = x'{other}'), state = 0 WHERE state = 2"), "token", tokens[2].clone(), "state"),
        ("UPDATE entity SET body = (SELECT body FROM entity WHERE kind = 'application' LIMIT 1) WHERE kind = 'user'".into(), "entity", "user".into(), ""),
        ("UPDATE entity SET event = event - 1 WHERE kind = 'role'".into(), "entity", "role".into(), "event"),
        ("DELETE FROM entity WHERE kind = 'api'".into(), "entity", "api".into(), ""),
        ("INSERT INTO entity SELECT tenant, 'api', id, event, body FROM entity WHERE kind = 'role'".into(), "entity", "api".into(), ""),
        ("UPDATE trail SET words = CAST('{}' AS BLOB) WHERE words IS NOT NULL AND idx = (SELECT max(idx) FROM trail WHERE words IS NOT NULL)".into(), "trail", String::new(), "words"),
        ("UPDATE trail SET previous = 3 WHERE idx = (SELECT max(idx) FROM trail WHERE previous > 3)".into(), "trail", String::new(), "previous"),
        ("DELETE FROM trail WHERE idx = 7".into(), "trail", "7".into(), ""),
        ("UPDATE event SET leaf = zeroblob(106) WHERE idx = 7".into(), "event", "7".into(), ""),
        ("UPDATE event SET record = CAST(record || x'00' AS BLOB) WHERE idx = 7".into(), "event", "7".into(), "record"),
        ("UPDATE event SET salt = NULL, record = NULL WHERE idx = 7".into(), "event", "7".into(), "record"),
        ("DELETE FROM event WHERE idx = 7".into(), "event", "7".into(), ""),
        (format!("DELETE FROM event WHERE idx = {last}"), "event", last.to_string(), ""),
        (format!("INSERT INTO event SELECT {}, leaf, salt, record FROM event WHERE idx = 7", last + 1), "event", (last + 1).to_string(), ""),
        ("UPDATE head SET frontier = zeroblob(length(frontier))".into(), "head", "frontier".into(), "frontier"),
        ("UPDATE head SET size = size + 1".into(), "head", "size".into(), "size"),
    ];
    let data = authority.dir.path().join("data");
    let kept = authority.dir.path().join("kept.db");
    let snapshot = format!("VACUUM INTO '{}'", kept.display());
    edit(&authority, &snapshot);
    let mut missed = Vec::new();
    for (sql, table, row, field) in edits {
        edit(&authority, &sql);
        let found = go_round(&authority).await.findings;
        let named = |f: &Finding| {
            f.table == table && f.row.contains(&row) && (field.is_empty() || f.field == Some(field))
        };
        if !found.iter().any(named) {
            missed.push(format!(
                "{sql}\n   wants {table} {row} {field}, says {found:?}"
            ));
        }
        // As it was.
        let tables = ["event", "head", "tile", "trail", "token", "entity"];
        let back =
            tables.map(|t| format!("DELETE FROM {t}; INSERT INTO {t} SELECT * FROM kept.{t};"));
        let kept = kept.display();
        edit(
            &authority,
            &format!("ATTACH '{kept}' AS kept; BEGIN; {} COMMIT", back.concat()),
        );
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert_eq!(go_round(&authority).await.findings, []);
    assert!(data.exists());
    authority.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_while_everything_changes() {
    let (authority, _, user) = with_tokens(5).await;
    let (authority, over) = (Arc::new(authority), Arc::new(AtomicBool::new(false)));
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let (authority, over, user) = (Arc::clone(&authority), Arc::clone(&over), user.clone());
            tokio::spawn(async move {
                let mut orders = 0_u64;
                while !over.load(Relaxed) {
                    let id = issue(&authority, &user).await;
                    authority
                        .order("POST", &format!("/v1/tokens/{id}/rotate"), json!({}))
                        .await
                        .is(200);
                    authority
                        .order("POST", &format!("/v1/tokens/{id}/revoke"), json!({}))
                        .await
                        .is(200);
                    let name = json!({"name": format!("n{orders}")});
                    authority
                        .order("PATCH", &format!("/v1/users/{user}"), name)
                        .await;
                    orders += 4;
                }
                orders
            })
        })
        .collect();
    for _ in 0..30 {
        assert_eq!(go_round(&authority).await.findings, []);
    }
    over.store(true, Relaxed);
    let mut orders = 0;
    for one in busy {
        orders += one.await.unwrap();
    }
    assert!(
        orders > 100,
        "only {orders} orders were carried out beside it"
    );
    let authority = Arc::into_inner(authority).unwrap();
    authority.running.stop().await;
}

/// The server's own: on by default, finds by itself, tells it in the metrics, and stops with the server.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_audit_finds_and_tells() {
    let authority = Authority::start().await;
    let seen = Arc::clone(&authority.running.doors.audit);
    edit(&authority, "UPDATE token SET expires = 4000000000");
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while seen.rounds() < 1 || seen.count() == 0 {
        tick.tick().await;
    }
    let found = seen.findings();
    assert!(
        found.iter().all(|f| f.table == "token"
            && f.field == Some("expires")
            && f.token.is_some()
            && f.leaf.is_some()),
        "{found:?}"
    );
    let metrics = authority
        .call(&authority.operator, "GET", "/metrics", None)
        .await;
    let text = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    let line = format!("jeton_audit_findings {}", found.len());
    assert!(text.lines().any(|l| l == line), "{text}");
    authority.running.stop().await;
}
