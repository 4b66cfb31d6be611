//! `POST /v1/check` and its batch: the verdict on a request, asked by the API that received it. Always 200 with the verdict;
//! another status means that the question itself was refused.

mod answer;

use std::{borrow::Cow, net::IpAddr};

use http::Request;
use hyper::body::Incoming;
use jeton_core::{
    api::{JETON_API, own},
    check::question::Question,
    directory::Directory,
    id::{ApiId, TenantId},
    refusal::{Blame, Refusal},
    resource::RESOURCE_BYTES_MAX,
    scope::ScopeSet,
    token::digest::Digest,
};
use jeton_verify::check::{Denied, Now, Passed};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    app::order,
    http::{
        caller,
        door::{Answer, Doors, json, problem},
        error::{Problem, status},
        extract, strict,
        view::{Instant, LimitView},
    },
    net::ConnInfo,
};

/// The most questions in one batch.
pub const BATCH_MAX: usize = 1000;
/// The largest batch, in bytes.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// What is asked of one request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckView<'a> {
    /// The credential that the request carried.
    #[serde(borrow)]
    pub token: Cow<'a, str>,
    /// The API that received it: id, short name or audience.
    #[serde(borrow)]
    #[schemars(length(max = 255))]
    pub api: Cow<'a, str>,
    /// The scopes that it needs, all of them. Without, the API's routes say, by method and path; without routes, any right
    /// at the API will do.
    #[serde(borrow, default)]
    #[schemars(length(max = 64))]
    pub scopes: Option<Vec<Cow<'a, str>>>,
    /// The resource that it touches.
    #[serde(borrow, default)]
    #[schemars(length(max = 512))]
    pub resource: Option<Cow<'a, str>>,
    /// The client's address.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Its method.
    #[serde(borrow, default)]
    #[schemars(length(max = 16))]
    pub method: Option<Cow<'a, str>>,
    /// Its path.
    #[serde(borrow, default)]
    #[schemars(length(max = 4096))]
    pub path: Option<Cow<'a, str>>,
}

/// Many questions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchView<'a> {
    /// At most 1,000.
    #[serde(borrow)]
    #[schemars(length(max = 1000))]
    pub checks: Vec<CheckView<'a>>,
}

/// A verdict. The words are those of the token's holder only where possession was proved.
#[derive(Serialize, JsonSchema)]
pub struct VerdictView<'a> {
    /// Whether the request may go on.
    pub allowed: bool,
    /// The refusal's stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    /// One sentence on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// The status that the API should answer with: 401, 403 or 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'a str>,
    /// To whom it belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `user` or `application`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_kind: Option<&'a str>,
    /// All that it can do at the API on this resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<&'a str>>,
    /// When it ends; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Instant>,
    /// The presented secret was replaced, and ends then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_until: Option<Instant>,
    /// The scopes that are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<&'a str>>,
    /// Since when it is refused, or from when on it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Instant>,
    /// The reason of a revocation or suspension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Its limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitView>,
    /// How many uses are left right now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u32>,
    /// How many seconds until the limit admits one more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// How much of the ledger the verdict rests on.
    pub ledger_size: u64,
}

/// Many verdicts, in the order of the questions.
#[derive(Serialize, JsonSchema)]
pub struct VerdictsView<'a> {
    /// One for each question.
    pub results: Vec<VerdictView<'a>>,
}

struct Asker {
    tenant: TenantId,
    now: Now,
}

/// Answers one question.
pub async fn one(
    doors: &Doors,
    conn: &ConnInfo,
    memo: &Memo,
    request: Request<Incoming>,
) -> Answer {
    match one_inner(doors, conn, memo, request).await {
        Ok(body) => json(http::StatusCode::OK, body),
        Err(refused) => problem(refused),
    }
}

