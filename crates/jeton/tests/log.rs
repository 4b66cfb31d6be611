//! The log as others read it, through the real server over TLS: every tile and proof is checked against trees that this test
//! builds itself.

mod common;

use common::{Authority, Said, client, config, send};
use jeton::serve;
use jeton_core::leaf::{LEAF_BYTES, Opening, TagKey, tenant_tag};
use jeton_store::sqlite::Durability;
use jeton_tlog::{
    BundleId, Checkpoint, Frontier, Hash, Policy, Receipt, TileId, VerifierKey, decode_bundle,
    leaf_hash,
};
use serde_json::json;

struct Log {
    note: String,
    size: u64,
    leaves: Vec<Vec<u8>>,
}

async fn get(a: &Authority, path: &str) -> Said {
    a.call(&a.admin, "GET", path, None).await
}

/// Reads the whole log as a stranger with a token would: the checkpoint, then every bundle that it signs.
async fn read(a: &Authority, at_least: u64) -> Log {
    // A receipt waits until a checkpoint covers its event.
    let last = get(a, &format!("/log/proof/{}", at_least - 1)).await;
    assert!([200, 404].contains(&last.status.as_u16()), "{}", last.body);
    let key = send(&a.client, "GET", "/log/vkey", &[], None).await.is(200);
    let key = String::from_utf8(key.bytes.to_vec()).unwrap();
    let key = VerifierKey::parse(key.trim()).unwrap();
    let said = send(&a.client, "GET", "/log/checkpoint", &[], None)
        .await
        .is(200);
    let note = String::from_utf8(said.bytes.to_vec()).unwrap();
    let open = Checkpoint::open(note.as_bytes(), &key).unwrap();
    let mut leaves = Vec::new();
    let mut tree = Frontier::new();
    for n in 0..open.size().div_ceil(256) {
        let width = u16::try_from((open.size() - n * 256).min(256)).unwrap();
        let path = BundleId::new(n, width).unwrap().path();
        let bundle = get(a, &format!("/log/{path}")).await.is(200).bytes;
        for leaf in decode_bundle(&bundle, width).unwrap() {
            assert_eq!(leaf.len(), LEAF_BYTES);
            tree.push(leaf_hash(leaf));
            leaves.push(leaf.to_vec());
        }
    }
    assert_eq!(
        &tree.root(),
        open.root(),
        "the bundles give the signed root"
    );
    Log {
        size: open.size(),
        note,
        leaves,
    }
}

