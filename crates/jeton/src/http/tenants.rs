//! Tenants: found, list, suspend, resume; and the peppers of each. For the operator alone.

use std::sync::Arc;

use http::StatusCode;
use jeton_core::{
    directory::Tenant,
    event::Event,
    founding,
    id::TenantId,
    refusal::{Blame, Refusal},
    subject::Standing,
    token::text::Prefix,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::{Ctx, Words, authority, found},
    http::{
        caller::{Caller, KeysWrite, TenantsRead, TenantsWrite},
        error::Problem,
        extract::{Order, PathId},
        routes::Reply,
        setup::AdminView,
        users::{StandingOrder, standing},
        view::{Instant, Named, Page, words_bounded},
    },
    node::{
        keyring::KeyringError,
        start::Node,
        writer::{Purpose, Ruling},
    },
};

/// An order for a tenant.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantOrder {
    /// The first part of its tokens, unique in the deployment.
    #[schemars(regex(pattern = "^[a-z][a-z0-9]{1,7}$"))]
    pub prefix: String,
    /// What it is called.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub name: Option<String>,
}

/// A tenant.
#[derive(Serialize, JsonSchema)]
pub struct TenantView {
    /// Its id.
    pub id: String,
    /// The first part of its tokens.
    pub prefix: String,
    /// What it was called when it was founded, unless erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `active` or `suspended`.
    pub state: String,
    /// How many events it has had.
    pub events: u64,
    /// The numbers of its peppers, oldest first; the last is in force.
    pub peppers: Vec<u8>,
    /// When it was founded.
    pub created_at: Instant,
}

fn view(node: &Node, tenant: &Tenant, name: Option<String>) -> TenantView {
    TenantView {
        id: tenant.id.to_string(),
        prefix: tenant.prefix.to_string(),
        name,
        state: standing(tenant.standing).to_owned(),
        events: tenant.events,
        peppers: node.keyring.pepper_numbers(tenant.id),
        created_at: Instant(tenant.id.born()),
    }
}