async fn one_inner(
    doors: &Doors,
    conn: &ConnInfo,
    memo: &Memo,
    request: Request<Incoming>,
) -> Result<Vec<u8>, Problem> {
    let (parts, body) = request.into_parts();
    let asker = admit(doors, conn, memo, &parts)?;
    let bytes = extract::read_body(body, extract::BODY_BYTES_MAX).await?;
    let view: CheckView<'_> = match strict::from_slice(&bytes) {
        Ok(view) => view,
        Err(_) => return Err(unreadable::<Shape>(&bytes)),
    };
    bounded(&view, "")?;
    let directory = doors.node.verifier.directory();
    let question = memo.question(&directory, asker.tenant, &view)?;
    let checked = doors.node.verifier.check(&view.token, &question, asker.now);
    tell(doors, &checked, asker.now, view.address);
    let mut out = Vec::with_capacity(512);
    match &checked {
        Ok(passed) => answer::allowed(&mut out, &directory, &question, passed),
        Err(_) => {
            let verdict = verdict(&directory, &question, &checked);
            serde_json::to_writer(&mut out, &verdict)
                .map_err(|_| Problem::of(Refusal::Internal))?;
        }
    }
    Ok(out)
}

/// Answers many.
pub async fn batch(doors: &Doors, conn: &ConnInfo, request: Request<Incoming>) -> Answer {
    match batch_inner(doors, conn, request).await {
        Ok(body) => json(http::StatusCode::OK, body),
        Err(refused) => problem(refused),
    }
}

async fn batch_inner(
    doors: &Doors,
    conn: &ConnInfo,
    request: Request<Incoming>,
) -> Result<Vec<u8>, Problem> {
    let (parts, body) = request.into_parts();
    let asker = admit(doors, conn, &Memo::default(), &parts)?;
    let bytes = extract::read_body(body, BATCH_BYTES_MAX).await?;
    let view: BatchView<'_> = match strict::from_slice(&bytes) {
        Ok(view) => view,
        Err(_) => return Err(unreadable::<Shapes>(&bytes)),
    };
    if view.checks.len() > BATCH_MAX {
        return Err(Blame::field(Refusal::TooMany, "checks", "at most 1000 in a batch").into());
    }
    let directory = doors.node.verifier.directory();
    let asked: Result<Vec<(&str, Question<'_>)>, Problem> = view
        .checks
        .iter()
        .enumerate()
        .map(|(at, check)| {
            let field = format!("checks[{at}].");
            bounded(check, &field)?;
            Ok((
                &*check.token,
                question(&directory, asker.tenant, check, &field)?,
            ))
        })
        .collect();
    let asked = asked?;
    let mut results = Vec::with_capacity(asked.len());
    doors
        .node
        .verifier
        .check_batch(&asked, asker.now, |at, checked| {
            if let Some((check, (_, question))) = view.checks.get(at).zip(asked.get(at)) {
                tell(doors, &checked, asker.now, check.address);
                results.push(verdict(&directory, question, &checked));
            }
        });
    serde_json::to_vec(&VerdictsView { results }).map_err(|_| Refusal::Internal.into())
}

/// What a connection remembers from one question to the next: never a verdict, only what would be worked out again.
#[derive(Default)]
pub struct Memo {
    asker: Mutex<Option<Asked>>,
    meant: Mutex<Option<Meant>>,
}

/// The credential that asked last, with its digest: its state and rights are judged each time.
struct Asked {
    text: Zeroizing<String>,
    tenant: TenantId,
    digest: Digest,
}

/// What the last question's names meant, in the directory of that size.
struct Meant {
    size: u64,
    tenant: TenantId,
    names: (String, Vec<String>),
    api: ApiId,
    needed: ScopeSet,
}

impl Memo {
    /// The digest of this text and its tenant, if it asked last too.
    fn asker(&self, text: &str) -> Option<(TenantId, Digest)> {
        let asked = self.asker.lock();
        let asked = asked.as_ref()?;
        // A connection may be shared by several clients of a proxy: how long this takes must tell nothing.
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(
            asked.text.as_bytes(),
            text.as_bytes(),
        );
        same.ok().map(|()| (asked.tenant, asked.digest))
    }

    fn remember(&self, text: &str, tenant: TenantId, digest: Digest) {
        let text = Zeroizing::new(text.to_owned());
        *self.asker.lock() = Some(Asked {
            text,
            tenant,
            digest,
        });
    }

