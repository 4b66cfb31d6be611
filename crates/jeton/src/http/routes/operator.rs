//! What the operator does: setup, tenants, keys, counters.

use axum::routing::{get, post, put};

use super::{Operation as O, Row, row};
use crate::http::{
    caller, health,
    ledger_keys::{self, LedgerKeyView, RetireView},
    setup,
    tenants::{self, PepperOrder, TenantOrder, TenantView},
    users,
    view::Page,
};

#[expect(clippy::too_many_lines, reason = "a table: one row for each operation")]
pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            O::new(
                "post",
                "/v1/setup",
                "setup",
                "Redeem the setup secret for the operator's first token.",
            )
            .takes::<setup::SetupView>()
            .gives::<setup::AdminView>(201),
            post(setup::redeem),
        ),
        row(
            O::new(
                "post",
                "/v1/tenants",
                "createTenant",
                "Found a tenant. The answer holds its first credential.",
            )
            .needs::<caller::TenantsWrite>()
            .takes::<TenantOrder>()
            .gives::<setup::AdminView>(201)
            .conflicts(),
            post(tenants::create),
        ),
        row(
            O::new("get", "/v1/tenants", "listTenants", "List tenants.")
                .needs::<caller::TenantsRead>()
                .gives::<Page<TenantView>>(200),
            get(tenants::list),
        ),
        row(
            O::new("get", "/v1/tenants/{id}", "getTenant", "Show a tenant.")
                .needs::<caller::TenantsRead>()
                .gives::<TenantView>(200),
            get(tenants::get),
        ),
        row(
            O::new(
                "put",
                "/v1/tenants/{id}/state",
                "setTenantState",
                "Suspend or resume a tenant.",
            )
            .needs::<caller::TenantsWrite>()
            .takes::<users::StandingOrder>()
            .gives::<TenantView>(200)
            .conflicts(),
            put(tenants::set_standing),
        ),
        row(
            O::new(
                "post",
                "/v1/tenants/{id}/admin",
                "readmitTenant",
                "Give a tenant whose credentials a new epoch has ended a new first credential.",
            )
            .needs::<caller::TenantsWrite>()
            .gives::<setup::AdminView>(201)
            .conflicts(),
            post(tenants::readmit),
        ),
        row(
            O::new(
                "post",
                "/v1/tenants/{id}/peppers",
                "changePeppers",
                "Rotate or retire a tenant's pepper.",
            )
            .needs::<caller::KeysWrite>()
            .takes::<PepperOrder>()
            .gives::<TenantView>(200)
            .conflicts(),
            post(tenants::peppers),
        ),
        row(
            O::new(
                "get",
                "/v1/ledger/keys",
                "listLedgerKeys",
                "List the keys that sign the ledger, retired ones included.",
            )
            .needs::<caller::KeysWrite>()
            .gives::<Page<LedgerKeyView>>(200),
            get(ledger_keys::list),
        ),
        row(
            O::new(
                "post",
                "/v1/ledger/keys",
                "addLedgerKey",
                "Put another key of the ledger in force, beside the one that is.",
            )
            .needs::<caller::KeysWrite>()
            .gives::<LedgerKeyView>(201)
            .conflicts(),
            post(ledger_keys::add),
        ),
        row(
            O::new(
                "post",
                "/v1/ledger/keys/{id}/retire",
                "retireLedgerKey",
                "Retire a key of the ledger: it signs no more.",
            )
            .needs::<caller::KeysWrite>()
            .takes::<RetireView>()
            .gives::<LedgerKeyView>(200)
            .conflicts(),
            post(ledger_keys::retire),
        ),
        row(
            O::new("get", "/metrics", "metrics", "Counters for Prometheus.")
                .needs::<caller::EventsRead>()
                .gives::<String>(200)
                .media("text/plain"),
            get(health::metrics),
        ),
    ]
}
