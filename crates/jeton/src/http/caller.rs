//! The caller of the management API: a handler that needs a scope names it in its type, or cannot be written.

use core::marker::PhantomData;
use std::{net::IpAddr, sync::Arc};

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use jeton_core::{
    api::{JETON_API, own, own_catalogue},
    check::question::Question,
    event::RequestKey,
    id::TenantId,
    refusal::{Blame, Refusal},
    scope::ScopeSet,
    token::text::TokenText,
};
use jeton_verify::check::{Denied, Passed};
use sha2::{Digest as _, Sha256};

use crate::{
    app::Ctx,
    http::{door::Doors, error::Problem, extract},
    net::ConnInfo,
};

/// Which of jeton's own scopes an operation needs: any one of these.
pub trait Needs: Send + Sync + 'static {
    /// The alternatives, by number; none: any credential of jeton's will do.
    const ANY_OF: &'static [u8];
}

macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident = $scopes:expr;)*) => {$(
        $(#[$doc])*
        pub enum $name {}
        impl Needs for $name { const ANY_OF: &'static [u8] = $scopes; }
    )*};
}

needs! {
    /// To ask about tokens.
    Check = &[own::CHECK];
    /// To see tokens.
    TokensRead = &[own::TOKENS_READ];
    /// To make and change tokens: anybody's, or one's own.
    TokensWrite = &[own::TOKENS_WRITE, own::TOKENS_OWN];
    /// To end tokens.
    TokensRevoke = &[own::TOKENS_REVOKE, own::TOKENS_OWN];
    /// To end many tokens at once.
    TokensCutOff = &[own::TOKENS_REVOKE];
    /// To erase tokens: not one's own, or a holder could cover its tracks.
    TokensErase = &[own::TOKENS_WRITE];
    /// To see users and applications.
    SubjectsRead = &[own::SUBJECTS_READ];
    /// To register and change users and applications.
    SubjectsWrite = &[own::SUBJECTS_WRITE];
    /// To see roles.
    RolesRead = &[own::ROLES_READ];
    /// To make and change roles.
    RolesWrite = &[own::ROLES_WRITE];
    /// To see APIs.
    ApisRead = &[own::APIS_READ];
    /// To define APIs.
    ApisWrite = &[own::APIS_WRITE];
    /// To see policies.
    PoliciesRead = &[own::POLICIES_READ];
    /// To set policies.
    PoliciesWrite = &[own::POLICIES_WRITE];
    /// To read the audit trail.
    EventsRead = &[own::EVENTS_READ];
    /// To see tenants.
    TenantsRead = &[own::TENANTS_READ];
    /// To found and suspend tenants.
    TenantsWrite = &[own::TENANTS_WRITE];
    /// To read the log's tiles.
    TilesRead = &[own::EVENTS_READ, own::LEDGER_READ];
    /// To read the whole ledger, of all tenants, with its openings.
    LedgerRead = &[own::LEDGER_READ];
    /// To rotate peppers and the ledger's keys.
    KeysWrite = &[own::KEYS_WRITE];
}

/// What the door knows of a request before anything is judged.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The request's id, of our own making.
    pub request_id: String,
    /// The client's address, through trusted proxies.
    pub address: Option<IpAddr>,
    /// The connection.
    pub conn: Arc<ConnInfo>,
}

/// A caller whose credential was checked and holds what `N` needs.
///
/// ```compile_fail
/// use jeton::http::caller::{Caller, TokensWrite};
/// fn forge(passed: jeton_verify::check::Passed) -> Caller<TokensWrite> {
///     Caller { passed, tenant: todo!(), needs: core::marker::PhantomData }
/// }
/// ```
pub struct Caller<N: Needs> {
    passed: Passed,
    tenant: TenantId,
    arrival: Arrival,
    idempotency: Option<String>,
    doors: Arc<Doors>,
    needs: PhantomData<N>,
}

impl<N: Needs> Caller<N> {
    /// Its tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Its credential, checked.
    #[must_use]
    pub fn passed(&self) -> &Passed {
        &self.passed
    }

    /// The node and its surroundings.
    #[must_use]
    pub fn doors(&self) -> &Arc<Doors> {
        &self.doors
    }

