//! The use cases: each draws what a rule needs, hands the rule to the writer, and returns what became true.

pub mod erase;
pub mod found;
pub mod issue;
pub mod ledger_key;
pub mod order;
pub mod revoke;
pub mod rotate;

use std::{net::IpAddr, sync::Arc};

use jeton_core::{
    authority::Authority,
    decision::Decision,
    event::RequestKey,
    id::{TenantId, TokenId},
    refusal::{Blame, Refusal},
    scope::ScopeSet,
};
use serde::Serialize;

use crate::node::{
    start::Node,
    writer::{Done, Facts, Purpose, Ruling},
};

/// Who asks, and around what: what every use case is given.
#[derive(Clone)]
pub struct Ctx {
    /// The node.
    pub node: Arc<Node>,
    /// The caller's tenant.
    pub tenant: TenantId,
    /// The caller's credential.
    pub token: TokenId,
    /// Whence.
    pub address: Option<IpAddr>,
    /// The id of the request, for log and trail.
    pub request_id: String,
    /// How a repetition of the request is known.
    pub request: Option<RequestKey>,
}

/// The words beside an event: may be erased, so nothing depends on them.
#[derive(Serialize, Default)]
pub struct Words {
    /// Whence the request came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What the thing is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its makers noted of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
    /// Why it was done, in their words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Words {
    /// The words of a request, and no more.
    #[must_use]
    pub fn of(ctx: &Ctx) -> Self {
        Self {
            address: ctx.address.map(|a| a.to_string()),
            request_id: Some(ctx.request_id.clone()),
            ..Self::default()
        }
    }

    /// As the trail keeps them.
    #[must_use]
    pub fn to_json(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok()
    }
}

/// What came of a command that may have been carried out before.
#[derive(Clone, Debug)]
pub enum Outcome<T> {
    /// It was carried out now.
    Fresh(T),
    /// It had been carried out before, on the thing with this raw id.
    Repeated([u8; 16]),
}

/// Has a rule decide with the caller's authority of that moment, and stores what it decides.
///
/// # Errors
/// The rule's [`Blame`], or that of the writer.
pub async fn command<T, F>(
    ctx: &Ctx,
    purpose: Purpose,
    words: Words,
    rule: F,
) -> Result<Done<Outcome<T>>, Blame>
where
    T: Send + 'static,
    F: FnOnce(&Facts<'_>, &Authority) -> Decision<T> + Send + 'static,
{
    let (tenant, token, request) = (ctx.tenant, ctx.token, ctx.request);
    let words = words.to_json();
    let submitted = ctx.node.writer.submit(purpose, move |facts| {
        let authority = match authority(facts, token) {
            Ok(authority) => authority,
            Err(blame) => return Ruling::no(tenant, blame),
        };
        if let Some(key) = request
            && let Some(before) = facts.directory.remembered(&key.key)
        {
            if before.body != key.body {
                return Ruling::no(tenant, Refusal::IdempotencyMismatch);
            }
            let decision = Decision::yes(Outcome::Repeated(before.about), Vec::new());
            return Ruling {
                tenant,
                actor: authority.actor(),
                request: None,
                words: None,
                decision,
            };
        }
        let Decision { outcome, events } = rule(facts, &authority);
        let decision = Decision {
            outcome: outcome.map(Outcome::Fresh),
            events,
        };
        Ruling {
            tenant,
            actor: authority.actor(),
            request,
            words,
            decision,
        }
    });
    submitted.await
}

/// The authority of a credential, on the facts of this moment: it was good at the door, and must be good here.
///
/// # Errors
/// What its check says.
pub fn authority(facts: &Facts<'_>, token: TokenId) -> Result<Authority, Blame> {
    let record = facts.token(token).ok_or(Refusal::TokenUnknown)?;
    Authority::of_token(facts.directory, &record, ScopeSet::EMPTY, facts.now)
}

/// A command that is idempotent by nature: a repetition does nothing and says yes.
///
/// # Errors
/// As [`command`].
pub async fn simple<F>(ctx: &Ctx, purpose: Purpose, words: Words, rule: F) -> Result<u64, Blame>
where
    F: FnOnce(&Facts<'_>, &Authority) -> Decision<()> + Send + 'static,
{
    command(ctx, purpose, words, rule)
        .await
        .map(|done| done.size)
}