    /// The question that a view asks, its names read anew only when they or the directory changed.
    fn question<'a>(
        &self,
        directory: &Directory,
        tenant: TenantId,
        view: &'a CheckView<'_>,
    ) -> Result<Question<'a>, Problem> {
        let Some(scopes) = &view.scopes else {
            return question(directory, tenant, view, "");
        };
        let mut meant = self.meant.lock();
        if let Some(m) = meant.as_ref()
            && m.size == directory.size()
            && m.tenant == tenant
            && m.names.0 == view.api
            && m.names.1 == *scopes
        {
            return Ok(asking((tenant, m.api, m.needed), view));
        }
        let fresh = question(directory, tenant, view, "")?;
        let names = (
            view.api.to_string(),
            scopes.iter().map(ToString::to_string).collect(),
        );
        let (size, api, needed) = (directory.size(), fresh.api, fresh.needed);
        *meant = Some(Meant {
            size,
            tenant,
            names,
            api,
            needed,
        });
        Ok(fresh)
    }
}

/// Who asks must hold `jeton:check`.
fn admit(
    doors: &Doors,
    conn: &ConnInfo,
    memo: &Memo,
    parts: &http::request::Parts,
) -> Result<Asker, Problem> {
    let json = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|v| {
            v.as_bytes()
                .get(..16)
                .is_some_and(|h| h.eq_ignore_ascii_case(b"application/json"))
        });
    let text = extract::credential(&parts.headers)?;
    let known = memo.asker(&text);
    let tenant = match known {
        Some((tenant, _)) => tenant,
        None => caller::tenant_of(doors, &text)?,
    };
    let address = extract::client_address(&conn.peer, &parts.headers, &doors.trusted);
    let question = Question {
        tenant,
        api: JETON_API,
        needed: ScopeSet::one(own::CHECK),
        resource: None,
        address,
        method: Some("POST"),
        path: Some(parts.uri.path()),
    };
    let now = doors.node.clock.now();
    let verifier = &doors.node.verifier;
    let checked = match known {
        Some((_, digest)) => verifier.check_digest(&digest, &question, now),
        None => verifier.check(&text, &question, now),
    };
    let passed = checked.map_err(|denied| {
        *memo.asker.lock() = None;
        let catalogue = jeton_core::api::own_catalogue();
        let missing = catalogue
            .names(&denied.refused.missing)
            .map(str::to_owned)
            .collect();
        Problem::denied(&denied, missing)
    })?;
    // Not while it is known by an older pepper alone: that digest is about to be renewed.
    if known.is_none()
        && passed.rehash.is_none()
        && let Some(digest) = verifier.digest(&text)
    {
        memo.remember(&text, tenant, digest);
    }
    doors.observer.used(&passed, now.time, address);
    if !json {
        return Err(Refusal::MediaTypeRefused.into());
    }
    doors.node_at_least(&parts.headers)?;
    Ok(Asker { tenant, now })
}

fn tell(doors: &Doors, checked: &Result<Passed, Denied>, now: Now, address: Option<IpAddr>) {
    doors
        .metrics
        .check(checked.as_ref().err().map(|d| d.refused.refusal));
    if let Ok(passed) = checked {
        doors.observer.used(passed, now.time, address);
    }
}

/// The bounds that the description promises.
fn bounded(view: &CheckView<'_>, field: &str) -> Result<(), Blame> {
    let len = |text: &Option<Cow<'_, str>>| text.as_ref().map_or(0, |t| t.len());
    for (name, len, most) in [
        ("api", view.api.len(), 255),
        ("resource", len(&view.resource), RESOURCE_BYTES_MAX),
        ("method", len(&view.method), 16),
        ("path", len(&view.path), 4096),
    ] {
        if len > most {
            let rule = format!("at most {most} bytes");
            return Err(Blame::field(
                Refusal::FieldInvalid,
                format!("{field}{name}"),
                rule,
            ));
        }
    }
    if view.scopes.as_ref().is_some_and(|s| s.len() > 64) {
        return Err(Blame::field(
            Refusal::TooMany,
            format!("{field}scopes"),
            "at most 64 scopes",
        ));
    }
    Ok(())
}

