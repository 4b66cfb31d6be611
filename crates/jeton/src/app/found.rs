//! Founding: the operator from the setup secret, and tenants with their first credential.

use jeton_core::{
    authority::Authority,
    decision::Decision,
    directory::Directory,
    event::{Actor, Event, RECORD_VERSION, Record},
    founding,
    id::{AppId, TenantId},
    policy::Lifetime,
    refusal::{Blame, Refusal},
    secret::Secret,
    time::Time,
    token::{
        issue::{Drawn, Issued},
        text::{Class, Prefix},
    },
};

use crate::{
    app::{Ctx, Words, authority, issue::mint_for},
    capability,
    node::{
        start::Node,
        writer::{Done, Purpose, Ruling},
    },
};

/// A tenant's first credential.
pub struct Admin {
    /// The tenant.
    pub tenant: TenantId,
    /// Its first application.
    pub app: AppId,
    /// The token.
    pub issued: Issued,
    /// Its text, shown once.
    pub secret: Secret,
    /// The ledger's size after it.
    pub size: u64,
}

/// Makes the operator of a fresh deployment: the one who redeemed the setup secret. Works once, however often the secret
/// is shown: the ledger remembers.
///
/// # Errors
/// [`Refusal::SetupSpent`] if there is an operator already.
pub async fn operator(node: &Node, words: Option<Vec<u8>>) -> Result<Admin, Blame> {
    let tenant = node
        .verifier
        .directory()
        .system()
        .ok_or(Refusal::Unavailable)?;
    let prefix = node
        .verifier
        .directory()
        .tenant(tenant)
        .ok_or(Refusal::Unavailable)?
        .prefix;
    let minted = mint_for(node, tenant, prefix, Class::Svc)?;
    let (drawn, app) = (minted.drawn, capability::draw_id(node.clock.time()));
    let done = node.writer.submit(Purpose::Grow, move |facts| {
        if facts.directory.log().is_operated() {
            return Ruling::no(tenant, Refusal::SetupSpent);
        }
        let decision = admin(
            facts.directory,
            (tenant, None),
            app,
            (drawn, facts.now),
            Actor::Setup,
        );
        Ruling {
            tenant,
            actor: Actor::Setup,
            request: None,
            words,
            decision,
        }
    });
    let done = done.await?;
    Ok(admitted(tenant, app, minted.secret, done))
}

/// Founds a tenant, with an application that administers it and a token of that.
///
/// # Errors
/// The rule's [`Blame`]; [`Refusal::Unavailable`] if its keys cannot be kept.
pub async fn tenant(ctx: &Ctx, prefix: Prefix, words: Words) -> Result<Admin, Blame> {
    let node = &ctx.node;
    let now = node.clock.time();
    let tenant: TenantId = capability::draw_id(now);
    let operator = ctx.token;
    // Refuse what can be refused before keys are made for it.
    {
        let directory = node.verifier.directory();
        let record = node
            .verifier
            .record(operator)
            .ok_or(Refusal::TokenUnknown)?;
        let none = jeton_core::scope::ScopeSet::EMPTY;
        let authority = Authority::of_token(&directory, &record, none, now)?;
        founding::may_found(&authority, prefix, &directory)?;
    }
    let keyring = std::sync::Arc::clone(&node.keyring);
    // The keys are on the disk before any event of the tenant is: a crash between leaves keys that nothing uses.
    let kept = tokio::task::spawn_blocking(move || keyring.add_tenant(tenant)).await;
    kept.map_err(|_| Refusal::Internal)?.map_err(|error| {
        tracing::error!(%error, "a tenant's keys were not kept");
        Refusal::Unavailable
    })?;
    let minted = mint_for(node, tenant, prefix, Class::Svc)?;
    let (drawn, app) = (minted.drawn, capability::draw_id(now));
    let words = words.to_json();
    let done = node.writer.submit(Purpose::Grow, move |facts| {
        let found = authority(facts, operator)
            .and_then(|a| founding::may_found(&a, prefix, facts.directory).map(|()| a.actor()));
        let actor = match found {
            Ok(actor) => actor,
            Err(blame) => return Ruling::no(tenant, blame),
        };
        let place = (tenant, Some(prefix));
        let decision = admin(facts.directory, place, app, (drawn, facts.now), actor);
        Ruling {
            tenant,
            actor,
            request: None,
            words,
            decision,
        }
    });
    let done = done.await?;
    node.refresh_peppers();
    Ok(admitted(tenant, app, minted.secret, done))
}

/// Gives a tenant whose credentials an epoch has ended a new application that administers it, and a token of that.
///
/// # Errors
/// The rule's [`Blame`].
pub async fn readmit(ctx: &Ctx, tenant: TenantId, words: Words) -> Result<Admin, Blame> {
    let node = &ctx.node;
    let found = node.verifier.directory().tenant(tenant).cloned();
    let prefix = found.ok_or(Refusal::NotFound)?.prefix;
    let operator = ctx.token;
    let minted = mint_for(node, tenant, prefix, Class::Svc)?;
    let (drawn, app) = (minted.drawn, capability::draw_id(node.clock.time()));
    let words = words.to_json();
    let done = node.writer.submit(Purpose::Grow, move |facts| {
        let may = authority(facts, operator)
            .and_then(|a| founding::may_readmit(&a, tenant, facts.directory).map(|()| a.actor()));
        let actor = match may {
            Ok(actor) => actor,
            Err(blame) => return Ruling::no(tenant, blame),
        };
        let drawn = (drawn, facts.now);
        let decision = admin(facts.directory, (tenant, None), app, drawn, actor);
        Ruling {
            tenant,
            actor,
            request: None,
            words,
            decision,
        }
    });
    let done = done.await?;
    Ok(admitted(tenant, app, minted.secret, done))
}

/// The first credential with its text, once the ledger holds it.
fn admitted(tenant: TenantId, app: AppId, secret: Secret, done: Done<Issued>) -> Admin {
    Admin {
        tenant,
        app,
        issued: done.outcome,
        secret,
        size: done.size,
    }
}

/// The events of a tenant's beginning: the tenant (if it is new), its first application, and a token of that.
fn admin(
    directory: &Directory,
    (tenant, prefix): (TenantId, Option<Prefix>),
    app: AppId,
    (drawn, now): (Drawn, Time),
    actor: Actor,
) -> Decision<Issued> {
    let mut next = directory.clone();
    let permit = founding::admin_permit(directory.system() == Some(tenant));
    let mut events: Vec<Event> = prefix
        .map(|prefix| Event::TenantCreated { prefix })
        .into_iter()
        .collect();
    events.push(Event::AppCreated {
        app,
        sponsor: None,
        permit,
    });
    let records: Vec<Record> = events
        .iter()
        .map(|event| record(tenant, now, actor, event))
        .collect();
    if founding::apply_all(&mut next, &records).is_err() {
        return Decision::no(Refusal::Internal);
    }
    let founder = Authority::danger_founder(tenant, actor);
    let token = founding::admin_token(&founder, app, Lifetime::Default, &next, (drawn, now));
    events.extend(token.events);
    Decision {
        outcome: token.outcome,
        events,
    }
}

fn record(tenant: TenantId, at: Time, actor: Actor, event: &Event) -> Record {
    let event = event.clone();
    Record {
        version: RECORD_VERSION,
        tenant,
        at,
        actor,
        request: None,
        aside: None,
        event,
    }
}
