//! The log as others read it. Its tiles are no operations of the API but the published protocol: their paths go deeper than a
//! template can say, and [`paths`] has them.

use std::sync::Arc;

use axum::{Router, routing::get};

use super::{Operation as O, Row, row};
use crate::http::{caller, door::Doors, log};

/// The paths of tiles and entry bundles (c2sp.org/tlog-tiles).
pub(super) fn paths() -> Router<Arc<Doors>> {
    Router::new().route("/log/tile/{*path}", get(log::tile))
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            O::new(
                "get",
                "/log/checkpoint",
                "checkpoint",
                "The youngest published checkpoint of the ledger: cosigned, where a policy wants witnesses.",
            )
            .gives::<String>(200)
            .media("text/plain"),
            get(log::checkpoint),
        ),
        row(
            O::new(
                "get",
                "/log/vkey",
                "logKeys",
                "The keys that sign the ledger, one to a line.",
            )
            .gives::<String>(200)
            .media("text/plain"),
            get(log::keys),
        ),
        row(
            O::new(
                "get",
                "/log/policy",
                "logPolicy",
                "The witness policy that published checkpoints satisfy.",
            )
            .gives::<String>(200)
            .media("text/plain"),
            get(log::policy),
        ),
        row(
            O::new(
                "get",
                "/log/proof/{id}",
                "receipt",
                "A receipt: that an event is in the ledger, and what it says, for offline verification.",
            )
            .needs::<caller::EventsRead>()
            .asks::<log::ReceiptQuery>()
            .gives::<String>(200)
            .media("text/plain"),
            get(log::receipt),
        ),
        row(
            O::new(
                "get",
                "/v1/ledger/tag-key",
                "tagKey",
                "The key by which a tenant finds its own events among the leaves of the log.",
            )
            .needs::<caller::EventsRead>()
            .gives::<log::TagKeyView>(200),
            get(log::tag_key),
        ),
        row(
            O::new(
                "get",
                "/log/openings",
                "openings",
                "The whole ledger with its openings, as a CBOR sequence, for mirrors.",
            )
            .needs::<caller::LedgerRead>()
            .asks::<log::OpeningsQuery>()
            .gives::<String>(200)
            .media("application/cbor-seq"),
            get(log::openings),
        ),
    ]
}
