//! The audit trail: every change, who made it with which credential, from where, and what was before.

use http::StatusCode;
use jeton_core::{
    event::{Actor, Erasure, Event, LogEvent, Record},
    id::{TenantId, TokenId},
    refusal::Refusal,
};
use jeton_store::Trail;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    http::{
        caller::{Caller, EventsRead},
        cursor::{self, List},
        error::Problem,
        extract::Params,
        routes::Reply,
        view::{Instant, Page, give_of, grants_of, rfc3339},
    },
    node::start::Node,
};

/// Which events to list.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only the history of this token.
    #[serde(default)]
    pub token: Option<String>,
    /// Where to go on: the `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many: 1 to 200, 50 unless told.
    #[serde(default)]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// An event.
#[derive(Serialize, JsonSchema)]
pub struct EventView {
    /// Its index in the ledger.
    pub index: u64,
    /// When it was decided.
    pub at: Instant,
    /// What kind it is.
    pub event: String,
    /// `authority`, `setup`, `token` or `possession`.
    pub actor: String,
    /// The credential that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_token: Option<String>,
    /// To whom it belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_subject: Option<String>,
    /// From where, unless erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// In which request, unless erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Why, in the caller's words, unless erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What changed, before and after.
    pub detail: serde_json::Value,
}

/// Lists events, youngest first.
pub async fn list(
    caller: Caller<EventsRead>,
    Params(query): Params<EventsQuery>,
) -> Result<Reply<Page<EventView>>, Problem> {
    let (node, tenant) = (&caller.doors().node, caller.tenant());
    let limit = cursor::page_len(query.limit)?;
    let before = query.cursor.as_deref();
    let before = before.map(|c| cursor::read::<8>(&node.keyring, List::Events, tenant, c));
    let before = before.transpose()?.map(u64::from_be_bytes);
    let trail = match &query.token {
        None => node.read(move |r| r.trail(tenant, before, limit)).await?,
        Some(text) => {
            let id: TokenId = text.parse().map_err(|_| Refusal::NotFound)?;
            history(node, tenant, id, before, limit).await?
        }
    };
    let full = trail.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let last = trail.last().filter(|_| full).map(|t| t.index.to_be_bytes());
    let next = last.map(|index| cursor::make(&node.keyring, List::Events, tenant, &index));
    let items = trail.iter().filter_map(|t| view(node, tenant, t)).collect();
    Ok(Reply::new(StatusCode::OK, Page { items, next }))
}

