//! What a stranger learns from the public log (the gate `ledger-privacy`): ten tenants make a thousand events, and in every
//! tile and bundle there is no piece of a token, a digest, an id or a name, and nothing that leads from one event to another.
//!
//! With `JETON_CONTROL` the openings are searched in place of the tiles: everything must be found.

mod common;

use std::collections::{HashMap, HashSet};

use common::{Authority, Said};
use jeton_core::{
    event::Event,
    leaf::{LEAF_BYTES, LeafKind},
};
use jeton_store::{Continue, Reader as _, ledger, sqlite::SqliteReader};
use jeton_tlog::{BundleId, TileId, decode_bundle};
use serde_json::{Value, json};

const TENANTS: usize = 10;
const TOKENS: usize = 47;
/// So many bytes in a row are a piece.
const PIECE: usize = 8;

/// Everything that must not be seen, in pieces, each with what it is a piece of.
#[derive(Default)]
struct Hidden(HashMap<[u8; PIECE], &'static str>);

impl Hidden {
    fn add(&mut self, what: &'static str, bytes: &[u8]) {
        for piece in bytes.windows(PIECE) {
            self.0.insert(piece.try_into().unwrap(), what);
        }
    }

    fn seen_in(&self, bytes: &[u8]) -> Vec<&'static str> {
        let pieces = bytes.windows(PIECE);
        let pieces = pieces.map(|piece| <[u8; PIECE]>::try_from(piece).unwrap());
        pieces
            .filter_map(|piece| self.0.get(&piece).copied())
            .collect()
    }
}

async fn call(a: &Authority, token: &str, method: &str, path: &str, order: &Value) -> Said {
    a.call(token, method, path, Some(order)).await
}

/// A tenant whose tokens are issued and revoked; what of it must stay hidden.
async fn lives(a: &Authority, number: usize, hidden: &mut Hidden) {
    let prefix = format!("ten{number}");
    let founded = a.tenant(&prefix).await;
    let admin = founded.text("/secret");
    hidden.add("token", admin.as_bytes());
    hidden.add("tenant id", founded.text("/tenant").as_bytes());
    let scope = format!("scope-of-{number}:read");
    hidden.add("scope", scope.as_bytes());
    let audience = format!("https://api{number}.example.test");
    hidden.add("audience", audience.as_bytes());
    let order = json!({"name": "docs", "audience": audience, "scopes": [{"name": scope}]});
    call(a, &admin, "POST", "/v1/apis", &order).await.is(201);
    let grants = json!([{"api": "docs", "scopes": [scope]}]);
    let order = json!({"name": "reader-role", "permit": {"grants": grants}});
    call(a, &admin, "POST", "/v1/roles", &order).await.is(201);
    hidden.add("role name", b"reader-role");
    let order = json!({"roles": ["reader-role"], "name": "Ada Lovelace"});
    let user = call(a, &admin, "POST", "/v1/users", &order)
        .await
        .is(201)
        .text("/id");
    hidden.add("words", b"Ada Lovelace");
    hidden.add("user id", user.as_bytes());
    let order = json!({"class": "key", "subject": user, "grants": grants});
    for _ in 0..TOKENS {
        let said = call(a, &admin, "POST", "/v1/tokens", &order).await.is(201);
        hidden.add("token", said.text("/secret").as_bytes());
        let id = said.text("/token/id");
        hidden.add("token id", id.as_bytes());
        let path = format!("/v1/tokens/{id}/revoke");
        call(a, &admin, "POST", &path, &json!({})).await.is(200);
    }
}

/// Adds what the records hold in bytes; gives the indexes of each token's events.
fn records(a: &Authority, hidden: &mut Hidden) -> HashMap<[u8; 16], Vec<usize>> {
    let mut reader = SqliteReader::open(&a.dir.path().join("data/ledger.db")).unwrap();
    let mut tokens: HashMap<[u8; 16], Vec<usize>> = HashMap::new();
    let walked = reader.events(0, &mut |stored| {
        let (salt, bytes) = stored.opening.unwrap();
        let record = ledger::decode(&bytes).unwrap();
        hidden.add("salt", &salt);
        hidden.add("tenant id", record.tenant.bytes());
        if let Some(token) = record.event.token() {
            hidden.add("token id", token.bytes());
            let index = usize::try_from(stored.index).unwrap();
            tokens.entry(*token.bytes()).or_default().push(index);
        }
        if let Event::TokenIssued {
            digest, subject, ..
        } = &record.event
        {
            hidden.add("digest", digest.bytes());
            hidden.add("subject id", subject.bytes());
        }
        Ok(Continue::Yes)
    });
    walked.unwrap();
    tokens
}

