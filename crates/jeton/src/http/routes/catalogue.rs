//! What tokens are about: roles, APIs, policies; and the trail of all changes.

use axum::routing::{delete, get, post, put};

use super::{Operation as O, Row, row};
use crate::http::{
    apis::{self, ApiOrder, ApiView, ImportOrder, RoutesOrder, ScopesOrder},
    caller, events, policies,
    roles::{self, RoleOrder, RoleView},
    view::{Page, PermitView},
};

#[expect(clippy::too_many_lines, reason = "a table: one row for each operation")]
pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            O::new("post", "/v1/roles", "createRole", "Make a role.")
                .needs::<caller::RolesWrite>()
                .takes::<RoleOrder>()
                .gives::<RoleView>(201)
                .conflicts(),
            post(roles::create),
        ),
        row(
            O::new("get", "/v1/roles", "listRoles", "List roles.")
                .needs::<caller::RolesRead>()
                .gives::<Page<RoleView>>(200),
            get(roles::list),
        ),
        row(
            O::new("get", "/v1/roles/{id}", "getRole", "Show a role.")
                .needs::<caller::RolesRead>()
                .gives::<RoleView>(200),
            get(roles::get),
        ),
        row(
            O::new(
                "put",
                "/v1/roles/{id}",
                "changeRole",
                "Change what a role's users may use and give.",
            )
            .needs::<caller::RolesWrite>()
            .takes::<PermitView>()
            .gives::<RoleView>(200),
            put(roles::put),
        ),
        row(
            O::new("delete", "/v1/roles/{id}", "deleteRole", "Delete a role.")
                .needs::<caller::RolesWrite>()
                .empty(204),
            delete(roles::delete),
        ),
        row(
            O::new("post", "/v1/apis", "createApi", "Define an API.")
                .needs::<caller::ApisWrite>()
                .takes::<ApiOrder>()
                .gives::<ApiView>(201)
                .conflicts(),
            post(apis::create),
        ),
        row(
            O::new("get", "/v1/apis", "listApis", "List APIs.")
                .needs::<caller::ApisRead>()
                .gives::<Page<ApiView>>(200),
            get(apis::list),
        ),
        row(
            O::new("get", "/v1/apis/{id}", "getApi", "Show an API.")
                .needs::<caller::ApisRead>()
                .gives::<ApiView>(200),
            get(apis::get),
        ),
        row(
            O::new(
                "put",
                "/v1/apis/{id}/scopes",
                "setApiScopes",
                "Set an API's catalogue of scopes.",
            )
            .needs::<caller::ApisWrite>()
            .takes::<ScopesOrder>()
            .gives::<ApiView>(200)
            .conflicts(),
            put(apis::put_scopes),
        ),
        row(
            O::new(
                "put",
                "/v1/apis/{id}/routes",
                "setApiRoutes",
                "Set an API's routes for forward-auth.",
            )
            .needs::<caller::ApisWrite>()
            .takes::<RoutesOrder>()
            .gives::<ApiView>(200)
            .conflicts(),
            put(apis::put_routes),
        ),
        row(
            O::new(
                "post",
                "/v1/apis/{id}/import",
                "importApi",
                "Set scopes and routes from an OpenAPI 3 description.",
            )
            .needs::<caller::ApisWrite>()
            .takes::<ImportOrder>()
            .gives::<ApiView>(200)
            .conflicts(),
            post(apis::import),
        ),
        row(
            O::new(
                "get",
                "/v1/policies",
                "listPolicies",
                "List the policies of token classes.",
            )
            .needs::<caller::PoliciesRead>()
            .gives::<Page<policies::ClassPolicyView>>(200),
            get(policies::list),
        ),
        row(
            O::new(
                "put",
                "/v1/policies/{id}",
                "setPolicy",
                "Set the policy of a class: key, pat, svc or pub.",
            )
            .needs::<caller::PoliciesWrite>()
            .takes::<policies::PolicyView>()
            .gives::<policies::ClassPolicyView>(200),
            put(policies::put),
        ),
        row(
            O::new(
                "get",
                "/v1/events",
                "listEvents",
                "Read the audit trail, youngest first.",
            )
            .needs::<caller::EventsRead>()
            .asks::<events::EventsQuery>()
            .gives::<Page<events::EventView>>(200),
            get(events::list),
        ),
    ]
}
