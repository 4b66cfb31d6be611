//! The log as everybody reads it: checkpoint, tiles and bundles (c2sp.org/tlog-tiles), keys and policy; and, for whoever is
//! entitled to know, receipts (c2sp.org/tlog-proof) and openings.
//!
//! Nothing here shows more than the checkpoint that is published: a leaf beyond it may still be lost with the disk, or be one
//! that witnesses have not seen.

use core::fmt::Write as _;
use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRef, FromRequestParts, Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use jeton_core::{
    api::own,
    event::Record,
    id::{TenantId, TokenId},
    leaf::Opening,
    refusal::{Blame, Refusal},
};
use jeton_store::{
    Continue, Reader, StoreError, Stored, ledger,
    tree::{Tree, TreeError},
};
use jeton_tlog::{Receipt, TilePath};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    http::{
        caller::{Caller, EventsRead, LedgerRead, TilesRead},
        door::Doors,
        error::Problem,
        extract::{Params, PathId},
        routes::Reply,
    },
    node::publish::Signed,
};

/// How long a receipt waits for a checkpoint that covers its event.
const COVERED_WITHIN: Duration = Duration::from_secs(5);
/// The most events whose openings come in one answer.
pub const OPENINGS_MAX: u32 = 4096;
/// So many bytes of openings, words included, and the answer ends with the event that reaches it.
const OPENINGS_BYTES_MAX: usize = 8 << 20;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const ALWAYS_ASK: HeaderValue = HeaderValue::from_static("no-cache");

fn nothing() -> Problem {
    Problem::of(Refusal::NotFound)
}

fn published(doors: &Doors) -> Result<Signed, Problem> {
    let shown = doors.node.published.borrow().clone();
    shown.ok_or_else(nothing)
}

fn text(body: String) -> Response {
    (
        [
            (header::CONTENT_TYPE, TEXT),
            (header::CACHE_CONTROL, ALWAYS_ASK),
        ],
        body,
    )
        .into_response()
}

/// The youngest published checkpoint (c2sp.org/tlog-tiles, "Checkpoints").
pub async fn checkpoint(
    State(doors): State<Arc<Doors>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let shown = published(&doors)?;
    let tag = data_encoding::HEXLOWER.encode(&Sha256::digest(shown.note.as_bytes()));
    let tag = format!("\"{tag}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    let mut response = if known.any(|v| v.trim() == tag || v.trim() == "*") {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        text(shown.note.to_string())
    };
    let tag = HeaderValue::from_str(&tag).map_err(|_| Problem::of(Refusal::Internal))?;
    response.headers_mut().insert(header::ETAG, tag);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, ALWAYS_ASK);
    Ok(response)
}

/// The keys that sign the log now, one to a line (c2sp.org/signed-note, "Verifier keys").
pub async fn keys(State(doors): State<Arc<Doors>>) -> Response {
    let mut lines = String::new();
    for key in doors.node.log_keys() {
        _ = writeln!(lines, "{key}");
    }
    text(lines)
}

/// The witness policy that a published checkpoint satisfies (c2sp.org/tlog-policy); without witnesses, the log's keys alone.
pub async fn policy(State(doors): State<Arc<Doors>>) -> Response {
    let directory = doors.node.verifier.directory();
    let alone = || {
        let mut lines = String::new();
        for key in doors.node.log_keys() {
            _ = writeln!(lines, "log {key}");
        }
        lines + "quorum none\n"
    };
    text(directory.log().policy.clone().unwrap_or_else(alone))
}

/// Whoever may read tiles: everybody, where they are public.
pub struct TileReader {
    open: bool,
}

impl<S> FromRequestParts<S> for TileReader
where
    S: Send + Sync,
    Arc<Doors>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let open = <Arc<Doors>>::from_ref(state).tiles_public;
        if !open {
            Caller::<TilesRead>::from_request_parts(parts, state).await?;
        }
        Ok(Self { open })
    }
}

/// A tile or an entry bundle of the tree that the published checkpoint signs (c2sp.org/tlog-tiles, "Merkle Tree", "Log
/// entries"). Full ones never change.
pub async fn tile(
    reader: TileReader,
    State(doors): State<Arc<Doors>>,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let path = TilePath::parse(&format!("tile/{path}")).map_err(|_| nothing())?;
    let size = published(&doors)?.size;
    let read = move |reader: &mut dyn Reader| {
        let mut tree = Tree::new(reader, size);
        match path {
            TilePath::Hashes(id) => tree.tile(id),
            TilePath::Entries(id) => tree.bundle(id),
        }
    };
    let bytes = doors.node.read(read).await?.ok_or_else(nothing)?;
    let whose = if reader.open { "public" } else { "private" };
    let lasts = format!("{whose}, max-age=604800, immutable");
    let lasts = HeaderValue::from_str(&lasts).map_err(|_| Problem::of(Refusal::Internal))?;
    Ok((
        [
            (header::CONTENT_TYPE, BYTES),
            (header::CACHE_CONTROL, lasts),
        ],
        bytes,
    )
        .into_response())
}