async fn history(
    node: &std::sync::Arc<Node>,
    tenant: TenantId,
    id: TokenId,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Trail>, Problem> {
    let last = node
        .read(move |r| r.token_event(tenant, id))
        .await?
        .ok_or(Refusal::NotFound)?;
    // A page further back: walk from the last event, and leave out what was shown.
    let most = if before.is_some() { 10_000 } else { limit };
    let mut trail = node.read(move |r| r.history(tenant, last, most)).await?;
    trail.retain(|t| before.is_none_or(|b| t.index < b));
    trail.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(trail)
}

#[derive(Deserialize, Default)]
struct Words {
    address: Option<String>,
    request_id: Option<String>,
    note: Option<String>,
}

fn view(node: &Node, tenant: TenantId, trail: &Trail) -> Option<EventView> {
    let record: Record = minicbor::decode(&trail.record).ok()?;
    let words = trail
        .words
        .as_deref()
        .and_then(|w| serde_json::from_slice::<Words>(w).ok());
    let words = words.unwrap_or_default();
    let (actor, token, subject) = match record.actor {
        Actor::Authority => ("authority", None, None),
        Actor::Setup => ("setup", None, None),
        Actor::Token { token, subject, .. } => ("token", Some(token), Some(subject)),
        Actor::Possession { token } => ("possession", Some(token), None),
    };
    Some(EventView {
        index: trail.index,
        at: Instant(record.at),
        event: record.event.name().to_owned(),
        actor: actor.to_owned(),
        actor_token: token.map(|t| t.to_string()),
        actor_subject: subject.map(|s| s.to_string()),
        address: words.address,
        request_id: words.request_id,
        note: words.note,
        detail: detail(node, tenant, &record.event),
    })
}

/// What changed, with names. Digests are left out: nobody needs them to read a trail.
#[expect(clippy::too_many_lines, reason = "a table: one arm for each event")]
fn detail(node: &Node, tenant: TenantId, event: &Event) -> serde_json::Value {
    use serde_json::json;
    let directory = node.verifier.directory();
    let time = |t: &Option<jeton_core::time::Time>| t.map(|t| rfc3339(t).to_string());
    let permit = |p: &jeton_core::permit::Permit| {
        json!({
            "inherit": p.use_ == jeton_core::permit::Rights::All,
            "grants": grants_of(&directory, tenant, &p.use_),
            "give": p.give.as_ref().map(|g| give_of(&directory, tenant, g)),
            "conditions": crate::http::view::ConditionsView::of(&p.conditions),
        })
    };
    let terms = |t: &jeton_core::token::record::Terms, expires: &Option<jeton_core::time::Time>| {
        json!({
            "permit": permit(&t.permit),
            "limit": t.limit.map(crate::http::view::LimitView::of),
            "idle_s": t.idle.map(jeton_core::time::Span::as_seconds),
            "expires_at": time(expires),
        })
    };
    let roles = |ids: &[jeton_core::id::RoleId]| -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    };
    let standing = crate::http::users::standing;
    match event {
        Event::Genesis { origin, log_key } => {
            json!({"origin": origin, "log_key": data_encoding::BASE64.encode(log_key)})
        }
        Event::TenantCreated { prefix } => {
            json!({"tenant": tenant.to_string(), "prefix": prefix.as_str()})
        }
        Event::TenantStanding { before, after } => {
            json!({"before": standing(*before), "after": standing(*after)})
        }
        Event::ApiDefined {
            api,
            name,
            audience,
        } => {
            json!({"api": api.to_string(), "name": name, "audience": audience})
        }
        Event::CatalogueSet { api, scopes } => {
            let names: Vec<_> = scopes
                .iter()
                .filter(|s| !s.retired)
                .map(|s| &s.name)
                .collect();
            json!({"api": api.to_string(), "scopes": names})
        }
        Event::RoutesSet {
            api,
            hosts,
            routes,
            query_parameter,
        } => json!({
            "api": api.to_string(), "hosts": hosts, "routes": routes.len(), "query_parameter": query_parameter,
        }),
        Event::RoleCreated {
            role,
            name,
            permit: p,
        } => {
            json!({"role": role.to_string(), "name": name, "after": permit(p)})
        }
        Event::RoleChanged {
            role,
            before,
            after,
        } => {
            json!({"role": role.to_string(), "before": permit(before), "after": permit(after)})
        }
        Event::RoleDeleted { role } => json!({"role": role.to_string()}),
        Event::UserCreated { user, roles: r } => {
            json!({"user": user.to_string(), "after": roles(r)})
        }
        Event::UserRolesSet {
            user,
            before,
            after,
        } => {
            json!({"user": user.to_string(), "before": roles(before), "after": roles(after)})
        }
        Event::AppCreated {
            app,
            sponsor,
            permit: p,
        } => json!({
            "app": app.to_string(), "sponsor": sponsor.map(|s| s.to_string()), "after": permit(p)
        }),
        Event::AppChanged { app, before, after } => json!({
            "app": app.to_string(),
            "before": permit(&before.0), "after": permit(&after.0),
            "sponsor_before": before.1.map(|s| s.to_string()), "sponsor_after": after.1.map(|s| s.to_string()),
        }),
        Event::SubjectStanding {
            subject,
            before,
            after,
        } => json!({
            "subject": subject.to_string(), "before": standing(*before), "after": standing(*after)
        }),
        Event::PolicySet {
            class,
            before,
            after,
        } => {
            json!({
                "class": class.as_str(),
                "before": crate::http::policies::PolicyView::of(before),
                "after": crate::http::policies::PolicyView::of(after),
            })
        }
        Event::TokenIssued {
            token,
            class,
            subject,
            terms: t,
            expires,
            ..
        } => json!({
            "token": token.to_string(), "class": class.as_str(), "subject": subject.to_string(),
            "permanent": expires.is_none(), "after": terms(t, expires),
        }),
        Event::TokenChanged {
            token,
            before,
            after,
        } => json!({
            "token": token.to_string(),
            "before": terms(&before.0, &before.1), "after": terms(&after.0, &after.1),
        }),
        Event::TokenSuspended { token, reason } | Event::TokenRevoked { token, reason } => {
            json!({"token": token.to_string(), "reason": reason.as_str()})
        }
        Event::TokenResumed { token } => json!({"token": token.to_string()}),
        Event::TokenRotated {
            token,
            generation,
            overlap_until,
            expires,
            ..
        } => json!({
            "token": token.to_string(), "generation": generation,
            "overlap_until": rfc3339(*overlap_until).to_string(), "expires_at": time(expires),
        }),
        Event::TokenRehashed { token, pepper, .. } => {
            json!({"token": token.to_string(), "pepper": pepper})
        }
        Event::CutOff {
            subject,
            below,
            reason,
        } => json!({
            "subject": subject.map(|s| s.to_string()), "below": below, "reason": reason.as_str()
        }),
        Event::Renamed { .. } => json!({}),
        Event::PepperRotated { pepper } => json!({"pepper": pepper}),
        Event::PepperRetired { pepper, abandoned } => {
            json!({"pepper": pepper, "abandoned_tokens": abandoned})
        }
        Event::Ledger(event) => log_detail(event),
        Event::Erased(Erasure::Words { subject, indexes }) => {
            json!({"subject": subject.to_string(), "events": indexes.len()})
        }
        Event::Erased(Erasure::Openings { tokens, indexes }) => {
            json!({"tokens": tokens.len(), "events": indexes.len()})
        }
    }
}

/// What changed in the ledger itself.
fn log_detail(event: &LogEvent) -> serde_json::Value {
    use serde_json::json;
    let text = |key: &[u8]| data_encoding::BASE64.encode(key);
    match event {
        LogEvent::KeyAdded { key, .. } => json!({"key": text(key)}),
        LogEvent::KeyRetired {
            key,
            compromised_from,
            ..
        } => json!({"key": text(key), "compromised_from": compromised_from}),
        LogEvent::PolicySet { policy } => json!({"policy": policy}),
        LogEvent::EpochBegan {
            origin,
            served,
            reason,
        } => json!({"origin": origin, "served": served, "reason": reason}),
    }
}