/// Every tile and bundle, and the leaves in the latter.
async fn public(a: &Authority, size: u64) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let get = async |path: String| {
        let said = a.call(&a.admin, "GET", &format!("/log/{path}"), None).await;
        said.is(200).bytes.to_vec()
    };
    let (mut files, mut leaves) = (Vec::new(), Vec::new());
    for index in 0..size.div_ceil(256) {
        let width = u16::try_from((size - index * 256).min(256)).unwrap();
        let bundle = get(BundleId::new(index, width).unwrap().path()).await;
        let entries = decode_bundle(&bundle, width).unwrap();
        leaves.extend(entries.into_iter().map(<[u8]>::to_vec));
        files.push(bundle);
        files.push(get(TileId::new(0, index, width).unwrap().path()).await);
    }
    let above = u16::try_from(size / 256).unwrap();
    files.push(get(TileId::new(1, 0, above).unwrap().path()).await);
    (files, leaves)
}

/// What two leaves of one token have in common beyond version, kind and time, in pieces of eight bytes.
fn common_pieces(a: &[u8], b: &[u8]) -> usize {
    let pieces = |leaf: &[u8]| {
        leaf[10..]
            .windows(PIECE)
            .map(<[u8]>::to_vec)
            .collect::<HashSet<_>>()
    };
    pieces(a).intersection(&pieces(b)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_sees_that_something_happened_and_no_more() {
    let a = Authority::start().await;
    let mut hidden = Hidden::default();
    for number in 0..TENANTS {
        lives(&a, number, &mut hidden).await;
    }
    let mut shown = a.running.doors.node.published.subscribe();
    let end = a.running.doors.node.verifier.size();
    let covers = shown.wait_for(|s| s.as_ref().is_some_and(|s| s.size >= end));
    let size = covers.await.unwrap().as_ref().unwrap().size;
    let tokens = records(&a, &mut hidden);
    let (mut files, leaves) = public(&a, size).await;
    if jeton::capability::environment("JETON_CONTROL").is_some() {
        let said = a
            .call(&a.operator, "GET", "/log/openings?limit=4096", None)
            .await
            .is(200);
        files = vec![said.bytes.to_vec()];
    }
    let seen: Vec<&str> = files.iter().flat_map(|file| hidden.seen_in(file)).collect();
    let kinds: HashSet<&str> = seen.iter().copied().collect();
    let mut tags = HashSet::new();
    let distinct = leaves.iter().all(|leaf| {
        let (tenant, about) = (leaf[10..42].to_vec(), leaf[42..74].to_vec());
        tags.insert(tenant) && tags.insert(about) && tags.insert(leaf[74..].to_vec())
    });
    let links: usize = tokens
        .values()
        .flat_map(|events| events.windows(2))
        .map(|pair| common_pieces(&leaves[pair[0]], &leaves[pair[1]]))
        .sum();
    let told = json!({
        "events": leaves.len(), "tenants": TENANTS, "tokens": tokens.len(), "hidden_pieces": hidden.0.len(),
        "seen": seen.len(), "of": kinds, "tags_distinct": distinct, "links": links,
    });
    println!("privacy: {told}");
    assert!(leaves.len() >= 1_000 && hidden.0.len() > 10_000);
    assert!(leaves.iter().all(|leaf| leaf.len() == LEAF_BYTES));
    let private = |leaf: &&Vec<u8>| leaf[1] == LeafKind::Private.byte();
    assert_eq!(
        leaves.iter().filter(private).count(),
        leaves.len() - 1,
        "all but the genesis look alike"
    );
    assert!(seen.is_empty(), "a stranger sees {kinds:?}");
    assert!(distinct && links == 0);
    assert!(tokens.values().filter(|events| events.len() == 2).count() >= TENANTS * TOKENS);
    a.running.stop().await;
}