    /// The context of a command that cannot be repeated by mistake.
    #[must_use]
    pub fn ctx(&self) -> Ctx {
        Ctx {
            node: Arc::clone(&self.doors.node),
            tenant: self.tenant,
            token: self.passed.token,
            address: self.arrival.address,
            request_id: self.arrival.request_id.clone(),
            request: None,
        }
    }

    /// The context of a command that an `Idempotency-Key` makes safe to repeat.
    #[must_use]
    pub fn ctx_for(&self, operation: &str, body: &[u8]) -> Ctx {
        let request = self.idempotency.as_ref().map(|key| {
            let mut hash = Sha256::new();
            for part in [self.tenant.bytes(), self.passed.subject.bytes()] {
                hash.update(part);
            }
            hash.update(operation.as_bytes());
            hash.update([0]);
            hash.update(key.as_bytes());
            RequestKey {
                key: first_half(&hash.finalize().into()),
                body: first_half(&Sha256::digest(body).into()),
            }
        });
        Ctx {
            request,
            ..self.ctx()
        }
    }
}

fn first_half(bytes: &[u8; 32]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = *bytes;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

impl<S, N> FromRequestParts<S> for Caller<N>
where
    S: Send + Sync,
    Arc<Doors>: FromRef<S>,
    N: Needs,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let doors = <Arc<Doors>>::from_ref(state);
        let arrival = parts.extensions.get::<Arrival>().cloned();
        let arrival = arrival.ok_or_else(|| Problem::of(Refusal::Internal))?;
        let (passed, tenant) = admit(&doors, parts, &arrival, N::ANY_OF)?;
        doors.node_at_least(&parts.headers)?;
        let idempotency = idempotency_key(parts)?;
        Ok(Self {
            passed,
            tenant,
            arrival,
            idempotency,
            doors,
            needs: PhantomData,
        })
    }
}

/// Judges the credential of a request to jeton's own API.
fn admit(
    doors: &Doors,
    parts: &Parts,
    arrival: &Arrival,
    any_of: &[u8],
) -> Result<(Passed, TenantId), Problem> {
    let text = extract::credential(&parts.headers)?;
    let tenant = tenant_of(doors, &text)?;
    let needed = match any_of {
        [one] => ScopeSet::one(*one),
        _ => ScopeSet::EMPTY,
    };
    let question = Question {
        tenant,
        api: JETON_API,
        needed,
        resource: None,
        address: arrival.address,
        method: Some(parts.method.as_str()),
        path: Some(parts.uri.path()),
    };
    let now = doors.node.clock.now();
    let checked = doors.node.verifier.check(&text, &question, now);
    doors
        .metrics
        .caller(checked.as_ref().err().map(|d| d.refused.refusal));
    let passed = checked.map_err(|denied| refused(&denied))?;
    doors.observer.used(&passed, now.time, arrival.address);
    if any_of.is_empty() || any_of.iter().any(|n| passed.scopes.contains(*n)) {
        return Ok((passed, tenant));
    }
    let missing: ScopeSet = any_of.iter().copied().take(1).collect();
    let denied = jeton_core::check::judge::Refused {
        missing,
        ..Refusal::ScopeMissing.into()
    };
    Err(refused(&Denied {
        refused: denied,
        token: Some(passed.token),
        limit: None,
    }))
}

fn refused(denied: &Denied) -> Problem {
    let missing = own_catalogue()
        .names(&denied.refused.missing)
        .map(str::to_owned)
        .collect();
    Problem::denied(denied, missing)
}

/// The tenant that a token's prefix selects.
///
/// # Errors
/// The uniform answer for unknown strings.
pub fn tenant_of(doors: &Doors, text: &str) -> Result<TenantId, Problem> {
    let token = TokenText::parse(text)?;
    let directory = doors.node.verifier.directory();
    let tenant = directory.tenant_of_prefix(token.prefix());
    tenant
        .map(|t| t.id)
        .ok_or_else(|| Refusal::TokenUnknown.into())
}

/// `Idempotency-Key`: 1 to 128 printable characters, as a bare or quoted string.
fn idempotency_key(parts: &Parts) -> Result<Option<String>, Problem> {
    let mut values = parts.headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let text = text
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or(text);
    let legal = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !legal || values.next().is_some() {
        let rule = "one value of 1 to 128 printable characters";
        return Err(Blame::field(Refusal::FieldInvalid, "Idempotency-Key", rule).into());
    }
    Ok(Some(text.to_owned()))
}