/// What a receipt is asked for: an event by its index, or a token by its id.
#[derive(Clone, Copy)]
pub enum What {
    /// The event at an index.
    Index(u64),
    /// An event of a token.
    Token(TokenId),
}

impl core::str::FromStr for What {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits {
            return text.parse().map(Self::Index).map_err(|_| Refusal::NotFound);
        }
        text.parse().map(Self::Token).map_err(|_| Refusal::NotFound)
    }
}

/// Which of a token's events.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct ReceiptQuery {
    /// Of a token: `issued`, unless told, or `last`.
    #[serde(default)]
    pub event: Which,
}

/// Which of a token's events.
#[derive(Clone, Copy, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The one that made it.
    #[default]
    Issued,
    /// The youngest.
    Last,
}

/// A receipt: that an event is in the log, and what it says, for offline verification (c2sp.org/tlog-proof). Its extra data
/// is the opening.
pub async fn receipt(
    caller: Caller<EventsRead>,
    PathId(what): PathId<What>,
    Params(query): Params<ReceiptQuery>,
) -> Result<Response, Problem> {
    let doors = caller.doors();
    let index = index_of(&caller, what, query.event).await?;
    let stored = doors.node.read(move |r| r.event(index)).await?;
    let stored = stored.ok_or_else(nothing)?;
    let opening = opening_for(&caller, stored)?;
    let shown = covering(doors, index).await?;
    let size = shown.size;
    let path = doors.node.read(
        move |reader| match Tree::new(reader, size).inclusion(index) {
            Ok(path) => Ok(Some(path)),
            Err(TreeError::Proof(_)) => Ok(None),
            Err(TreeError::Store(error)) => Err(error),
        },
    );
    let path = path.await?.ok_or_else(|| Problem::of(Refusal::Internal))?;
    let receipt = Receipt::new(index, path, shown.note.to_string(), opening.to_bytes());
    let receipt = receipt.map_err(|error| {
        tracing::error!(%error, index, "a receipt cannot be written");
        Problem::of(Refusal::Internal)
    })?;
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{index}.tlog-proof\""))
        .map_err(|_| Problem::of(Refusal::Internal))?;
    let headers = [
        (header::CONTENT_TYPE, TEXT),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, receipt.to_string()).into_response())
}

/// Where the event is that is asked for.
async fn index_of(caller: &Caller<EventsRead>, what: What, which: Which) -> Result<u64, Problem> {
    let (node, tenant) = (&caller.doors().node, caller.tenant());
    match (what, which) {
        (What::Index(index), _) => Ok(index),
        (What::Token(id), Which::Issued) => {
            let token = node.verifier.record(id).filter(|t| t.tenant == tenant);
            Ok(token.ok_or_else(nothing)?.issued)
        }
        (What::Token(id), Which::Last) => {
            let last = node.read(move |r| r.token_event(tenant, id)).await?;
            last.ok_or_else(nothing)
        }
    }
}

/// The opening of a tenant's own event. The genesis is everybody's; the events of others are not there.
fn opening_for(caller: &Caller<EventsRead>, stored: Stored) -> Result<Opening, Problem> {
    let (salt, bytes) = stored.opening.ok_or_else(nothing)?;
    let tenant = ledger::decode(&bytes).map(|record: Record| record.tenant);
    let everything = caller.passed().scopes.contains(own::LEDGER_READ);
    let entitled = everything || stored.index == 0 || tenant == Some(caller.tenant());
    let opening = Opening::of(&stored.leaf, salt, bytes).filter(|_| entitled);
    opening.ok_or_else(nothing)
}