/// Tenants with their names, which lie in the store: beside the event that founded each.
async fn views(node: &Arc<Node>, tenants: &[Arc<Tenant>]) -> Result<Vec<TenantView>, Problem> {
    let ids: Vec<TenantId> = tenants.iter().map(|t| t.id).collect();
    let words = node
        .read(move |reader| {
            ids.into_iter()
                .map(|id| reader.first_words(id))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let named = words.into_iter().map(|words| {
        let named: Option<Named> = words.and_then(|w| serde_json::from_slice(&w).ok());
        named.and_then(|n| n.name)
    });
    let views = tenants.iter().zip(named);
    Ok(views
        .map(|(tenant, name)| view(node, tenant, name))
        .collect())
}

async fn shown(node: &Arc<Node>, id: TenantId) -> Result<TenantView, Problem> {
    let tenant = node.verifier.directory().tenant(id).cloned();
    let found = tenant.ok_or(Refusal::NotFound)?;
    let views = views(node, &[found]).await?;
    views
        .into_iter()
        .next()
        .ok_or_else(|| Refusal::NotFound.into())
}

/// Founds a tenant: the answer holds its first credential.
pub async fn create(
    caller: Caller<TenantsWrite>,
    order: Order<TenantOrder>,
) -> Result<Reply<AdminView>, Problem> {
    let ctx = caller.ctx();
    words_bounded(order.value.name.as_deref(), None)?;
    let prefix = Prefix::parse(order.value.prefix.as_bytes()).ok_or_else(|| {
        let rule = "2 to 8 of a-z and 0-9, a letter first";
        Blame::field(Refusal::FieldInvalid, "prefix", rule)
    })?;
    let words = Words {
        name: order.value.name,
        ..Words::of(&ctx)
    };
    let admin = found::tenant(&ctx, prefix, words).await?;
    Ok(Reply::new(StatusCode::CREATED, AdminView::of(&admin)).at(admin.size))
}

/// Gives a tenant whose credentials an epoch has ended a new first credential: once, and never while it has others.
pub async fn readmit(
    caller: Caller<TenantsWrite>,
    PathId(id): PathId<TenantId>,
) -> Result<Reply<AdminView>, Problem> {
    let ctx = caller.ctx();
    let admin = found::readmit(&ctx, id, Words::of(&ctx)).await?;
    Ok(Reply::new(StatusCode::CREATED, AdminView::of(&admin)).at(admin.size))
}

/// Lists all tenants.
pub async fn list(caller: Caller<TenantsRead>) -> Result<Reply<Page<TenantView>>, Problem> {
    let node = &caller.doors().node;
    let tenants: Vec<_> = node.verifier.directory().tenants().cloned().collect();
    let items = views(node, &tenants).await?;
    Ok(Reply::new(StatusCode::OK, Page { items, next: None }))
}

/// Shows a tenant.
pub async fn get(
    caller: Caller<TenantsRead>,
    PathId(id): PathId<TenantId>,
) -> Result<Reply<TenantView>, Problem> {
    let view = shown(&caller.doors().node, id).await?;
    Ok(Reply::new(StatusCode::OK, view))
}

/// Suspends or resumes a tenant.
pub async fn set_standing(
    caller: Caller<TenantsWrite>,
    PathId(id): PathId<TenantId>,
    order: Order<StandingOrder>,
) -> Result<Reply<TenantView>, Problem> {
    let ctx = caller.ctx();
    let after = order.value.read()?;
    if after == Standing::Deleted {
        let rule = "a tenant can be active or suspended";
        return Err(Blame::field(Refusal::FieldInvalid, "state", rule).into());
    }
    let purpose = if after == Standing::Active {
        Purpose::Grow
    } else {
        Purpose::Reduce
    };
    let (operator, words) = (ctx.token, Words::of(&ctx).to_json());
    let done = ctx
        .node
        .writer
        .submit(purpose, move |facts| match authority(facts, operator) {
            Err(blame) => Ruling::no(id, blame),
            Ok(authority) => Ruling {
                tenant: id,
                actor: authority.actor(),
                request: None,
                words,
                decision: founding::set_tenant_standing(&authority, id, after, facts.directory),
            },
        });
    let size = done.await?.size;
    Ok(Reply::new(StatusCode::OK, shown(&ctx.node, id).await?).at(size))
}

/// What shall happen to a tenant's peppers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PepperOrder {
    /// `rotate`: a new pepper comes in force, the one before is accepted still. `retire`: the older one goes, if no live token
    /// needs it.
    #[schemars(regex(pattern = "^(rotate|retire)$"))]
    pub action: String,
    /// Retire although tokens need it: they stop working. The answer without it says how many.
    #[serde(default)]
    pub abandon: bool,
}

/// Rotates or retires a tenant's pepper.
pub async fn peppers(
    caller: Caller<KeysWrite>,
    PathId(id): PathId<TenantId>,
    order: Order<PepperOrder>,
) -> Result<Reply<TenantView>, Problem> {
    let ctx = caller.ctx();
    shown(&ctx.node, id).await?;
    let size = match order.value.action.as_str() {
        "rotate" => rotate_pepper(&ctx, id).await?,
        "retire" => retire_pepper(&ctx, id, order.value.abandon).await?,
        _ => return Err(Blame::field(Refusal::FieldInvalid, "action", "rotate or retire").into()),
    };
    Ok(Reply::new(StatusCode::OK, shown(&ctx.node, id).await?).at(size))
}

/// A key first, then its event: a crash between leaves a key in force that only the event is missing of.
async fn rotate_pepper(ctx: &Ctx, id: TenantId) -> Result<u64, Problem> {
    let keyring = Arc::clone(&ctx.node.keyring);
    let made = kept(tokio::task::spawn_blocking(move || keyring.rotate_pepper(id)).await)?;
    ctx.node.refresh_peppers();
    note(ctx, id, Event::PepperRotated { pepper: made }).await
}

/// The event first: a crash between leaves a pepper that is accepted still, and retiring can be repeated.
async fn retire_pepper(ctx: &Ctx, id: TenantId, abandon: bool) -> Result<u64, Problem> {
    let numbers = ctx.node.keyring.pepper_numbers(id);
    let oldest = numbers.first().filter(|_| numbers.len() > 1).copied();
    let oldest = oldest.ok_or_else(|| {
        let rule = "there is only one pepper: rotate first";
        Blame::field(Refusal::StateConflict, "action", rule)
    })?;
    let needed = needing(&ctx.node, id, oldest);
    if needed > 0 && !abandon {
        let rule = format!(
            "{needed} live tokens were not used since the rotation; they would stop working"
        );
        return Err(Blame::field(Refusal::StateConflict, "action", rule).into());
    }
    let size = note(
        ctx,
        id,
        Event::PepperRetired {
            pepper: oldest,
            abandoned: needed,
        },
    )
    .await?;
    let keyring = Arc::clone(&ctx.node.keyring);
    kept(tokio::task::spawn_blocking(move || keyring.retire_pepper(id)).await)?;
    ctx.node.refresh_peppers();
    Ok(size)
}

async fn note(ctx: &Ctx, id: TenantId, event: Event) -> Result<u64, Problem> {
    let (operator, words) = (ctx.token, Words::of(ctx).to_json());
    let done = ctx.node.writer.submit(Purpose::Grow, move |facts| {
        match authority(facts, operator) {
            Err(blame) => Ruling::no(id, blame),
            Ok(authority) => Ruling {
                tenant: id,
                actor: authority.actor(),
                request: None,
                words,
                decision: founding::note_pepper(&authority, id, event, facts.directory),
            },
        }
    });
    Ok(done.await?.size)
}

fn kept(changed: Result<Result<u8, KeyringError>, tokio::task::JoinError>) -> Result<u8, Problem> {
    match changed.map_err(|_| Refusal::Internal)? {
        Ok(number) => Ok(number),
        Err(KeyringError::InUse(rule)) => {
            Err(Blame::field(Refusal::StateConflict, "action", rule).into())
        }
        Err(error) => {
            tracing::error!(%error, "a pepper was not changed");
            Err(Refusal::Unavailable.into())
        }
    }
}

/// How many live tokens were last seen under this pepper.
fn needing(node: &Node, tenant: TenantId, pepper: u8) -> u64 {
    let directory = node.verifier.directory();
    let owns = |slot| {
        directory
            .subject_at(slot)
            .is_some_and(|s| s.tenant == tenant)
    };
    let in_use = node.verifier.with_index(|index| index.peppers_in_use(owns));
    in_use.get(&pepper).copied().unwrap_or(0)
}
