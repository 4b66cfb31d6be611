//! Two tenants with everything in them, and a caller of every kind.

use jeton_core::{
    api::own_catalogue,
    token::text::{Class, Prefix, TextDraw, mint},
};
use serde_json::{Value, json};

use crate::common::{Authority, send};

/// The ids of one tenant's things.
#[derive(Clone)]
pub(crate) struct Ids {
    pub(crate) tenant: String,
    pub(crate) token: String,
    pub(crate) token_text: String,
    pub(crate) user: String,
    pub(crate) app: String,
    pub(crate) role: String,
    pub(crate) api: String,
}

/// Somebody who calls.
pub(crate) struct Principal {
    pub(crate) name: String,
    /// What they show; none: nothing.
    pub(crate) text: Option<String>,
    /// What the door is to make of them.
    pub(crate) kind: Kind,
}

/// What the door is to make of a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// No credential, or nothing that works: 401 with this code.
    Refused(&'static str),
    /// A good token, of another API: 401, but it may ask who it is.
    Foreign,
    /// A good token with these of jeton's scopes, by number.
    Holding(Vec<u8>),
}

/// The scopes that only the system tenant can use.
const SYSTEM_ONLY: &[u8] = jeton_core::api::own::SYSTEM_ONLY;

pub(crate) struct World {
    pub(crate) a: Authority,
    pub(crate) own: Ids,
    pub(crate) other: Ids,
    pub(crate) never: Ids,
    pub(crate) principals: Vec<Principal>,
}

impl World {
    pub(crate) async fn build() -> Self {
        let a = Authority::start().await;
        let other_admin = a.tenant("other").await;
        let own = furnish(&a, &a.admin.clone(), &a.tenant.clone(), "docs").await;
        let other_text = other_admin.text("/secret");
        let other = furnish(&a, &other_text, &other_admin.text("/tenant"), "mail").await;
        let never = never_issued();
        let mut world = Self {
            a,
            own,
            other,
            never,
            principals: Vec::new(),
        };
        world.people(&other_text).await;
        world
    }

    async fn people(&mut self, other_admin: &str) {
        let all: Vec<u8> = (0..own_catalogue().scopes().len())
            .map(|n| u8::try_from(n).unwrap())
            .collect();
        let tenants: Vec<u8> = all
            .iter()
            .copied()
            .filter(|n| !SYSTEM_ONLY.contains(n))
            .collect();
        let mut add = |name: &str, text: Option<&str>, kind: Kind| {
            self.principals.push(Principal {
                name: name.to_owned(),
                text: text.map(str::to_owned),
                kind,
            });
        };
        let unknown = mint(
            Prefix::parse(b"acme").unwrap(),
            Class::Svc,
            &TextDraw([11; 64]),
        );
        let unknown = unknown.unwrap();
        add("nobody", None, Kind::Refused("credential_missing"));
        add(
            "garbage",
            Some("not-a-token"),
            Kind::Refused("token_unknown"),
        );
        add(
            "never-issued",
            Some(unknown.expose_secret()),
            Kind::Refused("token_unknown"),
        );
        let everything: Vec<&str> = own_catalogue()
            .scopes()
            .iter()
            .map(|s| s.name.as_str())
            .collect();
        let a = &self.a;
        let give = json!({"everything": true});
        let grants = json!([{"api": "jeton", "scopes": everything}]);
        let permit = json!({"grants": grants, "give": give});
        let order = json!({"sponsor": self.own.user, "permit": permit});
        let robot = a.order("POST", "/v1/apps", order).await.is(201).text("/id");
        let svc = |grants: Value| json!({"class": "svc", "subject": robot, "grants": grants});
        let (id, revoked) = a.issue(svc(grants.clone())).await;
        let path = format!("/v1/tokens/{id}/revoke");
        a.order("POST", &path, json!({})).await.is(200);
        add("revoked", Some(&revoked), Kind::Refused("token_revoked"));
        let (id, suspended) = a.issue(svc(grants.clone())).await;
        let path = format!("/v1/tokens/{id}/suspend");
        a.order("POST", &path, json!({})).await.is(200);
        add(
            "suspended",
            Some(&suspended),
            Kind::Refused("token_suspended"),
        );
        let mut brief = svc(grants.clone());
        brief["lifetime_s"] = json!(1);
        let (_, expired) = a.issue(brief).await;
        let mut tick = tokio::time::interval(core::time::Duration::from_millis(50));
        while a.call(&expired, "GET", "/v1/whoami", None).await.status != 401 {
            tick.tick().await;
        }
        add("expired", Some(&expired), Kind::Refused("token_expired"));
        add("customer", Some(&self.own.token_text), Kind::Foreign);
        let order = json!({"class": "pub", "subject": self.own.user,
            "grants": [{"api": "docs", "scopes": ["read"]}]});
        let (_, publishable) = a.issue(order).await;
        add("publishable", Some(&publishable), Kind::Foreign);
        let (_, scopeless) = a.issue(svc(json!([]))).await;
        add("scopeless", Some(&scopeless), Kind::Foreign);
        for (number, scope) in (0u8..).zip(&everything) {
            let grants = json!([{"api": "jeton", "scopes": [scope]}]);
            let (_, text) = a.issue(svc(grants)).await;
            let holding = (!SYSTEM_ONLY.contains(&number)).then_some(number);
            add(
                scope,
                Some(&text),
                Kind::Holding(holding.into_iter().collect()),
            );
        }
        // Limited to some resources, a right says nothing of all of them.
        let some = json!([{"api": "jeton", "scopes": everything, "resources": ["a/**"]}]);
        let (_, text) = a.issue(svc(some)).await;
        add("on-some-resources", Some(&text), Kind::Holding(Vec::new()));
        add("admin", Some(&a.admin), Kind::Holding(tenants.clone()));
        add("other-admin", Some(other_admin), Kind::Holding(tenants));
        add("operator", Some(&a.operator), Kind::Holding(all));
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> u64 {
        self.a.running.doors.node.verifier.size()
    }

    pub(crate) fn principal(&self, name: &str) -> &Principal {
        self.principals.iter().find(|p| p.name == name).unwrap()
    }
}

async fn furnish(a: &Authority, admin: &str, tenant: &str, api_name: &str) -> Ids {
    let order = json!({"name": api_name, "audience": format!("https://{api_name}.test"),
        "scopes": [{"name": "read", "default": true}, {"name": "write"}]});
    let id_of = async |path: &str, order: Value| {
        let said = a.call(admin, "POST", path, Some(&order)).await.is(201);
        said.text("/id")
    };
    let api = id_of("/v1/apis", order).await;
    let grants = json!([{"api": api_name, "scopes": ["read"]}]);
    let order = json!({"name": "reader", "permit": {"grants": grants, "give": {"grants": grants}}});
    let role = id_of("/v1/roles", order).await;
    let user = id_of("/v1/users", json!({"roles": [role]})).await;
    let order = json!({"sponsor": user, "permit": {"grants": grants}});
    let app = id_of("/v1/apps", order).await;
    let order = json!({"class": "key", "subject": user, "grants": grants});
    let said = a
        .call(admin, "POST", "/v1/tokens", Some(&order))
        .await
        .is(201);
    Ids {
        tenant: tenant.to_owned(),
        token: said.text("/token/id"),
        token_text: said.text("/secret"),
        user,
        app,
        role,
        api,
    }
}

/// Ids of the right shape that nobody ever had.
fn never_issued() -> Ids {
    let id = |kind: &str| format!("{kind}_06hhgq2g01r010000000000000");
    let text = mint(
        Prefix::parse(b"other").unwrap(),
        Class::Key,
        &TextDraw([13; 64]),
    );
    Ids {
        tenant: id("ten"),
        token: id("tok"),
        token_text: text.unwrap().expose_secret().to_owned(),
        user: id("usr"),
        app: id("app"),
        role: id("rol"),
        api: id("api"),
    }
}

/// How a credential is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    Bearer,
    Basic,
    ApiKey,
    Cookie,
    Query,
    Dpop,
    Twice,
    TwoHeaders,
}