async fn fill(a: &Authority, events: u64) {
    let user = a
        .order("POST", "/v1/users", json!({}))
        .await
        .is(201)
        .text("/id");
    while a.running.doors.node.verifier.size() < events {
        let order = json!({"words": {"name": "somebody"}});
        let path = format!("/v1/users/{user}/words");
        let said = a.order("PUT", &path, order).await;
        if said.status != 200 {
            a.order("POST", "/v1/users", json!({})).await.is(201);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tile_of_every_width_is_what_the_leaves_give() {
    let a = Authority::start().await;
    fill(&a, 300).await;
    let log = read(&a, 300).await;
    let hashes: Vec<Hash> = log.leaves.iter().map(|l| leaf_hash(l)).collect();
    for index in 0..log.size / 256 + 1 {
        let there = (log.size - index * 256).min(256);
        for width in [1, 2, 7, 255, 256] {
            let id = TileId::new(0, index, width).unwrap();
            let said = get(&a, &format!("/log/{}", id.path())).await;
            if u64::from(width) > there {
                said.refused(404, "not_found");
                continue;
            }
            let from = usize::try_from(index * 256).unwrap();
            let due: Vec<u8> = hashes[from..from + usize::from(width)]
                .iter()
                .flat_map(|h| *h.as_bytes())
                .collect();
            assert_eq!(said.is(200).bytes, due, "tile {index}, width {width}");
        }
    }
    let above = get(&a, "/log/tile/1/000.p/1").await.is(200);
    let mut subtree = Frontier::new();
    hashes[..256].iter().for_each(|h| subtree.push(*h));
    assert_eq!(above.bytes, subtree.root().as_bytes().as_slice());
    for wrong in [
        "0/000.p/0",
        "0/000.p/256",
        "0/1",
        "9/000",
        "entries/x000/000",
        "0/000/",
        "1/000",
    ] {
        get(&a, &format!("/log/tile/{wrong}"))
            .await
            .refused(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_are_behind_a_token_unless_they_are_public() {
    let mut a = Authority::start().await;
    send(&a.client, "GET", "/log/tile/0/000.p/1", &[], None)
        .await
        .refused(401, "credential_missing");
    let powerless = a.order("POST", "/v1/tokens", json!({
        "class": "svc", "subject": a.admin_app, "grants": [{"api": "jeton", "scopes": ["jeton:check"]}],
    }));
    let powerless = powerless.await.is(201).text("/secret");
    a.call(&powerless, "GET", "/log/tile/0/000.p/1", None)
        .await
        .refused(403, "scope_missing");
    let own = a
        .call(&a.admin, "GET", "/log/tile/0/000.p/1", None)
        .await
        .is(200);
    assert!(
        own.headers["cache-control"]
            .to_str()
            .unwrap()
            .starts_with("private")
    );
    a.running.stop().await;
    let public = jeton::config::Config {
        tiles: "public".to_owned(),
        ..config(a.dir.path())
    };
    a.running = serve::start(&public, Durability::Full).await.unwrap();
    a.client = client(&a.running);
    let said = send(&a.client, "GET", "/log/tile/0/000.p/1", &[], None)
        .await
        .is(200);
    assert_eq!(said.bytes, own.bytes);
    assert!(
        said.headers["cache-control"]
            .to_str()
            .unwrap()
            .starts_with("public")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_verified_offline_and_by_nobody_else_to_be_had() {
    let a = Authority::start().await;
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let (user, _) = a.user("reader", grants.clone()).await;
    let (token, secret) = a
        .issue(json!({"class": "key", "subject": user, "grants": grants}))
        .await;
    let receipt = get(&a, &format!("/log/proof/{token}")).await.is(200).bytes;
    let policy = send(&a.client, "GET", "/log/policy", &[], None)
        .await
        .is(200)
        .bytes;
    let policy = Policy::parse(core::str::from_utf8(&policy).unwrap()).unwrap();
    let open = Receipt::parse(&receipt).unwrap();
    let opening = Opening::parse(open.unverified_extra()).unwrap();
    let leaf = leaf_hash(&opening.leaf());
    let verified = open.verify(&leaf, &policy).unwrap();
    let index = verified.index();
    // What the record says, and whose tags the leaf bears.
    let record = jeton_store::ledger::decode(&opening.record).unwrap();
    assert_eq!(record.event.token().unwrap().to_string(), token);
    let key = get(&a, "/v1/ledger/tag-key").await.is(200).text("/key");
    let key = data_encoding::BASE64.decode(key.as_bytes()).unwrap();
    let key = TagKey::new(&key.try_into().unwrap());
    let tags: Vec<_> = (1..50).map(|n| key.tenant_tag(n)).collect();
    assert!(tags.contains(tenant_tag(&opening.leaf()).unwrap()));
    assert_eq!(
        opening.head[42..],
        key.token_tag(record.event.token().unwrap().bytes(), 0)
    );
    // No secret is in it, and not in any leaf.
    assert!(
        !receipt
            .windows(secret.len())
            .any(|w| w == secret.as_bytes())
    );
    // By index it is the same event; another tenant's admin and a stranger get nothing.
    let same = get(&a, &format!("/log/proof/{index}")).await.is(200).bytes;
    assert_eq!(
        Receipt::parse(&same).unwrap().unverified_extra(),
        open.unverified_extra()
    );
    let other = a.tenant("other").await.text("/secret");
    for path in [format!("/log/proof/{token}"), format!("/log/proof/{index}")] {
        a.call(&other, "GET", &path, None)
            .await
            .refused(404, "not_found");
        send(&a.client, "GET", &path, &[], None)
            .await
            .refused(401, "credential_missing");
    }
    for path in [
        "/log/proof/99999999",
        "/log/proof/18446744073709551616",
        "/log/proof/x",
    ] {
        get(&a, path).await.refused(404, "not_found");
    }
    // Revoked: the last event is another one, and its receipt says so.
    a.order("POST", &format!("/v1/tokens/{token}/revoke"), json!({}))
        .await
        .is(200);
    let last = get(&a, &format!("/log/proof/{token}?event=last"))
        .await
        .is(200)
        .bytes;
    let last = Receipt::parse(&last).unwrap();
    assert!(last.index() > index);
    let opening = Opening::parse(last.unverified_extra()).unwrap();
    last.verify(&leaf_hash(&opening.leaf()), &policy).unwrap();
    let record = jeton_store::ledger::decode(&opening.record).unwrap();
    assert_eq!(record.event.name(), "token.revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_known_is_not_sent_again() {
    let a = Authority::start().await;
    let log = read(&a, 3).await;
    let said = send(&a.client, "GET", "/log/checkpoint", &[], None)
        .await
        .is(200);
    let tag = said.headers["etag"].to_str().unwrap().to_owned();
    let again = [("if-none-match", tag.as_str())];
    let said = send(&a.client, "GET", "/log/checkpoint", &again, None).await;
    assert!(said.status == 304 && said.bytes.is_empty() || said.bytes != log.note.as_bytes());
    assert_eq!(said.headers["cache-control"], "no-cache");
}
