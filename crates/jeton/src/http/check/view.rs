//! What is asked and what is answered, in JSON.

use std::{borrow::Cow, net::IpAddr};

use jeton_core::{
    check::question::Question, directory::Directory, refusal::Refusal, scope::ScopeSet,
};
use jeton_verify::check::{Denied, Passed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{
    error::{Problem, status},
    extract,
    view::{Instant, LimitView},
};

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

/// The verdict in words.
pub(super) fn verdict<'a>(
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
pub(super) fn unreadable<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Problem {
    let again = extract::read_json::<T>(bytes);
    again
        .err()
        .map_or_else(|| Refusal::BodyInvalid.into(), Into::into)
}

/// A question's shape, owned: only for its errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its errors alone")]
pub(super) struct Shape {
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
pub(super) struct Shapes {
    checks: Vec<Shape>,
}
