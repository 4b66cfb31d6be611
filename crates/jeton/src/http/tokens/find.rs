//! Finding tokens: lists, one by its id, one by its text.

use std::sync::Arc;

use http::StatusCode;
use jeton_core::{id::TokenId, refusal::Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{TokenView, of_tenant, shown, subject};
use crate::{
    http::{
        caller::{Caller, TokensRead},
        cursor::{self, List},
        error::Problem,
        extract::{Order, Params, PathId},
        routes::Reply,
        view::Page,
    },
    node::start::Node,
};

/// Which tokens to list.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only those of this owner.
    #[serde(default)]
    pub subject: Option<String>,
    /// Where to go on: the `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many: 1 to 200, 50 unless told.
    #[serde(default)]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// Lists tokens: all by age, or those of one owner, youngest first.
pub async fn list(
    caller: Caller<TokensRead>,
    Params(query): Params<ListQuery>,
) -> Result<Reply<Page<TokenView>>, Problem> {
    let (node, tenant) = (Arc::clone(&caller.doors().node), caller.tenant());
    let limit = cursor::page_len(query.limit)?;
    let (ids, which) = match &query.subject {
        Some(text) => (
            owned(&node, &caller, text, &query, limit)?,
            List::OwnedTokens,
        ),
        None => {
            let after = query.cursor.as_deref();
            let after = after.map(|c| cursor::read::<16>(&node.keyring, List::Tokens, tenant, c));
            let after = after.transpose()?.map(TokenId::from_bytes);
            let rows = node.read(move |r| r.tokens(tenant, after, limit)).await?;
            (rows.into_iter().map(|(id, _)| id).collect(), List::Tokens)
        }
    };
    let mut items = Vec::with_capacity(ids.len());
    for id in &ids {
        items.push(shown(&node, *id).await?);
    }
    let full = ids.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let last = ids.last().filter(|_| full);
    let next = last.map(|id| cursor::make(&node.keyring, which, tenant, id.bytes()));
    Ok(Reply::new(StatusCode::OK, Page { items, next }))
}

fn owned(
    node: &Node,
    caller: &Caller<TokensRead>,
    text: &str,
    query: &ListQuery,
    limit: u32,
) -> Result<Vec<TokenId>, Problem> {
    let id = subject(text)?;
    let directory = node.verifier.directory();
    let found = directory.subject(caller.tenant(), id);
    let slot = found
        .and_then(|_| directory.subject_slot(id))
        .ok_or(Refusal::NotFound)?;
    let after = query.cursor.as_deref();
    let after =
        after.map(|c| cursor::read::<16>(&node.keyring, List::OwnedTokens, caller.tenant(), c));
    let after = after.transpose()?.map(TokenId::from_bytes);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(node.verifier.with_index(|index| {
        let mut chain = index.of_owner(slot).peekable();
        if let Some(after) = after {
            // The chain is in the order of issuance, youngest first: go on behind the last one shown.
            chain.by_ref().find(|id| *id == after);
        }
        chain.take(limit).collect()
    }))
}

/// Shows a token.
pub async fn get(
    caller: Caller<TokensRead>,
    PathId(id): PathId<TokenId>,
) -> Result<Reply<TokenView>, Problem> {
    of_tenant(&caller, id)?;
    Ok(Reply::new(
        StatusCode::OK,
        shown(&caller.doors().node, id).await?,
    ))
}

/// A text that may be a token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PossessionView {
    /// The text.
    pub token: String,
}

/// Finds a token of the caller's tenant by its text: for whoever holds a leaked one.
pub async fn by_text(
    caller: Caller<TokensRead>,
    order: Order<PossessionView>,
) -> Result<Reply<TokenView>, Problem> {
    let node = &caller.doors().node;
    let found = node.verifier.find(&order.value.token).ok();
    let found = found
        .filter(|t| t.tenant == caller.tenant())
        .ok_or(Refusal::NotFound)?;
    Ok(Reply::new(StatusCode::OK, shown(node, found.id).await?))
}
