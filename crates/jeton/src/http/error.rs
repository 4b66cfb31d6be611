//! The one file that turns a refusal into a status. Management answers are RFC 9457 problems.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jeton_core::{
    check::judge::Refused,
    refusal::{Blame, Refusal},
};
use jeton_verify::check::Denied;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::view::Instant;

/// The status of a refusal, wherever a status is the answer.
#[must_use]
pub const fn status(refusal: Refusal) -> StatusCode {
    use Refusal as R;
    match refusal {
        R::CredentialAmbiguous | R::BodyInvalid => StatusCode::BAD_REQUEST,
        R::CredentialMissing
        | R::TokenMalformed
        | R::TokenChecksum
        | R::TokenUnknown
        | R::TokenRevoked
        | R::TokenExpired
        | R::TokenReplaced
        | R::TokenSuspended
        | R::TokenIdle
        | R::TokenCutOff
        | R::TokenNotWitnessed
        | R::TokenNotYetValid
        | R::OwnerSuspended
        | R::OwnerDeleted
        | R::TenantSuspended
        | R::AudienceWrong
        | R::SetupSpent => StatusCode::UNAUTHORIZED,
        R::AddressRefused
        | R::MethodRefused
        | R::PathRefused
        | R::ScopeMissing
        | R::OwnerScopeMissing
        | R::ResourceRefused
        | R::RouteUnknown
        | R::GiveMissing
        | R::Widening => StatusCode::FORBIDDEN,
        R::NotFound => StatusCode::NOT_FOUND,
        R::MethodUnknown => StatusCode::METHOD_NOT_ALLOWED,
        R::NameTaken | R::StateConflict => StatusCode::CONFLICT,
        R::LedgerBehind => StatusCode::PRECONDITION_FAILED,
        R::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        R::MediaTypeRefused => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        R::OwnerLacksRight
        | R::LifetimeTooLong
        | R::PermanentRefused
        | R::ClassRefused
        | R::FieldInvalid
        | R::ScopeUnknown
        | R::TooMany
        | R::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        R::LimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        R::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        R::Busy | R::OutcomeUnknown | R::Quarantined | R::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        R::StoreFull => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// A problem (RFC 9457 §3).
#[derive(Serialize, JsonSchema, Debug, Clone)]
pub struct ProblemView {
    /// The page that explains the refusal.
    #[serde(rename = "type")]
    pub kind: String,
    /// One sentence.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// The refusal's stable code.
    pub code: String,
    /// The field that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The rule that it breaks, or more about the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The scopes that are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub missing: Vec<String>,
    /// Since when, or from when on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Instant>,
    /// The reason of a revocation or suspension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `unknown` where it is not known whether the change was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Finds the request in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// An answer that says no.
#[derive(Debug)]
pub struct Problem {
    /// What goes into the body.
    pub view: Box<ProblemView>,
    status: StatusCode,
    retry_s: Option<u64>,
    challenge: Option<String>,
}

impl Problem {
    /// A problem with nothing beside its refusal.
    #[must_use]
    pub fn of(refusal: Refusal) -> Self {
        let refusal = refusal.outward();
        let status = status(refusal);
        let view = ProblemView {
            kind: format!("/refusals/{}", refusal.code()),
            title: refusal.sentence().to_owned(),
            status: status.as_u16(),
            code: refusal.code().to_owned(),
            field: None,
            detail: None,
            missing: Vec::new(),
            at: None,
            reason: None,
            outcome: (refusal == Refusal::OutcomeUnknown).then(|| "unknown".to_owned()),
            request_id: None,
        };
        let retry_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self {
            view: Box::new(view),
            status,
            retry_s,
            challenge: challenge(refusal, &[]),
        }
    }

    /// The problem of a refused credential: exact, for whoever proved possession.
    #[must_use]
    pub fn denied(denied: &Denied, missing: Vec<String>) -> Self {
        let Refused {
            refusal,
            at,
            reason,
            retry_us,
            ..
        } = denied.refused;
        let mut problem = Self::of(refusal);
        problem.challenge = challenge(refusal.outward(), &missing);
        if denied.token.is_some() {
            problem.view.missing = missing;
            problem.view.at = at.map(Instant);
            problem.view.reason = reason.map(|r| r.as_str().to_owned());
        }
        if refusal == Refusal::LimitExceeded {
            problem.retry_s = Some(retry_us.div_ceil(1_000_000).max(1));
        }
        problem
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// The challenge of RFC 6750 §3: bare when nothing was presented, with an error otherwise.
#[must_use]
pub fn challenge(refusal: Refusal, missing: &[String]) -> Option<String> {
    let scope = missing.join(" ");
    match status(refusal) {
        StatusCode::UNAUTHORIZED if refusal == Refusal::CredentialMissing => {
            Some("Bearer realm=\"jeton\"".to_owned())
        }
        StatusCode::UNAUTHORIZED => Some(format!(
            "Bearer realm=\"jeton\", error=\"invalid_token\", error_description=\"{}\"",
            refusal.sentence()
        )),
        StatusCode::FORBIDDEN if !missing.is_empty() => Some(format!(
            "Bearer realm=\"jeton\", error=\"insufficient_scope\", scope=\"{scope}\""
        )),
        _ => None,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::of(refusal)
    }
}

impl From<Blame> for Problem {
    fn from(blame: Blame) -> Self {
        let mut problem = Self::of(blame.refusal);
        problem.view.field = blame.field;
        problem.view.detail = blame.rule;
        problem
    }
}

impl From<jeton_store::StoreError> for Problem {
    fn from(error: jeton_store::StoreError) -> Self {
        let cause = core::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, cause, "a read of the store failed");
        Self::of(Refusal::Internal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(value) = self.challenge.and_then(|c| HeaderValue::from_str(&c).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, value);
        }
        if let Some(s) = self.retry_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(s));
        }
        if self.status == StatusCode::PAYLOAD_TOO_LARGE {
            // What was not read of the body ends the connection: say so, lest another request is sent into it.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let mut response = (self.status, headers).into_response();
        // The door adds the request's id to the view, and writes the body then.
        response.extensions_mut().insert(self.view);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_their_statuses() {
        let table: String = Refusal::ALL
            .iter()
            .map(|r| {
                let outward = r.outward();
                let header = challenge(outward, &["docs:read".to_owned()]).unwrap_or_default();
                format!(
                    "{:24} {:24} {} {}\n",
                    r.code(),
                    outward.code(),
                    status(outward).as_u16(),
                    header
                )
            })
            .collect();
        insta::assert_snapshot!(table);
    }
}