/// The question that a view asks.
fn question<'a>(
    directory: &Directory,
    tenant: TenantId,
    view: &'a CheckView<'_>,
    field: &str,
) -> Result<Question<'a>, Problem> {
    let api = order::api(directory, tenant, &view.api, &format!("{field}api"));
    let api = api.map_err(|blame| Blame {
        refusal: Refusal::FieldInvalid,
        ..blame
    })?;
    let needed = match &view.scopes {
        Some(names) => order::scopes(directory, (tenant, api), names, &format!("{field}scopes"))?,
        None => by_route(directory, (tenant, api), view, field)?,
    };
    Ok(asking((tenant, api, needed), view))
}

fn asking<'a>(
    (tenant, api, needed): (TenantId, ApiId, ScopeSet),
    view: &'a CheckView<'_>,
) -> Question<'a> {
    Question {
        tenant,
        api,
        needed,
        resource: view.resource.as_deref(),
        address: view.address,
        method: view.method.as_deref(),
        path: view.path.as_deref(),
    }
}

fn by_route(
    directory: &Directory,
    (tenant, api): (TenantId, ApiId),
    view: &CheckView<'_>,
    field: &str,
) -> Result<ScopeSet, Problem> {
    let routes = directory.api(tenant, api).filter(|a| !a.routes.is_empty());
    match (routes, &view.method, &view.path) {
        (Some(api), Some(method), Some(path)) => {
            let path = path.split('?').next().unwrap_or_default();
            api.route(method, path).ok_or_else(|| {
                let rule = "no route of the API serves this method and path";
                Blame::field(Refusal::FieldInvalid, format!("{field}path"), rule).into()
            })
        }
        _ => Ok(ScopeSet::EMPTY),
    }
}

/// The verdict in words.
fn verdict<'a>(
    directory: &'a Directory,
    question: &'a Question<'_>,
    checked: &Result<Passed, Denied>,
) -> VerdictView<'a> {
    let catalogue = directory.catalogue(question.tenant, question.api);
    let names = |set: ScopeSet| -> Vec<&'a str> {
        catalogue
            .map(|c| set.iter().filter_map(|n| c.name(n)).collect())
            .unwrap_or_default()
    };
    let empty = VerdictView {
        allowed: false,
        code: None,
        message: None,
        status: None,
        token: None,
        class: None,
        subject: None,
        subject_kind: None,
        scopes: None,
        expires_at: None,
        replaced_until: None,
        missing: None,
        at: None,
        reason: None,
        limit: None,
        remaining: None,
        retry_after_s: None,
        ledger_size: directory.size(),
    };
    match checked {
        Ok(passed) => VerdictView {
            allowed: true,
            token: Some(passed.token.to_string()),
            class: Some(passed.class.as_str()),
            subject: Some(passed.subject.to_string()),
            subject_kind: Some(passed.subject.kind()),
            scopes: Some(names(passed.scopes)),
            expires_at: passed.expires.map(Instant),
            replaced_until: passed.replaced_until.map(Instant),
            limit: passed.limit.map(|(limit, _)| LimitView::of(limit)),
            remaining: passed.limit.map(|(_, left)| left),
            ..empty
        },
        Err(denied) => {
            let refused = &denied.refused;
            let outward = refused.refusal.outward();
            let limited = refused.refusal == Refusal::LimitExceeded;
            VerdictView {
                code: Some(outward.code()),
                message: Some(outward.sentence()),
                status: Some(status(outward).as_u16()),
                token: denied.token.map(|t| t.to_string()),
                missing: (!refused.missing.is_empty()).then(|| names(refused.missing)),
                at: refused.at.map(Instant),
                reason: refused
                    .reason
                    .map(jeton_core::token::record::Reason::as_str),
                limit: denied.limit.map(LimitView::of),
                retry_after_s: limited.then(|| refused.retry_us.div_ceil(1_000_000).max(1)),
                ..empty
            }
        }
    }
}

/// The clear error for a body that was not readable: read again, slowly, for its words.
fn unreadable<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Problem {
    let again = extract::read_json::<T>(bytes);
    again
        .err()
        .map_or_else(|| Refusal::BodyInvalid.into(), Into::into)
}

/// A question's shape, owned: only for its errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its errors alone")]
struct Shape {
    token: String,
    api: String,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    resource: Option<String>,
    #[serde(default)]
    address: Option<IpAddr>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its errors alone")]
struct Shapes {
    checks: Vec<Shape>,
}
