//! Every operation of the management API in one table: the router and the OpenAPI description are both made of it.

use std::sync::Arc;

use axum::{
    Json, Router,
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, patch, post, put},
};
use http::{HeaderValue, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::http::{
    apis, apps,
    caller::{self, Needs},
    check, cursor,
    door::Doors,
    events, extract, health, holder, openapi, policies, roles, setup, tenants, tokens, users,
    view::{Page, PermitView},
};

/// An answer that says yes, with the ledger's size where something changed.
pub struct Reply<T> {
    status: StatusCode,
    body: T,
    size: Option<u64>,
    sunset: Option<HeaderValue>,
}

impl<T> Reply<T> {
    /// An answer.
    #[must_use]
    pub fn new(status: StatusCode, body: T) -> Self {
        Self {
            status,
            body,
            size: None,
            sunset: None,
        }
    }

    /// With `Jeton-Log-Size`: give it back as `Jeton-At-Least` to read your own write on any node.
    #[must_use]
    pub fn at(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// With `Sunset`, if the caller's credential ends soon.
    #[must_use]
    pub fn sunset(mut self, date: Option<HeaderValue>) -> Self {
        self.sunset = date;
        self
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let mut response = match self.status {
            StatusCode::NO_CONTENT => StatusCode::NO_CONTENT.into_response(),
            status => (status, Json(self.body)).into_response(),
        };
        if let Some(size) = self.size {
            response
                .headers_mut()
                .insert("jeton-log-size", HeaderValue::from(size));
        }
        if let Some(date) = self.sunset {
            response.headers_mut().insert("sunset", date);
        }
        response
    }
}

/// A schema in the making.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Who may call an operation.
#[derive(Clone, Copy)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever holds any of these scopes of jeton's own API, by number.
    AnyOf(&'static [u8]),
    /// Whoever shows a working token of this deployment.
    Holder,
}

/// One operation.
pub struct Operation {
    /// The method, in lower case.
    pub method: &'static str,
    /// The path, with `{id}` where an id stands.
    pub path: &'static str,
    /// The stable name.
    pub id: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The body that it takes.
    pub body: Option<SchemaOf>,
    /// The query parameters that it takes.
    pub query: Option<SchemaOf>,
    /// The status and body of its yes.
    pub answer: (u16, Option<SchemaOf>),
    /// Whether it may answer 409.
    pub conflicts: bool,
    /// The media type of its yes.
    pub media: &'static str,
}

impl Operation {
    fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            access: Access::Public,
            body: None,
            query: None,
            answer: (200, None),
            conflicts: false,
            media: "application/json",
        }
    }

    fn needs<N: Needs>(mut self) -> Self {
        self.access = Access::AnyOf(N::ANY_OF);
        self
    }

    fn holder(mut self) -> Self {
        self.access = Access::Holder;
        self
    }

    fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(of::<T>);
        self
    }

    fn asks<T: JsonSchema>(mut self) -> Self {
        self.query = Some(of::<T>);
        self
    }

    fn gives<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answer = (status, Some(of::<T>));
        self
    }

    fn empty(mut self, status: u16) -> Self {
        self.answer = (status, None);
        self
    }

    fn conflicts(mut self) -> Self {
        self.conflicts = true;
        self
    }

    fn media(mut self, media: &'static str) -> Self {
        self.media = media;
        self
    }
}

type Row = (Operation, Option<MethodRouter<Arc<Doors>>>);

/// The table.
#[must_use]
pub fn table() -> Vec<Row> {
    let mut rows = token_rows();
    rows.extend(subject_rows());
    rows.extend(catalogue_rows());
    rows.extend(operator_rows());
    rows.extend(public_rows());
    rows
}

fn row(operation: Operation, handler: MethodRouter<Arc<Doors>>) -> Row {
    (operation, Some(handler))
}