/// The published checkpoint, once it covers an event.
async fn covering(doors: &Doors, index: u64) -> Result<Signed, Problem> {
    if index >= doors.node.verifier.size() {
        return Err(nothing());
    }
    let mut shown = doors.node.published.subscribe();
    let covers = |shown: &Option<Signed>| shown.as_ref().is_some_and(|s| s.size > index);
    let waited = tokio::time::timeout(COVERED_WITHIN, shown.wait_for(covers)).await;
    let covered = waited.ok().and_then(Result::ok).and_then(|s| s.clone());
    covered.ok_or_else(|| {
        let rule = "no checkpoint that is published covers the event yet; try again";
        Problem::from(Blame {
            refusal: Refusal::Unavailable,
            field: None,
            rule: Some(rule.to_owned()),
        })
    })
}

/// The key of a tenant's tags.
#[derive(Serialize, JsonSchema)]
pub struct TagKeyView {
    /// Whose.
    pub tenant: String,
    /// 32 bytes in base64. Whoever holds it finds the tenant's events among all leaves, and nothing else.
    pub key: String,
    /// How many events the tenant has had: the next one bears the tag after this number.
    pub events: u64,
}

/// Tells a tenant the key of its own tags, for `jeton monitor`.
pub async fn tag_key(caller: Caller<EventsRead>) -> Result<Reply<TagKeyView>, Problem> {
    let (node, tenant) = (&caller.doors().node, caller.tenant());
    let key = node
        .keyring
        .danger_tag_key_bytes(tenant)
        .ok_or_else(nothing)?;
    let view = TagKeyView {
        tenant: tenant.to_string(),
        key: data_encoding::BASE64.encode(&*key),
        events: node.verifier.directory().tenant_events(tenant),
    };
    Ok(Reply::new(StatusCode::OK, view))
}

/// Which openings.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct OpeningsQuery {
    /// The index of the first event; 0 unless told.
    #[serde(default)]
    pub from: u64,
    /// How many: 1 to 4096, 1024 unless told.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4096))]
    pub limit: Option<u32>,
}

/// An event as a mirror keeps it: CBOR array of index, leaf, salt and record (null: erased), and the words beside it with
/// their salt (null: none, or erased).
pub type Mirrored = (
    u64,
    minicbor::bytes::ByteVec,
    Option<minicbor::bytes::ByteArray<32>>,
    Option<minicbor::bytes::ByteVec>,
    Option<minicbor::bytes::ByteArray<16>>,
    Option<minicbor::bytes::ByteVec>,
);

/// The whole ledger with its openings, as far as it is published, for mirrors: a CBOR sequence (RFC 8742) of events in order.
pub async fn openings(
    caller: Caller<LedgerRead>,
    Params(query): Params<OpeningsQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(1024);
    if !(1..=OPENINGS_MAX).contains(&limit) {
        let blame = Blame::field(Refusal::FieldInvalid, "limit", "must be between 1 and 4096");
        return Err(blame.into());
    }
    let size = published(caller.doors())?.size;
    let (from, to) = (
        query.from,
        size.min(query.from.saturating_add(limit.into())),
    );
    let read = move |reader: &mut dyn Reader| mirrored(reader, from, to);
    let body = caller.doors().node.read(read).await?;
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/cbor-seq"),
        ),
        (
            HeaderName::from_static("jeton-log-size"),
            HeaderValue::from(size),
        ),
    ];
    Ok((headers, body).into_response())
}

fn mirrored(reader: &mut dyn Reader, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
    let mut some = Vec::new();
    if from < to {
        let mut bytes = 0;
        reader.events(from, &mut |stored| {
            bytes += stored
                .opening
                .as_ref()
                .map_or(0, |(_, record)| record.len());
            let more = stored.index + 1 < to && bytes < OPENINGS_BYTES_MAX;
            some.push(stored);
            Ok(if more { Continue::Yes } else { Continue::No })
        })?;
    }
    let mut out = Vec::new();
    for stored in some {
        if out.len() >= OPENINGS_BYTES_MAX {
            break;
        }
        let tenant = |(_, record): &([u8; 32], Vec<u8>)| ledger::decode(record).map(|r| r.tenant);
        let tenant: Option<TenantId> = stored.opening.as_ref().and_then(tenant);
        let aside = match tenant {
            Some(tenant) => reader.aside(tenant, stored.index)?,
            None => None,
        };
        let (salt, record) = stored.opening.unzip();
        let (aside_salt, words) = aside.map(|a| (a.salt, a.words)).unzip();
        let event: Mirrored = (
            stored.index,
            stored.leaf.into(),
            salt.map(Into::into),
            record.map(Into::into),
            aside_salt.map(Into::into),
            words.map(Into::into),
        );
        let encoded = minicbor::encode(&event, &mut out);
        debug_assert!(encoded.is_ok(), "encoding into memory");
    }
    Ok(out)
}
