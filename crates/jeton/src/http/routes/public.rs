//! What anybody may ask.

use axum::routing::get;

use super::{Operation as O, Row, row};
use crate::http::{health, openapi};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            O::new("get", "/healthz", "health", "The process runs.")
                .gives::<health::HealthView>(200),
            get(health::live),
        ),
        row(
            O::new("get", "/readyz", "readiness", "The process takes requests.")
                .gives::<health::HealthView>(200),
            get(health::ready),
        ),
        row(
            O::new("get", "/openapi.json", "openapi", "This description.")
                .gives::<serde_json::Map<String, serde_json::Value>>(200),
            get(openapi::serve),
        ),
        row(
            O::new(
                "get",
                "/.well-known/jeton-token-format",
                "tokenFormat",
                "How to recognise a token of this deployment.",
            )
            .gives::<health::FormatView>(200),
            get(health::token_format),
        ),
        row(
            O::new("get", "/refusals/{id}", "refusal", "The page of a refusal.")
                .gives::<String>(200)
                .media("text/markdown"),
            get(health::refusal_page),
        ),
    ]
}
