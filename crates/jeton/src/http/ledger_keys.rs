//! The keys that sign the ledger. For the operator alone; whoever verifies reads `/log/vkey`.

use core::str::FromStr;

use http::StatusCode;
use jeton_core::{
    directory::{Log, LogKey},
    refusal::Refusal,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::ledger_key,
    http::{
        caller::{Caller, KeysWrite},
        error::Problem,
        extract::{Order, PathId},
        routes::Reply,
        view::Page,
    },
    node::start::Node,
};

/// A key of the ledger, by the id that stands in its signature lines: eight hexadecimal digits.
pub struct Which(String);

impl FromStr for Which {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let legal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 8 && text.bytes().all(legal))
            .then(|| Self(text.to_owned()))
            .ok_or(())
    }
}

impl Which {
    fn find(&self, log: &Log) -> Result<LogKey, Refusal> {
        let is_it = |key: &&LogKey| {
            ledger_key::named(log, &key.public).is_ok_and(|k| k.key_id().to_string() == self.0)
        };
        log.keys
            .iter()
            .find(is_it)
            .copied()
            .ok_or(Refusal::NotFound)
    }
}

/// A key of the ledger.
#[derive(Serialize, JsonSchema)]
pub struct LedgerKeyView {
    /// Its id in signature lines, under the ledger's name.
    pub id: String,
    /// The key as verifiers are told it: `name+id+key`.
    pub vkey: String,
    /// `signing` or `retired`.
    pub state: String,
    /// The ledger index of the event that put it in force.
    pub added_index: u64,
    /// The ledger index of the event that retired it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired_index: Option<u64>,
    /// What it signed from this ledger size on is not to be believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compromised_from: Option<u64>,
}

fn view(log: &Log, key: &LogKey) -> Result<LedgerKeyView, Refusal> {
    let named = ledger_key::named(log, &key.public)?;
    let state = match key.retired {
        None => "signing",
        Some(_) => "retired",
    };
    Ok(LedgerKeyView {
        id: named.key_id().to_string(),
        vkey: named.to_string(),
        state: state.to_owned(),
        added_index: key.added,
        retired_index: key.retired,
        compromised_from: key.compromised_from,
    })
}

fn shown(node: &Node, public: &[u8; 32]) -> Result<LedgerKeyView, Refusal> {
    let directory = node.verifier.directory();
    let log = directory.log();
    let key = log.keys.iter().find(|k| k.public == *public);
    view(log, key.ok_or(Refusal::NotFound)?)
}

/// Lists the keys of the ledger, oldest first.
pub async fn list(caller: Caller<KeysWrite>) -> Result<Reply<Page<LedgerKeyView>>, Problem> {
    let directory = caller.doors().node.verifier.directory();
    let log = directory.log();
    let items: Result<_, Refusal> = log.keys.iter().map(|key| view(log, key)).collect();
    let page = Page {
        items: items?,
        next: None,
    };
    Ok(Reply::new(StatusCode::OK, page))
}

/// Puts another key in force, beside the one that is.
pub async fn add(caller: Caller<KeysWrite>) -> Result<Reply<LedgerKeyView>, Problem> {
    let ctx = caller.ctx();
    let (public, size) = ledger_key::add(&ctx).await?;
    let view = shown(&ctx.node, &public)?;
    Ok(Reply::new(StatusCode::CREATED, view).at(size))
}

/// How a key is retired.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RetireView {
    /// Somebody else may have it: what it signed from this ledger size on is not to be believed.
    pub compromised_from: Option<u64>,
}

/// Retires a key: it signs no more.
pub async fn retire(
    caller: Caller<KeysWrite>,
    PathId(which): PathId<Which>,
    order: Order<RetireView>,
) -> Result<Reply<LedgerKeyView>, Problem> {
    let ctx = caller.ctx();
    let public = which.find(ctx.node.verifier.directory().log())?.public;
    let size = ledger_key::retire(&ctx, public, order.value.compromised_from).await?;
    let view = shown(&ctx.node, &public)?;
    Ok(Reply::new(StatusCode::OK, view).at(size))
}
