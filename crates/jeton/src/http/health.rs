//! Health, readiness, metrics, and what everybody may know.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use jeton_core::token::text::{CHECKSUM_LEN, Class, RANDOM_LEN, TOKEN_BYTES_MAX};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    http::{
        caller::{Caller, EventsRead},
        door::Doors,
        error::Problem,
        metrics,
    },
    refusal_pages,
};

/// A state in one word.
#[derive(Serialize, JsonSchema)]
pub struct HealthView {
    /// `ok`, or what is wrong.
    pub status: &'static str,
    /// How much of the ledger this node has seen.
    pub ledger_size: u64,
    /// In quarantine: how much of the ledger was shown before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_size: Option<u64>,
}

/// The process runs.
pub async fn live(State(doors): State<Arc<Doors>>) -> Json<HealthView> {
    Json(HealthView {
        status: "ok",
        ledger_size: doors.node.verifier.size(),
        served_size: None,
    })
}

/// The process takes requests: not while it stops.
pub async fn ready(State(doors): State<Arc<Doors>>) -> (StatusCode, Json<HealthView>) {
    let ledger_size = doors.node.verifier.size();
    if doors.stopping.load(Relaxed) {
        let view = HealthView {
            status: "stopping",
            ledger_size,
            served_size: None,
        };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(view));
    }
    if let Some(why) = doors.node.gate.why() {
        let view = HealthView {
            status: "quarantined",
            ledger_size,
            served_size: Some(why.served),
        };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(view));
    }
    (
        StatusCode::OK,
        Json(HealthView {
            status: "ok",
            ledger_size,
            served_size: None,
        }),
    )
}

/// Prometheus: for whoever may read events, and for peers on this machine.
pub async fn metrics(State(doors): State<Arc<Doors>>, _: Caller<EventsRead>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], metrics::text(&doors)).into_response()
}

/// One prefix of the deployment.
#[derive(Serialize, JsonSchema)]
pub struct FormatView {
    /// The published version of the format.
    pub version: u8,
    /// How to recognise a token of this deployment.
    pub regex: String,
    /// The prefixes in use.
    pub prefixes: Vec<String>,
    /// The classes.
    pub classes: Vec<&'static str>,
    /// The longest token, in characters.
    pub length_max: usize,
    /// How many random characters there are.
    pub random_length: usize,
    /// How to check the last six characters without asking.
    pub checksum: &'static str,
    /// Where anybody who found a token can end it.
    pub revoke: &'static str,
}

/// The format of tokens, for leak scanners and the curious.
pub async fn token_format(State(doors): State<Arc<Doors>>) -> Json<FormatView> {
    let directory = doors.node.verifier.directory();
    let prefixes: Vec<String> = directory.tenants().map(|t| t.prefix.to_string()).collect();
    let classes: Vec<&str> = Class::ALL.iter().map(|c| c.as_str()).collect();
    let (some_prefix, some_class) = (prefixes.join("|"), classes.join("|"));
    let body = RANDOM_LEN + CHECKSUM_LEN;
    let regex = format!(r"\b(?:{some_prefix})_(?:{some_class})_[0-9A-Za-z]{{{body}}}\b");
    Json(FormatView {
        version: 1,
        regex,
        prefixes,
        classes,
        length_max: TOKEN_BYTES_MAX,
        random_length: RANDOM_LEN,
        checksum: "the last 6 characters are the CRC-32 (ISO-HDLC) of all characters before them, written in base62 with \
                   the digits 0-9A-Za-z, most significant first, filled with 0",
        revoke: "POST /v1/revoke with {\"token\": \"…\"}",
    })
}

/// A refusal's page.
pub async fn refusal_page(
    axum::extract::Path(code): axum::extract::Path<String>,
) -> Result<Response, Problem> {
    let page = refusal_pages::page(&code);
    let page = page.ok_or_else(|| Problem::of(jeton_core::refusal::Refusal::NotFound))?;
    let kind = HeaderValue::from_static("text/markdown; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], page).into_response())
}