#[expect(clippy::too_many_lines, reason = "a table: one row for each operation")]
fn token_rows() -> Vec<Row> {
    use Operation as O;
    use tokens::{
        ChangeView, CutOffDone, CutOffView, IssueView, ListQuery, PossessionView, ReasonView,
        RotateView, SecretView, TokenView,
    };
    vec![
        (
            O::new(
                "post",
                "/v1/check",
                "check",
                "Ask whether a token may do something.",
            )
            .needs::<caller::Check>()
            .takes::<check::CheckView<'static>>()
            .gives::<check::VerdictView<'static>>(200),
            None,
        ),
        (
            O::new(
                "post",
                "/v1/check/batch",
                "checkBatch",
                "Ask about many tokens.",
            )
            .needs::<caller::Check>()
            .takes::<check::BatchView<'static>>()
            .gives::<check::VerdictsView<'static>>(200),
            None,
        ),
        row(
            O::new(
                "post",
                "/v1/tokens",
                "createToken",
                "Issue a token. The secret is shown once.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<IssueView>()
            .gives::<SecretView>(201)
            .conflicts(),
            post(tokens::create),
        ),
        row(
            O::new("get", "/v1/tokens", "listTokens", "List tokens.")
                .needs::<caller::TokensRead>()
                .asks::<ListQuery>()
                .gives::<Page<TokenView>>(200),
            get(tokens::list),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/find",
                "findToken",
                "Find a token by its text.",
            )
            .needs::<caller::TokensRead>()
            .takes::<PossessionView>()
            .gives::<TokenView>(200),
            post(tokens::find),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/cut-off",
                "cutOff",
                "End all tokens of a subject, or of the tenant, issued before now.",
            )
            .needs::<caller::TokensCutOff>()
            .takes::<CutOffView>()
            .gives::<CutOffDone>(200),
            post(tokens::cut_off),
        ),
        row(
            O::new("get", "/v1/tokens/{id}", "getToken", "Show a token.")
                .needs::<caller::TokensRead>()
                .gives::<TokenView>(200),
            get(tokens::get),
        ),
        row(
            O::new(
                "patch",
                "/v1/tokens/{id}",
                "changeToken",
                "Change a token's rights, conditions, end or limit.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<ChangeView>()
            .gives::<TokenView>(200)
            .conflicts(),
            patch(tokens::patch),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/{id}/rotate",
                "rotateToken",
                "Replace a token's secret; the old one stays good for the overlap.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<RotateView>()
            .gives::<SecretView>(200)
            .conflicts(),
            post(tokens::rotate),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/{id}/suspend",
                "suspendToken",
                "Stop a token until it is resumed.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<ReasonView>()
            .gives::<TokenView>(200)
            .conflicts(),
            post(tokens::suspend),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/{id}/resume",
                "resumeToken",
                "Let a suspended token work again.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<ReasonView>()
            .gives::<TokenView>(200)
            .conflicts(),
            post(tokens::resume),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/{id}/revoke",
                "revokeToken",
                "End a token, for good.",
            )
            .needs::<caller::TokensRevoke>()
            .takes::<ReasonView>()
            .gives::<TokenView>(200),
            post(tokens::revoke),
        ),
        row(
            O::new(
                "get",
                "/v1/whoami",
                "whoami",
                "Tell a holder about its token.",
            )
            .holder()
            .gives::<holder::WhoamiView>(200),
            get(holder::whoami),
        ),
        row(
            O::new(
                "post",
                "/v1/whoami/rotate",
                "rotateOwnToken",
                "Replace the secret of the token that calls.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<RotateView>()
            .gives::<SecretView>(200)
            .conflicts(),
            post(tokens::rotate_own),
        ),
        row(
            O::new(
                "post",
                "/v1/revoke",
                "revokeShown",
                "End the token whose text is shown. The answer is the same whatever it was.",
            )
            .takes::<PossessionView>()
            .gives::<holder::RevokedView>(200),
            post(holder::revoke_shown),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table: one row for each operation")]
fn subject_rows() -> Vec<Row> {
    use Operation as O;
    use cursor::PageQuery;
    use users::{RolesOrder, StandingOrder, UserOrder, UserView};
    vec![
        row(
            O::new("post", "/v1/users", "createUser", "Register a user.")
                .needs::<caller::SubjectsWrite>()
                .takes::<UserOrder>()
                .gives::<UserView>(201),
            post(users::create),
        ),
        row(
            O::new("get", "/v1/users", "listUsers", "List users.")
                .needs::<caller::SubjectsRead>()
                .asks::<PageQuery>()
                .gives::<Page<UserView>>(200),
            get(users::list),
        ),
        row(
            O::new("get", "/v1/users/{id}", "getUser", "Show a user.")
                .needs::<caller::SubjectsRead>()
                .gives::<UserView>(200),
            get(users::get),
        ),
        row(
            O::new(
                "put",
                "/v1/users/{id}/roles",
                "setUserRoles",
                "Set a user's roles.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<RolesOrder>()
            .gives::<UserView>(200),
            put(users::set_roles),
        ),
        row(
            O::new(
                "put",
                "/v1/users/{id}/state",
                "setUserState",
                "Suspend, resume or delete a user.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<StandingOrder>()
            .gives::<UserView>(200)
            .conflicts(),
            put(users::set_standing),
        ),
        row(
            O::new(
                "put",
                "/v1/users/{id}/words",
                "setUserWords",
                "Replace the name and notes beside a user: they can be erased.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<users::WordsOrder>()
            .gives::<UserView>(200),
            put(users::set_words),
        ),
        row(
            O::new("post", "/v1/apps", "createApp", "Register an application.")
                .needs::<caller::SubjectsWrite>()
                .takes::<apps::AppOrder>()
                .gives::<apps::AppView>(201),
            post(apps::create),
        ),
        row(
            O::new("get", "/v1/apps", "listApps", "List applications.")
                .needs::<caller::SubjectsRead>()
                .asks::<PageQuery>()
                .gives::<Page<apps::AppView>>(200),
            get(apps::list),
        ),
        row(
            O::new("get", "/v1/apps/{id}", "getApp", "Show an application.")
                .needs::<caller::SubjectsRead>()
                .gives::<apps::AppView>(200),
            get(apps::get),
        ),
        row(
            O::new(
                "patch",
                "/v1/apps/{id}",
                "changeApp",
                "Change an application's rights or sponsor.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<apps::AppChange>()
            .gives::<apps::AppView>(200),
            patch(apps::patch),
        ),
        row(
            O::new(
                "put",
                "/v1/apps/{id}/state",
                "setAppState",
                "Suspend, resume or delete an application.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<StandingOrder>()
            .gives::<apps::AppView>(200)
            .conflicts(),
            put(apps::set_standing),
        ),
        row(
            O::new(
                "put",
                "/v1/apps/{id}/words",
                "setAppWords",
                "Replace the name and notes beside an application: they can be erased.",
            )
            .needs::<caller::SubjectsWrite>()
            .takes::<users::WordsOrder>()
            .gives::<apps::AppView>(200),
            put(apps::set_words),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table: one row for each operation")]
fn catalogue_rows() -> Vec<Row> {
    use Operation as O;
    use apis::{ApiOrder, ApiView, ImportOrder, RoutesOrder, ScopesOrder};
    use roles::{RoleOrder, RoleView};
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

fn operator_rows() -> Vec<Row> {
    use Operation as O;
    use tenants::{PepperOrder, TenantOrder, TenantView};
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
            O::new("get", "/metrics", "metrics", "Counters for Prometheus.")
                .needs::<caller::EventsRead>()
                .gives::<String>(200)
                .media("text/plain"),
            get(health::metrics),
        ),
    ]
}

fn public_rows() -> Vec<Row> {
    use Operation as O;
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
            O::new(
                "get",
                "/log/checkpoint",
                "checkpoint",
                "The youngest signed checkpoint of the ledger.",
            )
            .gives::<String>(200)
            .media("text/plain"),
            get(health::checkpoint),
        ),
        row(
            O::new("get", "/refusals/{id}", "refusal", "The page of a refusal.")
                .gives::<String>(200)
                .media("text/markdown"),
            get(health::refusal_page),
        ),
    ]
}

/// The router of the table.
#[must_use]
pub fn router(doors: &Arc<Doors>) -> Router {
    let mut router: Router<Arc<Doors>> = Router::new();
    for (operation, handler) in table() {
        // The door answers these before the router is asked: here they are for the sake of their other methods.
        let handler = handler.unwrap_or_else(|| post(extract::nothing_here));
        router = router.route(operation.path, handler);
    }
    router
        .fallback(extract::nothing_here)
        .method_not_allowed_fallback(extract::other_method)
        .with_state(Arc::clone(doors))
}
