//! `POST /v1/check` and its batch: the verdict on a request, asked by the API that received it. Always 200 with the verdict;
//! another status means that the question itself was refused.

mod answer;
mod memo;
mod question;
mod view;

use std::net::IpAddr;

use http::Request;
use hyper::body::Incoming;
use jeton_core::{
    api::{JETON_API, own},
    check::question::Question,
    id::TenantId,
    refusal::{Blame, Refusal},
    scope::ScopeSet,
};
use jeton_verify::check::{Denied, Now, Passed};

pub use self::{
    memo::Memo,
    view::{BatchView, CheckView, VerdictView, VerdictsView},
};
use self::{
    question::{bounded, question},
    view::{Shape, Shapes, unreadable, verdict},
};
use crate::{
    http::{
        caller,
        door::{Answer, Doors, json, problem, problem_whole},
        error::Problem,
        extract::{self, Fields},
        strict,
    },
    net::{ConnInfo, Whole},
};

/// The most questions in one batch.
pub const BATCH_MAX: usize = 1000;
/// The largest batch, in bytes.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// The way to the check.
pub const PATH: &str = "/v1/check";

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
    // Before the body is read: a stranger is not listened to.
    let mut asker = admit(doors, conn, memo, (&parts.headers, parts.uri.path()))?;
    let bytes = extract::read_body(body, extract::BODY_BYTES_MAX).await?;
    asker.now = doors.node.clock.now();
    let mut out = Vec::with_capacity(512);
    decide(doors, memo, &asker, &bytes, &mut out)?;
    Ok(out)
}

/// Answers one question whose every byte is there, at once: the same steps, and a whole message as the answer.
pub fn express(
    doors: &Doors,
    conn: &ConnInfo,
    memo: &Memo,
    request: &Whole<'_>,
    out: &mut Vec<u8>,
) {
    let mut body = Vec::with_capacity(512);
    let decided = admit(doors, conn, memo, (request.headers, PATH)).and_then(|asker| {
        decide(doors, memo, &asker, request.body, &mut body)?;
        Ok(asker.now.time)
    });
    match decided {
        Ok(at) => memo.with_date(at, |date| answer::message(out, date, &body)),
        Err(refused) => {
            let at = doors.node.clock.time();
            memo.with_date(at, |date| problem_whole(refused, date, out));
        }
    }
}

/// The verdict on a question, in JSON.
fn decide(
    doors: &Doors,
    memo: &Memo,
    asker: &Asker,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let view: CheckView<'_> = match strict::from_slice(bytes) {
        Ok(view) => view,
        Err(_) => return Err(unreadable::<Shape>(bytes)),
    };
    bounded(&view, "")?;
    let directory = doors.node.verifier.directory();
    let question = memo.question(&directory, asker.tenant, &view)?;
    let checked = doors.node.verifier.check(&view.token, &question, asker.now);
    tell(doors, &checked, asker.now, view.address);
    match &checked {
        Ok(passed) => answer::allowed(out, &directory, &question, passed),
        Err(_) => {
            let verdict = verdict(&directory, &question, &checked);
            serde_json::to_writer(out, &verdict).map_err(|_| Problem::of(Refusal::Internal))?;
        }
    }
    Ok(())
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
    let mut asker = admit(
        doors,
        conn,
        &Memo::default(),
        (&parts.headers, parts.uri.path()),
    )?;
    let bytes = extract::read_body(body, BATCH_BYTES_MAX).await?;
    asker.now = doors.node.clock.now();
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

/// Who asks must hold `jeton:check`.
fn admit<F: Fields + ?Sized>(
    doors: &Doors,
    conn: &ConnInfo,
    memo: &Memo,
    (headers, path): (&F, &str),
) -> Result<Asker, Problem> {
    let media = headers.values("content-type").next();
    let json = media
        .and_then(|v| v.get(..16))
        .is_some_and(|start| start.eq_ignore_ascii_case(b"application/json"));
    let text = extract::credential(headers)?;
    let verifier = &doors.node.verifier;
    // Read before the check: should they be set meanwhile, what is remembered is stale, and is not used.
    let peppers = verifier.peppers_set();
    let known = memo.asker(&text, peppers);
    let tenant = match known {
        Some((tenant, _)) => tenant,
        None => caller::tenant_of(doors, &text)?,
    };
    let address = extract::client_address(&conn.peer, headers, &doors.trusted);
    let question = Question {
        tenant,
        api: JETON_API,
        needed: ScopeSet::one(own::CHECK),
        resource: None,
        address,
        method: Some("POST"),
        path: Some(path),
    };
    let now = doors.node.clock.now();
    let checked = match known {
        Some((_, digest)) => verifier.check_digest(&digest, &question, now),
        None => verifier.check(&text, &question, now),
    };
    let passed = checked.map_err(|denied| {
        memo.forget();
        let catalogue = jeton_core::api::own_catalogue();
        let missing = catalogue
            .names(&denied.refused.missing)
            .map(str::to_owned)
            .collect();
        Problem::denied(&denied, missing)
    })?;
    // Only what lies in the index under the pepper in force: not what waits to be hashed anew, and no replaced secret.
    if known.is_none()
        && passed.rehash.is_none()
        && passed.replaced_until.is_none()
        && let Some(digest) = verifier.digest(&text)
    {
        memo.remember(&text, (tenant, digest), peppers);
    }
    doors.observer.used(&passed, now.time, address);
    if !json {
        return Err(Refusal::MediaTypeRefused.into());
    }
    doors.node_at_least(headers)?;
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