impl Shown {
    pub(crate) const ALL: [Self; 8] = [
        Self::Bearer,
        Self::Basic,
        Self::ApiKey,
        Self::Cookie,
        Self::Query,
        Self::Dpop,
        Self::Twice,
        Self::TwoHeaders,
    ];

    /// What becomes of a caller who shows a credential this way.
    pub(crate) fn kind(self, caller: &Kind, has_text: bool) -> Kind {
        match self {
            _ if !has_text => Kind::Refused("credential_missing"),
            Self::Bearer | Self::Basic | Self::ApiKey => caller.clone(),
            Self::Cookie | Self::Query => Kind::Refused("credential_missing"),
            Self::Dpop => Kind::Refused("token_unknown"),
            Self::Twice | Self::TwoHeaders => Kind::Refused("credential_ambiguous"),
        }
    }

    /// Sends a request with a credential shown this way.
    #[expect(clippy::too_many_arguments, reason = "a request is all of these")]
    pub(crate) async fn send(
        self,
        a: &Authority,
        text: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> crate::common::Said {
        let Some(text) = text else {
            return send(&a.client, method, path, &[], body).await;
        };
        let bearer = format!("Bearer {text}");
        let basic = data_encoding::BASE64.encode(format!("user:{text}").as_bytes());
        let basic = format!("Basic {basic}");
        let dpop = format!("DPoP {text}");
        let cookies = format!("token={text}; access_token={text}; jeton={text}; session={text}");
        let join = if path.contains('?') { '&' } else { '?' };
        let in_query = format!("{path}{join}access_token={text}&token={text}&api_key={text}");
        let (headers, path): (Vec<(&str, &str)>, &str) = match self {
            Self::Bearer => (vec![("authorization", &bearer)], path),
            Self::Basic => (vec![("authorization", &basic)], path),
            Self::ApiKey => (vec![("x-api-key", text)], path),
            Self::Cookie => (vec![("cookie", &cookies)], path),
            Self::Query => (vec![], &in_query),
            Self::Dpop => (vec![("authorization", &dpop)], path),
            Self::Twice => (
                vec![("authorization", &bearer), ("authorization", &bearer)],
                path,
            ),
            Self::TwoHeaders => (vec![("authorization", &bearer), ("x-api-key", text)], path),
        };
        send(&a.client, method, path, &headers, body).await
    }
}
